"""The only place that builds objects: a deployment directory in, a running gateway out."""

import asyncio
import contextlib
import gc
import logging
import os
import secrets
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import cast

import uvicorn

from customhouse import __version__
from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.adapters.sandboxes.bare import Bare
from customhouse.adapters.sandboxes.bubblewrap import Bubblewrap
from customhouse.adapters.sandboxes.choice import ByWaiver
from customhouse.adapters.sealers.aead import FileSealer
from customhouse.adapters.sealers.keyring import KEYS_FILE
from customhouse.adapters.secrets.references import ReferencedSecrets
from customhouse.adapters.sessions.memory import MemorySessions, SessionLimits
from customhouse.adapters.sessions.streams import MemoryStreams, StreamLimits
from customhouse.adapters.telemetry.metrics import RecordMetrics
from customhouse.adapters.upstreams.transports import TransportUpstreams
from customhouse.adapters.verifiers.claims import ClaimNames, IssuerRules
from customhouse.adapters.verifiers.development import DEVELOPMENT_ISSUER, DevelopmentIssuer
from customhouse.adapters.verifiers.guarded import GuardedClient
from customhouse.adapters.verifiers.tokens import Issuer as TrustedIssuer
from customhouse.adapters.verifiers.tokens import TokenVerifier, issuers_over_http
from customhouse.adapters.views.files import FileViews
from customhouse.config.addresses import web_address
from customhouse.config.definitions import pin_path, read_definitions, read_pin
from customhouse.config.grants import read_grants
from customhouse.config.load import Loaded
from customhouse.config.programs import installed_path
from customhouse.config.rules import listens_on_loopback
from customhouse.config.tree import Bridges, Flow, Settings
from customhouse.config.tree import Issuer as IssuerSettings
from customhouse.config.tree import Sessions as SessionSettings
from customhouse.control.changes import Changes
from customhouse.control.snapshots import DriftWatch
from customhouse.core.budget import Rate
from customhouse.core.canaries import NO_CANARIES, Canaries
from customhouse.core.catalogue import Endpoint, portal_endpoint, server_endpoint
from customhouse.core.launch import launch_of
from customhouse.core.manifest import Pin, ServerDefinition
from customhouse.core.picture import Picture, ServedServer, read_picture
from customhouse.core.policy import Policy, PolicyInvalid, compile_rules
from customhouse.core.policygrants import Grant
from customhouse.core.refusal import Reason, Refused
from customhouse.edge.app import application
from customhouse.edge.protocol import Bounds, Connection, Door, sweep
from customhouse.gateway.admission import Admission
from customhouse.gateway.conversations import Conversations
from customhouse.gateway.exchange import Exchange
from customhouse.gateway.leaving import Leaving
from customhouse.gateway.live import Live, View
from customhouse.gateway.parking import Parking, ParkingLimits
from customhouse.gateway.questions import Questions
from customhouse.gateway.requeststates import RequestStates
from customhouse.gateway.rounds import RoundLimits, Rounds, size_of_answer
from customhouse.gateway.sessionids import SessionIds
from customhouse.gateway.taints import Taints
from customhouse.gateway.takeover import Takeover
from customhouse.gateway.taskids import TaskIds
from customhouse.ports.hosts import Child, Sandboxes
from customhouse.ports.traffic import Clock, Hearing, Sealer, Secrets, Upstreams
from customhouse.wire.signal import Carrier
from customhouse.wiring_approvals import ApprovalsAtNeed, build_approving

log = logging.getLogger(__name__)

SERVER_INFO = {"name": "customhouse", "title": "Customhouse", "version": __version__}


COLLECT_AFTER = (5_000, 20, 50)
"""New objects before the youngest are looked through, and generations before their elders: calls leave no cycles, so rarely will do."""


ATTENDED_AT_ONCE = 20
"""Servers that a turn of the loop begins to listen to; one takes about 50 us."""


