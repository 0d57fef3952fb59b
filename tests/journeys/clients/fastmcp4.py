"""Drive the gateway with the FastMCP 4 client: `fastmcp4.py URL PREFIX MODE`, the token in CUSTOMHOUSE_TOKEN.

Prints what it saw as JSON.
"""

import asyncio
import json
import os
import sys
from typing import Any

from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from mcp.shared.exceptions import MCPError


async def drive(url: str, prefix: str, mode: str) -> dict[str, Any]:
    progress: list[float] = []
    logs: list[str] = []

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        progress.append(done)

    async def on_log(message: Any) -> None:
        logs.append(str(message.data))

    transport = StreamableHttpTransport(url, auth=os.environ["CUSTOMHOUSE_TOKEN"])
    async with Client(transport, mode=mode, log_handler=on_log, timeout=30) as client:
        tools = await client.list_tools()
        read = await client.call_tool(f"{prefix}read_note", {"title": "welcome"})
        prompt = await client.get_prompt(f"{prefix}summarise_notes")
        index = await client.read_resource("notes://index")
        note = await client.read_resource("notes://note/shopping")
        counted = await client.call_tool(f"{prefix}count_slowly", {"steps": 3, "pause_seconds": 0.02}, progress_handler=on_progress)
        try:
            refusal = str(await client.call_tool(f"{prefix}add_note", {"title": "x", "text": "y"}))
            code = 0
        except MCPError as error:
            refusal, code = error.error.message, error.error.code
    return {
        "tools": sorted(tool.name for tool in tools),
        "read": read.content[0].text,
        "prompt": prompt.messages[0].content.text,
        "index": index[0].text,
        "note": note[0].text,
        "counted": counted.content[0].text,
        "progress": progress,
        "logs": logs,
        "refusal": refusal,
        "code": code,
    }


print(json.dumps(asyncio.run(drive(*sys.argv[1:4]))))
