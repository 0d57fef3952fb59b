"""What is installed is what was locked: one version, by the hashes of its files, from wherever an operator gets packages."""

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
EVERY_LOCK = pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)


def versions(lock: Path) -> dict[str, str]:
    """Package to version, as locked."""
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==([^ \\;]+)", lock.read_text(encoding="utf-8"), re.MULTILINE))


def entries(lock: Path) -> list[str]:
    """Each requirement with its hashes, as one line."""
    joined = lock.read_text(encoding="utf-8").replace("\\\n", " ")
    return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


@EVERY_LOCK
def test_every_package_has_one_version_and_the_hashes_of_its_files(lock: Path) -> None:
    assert [
        entry for entry in entries(lock) if not re.match(r"[a-z0-9._-]+(\[[a-z0-9,_-]+\])?==\S+ .*--hash=sha256:[0-9a-f]{64}", entry)
    ] == []


@EVERY_LOCK
def test_no_lock_says_where_packages_come_from(lock: Path) -> None:
    assert not re.search(r"https?://|--(extra-)?index-url|--find-links", lock.read_text(encoding="utf-8"))


def test_the_tests_run_against_the_versions_that_are_shipped() -> None:
    shipped = versions(ROOT / "requirements" / "run.txt")
    tested = versions(ROOT / "requirements" / "dev.txt")
    assert {name: tested.get(name) for name in shipped} == shipped


def test_every_dependency_of_the_package_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0] for line in project["dependencies"]}
    assert names <= set(versions(ROOT / "requirements" / "run.txt"))


def test_the_package_stays_within_its_budget_of_45_runtime_packages() -> None:
    assert len(versions(ROOT / "requirements" / "run.txt")) <= 45
