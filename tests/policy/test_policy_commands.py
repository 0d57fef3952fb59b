"""`customhouse policy test` and `customhouse policy explain` on a deployment directory."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.ledgers.segments import SegmentLedger
from customhouse.cli.policy import policy
from customhouse.cli.servers import servers
from customhouse.config.definitions import write_pin
from customhouse.core.manifest import Manifest, Pin, digest_of
from customhouse.core.record import Record
from customhouse.wiring import SystemClock
from tests.config.deployments import write

DEFINITION = """\
name: notes
owner: team-notes
contact: notes@example.com
tenant: local
url: https://notes.example/mcp
credential: {bearer: "env:NOTES_TOKEN"}
tools:
  read_note: {class: read}
  add_note: {class: write}
"""
RULES = """\
// Engineers read.
@id("eng-reads")
permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"notes");

@id("drafts")
permit (principal in Group::"local/eng", action == Action::"call:notes/add_note", resource)
when { context.arguments.title like "draft*" };
"""
TABLE = """\
- name: engineers read
  as: {person: alice, groups: [eng]}
  call: notes/read_note
  expect: permit
  because: [eng-reads]
- as: {workload: ci, groups: [eng], tenant: local, client: cli, scopes: [notes]}
  call: notes/add_note
  arguments: {title: final}
  expect: deny
- as: {person: alice, groups: [eng]}
  call: prompt:notes/daily
  expect: permit
- as: {person: alice, groups: [eng], tenant: elsewhere}
  call: resource:notes/file:///a
  expect: deny
