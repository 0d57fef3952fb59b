"""What it takes to start a stdio server: its definition, the place of its package and its secrets in, one value out.

There is no shell: `argv` is an array, and its first entry is a path. A relative one lies in the installed tree, an absolute one in the
tree, in a listed directory or in the read-only system. The environment is complete: nothing of the gateway's own is inherited.
Source: MCP 2025-11-25, basic/transports, stdio: the client launches the server as a subprocess, messages are lines on stdin and stdout,
stderr is for logging.
"""

from collections.abc import Mapping

import msgspec

from customhouse.core.manifest import UNSANDBOXED_STDIO, ProcessLimits, ServerDefinition, StdioProgram

FIRST_ENVIRONMENT: Mapping[str, str] = {"HOME": "/tmp", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}  # noqa: S108 - the sandbox's own
"""What every server gets; a definition may say something else."""


class Mount(msgspec.Struct, frozen=True):
    """A file or directory that a server finds at the path it has outside."""

    path: str
    writable: bool = False


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """One start of one server, complete: whoever holds it needs nothing else. It holds secrets, so it is never shown."""

    server: str
    installed: str
    """Absolute path of the installed tree: read-only for the server, and its working directory."""
    digest: str
    """What the tree must have, or nothing is started."""
    argv: tuple[str, ...]
    """The first entry is an absolute path."""
    environment: Mapping[str, str]
    """The whole environment, secrets among it."""
    secrets: tuple[str, ...] = ()
    """Values of `environment` that are blanked in what the server writes to stderr."""
    mounts: tuple[Mount, ...] = ()
    limits: ProcessLimits = ProcessLimits()
    max_line_bytes: int = 4_194_304
    """A longer line on stdout is a fault."""
    sandboxed: bool = True
    """False where a waiver says that the server runs without a sandbox."""

    def __repr__(self) -> str:
        return f"Launch({self.server!r})"


def launch_of(definition: ServerDefinition, installed: str, secrets: Mapping[str, str]) -> Launch:
    """The launch of a definition with `stdio`. `installed` is the absolute path of its tree; `secrets` is environment name to value.

    Raises `LookupError` for a definition without `stdio`, and for a secret that was not resolved.
    """
    program = definition.stdio
    if program is None:
        raise LookupError(f"{definition.name} is reached by `url`, it is not started here.")
    if unresolved := sorted(program.secrets.keys() - secrets.keys()):
        raise LookupError(f"{definition.name}: no value for {', '.join(unresolved)}.")
    injected = {name: secrets[name] for name in program.secrets}
    return Launch(
        server=definition.name,
        installed=installed,
        digest=program.package.digest,
        argv=(program_path(program, installed), *program.argv[1:]),
        environment={**FIRST_ENVIRONMENT, **program.environment, **injected},
        secrets=tuple(injected.values()),
        mounts=(*(Mount(path) for path in program.read_only_paths), *(Mount(path, writable=True) for path in program.writable_paths)),
        limits=program.limits,
        max_line_bytes=definition.max_result_bytes,
        sandboxed=all(waiver.rule != UNSANDBOXED_STDIO for waiver in definition.waivers),
    )


def program_path(program: StdioProgram, installed: str) -> str:
    """The absolute path of what is executed."""
    first = program.argv[0]
    return first if first.startswith("/") else f"{installed}/{first}"
