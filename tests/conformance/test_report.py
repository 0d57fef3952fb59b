"""Two runs of the suite side by side: what is lost is named, and the list of known differences only shrinks."""

import json
from pathlib import Path

import pytest
import yaml

from scripts.conformance_report import (
    Difference,
    Requirements,
    Run,
    differences,
    faults,
    passes,
    proposed,
    read_known,
    read_requirements,
    read_run,
    squares,
    table,
)
from scripts.conformance_run import KNOWN, REFERENCES, REVISIONS

ASKED = Requirements(scored=("ping", "tools"), unscored=("extra",))
DIRECT: Run = {"ping": {"ping": "success", "wire": "success"}, "tools": {"tools": "success"}, "extra": {"a": "success", "b": "failure"}}


def through(**scenarios: dict[str, str]) -> Run:
    return {**DIRECT, **scenarios}


def test_equal_runs_have_no_differences_and_no_faults() -> None:
    assert differences(DIRECT, DIRECT) == frozenset()
    assert list(faults(ASKED, DIRECT, DIRECT, frozenset())) == []


@pytest.mark.parametrize("status", ["failure", "warning", "skipped", "info"])
def test_a_check_that_no_longer_succeeds_is_lost_whatever_it_is_called(status: str) -> None:
    lost = through(tools={"tools": status})
    assert list(faults(ASKED, DIRECT, lost, frozenset())) == [f"tools: tools is {status} through the gateway."]
    assert list(faults(ASKED, DIRECT, lost, frozenset({Difference("tools", "tools", status)}))) == []


def test_a_check_that_never_ran_is_lost_too() -> None:
    assert differences(DIRECT, through(tools={})) == {Difference("tools", "tools", "absent")}
    assert differences(DIRECT, {"ping": DIRECT["ping"], "extra": DIRECT["extra"]}) == {Difference("tools", "tools", "absent")}


def test_what_fails_directly_is_not_asked_of_the_gateway() -> None:
    assert differences(DIRECT, through(extra={"a": "success", "b": "success"})) == frozenset()


def test_an_entry_that_is_no_longer_true_is_a_fault() -> None:
    known = frozenset({Difference("tools", "tools", "failure")})
    assert list(faults(ASKED, DIRECT, DIRECT, known)) == [
        "tools: tools is listed as failure, which is no longer so: take it out of the list."
    ]


def test_an_entry_with_another_status_is_a_fault_on_both_sides() -> None:
    known = frozenset({Difference("tools", "tools", "warning")})
    assert len(list(faults(ASKED, DIRECT, through(tools={"tools": "failure"}), known))) == 2


def test_a_scored_scenario_that_fails_directly_is_a_fault_of_the_set_up() -> None:
    broken = through(ping={"ping": "failure"})
    assert next(faults(ASKED, broken, broken, frozenset())).startswith("ping fails directly")


@pytest.mark.parametrize(
    ("checks", "passing"),
    [({"a": "success"}, True), ({"a": "warning", "b": "skipped"}, True), ({"a": "success", "b": "failure"}, False), ({}, False)],
)
def test_a_scenario_passes_by_the_rule_of_the_suite(checks: dict[str, str], *, passing: bool) -> None:
    assert passes({"one": checks}, "one") is passing


def test_the_table_shows_both_runs_and_what_is_lost() -> None:
    lost = through(ping={"ping": "failure", "wire": "success"}, extra={})
    known = frozenset({Difference("ping", "ping", "failure")})
    assert list(table(ASKED, DIRECT, lost, known)) == [
        "scenario                    direct      gateway",
        "ping                        pass 2/2    FAIL 1/2    known difference",
        "tools                       pass 1/1    pass 1/1",
        "extra                       FAIL 1/2    absent      LOST (not scored)",
        "scored scenarios that pass  2/2         1/2",
    ]


def test_results_are_read_from_the_folders_of_the_suite(tmp_path: Path) -> None:
    results = tmp_path / "server-dns-rebinding-protection-2026-11-22T23-31-37-473Z"
    results.mkdir()
    checks = [
        {"id": "a", "status": "SUCCESS"},
        {"id": "a", "status": "FAILURE"},
        {"id": "a", "status": "INFO"},
        {"id": "b", "status": "SKIPPED"},
    ]
    (results / "checks.json").write_text(json.dumps(checks))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "checks.json").write_text("[]")
    assert read_run(tmp_path) == {"dns-rebinding-protection": {"a": "failure", "b": "skipped"}}


def test_requirements_are_those_of_a_server(tmp_path: Path) -> None:
    file = tmp_path / "set.yaml"
    file.write_text("server: [ping]\nclient: [init]\nnot_scored:\n- {scenario: x, leg: server}\n- {scenario: y, leg: client}\n")
    assert read_requirements(file) == Requirements(("ping",), ("x",))


@pytest.mark.parametrize("key", [each.known_as(revision) for each in REFERENCES for revision in REVISIONS])
def test_every_known_difference_has_a_reason_and_a_status(key: str) -> None:
    entries = yaml.safe_load(KNOWN.read_bytes()).get(key, {})
    known = read_known(KNOWN, key)
    if known is None:
        assert entries.endswith(".")
        return
    assert all(entry["reason"].endswith(".") and entry["checks"] for entry in entries.values())
    assert {each.status for each in known} <= {"failure", "warning", "skipped", "info", "absent"}


def test_what_cannot_be_compared_yet_is_no_fault_until_nothing_is_lost() -> None:
    assert list(faults(ASKED, DIRECT, through(tools={}), None)) == []
    assert len(list(faults(ASKED, DIRECT, DIRECT, None))) == 1


def test_the_proposed_list_is_what_is_read_back_with_the_reasons_that_were_given(tmp_path: Path) -> None:
    file, lost = tmp_path / "known.yaml", differences(DIRECT, through(ping={"wire": "success"}, tools={}))
    file.write_text('"2025-11-25": {ping: {reason: "Not yet.", checks: {ping: failure}}}\n')
    file.write_text("\n".join(proposed(file, "2025-11-25", lost)))
    assert read_known(file, "2025-11-25") == lost
    entries = yaml.safe_load(file.read_bytes())["2025-11-25"]
    assert {scenario: entry["reason"] for scenario, entry in entries.items()} == {"ping": "Not yet.", "tools": ""}


def test_the_scores_stand_in_a_row_for_each_way_and_a_column_for_each_revision() -> None:
    rows = {"directly": {"2025-11-25": "30/30", "2026-07-28": "37/37"}, "one": {"2026-07-28": "9/37"}}
    assert list(squares(rows, REVISIONS)) == [
        "scored scenarios that pass  2025-11-25  2026-07-28",
        "directly                    30/30       37/37",
        "one                         -           9/37",
    ]


def test_a_revision_that_is_not_listed_has_no_known_differences(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("")
    assert read_known(tmp_path / "empty.yaml", "2026-07-28") == frozenset()
