"""Open streams that tell clients what happens outside of their calls, and the words they tell it in.

Sources: MCP 2026-07-28, basic/patterns/subscriptions (every message names the request that opened its stream); MCP 2025-11-25,
basic/transports (a message goes out on one stream of a session). A notification is put into bytes once, for every stream that tells it;
a stream of a modern client adds its own tag.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.protocol.replay import EventId
from customhouse.core.protocol.revisions import META_SUBSCRIPTION
from customhouse.core.protocol.sse import COMMENT, event
from customhouse.core.protocol.subscriptions import CHANGED, UPDATED
from customhouse.gateway.arrival import Reply
from customhouse.gateway.kept import Kept

_encode = msgspec.json.Encoder().encode

MAX_PENDING = 1_024
"""Notifications that wait for one client that does not take them; what would go beyond is dropped, as is allowed: they only hint."""


class Notice(msgspec.Struct, frozen=True, gc=False):
    """One notification, ready to be told."""

    key: str
    """What it is about: telling the same twice before the client has taken it says nothing new."""
    plain: bytes
    """As JSON, for a legacy session."""
    before: bytes
    """An event up to the tag of a modern stream."""
    after: bytes

    def tagged(self, tag: bytes) -> bytes:
        """The event for a modern stream; `tag` is the encoded id of the request that opened it."""
        return self.before + tag + self.after


def _notice(key: str, method: str, params: Mapping[str, Any]) -> Notice:
    said: dict[str, Any] = {"jsonrpc": "2.0", "method": method}
    tagged = event(_encode({**said, "params": {**params, "_meta": {META_SUBSCRIPTION: 0}}}))
    return Notice(key, _encode({**said, "params": params} if params else said), tagged[: -len(_TAIL)], _TAIL[1:])


_TAIL = b"0}}}\n\n"


@cache
def list_changed(kind: str) -> Notice:
    """A list is another one: `tools`, `prompts` or `resources`."""
    return _notice(kind, CHANGED[kind], {})


def updated(uri: str) -> Notice:
    """A resource changed."""
    return _notice("uri " + uri, UPDATED, {"uri": uri})


class Outlet:
    """One open stream: of a modern client, with a tag; of a legacy session, with what keeps its events; or of a pair, with neither."""

    __slots__ = ("busy", "caller", "detached_at", "followers", "kept", "kinds", "path", "pending", "reply", "session_key", "shown", "tag")

    def __init__(
        self, caller: Caller, path: str, reply: Reply, kinds: frozenset[str], *, tag: bytes = b"", kept: Kept | None = None
    ) -> None:
        self.caller = caller
        self.path = path
        self.reply: Reply | None = reply
        """None while its client is away."""
        self.kinds = kinds
        """Lists whose changes are told."""
        self.tag = tag
        self.kept = kept
        self.session_key = "" if kept is None else kept.session.key
        """Of the legacy session that hears on it; empty for a modern client."""
        self.busy = 0
        """Calls whose answers are still to come on it."""
        self.pending: dict[str, Notice] = {}
        self.shown: Mapping[str, int] = {}
        """What the lists show its caller, as of when that was told."""
        self.followers = 0
        """Later connections that its events go out on."""
        self.detached_at = 0.0

    @property
    def heard(self) -> bool:
        """Whether somebody listens right now."""
        return self.reply is not None or self.followers > 0

    def begin(self) -> None:
        """Open the stream of a legacy session: an event with an id and no data, or a comment where the revision has no such event."""
        if self.reply is not None and self.kept is not None:
            self.reply.send(self.kept.opening() or COMMENT)

    def tell(self, notice: Notice) -> None:
        """Tell it as soon as the client takes it."""
        if notice.key in self.pending or len(self.pending) < MAX_PENDING:
            self.pending[notice.key] = notice

    def flush(self) -> bool:
        """Send what is pending; whether all of it went out."""
        if self.reply is not None and self.reply.full:
            return False
        notices, self.pending = list(self.pending.values()), {}
        if self.kept is not None:
            data = b"".join([self.kept.keep(notice.plain) for notice in notices])
        elif self.tag:
            data = b"".join([notice.tagged(self.tag) for notice in notices])
        else:
            data = b"".join([event(notice.plain) for notice in notices])
        if data and self.reply is not None:
            self.reply.send(data)
        return True

    def is_stream_of(self, at: EventId) -> bool:
        """Whether an event belongs to this stream."""
        return self.kept is not None and self.kept.stream == at.stream
