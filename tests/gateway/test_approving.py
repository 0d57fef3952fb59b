"""A call that a person has to approve: asked, refused with a handle, let through once, and never for another call."""

import asyncio
from typing import Any

import pytest

from customhouse.core.approval import Standing
from customhouse.core.protocol.revisions import META_CAPABILITIES
from customhouse.core.record import Record
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.approvals import Approvals
from customhouse.ports.traffic import Ask, Listener, UpstreamAnswer
from tests.core.policy_world import caller
from tests.gateway.support import Back, World, result

RULES = """
@id("asked") @approval("finance") permit (principal in Group::"acme/readers",
  action in [Action::"read", Action::"write", Action::"destructive"], resource in Server::"notes");
"""
TOKEN = b"alice readers"
ADD = {"name": "notes__add", "arguments": {"title": "t", "tag": "x"}}
PAGES: dict[str, Any] = {META_CAPABILITIES: {"elicitation": {"url": {}}}}
BOB = caller("bob", "finance")
BOTH_ERAS = pytest.mark.parametrize("era", ["legacy", "modern"])


class Desk:
    """A world with somebody who approves."""

    def __init__(self, rules: str = RULES, era: str = "legacy", **more: Any) -> None:
        self.world = World(rules, **more)
        self.era = era

    @property
    def store(self) -> Approvals:
        return self.world.approving.opened()

    async def call(self, params: dict[str, Any] | None = None, method: str = "tools/call", **more: Any) -> Back:
        ask = self.world.ask if self.era == "legacy" else self.world.ask_modern
        return await ask(method, params or ADD, **{"token": TOKEN, **more})

    def decide(self, back: Back, approves: bool = True, who: Any = BOB, **more: Any) -> None:
        self.store.decide(handle(back), who, approves, self.world.clock.now(), **more)

    async def approved(self, **more: Any) -> str:
        """The id of a request that was asked and approved."""
        back = await self.call(**more)
        self.decide(back, note="agreed")
        return handle(back)

    def records(self, kind: str) -> list[Record]:
        return [record for record in self.world.book.records if record.kind == kind]


def data(back: Back) -> dict[str, Any]:
    found: dict[str, Any] = back.answer["error"]["data"]
    return found


def handle(back: Back) -> str:
    return str(data(back)["approvalId"])


@BOTH_ERAS
async def test_the_first_call_is_refused_with_a_handle_and_the_server_hears_nothing(era: str) -> None:
    desk = Desk(era=era)
    back = await desk.call()
    assert (back.status, back.refusal) == (200, "APPROVAL_NEEDED")
    told = data(back)
    assert (told["group"], told["retryable"], told["retryAfterSeconds"]) == ("finance", True, 10)
    assert (told["expiresAt"], told["where"]) == ("2023-11-14T22:45:00Z", f"customhouse approvals show {told['approvalId']}")
    assert desk.world.servers.calls == []
    assert handle(await desk.call()) == told["approvalId"]
    (asked,) = desk.records("approval")
    assert (asked.outcome, asked.approval, asked.person, asked.name) == ("asked", told["approvalId"], "alice", "add")
    assert [record.outcome for record in desk.records("closing")] == ["APPROVAL_NEEDED"] * 2
    assert {record.approval for record in desk.records("closing")} == {told["approvalId"]}


@BOTH_ERAS
async def test_the_retry_succeeds_once_and_only_once(era: str) -> None:
    desk = Desk(era=era)
    first = await desk.approved()
    back = await desk.call()
    assert back.result["content"][0]["text"] == "done"
    assert [ask.params for _, ask in desk.world.servers.calls] == [{"name": "add", "arguments": ADD["arguments"]}]
    again = await desk.call()
    assert again.refusal == "APPROVAL_NEEDED"
    assert handle(again) != first
    assert len(desk.world.servers.calls) == 1


