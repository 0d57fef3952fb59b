"""The printed pages of the manual say what the source says."""

import pytest

from scripts import pages


@pytest.mark.parametrize("name", sorted(pages.PAGES))
def test_a_printed_page_is_what_the_source_prints_now(name: str) -> None:
    """`make docs` prints them anew."""
    assert (pages.MANUAL / name).read_text(encoding="utf-8") == pages.PAGES[name]()


@pytest.mark.parametrize("name", ["settings.md", "definition.md"])
def test_every_field_that_an_operator_writes_has_a_meaning(name: str) -> None:
    rows = [line for line in pages.PAGES[name]().splitlines() if line.startswith("| `")]
    assert rows
    assert [line for line in rows if line.endswith("|  |")] == []


def test_every_command_and_every_option_says_what_it_is_for() -> None:
    silent = [heading for heading, text in commands().items() if not text.splitlines()[2:3] or not text.splitlines()[2].strip()]
    assert silent == []


def commands() -> dict[str, str]:
    """Command to its help, from the printed page."""
    parts = pages.commands_page().split("\n## `")[1:]
    return {part.split("`", 1)[0]: part.split("```text\n", 1)[1].split("\n```", 1)[0] for part in parts}
