"""The id of a task as clients get it: the server's own id, and what the gateway has to know of the call that began it, as bytes to seal.

Sources: the tasks extension and SEP-2663 (ids are unguessable, every request about a task is authorised); MCP 2026-07-28,
basic/transports/streamable-http (`Mcp-Name` repeats the id, so it is visible ASCII and short enough for a header).

What a task is bound to does not stand in the id: it is sealed for the caller as authorised and the endpoint, and opens for them alone. It
holds the arguments of the call, so that a request about the task is decided as that call would be now. A call whose arguments have no
room in an id declares no tasks, and is answered in the usual way.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.sealing import Seal, bound

MAX_ARGUMENT_BYTES = 2_048
"""Of the arguments as JSON. With names, the server's id and the frame, an id has at most 4,600 characters, of the 8 KiB that common servers
and proxies take for one header."""

MAX_SERVER_ID_BYTES = 512
"""Of a server's own id."""

MAX_SEALED_CHARACTERS = 6_000
"""Longer texts are not looked at."""

_canonical = msgspec.json.Encoder(order="sorted").encode


class Task(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A task at a server."""

    server: str
    tool: str
    """The server's own name of the tool that was called."""
    arguments: bytes
    """Of the call, as JSON."""
    call_id: str
    """The call that began it."""
    server_id: str
    """The server's own id of the task."""


_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.Decoder(Task).decode


def has_room(arguments: object) -> bool:
    """Whether the arguments of a call fit into the id of a task that it begins."""
    return not arguments or len(_canonical(arguments)) <= MAX_ARGUMENT_BYTES


def task_of(server: str, tool: str, arguments: Mapping[str, Any], call_id: str, server_id: str) -> Task:
    """The task that a call began."""
    return Task(server, tool, _canonical(arguments), call_id, server_id)


def arguments_of(task: Task) -> dict[str, Any]:
    """The arguments of the call that began it."""
    return msgspec.json.decode(task.arguments, type=dict[str, Any])


def bound_to(caller: Caller, endpoint: str) -> bytes:
    """What an id is sealed for."""
    return bound(caller.context_digest, endpoint)


def packed(task: Task) -> bytes:
    """The task as bytes."""
    return _encode(task)


def unpacked(data: bytes) -> Task:
    """The task of bytes that opened. Raises `Refused` UNKNOWN_TASK for another layout."""
    try:
        return _decode(data)
    except (msgspec.MsgspecError, ValueError):
        raise Seal.TASK.refused() from None
