"""One call and its server: what is sent, what a hostile server can do to it, and what is never done twice."""

import asyncio
import json
from collections.abc import Awaitable
from typing import Any

import pytest

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import META_CAPABILITIES, META_CLIENT, META_LOG_LEVEL, META_VERSION
from customhouse.core.refusal import Refused
from tests.upstreams.support import DONE, SECRET, Got, Heard, Link, Script, chunk, content, done, legacy, linked, modern, reply

BOTH = pytest.mark.parametrize(("era", "speaking"), [(Era.MODERN, modern), (Era.LEGACY, legacy)], ids=["modern", "legacy"])


async def refusal_of(script: Script, era: Era = Era.MODERN, **more: Any) -> Refused:
    """What a call of such a server is refused with."""
    async with linked((modern if era is Era.MODERN else legacy)(script)) as link:
        with pytest.raises(Refused) as caught:
            await asyncio.wait_for(link.call(era, **more), 3)
        return caught.value


# What is sent


async def test_a_modern_request_is_made_anew_with_the_gateways_own_envelope() -> None:  # GW-53
    async with linked(modern(done)) as link:
        await link.call(
            params={"name": "sée", "arguments": {"x": None}},
            meta={"com.example/a": 1, "traceparent": "t"},
            wants_progress=True,
            log_level="error",
            mirrored_headers=[("Mcp-Param-Region", "eu")],
        )
        got = link.server.got[-1]
        meta = got.message["params"].pop("_meta")
        assert got.message["params"] == {"name": "sée", "arguments": {"x": None}}
        assert meta.pop(META_CLIENT)["name"] == "customhouse"
        assert meta == {
            META_VERSION: "2026-07-28",
            META_CAPABILITIES: {},
            META_LOG_LEVEL: "error",
            "com.example/a": 1,
            "traceparent": "t",
            "progressToken": got.id,
        }
        assert (got.headers["mcp-method"], got.headers["mcp-name"]) == ("tools/call", "=?base64?c8OpZQ==?=")
        assert (got.headers["mcp-protocol-version"], got.headers["mcp-param-region"]) == ("2026-07-28", "eu")
        assert got.raw.startswith(b"POST /mcp?x=1 HTTP/1.1\r\n")


@BOTH
async def test_the_gateways_own_credential_and_no_other_goes_to_the_server(era: Era, speaking: Any) -> None:  # GW-98
    async with linked(speaking(done)) as link:
        await link.call(era)
        assert {got.headers["authorization"] for got in link.server.got} == {f"Bearer {SECRET}"}


async def test_a_server_without_a_credential_gets_none() -> None:
    async with linked(modern(done), credential=None) as link:
        await link.call()
        assert all("authorization" not in got.headers for got in link.server.got)


@BOTH
async def test_a_warm_call_is_one_request_on_the_same_connection(era: Era, speaking: Any) -> None:
    async with linked(speaking(done)) as link:
        await link.call(era)
        before, connections = len(link.server.got), link.server.connections
        for _ in range(5):
            await link.call(era, write=True)
        assert len(link.server.got) == before + 5
        assert link.server.connections == connections


async def test_a_legacy_request_carries_meta_only_where_there_is_some() -> None:
    async with linked(legacy(done)) as link:
        await link.call(Era.LEGACY)
        await link.call(Era.LEGACY, meta={"com.example/a": 1}, wants_progress=True)
        plain, full = (got for got in link.server.got if got.method == "tools/call")
        assert "_meta" not in plain.message["params"]
        assert full.message["params"]["_meta"] == {"com.example/a": 1, "progressToken": full.id}


# Answers


async def test_an_answer_as_a_stream_passes_on_progress_and_logs_of_this_call_only() -> None:  # GW-10
    async def talk(got: Got) -> None:
        await got.stream()
        for method, params in (
            ("notifications/progress", {"progressToken": got.id, "progress": 1}),
            ("notifications/progress", {"progressToken": "another", "progress": 2}),
            ("notifications/message", {"level": "info", "data": None}),
            ("notifications/tools/list_changed", {}),
            ("notifications/made-up", {}),
        ):
            await got.event({"jsonrpc": "2.0", "method": method, "params": params})
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    async with linked(modern(talk)) as link:
        assert content(await link.call(wants_progress=True)) == DONE["content"]
        assert [(method, params.get("progress")) for method, params in link.heard.said] == [
            ("notifications/progress", 1),
            ("notifications/message", None),
        ]
        link.heard.said.clear()
        await link.call()
        assert [method for method, _ in link.heard.said] == ["notifications/message"]


