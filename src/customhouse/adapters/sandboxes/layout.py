"""What a sandbox looks like from inside, as options of bubblewrap: namespaces, the system, the server's own files.

The root directory is made of what programs need and nothing else: no home, no /run, no /var, no /sys, of /etc only what libraries read.
Everything is read-only but the two temporary directories, which are memory of bounded size, and the paths listed as writable.
Source: bwrap(1); options are carried out in the order in which they stand.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from customhouse.adapters.sandboxes.programs import SYSTEM
from customhouse.core.launch import Launch, Mount
from customhouse.core.manifest import ProcessLimits

SERVER_UID = 65_533
"""The user and group inside, and the real one where the gateway runs as root. Debian and systemd give this number to nobody."""
OWN_ETC: Mapping[str, bytes] = {
    "/etc/passwd": f"server:x:{SERVER_UID}:{SERVER_UID}::/tmp:/usr/sbin/nologin\n".encode(),
    "/etc/group": f"server:x:{SERVER_UID}:\n".encode(),
    "/etc/hosts": b"127.0.0.1 localhost\n::1 localhost\n",
}
"""Files made for the sandbox: who the server is, and what its loopback is called."""
_ETC = (
    *("alternatives", "ca-certificates", "ca-certificates.conf", "crypto-policies", "ld.so.cache", "ld.so.conf", "ld.so.conf.d"),
    *("localtime", "mime.types", "os-release", "pki/ca-trust", "pki/tls/certs", "ssl/certs", "ssl/openssl.cnf", "timezone"),
)
"""Files of /etc that libraries read and that say nothing about the machine."""


def in_order(launch: Launch) -> list[Mount]:
    """The package and the listed paths, a directory before what lies in it: the later mount is the one that is seen."""
    return sorted((Mount(launch.installed), *launch.mounts), key=lambda mount: mount.path.count("/"))


def namespaces() -> Iterator[str]:
    """Namespaces of its own, a user without capabilities, a session, and an end together with the gateway."""
    user = str(SERVER_UID)
    yield from ("--unshare-user", "--uid", user, "--gid", user)
    yield from ("--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-net", "--unshare-cgroup-try")
    yield from ("--hostname", "sandbox", "--cap-drop", "ALL", "--new-session", "--die-with-parent", "--clearenv")


def system() -> Iterator[str]:
    """The system as it is, read-only; where /bin and /lib are links into /usr, they are links inside too."""
    for path in SYSTEM:
        if Path(path).is_symlink():
            yield from ("--symlink", str(Path(path).readlink()), path)
        elif Path(path).is_dir():
            yield from ("--ro-bind", path, path)
    for name in _ETC:
        yield from ("--ro-bind-try", f"/etc/{name}", f"/etc/{name}")
    for path in sorted(_python_links()):
        yield from ("--ro-bind-try", path, path)


def _python_links() -> set[str]:
    """Debian's Python keeps its site customization in /etc."""
    return {entry.path for entry in os.scandir("/etc") if entry.name.startswith("python3")}


def own_directories(limits: ProcessLimits) -> Iterator[str]:
    """/proc of the sandbox, the harmless devices, and temporary directories of bounded size."""
    size = str(limits.tmp_bytes)
    yield from ("--proc", "/proc", "--dev", "/dev")
    yield from ("--perms", "1777", "--size", size, "--tmpfs", "/dev/shm", "--remount-ro", "/dev")  # noqa: S108 - the sandbox's own
    yield from ("--perms", "1777", "--size", size, "--tmpfs", "/tmp")  # noqa: S108 - the sandbox's own


def bind(mount: Mount, source: str, target: str = "") -> tuple[str, str, str]:
    """Show `source` at `target`, or at the path of the mount."""
    return "--bind" if mount.writable else "--ro-bind", source, target or mount.path
