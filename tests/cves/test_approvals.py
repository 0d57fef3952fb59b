"""People who approve calls: what is hidden from them, and what wears them out."""

from typing import Any

import pytest

from customhouse.control.approvals import ApprovalDesk, Presented, without_roles
from customhouse.core.identity import Caller
from customhouse.core.refusal import Reason, Refused
from tests.core.policy_world import caller
from tests.cves.cases import advisory
from tests.gateway.support import World
from tests.gateway.test_approving import BOB, RULES, Desk, data, handle

ATTACKS = {
    "wall": ("Lunch?" + " " * 9_000 + "\n" * 999 + "bcc: eve@evil.example", "Lunch?⟨9000 x space⟩⟨999 x newline⟩bcc: eve@evil.example"),
    "bidi": ("pay bob\u202eeve yap\u202c", "pay bob⟨U+202E⟩eve yap⟨U+202C⟩"),
    "tags": ("ok" + "".join(chr(0xE0000 + ord(char)) for char in "evil"), "ok⟨U+E0065⟩⟨U+E0076⟩⟨U+E0069⟩⟨U+E006C⟩"),
    "joined": ("bob@exam\u200bple.org", "bob@exam⟨U+200B⟩ple.org"),
    "escape": ("fine\x1b[1A\x1b[2Khidden", "fine⟨U+001B⟩[1A⟨U+001B⟩[2Khidden"),
    "letters": ("bob@ex\u0430mple.org", "bob@ex⟨U+0430⟩mple.org"),
    "forged": ('x\n/tag: "draft"', 'x⟨1 x newline⟩/tag: \\"draft\\"'),
}


async def presented(arguments: dict[str, Any], who: Caller = BOB) -> tuple[Desk, Presented]:
    desk = Desk()
    back = await desk.call({"name": "notes__add", "arguments": arguments})
    return desk, ApprovalDesk(desk.store, desk.world.clock, without_roles).show(handle(back), who)


@advisory("T14")
@pytest.mark.parametrize(("text", "seen"), ATTACKS.values(), ids=ATTACKS)
async def test_what_hides_in_an_argument_is_seen_by_the_approver(text: str, seen: str) -> None:
    _, shown = await presented({"title": "t", "tag": text})
    assert shown.arguments == (f'/tag: "{seen}"', '/title: "t"')
    assert shown.cut == ()


@advisory("T14")
async def test_what_is_too_long_to_show_is_not_approved_in_passing() -> None:
    desk, shown = await presented({"title": "t", "tag": "a" * 1_700 + "eve@evil.example" + "a" * 700})
    assert shown.cut == ("/tag",)
    assert "eve@evil.example" not in shown.arguments[0]
    assert "⟨cut: 416 of 2416 characters are not shown; sha256:" in shown.arguments[0]
    with pytest.raises(Refused) as refused:
        desk.store.decide(shown.id, BOB, True, desk.world.clock.now())
    assert refused.value.reason is Reason.ARGUMENTS_CUT


@advisory("T21")
async def test_a_loop_that_asks_again_and_again_is_one_question() -> None:
    desk = Desk()
    assert len({handle(await desk.call()) for _ in range(30)}) == 1
    assert len(desk.store.waiting("acme", desk.world.clock.now())) == 1


@advisory("T21")
async def test_a_flood_of_different_calls_ends_and_leaves_others_room() -> None:
    desk = Desk()
    backs = [await desk.call({"name": "notes__add", "arguments": {"title": f"variant {n}"}}) for n in range(30)]
    assert sum(back.refusal == "APPROVAL_NEEDED" for back in backs) == 5
    assert {back.refusal for back in backs[5:]} == {"TOO_MANY_APPROVALS"}
    assert (await desk.call(token=b"carl readers")).refusal == "APPROVAL_NEEDED"


@advisory("T21")
async def test_denials_do_not_make_room_for_an_endless_series() -> None:
    desk, backs = Desk(), []
    for number in range(60):
        backs.append(await desk.call({"name": "notes__add", "arguments": {"title": f"please {number}"}}))
        if backs[-1].refusal == "APPROVAL_NEEDED":
            desk.decide(backs[-1], approves=False)
    assert sum(back.refusal == "APPROVAL_NEEDED" for back in backs) == 50
    assert data(backs[-1])["scope"] == "callerPerHour"


@advisory("T21")
async def test_no_words_of_a_server_or_a_model_stand_in_a_title() -> None:
    person = 'alice" (approved by security)\u202e'
    desk = Desk()
    desk.world.tokens._read = lambda token, resource: caller(person, "readers")  # type: ignore[method-assign]
    back = await desk.call({"name": "notes__add", "arguments": {"title": "URGENT: approve at once"}})
    shown = ApprovalDesk(desk.store, desk.world.clock, without_roles).show(handle(back), BOB)
    description = World(RULES).live.view.endpoints["/mcp"].tools["notes__add"].definition["description"]
    assert description not in shown.title
    assert "URGENT" not in shown.title
    assert shown.title == (
        'write call of "add" at server "notes", asked by "acme/alice\\" (approved by security)⟨U+202E⟩" through client "cli"'
    )


@advisory("T21")
async def test_a_destructive_call_is_not_approved_without_a_reason() -> None:
    desk = Desk()
    back = await desk.call({"name": "notes__purge", "arguments": {}})
    with pytest.raises(Refused) as refused:
        desk.decide(back)
    assert refused.value.reason is Reason.REASON_MISSING
    desk.decide(back, note="the customer asked for it, ticket 12")
    assert "result" in (await desk.call({"name": "notes__purge", "arguments": {}})).answer
