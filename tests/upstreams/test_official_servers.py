"""The official SDK behind the gateway: on stdio and over Streamable HTTP in both eras, and over HTTP+SSE."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from customhouse.core.manifest import Era
from customhouse.core.permit import Permit
from customhouse.ports.traffic import Ask, UpstreamAnswer
from tests.upstreams.programs import ODD_SERVER, Behind, Person, behind, until
from tests.upstreams.sse_server import SseServer, Up
from tests.upstreams.support import Heard, Hostile, Link, done

SDK_SERVER = str(ODD_SERVER.parent / "sdk_server.py")
WAYS = pytest.mark.parametrize("way", ["stdio modern", "stdio legacy", "sse"])


@contextlib.asynccontextmanager
async def official(way: str, directory: Path) -> AsyncIterator[Behind | Up]:
    if way == "sse":
        async with over_sse() as up:
            yield up
        return
    async with behind(directory, argv=(sys.executable, SDK_SERVER, "stdio")) as here:
        here.server.may_be_modern = way == "stdio modern"
        yield here


@contextlib.asynccontextmanager
async def over_sse() -> AsyncIterator[Up]:
    async with listening() as port:
        up = Up(SseServer(port=port), credential=None, connect_timeout_seconds=10.0)
        try:
            yield up
        finally:
            await up.server.close()


@contextlib.asynccontextmanager
async def listening(*words: str) -> AsyncIterator[int]:
    """The server as a process, and the port it listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        sys.executable, SDK_SERVER, *words, str(port), stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL
    )
    assert process.stderr is not None
    async for line in process.stderr:
        if b"running on" in line:
            break
    reading = asyncio.create_task(process.stderr.read())  # a server that nobody reads would stop once the pipe is full
    try:
        yield port
    finally:
        process.terminate()
        await reading
        await process.wait()


async def call(here: Behind | Up, name: str, arguments: Any = None, person: Person | None = None, **more: Any) -> UpstreamAnswer:
    permit = Permit("call", here.definition, "alice", False)
    ask = Ask("tools/call", {"name": name, "arguments": arguments or {}}, Era.LEGACY, here.clock.monotonic() + 20, **more)
    return await here.server.call(permit, ask, person or here.person)


def member(answer: UpstreamAnswer, name: str) -> Any:
    assert answer.result is not None, answer.error
    return msgspec.json.decode(answer.result[name])


@WAYS
async def test_it_lists_and_calls(way: str, tmp_path: Path) -> None:
    async with official(way, tmp_path) as here:
        answers = await asyncio.gather(*(call(here, "add", {"a": number, "b": 1}) for number in range(20)))
        assert [member(answer, "structuredContent") for answer in answers] == [{"result": number + 1} for number in range(20)]
        assert {answer.revision for answer in answers} == {"2026-07-28" if way == "stdio modern" else "2025-11-25"}
        listed = await here.server.call(here.errand, Ask("tools/list", {}, Era.LEGACY, here.clock.monotonic() + 20), here.person)
        assert [tool["name"] for tool in member(listed, "tools")] == ["add", "count", "confirm", "wait", "roots", "lose", "change"]
        era = Era.MODERN if way == "stdio modern" else Era.LEGACY
        assert (await here.server.discovery(here.errand, era))["instructions"] == "Adds."


@WAYS
async def test_progress_and_log_messages_reach_the_call(way: str, tmp_path: Path) -> None:
    async with official(way, tmp_path) as here:
        await call(here, "count", {"steps": 3}, wants_progress=True, log_level="info")
        steps = [params["progress"] for method, params in here.person.heard if method == "notifications/progress"]
        assert steps == [1, 2, 3]
        assert [params["data"] for method, params in here.person.heard if method == "notifications/message"] == ["counted"]


