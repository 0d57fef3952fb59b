"""The official Python SDK 2.x as a client of the grid, in the mode that the job names."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult, CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, Root, TextContent
from steps import MODEL_SAYS, Heard, Job, Wish, run


class Sdk2:
    def __init__(self, client: Client, heard: Heard) -> None:
        self.client = client
        self.heard = heard

    @property
    def is_legacy(self) -> bool:
        return self.client.protocol_version < "2026-07-28"

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.client.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any], *, with_progress: bool = False) -> str:
        return words(await self.client.call_tool(tool, arguments, progress_callback=self.heard.on_progress if with_progress else None))

    async def begin(self, tool: str, arguments: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        sent = asyncio.create_task(self.client.call_tool(tool, arguments, progress_callback=self.heard.on_progress))

        async def stop() -> None:
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)

        return stop

    async def want_logs(self) -> None:
        """A modern request says what it wants; a legacy server is told once."""
        if self.is_legacy:
            await self.client.set_logging_level("debug")

    async def read(self, uri: str) -> str:
        return str((await self.client.read_resource(uri)).contents[0].text)

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[None]:
        if self.is_legacy:
            await self.client.subscribe_resource(uri)
            yield
            return
        async with self.client.listen(resource_subscriptions=[uri]) as events:

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
        return (await self.client.complete(PromptReference(type="ref/prompt", name=prompt), argument)).completion.values


def words(result: CallToolResult) -> str:
    text = " ".join(part.text for part in result.content if isinstance(part, TextContent))
    return f"error: {text}" if result.is_error else text


@asynccontextmanager
async def transport(job: Job) -> AsyncIterator[Any]:
    headers = {"Authorization": f"Bearer {job['token']}"} if job["token"] else {}
    if job["transport"] == "stdio":
        command, *arguments = job["command"]
        yield stdio_client(StdioServerParameters(command=command, args=arguments))
    elif job["transport"] == "sse":
        yield sse_client(job["url"], headers=headers)
    else:
        async with httpx2.AsyncClient(headers=headers, timeout=30) as http:
            yield streamable_http_client(job["url"], http_client=http)


@asynccontextmanager
async def connect(job: Job, wish: Wish) -> AsyncIterator[Sdk2]:
    async def elicit(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content=wish.get("answer"))

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text=MODEL_SAYS), model="grid")

    async def roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=job["root"], name="project")])

    heard = Heard()
    async with (
        transport(job) as way,
        Client(
            way,
            mode=job["mode"],
            sampling_callback=sample,
            elicitation_callback=elicit,
            list_roots_callback=roots,
            logging_callback=heard.on_log,
            message_handler=heard.on_message,
            log_level="debug",
            cache=None,
        ) as client,
    ):
        yield Sdk2(client, heard)


run(connect)
