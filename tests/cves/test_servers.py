"""Which server a call reaches, what it brings there, and what a server's own data may do."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.core.limits import defects
from customhouse.core.lookalike import folded
from customhouse.core.manifest import Effect, Manifest
from customhouse.core.naming import SERVER_NAME, alias_of, aliases
from customhouse.core.policy import PolicyServer, PolicyTool, compile_policy
from tests.core.policy_world import caller, permitted
from tests.cves.attacker import READ, WELCOME, Door, Headers, call, request
from tests.cves.cases import advisory
from tests.cves.conftest import CREDENTIAL, Town

WORDS = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
SERVERS = st.lists(WORDS, min_size=1, max_size=3).map("-".join)
TOOLS = st.text(string.ascii_letters + string.digits + "_-./", min_size=1, max_size=70)


@advisory("CVE-2026-30856")
@given(st.lists(st.tuples(SERVERS, TOOLS), unique=True, max_size=12))
def test_a_name_stands_for_one_tool_of_one_server(names: list[tuple[str, str]]) -> None:  # GW-87
    table = aliases(names)
    assert sorted(table.values()) == sorted(names)
    assert all(alias_of(server, tool) == alias for alias, (server, tool) in table.items())


@advisory("CVE-2026-30856")
@pytest.mark.parametrize("name", ["a_b", "a__b", "a-", "-a", "a--b", "A", "a.b", "a/b", "", "\u0430"])
def test_a_server_cannot_take_a_name_that_ends_elsewhere(name: str) -> None:
    """So that `a__b__c` begins with the server `a`, whoever reads it."""
    assert SERVER_NAME.fullmatch(name) is None


@advisory("CVE-2026-30856")
@pytest.mark.parametrize(
    ("one", "other"), [("read_note", "Read_Note"), ("read_note", "read_n\u200bote"), ("pay", "\uff50ay"), ("pay", "pay")]
)
def test_two_tools_that_look_alike_are_both_left_out(one: str, other: str) -> None:
    tools = tuple({"name": name, "inputSchema": {"type": "object"}} for name in (one, other, "else"))
    left = defects(Manifest(server_info={}, capabilities={}, tools=tools)).servable.tools
    assert folded(one) == folded(other)
    assert [tool["name"] for tool in left][-1] == "else"
    assert other not in [tool["name"] for tool in left] or one == other
    assert len(left) <= 2


@advisory("CVE-2026-30856")
def test_one_name_at_two_servers_is_two_tools(town: Town, alice: str) -> None:  # GW-87
    arguments = {"title": "welcome"}
    assert town.door.say(call("notes__read_note", arguments), alice).text == WELCOME
    assert town.door.say(call("lies__read_note", arguments), alice).text == "a lie"


@advisory("CVE-2026-30856")
@pytest.mark.parametrize(
    "name", ["read_note", "lies__notes__read_note", "notes__lies__read_note", "notes_read_note", "notes__Read_note", "notes.read_note"]
)
def test_a_name_is_never_taken_apart(town: Town, alice: str, name: str) -> None:
    assert town.door.say(call(name, {"title": "welcome"}), alice).reason == "unknown_name"


def pointers(port: int) -> list[Headers]:
    """Headers that told some gateway where to go."""
    url, authority = f"http://127.0.0.1:{port}/mcp", f"127.0.0.1:{port}"
    return [
        [("Sw-Url", url), ("X-Sw-Url", url)],
        [("X-Upstream-Url", url), ("X-Upstream", authority), ("X-Backend", authority)],
        [("X-Mcp-Server", "elsewhere"), ("X-Mcp-Servers", "elsewhere"), ("X-Mcp-Server-Url", url), ("Mcp-Server-Url", url)],
        [("X-Target-Url", url), ("Target-Url", url), ("X-Proxy-Url", url), ("X-Original-Host", authority)],
        [("X-Forwarded-Host", authority), ("X-Host", authority), ("Forwarded", f"host={authority}")],
        [("Destination", url), ("Referer", url), ("X-Envoy-Original-Dst-Host", authority)],
    ]


@advisory("CVE-2026-34476")
@pytest.mark.parametrize("which", range(6))
def test_no_header_chooses_where_a_call_goes(town: Town, alice: str, which: int) -> None:
    assert town.door.say(READ, alice, extra=pointers(town.bait.port)[which]).text == WELCOME
    assert town.bait.heard == []


@advisory("CVE-2026-34476")
@pytest.mark.parametrize("key", ["url", "server", "upstream", "server_url", "target", "base_url"])
def test_no_query_and_no_parameter_chooses_where_a_call_goes(town: Town, alice: str, key: str) -> None:
    said = request("tools/call", {"name": "notes__read_note", "arguments": {"title": "welcome"}, key: town.bait.url})
    assert town.door.say(said, alice, f"/mcp?{key}={town.bait.url}").text == WELCOME
    assert town.bait.heard == []


@advisory("CVE-2026-26118")
@pytest.mark.parametrize("revision", ["2026-07-28"])
def test_a_redirect_does_not_carry_the_gateways_credential_away(town: Town, alice: str, revision: str) -> None:
    assert town.door.say(call("lies__redirect", revision=revision), alice).reason == "upstream_redirected"
    assert town.bait.heard == []


@advisory("CVE-2026-26118")
def test_each_server_gets_its_own_credential_and_no_callers(town: Town, alice: str) -> None:  # GW-98
    town.door.say(call("lies__read_note"), alice)
    town.door.say(call("notes__read_note", {"title": "credential-marker"}), alice)
    (at_notes,) = town.tap.about("credential-marker")
    at_lies = town.liar.heard[-1]
    assert f"authorization: Bearer {CREDENTIAL}".encode() in at_lies.head
    assert CREDENTIAL.encode() not in at_notes.head
    assert not [sent for sent in (at_notes, at_lies) if alice.encode() in sent.head + sent.body]


@advisory("CVE-2026-26118")
def test_a_credential_is_in_no_answer(door: Door, alice: str) -> None:
    for said in (call("lies__redirect"), call("lies__read_note"), request("tools/list"), request("server/discover")):
        assert CREDENTIAL.encode() not in door.say(said, alice).body
    assert CREDENTIAL.encode() not in door.ask("GET", "/metrics").body


# --- Arguments that a rule limits ----------------------------------------------------------------------------------------

EXPORT = PolicyServer(
    "tube",
    "acme",
    "team-tube",
    (PolicyTool("export", Effect.WRITE, {"type": "object", "properties": {"output": {"type": "string"}}, "required": ["output"]}),),
)
LIMITED = """
@id("exports-go-to-two-files") permit (
  principal in Group::"acme/eng", action == Action::"call:tube/export", resource in Server::"tube")