class SystemClock:
    """The machine's clocks."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)


class FreshIds:
    """Ids of 32 hexadecimal digits from the system's random source, drawn many at a time: one draw costs as much as 256."""

    def __init__(self) -> None:
        self._drawn: list[str] = []

    def __call__(self) -> str:
        """An id that nobody can guess and nobody had before."""
        if not self._drawn:
            digits = os.urandom(4096).hex()
            self._drawn = [digits[start : start + 32] for start in range(0, len(digits), 32)]
        return self._drawn.pop()


@dataclass(frozen=True, slots=True)
class Deployment:
    """Everything that a directory says, read and checked."""

    loaded: Loaded
    definitions: tuple[ServerDefinition, ...]
    pins: Mapping[str, Pin]
    policies: Mapping[str, str]
    grants: tuple[Grant, ...] = ()

    @property
    def settings(self) -> Settings:
        """The settings of the directory."""
        return self.loaded.settings


def read_deployment(loaded: Loaded) -> Deployment:
    """Read definitions, pins, policies and grants. Raises `ConfigurationInvalid` with every finding."""
    directory, settings = loaded.directory, loaded.settings
    definitions = read_definitions(directory, settings)
    paths = {definition.name: pin_path(directory, settings, definition.name) for definition in definitions}
    pins = {name: read_pin(path) for name, path in paths.items() if path.exists()}
    policies = read_sources(loaded.path(settings.policies_dir))
    grants = read_grants(directory, settings.grants_dir, {name: portal.servers for name, portal in loaded.portals.items()})
    return Deployment(loaded, definitions, pins, policies, grants)


def files_picture(deployment: Deployment) -> Picture:
    """The files of a deployment directory as what is served, unreviewed."""
    servers = tuple(ServedServer(one.name, 0, "", False, one, deployment.pins.get(one.name)) for one in deployment.definitions)
    portals = {name: portal.servers for name, portal in deployment.loaded.portals.items()}
    return Picture(servers=servers, policies=deployment.policies, portals=portals, grants=deployment.grants)


def policy_of(picture: Picture) -> Policy:
    """The policy of what is served, over the current version of each server. Raises `PolicyInvalid`."""
    return compile_rules(picture.policies, [one.refs for one in picture.current.values()], picture.grants, checked=picture.checked)


def read_sources(directory: Path) -> dict[str, str]:
    """The texts of a directory of policies, by file name."""
    return {path.name: path.read_text("utf-8") for path in sorted(directory.glob("*.cedar"))}


def governing(loaded: Loaded) -> Deployment:
    """What calls are decided by: what was published, where the gateway serves the registry, else the files of the directory.

    Raises `ConfigurationInvalid`, and `ValueError` for a picture that is not what was published.
    """
    if not follows_registry(loaded.settings):
        return read_deployment(loaded)
    picture = served_picture(loaded)
    current = [one for one in picture.current.values() if one.offered]
    pins = {one.name: one.pin for one in current if one.pin is not None}
    return Deployment(loaded, tuple(one.definition for one in current), pins, picture.policies, picture.grants)


def read_policy(deployment: Deployment) -> Policy:
    """The policy of a deployment's files, compiled. Raises `PolicyInvalid`."""
    return policy_of(files_picture(deployment))


def build_view(deployment: Deployment) -> View:
    """The view of a deployment's files. Raises `PolicyInvalid`."""
    return view_of(deployment.settings, files_picture(deployment))


def view_of(settings: Settings, picture: Picture) -> View:
    """The view of what is served. Raises `PolicyInvalid`, and `ValueError` where two names of a portal collide."""
    policy = policy_of(picture)
    offers = {name: one.offer for name, one in picture.current.items() if one.offered and one.offer is not None}
    portals = {**{name: portal.servers for name, portal in settings.portals.items()}, **picture.portals}
    portals.setdefault("default", tuple(offers))
    endpoints: list[Endpoint] = [server_endpoint(offered, settings.public_url) for offered in offers.values()]
    for name, servers in portals.items():
        endpoints.append(portal_endpoint(name, [offers[server] for server in servers if server in offers], settings.public_url))
    for one in picture.beside:
        beside = one.offer_beside(offers[one.name], policy.refs_of(one.name)) if one.name in offers else None
        if beside is not None:
            endpoints.append(server_endpoint(beside, settings.public_url, one.number))
    return View(
        {endpoint.path: endpoint for endpoint in endpoints},
        policy,
        frozenset(allowed_hosts(settings)),
        frozenset(origin.encode() for origin in settings.listen.allowed_origins),
        SERVER_INFO,
    )


