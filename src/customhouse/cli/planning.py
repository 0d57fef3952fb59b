"""A plan on the terminal and as JSON, and what a program is told by the exit code.

Everything in a plan may be written by strangers, descriptions of tools above all, so every line is made safe; and a long text that
changed is shown from the first character that differs on, so that a change at its end cannot hide behind its beginning.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import click
import msgspec

from customhouse.cli.display import as_json, safe
from customhouse.core.plan import NOTHING, Change, Row, What

NO_CHANGE: Final = 0
FAILED: Final = 1
CHANGES: Final = 2

_MARKS: Final = {What.ADD: ("+", "green"), What.CHANGE: ("~", "yellow"), What.REMOVE: ("-", "red")}
_LONGEST_VALUE: Final = 160
_CONTEXT: Final = 24
"""Characters that are shown before the first one that differs."""
_MOST_LINES: Final = 30
_REST: Final = "--json shows all of it"


class _Mistaken(click.UsageError):
    """A mistake in the arguments of a command whose exit code 2 says something else."""

    exit_code = FAILED


class Comparing(click.Command):
    """A command whose exit code 2 says that something differs; a mistake in its arguments therefore ends with 1 and not with 2."""

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the arguments."""
        try:
            return super().make_context(*args, **kwargs)
        except click.UsageError as mistaken:
            raise _Mistaken(mistaken.format_message(), mistaken.ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as mistaken:
            raise _Mistaken(mistaken.format_message(), mistaken.ctx) from None


def exit_code(changes: Sequence[Change]) -> int:
    """0: there is nothing to change; 2: there is."""
    return CHANGES if changes else NO_CHANGE


def plan_json(changes: Sequence[Change]) -> str:
    """One JSON object with all rows and values, ASCII only. What was not there, or will not be, is left out of a row."""
    return as_json({"changes": msgspec.to_builtins(changes), **_counted(changes)})


def plan_text(changes: Sequence[Change], *, coloured: bool) -> str:
    """The plan for people, the same for the same changes; colours are for terminals."""
    if not changes:
        return "Nothing to change."
    lines = [line for change in changes for line in _told(change, coloured)]
    counts = _counted(changes)
    return "\n".join([*lines, f"{counts['add']} to add, {counts['change']} to change, {counts['remove']} to remove."])


def _counted(changes: Sequence[Change]) -> dict[str, int]:
    return {what.value: sum(change.what is what for change in changes) for what in What}


def _told(change: Change, coloured: bool) -> Iterator[str]:
    mark, colour = _MARKS[change.what]
    head = f"{mark} {change.kind.value} {_one_line(change.name)}{_asked_of(change)}"
    yield click.style(head, fg=colour) if coloured else head
    for row in change.rows:
        yield from (f"    {line}" for line in _row(row, change.what))
    yield ""


def _asked_of(change: Change) -> str:
    """Who has to agree, and what has to be filled in."""
    if change.what is What.REMOVE:
        return ""
    people = f"{change.reviewers_needed} {'person' if change.reviewers_needed == 1 else 'people'} to accept it"
    return f" ({people}; blank or overdue: {', '.join(change.unanswered)})" if change.unanswered else f" ({people})"


def _row(row: Row, what: What) -> Iterator[str]:
    if row.sentence:
        yield _one_line(row.sentence)
    if what is What.CHANGE or (what is What.ADD and not row.sentence):
        yield from (f"  {line}" if row.sentence else line for line in _values(row))


def _values(row: Row) -> Iterator[str]:
    if row.before is NOTHING and row.after is NOTHING:
        return
    if any(isinstance(value, str) and "\n" in value for value in (row.before, row.after)):
        yield f"{_one_line(row.pointer)}:"
        yield from _lines("-", row.before)
        yield from _lines("+", row.after)
    else:
        before, after = (_value(value) for value in (row.before, row.after))
        start = max(0, _common(before, after) - _CONTEXT)
        yield f"{_one_line(row.pointer)}: {_cut(before, start)} -> {_cut(after, start)}"


def _lines(mark: str, value: Any) -> Iterator[str]:
    """A text of several lines."""
    if value is NOTHING:
        return
    lines = str(value).splitlines()
    yield from (f"  {mark} {safe(line).expandtabs(4)}".rstrip() for line in lines[:_MOST_LINES])
    if len(lines) > _MOST_LINES:
        yield f"  {mark} ({len(lines) - _MOST_LINES} more lines; {_REST})"


def _value(value: Any) -> str:
    """A value as JSON; nothing is a word that no JSON text is."""
    return "nothing" if value is NOTHING else safe(json.dumps(value, ensure_ascii=False))


def _common(one: str, other: str) -> int:
    """How many characters two texts have in common at their beginning, if one of them is too long to be shown as a whole."""
    if max(len(one), len(other)) <= _LONGEST_VALUE:
        return 0
    return next((index for index, (left, right) in enumerate(zip(one, other, strict=False)) if left != right), min(len(one), len(other)))


def _cut(text: str, start: int) -> str:
    shown = text[start : start + _LONGEST_VALUE]
    more = len(text) - start - len(shown)
    return f"{'...' if start else ''}{shown}" + (f"... ({more} more characters; {_REST})" if more > 0 else "")


def _one_line(text: str) -> str:
    return safe(text).replace("\n", "\\n").replace("\t", "\\t")
