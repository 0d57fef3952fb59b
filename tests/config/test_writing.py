"""Contents become files and come back the same, and a directory that says the same already is left alone."""

import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.config.definitions import definition_in
from customhouse.config.directory import read_directory
from customhouse.config.document import read_document
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.portals import portal_in
from customhouse.config.tree import Portal as PortalOfSettings
from customhouse.config.tree import Settings
from customhouse.config.writing import Written, content_findings, definition_text, portal_text, sheets, write_directory
from customhouse.core.content import Content, GrantsContent, PolicyContent, Portal, PortalContent, ServerContent, stated
from customhouse.core.manifest import (
    BearerCredential,
    Effect,
    Manifest,
    Package,
    Pin,
    ProcessLimits,
    ServerDefinition,
    StdioProgram,
    ToolReview,
    Waiver,
    digest_of,
)
from customhouse.core.plan import Thing, plan
from customhouse.core.policygrants import Constraint, Granted, Grantee, WrittenGrant
from customhouse.core.review import Kind, content_digest
from tests.config.deployments import write
from tests.config.test_yamltext import HOSTILE

QUICKSTART = Path(__file__).parents[2] / "examples" / "quickstart"
PLAIN = ServerDefinition(name="notes", owner="team-notes", contact="notes@example.org", tenant="local", url="https://notes.example/mcp")
MANIFEST = Manifest(
    server_info={"name": "notes"}, capabilities={"tools": {}}, tools=({"name": "read_note", "inputSchema": {"type": "object"}},)
)
PIN = Pin(server="notes", revision="2026-07-28", digest=digest_of(MANIFEST), manifest=MANIFEST)
RULE = '// Everybody reads.\n@id("readers")\npermit (principal, action in Action::"read", resource);\r\n'
GRANTS = (
    WrittenGrant(
        to=Grantee(group="acme/desk"), on=Granted(server="notes", classes=(Effect.READ,)), until="2027-01-31", reason="no, 1:30, yes"
    ),
    WrittenGrant(
        to=Grantee(person="acme/ann", client="desk"),
        on=Granted(tool="notes/add"),
        arguments={"title": Constraint(prefix=("no", "0x1"), or_absent=True), "n": Constraint(at_most=3)},
        scopes=("notes.write",),
        approval="leads",
    ),
)
CONTENTS: dict[Thing, Content] = {
    (Kind.SERVER, "notes"): ServerContent(definition=PLAIN, pin=PIN),
    (Kind.POLICY, "readers.cedar"): PolicyContent(text=RULE),
    (Kind.GRANT, "desk"): GrantsContent(grants=GRANTS),
    (Kind.PORTAL, "desk"): PortalContent(portal=Portal(servers=("notes",), description="For the desk.")),
}

TEXTS = st.sampled_from([text for text in HOSTILE if text.strip() and text.isprintable()]) | st.text(
    st.characters(exclude_categories=["Cc", "Cs"]), min_size=1
).filter(lambda text: bool(text.strip()))
SECONDS = st.floats(0.001, 60.0)
REVIEWS = st.builds(
    ToolReview,
    effect=st.sampled_from(Effect),
    scopes=st.lists(st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters='"\\'), min_size=1), max_size=2).map(
        tuple
    ),
    call_timeout_seconds=st.none() | SECONDS,
)
PROGRAMS = st.builds(
    StdioProgram,
    package=st.just(Package(ecosystem="npm", name="@acme/notes", version="1.0", digest="sha256:" + "0" * 64)),
    argv=st.lists(TEXTS, max_size=3).map(lambda rest: ("bin/notes", *rest)),
    environment=st.dictionaries(st.sampled_from(["A", "no", "HOME2"]), TEXTS, max_size=2),
    limits=st.builds(ProcessLimits, processes=st.integers(1, 1000)),
)
DEFINITIONS = st.builds(
    ServerDefinition,
    name=st.just("notes"),
    owner=TEXTS,
    contact=TEXTS,
    tenant=TEXTS,
    description=TEXTS | st.just(""),
    on_call=TEXTS,
    review_by=st.sampled_from(["", "2027-06-30"]),
    url=st.just("https://notes.example/mcp"),
    networks=st.sampled_from([(), ("10.0.0.0/8", "fd00::/8")]),
    credential=st.just(BearerCredential("env:NOTES_TOKEN")),
    stateless=st.booleans(),
    tools=st.dictionaries(TEXTS, REVIEWS, max_size=4),
    call_timeout_seconds=SECONDS,
    waivers=st.lists(st.builds(Waiver, rule=st.just("unauthenticated-writes"), reason=TEXTS, granted_by=TEXTS), max_size=2).map(tuple),
) | st.builds(
    ServerDefinition,
    name=st.just("notes"),
    owner=TEXTS,
    contact=TEXTS,
    tenant=TEXTS,
    stdio=PROGRAMS,
    tools=st.dictionaries(TEXTS, REVIEWS, max_size=2),
)


