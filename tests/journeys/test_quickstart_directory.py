"""The quickstart's directory is whole: its pin is what its server offers, its policies decide what its table says, its lines work."""

import subprocess
import sys

from tests.journeys.conftest import COMMAND_TIMEOUT_SECONDS, QUICKSTART, Gateway


def called(gateway: Gateway, *words: str, groups: tuple[str, ...] = ("eng",)) -> tuple[int, str, str]:
    """`customhouse call` as alice: its exit code and what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "customhouse", "call", *words],
        env={**gateway.environment, "CUSTOMHOUSE_URL": f"{gateway.url}/mcp", "CUSTOMHOUSE_TOKEN": gateway.token("alice", *groups)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_pin_that_lies_there_is_what_the_server_offers(gateway: Gateway) -> None:
    assert (QUICKSTART / "servers" / "notes.pin.json").exists()
    assert "offers what was approved" in gateway.command("servers", "diff", "notes")


def test_the_decision_table_holds(gateway: Gateway) -> None:
    assert gateway.command("policy", "test").endswith(" 0 missed.")


def test_a_reader_reads_and_follows_progress(gateway: Gateway) -> None:
    assert called(gateway, "notes__read_note", "title=shopping") == (0, "Bread, apples, coffee.\n", "")
    assert called(gateway, "notes__count_slowly", "steps=2", "pause_seconds=0.01") == (
        0,
        "Counted to 2.\n",
        "info: Counting to 2.\nprogress 1/2 Counted to 1.\nprogress 2/2 Counted to 2.\n",
    )


def test_a_write_is_refused_with_its_reason_and_the_next_step(gateway: Gateway) -> None:
    refused = "refused: Policy does not allow this call. [not_permitted] Next: Ask the owner of the server for a grant.\n"
    assert called(gateway, "notes__add_note", "title=plan", "text=Ship it.") == (1, "", refused)


def test_an_editor_writes_and_nobody_deletes(gateway: Gateway) -> None:
    assert called(gateway, "notes__add_note", "title=plan", "text=Ship it.", groups=("editors",)) == (0, "Kept 'plan'.\n", "")
    code, _, said = called(gateway, "notes__delete_note", "title=plan", groups=("editors", "eng"))
    assert (code, "[unknown_name]" in said) == (1, True)
