"""Stdio servers without a sandbox, under a waiver: they can do whatever the gateway's own user can.

What holds all the same: the package is verified, there is no shell, the environment is the declared one, a process cannot gain
privileges, limits of single processes hold, and what a server started is ended with it. Without a namespace that takes
everything along, its processes are found by a mark in their environment; one that removes the mark and its parent escapes.
If the gateway itself is killed, the server's first process goes with it (PR_SET_PDEATHSIG) and the others read an end of file.
"""

import asyncio
import contextlib
import os
import secrets
import select
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from customhouse.adapters.sandboxes.children import Process
from customhouse.adapters.sandboxes.programs import check_program, limited
from customhouse.adapters.sandboxes.trees import verify
from customhouse.core.launch import Launch
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import Child

MARK = "CUSTOMHOUSE_LAUNCH"
_SWEEPS = 100
"""A server that forks faster than it is swept is given up after so many rounds."""


class Bare:
    """Servers as plain processes; an implementation of `ports.hosts.Sandboxes` for launches that a waiver frees from the sandbox."""

    def __init__(self) -> None:
        self._setpriv = shutil.which("setpriv") or ""

    async def start(self, launch: Launch) -> Child:
        """Verify the package and start the server."""
        if launch.sandboxed:
            raise Refused(Reason.SANDBOX_UNAVAILABLE, {"server": launch.server}, note="no waiver frees the server from its sandbox")
        await asyncio.to_thread(_ready, launch)
        loop = asyncio.get_running_loop()
        process = Process(launch, loop)
        mark = f"{MARK}={secrets.token_hex(16)}"
        name, _, value = mark.partition("=")
        try:
            transport, _ = await loop.subprocess_exec(
                lambda: process,
                *(self._setpriv, "--no-new-privs", "--pdeathsig", "KILL", "--", *limited(launch.limits, launch.argv)),
                env={**launch.environment, name: value},
                cwd=launch.installed,
                stdin=-1,
                stdout=-1,
                stderr=-1,
                start_new_session=True,
            )
        except OSError as error:
            raise Refused(Reason.SERVER_NOT_STARTED, {"server": launch.server}, note=str(error)) from error
        process.adopt(_Marked(transport.get_pid(), mark.encode()))
        return process


@dataclass(frozen=True, slots=True)
class _Marked:
    """The processes of a server, by the mark in their environment."""

    leader: int
    mark: bytes

    def terminate(self) -> None:
        """SIGTERM to the group of the first process."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.leader, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to whatever carries the mark now."""
        for pid in _marked(self.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    async def gone(self) -> None:
        """Kill and wait until nothing carries the mark."""
        await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        for _ in range(_SWEEPS):
            left = [descriptor for pid in _marked(self.mark) if (descriptor := _killed(pid)) >= 0]
            if not left:
                return
            for descriptor in left:
                select.select([descriptor], [], [], 1.0)
                os.close(descriptor)


def _killed(pid: int) -> int:
    """A descriptor that becomes readable once the process is gone; -1: it is gone already."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return descriptor


def _marked(mark: bytes) -> Iterator[int]:
    for directory in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended, or belongs to somebody else
            if mark in (directory / "environ").read_bytes().split(b"\0"):
                yield int(directory.name)


def _ready(launch: Launch) -> None:
    check_program(launch)
    verify(launch)
