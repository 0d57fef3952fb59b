"""Each server over the transport it turns out to speak, found out by the first call and again when it changes."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from customhouse.adapters.upstreams.transports import LEAVING_SECONDS, TransportUpstreams
from customhouse.core.manifest import BearerCredential, Era, Package, ServerDefinition, StdioProgram
from customhouse.core.permit import Errand, Permit, Purpose
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.traffic import Ask, UpstreamAnswer
from tests.upstreams.programs import ODD_SERVER, Person, Program, alive, text_of, until
from tests.upstreams.sse_server import Message, Script, SseServer, handshake
from tests.upstreams.support import Machine, Noted, OneSecret, done, legacy, linked

ERAS = pytest.mark.parametrize("era", [Era.LEGACY, Era.MODERN])


class Older:
    """The gateway in front of one server of HTTP+SSE that is defined by its URL alone."""

    def __init__(self, web: SseServer, path: str) -> None:
        self.web = web
        self.clock = Machine()
        self.noted = Noted()
        self.upstreams = TransportUpstreams(OneSecret(), self.clock, self.noted)
        url = f"http://127.0.0.1:{web.port}{path}"
        self.definition = ServerDefinition(
            name="sse",
            owner="o",
            contact="c",
            tenant="acme",
            url=url,
            credential=BearerCredential("env:TOKEN"),
            connect_timeout_seconds=1.0,
        )
        self.errand = Errand(Purpose.CAPTURE, self.definition)

    async def call(self, era: Era, arguments: Any = None, **more: Any) -> UpstreamAnswer:
        ask = Ask("tools/call", {"name": "t", "arguments": arguments}, era, self.clock.monotonic() + 5.0, **more)
        return await self.upstreams.call(Permit("call", self.definition, "alice", False), ask, Person())


def posts_refused(status: int, script: Script = handshake) -> Script:
    """Nothing is posted to the stream itself."""

    async def answer(message: Message) -> int | None:
        return status if message.path == "/sse" else await script(message)

    return answer


@contextlib.asynccontextmanager
async def older(script: Script, **more: Any) -> AsyncIterator[Older]:
    web = SseServer(script, **more)
    listening = await asyncio.start_server(web.serve, "127.0.0.1", 0)
    web.port = listening.sockets[0].getsockname()[1]
    here = Older(web, "/sse")
    try:
        yield here
    finally:
        await here.upstreams.close()
        listening.close()
        for writer in web.writers:
            writer.transport.abort()
        await asyncio.sleep(0)


@ERAS
@pytest.mark.parametrize("status", [400, 404, 405])
async def test_a_server_that_takes_no_post_is_found_behind_its_stream(era: Era, status: int) -> None:  # GW-48
    async with older(posts_refused(status)) as here:
        for _ in range(2):
            answer = await here.call(era, {"n": 1})
            assert (text_of(answer), answer.revision) == ('{"n": 1}', "2024-11-05")
        assert sum(message.path == "/sse" for message in here.web.got) == 2  # the greeting and the question of the era, once
        assert await here.upstreams.era_of(here.errand) is Era.LEGACY


async def test_a_capture_finds_the_stream_too() -> None:
    async with older(posts_refused(405)) as here:
        assert await here.upstreams.era_of(here.errand) is Era.LEGACY
        said = await here.upstreams.discovery(here.errand, Era.LEGACY)
        assert said["protocolVersion"] == "2024-11-05"


async def test_many_first_calls_look_for_the_stream_once() -> None:
    async with older(posts_refused(405)) as here:
        answers = await asyncio.gather(*(here.call(Era.LEGACY, number) for number in range(20)))
        assert [text_of(answer) for answer in answers] == [str(number) for number in range(20)]
        assert len(here.web.streams) == 2  # one that found it out, one of the caller


async def test_a_server_that_is_of_no_transport_is_refused_with_what_it_said_first() -> None:  # GW-48
    async with older(posts_refused(404), stream_head=b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n") as here:
        for era in Era:
            with pytest.raises(Refused, match="UPSTREAM_FAILED"):
                await here.call(era)


async def test_a_stream_that_names_another_origin_is_not_followed() -> None:  # GW-58
    async with older(posts_refused(405), first_event=b"event: endpoint\ndata: http://127.0.0.2/m\n\n") as here:
        with pytest.raises(Refused):
            await here.call(Era.LEGACY)
        assert {message.path for message in here.web.got} == {"/sse"}


async def test_refused_credentials_are_no_reason_to_look_for_a_stream() -> None:  # GW-49
    async with older(posts_refused(401)) as here:
        with pytest.raises(Refused, match="UPSTREAM_REFUSED_CREDENTIAL"):
            await here.call(Era.LEGACY)
        assert here.web.streams == []


async def test_a_server_whose_stream_is_gone_for_good_is_looked_at_anew() -> None:
    async with older(posts_refused(405)) as here:
        await here.call(Era.LEGACY)
        here.web.stream_head = b"HTTP/1.1 405 X\r\ncontent-length: 0\r\n\r\n"
        for writer in here.web.streams:
            writer.transport.abort()
        await until(lambda: all(ended.is_set() for ended in here.web.ended))
        posted = len(here.web.got)
        for _ in range(3):
            with pytest.raises(Refused):
                await here.call(Era.LEGACY)
        assert any(message.path == "/sse" for message in here.web.got[posted:])


# Programs


class Programs:
    """The gateway in front of one program, started without walls around it."""

    def __init__(self, notes: Path, *manners: str) -> None:
        self.argv = (sys.executable, str(ODD_SERVER), str(notes), *manners)
        self.started: list[Program] = []
        self.clock = Machine()
        self.upstreams = TransportUpstreams(OneSecret(), self.clock, Noted(), self.start)
        package = Package(ecosystem="pypi", name="odd", version="1", digest="sha256:" + "0" * 64)
        program = StdioProgram(package=package, argv=("bin/odd",))
        self.definition = ServerDefinition(
            name="odd", owner="o", contact="c", tenant="acme", stdio=program, call_timeout_seconds=10.0, connect_timeout_seconds=10.0
        )

    async def start(self, definition: ServerDefinition) -> Program:
        assert definition is self.definition
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self.argv, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)
        self.started.append(Program(definition.name, process, definition.max_result_bytes))
        return self.started[-1]

    def call(self, name: str, **more: Any) -> Any:
        ask = Ask("tools/call", {"name": name, "arguments": {}}, Era.LEGACY, self.clock.monotonic() + 10.0, **more)
        return self.upstreams.call(Permit("call", self.definition, "alice", False), ask, Person())


@pytest.mark.parametrize(("manner", "revision"), [("modern", "2026-07-28"), ("legacy", "2025-11-25")])
async def test_a_program_is_called_and_ended_with_the_gateway(manner: str, revision: str, tmp_path: Path) -> None:
    here = Programs(tmp_path / "notes", manner)
    answer = await here.call("echo")
    assert (text_of(answer), answer.revision) == ("{}", revision)
    here.upstreams.sweep()
    await here.upstreams.close()
    assert not any(alive(program.process.pid) for program in here.started)


async def test_a_cancelled_call_of_a_program_is_cancelled_at_the_program(tmp_path: Path) -> None:
    here = Programs(tmp_path / "notes", "legacy")
    calling = asyncio.create_task(here.call("hold"))
    notes = tmp_path / "notes"
    await until(lambda: notes.exists() and '"tools/call"' in notes.read_text())
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    await until(lambda: "notifications/cancelled" in notes.read_text())
    await here.upstreams.close()


async def test_where_no_programs_are_started_a_call_says_so() -> None:
    here = Programs(Path("none"))
    upstreams = TransportUpstreams(OneSecret(), here.clock, Noted())
    ask = Ask("tools/call", {"name": "t"}, Era.LEGACY, here.clock.monotonic() + 1.0)
    with pytest.raises(Refused, match="SERVER_NOT_STARTED"):
        await upstreams.call(Permit("call", here.definition, "", False), ask, Person())
    await upstreams.close()


async def test_a_definition_that_changed_is_another_server_and_the_former_is_left_once_its_calls_had_their_time() -> None:
    async with linked(legacy(done)) as link:
        await link.call(Era.LEGACY)
        before = link.definition
        link.definition = ServerDefinition(
            name="hostile", owner="p", contact="c", tenant="acme", url=before.url, credential=before.credential
        )
        link.upstreams.retain([link.definition])
        await link.call(Era.LEGACY)
        assert link.server.methods().count("initialize") == 2
        link.upstreams.sweep()
        assert id(before) in link.upstreams._servers
        ended = link.server.until(lambda got: got.verb == "DELETE")
        link.clock.ahead += before.call_timeout_seconds + LEAVING_SECONDS
        link.upstreams.sweep()
        await ended
        assert list(link.upstreams._servers) == [id(link.definition)]


async def test_what_is_served_again_is_not_left() -> None:
    async with linked(legacy(done)) as link:
        await link.call(Era.LEGACY)
        link.upstreams.retain([])
        link.upstreams.retain([link.definition])
        link.clock.ahead += link.definition.call_timeout_seconds + LEAVING_SECONDS
        link.upstreams.sweep()
        await link.call(Era.LEGACY)
        assert list(link.upstreams._servers) == [id(link.definition)]


async def test_a_call_that_comes_late_for_a_former_definition_is_carried_and_leaves_nothing_behind() -> None:
    async with linked(legacy(done)) as link:
        link.upstreams.retain([])
        await link.call(Era.LEGACY)
        link.clock.ahead += link.definition.call_timeout_seconds + LEAVING_SECONDS
        link.upstreams.sweep()
        assert link.upstreams._servers == {}


class NoSecret:
    """The variable of a credential is not set."""

    def read(self, reference: str) -> str:
        raise LookupError(f"{reference}: the environment variable is not set.")


async def test_a_server_whose_credential_cannot_be_read_is_refused_and_in_nobodys_way() -> None:
    async with older(handshake) as server:
        server.upstreams = TransportUpstreams(NoSecret(), server.clock, server.noted)
        server.upstreams.attend(server.definition)
        with pytest.raises(Refused) as caught:
            await server.call(Era.MODERN)
        assert (caught.value.reason, caught.value.note) == (
            Reason.UPSTREAM_UNREACHABLE,
            "its credential cannot be read: env:TOKEN: the environment variable is not set.",
        )
        await server.upstreams.close()
