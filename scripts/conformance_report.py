"""The results of two runs of the official suite side by side, and what the second run loses.

The suite writes one `checks.json` per scenario; a scenario fails if one of its checks has the status FAILURE. The comparison is stricter
than the suite: a check that succeeds directly must succeed through the gateway too, and every one that does not stands by name, with
its status, in the list of known differences. An entry of that list that is no longer true is an error too, so the list may only shrink.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
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


def read_known(file: Path, key: str) -> frozenset[Difference] | None:
    """The known differences of a revision, and of a server where it is not the one of both eras: scenario to reason and checks.

    None where the list holds a sentence instead: why the two cannot be compared yet.
    """
    scenarios = (yaml.safe_load(file.read_bytes()) or {}).get(key) or {}
    if isinstance(scenarios, str):
        return None
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


def table(requirements: Requirements, direct: Run, through: Run, known: frozenset[Difference] | None) -> Iterator[str]:
    """Both runs, a scenario a line, the scored ones first."""
    lost = differences(direct, through)
    width = max(map(len, (*requirements.scored, *requirements.unscored, _TOTAL)))
    yield f"{'scenario':{width}}  direct      gateway"
    for scenario in (*requirements.scored, *requirements.unscored):
        of_scenario = {each for each in lost if each.scenario == scenario}
        note = _note(of_scenario, known) + ("" if scenario in requirements.scored else " (not scored)")
        yield f"{scenario:{width}}  {_cell(direct, scenario):10}  {_cell(through, scenario):10}  {note.strip()}".rstrip()
    yield f"{_TOTAL:{width}}  {score(requirements, direct):10}  {score(requirements, through)}"


def _note(lost: set[Difference], known: frozenset[Difference] | None) -> str:
    if known is not None and lost - known:
        return "LOST"
    return "known difference" if lost else ""


def _cell(run: Run, scenario: str) -> str:
    checks = run.get(scenario, {})
    succeeded = sum(status == SUCCESS for status in checks.values())
    failed = sum(status == FAILURE for status in checks.values())
    return f"{'pass' if passes(run, scenario) else 'FAIL'} {succeeded}/{succeeded + failed}" if checks else "absent"


def score(requirements: Requirements, run: Run) -> str:
    """How many of the scored scenarios pass."""
    return f"{sum(passes(run, scenario) for scenario in requirements.scored)}/{len(requirements.scored)}"


def squares(rows: Mapping[str, Mapping[str, str]], revisions: Sequence[str]) -> Iterator[str]:
    """All scores, a row for each way to a server, a column for each revision."""
    width = max(map(len, (*rows, _TOTAL)))
    yield f"{_TOTAL:{width}}  {'  '.join(revisions)}"
    for name, scores in rows.items():
        cells = "  ".join(f"{scores.get(revision, '-'):10}" for revision in revisions)
        yield f"{name:{width}}  {cells}".rstrip()


def proposed(file: Path, key: str, lost: frozenset[Difference]) -> Iterator[str]:
    """The part of the list that would hold now, with the reasons that it gives; a new difference has none yet."""
    listed = yaml.safe_load(file.read_bytes()) or {}
    entries = {} if isinstance(listed.get(key), str) else listed.get(key) or {}
    yield f'"{key}":'
    for scenario in sorted({each.scenario for each in lost}):
        reason = entries.get(scenario, {}).get("reason", "")
        yield f"  {scenario}:"
        yield f"    reason: {json.dumps(reason)}"
        yield "    checks:"
        yield from (f"      {each.check}: {each.status}" for each in _in_order(lost) if each.scenario == scenario)


def faults(requirements: Requirements, direct: Run, through: Run, known: frozenset[Difference] | None) -> Iterator[str]:
    """Everything that makes the comparison fail, a sentence each."""
    yield from broken(requirements, direct)
    lost = differences(direct, through)
    if known is None:
        if not lost:
            yield "The list says why this cannot be compared, and nothing is lost: take that out of the list."
        return
    for each in _in_order(lost - known):
        yield f"{each.scenario}: {each.check} is {each.status} through the gateway."
    for each in _in_order(known - lost):
        yield f"{each.scenario}: {each.check} is listed as {each.status}, which is no longer so: take it out of the list."


def broken(requirements: Requirements, direct: Run) -> Iterator[str]:
    """What says that the set-up is at fault, not the gateway."""
    for scenario in requirements.scored:
        if not passes(direct, scenario):
            yield f"{scenario} fails directly: the reference server or the suite is not what was locked."


def _in_order(entries: frozenset[Difference]) -> list[Difference]:
    return sorted(entries, key=lambda each: (each.scenario, each.check))
