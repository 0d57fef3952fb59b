"""What is offered and declared between different revisions: entries of lists, capabilities of both sides, and tasks.

The ids name rows of the matrix of translations: A is a legacy client in front of a modern server, B the other way round.
"""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp_types import methods

from customhouse.core.manifest import Era
from customhouse.core.protocol.capabilities import APP_PAGE, APPS, TASKS, declared, declared_to, offered, required_of_client, together
from customhouse.core.protocol.entries import needs_task, translated_tool
from customhouse.core.protocol.reading import read_members
from customhouse.core.protocol.revisions import ERA_OF, LEGACY_REVISIONS, META_SERVER, NEWEST_MODERN, cross_eras, mutual
from customhouse.core.protocol.tasks import TASK_METHODS, refuse_task_alone, refuse_tasks_across, relayed_task
from customhouse.core.refusal import Reason, Refused

M, L4, L3, L2, L1 = NEWEST_MODERN, *LEGACY_REVISIONS
REVISIONS = st.sampled_from(sorted(ERA_OF))

# Entries

TOOL = {
    "name": "a",
    "title": "A",
    "inputSchema": {"type": "object"},
    "icons": [],
    "annotations": {"readOnlyHint": True},
    "_meta": {"x": None},
}
OBJECT = {"type": "object", "properties": {}}
TOOLS: list[Any] = [
    pytest.param({"outputSchema": OBJECT}, M, L4, {"outputSchema": OBJECT}, id="TM-04-A-an-object-stays"),
    pytest.param({"outputSchema": {"type": "array"}}, M, L4, {}, id="TM-04-A-a-list-goes"),
    pytest.param({"outputSchema": {"anyOf": []}}, M, L3, {}, id="TM-04-A-no-type-goes"),
    pytest.param({"outputSchema": True}, M, L1, {}, id="TM-04-A-a-boolean-goes"),
    pytest.param({"outputSchema": {"type": "array"}}, L4, M, {"outputSchema": {"type": "array"}}, id="TM-04-B-a-modern-client-knows-any"),
    pytest.param({"execution": {"taskSupport": "optional"}}, L4, M, {}, id="TM-04-B-execution-goes"),
    pytest.param({"execution": {"taskSupport": "optional"}}, L4, L3, {}, id="TM-15-legacy-execution-goes"),
    pytest.param({"execution": {"taskSupport": "required"}}, M, L4, {}, id="TM-15-A-execution-is-not-what-it-seems"),
    pytest.param({"execution": {"x": None}}, L3, L2, {"execution": {"x": None}}, id="TM-15-unknown-to-both"),
    pytest.param(
        {"execution": {"taskSupport": "required"}}, L4, L4, {"execution": {"taskSupport": "required"}}, id="TM-15-equal-revisions"
    ),
    pytest.param({"execution": {"taskSupport": "required"}}, L4, M, None, id="TM-15-B-a-task-alone-is-withheld"),
    pytest.param({"execution": {"taskSupport": "required"}}, L4, L1, None, id="TM-15-legacy-a-task-alone-is-withheld"),
    pytest.param({"execution": "required", "x": None}, L4, M, {"x": None}, id="TM-04-B-nonsense-is-not-a-task"),
]


@pytest.mark.parametrize(("more", "server", "client", "seen"), TOOLS)
def test_a_tool_is_listed_in_the_clients_revision(more: dict[str, Any], server: str, client: str, seen: dict[str, Any] | None) -> None:
    # GW-86
    assert translated_tool({**TOOL, **more}, server, client) == (None if seen is None else {**TOOL, **seen})


@pytest.mark.parametrize("client", LEGACY_REVISIONS)
def test_a_list_of_a_modern_server_is_valid_to_a_legacy_client(client: str) -> None:
    tools = [translated_tool({**TOOL, "outputSchema": schema}, M, client) for schema in (OBJECT, {"type": "array"}, {}, True)]
    methods.validate_server_result("tools/list", client, {"tools": tools})


VALUES = st.none() | st.booleans() | st.text(max_size=3) | st.fixed_dictionaries({"type": st.sampled_from(["object", "array"])})
TOOL_MEMBERS = st.dictionaries(st.sampled_from(["outputSchema", "execution", "x", "title", "icons", "annotations", "y"]), VALUES)


@given(TOOL_MEMBERS, REVISIONS, REVISIONS)
def test_whatever_else_a_tool_says_of_itself_is_listed(more: dict[str, Any], server: str, client: str) -> None:
    tool = {**TOOL, **more}
    seen = translated_tool(tool, server, client)
    assert seen is not None
    assert {**tool, **seen} == tool
    assert tool.keys() - seen.keys() <= {"outputSchema", "execution"}
    assert translated_tool(seen, server, client) is seen
    assert translated_tool(tool, server, server) is tool


