"""The commands about the keys that seal."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.sealers.keyring import KEYS_FILE, open_keyring, read_keyring
from customhouse.cli.main import main


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "servers").mkdir()
    return tmp_path / "data" / KEYS_FILE


def run(path: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["keys", *words, "--dir", str(path.parents[1])])


def test_before_the_first_start_there_is_nothing_to_list(path: Path) -> None:
    listed = run(path, "list")
    assert (listed.exit_code, path.exists()) == (0, False)
    assert "first start" in listed.output


def test_a_rotation_keeps_the_old_key_open_and_says_what_happened(path: Path) -> None:
    old = open_keyring(path, 1.7e9).keys[0]
    rotated = run(path, "rotate")
    fresh = read_keyring(path).keys[0]
    assert rotated.output == f"{fresh.id} seals in 10 s; 2 open; 0 dropped\n"
    lines = run(path, "list").output.splitlines()
    assert [line.split("  ")[0] for line in lines] == [fresh.id, old.id]
    assert [line.split("  ")[2] for line in lines] == ["opens, seals soon", "seals and opens"]
    assert "2023-11-14 22:13:20" in lines[1]


def test_a_revocation_leaves_the_new_key_alone(path: Path) -> None:
    old = open_keyring(path, 1.7e9).keys[0]
    revoked = run(path, "rotate", "--revoke")
    (fresh,) = read_keyring(path).keys
    assert revoked.output == f"{fresh.id} seals at once; 1 open; 1 dropped\n"
    assert fresh.id != old.id


def test_no_secret_is_shown(path: Path) -> None:
    open_keyring(path, 1.7e9)
    shown = run(path, "rotate").output + run(path, "list").output
    assert not [key for key in read_keyring(path).keys if key.secret in shown or key.secret[:16] in shown]


@pytest.mark.parametrize("words", [("list",), ("rotate",), ("rotate", "--revoke")])
def test_a_file_that_others_can_read_is_told_in_a_line_and_left_alone(path: Path, words: tuple[str, ...]) -> None:
    before = open_keyring(path, 1.7e9)
    path.chmod(0o644)
    refused = run(path, *words)
    assert refused.exit_code == 1
    assert "chmod 600" in refused.stderr
    path.chmod(0o600)
    assert read_keyring(path) == before
