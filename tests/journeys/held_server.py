"""An MCP server in this process whose one tool waits, streams or answers at length, as its arguments say, and that notices who leaves.

`hold(wait)` answers when its caller has left, that is never; `hold(size)` answers with so many bytes; `hold(size, events)` says so many
bytes in each of so many progress messages before it answers.
"""

import json
import queue
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, cast

TOOL = {
    "name": "hold",
    "description": "Take your time.",
    "inputSchema": {
        "type": "object",
        "properties": {"wait": {"type": "boolean"}, "size": {"type": "integer"}, "events": {"type": "integer"}},
    },
}


class HeldServer(socketserver.ThreadingTCPServer):
    """The server. `arrived` and `left` hold the monotonic seconds at which waiting calls came and went."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.port: int = self.server_address[1]
        self.arrived: queue.Queue[float] = queue.Queue()
        self.left: queue.Queue[float] = queue.Queue()


@contextmanager
def held_server() -> Iterator[HeldServer]:
    """The server, running in threads."""
    with HeldServer() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class Conversation(socketserver.StreamRequestHandler):
    """One connection of the gateway."""

    def handle(self) -> None:
        with suppress(ConnectionError):
            while message := self._read():
                self._answer(message)

    def _read(self) -> dict[str, Any] | None:
        length = 0
        if not self.rfile.readline():
            return None
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        return cast("dict[str, Any]", json.loads(self.rfile.read(length)))

    def _answer(self, message: dict[str, Any]) -> None:
        method, params = message["method"], message.get("params", {})
        offers: dict[str, Any] = {
            "server/discover": {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public"},
            "tools/list": {"tools": [TOOL], "ttlMs": 0, "cacheScope": "public"},
        }
        if method in offers:
            self._send(message["id"], offers[method])
            return
        asked = params["arguments"]
        if asked.get("wait"):
            self._wait()
            return
        text = "x" * asked.get("size", 0)
        result = {"content": [{"type": "text", "text": "done" if asked.get("events") else text}]}
        if asked.get("events"):
            self._stream(message["id"], params["_meta"]["progressToken"], text, asked["events"], result)
        else:
            self._send(message["id"], result)

    def _wait(self) -> None:
        server = cast(HeldServer, self.server)
        server.arrived.put(time.monotonic())
        with suppress(ConnectionError):
            self.connection.recv(1)
        server.left.put(time.monotonic())

    def _send(self, message_id: Any, result: dict[str, Any]) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": message_id, "result": {**result, "resultType": "complete"}}).encode()
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _stream(self, message_id: Any, token: Any, text: str, events: int, result: dict[str, Any]) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for step in range(events):
            note = {"progressToken": token, "progress": step, "message": text}
            self._event({"jsonrpc": "2.0", "method": "notifications/progress", "params": note})
        self._event({"jsonrpc": "2.0", "id": message_id, "result": {**result, "resultType": "complete"}})
        self.wfile.write(b"0\r\n\r\n")

    def _event(self, message: dict[str, Any]) -> None:
        data = b"data: %b\n\n" % json.dumps(message).encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