async def test_the_intent_names_the_approval_and_who_gave_it_before_the_server_hears() -> None:
    desk = Desk()
    first = await desk.approved()

    async def script(ask: Ask, listener: Listener) -> UpstreamAnswer:
        (intent,) = desk.records("intent")
        assert (intent.approval, intent.approved_by) == (first, "acme/bob")
        assert desk.store.get(first, 0.0).standing is Standing.USED
        return result({"content": []})

    desk.world.servers.script = script
    assert "result" in (await desk.call()).answer
    assert desk.world.book.durable == ["approval", "intent"]
    closing = desk.records("closing")[-1]
    assert (closing.approval, closing.approved_by, closing.outcome) == (first, "acme/bob", "answered")


async def test_a_read_that_needs_an_approval_has_an_intent_too() -> None:
    desk = Desk()
    search = {"name": "notes__search", "arguments": {"query": "x"}}
    await desk.approved(params=search)
    await desk.call(search)
    assert [record.effect for record in desk.records("intent")] == ["read"]


@pytest.mark.parametrize(
    "changed",
    [
        {"params": {**ADD, "arguments": {"title": "t", "tag": "y"}}},
        {"params": {**ADD, "arguments": {"title": "t"}}},
        {"params": {**ADD, "arguments": {"title": "t ", "tag": "x"}}},
        {"params": {**ADD, "arguments": {"title": "t", "tag": "x", "more": None}}},
        {"params": {"name": "add", "arguments": ADD["arguments"]}, "path": "/servers/notes/mcp"},
        {"token": b"carl readers"},
        {"params": {"name": "notes__purge", "arguments": ADD["arguments"]}},
    ],
)
async def test_one_changed_fact_asks_anew(changed: dict[str, Any]) -> None:
    desk = Desk()
    first = await desk.approved()
    back = await desk.call(**changed)
    assert back.refusal == "APPROVAL_NEEDED"
    assert handle(back) != first
    assert desk.world.servers.calls == []


async def test_other_groups_of_the_caller_and_another_order_of_the_arguments_change_nothing() -> None:
    desk = Desk()
    await desk.approved()
    back = await desk.call({"name": "notes__add", "arguments": {"tag": "x", "title": "t"}}, token=b"alice other readers")
    assert "result" in back.answer


async def test_a_denied_call_stays_denied_until_the_denial_expires() -> None:
    desk = Desk()
    back = await desk.call()
    desk.decide(back, approves=False, note="ask the customer first")
    denied = await desk.call()
    assert (denied.refusal, data(denied)["retryable"], data(denied)["because"]) == ("APPROVAL_DENIED", False, "ask the customer first")
    assert desk.records("closing")[-1].approval == handle(back)
    desk.world.clock.at += 901.0
    assert (await desk.call()).refusal == "APPROVAL_NEEDED"


async def test_an_approval_that_expired_is_asked_anew() -> None:
    desk = Desk()
    first = await desk.approved()
    desk.world.clock.at += 901.0
    back = await desk.call()
    assert (back.refusal, handle(back) == first) == ("APPROVAL_NEEDED", False)


async def test_the_requester_cannot_approve() -> None:
    desk = Desk()
    back = await desk.call()
    with pytest.raises(Refused) as refused:
        desk.decide(back, who=caller("alice", "finance"))
    assert refused.value.reason is Reason.SELF_APPROVAL


async def test_an_approval_of_somebody_who_was_revoked_since_is_void() -> None:
    desk = Desk()
    first = await desk.approved()
    desk.store.revoke("acme/bob", "acme/root", desk.world.clock.now())
    back = await desk.call()
    assert (back.refusal, handle(back) == first) == ("APPROVAL_NEEDED", False)


async def test_a_rule_that_is_gone_or_forbids_decides_anew_whatever_was_approved() -> None:
    desk = Desk()
    await desk.approved()
    forbidding = World(RULES + '@id("stop") forbid (principal, action in Action::"write", resource);')
    desk.world.live.view = forbidding.live.view
    assert (await desk.call()).refusal in ("NOT_PERMITTED", "UNKNOWN_NAME")
    desk.world.live.view = World(RULES.replace('@approval("finance")', "")).live.view
    back = await desk.call()
    assert "result" in back.answer
    assert desk.records("closing")[-1].approval == ""


