"""Operators take steps; the register asks who they are, keeps what they did, and lets nothing be served that too few people looked at."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from customhouse.adapters.stores.memory import MemoryStores
from customhouse.control.register import Register, Served
from customhouse.control.upkeep import Upkeep
from customhouse.core.content import PolicyContent, Portal, PortalContent, ServerContent, stated
from customhouse.core.identity import Caller, known
from customhouse.core.instants import DAY_SECONDS, end_of_day
from customhouse.core.manifest import BearerCredential, Effect, Package, ServerDefinition, StdioProgram, ToolReview
from customhouse.core.operators import Assignment, Role
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, State, Step, standing
from customhouse.ports.stores import Tenant

NOW = 1_790_000_000.0
"""A day in September 2026."""
HALF_YEAR = 180 * DAY_SECONDS
FORTNIGHT = 14 * DAY_SECONDS

ROLES = (
    Assignment(role=Role.DEVELOPER, groups=("local/dev",), tenants=("local", "*")),
    Assignment(role=Role.DEVELOPER, people=("local/own",)),
    Assignment(role=Role.REVIEWER, groups=("local/review",), tenants=("*",)),
    Assignment(role=Role.OPERATOR, groups=("local/ops",), tenants=("*",)),
    Assignment(role=Role.ADMIN, people=("local/root",), tenants=("*",)),
    Assignment(role=Role.VIEWER, groups=("abroad/everybody",)),
)


def person(name: str, *groups: str, tenant: str = "local") -> Caller:
    return known(Caller(issuer="i", tenant=tenant, person=name, workload="", client="c", groups=tuple(sorted(groups)), expires_at=NOW + 1))


DEV = person("dev", "dev")
ANN, BEN = person("ann", "review"), person("ben", "review")
OPS = person("ops", "ops")
ROOT = person("root")
BOTH = person("both", "dev", "review")
OWN = person("own")
STRANGER = person("eve", "everybody", tenant="abroad")


class Time:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at


class World:
    """A register with one tenant of its own and one abroad."""

    def __init__(self, teams: frozenset[str] = frozenset()) -> None:
        self.time = Time()
        self.stores = MemoryStores()
        self.unfit: list[str] = []
        self.told = 0
        self.register = Register(self.stores, self.time, ROLES, HALF_YEAR, lambda kind, name, content: (), self._fits)
        self.upkeep = Upkeep(self.stores, self.time, FORTNIGHT, teams, self.register.tell)
        self.register.on_served.append(self._hear)
        with self.stores.writing() as books:
            for name in ("local", "abroad"):
                books.put_tenant(Tenant(name=name, created_at=NOW, created_by="local/root"))

    def _fits(self, served: Served) -> Sequence[str]:
        return self.unfit

    def _hear(self) -> None:
        self.told += 1

    def active(self, *, url: str = "https://notes.example/mcp", window_seconds: float = 0.0, **fields: Any) -> int:
        """Take a server all the way."""
        number = self.register.propose(DEV, Kind.SERVER, "notes", server(url=url, **fields)).version.number
        self.accept(number, ANN, BEN)
        self.register.step(OPS, Kind.SERVER, "notes", number, Step.ACTIVATE, window_seconds=window_seconds)
        return number

    def accept(self, number: int, *people: Caller) -> None:
        digest = self.register.show(OPS, Kind.SERVER, "notes", number).version.digest
        for one in people:
            self.register.judge(one, Kind.SERVER, "notes", number, digest, accepts=True)

    def states(self) -> dict[int, str]:
        return {one.version.number: one.version.state.value for one in self.register.listing(OPS, Kind.SERVER, "notes")}

    def actions(self) -> list[str]:
        return [event.action for event in self.register.history(ROOT)[0]]


def server(**fields: Any) -> dict[str, Any]:
    definition = ServerDefinition(
        **{
            "name": "notes",
            "owner": "team-notes",
            "contact": "notes@example.org",
            "tenant": "local",
            "on_call": "pager:notes",
            "classification": "internal",
            "runbook": "https://notes.example/runbook",
            "review_by": "2027-12-31",
            "url": "https://notes.example/mcp",
            "tools": {"add_note": ToolReview(effect=Effect.WRITE)},
            **fields,
        }
    )
    return stated(ServerContent(definition=definition))


@pytest.fixture
def world() -> World:
    return World()


def refusal_of(call: Any, *args: Any, **fields: Any) -> Reason:
    with pytest.raises(Refused) as refused:
        call(*args, **fields)
    return refused.value.reason


def test_a_server_is_served_once_two_other_people_accepted_it(world: World) -> None:
    proposed = world.register.propose(DEV, Kind.SERVER, "notes", server(), "We need notes.")
    assert (proposed.version.state, proposed.standing.missing) == (State.PROPOSED, 2)
    world.accept(1, ANN)
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE) is Reason.STEP_NOT_ALLOWED
    world.accept(1, BEN)
    assert world.told == 0
    world.register.step(OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE, reason="Go.")
    assert list(world.register.served()) == [(Kind.SERVER, "notes")]
    assert world.told == 1
    assert [(event.actor, event.action, event.reason) for event in world.register.history(ROOT)[0]] == [
        ("local/dev", "propose", "We need notes."),
        ("local/ann", "accept", ""),
        ("local/ben", "accept", ""),
        ("local/ops", "activate", "Go."),
    ]


def test_proposing_what_is_there_already_changes_nothing(world: World) -> None:
    first = world.register.propose(DEV, Kind.SERVER, "notes", server())
    before = world.actions()
    assert world.register.propose(BOTH, Kind.SERVER, "notes", server()).version == first.version
    world.accept(1, ANN, BEN)
    world.register.step(OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE)
    assert world.register.propose(DEV, Kind.SERVER, "notes", server()).version.number == 1
    assert world.actions()[: len(before)] == before
    assert world.actions().count("propose") == 1


def test_whoever_proposed_it_cannot_review_it(world: World) -> None:
    digest = world.register.propose(BOTH, Kind.SERVER, "notes", server()).version.digest
    assert refusal_of(world.register.judge, BOTH, Kind.SERVER, "notes", 1, digest, accepts=True) is Reason.SELF_REVIEW
    assert world.actions() == ["propose"]


def test_a_review_is_of_what_the_reviewer_looked_at(world: World) -> None:
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    other = "sha256:" + "0" * 64
    assert refusal_of(world.register.judge, ANN, Kind.SERVER, "notes", 1, other, accepts=True) is Reason.DIGEST_DIFFERS


@pytest.mark.parametrize(
    ("caller", "step"),
    [(DEV, Step.ACTIVATE), (ANN, Step.ACTIVATE), (DEV, Step.SUSPEND), (ANN, Step.RETIRE), (OPS, Step.WITHDRAW)],
)
def test_each_step_needs_its_role(world: World, caller: Caller, step: Step) -> None:
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    assert refusal_of(world.register.step, caller, Kind.SERVER, "notes", 1, step) is Reason.NOT_YOUR_ROLE
    assert world.actions() == ["propose"]


def test_who_may_not_read_a_thing_does_not_learn_that_it_exists(world: World) -> None:
    world.active()
    assert world.register.listing(STRANGER) == []
    assert world.register.history(STRANGER) == ([], 0), "not even how much there is"
    for number in (1, 2):
        assert refusal_of(world.register.show, STRANGER, Kind.SERVER, "notes", number) is Reason.NOTHING_OF_THAT_NAME
        assert refusal_of(world.register.step, STRANGER, Kind.SERVER, "notes", number, Step.SUSPEND) is Reason.NOTHING_OF_THAT_NAME


@pytest.mark.parametrize(
    ("kind", "name", "value", "reason"),
    [
        (Kind.SERVER, "other", server(), Reason.CONTENT_INVALID),
        (Kind.SERVER, "No_tes", server(name="No_tes"), Reason.CONTENT_INVALID),
        (Kind.SERVER, "notes", {"definition": {}}, Reason.CONTENT_INVALID),
        (Kind.SERVER, "notes", server() | {"reviews": []}, Reason.CONTENT_INVALID),
        (Kind.SERVER, "notes", server(on_call=""), Reason.NOBODY_ANSWERS),
        (Kind.SERVER, "notes", server(review_by="2026-01-01"), Reason.NOBODY_ANSWERS),
        (Kind.SERVER, "notes", server(tenant="nowhere"), Reason.CONTENT_INVALID),
        (Kind.POLICY, "../x.cedar", {"text": ""}, Reason.CONTENT_INVALID),
        (Kind.POLICY, "x", {"text": ""}, Reason.CONTENT_INVALID),
        (Kind.PORTAL, "a b", {"portal": {"servers": []}}, Reason.CONTENT_INVALID),
    ],
)
def test_what_cannot_be_governed_is_refused_and_nothing_is_kept(
    world: World, kind: Kind, name: str, value: dict[str, Any], reason: Reason
) -> None:
    assert refusal_of(world.register.propose, DEV, kind, name, value) is reason
    assert world.actions() == []


def test_a_role_counts_in_its_own_tenant_alone(world: World) -> None:
    assert refusal_of(world.register.propose, OWN, Kind.SERVER, "notes", server(tenant="abroad")) is Reason.NOT_YOUR_ROLE
    policy = stated(PolicyContent(text=""))
    assert refusal_of(world.register.propose, OWN, Kind.POLICY, "x.cedar", policy) is Reason.NOT_YOUR_ROLE
    assert world.register.propose(OWN, Kind.SERVER, "notes", server()).version.proposer == "local/own"


def test_another_tenant_cannot_take_a_name(world: World) -> None:
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    assert refusal_of(world.register.propose, ROOT, Kind.SERVER, "notes", server(tenant="abroad")) is Reason.CONTENT_INVALID


def test_a_newer_proposal_of_the_same_person_replaces_the_older(world: World) -> None:
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    world.register.propose(DEV, Kind.SERVER, "notes", server(description="Better."))
    assert world.states() == {1: "retired", 2: "proposed"}


def test_a_successor_takes_the_place_of_the_version_before(world: World) -> None:
    world.active()
    world.active(url="https://two.example/mcp")
    assert world.states() == {1: "retired", 2: "active"}


def test_two_versions_are_served_side_by_side_until_the_window_ends(world: World) -> None:
    world.active()
    world.active(url="https://two.example/mcp", window_seconds=100.0)
    assert world.states() == {1: "deprecated", 2: "active"}
    assert [version.number for version, _ in world.register.served()[Kind.SERVER, "notes"]] == [2, 1]
    world.time.at += 99
    assert world.upkeep.tick() == []
    world.time.at += 1
    assert [event.action for event in world.upkeep.tick()] == ["retire"]
    assert [version.number for version, _ in world.register.served()[Kind.SERVER, "notes"]] == [2]


def test_what_does_not_fit_together_is_not_activated_and_what_was_served_stays(world: World) -> None:
    world.active()
    world.unfit = ["The policy `x` names a tool that is not there."]
    number = world.register.propose(DEV, Kind.SERVER, "notes", server(description="Other.")).version.number
    world.accept(number, ANN, BEN)
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", number, Step.ACTIVATE) is Reason.CONTENT_INVALID
    assert world.states() == {1: "active", 2: "reviewed"}
    assert world.told == 1


def test_a_rollback_serves_the_very_content_again_without_new_reviews(world: World) -> None:
    world.active()
    before = world.register.show(OPS, Kind.SERVER, "notes", 1)
    world.active(url="https://two.example/mcp")
    back = world.register.rollback(OPS, Kind.SERVER, "notes", 1, "Two is broken.")
    assert (back.version.number, back.version.state, back.version.digest) == (3, State.ACTIVE, before.version.digest)
    after = world.register.show(OPS, Kind.SERVER, "notes", 3)
    assert after.content is not None
    assert before.content is not None
    assert msgspec.json.encode(stated(after.content)) == msgspec.json.encode(stated(before.content))
    assert world.states() == {1: "retired", 2: "retired", 3: "active"}
    assert world.actions()[-3:] == ["rollback", "retire", "activate"]


def test_a_rollback_to_what_was_never_active_is_refused(world: World) -> None:
    world.register.propose(DEV, Kind.SERVER, "notes", server())
    assert refusal_of(world.register.rollback, OPS, Kind.SERVER, "notes", 1, "?") is Reason.STEP_NOT_ALLOWED
    world.active(description="Served.")
    assert refusal_of(world.register.rollback, OPS, Kind.SERVER, "notes", 2, "?") is Reason.STEP_NOT_ALLOWED


def test_a_rollback_whose_reviews_expired_is_refused(world: World) -> None:
    world.active()
    world.time.at += HALF_YEAR
    world.active(url="https://two.example/mcp")
    assert refusal_of(world.register.rollback, OPS, Kind.SERVER, "notes", 1, "?") is Reason.REVIEWS_MISSING


def test_reviews_expire_with_notice_and_then_the_server_is_suspended(world: World) -> None:
    world.active(review_by="2029-12-31")
    world.time.at += HALF_YEAR - FORTNIGHT - 1
    assert world.upkeep.tick() == []
    world.time.at += 1
    noted = [(event.actor, event.action, event.reason) for event in world.upkeep.tick()]
    assert noted == [("customhouse", "notice", "Its reviews expired.")]
    assert world.upkeep.tick() == [], "a notice is given once"
    world.time.at += FORTNIGHT
    assert [event.action for event in world.upkeep.tick()] == ["suspend"]
    assert world.states() == {1: "quarantined"}
    ((suspended, _),) = world.register.served()[Kind.SERVER, "notes"]
    assert suspended.state is State.QUARANTINED, "known to rules, and offered to nobody"


def test_a_renewed_review_keeps_the_server(world: World) -> None:
    world.active(review_by="2029-12-31")
    world.time.at += HALF_YEAR - 1
    world.accept(1, ANN, BEN)
    world.time.at += 2
    assert [event.action for event in world.upkeep.tick() if event.action != "notice"] == []
    assert world.states() == {1: "active"}


def test_a_suspended_server_comes_back_by_a_person_and_only_with_reviews(world: World) -> None:
    world.active(review_by="2029-12-31")
    world.time.at += HALF_YEAR
    world.upkeep.tick()
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE) is Reason.REVIEWS_MISSING
    world.accept(1, ANN, BEN)
    world.register.step(OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE)
    assert world.states() == {1: "active"}


def test_a_server_that_nobody_looked_at_by_its_day_is_suspended(world: World) -> None:
    world.active(review_by="2026-10-31")
    world.time.at = end_of_day("2026-10-31") - 1
    assert [event.action for event in world.upkeep.tick()] == ["notice"]
    world.time.at += 1
    assert [event.action for event in world.upkeep.tick()] == ["suspend"]
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE) is Reason.NOBODY_ANSWERS


def test_only_an_admin_has_a_program_started(world: World) -> None:
    package = Package(ecosystem="pypi", name="notes", version="1.0", digest="sha256:" + "0" * 64)
    number = world.register.propose(
        DEV, Kind.SERVER, "notes", server(url="", stdio=StdioProgram(package=package, argv=("bin/notes",)))
    ).version.number
    world.accept(number, ANN, BEN)
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", number, Step.ACTIVATE) is Reason.NOT_YOUR_ROLE
    world.register.step(ROOT, Kind.SERVER, "notes", number, Step.ACTIVATE)
    world.register.step(ROOT, Kind.SERVER, "notes", number, Step.RETIRE)
    assert refusal_of(world.register.rollback, OPS, Kind.SERVER, "notes", number, "back") is Reason.NOT_YOUR_ROLE


def test_a_server_of_no_team_is_suspended_after_notice() -> None:
    world = World(teams=frozenset({"team-notes"}))
    world.active()
    assert world.upkeep.tick() == []
    world = World(teams=frozenset({"team-else"}))
    world.active()
    assert [event.action for event in world.upkeep.tick()] == ["notice"]
    world.time.at += FORTNIGHT
    assert [event.action for event in world.upkeep.tick()] == ["suspend"]


def test_a_credential_that_ends_is_announced_once_and_nothing_more(world: World) -> None:
    world.active(credential=BearerCredential("env:TOKEN", expires_on="2026-10-31"))
    assert world.upkeep.tick() == []
    world.time.at = end_of_day("2026-10-31") - FORTNIGHT
    assert [(event.action, event.reason) for event in world.upkeep.tick()] == [("notice", "Its credential expires.")]
    world.time.at += 2 * FORTNIGHT
    assert world.upkeep.tick() == []
    assert world.states() == {1: "active"}


def test_a_policy_is_never_suspended_by_the_clock(world: World) -> None:
    value = stated(PolicyContent(text="forbid (principal, action, resource);"))
    digest = world.register.propose(DEV, Kind.POLICY, "x.cedar", value).version.digest
    for one in (ANN, BEN):
        world.register.judge(one, Kind.POLICY, "x.cedar", 1, digest, accepts=True)
    world.register.step(OPS, Kind.POLICY, "x.cedar", 1, Step.ACTIVATE)
    world.time.at += HALF_YEAR + 1
    assert {event.action for event in world.upkeep.tick()} <= {"notice"}
    assert list(world.register.served()) == [(Kind.POLICY, "x.cedar")]


def test_two_operators_at_once_are_told(world: World) -> None:
    world.register.propose(DEV, Kind.PORTAL, "default", stated(PortalContent(portal=Portal(servers=()))))
    with world.stores.writing() as books:
        (version,) = books.versions()
        books.replace_version(msgspec.structs.replace(version, reason="x"), version)
    with pytest.raises(Refused) as refused, world.stores.writing() as books:
        books.replace_version(version, version)
    assert refused.value.reason is Reason.CHANGED_MEANWHILE


PEOPLE = st.sampled_from([DEV, ANN, BEN, OPS, ROOT, BOTH, STRANGER])
MOVES = st.one_of(
    st.tuples(st.just("propose"), PEOPLE, st.sampled_from(["a", "b"])),
    st.tuples(st.just("judge"), PEOPLE, st.tuples(st.integers(1, 4), st.booleans())),
    st.tuples(st.just("step"), PEOPLE, st.tuples(st.integers(1, 4), st.sampled_from(Step))),
    st.tuples(st.just("rollback"), PEOPLE, st.integers(1, 4)),
    st.tuples(st.just("wait"), PEOPLE, st.sampled_from([1.0, FORTNIGHT, HALF_YEAR])),
)


@given(st.lists(MOVES, max_size=25))
def test_no_sequence_of_steps_serves_what_too_few_others_accepted(moves: list[tuple[str, Caller, Any]]) -> None:
    """Whoever tries whatever in whatever order; each refused step leaves no trace."""
    world = World()
    for what, caller, how in moves:
        before = world.actions()
        try:
            _try(world, what, caller, how)
        except Refused:
            assert world.actions() == before
        with world.stores.reading() as books:
            versions = books.versions()
            active = [one for one in versions if one.state is State.ACTIVE]
            assert len(active) <= 1
            if active and what == "step" and how[1] is Step.ACTIVATE and len(world.actions()) > len(before):
                stands = standing(active[0], books.reviews([active[0].digest]), world.time.at)
                assert len(set(stands.accepted_by) - {active[0].proposer}) >= active[0].reviewers_needed


def _try(world: World, what: str, caller: Caller, how: Any) -> None:
    register = world.register
    if what == "propose":
        register.propose(caller, Kind.SERVER, "notes", server(description=how, review_by="2036-12-31"))
    elif what == "judge":
        number, accepts = how
        digest = register.show(OPS, Kind.SERVER, "notes", number).version.digest
        register.judge(caller, Kind.SERVER, "notes", number, digest, accepts=accepts)
    elif what == "step":
        register.step(caller, Kind.SERVER, "notes", how[0], how[1])
    elif what == "rollback":
        register.rollback(caller, Kind.SERVER, "notes", how, "back")
    else:
        world.time.at += how
        world.upkeep.tick()
