"""One JSON-RPC message of a client, read strictly: what it asks, in which era, with which parameters.

Sources: JSON-RPC 2.0; MCP 2026-07-28, basic (Requests, `_meta`), basic/versioning (dual-era servers classify by the body first),
basic/transports/streamable-http; MCP 2025-11-25, basic/transports (Protocol Version Header).
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.lookalike import folded
from customhouse.core.manifest import Era
from customhouse.core.protocol import headers as mirrored
from customhouse.core.protocol.reading import read_json
from customhouse.core.protocol.revisions import (
    ASSUMED_LEGACY,
    ERA_OF,
    LOG_LEVELS,
    META_CAPABILITIES,
    META_CLIENT,
    META_LOG_LEVEL,
    META_VERSION,
    MODERN_REVISIONS,
    NAMED_BY,
    OFFERED,
)
from customhouse.core.refusal import Reason, Refused


class Message(msgspec.Struct, frozen=True, gc=False):
    """A request, or a notification where `is_notification` is true; then `id` is 0 and means nothing."""

    method: str
    id: str | int
    params: dict[str, Any]
    era: Era
    revision: str
    is_notification: bool
    meta: dict[str, Any]
    """`params._meta` as the client sent it; empty where it sent none."""

    @property
    def progress_token(self) -> str | int | None:
        """The client's token for progress of this request; None where it wants no progress."""
        token: str | int | None = self.meta.get("progressToken")
        return token


_encode = msgspec.json.Encoder().encode
_MAX_AGREED_BYTES = 4_096
"""Of what is remembered with a head; a client that says more, request after request, has it read anew each time."""

_ENVELOPE = frozenset({"jsonrpc", "id", "method", "params"})
_ANSWER = frozenset({"result", "error"})
_MESSAGE = _ENVELOPE | _ANSWER
_PARAMS = frozenset(
    {
        *("name", "arguments", "uri", "cursor", "ref", "argument", "context", "level", "requestId", "reason", "_meta", "task"),
        *("protocolVersion", "capabilities", "clientInfo", "inputResponses", "requestState", "progressToken", "progress", "total"),
        *("notifications", "message", "taskId"),
    }
)
_WITHIN = {
    "ref": frozenset({"type", "name", "uri", "title"}),
    "argument": frozenset({"name", "value"}),
    "context": frozenset({"arguments"}),
}
"""Parameters that are objects of the protocol itself, and the keys that are known in them."""
_META = frozenset({META_VERSION, META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, "progressToken", "traceparent", "tracestate", "baggage"})


class Agreed:
    """The last envelope that the headers of one head were held against: the same once more needs no second look.

    `_meta`, the method, the name it asks for, and whether there is an id: era, revision and agreement depend on nothing else in a body.
    """

    __slots__ = ("era", "is_notification", "meta", "method", "name", "revision")

    def __init__(self) -> None:
        self.method = ""
        self.meta: object = None
        self.name: object = None
        self.is_notification = False
        self.era = Era.LEGACY
        self.revision = ""


class Said(msgspec.Struct, frozen=True, gc=False):
    """A legacy client's answer to a request of the gateway."""

    id: str | int
    answer: dict[str, Any]
    """`{"result": {...}}` or `{"error": {"code": ..., "message": ...}}`."""


def read_message(body: bytes, headers: Mapping[bytes, bytes], agreed: Agreed) -> Message | Said:
    """The message of a POST body, with its headers held against it. `agreed` belongs to these very headers.

    Raises `Refused`: MALFORMED_JSON, INVALID_MESSAGE, INVALID_PARAMS, HEADER_MISMATCH, UNSUPPORTED_VERSION or UNKNOWN_METHOD. A refusal
    raised after the id was read carries it as `refused.message_id`, and the era as `refused.era`.
    """
    value = read_json(body)
    if type(value) is not dict:
        raise Batched(value) if type(value) is list else _invalid("The body is not an object.")
    _no_lookalikes(value, _MESSAGE, "the message")
    if value.get("jsonrpc") != "2.0":
        raise _invalid('`jsonrpc` is not "2.0".')
    if not _ANSWER.isdisjoint(value):
        return _read_said(value, headers)
    method = value.get("method")
    if type(method) is not str:
        raise _invalid("`method` is not a string.")
    message_id = value.get("id", 0)
    if type(message_id) is not str and type(message_id) is not int:
        raise _invalid("`id` is neither a string nor an integer.")
    try:
        return _read_params(method, message_id, "id" not in value, value.get("params", {}), headers, agreed)
    except Refused as refused:
        raise InEnvelope(refused, message_id, _era_of(value, headers)) from None


