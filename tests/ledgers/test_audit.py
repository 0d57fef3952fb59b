"""`audit tail` and `audit verify`, as an operator sees them."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.disk import Disk
from customhouse.adapters.ledgers.following import Follower
from customhouse.adapters.ledgers.journal import Journal
from customhouse.cli.audit import audit
from customhouse.core.record import Record
from tests.ledgers.writing import StepClock, drafts, opened, record

CALLS = (
    Record(kind="start", at=1_790_000_000.0),
    Record(kind="intent", at=1_790_000_001.0, call_id="a", tenant="acme", person="alice"),
    Record(
        kind="closing",
        at=1_790_000_002.25,
        call_id="a",
        endpoint="/mcp",
        method="tools/call",
        tenant="acme",
        person="alice",
        client="desk",
        server="notes",
        name="add_note",
        effect="write",
        decision="permit",
        outcome="answered",
        took_us=12_345,
    ),
    Record(kind="closing", at=1_790_000_003.0, tenant="zen", workload="ci-bot", decision="deny", outcome="NOT_PERMITTED"),
    Record(kind="closing", at=1e30, tenant="zen", person="eve\x1b[2J\x9b\x7f\u202e\n", name="x" * 200, outcome="unknown"),
)


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    journal = journal_in(tmp_path)
    for each in CALLS:
        journal.commit(drafts(each), durable=False)
    journal.close()
    return tmp_path


def journal_in(deployment: Path) -> Journal:
    ledger = deployment / "data" / "ledger"
    ledger.mkdir(parents=True, exist_ok=True)
    return Journal(ledger, segment_max_bytes=1_200, clock=StepClock(), disk=Disk())


def run(deployment: Path, *words: str) -> Result:
    return CliRunner().invoke(audit, [words[0], "--dir", str(deployment), *words[1:]])


def test_tail_prints_a_line_for_each_record_in_aligned_columns(deployment: Path) -> None:
    lines = run(deployment, "tail").stdout.splitlines()
    assert len(lines) == 5
    cells = lines[2].split("  ")
    assert [cell.strip() for cell in cells if cell.strip()] == [
        *(
            "2026-09-21 14:13:22.250",
            "alice",
            "desk",
            "acme",
            "/mcp",
            "tools/call",
            "notes/add_note",
            "write",
            "permit",
            "answered",
            "12.3 ms",
        )
    ]
    assert lines[0].split()[-2:] == ["start", "-"]
    assert lines[1].split()[-2:] == ["intent", "-"]
    assert "ci-bot" in lines[3]
    assert len({line.index(" acme ") if " acme " in line else line.index(" zen ") for line in lines[1:]}) == 1


@pytest.mark.parametrize("words", [("tail",), ("tail", "--json")])
def test_nothing_of_a_record_reaches_the_terminal_as_control(deployment: Path, words: tuple[str, ...]) -> None:
    said = run(deployment, *words).stdout
    assert all(character == "\n" or character.isprintable() for character in said)
    assert "eve" in said


def test_tail_json_says_what_was_recorded(deployment: Path) -> None:
    found = [json.loads(line) for line in run(deployment, "tail", "--json").stdout.splitlines()]
    assert [each["n"] for each in found] == [1, 2, 3, 4, 5]
    assert found[4]["record"]["person"] == CALLS[4].person
    assert len(found[0]["chain"]) == 64


@pytest.mark.parametrize(
    ("words", "sequence"),
    [
        (("-n", "2"), [4, 5]),
        (("-n", "4"), [2, 3, 4, 5]),
        (("--tenant", "acme"), [2, 3]),
        (("--outcome", "NOT_PERMITTED"), [4]),
        (("--tenant", "zen", "-n", "1"), [5]),
        (("--tenant", "nobody"), []),
    ],
)
def test_tail_chooses(deployment: Path, words: tuple[str, ...], sequence: list[int]) -> None:
    assert len(segment_paths(deployment / "data" / "ledger")) > 1
    found = run(deployment, "tail", "--json", *words)
    assert [json.loads(line)["n"] for line in found.stdout.splitlines()] == sequence
    assert found.exit_code == 0


def test_tail_counts_the_lines_it_cannot_read(deployment: Path) -> None:
    segment = segment_paths(deployment / "data" / "ledger")[0]
    segment.write_bytes(segment.read_bytes().replace(b'"leaf"', b'"lead"', 1))
    found = run(deployment, "tail")
    assert len(found.stdout.splitlines()) == 4
    assert "1 lines are not entries" in found.stderr


def test_a_follower_reads_on_over_segments_and_waits_for_whole_lines(deployment: Path) -> None:
    follower = Follower(deployment / "data" / "ledger")
    follower.last(1, lambda _: True)
    assert list(follower.more()) == []
    journal = journal_in(deployment)
    for call in range(8):
        journal.commit(drafts(record(call=call)), durable=False)
    journal.close()
    assert [seen.entry.sequence for seen in follower.more()] == [6, 7, 8, 9, 10, 11, 12, 13]
    last = segment_paths(deployment / "data" / "ledger")[-1]
    whole = last.read_bytes()
    journal = journal_in(deployment)
    journal.commit(drafts(record(call=9)), durable=False)
    journal.close()
    longer = segment_paths(deployment / "data" / "ledger")[-1]
    entire = longer.read_bytes()
    longer.write_bytes(entire[:-5])
    assert list(follower.more()) == []
    longer.write_bytes(entire)
    assert [seen.entry.sequence for seen in follower.more()] == [14]
    longer.write_bytes(whole if longer == last else entire)
    assert list(follower.more()) == []


def test_tail_follows_until_it_is_interrupted(deployment: Path) -> None:
    root = Path(__file__).parents[2]
    environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}", "CUSTOMHOUSE_DIR": str(deployment)}
    command = [sys.executable, "-c", "from customhouse.cli.audit import audit; audit()", "tail", "--follow", "--json", "-n", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stdout is not None
        watchdog = threading.Timer(20, process.kill)
        watchdog.start()
        assert json.loads(process.stdout.readline())["n"] == 5
        journal = journal_in(deployment)
        journal.commit(drafts(record(call=9)), durable=False)
        journal.close()
        assert json.loads(process.stdout.readline())["n"] == 6
        process.send_signal(signal.SIGINT)
        assert process.stdout.read() == ""
        watchdog.cancel()
    assert process.returncode == 0


def test_verify_prints_what_can_be_noted_down_and_handed_in_later(deployment: Path) -> None:
    found = run(deployment, "verify")
    assert found.exit_code == 0
    assert "5 entries" in found.stdout
    noted = next(line.split()[-1] for line in found.stdout.splitlines() if line.startswith("last entry"))
    assert noted.startswith("5:")
    assert run(deployment, "verify", "--expect", noted).exit_code == 0
    other = run(deployment, "verify", "--expect", "5:" + "0" * 64)
    assert other.exit_code == 1
    assert "does not have the expected chain hash" in other.stderr


def test_verify_names_file_and_offset_of_the_first_fault(deployment: Path) -> None:
    segment = segment_paths(deployment / "data" / "ledger")[0]
    whole = segment.read_bytes()
    segment.write_bytes(whole.replace(b"alice", b"mallo", 1))
    found = run(deployment, "verify")
    assert found.exit_code == 1
    offset = whole.index(b'{"n":2')
    assert f"FAULT {segment}, byte {offset}:" in found.stderr


def test_verify_reads_a_copy_with_archived_segments(deployment: Path, tmp_path: Path) -> None:
    ledger = deployment / "data" / "ledger"
    first, second, *_ = segment_paths(ledger)
    previous = json.loads(second.read_bytes().splitlines()[0])["segment"]["previous"]
    first.rename(tmp_path / "archived")
    assert CliRunner().invoke(audit, ["verify", "--ledger", str(ledger)]).exit_code == 1
    assert CliRunner().invoke(audit, ["verify", "--ledger", str(ledger), "--from", previous]).exit_code == 0


async def test_verify_says_that_an_entry_is_being_written_and_what_was_set_aside(tmp_path: Path) -> None:
    directory = tmp_path / "data" / "ledger"
    await opened(directory).close()
    with segment_paths(directory)[0].open("ab") as file:
        file.write(b"torn")
    ledger = opened(directory)
    with segment_paths(directory)[0].open("ab") as file:
        file.write(b'{"n":')
    found = run(tmp_path, "verify")
    assert found.exit_code == 0
    assert "in progress" in found.stdout
    assert "set aside after a crash: 00000000000000000001.seg.torn-" in found.stdout
    await ledger.close()


@pytest.mark.parametrize("words", [("tail",), ("verify",)])
def test_where_there_is_no_ledger_the_commands_say_so(tmp_path: Path, words: tuple[str, ...]) -> None:
    found = run(tmp_path, *words)
    assert found.exit_code == 1
    assert "There is no ledger in" in found.stderr


@pytest.mark.parametrize("words", [("--expect", "5"), ("--expect", "x:" + "0" * 64), ("--expect", "1:xyz"), ("--from", "abc")])
def test_verify_refuses_what_is_not_a_chain_hash(deployment: Path, words: tuple[str, ...]) -> None:
    assert run(deployment, "verify", *words).exit_code == 2
