"""The commands about the keys that seal session ids and request states: `keys list` and `keys rotate`."""

import datetime
import os
import time
from pathlib import Path

import click

from customhouse.adapters.sealers.keyring import KEYS_FILE, SPREAD_SECONDS, Keyring, first_keyring, open_keyring, rotated, write_keyring
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import Loaded, load


@click.group()
def keys() -> None:
    """Look at the keys that seal what clients carry, and change them."""


@keys.command("list")
@deployment_directory
@explained
def list_keys(directory: Path) -> None:
    """Print the keys that open session ids and request states, newest first.

    The columns: id, when it was made (UTC), what it does. No secret is shown.
    """
    path, now = _file(load(directory, os.environ)), time.time()
    if not path.exists():
        click.echo("There are no keys yet; they are made at the first start.")
        return
    ring = open_keyring(path, now)
    for key in ring.keys:
        made = datetime.datetime.fromtimestamp(key.made_at, datetime.UTC)
        click.echo(f"{key.id}  {made:%Y-%m-%d %H:%M:%S}  {_role(ring, key.id, now)}")


@keys.command("rotate")
@click.option("--revoke", is_flag=True, help="Drop every old key at once, as after a leak: all sessions end, and calls that wait are lost.")
@deployment_directory
@explained
def rotate_keys(revoke: bool, directory: Path) -> None:
    """Make a new key. What old keys sealed stays good until it expires, except with --revoke.

    A running gateway takes the change up within a second; no restart is needed. The new key seals ten seconds from now, so that every
    process that shares the data directory knows it by then. Keys whose last session has expired are dropped.
    """
    loaded, now = load(directory, os.environ), time.time()
    path, longest = _file(loaded), max(loaded.settings.sessions.max_age_seconds, loaded.settings.bridges.answer_timeout_seconds)
    ring = open_keyring(path, now)
    after = first_keyring(now) if revoke else rotated(ring, now, longest)
    write_keyring(path, after)
    dropped = len({key.id for key in ring.keys} - {key.id for key in after.keys})
    begins = "at once" if revoke else f"in {SPREAD_SECONDS:.0f} s"
    click.echo(f"{after.keys[0].id} seals {begins}; {len(after.keys)} open; {dropped} dropped")


def _role(ring: Keyring, key_id: str, now: float) -> str:
    sealing = [key.id for key in ring.keys].index(ring.sealing(now).id)
    place = [key.id for key in ring.keys].index(key_id)
    return "seals and opens" if place == sealing else "opens" if place > sealing else "opens, seals soon"


def _file(loaded: Loaded) -> Path:
    return loaded.path(loaded.settings.data_dir) / KEYS_FILE