async def test_an_error_of_the_server_is_its_answer() -> None:
    async def fail(got: Got) -> None:
        await got.error(-32602, 400)

    async with linked(modern(fail)) as link:
        answer = await link.call()
        assert (answer.result, answer.error) == (None, {"code": -32602, "message": "m"})


def says(*parts: bytes, close: bool = True) -> Script:
    async def script(got: Got) -> None:
        await got.send(*(part.replace(b"$ID", str(got.id).encode()) for part in parts))
        if close:
            got.writer.close()

    return script


def json_answer(text: bytes) -> Script:
    async def script(got: Got) -> None:
        await got.send(reply(text.replace(b"$ID", str(got.id).encode())))

    return script


OK = b"HTTP/1.1 200 OK\r\n"
STREAM = OK + b"content-type: text/event-stream\r\n"
JSON = OK + b"content-type: application/json\r\n"
CHUNKED = b"transfer-encoding: chunked\r\n\r\n"
ANSWER = b'{"jsonrpc":"2.0","id":$ID,"result":{"content":[]}}'


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        pytest.param(says(b""), "UPSTREAM_DIED", id="closes without a word"),
        pytest.param(says(b"HTTP/1.1 200"), "UPSTREAM_DIED", id="closes in the status line"),
        pytest.param(says(JSON + b"content-length: 50\r\n\r\n{"), "UPSTREAM_DIED", id="closes in a body"),
        pytest.param(says(JSON + CHUNKED + b"ff\r\n{"), "UPSTREAM_DIED", id="truncated chunk"),
        pytest.param(says(JSON + CHUNKED + chunk(b"{}")), "UPSTREAM_DIED", id="no last chunk"),
        pytest.param(says(STREAM + CHUNKED + chunk(b"data: {")), "UPSTREAM_DIED", id="dies in an event"),
        pytest.param(says(STREAM + CHUNKED + b"0\r\n\r\n"), "UPSTREAM_DIED", id="stream without an answer"),
        pytest.param(
            says(STREAM + CHUNKED + chunk(b"data: " + ANSWER) + b"0\r\n\r\n"), "UPSTREAM_DIED", id="answer without its empty line"
        ),
        pytest.param(says(b"hello there\r\n\r\n"), "UPSTREAM_DIED", id="no HTTP"),
        pytest.param(says(JSON + CHUNKED + b"zz\r\n"), "UPSTREAM_DIED", id="broken chunk size"),
        pytest.param(says(JSON + b"content-length: 1\r\ncontent-length: 2\r\n\r\n{}"), "UPSTREAM_DIED", id="two lengths"),
        pytest.param(
            says(b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", close=False), "UPSTREAM_DIED", id="another protocol"
        ),
        pytest.param(says(OK + b"x: " + b"y" * 70_000, close=False), "UPSTREAM_DIED", id="huge header"),
        pytest.param(says(*[b"HTTP/1.1 100 Continue\r\n\r\n"] * 4000, close=False), "UPSTREAM_DIED", id="interim replies without end"),
        pytest.param(says(OK + b"\r\n".join(b"x%d: y" % n for n in range(9000)), close=False), "UPSTREAM_DIED", id="headers without end"),
        pytest.param(says(JSON + b"content-length: 200000\r\n\r\n" + b" " * 200_000), "RESULT_TOO_LARGE", id="huge body"),
        pytest.param(says(STREAM + CHUNKED, chunk(b"data: " + b"x" * 200_000), close=False), "RESULT_TOO_LARGE", id="huge event"),
        pytest.param(says(STREAM + CHUNKED, chunk(b"data:\n" * 200_000), close=False), "RESULT_TOO_LARGE", id="an event of empty lines"),
        pytest.param(json_answer(ANSWER.replace(b"$ID", b"9999")), "UPSTREAM_BROKE_PROTOCOL", id="wrong id"),
        pytest.param(json_answer(ANSWER.replace(b"$ID", b'"$ID"')), "UPSTREAM_BROKE_PROTOCOL", id="id of another type"),
        pytest.param(json_answer(ANSWER.replace(b"$ID", b"null")), "UPSTREAM_BROKE_PROTOCOL", id="id null"),
        pytest.param(json_answer(ANSWER.replace(b"$ID", b"9" * 40)), "UPSTREAM_BROKE_PROTOCOL", id="id beyond 2^53"),
        pytest.param(json_answer(ANSWER.replace(b"$ID", b"[]")), "UPSTREAM_BROKE_PROTOCOL", id="id a list"),
        pytest.param(json_answer(b'{"id":1,' + ANSWER[1:]), "UPSTREAM_BROKE_PROTOCOL", id="duplicate id"),
        pytest.param(json_answer(b'{"result":{},' + ANSWER[1:]), "UPSTREAM_BROKE_PROTOCOL", id="duplicate result"),
        pytest.param(json_answer(ANSWER.replace(b"[]", b'[],"content":[1]')), "UPSTREAM_BROKE_PROTOCOL", id="duplicate key in the result"),
        pytest.param(json_answer(ANSWER.replace(b"[]", b"[" * 50_000)), "UPSTREAM_BROKE_PROTOCOL", id="no JSON"),
        pytest.param(json_answer(ANSWER.replace(b"[]", b"[" * 40_000 + b"]" * 40_000)), "UPSTREAM_BROKE_PROTOCOL", id="depth"),
        pytest.param(json_answer(ANSWER.replace(b"[]", b'"\xff"')), "UPSTREAM_BROKE_PROTOCOL", id="no UTF-8"),
        pytest.param(json_answer(b"[]"), "UPSTREAM_BROKE_PROTOCOL", id="batch"),
        pytest.param(json_answer(b""), "UPSTREAM_BROKE_PROTOCOL", id="empty"),
        pytest.param(json_answer(b'{"jsonrpc":"2.0","id":$ID}'), "UPSTREAM_BROKE_PROTOCOL", id="neither result nor error"),
        pytest.param(json_answer(b'{"id":$ID,"result":{},"error":{"code":1,"message":""}}'), "UPSTREAM_BROKE_PROTOCOL", id="both"),
        pytest.param(json_answer(b'{"id":$ID,"result":[]}'), "UPSTREAM_BROKE_PROTOCOL", id="result a list"),
        pytest.param(json_answer(b'{"id":$ID,"error":"no"}'), "UPSTREAM_BROKE_PROTOCOL", id="error a string"),
        pytest.param(json_answer(b'{"id":$ID,"error":{"code":"x","message":""}}'), "UPSTREAM_BROKE_PROTOCOL", id="code a string"),
        pytest.param(json_answer(b'{"id":$ID,"error":{"code":1,"code":2,"message":""}}'), "UPSTREAM_BROKE_PROTOCOL", id="duplicate code"),
        pytest.param(json_answer(b'{"id":$ID,"error":{"code":-32700,"message":""}}'), "UPSTREAM_BROKE_PROTOCOL", id="our fault, it says"),
        pytest.param(json_answer(b'{"jsonrpc":"2.0","id":$ID,"method":"ping"}'), "UPSTREAM_BROKE_PROTOCOL", id="a request as an answer"),
        pytest.param(says(OK + b"content-type: text/html\r\ncontent-length: 1\r\n\r\nx"), "UPSTREAM_FAILED", id="a page"),
        pytest.param(says(b"HTTP/1.1 204 X\r\n\r\n"), "UPSTREAM_FAILED", id="no content"),
        pytest.param(says(b"HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n"), "UPSTREAM_FAILED", id="500"),
        pytest.param(says(b"HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n"), "UPSTREAM_REFUSED_CREDENTIAL", id="401"),
        pytest.param(
            says(b"HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n"), "UPSTREAM_REDIRECTED", id="redirect"
        ),
        pytest.param(
            says(STREAM + CHUNKED, chunk(b"data: []\n\n"), close=False), "UPSTREAM_BROKE_PROTOCOL", id="an event that is no message"
        ),
        pytest.param(
            says(STREAM + CHUNKED, chunk(b"data: " + ANSWER.replace(b"$ID", b"7777") + b"\n\n"), close=False),
            "UPSTREAM_BROKE_PROTOCOL",
            id="another answer in a stream",
        ),
        pytest.param(
            says(STREAM + CHUNKED, chunk(b'data: {"jsonrpc":"2.0","id":1,"method":"roots/list"}\n\n'), close=False),
            "UPSTREAM_BROKE_PROTOCOL",
            id="a request in the modern era",
        ),
        pytest.param(
            says(STREAM + CHUNKED, chunk(b'data: {"method":"notifications/message","params":[]}\n\n'), close=False),
            "UPSTREAM_BROKE_PROTOCOL",
            id="params a list",
        ),
    ],
)
async def test_an_answer_that_is_none_fails_the_call_and_nothing_else(script: Script, reason: str) -> None:
    caught = await refusal_of(script)
    assert caught.reason.name == reason


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with linked(modern(says(JSON + b"\r\n" + ANSWER))) as link:
        assert content(await link.call()) == []


