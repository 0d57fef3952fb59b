"""Which era a server speaks: a recognised answer decides, an outage decides nothing, and the verdict is kept."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from customhouse.core.manifest import Era
from customhouse.core.protocol.revisions import META_CAPABILITIES
from customhouse.core.refusal import Reason, Refused
from tests.upstreams.support import DISCOVERED, DONE, INITIALIZED, Got, content, done, legacy, linked, modern, reply


def error(code: object, status: int = 200) -> tuple[int, object]:
    return status, {"code": code, "message": "m"}


@pytest.mark.parametrize(
    ("status", "said", "era"),
    [
        pytest.param(200, {"result": DISCOVERED}, Era.MODERN, id="discovered"),
        pytest.param(
            400,
            {"error": {"code": -32022, "message": "m", "data": {"supported": ["2026-07-28"]}}},
            Era.MODERN,
            id="a recognised modern error",
        ),  # GW-47
        pytest.param(
            400, {"error": {"code": -32022, "message": "m", "data": {"supported": ["2025-06-18", "2026-07-28"]}}}, Era.MODERN, id="both"
        ),
        pytest.param(
            400, {"error": {"code": -32022, "message": "m", "data": {"supported": ["2025-06-18"]}}}, Era.LEGACY, id="legacy alone"
        ),
        pytest.param(400, {"error": {"code": -32022, "message": "m", "data": {"supported": ["2031-01-01"]}}}, Era.MODERN, id="newer"),
        pytest.param(400, {"error": {"code": -32020, "message": "m"}}, Era.MODERN, id="400 -32020"),
        pytest.param(400, {"error": {"code": -32021, "message": "m"}}, Era.MODERN, id="400 -32021"),
        pytest.param(400, {"id": None, "error": {"code": -32022, "message": "m"}}, Era.MODERN, id="400 -32022 without an id"),
        pytest.param(400, {"error": {"code": -32600, "message": "m"}}, Era.LEGACY, id="400 another error"),  # GW-48
        pytest.param(400, {"error": {"code": -32000, "message": "m"}}, Era.LEGACY, id="400 -32000"),
        pytest.param(200, {"error": {"code": -32601, "message": "m"}}, Era.LEGACY, id="unknown method"),
        pytest.param(404, {"error": {"code": -32601, "message": "m"}}, Era.LEGACY, id="404 unknown method"),
        pytest.param(400, b"", Era.LEGACY, id="400 empty"),  # GW-48
        pytest.param(400, b"Missing session", Era.LEGACY, id="400 text"),  # GW-48
        pytest.param(400, b'{"error":"no session"}', Era.LEGACY, id="400 foreign JSON"),
        pytest.param(404, b"Not Found", Era.LEGACY, id="404 text"),  # GW-48
        pytest.param(405, b"", Era.LEGACY, id="405"),  # GW-48
        pytest.param(406, b"", Era.LEGACY, id="406"),
        pytest.param(200, {"result": {"supportedVersions": ["2025-11-25"]}}, Era.LEGACY, id="lists no modern version"),  # GW-52
        pytest.param(200, {"result": {}}, Era.LEGACY, id="lists nothing"),
        pytest.param(200, {"result": {"supportedVersions": "2026-07-28"}}, Era.LEGACY, id="versions no list"),
        pytest.param(200, b'{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":[1,1e999]}}', Era.LEGACY, id="versions unreadable"),
    ],
)
async def test_what_a_server_says_to_discovery_decides_its_era(status: int, said: object, era: Era) -> None:
    async def script(got: Got) -> None:
        await got.json(said if isinstance(said, bytes) else {"jsonrpc": "2.0", "id": got.id, **_members(said)}, status)

    async with linked(script) as link:
        assert await link.upstreams.era_of(link.errand) is era
        assert await link.upstreams.era_of(link.errand) is era
        assert link.server.methods() == ["server/discover"]


def _members(said: object) -> Mapping[str, Any]:
    assert isinstance(said, dict)
    return said


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, Reason.UPSTREAM_REFUSED_CREDENTIAL),
        (403, Reason.UPSTREAM_REFUSED_CREDENTIAL),
        (500, Reason.UPSTREAM_FAILED),
        (502, Reason.UPSTREAM_FAILED),
        (503, Reason.UPSTREAM_OVERLOADED),
        (429, Reason.UPSTREAM_OVERLOADED),
        (307, Reason.UPSTREAM_REDIRECTED),
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>", b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"m"}}'])
async def test_refusals_and_outages_decide_nothing(status: int, body: bytes, reason: Reason) -> None:  # GW-49
    well = False

    async def script(got: Got) -> None:
        await (got.result(DISCOVERED) if well else got.json(body, status))

    async with linked(script) as link:
        with pytest.raises(Refused) as caught:
            await link.upstreams.era_of(link.errand)
        assert caught.value.reason is reason
        well = True
        assert await link.upstreams.era_of(link.errand) is Era.MODERN


async def test_silence_decides_nothing() -> None:  # GW-49
    async def script(got: Got) -> None:
        await got.gone()

    async with linked(script, call_timeout_seconds=0.05) as link:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await link.upstreams.era_of(link.errand)


async def test_many_first_calls_ask_once() -> None:
    async with linked(modern(done)) as link:
        await asyncio.gather(*(link.call() for _ in range(20)))
        assert link.server.methods().count("server/discover") == 1


async def test_a_modern_call_of_a_legacy_server_is_made_in_its_session_and_the_verdict_ages() -> None:
    speaks_modern = False

    async def script(got: Got) -> None:
        await (modern(done) if speaks_modern else legacy(done))(got)

    async with linked(script) as link:
        for _ in range(2):
            answer = await link.call()
            assert (content(answer), answer.revision) == (DONE["content"], "2025-11-25")
        assert link.server.methods() == ["server/discover", "initialize", "notifications/initialized", "tools/call", "tools/call"]
        speaks_modern = True
        link.clock.ahead = 301.0
        assert (await link.call()).revision == "2026-07-28"


def modern_alone(got: Got) -> Any:
    return got.error(-32022, 400, {"supported": ["2026-07-28"]}) if got.method == "initialize" else modern(done)(got)


async def test_a_legacy_call_of_a_modern_server_is_made_in_its_era_and_the_verdict_ages() -> None:
    async with linked(modern_alone) as link:
        for _ in range(2):
            answer = await link.call(Era.LEGACY)
            assert (content(answer), answer.revision) == (DONE["content"], "2026-07-28")
        assert link.server.methods() == ["initialize", "server/discover", "tools/call", "tools/call"]
        link.clock.ahead = 301.0
        await link.call(Era.LEGACY)
        assert link.server.methods()[-2:] == ["initialize", "tools/call"]


async def test_a_server_of_both_eras_is_spoken_to_in_the_clients() -> None:
    async def script(got: Got) -> None:
        await (legacy(done) if "mcp-method" not in got.headers else modern(done))(got)

    async with linked(script) as link:
        assert (await link.call(Era.LEGACY)).revision == "2025-11-25"
        assert (await link.call(Era.MODERN)).revision == "2026-07-28"
        assert (await link.call(Era.LEGACY)).revision == "2025-11-25"
        assert link.server.methods().count("initialize") == link.server.methods().count("server/discover") == 1


async def test_a_server_that_speaks_neither_era_is_asked_again() -> None:
    well = False

    async def script(got: Got) -> None:
        await (modern_alone(got) if well else got.error(-32601, 404))

    async with linked(script) as link:
        for era in (Era.LEGACY, Era.MODERN):
            with pytest.raises(Refused, match="ERA_UNSUPPORTED"):
                await link.call(era)
        assert "tools/call" not in link.server.methods()
        well = True
        for era in (Era.LEGACY, Era.MODERN):
            assert (await link.call(era)).revision == "2026-07-28"


async def test_a_modern_server_that_turns_legacy_is_called_again_in_its_session() -> None:  # GW-47
    turned = False

    async def script(got: Got) -> None:
        if "mcp-method" not in got.headers:
            await legacy(done)(got)
        elif turned:
            await got.error(-32022, 400, {"supported": ["2025-11-25", "2024-11-05"]})
        else:
            await modern(done)(got)

    async with linked(script) as link:
        assert (await link.call(write=True)).revision == "2026-07-28"
        turned = True
        for _ in range(2):
            assert (await link.call(write=True)).revision == "2025-11-25"
        assert link.server.methods().count("server/discover") == 2


async def test_a_server_that_answers_modern_calls_like_an_unknown_one_is_asked_again() -> None:
    turned = False

    async def script(got: Got) -> None:
        await (got.json(b"Not Found", 404, {"content-type": "text/plain"}) if turned and got.method == "tools/call" else modern(done)(got))

    async with linked(script) as link:
        await link.call()
        turned = True
        with pytest.raises(Refused, match="UPSTREAM_FAILED"):
            await link.call()
        turned = False
        await link.call()
        assert link.server.methods().count("server/discover") == 2


@pytest.mark.parametrize(
    ("status", "reason"), [(401, "UPSTREAM_REFUSED_CREDENTIAL"), (500, "UPSTREAM_FAILED"), (429, "UPSTREAM_OVERLOADED")]
)
async def test_a_greeting_that_is_refused_says_nothing_of_the_era(status: int, reason: str) -> None:  # GW-49
    well = False

    async def script(got: Got) -> None:
        await (legacy(done)(got) if well else got.json(b"", status))

    async with linked(script) as link:
        with pytest.raises(Refused, match=reason):
            await link.call(Era.LEGACY)
        assert link.server.methods() == ["initialize"]
        well = True
        assert (await link.call(Era.LEGACY)).revision == "2025-11-25"


async def test_a_server_that_knows_an_older_revision_alone_is_greeted_with_it() -> None:
    async def script(got: Got) -> None:
        if got.method != "initialize":
            await legacy(done)(got)
        elif got.message["params"]["protocolVersion"] == "2025-11-25":
            await got.error(-32602, 400, {"supported": ["2024-11-05", "2025-03-26"]})
        else:
            await got.result({**INITIALIZED, "protocolVersion": got.message["params"]["protocolVersion"]})

    async with linked(script) as link:
        asked: dict[str, Any] = {"elicitation": {"form": {}}, "sampling": {"tools": {}}}
        assert (await link.call(Era.LEGACY, capabilities=asked, conversation="c")).revision == "2025-03-26"
        offers = [got.message["params"] for got in link.server.got if got.method == "initialize"]
        assert [offer["protocolVersion"] for offer in offers] == ["2025-11-25", "2025-03-26"]
        assert [offer["capabilities"] for offer in offers] == [asked, {"sampling": {}}]


async def test_every_answer_says_its_revision_however_it_came() -> None:
    async def stream(got: Got) -> None:
        await got.stream()
        await got.event({"jsonrpc": "2.0", "id": got.id, "result": DONE})
        await got.end()

    async def spaced(got: Got) -> None:
        await got.json(json.dumps({"id": got.id, "result": DONE, "jsonrpc": "2.0"}, indent=1).encode())

    async def wrong(got: Got) -> None:
        await got.error(-32602)

    for call in (done, stream, spaced, wrong):
        async with linked(modern(call)) as link:
            assert (await link.call()).revision == "2026-07-28"
        async with linked(legacy(call, initialized={**INITIALIZED, "protocolVersion": "2025-06-18"})) as link:
            assert (await link.call()).revision == "2025-06-18"


# What is declared


CAN_ASK: dict[str, Any] = {"elicitation": {"form": {}}, "roots": {}, "sampling": {}}


async def test_a_modern_request_declares_what_its_client_does_and_no_more() -> None:  # GW-67
    async with linked(modern(done)) as link:
        for capabilities in (CAN_ASK, {}, {"roots": {"listChanged": True}}):
            await link.call(capabilities=capabilities)
        told = [got.message["params"]["_meta"][META_CAPABILITIES] for got in link.server.got if got.method == "tools/call"]
        assert told == [CAN_ASK, {}, {"roots": {}}]


async def test_a_legacy_session_declares_what_its_clients_do_and_is_theirs_alone() -> None:  # GW-67
    async with linked(legacy(done)) as link:
        for conversation, capabilities in (
            ("one", {}),
            ("two", {}),
            ("one", CAN_ASK),
            ("two", CAN_ASK),
            ("one", dict(reversed(CAN_ASK.items()))),
            ("one", {"roots": {}}),
        ):
            await link.call(Era.LEGACY, key="alice", conversation=conversation, capabilities=capabilities)
        told = [got.message["params"]["capabilities"] for got in link.server.got if got.method == "initialize"]
        assert told == [{}, {**CAN_ASK, "elicitation": {"form": {}}}, CAN_ASK, {"roots": {}}]


async def test_a_conversation_that_nobody_goes_on_with_is_ended() -> None:
    async with linked(legacy(done)) as link:
        await link.call(Era.LEGACY, conversation="one", capabilities=CAN_ASK)
        await link.call(Era.LEGACY)
        ended = link.server.until(lambda got: got.verb == "DELETE")
        link.clock.ahead = 299.0
        link.upstreams.sweep()
        assert "DELETE" not in link.server.methods()
        link.clock.ahead = 301.0
        link.upstreams.sweep()
        await ended
        await link.call(Era.LEGACY)
        assert link.server.methods().count("initialize") == 2


async def test_what_was_kept_for_a_conversation_alone_ends_with_it() -> None:  # GW-37
    async with linked(legacy(done)) as link:
        for conversation in ("one", "two"):
            await link.call(Era.LEGACY, conversation=conversation, capabilities=CAN_ASK)
        await link.call(Era.LEGACY)
        ended = link.server.until(lambda got: got.verb == "DELETE")
        link.upstreams.forget("one")
        link.upstreams.sweep()
        await ended
        await link.call(Era.LEGACY, conversation="two", capabilities=CAN_ASK)
        await link.call(Era.LEGACY)
        methods = link.server.methods()
        assert (methods.count("initialize"), methods.count("DELETE")) == (3, 1)


# Legacy sessions


async def test_fifty_calls_at_once_open_one_session() -> None:
    async with linked(legacy(done)) as link:
        await asyncio.gather(*(link.call(Era.LEGACY) for _ in range(50)))
        methods = link.server.methods()
        assert (methods.count("initialize"), methods.count("notifications/initialized"), methods.count("tools/call")) == (1, 1, 50)
        calls = [got for got in link.server.got if got.method == "tools/call"]
        assert {got.headers["mcp-session-id"] for got in calls} == {"s-1"}
        assert {got.headers["mcp-protocol-version"] for got in calls} == {"2025-11-25"}
        assert len({got.id for got in calls}) == 50
        (first,) = [got for got in link.server.got if got.method == "initialize"]
        assert first.message["params"]["capabilities"] == {}  # GW-67, GW-75
        assert "mcp-session-id" not in first.headers


async def test_each_key_has_a_session_of_its_own() -> None:
    async with linked(legacy(done)) as link:
        for key in ("alice", "bob", "alice"):
            await link.call(Era.LEGACY, key=key)
        assert link.server.methods().count("initialize") == 2


async def test_a_session_that_ended_is_opened_again_once_for_all_that_wait() -> None:  # GW-55
    alive = True

    async def call(got: Got) -> None:
        await (done(got) if alive or got.headers["mcp-session-id"] == "s-2" else got.json(b"", 404))

    names = iter(("s-1", "s-2", "s-3"))

    async def script(got: Got) -> None:
        await legacy(call, session=next(names) if got.method == "initialize" else "")(got)

    async with linked(script) as link:
        await link.call(Era.LEGACY)
        alive = False
        answers = await asyncio.gather(*(link.call(Era.LEGACY) for _ in range(10)))
        assert all(content(answer) == DONE["content"] for answer in answers)
        assert link.server.methods().count("initialize") == 2


async def test_a_server_that_forgets_every_session_fails_the_call_after_one_more() -> None:  # GW-55
    async def call(got: Got) -> None:
        await got.json(b"", 404)

    async with linked(legacy(call)) as link:
        with pytest.raises(Refused, match="UPSTREAM_FAILED"):
            await link.call(Era.LEGACY)
        assert link.server.methods().count("initialize") == 2
        assert link.server.methods().count("tools/call") == 2


async def test_a_404_without_a_session_is_an_error_of_the_server() -> None:
    async def call(got: Got) -> None:
        await got.json(b"Not Found", 404, {"content-type": "text/plain"})

    async with linked(legacy(call, session="")) as link:
        with pytest.raises(Refused, match="UPSTREAM_FAILED"):
            await link.call(Era.LEGACY)
        assert link.server.methods().count("initialize") == 1


async def test_sessions_are_ended_when_the_gateway_ends() -> None:
    async with linked(legacy(done)) as link:
        await link.call(Era.LEGACY)
        ended = link.server.until(lambda got: got.verb == "DELETE")
        await link.upstreams.close()
        assert (await ended).headers["mcp-session-id"] == "s-1"
        assert ended.result().headers["authorization"].startswith("Bearer ")


async def test_a_server_that_logs_is_told_once_to_say_everything() -> None:
    async with linked(legacy(done, initialized={**INITIALIZED, "capabilities": {"logging": {}}})) as link:
        await link.call(Era.LEGACY)
        await link.call(Era.LEGACY)
        (level,) = [got for got in link.server.got if got.method == "logging/setLevel"]
        assert level.message["params"] == {"level": "debug"}


@pytest.mark.parametrize("capabilities", [None, 7, ["logging"], "logging"])
async def test_capabilities_of_any_form_open_a_session(capabilities: object) -> None:
    async with linked(legacy(done, initialized={**INITIALIZED, "capabilities": capabilities})) as link:
        assert content(await link.call(Era.LEGACY)) == DONE["content"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (
            reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {**INITIALIZED, "protocolVersion": "1900-01-01"}}).encode()),
            "ERA_UNSUPPORTED",
        ),
        (reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"protocolVersion": ["2025-11-25"]}}).encode()), "ERA_UNSUPPORTED"),
        (reply(b'{"jsonrpc":"2.0","id":1,"result":{"protocolVersion":"2025-11-25","a":{"b":1,"b":2}}}'), "UPSTREAM_BROKE_PROTOCOL"),
        (
            reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": INITIALIZED}).encode(), 200, {"mcp-session-id": "a b"}),
            "UPSTREAM_BROKE_PROTOCOL",
        ),
        (
            reply(json.dumps({"jsonrpc": "2.0", "id": 1, "result": INITIALIZED}).encode(), 200, {"mcp-session-id": "x" * 1025}),
            "UPSTREAM_BROKE_PROTOCOL",
        ),
        (reply(b"", 401), "UPSTREAM_REFUSED_CREDENTIAL"),
        (reply(b"<html>", 200, {"content-type": "text/html"}), "UPSTREAM_FAILED"),
        (b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{", "UPSTREAM_DIED"),
    ],
)
async def test_a_greeting_that_is_not_valid_opens_no_session(answer: bytes, reason: str) -> None:
    async def script(got: Got) -> None:
        await got.send(answer)
        got.writer.close()

    async with linked(script) as link:
        with pytest.raises(Refused, match=reason):
            await link.call(Era.LEGACY)


async def test_a_server_that_never_answers_the_greeting_fails_the_call_in_time() -> None:
    async def script(got: Got) -> None:
        await got.gone()

    async with linked(script) as link:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await asyncio.wait_for(link.call(Era.LEGACY, seconds=0.05), 2)


async def test_a_server_that_takes_the_greeting_and_no_more_fails_the_call_in_time() -> None:
    async def script(got: Got) -> None:
        await (got.result(INITIALIZED) if got.method == "initialize" else got.gone())

    async with linked(script) as link:
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await asyncio.wait_for(link.call(Era.LEGACY, seconds=0.1), 2)


async def test_what_a_server_says_of_itself_is_read_in_its_era() -> None:
    async with linked(modern(done)) as link:
        assert (await link.upstreams.discovery(link.errand, Era.MODERN))["supportedVersions"] == ["2026-07-28"]
    async with linked(legacy(done)) as link:
        assert (await link.upstreams.discovery(link.errand, Era.LEGACY))["serverInfo"] == {"name": "s", "version": "1"}


async def test_the_least_recently_used_session_is_ended_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.legacysessions.MAX_SESSIONS", 2)
    names = iter(("s-a", "s-b", "s-c"))

    async def script(got: Got) -> None:
        await legacy(done, session=next(names) if got.method == "initialize" else "")(got)

    async with linked(script) as link:
        ended = link.server.until(lambda got: got.verb == "DELETE")
        for key in ("a", "b", "a", "c"):
            await link.call(Era.LEGACY, key=key)
        assert (await ended).headers["mcp-session-id"] == "s-b"


async def test_a_caller_with_many_conversations_makes_room_for_itself_and_keeps_those_that_are_at_work(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.legacysessions.MAX_PER_CALLER", 2)
    names = iter(("s-bob", "s-1", "s-2", "s-3", "s-4"))
    go = asyncio.Event()

    async def call(got: Got) -> None:
        if got.headers["mcp-session-id"] == "s-1":
            await go.wait()
        await done(got)

    async def script(got: Got) -> None:
        await legacy(call, session=next(names) if got.method == "initialize" else "")(got)

    async with linked(script) as link:
        can: dict[str, Any] = {"roots": {}}
        await link.call(Era.LEGACY, key="bob", capabilities=can, conversation="b")
        reached = link.server.until(lambda got: got.method == "tools/call" and got.headers["mcp-session-id"] == "s-1")
        working = asyncio.create_task(link.call(Era.LEGACY, key="alice", capabilities=can, conversation="1"))
        await reached
        ended = link.server.until(lambda got: got.verb == "DELETE")
        await link.call(Era.LEGACY, key="alice", capabilities=can, conversation="2")
        await link.call(Era.LEGACY, key="alice", capabilities=can, conversation="3")
        assert (await asyncio.wait_for(ended, 2)).headers["mcp-session-id"] == "s-2"
        go.set()
        await working
        ended = link.server.until(lambda got: got.verb == "DELETE")
        await link.call(Era.LEGACY, key="alice", capabilities=can, conversation="4")
        assert (await asyncio.wait_for(ended, 2)).headers["mcp-session-id"] == "s-1"