when { ["/srv/out/a.csv", "/srv/out/b.csv"].contains(context.arguments.output) };
"""


@advisory("CVE-2026-50158")
@pytest.mark.parametrize(
    "path",
    [
        *("/etc/passwd", "/srv/out/../../etc/passwd", "/srv/out/./a.csv", "/srv/out//a.csv", "/srv/out/a.csv/", "/srv/out/A.csv"),
        *("/srv/out/a.csv\0", "/srv/out/a.csv ", "~/.ssh/authorized_keys", "file:///srv/out/a.csv", "", "/srv/out/a\u200b.csv"),
    ],
)
def test_a_rule_holds_a_path_to_the_listed_ones(path: str) -> None:
    policy = compile_policy({"limited.cedar": LIMITED}, [EXPORT])
    export = policy.tool("tube", "export")
    assert permitted(policy, caller("alice", "eng"), export, {"output": "/srv/out/a.csv"})
    assert not permitted(policy, caller("alice", "eng"), export, {"output": path})


@advisory("CVE-2026-50158")
@given(st.text(max_size=30))
def test_no_other_text_is_a_listed_path(path: str) -> None:
    policy = compile_policy({"limited.cedar": LIMITED}, [EXPORT])
    expected = path in ("/srv/out/a.csv", "/srv/out/b.csv")
    assert permitted(policy, caller("alice", "eng"), policy.tool("tube", "export"), {"output": path}) is expected


# --- Addresses in a server's own data ------------------------------------------------------------------------------------

BREAKOUTS = [
    'javascript:alert(1)//"',
    "JaVaScRiPt:alert(1)",
    " javascript:alert(1)",
    'http://x" onmouseover="alert(1)',
    "vbscript:x",
    "file:///etc/passwd",
    "//evil.example/x.png",
    "java\nscript:alert(1)",
]


@advisory("CVE-2026-44429")
@pytest.mark.parametrize("address", BREAKOUTS)
def test_an_icon_is_https_or_data_or_its_entry_is_left_out(address: str) -> None:
    tool = {"name": "t", "inputSchema": {"type": "object"}, "icons": [{"src": address}]}
    found = defects(Manifest(server_info={}, capabilities={}, tools=(tool,)))
    assert found.servable.tools == ()
    assert found.entries


@advisory("CVE-2026-44429")
def test_what_a_server_says_of_itself_is_not_passed_on(door: Door, alice: str) -> None:
    """`websiteUrl` and icons of a server stand in its introduction; the gateway introduces itself."""
    for path in ("/mcp", "/servers/notes/mcp"):
        for said in (request("server/discover"), request("initialize", {"protocolVersion": "2025-11-25"}, "2025-11-25")):
            result = door.say(said, alice, path).message["result"]
            info = result.get("serverInfo") or result["_meta"]["io.modelcontextprotocol/serverInfo"]
            assert info.keys() == {"name", "title", "version"}
            assert info["name"] == "customhouse"
