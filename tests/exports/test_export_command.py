"""`customhouse export`: what a recipient reaches, in each format, and nothing else."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from customhouse.adapters.views.files import FileViews
from customhouse.cli.decisiontables import Who, caller_in
from customhouse.cli.main import main
from customhouse.config.load import load
from customhouse.core.content import Content, PolicyContent, ServerContent, stated
from customhouse.core.exports.formats import FORMATS
from customhouse.core.exports.selection import select
from customhouse.core.listing import listed
from customhouse.core.manifest import Era, canonical_bytes
from customhouse.core.naming import alias_of
from customhouse.core.picture import lines_of
from customhouse.core.review import Kind, State, Version
from customhouse.wiring import build_view, read_deployment
from tests.exports.world import SETTINGS, TITLE, build

READER = ("--as", "ann", "--group", "eng")
WRITER = ("--as", "bob", "--group", "writers")
SECRETS = ("Bearer ey", "NOTES_TOKEN")


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("deployment"))


def run(directory: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["export", *words, "--dir", str(directory)])


def exported(directory: Path, *words: str) -> Any:
    result = run(directory, *words)
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def toolset(document: Any) -> Any:
    return next(tool for tool in document["tools"] if tool["type"] == "mcp_toolset")


def test_a_messages_request_is_an_allow_list_over_pinned_definitions(deployment: Path) -> None:
    document = exported(deployment, "anthropic", "--portal", "office", *READER)
    assert document == {
        "betas": ["mcp-client-2025-11-20", "mcp-client-2026-09-15"],
        "mcp_servers": [{"type": "url", "name": "office", "url": "https://gateway.example.com/mcp/office"}],
        "tools": [
            {
                "type": "mcp_toolset",
                "mcp_server_name": "office",
                "default_config": {"enabled": False},
                "configs": {alias_of("notes", "list.notes"): {"enabled": True}, "notes__read_note": {"enabled": True}},
                "tools": [
                    {"name": alias_of("notes", "list.notes"), "description": None, "input_schema": {"type": "object"}},
                    {"name": "notes__read_note", "description": "Reads a note.", "input_schema": TITLE},
                ],
            }
        ],
    }


def test_a_schema_is_verbatim_to_the_order_of_its_keys_and_the_form_of_its_numbers(deployment: Path) -> None:
    text = run(deployment, "anthropic", "--server", "notes", *READER).stdout
    (tool,) = [tool for tool in toolset(json.loads(text))["tools"] if tool["name"] == "read_note"]
    pinned = json.loads((deployment / "servers" / "notes.pin.json").read_text("utf-8"))["manifest"]["tools"]
    (said,) = [tool["inputSchema"] for tool in pinned if tool["name"] == "read_note"]
    assert json.dumps(tool["input_schema"]) == json.dumps(said)
    assert text.isascii()


def test_the_names_are_those_of_the_endpoint(deployment: Path) -> None:
    own = toolset(exported(deployment, "anthropic", "--server", "notes", *WRITER, "--writes"))
    assert sorted(own["configs"]) == ["add_note", "purge", "read_note"]
    portal = toolset(exported(deployment, "anthropic", "--portal", "office", *WRITER, "--writes"))
    assert {"notes__add_note", "2fa__check"} <= set(portal["configs"])


def test_what_changes_things_is_left_out_unless_asked_for_and_said_so(deployment: Path) -> None:
    result = run(deployment, "anthropic", "--server", "notes", *WRITER)
    assert sorted(toolset(json.loads(result.stdout))["configs"]) == ["read_note"]
    assert (
        "note: /servers/notes/mcp: Left out, since they change things and writes were not asked for: add_note (write), purge"
        in result.stderr
    )


def test_deferred_tools_come_with_a_tool_search_that_is_not_deferred(deployment: Path) -> None:
    document = exported(deployment, "anthropic", "--server", "notes", *READER, "--defer")
    assert document["tools"][0] == {"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"}
    assert set(map(json.dumps, toolset(document)["configs"].values())) == {'{"enabled": true, "defer_loading": true}'}
    tools = exported(deployment, "openai", "--server", "notes", *READER, "--defer")["tools"]
    assert (tools[0], tools[1]["defer_loading"]) == ({"type": "tool_search"}, True)


def test_openai_asks_a_person_by_the_reviewed_class_and_never_by_the_servers_hint(deployment: Path) -> None:
    (tool,) = exported(deployment, "openai", "--server", "notes", *WRITER, "--writes")["tools"]
    assert tool == {
        "type": "mcp",
        "server_label": "notes",
        "server_description": "Short notes.",
        "server_url": "https://gateway.example.com/servers/notes/mcp",
        "allowed_tools": ["add_note", "purge", "read_note"],
        "require_approval": {"never": {"tool_names": ["read_note"]}, "always": {"tool_names": ["add_note", "purge"]}},
    }
    assert "read_only" not in json.dumps(tool)


def test_a_label_for_openai_begins_with_a_letter(deployment: Path) -> None:
    (tool,) = exported(deployment, "openai", "--server", "2fa", *WRITER)["tools"]
    assert tool["server_label"] == "mcp-2fa"


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_tool_whose_name_a_provider_cannot_take_is_left_out_and_said_so(deployment: Path, name: str) -> None:
    result = run(deployment, name, "--server", "notes", *READER)
    assert "list.notes" not in result.stdout
    assert "note: 'list.notes': Left out:" in result.stderr


@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_a_tool_that_works_as_a_task_alone_is_left_out_and_said_so(deployment: Path, name: str) -> None:
    result = run(deployment, name, "--server", "notes", *READER)
    assert '"watch"' not in result.stdout
    assert "note: watch: Left out: it works as a task alone" in result.stderr


def test_a_scope_that_a_tool_needs_is_told(deployment: Path) -> None:
    stderr = run(deployment, "openai", "--server", "notes", *WRITER, "--writes").stderr
    assert "note: add_note: A token for it needs the scope notes.write." in stderr


def test_everybody_stands_for_what_some_rule_grants(deployment: Path) -> None:
    document = exported(deployment, "anthropic", "--server", "notes", "--all", "--writes")
    assert sorted(toolset(document)["configs"]) == ["add_note", "purge", "read_note"]


def test_a_portal_of_two_tenants_is_exported_for_one_of_them(deployment: Path) -> None:
    result = run(deployment, "openai", "--portal", "mixed", "--all")
    assert result.exit_code == 2
    assert "say --tenant, one of acme, other" in result.stderr
    (tool,) = exported(deployment, "openai", "--portal", "mixed", "--all", "--tenant", "other")["tools"]
    assert tool["allowed_tools"] == ["foreign__check"]


def test_a_policy_of_claude_code_names_endpoints_by_url_and_closes_the_list(deployment: Path) -> None:
    document = exported(deployment, "claude-code-policy", "--portal", "office", "--server", "notes", *READER, "--deny-direct")
    assert document == {
        "allowManagedMcpServersOnly": True,
        "allowedMcpServers": [
            {"serverUrl": "https://gateway.example.com/mcp/office"},
            {"serverUrl": "https://gateway.example.com/servers/notes/mcp"},
        ],
        "deniedMcpServers": [{"serverUrl": f"https://{name}.example/mcp"} for name in ("2fa", "foreign", "notes")],
    }
    assert exported(deployment, "claude-code-policy", *READER, "--tenant", "acme")["deniedMcpServers"] == []


@pytest.mark.parametrize(
    ("name", "key", "token"),
    [
        ("claude-code-servers", "mcpServers", "${CUSTOMHOUSE_TOKEN}"),
        ("mcp-json", "mcpServers", "${CUSTOMHOUSE_TOKEN}"),
        ("vscode", "servers", "${input:customhouse-token}"),
    ],
)
def test_a_client_file_has_a_place_for_the_token_by_the_formats_own_means(deployment: Path, name: str, key: str, token: str) -> None:
    document = exported(deployment, name, *READER, "--tenant", "acme")
    entry = {"type": "http", "url": "https://gateway.example.com/mcp", "headers": {"Authorization": f"Bearer {token}"}}
    assert document[key] == {"customhouse": entry}
    signed_in = exported(deployment, name, *READER, "--tenant", "acme", "--sign-in")
    assert signed_in == {key: {"customhouse": {"type": "http", "url": "https://gateway.example.com/mcp"}}}


def test_an_endpoint_without_a_tool_for_the_recipient_is_exported_to_a_client_with_a_note(deployment: Path) -> None:
    result = run(deployment, "vscode", "--server", "notes", "--as", "eve")
    assert (result.exit_code, "note: notes: The recipient reaches no tool there." in result.stderr) == (0, True)
    assert "reaches no tool" not in run(deployment, "vscode", "--server", "notes", *WRITER).stderr


def test_writes_are_not_asked_for_where_no_tool_is_named(deployment: Path) -> None:
    result = run(deployment, "mcp-json", "--server", "notes", *WRITER, "--writes")
    assert result.exit_code == 2
    assert "mcp-json names no tools" in result.stderr


def test_vscode_asks_for_the_token_as_a_password(deployment: Path) -> None:
    (asked,) = exported(deployment, "vscode", *READER, "--tenant", "acme")["inputs"]
    assert (asked["id"], asked["password"]) == ("customhouse-token", True)


@pytest.mark.parametrize("name", list(FORMATS))
def test_no_export_names_what_no_call_of_the_recipient_reaches_nor_holds_a_secret(deployment: Path, name: str) -> None:
    text = run(deployment, name, "--portal", "office", *READER).stdout
    unseen = {"add_note", "purge", "hidden", "unreviewed", "watch", "check", "foreign"}
    assert not [word for word in (*unseen, *SECRETS) if word in text]


@pytest.mark.parametrize("path", ["/mcp/office", "/servers/notes/mcp", "/servers/2fa/mcp"])
@pytest.mark.parametrize("groups", [("eng",), ("writers",), ("eng", "writers")])
def test_the_names_of_an_export_are_those_that_the_gateway_lists_to_the_caller(
    deployment: Path, path: str, groups: tuple[str, ...]
) -> None:
    view = build_view(read_deployment(load(deployment, {})))
    who = caller_in(Who(person="ann", groups=groups), "acme")
    answer = listed(view.endpoints[path], "tools/list", who, Era.LEGACY, view.policy.visible, lambda *_: False)
    selection = select(view.endpoints[path], "acme", lambda tool: view.policy.visible(who, tool.action), writes=True)
    expected = [tool for tool in answer["tools"] if "watch" not in tool["name"]]
    assert [(tool.name, tool.definition["inputSchema"]) for tool in selection.tools] == [(t["name"], t["inputSchema"]) for t in expected]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "Say for whom"),
        (("--all", "--as", "ann"), "Say for whom"),
        (("--all", "--group", "eng"), "Say for whom"),
        (("--all", "--tenant", "acme", "--deny-direct"), "No address can be denied in openai."),
        (("--all", "--tenant", "acme", "--sign-in"), "What reads openai does not sign in by itself."),
        (("--all", "--server", "gone"), "There is no endpoint /servers/gone/mcp here"),
        (("--all", "--server", "notes", "--tenant", "other"), "/servers/notes/mcp offers nothing to the tenant other."),
        (("--as", "eve", "--server", "notes"), "problem: notes: No tool is left to export for this recipient."),
    ],
)
def test_what_cannot_be_exported_is_refused_in_a_sentence(deployment: Path, words: tuple[str, ...], sentence: str) -> None:
    result = run(deployment, "openai", *words)
    assert result.exit_code != 0
    assert sentence in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:8080", "connects over https only, and this is http://127.0.0.1:8080"),
        ("https://10.0.0.7", "connects from its own network"),
        ("https://[fd00::1]:8443", "connects from its own network"),
        ("https://gateway", "connects from its own network"),
        ("https://mcp.corp.internal", "connects from its own network"),
    ],
)
@pytest.mark.parametrize("name", ["anthropic", "openai"])
def test_an_address_that_a_provider_cannot_reach_stops_the_export(tmp_path: Path, name: str, url: str, sentence: str) -> None:
    build(tmp_path, SETTINGS.replace("https://gateway.example.com", url))
    result = run(tmp_path, name, "--server", "notes", *READER)
    assert (result.exit_code, result.stdout) == (1, "")
    assert sentence in result.stderr


def test_a_gateway_that_follows_the_registry_is_exported_as_it_was_published(tmp_path: Path) -> None:
    build(tmp_path, SETTINGS.partition("portals:")[0].replace("https://gateway.example.com", "http://127.0.0.1:8080") + "control: {}\n")
    words = ("mcp-json", "--server", "notes", *WRITER, "--sign-in")
    unpublished = run(tmp_path, *words)
    assert (unpublished.exit_code, "Nothing is published yet" in unpublished.stderr) == (1, True)
    deployment = read_deployment(load(tmp_path, {}))
    (notes,) = [one for one in deployment.definitions if one.name == "notes"]
    contents: list[tuple[Kind, str, Content]] = [
        (Kind.SERVER, "notes", ServerContent(definition=notes, pin=deployment.pins["notes"])),
        (
            Kind.POLICY,
            "rules.cedar",
            PolicyContent(text='@id("a") permit (principal, action in Action::"read", resource in Tenant::"acme");'),
        ),
    ]
    lines = lines_of((version_of(kind, name), canonical_bytes(stated(content))) for kind, name, content in contents)
    FileViews(tmp_path / "data" / "views").publish(lines)
    result = run(tmp_path, *words)
    assert json.loads(result.stdout) == {"mcpServers": {"notes": {"type": "http", "url": "http://127.0.0.1:8080/servers/notes/mcp"}}}
    assert "There is no endpoint /servers/foreign/mcp here" in run(tmp_path, "mcp-json", "--server", "foreign", *WRITER).stderr
    FileViews(tmp_path / "data" / "views").publish([b'{"kind":"new"}'])
    assert "cannot be read by this release" in run(tmp_path, *words).stderr


def version_of(kind: Kind, name: str) -> Version:
    return Version(
        kind=kind,
        name=name,
        number=1,
        tenant="acme",
        digest=f"sha256:{name}",
        state=State.ACTIVE,
        proposer="acme/ann",
        reviewers_needed=1,
        proposed_at=1.0,
    )
