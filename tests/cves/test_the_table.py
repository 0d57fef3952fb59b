"""The table of advisories, the tests that name them and the page of the manual agree."""

import pytest

from tests.cves import cases, page
from tests.cves.cases import CASES

TESTS = cases.tests_by_advisory()


@pytest.mark.parametrize("name", CASES)
def test_a_case_has_a_test_or_a_reason_to_wait(name: str) -> None:
    assert name in TESTS or CASES[name].waits


@pytest.mark.parametrize("name", CASES)
def test_a_case_says_what_holds_exactly_where_a_test_shows_it(name: str) -> None:
    assert bool(CASES[name].holds) == (name in TESTS)


def test_every_test_is_for_a_case() -> None:
    assert cases.unmarked_tests() == []
    assert set(TESTS) <= set(CASES)


def test_the_page_is_what_table_and_tests_say() -> None:
    """`python -m tests.cves.page` prints it anew."""
    assert page.PAGE.read_text(encoding="utf-8") == page.page()
