"""A server on the official Python SDK 2.x that offers every operation of the grid in both eras: `sdk2.py PORT`.

Where a modern client is asked for something, the call ends with a result that asks, and the client calls again with the answer; a legacy
client is asked in the middle of the call.
"""

import asyncio
import sys
from typing import Any

from mcp.server import ServerRequestContext
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.session import ServerSession
from mcp.types import (
    Completion,
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitRequestURLParams,
    ElicitResult,
    EmptyResult,
    InputRequiredResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

WATCHED = "grid://watched"
MODERN = "2026-07-28"

server = MCPServer("grid-sdk2", log_level="WARNING")
lowlevel = server._lowlevel_server
cancelled: dict[str, asyncio.Event] = {}
subscribers: list[ServerSession] = []


class Colour(BaseModel):
    colour: str


def is_modern(ctx: Context) -> bool:
    return bool(ctx.protocol_version and ctx.protocol_version >= MODERN)


def answer_to(ctx: Context, key: str) -> Any:
    """What the client answered to the question of this key, or nothing in the first round."""
    return (ctx.input_responses or {}).get(key)


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
async def ask_form(ctx: Context) -> str | InputRequiredResult:
    """Ask the person a question."""
    if not is_modern(ctx):
        given = await ctx.elicit("Which colour?", Colour)
        return f"form: {given.action} {given.data.colour if given.action == 'accept' else ''}"
    answer = answer_to(ctx, "colour")
    if isinstance(answer, ElicitResult):
        return f"form: {answer.action} {(answer.content or {}).get('colour', '')}"
    question = ElicitRequestFormParams(message="Which colour?", requested_schema=Colour.model_json_schema())
    return InputRequiredResult(input_requests={"colour": ElicitRequest(params=question)}, request_state="asked")


@server.tool()
async def ask_url(ctx: Context) -> str | InputRequiredResult:
    """Ask the person to open a page."""
    page = "https://example.org/sign-in"
    if not is_modern(ctx):
        given = await ctx.elicit_url("Please sign in.", page, "sign-in-1")
        return f"url: {given.action}"
    answer = answer_to(ctx, "page")
    if isinstance(answer, ElicitResult):
        return f"url: {answer.action}"
    return InputRequiredResult(input_requests={"page": ElicitRequest(params=ElicitRequestURLParams(message="Please sign in.", url=page))})


@server.tool()
async def ask_model(ctx: Context) -> str | InputRequiredResult:
    """Ask the client's model."""
    question = CreateMessageRequestParams(
        messages=[SamplingMessage(role="user", content=TextContent(type="text", text="Capital of France?"))], max_tokens=10
    )
    if is_modern(ctx):
        answer = answer_to(ctx, "model")
        if not isinstance(answer, CreateMessageResult):
            return InputRequiredResult(input_requests={"model": CreateMessageRequest(params=question)})
    else:
        answer = await ctx.session.create_message(messages=question.messages, max_tokens=10, related_request_id=ctx.request_id)
    return f"model: {answer.content.text}"


@server.tool()
async def ask_roots(ctx: Context) -> str | InputRequiredResult:
    """Ask which folders the client works in."""
    if is_modern(ctx):
        answer = answer_to(ctx, "roots")
        if not isinstance(answer, ListRootsResult):
            return InputRequiredResult(input_requests={"roots": ListRootsRequest()})
    else:
        answer = await ctx.session.list_roots()
    return "roots: " + " ".join(str(root.uri) for root in answer.roots)


@server.tool()
async def touch(ctx: Context) -> str:
    """Say that the watched resource has changed."""
    await ctx.notify_resource_updated(WATCHED)
    for session in list(subscribers):
        try:
            await session.send_resource_updated(WATCHED)
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
    return Completion(values=[name for name in ("ada", "alan", "grace") if name.startswith(argument.value)], has_more=False)


async def set_level(ctx: ServerRequestContext, params: SetLevelRequestParams) -> EmptyResult:
    """Everything is logged, whatever the level."""
    return EmptyResult()


async def subscribe(ctx: ServerRequestContext, params: SubscribeRequestParams) -> EmptyResult:
    subscribers.append(ctx.session)
    return EmptyResult()


async def unsubscribe(ctx: ServerRequestContext, params: UnsubscribeRequestParams) -> EmptyResult:
    return EmptyResult()


lowlevel.add_request_handler("logging/setLevel", SetLevelRequestParams, set_level)
lowlevel.add_request_handler("resources/subscribe", SubscribeRequestParams, subscribe)
lowlevel.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, unsubscribe)
server.run("streamable-http", port=int(sys.argv[1]))
