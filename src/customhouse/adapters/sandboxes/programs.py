"""What a launch needs on this machine before anything is started, and the limits that a process takes along.

Limits are set by prlimit(1) of util-linux between the sandbox and the server, so no code of ours runs after a fork. Memory is bounded
by RLIMIT_DATA, which since Linux 4.7 counts private writable mappings: RLIMIT_AS would end a Node server at once, since V8
reserves many times the addresses that it uses.
"""

import os
import resource
import stat
from collections.abc import Iterator
from pathlib import Path

from customhouse.core.launch import Launch
from customhouse.core.manifest import ProcessLimits
from customhouse.core.refusal import Reason, Refused

PRLIMIT = "/usr/bin/prlimit"
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
"""Directories of programs and libraries that every sandbox holds, where the machine has them."""


def check_program(launch: Launch) -> None:
    """Refuse what cannot start: a listed path that is not there, a program that is not executable or lies outside of the sandbox.

    Raises `Refused` SERVER_NOT_STARTED.
    """
    for problem in _problems(launch):
        raise Refused(Reason.SERVER_NOT_STARTED, {"server": launch.server}, note=problem)


def _problems(launch: Launch) -> Iterator[str]:
    for mount in launch.mounts:
        if not Path(mount.path).exists():
            yield f"{mount.path} is listed and does not exist"
    program = os.path.realpath(launch.argv[0])
    held = [os.path.realpath(path) for path in (launch.installed, *(mount.path for mount in launch.mounts), *SYSTEM)]
    if launch.sandboxed and not any(program == path or program.startswith(f"{path}/") for path in held):
        yield f"{launch.argv[0]} leads to {program}, which the sandbox does not hold: list its directory under read_only_paths"
    try:
        mode = Path(program).stat().st_mode
    except OSError as error:
        yield f"{launch.argv[0]}: {error.strerror}"
    else:
        if not stat.S_ISREG(mode) or not mode & 0o111:
            yield f"{launch.argv[0]} is not an executable file"


def limited(limits: ProcessLimits, argv: tuple[str, ...], *, max_tasks: int | None = None) -> list[str]:
    """A command that sets limits and becomes `argv`. `max_tasks` makes sense only where a user of its own is counted."""
    wanted = {"core": 0, "data": limits.memory_bytes, "fsize": limits.file_bytes, "nofile": limits.open_files}
    if limits.cpu_seconds is not None:
        wanted["cpu"] = limits.cpu_seconds
    if max_tasks is not None:
        wanted["nproc"] = max_tasks
    return [PRLIMIT, *(f"--{name}={_allowed(name, value)}" for name, value in sorted(wanted.items())), "--", *argv]


def _allowed(name: str, value: int) -> int:
    """A limit that this process may set: raising its own hard limit takes a privilege."""
    _, hard = resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))
    return value if hard == resource.RLIM_INFINITY else min(value, hard)
