"""Every requirement has a test or says what it waits for, and every test that names a requirement is in its row.

A test names a requirement in one way: a comment `# GW-nn` between its first decorator and its last line.
"""

import ast
import re
import tokenize
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from customhouse.core.protocol.revisions import ERA_OF
from tests.protocol.requirement import Requirement
from tests.protocol.requirements import LAST, REQUIREMENTS

TESTS = Path(__file__).parents[1]
LIMITS = TESTS.parent / "docs" / "manual" / "limits.md"
HERE = TESTS / "protocol"
NAME = re.compile(r"GW-\d+")
EVERY_REQUIREMENT = pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions_in(source: str) -> dict[str, range]:
    """The tests of a file and their lines, decorators included."""
    found = [node for node in ast.walk(ast.parse(source)) if isinstance(node, Function) and node.name.startswith("test_")]
    return {one.name: range(min([one.lineno, *(each.lineno for each in one.decorator_list)]), (one.end_lineno or 0) + 1) for one in found}


def named_in(source: str) -> Iterator[tuple[str, str]]:
    """Each requirement that a file names, and the test that names it; the line where no test does so in a comment."""
    functions = functions_in(source)
    for token in tokenize.generate_tokens(iter(source.splitlines(keepends=True)).__next__):
        for name in NAME.findall(token.string):
            owners = [function for function, lines in functions.items() if token.start[0] in lines and token.type == tokenize.COMMENT]
            yield name, owners[0] if owners else f"line {token.start[0]}"


@cache
def named_by_tests() -> frozenset[tuple[str, str]]:
    """Requirement and test, for all tests of all files."""
    files = [file for file in TESTS.rglob("*.py") if HERE not in file.parents]
    return frozenset((name, f"{file.relative_to(TESTS)}::{test}") for file in files for name, test in named_in(file.read_text("utf-8")))


@cache
def known_tests(file: str) -> frozenset[str]:
    path = TESTS / file
    return frozenset(functions_in(path.read_text("utf-8"))) if path.is_file() else frozenset()


def test_every_requirement_is_there_once_and_in_order() -> None:
    assert [requirement.name for requirement in REQUIREMENTS] == [f"GW-{number:02}" for number in range(1, LAST + 1)]


@EVERY_REQUIREMENT
def test_a_requirement_is_shown_or_waits(requirement: Requirement) -> None:
    assert bool(requirement.tests) != bool(requirement.waits_for)
    assert not (requirement.waits_for and requirement.lacks)


@EVERY_REQUIREMENT
def test_every_listed_test_is_there_once_and_names_its_requirement(requirement: Requirement) -> None:
    assert [test for test, times in Counter(requirement.tests).items() if times > 1] == []
    assert [test for test in requirement.tests if test.partition("::")[2] not in known_tests(test.partition("::")[0])] == []
    assert [test for test in requirement.tests if (requirement.name, test) not in named_by_tests()] == []


def test_every_test_that_names_a_requirement_is_in_its_row() -> None:
    listed = {(requirement.name, test) for requirement in REQUIREMENTS for test in requirement.tests}
    assert sorted(named_by_tests() - listed) == []


@EVERY_REQUIREMENT
def test_a_requirement_holds_for_revisions_that_exist_and_says_so_in_one_clause(requirement: Requirement) -> None:
    assert requirement.revisions
    assert set(requirement.revisions) <= set(ERA_OF)
    assert requirement.says
    assert requirement.clause


@EVERY_REQUIREMENT
def test_the_page_of_limits_says_what_a_requirement_waits_for(requirement: Requirement) -> None:
    page = " ".join(LIMITS.read_text("utf-8").split()).lower()
    assert (requirement.waits_for or requirement.lacks).lower() in page


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("def test_a():  # GW-01, GW-02\n    pass\n", {("GW-01", "test_a"), ("GW-02", "test_a")}),
        ("@mark(\n    1,  # GW-03\n)\nasync def test_a():\n    pass\n", {("GW-03", "test_a")}),
        ("def test_a():\n    pass  # GW-04\n", {("GW-04", "test_a")}),
        ("CASES = [1]  # GW-05\ndef test_a():\n    pass\n", {("GW-05", "line 1")}),
        ("def test_a():\n    'GW-06'\n", {("GW-06", "line 2")}),
        ("def helper():  # GW-07\n    pass\n", {("GW-07", "line 1")}),
        ("X = f'GW-08 {1}'\n", {("GW-08", "line 1")}),
    ],
)
def test_a_name_counts_in_a_comment_of_a_test_and_anywhere_else_is_a_mistake(source: str, named: set[tuple[str, str]]) -> None:
    assert set(named_in(source)) == named
