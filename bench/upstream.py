"""An MCP server that answers at once with bytes made before: the upstream of every measured path.

Tools: `read` and `write` answer with 500 bytes, `read_64k` and `read_1m` with that much, `read_sse` with a
stream of 20 progress messages and the answer at once, `read_sse_slowly` with the same a millisecond apart, as progress comes,
`read_held` begins a stream and never ends it. With `--tools N` it lists N more. SIGUSR1 changes the first tool.
Run: `python -m bench.upstream --port N [--tools N]`.
"""

import argparse
import asyncio
import signal
from typing import Any

import httptools
import msgspec
import uvloop

SIZES = {"read": 500, "write": 500, "read_64k": 65_536, "read_1m": 1_048_576, "read_sse": 500, "read_sse_slowly": 500, "read_held": 500}
EVENTS = 20
CAPABILITIES = {"tools": {"listChanged": True}}


def tool(name: str) -> dict[str, Any]:
    """A tool of ordinary size: about 700 bytes of JSON."""
    properties = {
        key: {"type": "string", "description": f"The {key} of what is asked for, as people write it."} for key in ("q", "place", "when")
    }
    schema = {"type": "object", "properties": properties, "required": ["q"]}
    return {"name": name, "description": f"Answers a question about {name}. " * 4, "inputSchema": schema}


class Answers:
    """Everything that is ever said, made once; only the id is put in."""

    def __init__(self, more_tools: int, era: str = "both") -> None:
        self.era = era
        names = [*SIZES, *(f"tool_{number:03}" for number in range(more_tools))]
        self.tools = [tool(name) for name in names]
        self.results = {name: msgspec.json.encode(self._result(SIZES.get(name, 500))) for name in names}

    def change(self) -> None:
        """Another first tool from now on: one that wants something more."""
        schema = self.tools[0]["inputSchema"]
        self.tools[0] = {**self.tools[0], "inputSchema": {**schema, "required": ["q", "place"]}}

    def _result(self, size: int) -> dict[str, Any]:
        return {"content": [{"type": "text", "text": "x" * (size - 90)}], "isError": False, "resultType": "complete"}

    def slow(self, method: str, params: dict[str, Any]) -> bytes:
        """Answers that are needed once."""
        info = {"name": "bench", "version": "1"}
        if method == {"legacy": "server/discover", "modern": "initialize"}.get(self.era):
            return b""
        if method == "initialize":
            version = params["protocolVersion"]
            return msgspec.json.encode({"protocolVersion": version, "capabilities": CAPABILITIES, "serverInfo": info})
        if method == "server/discover":
            return msgspec.json.encode({"supportedVersions": ["2026-07-28"], "capabilities": CAPABILITIES, "resultType": "complete"})
        return msgspec.json.encode({"tools": self.tools, "resultType": "complete"})


class Upstream(asyncio.Protocol):
    """One connection."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpRequestParser(self)
        self._body = b""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        body, self._body = self._body, b""
        message: dict[str, Any] = msgspec.json.decode(body) if body else {"method": ""}
        if "id" not in message:
            self._send(b"202 Accepted", b"", b"")
            return
        params = message.get("params", {})
        name = params.get("name", "") if message["method"] == "tools/call" else ""
        result = self._answers.results[name] if name else self._answers.slow(message["method"], params)
        if not result:
            self._send(b"404 Not Found", b"content-type: application/json\r\n", _unknown(message["id"]))
            return
        answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (msgspec.json.encode(message["id"]), result)
        if name in ("read_sse", "read_held"):
            self._stream(answer if name == "read_sse" else b"", params.get("_meta", {}).get("progressToken"))
        elif name == "read_sse_slowly":
            self._begin_stream()
            self._slowly(answer, params.get("_meta", {}).get("progressToken"), 0)
        else:
            session = b"mcp-session-id: bench\r\n" if message["method"] == "initialize" else b""
            self._send(b"200 OK", b"content-type: application/json\r\n" + session, answer)

    def _send(self, status: bytes, headers: bytes, body: bytes) -> None:
        self._transport.write(b"HTTP/1.1 %b\r\n%bcontent-length: %d\r\n\r\n%b" % (status, headers, len(body), body))

    def _stream(self, answer: bytes, token: Any) -> None:
        self._begin_stream()
        for step in range(EVENTS if answer else 1):
            self._progress(token, step)
        if answer:
            self._end_stream(answer)

    def _slowly(self, answer: bytes, token: Any, step: int) -> None:
        if step == EVENTS:
            self._end_stream(answer)
            return
        self._progress(token, step)
        asyncio.get_running_loop().call_later(0.001, self._slowly, answer, token, step + 1)

    def _begin_stream(self) -> None:
        self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")

    def _end_stream(self, answer: bytes) -> None:
        self._chunk(answer)
        self._transport.write(b"0\r\n\r\n")

    def _progress(self, token: Any, step: int) -> None:
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": token, "progress": step}}
        self._chunk(msgspec.json.encode(note))

    def _chunk(self, message: bytes) -> None:
        event = b"event: message\ndata: %b\n\n" % message
        self._transport.write(b"%x\r\n%b\r\n" % (len(event), event))


def _unknown(message_id: Any) -> bytes:
    return msgspec.json.encode({"jsonrpc": "2.0", "id": message_id, "error": {"code": -32601, "message": "unknown"}})


async def serve(port: int, more_tools: int, era: str) -> None:
    """Serve until ended."""
    answers = Answers(more_tools, era)
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, answers.change)
    server = await asyncio.get_running_loop().create_server(lambda: Upstream(answers), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tools", type=int, default=0)
    parser.add_argument("--era", default="both", choices=("both", "legacy", "modern"))
    options = parser.parse_args()
    uvloop.run(serve(options.port, options.tools, options.era))