async def test_two_calls_that_race_for_one_approval_reach_the_server_once() -> None:
    desk = Desk()
    first = await desk.approved()
    backs = await asyncio.gather(*(desk.call() for _ in range(6)))
    assert sum("result" in back.answer for back in backs) == 1
    lost = [back for back in backs if "result" not in back.answer]
    assert {back.refusal for back in lost} <= {"APPROVAL_NEEDED", "BUSY"}
    assert first not in {handle(back) for back in lost if back.refusal == "APPROVAL_NEEDED"}
    assert len(desk.world.servers.calls) == 1


async def test_a_flood_is_refused_with_a_row_and_no_request() -> None:
    desk = Desk()
    backs = [await desk.call({**ADD, "arguments": {"title": f"t{number}"}}) for number in range(7)]
    assert [back.refusal for back in backs] == ["APPROVAL_NEEDED"] * 5 + ["TOO_MANY_APPROVALS"] * 2
    assert data(backs[-1])["retryAfterSeconds"] == 10
    assert len(desk.store.waiting("acme", desk.world.clock.now())) == 5
    assert (await desk.call(token=b"carl readers")).refusal == "APPROVAL_NEEDED"


async def test_every_group_that_is_asked_has_to_agree() -> None:
    both = RULES + '@id("two") @approval("acme/security") permit (principal, action in Action::"write", resource in Server::"notes");'
    desk = Desk(both)
    back = await desk.call()
    assert data(back)["group"] == "finance,security"
    desk.decide(back)
    assert (await desk.call()).refusal == "APPROVAL_NEEDED"
    desk.decide(back, who=caller("dora", "security"))
    assert "result" in (await desk.call()).answer
    assert desk.records("intent")[-1].approved_by == "acme/bob,acme/dora"


async def test_what_nobody_was_shown_does_not_travel() -> None:
    desk = Desk(era="modern")
    more = {**ADD, "sneaky": {"to": "eve"}}
    meta = {"com.example/to": "eve", "traceparent": "00-" + "a" * 32 + "-" + "b" * 16 + "-01"}
    back = await desk.call(more, meta=meta)
    desk.decide(back)
    assert "result" in (await desk.call(more, meta=meta)).answer
    ((_, ask),) = desk.world.servers.calls
    assert ask.params == {"name": "add", "arguments": ADD["arguments"]}
    assert set(ask.meta) == {"traceparent"}


async def test_a_prompt_and_a_resource_can_be_asked_about_and_small_requests_cannot() -> None:
    desk = Desk()
    for method, params in (("prompts/get", {"name": "daily", "arguments": {"day": "1"}}), ("resources/read", {"uri": "note://a"})):
        back = await desk.call(params, method, path="/servers/notes/mcp")
        assert back.refusal == "APPROVAL_NEEDED"
        desk.decide(back)
        assert "result" in (await desk.call(params, method, path="/servers/notes/mcp")).answer
    about = {"ref": {"type": "ref/prompt", "name": "daily"}, "argument": {"name": "day", "value": "1"}}
    assert (await desk.call(about, "completion/complete", path="/servers/notes/mcp")).refusal == "NOT_PERMITTED"
    wrong = {"name": "daily", "arguments": ["x"]}
    assert (await desk.call(wrong, "prompts/get", path="/servers/notes/mcp")).refusal == "INVALID_PARAMS"


async def test_a_tool_that_needs_an_approval_is_listed() -> None:
    desk = Desk()
    listed = (await desk.world.ask("tools/list", token=TOKEN)).result["tools"]
    assert "notes__add" in [tool["name"] for tool in listed]


async def test_without_the_store_nothing_is_asked_and_nothing_passes() -> None:
    desk = Desk()
    await desk.approved()
    desk.store.close()
    assert (await desk.call()).refusal == "STORE_UNAVAILABLE"
    assert desk.world.servers.calls == []


async def test_a_store_that_is_held_for_too_long_is_away_for_a_moment() -> None:
    desk = Desk()

    def held() -> Approvals:
        raise Refused(Reason.CHANGED_MEANWHILE, note="Another process held the books for too long.")

    desk.world.approving.opened = held
    back = await desk.call()
    assert (back.refusal, data(back)["retryAfterSeconds"]) == ("STORE_UNAVAILABLE", 1)


