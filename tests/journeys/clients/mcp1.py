"""Drive the gateway with the official Python SDK 1.x: `mcp1.py URL PREFIX`, the token in CUSTOMHOUSE_TOKEN. Prints what it saw as JSON.

A URL that ends in `/sse` is spoken to over HTTP+SSE.
"""

import asyncio
import contextlib
import json
import os
import sys
from collections.abc import AsyncIterator
from typing import Any

import httpx
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import McpError
from pydantic import AnyUrl


@contextlib.asynccontextmanager
async def connected(url: str) -> AsyncIterator[Any]:
    """Where to read from and where to write to."""
    headers = {"Authorization": f"Bearer {os.environ['CUSTOMHOUSE_TOKEN']}"}
    if url.endswith("/sse"):
        async with sse_client(url, headers=headers) as ends:
            yield ends
    else:
        async with httpx.AsyncClient(headers=headers, timeout=30) as http, streamable_http_client(url, http_client=http) as (*ends, _):
            yield ends


async def drive(url: str, prefix: str) -> dict[str, Any]:
    progress: list[float] = []
    logs: list[str] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async def on_log(params: Any) -> None:
        logs.append(str(params.data))

    async with connected(url) as (reader, writer), ClientSession(reader, writer, logging_callback=on_log) as session:
        await session.initialize()
        tools = await session.list_tools()
        read = await session.call_tool(f"{prefix}read_note", {"title": "welcome"})
        prompt = await session.get_prompt(f"{prefix}summarise_notes")
        index = await session.read_resource(AnyUrl("notes://index"))
        note = await session.read_resource(AnyUrl("notes://note/shopping"))
        counted = await session.call_tool(f"{prefix}count_slowly", {"steps": 3, "pause_seconds": 0.02}, progress_callback=on_progress)
        try:
            refusal = str(await session.call_tool(f"{prefix}add_note", {"title": "x", "text": "y"}))
            code = 0
        except McpError as error:
            refusal, code = error.error.message, error.error.code
    return {
        "tools": sorted(tool.name for tool in tools.tools),
        "read": read.content[0].text,
        "prompt": prompt.messages[0].content.text,
        "index": index.contents[0].text,
        "note": note.contents[0].text,
        "counted": counted.content[0].text,
        "progress": progress,
        "logs": logs,
        "refusal": refusal,
        "code": code,
    }


print(json.dumps(asyncio.run(drive(*sys.argv[1:3]))))