@given(DEFINITIONS)
def test_a_definition_that_was_written_is_read_as_the_same(definition: ServerDefinition) -> None:
    again, findings = definition_in(read_document(definition_text(definition).encode(), "notes.yaml"), "notes")
    assert findings == ()
    assert again == definition
    assert digest(Kind.SERVER, ServerContent(definition=again)) == digest(Kind.SERVER, ServerContent(definition=definition))


@given(DEFINITIONS)
def test_the_order_in_which_a_table_was_written_changes_nothing_that_is_written(definition: ServerDefinition) -> None:
    turned = msgspec.structs.replace(definition, tools=dict(reversed(definition.tools.items())))
    assert definition_text(turned) == definition_text(definition)


@given(st.builds(Portal, servers=st.lists(TEXTS, unique=True, max_size=3).map(tuple), description=TEXTS | st.just("")))
def test_a_portal_that_was_written_is_read_as_the_same(portal: Portal) -> None:
    assert portal_in(read_document(portal_text(portal).encode(), "desk.yaml")) == (portal, ())


def digest(kind: Kind, content: Content) -> str:
    return content_digest(kind, "x", stated(content))


def test_a_definition_reads_like_one_that_a_person_wrote() -> None:
    definition = msgspec.structs.replace(
        PLAIN,
        tools={"b": ToolReview(effect=Effect.WRITE), "a": ToolReview(effect=Effect.READ)},
        credential=BearerCredential("env:NOTES_TOKEN"),
    )
    assert definition_text(definition) == (
        "owner: team-notes\ncontact: notes@example.org\ntenant: local\nurl: https://notes.example/mcp\n"
        "credential:\n  bearer: env:NOTES_TOKEN\ntools:\n  a:\n    class: read\n  b:\n    class: write\n"
    )


def state_of(directory: Path) -> dict[str, tuple[bytes, int, int]]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def test_a_directory_that_was_written_describes_what_was_written(tmp_path: Path) -> None:
    written = write_directory(CONTENTS, tmp_path, Settings())
    assert written.written == (
        "grants/desk.yaml",
        "policies/readers.cedar",
        "portals/desk.yaml",
        "servers/notes.pin.json",
        "servers/notes.yaml",
    )
    again = read_directory(tmp_path, Settings())
    assert again.keys() == CONTENTS.keys()
    for thing, content in CONTENTS.items():
        assert content_digest(*thing, stated(again[thing])) == content_digest(*thing, stated(content))
    assert (tmp_path / "policies" / "readers.cedar").read_bytes() == RULE.encode()


def test_writing_twice_changes_nothing(tmp_path: Path) -> None:
    write_directory(CONTENTS, tmp_path, Settings())
    before = state_of(tmp_path)
    assert write_directory(CONTENTS, tmp_path, Settings(), remove=True) == Written((), (), ())
    assert state_of(tmp_path) == before


def test_a_file_that_says_the_same_in_other_words_is_left_as_it_is(tmp_path: Path) -> None:
    by_hand = "# Ours.\ntenant: local\nname: notes\nowner: 'team-notes'\nurl: https://notes.example/mcp\ncontact: notes@example.org\n"
    rule = '@id("readers") permit (principal, action in Action::"read", resource); // Everybody.\n'
    write(tmp_path, {"servers/notes.yaml": by_hand, "policies/readers.cedar": rule})
    assert write_directory(CONTENTS, tmp_path, Settings()).written == ("grants/desk.yaml", "portals/desk.yaml", "servers/notes.pin.json")
    assert (tmp_path / "servers" / "notes.yaml").read_text() == by_hand


def test_what_is_no_longer_there_goes_only_when_that_is_asked_for(tmp_path: Path) -> None:
    others = ("servers/README.md", "policies/readers.test.yaml", "portals/.keep", "customhouse.yaml", "data/plan-cache")
    write(
        tmp_path,
        {
            **dict.fromkeys(others, ""),
            "servers/old.yaml": "",
            "servers/old.pin.json": "{}",
            "policies/old.cedar": "",
            "portals/old.yml": "",
        },
    )
    old = ("policies/old.cedar", "portals/old.yml", "servers/old.pin.json", "servers/old.yaml")
    assert write_directory(CONTENTS, tmp_path, Settings()).left == old
    assert write_directory(CONTENTS, tmp_path, Settings(), remove=True).removed == old
    assert state_of(tmp_path).keys() == {
        *others,
        "grants/desk.yaml",
        "policies/readers.cedar",
        "portals/desk.yaml",
        "servers/notes.pin.json",
        "servers/notes.yaml",
    }


