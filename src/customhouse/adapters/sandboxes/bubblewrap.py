"""Stdio servers in Linux namespaces, made by bubblewrap (`bwrap`).

A server gets user, mount, pid, ipc, uts, cgroup and network namespaces of its own, a root directory that holds the read-only system,
its package and the listed paths, a private /tmp of bounded size, an unprivileged user without capabilities or a way to new ones, a
session of its own, limits, a filter of system calls, and a control group where one can be made.

Run by root, bubblewrap would map root into the sandbox, and root's processes are not counted: RLIMIT_NPROC does not hold for it
(fork(2)), and files that only root may read could be read. So root first makes the listed paths reachable in a mount namespace of
an outer bubblewrap, becomes an unused user for good (setpriv(1)), and only then makes the sandbox, the same way as everybody else.
The outer one has a process namespace too: a parent that lost its privileges may not signal a child of another user, also not by
PR_SET_PDEATHSIG, but the end of a namespace's init asks nobody.

What the server is given goes to bubblewrap through a file in memory (`--args`): other users of the machine can read command lines,
and variables such as LD_PRELOAD would otherwise act on bubblewrap itself, outside.

Sources: bwrap(1); user_namespaces(7); kernel/ucount.c (since Linux 5.14 processes are counted per user namespace);
prctl(2), PR_SET_PDEATHSIG.
"""

import asyncio
import contextlib
import itertools
import json
import os
import platform
import shutil
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from customhouse.adapters.sandboxes.cgroups import Group, groups
from customhouse.adapters.sandboxes.children import Process
from customhouse.adapters.sandboxes.layout import OWN_ETC, SERVER_UID, bind, in_order, namespaces, own_directories, system
from customhouse.adapters.sandboxes.programs import check_program, limited
from customhouse.adapters.sandboxes.seccomp import program
from customhouse.adapters.sandboxes.trees import verify
from customhouse.core.launch import Launch, Mount
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.hosts import Child

START_SECONDS = 20.0
"""Within which a sandbox stands. It takes 20 ms; a machine that swaps takes seconds."""
SLOW = f"it does not stand within {START_SECONDS:g} seconds"


@dataclass(frozen=True, slots=True)
class Containment:
    """What holds on this machine."""

    problem: str
    """Why no sandbox can be made; empty where one can."""
    user: str = ""
    """Whose rights a server has outside: those of the gateway's own user, or of nobody."""
    filtered: bool = False
    """Whether system calls are filtered."""
    grouped: bool = False
    """Whether memory and processes of a whole server are bounded; else memory is, process by process."""


