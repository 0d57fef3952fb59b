"""Who is calling: grants by server, headers that claim something, callers that share a process."""

import asyncio
import json
import string
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cves.attacker import READ, WELCOME, Door, Headers, Tap, call, read_answer, request
from tests.cves.cases import advisory
from tests.cves.conftest import Town

NOTES_ALONE = "/servers/notes/mcp"


@advisory("GHSA-vw82-7fv8-r6gp")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
@pytest.mark.parametrize("name", ["list_notes", "read_note", "add_note", "delete_note", "count_slowly"])
def test_knowing_a_server_is_no_grant(door: Door, tap: Tap, mallory: str, name: str, revision: str) -> None:
    arguments = {"title": "known-marker", "text": "x", "steps": 1}
    assert door.say(call(name, arguments, revision), mallory, NOTES_ALONE).reason == "unknown_name"
    assert tap.about("known-marker") == []


@advisory("GHSA-vw82-7fv8-r6gp")
def test_somebody_without_a_grant_sees_an_empty_server(door: Door, mallory: str) -> None:
    for method, key in (("tools/list", "tools"), ("prompts/list", "prompts"), ("resources/list", "resources")):
        assert door.say(request(method), mallory, NOTES_ALONE).message["result"][key] == []
    for uri in ("notes://index", "notes://note/welcome"):
        assert door.say(request("resources/read", {"uri": uri}), mallory, NOTES_ALONE).reason == "unknown_name"


@advisory("GHSA-vw82-7fv8-r6gp")
def test_another_tenants_server_answers_like_one_that_is_not_there(town: Town) -> None:
    paths = ["/servers/elsewhere/mcp", "/servers/nobody/mcp"]
    token = town.door.token("alice", "eng", paths=paths)
    before = len(town.abroad.heard)
    there, absent = (town.door.say(call("read_note", {"title": "tenant-marker"}), token, path) for path in paths)
    for answer in (there, absent):
        answer.message["error"]["data"].pop("callId")
    assert (there.status, there.reason) == (absent.status, absent.reason) == (404, "unknown_path")
    assert not [sent for sent in town.abroad.heard[before:] if b"tenant-marker" in sent.body]


@advisory("GHSA-vw82-7fv8-r6gp")
def test_another_tenants_tool_in_a_shared_portal_answers_like_one_that_is_not_there(door: Door, alice: str) -> None:
    there = door.say(call("elsewhere__read_note"), alice).message["error"]
    absent = door.say(call("elsewhere__no_such_tool"), alice).message["error"]
    for error in (there, absent):
        del error["data"]["callId"]
    assert there == absent
    listed = door.say(request("tools/list"), alice).message["result"]["tools"]
    assert not [tool for tool in listed if tool["name"].startswith("elsewhere")]


CLAIMS: list[Headers] = [
    [("X-Forwarded-For", "127.0.0.1"), ("X-Real-Ip", "127.0.0.1")],
    [("Forwarded", "for=127.0.0.1;host=localhost;proto=https")],
    [("X-Forwarded-User", "alice"), ("X-Forwarded-Groups", "eng,editors"), ("X-Forwarded-Email", "alice@example.org")],
    [("X-User", "alice"), ("X-User-Id", "alice"), ("X-Groups", "eng"), ("X-Roles", "admin"), ("X-Is-Admin", "true")],
    [("X-Internal", "true"), ("X-Internal-Auth", "1"), ("X-Trusted", "1"), ("X-Authenticated", "true")],
    [("Router-Key", "secret"), ("Mcp-Init-Host", "127.0.0.1"), ("X-Mcp-Router-Key", "secret"), ("Mcp-Router", "1")],
    [("X-Auth-Context", json.dumps({"user": "alice", "is_admin": True, "groups": ["eng"]}))],
    [("X-Ssl-Client-Verify", "SUCCESS"), ("X-Client-Cert", "CN=alice"), ("X-Forwarded-Client-Cert", "Subject=alice")],
    [("Mcp-Session-Id", "alice-session"), ("Last-Event-Id", "1")],
    [("X-Http-Method-Override", "GET"), ("X-Original-Url", "/healthz")],
]
EVERY_CLAIM = pytest.mark.parametrize("claims", CLAIMS, ids=lambda claims: claims[0][0])


@advisory("GHSA-g53w-w6mj-hrpp", "CF #5737")
@EVERY_CLAIM
def test_a_header_is_no_token(door: Door, claims: Headers) -> None:
    assert door.ask("POST", "/mcp", [*READ.headers, *claims], READ.body).reason == "no_token"


@advisory("GHSA-g53w-w6mj-hrpp", "CF #5737")
@EVERY_CLAIM
def test_a_header_changes_nobody(town: Town, mallory: str, alice: str, claims: Headers) -> None:
    door = town.door
    assert door.say(request("tools/list"), mallory, extra=claims).message["result"]["tools"] == []
    assert door.say(READ, mallory, extra=claims).reason == "unknown_name"
    assert door.say(READ, alice, extra=claims).text == WELCOME


