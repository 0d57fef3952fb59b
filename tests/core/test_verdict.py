"""What was found out about a content once: it says what finding it out again would say, and nothing under other rules."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings

from customhouse.core.content import ServerContent, decode_content, stated
from customhouse.core.limits import MAX_ENTRIES, defects
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, canonical_bytes, digest_of
from customhouse.core.policy import ServerRefs
from customhouse.core.policymodel import policy_server
from customhouse.core.review import Kind
from customhouse.core.verdict import RULES, Verdict, judged, servable
from tests.core.pictures import contents

OBJECT = {"type": "object"}


def content(*tools: dict[str, Any], **more: Any) -> ServerContent:
    said = Manifest(server_info={"name": "n"}, capabilities={"tools": {}}, tools=tools, **more)
    definition = ServerDefinition(name="n", owner="o", contact="c", tenant="acme", url="http://127.0.0.1:1/", tools={})
    return ServerContent(definition=definition, pin=Pin(server="n", revision="2026-07-28", digest=digest_of(said), manifest=said))


@settings(max_examples=60)
@given(contents())
def test_what_a_verdict_leaves_is_what_judging_leaves(written: ServerContent) -> None:
    kept = decode_content(Kind.SERVER, canonical_bytes(stated(written)))
    assert isinstance(kept, ServerContent)
    verdict = msgspec.json.decode(msgspec.json.encode(judged(kept)), type=Verdict)
    if kept.pin is not None:
        assert servable(kept.pin.manifest, verdict) == defects(kept.pin.manifest).servable
    assert (
        ServerRefs(policy_server(kept.definition, kept.pin), verdict.known).digest
        == ServerRefs(policy_server(kept.definition, kept.pin)).digest
    )


def test_a_verdict_names_what_cannot_be_served() -> None:
    broken = {"name": "broken", "inputSchema": {"type": 7}}
    verdict = judged(
        content({"name": "a", "inputSchema": OBJECT}, broken, instructions="x\u200b", prompts=({"name": "p", "arguments": 1},))
    )
    assert (verdict.rules, verdict.holds) == (RULES, True)
    assert verdict.unservable == ("/tools/1", "/prompts/0", "/instructions")


def test_a_manifest_that_is_refused_as_a_whole_offers_nothing() -> None:
    verdict = judged(content(*({"name": f"t{number}", "inputSchema": OBJECT} for number in range(MAX_ENTRIES["tools"] + 1))))
    assert verdict.unservable == ("",)
    assert servable(Manifest(server_info={"name": "n"}, capabilities={}), verdict) == Manifest(server_info={}, capabilities={})


@pytest.mark.parametrize("rules", ["", "0.0.1/1", f"{RULES}0"])
def test_a_verdict_by_other_rules_says_nothing(rules: str) -> None:
    one = content({"name": "a", "inputSchema": OBJECT}, {"name": "broken", "inputSchema": {"type": 7}})
    other = msgspec.structs.replace(judged(one), rules=rules, unservable=())
    assert one.pin is not None
    assert [tool["name"] for tool in servable(one.pin.manifest, other).tools] == ["a"]


def test_the_digest_of_what_policies_know_changes_with_each_thing_they_can_rest_on() -> None:
    tool = {"name": "a", "inputSchema": {"type": "object", "properties": {"x": {"type": "string"}}}}
    one = content(tool)
    reviewed = msgspec.structs.replace(one.definition, tools={"a": ToolReview(Effect.READ)})
    integer = {"name": "a", "inputSchema": {"type": "object", "properties": {"x": {"type": "integer"}}}}
    others = [
        one,
        msgspec.structs.replace(one, definition=reviewed),
        msgspec.structs.replace(content(integer), definition=reviewed),
        *(msgspec.structs.replace(one, definition=msgspec.structs.replace(reviewed, **change)) for change in CHANGES),
        msgspec.structs.replace(content(tool, prompts=({"name": "p"},)), definition=reviewed),
        msgspec.structs.replace(content(tool, resources=({"uri": "n://a", "name": "a"},)), definition=reviewed),
        msgspec.structs.replace(one, pin=None),
    ]
    assert len({judged(each).known for each in others}) == len(others) - 1  # without a pin or without a class, there is no tool


CHANGES: tuple[dict[str, Any], ...] = (
    {"owner": "other"},
    {"tenant": "other"},
    {"name": "other"},
    {"tools": {"a": ToolReview(Effect.WRITE)}},
    {"tools": {"a": ToolReview(Effect.READ, idempotent=True)}},
    {"tools": {"a": ToolReview(Effect.READ, data="public")}},
    {"tools": {"a": ToolReview(Effect.READ, content="trusted")}},
    {"tools": {"a": ToolReview(Effect.READ, sink=True)}},
)
