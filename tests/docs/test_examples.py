"""The examples in the manual are valid, as they stand there."""

import re
from pathlib import Path

import pytest

from customhouse.config.load import load

MANUAL = Path(__file__).parents[2] / "docs" / "manual"


def blocks(page: str, language: str) -> list[str]:
    """The examples of a page in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", (MANUAL / page).read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("example", blocks("configuration.md", "yaml"))
def test_an_example_of_settings_is_accepted(example: str, tmp_path: Path) -> None:
    servers = tmp_path / "servers"
    servers.mkdir()
    for name in ("notes", "tickets", "ledger", "invoices"):
        (servers / f"{name}.yaml").write_text("", encoding="utf-8")
    (tmp_path / "customhouse.yaml").write_text(example, encoding="utf-8")
    assert load(tmp_path, {}).origins


def test_the_example_of_the_environment_is_accepted(tmp_path: Path) -> None:
    text = (MANUAL / "configuration.md").read_text(encoding="utf-8")
    name, value = re.findall(r"`(CUSTOMHOUSE_\w+)=(\w+)`", text)[0]
    assert load(tmp_path, {name: value}).settings.listen.port == int(value)
