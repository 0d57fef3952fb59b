"""Lists and greetings from the view: filtered for the caller, worded for the era, in one order."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.catalogue import Endpoint, server_endpoint
from customhouse.core.identity import Caller
from customhouse.core.listing import greeting, listed
from customhouse.core.manifest import Era, Manifest
from customhouse.core.policy import ActionRef
from tests.core.policy_world import caller
from tests.core.test_catalogue import OBJECT, definition, offers, portal

NAMES = ["alpha", "beta", "gamma"]
SAID = Manifest(
    server_info={"name": "n"},
    capabilities={"tools": {"listChanged": True}, "experimental": {}, "logging": {}},
    instructions="Do.",
    tools=tuple({"name": name, "inputSchema": OBJECT} for name in reversed(NAMES)),
    prompts=({"name": "p"},),
    resources=({"uri": "n://b", "name": "b"}, {"uri": "n://a", "name": "a"}),
    resource_templates=({"uriTemplate": "n://{x}", "name": "t"},),
)
LISTS = {
    "tools/list": ("tools", "tool", NAMES),
    "prompts/list": ("prompts", "prompt", ["p"]),
    "resources/list": ("resources", "resource", ["n://a", "n://b"]),
    "resources/templates/list": ("resourceTemplates", "template", ["n://{x}"]),
}


def endpoint() -> Endpoint:
    (one,) = offers((definition("a", *NAMES), SAID))
    return server_endpoint(one, "http://g")


def seen(_: Caller, __: ActionRef) -> bool:
    return True


def hidden(_: Caller, __: ActionRef) -> bool:
    return False


def sound(*_: str) -> bool:
    return False


def named(result: dict[str, Any]) -> list[str]:
    ((_, entries),) = result.items()
    return [entry.get("uri") or entry.get("uriTemplate") or entry["name"] for entry in entries]


@pytest.mark.parametrize("method", LISTS)
@pytest.mark.parametrize("era", Era)
def test_a_list_is_in_order_and_holds_what_the_caller_may_see(method: str, era: Era) -> None:  # GW-32
    member, kind, names = LISTS[method]
    result = listed(endpoint(), method, caller("alice"), era, seen, sound)
    assert (list(result), named(result)) == ([member], names)
    assert named(listed(endpoint(), method, caller("alice"), era, hidden, sound)) == []
    assert named(listed(endpoint(), method, caller("eve", tenant="other"), era, seen, sound)) == []
    blocked = listed(endpoint(), method, caller("alice"), era, seen, lambda *entry: entry == ("a", kind, names[0]))
    assert named(blocked) == names[1:]


@given(st.sets(st.sampled_from(NAMES)), st.sets(st.sampled_from(NAMES)))
def test_a_list_is_the_visible_without_the_blocked(visible: set[str], drifted: set[str]) -> None:
    one = endpoint()
    refs = {one.tools[name].action: name for name in NAMES}
    result = listed(one, "tools/list", caller("alice"), Era.MODERN, lambda _, ref: refs[ref] in visible, lambda *entry: entry[2] in drifted)
    assert named(result) == sorted(visible - drifted)


TASK, LISTS_VALUES = {"execution": {"taskSupport": "required"}}, {"outputSchema": {"type": "array"}}
IN_REVISIONS = [
    pytest.param("2026-07-28", LISTS_VALUES, Era.MODERN, "", LISTS_VALUES, id="modern-in-modern"),
    pytest.param("2026-07-28", LISTS_VALUES, Era.LEGACY, "", {}, id="modern-in-legacy"),
    pytest.param("2026-07-28", LISTS_VALUES, Era.LEGACY, "2024-11-05", {}, id="modern-in-the-oldest"),
    pytest.param("2025-11-25", TASK, Era.LEGACY, "2025-11-25", TASK, id="legacy-in-its-own"),
    pytest.param("2025-11-25", TASK, Era.LEGACY, "2025-06-18", None, id="legacy-in-an-older"),
    pytest.param("2025-11-25", TASK, Era.MODERN, "2026-07-28", None, id="legacy-in-modern"),
    pytest.param("1999-01-01", TASK, Era.LEGACY, "", TASK, id="a-revision-that-nobody-knows"),
]


@pytest.mark.parametrize(("captured", "more", "era", "revision", "shown"), IN_REVISIONS)
def test_a_tool_is_listed_in_the_words_of_the_callers_revision(
    captured: str, more: dict[str, Any], era: Era, revision: str, shown: dict[str, Any] | None
) -> None:
    plain = {"name": "beta", "inputSchema": OBJECT}
    said = Manifest(server_info={}, capabilities={}, tools=({"name": "alpha", "inputSchema": OBJECT, **more}, plain))
    (one,) = offers((definition("a", *NAMES), said), revision=captured)
    result = listed(server_endpoint(one, "http://g"), "tools/list", caller("alice"), era, seen, sound, revision=revision)
    assert result["tools"] == [*([] if shown is None else [{"name": "alpha", "inputSchema": OBJECT, **shown}]), plain]


def test_a_greeting_offers_what_the_servers_offer_and_the_gateway_relays() -> None:  # GW-31
    modern = greeting(endpoint(), caller("alice"), Era.MODERN, {"name": "g"}, None)
    assert modern == {
        "supportedVersions": ["2026-07-28"],
        "capabilities": {"tools": {"listChanged": True}, "logging": {}},
        "instructions": "Do.",
    }
    legacy = greeting(endpoint(), caller("alice"), Era.LEGACY, {"name": "g"}, "2025-06-18")
    assert (legacy["protocolVersion"], legacy["serverInfo"]) == ("2025-06-18", {"name": "g"})


def test_a_greeting_says_nothing_of_the_servers_of_others() -> None:
    both = portal((definition("a", *NAMES), SAID), (definition("b", *NAMES, tenant="other"), SAID))
    assert greeting(both, caller("alice"), Era.MODERN, {}, None)["instructions"] == "# a\nDo."
    nothing = greeting(both, caller("x", tenant="third"), Era.MODERN, {}, None)
    assert nothing == {"supportedVersions": ["2026-07-28"], "capabilities": {}}
