"""A small MCP server on stdio that does what a test tells it to, good or bad; it runs as a process of its own.

What it is given as arguments says how it starts; what a tool is called says what a call does. Every message it reads is noted in the file
named first, with its process id, so that a test can count processes and greetings.
"""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any

NOTES, *MANNERS = sys.argv[1:]
REVISION = next((manner.removeprefix("speaks=") for manner in MANNERS if manner.startswith("speaks=")), "2025-11-25")
CAPABILITIES = {"tools": {"listChanged": True}, "resources": {"subscribe": True}, "logging": {}}
held: list[Any] = []
asked: dict[Any, Any] = {}
roots: list[Any] = []


def say(message: Any) -> None:
    text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def answer(message_id: Any, result: Any) -> None:
    say({"jsonrpc": "2.0", "id": message_id, "result": result})


def text(words: Any) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words if isinstance(words, str) else json.dumps(words)}]}


def error(message_id: Any, code: int, **more: Any) -> None:
    say({"jsonrpc": "2.0", "id": message_id, "error": {"code": code, "message": "m", **more}})


def note(method: str, **more: Any) -> None:
    say({"jsonrpc": "2.0", "method": method, "params": more})


def discover(message_id: Any) -> None:
    if "ends-on-probe" in MANNERS:
        sys.exit(1)
    elif "silent-on-probe" in MANNERS:
        return
    elif "modern" in MANNERS:
        answer(message_id, {"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "resultType": "complete"})
    elif "lists-legacy" in MANNERS:
        answer(message_id, {"supportedVersions": ["2025-11-25"]})
    elif "needs-version" in MANNERS:
        error(message_id, -32022, data={"supported": ["2026-07-28"]})
    elif "nameless-error" in MANNERS:
        error(None, -32600)
    else:
        error(message_id, -32601)


def initialize(message_id: Any, params: dict[str, Any]) -> None:
    if "silent-greeting" in MANNERS:
        return
    if "no-legacy" in MANNERS:
        error(message_id, -32601)
    elif "picky" in MANNERS and params["protocolVersion"] != REVISION:
        error(message_id, -32602, data={"supported": ["1999-01-01", REVISION]})
    elif "bad-greeting" in MANNERS:
        answer(message_id, {"protocolVersion": REVISION, "a": {"b": 1}, "capabilities": {}} | {"protocolVersion": ["no"]})
    else:
        named = {"name": "odd", "version": "1"}
        answer(message_id, {"protocolVersion": REVISION, "capabilities": CAPABILITIES, "serverInfo": named, "offered": params})


def call(message_id: Any, params: dict[str, Any]) -> None:  # noqa: C901, PLR0912 - a table of manners, read top to bottom
    name, given, meta = params["name"], params.get("arguments") or {}, params.get("_meta") or {}
    token = meta.get("progressToken")
    if name == "echo":
        answer(message_id, text(given))
    elif name == "roots":
        answer(message_id, text(roots))
    elif name == "pid":
        answer(message_id, text(str(os.getpid())))
    elif name == "meta":
        answer(message_id, text(meta))
    elif name == "hold":
        held.append(message_id)
    elif name == "release":
        for one in held:
            answer(one, text("released"))
        held.clear()
        answer(message_id, text("done"))
    elif name == "ask":
        ask(message_id, given["method"], given.get("params", {}), given.get("id", f"q-{message_id}"))
    elif name == "ask-often":
        for number in range(given["times"]):
            ask(message_id, "roots/list", {}, f"q-{number}")
        for number in range(given["times"]):
            asked.pop(f"q-{number}")
        asked["q-0"] = message_id
    elif name == "ask-and-withdraw":
        ask(message_id, given["method"], given.get("params", {}), "first")
        ask(message_id, given["method"], given.get("params", {}), "second")
    elif name == "progress":
        for step in range(given.get("steps", 3)):
            note("notifications/progress", progressToken=token, progress=step)
        note("notifications/progress", progressToken=f"{token}", progress=99)
        note("notifications/progress", progressToken=10_000, progress=99)
        answer(message_id, text("done"))
        note("notifications/progress", progressToken=token, progress=100)
    elif name == "log":
        note("notifications/message", level="info", data="hello")
        answer(message_id, text("done"))
    elif name == "say":
        for line in given["lines"]:
            say(line)
        if "then" in given:
            answer(message_id, text(given["then"]))
    elif name == "twice":
        answer(message_id, text("first"))
        answer(message_id, text("second"))
    elif name == "another-id":
        answer(message_id + 1_000, text("no"))
        answer(str(message_id), text("no"))
        answer(message_id, text("yes"))
    elif name == "batch":
        parts = [{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "in a batch"}}]
        say([*parts, {"jsonrpc": "2.0", "id": message_id, "result": text("batched")}])
    elif name == "error":
        error(message_id, given["code"], **given.get("more", {}))
    elif name == "big":
        answer(message_id, text("x" * given["bytes"]))
    elif name == "die":
        if given.get("words"):
            sys.stderr.write(given["words"] + "\n")
            sys.stderr.flush()
        os._exit(3)
    elif name == "die-in-the-middle":
        sys.stdout.write(f'{{"jsonrpc":"2.0","id":{message_id},"result":{{"cont')
        sys.stdout.flush()
        os._exit(3)
    elif name == "close-stdout":
        sys.stdout.flush()
        os.close(1)
        time.sleep(600)
    elif name == "flood":
        for number in range(given["lines"]):
            say(given.get("line", {"jsonrpc": "2.0", "method": "notifications/tools/list_changed", "params": {"n": number}}))
        answer(message_id, text("done"))
    elif name == "fork":
        child = subprocess.Popen(["sleep", "600"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        answer(message_id, text(str(child.pid)))
    elif name == "deaf":
        answer(message_id, text("deaf from now on"))
        time.sleep(600)
    else:
        error(message_id, -32602)


def listen(message_id: Any, params: dict[str, Any]) -> None:
    about = {"_meta": {"io.modelcontextprotocol/subscriptionId": message_id}}
    agreed = {**params["notifications"]}
    if "resourceSubscriptions" in agreed:
        if "ends-on-watch" in MANNERS:
            sys.exit(5)
        if "silent-on-watch" in MANNERS:
            return
        agreed["resourceSubscriptions"] = [uri for uri in agreed["resourceSubscriptions"] if uri != "file:///unknown"]
    note("notifications/subscriptions/acknowledged", notifications=agreed, **about)
    note("notifications/tools/list_changed", **about)
    for uri in agreed.get("resourceSubscriptions", []):
        note("notifications/resources/updated", uri=f"{uri}/below", **about)


def ask(message_id: Any, method: str, params: dict[str, Any], own_id: Any) -> None:
    asked[own_id] = message_id
    say({"jsonrpc": "2.0", "id": own_id, "method": method, "params": params})


def handle(message: dict[str, Any]) -> None:  # noqa: C901 - a table of messages, read top to bottom
    method, message_id, params = message.get("method", ""), message.get("id"), message.get("params") or {}
    if not method:
        waiting = asked.pop(message_id, None)
        if message_id == "first":
            note("notifications/cancelled", requestId="second")
            answer(waiting, text("never mind"))
        elif message_id == "at-once":
            roots.append(message.get("result", "refused"))
        elif waiting is not None:
            answer(waiting, text({key: message[key] for key in ("id", "result", "error") if key in message}))
    elif method == "server/discover":
        discover(message_id)
    elif method == "initialize":
        initialize(message_id, params)
    elif method == "tools/call":
        call(message_id, params)
    elif method == "notifications/cancelled":
        if params["requestId"] in held and "answers-late" in MANNERS:
            held.remove(params["requestId"])
            answer(params["requestId"], text("too late"))
    elif method == "subscriptions/listen":
        listen(message_id, params)
    elif method == "notifications/initialized" and "asks-at-once" in MANNERS:
        ask(None, "roots/list", {}, "at-once")
    elif method == "ping" and "deaf-to-pings" in MANNERS:
        return
    elif message_id is not None:
        answer(message_id, {})


def main() -> None:
    if "hangs" in MANNERS:
        time.sleep(600)
    if "stubborn" in MANNERS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "greets" in MANNERS:
        say("Starting the server.\nReady \u2713")
    if "ends-at-once" in MANNERS:
        sys.exit(4)
    for line in sys.stdin:
        message = json.loads(line)
        with open(NOTES, "a", encoding="utf-8") as notes:  # noqa: PTH123 - the shortest start of a process
            notes.write(json.dumps([os.getpid(), message]) + "\n")
        handle(message)
    if "stubborn" in MANNERS:
        time.sleep(600)


main()
