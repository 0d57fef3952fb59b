"""The operators' API over HTTP: guard, who, what, do it, write it down, answer.

One path for every operation of `operations.OPERATIONS`. What changes things has a durable intent in the ledger before it is done, and a
closing record before its answer (decision 7). Host and Origin are checked on every path, loopback included (CVE-2025-49596).
"""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from customhouse.console.description import description
from customhouse.console.routes import PARAMETERS, Asked, Operation
from customhouse.console.shapes import wrong
from customhouse.core.identity import Caller
from customhouse.core.protocol.origin import check_origin
from customhouse.core.protocol.reading import read_json
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Clock, Ledger, Verifier

log = logging.getLogger(__name__)

PREFIX = "/api/v1"

MAX_VALUES = 1_000_000
"""JSON values in one body; a pin of 512 tools has some 100,000. What is small in bytes can be large in memory."""

LARGE_BYTES = 65_536
"""A body beyond this is read in a thread, one such body at a time."""

BODY_SECONDS = 30.0
"""For a body to arrive: 560 KB/s for the largest."""

HEADERS = {"cache-control": "no-store", "x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'"}
"""Of every answer: texts of servers are in some of them, and nothing of it is ever a page (threat class T20)."""

MAX_DEPTH = 56
"""Nesting of a body: 48 levels of a pinned entry, and what stands around it."""


@dataclass(frozen=True)
class OperatorsDoor:
    """What the API needs beside its operations."""

    verifier: Verifier
    ledger: Ledger
    clock: Clock
    new_id: Callable[[], str]
    resource: str
    """The audience of operators' tokens: the public URL of this API."""
    hosts: frozenset[bytes]
    origins: frozenset[bytes]
    ready: Callable[[], dict[str, bool]]
    has_role: Callable[[Caller], bool]
    """Whether somebody has any role at all; from others no body is read."""
    threads: Executor
    """For operations alone, so that however many wait, the process's own work goes on."""
    large_bodies: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(1))
    public: Sequence[BaseRoute] = field(default=())
    """Routes that answer without a token, such as a registry's listing."""
    open_below: str = ""
    """The path below which pages of other origins are answered, and told by CORS headers whether they may read it; `Host` is checked
    there, too. Empty: nowhere."""


def application(door: OperatorsDoor, operations: Sequence[Operation]) -> "Guarded":
    """The ASGI application."""
    described = msgspec.json.encode(description(operations, PREFIX))

    async def describe(_: Request) -> Response:
        return Response(described, headers=HEADERS, media_type="application/json")

    async def health(_: Request) -> Response:
        return _json(200, {"status": "ok"})

    async def readiness(_: Request) -> Response:
        conditions = door.ready()
        return _json(200 if all(conditions.values()) else 503, {"ready": all(conditions.values()), "conditions": conditions})

    by_path: dict[str, dict[str, Operation]] = {}
    for operation in operations:
        by_path.setdefault(operation.path, {})[operation.method] = operation
    routes: list[BaseRoute] = [
        Route(f"{PREFIX}/openapi.json", describe, methods=["GET"]),
        Route("/healthz", health, methods=["GET"]),
        Route("/readyz", readiness, methods=["GET"]),
        *door.public,
    ]
    every = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"]
    for path, methods in by_path.items():
        routes.append(Route(PREFIX + path, _Endpoint(door, methods), methods=every))
    application = Starlette(routes=routes, exception_handlers={Refused: _refuse, 404: _nothing_here, 405: _wrong_method})
    application.router.redirect_slashes = False  # a redirect would be made of what the request says (CVE-2026-44427)
    return Guarded(application, door.hosts, door.origins, door.open_below)


