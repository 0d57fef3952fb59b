"""A server on the official Python SDK 1.x that offers every operation of the grid: `sdk1.py PORT http|sse`.

`touch` tells everybody who subscribed, on the stream of their own session, as a change from elsewhere would.
"""

import asyncio
import sys
from typing import Any

from mcp.server.fastmcp import Context, FastMCP
from mcp.server.session import ServerSession
from mcp.types import Completion, SamplingMessage, ServerCapabilities, TextContent
from pydantic import AnyUrl, BaseModel

WATCHED = "grid://watched"

server = FastMCP("grid-sdk1", host="127.0.0.1", port=int(sys.argv[1]), log_level="WARNING")
lowlevel = server._mcp_server
cancelled: dict[str, asyncio.Event] = {}
subscribers: list[ServerSession] = []


class Colour(BaseModel):
    colour: str


@server.tool()
async def echo(text: str) -> str:
    """Say it back."""
    return f"echo: {text}"


@server.tool()
async def count(steps: int, ctx: Context) -> str:
    """Count, with progress; none of it so close to the result that a client may drop it."""
    for step in range(1, steps + 1):
        await ctx.report_progress(step, steps)
        await asyncio.sleep(0.05)
    return f"counted to {steps}"


@server.tool()
async def speak(text: str, ctx: Context) -> str:
    """Log it."""
    await ctx.info(text)
    return "spoken"


@server.tool()
async def hang(key: str, ctx: Context) -> str:
    """Work until somebody cancels it, and remember that."""
    cancelled[key] = asyncio.Event()
    try:
        await ctx.report_progress(1, 2)
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        cancelled[key].set()
        raise
    return "nobody cancelled"


@server.tool()
async def was_cancelled(key: str) -> str:
    """Whether `hang` with this key was started, and cancelled within two seconds."""
    if key not in cancelled:
        return "never started"
    try:
        async with asyncio.timeout(2):
            await cancelled[key].wait()
    except TimeoutError:
        return "not stopped"
    return "stopped by its cancellation"


@server.tool()
async def ask_form(ctx: Context) -> str:
    """Ask the person a question."""
    answer = await ctx.elicit("Which colour?", Colour)
    return f"form: {answer.action} {answer.data.colour if answer.action == 'accept' else ''}"


@server.tool()
async def ask_url(ctx: Context) -> str:
    """Ask the person to open a page."""
    answer = await ctx.elicit_url("Please sign in.", "https://example.org/sign-in", "sign-in-1")
    return f"url: {answer.action}"


@server.tool()
async def ask_model(ctx: Context) -> str:
    """Ask the client's model."""
    question = SamplingMessage(role="user", content=TextContent(type="text", text="Capital of France?"))
    answer = await ctx.session.create_message(messages=[question], max_tokens=10, related_request_id=ctx.request_id)
    return f"model: {answer.content.text}"


@server.tool()
async def ask_roots(ctx: Context) -> str:
    """Ask which folders the client works in."""
    answer = await ctx.session.list_roots()
    return "roots: " + " ".join(str(root.uri) for root in answer.roots)


@server.tool()
async def touch() -> str:
    """Say that the watched resource has changed."""
    for session in list(subscribers):
        try:
            await session.send_resource_updated(AnyUrl(WATCHED))
        except Exception:  # noqa: BLE001 - a session that has ended says so in several ways, and its subscription ends with it
            subscribers.remove(session)
    return "touched"


@server.resource(WATCHED)
def watched() -> str:
    return "a text that changes"


@server.resource("grid://text")
def text() -> str:
    return "a text to read"


@server.prompt()
def greet(name: str) -> str:
    """A greeting."""
    return f"Greet {name}."


@server.completion()
async def complete(ref: Any, argument: Any, context: Any) -> Completion:
    return Completion(values=[name for name in ("ada", "alan", "grace") if name.startswith(argument.value)], hasMore=False)


@lowlevel.set_logging_level()
async def set_level(level: str) -> None:
    """Everything is logged, whatever the level."""


@lowlevel.subscribe_resource()
async def subscribe(uri: AnyUrl) -> None:
    subscribers.append(lowlevel.request_context.session)


@lowlevel.unsubscribe_resource()
async def unsubscribe(uri: AnyUrl) -> None:
    subscribers.remove(lowlevel.request_context.session)


def declaring_subscriptions(*words: Any) -> ServerCapabilities:
    """What the SDK derives, and `resources.subscribe`, which it never declares."""
    capabilities = derived(*words)
    assert capabilities.resources
    capabilities.resources.subscribe = True
    return capabilities


derived = lowlevel.get_capabilities
lowlevel.get_capabilities = declaring_subscriptions
server.run("sse" if sys.argv[2] == "sse" else "streamable-http")
