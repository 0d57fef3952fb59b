"""Drive the gateway with the official Python SDK 2.x: `mcp2.py URL PREFIX MODE`, the token in CUSTOMHOUSE_TOKEN.

Prints what it saw as JSON.
"""

import asyncio
import json
import os
import sys
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError


async def drive(url: str, prefix: str, mode: str) -> dict[str, Any]:
    progress: list[float] = []
    logs: list[str] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async def on_log(params: Any) -> None:
        logs.append(str(params.data))

    headers = {"Authorization": f"Bearer {os.environ['CUSTOMHOUSE_TOKEN']}"}
    async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, logging_callback=on_log, log_level="info") as client:
            tools = await client.list_tools()
            read = await client.call_tool(f"{prefix}read_note", {"title": "welcome"})
            prompt = await client.get_prompt(f"{prefix}summarise_notes")
            index = await client.read_resource("notes://index")
            note = await client.read_resource("notes://note/shopping")
            counted = await client.call_tool(f"{prefix}count_slowly", {"steps": 3, "pause_seconds": 0.02}, progress_callback=on_progress)
            try:
                refusal = str(await client.call_tool(f"{prefix}add_note", {"title": "x", "text": "y"}))
                code = 0
            except MCPError as error:
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


print(json.dumps(asyncio.run(drive(*sys.argv[1:4]))))
