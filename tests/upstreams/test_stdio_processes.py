"""The processes behind stdio servers: how many there are, how long they live, and that nothing of them stays."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from customhouse.core.refusal import Refused
from tests.upstreams.programs import alive, behind, until


async def test_callers_share_a_process_only_where_the_server_is_stateless_or_modern(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        assert await here.said("pid", key="alice") != await here.said("pid", key="bob")
        assert await here.said("pid", key="") == await here.said("pid", key="")
    async with behind(tmp_path, "modern") as here:
        assert await here.said("pid", key="alice") == await here.said("pid", key="bob")


async def test_a_process_that_nobody_used_for_long_is_ended(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        pid = int(await here.said("pid"))
        held = asyncio.create_task(here.said("hold", key="busy", seconds=1_000.0))
        await until(lambda: here.methods().count("tools/call") == 2)
        here.server.sweep(here.clock.monotonic() + 299.0)
        assert alive(pid)
        here.server.sweep(here.clock.monotonic() + 301.0)
        await asyncio.shield(here.programs[1].ended)
        assert not alive(pid)
        await here.call("release", key="busy")
        assert await held == "released"
        assert int(await here.said("pid")) != pid


async def test_the_process_that_idled_longest_makes_room_for_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.channels.MAX_LINES", 2)
    async with behind(tmp_path) as here:
        pids = {key: await here.said("pid", key=key) for key in ("a", "b", "a", "c")}
        assert await here.said("pid", key="a") == pids["a"]
        assert await here.said("pid", key="c") == pids["c"]
        assert await here.said("pid", key="b") != pids["b"]


async def test_when_every_process_is_in_use_another_one_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.channels.MAX_LINES", 1)
    async with behind(tmp_path) as here:
        held = asyncio.create_task(here.said("hold", key="a"))
        await here.until_read("tools/call")
        with pytest.raises(Refused, match="BUSY"):
            await here.call("echo", key="b")
        await here.call("release", key="a")
        await held
        assert await here.said("echo", key="b") == "{}"


async def test_a_caller_with_many_conversations_leaves_processes_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.channels.MAX_LINES", 3)
    monkeypatch.setattr("customhouse.adapters.upstreams.channels.MAX_PER_CALLER", 2)
    can: dict[str, Any] = {"roots": {}}
    async with behind(tmp_path) as here:
        bobs = await here.said("pid", key="bob", capabilities=can, conversation="b")
        for conversation in ("1", "2", "3"):
            await here.said("pid", key="alice", capabilities=can, conversation=conversation)
        assert await here.said("pid", key="bob", capabilities=can, conversation="b") == bobs
        held = [asyncio.create_task(here.said("hold", key="alice", capabilities=can, conversation=one)) for one in ("2", "3")]
        await until(lambda: here.methods().count("tools/call") == 7)
        with pytest.raises(Refused, match="BUSY"):
            await here.call("echo", key="alice", capabilities=can, conversation="4")
        assert await here.said("echo", key="carol") == "{}"
        for one in held:
            one.cancel()
        await asyncio.gather(*held, return_exceptions=True)


@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_nothing_stays_when_the_gateway_ends(era: str, tmp_path: Path) -> None:  # GW-60
    async with behind(tmp_path, era) as here:
        pid, grandchild = int(await here.said("pid")), int(await here.said("fork"))
        held = asyncio.create_task(here.call("hold"))
        await until(lambda: here.methods().count("tools/call") == 3)
        assert alive(pid)
        assert alive(grandchild)
        await here.server.close()
        assert not alive(pid)
        await until(lambda: not alive(grandchild))
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await held
        with pytest.raises(Refused, match="DRAINING"):
            await here.call("echo")


async def test_a_server_that_heeds_nothing_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # GW-60
    monkeypatch.setattr("customhouse.adapters.upstreams.stdio.GRACE_SECONDS", 0.2)
    async with behind(tmp_path, "stubborn") as here:
        await here.call("echo")
        await here.server.close()
        assert await here.programs[-1].ended == 128 + 9


async def test_closing_while_a_process_starts_leaves_none(tmp_path: Path) -> None:
    async with behind(tmp_path, "hangs") as here:
        call = asyncio.create_task(here.call("echo"))
        await until(lambda: here.programs)
        await here.server.close()
        assert not alive(here.programs[0].process.pid)
        (outcome,) = await asyncio.gather(call, return_exceptions=True)
        assert isinstance(outcome, Refused)


async def test_fifty_calls_at_once_start_one_process(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        pids = await asyncio.gather(*(here.said("pid", key="alice") for _ in range(50)))
        assert len(set(pids)) == 1
        assert here.methods().count("initialize") == 1


async def test_a_message_is_one_line_whatever_is_in_it(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        given = {"text": "a\nb\r\nc\u2028d", "n": 1}
        assert json.loads(await here.said("echo", given)) == given


async def test_what_was_subscribed_to_is_subscribed_to_again_after_a_crash(tmp_path: Path) -> None:  # GW-59
    async with behind(tmp_path) as here:
        subscribed: dict[str, Any] = {"method": "resources/subscribe", "params": {"uri": "file:///a"}, "key": "alice"}
        await here.call("", capabilities={"roots": {}}, conversation="1", **subscribed)
        await here.call("", key="alice", method="resources/subscribe", params={"uri": "file:///b"})
        await here.call("", key="alice", method="resources/unsubscribe", params={"uri": "file:///b"})
        here.server.sweep(here.clock.monotonic() + 1_000.0)
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await here.call("die", key="alice")
        here.server.sweep(here.clock.monotonic())
        await until(lambda: here.methods().count("resources/subscribe") == 3)
        again = [(pid, message["params"]) for pid, message in here.read() if message.get("method") == "resources/subscribe"]
        assert again[-1][1] == {"uri": "file:///a"}
        assert again[-1][0] != again[0][0]
        updated = {"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": "file:///a"}}
        await here.call("say", {"lines": [json.dumps(updated)], "then": "done"}, key="alice")
        assert here.noted.resources == [("odd", "alice", "file:///a")]


async def test_a_call_is_worth_more_than_a_subscription(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.adapters.upstreams.channels.MAX_LINES", 2)
    async with behind(tmp_path) as here:
        for key in ("a", "b"):
            await here.call("", key=key, method="resources/subscribe", params={"uri": "file:///a"})
        assert await here.said("echo", key="c") == "{}"
        here.server.sweep(here.clock.monotonic())
        assert await here.said("echo", key="b") == "{}"
        assert len(here.programs) == 4


async def test_a_modern_server_is_asked_to_watch_what_all_callers_want_on_one_channel(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern") as here:

        async def ask_for(verb: str, uri: str, key: str) -> Any:
            answer = await here.call("", key=key, method=f"resources/{verb}", params={"uri": uri})
            return answer.error["code"] if answer.error else answer.result

        def watched() -> list[Any]:
            sent = [message["params"]["notifications"] for _, message in here.read() if message.get("method") == "subscriptions/listen"]
            return [wanted.get("resourceSubscriptions") for wanted in sent]

        assert await ask_for("subscribe", "file:///a", "alice") == {}
        assert await ask_for("subscribe", "file:///a", "bob") == {}
        assert await ask_for("subscribe", "file:///b", "bob") == {}
        assert await ask_for("subscribe", "file:///unknown", "bob") == -32602
        assert await ask_for("unsubscribe", "file:///a", "alice") == {}
        assert await ask_for("unsubscribe", "file:///b", "bob") == {}
        await here.call("echo")
        here.server.sweep(here.clock.monotonic())
        assert watched() == [None, ["file:///a"], ["file:///a", "file:///b"], ["file:///a", "file:///b", "file:///unknown"], ["file:///a"]]
        assert len(here.programs) == 1
        assert {(key, uri) for _, key, uri in here.noted.resources} == {
            ("alice", "file:///a/below"),
            ("bob", "file:///b/below"),
            ("bob", "file:///a/below"),
        }
        await until(lambda: here.methods().count("notifications/cancelled") == 4)
        cancelled = [message["params"]["requestId"] for _, message in here.read() if message.get("method") == "notifications/cancelled"]
        listens = [message["id"] for _, message in here.read() if message.get("method") == "subscriptions/listen"]
        assert cancelled == listens[:-1]


async def test_a_modern_server_that_died_watches_again(tmp_path: Path) -> None:  # GW-59
    async with behind(tmp_path, "modern") as here:
        await here.call("", key="alice", method="resources/subscribe", params={"uri": "file:///a"})
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await here.call("die")
        before = here.methods().count("subscriptions/listen")
        here.noted.resources.clear()
        here.server.sweep(here.clock.monotonic() + 1_000.0)
        await until(lambda: here.methods().count("subscriptions/listen") == before + 1)
        await until(lambda: here.noted.resources)
        assert here.noted.resources == [("odd", "alice", "file:///a/below")]


async def test_a_modern_server_that_dies_while_it_is_asked_to_watch_fails_the_subscription(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern", "ends-on-watch") as here:
        with pytest.raises(Refused, match="UPSTREAM_DIED"):
            await here.call("", key="alice", method="resources/subscribe", params={"uri": "file:///a"})
        here.server.sweep(here.clock.monotonic() + 1_000.0)
        assert await here.said("echo") == "{}"
        assert here.methods().count("subscriptions/listen") == 3


async def test_a_subscription_that_the_server_does_not_confirm_in_time_is_none(tmp_path: Path) -> None:
    async with behind(tmp_path, "modern", "silent-on-watch") as here:
        await here.call("echo")
        with pytest.raises(Refused, match="UPSTREAM_TIMED_OUT"):
            await here.call("", key="alice", method="resources/subscribe", params={"uri": "file:///a"}, seconds=0.2)
        assert (await here.call("", key="alice", method="resources/unsubscribe", params={"uri": "file:///a"})).error is None
        assert here.methods().count("subscriptions/listen") == 2


async def test_a_process_without_subscriptions_left_may_be_ended(tmp_path: Path) -> None:
    async with behind(tmp_path) as here:
        for verb in ("subscribe", "unsubscribe"):
            await here.call("", key="alice", method=f"resources/{verb}", params={"uri": "file:///a"})
        here.server.sweep(here.clock.monotonic() + 301.0)
        await asyncio.wait_for(asyncio.shield(here.programs[-1].ended), 5)
