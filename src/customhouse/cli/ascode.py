"""Servers as code: `customhouse plan`, `apply` and `drift`, and `customhouse registry export`, between a directory and the registry."""

import json
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from customhouse.cli import display
from customhouse.cli.failures import explained
from customhouse.cli.operatorsapi import Declined, OperatorsApi, version_path, with_api
from customhouse.cli.planning import Comparing, exit_code, plan_json, plan_text
from customhouse.cli.settings import deployment_directory
from customhouse.config.directory import Survey, survey
from customhouse.config.filedigests import FILE, FileDigests
from customhouse.config.load import Loaded, load
from customhouse.config.writing import write_directory
from customhouse.core.content import Content, read_content, stated
from customhouse.core.instants import day_of
from customhouse.core.plan import Change, Thing, What, differing
from customhouse.core.plan import plan as compared
from customhouse.core.review import Kind


@click.command("plan", cls=Comparing)
@deployment_directory
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON.")
@with_api
@explained
def plan(api: OperatorsApi, directory: Path, *, as_json: bool) -> None:
    """Show what would change if the files of a directory were served instead of what is served now.

    Exit code 0: nothing; 2: something; 1: the files or the API could not be read.
    """
    changes, _, _ = _compared(api, load(directory, os.environ))
    click.echo(plan_json(changes) if as_json else plan_text(changes, coloured=sys.stdout.isatty()))
    sys.exit(exit_code(changes))


@click.command("apply")
@deployment_directory
@click.option("--reason", default="", help="Why, for those who review it.")
@with_api
@explained
def apply(api: OperatorsApi, directory: Path, reason: str) -> None:
    """Propose what the files of a directory say and the registry does not serve. Nothing is served by this: people review it.

    A second time changes nothing. What is refused is named, and the rest is proposed; the exit code is 1 then. What is no
    longer in the directory is not ended; that is `registry retire`.
    """
    changes, found, _ = _compared(api, load(directory, os.environ))
    wanted = found.contents([(change.kind, change.name) for change in changes if change.what is not What.REMOVE])
    declined = 0
    for (kind, name), content in wanted.items():
        body = {"kind": kind.value, "name": name, "content": stated(content), "reason": reason}
        try:
            version = api.ask("POST", "/proposals", body)
        except Declined as refused:
            declined += 1
            click.echo(display.line(f"{kind.value} {name}: not proposed") + f"\n{refused}", err=True)
            continue
        missing = f", {version['missingReviews']} reviews missing" if version["missingReviews"] else ""
        click.echo(display.line(f"{kind.value} {name}: version {version['number']} is {version['state']}{missing}  {version['digest']}"))
    for change in changes:
        if change.what is What.REMOVE:
            click.echo(display.line(f"{change.kind.value} {change.name}: served, and not in the directory; `registry retire` ends it"))
    if not changes:
        click.echo("Nothing to propose.")
    if declined:
        sys.exit(1)


@click.command("drift", cls=Comparing)
@deployment_directory
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@with_api
@explained
def drift(api: OperatorsApi, directory: Path, *, as_json: bool) -> None:
    """Show how a directory differs from what is served, and how servers differ from their pins.

    Exit code 0: nothing differs; 2: something does; 1: the files or the API could not be read.
    """
    changes, _, _ = _compared(api, load(directory, os.environ))
    servers = [one for one in api.ask("GET", "/drift")["servers"] if one["changes"]]
    if as_json:
        click.echo(display.as_json({"directory": json.loads(plan_json(changes)), "servers": servers}))
    else:
        click.echo(plan_text(changes, coloured=sys.stdout.isatty()) if changes else "The directory says what is served.")
        for one in servers:
            for change in one["changes"]:
                verdict = "blocked until reviewed" if change["blocked"] else "still served as approved"
                click.echo(display.line(f"{one['server']}: {change['kind']} {change['name']}: {change['grade']} ({verdict})"))
    sys.exit(exit_code(changes) or (2 if servers else 0))


@click.command("export")
@deployment_directory
@click.option("--remove", is_flag=True, help="Remove the files of things that are not served.")
@with_api
@explained
def export_directory(api: OperatorsApi, directory: Path, *, remove: bool) -> None:
    """Write what is served into the files of a deployment directory. A file that says the same already is left as it is."""
    loaded = load(directory, os.environ)
    active = _active(api)
    contents = _contents(api, active, tuple(active))
    written = write_directory(contents, loaded.directory, loaded.settings, remove=remove)
    for file in written.written:
        click.echo(f"written {file}")
    for file in written.removed:
        click.echo(f"removed {file}")
    for file in written.left:
        click.echo(f"left    {file}: nothing of that name is served")
    if not written.written and not written.removed:
        click.echo("Nothing to write.")


def _compared(api: OperatorsApi, loaded: Loaded) -> tuple[tuple[Change, ...], Survey, Mapping[Thing, Content]]:
    """The plan of a directory against what is served; only what differs is read and fetched."""
    data = loaded.path(loaded.settings.data_dir)
    known = FileDigests(data / FILE if data.is_dir() else None)
    now = time.time()
    found = survey(loaded.directory, loaded.settings, known, now)
    known.save()
    active = _active(api)
    things = differing(found.digests, {thing: str(version["digest"]) for thing, version in active.items()})
    contents = _contents(api, active, things)
    today = day_of(now)
    return compared(found.contents(things), contents, today), found, contents


def _active(api: OperatorsApi) -> dict[Thing, Mapping[str, Any]]:
    versions = api.ask("GET", "/versions")["versions"]
    return {(Kind(one["kind"]), str(one["name"])): one for one in versions if one["state"] == "active"}


def _contents(api: OperatorsApi, active: Mapping[Thing, Mapping[str, Any]], things: tuple[Thing, ...]) -> dict[Thing, Content]:
    found: dict[Thing, Content] = {}
    for thing in things:
        if thing in active:
            kind, name = thing
            shown = api.ask("GET", version_path(kind.value, name, int(active[thing]["number"])))
            found[thing] = read_content(kind, shown["content"])
    return found