"""


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "servers").mkdir()
    (tmp_path / "policies").mkdir()
    (tmp_path / "servers" / "notes.yaml").write_text(DEFINITION, "utf-8")
    (tmp_path / "policies" / "rules.cedar").write_text(RULES, "utf-8")
    title = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    manifest = Manifest(
        server_info={"name": "notes", "version": "1"},
        capabilities={},
        tools=({"name": "add_note", "inputSchema": title}, {"name": "read_note", "inputSchema": {"type": "object"}}),
        prompts=({"name": "daily"},),
    )
    write_pin(
        tmp_path / "servers" / "notes.pin.json", Pin(server="notes", revision="2025-11-25", digest=digest_of(manifest), manifest=manifest)
    )
    return tmp_path


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(policy, [words[0], "--dir", str(directory), *words[1:]])


def test_tables_that_hold_pass_with_a_line_per_case(deployment: Path) -> None:
    (deployment / "policies" / "notes.test.yaml").write_text(TABLE, "utf-8")
    result = run(deployment, "test")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "ok policies/notes.test.yaml:1 engineers read: permit",
        "ok policies/notes.test.yaml:6 notes/add_note: deny",
        "ok policies/notes.test.yaml:10 prompt:notes/daily: permit",
        "ok policies/notes.test.yaml:13 resource:notes/file:///a: deny",
        "4 cases, 0 missed.",
    ]


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("{as: {person: a, groups: [eng]}, call: notes/read_note, expect: deny}", "Expected deny, decided permit because of eng-reads."),
        ("{as: {person: a}, call: notes/read_note, expect: permit}", "Expected permit, decided deny because no rule permits it."),
        (
            "{as: {person: a, tenant: other}, call: notes/read_note, expect: permit}",
            "Expected permit, decided deny because of base.tenancy.",
        ),
        (
            "{as: {person: a, groups: [eng]}, call: notes/read_note, expect: permit, because: [drafts]}",
            "Expected because of drafts, decided permit because of eng-reads.",
        ),
        (
            "{as: {person: a}, call: notes/read_note, expect: deny, because: [x]}",
            "Expected because of x, decided deny because no rule permits it.",
        ),
        (
            "{as: {person: a, groups: [eng]}, call: notes/read_note, expect: permit, approval: leads}",
            "Expected approval by leads, decided approval by nobody.",
        ),
        ("{as: {person: a}, call: notes/gone, expect: deny}", "There is no tool `notes/gone` that is pinned and reviewed."),
        ("{as: {person: a}, call: prompt:notes/gone, expect: deny}", "There is no prompt `notes/gone` that is pinned and reviewed."),
        (
            "{as: {person: a, groups: [eng]}, call: notes/add_note, expect: deny}",
            "It cannot be decided: call:notes/add_note cannot be judged: the argument 'title' is missing.",
        ),
    ],
)
def test_a_miss_says_what_was_decided_and_fails(deployment: Path, tmp_path: Path, case: str, sentence: str) -> None:
    table = tmp_path / "one.yaml"
    table.write_text(f"- {case}\n", "utf-8")
    result = run(deployment, "test", str(table))
    assert result.exit_code == 1
    assert result.output.splitlines()[0].startswith("MISS one.yaml:1 ")
    assert result.output.splitlines()[0].endswith(sentence)
    assert result.output.splitlines()[1] == "1 cases, 1 missed."


def test_no_tables_is_a_failure_since_nothing_was_tested(deployment: Path) -> None:
    result = run(deployment, "test")
    assert result.exit_code == 1
    assert "There are no decision tables" in result.output


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("as: {person: a}", "bad.yaml:1: A decision table is a list of cases."),
        ("- {as: {person: 1}, call: x, expect: deny}", "bad.yaml:1: Expected `str`, got `int` - at `$.as.person`."),
        ("- {as: {}, call: x, expect: maybe}", "bad.yaml:1: Invalid enum value 'maybe' - at `$.expect`."),
        ("- {as: {}, call: x, expect: deny, becuase: []}", "bad.yaml:1: Object contains unknown field `becuase`."),
        ("- {as: {}, as: {}}", "bad.yaml:1"),
    ],
)
def test_a_table_that_cannot_be_read_is_a_finding(deployment: Path, tmp_path: Path, text: str, sentence: str) -> None:
    table = tmp_path / "bad.yaml"
    table.write_text(text, "utf-8")
    result = run(deployment, "test", str(table))
    assert result.exit_code == 1
    assert sentence in result.output


def test_a_table_outside_the_deployment_keeps_its_own_path(deployment: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    table = tmp_path_factory.mktemp("elsewhere") / "far.yaml"
    table.write_text(TABLE, "utf-8")
    assert f"ok {table}:1 engineers read: permit" in run(deployment, "test", str(table)).output


def test_an_explained_yes_shows_the_rule_with_its_place(deployment: Path) -> None:
    result = run(deployment, "explain", "--as", "alice", "--group", "eng", "call", "notes/read_note")
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        "Yes: a rule permits it, and none forbids it.",
        "",
        "eng-reads (rules.cedar:2)",
        "    // Engineers read.",
        '    @id("eng-reads")',
        '    permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"notes");',
    ]


def test_an_explained_default_deny_shows_the_rules_that_came_closest(deployment: Path) -> None:
    words = ("--workload", "ci", "--group", "eng", "call", "notes/add_note", "--arguments", '{"title":"x"}')
    lines = run(deployment, "explain", *words).output.splitlines()
    assert lines[:5] == [
        "No: no rule permits it.",
        "",
        "These rules came closest:",
        "",
        "drafts (rules.cedar:5)",
    ]
    assert "  It covers this caller and this call, but its conditions are not met." in lines


def test_an_explained_error_shows_what_broke(deployment: Path) -> None:
    output = run(deployment, "explain", "--as", "alice", "--group", "eng", "call", "notes/add_note").output
    assert output.startswith("No: the policy could not be evaluated")
    assert "the argument 'title' is missing" in output


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("call", "notes/read_note"), "Say who would call"),
        (("--as", "a", "call", "notes/read_note", "--arguments", "[]"), "--arguments is not a JSON object"),
        (("--as", "a", "call", "notes/read_note", "--arguments", "{"), "--arguments is not a JSON object"),
        (("--as", "a", "call", "notes/gone"), "There is no tool `notes/gone`"),
        (("--as", "a", "call", "resource:gone/file:///a"), "There is no resource `gone/file:///a`"),
        (("--as", "a", "call", "notes"), "There is no tool `notes`"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused_in_a_sentence(deployment: Path, words: tuple[str, ...], sentence: str) -> None:
    result = run(deployment, "explain", *words)
    assert result.exit_code != 0
    assert sentence in result.output


def test_policies_that_do_not_load_are_told_by_file_and_line(deployment: Path) -> None:
    (deployment / "policies" / "rules.cedar").write_text("\npermit (principal, action, resource);", "utf-8")
    result = run(deployment, "explain", "--as", "a", "call", "notes/read_note")
    assert result.exit_code == 1
    assert 'rules.cedar:2: Every rule needs an id of its own: put @id("...") before it.' in result.output


def test_who_can_names_groups_with_rules_and_what_it_depends_on(deployment: Path) -> None:
    result = run(deployment, "who-can", "notes/add_note")
    assert (result.exit_code, result.output.splitlines()) == (
        0,
        ["notes/add_note (write):", "  group local/eng: depends on arguments; by drafts"],
    )
    whole = run(deployment, "who-can", "notes", "--class", "read", "--json")
    assert [(row["kind"], row["name"], [who["name"] for who in row["who"]]) for row in json.loads(whole.output)] == [
        ("tool", "read_note", ["local/eng"]),
        ("prompt", "daily", ["local/eng"]),
    ]


def test_scopes_that_a_tool_asks_for_are_said(deployment: Path) -> None:
    scoped = DEFINITION.replace("read_note: {class: read}", "read_note: {class: read, scopes: [notes.read]}")
    (deployment / "servers" / "notes.yaml").write_text(scoped, "utf-8")
    assert run(deployment, "who-can", "notes/read_note").output.splitlines()[0] == "notes/read_note (read; the token needs notes.read):"
    assert "always; by eng-reads; the token needs notes.read" in run(deployment, "blast-radius", "--group", "eng").output
    row = json.loads(run(deployment, "who-can", "notes/read_note", "--json").output)[0]
    assert row["scopes"] == ["notes.read"]


def test_what_nobody_can_reach_is_said_and_an_unknown_name_is_refused(deployment: Path) -> None:
    (deployment / "policies" / "rules.cedar").write_text("", "utf-8")
    assert run(deployment, "who-can", "notes/add_note").output.splitlines() == ["notes/add_note (write): nobody"]
    assert run(deployment, "blast-radius", "--server", "notes").output.splitlines() == ["Nobody."]
    assert run(deployment, "who-can", "nots").exit_code != 0


def test_a_blast_radius_counts_by_class_and_names_rules(deployment: Path) -> None:
    expected = [
        "2 read, 1 write, 0 destructive.",
        "  read notes/read_note: always; by eng-reads",
        "  read prompt:notes/daily: always; by eng-reads",
        "  write notes/add_note: depends on arguments; by drafts",
    ]
    for who in (["--as", "alice", "--group", "eng"], ["--group", "eng"], ["--workload", "ci", "--group", "eng", "--client", "x"]):
        assert run(deployment, "blast-radius", *who).output.splitlines() == expected
    assert run(deployment, "blast-radius", "--as", "alice").output.splitlines() == ["0 read, 0 write, 0 destructive."]
    assert run(deployment, "blast-radius", "--as", "alice", "--group", "eng", "--tenant", "other").output.splitlines()[1:] == []
    assert json.loads(run(deployment, "blast-radius", "--group", "eng", "--json").output)["counts"]["write"] == 1


def test_a_blast_radius_of_a_server_says_who_reaches_it(deployment: Path) -> None:
    result = run(deployment, "blast-radius", "--server", "notes")
    assert result.output == "group local/eng: 2 read, 1 write, 0 destructive. notes/add_note, notes/read_note, prompt:notes/daily\n"
    assert json.loads(run(deployment, "blast-radius", "--server", "notes", "--json").output)[0]["who"] == "group local/eng"


def test_a_blast_radius_needs_somebody(deployment: Path) -> None:
    assert "Say whose" in run(deployment, "blast-radius").output


GRANTS = """\
- to: {group: local/ops}
  on: {tool: notes/add_note}
  arguments: {title: {prefix: [ops-]}}
