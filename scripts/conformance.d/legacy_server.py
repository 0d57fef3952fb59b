"""The reference server of SDK 1.x, and the fixtures that the suite of 2026-07-28 asks for by name: `legacy_server.py PORT`.

SDK 1.x speaks no revision after 2025-11-25, so these tools ask as that revision asks: with a request to the client in the middle of the
call. Behind a gateway that translates, a modern client is asked by a result instead. Which questions come in what order is the suite's own.
"""

import asyncio
import sys
from typing import Annotated, Any

from mcp.server.fastmcp import Context
from mcp.server.session import ServerSession
from mcp.shared.message import ServerMessageMetadata
from mcp.types import (
    ClientCapabilities,
    CreateMessageResult,
    ElicitationCapability,
    ElicitResult,
    ListRootsRequest,
    ListRootsResult,
    SamplingCapability,
    SamplingMessage,
    ServerRequest,
    TextContent,
)
from mcp_everything_server.server import UserResponse, mcp
from pydantic import Field

Asking = Context[ServerSession, None]


def text_field(name: str) -> dict[str, Any]:
    return {"type": "object", "properties": {name: {"type": "string"}}, "required": [name]}


CONFIRMATION = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}


async def elicited(ctx: Asking, message: str, schema: dict[str, Any]) -> ElicitResult:
    return await ctx.session.elicit_form(message, schema, related_request_id=ctx.request_id)


async def sampled(ctx: Asking, question: str) -> CreateMessageResult:
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=question))]
    return await ctx.session.create_message(messages=messages, max_tokens=100, related_request_id=ctx.request_id)


async def rooted(ctx: Asking) -> ListRootsResult:
    """The session's own `list_roots` does not say which request it belongs to."""
    metadata = ServerMessageMetadata(related_request_id=ctx.request_id)
    return await ctx.session.send_request(ServerRequest(ListRootsRequest()), ListRootsResult, metadata=metadata)


def answer_in(result: ElicitResult, name: str) -> str:
    return str((result.content or {}).get(name, "?"))


@mcp.tool()
def test_x_mcp_header(region: Annotated[str, Field(default="<none>", json_schema_extra={"x-mcp-header": "Region"})]) -> str:
    """A parameter that travels as a header."""
    return f"region={region}"


@mcp.tool()
async def test_missing_capability(ctx: Asking) -> str:
    """Needs the client's model."""
    if not ctx.session.check_client_capability(ClientCapabilities(sampling=SamplingCapability())):
        raise RuntimeError("This tool requires the client 'sampling' capability")
    return "Client declared sampling capability; proceeding."


@mcp.tool()
async def test_streaming_elicitation(ctx: Asking) -> str:
    """Asks in the middle of the call."""
    answer = await ctx.elicit("The stateless streaming probe asks for a word", UserResponse)
    return f"elicitation {answer.action}"


@mcp.tool()
async def test_logging_tool(ctx: Asking) -> str:
    """Logs once."""
    await ctx.info("test_logging_tool ran")
    return "logged"


@mcp.tool()
async def test_input_required_result_elicitation(ctx: Asking) -> str:
    """One question to the person."""
    answer = await elicited(ctx, "What is your name?", text_field("name"))
    return f"Hello, {answer_in(answer, 'name')}!"


@mcp.tool()
async def test_input_required_result_sampling(ctx: Asking) -> str:
    """One question to the model."""
    answer = await sampled(ctx, "What is the capital of France?")
    return f"Model said: {answer.content.text}"


@mcp.tool()
async def test_input_required_result_list_roots(ctx: Asking) -> str:
    """One question for the client's folders."""
    return f"Client exposed {len((await rooted(ctx)).roots)} root(s)."


@mcp.tool()
async def test_input_required_result_request_state(ctx: Asking) -> str:
    """One confirmation."""
    await elicited(ctx, "Please confirm", CONFIRMATION)
    return "state-ok: confirmation received"


@mcp.tool()
async def test_input_required_result_multiple_inputs(ctx: Asking) -> str:
    """Three questions at once."""
    await asyncio.gather(elicited(ctx, "What is your name?", text_field("name")), sampled(ctx, "Generate a greeting"), rooted(ctx))
    return "All inputs received."


@mcp.tool()
async def test_input_required_result_multi_round(ctx: Asking) -> str:
    """Two questions, one after the other."""
    name = await elicited(ctx, "Step 1: What is your name?", text_field("name"))
    colour = await elicited(ctx, "Step 2: What is your favorite color?", text_field("color"))
    return f"{answer_in(name, 'name')} likes {answer_in(colour, 'color')}."


@mcp.tool()
async def test_input_required_result_tampered_state(ctx: Asking) -> str:
    """One confirmation, whose state nobody may change."""
    await elicited(ctx, "Please confirm", CONFIRMATION)
    return "state-ok"


@mcp.tool()
async def test_input_required_result_capabilities(ctx: Asking) -> str:
    """Asks only what the client declared."""
    asked = []
    if ctx.session.check_client_capability(ClientCapabilities(sampling=SamplingCapability())):
        asked.append(sampled(ctx, "Say hello"))
    if ctx.session.check_client_capability(ClientCapabilities(elicitation=ElicitationCapability())):
        asked.append(elicited(ctx, "What is your name?", text_field("name")))
    return f"{len(await asyncio.gather(*asked))} answers"


@mcp.tool()
def json_schema_2020_12_tool() -> str:
    """Keywords of JSON Schema 2020-12 in the input schema."""
    return "json_schema_2020_12_tool"


mcp._tool_manager._tools["json_schema_2020_12_tool"].parameters = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
        }
    },
    "properties": {
        "name": {"type": "string"},
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": {"type": "string"},
        "email": {"type": "string"},
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


@mcp.tool()
async def test_trigger_tool_change(ctx: Asking) -> str:
    """Says that the list of tools has changed."""
    await ctx.session.send_tool_list_changed()
    return "tool list changed"


@mcp.tool()
async def test_trigger_prompt_change(ctx: Asking) -> str:
    """Says that the list of prompts has changed."""
    await ctx.session.send_prompt_list_changed()
    return "prompt list changed"


@mcp.prompt()
async def test_input_required_result_prompt(ctx: Asking) -> str:
    """A prompt that asks first."""
    answer = await elicited(ctx, "What context should the prompt use?", text_field("context"))
    return f"Use the following context: {answer_in(answer, 'context')}"


derived = mcp._mcp_server.get_capabilities


def declaring(*words: Any) -> Any:
    """What the SDK derives, and what this server does beside it."""
    capabilities = derived(*words)
    capabilities.resources.subscribe = True
    capabilities.tools.listChanged = capabilities.prompts.listChanged = True
    return capabilities


mcp._mcp_server.get_capabilities = declaring
mcp.settings.port = int(sys.argv[1])
mcp.settings.log_level = "WARNING"
mcp.run(transport="streamable-http")
