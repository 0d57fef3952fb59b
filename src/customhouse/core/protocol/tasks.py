"""Why a task does not cross: the tasks of 2025-11-25 and the tasks extension of the modern era have no common form.

Sources: MCP 2025-11-25, basic/utilities/tasks; the tasks extension and SEP-2663, Backward Compatibility: in one the client asks for a task,
in the other the server decides; one has `tasks/list` and `tasks/result`, the other neither. Between equal revisions tasks are not touched.
A receiver that did not offer tasks must ignore the `task` of a request (2025-11-25, Capability Negotiation), so where an endpoint offers
none, nothing is refused here: the parameter is left out by `translation.translated_params`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.protocol.entries import needs_task
from customhouse.core.protocol.revisions import META_SERVER, vendor_meta
from customhouse.core.refusal import Reason, Refused

TASK_METHODS = frozenset({"tasks/get", "tasks/list", "tasks/result", "tasks/cancel", "tasks/update"})


def refuse_tasks_across(method: str, params: Mapping[str, Any], server: str, client: str) -> None:
    """Raises `Refused` TASK_NOT_CARRIED for a request about a task, or for a task, whose server is of another revision."""
    if server == client:
        return
    if method in TASK_METHODS:
        raise _not_carried(f"The client speaks {client}, the server {server}.", server, client)
    if "task" in params and client == "2025-11-25":
        raise _not_carried(f"The server speaks {server}; call without `task`.", server, client)


def refuse_task_alone(tool: Mapping[str, Any], server: str, client: str) -> None:
    """Raises `Refused` TASK_NOT_CARRIED for a tool that can be called as a task alone, which only a client of its revision can do."""
    if server == "2025-11-25" != client and needs_task(tool):
        raise _not_carried("The tool can be called as a task alone.", server, client)


def relayed_task(members: Mapping[str, msgspec.Raw], server_info: Mapping[str, Any]) -> dict[str, Any] | None:
    """A modern server's answer to `tools/call` as a modern client gets it, if it is a task; None if it is not.

    Only for calls for which the tasks extension was declared to the server; without it, `results.relayed` refuses the answer. `ttlMs` says
    how long the server keeps the task, so unlike that of other results it stays.
    """
    kind = members.get("resultType")
    if kind is None or bytes(kind) != b'"task"':
        return None
    try:
        said = msgspec.json.decode(members["_meta"], type=dict[str, msgspec.Raw]) if "_meta" in members else {}
    except msgspec.DecodeError:
        raise Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note="`_meta` has the wrong type") from None
    return {**members, "_meta": {**vendor_meta(said), META_SERVER: server_info}}


def _not_carried(message: str, server: str, client: str) -> Refused:
    return Refused(Reason.TASK_NOT_CARRIED, {"server": server, "client": client}, message=message)
