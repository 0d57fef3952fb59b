"""The results of two runs of the official suite side by side, and what the second run loses.

The suite writes one `checks.json` per scenario; a scenario fails if one of its checks has the status FAILURE. The comparison is stricter
than the suite: a check that succeeds directly must succeed through the gateway too, and every one that does not stands by name, with
its status, in the list of known differences. An entry of that list that is no longer true is an error too, so the list may only shrink.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

SUCCESS, FAILURE, ABSENT = "success", "failure", "absent"
_SEVERITY = {word: rank for rank, word in enumerate((SUCCESS, "info", "skipped", "warning", FAILURE))}
_TOTAL = "scored scenarios that pass"
_FOLDER = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")

Checks = Mapping[str, str]
"""Status by check id; of an id that comes several times the worst."""

Run = Mapping[str, Checks]
"""Checks by scenario."""


@dataclass(frozen=True)
class Requirements:
    """What a revision asks of a server, as the suite froze it."""

    scored: tuple[str, ...]
    unscored: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A check that succeeds directly and has another status through the gateway."""

    scenario: str
    check: str
    status: str


def read_run(folder: Path) -> Run:
    """The results that the suite wrote into a folder."""
    run: dict[str, Checks] = {}
    for results in sorted(folder.glob("*/checks.json")):
        if match := _FOLDER.fullmatch(results.parent.name):
            run[match["scenario"]] = _worst(json.loads(results.read_bytes()))
    return run


def _worst(checks: list[dict[str, object]]) -> Checks:
    worst: dict[str, str] = {}
    for check in checks:
        name, status = str(check["id"]), str(check["status"]).lower()
        worst[name] = max(status, worst.get(name, SUCCESS), key=_SEVERITY.__getitem__)
    return worst


def read_requirements(file: Path) -> Requirements:
    """A requirement set of the suite."""
    document = yaml.safe_load(file.read_bytes())
    unscored = tuple(entry["scenario"] for entry in document["not_scored"] if entry["leg"] == "server")
    return Requirements(tuple(document["server"]), unscored)


def read_known(file: Path, revision: str) -> frozenset[Difference]:
    """The known differences of a revision: scenario to reason and checks."""
    scenarios = (yaml.safe_load(file.read_bytes()) or {}).get(revision) or {}
    return frozenset(
        Difference(scenario, check, status) for scenario, entry in scenarios.items() for check, status in entry["checks"].items()
    )


def differences(direct: Run, through: Run) -> frozenset[Difference]:
    """What succeeds directly and does not through the gateway."""
    return frozenset(_differences(direct, through))


def _differences(direct: Run, through: Run) -> Iterator[Difference]:
    for scenario, checks in direct.items():
        for check, status in checks.items():
            other = through.get(scenario, {}).get(check, ABSENT)
            if status == SUCCESS and other != SUCCESS:
                yield Difference(scenario, check, other)


def passes(run: Run, scenario: str) -> bool:
    """Whether a scenario ran and none of its checks failed: the suite's own rule."""
    return bool(run.get(scenario)) and FAILURE not in run[scenario].values()


def table(requirements: Requirements, direct: Run, through: Run, known: frozenset[Difference]) -> Iterator[str]:
    """Both runs, a scenario a line, the scored ones first."""
    lost = differences(direct, through)
    width = max(map(len, (*requirements.scored, *requirements.unscored, _TOTAL)))
    yield f"{'scenario':{width}}  direct      gateway"
    for scenario in (*requirements.scored, *requirements.unscored):
        of_scenario = {each for each in lost if each.scenario == scenario}
        note = _note(of_scenario, known) + ("" if scenario in requirements.scored else " (not scored)")
        yield f"{scenario:{width}}  {_cell(direct, scenario):10}  {_cell(through, scenario):10}  {note.strip()}".rstrip()
    yield f"{_TOTAL:{width}}  {_score(requirements, direct):10}  {_score(requirements, through)}"


def _note(lost: set[Difference], known: frozenset[Difference]) -> str:
    if lost - known:
        return "LOST"
    return "known difference" if lost else ""


def _cell(run: Run, scenario: str) -> str:
    checks = run.get(scenario, {})
    succeeded = sum(status == SUCCESS for status in checks.values())
    failed = sum(status == FAILURE for status in checks.values())
    return f"{'pass' if passes(run, scenario) else 'FAIL'} {succeeded}/{succeeded + failed}" if checks else "absent"


def _score(requirements: Requirements, run: Run) -> str:
    return f"{sum(passes(run, scenario) for scenario in requirements.scored)}/{len(requirements.scored)}"


def faults(requirements: Requirements, direct: Run, through: Run, known: frozenset[Difference]) -> Iterator[str]:
    """Everything that makes the comparison fail, a sentence each."""
    for scenario in requirements.scored:
        if not passes(direct, scenario):
            yield f"{scenario} fails directly: the reference server or the suite is not what was locked."
    lost = differences(direct, through)
    for each in _in_order(lost - known):
        yield f"{each.scenario}: {each.check} is {each.status} through the gateway."
    for each in _in_order(known - lost):
        yield f"{each.scenario}: {each.check} is listed as {each.status}, which is no longer so: take it out of the list."


def _in_order(entries: frozenset[Difference]) -> list[Difference]:
    return sorted(entries, key=lambda each: (each.scenario, each.check))
