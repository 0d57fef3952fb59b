"""What a server is and offers: its definition, its manifest, and the pin that was approved.

A definition is what an operator wrote; a manifest is what the server says; a pin is a captured manifest with its digest.
Clients see pins only.
"""

import enum
import hashlib
from typing import Annotated, Any, Literal

import msgspec

from customhouse.core.canonical import canonical_json
from customhouse.core.screening import Screening


class Effect(enum.Enum):
    """The reviewed effect of a tool. An annotation of the server itself is a hint for the reviewer, never a decision."""

    READ = "read"
    WRITE = "write"
    DESTRUCTIVE = "destructive"

    @property
    def changes_things(self) -> bool:
        """Whether a call needs a durable intent before the server hears of it."""
        return self is not Effect.READ


class Era(enum.Enum):
    """How a connection speaks: modern carries everything in each request, legacy opens with `initialize`."""

    LEGACY = "legacy"
    MODERN = "modern"


Data = Literal["public", "internal", "confidential"]
Content = Literal["trusted", "untrusted"]


class ToolReview(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename={"effect": "class"}):
    """What a reviewer decided about one tool."""

    effect: Effect
    """`read`, `write` or `destructive`. A tool without a class cannot be seen or called."""
    scopes: tuple[str, ...] = ()
    """OAuth scopes a token needs for this tool, beside the policy's yes. Missing ones are answered with a 403 challenge."""
    call_timeout_seconds: float | None = None
    """First byte in to last byte out of one call of this tool; absent: the server's."""
    idempotent: bool = False
    """A second call with the same arguments changes nothing more. Assumed of no tool, since a wrong yes does things twice."""
    data: Data = "internal"
    """What its results hold at most: `public`, `internal` or `confidential`. Internal is what nobody has looked at closer."""
    content: Content = "untrusted"
    """`untrusted` if strangers can write into its results: web pages, mail, issues, files of others. Text that a model reads is that \
until somebody says otherwise."""
    sink: bool | None = None
    """Whether what the caller knows can leave through its arguments: mail, posts, uploads, addresses to be fetched. Absent: true for \
`write` and `destructive`, false for `read`."""

    @property
    def is_sink(self) -> bool:
        """The label `sink`, or what the class says where the reviewer left it out."""
        return self.effect.changes_things if self.sink is None else self.sink


UNAUTHENTICATED_WRITES = "unauthenticated-writes"
UNSANDBOXED_STDIO = "unsandboxed-stdio"


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule of the gateway that an operator set aside for one server, in plain sight."""

    rule: str
    """The rule set aside: `unauthenticated-writes` or `unsandboxed-stdio`."""
    reason: str
    """Why, in a sentence that a colleague understands at 3 a.m."""
    granted_by: str
    """The person who answers for it."""


class BearerCredential(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The gateway's own credential at the server: a bearer token by reference, never by value."""

    bearer: str
    """`env:NAME` or `file:PATH`; a relative path counts from the directory of the configuration."""
    expires_on: str = ""
    """The last day (YYYY-MM-DD) on which the server takes it; the inventory warns two weeks ahead. Empty: nobody said."""


