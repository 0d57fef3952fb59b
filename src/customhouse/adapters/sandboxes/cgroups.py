"""A control group per server, where the gateway may make one: the only bound that holds for all processes of a server together.

Both layouts are known by the same table: version 2, where one directory carries all controllers, and version 1, where each has its own.
Under version 2 a group whose children have controllers may hold no processes itself, so the group above the gateway's own is tried
too: systemd makes it with `Delegate=yes` and `DelegateSubgroup=gateway`.

Sources: cgroups(7); kernel documentation, admin-guide/cgroup-v2 (No Internal Process Constraint, Delegation), cgroup-v1/memory and pids.
"""

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from customhouse.core.manifest import ProcessLimits

_PREFIX = "customhouse-"
_OURS = re.compile(_PREFIX + r"([0-9]+)-[0-9]+")
_NEEDED = ("memory", "pids")
_INIT = 1
"""The sandbox's own init counts as a process."""

_counter = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Group:
    """The control groups of one server, one directory per hierarchy."""

    directories: tuple[Path, ...]

    def take(self, pid: int) -> None:
        """Move a process in; what it starts from then on is in it too. Raises `OSError`."""
        for directory in self.directories:
            (directory / "cgroup.procs").write_text(str(pid))

    def remove(self) -> None:
        """Remove the groups of a server that is gone."""
        for directory in self.directories:
            with contextlib.suppress(OSError):  # one that still holds a dying process is removed at the next start
                directory.rmdir()


@dataclass(frozen=True, slots=True)
class Groups:
    """Where groups can be made, if anywhere."""

    parents: Mapping[str, Path] = field(default_factory=dict)
    """Controller to the directory in which it can be used."""
    version: int = 0

    @property
    def usable(self) -> bool:
        """Whether memory and processes of a whole server can be bounded."""
        return all(controller in self.parents for controller in _NEEDED)

    def make(self, limits: ProcessLimits) -> Group:
        """A new group with these limits. Raises `OSError`."""
        name = f"{_PREFIX}{os.getpid()}-{next(_counter)}"
        made: list[Path] = []
        try:
            for parent in sorted(set(self.parents.values())):
                (parent / name).mkdir()
                made.append(parent / name)
            for controller, file, value in _values(self.version, limits):
                (self.parents[controller] / name / file).write_text(value)
            with contextlib.suppress(OSError):  # a kernel without swap accounting has no such file
                (self.parents["memory"] / name / "memory.swap.max").write_text("0")
        except OSError:
            Group(tuple(made)).remove()
            raise
        return Group(tuple(made))


def groups(process: Path = Path("/proc/self")) -> Groups:
    """Where this process may make groups; what an earlier gateway left empty is removed on the way."""
    own = list(_own(process))
    for version, found in ((2, _version_2(own)), (1, _version_1(own))):
        if all(controller in found for controller in _NEEDED):
            for parent in set(found.values()):
                _tidy(parent)
            return Groups(found, version)
    return Groups()


def _values(version: int, limits: ProcessLimits) -> tuple[tuple[str, str, str], ...]:
    memory = "memory.max" if version == 2 else "memory.limit_in_bytes"
    return (("memory", memory, str(limits.memory_bytes)), ("pids", "pids.max", str(limits.processes + _INIT)))


def _own(process: Path) -> Iterator[tuple[str, str, Path]]:
    """Controller (empty for version 2) and file system type of each hierarchy, with this process's directory in it."""
    mounts = dict(_mounts(process))
    for line in (process / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            if controller in mounts:
                kind, root, point = mounts[controller]
                below = os.path.relpath(path, root)
                if not below.startswith(".."):
                    yield controller, kind, point / below


def _mounts(process: Path) -> Iterator[tuple[str, tuple[str, str, Path]]]:
    """proc_pid_mountinfo(5): fields of a mount, a hyphen, then type, source and options of the file system."""
    for line in (process / "mountinfo").read_text().splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, _, options = filesystem.split(" ", 2)
        root, point = mount.split(" ")[3:5]
        if kind == "cgroup2":
            yield "", (kind, root, Path(point))
        elif kind == "cgroup":
            for option in options.split(","):
                yield option, (kind, root, Path(point))


def _version_2(own: list[tuple[str, str, Path]]) -> dict[str, Path]:
    for _, kind, directory in own:
        if kind != "cgroup2":
            continue
        for parent in (directory, directory.parent):
            if _delegated(parent):
                return dict.fromkeys(_NEEDED, parent)
    return {}


def _delegated(parent: Path) -> bool:
    """Whether groups with the needed controllers can be made there; turns the controllers on if that is what is missing."""
    control = parent / "cgroup.subtree_control"
    try:
        if not os.access(parent, os.W_OK) or not set(_NEEDED) <= set((parent / "cgroup.controllers").read_text().split()):
            return False
        if not set(_NEEDED) <= set(control.read_text().split()):
            control.write_text(" ".join(f"+{controller}" for controller in _NEEDED))
    except OSError:
        return False  # another's group, or one that holds processes itself
    return True


def _version_1(own: list[tuple[str, str, Path]]) -> dict[str, Path]:
    return {
        controller: directory for controller, kind, directory in own if kind == "cgroup" and controller in _NEEDED and _makeable(directory)
    }


def _makeable(directory: Path) -> bool:
    return os.access(directory, os.W_OK) and os.access(directory / "cgroup.procs", os.W_OK)


def _tidy(parent: Path) -> None:
    for directory in parent.glob(f"{_PREFIX}*"):
        ours = _OURS.fullmatch(directory.name)
        if ours is not None and not Path("/proc", ours[1]).exists():
            with contextlib.suppress(OSError):  # it is not empty, or somebody was faster
                directory.rmdir()
