"""A gateway without privileges starts a server: `python -m tests.sandboxes.unprivileged` prints what the server could do.

Everything is imported before the privileges go, since the interpreter itself may lie where only root can read.
"""

import asyncio
import concurrent.futures.thread  # noqa: F401 - looked up late by asyncio
import json
import os
import tempfile
import uuid
from pathlib import Path

from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap
from customhouse.adapters.sandboxes.trees import digest_of_tree
from customhouse.core.launch import FIRST_ENVIRONMENT, Launch
from customhouse.core.manifest import ProcessLimits
from tests.sandboxes.programs import processes_with

ANYBODY = 54_321
SCRIPT = """
said() { printf '"%s": "%s", ' "$1" "$2"; }
printf '{'
said files "$(ls /proc/self/fd | tr '\\n' ' ')"
said uid "$(id -u)"
said caps "$(sed -n 's/CapBnd:\\t//p' /proc/self/status)"
said seccomp "$(sed -n 's/Seccomp:\\t//p' /proc/self/status)"
[ -e /home ] || [ -e /root ] && said home yes || said home no
bash -c 'exec 3<>/dev/tcp/127.0.0.1/PORT' 2>/dev/null && said hosts_tcp yes || said hosts_tcp no
touch /usr/x /x ./x 2>/dev/null && said write yes || said write no
sh -c 'for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do sleep 60 & done'  2>/dev/null && said fork yes || said fork no
printf '"end": ""}\\n'
exec sleep 60
"""


async def look() -> dict[str, object]:
    sandboxes = Bubblewrap()
    holds = await sandboxes.containment()
    if holds.problem:
        return {"problem": holds.problem}
    token = uuid.uuid4().hex
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "empty").touch()
        launch = Launch(
            server="notes",
            installed=directory,
            digest=digest_of_tree(directory),
            argv=("/bin/sh", "-c", SCRIPT.replace("PORT", str(port)), token),
            environment=FIRST_ENVIRONMENT,
            limits=ProcessLimits(processes=10),
        )
        child = await sandboxes.start(launch)
        said = json.loads(await anext(child.lines()))
        status = await child.end(0.2)
    server.close()
    return {"problem": "", **said, "status": status, "left": processes_with(token)}


if __name__ == "__main__":
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(ANYBODY)
        os.setuid(ANYBODY)
    print(json.dumps(asyncio.run(look())))
