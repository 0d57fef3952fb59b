"""What a caller may see is what it may call; what is judged is the body, and the server hears nothing else."""

import asyncio
from typing import Any

import msgspec
import pytest

from customhouse.core.manifest import Effect
from customhouse.core.permit import Permit
from customhouse.core.policygrants import Grant, Granted, Grantee
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.gateway.support import Moving, World, legacy, result

READER, NOBODY, STRANGER = b"alice readers", b"mallory", b"eve readers tenant=other"
SEARCH = {"name": "notes__search", "arguments": {"query": "x"}}


async def names(world: World, token: bytes, method: str = "tools/list", path: str = "/mcp") -> list[str]:
    found = (await world.ask(method, token=token, path=path)).result
    ((_, entries),) = found.items()
    return [entry.get("uri") or entry.get("uriTemplate") or entry["name"] for entry in entries]


async def test_a_caller_sees_what_some_call_of_its_own_could_reach(world: World) -> None:  # GW-33
    assert await names(world, READER) == ["notes__add", "notes__route", "notes__scoped", "notes__search", "notes__shape"]
    assert await names(world, NOBODY) == []
    assert await names(world, STRANGER) == [f"foreign__{name}" for name in ("route", "scoped", "search", "shape")]
    assert await names(world, READER, path="/servers/notes/mcp") == ["add", "route", "scoped", "search", "shape"]
    assert await names(world, READER, "prompts/list") == ["notes__daily"]


async def test_a_server_of_another_tenant_takes_no_address_out_of_a_portal(world: World) -> None:
    assert await names(world, READER, "resources/list") == ["note://a"]
    assert await names(world, READER, "resources/templates/list") == ["note://by/{who}"]
    await world.ask("resources/read", {"uri": "note://a"}, token=READER)
    assert [permit.server.name for permit, _ in world.servers.calls] == ["notes"]


async def test_the_addresses_of_a_server_are_listed_at_its_own_endpoint(world: World) -> None:
    assert await names(world, READER, "resources/list", "/servers/notes/mcp") == ["note://a"]
    assert await names(world, READER, "resources/templates/list", "/servers/notes/mcp") == ["note://by/{who}"]


ARGUMENTS: dict[str, dict[str, Any]] = {"search": {"query": "x"}, "add": {"title": "t", "tag": "draft"}}
SCOPES = b" scope=notes:read scope=notes:deep"


@pytest.mark.parametrize("token", [READER + SCOPES, NOBODY, STRANGER + SCOPES, b"bob readers writers", b"carl writers"])
async def test_whatever_is_callable_is_listed_and_whatever_is_hidden_answers_like_nothing(world: World, token: bytes) -> None:
    listed = set(await names(world, token))
    for alias, tool in world.live.view.endpoints["/mcp"].tools.items():
        back = await world.ask("tools/call", {"name": alias, "arguments": ARGUMENTS.get(tool.name, {})}, token=token)
        callable_ = "result" in back.answer
        assert callable_ <= (alias in listed)
        if alias not in listed:
            nothing = await world.ask("tools/call", {"name": "notes__nothing", "arguments": {}}, token=token)
            for one in (back, nothing):
                assert one.refusal == "UNKNOWN_NAME"
            hidden, unknown = (one.answer["error"] for one in (back, nothing))
            hidden["data"].pop("callId"), unknown["data"].pop("callId")
            assert (back.status, back.headers, hidden) == (nothing.status, nothing.headers, unknown)


async def test_a_call_that_needs_an_approval_does_not_reach_the_server_without_one() -> None:
    world = World('@id("ask") @approval("leads") permit (principal, action in Action::"read", resource in Server::"notes");')
    assert "notes__search" in await names(world, READER)
    assert (await world.ask("tools/call", SEARCH, token=READER)).refusal == "APPROVAL_NEEDED"
    closing = world.book.records[-1]
    assert (closing.decision, closing.reasons, len(closing.approval)) == ("ask", ("ask",), 32)
    assert world.servers.calls == []


async def test_an_unreviewed_tool_cannot_be_called_even_where_policy_permits_everything() -> None:
    world = World('@id("all") permit (principal, action in [Action::"read", Action::"write", Action::"destructive"], resource);')
    assert "notes__unreviewed" not in await names(world, READER)
    assert (await world.ask("tools/call", {"name": "notes__unreviewed"})).refusal == "UNKNOWN_NAME"
    assert (await world.ask("tools/call", {"name": "foreign__search", "arguments": {"query": "x"}})).refusal == "UNKNOWN_NAME"
    assert world.servers.calls == []


