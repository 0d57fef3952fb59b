"""Two tenants in one register: names, rollbacks, words of refusals and rules never cross; what a rule names can be taken away at once."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from customhouse.adapters.stores.memory import MemoryStores
from customhouse.adapters.views.files import FileViews
from customhouse.control.publishing import PROBLEMS, Publishing, unfit
from customhouse.control.register import Register
from customhouse.control.upkeep import Upkeep
from customhouse.core.content import PolicyContent, ServerContent, stated
from customhouse.core.identity import Caller, known
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.operators import Assignment, Role
from customhouse.core.picture import Picture, read_picture
from customhouse.core.policy import PolicyInvalid
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, State, Step
from customhouse.ports.stores import Tenant
from customhouse.wiring import policy_of
from tests.control.test_register import DEV, FORTNIGHT, HALF_YEAR, NOW, OPS, Time, World, person, refusal_of, server

LOCAL_OPS, LOCAL_DEV, LOCAL_REVIEWER = person("lops", "o"), person("ldev", "d"), person("lrev", "r")
FAR_OPS, FAR_DEV = person("fops", "o", tenant="abroad"), person("fdev", "d", tenant="abroad")
FAR_REVIEWER = person("frev", "r", tenant="abroad")
ALL = person("all", "everything")
TENANTED = (
    *(
        Assignment(role=role, groups=(f"local/{group}", f"abroad/{group}"))
        for role, group in ((Role.DEVELOPER, "d"), (Role.REVIEWER, "r"), (Role.OPERATOR, "o"))
    ),
    Assignment(role=Role.ADMIN, groups=("local/everything",), tenants=("*",)),
    Assignment(role=Role.REVIEWER, groups=("local/r",), tenants=("*",)),
)
RULE = '@id("r") permit (principal in Group::"abroad/x", action in [Action::"read"], resource in Server::"abroad-notes");\n'


def manifest(*tools: str, **schema: Any) -> Manifest:
    entries = tuple({"name": tool, "inputSchema": {"type": "object", "properties": {}, **schema}} for tool in tools)
    return Manifest(server_info={"name": "n"}, capabilities={"tools": {}}, tools=entries)


class Two:
    """Two tenants with their own people, and the check that the control process makes of what would be served."""

    def __init__(self) -> None:
        self.time, self.stores = Time(), MemoryStores()
        self.register = Register(
            self.stores,
            self.time,
            TENANTED,
            HALF_YEAR,
            lambda kind, name, content: (),
            lambda served: unfit(served, self.register.verdicts, policy_of, (*PROBLEMS, PolicyInvalid)),
        )
        self.upkeep = Upkeep(self.stores, self.time, FORTNIGHT, frozenset(), self.register.tell)
        with self.stores.writing() as books:
            for name in ("local", "abroad"):
                books.put_tenant(Tenant(name=name, created_at=NOW, created_by="local/root"))

    def active(self, name: str, tenant: str, people: tuple[Caller, Caller, Caller], **more: Any) -> int:
        developer, reviewer, operator = people
        definition = server(name=name, tenant=tenant, tools={"t": ToolReview(effect=Effect.READ)}, **more)["definition"]
        pin = Pin(server=name, revision="2025-06-18", digest=digest_of(manifest("t")), manifest=manifest("t"))
        content = stated(ServerContent(definition=msgspec.convert(definition, ServerDefinition), pin=pin))
        version = self.register.propose(developer, Kind.SERVER, name, content).version
        self.register.judge(reviewer, Kind.SERVER, name, version.number, version.digest, accepts=True)
        self.register.step(operator, Kind.SERVER, name, version.number, Step.ACTIVATE)
        return version.number


LOCAL, FAR = (LOCAL_DEV, LOCAL_REVIEWER, LOCAL_OPS), (FAR_DEV, FAR_REVIEWER, FAR_OPS)


def named_by_a_rule() -> tuple[Two, int]:
    """A server of `abroad` that a rule names, and one of `local` with nearly the same name."""
    two = Two()
    number = two.active("abroad-notes", "abroad", FAR)
    two.active("abroad-note", "local", LOCAL)
    policy = two.register.propose(ALL, Kind.POLICY, "of-local.cedar", stated(PolicyContent(text=RULE))).version
    for one in (person("x", "r"), person("y", "r")):
        two.register.judge(one, Kind.POLICY, "of-local.cedar", policy.number, policy.digest, accepts=True)
    two.register.step(ALL, Kind.POLICY, "of-local.cedar", policy.number, Step.ACTIVATE)
    return two, number


def test_a_name_belongs_to_its_first_tenant_for_good() -> None:
    two = Two()
    first = two.active("notes", "local", LOCAL)
    two.register.step(LOCAL_OPS, Kind.SERVER, "notes", first, Step.RETIRE)
    with pytest.raises(Refused) as refused:
        two.active("notes", "abroad", FAR)
    assert refused.value.reason is Reason.CONTENT_INVALID
    assert "local" not in str(refused.value.detail)


@pytest.mark.parametrize("step", [Step.SUSPEND, Step.RETIRE])
def test_a_server_that_a_rule_names_is_taken_away_at_once(step: Step, tmp_path: Path) -> None:
    two, number = named_by_a_rule()
    views = FileViews(tmp_path / "views")
    publishing = Publishing(two.register, two.stores, views, two.time)
    publishing.publish(policy_of, (*PROBLEMS, PolicyInvalid))
    two.register.step(FAR_OPS, Kind.SERVER, "abroad-notes", number, step, reason="It is compromised.")
    publishing.publish(policy_of, (*PROBLEMS, PolicyInvalid))
    assert publishing.problem == ""
    current = read_picture(views.current(), views.read(views.current()), Picture()).current
    assert {name: one.offered for name, one in current.items()} == {"abroad-note": True, "abroad-notes": False}


def test_what_the_clock_suspends_is_published_as_suspended(tmp_path: Path) -> None:
    two, number = named_by_a_rule()
    views = FileViews(tmp_path / "views")
    publishing = Publishing(two.register, two.stores, views, two.time)
    two.time.at = NOW + HALF_YEAR + 1
    two.upkeep.tick()
    assert two.register.show(FAR_OPS, Kind.SERVER, "abroad-notes", number).version.state is State.QUARANTINED
    publishing.publish(policy_of, (*PROBLEMS, PolicyInvalid))
    assert publishing.problem == ""
    picture = read_picture(views.current(), views.read(views.current()), Picture())
    assert not any(one.offered for one in picture.servers)
    assert picture.paths == ["/mcp"]


def test_findings_about_what_is_served_together_are_for_those_who_read_all_of_it() -> None:
    two, number = named_by_a_rule()
    content = two.register.show(FAR_OPS, Kind.SERVER, "abroad-notes", number).content
    assert isinstance(content, ServerContent)
    two.register._fits = lambda _: ["of-local.cedar:1: r: There is no server `x`; did you mean `abroad-note`?"]
    changed = msgspec.structs.replace(content, definition=msgspec.structs.replace(content.definition, description="Other."))
    version = two.register.propose(FAR_DEV, Kind.SERVER, "abroad-notes", stated(changed)).version
    two.register.judge(FAR_REVIEWER, Kind.SERVER, "abroad-notes", version.number, version.digest, accepts=True)
    for operator, told in ((FAR_OPS, False), (ALL, True)):
        with pytest.raises(Refused) as refused:
            two.register.step(operator, Kind.SERVER, "abroad-notes", version.number, Step.ACTIVATE)
        assert ("of-local.cedar" in str(refused.value.detail)) is told


def test_who_reads_nothing_of_a_history_is_not_told_how_long_it_is() -> None:
    two = Two()
    two.active("notes", "local", LOCAL)
    assert two.register.history(FAR_OPS) == ([], 0)
    events, after = two.register.history(LOCAL_OPS)
    assert after == events[-1].sequence


def program(name: str, *groups: str, person_name: str = "") -> Caller:
    return known(Caller(issuer="i", tenant="local", person=person_name, workload=name, client="c", groups=groups, expires_at=NOW + 1))


@pytest.mark.parametrize("reviewer", [program("bot", "review"), program("bot", "review", person_name="ann")])
@pytest.mark.parametrize("accepts", [True, False])
def test_a_program_gives_no_verdict_on_nobodys_behalf(reviewer: Caller, *, accepts: bool) -> None:
    world = World()
    version = world.register.propose(DEV, Kind.SERVER, "notes", server()).version
    reason = refusal_of(world.register.judge, reviewer, Kind.SERVER, "notes", version.number, version.digest, accepts=accepts)
    assert reason is Reason.ONLY_PEOPLE_REVIEW


def test_whoever_softens_a_class_needs_the_people_that_the_class_needed() -> None:
    world = World()
    world.active(tools={"t": ToolReview(effect=Effect.WRITE)})
    softer = world.register.propose(DEV, Kind.SERVER, "notes", server(tools={"t": ToolReview(effect=Effect.READ)})).version
    assert softer.reviewers_needed == 2
    world.accept(softer.number, person("ann", "review"), person("ben", "review"))
    world.register.step(OPS, Kind.SERVER, "notes", softer.number, Step.ACTIVATE)
    after = world.register.propose(DEV, Kind.SERVER, "notes", server(tools={"t": ToolReview(effect=Effect.READ)}, description="x")).version
    assert after.reviewers_needed == 1


def test_what_softens_a_class_that_became_graver_meanwhile_needs_the_people_of_now() -> None:
    world = World()
    early = world.register.propose(person("two", "dev"), Kind.SERVER, "notes", server(tools={"t": ToolReview(effect=Effect.READ)})).version
    world.accept(early.number, person("ann", "review"))
    assert early.reviewers_needed == 1
    world.active(tools={"t": ToolReview(effect=Effect.WRITE)})
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", early.number, Step.ACTIVATE) is Reason.REVIEWS_MISSING
    world.accept(early.number, person("ben", "review"))
    world.register.step(OPS, Kind.SERVER, "notes", early.number, Step.ACTIVATE)
    assert world.states()[early.number] == "active"


PERMIT = '@id("a") permit (principal in Group::"local/x", action in Action::"read", resource);'


@pytest.mark.parametrize(
    ("text", "goes"),
    [
        (PERMIT, True),
        ('@id("b") forbid (principal, action in Action::"write", resource);', False),
        (PERMIT + '@id("b") forbid (principal, action, resource);', False),
    ],
)
@pytest.mark.parametrize("step", [Step.DEPRECATE, Step.SUSPEND, Step.RETIRE])
def test_one_person_takes_permits_away_and_no_forbid(text: str, step: Step, *, goes: bool) -> None:
    world = World()
    version = world.register.propose(DEV, Kind.POLICY, "x.cedar", stated(PolicyContent(text=text))).version
    for one in (person("ann", "review"), person("ben", "review")):
        world.register.judge(one, Kind.POLICY, "x.cedar", 1, version.digest, accepts=True)
    world.register.step(OPS, Kind.POLICY, "x.cedar", 1, Step.ACTIVATE)
    if goes:
        world.register.step(OPS, Kind.POLICY, "x.cedar", 1, step)
    else:
        assert refusal_of(world.register.step, OPS, Kind.POLICY, "x.cedar", 1, step) is Reason.STEP_NOT_ALLOWED


def test_what_was_withdrawn_by_mistake_is_proposed_again_as_the_version_it_was() -> None:
    world = World()
    number = world.register.propose(DEV, Kind.SERVER, "notes", server()).version.number
    world.register.step(DEV, Kind.SERVER, "notes", number, Step.WITHDRAW)
    again = world.register.propose(DEV, Kind.SERVER, "notes", server()).version
    assert (again.number, again.state) == (number, State.PROPOSED)


def test_a_rejection_stands_when_the_content_is_proposed_again() -> None:
    world = World()
    version = world.register.propose(DEV, Kind.SERVER, "notes", server()).version
    world.register.judge(person("ann", "review"), Kind.SERVER, "notes", 1, version.digest, accepts=False)
    assert world.register.propose(DEV, Kind.SERVER, "notes", server()).version.state is State.PROPOSED
    world.register.judge(person("ben", "review"), Kind.SERVER, "notes", 1, version.digest, accepts=True)
    world.register.judge(person("cem", "review"), Kind.SERVER, "notes", 1, version.digest, accepts=True)
    assert refusal_of(world.register.step, OPS, Kind.SERVER, "notes", 1, Step.ACTIVATE) is Reason.STEP_NOT_ALLOWED


STRING, NUMBER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("before", "after", "review", "fits"),
    [
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": STRING}}, {}, True, id="the same"),
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": STRING, "b": STRING}}, {}, True, id="one more that may be absent"),
        pytest.param(
            {"properties": {"a": STRING}},
            {"properties": {"a": STRING, "b": STRING}, "required": ["b"]},
            {},
            False,
            id="one more that may not",
        ),
        pytest.param({"properties": {"a": STRING}}, {"properties": {}}, {}, False, id="one that rules would not see any more"),
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": NUMBER}}, {}, False, id="another type"),
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": STRING}}, {"effect": Effect.WRITE}, False, id="another class"),
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": STRING}}, {"data": "confidential"}, False, id="another label"),
        pytest.param({"properties": {"a": STRING}}, {"properties": {"a": STRING}}, {"scopes": ("x",)}, False, id="another scope"),
    ],
)
def test_two_versions_stand_side_by_side_only_where_rules_judge_their_tools_alike(
    before: dict[str, Any], after: dict[str, Any], review: dict[str, Any], *, fits: bool
) -> None:
    world = World()

    def active(schema: dict[str, Any], window_seconds: float, **labels: Any) -> None:
        found = manifest("t", **schema)
        pin = Pin(server="notes", revision="2025-06-18", digest=digest_of(found), manifest=found)
        tools = {"t": ToolReview(**{"effect": Effect.READ, **labels})}
        definition = msgspec.convert(server(tools=tools)["definition"], ServerDefinition)
        content = stated(ServerContent(definition=definition, pin=pin))
        version = world.register.propose(DEV, Kind.SERVER, "notes", content).version
        world.accept(version.number, person("ann", "review"), person("ben", "review"))
        world.register.step(OPS, Kind.SERVER, "notes", version.number, Step.ACTIVATE, window_seconds=window_seconds)

    active(before, 0.0)
    if fits and before != after:
        active(after, 100.0, **review)
        assert world.states() == {1: "deprecated", 2: "active"}
    elif not fits:
        with pytest.raises(Refused) as refused:
            active(after, 100.0, **review)
        assert "`t`" in refused.value.detail["findings"][0]  # type: ignore[index]
        assert world.states() == {1: "active", 2: "reviewed"}
        world.register.step(OPS, Kind.SERVER, "notes", 2, Step.ACTIVATE)
        assert world.states() == {1: "retired", 2: "active"}
