"""Names in portals: stable, short, never ambiguous."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.naming import addresses, alias_of, aliases

VALID = re.compile(r"[A-Za-z0-9_-]{1,64}")
SERVERS = st.from_regex(r"[a-z0-9](-?[a-z0-9]){0,19}", fullmatch=True)
TOOLS = st.one_of(st.from_regex(r"[A-Za-z0-9_.-]{1,128}", fullmatch=True), st.text(min_size=1, max_size=140))


@pytest.mark.parametrize(
    ("server", "tool", "alias"),
    [
        ("notes", "read_note", "notes__read_note"),
        ("a-b", "c", "a-b__c"),
        ("notes", "x" * 57, f"notes__{'x' * 57}"),
    ],
)
def test_a_short_plain_name_is_only_prefixed(server: str, tool: str, alias: str) -> None:
    assert alias_of(server, tool) == alias


@pytest.mark.parametrize("tool", ["x" * 58, "files.read", "read note", "réad", "add_0123abcd", "\ud800"])
def test_a_name_that_had_to_be_changed_or_could_pass_for_one_has_a_hash_suffix(tool: str) -> None:
    alias = alias_of("notes", tool)
    assert re.search(r"_[0-9a-f]{8}\Z", alias)
    assert alias != f"notes__{tool}"


def test_the_suffix_never_changes_between_versions() -> None:  # GW-87
    assert alias_of("notes", "files.read") == "notes__files_read_b1bee965"


@given(SERVERS, TOOLS)
def test_every_alias_is_what_clients_accept_and_begins_with_its_server(server: str, tool: str) -> None:  # GW-87
    alias = alias_of(server, tool)
    assert VALID.fullmatch(alias)
    assert alias.startswith(f"{server}__")


@given(st.sets(st.tuples(SERVERS, TOOLS), max_size=30))
def test_every_name_finds_its_way_back_through_the_table(names: set[tuple[str, str]]) -> None:
    table = aliases(names)
    assert {table[alias_of(server, tool)] for server, tool in names} == names


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b_c"), ("a-b", "c")),
        (("a", "_b"), ("a", "b")),
        (("a", "b.c"), ("a", "b_c")),
        (("a", "b.c"), ("a", "b/c")),
        (("a", "x" * 60 + "1"), ("a", "x" * 60 + "2")),
        (("a", "b.c"), ("a", alias_of("a", "b.c").removeprefix("a__"))),
        (("a", "search"), ("a", "sеarch")),
    ],
)
def test_names_that_a_careless_parser_confuses_have_different_aliases(one: tuple[str, str], other: tuple[str, str]) -> None:
    assert len(aliases([one, other])) == 2


def test_a_name_offered_twice_is_refused_instead_of_going_to_the_first() -> None:
    with pytest.raises(ValueError, match="same alias notes__add"):
        aliases([("notes", "add"), ("notes", "add")])


def test_a_limit_without_room_for_server_and_suffix_is_refused() -> None:
    with pytest.raises(ValueError, match="51"):
        alias_of("notes", "add", max_length=50)


def test_a_uri_that_two_servers_offer_belongs_to_neither() -> None:
    sorted_out = addresses([("a", "file:///x"), ("b", "file:///x"), ("b", "file:///y"), ("b", "file:///y")])
    assert sorted_out.servers == {"file:///y": "b"}
    assert sorted_out.ambiguous == {"file:///x": ("a", "b")}
