"""The client of FastMCP 4 as a client of the grid, in the mode that the job names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastmcp import Client
from fastmcp.client.elicitation import ElicitResult
from fastmcp.client.transports import SSETransport, StdioTransport, StreamableHttpTransport
from mcp.client.subscriptions import listen
from mcp_types import PromptReference
from steps import MODEL_SAYS, Heard, Job, Wish, run


class FastMcp:
    def __init__(self, client: Client[Any], heard: Heard) -> None:
        self.client = client
        self.heard = heard

    @property
    def is_legacy(self) -> bool:
        return (self.client.protocol_version or "") < "2026-07-28"

    async def tools(self) -> list[str]:
        return [tool.name for tool in await self.client.list_tools()]

    async def call(self, tool: str, arguments: dict[str, Any], *, with_progress: bool = False) -> str:
        on_progress = self.heard.on_progress if with_progress else None
        return words(await self.client.call_tool(tool, arguments, progress_handler=on_progress, raise_on_error=False))

    async def begin(self, tool: str, arguments: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        sent = asyncio.create_task(self.client.call_tool(tool, arguments, progress_handler=self.heard.on_progress))

        async def stop() -> None:
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)

        return stop

    async def want_logs(self) -> None:
        """A modern request says what it wants; a legacy server is told once."""
        if self.is_legacy:
            await self.client.set_logging_level("debug")

    async def read(self, uri: str) -> str:
        return str((await self.client.read_resource(uri))[0].text)

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[None]:
        """FastMCP has no call of its own for it; its session, the official SDK's, has."""
        if self.is_legacy:
            await self.client.session.subscribe_resource(uri)
            yield
            return
        async with listen(self.client.session, resource_subscriptions=[uri]) as events:

            async def follow() -> None:
                async for event in events:
                    self.heard.on_update(event.uri)

            following = asyncio.create_task(follow())
            yield
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return str((await self.client.get_prompt(name, arguments)).messages[0].content.text)

    async def complete(self, prompt: str, argument: dict[str, str]) -> list[str]:
        return (await self.client.complete(PromptReference(type="ref/prompt", name=prompt), argument)).values


def words(result: Any) -> str:
    text = " ".join(part.text for part in result.content if part.type == "text")
    return f"error: {text}" if result.is_error else text


def transport(job: Job) -> Any:
    if job["transport"] == "stdio":
        command, *arguments = job["command"]
        return StdioTransport(command, arguments, keep_alive=False)
    kind = SSETransport if job["transport"] == "sse" else StreamableHttpTransport
    return kind(job["url"], auth=job["token"] or None)


@asynccontextmanager
async def connect(job: Job, wish: Wish) -> AsyncIterator[FastMcp]:
    async def elicit(message: str, response_type: Any, params: Any, context: Any) -> ElicitResult[Any]:
        return ElicitResult(action="accept", content=wish.get("answer"))

    async def sample(messages: Any, params: Any, context: Any) -> str:
        return MODEL_SAYS

    heard = Heard()
    client = Client(
        transport(job),
        mode=job["mode"],
        roots=[job["root"]],
        sampling_handler=sample,
        elicitation_handler=elicit,
        log_handler=heard.on_log,
        message_handler=heard.on_message,
        timeout=30,
    )
    async with client:
        yield FastMcp(client, heard)


run(connect)
