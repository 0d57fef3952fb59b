"""The reference server of SDK 2.x, speaking 2026-07-28 alone: `modern_server.py PORT`.

The four tools that ask in the middle of a call, as revisions up to 2025-11-25 do, ask by a result here, with the same words. A request of
an earlier revision is answered with the error that names the supported ones (basic/versioning of the specification).
"""

import json
import sys
from typing import Any

import uvicorn
from mcp.server.mcpserver import Context
from mcp.types import (
    CreateMessageRequest,
    CreateMessageRequestParams,
    CreateMessageResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    SamplingMessage,
    TextContent,
)
from mcp_everything_server.server import EnumSchemasTestSchema, SEP1034DefaultsSchema, UserResponse, mcp
from pydantic import BaseModel

MODERN = "2026-07-28"
UNSUPPORTED_VERSION = -32022


def asked(ctx: Context, message: str, schema: type[BaseModel], said: str) -> str | InputRequiredResult:
    answer = (ctx.input_responses or {}).get("answer")
    if isinstance(answer, ElicitResult):
        return f"{said}: action={answer.action}, content={json.dumps(answer.content or {})}"
    question = ElicitRequestFormParams(message=message, requested_schema=schema.model_json_schema())
    return InputRequiredResult(input_requests={"answer": ElicitRequest(params=question)})


async def test_elicitation(message: str, ctx: Context) -> str | InputRequiredResult:
    """Asks the person."""
    return asked(ctx, message, UserResponse, "User response")


async def test_elicitation_sep1034_defaults(ctx: Context) -> str | InputRequiredResult:
    """Asks with a default for every primitive type."""
    return asked(ctx, "Please provide user information", SEP1034DefaultsSchema, "Elicitation result")


async def test_elicitation_sep1330_enums(ctx: Context) -> str | InputRequiredResult:
    """Asks with every kind of enumeration."""
    return asked(ctx, "Please select values using different enum schema types", EnumSchemasTestSchema, "Elicitation completed")


async def test_sampling(prompt: str, ctx: Context) -> str | InputRequiredResult:
    """Asks the model."""
    answer = (ctx.input_responses or {}).get("answer")
    if isinstance(answer, CreateMessageResult):
        return f"LLM response: {answer.content.text}"
    messages = [SamplingMessage(role="user", content=TextContent(type="text", text=prompt))]
    question = CreateMessageRequest(params=CreateMessageRequestParams(messages=messages, max_tokens=100))
    return InputRequiredResult(input_requests={"answer": question})


for tool in (test_elicitation, test_elicitation_sep1034_defaults, test_elicitation_sep1330_enums, test_sampling):
    mcp.remove_tool(tool.__name__)
    mcp.add_tool(tool)

serve = mcp.streamable_http_app()


async def modern_alone(scope: Any, receive: Any, send: Any) -> None:
    """The server, for requests of its one revision; every other one is told which that is."""
    requested = dict(scope.get("headers", ())).get(b"mcp-protocol-version", b"").decode()
    if scope["type"] != "http" or requested == MODERN:
        await serve(scope, receive, send)
        return
    data = {"supported": [MODERN], "requested": requested or None}
    error = {"code": UNSUPPORTED_VERSION, "message": "Unsupported protocol version", "data": data}
    body = json.dumps({"jsonrpc": "2.0", "id": await id_of(receive), "error": error}).encode()
    await send({"type": "http.response.start", "status": 400, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


async def id_of(receive: Any) -> Any:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    try:
        return json.loads(body).get("id")
    except (ValueError, AttributeError):
        return None


uvicorn.run(modern_alone, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
