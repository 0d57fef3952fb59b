"""Server definitions: who answers, where it is, and what a reviewer decided."""

from pathlib import Path

import pytest

from customhouse.config.definitions import pin_path, pinned_names, read_definitions
from customhouse.config.findings import ConfigurationInvalid, Finding
from customhouse.config.tree import Settings
from customhouse.core.manifest import BearerCredential, Effect, ServerDefinition, ToolReview, Waiver
from tests.config.deployments import NOTES, write

BASE = "owner: o\ncontact: c\ntenant: t\n"
"""Three lines."""
URL = BASE + "url: https://n.example/mcp\n"
"""Four lines."""
WITH_CREDENTIAL = URL + "credential: {bearer: 'file:/run/secrets/n'}\n"
"""Five lines."""


def refused(directory: Path, files: dict[str, str]) -> tuple[Finding, ...]:
    write(directory, {f"servers/{name}": text for name, text in files.items()})
    with pytest.raises(ConfigurationInvalid) as invalid:
        read_definitions(directory, Settings())
    return invalid.value.findings


def test_a_definition_is_named_by_its_file_and_read_whole(tmp_path: Path) -> None:
    text = (
        "description: Notes of the team.\nowner: team-notes\ncontact: notes@example.org\ntenant: acme\nurl: http://127.0.0.1:8901/mcp\n"
        "networks: [10.0.0.0/8]\nstateless: true\ncall_timeout_seconds: 10\nmax_concurrent_calls: 2\n"
        "tools:\n  read: {class: read}\n  'no': {class: destructive, scopes: [notes.write], call_timeout_seconds: 2.5}\n"
        "waivers:\n  - {rule: unauthenticated-writes, reason: A test server., granted_by: alice}\n"
    )
    write(tmp_path, {"servers/notes.yaml": text, "servers/a-1.yaml": "name: a-1\n" + NOTES, "servers/README.md": "x"})
    first, notes = read_definitions(tmp_path, Settings())
    assert (first.name, first.credential) == ("a-1", BearerCredential(bearer="env:NOTES_TOKEN"))
    assert notes == ServerDefinition(
        name="notes",
        owner="team-notes",
        contact="notes@example.org",
        tenant="acme",
        description="Notes of the team.",
        url="http://127.0.0.1:8901/mcp",
        networks=("10.0.0.0/8",),
        stateless=True,
        call_timeout_seconds=10.0,
        max_concurrent_calls=2,
        tools={
            "read": ToolReview(effect=Effect.READ),
            "no": ToolReview(effect=Effect.DESTRUCTIVE, scopes=("notes.write",), call_timeout_seconds=2.5),
        },
        waivers=(Waiver(rule="unauthenticated-writes", reason="A test server.", granted_by="alice"),),
    )


def test_a_deployment_without_definitions_has_none(tmp_path: Path) -> None:
    assert read_definitions(tmp_path, Settings()) == ()


def test_definitions_that_cannot_be_listed_are_not_taken_for_none(tmp_path: Path) -> None:
    (tmp_path / "servers").write_text("")
    with pytest.raises(ConfigurationInvalid, match="cannot be listed"):
        read_definitions(tmp_path, Settings())


def test_pins_lie_beside_their_definitions(tmp_path: Path) -> None:
    settings = Settings(servers_dir="defs")
    assert pinned_names(tmp_path, settings) == ()
    write(tmp_path, {"defs/b.pin.json": "", "defs/a.pin.json": "", "defs/a.yaml": ""})
    assert pinned_names(tmp_path, settings) == ("a", "b")
    assert pin_path(tmp_path, settings, "a") == tmp_path / "defs" / "a.pin.json"


