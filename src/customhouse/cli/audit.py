"""The commands that read the ledger: `audit tail` and `audit verify`."""

import datetime
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import click

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.following import Follower, Seen
from customhouse.adapters.ledgers.verifying import Verification, verify
from customhouse.cli.display import line
from customhouse.cli.failures import explained
from customhouse.cli.settings import deployment_directory
from customhouse.config.load import load
from customhouse.core.record import Record

FOLLOW_PAUSE_SECONDS = 0.2

ledger_directory = click.option(
    "--ledger",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory of the segments, such as a copy; else the ledger of the deployment.",
)


def _chain_hash(_context: click.Context, _option: click.Parameter, text: str) -> str:
    if text and not _is_hash(text):
        raise click.BadParameter(f"{text!r} is not 64 hexadecimal digits")
    return text.lower()


def _expectations(_context: click.Context, _option: click.Parameter, texts: tuple[str, ...]) -> dict[int, str]:
    """Each is `SEQ:HASH`, as `audit verify` prints it."""
    return dict(_expectation(text) for text in texts)


def _expectation(text: str) -> tuple[int, str]:
    sequence, _, chain = text.partition(":")
    if not (sequence.isascii() and sequence.isdigit() and len(sequence) <= 20 and _is_hash(chain)):
        raise click.BadParameter(f"{text!r} is not a sequence number, a colon and 64 hexadecimal digits")
    return int(sequence), chain.lower()


def _is_hash(text: str) -> bool:
    return len(text) == 64 and all(digit in "0123456789abcdefABCDEF" for digit in text)


@click.group()
def audit() -> None:
    """Read the audit log and prove that nothing in it was changed."""


