"""The registry's pages: everything once and in order, one latest version per server, and nothing that the form cannot hold."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.content import ServerContent
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview
from customhouse.core.registrylisting import (
    OFFICIAL,
    OWN,
    ListedVersion,
    Query,
    Status,
    UnreadableCursor,
    check_namespace,
    latest,
    listed_version,
    page,
    semantic,
    server_json,
    version_of,
    versions_of,
)
from customhouse.core.review import Kind, State, Version

HERE = "com.example.gateway"


def listed(name: str = "notes", version: str = "1.0.0", at: float = 1.0, status: Status = "active", **more: Any) -> ListedVersion:
    url = f"https://gateway.example.com/servers/{name}/mcp"
    facts = {"url": url, "digest": "sha256:00", "owner": "team-notes", "published_at": at, "updated_at": at, **more}
    return ListedVersion(name=name, version=version, status=status, **facts)


def names(document: dict[str, Any]) -> list[str]:
    return [f"{entry['server']['name'].rpartition('/')[2]} {entry['server']['version']}" for entry in document["servers"]]


VERSIONS = st.lists(
    st.builds(
        listed,
        st.sampled_from(["a", "ab", "b"]),
        st.sampled_from(["1.0.0", "1.0.0-rc.1", "2.0.0", "2024-01", "0.9.0"]),
        st.floats(0, 10),
        st.sampled_from(["active", "deprecated", "deleted"]),
        is_latest=st.booleans(),
    ),
    unique_by=lambda one: (one.name, one.version),
)


@given(VERSIONS, st.integers(1, 5), st.booleans(), st.sampled_from(["", "latest", "1.0.0"]), st.sampled_from(["", "A", "gateway/b", "zz"]))
def test_pages_together_are_the_whole_list_each_entry_once(
    versions: list[ListedVersion], limit: int, include_deleted: bool, version: str, search: str
) -> None:  # GW-105
    asked: dict[str, Any] = {"include_deleted": include_deleted, "version": version, "search": search}
    whole = page(HERE, versions, Query(**asked, limit=100))
    assert "nextCursor" not in whole["metadata"]
    seen, cursor = [], ""
    while True:
        one = page(HERE, versions, Query(**asked, limit=limit, cursor=cursor))
        assert one["metadata"]["count"] == len(one["servers"]) <= limit
        seen += one["servers"]
        cursor = one["metadata"].get("nextCursor", "")
        if not cursor:
            break
    assert seen == whole["servers"]
    assert include_deleted or all(entry["_meta"][OFFICIAL]["status"] != "deleted" for entry in seen)


@given(VERSIONS)
def test_each_server_has_exactly_one_latest_version_and_it_is_not_deleted_if_any_is_not(versions: list[ListedVersion]) -> None:
    newest = latest(versions)
    for name in {one.name for one in versions}:
        own = [one for one in versions if one.name == name]
        (chosen,) = [one for one in own if (one.name, one.version) in newest]
        assert chosen.status != "deleted" or all(one.status == "deleted" for one in own)
        found = version_of(HERE, versions, f"{HERE}/{name}", "latest", include_deleted=True)
        assert found is not None
        assert (found["server"]["version"], found["_meta"][OFFICIAL]["isLatest"]) == (chosen.version, True)


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        ([("1.9.0", 1, False), ("1.10.0", 0, False)], "1.10.0"),
        ([("2.0.0", 1, False), ("1.0.0", 0, True)], "1.0.0"),
        ([("2.0.0-rc.2", 1, False), ("2.0.0", 0, False)], "2.0.0"),
        ([("2024-11-05", 9, False), ("0.0.1", 0, False)], "0.0.1"),
        ([("2024-11-05", 1, False), ("beta", 2, False)], "beta"),
    ],
)
def test_the_latest_goes_by_flag_then_semantic_version_then_date(versions: list[tuple[str, float, bool]], expected: str) -> None:  # GW-106
    assert latest([listed("a", text, at, is_latest=flag) for text, at, flag in versions]) == {("a", expected)}


def test_semantic_versions_are_ordered_as_their_specification_orders_them() -> None:
    texts = ["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0"]
    assert sorted(texts, key=semantic) == texts
    assert semantic("1.0") < semantic("0.0.0-0")


def test_a_change_is_told_from_its_own_instant_on_deleted_ones_included() -> None:
    versions = [listed("a", at=10.0), listed("b", at=20.0), listed("c", at=30.0, status="deleted")]
    assert names(page(HERE, versions, Query(updated_since=20.0))) == ["b 1.0.0", "c 1.0.0"]


def test_versions_come_newest_first_and_a_server_of_deleted_ones_is_gone() -> None:
    versions = [listed("a", "1.0.0", 1.0), listed("a", "2.0.0", 2.0), listed("b", status="deleted")]
    found = versions_of(HERE, versions, f"{HERE}/a", include_deleted=False)
    assert found is not None
    assert names(found) == ["a 2.0.0", "a 1.0.0"]
    assert versions_of(HERE, versions, f"{HERE}/b", include_deleted=False) is None
    assert versions_of(HERE, versions, f"{HERE}/b", include_deleted=True) is not None
    assert versions_of(HERE, versions, "a", include_deleted=True) is None


def test_an_entry_says_what_the_registry_and_what_the_gateway_know() -> None:
    one = listed(classes={"read": 2, "write": 1}, status="deprecated", status_message="Use tickets.", at=1_754_572_504.28, title="Notes")
    (entry,) = page(HERE, [one], Query())["servers"]
    at = "2025-08-07T13:15:04.280Z"
    assert entry["_meta"] == {
        OFFICIAL: {
            "status": "deprecated",
            "statusMessage": "Use tickets.",
            "statusChangedAt": at,
            "publishedAt": at,
            "updatedAt": at,
            "isLatest": True,
        },
        OWN: {"owner": "team-notes", "digest": "sha256:00", "tools": {"read": 2, "write": 1}},
    }


@pytest.mark.parametrize(
    ("description", "title", "expected"),
    [
        ("Short notes.", "", "Short notes."),
        ("  Short\n notes. ", "", "Short notes."),
        ("", "", "notes, by team-notes"),
        ("", "Notes", "Notes, by team-notes"),
        ("word " * 30, "", "word " * 18 + "word…"),
        ("x" * 300, "", "x" * 99 + "…"),
    ],
)
def test_a_description_fits_into_a_hundred_characters(description: str, title: str, expected: str) -> None:
    made = server_json(HERE, listed(description=description, title=title))["description"]
    assert made == expected
    assert 1 <= len(made) <= 100


@pytest.mark.parametrize("cursor", ["x", "====", "é", "bm90", "WyJhIl0", "W10", "null"])
def test_a_cursor_that_no_list_gave_out_is_refused(cursor: str) -> None:
    with pytest.raises(UnreadableCursor):
        page(HERE, [listed()], Query(cursor=cursor))


@pytest.mark.parametrize("version", ["", "latest", "^1.2.3", "~1.2", ">=1", "1.x", "1.*", "1.2 - 1.4", "1 || 2", "x" * 256])
def test_a_version_that_is_none_cannot_be_listed(version: str) -> None:
    with pytest.raises(ValueError, match="exact version"):
        listed(version=version)


@pytest.mark.parametrize(("name", "url"), [("a/b", "https://g/"), ("", "https://g/"), ("a", "ftp://g/"), ("a", "https://g/{x}")])
def test_a_name_or_an_address_that_does_not_fit_cannot_be_listed(name: str, url: str) -> None:
    with pytest.raises(ValueError, match=r"cannot be the name|not the address"):
        listed(name, url=url)


@pytest.mark.parametrize("text", ["example", "com.", ".com", "com/example", "com.exa_mple", "com..example", "com.-x", "com.example\n"])
def test_a_namespace_is_a_domain_name_in_reverse(text: str) -> None:
    assert check_namespace(HERE) == HERE
    with pytest.raises(ValueError, match="domain name in reverse"):
        check_namespace(text)


def governed(state: State, *, number: int = 3, activated_at: float = 5.0, pinned: bool = True) -> ListedVersion | None:
    said = Manifest(server_info={"name": "n", "title": "Notes"}, capabilities={}, tools=({"name": "read"}, {"name": "unreviewed"}))
    tools = {"read": ToolReview(Effect.READ), "gone": ToolReview(Effect.WRITE)}
    definition = ServerDefinition(
        name="notes", owner="team-notes", contact="c", tenant="acme", url="https://direct.example/mcp", tools=tools
    )
    pin = Pin(server="notes", revision="2025-11-25", digest="sha256:11", manifest=said) if pinned else None
    version = Version(
        kind=Kind.SERVER,
        name="notes",
        number=number,
        tenant="acme",
        digest="sha256:22",
        state=state,
        proposer="acme/ann",
        reviewers_needed=1,
        proposed_at=1.0,
        activated_at=activated_at,
        reason="Because.",
    )
    return listed_version(version, ServerContent(definition=definition, pin=pin), "https://g.example.com", 9.0)


@pytest.mark.parametrize(
    ("state", "status", "path", "newest"),
    [
        (State.ACTIVE, "active", "/servers/notes/mcp", True),
        (State.DEPRECATED, "deprecated", "/servers/notes/versions/3/mcp", False),
        (State.QUARANTINED, "deleted", "/servers/notes/mcp", False),
        (State.RETIRED, "deleted", "/servers/notes/mcp", False),
    ],
)
def test_a_version_that_was_served_is_told_with_the_address_it_has_at_the_gateway(
    state: State, status: str, path: str, newest: bool
) -> None:
    one = governed(state)
    assert one is not None
    assert (one.status, one.url, one.is_latest, one.version) == (status, f"https://g.example.com{path}", newest, "3.0.0")
    assert (one.title, one.digest, one.owner, one.published_at, one.updated_at) == ("Notes", "sha256:11", "team-notes", 5.0, 9.0)
    assert one.classes == {"read": 1, "write": 0, "destructive": 0}
    assert "direct.example" not in str(server_json(HERE, one))
    assert "Because." not in str(server_json(HERE, one))
    assert bool(one.status_message) is (state is not State.ACTIVE)


def test_a_version_that_was_never_served_is_not_told() -> None:
    assert governed(State.REVIEWED) is None
    assert governed(State.RETIRED, activated_at=0.0) is None
    assert governed(State.ACTIVE, pinned=False) is None
