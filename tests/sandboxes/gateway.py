"""A process that starts a server and waits to be killed: `python -m tests.sandboxes.gateway LAUNCH.json`."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec

from customhouse.adapters.sandboxes.bare import Bare
from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap
from customhouse.adapters.sandboxes.choice import ByWaiver
from customhouse.core.launch import Launch
from tests.sandboxes.programs import next_line


async def main() -> None:
    launch = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Launch)
    child = await ByWaiver(Bubblewrap(), Bare()).start(launch)
    print(json.dumps((await next_line(child)).decode()), flush=True)
    await asyncio.shield(child.ended)


asyncio.run(main())
