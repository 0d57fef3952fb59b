"""A defective entry is taken out; the others and the server stay."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.hidden import hidden_character
from customhouse.core.limits import Defect, defects
from customhouse.core.manifest import Manifest, digest_of

GOOD: dict[str, Any] = {"name": "good", "inputSchema": {"type": "object"}}


def manifest(**parts: Any) -> Manifest:
    return Manifest(**{"server_info": {"name": "notes", "version": "1"}, "capabilities": {}, **parts})


def tool(**fields: Any) -> dict[str, Any]:
    return {"name": "bad", "inputSchema": {"type": "object"}, **fields}


def test_a_sound_manifest_is_served_as_it_is() -> None:
    sound = manifest(
        instructions="Write notes.\n\tThen read them.",
        tools=(
            {
                **GOOD,
                "title": "Good",
                "description": "Adds a note 👩‍💻 ☑️ 1️⃣ نمی‌خواهم क्‍ष ‼️",
                "outputSchema": {"type": "array"},
                "annotations": {"readOnlyHint": True},
                "icons": [{"src": "https://example.com/i.png"}, {"src": "data:image/png;base64,AA=="}],
                "x-vendor": [1],
            },
            {"name": "any-output", "inputSchema": {"type": "object"}, "outputSchema": True},
            {"name": "réad/all", "inputSchema": {"type": "object", "$schema": "http://json-schema.org/draft-07/schema#"}},
        ),
        prompts=({"name": "p", "arguments": [{"name": "a"}, {"name": "b", "required": True}]}, {"name": "q"}),
        resources=({"uri": "notes://index", "name": "same"}, {"uri": "notes://Index", "name": "same"}),
        resource_templates=({"uriTemplate": "notes://note/{title}", "name": "n"},),
    )
    judged = defects(sound)
    assert judged.servable == sound
    assert judged.entries == ()
    assert judged.refusals == ()


def nested(levels: int) -> Any:
    return [nested(levels - 1)] if levels > 1 else []


DEEP = nested(40)


@pytest.mark.parametrize(
    ("bad", "part"),
    [
        (tool(name=""), "no name"),
        (tool(name="   "), "no name"),
        (tool(name=5), "no name"),
        ({"inputSchema": {"type": "object"}}, "no name"),
        (tool(name="x" * 129), "128 are allowed"),
        (tool(name="re\u200bad"), "U+200B"),
        (tool(description="x" * 16_385), "16384 are allowed"),
        (tool(title="x" * 16_385), "16384 are allowed"),
        (tool(description=5), "description is not a string"),
        (tool(annotations=[]), "annotations is not an object"),
        (tool(_meta="x"), "_meta is not an object"),
        (tool(icons={}), "icons is not an array"),
        (tool(icons=[{"src": "javascript:alert(1)"}]), "icon"),
        (tool(icons=["https://example.com"]), "icon"),
        ({"name": "bad"}, "no inputSchema"),
        (tool(inputSchema=True), "no inputSchema"),
        (tool(inputSchema={}), "root"),
        (tool(inputSchema={"type": "string"}), "root"),
        (tool(inputSchema={"type": "object", "description": "x" * 65_536}), "65536 are allowed"),
        (tool(inputSchema={"type": "object", "default": nested(32)}), "32 levels"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"$ref": "http://127.0.0.1:9/x"}}}), "nothing is ever fetched"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"pattern": "(?=x)"}}}), "linear time"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"type": "wrong"}}}), "cannot be used"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"type": "number", "x-mcp-header": "A"}}}), "x-mcp-header"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"items": {"type": "string", "x-mcp-header": "A"}}}}), "x-mcp-header"),
        (tool(outputSchema={"$ref": "file:///etc/passwd"}), "outputSchema cannot be used"),
        (tool(outputSchema=[]), "outputSchema is not a schema"),
        (tool(description="\x1b[31mred"), "U+001B"),
        (tool(_meta={"a": ["\ue000"]}), "/_meta/a/0 holds the hidden character U+E000"),
        (tool(_meta={"\u202e": 1}), "U+202E"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"description": "\ud800"}}}), "U+D800"),
        (tool(_meta={"deep": DEEP}), "34 levels"),
        (tool(_meta={"long": "x" * 262_144}), "262144 are allowed"),
        (tool(inputSchema={"type": "object", "properties": {"a": {"maximum": 2**63}}}), "beyond 2^53"),
        ("text", "not an object"),
    ],
)
def test_a_defective_tool_is_taken_out_and_the_others_are_served(bad: Any, part: str) -> None:  # GW-54, GW-62
    judged = defects(manifest(tools=(GOOD, bad)))
    assert judged.servable.tools == (GOOD,)
    assert judged.refusals == ()
    assert part in " ".join(one.sentence for one in judged.entries)
    assert {one.kind for one in judged.entries} == {"tool"}


@pytest.mark.parametrize("twin", ["good", "Good", "ｇood"])
def test_of_two_tools_with_one_name_neither_is_served(twin: str) -> None:
    judged = defects(manifest(tools=(GOOD, {**GOOD, "name": twin}, {**GOOD, "name": "other"})))
    assert [one["name"] for one in judged.servable.tools] == ["other"]
    assert len(judged.entries) == 2


@pytest.mark.parametrize(
    ("part", "kind", "bad", "sentence"),
    [
        ("prompts", "prompt", {"name": "p", "arguments": [{}]}, "An argument of it has no name."),
        ("prompts", "prompt", {"name": "p", "arguments": ["a"]}, "An argument of it has no name."),
        ("prompts", "prompt", {"name": "p", "arguments": {}}, "An argument of it has no name."),
        (
            "prompts",
            "prompt",
            {"name": "p", "arguments": [{"name": "a"}, {"name": "A"}]},
            "Two arguments of it have the same name, or names that look alike.",
        ),
        ("resources", "resource", {"name": "r"}, "It has no uri."),
        ("resources", "resource", {"uri": "x" * 2_049}, "Its uri has 2049 characters; 2048 are allowed."),
        (
            "resource_templates",
            "template",
            {"name": "t", "uriTemplate": "x://{"},
            "Its uriTemplate cannot be used: its braces do not pair up around a variable.",
        ),
        ("resource_templates", "template", {"name": "t", "uriTemplate": 5}, "It has no uriTemplate."),
    ],
)
def test_prompts_resources_and_templates_have_their_own_rules(part: str, kind: str, bad: dict[str, Any], sentence: str) -> None:
    judged = defects(manifest(**{part: (bad,)}))
    assert getattr(judged.servable, part) == ()
    assert [(one.kind, one.sentence) for one in judged.entries] == [(kind, sentence)]


@pytest.mark.parametrize(
    ("fields", "defect"),
    [
        ({"instructions": "x" * 16_385}, Defect("instructions", "", "They have 16385 characters; 16384 are allowed.")),
        ({"instructions": "a\u200b"}, Defect("instructions", "", "The text holds the hidden character U+200B.")),
        ({"server_info": {"name": "\x9b"}}, Defect("server_info", "", "/name holds the hidden character U+009B.")),
        ({"capabilities": {"x": DEEP}}, Defect("capabilities", "", "It is nested deeper than 34 levels.")),
        (
            {"capabilities": {"x": 2**60}},
            Defect("capabilities", "", "It holds a number that not every JSON parser reads alike (beyond 2^53, or not finite)."),
        ),
    ],
)
def test_a_defective_field_of_the_server_is_left_empty(fields: dict[str, Any], defect: Defect) -> None:
    judged = defects(manifest(tools=(GOOD,), **fields))
    assert judged.entries == (defect,)
    assert not getattr(judged.servable, defect.kind)
    assert judged.servable.tools == (GOOD,)


@pytest.mark.parametrize(("part", "most"), [("tools", 512), ("prompts", 512), ("resources", 4_096), ("resource_templates", 512)])
def test_a_server_that_lists_too_much_is_not_captured_at_all(part: str, most: int) -> None:
    judged = defects(manifest(**{part: tuple({"name": str(number)} for number in range(most + 1))}))
    assert judged.refusals == (f"The server lists {most + 1} {part.replace('_', ' ')}; {most} are allowed.",)
    assert judged.servable == Manifest(server_info={}, capabilities={})


@pytest.mark.parametrize(
    "text",
    [
        "\x00",
        "\x1b[0m",
        "\x7f",
        "\x85",
        "a\u00adb",
        "a\u200bb",
        "a\u200db",
        "a\u200cb",
        "\u200d",
        "☑\u200d",
        "क\u200d\u200dष",
        "क\u200d\ufe0f",
        "\ufe0f",
        "a\ufe0f",
        "☑\ufe0f\ufe0f",
        "☑\ufe01",
        "\u202e",
        "\u2066",
        "\u061c",
        "\ufeff",
        "\ufff9",
        "\u3164",
        "\u115f",
        "\ue000",
        "\U000f0000",
        "\U000e0041",
        "\U000e0100",
        "\ud83d",
        "\ufdd0",
        "\U0001d173",
    ],
)
def test_a_character_that_nobody_sees_is_found(text: str) -> None:
    assert hidden_character(f"before {text}") is not None
    assert hidden_character(text) is not None


@pytest.mark.parametrize(
    "text", ["", "plain\r\n\ttext", "Ünïcode", "日本語", "👨‍👩‍👧", "🏳️‍🌈", "❤️", "#️⃣", "נ", "\u06dd٣", "\u2028", "🇩🇪", "〰️"]
)
def test_what_people_write_is_not_hidden(text: str) -> None:
    assert hidden_character(text) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["name", "inputSchema", "outputSchema", "description", "annotations", "icons", "_meta", "arguments", "uri", "uriTemplate"]
)


@given(st.lists(JSON | st.dictionaries(FIELDS, JSON), max_size=3), JSON)
def test_nothing_a_server_says_breaks_the_judge_and_what_it_keeps_has_a_digest(entries: list[Any], info: Any) -> None:
    parts = dict.fromkeys(("tools", "prompts", "resources", "resource_templates"), tuple(entries))
    judged = defects(manifest(**parts, server_info=info if isinstance(info, dict) else {}))
    assert digest_of(judged.servable).startswith("sha256:")
    assert defects(judged.servable).servable == judged.servable
