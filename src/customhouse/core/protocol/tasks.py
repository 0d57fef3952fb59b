"""Tasks between modern peers, and why a task does not cross: those of 2025-11-25 and the tasks extension have no common form.

Sources: MCP 2025-11-25, basic/utilities/tasks; the tasks extension and SEP-2663, Backward Compatibility: in one the client asks for a task,
in the other the server decides; one has `tasks/list` and `tasks/result`, the other neither.
Between modern peers a task gets an id of the gateway's own (`taskid.py`).
A receiver that did not offer tasks must ignore the `task` of a request (2025-11-25, Capability Negotiation), so where an endpoint offers
none, nothing is refused here: the parameter is left out by `translation.translated_params`.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from customhouse.core.protocol.entries import needs_task
from customhouse.core.protocol.revisions import META_SERVER, vendor_meta
from customhouse.core.protocol.taskid import MAX_SERVER_ID_BYTES
from customhouse.core.refusal import Reason, Refused

IS_TASK = msgspec.Raw(b'"task"')
"""The `resultType` of a result that is a task."""

_COMPLETE = msgspec.Raw(b'"complete"')

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
    if members.get("resultType") != IS_TASK:
        return None
    return {**members, "_meta": {**_vendor_meta_of(members), META_SERVER: server_info}}


def server_id_of(members: Mapping[str, msgspec.Raw]) -> str:
    """The server's own id of the task that a result is about. Raises `Refused` UPSTREAM_BROKE_PROTOCOL."""
    try:
        own: str = msgspec.json.decode(members.get("taskId", b""), type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise _broken("a task without an id") from None
    if not own or len(own.encode()) > MAX_SERVER_ID_BYTES:
        raise _broken(f"the id of a task has not 1 to {MAX_SERVER_ID_BYTES} bytes")
    return own


def relayed_about_task(
    members: Mapping[str, msgspec.Raw],
    method: str,
    server_id: str,
    given_id: str,
    wanted: Mapping[str, Any] | None,
    server_info: Mapping[str, Any],
) -> dict[str, Any]:
    """A server's answer to a request about a task as the client gets it: under the id that the client was given, with `ttlMs`.

    `wanted` takes the place of `inputRequests`. The examples of the extension say `task` where its text demands `complete`: both are read.
    An inlined result stays as it is but for the keys of the server's connection in its `_meta`. Raises `Refused` UPSTREAM_BROKE_PROTOCOL.
    """
    if members.get("resultType", _COMPLETE) not in (_COMPLETE, IS_TASK):
        raise _broken(f"resultType of {method}")
    told: dict[str, Any] = {**members, "resultType": "complete", "_meta": {**_vendor_meta_of(members), META_SERVER: server_info}}
    if method == "tasks/get" or "taskId" in members:
        if server_id_of(members) != server_id:
            raise _broken("the answer is about another task")
        told["taskId"] = given_id
    if wanted is not None:
        told["inputRequests"] = wanted
    if "result" in members:
        told["result"] = _inlined(members["result"])
    return told


def _inlined(raw: msgspec.Raw) -> Any:
    result = _decoded(raw, "`result`")
    return {**result, "_meta": _vendor_meta_of(result)} if "_meta" in result else raw


def _vendor_meta_of(members: Mapping[str, msgspec.Raw]) -> dict[str, Any]:
    return vendor_meta(_decoded(members["_meta"], "`_meta`")) if "_meta" in members else {}


def _decoded(raw: msgspec.Raw, what: str) -> dict[str, msgspec.Raw]:
    try:
        return msgspec.json.decode(raw, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        raise _broken(f"{what} has the wrong type") from None


def _broken(note: str) -> Refused:
    return Refused(Reason.UPSTREAM_BROKE_PROTOCOL, note=note)


def _not_carried(message: str, server: str, client: str) -> Refused:
    return Refused(Reason.TASK_NOT_CARRIED, {"server": server, "client": client}, message=message)
