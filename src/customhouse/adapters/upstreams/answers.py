"""What a server says, judged message by message: framing, ids, envelope, and whether it may pass at all.

The envelope of an answer is decoded with duplicate keys refused; the content of a result stays undecoded. Sources: JSON-RPC 2.0; MCP
2026-07-28, basic (Results, Error Codes), basic/patterns/mrtr; MCP 2025-11-25, basic/transports.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.protocol.reading import MAX_SAFE_INTEGER, read_json, read_members
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import UpstreamAnswer

OWN_HOP = frozenset({-32020, -32022, -32700, -32600})
"""Errors that describe the gateway's own request to the server; the client never sees them as its own."""

MODERN_ERRORS = frozenset({-32020, -32021, -32022})
"""Errors that only a server of the modern era knows."""

_LONGEST_WAIT_DIGITS = 6
"""Digits of a Retry-After that is passed on: eleven days."""


class Message(msgspec.Struct, gc=False):
    """One message of a server: an answer, a notification, or a request of its own."""

    members: dict[str, msgspec.Raw]

    @property
    def method(self) -> str:
        """The method of a request or notification; empty for an answer."""
        raw = self.members.get("method")
        return "" if raw is None else _typed(raw, str)

    @property
    def id(self) -> str | int | None:
        """The id of an answer or request; None for a notification."""
        raw = self.members.get("id")
        value: str | int | None = None if raw is None else _typed(raw, str | int | None)
        if type(value) is int and abs(value) > MAX_SAFE_INTEGER:
            raise broken("an id that is not below 2^53")
        return value

    def params(self) -> dict[str, Any]:
        """Decoded strictly."""
        raw = self.members.get("params")
        value = {} if raw is None else _strictly(raw)
        if type(value) is not dict:
            raise broken("`params` is not an object")
        return value

    def result(self) -> dict[str, msgspec.Raw] | None:
        """The members of the result, undecoded; None if the answer is an error."""
        raw = self.members.get("result")
        if (raw is None) == ("error" not in self.members):
            raise broken("neither or both of result and error")
        if raw is None:
            return None
        try:
            return read_members(raw)
        except ValueError as reason:
            raise broken(f"the result: {reason}") from None

    def error(self) -> dict[str, Any]:
        """The error object: an integer code, a message, and data if there is any."""
        value = _strictly(self.members["error"])
        if type(value) is not dict or type(value.get("code")) is not int or type(value.get("message")) is not str:
            raise broken("an error without code or message")
        return {key: value[key] for key in ("code", "message", "data") if key in value}


def read_answer(data: bytes) -> Message:
    """One message of a server. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    try:
        return Message(read_members(data))
    except ValueError as reason:
        raise broken(str(reason)) from None


def plain_result(data: bytes, own_id: int) -> dict[str, msgspec.Raw] | None:
    """The members of a result in the form that servers send most: `jsonrpc`, the id and one result, without white space.

    What stands between that head and the last brace must be one JSON object, so no other member can hide there. None: read it the long way.
    """
    head = b'{"jsonrpc":"2.0","id":%d,"result":' % own_id
    if not (data.startswith(head) and data.endswith(b"}")):
        return None
    try:
        return read_members(data[len(head) : -1])
    except ValueError:
        return None


def plain_progress(data: bytes) -> dict[str, Any] | None:
    """The parameters of a progress notification in the form that servers send most, read strictly; see `plain_result`."""
    if not (data.startswith(_PROGRESS) and data.endswith(b"}")):
        return None
    try:
        params = read_json(data[len(_PROGRESS) : -1])
    except Refused:
        return None  # read the long way, which says what is wrong
    return params if type(params) is dict else None


_PROGRESS = b'{"jsonrpc":"2.0","method":"notifications/progress","params":'


def answer_of(message: Message) -> UpstreamAnswer:
    """The result or error of an answer. Raises `Refused` for an error that describes the gateway's own request."""
    result = message.result()
    if result is not None:
        return UpstreamAnswer(result)
    error = message.error()
    if error["code"] in OWN_HOP and error["code"] not in MODERN_ERRORS:
        raise broken(f"error {error['code']} for the gateway's request")
    return UpstreamAnswer(None, error)


def decoded(members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    """The members of a result, decoded strictly. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    return {name: _strictly(value) for name, value in members.items()}


def judge_status(status: int, headers: Mapping[bytes, bytes]) -> None:
    """HTTP statuses that are refused whatever the body says. Raises `Refused`."""
    if 300 <= status < 400:
        raise Refused(Reason.UPSTREAM_REDIRECTED, note=f"status {status}")
    if status in (401, 403, 407):
        raise Refused(Reason.UPSTREAM_REFUSED_CREDENTIAL, note=f"status {status}")
    if status in (429, 503):
        after = headers.get(b"retry-after", b"").decode("latin-1")
        known = after.isdecimal() and len(after) <= _LONGEST_WAIT_DIGITS
        raise Refused(Reason.UPSTREAM_OVERLOADED, {"retryAfterSeconds": int(after)} if known else {}, note=f"status {status}")
    if status >= 500:
        raise Refused(Reason.UPSTREAM_FAILED, note=f"status {status}")


def broken(note: str) -> Refused:
    """The refusal of something that is no valid MCP answer; the note is for the ledger."""
    return Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=note)


def _typed(raw: msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.DecodeError as reason:
        raise broken(str(reason)) from None


def _strictly(raw: msgspec.Raw) -> Any:
    try:
        return read_json(bytes(raw))
    except Refused as reason:
        raise broken(reason.message) from None
