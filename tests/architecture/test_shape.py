"""How the source is cut: names that say something, files that hold one concept, imports at the top."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "customhouse"
MODULES = sorted(SOURCE.rglob("*.py"))
LONGEST = 600
SAYS_NOTHING = {"manager", "service", "handler", "util", "utils", "base", "common", "misc", "helper", "helpers"}

EVERY_MODULE = pytest.mark.parametrize("module", MODULES, ids=lambda module: str(module.relative_to(SOURCE)))


def parsed(module: Path) -> ast.Module:
    return ast.parse(module.read_text(encoding="utf-8"))


@EVERY_MODULE
def test_the_name_of_a_module_says_something(module: Path) -> None:
    words = {word for part in module.relative_to(SOURCE).with_suffix("").parts for word in part.split("_")}
    assert not words & SAYS_NOTHING


@EVERY_MODULE
def test_a_module_stays_short_enough_to_be_one_concept(module: Path) -> None:
    assert len(module.read_text(encoding="utf-8").splitlines()) <= LONGEST


@EVERY_MODULE
def test_a_module_opens_with_its_purpose_in_a_sentence(module: Path) -> None:
    first = (ast.get_docstring(parsed(module)) or "").split("\n\n")[0]
    assert first.endswith((".", ":", "?")), first


@EVERY_MODULE
def test_nothing_takes_a_caller_that_may_be_absent_outside_the_verifier(module: Path) -> None:
    """Absence is never privilege. The verifier's `known` is the one place that answers that it does not know."""
    for function in ast.walk(parsed(module)):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            arguments = [*function.args.posonlyargs, *function.args.args, *function.args.kwonlyargs]
            annotations = [ast.unparse(argument.annotation) for argument in arguments if argument.annotation]
            assert not [text for text in annotations if re.search(r"\bCaller \| None|None \| Caller\b|Optional\[Caller\]", text)]


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {module.parent for module in MODULES}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


@pytest.mark.parametrize("script", ["scripts/check", "scripts/debian", "scripts/docs", "scripts/lock", ".ci/run"])
def test_a_script_of_the_shell_stops_at_what_it_did_not_expect(script: str) -> None:
    text = (ROOT / script).read_text(encoding="utf-8")
    assert text.startswith("#!/usr/bin/env bash\n")
    assert re.search(r"^set -e?uo pipefail$", text, re.MULTILINE)
    assert (ROOT / script).stat().st_mode & 0o111