class Bubblewrap:
    """Servers in sandboxes; an implementation of `ports.hosts.Sandboxes`. One belongs to one event loop."""

    def __init__(self) -> None:
        self._bwrap = shutil.which("bwrap") or ""
        self._setpriv = shutil.which("setpriv") or ""
        self._as_root = os.geteuid() == 0
        self._filter = program(platform.machine())
        self._groups = groups()
        self._looking: asyncio.Task[Containment] | None = None
        self._starting: set[asyncio.Task[Process]] = set()
        self._unwanted: set[asyncio.Task[int]] = set()

    async def containment(self) -> Containment:
        """What holds here, found out by making a sandbox; looked at once."""
        if self._looking is None:
            self._looking = asyncio.get_running_loop().create_task(self._look())
        return await asyncio.shield(self._looking)

    async def start(self, launch: Launch) -> Child:
        """Verify the package, make the sandbox, start the server in it."""
        held = await self.containment()
        if held.problem:
            raise Refused(Reason.SANDBOX_UNAVAILABLE, {"server": launch.server}, note=held.problem)
        await asyncio.to_thread(_ready, launch)
        try:
            return await self._started(launch)
        except (OSError, TimeoutError) as error:
            raise Refused(Reason.SANDBOX_UNAVAILABLE, {"server": launch.server}, note=str(error) or SLOW) from error

    async def close(self) -> None:
        """Wait until starts that nobody waits for any more have come to their end; before the event loop closes."""
        if self._looking is not None:
            await asyncio.wait([self._looking])
        while unfinished := [*self._starting, *self._unwanted]:
            await asyncio.wait(unfinished)

    async def _look(self) -> Containment:
        missing = [name for name, path in (("bwrap", self._bwrap), ("setpriv", self._setpriv)) if not path]
        if missing:
            return Containment(f"{missing[0]} is not installed (Debian packages bubblewrap and util-linux)")
        probe = Launch(server="probe", installed="/usr", digest="", argv=("/usr/bin/true",), environment={})
        try:
            process = await self._started(probe)
            status = await process.end(START_SECONDS)
        except (OSError, TimeoutError) as error:
            return Containment(f"a sandbox cannot be made: {str(error) or SLOW}")
        if status != 0:
            return Containment(f"a program in a sandbox ends with status {status}: {process.stderr.strip()}")
        user = f"nobody (user {SERVER_UID})" if self._as_root else f"the gateway's own user ({os.geteuid()})"
        return Containment("", user, bool(self._filter), self._groups.usable)

    async def _started(self, launch: Launch) -> Process:
        """A server that stands. Where nobody waits for it any more it is ended once it stands: a bubblewrap that is killed halfway
        leaves processes that wait for it forever."""
        starting = asyncio.get_running_loop().create_task(self._start(launch))
        self._starting.add(starting)
        starting.add_done_callback(self._starting.discard)
        try:
            return await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(self._drop)
            raise

    def _drop(self, starting: asyncio.Task[Process]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            ending = asyncio.get_running_loop().create_task(starting.result().end(0))
            self._unwanted.add(ending)
            ending.add_done_callback(self._unwanted.discard)

    async def _start(self, launch: Launch) -> Process:
        loop = asyncio.get_running_loop()
        process = Process(launch, loop)
        with contextlib.ExitStack() as open_files:
            pipes = _Pipes.opened(open_files)
            command, passed = self._command(launch, pipes, open_files)
            await loop.subprocess_exec(
                lambda: process, *command, env={}, cwd="/", pass_fds=passed, stdin=-1, stdout=-1, stderr=-1, start_new_session=True
            )
            try:
                pipes.leave_to_child()
                inits = await asyncio.wait_for(pipes.inits(loop, nested=self._as_root), START_SECONDS)
                if inits is None:
                    await asyncio.wait_for(process.exited, START_SECONDS)
                    raise OSError(process.stderr.strip() or "bwrap ended without a word")
                outermost, init = inits
                tree = _Sandbox(outermost, init, self._group_of(launch, init))
            except BaseException:
                await process.abandon()
                raise
            process.adopt(tree)
            pipes.go()
        return process

    def _group_of(self, launch: Launch, init: int) -> Group:
        if not self._groups.usable:
            return Group(())
        made = self._groups.make(launch.limits)
        try:
            made.take(init)
        except OSError:
            made.remove()
            raise
        return made

    def _command(self, launch: Launch, pipes: "_Pipes", open_files: contextlib.ExitStack) -> tuple[list[str], tuple[int, ...]]:
        """The command line, and the descriptors that it names."""

        def file(content: bytes) -> int:
            descriptor = os.memfd_create("customhouse", os.MFD_CLOEXEC)
            open_files.callback(os.close, descriptor)
            os.write(descriptor, content)
            os.lseek(descriptor, 0, os.SEEK_SET)
            passed.append(descriptor)
            return descriptor

        passed = [pipes.info_write, pipes.block_read, *([pipes.outer_write] if self._as_root else [])]
        mounts = in_order(launch)
        staged = {mount.path: f"/tmp/{place}" for place, mount in enumerate(mounts)} if self._as_root else {}  # noqa: S108 - the outer bwrap's own
        options = [
            *namespaces(),
            *("--info-fd", str(pipes.info_write), "--block-fd", str(pipes.block_read)),
            *(("--seccomp", str(file(self._filter))) if self._filter else ()),
            *itertools.chain.from_iterable(("--setenv", name, value) for name, value in launch.environment.items()),
            *system(),
            *itertools.chain.from_iterable(
                ("--perms", "0444", "--ro-bind-data", str(file(content)), path) for path, content in OWN_ETC.items()
            ),
            *own_directories(launch.limits),
            *itertools.chain.from_iterable(bind(mount, staged.get(mount.path, mount.path)) for mount in mounts),
            *("--remount-ro", "/", "--chdir", launch.installed),
        ]
        arguments = file(b"".join(option.encode() + b"\0" for option in options))
        server = limited(launch.limits, launch.argv, max_tasks=launch.limits.processes + 1)
        return [*self._outer(mounts, staged, pipes), self._bwrap, "--args", str(arguments), "--", *server], tuple(passed)

    def _outer(self, mounts: Sequence[Mount], staged: dict[str, str], pipes: "_Pipes") -> list[str]:
        """What root does first: show the listed paths to the user without rights, wherever they lie, and become that user."""
        if not self._as_root:
            return []
        user = str(SERVER_UID)
        return [
            *(self._bwrap, "--die-with-parent", "--unshare-pid", "--info-fd", str(pipes.outer_write)),
            *("--dev-bind", "/", "/", "--perms", "0755", "--tmpfs", "/tmp"),  # noqa: S108 - its own
            *itertools.chain.from_iterable(bind(mount, mount.path, staged[mount.path]) for mount in mounts),
            *("--", self._setpriv, "--reuid", user, "--regid", user, "--clear-groups", "--no-new-privs", "--pdeathsig", "KILL", "--"),
        ]


@dataclass(slots=True)
class _Sandbox:
    """The processes of a sandbox, held by its init: when that ends, the kernel ends the others."""

    outermost: int
    """The init whose end is everybody's."""
    init: int
    """The init beside the server; the same one where there is one sandbox only."""
    group: Group
    _descriptor: int = -1

    def __post_init__(self) -> None:
        self._descriptor = os.pidfd_open(self.outermost)

    def terminate(self) -> None:
        """SIGTERM to the session of the server; init itself does not hear it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.init, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to init; what watches over it outside ends by itself then."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._descriptor, signal.SIGKILL)

    async def gone(self) -> None:
        """Init is gone only after everything else in its namespace."""
        loop = asyncio.get_running_loop()
        try:
            await _readable(self._descriptor, loop)
        finally:
            _reap(self._descriptor)
            os.close(self._descriptor)
            self.group.remove()


@dataclass(slots=True)
class _Pipes:
    """Pipes between the gateway and a bubblewrap that says who it is and waits to be told to go on."""

    outer_read: int
    outer_write: int
    info_read: int
    info_write: int
    block_read: int
    block_write: int

    @classmethod
    def opened(cls, open_files: contextlib.ExitStack) -> "_Pipes":
        """Open all; whatever is still open is closed with `open_files`."""
        made = cls(*os.pipe(), *os.pipe(), *os.pipe())
        open_files.callback(made.close)
        return made

    def leave_to_child(self) -> None:
        """Close the ends that the child holds now."""
        for descriptor in (self.outer_write, self.info_write, self.block_read):
            os.close(descriptor)
        self.outer_write = self.info_write = self.block_read = -1

    async def inits(self, loop: asyncio.AbstractEventLoop, *, nested: bool) -> tuple[int, int] | None:
        """Process ids, as seen here, of the outermost init and of the one beside the server; None if there will be none.

        An inner bubblewrap names its init by the numbers of the namespace around it, so from the outermost one they are followed down.
        """
        init = await _init_pid(self.info_read, loop)
        if init is None:
            return None
        if not nested:
            return init, init
        outermost = await _init_pid(self.outer_read, loop)
        if outermost is None:
            return None
        (watcher,) = _children(outermost)
        (inner,) = _children(watcher)
        return outermost, inner

    def go(self) -> None:
        """Let the server start."""
        os.write(self.block_write, b"1")

    def close(self) -> None:
        """Close what is open."""
        for descriptor in (self.outer_read, self.outer_write, self.info_read, self.info_write, self.block_read, self.block_write):
            if descriptor >= 0:
                os.close(descriptor)


async def _init_pid(descriptor: int, loop: asyncio.AbstractEventLoop) -> int | None:
    """What bubblewrap says on `--info-fd`; None if it said nothing."""
    os.set_blocking(descriptor, False)
    said = bytearray()
    while not said.rstrip().endswith(b"}"):
        await _readable(descriptor, loop)
        chunk = os.read(descriptor, 4_096)
        if not chunk:
            return None
        said += chunk
    return int(json.loads(said)["child-pid"])


def _children(pid: int) -> list[int]:
    """proc_pid_task(5), `children`."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def _readable(descriptor: int, loop: asyncio.AbstractEventLoop) -> None:
    readable = asyncio.Event()
    loop.add_reader(descriptor, readable.set)
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _reap(descriptor: int) -> None:
    """Take an ended process off the table: it is this process's own where orphans are given to it, as in a container."""
    with contextlib.suppress(ChildProcessError):
        os.waitid(os.P_PIDFD, descriptor, os.WEXITED | os.WNOHANG)


def _ready(launch: Launch) -> None:
    check_program(launch)
    verify(launch)
