"""What is said in a call, carried from one revision to another: parameters to the server, results and errors to the client.

Sources: the schemas and changelogs of MCP 2024-11-05 to 2026-07-28; 2026-07-28, basic (ResultType, Error Codes), server/tools,
server/resources. What one side says and the other can read passes as it is, unknown members, unknown content and explicit nulls
included. What the other side would misread or refuse is said differently, or left out. Between equal revisions everything is handed
back as it came, the same object.

What depends on the era alone (`resultType`, `ttlMs`, `cacheScope`, `_meta`, HTTP statuses) is stamped anew on every result that leaves,
so it stands in `results.py` and comes after this. Lists are in `entries.py`, questions to the client in `interaction.py`.

Measured with timeit, CPython 3.11 on a 2-core Linux VM: a result takes 0.1 us between equal revisions and towards a newer client, 0.6 to
1.7 us towards an older one, 11 us if it holds audio and a link that become text; parameters take 0.2 us. Looking for a type of content
by its bytes before decoding the blocks was slower, for 1 MB of text (1.1 ms against 0.24 ms) and for 200 bytes.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import msgspec

from customhouse.core.manifest import Era
from customhouse.core.protocol.content import raw_as_text, unknown_to
from customhouse.core.protocol.revisions import ERA_OF, cross_eras

_encode = msgspec.json.Encoder().encode

Members = dict[str, msgspec.Raw]
"""The members of a result, their values undecoded."""


class _Block(msgspec.Struct, gc=False):
    """As much of a block of content as tells whether it has to change."""

    type: str = ""


class _Message(msgspec.Struct, gc=False):
    content: _Block


_blocks = msgspec.json.Decoder(list[_Block]).decode
_messages = msgspec.json.Decoder(list[_Message]).decode
_raw_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_raw_messages = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode

_OPENING_BRACE = ord("{")
_UNREADABLE = (msgspec.DecodeError, RecursionError)

# Results


def translated_result(members: Members, method: str, server: str, client: str) -> Members:
    """A server's result in the client's revision. What needs no change is the very object that came in."""
    if server == client:
        return members
    rule = _RESULTS.get((server, client, method))
    return rule(members) if rule is not None else members


def _tool_result(members: Members, unknown: frozenset[str], server: str, client: str) -> Members:
    """Content that the client's revision knows; structured content only as the object that legacy revisions know.

    Servers should repeat structured content as text (2025-06-18, server/tools, Structured Content). Where one did not, and the client would
    be left with nothing, the value goes as text.
    """
    result = members
    if "content" in members and unknown:
        result = _replace(result, "content", _known_blocks(members["content"], unknown))
    structured = members.get("structuredContent")
    if structured is None:
        return result
    is_object = memoryview(structured)[0] == _OPENING_BRACE
    readable = client >= "2025-06-18" and is_object
    if not readable and _is_empty(members.get("content")):
        result = {**result, "content": _said_as_text(structured)}
    if cross_eras(server, client) and not is_object:
        result = {key: value for key, value in result.items() if key != "structuredContent"}
    return result


def _prompt_result(members: Members, unknown: frozenset[str]) -> Members:
    """Each message of a prompt holds one block."""
    raw = members.get("messages")
    try:
        if raw is None or unknown.isdisjoint([message.content.type for message in _messages(raw)]):
            return members
        messages = [_replace(m, "content", raw_as_text(m["content"], unknown)) for m in _raw_messages(raw)]
    except _UNREADABLE:
        return members  # not what any revision calls messages; the client judges it as it would without the gateway
    return _replace(members, "messages", msgspec.Raw(_encode(messages)))


def _known_blocks(raw: msgspec.Raw, unknown: frozenset[str]) -> msgspec.Raw:
    try:
        kinds = [block.type for block in _blocks(raw)]
        if unknown.isdisjoint(kinds):
            return raw
        blocks = [raw_as_text(block, unknown) if kind in unknown else block for block, kind in zip(_raw_list(raw), kinds, strict=True)]
    except _UNREADABLE:
        return raw  # not what any revision calls content
    return msgspec.Raw(_encode(blocks))


def _is_empty(content: msgspec.Raw | None) -> bool:
    try:
        return content is None or not _raw_list(content)
    except _UNREADABLE:
        return False


def _said_as_text(value: msgspec.Raw) -> msgspec.Raw:
    return msgspec.Raw(_encode([{"type": "text", "text": str(bytes(value), "utf-8")}]))


def _replace(members: Members, key: str, value: msgspec.Raw) -> Members:
    return members if members[key] is value else {**members, key: value}


def _result_rules() -> dict[tuple[str, str, str], Callable[[Members], Members]]:
    """The pairs of revisions and the methods whose results may have to change: those of a server that is newer than the client."""
    rules: dict[tuple[str, str, str], Callable[[Members], Members]] = {}
    for server in ERA_OF:
        for client in ERA_OF:
            unknown = unknown_to(client, server)
            if client < server and (unknown or server >= "2025-06-18"):
                rules[server, client, "tools/call"] = partial(_tool_result, unknown=unknown, server=server, client=client)
            if unknown:
                rules[server, client, "prompts/get"] = partial(_prompt_result, unknown=unknown)
    return rules


_RESULTS = _result_rules()

# Parameters


def translated_params(params: Mapping[str, Any], method: str, server: str, client: str) -> Mapping[str, Any]:
    """A client's parameters, without `_meta`, as a server of another revision reads them. Members that neither revision knows pass."""
    if server == client:
        return params
    unwanted = _UNWANTED[server, client]
    if method == "completion/complete" and server < "2025-06-18" <= client:
        unwanted |= {"context"}
    if unwanted.isdisjoint(params):
        return params
    return {key: value for key, value in params.items() if key not in unwanted}


