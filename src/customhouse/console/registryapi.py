"""The registry API `/v0.1`: which servers there are, in the words that clients and other registries read.

Sources: modelcontextprotocol/registry, docs/reference/api/openapi.yaml; docs.github.com, "Configure an MCP registry" (which calls GitHub
Copilot makes, and with which CORS headers). Names hold a slash, which comes as `%2F`: paths are taken apart as they came and each part
is decoded once, so that no other spelling means a name.

Reads take no token, as the specification has it, so whatever the listing holds is told to everybody who can connect. A page in a
browser of the same network can connect as well, which is what origins are about: with `*` any page anywhere could read an internal
catalogue through the browser of somebody inside. GitHub's documentation asks for `*`; what needs CORS headers is the desktop program
of VS Code, whose origin no web page can have (microsoft/vscode issue 107722). So that origin is the default, and `*` is there for
whoever's catalogue is public. Credentials are never allowed, and endpoints of MCP send no CORS headers in any case.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from customhouse.core.instants import read_instant
from customhouse.core.registrylisting import (
    MAX_PAGE,
    ListedVersion,
    Query,
    UnreadableCursor,
    check_namespace,
    page,
    version_of,
    versions_of,
)

VSCODE_ORIGIN = "vscode-file://vscode-app"
ANY_ORIGIN = "*"
MAX_PARAMETER_LENGTH = 512

Listed = Callable[[], Sequence[ListedVersion]]

_PREFIX = "/v0.1"
_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_TRUTH = {"true": True, "false": False}


class _Unfit(Exception):
    """The request cannot be answered, with the status and the sentence."""

    def __init__(self, status: int, sentence: str, allow: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.allow = allow


def registry_api(listed: Listed, *, namespace: str, allowed_origins: Sequence[str] = (VSCODE_ORIGIN,)) -> Mount:
    """The routes below `/v0.1`, for an application that redirects no slashes. `listed` gives, at each request anew, the versions that may
    be told to everybody.

    `namespace` is a domain name in reverse that names begin with. `allowed_origins` are origins whose pages may read the answers, or `*`;
    behind a guard that refuses origins, those have to be listed at the guard as well.
    Raises `ValueError` for a namespace that is none.
    """
    check_namespace(namespace)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = _answered(request, listed, namespace)
        except _Unfit as unfit:
            response = _json(unfit.status, {"error": unfit.sentence})
            if unfit.allow:
                response.headers["Allow"] = unfit.allow
        if _parts(request)[:1] == ["servers"]:
            response.headers.update(_cors(request.headers.get("origin", ""), allowed_origins))
        await response(scope, receive, send)

    return Mount(_PREFIX, app=answer)


def _answered(request: Request, listed: Listed, namespace: str) -> Response:
    parts = _parts(request)
    read = _read(parts, request, listed, namespace)
    if read is not None and request.method in ("GET", "HEAD"):
        found = read()
        if found is None:
            raise _Unfit(404, "Server not found" if len(parts) < 4 else "Server or version not found")
        return _json(200, found)
    if (request.method, _shape(parts)) in _WRITES:
        raise _Unfit(501, "Servers are proposed and reviewed at the gateway's own console; this registry takes no writes.")
    if read is not None:
        return _other_method(request)
    raise _Unfit(404, "Not found")


def _read(parts: Sequence[str], request: Request, listed: Listed, namespace: str) -> Callable[[], dict[str, Any] | None] | None:
    """What reads at a path, or None where there is nothing to read."""
    match parts:
        case ["servers"]:
            return lambda: _page(namespace, listed(), _query(request.query_params))
        case ["servers", name, "versions"]:
            return lambda: versions_of(namespace, listed(), name, include_deleted=_include_deleted(request.query_params))
        case ["servers", name, "versions", version]:
            return lambda: version_of(namespace, listed(), name, version, include_deleted=_include_deleted(request.query_params))
    return None


def _page(namespace: str, versions: Sequence[ListedVersion], query: Query) -> dict[str, Any]:
    try:
        return page(namespace, versions, query)
    except UnreadableCursor as unreadable:
        raise _Unfit(400, str(unreadable)) from unreadable


def _other_method(request: Request) -> Response:
    """OPTIONS is how a browser asks beforehand; nothing else is there."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": "GET, HEAD, OPTIONS"})
    raise _Unfit(405, "This is read with GET.", allow="GET, HEAD, OPTIONS")


_WRITES = {
    ("POST", ("publish",)),
    ("PUT", ("servers", "", "versions", "")),
    ("DELETE", ("servers", "", "versions", "")),
    ("PATCH", ("servers", "", "versions", "", "status")),
    ("PATCH", ("servers", "", "status")),
}
"""Method and shape of every write of the specification; an empty part stands for a name or a version."""


def _shape(parts: Sequence[str]) -> tuple[str, ...]:
    return tuple("" if index in (1, 3) and len(parts) > 1 else part for index, part in enumerate(parts))


def _parts(request: Request) -> list[str]:
    """The parts of the path below the prefix, each decoded once; none where the path is written in another way than its own."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    prefix = request.scope.get("root_path", "").encode() + b"/"
    if not raw.startswith(prefix) or _ESCAPE.search(raw):
        return []
    try:
        return [unquote_to_bytes(part).decode() for part in raw.removeprefix(prefix).split(b"/")]
    except UnicodeDecodeError:
        return []


def _query(given: Mapping[str, str]) -> Query:
    if any(len(value) > MAX_PARAMETER_LENGTH for value in given.values()):
        raise _Unfit(400, f"A parameter has more than {MAX_PARAMETER_LENGTH} characters.")
    return Query(
        search=given.get("search", ""),
        version=given.get("version", ""),
        updated_since=_instant(given["updated_since"]) if given.get("updated_since") else None,
        include_deleted=_include_deleted(given),
        cursor=given.get("cursor", ""),
        limit=_limit(given["limit"]) if given.get("limit") else Query().limit,
    )


def _limit(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise _Unfit(400, "limit is not a number from 1 on.")
    return min(int(text), MAX_PAGE)


def _instant(text: str) -> float:
    try:
        return read_instant(text.replace(" ", "+"))  # a plus sign that was not escaped
    except ValueError as unfit:
        raise _Unfit(400, f"updated_since: {unfit}") from unfit


def _include_deleted(given: Mapping[str, str]) -> bool:
    text = given.get("include_deleted", "") or "false"
    if text not in _TRUTH:
        raise _Unfit(400, "include_deleted is neither true nor false.")
    return _TRUTH[text]


def _cors(origin: str, allowed_origins: Sequence[str]) -> dict[str, str]:
    if ANY_ORIGIN in allowed_origins:
        return {"Access-Control-Allow-Origin": ANY_ORIGIN, **_PERMITTED}
    if origin in allowed_origins:
        return {"Access-Control-Allow-Origin": origin, **_PERMITTED, "Vary": "Origin"}
    return {"Vary": "Origin"}


_PERMITTED = {"Access-Control-Allow-Methods": "GET, OPTIONS", "Access-Control-Allow-Headers": "Authorization, Content-Type"}


def _json(status: int, value: object) -> Response:
    return Response(msgspec.json.encode(value), status, {"x-content-type-options": "nosniff"}, "application/json")