CASES: list[tuple[str, int, str, str]] = [
    ("contact: c\ntenant: t\nurl: https://n.example", 1, "owner", "Add it"),
    ("owner: o\ntenant: t\nurl: https://n.example", 1, "contact", "Add it"),
    ("owner: o\ncontact: c\nurl: https://n.example", 1, "tenant", "Add it"),
    (BASE, 1, "url", "Add it"),
    ("owner: ' '\ncontact: c\ntenant: t\nurl: https://n.example", 1, "owner", "every server has an owner"),
    ("owner: o\ncontact: ''\ntenant: t\nurl: https://n.example", 2, "contact", "every server has an owner"),
    ("owner: o\ncontact: c\ntenant: ''\nurl: https://n.example", 3, "tenant", "every server has an owner"),
    ("owner:\ncontact: c\ntenant: t\nurl: https://n.example", 1, "owner", "Write text"),
    (URL + "name: other", 5, "name", "write notes"),
    (URL + "ownr: x", 5, "ownr", "Did you mean `owner`?"),
    (BASE + "url: http://n.example/mcp", 4, "url", "https"),
    (BASE + "url: http://10.0.0.1/mcp", 4, "url", "https"),
    (BASE + "url: http://127.0.0.1.n.example/mcp", 4, "url", "https"),
    (BASE + "url: n.example/mcp", 4, "url", "https://notes.example/mcp"),
    (BASE + "url: https://u:p@n.example/mcp", 4, "url", "by reference"),
    (BASE + "url: https://n.example/mcp#x", 4, "url", "Remove the #"),
    (BASE + "url: 'https://n.example/mcp#'", 4, "url", "Remove the #"),
    (BASE + "url: https://n.example/mcp?access_token=x", 4, "url", "by reference"),
    (BASE + "url: https://n.example/mcp?a=1&API_KEY=", 4, "url", "by reference"),
    (URL + "networks: [10.0.0.0]", 5, "networks[0]", "prefix length"),
    (URL + "networks: [10.0.0.0/8, x]", 5, "networks[1]", "prefix length"),
    (URL + "credential: s3cret-value", 5, "credential", "a table of keys"),
    (URL + "credential: {bearer: s3cret-value}", 5, "credential.bearer", "env:NAME or file:PATH"),
    (URL + "credential: {bearer: 'env:'}", 5, "credential.bearer", "env:NAME or file:PATH"),
    (URL + "credential: {bearer: 'env:A B'}", 5, "credential.bearer", "env:NAME or file:PATH"),
    (URL + "credential: {bearer: 'vault:x'}", 5, "credential.bearer", "env:NAME or file:PATH"),
    (URL + "credential: {bearer: 'file:'}", 5, "credential.bearer", "env:NAME or file:PATH"),
    (URL + "credential: {bearer: 'env:A', basic: x}", 5, "credential.basic", "Known here: bearer"),
    (URL + "call_timeout_seconds: 0", 5, "call_timeout_seconds", "no value for unlimited"),
    (URL + "call_timeout_seconds: 60s", 5, "call_timeout_seconds", "for example 60."),
    (URL + "call_timeout_seconds: 999999", 5, "call_timeout_seconds", "up to 3600"),
    (URL + "connect_timeout_seconds: -1", 5, "connect_timeout_seconds", "no value for unlimited"),
    (URL + "connect_timeout_seconds: 61", 5, "connect_timeout_seconds", "up to 60"),
    (URL + "max_concurrent_calls: 0", 5, "max_concurrent_calls", "no value for unlimited"),
    (URL + "max_result_bytes: 0", 5, "max_result_bytes", "no value for unlimited"),
    (URL + "max_result_bytes: 4 MiB", 5, "max_result_bytes", "for example 4194304."),
    (URL + "review_by: 30.6.2027", 5, "review_by", "YYYY-MM-DD"),
    (URL + "review_by: '20270630'", 5, "review_by", "YYYY-MM-DD"),
    (URL + "classification: secret", 5, "classification", "confidential, internal, public, restricted"),
    (URL + "stateless: 'yes'", 5, "stateless", "true or false"),
    (URL + "tools: [read_note]", 5, "tools", "a table of keys"),
    (URL + "tools: {read_note: read}", 5, "tools.read_note", "for example {class: ...}"),
    (URL + "tools:\n  read_note: {}", 6, "tools.read_note.class", "Add it: it holds one of"),
    (URL + "tools:\n  read_note: {class: reads}", 6, "tools.read_note.class", "read, write, destructive"),
    (URL + "tools:\n  ' ': {class: read}", 6, "tools[' ']", "own name"),
    (URL + "tools:\n  a: {class: read}\n  a: {class: read}", 7, "tools.a", "Keep one"),
    (URL + "tools:\n  a: {class: read, scopes: [a b]}", 6, "tools.a.scopes[0]", "without spaces"),
    (URL + "tools:\n  a: {class: read, call_timeout_seconds: 0}", 6, "tools.a.call_timeout_seconds", "no value for unlimited"),
    (URL + "tools:\n  a: {class: read, call_timeout_seconds: 4000}", 6, "tools.a.call_timeout_seconds", "up to 3600"),
    (URL + "tools:\n  a: {class: read}\n  b: {class: write}", 7, "tools.b", "rule: unauthenticated-writes"),
    (URL + "tools:\n  b: {class: destructive}", 6, "tools.b", "rule: unauthenticated-writes"),
    (WITH_CREDENTIAL + "waivers: [{rule: everything, reason: r, granted_by: g}]", 6, "waivers[0].rule", "unauthenticated-writes"),
    (
        WITH_CREDENTIAL + "waivers: [{rule: unauthenticated-writes, reason: '', granted_by: g}]",
        6,
        "waivers[0].reason",
        "a reason and a person",
    ),
    (WITH_CREDENTIAL + "waivers: [{rule: unauthenticated-writes, reason: r}]", 6, "waivers[0].granted_by", "Add it"),
    ("- a", 1, "", "a table of keys"),
]


