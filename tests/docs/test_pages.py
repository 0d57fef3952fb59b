"""The printed pages of the manual say what the source says."""

import click
import pytest

from scripts import pages


@pytest.mark.parametrize("name", sorted(pages.PAGES))
def test_a_printed_page_is_what_the_source_prints_now(name: str) -> None:
    """`make docs` prints them anew."""
    assert (pages.MANUAL / name).read_text(encoding="utf-8") == pages.PAGES[name]()


@pytest.mark.parametrize("name", ["settings.md", "definition.md", "grant.md"])
def test_every_field_that_an_operator_writes_has_a_meaning(name: str) -> None:
    rows = [line for line in pages.PAGES[name]().splitlines() if line.startswith("| `")]
    assert rows
    assert [line for line in rows if line.endswith("|  |")] == []


@pytest.mark.parametrize(("path", "command"), [pytest.param(path, command, id=path) for path, command in pages.commands()])
def test_a_command_and_each_of_its_options_say_what_they_are_for(path: str, command: click.Command) -> None:
    assert (command.help or "").strip().endswith((".", ":")), path
    options = [option for option in command.params if isinstance(option, click.Option) and not option.hidden]
    assert [option.name for option in options if not (option.help or "").strip()] == []
