"""The command that brings the database of the control plane to the tables of this version: `migrate`."""

import os
from pathlib import Path

import click

from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import load


@click.command()
@deployment_directory
@explained
def migrate(directory: Path) -> None:
    """Bring the database of the control plane up to this version.

    Run it after a backup and before the new version starts; the old version may go on running meanwhile. It changes everything or
    nothing, and a second time it has nothing to do. An empty deployment needs no migration: its database is made at the first start.
    """
    from customhouse.adapters.stores.sqlite import FILE_NAME, upgrade  # noqa: PLC0415 - 0.2 s that no other command has to wait for

    loaded = load(directory, os.environ)
    path = loaded.path(loaded.settings.data_dir) / FILE_NAME
    if not path.exists():
        click.echo("There is no database yet; it is made at the first start.")
        return
    before, after = upgrade(path)
    click.echo(f"{path}: " + (f"revision {after}, nothing to do" if before == after else f"from revision {before} to {after}"))
