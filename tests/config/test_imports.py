"""Imports: drafts that load once a person filled them in, never a secret, never half of anything, never in the place of another file."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from customhouse.cli.main import main
from customhouse.config.definitions import read_definitions
from customhouse.config.document import plain, read_document
from customhouse.config.drafts import Draft, missing, write_drafts
from customhouse.config.findings import ConfigurationInvalid
from customhouse.config.imports import Imported, fit_name, read_import
from customhouse.config.packagecommands import PackageCommand, Unimportable
from customhouse.config.programs import REFERENCE
from customhouse.config.tree import Settings

NPX = {"command": "npx", "args": ["-y", "@acme/notes@1.2.3"]}
STDIO = {"type": "stdio"}
DIGEST = "sha256:" + "0" * 64
CANARY = "hunter2-hunter2"


def written(directory: Path, document: object, name: str = "clients.json") -> Path:
    path = directory / name
    path.write_text(document if isinstance(document, str) else json.dumps(document), "utf-8")
    return path


def imported(directory: Path, document: object) -> Imported:
    return read_import(written(directory, document), frozenset())


def one(directory: Path, entry: object) -> Draft:
    (draft,) = imported(directory, {"mcpServers": {"notes": entry}}).drafts
    return draft


def refusal(directory: Path, entry: object) -> str:
    (refused,) = imported(directory, {"mcpServers": {"notes": entry}}).refused
    return refused.sentence


def filled(text: str) -> str:
    for field in ("owner", "contact", "tenant"):
        text = text.replace(f'{field}: ""', f"{field}: somebody")
    return text.replace('digest: ""', f"digest: {DIGEST}")


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["import", *words, "--dir", str(directory)])


@pytest.mark.parametrize(
    "entry",
    [
        NPX,
        {**NPX, "env": {"API_KEY": CANARY, "LEVEL": "${LEVEL}"}, "cwd": "/srv", "disabled": False},
        {"command": "uvx", "args": ["--from", "notes-mcp==1.2", "serve", 'say "hi": # {}\\ é']},
        {"url": "https://notes.example/mcp"},
        {"type": "sse", "url": "https://notes.example/sse", "headers": {"authorization": f"Bearer {CANARY}", "X-Team": "a"}},
        {"command": ["npx", "mcp-remote@latest", "https://notes.example/mcp", "--header", f"Authorization: Bearer {CANARY}"]},
    ],
)
def test_a_draft_loads_once_it_is_filled_in_and_not_before(tmp_path: Path, entry: dict[str, Any]) -> None:
    draft = one(tmp_path, entry)
    keys = {finding.key for finding in missing(draft, "servers")}
    assert keys == {"owner", "contact", "tenant"} | ({"stdio.package.digest"} if draft.command else set())
    servers = tmp_path / "servers"
    write_drafts(servers, [draft])
    with pytest.raises(ConfigurationInvalid, match="owner"):
        read_definitions(tmp_path, Settings())
    (servers / draft.file).write_text(filled(draft.text), "utf-8")
    (definition,) = read_definitions(tmp_path, Settings())
    assert definition.name == "notes"
    assert definition.tools == {}
    if definition.stdio is not None and draft.command is not None:
        assert definition.stdio.argv[1:] == draft.command.arguments
        assert definition.stdio.secrets == dict(draft.secrets)


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=3), st.text(st.characters(codec="utf-8")))
def test_any_text_is_read_back_as_it_was(arguments: list[str], source: str) -> None:
    draft = Draft(name="n", source=source, command=PackageCommand("npm", "n", "1.2.3", "n", tuple(arguments)), notes=(source,))
    document = read_document(draft.text.encode(), "n.yaml")
    assert document.findings == ()
    assert msgspec.convert(plain(document.root), dict[str, Any])["stdio"]["argv"] == ["node_modules/.bin/n", *arguments]


def test_values_become_references_that_carry_the_servers_name(tmp_path: Path) -> None:
    entry = {**NPX, "env": {"API_KEY": CANARY, "A": "${LEVEL}", "B": "${env:LEVEL}", "C": "${LEVEL:-x}", "D": "${input:d}", "E": 7}}
    assert dict(one(tmp_path, entry).secrets) == {
        "API_KEY": "env:MCP_NOTES_API_KEY",
        "A": "env:LEVEL",
        "B": "env:LEVEL",
        "C": "env:LEVEL",
        "D": "env:MCP_NOTES_D",
        "E": "env:MCP_NOTES_E",
    }


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (f"Bearer {CANARY}", "env:MCP_NOTES_TOKEN"),
        ("bearer ${NOTES}", "env:NOTES"),
        ("Bearer ${input:token}", "env:MCP_NOTES_TOKEN"),
        ("${AUTH_HEADER}", "env:MCP_NOTES_TOKEN"),
        (f"Basic {CANARY}", ""),
    ],
)
def test_a_bearer_token_becomes_a_credential_by_reference(tmp_path: Path, value: str, reference: str) -> None:
    draft = one(tmp_path, {"url": "https://notes.example/mcp", "headers": {"Authorization": value}})
    assert draft.bearer == reference
    assert bool(reference) is not any("can have no tools that change things" in note for note in draft.notes)


ANY_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
TEXTS = ANY_TEXT.map(lambda text: CANARY + text)
VALUES = st.one_of(TEXTS, st.builds(lambda text: f"Bearer {text}", TEXTS))
LEAKY = st.fixed_dictionaries(
    {},
    optional={
        "command": st.sampled_from(["npx", "uvx", "bash", "node", CANARY]),
        "args": st.lists(
            st.one_of(
                st.sampled_from(["-y", "notes@1.2.3", "notes==1.2", "mcp-remote", "--header", "--token", "https://notes.example/mcp"]),
                st.builds(lambda text: f"--api-key={text}", TEXTS),
                st.builds(lambda text: f"postgres://a:{text}@b", TEXTS),
            ),
            max_size=5,
        ),
        "env": st.dictionaries(st.sampled_from(["API_KEY", "TZ"]), VALUES),
        "url": st.one_of(st.just("https://notes.example/mcp"), st.builds(lambda text: f"https://notes.example/mcp?token={text}", TEXTS)),
        "headers": st.dictionaries(st.sampled_from(["Authorization", "X-Api-Key"]), VALUES),
        "type": st.one_of(st.just("http"), TEXTS),
        "timeout": TEXTS,
    },
)


@given(st.dictionaries(st.sampled_from(["notes", "b", "Ä"]), LEAKY, min_size=1))
def test_no_value_of_a_secret_is_in_a_draft_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, servers: dict[str, Any]) -> None:
    made = imported(tmp_path_factory.getbasetemp(), {"mcpServers": servers})
    assert len(made.drafts) + len(made.refused) == len(servers)
    for draft in made.drafts:
        assert CANARY not in draft.text + " ".join(draft.notes)
        assert all(REFERENCE.fullmatch(reference) for _, reference in draft.secrets)
        assert not [finding for finding in missing(draft, "servers") if CANARY in str(finding)]
    assert not [refused for refused in made.refused if CANARY in refused.sentence]


@pytest.mark.parametrize(
    ("entry", "sentence"),
    [
        ("npx", "The entry is not an object."),
        ({}, "needs either a command or one address"),
        ({"command": "npx", "url": "https://a.example"}, "needs either a command or one address"),
        ({"url": "https://a.example", "httpUrl": "https://b.example"}, "needs either a command or one address"),
        ({"type": "ws", "url": "wss://a.example"}, "over a transport that the gateway does not know"),
        ({"url": 7}, "Its address is not a text."),
        ({"url": "ftp://a.example"}, "starts with neither https"),
        ({"url": "https://${HOST}/mcp"}, "filled in by the client"),
        ({"url": f"https://a.example/mcp?key={CANARY}"}, "seems to carry a secret"),
        ({"url": "https://a.example", "headers": []}, "`headers` is not an object."),
        ({"command": 7}, "are not texts"),
        ({"command": "npx", "args": "-y"}, "are not texts"),
        ({**NPX, "env": {"A-B": "x"}}, "whose name is none"),
        ({"command": "npx", "args": ["notes@1.2.3", "--token", CANARY]}, "An argument looks like a secret"),
        ({"command": "sh", "args": ["-c", CANARY]}, "It starts a shell"),
    ],
)
def test_an_entry_that_no_draft_can_be_made_of_is_refused_in_a_sentence(tmp_path: Path, entry: object, sentence: str) -> None:
    said = refusal(tmp_path, entry)
    assert sentence in said
    assert CANARY not in said


def test_what_the_client_keeps_for_itself_is_left_out_and_named(tmp_path: Path) -> None:
    draft = one(tmp_path, {**NPX, "autoApprove": ["delete_all"], "timeout": 5, "sk-abcdefgh12345678": 1})
    assert draft.notes[0] == "Left out, since they mean something to the client alone: (another), autoApprove, timeout."


@pytest.mark.parametrize(
    "document",
    [
        {"mcpServers": {"notes": NPX}},
        {"servers": {"notes": {"type": "stdio", **NPX}}, "inputs": [{"id": "x"}]},
        {"mcp": {"servers": {"notes": NPX}}, "editor.fontSize": 12},
        {"projects": {"/srv": {"mcpServers": {"notes": NPX}}, "/x": None}, "mcpServers": {}},
        '\ufeff{\n  // "a comment"\n  "mcpServers": {"notes": {"command": "npx", /* here */ "args": ["notes@1.2.3", "//x", ",]",],},},\n}',
        {
            "name": "io.example/notes",
            "packages": [{"registryType": "npm", "identifier": "n", "version": "1.2.3", "transport": {"type": "stdio"}}],
        },
        {"server": {"name": "io.example/notes", "remotes": [{"type": "sse", "url": "https://a.example/sse"}]}},
        {"servers": [{"server": {"name": "io.example/notes", "remotes": [{"type": "streamable-http", "url": "https://a.example"}]}}]},
    ],
)
def test_every_kind_of_file_is_told_by_its_members(tmp_path: Path, document: object) -> None:
    made = imported(tmp_path, document)
    assert ([draft.name for draft in made.drafts], made.refused) == (["notes"], ())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "clients.json:1: The file is not JSON"),
        ('{"mcpServers": {\n"a": }', "clients.json:2: The file is not JSON"),
        ('{"mcpServers": {}, "mcpServers": {}}', "A key stands twice in one object."),
        ("[" * 100_000, "cannot be read as JSON"),
        ('{"mcpServers": {"\\ud800": {}}}', "half of a character"),
        ("[]", "It is neither a server.json nor the configuration of a client."),
        ('{"mcpServers": {}}', "It is neither"),
        ('{"mcpServers": []}', "It is neither"),
        ('{"context_servers": {"a": {}}}', "It is neither"),
    ],
)
def test_a_file_that_is_none_of_them_is_a_finding(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(ConfigurationInvalid) as invalid:
        imported(tmp_path, text)
    assert sentence in str(invalid.value)


@pytest.mark.parametrize("piece", ['"\\', '"a', ",  ", "/*", "//", '"\n'])
def test_a_file_of_no_sense_is_refused_in_time_that_grows_with_it_and_not_faster(tmp_path: Path, piece: str) -> None:
    began = time.process_time()
    with pytest.raises(ConfigurationInvalid):
        imported(tmp_path, piece * 200_000)
    assert time.process_time() - began < 2


def test_a_file_that_cannot_be_read_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "latin").write_bytes(b"\xff")
    for name, sentence in (("gone", "cannot be read"), ("latin", "not UTF-8"), ("", "cannot be read")):
        with pytest.raises(ConfigurationInvalid, match=sentence):
            read_import(tmp_path / name, frozenset())


@pytest.mark.parametrize(
    ("source", "name"),
    [("Notes Server", "notes-server"), ("@acme/notes_2", "acme-notes-2"), ("a--b", "a-b"), ("x" * 60, "x" * 40), ("../../etc", "etc")],
)
def test_a_name_is_made_fit(source: str, name: str) -> None:
    assert fit_name(source) == name


def test_a_name_of_nothing_is_refused() -> None:
    with pytest.raises(Unimportable, match="Nothing of its name"):
        fit_name("日本")


def registry(**server: Any) -> dict[str, Any]:
    return {"name": "io.example/notes", "description": "Short\n notes.", "version": "1.0.0", **server}


def package(**more: Any) -> dict[str, Any]:
    return {"registryType": "pypi", "identifier": "notes-mcp", "version": "1.2", "transport": STDIO, **more}


def test_a_package_of_a_registry_becomes_a_program(tmp_path: Path) -> None:
    variables = [
        {"name": "API_KEY", "isSecret": True},
        {"name": "LEVEL", "value": "info"},
        {"name": "REGION", "isRequired": True},
        {"name": "ACCESS_TOKEN", "value": CANARY, "isRequired": True},
        {"name": "OPTIONAL"},
    ]
    arguments = [
        {"type": "named", "name": "--dir", "value": "/srv"},
        {"type": "positional", "value": "serve"},
        {"type": "named", "name": "--depth"},
        {"type": "positional", "valueHint": "path", "isRequired": True},
    ]
    packages = [package(registryType="oci"), package(environmentVariables=variables, packageArguments=arguments, fileSha256="0" * 64)]
    (draft,) = imported(tmp_path, registry(packages=packages)).drafts
    assert draft.command is not None
    assert draft.command.arguments == ("--dir", "/srv", "serve")
    assert draft.environment == (("LEVEL", "info"),)
    assert dict(draft.secrets) == {name: f"env:MCP_NOTES_{name}" for name in ("API_KEY", "REGION", "ACCESS_TOKEN")}
    assert draft.description == "Short notes."
    assert CANARY not in draft.text
    assert {"stdio.package.digest", "owner"} <= {finding.key for finding in missing(draft, "servers")}


def test_a_remote_of_a_registry_goes_before_its_packages(tmp_path: Path) -> None:
    remotes = [
        {"type": "sse", "url": "https://a.example/sse"},
        {"type": "streamable-http", "url": "https://a.example/mcp", "headers": [{"name": "Authorization", "isSecret": True}]},
    ]
    (draft,) = imported(tmp_path, {"server": registry(remotes=remotes, packages=[package()])}).drafts
    assert (draft.url, draft.bearer) == ("https://a.example/mcp", "env:MCP_NOTES_TOKEN")
    assert "Left out: 1 further remotes and 1 packages of the same entry." in draft.notes


@pytest.mark.parametrize(
    ("server", "sentence"),
    [
        (registry(packages=[package(version="latest")]), "`latest`"),
        (registry(packages=[package(version="")]), "no version"),
        (registry(packages=[package(registryType="oci")]), "neither an address nor a package"),
        (registry(packages=[package(transport={"type": "sse", "url": "http://localhost:{port}"})]), "listens on an address by itself"),
        (registry(packages=["x"]), "`packages` is not a list of objects."),
        (registry(packages={}), "`packages` is not of the kind"),
        (registry(packages=[package(packageArguments=[{"type": "named", "name": "--key", "isSecret": True}])]), "An argument is a secret"),
        (registry(packages=[package(packageArguments=[{"type": "named", "name": "--key", "value": CANARY}])]), "looks like a secret"),
        (registry(packages=[package(environmentVariables=[{"name": "", "isSecret": True}])]), "whose name is none"),
        (registry(remotes=[{"type": "streamable-http", "url": "https://{tenant}.example/mcp"}]), "filled in by the client"),
        (registry(remotes=[{"type": "ws", "url": "wss://a.example"}]), "over a transport"),
    ],
)
def test_an_entry_of_a_registry_that_no_draft_can_be_made_of_is_refused(tmp_path: Path, server: dict[str, Any], sentence: str) -> None:
    (refused,) = imported(tmp_path, server).refused
    assert sentence in refused.sentence
    assert CANARY not in refused.sentence


@pytest.mark.parametrize(("status", "drafts"), [("active", 1), ("deprecated", 1), ("deleted", 0)])
def test_what_a_registry_deleted_is_not_imported(tmp_path: Path, status: str, drafts: int) -> None:
    answer = {
        "server": registry(packages=[package()]),
        "_meta": {"io.modelcontextprotocol.registry/official": {"status": status}},
    }
    made = imported(tmp_path, answer)
    assert (len(made.drafts), len(made.refused)) == (drafts, 1 - drafts)
    assert all(("deprecated" in " ".join(draft.notes)) is (status == "deprecated") for draft in made.drafts)


def test_the_command_writes_drafts_says_what_is_missing_and_refuses_the_rest(tmp_path: Path) -> None:
    entries = {"Notes": NPX, "notes": NPX, "late": {"command": "npx", "args": ["x@latest"]}, "far": {"url": "http://far.example/mcp"}}
    result = run(tmp_path, str(written(tmp_path, {"mcpServers": entries})))
    assert result.exit_code == 1
    assert sorted(path.name for path in (tmp_path / "servers").iterdir()) == ["far.yaml", "notes.yaml"]
    assert "servers/notes.yaml: drafted from Notes\n" in result.stdout
    assert "  missing: stdio.package.digest: This is not a digest." in result.stdout
    assert "  missing: url: Plain http is for servers on this machine only." in result.stdout
    assert "refused: notes: Its name would be notes, which is taken by Notes, of the same file." in result.stderr
    assert "refused: late: It names `latest`" in result.stderr


def test_the_command_never_overwrites_and_never_takes_a_name_that_means_something(tmp_path: Path) -> None:
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "notes.yaml").write_text("mine", "utf-8")
    (tmp_path / "servers" / "pinned.pin.json").write_text("{}", "utf-8")
    (tmp_path / "customhouse.yaml").write_text("portals: {office: {servers: [notes]}}", "utf-8")
    file = written(tmp_path, {"mcpServers": {"notes": NPX, "pinned": NPX, "office": NPX, "default": NPX}})
    result = run(tmp_path, str(file))
    assert result.exit_code == 1
    assert result.stderr.count("which is taken here already") == 4
    assert (tmp_path / "servers" / "notes.yaml").read_text("utf-8") == "mine"
    assert len(list((tmp_path / "servers").iterdir())) == 2


def test_the_command_can_print_and_write_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, {"mcpServers": {"notes": NPX}})
    result = run(tmp_path, str(file), "--print")
    assert result.exit_code == 0
    assert 'name: "@acme/notes"' in result.stdout
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_of_no_use_writes_nothing(tmp_path: Path) -> None:
    file = written(tmp_path, '{"mcpServers": {"a": {}}')
    assert run(tmp_path, str(file)).exit_code == 1
    assert list(tmp_path.iterdir()) == [file]


def test_if_one_draft_cannot_be_written_none_is(tmp_path: Path) -> None:
    command = PackageCommand("npm", "n", "1.2.3", "n")
    (tmp_path / "b.yaml").write_text("mine", "utf-8")
    with pytest.raises(FileExistsError):
        write_drafts(tmp_path, [Draft(name=name, source=name, command=command) for name in ("a", "b", "c")])
    assert [(path.name, path.read_text("utf-8")) for path in tmp_path.iterdir()] == [("b.yaml", "mine")]


def test_what_a_terminal_would_obey_is_shown_as_its_escape(tmp_path: Path) -> None:
    result = run(tmp_path, str(written(tmp_path, {"mcpServers": {"no\x1b[2J\u202etes": NPX}})))
    assert result.exit_code == 0
    text = result.output + (tmp_path / "servers" / "no-2j-tes.yaml").read_text("utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text
