"""A server of MCP on loopback that answers each request as its script says, and remembers what it was asked."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One HTTP answer; `events` makes it an event stream of these messages and then the answer."""

    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    events: tuple[dict[str, Any], ...] | None = None
    status: int = 200
    body: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """One HTTP request."""

    verb: str
    headers: dict[str, str]
    message: dict[str, Any]


Script = Callable[[dict[str, Any]], Answer]


@dataclass
class Scripted:
    """The running server."""

    url: str
    asked: list[Asked]

    def methods(self) -> list[str]:
        return [each.message.get("method", each.verb) for each in self.asked]


class _Patient(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that has heard enough hangs up; that is no fault."""


@contextmanager
def scripted(script: Script) -> Iterator[Scripted]:
    """A server for the length of the block."""
    asked: list[Asked] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append(Asked("POST", {name.lower(): value for name, value in self.headers.items()}, message))
            self._send(script(message), message.get("id"))

        def do_DELETE(self) -> None:
            asked.append(Asked("DELETE", {name.lower(): value for name, value in self.headers.items()}, {}))
            self._send(Answer(status=200, body=b""), None)

        def _send(self, answer: Answer, request_id: object) -> None:
            kind = "text/event-stream" if answer.events is not None else "application/json"
            body = answer.body if answer.body is not None else _body(answer, request_id)
            self.send_response(answer.status)
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **answer.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Say nothing."""

    with _Patient(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Scripted(f"http://127.0.0.1:{server.server_port}/mcp", asked)
        finally:
            server.shutdown()
            thread.join()


def _body(answer: Answer, request_id: object) -> bytes:
    outcome = {"error": answer.error} if answer.error is not None else {"result": answer.result or {}}
    final = {"jsonrpc": "2.0", "id": request_id, **outcome}
    if answer.events is None:
        return json.dumps(final).encode()
    return b"".join(b"event: message\ndata: " + json.dumps(each).encode() + b"\n\n" for each in (*answer.events, final))