@audit.command()
@click.option("-n", "count", type=click.IntRange(min=1), default=20, show_default=True, help="How many records.")
@click.option("--follow", "-f", is_flag=True, help="Go on with what is written from now on.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.option("--tenant", help="Only records of this tenant.")
@click.option("--outcome", help="Only records with this outcome, such as answered or NOT_PERMITTED.")
@ledger_directory
@deployment_directory
@explained
def tail(count: int, follow: bool, as_json: bool, tenant: str | None, outcome: str | None, ledger: Path | None, directory: Path) -> None:
    """Print the last records, one line each.

    The columns: time (UTC), who, client, tenant, endpoint, method, server/name, class, decision, outcome, took. Where a record
    has no outcome, its kind stands there: intent, start, stop.
    """
    follower = Follower(_existing(ledger, directory))

    def wanted(record: Record) -> bool:
        return tenant in (None, record.tenant) and outcome in (None, record.outcome)

    show = _show_json if as_json else _Columns().show
    show(follower.last(count, wanted))
    if follow:
        _follow(follower, wanted, show)
    if follower.unreadable:
        click.echo(f"{follower.unreadable} lines are not entries: run `customhouse audit verify`.", err=True)
    sys.exit(0)


@audit.command("verify")
@click.option(
    "--from",
    "begin",
    metavar="HASH",
    callback=_chain_hash,
    default="",
    help="Chain hash before the first segment here, where older ones were archived.",
)
@click.option(
    "--expect",
    "expected",
    metavar="SEQ:HASH",
    callback=_expectations,
    multiple=True,
    help="An entry and the chain hash it had when it was noted down; repeatable.",
)
@ledger_directory
@deployment_directory
@explained
def verify_ledger(begin: str, expected: dict[int, str], ledger: Path | None, directory: Path) -> None:
    """Recompute every hash of the ledger; exit 1 at the first fault.

    Prints the last entry with its chain hash. Note it down where nobody can change it, and pass it later as --expect: that
    proves that nothing up to there was rewritten or cut off. Works while the gateway runs.
    """
    found = verify(_existing(ledger, directory), expected=expected, begin=begin)
    for text in _report(found):
        click.echo(text)
    if found.fault is not None:
        click.echo(click.style(f"FAULT {found.fault.path}, byte {found.fault.offset}: {line(found.fault.sentence)}.", fg="red"), err=True)
    sys.exit(0 if found.fault is None else 1)


def _existing(ledger: Path | None, directory: Path) -> Path:
    """The directory of the segments. Raises FileNotFoundError where there is none."""
    if ledger is None:
        loaded = load(directory, os.environ)
        ledger = loaded.path(loaded.settings.data_dir) / "ledger"
    if not ledger.is_dir() or not segment_paths(ledger):
        raise FileNotFoundError(f"There is no ledger in {ledger}.")
    return ledger


def _report(found: Verification) -> Iterable[str]:
    yield f"{found.entries} entries in {found.segments} segments {'verified' if found.fault is None else 'are right before the fault'}"
    if found.entries:
        yield f"from {_time(found.first_at)} to {_time(found.last_at)}"
        yield f"last entry {found.tip.sequence}:{found.tip.chain.hex()}"
    if found.in_progress:
        yield "in progress: the gateway is writing the next entry"
    for path in found.set_aside:
        yield f"set aside after a crash: {path.name}"


def _follow(follower: Follower, wanted: Callable[[Record], bool], show: Callable[[Sequence[Seen]], None]) -> None:
    """Until the operator interrupts."""
    try:
        while True:
            show([seen for seen in follower.more() if wanted(seen.record)])
            sys.stdout.flush()
            time.sleep(FOLLOW_PAUSE_SECONDS)
    except KeyboardInterrupt:
        return


def _show_json(batch: Sequence[Seen]) -> None:
    for seen in batch:
        whole = {"n": seen.entry.sequence, "chain": seen.entry.chain, "record": json.loads(seen.entry.body)}
        click.echo(json.dumps(whole).replace("\x7f", "\\u007f"))


def _time(at: float) -> str:
    try:
        return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
    except (ValueError, OverflowError, OSError):
        return str(at)


def _target(record: Record) -> str:
    return "/".join(part for part in (record.server, record.name) if part)


def _took(record: Record) -> str:
    return f"{record.took_us / 1000:.1f} ms" if record.took_us else ""


_COLUMNS: tuple[tuple[str, Callable[[Record], str]], ...] = (
    ("time", lambda record: _time(record.at)),
    ("who", lambda record: record.person or record.workload),
    ("client", lambda record: record.client),
    ("tenant", lambda record: record.tenant),
    ("endpoint", lambda record: record.endpoint),
    ("method", lambda record: record.method),
    ("server/name", _target),
    ("class", lambda record: record.effect),
    ("decision", lambda record: record.decision),
    ("outcome", lambda record: record.outcome or record.kind),
    ("took", _took),
)
_WIDEST_CHARACTERS = 48


class _Columns:
    """Aligned lines; a column grows with what it has to show. Headings and colours are for a terminal."""

    def __init__(self) -> None:
        self._widths = [len(heading) for heading, _ in _COLUMNS]
        self._heading_is_due = sys.stdout.isatty()

    def show(self, batch: Sequence[Seen]) -> None:
        rows = [[_cell(cell(seen.record)) for _, cell in _COLUMNS] for seen in batch]
        self._widths = [max(width, *(len(row[at]) for row in rows)) if rows else width for at, width in enumerate(self._widths)]
        if self._heading_is_due:
            self._heading_is_due = False
            click.echo(click.style(self._aligned([heading for heading, _ in _COLUMNS]), bold=True))
        for seen, row in zip(batch, rows, strict=True):
            click.echo(click.style(self._aligned(row), fg=_colour(seen.record)))

    def _aligned(self, row: Sequence[str]) -> str:
        return "  ".join(text.ljust(width) for text, width in zip(row, self._widths, strict=True)).rstrip()


def _cell(text: str) -> str:
    """One safe word group, never empty, so that columns can be counted."""
    safe = line(text)
    return (safe if len(safe) <= _WIDEST_CHARACTERS else safe[: _WIDEST_CHARACTERS - 1] + "…") or "-"


def _colour(record: Record) -> str | None:
    if record.outcome == "unknown" or record.outcome == "tool_error":
        return "yellow"
    return "red" if record.outcome.isupper() else None