class Guarded:
    """Every path behind the same guard: `Host`, `Origin` and `Sec-Fetch-Site`."""

    def __init__(self, inner: Starlette, hosts: frozenset[bytes], origins: frozenset[bytes], open_below: str = "") -> None:
        self._inner = inner
        self._hosts = hosts
        self._origins = origins
        self._open_below = open_below

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI side."""
        try:
            headers = _headers(scope)
            if self._open_below and scope["path"].startswith(self._open_below):
                headers = {name: value for name, value in headers.items() if name not in _OF_PAGES}
            check_origin(headers, self._hosts, self._origins)
        except Refused as refused:
            await _refusal(refused)(scope, receive, send)
            return
        await self._inner(scope, receive, send)


_OF_PAGES = frozenset({b"origin", b"sec-fetch-site"})


class _Endpoint:
    """All operations at one path."""

    def __init__(self, door: OperatorsDoor, methods: Mapping[str, Operation]) -> None:
        self._door = door
        self._methods = methods

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """The ASGI side of `answer`."""
        response = await self.answer(Request(scope, receive))
        await response(scope, receive, send)

    async def answer(self, request: Request) -> Response:
        """One request, whatever comes of it."""
        trail = Record(kind="operator", call_id=self._door.new_id(), endpoint=request.scope["path"][:256], method=request.method)
        try:
            caller = await self._identify(request, trail)
            operation = self._methods.get(request.method)
            if operation is None:
                raise Refused(Reason.METHOD_NOT_ALLOWED, headers=(("Allow", ", ".join(sorted(self._methods))),))
            trail.method = operation.name
            asked = await _read(request, operation, caller, self._door)
            _describe(trail, asked)
            if operation.changes_things:
                await self._record(msgspec.structs.replace(trail, kind="intent"))
            answer = await self._carried_out(operation, asked)
            trail.outcome = "done"
            response = _json(operation.status, answer)
        except Refused as refused:
            trail.outcome, trail.note = refused.reason.name, refused.note
            response = _refusal(refused)
        except ClientDisconnect:
            trail.outcome = "caller_left"
            response = _refusal(Refused(Reason.REQUEST_TOO_SLOW))
        except Exception:  # the one exit: a defect is answered, recorded and logged, never swallowed
            log.exception("operation %s broke the control process", trail.call_id)
            trail.outcome = Reason.GATEWAY_BROKE.name
            response = _refusal(Refused(Reason.GATEWAY_BROKE, {"traceId": trail.call_id}))
        try:
            await self._record(trail)
        except Refused as unrecorded:
            return _refusal(unrecorded)
        return response

    async def _carried_out(self, operation: Operation, asked: Asked) -> msgspec.Struct:
        if operation.on_loop:
            return await cast(Awaitable[msgspec.Struct], operation.carry(asked))
        carry = cast(Callable[[Asked], msgspec.Struct], operation.carry)
        return await asyncio.get_running_loop().run_in_executor(self._door.threads, carry, asked)

    async def _identify(self, request: Request, trail: Record) -> Caller:
        try:
            token = _bearer(request)
            name = self._door.verifier.name_of(token, self._door.resource)
            caller = self._door.verifier.known(name) or await self._door.verifier.verify(token, self._door.resource)
        except Refused as refused:
            if refused.reason.row.status == 401:
                refused.headers = (("WWW-Authenticate", "Bearer" if refused.reason is Reason.NO_TOKEN else 'Bearer error="invalid_token"'),)
            raise
        trail.tenant, trail.person, trail.workload, trail.client = caller.tenant, caller.person, caller.workload, caller.client
        trail.issuer, trail.token_id, trail.authorisation = caller.issuer, caller.token_id, caller.context_digest
        return caller

    async def _record(self, record: Record) -> None:
        await self._door.ledger.append(msgspec.structs.replace(record, at=self._door.clock.now()), durable=record.kind == "intent")


async def _read(request: Request, operation: Operation, caller: Caller, door: OperatorsDoor) -> Asked:
    """The parameters and the body. Raises `Refused` INVALID_PARAMS, NOT_YOUR_ROLE, MALFORMED_JSON, BODY_TOO_LARGE, REQUEST_TOO_SLOW,
    WRONG_CONTENT_TYPE, CONTENT_INVALID."""
    path = {name: _converted(value, PARAMETERS[name], name) for name, value in request.path_params.items()}
    given = dict(request.query_params.multi_items())
    if len(given) != len(request.query_params.multi_items()):
        raise Refused(Reason.INVALID_PARAMS, message="A parameter is given twice.")
    if unknown := given.keys() - operation.query.keys():
        raise Refused(Reason.INVALID_PARAMS, message=f"There is no parameter {_plain(min(unknown))}.")
    query = {
        name: _converted(given[name], parameter.type, name) if name in given else parameter.default
        for name, parameter in operation.query.items()
    }
    return Asked(caller, path, query, await _body(request, operation, caller, door))


async def _body(request: Request, operation: Operation, caller: Caller, door: OperatorsDoor) -> Any:
    if operation.body is None:
        if await _bytes_of(request, 0):
            raise Refused(Reason.INVALID_PARAMS, message="This operation takes no body.")
        return None
    if not door.has_role(caller):
        raise Refused(Reason.NOT_YOUR_ROLE, {"roles": []})
    if request.headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
        raise Refused(Reason.WRONG_CONTENT_TYPE)
    length = request.headers.get("content-length", "")
    if operation.max_body_bytes <= LARGE_BYTES or (length.isdecimal() and int(length) <= LARGE_BYTES):
        return _converted_body(await _bytes_of(request, operation.max_body_bytes), operation.body)
    async with door.large_bodies:
        body = await _bytes_of(request, operation.max_body_bytes)
        return await asyncio.get_running_loop().run_in_executor(door.threads, _converted_body, body, operation.body)


async def _bytes_of(request: Request, limit: int) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > max(limit, 1):
                    raise Refused(Reason.BODY_TOO_LARGE)
    except TimeoutError:
        raise Refused(Reason.REQUEST_TOO_SLOW) from None
    return bytes(body)


def _converted_body(body: bytes, struct: type[msgspec.Struct]) -> Any:
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise Refused(Reason.BODY_TOO_LARGE)
    value = read_json(body, MAX_DEPTH)
    try:
        return msgspec.convert(value, struct)
    except msgspec.ValidationError as invalid:
        raise Refused(Reason.CONTENT_INVALID, {"findings": [f"{invalid}."]}) from None


def _converted(text: str, kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(text, kind, strict=False)
    except msgspec.ValidationError as invalid:
        raise Refused(Reason.INVALID_PARAMS, message=f"{name}: {invalid}.") from None


def _describe(trail: Record, asked: Asked) -> None:
    """What is asked for, for the record."""
    said = asked.body
    kind = str(asked.path.get("kind", getattr(said, "kind", "")))[:20]
    name = str(asked.path.get("name", asked.path.get("server", getattr(said, "name", getattr(said, "approver", "")))))[:100]
    trail.server = name if kind == "server" or "server" in asked.path else ""
    trail.name = "/".join(part for part in (kind, name, str(asked.path.get("number", ""))) if part)
    trail.approval = str(asked.path.get("approval", ""))
    trail.pin_digest = getattr(said, "digest", "")
    trail.note = str(getattr(said, "reason", "") or getattr(said, "note", ""))[:500]


def _bearer(request: Request) -> bytes:
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Refused(Reason.NO_TOKEN)
    return token.strip().encode("latin-1")


def _headers(scope: Mapping[str, Any]) -> Mapping[bytes, bytes]:
    """Headers by name. Raises `Refused` MALFORMED_HTTP where one that decides something comes twice."""
    found: dict[bytes, bytes] = {}
    for name, value in scope["headers"]:
        if name in found and name in _ONCE:
            raise Refused(Reason.MALFORMED_HTTP)
        found[name] = value
    return found


_ONCE = frozenset({b"host", b"origin", b"sec-fetch-site", b"authorization", b"content-type", b"content-length"})

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,40}")


def _plain(name: str) -> str:
    return f"`{name}`" if _PLAIN.fullmatch(name) else "of that name"


def _refusal(refused: Refused) -> Response:
    row = refused.reason.row
    response = _json(row.status if row.status != 200 else 502, wrong(refused))
    for name, value in refused.headers:
        response.headers[name] = value
    return response


async def _refuse(_: Request, error: Exception) -> Response:
    """A refusal outside of an operation."""
    return _refusal(error if isinstance(error, Refused) else Refused(Reason.GATEWAY_BROKE))


async def _nothing_here(_: Request, __: Exception) -> Response:
    return _refusal(Refused(Reason.UNKNOWN_PATH))


async def _wrong_method(_: Request, error: Exception) -> Response:
    allowed = (getattr(error, "headers", None) or {}).get("Allow", "GET")
    return _refusal(Refused(Reason.METHOD_NOT_ALLOWED, headers=(("Allow", allowed),)))


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, HEADERS, "application/json")
