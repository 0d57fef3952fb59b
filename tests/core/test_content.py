"""What a version holds comes back as it was, and says only what somebody decided."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.content import (
    Content,
    GrantsContent,
    PolicyContent,
    Portal,
    PortalContent,
    ServerContent,
    read_content,
    reviewers_needed,
    stated,
    unanswered,
)
from customhouse.core.manifest import (
    Effect,
    Manifest,
    Package,
    Pin,
    ServerDefinition,
    StdioProgram,
    ToolReview,
    Waiver,
    canonical_bytes,
    digest_of,
)
from customhouse.core.policygrants import Granted, Grantee, WrittenGrant
from customhouse.core.review import Kind, content_digest

DESK = Grantee(group="local/desk")
TODAY = "2026-11-27"
PLAIN = ServerDefinition(name="notes", owner="team-notes", contact="notes@example.org", tenant="local", url="https://notes.example/mcp")
ANSWERED = msgspec.structs.replace(
    PLAIN, on_call="pager:notes", classification="internal", runbook="https://notes.example/runbook", review_by="2026-11-27"
)
TOOLS = ({"name": "b", "inputSchema": {"type": "object"}}, {"name": "a", "inputSchema": {"type": "object"}})
MANIFEST = Manifest(server_info={"name": "notes"}, capabilities={"tools": {}}, tools=TOOLS)
PIN = Pin(server="notes", revision="2026-07-28", digest=digest_of(MANIFEST), manifest=MANIFEST)
PROGRAM = StdioProgram(
    package=Package(ecosystem="pypi", name="notes", version="1.0", digest="sha256:" + "0" * 64), argv=("bin/notes",), environment={"A": ""}
)

WORDS = st.text(max_size=8)
DEFINITIONS = st.builds(
    ServerDefinition,
    name=WORDS,
    owner=WORDS,
    contact=WORDS,
    tenant=WORDS,
    description=WORDS,
    url=WORDS,
    stdio=st.sampled_from([None, PROGRAM]),
    stateless=st.booleans(),
    tools=st.dictionaries(
        WORDS, st.builds(ToolReview, effect=st.sampled_from(Effect), scopes=st.lists(WORDS, max_size=2).map(tuple)), max_size=3
    ),
    call_timeout_seconds=st.sampled_from([60.0, 61.0, 60]),
    waivers=st.lists(st.builds(Waiver, rule=WORDS, reason=WORDS, granted_by=WORDS), max_size=2).map(tuple),
)
CONTENTS = st.one_of(
    st.builds(ServerContent, definition=DEFINITIONS, pin=st.sampled_from([None, PIN])).map(lambda one: (Kind.SERVER, one)),
    st.builds(PolicyContent, text=WORDS).map(lambda one: (Kind.POLICY, one)),
    st.builds(PortalContent, portal=st.builds(Portal, servers=st.lists(WORDS, max_size=3).map(tuple), description=WORDS)).map(
        lambda one: (Kind.PORTAL, one)
    ),
)


@given(CONTENTS)
def test_a_content_comes_back_with_the_same_digest(kept: tuple[Kind, Content]) -> None:
    kind, content = kept
    value = stated(content)
    again = read_content(kind, msgspec.json.decode(canonical_bytes(value)))
    assert canonical_bytes(stated(again)) == canonical_bytes(value)
    assert content_digest(kind, "x", stated(again)) == content_digest(kind, "x", value)
    if not isinstance(content, ServerContent) or content.pin is None:
        assert again == content


def test_what_is_at_its_default_is_not_written_down() -> None:
    assert stated(ServerContent(definition=PLAIN)) == {
        "definition": {
            "name": "notes",
            "owner": "team-notes",
            "contact": "notes@example.org",
            "tenant": "local",
            "url": "https://notes.example/mcp",
        }
    }


def test_a_pin_names_its_formula_and_lists_its_entries_in_order() -> None:
    value = stated(ServerContent(definition=PLAIN, pin=PIN))
    assert value["pin"]["digest_formula"] == "customhouse-manifest-1"
    assert [tool["name"] for tool in value["pin"]["manifest"]["tools"]] == ["a", "b"]
    assert "prompts" not in value["pin"]["manifest"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Kind.SERVER, {"definition": {"name": "notes"}}),
        (Kind.SERVER, {"definition": stated(ServerContent(definition=PLAIN))["definition"], "reviews": []}),
        (Kind.POLICY, {"text": 1}),
        (Kind.POLICY, {"text": "", "active": True}),
        (Kind.PORTAL, {"portal": {"servers": [], "state": "active"}}),
        (Kind.PORTAL, {"text": ""}),
    ],
)
def test_what_this_release_does_not_know_is_refused(kind: Kind, value: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        read_content(kind, value)


@pytest.mark.parametrize(
    ("kind", "content", "people"),
    [
        (Kind.SERVER, ServerContent(definition=PLAIN), 1),
        (Kind.SERVER, ServerContent(definition=msgspec.structs.replace(PLAIN, tools={"a": ToolReview(effect=Effect.READ)})), 1),
        (Kind.SERVER, ServerContent(definition=msgspec.structs.replace(PLAIN, tools={"a": ToolReview(effect=Effect.WRITE)})), 2),
        (Kind.SERVER, ServerContent(definition=msgspec.structs.replace(PLAIN, tools={"a": ToolReview(effect=Effect.DESTRUCTIVE)})), 2),
        (Kind.POLICY, PolicyContent(text=""), 2),
        (Kind.GRANT, GrantsContent(grants=()), 1),
        (Kind.GRANT, GrantsContent(grants=(WrittenGrant(to=DESK, on=Granted(classes=(Effect.READ,))),)), 1),
        (Kind.GRANT, GrantsContent(grants=(WrittenGrant(to=DESK, on=Granted(classes=(Effect.READ, Effect.WRITE))),)), 2),
        (Kind.GRANT, GrantsContent(grants=(WrittenGrant(to=DESK, on=Granted(tool="notes/add_note")),)), 2),
        (Kind.PORTAL, PortalContent(portal=Portal(servers=())), 1),
    ],
)
def test_what_can_change_things_needs_two_people(kind: Kind, content: Content, people: int) -> None:
    assert reviewers_needed(kind, content) == people


def test_everything_that_somebody_needs_at_night_is_asked_for() -> None:
    assert unanswered(PLAIN, TODAY) == ("on_call", "classification", "runbook", "review_by")
    assert unanswered(ANSWERED, TODAY) == ()
    assert unanswered(msgspec.structs.replace(ANSWERED, owner=" "), TODAY) == ("owner",)
    assert unanswered(ANSWERED, "2026-11-28") == ("review_by",)
