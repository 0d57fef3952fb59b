"""A server written with the official SDK, on stdio, over HTTP+SSE or over Streamable HTTP, as a process of its own."""

import asyncio
import sys
import warnings

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import JSONRPCMessage
from pydantic import BaseModel

warnings.simplefilter("ignore", MCPDeprecationWarning)
server = MCPServer("official", instructions="Adds.")


class Confirmation(BaseModel):
    sure: bool


@server.tool()
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
async def count(steps: int, context: Context) -> str:
    """Count with progress and a log message."""
    for step in range(steps):
        await context.report_progress(step + 1, steps)
    await context.info("counted")
    return "counted"


@server.tool()
async def confirm(context: Context) -> str:
    """Ask the person."""
    answer = await context.elicit("Sure?", Confirmation)
    return answer.action


@server.tool()
async def wait(context: Context) -> str:
    """Wait for ever."""
    await context.info("waiting")
    await anyio.sleep_forever()
    return "never"


@server.tool()
async def roots(context: Context) -> str:
    """Ask for the roots."""
    listed = await context.session.list_roots()
    return " ".join(str(root.uri) for root in listed.roots)


@server.tool()
async def lose(context: Context) -> str:
    """Close the stream of the call, and answer afterwards."""
    await context.close_sse_stream()
    return "found again"


@server.tool()
async def change(context: Context) -> str:
    """Say that the tools changed."""
    await context.notify_tools_changed()
    if context.protocol_version != "2026-07-28":
        await context.session.send_tool_list_changed()
    return "changed"


@server.resource("note://one")
def one() -> str:
    """One note."""
    return "one"


class Kept(EventStore):
    """Every event in memory, in the order of their ids."""

    def __init__(self) -> None:
        self.events: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        stream_id = self.events[int(last_event_id) - 1][0]
        for position, (stream, message) in enumerate(self.events[int(last_event_id) :], int(last_event_id) + 1):
            if stream == stream_id and message is not None:
                await send_callback(EventMessage(message, str(position)))
        return stream_id


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    elif sys.argv[1] == "http":
        asyncio.run(server.run_streamable_http_async(host="127.0.0.1", port=int(sys.argv[2]), event_store=Kept(), retry_interval=20))
    else:
        asyncio.run(server.run_sse_async(host="127.0.0.1", port=int(sys.argv[1])))
