"""The table of requirements names tests that are there."""

import ast
from pathlib import Path

import pytest

from customhouse.core.protocol.revisions import ERA_OF
from tests.protocol.requirements import REQUIREMENTS, Requirement

TESTS = Path(__file__).parents[1]
EVERY_REQUIREMENT = pytest.mark.parametrize("requirement", REQUIREMENTS, ids=lambda requirement: requirement.name)


def functions_in(file: str) -> set[str]:
    module = ast.parse((TESTS / file).read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(module) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@EVERY_REQUIREMENT
def test_every_named_test_is_there(requirement: Requirement) -> None:
    named = [test.split("::") for test in requirement.tests]
    assert named
    assert [f"{file}::{function}" for file, function in named if function not in functions_in(file)] == []


@EVERY_REQUIREMENT
def test_a_requirement_holds_for_revisions_that_exist(requirement: Requirement) -> None:
    assert requirement.revisions
    assert set(requirement.revisions) <= set(ERA_OF)


def test_a_requirement_stands_once_and_in_order() -> None:
    numbers = [int(requirement.name.removeprefix("GW-")) for requirement in REQUIREMENTS]
    assert numbers == sorted(set(numbers))