async def test_prompts_and_resources_hidden_from_a_caller_answer_like_unknown_ones(world: World) -> None:
    asked: list[tuple[str, dict[str, Any]]] = [
        ("prompts/get", {"name": "daily"}),
        ("resources/read", {"uri": "note://a"}),
        ("resources/read", {"uri": "note://by/bob"}),
        ("completion/complete", {"ref": {"type": "ref/prompt", "name": "daily"}, "argument": {}}),
        ("completion/complete", {"ref": {"type": "ref/resource", "uri": "note://by/{who}"}, "argument": {}}),
    ]
    for method, params in asked:
        shown = await world.ask(method, params, token=READER, path="/servers/notes/mcp")
        assert "result" in shown.answer, method
        hidden = await world.ask(method, params, token=NOBODY, path="/servers/notes/mcp")
        assert hidden.refusal == "UNKNOWN_NAME"
    sent = [ask for _, ask in world.servers.calls]
    assert [(ask.method, ask.params) for ask in sent] == asked


async def test_drift_blocks_and_hides_an_entry_until_it_is_reviewed(world: World) -> None:  # GW-108
    world.live.block("notes", frozenset({("tool", "search"), ("template", "note://by/{who}")}))
    assert "notes__search" not in await names(world, READER)
    assert await names(world, READER, "resources/templates/list", "/servers/notes/mcp") == []
    assert (await world.ask("tools/call", SEARCH)).refusal == "DRIFTED"
    back = await world.ask("resources/read", {"uri": "note://by/bob"}, path="/servers/notes/mcp")
    assert back.refusal == "DRIFTED"
    assert (await world.ask("tools/call", SEARCH, token=NOBODY)).refusal == "UNKNOWN_NAME"
    assert world.servers.calls == []
    before = world.live.drift_version
    world.live.block("notes", frozenset())
    world.live.block("notes", frozenset())
    assert world.live.drift_version == before + 1
    assert "notes__search" in await names(world, READER)


async def test_a_list_is_the_same_bytes_again_for_whoever_asks_from_the_same_context(world: World) -> None:  # GW-32, GW-33
    first = await world.ask_modern("tools/list")
    await world.ask("tools/call", SEARCH)
    second = await world.ask_modern("tools/list", token=b"new alice readers")
    assert first.body == second.body
    assert (first.result["ttlMs"], first.result["cacheScope"], first.result["resultType"]) == (0, "private", "complete")


async def test_lists_are_worded_for_the_revision(world: World) -> None:  # GW-86
    """The pin is a modern one, in which `execution` is nobody's word; legacy clients would take it for theirs."""
    modern = {tool["name"]: tool for tool in (await world.ask_modern("tools/list")).result["tools"]}
    newest: dict[bytes, bytes | None] = {b"mcp-protocol-version": b"2025-11-25"}
    legacy_ = {tool["name"]: tool for tool in (await world.ask("tools/list", headers=newest)).result["tools"]}
    assert "outputSchema" in modern["notes__shape"]
    assert "execution" in modern["notes__shape"]
    assert "outputSchema" not in legacy_["notes__shape"]
    assert "execution" not in legacy_["notes__shape"]
    unsaid = {tool["name"]: tool for tool in (await world.ask("tools/list")).result["tools"]}
    assert "outputSchema" not in unsaid["notes__shape"]


@pytest.mark.parametrize("version", ["2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05"])
async def test_each_legacy_revision_is_greeted_with_itself(world: World, version: str) -> None:  # GW-35
    back = await world.ask("initialize", {"protocolVersion": version, "capabilities": {}})
    assert back.result["protocolVersion"] == version
    assert back.result["instructions"] == "# notes\nKeep notes."
    completes: dict[str, Any] = {} if version == "2024-11-05" else {"completions": {}}  # which has no word for it
    offered = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "logging": {}}
    assert back.result["capabilities"] == offered | completes


@pytest.mark.parametrize("version", ["1900-01-01", "2026-07-28", None, 7, ["2025-11-25"]])
async def test_any_other_revision_is_answered_with_the_newest_legacy_one(world: World, version: object) -> None:  # GW-35
    assert (await world.ask("initialize", {"protocolVersion": version})).result["protocolVersion"] == "2025-11-25"