# What a client declared

FORM: dict[str, Any] = {"form": {}}
URL: dict[str, Any] = {"url": {}}
DECLARED = [
    pytest.param({"elicitation": {}}, L2, {}, id="TM-12-A-none-before-2025-06-18"),
    pytest.param({"elicitation": {}}, L3, {"elicitation": FORM}, id="TM-12-A-forms"),
    pytest.param({"elicitation": {"url": {}}}, L3, {"elicitation": FORM}, id="TM-13-A-no-pages-before-2025-11-25"),
    pytest.param({"elicitation": {}}, L4, {"elicitation": FORM}, id="TM-12-A-empty-means-forms"),
    pytest.param({"elicitation": {"url": {}}}, L4, {"elicitation": URL}, id="TM-13-A-pages-alone"),
    pytest.param({"elicitation": {"form": {"x": 1}, "url": {}, "voice": {}}}, M, {"elicitation": FORM | URL}, id="TM-13-B-both"),
    pytest.param({"elicitation": {"voice": {}}}, M, {}, id="TM-12-B-unknown-modes-alone"),
    pytest.param({"elicitation": {"form": True}}, M, {}, id="TM-12-B-not-an-object"),
    pytest.param({"sampling": {"tools": {}, "context": {}}}, L3, {"sampling": {}}, id="TM-12-A-sampling-had-no-parts"),
    pytest.param({"sampling": {"tools": {}, "x": {}}}, L4, {"sampling": {"tools": {}}}, id="TM-12-A-sampling"),
    pytest.param({"sampling": {"context": {"y": 1}}}, M, {"sampling": {"context": {}}}, id="TM-12-B-sampling"),
    pytest.param({"roots": {"listChanged": True}}, L1, {"roots": {"listChanged": True}}, id="TM-14-A-roots"),
    pytest.param({"roots": {"listChanged": 1}}, L1, {"roots": {}}, id="TM-14-A-not-true"),
    pytest.param({"roots": {"listChanged": True}}, M, {"roots": {}}, id="TM-14-B-roots"),
    pytest.param({"tasks": {"list": {}}, "experimental": {"x": {}}, "y": {}}, L4, {}, id="TM-15-A-not-relayed"),
    pytest.param(
        {"extensions": {APPS: {"mimeTypes": ["a", 1, APP_PAGE]}, TASKS: {"x": 1}, "com.example/x": {}}},
        M,
        {"extensions": {APPS: {"mimeTypes": [APP_PAGE]}, TASKS: {}}},
        id="TM-15-B-extensions",
    ),
    pytest.param({"extensions": {APPS: {"mimeTypes": ["made-up/1"]}}}, M, {"extensions": {APPS: {}}}, id="TM-15-B-made-up"),
    pytest.param({"extensions": {APPS: {"mimeTypes": "a"}, TASKS: {}}}, L4, {"extensions": {APPS: {}}}, id="TM-15-A-extensions"),
    pytest.param({"extensions": {TASKS: {}}}, L4, {}, id="TM-15-A-no-tasks-extension"),
    pytest.param({"extensions": [], "sampling": None, "roots": True}, M, {}, id="TM-01-B-nonsense"),
]


@pytest.mark.parametrize(("said", "client", "counts"), DECLARED)
def test_what_a_client_declared_counts_as_far_as_it_is_relayed(said: dict[str, Any], client: str, counts: dict[str, Any]) -> None:
    assert declared(said, client) == counts


ALL = {
    "elicitation": FORM | URL,
    "sampling": {"context": {}, "tools": {}},
    "roots": {"listChanged": True},
    "extensions": {APPS: {}, TASKS: {}},
}
APPS_ALONE: dict[str, Any] = {"extensions": {APPS: {}}}
TOLD = [
    pytest.param(ALL, M, {**ALL, "roots": {}}, id="TM-01-A"),
    pytest.param(ALL, L4, ALL | APPS_ALONE, id="TM-01-B-2025-11-25"),
    pytest.param(ALL, L3, {"elicitation": {}, "sampling": {}, "roots": {"listChanged": True}, **APPS_ALONE}, id="TM-01-B-2025-06-18"),
    pytest.param(ALL, L2, {"sampling": {}, "roots": {"listChanged": True}, **APPS_ALONE}, id="TM-12-B-2025-03-26"),
    pytest.param({"elicitation": URL}, L3, {}, id="TM-13-B-pages-alone-are-nothing-to-2025-06-18"),
    pytest.param({"elicitation": URL}, L4, {"elicitation": URL}, id="TM-13-B-pages-alone"),
    pytest.param({}, L4, {}, id="TM-01-B-nothing"),
]


