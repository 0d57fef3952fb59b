"""Names that look alike fold to the same text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.lookalike import duplicates, folded


@pytest.mark.parametrize(
    "twin",
    [
        "Name",
        "NAME",
        "name\0",
        "na\0me",
        "ｎａｍｅ",
        "na\u200bme",
        "na\u00adme",
        "\ufeffname",
        "name\ufe0f",
        "na\u034fme",
        "name\U000e0041",
        "\u202ename",
    ],
)
def test_a_name_in_another_case_form_or_with_unseen_characters_folds_to_it(twin: str) -> None:
    assert folded(twin) == folded("name") == "name"


@pytest.mark.parametrize(("one", "other"), [("name", "nam"), ("a_b", "a-b"), ("é", "e"), ("max_results", "max results")])
def test_names_that_read_differently_stay_different(one: str, other: str) -> None:
    assert folded(one) != folded(other)


def test_composed_and_decomposed_spellings_are_one_name() -> None:
    assert folded("caf\u00e9") == folded("cafe\u0301") == folded("CAFE\u200b\u0301")


@given(st.text())
def test_folding_twice_changes_nothing(name: str) -> None:
    assert folded(folded(name)) == folded(name)


@given(st.text(alphabet=st.characters(codec="ascii"), min_size=1))
def test_case_never_distinguishes_ascii_names(name: str) -> None:
    assert folded(name.upper()) == folded(name.lower())


@pytest.mark.parametrize(
    ("keys", "pair"),
    [
        (["a", "b"], None),
        (["name", "x", "Name"], ("name", "Name")),
        (["n\0", "m", "n"], ("n\0", "n")),
        (["a", "a"], ("a", "a")),
        ([], None),
    ],
)
def test_the_first_two_keys_that_look_alike_are_named(keys: list[str], pair: tuple[str, str] | None) -> None:
    assert duplicates(keys) == pair