async def test_discovery_names_modern_versions_only_and_no_server_of_others(world: World) -> None:  # GW-31
    found = (await world.ask_modern("server/discover", path="/servers/notes/mcp")).result
    assert (found["supportedVersions"], found["instructions"]) == (["2026-07-28"], "Keep notes.")
    assert "foreign" not in (await world.ask_modern("server/discover")).result["instructions"]


async def test_ping_and_log_levels_are_answered_here(world: World) -> None:  # GW-46
    assert (await world.ask("ping")).result == {}
    assert (await world.ask("logging/setLevel", {"level": "error"})).result == {}
    assert world.servers.calls == []


@pytest.mark.parametrize("method", ["initialize", "ping", "logging/setLevel", "resources/subscribe", "no/such"])
async def test_a_method_that_is_not_of_the_modern_era_is_404_and_unknown(world: World, method: str) -> None:  # GW-22
    back = await world.ask_modern(method)
    assert (back.status, back.answer["error"]["code"]) == (404, -32601)


# Arguments


@pytest.mark.parametrize("key", ["Query", "QUERY", "ｑuery", "query\u200b"])
async def test_an_argument_that_looks_like_a_declared_one_is_refused(world: World, key: str) -> None:  # CVE-2026-27896
    back = await world.ask("tools/call", {"name": "notes__search", "arguments": {"query": "x", key: "y"}})
    assert back.refusal == "INVALID_PARAMS"
    assert world.servers.calls == []


async def test_arguments_that_the_pin_refuses_are_an_error_of_the_tool(world: World) -> None:
    back = await world.ask("tools/call", {"name": "notes__search", "arguments": {"limit": "many"}})
    assert back.result["isError"] is True
    assert "limit" in back.result["content"][0]["text"]
    assert world.book.closing.outcome == "INVALID_ARGUMENTS"
    assert world.servers.calls == []


async def test_policy_decides_on_the_arguments_of_the_body(world: World) -> None:
    for tag, expected in (("draft", True), ("final", False)):
        back = await world.ask("tools/call", {"name": "notes__add", "arguments": {"title": "t", "tag": tag}})
        assert ("result" in back.answer) is expected
    assert [ask.params["arguments"]["tag"] for _, ask in world.servers.calls] == ["draft"]


async def test_a_header_that_differs_is_refused_before_anything_is_decided(world: World) -> None:  # GW-14
    back = await world.ask_modern("tools/call", SEARCH, headers={b"mcp-name": b"notes__add"})
    assert (back.status, back.answer["error"]["code"]) == (400, -32020)
    assert world.book.closing.decision == ""


@pytest.mark.parametrize(("sent", "passes"), [("note://by/ö".encode(), False), (b"=?base64?bm90ZTovL2J5L8O2?=", True)])
async def test_an_address_that_no_header_can_carry_is_repeated_in_base64(world: World, sent: bytes, passes: bool) -> None:  # GW-15
    back = await world.ask_modern("resources/read", {"uri": "note://by/ö"}, headers={b"mcp-name": sent}, path="/servers/notes/mcp")
    assert ("result" in back.answer) is passes
    assert [ask.params["uri"] for _, ask in world.servers.calls] == ["note://by/ö"] * passes


@pytest.mark.parametrize(
    ("value", "sent", "passes"),
    [
        ("eu", b"eu", True),
        ("eu", b"us", False),
        ("eu", None, False),
        (None, None, True),
        (None, b"eu", False),
        ("é", b"=?base64?w6k=?=", True),
    ],
)
async def test_a_mirrored_parameter_repeats_the_body(world: World, value: str | None, sent: bytes | None, passes: bool) -> None:  # GW-17
    arguments = {} if value is None else {"region": value}
    headers = {b"mcp-param-region": sent, b"mcp-param-other": b"kept"}
    back = await world.ask_modern("tools/call", {"name": "notes__route", "arguments": arguments}, headers=headers)
    assert ("result" in back.answer) is passes
    if passes:
        own = [] if value is None else [("Mcp-Param-Region", (sent or b"").decode())]
        assert world.servers.calls[0][1].mirrored_headers == [*own, ("mcp-param-other", "kept")]  # GW-18
    else:
        assert (back.status, back.answer["error"]["code"]) == (400, -32020)