@pytest.mark.parametrize(("counts", "server", "told"), TOLD)
def test_a_server_is_told_of_a_client_in_its_revision(counts: dict[str, Any], server: str, told: dict[str, Any]) -> None:
    assert declared_to(counts, server) == told


PARTS: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["form", "url", "tools", "context", "listChanged", "x"]), st.just({}) | st.booleans(), max_size=4
)
SAID: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["elicitation", "sampling", "roots", "tasks", "experimental", "z"]), PARTS | st.none(), max_size=5
) | st.builds(lambda names: {"extensions": {name: {} for name in names}}, st.lists(st.sampled_from([APPS, TASKS, "com.example/x"])))


def meaning(capabilities: dict[str, Any], revision: str) -> set[tuple[str, ...]]:
    """What capabilities of a revision allow a server to do, spelled out."""
    found: set[tuple[str, ...]] = {(name,) for name, value in capabilities.items() if type(value) is dict and name != "extensions"}
    for name, value in capabilities.items():
        if type(value) is dict:
            found |= {(name, part) for part, on in value.items() if type(on) is dict or on is True}
    if capabilities.get("elicitation") == {} and revision >= L3:
        found.add(("elicitation", "form"))
    if type(capabilities.get("elicitation")) is dict and revision == L3:
        found = {one for one in found if one[0] != "elicitation"} | {("elicitation",), ("elicitation", "form")}
    return found


@given(SAID, REVISIONS, REVISIONS)
def test_no_server_is_told_more_than_the_client_declared(said: dict[str, Any], client: str, server: str) -> None:  # GW-67
    told = declared_to(declared(said, client), server)
    assert meaning(told, server) <= meaning(said, client)
    assert set(told) <= {"elicitation", "sampling", "roots", "extensions"}
    if cross_eras(client, server):
        assert told.get("roots", {}) == {}
        assert TASKS not in told.get("extensions", {})


@given(SAID, REVISIONS)
def test_what_was_cut_once_stays_as_it_is(said: dict[str, Any], client: str) -> None:
    once = declared(said, client)
    assert declared_to(once, client) == declared_to(declared(declared_to(once, client), client), client)


def test_what_a_server_misses_is_told_as_far_as_a_client_could_give_it() -> None:
    missing = {"code": -32021, "message": "m", "data": {"requiredCapabilities": {"sampling": {"tools": {}}, "experimental": {"x": {}}}}}
    assert required_of_client(missing) == {"sampling": {"tools": {}}}
    useless: list[Any] = [None, {}, [], {"requiredCapabilities": []}, {"requiredCapabilities": {"x": {}}}]
    for data in useless:
        assert required_of_client({"code": -32021, "message": "m", "data": data}) == {}


# What a server offers

EVERYTHING = {
    "tools": {"listChanged": True, "x": True},
    "prompts": {"listChanged": False},
    "resources": {"subscribe": True, "listChanged": 1},
    "logging": {"y": 1},
    "completions": {},
    "tasks": {"list": {}},
    "experimental": {"z": {}},
    "extensions": {APPS: {}, TASKS: {}, "com.example/x": {}},
}
PLAIN = {"tools": {"listChanged": True}, "prompts": {}, "resources": {"subscribe": True}, "logging": {}}
OFFERED = [
    pytest.param(M, M, {**PLAIN, "completions": {}, "extensions": {APPS: {}, TASKS: {}}}, id="TM-07-TM-08-TM-09-modern"),
    pytest.param(M, L4, {**PLAIN, "completions": {}, "extensions": {APPS: {}}}, id="TM-07-TM-08-TM-09-A"),
    pytest.param(L4, M, {**PLAIN, "completions": {}, "extensions": {APPS: {}}}, id="TM-07-TM-08-TM-09-B"),
    pytest.param(L4, L4, {**PLAIN, "completions": {}, "extensions": {APPS: {}}}, id="TM-15-tasks-of-2025-11-25-are-not-relayed"),
    pytest.param(L4, L1, {**PLAIN, "extensions": {APPS: {}}}, id="TM-16-A-no-word-for-completions"),
]


@pytest.mark.parametrize(("server", "client", "told"), OFFERED)
def test_a_client_is_told_of_a_server_in_its_revision(server: str, client: str, told: dict[str, Any]) -> None:
    assert offered(EVERYTHING, server, client) == told


def test_a_server_that_offers_nothing_known_offers_nothing() -> None:
    assert offered({"tools": None, "x": {}, "resources": True}, M, L4) == {}


