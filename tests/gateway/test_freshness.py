"""What a server answers is never kept for a later request; what is listed is what was approved, for each caller as of now.

Source: MCP 2026-07-28, server/utilities/caching. A gateway that keeps no answers cannot give one to the wrong caller.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from customhouse.core.protocol.revisions import META_CAPABILITIES
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import World, result

READ = ("resources/read", {"uri": "note://a"})
AT_NOTES: Mapping[str, Any] = {"path": "/servers/notes/mcp"}
SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}
FORM = {"method": "elicitation/create", "params": {"message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}}
CAN_FORM: Mapping[str, Any] = {META_CAPABILITIES: {"elicitation": {"form": {}}}}


@pytest.mark.parametrize("scope", ["private", "public"])
async def test_a_read_asks_the_server_each_time_however_long_its_answer_may_be_kept(world: World, scope: str) -> None:  # GW-91
    async def script(_: Ask, __: Listener) -> UpstreamAnswer:
        number = len(world.servers.calls)
        contents = [{"uri": "note://a", "text": f"answer {number}"}]
        return result({"contents": contents, "ttlMs": 3_600_000, "cacheScope": scope, "resultType": "complete"})

    world.servers.script = script
    heard = [await world.ask_modern(*READ, token=token, **AT_NOTES) for token in (b"alice readers", b"bob readers", b"alice readers")]
    assert [back.result["contents"][0]["text"] for back in heard] == ["answer 1", "answer 2", "answer 3"]
    assert {back.result["cacheScope"] for back in heard} == {"private"}


async def test_a_call_with_answers_of_a_person_is_not_answered_from_memory(world: World) -> None:  # GW-93
    async def script(ask: Ask, _: Listener) -> UpstreamAnswer:
        asks = {"resultType": "input_required", "requestState": "s", "inputRequests": {"a": FORM}}
        says = {"content": [{"type": "text", "text": str(len(world.servers.calls))}]}
        answer = result(says if "inputResponses" in ask.params else asks)
        answer.revision = "2026-07-28"
        return answer

    world.servers.script = script
    first = await world.ask_modern("tools/call", SEARCH, CAN_FORM)
    again = {**SEARCH, "requestState": first.result["requestState"], "inputResponses": {"a": {"action": "decline"}}}
    said = [(await world.ask_modern("tools/call", again, CAN_FORM)).result["content"][0]["text"] for _ in range(2)]
    assert said == ["2", "3"]


async def test_a_list_is_filtered_for_each_caller_and_takes_a_change_in_at_once(world: World) -> None:  # GW-92
    async def listed(token: bytes) -> list[str]:
        return [tool["name"] for tool in (await world.ask_modern("tools/list", token=token)).result["tools"]]

    assert "notes__search" in await listed(b"alice readers")
    assert await listed(b"bob") == []
    world.live.block("notes", frozenset({("tool", "search")}))
    assert "notes__search" not in await listed(b"alice readers")


@pytest.mark.parametrize("method", ["tools/list", "prompts/list", "resources/list", "resources/templates/list"])
async def test_a_list_of_a_legacy_server_is_a_modern_clients_own_and_stale_at_once(method: str) -> None:  # GW-94
    world = World(pinned="2025-11-25")
    back = await world.ask_modern(method, **AT_NOTES)
    assert (back.result["ttlMs"], back.result["cacheScope"], back.result["resultType"]) == (0, "private", "complete")
    assert world.servers.calls == []
