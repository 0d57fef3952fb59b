"""Being told of changes: the filter of a modern listen stream, the notifications and subscriptions of legacy sessions, and what may pass.

Sources: MCP 2026-07-28, basic/patterns/subscriptions and the schemas SubscriptionFilter, NotificationMetaObject; MCP 2025-11-25,
server/resources (Subscriptions), server/tools (List Changed Notification), client/elicitation (Completion Notifications).
"""

import enum
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import msgspec

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import ERA_OF, LOG_LEVELS, META_RELATED_TASK, META_SUBSCRIPTION, vendor_meta
from customhouse.core.refusal import Reason, Refused

MAX_URIS = 1_024
"""Resources that one listen stream may name."""

MAX_URI_CHARACTERS = 2_048
"""As in a manifest (`core/limits.py`)."""

LISTS = {"tools": "toolsListChanged", "prompts": "promptsListChanged", "resources": "resourcesListChanged"}
"""Kinds of lists, and the switch of each in a filter."""

CHANGED = {kind: f"notifications/{kind}/list_changed" for kind in LISTS}
"""Kinds of lists, and the notification of each, which is the same in every revision."""

UPDATED = "notifications/resources/updated"
ACKNOWLEDGED = "notifications/subscriptions/acknowledged"


class Filter(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to be told of."""

    lists: frozenset[str] = frozenset()
    """Kinds out of `LISTS`."""
    uris: frozenset[str] = frozenset()
    """Resources whose updates are wanted."""

    def params(self) -> dict[str, Any]:
        """The filter as `notifications` of a listen request or of its acknowledgement."""
        told: dict[str, Any] = {switch: True for kind, switch in LISTS.items() if kind in self.lists}
        return {**told, "resourceSubscriptions": sorted(self.uris)} if self.uris else told


def read_filter(params: Mapping[str, Any]) -> Filter:
    """The filter of a client's `subscriptions/listen`; what it holds beside is not known here and not promised.

    Raises `Refused` INVALID_PARAMS.
    """
    asked = params.get("notifications")
    if type(asked) is not dict:
        raise Refused(Reason.INVALID_PARAMS, message="`notifications` is not an object.")
    for switch in LISTS.values():
        if type(asked.get(switch, False)) is not bool:
            raise Refused(Reason.INVALID_PARAMS, message=f"`{switch}` is neither true nor false.")
    uris = asked.get("resourceSubscriptions", [])
    if type(uris) is not list or not all(type(uri) is str and len(uri) <= MAX_URI_CHARACTERS for uri in uris) or len(uris) > MAX_URIS:
        raise Refused(Reason.INVALID_PARAMS, message=f"`resourceSubscriptions` is not a list of at most {MAX_URIS} URIs.")
    return Filter(frozenset(kind for kind, switch in LISTS.items() if asked.get(switch)), frozenset(uris))


def union(filters: Iterable[Filter]) -> Filter:
    """What a stream towards a server has to ask for, so that all of these are told: a filter cannot be changed once it is open."""
    lists: set[str] = set()
    uris: set[str] = set()
    for one in filters:
        lists |= one.lists
        uris |= one.uris
    return Filter(frozenset(lists), frozenset(uris))


def honoured(asked: Filter, capabilities: Mapping[str, Any], subscribed: Collection[str], *, downlink: bool) -> Filter:
    """What is acknowledged of a filter: kinds whose `listChanged` the server declared, and of the URIs those subscribed with success.

    Without a downlink, a stream on which the server can say something outside of calls, nothing is.
    """
    if not downlink:
        return Filter()
    lists = frozenset(kind for kind in asked.lists if _switch(capabilities, kind, "listChanged"))
    can_subscribe = _switch(capabilities, "resources", "subscribe")
    return Filter(lists, asked.uris.intersection(subscribed) if can_subscribe else frozenset())


def _switch(capabilities: Mapping[str, Any], name: str, switch: str) -> bool:
    said = capabilities.get(name)
    return type(said) is dict and said.get(switch) is True


def acknowledged(params: Mapping[str, Any], asked: Filter) -> Filter:
    """What a modern server acknowledged, as far as it was asked for. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    try:
        told = read_filter(params)
    except Refused as reason:
        raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=f"acknowledgement: {reason.message}") from None
    return Filter(told.lists & asked.lists, told.uris & asked.uris)


# Notifications


class Way(enum.Enum):
    """How a notification reaches a client."""

    CALL = "call"
    """On the stream of the call it belongs to."""
    LISTENING = "listening"
    """On a modern client's listen stream, tagged, or once on a legacy session's own stream."""


_EVERY = frozenset(ERA_OF)
_WAYS: Mapping[str, tuple[Way, frozenset[str]]] = {
    "notifications/progress": (Way.CALL, _EVERY),
    "notifications/message": (Way.CALL, _EVERY),
    **dict.fromkeys(CHANGED.values(), (Way.LISTENING, _EVERY)),
    UPDATED: (Way.LISTENING, _EVERY),
    "notifications/elicitation/complete": (Way.LISTENING, frozenset({"2025-11-25"})),
}
"""Notifications of servers that pass, how, and to clients of which revisions. What is not here speaks of one connection (`cancelled`,
`initialized`, `subscriptions/acknowledged`), of tasks, or is unknown, and is not passed on."""


def way_to(method: str, client: str) -> Way | None:
    """How a server's notification reaches a client of a revision; None: it does not."""
    way, revisions = _WAYS.get(method, (None, frozenset()))
    return way if client in revisions else None


def passed_on(params: Mapping[str, Any], client: str) -> Mapping[str, Any]:
    """The parameters of a notification without what a server said in `_meta` about a connection that is not its own."""
    said = params.get("_meta")
    if "_meta" not in params:
        return params
    meta = vendor_meta(said) if type(said) is dict else {}
    if type(said) is dict and META_RELATED_TASK in said and ERA_OF[client] is Era.LEGACY:
        meta[META_RELATED_TASK] = said[META_RELATED_TASK]
    kept = {key: value for key, value in params.items() if key != "_meta"}
    return {**kept, "_meta": meta} if meta else kept


def tagged(params: Mapping[str, Any], subscription_id: str | int) -> dict[str, Any]:
    """The same on a listen stream: every message there names the request that opened it."""
    said = params.get("_meta")
    return {**params, "_meta": {**(said if type(said) is dict else {}), META_SUBSCRIPTION: subscription_id}}


def concerns(params: Mapping[str, Any], uris: Collection[str]) -> bool:
    """Whether `notifications/resources/updated` is for somebody who subscribed these URIs: one of them, or something below one
    (2026-07-28, ResourceUpdatedNotificationParams: it might be a sub-resource)."""
    uri = params.get("uri")
    if type(uri) is not str:
        return False
    return uri in uris or any(uri.startswith(above if above.endswith("/") else above + "/") for above in uris)


# Log levels

_RANK = {level: rank for rank, level in enumerate(LOG_LEVELS)}


def most_verbose(levels: Iterable[str]) -> str:
    """The level that a legacy server is set to so that all of these callers hear what they want; empty if none wants anything."""
    return min(levels, key=_RANK.__getitem__, default="")