async def test_a_group_of_another_tenant_cannot_be_asked() -> None:
    desk = Desk(RULES.replace("finance", "other/readers"))
    assert (await desk.call()).refusal == "POLICY_BROKE"


async def test_verdicts_and_expiry_are_told_to_the_ledger_once() -> None:
    desk = Desk()
    back = await desk.call()
    desk.decide(back, note="fine")
    await desk.world.approving.sweep()
    await desk.world.approving.sweep()
    asked, approved = desk.records("approval")
    assert (approved.outcome, approved.approved_by, approved.person, approved.note) == ("approved", "acme/bob", "bob", "fine")
    assert approved.approval == asked.approval == handle(back)
    desk.world.clock.at += 2000.0
    await desk.world.approving.sweep()
    assert [record.outcome for record in desk.records("approval")] == ["asked", "approved", "expired"]


async def test_the_sweep_goes_on_after_the_store_was_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("customhouse.gateway.approving.SWEEP_SECONDS", 0.001)
    desk = Desk()
    desk.decide(await desk.call())
    opened, tries = desk.world.approving.opened, iter([True, False])

    def at_times() -> Approvals:
        if next(tries, False):
            raise Refused(Reason.STORE_UNAVAILABLE)
        return opened()

    desk.world.approving.opened = at_times
    sweeping = asyncio.create_task(desk.world.approving.run(lambda: False))
    async with asyncio.timeout(5):
        while len(desk.records("approval")) < 2:  # noqa: ASYNC110 - the ledger has no event
            await asyncio.sleep(0.001)
    sweeping.cancel()


# The modern way to wait


def page_of(back: Back) -> dict[str, Any]:
    assert back.result["resultType"] == "input_required"
    found: dict[str, Any] = back.result["inputRequests"]["approval"]["params"]
    return found


def retry(back: Back, action: str = "accept") -> dict[str, Any]:
    return {**ADD, "requestState": back.result["requestState"], "inputResponses": {"approval": {"action": action}}}


def console() -> Desk:
    return Desk(era="modern", console_url="https://operators.example")


async def test_a_client_that_opens_pages_is_sent_to_the_console_and_its_retry_resumes() -> None:
    desk = console()
    back = await desk.call(meta=PAGES)
    page = page_of(back)
    assert page["mode"] == "url"
    assert page["url"].startswith("https://operators.example/approvals/")
    assert page["message"] == (
        'Somebody of finance has to approve this first: write call of "add" at server "notes", asked by "acme/alice" through client "cli".'
    )
    early = await desk.call(retry(back), meta=PAGES)
    assert early.refusal == "APPROVAL_NEEDED"
    assert data(early)["where"] == page["url"]
    desk.decide(early)
    done = await desk.call(retry(back, "cancel"), meta=PAGES)
    assert done.result["content"][0]["text"] == "done"
    ((_, ask),) = desk.world.servers.calls
    assert ask.params == {"name": "add", "arguments": ADD["arguments"]}
    assert (await desk.call(retry(back), meta=PAGES)).refusal == "APPROVAL_NEEDED"


async def test_the_state_of_another_call_resumes_nothing() -> None:
    desk = console()
    back = await desk.call(meta=PAGES)
    desk.store.decide(page_of(back)["url"].rpartition("/")[2], BOB, True, desk.world.clock.now())
    other = {**retry(back), "arguments": {"title": "t", "tag": "y"}}
    assert (await desk.call(other, meta=PAGES)).refusal == "INVALID_REQUEST_STATE"


async def test_a_client_without_pages_gets_the_refusal() -> None:
    assert (await console().call(meta={META_CAPABILITIES: {"elicitation": {"form": {}}}})).refusal == "APPROVAL_NEEDED"


