"""What becomes of the tools of a server that says something else than what was approved."""

import time
import unicodedata

import pytest

from customhouse.cli.sidebyside import side_by_side
from customhouse.core.comparison import compared_values
from customhouse.core.drift import Grade, drift
from customhouse.core.manifest import Manifest
from customhouse.core.resemblance import Elsewhere
from tests.cves.attacker import call, request
from tests.cves.cases import advisory
from tests.cves.conftest import APPROVED, POISON, TURNED, Town

PATIENT_SECONDS = 15.0
SERVED = {"turncoat__rewording", "turncoat__widening"}


@pytest.fixture(scope="module")
def betrayed(town: Town, alice: str) -> Town:
    """The gateway has noticed."""
    deadline = time.monotonic() + PATIENT_SECONDS
    while town.door.say(call("turncoat__demanding"), alice).reason != "drifted":
        assert time.monotonic() < deadline, "the gateway looks at every server at its start"
        time.sleep(0.05)
    return town


@advisory("Invariant Labs, 2025-04-01", "CF #5471")
@pytest.mark.parametrize("path", ["/mcp", "/servers/turncoat/mcp"])
def test_no_word_that_nobody_approved_reaches_a_client(betrayed: Town, alice: str, path: str) -> None:  # GW-108
    for said in (request("tools/list"), request("server/discover"), request("initialize", {"protocolVersion": "2025-11-25"}, "2025-11-25")):
        answer = betrayed.door.say(said, alice, path).body.decode()
        assert POISON not in answer
        assert "id_rsa" not in answer
        assert "additional" not in answer


@advisory("CF #5471")
def test_only_tools_on_which_callers_can_rely_are_listed_as_approved(betrayed: Town, alice: str) -> None:
    tools = betrayed.door.say(request("tools/list"), alice).message["result"]["tools"]
    theirs = [tool for tool in tools if tool["name"].startswith("turncoat__")]
    assert {tool["name"] for tool in theirs} == SERVED
    assert {tool["description"] for tool in theirs} == {"Does it."}
    assert {str(tool["inputSchema"]["properties"]) for tool in theirs} == {"{}"}


@advisory("CF #5471", "Invariant Labs, 2025-04-01")
@pytest.mark.parametrize("tool", [tool["name"] for tool in APPROVED])
def test_a_call_goes_through_or_is_refused_as_the_change_deserves(betrayed: Town, alice: str, tool: str) -> None:
    answer = betrayed.door.say(call(f"turncoat__{tool}"), alice)
    if f"turncoat__{tool}" in SERVED:
        assert answer.text == "done"
    else:
        assert answer.reason == "drifted"


@advisory("CF #5471")
def test_a_new_tool_is_unknown_even_where_its_name_has_a_class(betrayed: Town, alice: str) -> None:
    assert betrayed.door.say(call("turncoat__additional"), alice).reason == "unknown_name"


def changes() -> dict[str, frozenset[Grade]]:
    old, new = (Manifest(server_info={}, capabilities={}, tools=tools) for tools in (APPROVED, TURNED))
    return {change.name: change.grades for change in drift(old, new)}


@advisory("Invariant Labs, 2025-04-01")
@pytest.mark.parametrize(
    ("tool", "grade"),
    [
        ("hiding", Grade.HIDDEN_CHARACTERS),
        ("escaping", Grade.HIDDEN_CHARACTERS),
        ("posing", Grade.LOOK_ALIKE_CHARACTERS),
        ("flipping", Grade.ANNOTATION_FLIP),
        ("additional", Grade.NEW),
    ],
)
def test_the_reviewer_is_told_what_kind_of_change_it_is(tool: str, grade: Grade) -> None:
    assert grade in changes()[tool]


@advisory("Trail of Bits, 2025-04-29", "Invariant Labs, 2025-04-01")
@pytest.mark.parametrize("tool", [tool["name"] for tool in APPROVED])
def test_the_reviewer_sees_what_hides_and_the_terminal_obeys_nothing(tool: str) -> None:
    old, new = (next(one for one in tools if one["name"] == tool) for tools in (APPROVED, TURNED))
    shown = "".join(side_by_side(compared_values(old, new), 300))
    assert not [char for char in shown if unicodedata.category(char) in {"Cc", "Cf"}]
    for name, code in (("hiding", "U+202E"), ("escaping", "U+001B"), ("posing", "U+043E")):
        assert (code in shown) is (name == tool)


@advisory("CVE-2026-30856")
@pytest.mark.parametrize("name", ["send_mesage", "Send_Message", "s\u0435nd_message", "sendMessage", "send_me55age"])
def test_a_new_name_that_poses_as_another_servers_is_noticed(name: str) -> None:
    elsewhere = [("mail", "send_message"), ("mail", "read_message")]
    assert [one.name for one in Elsewhere(elsewhere).resembling(name)] == ["send_message"]
    tools = ({"name": name, "inputSchema": {"type": "object"}},)
    (change,) = drift(Manifest(server_info={}, capabilities={}), Manifest(server_info={}, capabilities={}, tools=tools), elsewhere)
    assert Grade.RESEMBLES_ANOTHER in change.grades
