"""Results and errors as they leave: a server's answer judged and stamped, a refusal worded, in the form of the client's era.

Sources: MCP 2026-07-28, basic (`_meta`, ResultType, Error Codes), server/utilities/caching, server/tools (Error Handling);
MCP 2025-11-25, basic/transports: a 404 ends a session, so a legacy client never gets one for an unknown method.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.manifest import Era
from customhouse.core.protocol.reading import MAX_SAFE_INTEGER
from customhouse.core.protocol.revisions import ASKS_FOR_INPUT, CACHEABLE, META_RELATED_TASK, META_SERVER, PREFIX
from customhouse.core.refusal import Reason, Refused

_encode = msgspec.json.Encoder().encode
_NOT_PASSED_ON = frozenset({"resultType", "ttlMs", "cacheScope", "_meta"})
"""Members of a result that are stamped anew, where the client's era has them at all."""

_COMPLETE, _FALSE = msgspec.Raw(b'"complete"'), msgspec.Raw(b"false")

_STATUS_OF_ERROR = {-32601: 404, -32021: 400}
"""HTTP statuses that the specification demands for errors of a server, modern clients only."""

_LEGACY_CODE = {-32020: -32600, -32021: -32603, -32022: -32600}
"""Codes that legacy clients never see, and what they get instead."""

_MODERN_CODE = {-32002: -32602, -32042: -32603}
"""Codes that modern clients never see (2026-07-28, basic, Error Codes)."""


def stamped(result: Mapping[str, Any], era: Era, method: str, server_info: Mapping[str, Any]) -> dict[str, Any]:
    """A result of the gateway's own with what the era demands."""
    if era is Era.LEGACY:
        return dict(result)
    caching = {"ttlMs": 0, "cacheScope": "private"} if method in CACHEABLE else {}
    return {**result, "resultType": "complete", **caching, "_meta": {META_SERVER: server_info}}


def relayed(members: dict[str, msgspec.Raw], era: Era, method: str, server_info: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """A server's result as the client gets it, and whether it is a tool's error. Content stays as it was, unknown members too.

    Raises `Refused` FEATURE_UNSUPPORTED for a result that asks for input where it may, UPSTREAM_BROKE_PROTOCOL for one that is not valid.
    """
    if members.get("resultType", _COMPLETE) != _COMPLETE:
        kind = _typed(members, "resultType", str, "complete")
        if kind == "input_required" and method in ASKS_FOR_INPUT:
            raise Refused(Reason.FEATURE_UNSUPPORTED, {"feature": "input_required"})
        if kind != "complete":
            raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"resultType {kind[:40]!r}")
    is_error = method == "tools/call" and members.get("isError", _FALSE) != _FALSE and _typed(members, "isError", bool, False)
    meta = _own_meta(members) if "_meta" in members else {}
    result: dict[str, Any] = dict(members)
    for name in _NOT_PASSED_ON.intersection(members):
        del result[name]
    if era is Era.MODERN:
        result["resultType"] = "complete"
        if method in CACHEABLE:
            result["ttlMs"] = min(max(0, _typed(members, "ttlMs", int, 0)), MAX_SAFE_INTEGER)
            result["cacheScope"] = "private"  # what a caller may see was filtered for this caller
        meta[META_SERVER] = server_info
    if meta or "_meta" in members:
        result["_meta"] = meta
    return result, is_error


def _own_meta(members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """What a server said in `_meta` beside the connection's own keys, which it cannot say for the gateway."""
    said: dict[str, msgspec.Raw] = _typed(members, "_meta", dict[str, msgspec.Raw], {})
    return {key: value for key, value in said.items() if not key.startswith(PREFIX) or key == META_RELATED_TASK}


def relayed_error(error: Mapping[str, Any], era: Era) -> tuple[int, dict[str, Any]]:
    """HTTP status and error object for a server's own JSON-RPC error."""
    code = error["code"]
    if era is Era.LEGACY:
        return 200, {**error, "code": _LEGACY_CODE.get(code, code)}
    return _STATUS_OF_ERROR.get(code, 200), {**error, "code": _MODERN_CODE.get(code, code)}


def refusal(refused: Refused, message_id: str | int | None, era: Era, call_id: str) -> tuple[int, bytes]:
    """HTTP status and body of a refusal. Without an id the body is an error that belongs to no request."""
    row = refused.reason.row
    status, code = row.status, row.code
    if era is Era.LEGACY and message_id is not None:
        code = _LEGACY_CODE.get(code, code)
        status = 200 if status == 404 and refused.reason is Reason.UNKNOWN_METHOD else status
    data = {"reason": refused.reason.name.lower(), "retryable": row.retryable, "callId": call_id, **refused.detail}
    if row.next_step:
        data["next"] = row.next_step
    answer: dict[str, Any] = {"jsonrpc": "2.0", "error": {"code": code, "message": refused.sentence, "data": data}}
    if message_id is not None:
        answer["id"] = message_id
    return status, _encode(answer)


def tool_error(refused: Refused, message_id: str | int, era: Era, server_info: Mapping[str, Any]) -> bytes:
    """Arguments that the pinned schema refuses are an error of the tool, which a model can read and correct (SEP-1303)."""
    problems = refused.detail.get("problems", ())
    text = " ".join([refused.sentence, *(problems if isinstance(problems, tuple) else ())])
    result = stamped({"content": [{"type": "text", "text": text}], "isError": True}, era, "tools/call", server_info)
    return answer_bytes(message_id, _encode(result))


def answer_bytes(message_id: str | int, result: bytes) -> bytes:
    """A JSON-RPC answer around an encoded result."""
    begin, end = answer_around(message_id)
    return begin + result + end


def answer_around(message_id: str | int) -> tuple[bytes, bytes]:
    """What stands before and behind an encoded result in its answer."""
    return b'{"jsonrpc":"2.0","id":%b,"result":' % _encode(message_id), b"}"


def _typed(members: Mapping[str, msgspec.Raw], key: str, kind: Any, default: Any) -> Any:
    raw = members.get(key)
    if raw is None:
        return default
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError:
        raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"`{key}` has the wrong type") from None