async def test_an_interim_reply_is_followed_by_the_real_one() -> None:
    async with linked(
        modern(says(b"HTTP/1.1 103 Early\r\ncontent-length: 9\r\n\r\n" + JSON + b"connection: close\r\n\r\n" + ANSWER))
    ) as link:
        assert content(await link.call()) == []


@pytest.mark.parametrize(
    ("after", "hint"), [("7", 7), ("0", 0), ("9" * 5000, None), ("9" * 30, None), ("soon", None), ("-1", None), ("", None)]
)
@pytest.mark.parametrize("status", [429, 503])
async def test_a_server_that_wants_rest_is_heard(status: int, after: str, hint: int | None) -> None:  # GW-64
    async def script(got: Got) -> None:
        await got.json(b"", status, {"retry-after": after})

    caught = await refusal_of(script)
    assert caught.reason.name == "UPSTREAM_OVERLOADED"
    assert caught.detail.get("retryAfterSeconds") == hint


# Time


@BOTH
async def test_a_server_that_hangs_is_given_up_at_the_deadline(era: Era, speaking: Any) -> None:  # GW-65
    async def hang(got: Got) -> None:
        await got.gone()

    async with linked(speaking(hang)) as link:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await asyncio.wait_for(link.call(era, seconds=0.1), 2)


