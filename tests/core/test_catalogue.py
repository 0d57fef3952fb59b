"""What endpoints offer: reviewed and sound entries only, found by their whole name and never by a part of it."""

from typing import Any

import pytest

from customhouse.core.catalogue import Endpoint, offer, portal_endpoint, server_endpoint
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.picture import ServedServer
from customhouse.core.policy import compile_policy, policy_servers
from customhouse.core.refusal import Reason, Refused
from tests.core.policy_world import caller

OBJECT = {"type": "object"}
GOOD = {"name": "search", "inputSchema": OBJECT}


def manifest(*tools: dict[str, Any], **more: Any) -> Manifest:
    return Manifest(server_info={"name": "n"}, capabilities={"tools": {}}, tools=tools or (GOOD,), **more)


def definition(name: str, *tools: str, tenant: str = "acme", scopes: tuple[str, ...] = ()) -> ServerDefinition:
    reviews = {tool: ToolReview(Effect.READ, scopes) for tool in tools or ("search",)}
    return ServerDefinition(name=name, owner="o", contact="c", tenant=tenant, url="http://127.0.0.1:1/", tools=reviews)


def offers(*pairs: tuple[ServerDefinition, Manifest], revision: str = "2026-07-28") -> list[Any]:
    pins = {server.name: Pin(server=server.name, revision=revision, digest=digest_of(said), manifest=said) for server, said in pairs}
    servers = [server for server, _ in pairs]
    policy = compile_policy({}, policy_servers(servers, pins))
    return [offer(server, pins[server.name], policy.refs_of(server.name)) for server in servers]


def portal(*pairs: tuple[ServerDefinition, Manifest], name: str = "default") -> Endpoint:
    return portal_endpoint(name, offers(*pairs), "http://g")


def refusal(call: Any, name: object) -> Refused:
    with pytest.raises(Refused) as caught:
        call(name)
    return caught.value


def test_only_reviewed_and_sound_tools_of_the_pin_are_offered() -> None:
    said = manifest(GOOD, {"name": "unreviewed", "inputSchema": OBJECT}, {"name": "broken", "inputSchema": {"type": 7}})
    (one,) = offers((definition("a", "search", "broken", "imagined"), said))
    assert [tool.name for tool in one.tools] == ["search"]


def test_two_servers_may_have_a_tool_of_one_name() -> None:
    both = portal((definition("a"), manifest()), (definition("b"), manifest()))
    assert {name: tool.server.name for name, tool in both.tools.items()} == {"a__search": "a", "b__search": "b"}
    assert (both.path, both.resource) == ("/mcp", "http://g/mcp")
    assert portal((definition("a"), manifest()), name="team").path == "/mcp/team"


@pytest.mark.parametrize("name", ["search", "a__", "__search", "a__search ", "A__search", "a_search", "", None, 1, ["a__search"], {}])
def test_a_name_is_found_whole_or_not_at_all(name: object) -> None:  # CVE-2026-30856
    one = portal((definition("a"), manifest()))
    assert one.tool("a__search").name == "search"
    assert refusal(one.tool, name).reason is Reason.UNKNOWN_NAME
    assert refusal(one.prompt, name).reason is Reason.UNKNOWN_NAME


def test_a_resource_is_found_by_its_address_or_under_one_template() -> None:
    said = manifest(resources=({"uri": "n://a", "name": "a"},), resource_templates=({"uriTemplate": "n://by/{who}", "name": "t"},))
    (one,) = offers((definition("a"), said))
    alone = server_endpoint(one, "http://g")
    assert alone.path == "/servers/a/mcp"
    assert alone.resource_at("n://a", "acme").definition["name"] == "a"
    assert alone.resource_at("n://by/me", "acme").template is not None
    assert refusal(lambda uri: alone.resource_at(uri, "acme"), "n://by/me/too").detail == {"uri": "n://by/me/too"}
    assert refusal(lambda uri: alone.resource_at(uri, "acme"), None).detail == {}


def test_an_address_that_two_servers_offer_belongs_to_neither_in_a_portal() -> None:
    said = manifest(resources=({"uri": "n://a", "name": "a"},), resource_templates=({"uriTemplate": "n://by/{who}", "name": "t"},))
    other = manifest(resources=({"uri": "n://b", "name": "b"},), resource_templates=({"uriTemplate": "n://by/{you}", "name": "t"},))
    both = portal((definition("a"), said), (definition("b"), said))
    assert refusal(lambda uri: both.resource_at(uri, "acme"), "n://a").reason is Reason.UNKNOWN_NAME
    assert refusal(lambda uri: both.resource_at(uri, "acme"), "n://by/me").reason is Reason.UNKNOWN_NAME
    overlapping = portal((definition("a"), said), (definition("b"), other))
    assert overlapping.resource_at("n://a", "acme").server.name == "a"
    assert refusal(lambda uri: overlapping.resource_at(uri, "acme"), "n://by/me").reason is Reason.UNKNOWN_NAME


def test_a_server_of_another_tenant_takes_no_address_out_of_a_portal() -> None:
    said = manifest(resources=({"uri": "n://a", "name": "a"},), resource_templates=({"uriTemplate": "n://by/{who}", "name": "t"},))
    both = portal((definition("a"), said), (definition("squat", tenant="other"), said))
    for tenant, server in (("acme", "a"), ("other", "squat")):
        assert both.resource_at("n://a", tenant).server.name == server
        assert both.resource_at("n://by/me", tenant).server.name == server
    assert refusal(lambda uri: both.resource_at(uri, "third"), "n://a").reason is Reason.UNKNOWN_NAME


def test_an_endpoint_serves_the_tenants_of_its_servers_and_names_their_scopes() -> None:
    one = portal((definition("a", scopes=("z", "a")), manifest()), (definition("b", tenant="other", scopes=("m",)), manifest()))
    assert one.scopes == ("a", "m", "z")
    assert one.serves(caller("alice"))
    assert one.serves(caller("eve", tenant="other"))
    assert not one.serves(caller("mallory", tenant="third"))


def test_a_tools_schema_and_headers_are_read_once() -> None:
    said = manifest({"name": "search", "inputSchema": {**OBJECT, "properties": {"r": {"type": "string", "x-mcp-header": "R"}}}})
    tool = portal((definition("a"), said)).tool("a__search")
    assert tool.schema is tool.schema
    assert tool.header_parameters is tool.header_parameters
    assert [parameter.header_name for parameter in tool.header_parameters] == ["Mcp-Param-R"]


def test_a_version_beside_its_successor_offers_what_policies_know_by_that_one() -> None:
    new = manifest(prompts=({"name": "kept"},))
    old = manifest(GOOD, {"name": "gone", "inputSchema": OBJECT}, prompts=({"name": "kept"}, {"name": "gone"}))
    current = ServedServer("a", 2, "", False, definition("a"), Pin(server="a", revision="2026-07-28", digest="", manifest=new))
    older = ServedServer(
        "a", 1, "", True, definition("a", "search", "gone"), Pin(server="a", revision="2026-07-28", digest="", manifest=old)
    )
    assert current.offer is not None
    beside = older.offer_beside(current.offer, current.refs)
    assert beside is not None
    assert ([tool.name for tool in beside.tools], [prompt.name for prompt in beside.prompts]) == (["search"], ["kept"])
