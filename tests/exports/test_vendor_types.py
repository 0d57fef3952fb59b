"""Exports are what the vendors' released SDKs and documents describe, and the checks of that can fail."""

import json
from collections.abc import Callable
from typing import Any, get_args

import jsonschema_rs
import pydantic
import pytest
from anthropic.types import AnthropicBetaParam
from anthropic.types.beta import BetaMCPToolsetParam, BetaRequestMCPServerURLDefinitionParam, BetaToolSearchToolRegex20251119Param
from anthropic.types.beta.message_create_params import MessageCreateParamsBase
from click.testing import CliRunner
from openai.types.responses.response_create_params import ResponseCreateParamsBase
from openai.types.responses.tool_param import Mcp
from openai.types.responses.tool_search_tool_param import ToolSearchToolParam

from customhouse.cli.main import main
from customhouse.core.exports.formats import FORMATS
from tests.exports.documented import MANAGED_SETTINGS, MCP_SERVERS, VSCODE
from tests.exports.vendortypes import mutations, validate
from tests.exports.world import build

NAMED_BY_US = {"configs", "servers", "mcpServers", "headers"}
"""Members whose keys are names of ours, not the vendor's."""
ANTHROPIC_TOOLS = {"mcp_toolset": BetaMCPToolsetParam, "tool_search_tool_regex_20251119": BetaToolSearchToolRegex20251119Param}
OPENAI_TOOLS = {"mcp": Mcp, "tool_search": ToolSearchToolParam}


def messages_request(document: Any) -> None:
    assert document.keys() <= MessageCreateParamsBase.__annotations__.keys() | {"betas"}
    validate(list[BetaRequestMCPServerURLDefinitionParam], document["mcp_servers"])
    for tool in document["tools"]:
        validate(ANTHROPIC_TOOLS[tool["type"]], tool)


def responses_request(document: Any) -> None:
    assert document.keys() <= ResponseCreateParamsBase.__annotations__.keys()
    for tool in document["tools"]:
        validate(OPENAI_TOOLS[tool["type"]], tool)


def documented(schema: dict[str, Any]) -> Callable[[Any], None]:
    validator = jsonschema_rs.Draft202012Validator(schema)
    return validator.validate


CHECKS: dict[str, Callable[[Any], None]] = {
    "anthropic": messages_request,
    "openai": responses_request,
    "claude-code-policy": documented(MANAGED_SETTINGS),
    "claude-code-servers": documented(MCP_SERVERS),
    "vscode": documented(VSCODE),
    "mcp-json": documented(MCP_SERVERS),
}
REFUSED = (pydantic.ValidationError, jsonschema_rs.ValidationError, AssertionError, KeyError)


@pytest.fixture(scope="module")
def documents(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = build(tmp_path_factory.mktemp("deployment"))
    made = {}
    for name, chosen in FORMATS.items():
        words = ["export", name, "--portal", "office", "--server", "notes", "--as", "bob", "--group", "writers"]
        words += ["--writes"] * chosen.names_tools
        words += ["--defer"] * chosen.defers + ["--deny-direct"] * chosen.denies
        made[name] = json.loads(CliRunner().invoke(main, [*words, "--dir", str(directory)]).stdout)
    return made


def test_every_format_has_a_check() -> None:
    assert CHECKS.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", list(FORMATS))
def test_an_export_is_of_the_vendors_type(documents: dict[str, Any], name: str) -> None:
    CHECKS[name](documents[name])


@pytest.mark.parametrize("name", list(FORMATS))
def test_a_misspelt_key_anywhere_is_caught(documents: dict[str, Any], name: str) -> None:
    wrong = [(path, document) for path, document in mutations(documents[name]) if is_the_vendors(path.split("/"))]
    assert len(wrong) > 2
    assert [path for path, document in wrong if not is_refused(CHECKS[name], document)] == []


def is_the_vendors(path: list[str]) -> bool:
    return "input_schema" not in path[:-1] and (len(path) < 2 or path[-2] not in NAMED_BY_US)


def is_refused(check: Callable[[Any], None], document: object) -> bool:
    try:
        check(document)
    except REFUSED:
        return True
    return False


def test_a_toolset_with_a_fourth_key_in_a_pinned_tool_is_caught(documents: dict[str, Any]) -> None:
    toolset = json.loads(json.dumps(documents["anthropic"]["tools"][-1]))
    assert {frozenset(tool) for tool in toolset["tools"]} == {frozenset({"name", "description", "input_schema"})}
    toolset["tools"][0]["annotations"] = {}
    with pytest.raises(pydantic.ValidationError):
        validate(BetaMCPToolsetParam, toolset)


def test_an_entry_with_two_matchers_is_caught(documents: dict[str, Any]) -> None:
    document = json.loads(json.dumps(documents["claude-code-policy"]))
    document["allowedMcpServers"][0]["serverName"] = "office"
    with pytest.raises(jsonschema_rs.ValidationError):
        CHECKS["claude-code-policy"](document)


def test_the_beta_headers_are_known_to_the_sdk(documents: dict[str, Any]) -> None:
    known = {name for kind in get_args(AnthropicBetaParam) for name in get_args(kind)}
    assert set(documents["anthropic"]["betas"]) <= known


def test_each_server_is_referenced_by_exactly_one_toolset_and_each_name_of_a_config_is_pinned(documents: dict[str, Any]) -> None:
    document = documents["anthropic"]
    toolsets = [tool for tool in document["tools"] if tool["type"] == "mcp_toolset"]
    assert [toolset["mcp_server_name"] for toolset in toolsets] == [server["name"] for server in document["mcp_servers"]]
    for toolset in toolsets:
        assert list(toolset["configs"]) == [tool["name"] for tool in toolset["tools"]]


def test_every_name_for_openai_is_allowed_and_has_one_answer_to_who_approves(documents: dict[str, Any]) -> None:
    for tool in documents["openai"]["tools"][1:]:
        asked = tool["require_approval"]
        assert sorted(tool["allowed_tools"]) == sorted(name for names in asked.values() for name in names["tool_names"])
