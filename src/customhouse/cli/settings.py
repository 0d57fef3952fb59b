"""The commands that look at a deployment directory: `config explain` and `doctor`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from customhouse.cli.checkup import Verdict, examine
from customhouse.config.explain import Row, explain
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.load import load

deployment_directory = click.option(
    "--dir",
    "directory",
    envvar="CUSTOMHOUSE_DIR",
    default=".",
    show_default="the current directory",
    type=click.Path(path_type=Path),
    help="Deployment directory.  [env: CUSTOMHOUSE_DIR]",
)
"""The option that every command about a deployment takes."""


@click.group()
def config() -> None:
    """Look at the settings of a deployment."""


@config.command("explain")
@deployment_directory
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def explain_settings(directory: Path, as_json: bool) -> None:
    """Print every effective setting and where it comes from.

    A value comes from the environment (CUSTOMHOUSE_LISTEN__PORT=9000), from customhouse.yaml, or is a default.
    Secrets are references and are not resolved.
    """
    try:
        rows = explain(load(directory, os.environ))
    except ConfigurationInvalid as invalid:
        for finding in invalid.findings:
            click.echo(str(finding), err=True)
        sys.exit(1)
    if as_json:
        click.echo(msgspec.json.encode([row._asdict() for row in rows]).decode())
    elif sys.stdout.isatty():
        _print_table(rows)
    else:
        _print_columns(rows)


@click.command()
@deployment_directory
def doctor(directory: Path) -> None:
    """Check a deployment directory, one line per check; exit 1 if there is a problem.

    Looks at settings, definitions, pins, policies, the data directory, secrets (never shown), TLS files and the port.
    Nothing is changed, and no server is called.
    """
    problems = 0
    for check in examine(directory, os.environ):
        problems += check.verdict is Verdict.PROBLEM
        line = f"{check.verdict.value:<8}{check.subject}: {check.sentence} {check.remedy}".rstrip()
        click.echo(click.style(line, fg=_COLOURS[check.verdict]))
    sys.exit(1 if problems else 0)


_COLOURS = {Verdict.OK: None, Verdict.NOTE: "yellow", Verdict.PROBLEM: "red"}


def _print_table(rows: Sequence[Row]) -> None:
    table = Table("setting", "value", "comes from", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text(cell, overflow="fold") for cell in row))
    Console().print(table)


def _print_columns(rows: Sequence[Row]) -> None:
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for row in rows:
        click.echo(f"{row.key:<{widths[0]}}  {row.value:<{widths[1]}}  {row.origin}")