def test_a_pin_that_is_no_longer_there_is_a_leftover(tmp_path: Path) -> None:
    write_directory(CONTENTS, tmp_path, Settings())
    without: dict[Thing, Content] = {**CONTENTS, (Kind.SERVER, "notes"): ServerContent(definition=PLAIN)}
    assert write_directory(without, tmp_path, Settings()).left == ("servers/notes.pin.json",)


ENDLESS = Manifest(server_info={"name": "notes", "build": 2**60}, capabilities={})
UNWRITABLE: list[tuple[Thing, Content]] = [
    ((Kind.SERVER, "../notes"), ServerContent(definition=msgspec.structs.replace(PLAIN, name="../notes"))),
    ((Kind.SERVER, "notes"), ServerContent(definition=msgspec.structs.replace(PLAIN, name="other"))),
    ((Kind.SERVER, "notes"), ServerContent(definition=msgspec.structs.replace(PLAIN, description="two\nlines"))),
    ((Kind.SERVER, "notes"), ServerContent(definition=msgspec.structs.replace(PLAIN, description="\ud800"))),
    ((Kind.SERVER, "notes"), ServerContent(definition=msgspec.structs.replace(PLAIN, owner=" "))),
    ((Kind.SERVER, "notes"), ServerContent(definition=PLAIN, pin=msgspec.structs.replace(PIN, digest="sha256:" + "0" * 64))),
    ((Kind.SERVER, "notes"), ServerContent(definition=PLAIN, pin=msgspec.structs.replace(PIN, server="other"))),
    ((Kind.SERVER, "notes"), ServerContent(definition=PLAIN, pin=msgspec.structs.replace(PIN, manifest=ENDLESS))),
    ((Kind.POLICY, "readers"), PolicyContent(text=RULE)),
    ((Kind.POLICY, "a/b.cedar"), PolicyContent(text=RULE)),
    ((Kind.POLICY, "readers.cedar"), PolicyContent(text="permit (")),
    ((Kind.PORTAL, "desk"), PortalContent(portal=Portal(servers=("notes", "notes")))),
]


@pytest.mark.parametrize(("thing", "content"), UNWRITABLE, ids=range(len(UNWRITABLE)))
def test_what_would_not_be_read_back_is_not_written_and_neither_is_anything_else(thing: Thing, content: Content, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationInvalid):
        write_directory({**CONTENTS, thing: content}, tmp_path, Settings())
    assert state_of(tmp_path) == {}


@pytest.mark.parametrize(("thing", "content"), UNWRITABLE, ids=range(len(UNWRITABLE)))
def test_a_content_that_came_another_way_is_held_to_the_same_rules(thing: Thing, content: Content) -> None:
    assert content_findings(thing, content)


@pytest.mark.parametrize("thing", CONTENTS, ids=str)
def test_a_content_that_files_can_hold_has_no_findings(thing: Thing) -> None:
    assert content_findings(thing, CONTENTS[thing]) == ()


def test_a_portal_that_the_settings_name_too_is_not_written(tmp_path: Path) -> None:
    settings = Settings(portals={"desk": PortalOfSettings(servers=("notes",))})
    with pytest.raises(ConfigurationInvalid, match="The settings name a portal of this name too"):
        write_directory(CONTENTS, tmp_path, settings)
    assert state_of(tmp_path) == {}


def test_the_quickstart_is_left_as_it_is_and_comes_back_from_what_is_written_of_it(tmp_path: Path) -> None:
    shutil.copytree(QUICKSTART, tmp_path / "here", ignore=shutil.ignore_patterns("data"))
    contents = read_directory(tmp_path / "here", Settings())
    before = state_of(tmp_path)
    assert write_directory(contents, tmp_path / "here", Settings()) == Written((), (), ())
    assert state_of(tmp_path) == before
    write_directory(contents, tmp_path / "there", Settings())
    assert plan(read_directory(tmp_path / "there", Settings()), contents, "2026-11-27") == ()


def test_every_kind_has_its_files() -> None:
    for thing, content in CONTENTS.items():
        assert sheets(thing, content)
    names: set[Any] = {thing[0] for thing in CONTENTS}
    assert names == set(Kind)