def allowed_hosts(settings: Settings) -> Sequence[bytes]:
    """Values of `Host` that name the gateway: the public URL's, the listed ones, and loopback's own names where it listens there."""
    hosts = [web_address(settings.public_url).authority, *settings.listen.allowed_hosts]
    if listens_on_loopback(settings):
        hosts += [f"{name}:{settings.listen.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    return [host.lower().encode() for host in hosts]


def issuer_rules(issuer: IssuerSettings) -> IssuerRules:
    """An issuer's settings as the verifier takes them."""
    names = issuer.claims
    return IssuerRules(
        issuer=issuer.issuer,
        tenant=issuer.tenant,
        tenant_claim=issuer.tenant_claim,
        tenants=issuer.tenants,
        jwks_url=issuer.jwks_url,
        networks=issuer.networks,
        audiences=issuer.audiences,
        algorithms=issuer.algorithms,
        claims=ClaimNames(person=names.person, workload=names.workload, client=names.client, groups=names.groups, scopes=names.scopes),
    )


def build_verifier(deployment: Deployment, clock: Clock) -> TokenVerifier:
    """The verifier of all configured issuers."""
    settings = deployment.settings
    issuers = issuers_of(deployment.loaded, clock)
    return TokenVerifier(issuers, public_url=settings.public_url, clock=clock, leeway_seconds=settings.identity.leeway_seconds)


def issuers_of(loaded: Loaded, clock: Clock) -> list[TrustedIssuer]:
    """All configured issuers, with a source of keys each."""
    identity = loaded.settings.identity
    issuers = list(
        issuers_over_http(
            [issuer_rules(issuer) for issuer in identity.issuers],
            client=GuardedClient(),
            clock=clock,
            max_age_seconds=identity.jwks_max_age_seconds,
            max_stale_seconds=identity.jwks_max_stale_seconds,
        )
    )
    if identity.development_issuer.enabled:
        issuers.append(development_issuer(loaded).issuer(identity.development_issuer.tenant))
    return issuers


def development_issuer(loaded: Loaded) -> DevelopmentIssuer:
    """The local issuer, its key made if it is not there."""
    return DevelopmentIssuer.open(data_directory(loaded) / "development-issuer.json")


def data_directory(loaded: Loaded) -> Path:
    """The data directory, made private if it is not there."""
    directory = loaded.path(loaded.settings.data_dir)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory


def follows_registry(settings: Settings) -> bool:
    """Whether the gateway serves what operators activated, not the files of the directory."""
    return settings.control is not None and settings.control.serves == "registry"


def served_picture(loaded: Loaded) -> Picture:
    """What the control process published last; the empty one before it did. Raises `ValueError` for a file that is not what it was."""
    views = FileViews(views_directory(loaded))
    digest = views.current()
    return read_picture(digest, views.read(digest), Picture()) if digest else Picture()


def views_directory(loaded: Loaded) -> Path:
    """Where the control process leaves what is served."""
    return data_directory(loaded) / "views"


def argument_key(loaded: Loaded) -> bytes:
    """The key of argument digests: made once, kept in the data directory, never shown."""
    path = data_directory(loaded) / "argument.key"
    if not path.exists():
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_bytes(secrets.token_bytes(32))
        with contextlib.suppress(FileExistsError):
            os.link(fresh, path)  # whoever comes second keeps the first one's key
        fresh.unlink()
    return path.read_bytes()


def build_upstreams(loaded: Loaded, environ: Mapping[str, str], hearing: Hearing) -> TransportUpstreams:
    """The servers' side; `hearing` is told what servers say outside of calls."""
    known = ReferencedSecrets(loaded.directory, environ)
    start = program_starter(loaded, known, ByWaiver(Bubblewrap(), Bare()))
    return TransportUpstreams(known, SystemClock(), hearing, start)


def program_starter(loaded: Loaded, known: Secrets, sandboxes: Sandboxes) -> Callable[[ServerDefinition], Awaitable[Child]]:
    """What starts the program of a definition with `stdio`, its secrets read at each start."""

    async def start(definition: ServerDefinition) -> Child:
        program = definition.stdio
        if program is None:
            raise Refused(Reason.SERVER_NOT_STARTED, note="the definition names no program")
        try:
            injected = {name: known.read(reference) for name, reference in program.secrets.items()}
        except LookupError as missing:
            raise Refused(Reason.SERVER_NOT_STARTED, note=str(missing)) from missing
        installed = installed_path(program, loaded.directory.absolute(), loaded.settings)
        return await sandboxes.start(launch_of(definition, str(installed), injected))

    return start


def read_canaries(loaded: Loaded) -> Canaries:
    """The markers that no argument may carry. Raises `OSError` where they cannot be read, `ValueError` for one that is none."""
    file = loaded.settings.screening.canaries_file
    if not file:
        return NO_CANARIES
    return Canaries(line.strip() for line in loaded.path(file).read_text("utf-8").splitlines() if line.strip())


def build_rounds(bridges: Bridges, flow: Flow, upstreams: Upstreams, sealer: Sealer, clock: Clock, new_id: Callable[[], str]) -> Rounds:
    """What asks servers, and clients on their behalf."""
    limits = ParkingLimits(
        bridges.max_waiting_per_caller, bridges.max_waiting, bridges.max_waiting_bytes_per_caller, bridges.max_waiting_bytes
    )
    return Rounds(
        upstreams,
        Parking(limits, clock, new_id, size_of_answer),
        RequestStates(sealer, clock),
        Questions(),
        clock,
        RoundLimits(bridges.max_rounds, bridges.answer_timeout_seconds),
        new_id(),
        new_id,
        Leaving(Taints(clock, flow.taint_seconds, flow.max_conversations)),
    )


def build_conversations(
    settings: SessionSettings, sealer: Sealer, clock: Clock, new_id: Callable[[], str], ended: Callable[[str], None]
) -> Conversations:
    """The sessions of legacy clients, in the memory of this process; `ended` hears which ended."""
    limits = SessionLimits(
        idle_seconds=settings.idle_timeout_seconds,
        max_age_seconds=settings.max_age_seconds,
        max_per_caller=settings.max_per_caller,
        max_sessions=settings.max_sessions,
        max_subscriptions=settings.max_subscriptions_per_session,
    )
    replay = StreamLimits(
        kept_seconds=settings.replay_seconds,
        max_events_per_stream=settings.replay_max_events_per_stream,
        max_bytes_per_stream=settings.replay_max_bytes_per_session,
        max_bytes_per_session=settings.replay_max_bytes_per_session,
        max_bytes=settings.replay_max_bytes,
    )
    ids = SessionIds(sealer, clock, new_id, settings.max_age_seconds)
    return Conversations(ids, MemorySessions(limits, clock), MemoryStreams(replay, clock), ended)


CONTROL_SOCKET = "control.sock"
"""In the data directory: where the gateway says that a server says that it changed."""


class Word:
    """A word to the control process, which may be lost: what it is about is looked at on a schedule, too."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def say(self, server: str, kind: str) -> None:
        """A server says that a list changed."""
        with contextlib.suppress(OSError):
            self._socket.sendto(server.encode(), self._path)


class Server(uvicorn.Server):
    """uvicorn's server, which a second signal of either kind ends at once."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; the second time, stop waiting."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True


class Gateway:
    """A gateway process of one deployment."""

    def __init__(self, deployment: Deployment, environ: Mapping[str, str]) -> None:
        settings = deployment.settings
        limits = settings.limits
        self._deployment = deployment
        self._settings = settings
        self._clock = SystemClock()
        self._follows = follows_registry(settings)
        self.live = Live(view_of(settings, Picture()) if self._follows else build_view(deployment))
        self._takeover = Takeover(
            FileViews(views_directory(deployment.loaded)), self.live, partial(view_of, settings), self._taken_over, (PolicyInvalid,)
        )
        self._ledger = SegmentLedger.open(
            data_directory(deployment.loaded) / "ledger", segment_max_bytes=settings.ledger.segment_max_bytes, clock=self._clock
        )
        self.changes = Changes()
        self._upstreams = build_upstreams(deployment.loaded, environ, self.changes)
        self._admission = Admission(
            Rate(limits.requests_per_second_per_caller, limits.burst_per_caller),
            Rate(limits.requests_per_second_per_tenant, limits.burst_per_tenant),
            limits.max_requests_in_flight,
            limits.max_streams_per_caller,
        )
        if self._follows:
            self.changes.on_changed.append(Word(data_directory(deployment.loaded) / CONTROL_SOCKET).say)
        self._connections: set[Connection] = set()
        self._metrics = RecordMetrics(
            {
                "customhouse_requests_in_flight": ("Requests being answered.", lambda: self._admission.in_flight),
                "customhouse_streams_listening": ("Open streams that only listen.", lambda: self._admission.listening),
                "customhouse_connections": ("Client connections.", lambda: len(self._connections)),
                "customhouse_ledger_writable": ("1 while the ledger can be written.", lambda: float(self._ledger.writable)),
                "customhouse_drifted_entries": ("Pinned entries blocked by drift.", lambda: sum(map(len, self.live.drifted.values()))),
            }
        )
        new_id = FreshIds()
        self._sealer = FileSealer(data_directory(deployment.loaded) / KEYS_FILE, self._clock)
        self._rounds = build_rounds(settings.bridges, settings.flow, self._upstreams, self._sealer, self._clock, new_id)
        self._conversations = build_conversations(settings.sessions, self._sealer, self._clock, new_id, self._upstreams.forget)
        self._approvals = ApprovalsAtNeed(data_directory(deployment.loaded))
        self._approving = build_approving(settings.approvals, self._approvals, self._sealer, self._ledger, self._clock, new_id)
        exchange = Exchange(
            live=self.live,
            verifier=build_verifier(deployment, self._clock),
            admission=self._admission,
            rounds=self._rounds,
            ledger=self._ledger,
            clock=self._clock,
            new_id=new_id,
            argument_key=argument_key(deployment.loaded),
            public_url=settings.public_url,
            observe=self._metrics.observe,
            conversations=self._conversations,
            task_ids=TaskIds(self._sealer),
            approving=self._approving,
            canaries=read_canaries(deployment.loaded),
        )
        self._listening = exchange.listening
        self.changes.on_updated.append(self._listening.updated)
        listen = settings.listen
        bounds = Bounds(
            max_head_bytes=listen.max_head_bytes,
            max_body_bytes=listen.max_body_bytes,
            head_timeout_seconds=listen.head_timeout_seconds,
            body_timeout_seconds=listen.body_timeout_seconds,
            idle_timeout_seconds=listen.idle_timeout_seconds,
            write_timeout_seconds=listen.write_timeout_seconds,
            max_connections=listen.max_connections,
            keep_alive_comment_seconds=limits.keep_alive_comment_seconds,
        )
        app = application(self.live, issuers=self._issuers(), ready=self._ready, metrics=self._metrics.exposition)
        self._door = Door(exchange, self.live, self._admission, self._clock, bounds, app, self._connections)
        self.server = Server(
            uvicorn.Config(
                app,
                host=listen.host,
                port=listen.port,
                http=partial(Connection, self._door),  # type: ignore[arg-type]  # uvicorn calls it with keywords alone
                loop="uvloop",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=4096,
                timeout_graceful_shutdown=max(1, int(limits.drain_seconds)),
                ssl_certfile=self._tls_file("certificate_file"),
                ssl_keyfile=self._tls_file("key_file"),
            )
        )

    def _tls_file(self, name: str) -> str | None:
        tls = self._settings.listen.tls
        return None if tls is None else str(self._deployment.loaded.path(getattr(tls, name)))

    def _issuers(self) -> list[str]:
        identity = self._settings.identity
        local = [DEVELOPMENT_ISSUER] if identity.development_issuer.enabled else []
        return [issuer.issuer for issuer in identity.issuers] + local

    def _ready(self) -> dict[str, bool]:
        conditions = {"listening": self.server.started, "ledger": self._ledger.writable, "accepting": not self.live.draining}
        return conditions | ({"view": self._takeover.ready} if self._follows else {})

    async def run(self, announce: Callable[[], None]) -> None:
        """Serve until a signal ends it; `announce` is called once it listens."""
        for number in (signal.SIGINT, signal.SIGTERM):
            # uvicorn takes these over while it serves and raises them again afterwards, when there is still something to close.
            signal.signal(number, lambda *_: None)
        async with self._beside_the_server(announce):
            gc.collect()
            gc.freeze()  # what stands now stays; collections look at calls only
            gc.set_threshold(*COLLECT_AFTER)
            await self.server.serve()

    @contextlib.asynccontextmanager
    async def _beside_the_server(self, announce: Callable[[], None]) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(self._announce(announce)),
            asyncio.create_task(self._sweep()),
            asyncio.create_task(self._takeover.run() if self._follows else self._watch_files()),
            asyncio.create_task(self._approving.run(lambda: any(rule.approval for rule in self.live.view.policy.rules))),
        ]
        try:
            yield
        finally:
            unanswered = cast(list[Carrier], list(self.server.server_state.tasks))
            for task in tasks:
                task.cancel()
            for carrier in unanswered:
                carrier.cancel()
            await asyncio.gather(*tasks, *unanswered, return_exceptions=True)
            await self._listening.close()
            await self._rounds.parking.close()
            await self._upstreams.close()
            self._approvals.close()
            try:
                await self._ledger.close()
            except Refused as unrecorded:
                log.warning("the end of this process could not be recorded: %s", unrecorded.note)

    async def _watch_files(self) -> None:
        """Without a control process the gateway itself looks whether servers drifted from their pins."""
        captures = self._settings.captures
        watch = DriftWatch(
            self._upstreams,
            self._ledger,
            self._clock,
            self._block,
            interval_seconds=captures.interval_seconds,
            serve_compatible=captures.compatible_drift == "serve",
        )
        self.changes.on_changed.append(watch.changed)
        pins = self._deployment.pins
        approved = [(definition, pins[definition.name]) for definition in self._deployment.definitions if definition.name in pins]
        for definition, _ in approved:
            self._upstreams.attend(definition)
        await watch.run(approved)

    async def _taken_over(self, picture: Picture) -> None:
        """What is served is something else now."""
        self._upstreams.retain([one.definition for one in picture.servers if one.offered])
        for number, one in enumerate(picture.current.values()):
            if one.pin is not None and one.offered:
                self._upstreams.attend(one.definition)
            if number % ATTENDED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def _announce(self, announce: Callable[[], None]) -> None:
        while not self.server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.01)
        announce()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self.live.draining = self.server.should_exit
            sweep(self._connections, self._clock.monotonic(), self._door.bounds.max_unsent_bytes)
            self._upstreams.sweep()
            self._rounds.parking.sweep()
            self._sealer.refresh()
            self._conversations.sweep()
            self._listening.sweep()

    def _block(self, server: str, blocked: frozenset[tuple[str, str]]) -> None:
        if blocked and blocked != self.live.drifted.get(server):
            log.warning("%s drifted; blocked until reviewed: %s", server, ", ".join(sorted(name for _, name in blocked)))
        self.live.block(server, blocked)
