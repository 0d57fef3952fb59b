"""Builds the control process: a deployment directory in, the operators' API and everything behind it out."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn

from customhouse.adapters.ledgers.following import Follower
from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.adapters.secrets.references import ReferencedSecrets
from customhouse.adapters.stores.approvaltables import approvals_in
from customhouse.adapters.stores.sqlite import FILE_NAME, SqliteStores
from customhouse.adapters.verifiers.courier import GuardedCourier
from customhouse.adapters.verifiers.development import DEVELOPMENT_ISSUER
from customhouse.adapters.verifiers.guarded import GuardedClient
from customhouse.adapters.verifiers.tokens import TokenVerifier
from customhouse.adapters.views.files import FileViews
from customhouse.config.addresses import names_loopback, web_address
from customhouse.config.load import Loaded
from customhouse.config.proposals import proposal_findings
from customhouse.config.rules import control_url
from customhouse.config.tree import Control
from customhouse.config.writing import content_findings
from customhouse.console.app import Guarded, OperatorsDoor, application
from customhouse.console.approving import approval_operations
from customhouse.console.operations import operations
from customhouse.console.registryapi import registry_api
from customhouse.control.approvals import ApprovalDesk, allowed_by
from customhouse.control.captures import Captures
from customhouse.control.changes import Changes
from customhouse.control.evidence import Evidence
from customhouse.control.listing import Listing
from customhouse.control.publishing import PROBLEMS, Publishing, unfit
from customhouse.control.register import Register, Served
from customhouse.control.tenants import Tenants
from customhouse.control.upkeep import Upkeep
from customhouse.control.webhooks import Notices, secret_bytes
from customhouse.core.approval import ApprovalRequest, page_of
from customhouse.core.content import Content, ServerContent
from customhouse.core.instants import DAY_SECONDS
from customhouse.core.limits import too_many
from customhouse.core.policy import PolicyInvalid
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind
from customhouse.ports.traffic import Clock, Secrets
from customhouse.wiring import (
    CONTROL_SOCKET,
    FreshIds,
    SystemClock,
    build_upstreams,
    data_directory,
    issuers_of,
    view_of,
    views_directory,
)

log = logging.getLogger(__name__)

LEDGER_DIRECTORY = "control-ledger"
"""In the data directory, beside the gateway's: each process has one of its own."""

OPERATIONS_AT_ONCE = 8
"""Worker threads for operators' requests; the process's own work has others."""

TICK_SECONDS = 60.0
"""Between two looks at what is due: windows, reviews and days of review are days, not minutes."""

READ_ON_SECONDS = 30.0
"""Between two looks at what was called since."""


