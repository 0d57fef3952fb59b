"""A server written with the official SDK, on stdio or over HTTP+SSE, as a process of its own."""

import asyncio
import sys
import warnings

import anyio
from mcp.server.mcpserver import Context, MCPServer
from mcp.shared.exceptions import MCPDeprecationWarning
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


if __name__ == "__main__":
    if sys.argv[1] == "stdio":
        server.run("stdio")
    else:
        asyncio.run(server.run_sse_async(host="127.0.0.1", port=int(sys.argv[1])))
