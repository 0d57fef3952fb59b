"""What an attacker has: raw bytes for the door, tokens of somebody without rights, a tap on the wire behind, and servers that lie."""

import http.client
import json
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from customhouse.adapters.verifiers.development import DevelopmentIssuer
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_VERSION, NAMED_BY

MODERN = "2026-07-28"
FOREIGN_HOST = ("foreign_host", "malformed_http")
"""How a Host is refused: another name, or no name at all."""
RELAYED = frozenset({"tools/call", "prompts/get", "resources/read", "completion/complete"})

Headers = Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        """The JSON-RPC message, whole or as the last event of a stream."""
        text = self.body.decode()
        if self.headers.get("content-type") == "text/event-stream":
            text = re.findall(r"^data: (.*)$", text, re.MULTILINE)[-1]
        found: dict[str, Any] = json.loads(text)
        return found

    @property
    def reason(self) -> str:
        """The reason of a refusal, as the gateway names it; empty where it is none."""
        data = self.message.get("error", {}).get("data")
        return str(data.get("reason", "")) if isinstance(data, dict) else ""

    @property
    def text(self) -> str:
        """The text of a tool's result."""
        return str(self.message["result"]["content"][0]["text"])


def read_answer(connection: socket.socket, method: str = "POST") -> Answer:
    """One HTTP response from a socket."""
    response = http.client.HTTPResponse(connection, method=method)
    try:
        response.begin()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        response.close()


class Door:
    """The gateway's door, spoken to byte by byte."""

    def __init__(self, port: int, public_url: str, key_file: Path) -> None:
        self.port = port
        self.host = f"127.0.0.1:{port}"
        self._public_url = public_url
        self.key_file = key_file

    def token(self, person: str, *groups: str, paths: Sequence[str] = ("/mcp", "/servers/notes/mcp"), public_url: str = "") -> str:
        """A token of the development issuer for these endpoints."""
        return DevelopmentIssuer.open(self.key_file).mint(
            person=person,
            groups=groups,
            scopes=(),
            client="attacker",
            tenant="local",
            resources=[(public_url or self._public_url) + path for path in paths],
            lifetime_seconds=600,
            now=time.time(),
        )

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection of one's own."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20.0) as connection:
            yield connection

    def raw(self, data: bytes, method: str = "POST") -> Answer:
        """Exactly these bytes, and the first answer to them."""
        with self.connected() as connection:
            connection.sendall(data)
            return read_answer(connection, method)

    def ask(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> Answer:
        """A request with exactly these headers; Host and Content-Length are added where they are missing."""
        return self.raw(self.framed(method, target, headers, body), method)

    def framed(self, method: str, target: str, headers: Headers = (), body: bytes = b"") -> bytes:
        """The bytes of a request."""
        there = {name.lower() for name, _ in headers}
        lines = list(headers)
        if "host" not in there:
            lines.insert(0, ("Host", self.host))
        if body and not {"content-length", "transfer-encoding"} & there:
            lines.append(("Content-Length", str(len(body))))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines)
        return f"{method} {target} HTTP/1.1\r\n{head}\r\n".encode("latin-1") + body

    def say(self, request: "Request", token: str, path: str = "/mcp", extra: Headers = ()) -> Answer:
        """An MCP request of the holder of a token; `extra` replaces headers of the same name."""
        own = [("Authorization", f"Bearer {token}"), *request.headers]
        replaced = {name.lower() for name, _ in extra}
        kept = [(name, value) for name, value in own if name.lower() not in replaced]
        return self.ask("POST", path, [*kept, *extra], request.body)


@dataclass(frozen=True)
class Request:
    """An MCP request: its own headers and its body."""

    headers: Headers
    body: bytes


_MEDIA = (("Content-Type", "application/json"), ("Accept", "application/json, text/event-stream"))


def request(method: str, params: Mapping[str, Any] | None = None, revision: str = MODERN, message_id: str | int = 1) -> Request:
    """A well-formed request of a revision."""
    said = dict(params or {})
    headers = [*_MEDIA, ("MCP-Protocol-Version", revision)]
    if revision == MODERN:
        said["_meta"] = {META_VERSION: MODERN, META_CAPABILITIES: {}}
        headers.append(("Mcp-Method", method))
        if isinstance(name := said.get(NAMED_BY.get(method, "")), str):
            headers.append(("Mcp-Name", name))
    return Request(headers, json.dumps({"jsonrpc": "2.0", "id": message_id, "method": method, "params": said}).encode())


def call(name: str, arguments: Mapping[str, Any] | None = None, revision: str = MODERN, message_id: str | int = 1) -> Request:
    """A call of a tool."""
    return request("tools/call", {"name": name, "arguments": dict(arguments or {})}, revision, message_id)


READ = call("notes__read_note", {"title": "welcome"})
WELCOME = "Every call to this notebook goes through the gateway."


def unwrapped(body: bytes) -> Request:
    """A legacy request with exactly this body."""
    return Request([*_MEDIA, ("MCP-Protocol-Version", "2025-11-25")], body)


# --- Behind the gateway --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """One request that the gateway sent to a server."""

    head: bytes
    body: bytes

    @property
    def message(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body or b"{}")
        return found


class Tap(socketserver.ThreadingTCPServer):
    """Passes bytes on to a port of loopback and keeps what the gateway sent. The bytes are kept before they are passed on, so whoever
    has an answer finds its request here."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, aim: int) -> None:
        super().__init__(("127.0.0.1", 0), _Pump)
        self.aim = aim
        self.streams: list[bytearray] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/mcp"

    def relayed(self) -> list[Sent]:
        """The calls of callers that were passed on so far, connection by connection; captures of the gateway itself are left out."""
        sent = [one for stream in list(self.streams) for one in _requests_in(bytes(stream))]
        return [one for one in sent if one.message.get("method") in RELAYED]

    def about(self, marker: str) -> list[Sent]:
        """The relayed requests that carry a marker."""
        return [one for one in self.relayed() if marker.encode() in one.head + one.body]


class _Pump(socketserver.BaseRequestHandler):
    server: Tap
    request: socket.socket

    def handle(self) -> None:
        stream = bytearray()
        self.server.streams.append(stream)
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.server.aim)) as server:
            back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
            back.start()
            with suppress(OSError):
                while data := self.request.recv(65_536):
                    stream += data
                    server.sendall(data)
            with suppress(OSError):
                server.shutdown(socket.SHUT_WR)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _requests_in(stream: bytes) -> Iterator[Sent]:
    while stream:
        head, _, rest = stream.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
        size = int(length[1]) if length else 0
        yield Sent(head, rest[:size])
        stream = rest[size:]


Script = Callable[[str, dict[str, Any]], tuple[int, Mapping[str, str], bytes]]
"""Path and message in; status, headers and body out."""


class Liar(ThreadingHTTPServer):
    """A server that answers by a script and keeps what it was sent."""

    daemon_threads = True
    request_queue_size = 256

    def __init__(self, script: Script) -> None:
        super().__init__(("127.0.0.1", 0), _Scripted)
        self.script = script
        self.heard: list[Sent] = []

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"


class _Scripted(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Liar

    def do_POST(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sent = Sent(f"{self.requestline}\r\n{self.headers}".encode(), body)
        self.server.heard.append(sent)
        status, headers, answer = self.server.script(self.path, sent.message)
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(answer))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[None]:
    """Serve in a thread for the block."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
