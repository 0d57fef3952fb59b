"""Why a task does not cross: the tasks of 2025-11-25 and the tasks extension of the modern era have no common form.

Sources: MCP 2025-11-25, basic/utilities/tasks; the tasks extension and SEP-2663, Backward Compatibility: in one the client asks for a task,
in the other the server decides; one has `tasks/list` and `tasks/result`, the other neither. Between equal revisions tasks are not touched.
A receiver that did not offer tasks must ignore the `task` of a request (2025-11-25, Capability Negotiation), so where an endpoint offers
none, nothing is refused here: the parameter is left out by `translation.translated_params`.
"""

from collections.abc import Mapping
from typing import Any

from customhouse.core.protocol.entries import needs_task
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


def _not_carried(message: str, server: str, client: str) -> Refused:
    return Refused(Reason.TASK_NOT_CARRIED, {"server": server, "client": client}, message=message)
