"""`customhouse approvals revoke` goes through the control process, or nowhere."""

from pathlib import Path

from click.testing import CliRunner, Result

from customhouse.cli.main import main
from tests.config.deployments import write

SETTINGS = "identity: {development_issuer: {enabled: true, tenant: local}}\n"


def revoke(directory: Path, settings: str, *words: str) -> Result:
    write(directory, {"customhouse.yaml": settings})
    return CliRunner().invoke(main, ["approvals", "revoke", "local/zoe", "--as", "olga", *words, "--dir", str(directory)])


def test_without_a_control_process_nobody_takes_a_right_away(tmp_path: Path) -> None:
    refused = revoke(tmp_path, SETTINGS)
    assert refused.exit_code == 1
    assert "without `control`" in refused.stderr


def test_a_token_goes_to_no_other_machine_in_plain_text(tmp_path: Path) -> None:
    refused = revoke(tmp_path, SETTINGS + "control: {}\n", "--url", "http://control.example")
    assert refused.exit_code == 2
    assert "use https" in refused.stderr


def test_what_cannot_be_recorded_is_not_done(tmp_path: Path) -> None:
    refused = revoke(tmp_path, SETTINGS + "control: {port: 1}\n")
    assert refused.exit_code == 1
    assert "cannot be reached" in refused.stderr
    assert not (tmp_path / "data" / "registry.db").exists()
