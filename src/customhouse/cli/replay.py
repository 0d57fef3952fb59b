"""`customhouse policy replay`: recorded calls under other policies, before those are put in place."""

import collections
import dataclasses
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click
import msgspec

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.following import Follower
from customhouse.cli import display
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.grants import read_grants
from customhouse.config.load import load
from customhouse.core.instants import moment_text, read_moment
from customhouse.core.policyreplay import Replayed, is_decided, replayed
from customhouse.core.record import Record
from customhouse.wiring import governing, read_policy, read_sources

_DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False)


def moment_option(_context: click.Context, _option: click.Parameter, text: str) -> float:
    """Unix seconds of a day or a moment in an option; 0 where it was not given."""
    try:
        return float(read_moment(text)) if text else 0.0
    except ValueError as unreadable:
        raise click.BadParameter(f"{text!r} is neither a day like 2027-01-31 nor a moment like 2027-01-31T18:00:00Z") from unreadable


@click.command("replay")
@click.option("--under", required=True, type=_DIRECTORY, help="Directory of the other policies.")
@click.option("--grants", type=_DIRECTORY, help="Directory of other grants; else those of the deployment.")
@click.option("--since", metavar="WHEN", default="", callback=moment_option, help="Only calls from this day (UTC) or moment on.")
@click.option(
    "--ledger",
    type=_DIRECTORY,
    help="Directory of the segments, such as a copy; else the ledger of the deployment.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@deployment_directory
@explained
def replay_calls(under: Path, grants: Path | None, since: float, ledger: Path | None, as_json: bool, directory: Path) -> None:
    """Decide recorded calls under other policies, and list those that would end otherwise; exit 1 if there are any.

    Arguments and scopes are not kept: calls whose decision rests on them are counted as not replayable. Servers, pins and classes
    are those of the deployment now.
    """
    deployment = governing(load(directory, os.environ))
    other = deployment.grants
    if grants is not None:
        portals = {name: portal.servers for name, portal in deployment.loaded.portals.items()}
        other = read_grants(grants.absolute().parent, grants.name, portals)
    policy = read_policy(dataclasses.replace(deployment, policies=read_sources(under), grants=other))
    counted: collections.Counter[str] = collections.Counter()
    rows = []
    for record in _records(ledger or deployment.loaded.path(deployment.settings.data_dir) / "ledger"):
        if not is_decided(record) or record.at < since:
            continue
        result = replayed(policy, record)
        counted[result.why or ("different" if result.differs else "same")] += 1
        if result.differs and as_json:
            rows.append(_row(record, result))
        elif result.differs:
            click.echo(display.line(_told(record, result)))
    if as_json:
        click.echo(display.as_json({"counted": counted, "different": rows}))
    else:
        for text in _summary(counted):
            click.echo(text)
    sys.exit(1 if counted["different"] else 0)


def _records(ledger: Path) -> Iterator[Record]:
    if not segment_paths(ledger):
        raise FileNotFoundError(f"There is no ledger in {ledger}.")
    follower = Follower(ledger)
    yield from (seen.record for seen in follower.more())
    if follower.unreadable:
        click.echo(f"{follower.unreadable} lines are not entries: run `customhouse audit verify`.", err=True)


def _row(record: Record, result: Replayed) -> dict[str, Any]:
    who = {"tenant": record.tenant, "person": record.person, "workload": record.workload, "client": record.client}
    what = {"server": record.server, "name": record.name, "was_by": record.reasons}
    return {"call_id": record.call_id, "at": moment_text(record.at), **who, **what, **msgspec.to_builtins(result)}


def _told(record: Record, result: Replayed) -> str:
    who = f"{record.tenant}/{record.person or record.workload}"
    rules = f"by {', '.join(result.rules)}" if result.rules else "by no rule"
    return f"{record.call_id}  {moment_text(record.at)}  {who}  {record.server}/{record.name}  {result.was} -> {result.would_be} {rules}"


def _summary(counted: Mapping[str, int]) -> Iterator[str]:
    whys = {why: count for why, count in sorted(counted.items()) if why not in ("same", "different")}
    calls, same, different = sum(counted.values()), counted.get("same", 0), counted.get("different", 0)
    yield f"{calls} decided calls: {same} the same, {different} different, {sum(whys.values())} not replayable."
    yield from (f"  {count} not replayable: {why}." for why, count in whys.items())
