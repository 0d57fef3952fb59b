"""The contracts of the rings hold, and they cover the whole package."""

import tomllib
from pathlib import Path

from importlinter import api

ROOT = Path(__file__).parents[2]
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]
}


def test_the_order_of_the_rings_leaves_nothing_out() -> None:
    assert CONTRACTS["rings"]["exhaustive"] is True
    assert "exhaustive_ignores" not in CONTRACTS["rings"]


def test_no_contract_has_an_exception() -> None:
    assert [name for name, contract in CONTRACTS.items() if "ignore_imports" in contract] == []


def test_the_configuration_of_the_contracts_is_readable() -> None:
    configuration = api.read_configuration(str(ROOT / "pyproject.toml"))
    assert len(configuration["contracts_options"]) == len(CONTRACTS)