@pytest.mark.parametrize(
    "trickle", [b"HTTP/1.1 200 OK\r\nx: yyyyyyyyyyyyyyy", JSON + b"content-length: 999\r\n\r\n" + b" " * 99], ids=["head", "body"]
)
async def test_a_server_that_drips_is_given_up_at_the_deadline(trickle: bytes) -> None:
    async def drip(got: Got) -> None:
        for at in range(len(trickle)):
            await got.send(trickle[at : at + 1])
            await asyncio.sleep(0.01)
        await got.gone()

    caught = await refusal_of(drip, seconds=0.1)
    assert caught.reason.name == "UPSTREAM_TIMED_OUT"


async def test_progress_without_end_does_not_move_the_deadline() -> None:  # GW-65
    async def busy(got: Got) -> None:
        await got.stream()
        while True:
            await got.event({"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": got.id, "progress": 1}})
            await asyncio.sleep(0.005)

    caught = await refusal_of(busy, seconds=0.1, wants_progress=True)
    assert caught.reason.name == "UPSTREAM_TIMED_OUT"


async def test_a_deadline_that_passed_is_not_waited_for() -> None:
    async with linked(modern(done)) as link:
        await link.call()
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await link.call(seconds=-1.0)


async def hang_after_telling(got: Got) -> None:
    await got.stream()
    await got.gone()


async def cancelled(link: Link, era: Era) -> Got:
    """Call, cancel once the server has the request, and return that request once its connection is closed."""
    at_server = link.server.until(lambda got: got.method == "tools/call")
    task = asyncio.get_running_loop().create_task(link.call(era))
    got = await at_server
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(got.ended.wait(), 0.1)
    return got


async def test_a_cancelled_modern_call_closes_its_connection_within_100_ms() -> None:  # GW-29
    async def wait(got: Got) -> None:
        await got.stream()

    async with linked(modern(wait)) as link:
        await cancelled(link, Era.MODERN)
        assert "notifications/cancelled" not in link.server.methods()