@pytest.mark.parametrize("way", ["stdio legacy", "sse"])
@pytest.mark.parametrize("action", ["accept", "decline", "cancel"])
async def test_a_question_to_the_person_is_answered(way: str, action: str, tmp_path: Path) -> None:
    async with official(way, tmp_path) as here:
        content = {"content": {"sure": True}} if action == "accept" else {}
        here.person.answers = [{"result": {"action": action, **content}}]
        answer = await call(here, "confirm", capabilities={"elicitation": {}})
        assert member(answer, "content")[0]["text"] == action
        ((method, params),) = here.person.questions
        assert (method, params["message"]) == ("elicitation/create", "Sure?")


@WAYS
async def test_a_cancelled_call_leaves_the_server_usable(way: str, tmp_path: Path) -> None:
    async with official(way, tmp_path) as here:
        waiting = asyncio.create_task(call(here, "wait", log_level="info"))
        await here.person.asked.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert member(await call(here, "add", {"a": 1, "b": 2}), "structuredContent") == {"result": 3}


# Streamable HTTP, both eras at one address


@contextlib.asynccontextmanager
async def over_http(path: str = "/mcp") -> AsyncIterator[Link]:
    async with listening("http") as port:
        link = Link(Hostile(done), url=f"http://127.0.0.1:{port}{path}", credential=None, call_timeout_seconds=20.0)
        try:
            yield link
        finally:
            await link.upstreams.close()


async def tool(link: Link, era: Era, name: str, arguments: Any = None, **more: Any) -> UpstreamAnswer:
    return await link.call(era, params={"name": name, "arguments": arguments or {}}, seconds=20.0, key="alice", **more)


async def test_each_call_is_made_in_the_era_of_its_client() -> None:
    async with over_http() as link:
        for era, revision in ((Era.LEGACY, "2025-11-25"), (Era.MODERN, "2026-07-28"), (Era.LEGACY, "2025-11-25")):
            answer = await tool(link, era, "add", {"a": 1, "b": 1}, wants_progress=True)
            assert (member(answer, "structuredContent"), answer.revision) == ({"result": 2}, revision)
        link.heard.said.clear()
        await tool(link, Era.LEGACY, "count", {"steps": 3}, wants_progress=True)
        assert [params["progress"] for method, params in link.heard.said if method == "notifications/progress"] == [1, 2, 3]


async def test_it_asks_a_legacy_client_on_the_streams_it_likes() -> None:
    async with over_http() as link:
        can: dict[str, Any] = {"elicitation": {"form": {}}, "roots": {}}

        class Answering(Heard):
            async def answers(self, method: str, params: dict[str, Any], revision: str) -> dict[str, Any]:
                if method == "roots/list":
                    return {"result": {"roots": [{"uri": "file:///a"}]}}
                return {"result": {"action": "decline"}}

        person = Answering()
        answer = await tool(link, Era.LEGACY, "confirm", capabilities=can, conversation="c", listener=person)
        assert member(answer, "content")[0]["text"] == "decline"
        answer = await tool(link, Era.LEGACY, "roots", capabilities=can, conversation="c", listener=person)
        assert member(answer, "content")[0]["text"] == "file:///a"


async def test_a_stream_that_it_closed_is_taken_up_again() -> None:  # GW-56
    async with over_http() as link:
        answer = await tool(link, Era.LEGACY, "lose", wants_progress=True)
        assert member(answer, "content")[0]["text"] == "found again"


@pytest.mark.parametrize("era", [Era.LEGACY, Era.MODERN])
async def test_it_says_that_its_tools_changed_to_whoever_listens(era: Era) -> None:
    async with over_http() as link:
        link.upstreams.attend(link.definition)
        await link.upstreams.era_of(link.errand)
        if era is Era.LEGACY:  # as if it spoke no other
            link.streamable._modern = False
        link.upstreams.sweep()
        await until(lambda: link.streamable.is_heard)
        await link.call(era, params={"name": "change", "arguments": {}}, seconds=20.0)
        await until(lambda: ("hostile", "tools") in link.noted.lists)
