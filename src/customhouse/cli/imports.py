"""`customhouse import`: drafts of definitions from a registry's server.json or a client's configuration file."""

import os
import sys
from pathlib import Path

import click

from customhouse.cli.display import line
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.drafts import Draft, missing, write_drafts
from customhouse.config.imports import read_import
from customhouse.config.load import Loaded, load


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--print", "only_print", is_flag=True, help="Print the drafts and write nothing.")
@deployment_directory
@explained
def import_servers(file: Path, only_print: bool, directory: Path) -> None:
    """Write a draft of a definition for each server in FILE, and say what each still needs.

    FILE is a server.json or an answer of a registry, or the configuration of a client with `mcpServers` or `servers`. Nothing is run,
    no value of a variable or header is copied, no file is overwritten. A draft does not load, nor does the gateway start, until its
    blank fields are filled in.
    """
    loaded = load(directory, os.environ)
    servers = loaded.path(loaded.settings.servers_dir)
    imported = read_import(file, _taken(loaded, servers))
    if not only_print:
        write_drafts(servers, imported.drafts)
    for draft in imported.drafts:
        _tell(draft, loaded.settings.servers_dir, only_print)
    for refused in imported.refused:
        click.echo(line(f"refused: {refused.source}: {refused.sentence}"), err=True)
    if imported.refused:
        sys.exit(1)


def _taken(loaded: Loaded, servers: Path) -> frozenset[str]:
    """Names that mean something here: of servers with a file of any kind, and of portals."""
    files = servers.iterdir() if servers.is_dir() else ()
    return frozenset({"default", *loaded.settings.portals, *(path.name.partition(".")[0].lower() for path in files)})


def _tell(draft: Draft, servers_dir: str, only_print: bool) -> None:
    if only_print:
        click.echo(draft.text)
        return
    click.echo(line(f"{servers_dir}/{draft.file}: drafted from {draft.source}"))
    for note in draft.notes:
        click.echo(f"  note: {line(note)}")
    for finding in missing(draft, servers_dir):
        click.echo(f"  missing: {line(f'{finding.key}: {finding.problem} {finding.remedy}')}")