- to: {person: local/ada}
  on: {tool: notes/add_note}
  until: 2020-01-01
"""


def test_grants_decide_beside_policies_and_are_found_by_every_command(deployment: Path) -> None:
    write(deployment, {"grants/ops.yaml": GRANTS})
    told = run(deployment, "explain", "--as", "bob", "--group", "ops", "call", "notes/add_note", "--arguments", '{"title": "ops-1"}')
    assert "grant:ops/1 (grants/ops.yaml:1)" in told.output
    assert run(deployment, "who-can", "notes/add_note").output.splitlines()[1:] == [
        "  group local/eng: depends on arguments; by drafts",
        "  group local/ops: depends on arguments; by grant:ops/1",
        "  person ada: ended 2020-01-02T00:00:00Z; by grant:ops/2",
    ]
    ended = run(deployment, "explain", "--as", "ada", "call", "notes/add_note", "--arguments", '{"title": "x"}')
    assert "It ended." in ended.output
    before = run(deployment, "explain", "--as", "ada", "--at", "2020-01-01", "call", "notes/add_note", "--arguments", '{"title": "x"}')
    assert "grant:ops/2 (grants/ops.yaml:4)" in before.output
    table = "- {as: {person: ada}, call: notes/add_note, arguments: {title: x}, at: 2020-01-01, expect: permit}\n"
    write(deployment, {"policies/ends.test.yaml": table + table.replace("2020-01-01", "2020-01-02T00:00:00Z").replace("permit", "deny")})
    assert run(deployment, "test").output.splitlines()[-1] == "2 cases, 0 missed."


def test_a_grant_that_does_not_load_is_said_at_its_line(deployment: Path) -> None:
    write(deployment, {"grants/ops.yaml": GRANTS.replace("title", "titel")})
    result = run(deployment, "who-can", "notes/add_note")
    assert result.exit_code != 0
    assert "grants/ops.yaml:1: grant:ops/1: There is no argument that policies can read with the name `titel`" in result.output


def test_a_case_at_no_moment_is_refused(deployment: Path) -> None:
    write(deployment, {"policies/odd.test.yaml": "- {as: {person: ada}, call: notes/add_note, at: noon, expect: permit}\n"})
    assert "`at` is not a day or a moment: noon." in run(deployment, "test").output


def test_hints_are_shown_per_tool_with_its_class(deployment: Path) -> None:
    result = CliRunner().invoke(servers, ["hints", "notes", "--dir", str(deployment)])
    assert result.output.splitlines() == [
        "add_note: write",
        "  write: Its name says `add`.",
        "read_note: read",
        "  read: Its name says `read`.",
    ]
    unclassed = CliRunner().invoke(servers, ["hints", "notes", "--unclassed", "--json", "--dir", str(deployment)])
    assert json.loads(unclassed.output) == []


def test_a_replay_lists_what_other_policies_would_decide_otherwise(deployment: Path, tmp_path: Path) -> None:
    def ledger(*records: Record) -> None:
        async def written() -> None:
            book = SegmentLedger.open(deployment / "data" / "ledger", segment_max_bytes=1 << 20, clock=SystemClock())
            for record in records:
                await book.append(record, durable=False)
            await book.close()

        asyncio.run(written())

    def call(person: str, name: str, at: float, **more: Any) -> Record:
        facts = {"tenant": "local", "groups": ("eng",), "server": "notes", "method": "tools/call", "decision": "permit", "endpoint": "/mcp"}
        return Record(kind="closing", at=at, call_id=person * 8, person=person, name=name, **facts | more)

    ledger(call("ada", "read_note", 1.8e9), call("bob", "add_note", 1.8e9), call("eve", "read_note", 1.0), Record(kind="start"))
    write(tmp_path, {"next/rules.cedar": RULES.replace('"eng-reads")', '"ops-read")').replace("local/eng", "local/ops", 1)})
    result = run(deployment, "replay", "--under", str(tmp_path / "next"), "--since", "2000-01-01")
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        [
            f"{'ada' * 8} 2027-01-15T08:00:00Z local/ada notes/read_note permit -> deny by no rule",
            "2 decided calls: 0 the same, 1 different, 1 not replayable.",
            "  1 not replayable: it rests on arguments or scopes, which are not kept.",
        ],
    )
    same = run(deployment, "replay", "--under", str(deployment / "policies"), "--json")
    assert (same.exit_code, json.loads(same.output)["counted"]["same"]) == (0, 2)
    write(tmp_path, {"given/all.yaml": "- {to: {group: local/eng}, on: {classes: [read, write]}}\n"})
    granted = run(deployment, "replay", "--under", str(tmp_path / "next"), "--grants", str(tmp_path / "given"))
    assert granted.output.splitlines() == ["3 decided calls: 3 the same, 0 different, 0 not replayable."]
    assert run(deployment, "replay", "--under", str(tmp_path / "next"), "--since", "noon").exit_code == 2