def _read_said(value: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Said:
    """An answer; only legacy clients are asked in a way that is answered so (2026-07-28, streamable-http, Sending Messages 4)."""
    if _era_of(value, headers) is Era.MODERN:
        raise _invalid("A modern client sends no answers.")
    message_id = value.get("id")
    if "method" in value or (type(message_id) is not str and type(message_id) is not int):
        raise _invalid("An answer has an id and no method.")
    if ("result" in value) == ("error" in value):
        raise _invalid("An answer has either a result or an error.")
    if "result" in value:
        if type(value["result"]) is not dict:
            raise _invalid("`result` is not an object.")
        return Said(message_id, {"result": value["result"]})
    error = value["error"]
    if type(error) is not dict or type(error.get("code")) is not int or type(error.get("message")) is not str:
        raise _invalid("`error` is not an object with a code and a message.")
    return Said(message_id, {"error": error})


class Batched(Refused):
    """Several messages in one body: refused, except where a revision has batches."""

    def __init__(self, values: list[Any]) -> None:
        super().__init__(Reason.INVALID_MESSAGE, message="A batch is taken in a session of 2025-03-26 alone.")
        self.values = values


class InEnvelope(Refused):
    """A refusal that came after the request's id was known, so that its answer can carry the id."""

    def __init__(self, refused: Refused, message_id: str | int, era: Era) -> None:
        super().__init__(refused.reason, refused.detail, message=refused.message, note=refused.note, headers=refused.headers)
        self.message_id = message_id
        self.era = era


def _read_params(
    method: str, message_id: str | int, is_notification: bool, params: Any, headers: Mapping[bytes, bytes], agreed: Agreed
) -> Message:
    if type(params) is not dict:
        raise Refused(Reason.INVALID_PARAMS, message="`params` is not an object.")
    _no_lookalikes(params, _PARAMS, "the parameters")
    if not _WITHIN.keys().isdisjoint(params):
        _no_lookalikes_within(params)
    meta = params.get("_meta", {})
    if type(meta) is not dict:
        raise Refused(Reason.INVALID_PARAMS, message="`_meta` is not an object.")
    token = meta.get("progressToken")
    if token is not None and type(token) is not str and type(token) is not int:
        raise Refused(Reason.INVALID_PARAMS, message="`progressToken` is neither a string nor an integer.")
    named = params.get(NAMED_BY.get(method, ""))
    if (
        meta == agreed.meta
        and method == agreed.method
        and type(named) is str
        and named == agreed.name
        and is_notification == agreed.is_notification
    ):
        return Message(method, message_id, params, agreed.era, agreed.revision, is_notification, meta)
    _no_lookalikes(meta, _META, "`_meta`")
    era, revision = _version(is_notification, meta, headers)
    if era is Era.MODERN:
        mirrored.check_names(headers, method, params, required=not is_notification)
    if not is_notification and method not in OFFERED[era]:
        raise Refused(Reason.UNKNOWN_METHOD)
    if len(_encode((meta, method, named))) <= _MAX_AGREED_BYTES:
        agreed.meta, agreed.method, agreed.name, agreed.is_notification = meta, method, named, is_notification
        agreed.era, agreed.revision = era, revision
    return Message(method, message_id, params, era, revision, is_notification, meta)


def _no_lookalikes_within(params: Mapping[str, Any]) -> None:
    for name, known in _WITHIN.items():
        if name in params and type(params[name]) is dict:
            _no_lookalikes(params[name], known, f"`{name}`")


def _version(is_notification: bool, meta: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> tuple[Era, str]:
    """The era and revision of a message: by its body first, by the version header where the body says nothing."""
    sent = headers.get(b"mcp-protocol-version", b"").decode("latin-1")
    if META_VERSION not in meta and ERA_OF.get(sent) is not Era.MODERN:
        if sent and sent not in ERA_OF:
            raise Refused(Reason.UNSUPPORTED_VERSION, {"supported": list(ERA_OF), "requested": sent})
        return Era.LEGACY, sent or ASSUMED_LEGACY
    if is_notification:
        return Era.MODERN, sent or MODERN_REVISIONS[0]
    return Era.MODERN, _modern_version(meta, headers, sent)


def _modern_version(meta: Mapping[str, Any], headers: Mapping[bytes, bytes], sent: str) -> str:
    for key, kind in ((META_VERSION, str), (META_CAPABILITIES, dict)):
        if type(meta.get(key)) is not kind:
            raise Refused(Reason.INVALID_PARAMS, message=f"`_meta` lacks `{key}`.")
    if META_CLIENT in meta and type(meta[META_CLIENT]) is not dict:
        raise Refused(Reason.INVALID_PARAMS, message=f"`{META_CLIENT}` is not an object.")
    mirrored.check_version(headers, meta)
    revision: str = meta[META_VERSION]
    if revision not in MODERN_REVISIONS:
        raise Refused(Reason.UNSUPPORTED_VERSION, {"supported": list(MODERN_REVISIONS), "requested": revision})
    if meta.get(META_LOG_LEVEL, "info") not in LOG_LEVELS:
        raise Refused(Reason.INVALID_PARAMS, message=f"`{META_LOG_LEVEL}` is not a log level.")
    return revision


def _era_of(value: Mapping[str, Any], headers: Mapping[bytes, bytes]) -> Era:
    """The era that a refusal is worded for."""
    params = value.get("params")
    meta = params.get("_meta") if type(params) is dict else None
    if type(meta) is dict and META_VERSION in meta:
        return Era.MODERN
    return ERA_OF.get(headers.get(b"mcp-protocol-version", b"").decode("latin-1"), Era.LEGACY)


def _no_lookalikes(members: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    """No key differs from a known one, or from another key here, by case, width, or characters nobody sees."""
    if known.issuperset(members):
        return
    strange = members.keys() - known
    taken = {folded(name) for name in known} | {folded(name) for name in members.keys() & known}
    for name in strange:
        shape = folded(name)
        if shape in taken or "\0" in name:
            raise _invalid(f"A key of {where} looks like another.")
        taken.add(shape)


def _invalid(message: str) -> Refused:
    return Refused(Reason.INVALID_MESSAGE, message=message)