@pytest.mark.parametrize(("text", "line", "key", "remedy"), CASES)
def test_a_bad_definition_is_refused_at_its_line_with_what_would_be_right(
    tmp_path: Path, text: str, line: int, key: str, remedy: str
) -> None:
    findings = refused(tmp_path, {"notes.yaml": text})
    assert [(finding.file, finding.line, finding.key) for finding in findings] == [("servers/notes.yaml", line, key)], findings
    assert remedy in f"{findings[0].problem} {findings[0].remedy}"
    assert "s3cret-value" not in str(findings[0])


def test_an_empty_definition_lacks_everything_that_is_required(tmp_path: Path) -> None:
    assert {finding.key for finding in refused(tmp_path, {"notes.yaml": ""})} == {"owner", "contact", "tenant"}


@pytest.mark.parametrize("name", ["Notes", "no_tes", "-a", "a-", "a--b", "a.b", "é", "a" * 41])
def test_a_file_whose_name_cannot_be_a_server_is_refused(tmp_path: Path, name: str) -> None:
    (finding,) = refused(tmp_path, {f"{name}.yaml": NOTES})
    assert (finding.file, finding.key) == (f"servers/{name}.yaml", "name")


def test_names_are_unique_whatever_their_case_and_the_suffix_is_yaml(tmp_path: Path) -> None:
    findings = refused(tmp_path, {"notes.yaml": NOTES, "Notes.yaml": NOTES, "notes.yml": NOTES})
    problems = {(finding.file, finding.problem) for finding in findings}
    assert ("servers/notes.yaml", "servers/Notes.yaml has the same name.") in problems
    assert ("servers/notes.yml", "The name of a definition ends in .yaml.") in problems


def test_the_mistakes_of_all_definitions_are_reported_together(tmp_path: Path) -> None:
    findings = refused(tmp_path, {"a.yaml": BASE, "b.yaml": NOTES + "x: 1\n", "c.yaml": NOTES})
    assert [(finding.file, finding.key) for finding in findings] == [("servers/a.yaml", "url"), ("servers/b.yaml", "x")]


@pytest.mark.parametrize(
    "text",
    [
        URL,
        URL + "tools: {a: {class: read}}",
        WITH_CREDENTIAL + "tools: {a: {class: write}}",
        URL + "tools: {a: {class: write}}\nwaivers: [{rule: unauthenticated-writes, reason: r, granted_by: g}]",
        BASE + "url: http://localhost:1/mcp",
        BASE + "url: 'http://[::1]:1/mcp'",
        BASE + "url: https://n.example/mcp?project=1",
        URL + "credential:\n",
    ],
)
def test_a_definition_that_makes_sense_is_accepted(tmp_path: Path, text: str) -> None:
    write(tmp_path, {"servers/notes.yaml": text})
    assert [definition.name for definition in read_definitions(tmp_path, Settings())] == ["notes"]