@advisory("GHSA-g53w-w6mj-hrpp")
@EVERY_CLAIM
def test_a_header_does_not_travel_to_a_server(door: Door, tap: Tap, alice: str, claims: Headers) -> None:
    marker = f"travel-{claims[0][0]}".lower()
    door.say(call("notes__read_note", {"title": marker}), alice, extra=claims)
    (sent,) = tap.about(marker)
    for name, _ in claims:
        assert f"\r\n{name.lower()}:" not in sent.head.decode().lower()
    assert alice.encode() not in sent.head + sent.body


OWN = {"host", "authorization", "content-type", "content-length", "accept", "origin", "expect", "upgrade", "connection", "te", "trailer"}
OWN |= {"transfer-encoding", "sec-fetch-site", "mcp-method", "mcp-name", "mcp-protocol-version", "keep-alive", "proxy-connection"}
NAMES = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=24).filter(lambda name: name.lower() not in OWN)
VALUES = st.sampled_from(["127.0.0.1", "alice", "admin", "true", "1", "local/eng", "notes"])
ANY_HEADERS = st.lists(
    st.tuples(st.sampled_from(["", "x-", "x-forwarded-", "x-internal-", "mcp-"]), NAMES, VALUES), min_size=1, max_size=20
)


@advisory("GHSA-g53w-w6mj-hrpp")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ANY_HEADERS)
def test_no_name_of_a_header_makes_somebody_of_nobody(door: Door, mallory: str, found: list[tuple[str, str, str]]) -> None:
    headers = [(prefix + name, value) for prefix, name, value in found if (prefix + name).lower() not in OWN]
    answer = door.say(READ, mallory, extra=headers)
    assert answer.reason in ("unknown_name", "malformed_http")  # an `mcp-` header that is there twice is no request at all


# --- Callers that share a process ----------------------------------------------------------------------------------------


async def _read(door: Door, token: str, marker: str, revision: str) -> str:
    """The answer to a call with id 1 on a connection of its own."""
    said = call("notes__read_note", {"title": marker}, revision, message_id=1)
    data = door.framed("POST", "/mcp", [("Authorization", f"Bearer {token}"), ("Connection", "close"), *said.headers], said.body)
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    try:
        writer.write(data)
        return (await reader.read()).decode()
    finally:
        writer.close()
        await writer.wait_closed()


@advisory("CVE-2026-25536")
@pytest.mark.parametrize("revision", ["2025-11-25", "2026-07-28"])
async def test_equal_ids_at_the_same_time_get_their_own_answers(door: Door, revision: str) -> None:  # GW-09
    tokens = [door.token(f"twin-{number % 4}", "eng") for number in range(60)]
    markers = [f"twin-{revision}-{number}-end" for number in range(60)]
    answers = await asyncio.gather(*[_read(door, token, marker, revision) for token, marker in zip(tokens, markers, strict=True)])
    for marker, answer in zip(markers, answers, strict=True):
        assert marker in answer
        assert answer.count(f"twin-{revision}-") == answer.count(marker)


@advisory("CVE-2026-25536")
def test_the_gateway_uses_ids_of_its_own(door: Door, tap: Tap, alice: str) -> None:
    for _ in range(3):
        door.say(call("notes__read_note", {"title": "own-id-marker"}, message_id="callers-id"), alice)
    sent = tap.about("own-id-marker")
    assert len({one.message["id"] for one in sent}) == 3
    assert not [one for one in sent if b"callers-id" in one.body]


@advisory("CVE-2026-48529")
def test_two_people_in_turns_on_one_connection_keep_their_own(door: Door, alice: str, mallory: str) -> None:  # GW-33
    editor = door.token("bea", "editors")
    turns = [alice, mallory, editor, alice, editor, mallory, mallory, alice]
    seen: dict[str, list[list[str]]] = {}
    with door.connected() as connection:
        for token in turns:
            said = request("tools/list")
            connection.sendall(door.framed("POST", "/mcp", [("Authorization", f"Bearer {token}"), *said.headers], said.body))
            names = [tool["name"] for tool in read_answer(connection).message["result"]["tools"]]
            seen.setdefault(token, []).append(names)
    assert all(lists == [lists[0]] * len(lists) for lists in seen.values())
    assert seen[mallory][0] == []
    assert seen[editor][0] == ["notes__add_note"]
    assert "notes__read_note" in seen[alice][0]


@advisory("CVE-2026-48529")
async def test_people_at_the_same_time_are_recorded_each_under_their_own_name(town: Town) -> None:
    people = [f"singleton-{number}" for number in range(12)]
    tokens = [town.door.token(person, *(["eng"] if number % 2 else [])) for number, person in enumerate(people)]
    answers = await asyncio.gather(*[_read(town.door, token, "singleton", "2026-07-28") for token in tokens * 3])
    assert ["unknown_name" in answer for answer in answers] == [number % 2 == 0 for number in range(12)] * 3
    outcomes = Counter((record["person"], record["decision"]) for record in recorded(town, "singleton-"))
    assert outcomes == {(person, "permit" if number % 2 else "deny"): 3 for number, person in enumerate(people)}


def recorded(town: Town, person: str) -> Sequence[dict[str, str]]:
    """The closing records of people whose names begin like this."""
    lines = town.gateway.command("audit", "tail", "--json", "-n", "1000").splitlines()
    records = [json.loads(line)["record"] for line in lines]
    return [one for one in records if one.get("person", "").startswith(person) and one["kind"] == "closing"]
