"""A plan on the terminal says what changes, is the same each time, and cannot be drawn over by what it shows."""

import json
from collections.abc import Sequence

import click
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from customhouse.cli.display import safe
from customhouse.cli.planning import Comparing, exit_code, plan_json, plan_text
from customhouse.core.plan import Change, Row, What
from customhouse.core.review import Kind

ROWS = (
    Row(pointer="/definition/tools/drop/class", after="destructive", sentence="tool `drop` becomes callable (destructive)."),
    Row(pointer="/definition/owner", before="team-notes", after="team-other"),
    Row(pointer="/definition/description", after="Süße Notizen."),
)
CHANGED = Change(
    kind=Kind.SERVER,
    name="notes",
    what=What.CHANGE,
    rows=ROWS,
    digest="sha256:1",
    stored_digest="sha256:0",
    reviewers_needed=2,
    unanswered=("on_call",),
)
ADDED = Change(
    kind=Kind.PORTAL,
    name="desk",
    what=What.ADD,
    rows=(
        Row(pointer="/portal/servers", after="notes", sentence="The portal gains server `notes`."),
        Row(pointer="/portal/description", after="Desk."),
    ),
    digest="sha256:2",
    reviewers_needed=1,
)
RULES = Change(
    kind=Kind.POLICY,
    name="rules.cedar",
    what=What.CHANGE,
    rows=(
        Row(
            pointer="/rules/a",
            before="permit (\n  principal\n);",
            after="forbid (\n\tprincipal\n);",
            sentence="The policy rule `a` (forbid) is changed.",
        ),
    ),
    reviewers_needed=2,
)
REMOVED = Change(
    kind=Kind.SERVER,
    name="old",
    what=What.REMOVE,
    rows=(
        Row(pointer="/definition/owner", before="x"),
        Row(pointer="/pin/digest", before="sha256:3", sentence="The pin goes: nothing is served."),
    ),
)


def text(*changes: Change) -> str:
    return plan_text(changes, coloured=False)


def test_a_plan_is_told_change_by_change() -> None:
    assert text(CHANGED, ADDED, RULES, REMOVED) == (
        "~ server notes (2 people to accept it; blank or overdue: on_call)\n"
        "    tool `drop` becomes callable (destructive).\n"
        '      /definition/tools/drop/class: nothing -> "destructive"\n'
        '    /definition/owner: "team-notes" -> "team-other"\n'
        '    /definition/description: nothing -> "Süße Notizen."\n'
        "\n"
        "+ portal desk (1 person to accept it)\n"
        "    The portal gains server `notes`.\n"
        '    /portal/description: nothing -> "Desk."\n'
        "\n"
        "~ policy rules.cedar (2 people to accept it)\n"
        "    The policy rule `a` (forbid) is changed.\n"
        "      /rules/a:\n"
        "        - permit (\n"
        "        -   principal\n"
        "        - );\n"
        "        + forbid (\n"
        "        +     principal\n"
        "        + );\n"
        "\n"
        "- server old\n"
        "    The pin goes: nothing is served.\n"
        "\n"
        "1 to add, 2 to change, 1 to remove."
    )


def test_nothing_to_change_is_said() -> None:
    assert text() == "Nothing to change."


@pytest.mark.parametrize(("changes", "code"), [((), 0), ((ADDED,), 2)])
def test_the_exit_code_says_whether_there_is_anything_to_change(changes: Sequence[Change], code: int) -> None:
    assert exit_code(changes) == code


def test_colours_are_for_terminals_alone() -> None:
    assert "\x1b[" in plan_text([ADDED], coloured=True)
    assert "\x1b" not in text(ADDED)


def test_a_change_at_the_end_of_a_long_text_is_shown() -> None:
    row = Row(pointer="/pin/manifest/tools/x/description", before="word " * 400 + "end", after="word " * 400 + "and mail it to eve")
    shown = text(Change(kind=Kind.SERVER, name="notes", what=What.CHANGE, rows=(row,)))
    assert "and mail it to eve" in shown
    assert len(max(shown.splitlines(), key=len)) < 300


def test_what_is_cut_is_said_to_be_cut() -> None:
    shown = text(Change(kind=Kind.SERVER, name="notes", what=What.CHANGE, rows=(Row(pointer="/x", before="", after="x" * 1000),)))
    assert "more characters; --json shows all of it" in shown
    rules = Row(pointer="/rules/x", after="line\n" * 100)
    assert "(70 more lines; --json shows all of it)" in text(Change(kind=Kind.POLICY, name="a.cedar", what=What.CHANGE, rows=(rules,)))


@given(st.text(), st.text(), st.text(), st.text())
def test_no_text_of_a_stranger_leaves_its_line_or_hides(name: str, pointer: str, value: str, sentence: str) -> None:
    rows = (Row(pointer=pointer, before=value, after=[value], sentence=sentence), Row(pointer=pointer, after=value))
    shown = text(Change(kind=Kind.SERVER, name=name, what=What.CHANGE, rows=rows), ADDED)
    assert shown == safe(shown)
    assert "\t" not in shown
    beginnings = [line for line in shown.splitlines() if line and not line.startswith("    ")]
    assert len(beginnings) == 3


def test_json_holds_every_value_and_leaves_out_what_was_not_there() -> None:
    told = json.loads(plan_json([CHANGED, REMOVED]))
    assert (told["add"], told["change"], told["remove"]) == (0, 1, 1)
    assert told["changes"][0]["rows"][0] == {
        "pointer": "/definition/tools/drop/class",
        "after": "destructive",
        "sentence": "tool `drop` becomes callable (destructive).",
    }
    assert told["changes"][0]["digest"] == "sha256:1"
    assert plan_json([CHANGED]).isascii()


def test_a_mistake_in_the_arguments_of_a_comparison_is_no_change() -> None:
    @click.command(cls=Comparing)
    @click.option("--fail", is_flag=True)
    def compare(fail: bool) -> None:
        """Compare."""
        if fail:
            raise click.UsageError("No.")

    assert CliRunner().invoke(compare, ["--unknown"]).exit_code == 1
    assert CliRunner().invoke(compare, ["--fail"]).exit_code == 1
    assert CliRunner().invoke(compare, []).exit_code == 0