def test_an_endpoint_offers_what_one_of_its_servers_offers() -> None:
    first = {"tools": {}, "resources": {"subscribe": True}, "extensions": {APPS: {}}}
    second = {"tools": {"listChanged": True}, "resources": {}, "extensions": {TASKS: {}}, "logging": {}}
    both = {
        "tools": {"listChanged": True},
        "resources": {"subscribe": True},
        "extensions": {APPS: {}, TASKS: {}},
        "logging": {},
    }
    assert together([first, second]) == together([second, first]) == both
    assert together([]) == {}
    assert together([first]) == first
    assert together([{"extensions": {APPS: {"mimeTypes": ["a"]}}}, {"extensions": {APPS: {"mimeTypes": ["b"]}}}]) == {
        "extensions": {APPS: {"mimeTypes": ["a"]}}
    }


# Tasks

CROSSING = [(server, client) for server in ERA_OF for client in ERA_OF if server != client]


@pytest.mark.parametrize(("server", "client"), CROSSING)
@pytest.mark.parametrize("method", sorted(TASK_METHODS))
def test_a_request_about_a_task_is_refused_with_the_reason(method: str, server: str, client: str) -> None:  # TM-15
    with pytest.raises(Refused) as caught:
        refuse_tasks_across(method, {}, server, client)
    assert caught.value.reason is Reason.TASK_NOT_CARRIED
    assert caught.value.message == f"The client speaks {client}, the server {server}."


@pytest.mark.parametrize("server", [M, L3, L2, L1])
def test_a_call_for_a_task_is_refused_by_the_revision_of_its_server(server: str) -> None:
    with pytest.raises(Refused, match="TASK_NOT_CARRIED"):
        refuse_tasks_across("tools/call", {"name": "a", "task": {}}, server, L4)


@pytest.mark.parametrize(
    ("method", "params", "server", "client"),
    [
        pytest.param("tools/call", {"task": {}}, L4, L4, id="equal-revisions"),
        pytest.param("tasks/get", {}, M, M, id="equal-modern-revisions"),
        pytest.param("tools/call", {}, M, L4, id="no-task"),
        pytest.param("tools/call", {"task": {}}, L4, M, id="the-client-knows-no-task-parameter"),
    ],
)
def test_what_asks_for_no_task_of_another_revision_is_not_refused(method: str, params: dict[str, Any], server: str, client: str) -> None:
    refuse_tasks_across(method, params, server, client)


def test_a_tool_that_is_a_task_alone_is_callable_in_its_own_revision() -> None:  # GW-90
    tool = {"name": "a", "execution": {"taskSupport": "required"}}
    refuse_task_alone(tool, L4, L4)
    refuse_task_alone(tool, M, L4)
    refuse_task_alone({"name": "a"}, L4, M)
    assert needs_task(tool)
    with pytest.raises(Refused) as caught:
        refuse_task_alone(tool, L4, M)
    assert caught.value.detail == {"server": L4, "client": M}


def test_a_task_is_passed_on_between_modern_peers_with_its_own_time_to_live() -> None:
    info = {"name": "customhouse"}
    members = read_members(
        b'{"resultType":"task","taskId":"t","ttlMs":5,"x":null,"_meta":{"io.modelcontextprotocol/serverInfo":1,"a":null}}'
    )
    assert json.loads(msgspec.json.encode(relayed_task(members, info))) == {
        "resultType": "task",
        "taskId": "t",
        "ttlMs": 5,
        "x": None,
        "_meta": {"a": None, META_SERVER: info},
    }
    assert relayed_task(read_members(b'{"resultType":"complete"}'), info) is None
    assert relayed_task(read_members(b"{}"), info) is None
    with pytest.raises(Refused, match="UPSTREAM_BROKE_PROTOCOL"):
        relayed_task(read_members(b'{"resultType":"task","_meta":[]}'), info)


# Revisions


@pytest.mark.parametrize(
    ("supported", "known", "chosen"),
    [
        pytest.param([L1, L3, "2030-01-01"], LEGACY_REVISIONS, L3, id="TM-02-B-the-newest-that-both-know"),
        pytest.param([M, L4], [M], M, id="TM-01-A-modern"),
        pytest.param([L4], [M], "", id="TM-01-A-none"),
        pytest.param([], LEGACY_REVISIONS, "", id="TM-02-B-nothing"),
        pytest.param({L4: 1}, LEGACY_REVISIONS, "", id="TM-02-B-no-list"),
        pytest.param([None, 1, L1], LEGACY_REVISIONS, L1, id="TM-02-B-nonsense-beside"),
    ],
)
def test_the_newest_revision_that_both_sides_know_is_spoken(supported: object, known: list[str], chosen: str) -> None:
    assert mutual(supported, known) == chosen


def test_every_revision_has_an_era() -> None:
    assert {ERA_OF[revision] for revision in LEGACY_REVISIONS} == {Era.LEGACY}
    assert cross_eras(M, L4)
    assert not cross_eras(L1, L4)
