"""System calls that no MCP server needs, refused by a filter that the kernel runs.

A deny list on top of namespaces that already contain the server: what it takes away is the way to the kernel's own mistakes
(user namespaces, mounting, BPF, keys, io_uring) and to what no namespace covers (AF_VSOCK reaches the host of a virtual machine,
System V shared memory is not counted by any process limit). `clone3` is answered as if it did not exist, because a filter
cannot read the flags behind its pointer; C libraries then use `clone`, whose flags it can.

Sources: seccomp(2), linux/filter.h, linux/seccomp.h, linux/audit.h; numbers from the kernel's syscall_64.tbl and
asm-generic/unistd.h. Calls from 424 on have the same number on every machine.
"""

import errno
import struct
from collections.abc import Mapping
from typing import NamedTuple

_ALLOW = 0x7FFF0000
_ERRNO = 0x00050000
_KILL_PROCESS = 0x80000000

_LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
_EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
_AT_LEAST = 0x35  # BPF_JMP | BPF_JGE | BPF_K
_ANY_BIT = 0x45  # BPF_JMP | BPF_JSET | BPF_K
_RETURN = 0x06  # BPF_RET | BPF_K

# Offsets in struct seccomp_data; of an argument the low half, which comes first on the machines below.
_NUMBER, _MACHINE, _FIRST, _SECOND = 0, 4, 16, 24

_NEW_NAMESPACES = 0x7E020080  # CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME
_FAMILIES = (1, 2, 10, 16)  # AF_UNIX, AF_INET, AF_INET6, AF_NETLINK
_TERMINAL_INPUT = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX
_X32 = 0x40000000


class Machine(NamedTuple):
    """What differs between kinds of processors."""

    audit: int
    """AUDIT_ARCH_*."""
    denied: tuple[int, ...]
    clone: int
    socket: int
    ioctl: int


DENIED: tuple[tuple[str, int, int], ...] = (
    ("ptrace", 101, 117), ("process_vm_readv", 310, 270), ("process_vm_writev", 311, 271), ("kcmp", 312, 272), ("pidfd_getfd", 438, 438),
    ("unshare", 272, 97), ("setns", 308, 268), ("chroot", 161, 51), ("pivot_root", 155, 41), ("mount", 165, 40), ("umount2", 166, 39),
    ("open_tree", 428, 428), ("move_mount", 429, 429), ("fsopen", 430, 430), ("fsconfig", 431, 431), ("fsmount", 432, 432),
    ("fspick", 433, 433), ("mount_setattr", 442, 442), ("name_to_handle_at", 303, 264), ("open_by_handle_at", 304, 265),
    ("bpf", 321, 280), ("perf_event_open", 298, 241), ("userfaultfd", 323, 282),
    ("io_uring_setup", 425, 425), ("io_uring_enter", 426, 426), ("io_uring_register", 427, 427),
    ("add_key", 248, 217), ("request_key", 249, 218), ("keyctl", 250, 219), ("shmget", 29, 194), ("personality", 135, 92),
    ("init_module", 175, 105), ("finit_module", 313, 273), ("delete_module", 176, 106), ("kexec_load", 246, 104),
    ("kexec_file_load", 320, 294), ("reboot", 169, 142), ("swapon", 167, 224), ("swapoff", 168, 225), ("acct", 163, 89),
    ("quotactl", 179, 60), ("syslog", 103, 116), ("settimeofday", 164, 170), ("clock_settime", 227, 112),
)  # fmt: skip
"""Name, number on x86_64, number on aarch64."""
_CLONE3 = 435

MACHINES: Mapping[str, Machine] = {
    "x86_64": Machine(0xC000003E, tuple(x86 for _, x86, _ in DENIED), clone=56, socket=41, ioctl=16),
    "aarch64": Machine(0xC00000B7, tuple(arm for _, _, arm in DENIED), clone=220, socket=198, ioctl=29),
}
"""By what uname(2) calls the machine. Another one gets no filter, and `customhouse doctor` says so."""


def program(machine: str) -> bytes:
    """The filter as an array of `struct sock_filter`; empty for a machine that is not in the table."""
    known = MACHINES.get(machine)
    return b"" if known is None else b"".join(_steps(known))


def _steps(machine: Machine) -> list[bytes]:
    steps = [
        _step(_LOAD, _MACHINE),
        _step(_EQUAL, machine.audit, 1, 0),
        _step(_RETURN, _KILL_PROCESS),  # a call of another machine's numbering, such as 32-bit code
        _step(_LOAD, _NUMBER),
        _step(_AT_LEAST, _X32, 0, 1),
        _refuse(errno.ENOSYS),
        _step(_EQUAL, _CLONE3, 0, 1),
        _refuse(errno.ENOSYS),
    ]
    for number in machine.denied:
        steps += [_step(_EQUAL, number, 0, 1), _refuse(errno.EPERM)]
    steps += _by_argument(machine.clone, _FIRST, [_step(_ANY_BIT, _NEW_NAMESPACES, 0, 1), _refuse(errno.EPERM)])
    families = [_step(_EQUAL, family, len(_FAMILIES) - place, 0) for place, family in enumerate(_FAMILIES)]
    steps += _by_argument(machine.socket, _FIRST, [*families, _refuse(errno.EAFNOSUPPORT)])
    steps += _by_argument(
        machine.ioctl, _SECOND, [_step(_EQUAL, _TERMINAL_INPUT[0], 1, 0), _step(_EQUAL, _TERMINAL_INPUT[1], 0, 1), _refuse(errno.EPERM)]
    )
    return [*steps, _step(_RETURN, _ALLOW)]


def _by_argument(number: int, offset: int, judgement: list[bytes]) -> list[bytes]:
    """Steps that judge one argument of one call; any other call goes on with its number loaded."""
    inner = [_step(_LOAD, offset), *judgement, _step(_RETURN, _ALLOW)]
    return [_step(_EQUAL, number, 0, len(inner)), *inner]


def _refuse(number: int) -> bytes:
    return _step(_RETURN, _ERRNO | number)


def _step(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    """One `struct sock_filter`; the jumps count the steps that are passed over."""
    return struct.pack("=HBBI", code, if_true, if_false, value)
