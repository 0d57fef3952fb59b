"""What a server says while it works on a call, on its way to the caller: progress, and log messages that are severe enough."""

from collections.abc import Awaitable
from typing import Any

from customhouse.core.catalogue import Entry
from customhouse.core.protocol.subscriptions import passed_on
from customhouse.gateway.call import Call
from customhouse.gateway.leaving import Leaving
from customhouse.gateway.session import severe_enough


class Passing:
    """Passes on the messages of one call; implements `ports.traffic.Listener` for a call in which nobody is asked."""

    __slots__ = ("_call", "_entry", "_least", "_leaving")

    def __init__(self, call: Call, entry: Entry, least: str, leaving: Leaving) -> None:
        self._call = call
        self._entry = entry
        self._leaving = leaving
        self._least = least

    def notify(self, method: str, params: dict[str, Any]) -> None:
        """See `ports.traffic.Listener`. The caller's own progress token takes the place of the gateway's."""
        if method == "notifications/progress":
            params["progressToken"] = self._call.message.progress_token
        elif method != "notifications/message" or not self._least or not severe_enough(params.get("level"), self._least):
            return
        told = passed_on(params, self._call.revision)
        self._call.reply.event(self._leaving.message(self._call, self._entry, method, told))

    def room(self) -> Awaitable[None] | None:
        """See `ports.traffic.Listener`."""
        return self._call.reply.room()

    async def ask(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
        """See `ports.traffic.Listener`. Nothing was declared for the call, so nothing may be asked."""
        return {"error": {"code": -32601, "message": "The client does not offer this."}}
