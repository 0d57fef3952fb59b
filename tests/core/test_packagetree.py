"""The digest of a tree is a value of its entries alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.packagetree import Kind, TreeEntry, tree_digest

ENTRIES = st.lists(
    st.builds(TreeEntry, st.binary(min_size=1, max_size=6), st.sampled_from(Kind), st.binary(max_size=6)),
    unique_by=lambda entry: entry.path,
)


@given(ENTRIES, st.randoms())
def test_the_order_of_the_entries_does_not_matter(entries: list[TreeEntry], random: object) -> None:
    shuffled = list(entries)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis's own Random
    assert tree_digest(entries) == tree_digest(shuffled)


@given(ENTRIES, ENTRIES)
def test_different_entries_have_different_digests(one: list[TreeEntry], other: list[TreeEntry]) -> None:
    same = {entry.path: entry for entry in one} == {entry.path: entry for entry in other}
    assert (tree_digest(one) == tree_digest(other)) == same


def test_a_path_that_is_there_twice_is_no_tree() -> None:
    with pytest.raises(ValueError, match="twice"):
        tree_digest([TreeEntry(b"a", Kind.FILE, b"1"), TreeEntry(b"a", Kind.FILE, b"2")])


def test_the_formula_is_the_one_that_definitions_were_written_with() -> None:
    entries = [
        TreeEntry(b"bin", Kind.DIRECTORY),
        TreeEntry(b"bin/notes", Kind.EXECUTABLE, bytes(32)),
        TreeEntry(b"n", Kind.LINK, b"bin/notes"),
    ]
    assert tree_digest(entries) == "sha256:1ab6c26951a1bf3fbeaef3a465552e3a61f8e6ccf3da07669e104e6644c9aaee"