class Package(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is installed, pinned by its content."""

    ecosystem: Literal["pypi", "npm"]
    """Where the package comes from; for people and inventories, the gateway itself installs nothing."""
    name: str
    """The package's name there."""
    version: str
    """The exact version that was reviewed."""
    digest: str
    """`sha256:` and 64 hexadecimal digits over the installed tree; `customhouse servers digest` computes it."""


class ProcessLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much of the machine one running server may take. There is no value for unlimited."""

    memory_bytes: Annotated[int, msgspec.Meta(ge=16_777_216, le=1_099_511_627_776)] = 1_073_741_824
    """Memory of the whole server where a cgroup can be made, private memory of each of its processes everywhere. 1 GiB is ten times what \
the reference servers take."""
    processes: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 128
    """Processes and threads at once. A Node server starts with about a dozen; 128 leaves room for the programs it runs."""
    open_files: Annotated[int, msgspec.Meta(ge=16, le=1_000_000)] = 1_024
    """Open files and sockets of one process: the usual soft limit of Linux."""
    file_bytes: Annotated[int, msgspec.Meta(ge=1, le=1_099_511_627_776)] = 268_435_456
    """The largest file it may write: 256 MiB, beyond what a tool result can carry."""
    tmp_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=1_099_511_627_776)] = 67_108_864
    """Its private /tmp, which is memory: 64 MiB."""
    cpu_seconds: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    """CPU time of one of its processes over its whole life, then it is ended. Absent, since a server lives as long as the gateway."""


class StdioProgram(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that the gateway starts itself, in a sandbox, and speaks to over stdin and stdout."""

    package: Package
    """What is installed, pinned by its content."""
    installed: str = ""
    """Directory of the installed tree; a relative path counts from the deployment directory. Empty: \
`<packages_dir>/<ecosystem>/<name>/<version>`."""
    argv: tuple[str, ...]
    """The command as a list, never read by a shell. The first entry is a path in the installed tree (`bin/notes`) or an absolute one that \
the sandbox holds (`/usr/bin/node`). Relative paths count from the tree, which is the working directory."""
    environment: dict[str, str] = {}
    """Environment variables by literal value. Beside these and `secrets` there are HOME, LANG and PATH, nothing of the gateway's."""
    secrets: dict[str, str] = {}
    """Environment variables by reference, `env:NAME` or `file:PATH`: read at the start of the server, blanked on its stderr."""
    read_only_paths: tuple[str, ...] = ()
    """Absolute paths outside the tree that the server may read, at the same place in the sandbox: an interpreter, a data directory."""
    writable_paths: tuple[str, ...] = ()
    """Absolute paths that the server may also change. Everything else but /tmp is read-only."""
    hosts: tuple[str, ...] = ()
    """Hosts that the server needs to reach. The sandbox has no network yet, so a definition that lists any is refused."""
    limits: ProcessLimits = ProcessLimits()
    """How much of the machine it may take."""


class ServerDefinition(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A governed MCP server: who owns it, where it is, and what a reviewer allows it to do."""

    name: str
    """1 to 40 characters of a-z, 0-9 and single hyphens between them; the name of the file. Unique per deployment."""
    owner: str
    """The team that answers for the server."""
    contact: str
    """How to reach that team: an e-mail address, a channel or a URL."""
    tenant: str
    """The tenant whose callers may be granted this server; everybody else sees nothing."""
    description: str = ""
    """One sentence for listings."""
    on_call: str = ""
    """Who is woken at night: a rotation, a pager address or a URL. The registry asks for it."""
    classification: Literal["public", "internal", "confidential", "restricted"] | None = None
    """How sensitive the data behind the server is at most. The registry asks for it."""
    runbook: str = ""
    """Where it is written what to do when the server misbehaves. The registry asks for it."""
    review_by: str = ""
    """The day (YYYY-MM-DD) by which the owner looks at the server again; afterwards it is suspended. The registry asks for it."""
    url: str = ""
    """The MCP endpoint: https, or http to loopback only. A server has either this or `stdio`."""
    stdio: StdioProgram | None = None
    """The program that the gateway starts and speaks to over stdin and stdout. A server has either this or `url`."""
    networks: tuple[str, ...] = ()
    """Private networks (CIDR) that `url` may resolve to, beside public addresses. Loopback needs no entry if `url` names it."""
    credential: BearerCredential | None = None
    """The gateway's own credential. Absent: the server takes unauthenticated calls, so writes need a waiver."""
    stateless: bool = False
    """Reviewed: the server keeps no state per session, so callers may share one upstream session."""
    tools: dict[str, ToolReview] = {}
    """The reviewed class of each tool, by the server's own tool name."""
    call_timeout_seconds: float = 60.0
    """First byte in to last byte out of one call. 60 s is what official SDK clients wait at most by default."""
    connect_timeout_seconds: float = 5.0
    """Until a connection stands, TLS included."""
    max_concurrent_calls: int = 64
    """Calls in flight at this server at once; more are refused as busy."""
    max_result_bytes: int = 4_194_304
    """The largest single message from the server: 4 MiB, the default body limit of the official SDK."""
    bridges: bool = True
    """Clients of the other era may be asked for input by this server: a call waits for them while they are asked, within the settings
    `bridges`. Off: the server is told that such clients can be asked nothing."""
    screening: Screening = Screening()
    """What is looked for in the words of the server before they leave."""
    waivers: tuple[Waiver, ...] = ()
    """Rules set aside for this server; they show in every listing."""

    @property
    def where(self) -> str:
        """Where the server is found, for listings."""
        if self.stdio is None:
            return self.url
        package = self.stdio.package
        return f"stdio {package.ecosystem}/{package.name} {package.version}"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a server says it offers, as JSON values exactly as it said them."""

    server_info: dict[str, Any]
    capabilities: dict[str, Any]
    instructions: str = ""
    tools: tuple[dict[str, Any], ...] = ()
    prompts: tuple[dict[str, Any], ...] = ()
    resources: tuple[dict[str, Any], ...] = ()
    resource_templates: tuple[dict[str, Any], ...] = ()


DIGEST_FORMULA = "customhouse-manifest-1"
"""Named in every pin, so that a later formula never looks like drift: SHA-256 over RFC 8785 JSON of the manifest, each list in name
order."""


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """The approved snapshot of a manifest; the only thing a client ever sees."""

    server: str
    revision: str
    """The protocol revision that the manifest was captured in."""
    digest: str
    """`sha256:` and 64 hexadecimal digits."""
    digest_formula: str = DIGEST_FORMULA
    manifest: Manifest


_LISTS = (("tools", "name"), ("prompts", "name"), ("resources", "uri"), ("resource_templates", "uriTemplate"))


def in_order(manifest: Manifest) -> Manifest:
    """The manifest with each list in name order: the order in which a server lists things never raises drift."""
    ordered = {part: tuple(sorted(getattr(manifest, part), key=lambda entry: str(entry.get(key)))) for part, key in _LISTS}
    return msgspec.structs.replace(manifest, **ordered)


def digest_of(manifest: Manifest) -> str:
    """The digest by the current formula."""
    return "sha256:" + hashlib.sha256(canonical_bytes(in_order(manifest))).hexdigest()


def canonical_bytes(value: object) -> bytes:
    """RFC 8785 canonical JSON of a JSON value or a struct."""
    return canonical_json(msgspec.to_builtins(value))
