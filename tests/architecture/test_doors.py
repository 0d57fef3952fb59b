"""Every library enters at its own door, and the core has the shortest list.

A list of what is forbidden misses a library that nobody thought of; a list of what is allowed does not.
"""

import re
import sys
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]

PURE_STANDARD_LIBRARY = {
    *("__future__", "base64", "binascii", "bisect", "collections", "dataclasses", "difflib", "enum", "functools", "hashlib", "hmac"),
    *("ipaddress", "itertools", "json", "math", "re", "types", "typing", "unicodedata"),
}
PURE_LIBRARIES = {"cedarpy", "jsonschema_rs", "msgspec", "rfc8785"}

SHELL = ("customhouse.edge.*", "customhouse.wiring", "customhouse.wiring_control", "customhouse.cli.*")
DOORS = {
    "alembic": ("customhouse.adapters.stores.*",),
    "cedarpy": ("customhouse.core.policy*", "customhouse.core.operators"),
    "click": ("customhouse.cli.*",),
    "cryptography": ("customhouse.adapters.verifiers.*", "customhouse.adapters.sealers.*"),
    "httpcore2": ("customhouse.adapters.verifiers.*",),
    "httptools": ("customhouse.wire.*", "customhouse.edge.*"),
    "httpx2": ("customhouse.adapters.verifiers.*", "customhouse.cli.call", "customhouse.cli.operatorsapi"),
    "joserfc": ("customhouse.adapters.verifiers.*",),
    "jsonschema_rs": ("customhouse.core.scanning", "customhouse.core.schemas"),
    "msgspec": ("customhouse.*",),
    "prometheus_client": ("customhouse.edge.*", "customhouse.adapters.telemetry.*"),
    "rfc8785": ("customhouse.core.*",),
    "rich": ("customhouse.cli.*",),
    "sqlalchemy": ("customhouse.adapters.stores.*",),
    "starlette": ("customhouse.edge.*", "customhouse.console.*"),
    "uvicorn": SHELL,
    "uvloop": SHELL,
    "yaml": ("customhouse.config.*",),
}
"""Library to the modules that may import it."""

COMES_WITH = {"httpcore2": "httpx2"}
"""A library that another one stands on, and whose types it shows: locked with it, not asked for by name."""

GRAPH = grimp.build_graph("customhouse", include_external_packages=True, cache_dir=None)
OURS = sorted({"customhouse"} | GRAPH.find_descendants("customhouse"))


def imported_by(module: str) -> set[str]:
    return {name for name in GRAPH.find_modules_directly_imported_by(module) if name not in OURS}


def may_import(module: str, library: str) -> bool:
    return any(fnmatchcase(module, door) or f"{module}.*" == door for door in DOORS.get(library, ()))


@pytest.mark.parametrize("module", [module for module in OURS if module.startswith("customhouse.core")])
def test_the_core_imports_only_what_cannot_act(module: str) -> None:
    assert imported_by(module) <= PURE_STANDARD_LIBRARY | PURE_LIBRARIES


@pytest.mark.parametrize("module", OURS)
def test_a_library_is_imported_only_at_its_door(module: str) -> None:
    libraries = imported_by(module) - sys.stdlib_module_names
    assert {library for library in libraries if not may_import(module, library)} == set()


def test_every_library_the_package_asks_for_has_a_door_and_every_door_a_library() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = {re.split(r"[<>=!~\[; ]", line, maxsplit=1)[0].replace("-", "_") for line in project["dependencies"]}
    declared = {"yaml" if name == "pyyaml" else name for name in names}
    assert declared == set(DOORS) - set(COMES_WITH)


@pytest.mark.parametrize("library", sorted(COMES_WITH))
def test_a_library_that_comes_with_another_is_locked(library: str) -> None:
    assert re.search(rf"^{library}==", (ROOT / "requirements" / "run.txt").read_text(encoding="utf-8"), re.MULTILINE)


def test_the_official_sdk_is_for_tests_alone() -> None:
    assert not any({"mcp", "fastmcp", "pydantic"} & imported_by(module) for module in OURS)
