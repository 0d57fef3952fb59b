"""The official Python SDK 1.x as a client of the grid."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
from mcp import ClientSession, StdioServerParameters, stdio_client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.types import (
    CallToolRequest,
    CallToolRequestParams,
    CallToolResult,
    CancelledNotification,
    CancelledNotificationParams,
    ClientNotification,
    ClientRequest,
    CreateMessageResult,
    ElicitResult,
    ListRootsResult,
    PromptReference,
    Root,
    TextContent,
)
from pydantic import AnyUrl
from steps import MODEL_SAYS, Heard, Job, Wish, run


class Sdk1:
    def __init__(self, session: ClientSession, heard: Heard) -> None:
        self.session = session
        self.heard = heard

    async def tools(self) -> list[str]:
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, tool: str, arguments: dict[str, Any], *, with_progress: bool = False) -> str:
        return words(await self.session.call_tool(tool, arguments, progress_callback=self.heard.on_progress if with_progress else None))

    async def begin(self, tool: str, arguments: dict[str, Any]) -> Callable[[], Awaitable[None]]:
        # The SDK tells the server nothing where its caller stops waiting, so the application does, with the id of the request.
        request_id = self.session._request_id
        request = ClientRequest(CallToolRequest(params=CallToolRequestParams(name=tool, arguments=arguments)))
        sent = asyncio.create_task(self.session.send_request(request, CallToolResult, progress_callback=self.heard.on_progress))

        async def stop() -> None:
            params = CancelledNotificationParams(requestId=request_id, reason="The grid cancels.")
            await self.session.send_notification(ClientNotification(CancelledNotification(params=params)))
            await asyncio.wait([sent], timeout=0.2)
            sent.cancel()
            await asyncio.gather(sent, return_exceptions=True)

        return stop

    async def want_logs(self) -> None:
        await self.session.set_logging_level("debug")

    async def read(self, uri: str) -> str:
        return str((await self.session.read_resource(AnyUrl(uri))).contents[0].text)

    @asynccontextmanager
    async def watching(self, uri: str) -> AsyncIterator[None]:
        await self.session.subscribe_resource(AnyUrl(uri))
        yield

    async def prompt(self, name: str, arguments: dict[str, str]) -> str:
        return str((await self.session.get_prompt(name, arguments)).messages[0].content.text)

    async def complete(self, prompt: str, argument: dict[str, str]) -> list[str]:
        return (await self.session.complete(PromptReference(type="ref/prompt", name=prompt), argument)).completion.values


def words(result: CallToolResult) -> str:
    text = " ".join(part.text for part in result.content if isinstance(part, TextContent))
    return f"error: {text}" if result.isError else text


@asynccontextmanager
async def streams(job: Job) -> AsyncIterator[tuple[Any, Any]]:
    headers = {"Authorization": f"Bearer {job['token']}"} if job["token"] else {}
    if job["transport"] == "stdio":
        command, *arguments = job["command"]
        async with stdio_client(StdioServerParameters(command=command, args=arguments)) as pair:
            yield pair
    elif job["transport"] == "sse":
        async with sse_client(job["url"], headers=headers) as pair:
            yield pair
    else:
        async with (
            httpx.AsyncClient(headers=headers, timeout=30) as http,
            streamable_http_client(job["url"], http_client=http) as (reader, writer, _),
        ):
            yield reader, writer


@asynccontextmanager
async def connect(job: Job, wish: Wish) -> AsyncIterator[Sdk1]:
    async def elicit(context: Any, params: Any) -> ElicitResult:
        return ElicitResult(action="accept", content=wish.get("answer"))

    async def sample(context: Any, params: Any) -> CreateMessageResult:
        return CreateMessageResult(role="assistant", content=TextContent(type="text", text=MODEL_SAYS), model="grid")

    async def roots(context: Any) -> ListRootsResult:
        return ListRootsResult(roots=[Root(uri=job["root"], name="project")])

    heard = Heard()
    async with (
        streams(job) as (reader, writer),
        ClientSession(
            reader,
            writer,
            sampling_callback=sample,
            elicitation_callback=elicit,
            list_roots_callback=roots,
            logging_callback=heard.on_log,
            message_handler=heard.on_message,
        ) as session,
    ):
        await session.initialize()
        yield Sdk1(session, heard)


run(connect)
