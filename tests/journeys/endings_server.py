"""An MCP server over HTTP in threads that stops at a named stage of a call, so that a test can end either side there.

`work(stop, ask)` is its one tool. It stops at `unread` (the request is read, nothing is sent), `half` (half of a JSON answer is out),
`stream` (a stream with progress is open), `asking` (a question is out), `answered` (its answer is here, nothing else happened) or `late`
(and progress is out after it). A modern server asks with a result, so it stands at no stage while its question is open.
"""

import json
import queue
import select
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, cast

TOOL = {
    "name": "work",
    "description": "Work, and stop where the arguments say.",
    "inputSchema": {"type": "object", "properties": {"stop": {"type": "string"}, "ask": {"type": "boolean"}}},
}
QUESTION = {"mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {"yes": {"type": "boolean"}}}}
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: closing resets, as the end of a process with unread data does."""
WAITS_SECONDS = 20.0


class Gone(Exception):
    """The gateway has left the call."""


@dataclass
class Held:
    """A call that stands at its stage."""

    stage: str
    connection: socket.socket
    message_id: Any
    gone: threading.Event = field(default_factory=threading.Event)
    """The gateway closed the connection of the call."""
    go: threading.Event = field(default_factory=threading.Event)
    """Set by a test: the call goes on."""
    killed: bool = False

    def kill(self) -> None:
        """The server dies, as far as this call can tell."""
        self.killed = True
        self.connection.shutdown(socket.SHUT_RDWR)


class StagedServer(socketserver.ThreadingTCPServer):
    """The server. `held` has the calls that reached their stage, `cancelled` the ids that the gateway gave up by name."""

    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 1024

    def __init__(self, *, modern: bool) -> None:
        super().__init__(("127.0.0.1", 0), Conversation)
        self.modern = modern
        self.port: int = self.server_address[1]
        self.held: queue.Queue[Held] = queue.Queue()
        self.cancelled: list[Any] = []
        self.answers: dict[str, queue.Queue[dict[str, Any]]] = {}
        self.connections: set[socket.socket] = set()
        self.down = False
        self.finished = 0
        """Calls that were answered to their end."""

    def verify_request(self, request: Any, client_address: Any) -> bool:
        return not self.down

    def kill(self) -> None:
        """The process is gone: every connection ends, and no other one begins."""
        self.down = True
        self.hang_up()

    def hang_up(self) -> int:
        """Close every connection; how many there were."""
        found = list(self.connections)
        for connection in found:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        return len(found)

    def next_held(self) -> Held:
        return self.held.get(timeout=WAITS_SECONDS)


@contextmanager
def staged_server(*, modern: bool) -> Iterator[StagedServer]:
    """The server, running in threads."""
    with StagedServer(modern=modern) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            server.hang_up()
            thread.join()


class Conversation(socketserver.StreamRequestHandler):
    """One connection of the gateway."""

    def handle(self) -> None:
        self.here = cast(StagedServer, self.server)
        self.here.connections.add(self.connection)
        self.streams = False
        try:
            while (message := self._read()) is not None:
                self._answer(message)
        except (OSError, Gone):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        finally:
            self.here.connections.discard(self.connection)

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def _read(self) -> dict[str, Any] | None:
        length, first = 0, self.rfile.readline()
        while line := self.rfile.readline().strip():
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not first:
            return None
        if not first.startswith(b"POST"):
            return {"method": first.split(b" ")[0].decode(), "id": 0}
        return cast("dict[str, Any]", json.loads(self.rfile.read(length)))

    def _answer(self, message: dict[str, Any]) -> None:
        method, message_id = message.get("method", ""), message.get("id")
        if method in ("GET", "DELETE"):
            self._head(b"405 Method Not Allowed", b"content-length: 0\r\n")
        elif message_id is None:
            if method == "notifications/cancelled":
                self.here.cancelled.append(message["params"]["requestId"])
            self._head(b"202 Accepted", b"content-length: 0\r\n")
        elif not method:
            self.here.answers[message_id].put(message)
            self._head(b"202 Accepted", b"content-length: 0\r\n")
        elif method == "tools/call":
            self.streams = False
            self._work(message_id, message["params"])
        else:
            self._whole({"jsonrpc": "2.0", "id": message_id, **self._offer(method)})

    def _offer(self, method: str) -> dict[str, Any]:
        about: dict[str, Any] = {"ttlMs": 0, "cacheScope": "public", "resultType": "complete"} if self.here.modern else {}
        if method == "tools/list":
            return {"result": {"tools": [TOOL], **about}}
        if method == "server/discover" and self.here.modern:
            return {"result": {"supportedVersions": [MODERN], "capabilities": {"tools": {}}, **about}}
        if method == "initialize" and not self.here.modern:
            named = {"name": "staged", "version": "1"}
            return {"result": {"protocolVersion": LEGACY, "capabilities": {"tools": {}}, "serverInfo": named}}
        return {"error": {"code": -32601, "message": "no such method"}}

    def _work(self, message_id: Any, params: dict[str, Any]) -> None:
        asked = params["arguments"]
        stop, token = asked.get("stop"), (params.get("_meta") or {}).get("progressToken")
        result: dict[str, Any] = {"content": [{"type": "text", "text": "done"}]}
        if self.here.modern:
            result["resultType"] = "complete"
            if asked.get("ask") and "requestState" not in params:
                wanted = {"sure": {"method": "elicitation/create", "params": QUESTION}}
                result = {"resultType": "input_required", "inputRequests": wanted, "requestState": "state"}
                self._whole({"jsonrpc": "2.0", "id": message_id, "result": result})
                return
        elif asked.get("ask"):
            self._ask(message_id, stop)
        if stop == "unread" or (stop == "answered" and self.here.modern):
            self._stop(stop, message_id)
        if stop in ("stream", "late"):
            self._event({"method": "notifications/progress", "params": {"progressToken": token, "progress": 1}})
            self._stop(stop, message_id)
        self._finish({"jsonrpc": "2.0", "id": message_id, "result": result}, message_id, half=stop == "half")

    def _ask(self, message_id: Any, stop: str) -> None:
        own_id = f"question-{message_id}"
        answers = self.here.answers[own_id] = queue.Queue()
        self._event({"id": own_id, "method": "elicitation/create", "params": QUESTION})
        if stop == "asking":
            self._stop(stop, message_id)
        while answers.empty():
            self._still_there()
        answers.get()
        if stop == "answered":
            self._stop(stop, message_id)

    def _stop(self, stage: str, message_id: Any) -> None:
        held = Held(stage, self.connection, message_id)
        self.here.held.put(held)
        try:
            while not held.go.is_set():
                self._still_there()
        except (Gone, OSError):
            held.gone.set()
            raise Gone from None

    def _still_there(self) -> None:
        """Wait a moment; raises `Gone` if the gateway has closed the connection: on that of a call it says nothing more."""
        readable, _, _ = select.select([self.connection], [], [], 0.01)
        if readable:
            raise Gone

    def _finish(self, message: dict[str, Any], message_id: Any, *, half: bool) -> None:
        if self.streams:
            self._event(message)
            self.wfile.write(b"0\r\n\r\n")
        else:
            self._whole(message, message_id if half else None)
        self.here.finished += 1

    def _whole(self, message: dict[str, Any], stops_for: Any = None) -> None:
        body = json.dumps(message).encode()
        middle = len(body) if stops_for is None else len(body) // 2
        self._head(b"200 OK", b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body), body[:middle])
        if stops_for is not None:
            self._stop("half", stops_for)
            self.wfile.write(body[middle:])

    def _head(self, status: bytes, headers: bytes, body: bytes = b"") -> None:
        self.wfile.write(b"HTTP/1.1 %b\r\n%b\r\n%b" % (status, headers, body))

    def _event(self, message: dict[str, Any]) -> None:
        if not self.streams:
            self.streams = True
            self._head(b"200 OK", b"content-type: text/event-stream\r\ntransfer-encoding: chunked\r\n")
        data = b"data: %b\n\n" % json.dumps({"jsonrpc": "2.0", **message}).encode()
        self.wfile.write(b"%x\r\n%b\r\n" % (len(data), data))
