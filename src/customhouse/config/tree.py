"""Every setting of the gateway, in one typed tree: its meaning, its unit and the reason for its default.

The file is `customhouse.yaml` in the deployment directory; `CUSTOMHOUSE_LISTEN__PORT=9000` in the environment stands above it.
There is no setting for a shared static token: a caller always comes with a token of an issuer.
"""

from typing import Annotated, Literal

import msgspec

from customhouse.core.operators import Assignment

Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]
Rate = Annotated[float, msgspec.Meta(gt=0, le=1_000_000)]
Algorithm = Literal["RS256", "ES256", "EdDSA"]


class Tls(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The gateway's own certificate."""

    certificate_file: str
    """PEM file with the certificate and its chain; a relative path counts from the deployment directory."""
    key_file: str
    """PEM file with the private key of the certificate, unencrypted and readable by the gateway's user alone."""


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The door: where it is, whom it lets speak, and how long it waits."""

    host: str = "127.0.0.1"
    """IP address to bind, or `localhost`. Loopback, so that nothing is exposed by accident; others need TLS and an issuer."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 8080
    """TCP port to bind."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header beside the host of `public_url` and, on a loopback bind, 127.0.0.1, localhost and [::1] with the port. \
Empty, since any other name in that header is a mistake or DNS rebinding."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins, such as https://app.example, whose pages may call. Empty: most clients are no web pages."""
    tls: Tls | None = None
    """Certificate and key. Absent: plain HTTP, on loopback only."""
    max_head_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=1_048_576)] = 16_384
    """Request line and headers together. 16 KiB holds two 4 KiB tokens and cookies that a proxy adds."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1_024, le=268_435_456)] = 1_048_576
    """One request body. 1 MiB holds long arguments; files belong in resources."""
    head_timeout_seconds: Seconds = 10.0
    """From the first byte of a request to the end of its headers. 10 s bounds slow senders and passes bad mobile links."""
    body_timeout_seconds: Seconds = 30.0
    """From the end of the headers to the end of the body. 30 s is 35 KB/s for the largest body."""
    idle_timeout_seconds: Seconds = 75.0
    """A connection without a request. 75 s is longer than the 60 s that common load balancers keep one."""
    write_timeout_seconds: Seconds = 30.0
    """A reader that takes no bytes of an answer. 30 s, then the connection is cut and its memory is free."""
    max_connections: Count = 20_000
    """Open connections. 20,000 at about 10 KB each stay under 200 MB; more are refused at once."""


class ClaimNames(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which claim of a token fills which field of the caller. An empty name fills nothing."""

    person: str = "sub"
    """The human. `sub` is the subject of RFC 7519."""
    workload: str = ""
    """The program that acts for itself. Empty, because no claim is common for it."""
    client: str = "client_id"
    """The OAuth client, as in RFC 9068; `azp` is read where it is missing."""
    groups: str = "groups"
    """Groups, a list of text. The name that most identity providers use."""
    scopes: str = "scope"
    """Scopes, as in RFC 9068: text with spaces between, or a list."""


class Issuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An authorization server whose tokens are accepted."""

    issuer: str
    """`iss` of its tokens, compared exactly: an https address, or http to loopback."""
    tenant: str = ""
    """The tenant of everybody this issuer vouches for. Either this or `tenant_claim` with `tenants`."""
    tenant_claim: str = ""
    """The claim that says which tenant a token belongs to; its values are looked up in `tenants`."""
    tenants: dict[str, str] = {}
    """Value of `tenant_claim` to tenant. A value that is not listed is refused: an unknown tenant is nobody's."""
    jwks_url: str = ""
    """Where the keys are. Empty: discovered from the issuer's metadata (RFC 8414, then OpenID Connect Discovery)."""
    networks: tuple[str, ...] = ()
    """Private networks (CIDR) that the issuer's addresses may resolve to. Empty, so that a name cannot be turned inwards."""
    audiences: dict[str, tuple[str, ...]] = {}
    """A fixed `aud` value to the endpoint paths it opens, for issuers that cannot name a URL. Empty: only the endpoint's URL counts."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256", "EdDSA")
    """Signature algorithms that are accepted. All three are asymmetric; shared secrets and `none` do not exist here."""
    claims: ClaimNames = ClaimNames()
    """Which claim fills which field of the caller."""


class DevelopmentIssuer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A local issuer for trying things out: `customhouse token` mints, the key lives in the data directory."""

    enabled: bool = False
    """Whether its tokens are accepted. Off, because whoever reads its key can be anybody; on loopback only."""
    tenant: Annotated[str, msgspec.Meta(min_length=1)] = "local"
    """The tenant of its callers."""


class Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Whose word counts on who is calling."""

    issuers: tuple[Issuer, ...] = ()
    """Authorization servers. Empty: every call is refused, unless the development issuer is on."""
    development_issuer: DevelopmentIssuer = DevelopmentIssuer()
    """The local issuer for trying things out."""
    leeway_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 30.0
    """Difference of clocks that expiry and not-before tolerate. 30 s covers machines that keep time; more lengthens every token."""
    jwks_max_age_seconds: Seconds = 300.0
    """Age at which an issuer's keys are fetched again. 300 s is how long a withdrawn key stays good at most."""
    jwks_max_stale_seconds: Seconds = 3_600.0
    """Age up to which keys serve while the issuer cannot be reached; then its tokens are refused. An hour outlives most outages."""


class Portal(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A set of servers that is offered as one endpoint, `/mcp/<portal>`; the portal `default` is `/mcp`."""

    servers: tuple[str, ...]
    """Names of servers, as in `servers/<name>.yaml`."""


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much may happen at once. There is no value for unlimited."""

    requests_per_second_per_caller: Rate = 200.0
    """Requests that one caller may send in the long run, per second. 200 is far above an agent in a loop of tool calls."""
    burst_per_caller: Count = 400
    """Requests that one caller may send at once after a pause: two seconds' worth."""
    requests_per_second_per_tenant: Rate = 2_000.0
    """Requests of all callers of one tenant in the long run, per second: ten callers at full speed."""
    burst_per_tenant: Count = 4_000
    """Requests of one tenant at once after a pause: two seconds' worth."""
    max_requests_in_flight: Count = 2_000
    """Requests that have no answer yet. 2,000 at 1 s each is more than one process carries; more are refused as overloaded."""
    max_streams_per_caller: Count = 1_000
    """Open streams of one caller that only listen, in both eras. 1,000 lets a fleet of agents share an identity."""
    keep_alive_comment_seconds: Seconds = 15.0
    """Silence on a stream after which a comment is sent. 15 s is a quarter of the 60 s after which proxies cut."""
    drain_seconds: Seconds = 20.0
    """Time that running calls get at shutdown. 20 s stays under the 30 s of common process supervisors."""


class Sessions(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sessions of clients that open with `initialize`, and the streams they can resume."""

    idle_timeout_seconds: Seconds = 3_600.0
    """From the last request of a session without an open stream to its end. An hour outlasts a break; most clients keep a stream open."""
    max_age_seconds: Seconds = 86_400.0
    """From `initialize` to the end of a session, whatever it does. A day: a client that runs on opens a new one."""
    max_per_caller: Count = 1_000
    """Open sessions of one caller; one more ends the one that was seen least recently. 1,000 lets a fleet of agents share an identity."""
    max_sessions: Count = 100_000
    """Open sessions of all callers. 100,000 at about 1 KB each stay under 100 MB; one more is refused."""
    max_subscriptions_per_session: Count = 1_000
    """Resources that one session may be subscribed to at once."""
    replay_seconds: Seconds = 300.0
    """For which the events of a finished stream can be asked for again. 300 s is longer than a client waits before it reconnects."""
    replay_max_events_per_stream: Count = 1_000
    """Events of one stream that are kept; the oldest go first."""
    replay_max_bytes_per_session: Annotated[int, msgspec.Meta(ge=65_536, le=1_073_741_824)] = 8_388_608
    """Events of all streams of one session that are kept. 8 MiB is eight of the largest usual answers."""
    replay_max_bytes: Annotated[int, msgspec.Meta(ge=1_048_576, le=68_719_476_736)] = 134_217_728
    """Events of all sessions that are kept, 128 MiB; the oldest go first."""


class Bridges(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls in which a server asks back while its client comes and goes."""

    answer_timeout_seconds: Annotated[float, msgspec.Meta(gt=0, le=3_600)] = 600.0
    """From a question to the client's answer. Ten minutes: a person has to read, think and sometimes ask somebody."""
    max_rounds: Annotated[int, msgspec.Meta(ge=1, le=100)] = 10
    """Times that one call may ask for input. 10 is what the official SDKs allow."""
    max_waiting_per_caller: Count = 50
    """Calls of one caller that may wait for an answer. 50 questions are more than anybody has open."""
    max_waiting: Count = 5_000
    """Calls of all callers that may wait for an answer."""
    max_waiting_bytes_per_caller: Annotated[int, msgspec.Meta(ge=65_536, le=1_073_741_824)] = 16_777_216
    """What the waiting calls of one caller may hold, 16 MiB: their questions, or an answer that came meanwhile."""
    max_waiting_bytes: Annotated[int, msgspec.Meta(ge=1_048_576, le=68_719_476_736)] = 134_217_728
    """What all waiting calls may hold, 128 MiB."""


class Flow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What conversations have read, for rules that read `context.flow`."""

    taint_seconds: Seconds = 3_600.0
    """For which a conversation counts as having read something. An hour is longer than most tasks of an agent; what was read may stay \
in a model's context for as long as its session lasts."""
    max_conversations: Count = 100_000
    """Conversations of which this is known. 100,000 at about 300 bytes each stay under 30 MB; when there are more, those that are not \
known count as having read what was forgotten."""


class Screening(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is looked for in every call, whatever its server. What is looked for in a server's words stands in its definition."""

    canaries_file: str = ""
    """File of markers, one a line, that no argument of a call may carry: planted in data that nobody should read. Each has 12 to 256 \
letters, digits, hyphens and underscores. A relative path counts from the deployment directory. Empty: none."""


class LedgerLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the audit log lies on disk."""

    segment_max_bytes: Annotated[int, msgspec.Meta(ge=65_536, le=4_294_967_296)] = 67_108_864
    """Size at which a new segment starts. 64 MiB is about 100,000 calls and is verified in seconds."""


class Captures(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How often the gateway looks whether servers still offer what was approved, and what a compatible change leads to."""

    interval_seconds: Seconds = 300.0
    """Between two looks at one server, give or take a tenth. 300 s finds a changed definition within five minutes, at 12 looks an hour."""
    compatible_drift: Literal["serve", "block"] = "serve"
    """What becomes of an approved entry that its server changed so that callers of the approved one are still right. `serve`: clients \
keep seeing the approved words, and calls fit the approved schema. `block`: any change blocks, for those who rather lose a tool."""


class RegistryApi(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A listing of served servers for clients and other registries; whoever can connect reads it."""

    namespace: str
    """A domain name in reverse, such as com.example.mcp: servers are listed as `<namespace>/<name>`."""
    tenants: tuple[str, ...]
    """The tenants whose servers are told to everybody."""
    allowed_origins: tuple[str, ...] = ("vscode-file://vscode-app",)
    """Web origins whose pages may read it, or `*`. The one of VS Code's desktop program, which no web page can have."""


class Control(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The control process: the operators' API, and what it decides about."""

    serves: Literal["registry", "files"] = "registry"
    """What the gateway serves: what operators activated in the registry, or the files of the deployment directory, unreviewed. \
`registry`, since a file carries no review."""
    host: str = "127.0.0.1"
    """IP address that the operators' API binds. Loopback, so that nothing is exposed by accident; others need TLS."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65_535)] = 8081
    """TCP port of the operators' API: the one beside the gateway's."""
    public_url: str = ""
    """The address that operators use, without a slash at the end: the audience of their tokens. Empty: it follows `host` and `port`."""
    allowed_hosts: tuple[str, ...] = ()
    """Values of the Host header beside the host of `public_url` and, on a loopback bind, loopback's own names with the port."""
    allowed_origins: tuple[str, ...] = ()
    """Web origins whose pages may use the API. Empty: the command line is no web page."""
    tls: Tls | None = None
    """Certificate and key. Absent: plain HTTP, on loopback only."""
    roles: tuple[Assignment, ...] = ()
    """Who may do what. Empty: nobody may do anything."""
    teams: tuple[str, ...] = ()
    """Teams that may own servers; a server of another owner is suspended after notice. Empty: nobody is asked."""
    secrets: dict[str, tuple[str, ...]] = {}
    """Tenant to the secrets that its proposals may name: `env:NAME`, `file:PATH`, or a beginning, `env:BEGINNING*`, `file:DIRECTORY/*`. \
Empty: a deployment of one tenant has `env:*` and `file:secrets/*`, and tenants beside others have none."""
    review_valid_days: Annotated[float, msgspec.Meta(gt=0, le=1_830)] = 180.0
    """From an acceptance to its end. Half a year: long enough to be no chore, short enough that somebody looks."""
    notice_days: Annotated[float, msgspec.Meta(gt=0, le=366)] = 14.0
    """How long before a server is suspended it is announced. Two weeks outlast a holiday."""
    registry_api: RegistryApi | None = None
    """The registry API `/v0.1`, which clients and other registries read. Absent: it is not served, since its reads take no token."""


class Approvals(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Calls that a person has to approve first, because a permit says `@approval`."""

    expires_seconds: Seconds = 900.0
    """How long a request waits, and how long a yes or a no is good for. 15 minutes: time to fetch somebody, too short to be forgotten."""
    retry_after_seconds: Annotated[int, msgspec.Meta(ge=1, le=3_600)] = 10
    """What a client is told to wait before it sends the call again. 10 s: people are slow, and a call that comes costs little."""
    max_waiting_per_caller: Count = 10
    """Requests of one person or workload that wait at once. Ten questions are more than one agent should have open."""
    max_waiting_per_group: Count = 200
    """Requests that wait for one group, of all callers. Whoever has 200 to read reads none of them."""
    max_per_hour_per_caller: Count = 60
    """Requests of one person or workload in an hour, decided ones too: one a minute, or people begin to say yes to all."""
    console_url: str = ""
    """Address of pages where people decide, without a slash at the end: a client that opens pages for its user is sent to \
`<console_url>/approvals/<id>`. Empty: every client gets the refusal, which says where to look."""
    webhook_url: str = ""
    """Where a signed notice of each new request goes: https, or http to loopback. Empty: nowhere."""
    webhook_key: str = ""
    """The key of the signature, by reference, `env:NAME` or `file:PATH`: `whsec_` and base64 of 24 to 64 bytes (Standard Webhooks)."""
    webhook_networks: tuple[str, ...] = ()
    """Private networks (CIDR) that the host of `webhook_url` may resolve to. Empty, so that a name cannot be turned inwards."""
    webhook_arguments: bool = False
    """Whether a notice carries the arguments themselves. Off: what a call is about stays in the store, the notice has its digest."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The whole tree."""

    public_url: str = "http://127.0.0.1:8080"
    """The address that callers use, without a slash at the end; with an endpoint's path it is the audience of tokens. \
Absent on a loopback bind, it follows `listen`."""
    data_dir: Annotated[str, msgspec.Meta(min_length=1)] = "data"
    """Directory of the ledger and of keys; a relative path counts from the deployment directory."""
    servers_dir: Annotated[str, msgspec.Meta(min_length=1)] = "servers"
    """Directory of server definitions and their pins."""
    packages_dir: Annotated[str, msgspec.Meta(min_length=1)] = "packages"
    """What is installed for stdio servers, as `<ecosystem>/<name>/<version>`: beside the data, since the gateway installs nothing."""
    policies_dir: Annotated[str, msgspec.Meta(min_length=1)] = "policies"
    """Directory of policies and their decision tables."""
    portals_dir: Annotated[str, msgspec.Meta(min_length=1)] = "portals"
    """Directory of portals, a file each, beside those under `portals`."""
    grants_dir: Annotated[str, msgspec.Meta(min_length=1)] = "grants"
    """Directory of grants: permits of common shapes, written as a few keys."""
    listen: Listen = Listen()
    """The door."""
    identity: Identity = Identity()
    """Whose word counts on who is calling."""
    portals: dict[str, Portal] = {}
    """Sets of servers by name, beside the files in `portals_dir`. An absent `default` holds all servers, so that `/mcp` works from the \
first definition on."""
    limits: Limits = Limits()
    """How much may happen at once."""
    sessions: Sessions = Sessions()
    """Sessions of clients that open with `initialize`."""
    bridges: Bridges = Bridges()
    """Calls in which a server asks back."""
    flow: Flow = Flow()
    """What conversations have read."""
    screening: Screening = Screening()
    """What is looked for in every call."""
    ledger: LedgerLimits = LedgerLimits()
    """The audit log."""
    captures: Captures = Captures()
    """Watching servers for drift."""
    control: Control | None = None
    """The control process. Absent: there is none, and the gateway serves the files of the directory."""
    approvals: Approvals = Approvals()
    """Calls that a person has to approve first."""