async def test_a_legacy_clients_mirrored_headers_mean_nothing(world: World) -> None:  # GW-19
    back = await world.post(legacy("tools/call", {"name": "notes__route", "arguments": {"region": "eu"}}), {b"mcp-param-region": b"us"})
    assert "result" in back.answer
    assert not world.servers.calls[0][1].mirrored_headers


async def test_a_digest_is_keyed_and_ignores_order(world: World) -> None:
    other = World(argument_key=b"another" * 5)
    for one in (world, other):
        for arguments in ({"query": "x", "limit": 1}, {"limit": 1, "query": "x"}, {"limit": 2, "query": "x"}):
            await one.ask("tools/call", {"name": "notes__search", "arguments": arguments})
    first, second = ([record.argument_digest for record in one.book.records] for one in (world, other))
    assert first[0] == first[1] != first[2]
    assert not set(first) & set(second)


# What the server hears


async def test_the_server_hears_its_own_name_and_nothing_of_the_callers_connection(world: World) -> None:  # GW-89
    meta = {"io.modelcontextprotocol/clientInfo": {"name": "c"}, "com.example/x": 1, "traceparent": "t", "progressToken": "mine"}
    await world.ask_modern("tools/call", {**SEARCH, "vendor": 1}, meta)
    ((authority, ask),) = world.servers.calls
    assert isinstance(authority, Permit)
    assert ask.params == {"name": "search", "arguments": {"query": "x"}, "vendor": 1}
    assert ask.meta == {"com.example/x": 1, "traceparent": "t"}
    assert ask.wants_progress
    assert ask.deadline == 1060.0
    assert "alice readers" not in repr((authority, ask))


async def test_a_tools_own_timeout_takes_the_place_of_the_servers(world: World) -> None:
    await world.ask("tools/call", {"name": "notes__shape"})
    assert world.servers.calls[0][1].deadline == 1002.0


async def test_absent_and_null_arguments_are_none(world: World) -> None:
    for params in ({"name": "notes__shape"}, {"name": "notes__shape", "arguments": None}):
        assert "result" in (await world.ask("tools/call", params)).answer
    assert [ask.params["arguments"] for _, ask in world.servers.calls] == [{}, {}]


async def talk(ask: Ask, listener: Listener) -> UpstreamAnswer:
    if ask.wants_progress:
        listener.notify("notifications/progress", {"progressToken": 999, "progress": 1, "x": None})
    for level in ("debug", "info", "error", "odd", None):
        listener.notify("notifications/message", {"level": level, "data": 1})
    return result({"content": []})


async def test_progress_comes_back_under_the_callers_own_token(world: World) -> None:  # GW-10
    world.servers.script = talk
    back = await world.ask("tools/call", {**SEARCH, "_meta": {"progressToken": "mine"}})
    assert back.events[0] == {
        "jsonrpc": "2.0",
        "method": "notifications/progress",
        "params": {"progressToken": "mine", "progress": 1, "x": None},
    }
    assert world.book.closing.bytes_out == len(back.body)


async def test_clients_with_one_progress_token_hear_of_their_own_calls_alone(world: World) -> None:  # GW-10
    both = asyncio.Event()

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        if len(world.servers.calls) == 2:
            both.set()
        await both.wait()
        listener.notify("notifications/progress", {"progressToken": 7, "progress": 1, "message": ask.params["arguments"]["query"]})
        return result({"content": []})

    world.servers.script = script
    backs = await asyncio.gather(
        *[
            world.ask_modern(
                "tools/call",
                {"name": "notes__search", "arguments": {"query": person}},
                {"progressToken": "1"},
                token=f"{person} readers".encode(),
            )
            for person in ("alice", "bob")
        ]
    )
    heard = [[(event["params"]["progressToken"], event["params"]["message"]) for event in back.events] for back in backs]
    assert heard == [[("1", "alice")], [("1", "bob")]]


async def test_a_modern_client_hears_logs_only_from_the_level_it_asked_for(world: World) -> None:  # GW-81
    world.servers.script = talk
    assert (await world.ask_modern("tools/call", SEARCH)).events == []
    back = await world.ask_modern("tools/call", SEARCH, {"io.modelcontextprotocol/logLevel": "error"})
    assert [event["params"]["level"] for event in back.events] == ["error"]
    assert [ask.log_level for _, ask in world.servers.calls] == ["", "error"]