def asks_twice(ask: Ask, listener: Listener) -> Any:
    """A modern server that asks for input until it has a state."""

    async def answered() -> UpstreamAnswer:
        if ask.params.get("requestState") == "two":
            return result({"content": [{"type": "text", "text": "written"}], "resultType": "complete"})
        state = "two" if ask.params.get("requestState") == "one" else "one"
        form = {"mode": "form", "message": "Sure?", "requestedSchema": {"type": "object", "properties": {}}}
        asked = {"sure": {"method": "elicitation/create", "params": form}}
        return result({"resultType": "input_required", "inputRequests": asked, "requestState": state})

    return answered()


FORMS: dict[str, Any] = {META_CAPABILITIES: {"elicitation": {"form": {}}}}


def answering(back: Back) -> dict[str, Any]:
    return {**ADD, "requestState": back.result["requestState"], "inputResponses": {"sure": {"action": "accept", "content": {}}}}


async def chain() -> tuple[Desk, Back, Back]:
    """A desk, and the two rounds of an approved call whose server asks back."""
    desk = Desk(era="modern")
    desk.world.servers.script = asks_twice
    desk.decide(await desk.call(meta=FORMS))
    first = await desk.call(meta=FORMS)
    assert first.result["resultType"] == "input_required"
    return desk, first, await desk.call(answering(first), meta=FORMS)


async def test_one_approval_covers_the_rounds_of_one_call() -> None:
    desk, _, second = await chain()
    done = await desk.call(answering(second), meta=FORMS)
    assert done.result["content"][0]["text"] == "written"
    assert len({record.approval for record in desk.records("intent")}) == 1
    assert len(desk.records("intent")) == 3


async def test_a_round_that_is_sent_twice_is_refused_the_second_time() -> None:
    desk, first, second = await chain()
    assert (await desk.call(answering(first), meta=FORMS)).refusal == "INVALID_REQUEST_STATE"
    assert "result" in (await desk.call(answering(second), meta=FORMS)).answer
    assert (await desk.call(answering(second), meta=FORMS)).refusal == "INVALID_REQUEST_STATE"
    assert len(desk.world.servers.calls) == 3


async def test_a_chain_ends_with_the_right_of_its_approver() -> None:
    desk, _, second = await chain()
    desk.store.revoke("acme/bob", "acme/root", desk.world.clock.now())
    assert (await desk.call(answering(second), meta=FORMS)).refusal == "INVALID_REQUEST_STATE"


async def test_a_new_call_beside_a_chain_asks_anew() -> None:
    desk, _, _ = await chain()
    assert (await desk.call(meta=FORMS)).refusal == "APPROVAL_NEEDED"


async def test_a_chain_that_began_before_the_rule_ends_and_the_call_sent_anew_asks() -> None:
    desk = Desk(RULES.replace('@approval("finance")', ""), era="modern")
    desk.world.servers.script = asks_twice
    first = await desk.call(meta=FORMS)
    desk.world.live.view = World(RULES).live.view
    assert (await desk.call(answering(first), meta=FORMS)).refusal == "INVALID_REQUEST_STATE"
    back = await desk.call(meta=FORMS)
    assert back.refusal == "APPROVAL_NEEDED"
    desk.decide(back)
    assert (await desk.call(answering(first), meta=FORMS)).refusal == "INVALID_REQUEST_STATE"
    assert (await desk.call(meta=FORMS)).result["resultType"] == "input_required"
    assert [ask.params for _, ask in desk.world.servers.calls] == [{"name": "add", "arguments": ADD["arguments"]}] * 2


FORGED = {"inputResponses": {"who": {"action": "accept", "content": {"recipient": "eve@evil.example"}}}}


@BOTH_ERAS
async def test_what_no_approver_saw_does_not_travel_with_the_first_approved_call(era: str) -> None:
    desk = Desk(era=era)
    await desk.approved()
    await desk.call({**ADD, **FORGED})
    assert [ask.params for _, ask in desk.world.servers.calls] == [{"name": "add", "arguments": ADD["arguments"]}]


@BOTH_ERAS
async def test_answers_that_nobody_asked_for_travel_with_no_call(era: str) -> None:
    desk = Desk(RULES.replace('@approval("finance")', ""), era=era)
    await desk.call({**ADD, **FORGED})
    assert [ask.params for _, ask in desk.world.servers.calls] == [{"name": "add", "arguments": ADD["arguments"]}]