class ControlProcess:
    """A control process of one deployment."""

    def __init__(self, loaded: Loaded, environ: Mapping[str, str]) -> None:
        settings = loaded.settings
        control = settings.control
        if control is None:
            raise ValueError("the deployment has no control process: `control` is absent from its settings")
        self._loaded = loaded
        self._control = control
        self._clock = SystemClock()
        data = data_directory(loaded)
        self._stores = SqliteStores.open(data / FILE_NAME)
        self._ledger = SegmentLedger.open(data / LEDGER_DIRECTORY, segment_max_bytes=settings.ledger.segment_max_bytes, clock=self._clock)
        self._views = FileViews(views_directory(loaded))
        self._build = partial(view_of, settings)
        self._problems = (*PROBLEMS, PolicyInvalid)
        valid_seconds = control.review_valid_days * DAY_SECONDS
        self._register = Register(self._stores, self._clock, control.roles, valid_seconds, partial(findings_of, loaded), self._unfit)
        notice_seconds, teams = control.notice_days * DAY_SECONDS, frozenset(control.teams)
        self._upkeep = Upkeep(self._stores, self._clock, notice_seconds, teams, self._register.tell)
        self._publishing = Publishing(self._register, self._stores, self._views, self._clock)
        self._changes = Changes()
        self._upstreams = build_upstreams(loaded, environ, self._changes)
        self._captures = Captures(
            self._register,
            self._stores,
            self._upstreams,
            self._ledger,
            self._clock,
            self._views,
            interval_seconds=settings.captures.interval_seconds,
            serve_compatible=settings.captures.compatible_drift == "serve",
        )
        self._changes.on_changed.append(self._captures.changed)
        self._tenants = Tenants(self._register, self._stores, self._clock)
        self._evidence = Evidence(self._register, self._stores, self._clock, *reading(data / "ledger"))
        registry = control.registry_api
        self._listing = None if registry is None else Listing(self._stores, settings.public_url, registry.tenants)
        self._notices = build_notices(loaded, ReferencedSecrets(loaded.directory, environ), self._clock, self._stores)
        self._due = asyncio.Event()
        self.server = uvicorn.Server(
            uvicorn.Config(
                self._application(),
                host=control.host,
                port=control.port,
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=5,
                ssl_certfile=None if control.tls is None else str(loaded.path(control.tls.certificate_file)),
                ssl_keyfile=None if control.tls is None else str(loaded.path(control.tls.key_file)),
            )
        )

    def _application(self) -> Guarded:
        resource = control_url(self._loaded.settings)
        door = OperatorsDoor(
            verifier=TokenVerifier(
                issuers_of(self._loaded, self._clock),
                public_url=resource,
                clock=self._clock,
                leeway_seconds=self._loaded.settings.identity.leeway_seconds,
            ),
            ledger=self._ledger,
            clock=self._clock,
            new_id=FreshIds(),
            resource=resource,
            hosts=frozenset(hosts_of(self._control, resource)),
            origins=frozenset(origin.encode() for origin in self._control.allowed_origins),
            ready=self._ready,
            has_role=self._register.has_role,
            threads=ThreadPoolExecutor(OPERATIONS_AT_ONCE, "operation"),
        )
        registry, listing = self._control.registry_api, self._listing
        if registry is not None and listing is not None:
            told = registry_api(lambda: listing.versions, namespace=registry.namespace, allowed_origins=registry.allowed_origins)
            door = replace(door, public=(told,), open_below="/v0.1/")
        rows = operations(self._register, self._captures, self._evidence, self._tenants)
        desk = ApprovalDesk(approvals_in(self._stores), self._clock, allowed_by(self._control.roles))
        return application(door, (*rows, *approval_operations(desk)))

    def _ready(self) -> dict[str, bool]:
        return {"listening": self.server.started, "ledger": self._ledger.writable, "published": not self._publishing.problem}

    def _unfit(self, served: Served) -> Sequence[str]:
        return unfit(served, self._register.verdicts, self._build, self._problems)

    def _served_changed(self) -> None:
        """From a worker thread."""
        self._loop.call_soon_threadsafe(self._due.set)

    async def run(self, announce: Callable[[], None], *, until_stdin_closes: bool = False) -> None:
        """Serve until a signal ends it, or stdin is closed where whoever started it holds the other end; `announce` is called once it
        listens and what is served was published."""
        self._loop = asyncio.get_running_loop()
        if until_stdin_closes:
            self._loop.add_reader(sys.stdin.fileno(), self._left)
        self._register.on_served.append(self._served_changed)
        await asyncio.to_thread(self._tenants.seed, tenants_of(self._loaded))
        await self._publish()
        async with self._beside_the_server(announce):
            await self.server.serve()

    def _left(self) -> None:
        if not os.read(sys.stdin.fileno(), 1024):
            self._loop.remove_reader(sys.stdin.fileno())
            self.server.should_exit = True

    @contextlib.asynccontextmanager
    async def _beside_the_server(self, announce: Callable[[], None]) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(work)
            for work in (self._announce(announce), self._publish_when_due(), self._tick(), self._read_on(), self._sweep())
        ]
        if self._notices is not None:
            tasks.append(asyncio.create_task(self._notices.run()))
        for task in tasks:
            task.add_done_callback(self._ended)
        hearing = self._hear()
        try:
            yield
        finally:
            self._loop.remove_reader(hearing)
            hearing.close()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._captures.close()
            await self._upstreams.close()
            self._stores.close()
            try:
                await self._ledger.close()
            except Refused as unrecorded:
                log.warning("the end of this process could not be recorded: %s", unrecorded.note)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        """Work that ended by a defect takes the process with it: whoever keeps it starts it again, and nothing looks well meanwhile."""
        if not task.cancelled() and (defect := task.exception()) is not None:
            log.error("a part of the control process broke", exc_info=defect)
            self.server.should_exit = True

    async def _announce(self, announce: Callable[[], None]) -> None:
        while not self.server.started:  # noqa: ASYNC110 - uvicorn has a flag and no event
            await asyncio.sleep(0.01)
        announce()

    async def _publish(self) -> None:
        served = await asyncio.to_thread(self._publishing.publish, self._build, self._problems)
        if self._control.serves == "registry":
            self._captures.follow(served)
            self._upstreams.retain(self._captures.definitions)
        if self._listing is not None:
            await asyncio.to_thread(self._listing.refresh)

    async def _publish_when_due(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self._publish()
            except (Refused, OSError) as failed:
                log.error("what is served could not be published: %s", failed)  # noqa: TRY400 - said in a sentence
                await asyncio.sleep(1.0)
                self._due.set()

    async def _tick(self) -> None:
        while True:
            try:
                for event in await asyncio.to_thread(self._upkeep.tick):
                    log.warning("%s of %s %s: %s", event.action, event.kind, event.name, event.reason)
                    record = Record(
                        kind="errand",
                        at=self._clock.now(),
                        method=event.action,
                        tenant=event.tenant,
                        server=event.name if event.kind == Kind.SERVER.value else "",
                        name=f"{event.kind}/{event.name}/{event.number}",
                        pin_digest=event.digest,
                        outcome="done",
                        note=event.reason,
                    )
                    await self._ledger.append(record, durable=False)
            except Refused as refused:
                log.warning("what is due could not be done: %s %s", refused.reason.name, refused.note)
            await asyncio.sleep(TICK_SECONDS)

    async def _read_on(self) -> None:
        while True:
            await asyncio.sleep(READ_ON_SECONDS)
            with contextlib.suppress(Refused):  # it is tried again
                await asyncio.to_thread(self._evidence.read_on)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(1.0)
            self._upstreams.sweep()

    def _hear(self) -> socket.socket:
        """A socket for a word of the gateway: the name of a server whose lists changed. A word that is lost costs a look later."""
        path = data_directory(self._loaded) / CONTROL_SOCKET
        path.unlink(missing_ok=True)
        heard = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        heard.setblocking(False)
        heard.bind(str(path))
        path.chmod(0o600)
        self._loop.add_reader(heard, self._heard, heard)
        return heard

    def _heard(self, heard: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                self._captures.changed(heard.recv(256).decode("utf-8", "replace"), "")


def build_notices(loaded: Loaded, known: Secrets, clock: Clock, stores: SqliteStores) -> Notices | None:
    """What sends notices of requests for approvals; None where no address is set. Raises `LookupError` and `ValueError` for the secret."""
    chosen = loaded.settings.approvals
    if not chosen.webhook_url:
        return None
    approvals = approvals_in(stores)

    def tenants() -> list[str]:
        with stores.reading() as books:
            return [tenant.name for tenant in books.tenants()]

    def where(request: ApprovalRequest) -> str:
        return page_of(request, chosen.console_url)

    key = secret_bytes(known.read(chosen.webhook_key))
    courier = GuardedCourier(GuardedClient(), chosen.webhook_networks)
    return Notices(courier, chosen.webhook_url, key, clock, lambda: approvals, tenants, where, chosen.webhook_arguments)


def hosts_of(control: Control, resource: str) -> list[bytes]:
    """Values of `Host` that name the operators' API."""
    hosts = [web_address(resource).authority, *control.allowed_hosts]
    if names_loopback(control.host):
        hosts += [f"{name}:{control.port}" for name in ("127.0.0.1", "localhost", "[::1]")]
    return [host.lower().encode() for host in hosts]


def tenants_of(loaded: Loaded) -> dict[str, list[str]]:
    """The issuers of each tenant, as the settings map them."""
    found: dict[str, list[str]] = {}
    for issuer in loaded.settings.identity.issuers:
        for tenant in {issuer.tenant, *issuer.tenants.values()} - {""}:
            found.setdefault(tenant, []).append(issuer.issuer)
    development = loaded.settings.identity.development_issuer
    if development.enabled:
        found.setdefault(development.tenant, []).append(DEVELOPMENT_ISSUER)
    return found


def findings_of(loaded: Loaded, kind: Kind, name: str, content: Content) -> list[str]:
    """What is wrong with a proposed content by itself in this deployment, a sentence each."""
    findings = [str(finding) for finding in content_findings((kind, name), content)]
    if isinstance(content, ServerContent) and not findings:
        findings += map(str, proposal_findings(content.definition, loaded.directory, loaded.settings))
    if isinstance(content, ServerContent) and content.pin is not None:
        findings += too_many(content.pin.manifest)
    return findings


def reading(directory: Path) -> tuple[Callable[[], list[Record]], Callable[[int, Callable[[Record], bool]], list[Record]]]:
    """What reads a gateway's audit log, which may not be there yet: what was written since the last time, and the last records that are
    wanted. Both raise `Refused` STORE_UNAVAILABLE where it is there and cannot be read."""
    follower = Follower(directory)

    def more() -> list[Record]:
        return _read(lambda: [seen.record for seen in follower.more()])

    def last(count: int, wanted: Callable[[Record], bool]) -> list[Record]:
        return _read(lambda: [seen.record for seen in Follower(directory).last(count, wanted)])

    return more, last


def _read(read: Callable[[], list[Record]]) -> list[Record]:
    try:
        return read()
    except FileNotFoundError:
        return []
    except OSError as unreadable:
        raise Refused(Reason.STORE_UNAVAILABLE, note=f"The audit log of the gateway cannot be read: {unreadable}.") from unreadable
