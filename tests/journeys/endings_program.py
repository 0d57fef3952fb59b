"""The same tool as in `endings_server`, as a legacy server over stdio: each stage it reaches is a line in the file that is its argument."""

import json
import sys
from typing import Any

TOOL = {
    "name": "work",
    "description": "Work, and stop where the arguments say.",
    "inputSchema": {"type": "object", "properties": {"stop": {"type": "string"}, "ask": {"type": "boolean"}}},
}
QUESTION = {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {"yes": {"type": "boolean"}}}}
waiting: dict[Any, tuple[Any, str, Any]] = {}


def say(**message: Any) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def note(word: str) -> None:
    with open(sys.argv[1], "a", encoding="utf-8") as notes:  # noqa: PTH123 - the shortest start of a process
        notes.write(f"{word}\n")


def go_on(message_id: Any, stop: str, token: Any) -> None:
    if stop in ("stream", "late"):
        say(method="notifications/progress", params={"progressToken": token, "progress": 1})
    if stop:
        note(stop)
    else:
        say(id=message_id, result={"content": [{"type": "text", "text": "done"}]})


def handle(message: dict[str, Any]) -> None:
    method, message_id, params = message.get("method", ""), message.get("id"), message.get("params") or {}
    if method == "initialize":
        named = {"name": "staged", "version": "1"}
        say(id=message_id, result={"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": named})
    elif method == "tools/list":
        say(id=message_id, result={"tools": [TOOL]})
    elif method == "tools/call":
        given, token = params["arguments"], (params.get("_meta") or {}).get("progressToken")
        if given.get("ask"):
            waiting[f"question-{message_id}"] = message_id, given.get("stop", ""), token
            say(id=f"question-{message_id}", method="elicitation/create", params=QUESTION)
            if given.get("stop") == "asking":
                note("asking")
        else:
            go_on(message_id, given.get("stop", ""), token)
    elif not method and message_id in waiting:
        call_id, stop, token = waiting.pop(message_id)
        go_on(call_id, "" if stop == "asking" else stop, token)
    elif method == "notifications/cancelled":
        note("cancelled")
    elif message_id is not None:
        say(id=message_id, error={"code": -32601, "message": "no such method"})


for line in sys.stdin:
    handle(json.loads(line))