def known_to(params: Mapping[str, Any], method: str, server: str) -> Mapping[str, Any]:
    """The same where nobody knows the client's revision any more: without what means something in other revisions than the server's."""
    strange = _STRANGE[server] if method == "completion/complete" else _STRANGE[server] - {"context"}
    if strange.isdisjoint(params):
        return params
    return {key: value for key, value in params.items() if key not in strange}


_STRANGE = {
    server: frozenset(
        ({"task"} if server != "2025-11-25" else set())
        | ({"context"} if server < "2025-06-18" else set())
        | ({"inputResponses", "requestState"} if era is Era.LEGACY else set())
    )
    for server, era in ERA_OF.items()
}
"""Parameters that a server of each revision does not know and another one does."""


def _unwanted(server: str, client: str) -> frozenset[str]:
    """Parameters that one side means and the other does not know, or would mean differently."""
    dropped: set[str] = set()
    if "2025-11-25" in (server, client):
        dropped.add("task")  # of this revision alone, where it changes what the answer is (basic/utilities/tasks)
    if cross_eras(server, client):
        dropped |= {"inputResponses", "requestState"}  # answers to a question of a modern server (2026-07-28, basic/patterns/mrtr)
    return frozenset(dropped)


_UNWANTED = {(server, client): _unwanted(server, client) for server in ERA_OF for client in ERA_OF}

# Errors

_OF_THE_PROTOCOL = range(-32099, -32019)
"""Codes that the modern protocol keeps for itself; what it has not defined must not be sent (2026-07-28, basic, Error Codes)."""

_OWN_HOP = frozenset({-32020, -32021, -32022})
"""Modern codes that speak of the request that the gateway made, not of the client's."""

RESOURCE_NOT_FOUND = -32002
URL_ELICITATION_REQUIRED = -32042
_INVALID_PARAMS = -32602
_INTERNAL = -32603


def translated_error(error: Mapping[str, Any], method: str, server: str, client: str, uri: str = "") -> Mapping[str, Any]:
    """A server's error, an object with `code`, `message` and perhaps `data`, in the client's revision.

    `uri` is what a `resources/read` asked for. A `-32042` that has become a question to a modern client (`elicitation.urls_required`) does
    not come here.
    """
    if server == client:
        return error
    code = error["code"]
    if ERA_OF[client] is Era.MODERN:
        return _modern_error(error, code, uri)
    if ERA_OF[server] is Era.MODERN:
        return _legacy_error(error, code, method, uri)
    if code == URL_ELICITATION_REQUIRED and client < "2025-11-25":
        return _withheld(error)
    return error


def _modern_error(error: Mapping[str, Any], code: int, uri: str) -> Mapping[str, Any]:
    """Of a legacy server, for a modern client. The code for a missing resource became that for parameters, with the URI in `data`."""
    if code == RESOURCE_NOT_FOUND:
        data = error.get("data")
        if uri and (data is None or type(data) is dict):
            return {**error, "code": _INVALID_PARAMS, "data": {"uri": uri, **(data or {})}}
        return {**error, "code": _INVALID_PARAMS}
    if code == URL_ELICITATION_REQUIRED:
        return _withheld(error)
    if code in _OF_THE_PROTOCOL:
        return {**error, "code": _INTERNAL}
    return error


def _legacy_error(error: Mapping[str, Any], code: int, method: str, uri: str) -> Mapping[str, Any]:
    """Of a modern server, for a legacy client."""
    data = error.get("data")
    if code == _INVALID_PARAMS and method == "resources/read" and uri and type(data) is dict and data.get("uri") == uri:
        return {**error, "code": RESOURCE_NOT_FOUND}
    if code in _OWN_HOP or code == URL_ELICITATION_REQUIRED:
        return _withheld(error)
    return error


def _withheld(error: Mapping[str, Any]) -> dict[str, Any]:
    """An error whose code and data the client's revision has no meaning for: its message alone."""
    return {"code": _INTERNAL, "message": error["message"]}