async def test_a_legacy_client_hears_logs_from_the_level_it_set_and_nobody_else_does(world: World) -> None:  # GW-82
    world.servers.script = talk
    assert [event["params"]["level"] for event in (await world.ask("tools/call", SEARCH)).events] == ["info", "error"]
    await world.ask("logging/setLevel", {"level": "error"})
    assert [event["params"]["level"] for event in (await world.ask("tools/call", SEARCH)).events] == ["error"]
    other = await world.ask("tools/call", SEARCH, token=b"bob readers")
    assert [event["params"]["level"] for event in other.events] == ["info", "error"]


async def test_the_trace_of_the_client_is_in_the_record(world: World) -> None:  # GW-89
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    await world.ask("ping", {"_meta": {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}})
    assert world.book.closing.trace_id == trace


async def test_a_rule_that_cannot_be_evaluated_refuses_the_call(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = world.live.view.policy
    decide = policy.decide

    def broken(*arguments: Any) -> Any:
        return msgspec.structs.replace(decide(*arguments), errors=("rule x: overflow",))

    monkeypatch.setattr(policy, "decide", broken)
    back = await world.ask("tools/call", SEARCH)
    assert back.refusal == "POLICY_BROKE"
    assert (world.book.closing.decision, world.book.closing.note) == ("deny", "rule x: overflow")


async def test_what_a_grant_gave_is_gone_from_calls_and_lists_when_it_ended() -> None:
    ends = int(Moving().now()) + 60
    grant = Grant(
        file="grants/a.yaml",
        line=1,
        id="grant:a/1",
        to=Grantee(group="acme/readers"),
        on=Granted(server="notes", classes=(Effect.READ,)),
        until=ends,
    )
    world = World("", grants=(grant,))
    assert "notes__search" in await names(world, READER)
    assert "result" in (await world.ask("tools/call", SEARCH, token=READER)).answer
    world.clock.at += 61
    assert await names(world, READER) == []
    assert (await world.ask("tools/call", SEARCH, token=READER)).refusal == "UNKNOWN_NAME"


READS = '@id("read") permit (principal in Group::"acme/readers", action in Action::"read", resource in Server::"notes");'
DRY = {
    "@id('no') forbid (principal, action, resource) when { context.arguments.query == 'x' };": "deny:no",
    "@id('no') forbid (principal, action, resource) when { context.arguments.query == 'y' };": "",
    "@id('ask') @approval('leads') permit (principal, action, resource);": "ask:ask,read",
    "@id('too') permit (principal, action, resource);": "",
    "@id('sum') forbid (principal, action, resource) when { context.now + 9223372036854775807 > 0 };": "broken:",
}


@pytest.mark.parametrize(("rule", "would"), DRY.items())
async def test_a_dry_run_decides_nothing_and_what_it_would_have_decided_is_recorded(rule: str, would: str) -> None:
    narrowed = rule.replace("'", '"').replace(
        "(principal, action, resource)", '(principal, action == Action::"call:notes/search", resource)'
    )
    world = World(READS, more={"next.dryrun.cedar": narrowed})
    assert "result" in (await world.ask("tools/call", SEARCH, token=READER)).answer
    closing = world.book.records[-1]
    assert (closing.decision, closing.reasons) == ("permit", ("read",))
    assert closing.would.startswith(would) if would else not closing.would


async def test_a_dry_run_shows_nobody_anything_and_says_who_would_have_seen_it() -> None:
    world = World("", more={"next.dryrun.cedar": READS})
    assert await names(world, READER) == []
    assert (await world.ask("tools/call", SEARCH, token=READER)).refusal == "UNKNOWN_NAME"
    assert world.book.records[-1].would == "seen"
    assert (await world.ask("tools/call", SEARCH, token=NOBODY)).refusal == "UNKNOWN_NAME"
    assert world.book.records[-1].would == ""


async def test_a_record_names_the_groups_of_its_caller_up_to_a_bound(world: World) -> None:
    await world.ask("tools/call", SEARCH, token=b"bob readers writers")
    assert (world.book.records[-1].groups, world.book.records[-1].groups_left_out) == (("readers", "writers"), 0)
    many = b" ".join(b"g%03d" % number for number in range(70))
    await world.ask("tools/call", SEARCH, token=b"bob " + many)
    assert (len(world.book.records[-1].groups), world.book.records[-1].groups_left_out) == (64, 6)
