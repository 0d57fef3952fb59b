"""Editors are told what the strict reader would say: what it takes fits the schemas, and what they refuse it refuses too."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from click.testing import CliRunner
from hypothesis import given

from customhouse.cli.main import main
from customhouse.cli.schema import ALL_FORMS, schema_text
from customhouse.config.definitions import definition_in
from customhouse.config.document import plain, read_document
from customhouse.config.fileschemas import DIALECT, file_schema
from customhouse.config.portals import portal_in
from customhouse.config.writing import definition_text
from customhouse.core.manifest import ServerDefinition
from tests.config.deployments import NOTES, refused
from tests.config.test_writing import DEFINITIONS

ROOT = Path(__file__).parents[2]
VALIDATORS = {name: jsonschema_rs.Draft202012Validator(file_schema(name, form)) for name, form in ALL_FORMS.items()}
EXAMPLES = [(name, path) for name, form in ALL_FORMS.items() for path in sorted(ROOT.glob(f"examples/*/{form.files}"))]


def value_of(text: str) -> Any:
    document = read_document(text.encode(), "file.yaml")
    assert document.findings == ()
    return plain(document.root)


def blocks(page: str) -> list[str]:
    text = (ROOT / "docs" / "manual" / page).read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def problems(name: str, value: Any) -> list[str]:
    return [problem.message for problem in VALIDATORS[name].iter_errors(value)]


@pytest.mark.parametrize(("name", "path"), EXAMPLES, ids=[path.name for _, path in EXAMPLES])
def test_every_example_file_of_the_repository_fits(name: str, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert problems(name, json.loads(text) if path.suffix == ".json" else value_of(text)) == []


def test_there_is_an_example_of_most_forms() -> None:
    assert {name for name, _ in EXAMPLES} >= {"settings", "definition", "pin", "decision-table"}


PAGES = [
    ("configuration.md", "settings"),
    ("definitions.md", "definition"),
    ("as-code.md", "portal"),
    ("policy.md", "decision-table"),
    ("grants.md", "grants"),
]


@pytest.mark.parametrize(("page", "name"), PAGES)
def test_every_example_of_the_manual_fits(page: str, name: str) -> None:
    assert blocks(page)
    assert [problems(name, value_of(text)) for text in blocks(page)] == [[] for _ in blocks(page)]


@given(DEFINITIONS)
def test_what_is_written_fits(definition: ServerDefinition) -> None:
    assert problems("definition", value_of(definition_text(definition))) == []


WRONG_DEFINITIONS = [
    "",
    NOTES + "state: active\n",
    NOTES + "stateless: 1\n",
    NOTES + "call_timeout_seconds: 0\n",
    NOTES + "call_timeout_seconds: 90000\n",
    NOTES + "max_concurrent_calls: -1\n",
    NOTES + "review_by: soon\n",
    NOTES + "classification: secret\n",
    NOTES + 'description: "a\\nb"\n',
    NOTES + "waivers: [{rule: everything, reason: x, granted_by: y}]\n",
    NOTES + "stdio: {package: {ecosystem: pypi, name: x, version: '1', digest: sha256:0}, argv: [a]}\n",
    NOTES.replace("team-notes", '" "'),
    NOTES.replace("https://notes.example/mcp", "notes"),
    NOTES.replace("url: https://notes.example/mcp\n", ""),
    NOTES.replace("env:NOTES_TOKEN", "s3cret"),
    NOTES.replace("class: write", "class: harmless"),
    NOTES.replace("{class: write}", "{}"),
    NOTES.replace('credential: {bearer: "env:NOTES_TOKEN"}\n', ""),
]


@pytest.mark.parametrize("text", WRONG_DEFINITIONS, ids=range(len(WRONG_DEFINITIONS)))
def test_a_wrong_definition_is_refused_by_both(text: str) -> None:
    assert definition_in(read_document(text.encode(), "notes.yaml"), "notes")[1]
    assert problems("definition", value_of(text))


@pytest.mark.parametrize(
    "text", ["", "servers: notes\n", "servers: [notes, notes]\n", "servers: [notes]\nstate: active\n", "servers: [1]\n", "name: desk\n"]
)
def test_a_wrong_portal_is_refused_by_both(text: str) -> None:
    assert portal_in(read_document(text.encode(), "desk.yaml"))[1]
    assert problems("portal", value_of(text))


@pytest.mark.parametrize(
    "text",
    [
        "unknown: 1\n",
        "listen: {port: 0}\n",
        "listen: {port: '80'}\n",
        "data_dir: ''\n",
        "sessions: {replay_max_bytes: 1}\n",
        "portals: {A B: {servers: []}}\n",
        "portals: {desk: {servers: [x, x]}}\n",
        "identity: {issuers: [{issuer: https://idp.example, algorithms: [none]}]}\n",
    ],
)
def test_wrong_settings_are_refused_by_both(text: str, tmp_path: Path) -> None:
    assert refused(tmp_path, text)
    assert problems("settings", value_of(text))


def test_a_pin_with_anything_more_in_it_does_not_fit() -> None:
    pin = json.loads((ROOT / "examples" / "quickstart" / "servers" / "notes.pin.json").read_text(encoding="utf-8"))
    assert problems("pin", {**pin, "approved_by": "alice"})
    assert problems("pin", {**pin, "digest": "md5:0"})


@pytest.mark.parametrize("name", ALL_FORMS)
def test_a_schema_has_its_dialect_a_stable_id_and_a_meaning_for_every_key(name: str) -> None:
    schema = json.loads(schema_text(name, ALL_FORMS[name]))
    jsonschema_rs.meta.validate(schema)
    assert schema["$schema"] == DIALECT
    assert schema["$id"] == f"urn:customhouse:schema:{name}:1"
    if name not in {"pin", "decision-table"}:
        keys = [(part["title"], key, held) for part in schema["$defs"].values() for key, held in part.get("properties", {}).items()]
        assert [(title, key) for title, key, held in keys if not held.get("description")] == []


@pytest.mark.parametrize("wrong", ["to: {}", "- to: {group: a/b}", "- {to: {grop: a/b}, on: {}}", "- {to: {}, on: {classes: [all]}}"])
def test_what_is_no_list_of_grants_does_not_fit(wrong: str) -> None:
    assert problems("grants", value_of(wrong))


# --- The command ----------------------------------------------------------------------------------------------------------


def test_the_command_lists_prints_and_writes(tmp_path: Path) -> None:
    listed = CliRunner().invoke(main, ["schema"]).output
    assert [line.split()[0] for line in listed.splitlines()] == list(ALL_FORMS)
    printed = CliRunner().invoke(main, ["schema", "portal"]).output
    assert printed == schema_text("portal", ALL_FORMS["portal"])
    assert CliRunner().invoke(main, ["schema", "--to", str(tmp_path / "schemas")]).exit_code == 0
    assert sorted(path.name for path in (tmp_path / "schemas").iterdir()) == sorted(f"{name}.schema.json" for name in ALL_FORMS)
    assert (tmp_path / "schemas" / "portal.schema.json").read_text(encoding="utf-8") == printed