async def test_a_cancelled_legacy_call_is_told_with_the_gateways_own_id() -> None:  # GW-42
    async def wait(got: Got) -> None:
        await got.stream()

    async with linked(legacy(wait)) as link:
        told = link.server.until(lambda got: got.method == "notifications/cancelled")
        got = await cancelled(link, Era.LEGACY)
        assert (await told).message["params"] == {"requestId": got.id}
        assert told.result().headers["mcp-session-id"] == "s-1"


async def test_a_legacy_call_that_timed_out_is_cancelled_at_the_server() -> None:  # GW-65
    async with linked(legacy(hang_after_telling)) as link:
        told = link.server.until(lambda got: got.method == "notifications/cancelled")
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await link.call(Era.LEGACY, seconds=0.1)
        await asyncio.wait_for(told, 1)


# Requests of the server


@pytest.mark.parametrize(
    ("method", "expected"),
    [("ping", {"result": {}}), ("roots/list", {"error": {"code": -32601, "message": "The client does not offer this."}})],
)
async def test_a_request_of_a_legacy_server_is_answered_here(method: str, expected: dict[str, Any]) -> None:  # GW-78
    async def ask(got: Got) -> None:
        await got.stream()
        await got.event({"jsonrpc": "2.0", "id": "theirs", "method": method})
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    async with linked(legacy(ask)) as link:
        answered = link.server.until(lambda got: got.id == "theirs")
        assert content(await link.call(Era.LEGACY)) == DONE["content"]
        assert (await answered).message == {"jsonrpc": "2.0", "id": "theirs", **expected}
        assert link.heard.said == []


# Twice or never


def dies_when_warm(broken: list[int]) -> Script:
    """Answers the first call on a connection and dies at the second, before a word."""

    async def call(got: Got) -> None:
        if got.connection in broken:
            got.writer.transport.abort()
            return
        broken.append(got.connection)
        await got.result(DONE)

    return modern(call)


async def test_a_read_on_a_connection_that_just_died_is_sent_once_more() -> None:
    async with linked(dies_when_warm([])) as link:
        await link.call()
        assert content(await link.call()) == DONE["content"]
        assert link.server.methods().count("tools/call") == 3


async def test_a_write_is_never_sent_twice() -> None:
    async with linked(dies_when_warm([])) as link:
        await link.call(write=True)
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await link.call(write=True)
        assert link.server.methods().count("tools/call") == 2


async def test_a_read_that_was_partly_answered_is_not_sent_again() -> None:
    first = True

    async def call(got: Got) -> None:
        nonlocal first
        if first:
            first = False
            await got.result(DONE)
        else:
            await says(b"HTTP/1.1 200")(got)

    async with linked(modern(call)) as link:
        await link.call()
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await link.call()
        assert link.server.methods().count("tools/call") == 2


async def test_a_write_takes_a_fresh_connection_where_the_warm_one_idled() -> None:
    async with linked(modern(done)) as link:
        await link.call()
        link.clock.ahead = 2.0
        await link.call()
        assert link.server.connections == 1
        link.clock.ahead = 4.0
        await link.call(write=True)
        assert link.server.connections == 2


async def test_connections_that_nobody_uses_are_ended() -> None:
    async with linked(modern(done)) as link:
        await link.call()
        last = link.server.got[-1]
        link.upstreams.sweep()
        link.clock.ahead = 5.0
        link.upstreams.sweep()
        await asyncio.wait_for(last.ended.wait(), 1)
        await link.call()
        assert link.server.connections == 2


async def test_a_connection_that_the_server_ends_is_not_used_again() -> None:
    async def call(got: Got) -> None:
        await got.result(DONE, {"connection": "close"})

    async with linked(modern(call)) as link:
        for _ in range(3):
            assert content(await link.call(write=True)) == DONE["content"]


async def test_a_server_that_speaks_unasked_loses_its_connection() -> None:
    async def call(got: Got) -> None:
        await got.send(reply(json.dumps({"jsonrpc": "2.0", "id": got.id, "result": DONE}).encode()), b"HTTP/1.1 200 OK\r\n\r\n")

    async with linked(modern(call)) as link:
        for _ in range(3):
            assert content(await link.call()) == DONE["content"]
            await asyncio.wait_for(link.server.got[-1].ended.wait(), 1)


# Streams after the answer, and slow readers


