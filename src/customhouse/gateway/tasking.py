"""What a client asks about a task that a server holds: the same decision as for the call that began it, made anew, then the server's word.

Source: the tasks extension of MCP 2026-07-28 and SEP-2663. `tasks/get` reads; `tasks/update` and `tasks/cancel` let the tool go on or stop,
so for a tool that changes things they are writes like the call itself. A task lives at its server and in the revision that began it:
nothing is kept here, and a client's id says all there is to know.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import msgspec

from customhouse.core.catalogue import Entry
from customhouse.core.protocol.capabilities import TASKS, declared
from customhouse.core.protocol.revisions import ERA_NAMES, META_CAPABILITIES
from customhouse.core.protocol.taskid import Task, arguments_of
from customhouse.core.protocol.tasks import refuse_tasks_across, relayed_about_task
from customhouse.core.refusal import Reason, Refused
from customhouse.core.sealing import Seal
from customhouse.gateway.call import JSON, Answer, Call
from customhouse.gateway.leaving import check_output
from customhouse.gateway.relay import Relay, travelling
from customhouse.gateway.rounds import Wanted
from customhouse.gateway.taskids import TaskIds
from customhouse.ports.traffic import UpstreamAnswer

REQUIRED: Final[dict[str, object]] = {"requiredCapabilities": {"extensions": {TASKS: {}}}}

_INVALID_PARAMS = -32602


@dataclass
class Tasking:
    """Answers `tasks/get`, `tasks/update` and `tasks/cancel`."""

    relay: Relay
    ids: TaskIds

    async def carry(self, call: Call) -> Answer | None:
        """See the module. Raises `Refused`: MISSING_CAPABILITY, UNKNOWN_TASK for a tool that the caller must not see too, or as a call."""
        message = call.message
        if TASKS not in declared(message.meta[META_CAPABILITIES], message.revision).get("extensions", {}):
            raise Refused(Reason.MISSING_CAPABILITY, REQUIRED)
        task = self.ids.open(message.params.get("taskId"), call.caller, call.endpoint.path)
        tool = call.endpoint.tool_of(task.server, task.tool)
        if tool is None:
            raise Seal.TASK.refused()
        call.trail.note = f"task of call {task.call_id}"
        entry = tool.entry
        if message.method == "tasks/get":
            entry = msgspec.structs.replace(entry, effect="read", changes_things=False)
        elif message.method == "tasks/update" and type(message.params.get("inputResponses")) is not dict:
            raise Refused(Reason.INVALID_PARAMS, message="`inputResponses` is not an object.")
        own = {"taskId": task.server_id}
        if message.method == "tasks/update":
            own["inputResponses"] = message.params["inputResponses"]
        params = travelling(message.params, own)
        try:
            return await self.relay.ask_about(call, entry, arguments_of(task), params, partial(self._answer, task))
        except Refused as refused:
            if refused.reason is Reason.UNKNOWN_NAME:  # whose tool the caller may not even list any more
                raise Seal.TASK.refused() from None
            raise

    def _answer(self, task: Task, call: Call, entry: Entry, answered: UpstreamAnswer | Wanted) -> Answer:
        answered = cast(UpstreamAnswer, answered)  # what a task wants stands in its state: `Rounds.ask` hands it through
        message, trail = call.message, call.trail
        server = answered.revision or entry.revision
        trail.upstream_era = ERA_NAMES[server]
        refuse_tasks_across(message.method, message.params, server, call.revision)
        if answered.error is not None:
            if answered.error["code"] == _INVALID_PARAMS and message.method != "tasks/update":
                raise Seal.TASK.refused()  # its server does not know it any more
            return self.relay.relayed_error(call, entry, answered.error, server)
        members = answered.result or {}
        wanted: dict[str, Any] | None = self.relay.rounds.wanted_by_task(call, entry, members)
        given = str(message.params["taskId"])
        result = relayed_about_task(members, message.method, task.server_id, given, wanted, call.view.server_info)
        if "result" in members:
            check_output(entry, msgspec.json.decode(members["result"], type=dict[str, msgspec.Raw]), server)
        trail.outcome = "answered"
        return Answer(200, JSON, self.relay.leaving.result(call, entry, result))
