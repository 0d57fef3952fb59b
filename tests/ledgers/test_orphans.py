"""An intent without a closing record is closed as `unknown` at the next start, wherever it was written."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from customhouse.adapters.ledgers.directory import segment_paths
from customhouse.adapters.ledgers.verifying import verify
from customhouse.core.record import Record
from tests.ledgers.writing import opened, record, records_in

ENDS_WITHOUT_STOP = """
    import asyncio, os, pathlib, sys
    from tests.ledgers.writing import opened, record

    async def main():
        ledger = opened(pathlib.Path(sys.argv[1]), segment_max_bytes=int(sys.argv[2]))
        await ledger.append(record("intent", 1, person="alice", server="notes", name="add_note"), durable=True)
        await ledger.append(record("intent", 2, person="bob"), durable=True)
        for call in range(100, 130):
            await ledger.append(record("closing", call), durable=False)
        await ledger.append(record("closing", 2, person="bob"), durable=False)
        os._exit(0)

    asyncio.run(main())
"""


def end_without_stop(directory: Path, segment_max_bytes: int) -> None:
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(ENDS_WITHOUT_STOP), str(directory), str(segment_max_bytes)], check=True, env=here()
    )


def here() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{root / 'src'}:{root}"}


@pytest.mark.parametrize("segment_max_bytes", [1_000_000, 3_000])
async def test_an_orphan_intent_is_closed_as_unknown_at_the_next_start(tmp_path: Path, segment_max_bytes: int) -> None:
    end_without_stop(tmp_path, segment_max_bytes)
    before = len(records_in(tmp_path))
    assert (len(segment_paths(tmp_path)) > 2) == (segment_max_bytes < 10_000)
    ledger = opened(tmp_path)
    await ledger.close()
    start, closing, stop = records_in(tmp_path)[before:]
    assert (start.kind, stop.kind) == ("start", "stop")
    assert (closing.kind, closing.call_id, closing.outcome) == ("closing", f"{1:032x}", "unknown")
    assert (closing.person, closing.server, closing.name) == ("alice", "notes", "add_note")
    assert ledger.recovered.orphans == (f"{1:032x}",)


async def test_an_orphan_is_closed_once(tmp_path: Path) -> None:
    end_without_stop(tmp_path, 3_000)
    await opened(tmp_path).close()
    ledger = opened(tmp_path)
    await ledger.close()
    assert ledger.recovered.orphans == ()
    assert sum(each.outcome == "unknown" for each in records_in(tmp_path)) == 1


async def test_an_intent_with_long_strings_crosses_segments_shortened(tmp_path: Path) -> None:
    ledger = opened(tmp_path, segment_max_bytes=5_000)
    await ledger.append(record("intent", 1, name="n" * 3_000), durable=True)
    for call in range(100, 120):
        await ledger.append(record("closing", call), durable=False)
    await ledger.close()
    reopened = opened(tmp_path)
    await reopened.close()
    orphan: Record = next(each for each in records_in(tmp_path) if each.outcome == "unknown")
    assert orphan.name.startswith("nnn")
    assert len(orphan.name) == 200


WRITES_UNTIL_KILLED = """
    import asyncio, pathlib, sys
    from tests.ledgers.writing import opened, record

    async def write(ledger, worker):
        for turn in range(1_000_000):
            call = worker * 1_000_000 + turn
            await ledger.append(record("intent", call), durable=True)
            print("intent", call)
            await ledger.append(record("closing", call, outcome="answered"), durable=False)
            print("closing", call)

    async def main():
        ledger = opened(pathlib.Path(sys.argv[1]), segment_max_bytes=30_000)
        await asyncio.gather(*(write(ledger, worker) for worker in range(8)))

    sys.stdout.reconfigure(line_buffering=True)
    asyncio.run(main())
"""
ROUNDS = 20


async def test_no_kill_loses_what_was_acknowledged_and_every_intent_is_closed(tmp_path: Path) -> None:
    """Twenty kills of a process under eight-way load, all on one ledger."""
    acknowledged: set[tuple[str, str]] = set()
    for turn in range(ROUNDS):
        acknowledged |= await asyncio.to_thread(killed_while_writing, tmp_path, 20 + 37 * turn % 400)
    await opened(tmp_path).close()
    found = verify(tmp_path)
    assert found.fault is None
    written = records_in(tmp_path)
    assert acknowledged <= {(each.kind, each.call_id) for each in written}
    intents = sorted(each.call_id for each in written if each.kind == "intent")
    assert intents == sorted(each.call_id for each in written if each.kind == "closing")


def killed_while_writing(directory: Path, after_lines: int) -> set[tuple[str, str]]:
    """What the process was told is written, up to the line after which it is killed and what was on its way."""
    script = textwrap.dedent(WRITES_UNTIL_KILLED)
    with subprocess.Popen([sys.executable, "-c", script, str(directory)], stdout=subprocess.PIPE, text=True, env=here()) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(after_lines)]
        process.send_signal(signal.SIGKILL)
        lines += process.stdout.readlines()
    assert process.returncode == -signal.SIGKILL
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {(kind, f"{int(call):032x}") for kind, call in whole}