async def test_a_stream_that_ends_after_its_answer_leaves_the_connection_warm() -> None:
    go = asyncio.Event()

    async def call(got: Got) -> None:
        await got.stream()
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await go.wait()
        await got.send(chunk(b": bye\n\n"))
        await got.end()

    async with linked(modern(call)) as link:
        await link.call()
        go.set()
        (draining,) = link.streamable._endpoint._errands
        await draining
        await link.call()
        assert link.server.connections == 1


async def test_a_stream_that_stays_open_after_its_answer_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.endpoint.DRAIN_SECONDS", 0.02)

    async def call(got: Got) -> None:
        await got.stream()
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})

    async with linked(modern(call)) as link:
        await link.call()
        await asyncio.wait_for(link.server.got[-1].ended.wait(), 1)


class Slow(Heard):
    """Takes nothing until it may."""

    def __init__(self) -> None:
        super().__init__()
        self.first = asyncio.Event()
        self.may = asyncio.Event()

    def room(self) -> Awaitable[None] | None:
        self.first.set()
        return None if self.may.is_set() else self._until_it_may()

    async def _until_it_may(self) -> None:
        await self.may.wait()


async def test_a_slow_reader_slows_the_server_and_not_the_memory() -> None:
    sent = 0
    many, size = 400, 50_000

    async def flood(got: Got) -> None:
        nonlocal sent
        await got.stream()
        for _ in range(many):
            await got.event({"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x" * size}})
            sent += 1
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    async with linked(modern(flood)) as link:
        slow = Slow()
        task = asyncio.get_running_loop().create_task(link.call(listener=slow, log_level="info", seconds=20))
        await slow.first.wait()
        before = -1
        while sent != before:  # until the server can send no more: its own buffer, the kernel's, and what waits for the reader are full
            before = sent
            await asyncio.sleep(0.05)
        assert sent < many
        slow.may.set()
        assert content(await task) == DONE["content"]
        assert len(slow.said) == many


# Addresses


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://private.test/mcp", "ADDRESS_REFUSED"),
        ("http://private.test/mcp", "ADDRESS_REFUSED"),
        ("http://93.184.216.34/mcp", "ADDRESS_REFUSED"),
        ("https://10.0.0.1/mcp", "ADDRESS_REFUSED"),
        ("https://rebound.test/mcp", "ADDRESS_REFUSED"),
        ("http://127.0.0.1:1/mcp", "UPSTREAM_UNREACHABLE"),
        ("http://[::1]:1/mcp", "UPSTREAM_UNREACHABLE"),
        ("http://localhost:1/mcp", "UPSTREAM_UNREACHABLE"),
        ("https://nothing.test/mcp", "UPSTREAM_UNREACHABLE"),
    ],
)
async def test_a_server_is_where_its_definition_may_point(url: str, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    names = {"private.test": "10.0.0.7", "rebound.test": "127.0.0.1"}
    loop = asyncio.get_running_loop()
    resolve = loop.getaddrinfo

    async def resolved(host: str, port: int, **more: Any) -> Any:
        if host == "nothing.test":
            raise OSError("no such name")
        return await resolve(names.get(host, host), port, **more)

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    async with linked(modern(done), url=url) as link:
        with pytest.raises(Refused, match=reason):
            await link.call()
        assert link.server.got == []


async def test_a_listed_network_may_be_reached_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    tried: list[str] = []

    async def resolved(host: str, port: int, **_: Any) -> Any:
        return [(2, 1, 6, "", ("10.0.0.7", port)), (2, 1, 6, "", ("10.9.0.7", port)), (2, 1, 6, "", ("10.0.0.8", port))]

    async def connect(_: Any, host: str, **__: Any) -> Any:
        tried.append(host)
        raise ConnectionRefusedError

    monkeypatch.setattr(loop, "getaddrinfo", resolved)
    monkeypatch.setattr(loop, "create_connection", connect)
    async with linked(modern(done), url="https://private.test/mcp", networks=("10.0.0.0/16",)) as link:
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await link.call()
    assert tried == ["10.0.0.7", "10.0.0.8"]


async def test_a_server_that_takes_no_connection_in_time_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(*_: Any, **__: Any) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", never)
    async with linked(modern(done), connect_timeout_seconds=0.02) as link:
        with pytest.raises(Refused, match="UPSTREAM_UNREACHABLE"):
            await link.call()
