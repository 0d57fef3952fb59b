"""Exports as pure values: what stops one, what is said beside it, and what nobody can be granted."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.exports.fitness import is_private
from customhouse.core.exports.formats import FORMATS, export
from customhouse.core.exports.selection import ExportedTool, Selection, Wishes, grantable
from customhouse.core.manifest import Effect
from tests.core.policy_world import caller, policy

GRANTS = {
    "class": 'permit (principal in Group::"acme/eng", action in Action::"read", resource in Server::"notes");',
    "one tool": 'permit (principal, action == Action::"call:notes/add", resource) when { context.arguments.title like "a*" };',
    "tenant": 'permit (principal == Caller::"acme/person/alice", action in [Action::"write", Action::"destructive"], '
    'resource in Tenant::"acme");',
    "closed": 'forbid (principal, action == Action::"call:notes/search", resource);',
    "closed at times": 'forbid (principal, action, resource in Server::"billing") when { context.portal == "office" };',
    "closed to some": 'forbid (principal in Group::"acme/eng", action in Action::"destructive", resource);',
}
TOOLS = (("notes", "search"), ("notes", "add"), ("notes", "purge"), ("billing", "refund"), ("foreign", "search"))
CALLERS = (caller(), caller("alice", "eng"), caller("bob", "eng"), caller("zoe", tenant="other"))


def selection(*names: str, label: str = "notes", url: str = "https://g.example.com/mcp", effect: Effect = Effect.READ) -> Selection:
    tools = tuple(ExportedTool(name, {"name": name, "inputSchema": {"type": "object"}}, effect) for name in names)
    return Selection(label=label, url=url, tools=tools)


@given(st.sets(st.sampled_from(sorted(GRANTS))))
def test_what_any_caller_reaches_is_grantable(names: set[str]) -> None:
    one = policy(*(f'@id("{name}") {GRANTS[name]}' for name in sorted(names)))
    for (server, tool), who in itertools.product(TOOLS, CALLERS):
        ref = one.tool(server, tool)
        assert grantable(one, ref) or not one.visible(who, ref)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ((), set()),
        (("class",), {("notes", "search")}),
        (("class", "closed"), set()),
        (("tenant", "closed at times", "closed to some"), {("notes", "add"), ("notes", "purge"), ("billing", "refund")}),
    ],
)
def test_without_a_permit_or_under_a_plain_forbid_nobody_is_granted_anything(
    names: tuple[str, ...], expected: set[tuple[str, str]]
) -> None:
    one = policy(*(f'@id("{name}") {GRANTS[name]}' for name in names))
    assert {(server, tool) for server, tool in TOOLS if grantable(one, one.tool(server, tool))} == expected


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "claude-code-policy"])
def test_two_endpoints_of_one_name_are_not_exported_together(name: str) -> None:
    made = export(name, [selection("a"), selection("b", url="https://g.example.com/servers/notes/mcp")], Wishes())
    assert made.document is None
    assert "Two endpoints would have this name" in "".join(map(str, made.findings))


@pytest.mark.parametrize(
    ("url", "denied", "sentence"),
    [
        ("https://g.example.com/mcp", ("https://g.example.com/mcp",), "allowed and denied at once"),
        ("https://g.example.com/mcp", ("https://*.example/mcp",), "read as a pattern"),
        ("https://g.example.com/${HOME}", (), "read as a pattern"),
    ],
)
def test_a_policy_of_claude_code_means_the_addresses_it_names(url: str, denied: tuple[str, ...], sentence: str) -> None:
    made = export("claude-code-policy", [selection("a", url=url)], Wishes(denied_urls=denied))
    assert made.document is None
    assert sentence in "".join(map(str, made.findings))


@pytest.mark.parametrize(("count", "advised"), [(19, False), (20, True)])
def test_many_tools_for_openai_come_with_a_word_of_advice(count: int, advised: bool) -> None:
    made = export("openai", [selection(*(f"t{number}" for number in range(count)))], Wishes())
    assert made.document is not None
    assert ("advises fewer" in "".join(map(str, made.findings))) is advised


def test_without_a_read_nothing_goes_unasked() -> None:
    made = export("openai", [selection("a", effect=Effect.DESTRUCTIVE)], Wishes())
    assert made.document is not None
    assert made.document["tools"][0]["require_approval"] == {"always": {"tool_names": ["a"]}}


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("g.example.com", False),
        ("203.0.113.7.example.com", False),
        ("8.8.8.8", False),
        ("g.example.com.", False),
        ("localhost", True),
        ("x.localhost.", True),
        ("printer.LOCAL", True),
        ("gw.home.arpa", True),
        ("169.254.169.254", True),
        ("::1", True),
    ],
)
def test_a_private_host_is_known_by_its_text(host: str, private: bool) -> None:
    assert is_private(host) is private
