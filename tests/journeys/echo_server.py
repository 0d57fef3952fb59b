"""A small MCP server of both eras that answers with what it was asked, fast enough not to be the bottleneck.

`echo(nonce, progress?)` returns its nonce; with `progress` it answers as a stream whose progress messages carry the nonce too.
`GET /count` tells how many POST requests have arrived. Run: `python echo_server.py --port N`.
"""

import argparse
import asyncio
import itertools
from typing import Any

import httptools
import msgspec
import uvloop

TOOL = {
    "name": "echo",
    "description": "Say it again.",
    "inputSchema": {
        "type": "object",
        "properties": {"nonce": {"type": "string"}, "progress": {"type": "integer"}, "size": {"type": "integer"}},
        "required": ["nonce"],
    },
}
INFO = {"name": "echo", "version": "1"}
SESSIONS = itertools.count(1)
ARRIVED: list[int] = [0]


def answer(message: dict[str, Any]) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The answer to a message and what is said before it."""
    method, params = message["method"], message.get("params", {})
    if "id" not in message:
        return None, []
    meta = params.get("_meta", {})
    said: list[dict[str, Any]] = []
    if method == "initialize":
        result: dict[str, Any] = {"protocolVersion": params["protocolVersion"], "capabilities": {"tools": {}}, "serverInfo": INFO}
    elif method == "server/discover":
        result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 0, "cacheScope": "public"}
    elif method == "tools/list":
        result = {"tools": [TOOL], "ttlMs": 0, "cacheScope": "public"}
    else:
        nonce = params["arguments"]["nonce"]
        for step in range(params["arguments"].get("progress", 0)):
            note = {"progressToken": meta.get("progressToken"), "progress": step, "message": nonce}
            said.append({"jsonrpc": "2.0", "method": "notifications/progress", "params": note})
        padding = "x" * params["arguments"].get("size", 0)
        result = {"content": [{"type": "text", "text": nonce + padding}], "isError": False}
    if "io.modelcontextprotocol/protocolVersion" in meta:
        result["resultType"] = "complete"
    return {"jsonrpc": "2.0", "id": message["id"], "result": result}, said


class Echo(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        if self.parser.get_method() != b"POST":
            self.send(b"200 OK", b"text/plain", str(ARRIVED[0]).encode())
            return
        ARRIVED[0] += 1
        body, self.body = self.body, b""
        message = msgspec.json.decode(body)
        done, said = answer(message)
        if done is None:
            self.send(b"202 Accepted", b"text/plain", b"")
        elif said:
            events = b"".join(b"event: message\ndata: " + msgspec.json.encode(one) + b"\n\n" for one in [*said, done])
            self.send(b"200 OK", b"text/event-stream", events)
        else:
            session = b"mcp-session-id: s%d\r\n" % next(SESSIONS) if message["method"] == "initialize" else b""
            self.send(b"200 OK", b"application/json", msgspec.json.encode(done), session)

    def send(self, status: bytes, kind: bytes, body: bytes, more: bytes = b"") -> None:
        head = b"HTTP/1.1 %b\r\ncontent-type: %b\r\n%bcontent-length: %d\r\n\r\n" % (status, kind, more, len(body))
        self.transport.write(head + body)


async def main(port: int) -> None:
    """Serve until ended."""
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    options = argparse.ArgumentParser()
    options.add_argument("--port", type=int, required=True)
    uvloop.run(main(options.parse_args().port))
