"""What would change is told by what it means, and what means the same is no change."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import given

from customhouse.core.content import Content, PolicyContent, Portal, PortalContent, ServerContent, read_content, stated
from customhouse.core.manifest import BearerCredential, Effect, Manifest, Pin, ServerDefinition, ToolReview, Waiver, digest_of
from customhouse.core.plan import NOTHING, Change, Row, Thing, What, differing, plan, same_policy
from customhouse.core.review import Kind, content_digest
from tests.core.test_content import CONTENTS

TODAY = "2026-11-27"
PLAIN = ServerDefinition(
    name="notes",
    owner="team-notes",
    contact="notes@example.org",
    tenant="local",
    url="https://notes.example/mcp",
    tools={"read_note": ToolReview(effect=Effect.READ), "add_note": ToolReview(effect=Effect.WRITE)},
    credential=BearerCredential("env:NOTES_TOKEN"),
)
NOTES: Thing = (Kind.SERVER, "notes")


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "inputSchema": {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id", "at"]}, **more}


def pin(*tools: dict[str, Any], **more: Any) -> Pin:
    manifest = Manifest(server_info={"name": "notes"}, capabilities={"tools": {}}, tools=tools, **more)
    return Pin(server="notes", revision="2026-07-28", digest=digest_of(manifest), manifest=manifest)


BASE = ServerContent(definition=PLAIN, pin=pin(tool("read_note"), tool("add_note")))


def changed(**fields: Any) -> ServerContent:
    return ServerContent(definition=msgspec.structs.replace(PLAIN, **fields), pin=BASE.pin)


def repinned(*tools: dict[str, Any], **more: Any) -> ServerContent:
    return ServerContent(definition=PLAIN, pin=pin(*tools, **more))


def the_change(before: Content | None, after: Content | None, thing: Thing = NOTES) -> Change:
    (change,) = plan({thing: after} if after else {}, {thing: before} if before else {}, TODAY)
    return change


def sentences(before: Content | None, after: Content | None, thing: Thing = NOTES) -> list[str]:
    return [row.sentence for row in the_change(before, after, thing).rows if row.sentence]


WORDED: Mapping[str, tuple[ServerContent, list[str]]] = {
    "a class": (
        changed(tools={**PLAIN.tools, "read_note": ToolReview(effect=Effect.WRITE)}),
        ["Class of tool `read_note`: read -> write."],
    ),
    "a class of a tool with an odd name": (
        changed(tools={**PLAIN.tools, "a/b~c\x1b": ToolReview(effect=Effect.READ)}),
        ["tool `a/b~c\\u001b` gets the class read, but is not in the pin, so it cannot be called."],
    ),
    "scopes": (
        changed(tools={**PLAIN.tools, "read_note": ToolReview(effect=Effect.READ, scopes=("notes:read",))}),
        ["tool `read_note` needs notes:read scopes of a token."],
    ),
    "no class": (changed(tools={"read_note": PLAIN.tools["read_note"]}), ["tool `add_note` loses its class and is no longer callable."]),
    "a class without a pin": (
        changed(tools={**PLAIN.tools, "drop": ToolReview(effect=Effect.DESTRUCTIVE)}),
        ["tool `drop` gets the class destructive, but is not in the pin, so it cannot be called."],
    ),
    "a tool and its class": (
        ServerContent(
            definition=msgspec.structs.replace(PLAIN, tools={**PLAIN.tools, "drop": ToolReview(effect=Effect.DESTRUCTIVE)}),
            pin=pin(tool("read_note"), tool("add_note"), tool("drop")),
        ),
        ["tool `drop` becomes callable (destructive).", "tool `drop` enters the pin."],
    ),
    "a tool without a class": (
        repinned(tool("read_note"), tool("add_note"), tool("new")),
        ["tool `new` enters the pin without a class, so nobody can see or call it."],
    ),
    "a tool that leaves": (repinned(tool("read_note")), ["tool `add_note` leaves the pin and is no longer callable."]),
    "other words": (repinned(tool("read_note", description="New."), tool("add_note")), ["tool `read_note` of the pin: reworded."]),
    "a prompt": (repinned(tool("read_note"), tool("add_note"), prompts=({"name": "sum up"},)), ["prompt `sum up` enters the pin."]),
    "no pin": (
        ServerContent(definition=PLAIN),
        [
            "The pin goes: nothing is served.",
            "tool `add_note` leaves the pin and is no longer callable.",
            "tool `read_note` leaves the pin and is no longer callable.",
            "capabilities of the server: other.",
            "server_info of the server: other.",
        ],
    ),
    "a credential": (
        changed(credential=BearerCredential("file:notes.token")),
        ["The credential reference changes: env:NOTES_TOKEN -> file:notes.token."],
    ),
    "no credential": (changed(credential=None), ["The credential goes: the server is called without one."]),
    "a waiver": (
        changed(waivers=(Waiver("unauthenticated-writes", "A lab.", "alice"),)),
        ["A waiver is added: `unauthenticated-writes` no longer holds for this server (granted by alice)."],
    ),
    "an address": (changed(url="https://other.example/mcp"), ["Calls go to another address."]),
    "an owner": (changed(owner="team-other"), ["Another team answers for the server."]),
    "a limit": (changed(max_concurrent_calls=3), []),
}


@pytest.mark.parametrize("case", WORDED)
def test_what_matters_is_said_in_a_sentence(case: str) -> None:
    after, expected = WORDED[case]
    assert sentences(BASE, after) == expected


def test_a_pin_that_already_has_a_class_makes_its_tool_callable() -> None:
    assert sentences(repinned(tool("read_note")), BASE) == ["tool `add_note` enters the pin and becomes callable (write)."]


def test_a_waiver_that_goes_is_said() -> None:
    waived = changed(waivers=(Waiver("unauthenticated-writes", "A lab.", "alice"),))
    assert sentences(waived, BASE) == ["The waiver `unauthenticated-writes` is taken back."]


def test_a_row_has_the_place_and_both_values() -> None:
    assert the_change(BASE, changed(call_timeout_seconds=30.0, description="Notes.")).rows == (
        Row(pointer="/definition/call_timeout_seconds", after=30.0),
        Row(pointer="/definition/description", after="Notes."),
    )
    assert the_change(changed(call_timeout_seconds=30.0), changed(call_timeout_seconds=31.0)).rows == (
        Row(pointer="/definition/call_timeout_seconds", before=30.0, after=31.0),
    )


def test_a_row_of_the_pin_leads_to_the_words_that_changed() -> None:
    after = repinned(tool("read_note", description="New."), tool("add_note"))
    before = repinned(tool("read_note", description="Old."), tool("add_note"))
    assert the_change(before, after).rows[1:] == (Row(pointer="/pin/manifest/tools/read_note/description", before="Old.", after="New."),)


def test_true_is_not_one() -> None:
    before, after = (repinned(tool("read_note", _meta={"open": value}), tool("add_note")) for value in (True, 1))
    assert "/pin/manifest/tools/read_note/_meta/open" in [row.pointer for row in the_change(before, after).rows]


def test_a_change_says_what_would_be_proposed_and_how_many_people_that_takes() -> None:
    after = changed(owner="team-other")
    change = the_change(BASE, after)
    assert change.what is What.CHANGE
    assert change.digest == content_digest(*NOTES, stated(after))
    assert change.stored_digest == content_digest(*NOTES, stated(BASE))
    assert change.reviewers_needed == 2
    assert change.unanswered == ("on_call", "classification", "runbook", "review_by")


def test_what_is_new_is_told_value_by_value() -> None:
    change = the_change(None, BASE)
    assert (change.what, change.stored_digest) == (What.ADD, "")
    assert "tool `add_note` becomes callable (write)." in [row.sentence for row in change.rows]
    assert all(row.before is NOTHING for row in change.rows)


def test_what_goes_needs_no_reviewers() -> None:
    change = the_change(BASE, None)
    assert (change.what, change.digest, change.reviewers_needed, change.unanswered) == (What.REMOVE, "", 0, ())
    assert "tool `add_note` leaves the pin and is no longer callable." in [row.sentence for row in change.rows]
    assert all(row.after is NOTHING for row in change.rows)


def turned(value: Any) -> Any:
    """The same value, every object written backwards."""
    if isinstance(value, dict):
        return {key: turned(value[key]) for key in reversed(value)}
    return [turned(each) for each in value] if isinstance(value, list) else value


SAME: list[tuple[ServerContent, ServerContent]] = [
    (BASE, changed(tools=dict(reversed(PLAIN.tools.items())))),
    (BASE, changed(call_timeout_seconds=60)),
    (BASE, ServerContent(definition=PLAIN, pin=pin(tool("add_note"), tool("read_note")))),
    (BASE, ServerContent(definition=PLAIN, pin=pin(turned(tool("read_note")), tool("add_note")))),
    (
        BASE,
        ServerContent(
            definition=PLAIN,
            pin=pin(
                {**tool("read_note"), "inputSchema": {**tool("")["inputSchema"], "required": ["at", "id"]}},
                tool("add_note"),
            ),
        ),
    ),
]


@pytest.mark.parametrize(("before", "after"), SAME, ids=range(len(SAME)))
def test_what_means_the_same_is_no_change(before: ServerContent, after: ServerContent) -> None:
    assert plan({NOTES: after}, {NOTES: before}, TODAY) == ()


@given(CONTENTS)
def test_nothing_changes_against_itself(kept: tuple[Kind, Content]) -> None:
    thing = (kept[0], "x")
    assert plan({thing: kept[1]}, {thing: kept[1]}, TODAY) == ()


@given(CONTENTS, CONTENTS)
def test_a_plan_turned_round_tells_the_same_places(one: tuple[Kind, Content], other: tuple[Kind, Content]) -> None:
    files, stored = {(one[0], "x"): one[1]}, {(other[0], "x"): other[1]}
    there, back = plan(files, stored, TODAY), plan(stored, files, TODAY)
    assert [change.name for change in there] == [change.name for change in back]
    for change, turned_round in zip(there, back, strict=True):
        assert (change.digest, change.stored_digest) == (turned_round.stored_digest, turned_round.digest)
        pointers = [sorted(row.pointer for row in side.rows) for side in (change, turned_round)]
        assert pointers[0] == pointers[1]


RICH = ServerContent(
    definition=msgspec.structs.replace(
        PLAIN,
        description="Notes.",
        on_call="pager",
        classification="internal",
        networks=("10.0.0.0/8",),
        stateless=True,
        call_timeout_seconds=30.0,
        waivers=(Waiver("unauthenticated-writes", "A lab.", "alice"),),
    ),
    pin=pin(
        tool(
            "read_note",
            title="Read",
            description="Reads.",
            annotations={"readOnlyHint": True, "title": "Read"},
            outputSchema={"type": "object", "properties": {"text": {"type": "string", "maxLength": 10}}},
            icons=[{"src": "https://notes.example/icon.png"}],
            _meta={"com.example/x": 1},
        ),
        instructions="Use it.",
        prompts=({"name": "sum", "arguments": [{"name": "of", "required": True}]},),
        resources=({"uri": "notes://a", "mimeType": "text/plain"},),
        resource_templates=({"uriTemplate": "notes://{id}", "name": "note"},),
    ),
)


def leaves(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict | list | tuple) and value:
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        return [leaf for key, part in parts for leaf in leaves(part, (*way, key))]
    return [way]


def mutated(value: Any, way: tuple[Any, ...]) -> Any:
    """The value with another one at the end of the way."""
    if way:
        parts = dict(value) if isinstance(value, dict) else list(value)
        parts[way[0]] = mutated(value[way[0]], way[1:])
        return parts
    if isinstance(value, dict):
        return {"x": 1}
    return not value if isinstance(value, bool) else value + ("x" if isinstance(value, str) else 1)


@pytest.mark.parametrize("way", leaves(stated(RICH)), ids=lambda way: ".".join(map(str, way)))
def test_no_single_value_changes_unseen(way: tuple[Any, ...]) -> None:
    try:
        after = read_content(Kind.SERVER, mutated(stated(RICH), way))
    except msgspec.ValidationError:
        return
    assert the_change(RICH, after).rows
    assert the_change(after, RICH).rows


# --- Policies -------------------------------------------------------------------------------------------------------------

READERS = '@id("readers") permit (principal, action in Action::"read", resource);'
WRITERS = '@id("writers") permit (principal in Group::"acme/eng", action in Action::"write", resource);'
NEVER = '@id("never") forbid (principal, action in Action::"destructive", resource);'
RULES: Thing = (Kind.POLICY, "rules.cedar")


def policy(*rules: str) -> PolicyContent:
    return PolicyContent(text="\n".join(rules))


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (policy(READERS), policy(READERS, NEVER), ["The policy rule `never` (forbid) is added."]),
        (policy(READERS, WRITERS), policy(READERS), ["The policy rule `writers` (permit) is removed."]),
        (policy(WRITERS), policy(WRITERS.replace("eng", "all")), ["The policy rule `writers` (permit) is changed."]),
        (policy(READERS), policy("@approval" + '("leads")' + READERS), ["The policy rule `readers` (permit) is changed."]),
        (None, policy(READERS), ["The policy rule `readers` (permit) is added."]),
        (policy(READERS), None, ["The policy rule `readers` (permit) is removed."]),
        (policy(READERS), policy("permit ("), ["The text cannot be read as rules, so it is compared as text."]),
    ],
)
def test_rules_are_compared_by_id(before: PolicyContent | None, after: PolicyContent | None, expected: list[str]) -> None:
    assert sentences(before, after, RULES) == expected


def test_a_rule_that_changed_is_shown_before_and_after() -> None:
    after = WRITERS.replace("eng", "all")
    assert the_change(policy(WRITERS), policy(after), RULES).rows[0] == Row(
        pointer="/rules/writers", before=WRITERS, after=after, sentence="The policy rule `writers` (permit) is changed."
    )


@pytest.mark.parametrize(
    "same", [policy(WRITERS, READERS), policy("// Who reads.", READERS, WRITERS), policy(READERS.replace(" ", "\n  "), WRITERS)]
)
def test_order_comments_and_layout_of_rules_mean_nothing(same: PolicyContent) -> None:
    assert plan({RULES: same}, {RULES: policy(READERS, WRITERS)}, TODAY) == ()
    assert same_policy(same.text, policy(READERS, WRITERS).text)


# --- Portals --------------------------------------------------------------------------------------------------------------


def portal(*servers: str, description: str = "") -> PortalContent:
    return PortalContent(portal=Portal(servers=servers, description=description))


def test_a_portal_gains_and_loses_servers() -> None:
    assert sentences(portal("a", "b"), portal("b", "c"), (Kind.PORTAL, "desk")) == [
        "The portal loses server `a`.",
        "The portal gains server `c`.",
    ]


def test_the_order_and_the_description_of_a_portal_are_told_without_a_sentence() -> None:
    change = the_change(portal("a", "b"), portal("b", "a", description="Desk."), (Kind.PORTAL, "desk"))
    assert [row.pointer for row in change.rows] == ["/portal/servers", "/portal/description"]
    assert change.reviewers_needed == 1


# --- All of it ------------------------------------------------------------------------------------------------------------


def test_changes_come_in_the_order_of_kind_and_name() -> None:
    files: dict[Thing, Content] = {
        (Kind.PORTAL, "desk"): portal("notes"),
        (Kind.POLICY, "a.cedar"): policy(READERS),
        NOTES: BASE,
        (Kind.SERVER, "a"): BASE,
    }
    assert [(change.kind.value, change.name) for change in plan(files, {}, TODAY)] == [
        ("server", "a"),
        ("server", "notes"),
        ("policy", "a.cedar"),
        ("portal", "desk"),
    ]


def test_only_what_has_another_digest_has_to_be_looked_at() -> None:
    files = {NOTES: "1", (Kind.SERVER, "a"): "2", (Kind.SERVER, "new"): "3"}
    stored = {NOTES: "1", (Kind.SERVER, "a"): "9", (Kind.POLICY, "gone"): "4"}
    assert differing(files, stored) == ((Kind.SERVER, "a"), (Kind.SERVER, "new"), (Kind.POLICY, "gone"))


def test_a_plan_is_json() -> None:
    changes = plan({NOTES: changed(owner="x")}, {NOTES: BASE, RULES: policy(READERS)}, TODAY)
    value = msgspec.json.decode(msgspec.json.encode(changes))
    assert [change["what"] for change in value] == ["change", "remove"]
    assert "after" not in value[1]["rows"][0]
