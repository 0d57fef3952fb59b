"""Approving some entries changes those entries and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.drift import drift
from customhouse.core.manifest import Manifest, digest_of, in_order
from customhouse.core.merging import Named, merged, named_in
from tests.core.test_drift import manifest

CHOICES = st.data()
TEXTS = st.sampled_from(["", "A.", "B."])
NAMES = st.sampled_from(["one", "two", "three"])


def entries(key: str) -> st.SearchStrategy[tuple[dict[str, Any], ...]]:
    one = st.fixed_dictionaries({key: NAMES, "description": TEXTS}, optional={"_meta": st.fixed_dictionaries({"v": st.integers(0, 1)})})
    return st.lists(one, unique_by=lambda entry: str(entry[key]), max_size=3).map(tuple)


MANIFESTS = st.builds(
    manifest,
    tools=entries("name"),
    prompts=entries("name"),
    resources=entries("uri"),
    resource_templates=entries("uriTemplate"),
    instructions=TEXTS,
    server_info=st.fixed_dictionaries({"version": TEXTS}),
)


def chosen(data: st.DataObject, *manifests: Manifest) -> frozenset[Named]:
    return frozenset(name for name in sorted(named_in(*manifests)) if data.draw(st.booleans()))


@given(MANIFESTS, MANIFESTS)
def test_taking_over_nothing_is_the_pin_and_everything_is_the_server(pinned: Manifest, live: Manifest) -> None:
    assert merged(in_order(pinned), live, ()) == in_order(pinned)
    assert digest_of(merged(pinned, live, ())) == digest_of(pinned)
    assert digest_of(merged(pinned, live, named_in(pinned, live))) == digest_of(live)


@given(MANIFESTS, MANIFESTS, CHOICES)
def test_it_does_not_matter_in_which_order_entries_are_taken_over(pinned: Manifest, live: Manifest, data: st.DataObject) -> None:
    one, other = chosen(data, pinned, live), chosen(data, pinned, live)
    there = merged(merged(pinned, live, one), live, other & named_in(merged(pinned, live, one), live))
    back = merged(merged(pinned, live, other), live, one & named_in(merged(pinned, live, other), live))
    assert digest_of(there) == digest_of(back) == digest_of(merged(pinned, live, one | other))


@given(MANIFESTS, MANIFESTS, CHOICES)
def test_an_entry_that_is_not_named_never_changes(pinned: Manifest, live: Manifest, data: st.DataObject) -> None:
    names = chosen(data, pinned, live)
    approved = merged(pinned, live, names)
    assert {(change.kind, change.name) for change in drift(pinned, approved)} <= names
    assert not {(change.kind, change.name) for change in drift(approved, live)} & names
    kept = [tool for tool in pinned.tools if ("tool", tool["name"]) not in names]
    assert all(any(tool is one for one in approved.tools) for tool in kept)


@pytest.mark.parametrize(
    ("names", "tools"),
    [
        ({("tool", "new")}, ["gone", "new", "same"]),
        ({("tool", "gone")}, ["same"]),
        ({("tool", "gone"), ("tool", "new")}, ["new", "same"]),
    ],
)
def test_new_entries_come_and_gone_ones_go(names: set[Named], tools: list[str]) -> None:
    def of(*names: str) -> Manifest:
        return manifest(tools=tuple({"name": name} for name in names))

    approved = merged(of("gone", "same"), of("same", "new"), names)
    assert [tool["name"] for tool in approved.tools] == tools


@pytest.mark.parametrize("field", ["instructions", "capabilities", "server_info"])
def test_what_a_server_says_of_itself_is_taken_over_by_its_field(field: str) -> None:
    live = manifest(instructions="New.", capabilities={"prompts": {}}, server_info={"version": "2"})
    approved: Any = merged(manifest(), live, {(field, "")})
    assert [one.kind for one in drift(manifest(), approved)] == [field]


@pytest.mark.parametrize("entry", [("tool", "nothing"), ("tol", "t"), ("instructions", "x")])
def test_a_name_that_nobody_knows_is_refused(entry: Named) -> None:
    with pytest.raises(LookupError, match="There is no"):
        merged(manifest(tools=({"name": "t"},)), manifest(), [entry])
