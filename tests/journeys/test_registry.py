"""A server from its proposal to its use, and what happens when it changes: real processes, five people."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.journeys.conftest import Notes
from tests.journeys.operators import Operator, Registry, notes_definition, running, until

POLICY = """\
@id("engineers-read")
permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"notes");
@id("engineers-write")
permit (principal in Group::"local/eng", action in Action::"write", resource in Server::"notes");
"""


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Registry]:
    told = "  registry_api: {namespace: com.example.mcp, tenants: [local]}\n"
    with running(tmp_path_factory.mktemp("registry"), notes, capture_seconds=1.0, settings=told) as deployment:
        yield deployment


def served(registry: Registry, version: Any) -> Any:
    """Have two people accept a version, and an operator activate it."""
    for name in ("ann", "ben"):
        registry.operator(name, "review").review(version)
    return registry.operator("olga", "ops").step(version, "activate")


def captured_changes(operator: Operator) -> list[str]:
    """What the captures that the history tells of found."""
    events = operator.ask("GET", "/history?kind=server&name=notes")["events"]
    return [event["detail"]["changes"] for event in events if event["action"] == "capture"]


def test_a_server_goes_from_proposal_to_use_and_its_changes_reach_clients_only_by_review(registry: Registry, notes: Notes) -> None:
    dev, root, olga = registry.operator("dev", "dev"), registry.operator("root"), registry.operator("olga", "ops")
    alice = registry.caller("alice", "eng")

    # Proposed without a pin: nobody sees anything. Only an admin has an unreviewed address looked at.
    bare = dev.propose("server", "notes", {"definition": notes_definition(notes)}, "We keep notes.")
    assert (bare["state"], bare["missingReviews"]) == ("proposed", 2)
    dev.ask("POST", "/versions/server/notes/1/captures", status=403)
    found = root.ask("POST", "/versions/server/notes/1/captures")
    new = {"kind": "tool", "name": "read_note", "grade": "new", "grades": ["new"], "compatibility": "minor", "paths": [], "blocked": False}
    assert new in found["changes"]
    proposed = dev.ask("POST", "/versions/server/notes/1/captures/proposals", {"reason": "As it is today."})
    assert (proposed["number"], proposed["state"]) == (2, "proposed")

    # Reviewed by two people who are not the proposer, activated by a third.
    dev.review(proposed, status=403)
    registry.operator("ann", "review").review(proposed)
    olga.step(proposed, "activate", status=409)
    registry.operator("ben", "review").review(proposed)
    assert alice.tools() == {}
    assert olga.step(proposed, "activate", reason="Go.")["state"] == "active"

    # Default deny: a served server is nobody's yet. A policy is reviewed like everything else.
    policy = dev.propose("policy", "notes.cedar", {"text": POLICY})
    served(registry, policy)
    until(lambda: set(alice.tools()) == {"notes__read_note", "notes__add_note"})
    assert "goes through the gateway" in alice.text("notes__read_note", title="welcome")

    def words() -> str | None:
        entry = alice.tools().get("notes__read_note")
        return entry and entry["description"]

    before = words()
    assert before == "Read one note."

    # The server changes the words of one tool and offers another: clients keep seeing what was approved.
    notes.restart("--reworded", "--extended")
    try:
        until(lambda: any("find_notes" in changes for changes in captured_changes(olga)))
        assert set(alice.tools()) == {"notes__read_note", "notes__add_note"}
        assert words() == before
        changes = dev.ask("POST", "/versions/server/notes/2/captures")["changes"]
        assert {(change["name"], change["grade"]) for change in changes if change["kind"] == "tool"} >= {("find_notes", "new")}
        reworded = next(change for change in changes if change["name"] == "read_note")
        assert (reworded["compatibility"], reworded["blocked"]) == ("minor", False)

        # One entry alone can be taken over, and what it would change is shown side by side.
        one = {"entries": [["tool", "find_notes"]], "reason": "Only the new one."}
        part = dev.ask("POST", "/versions/server/notes/2/captures/proposals", one)
        words_of_part = {
            tool["name"]: tool["description"] for tool in dev.ask("GET", "/versions/server/notes/3")["content"]["pin"]["manifest"]["tools"]
        }
        assert words_of_part["read_note"] == before
        assert "find_notes" in words_of_part
        assert dev.step(part, "withdraw")["state"] == "draft"
        nobody = {"entries": [["tool", "nothing"]]}
        dev.ask("POST", "/versions/server/notes/2/captures/proposals", nobody, status=422)

        # The diff is reviewed and approved; the new tool still has no class, so it stays invisible.
        after = dev.ask("POST", "/versions/server/notes/2/captures/proposals", {"reason": "The next release."})
        served(registry, after)
        until(lambda: words() not in {before, None})
        assert set(alice.tools()) == {"notes__read_note", "notes__add_note"}

        # And back, byte for byte, at once.
        back = olga.ask("POST", "/versions/server/notes/2/rollback", {"reason": "Its words are strange."})
        assert (back["state"], back["digest"]) == ("active", proposed["digest"])
    finally:
        notes.restart()
    until(lambda: words() == before)

    # Every step is in the ledger, with who took it.
    auditor = registry.operator("aud", "audit")
    records = auditor.ask("GET", "/audit?limit=1000")["records"]
    assert {(record["person"], record["outcome"]) for record in records if record["kind"] == "closing"} >= {("alice", "answered")}
    dev.ask("GET", "/audit", status=403)
    steps = [
        (event["actor"], event["action"], event["number"])
        for event in auditor.ask("GET", "/history?kind=server&name=notes")["events"]
        if event["actor"] != "customhouse"
    ]
    assert steps == [
        ("local/dev", "propose", 1),
        ("local/dev", "propose", 2),
        ("local/ann", "accept", 2),
        ("local/ben", "accept", 2),
        ("local/olga", "activate", 2),
        ("local/dev", "propose", 3),
        ("local/dev", "withdraw", 3),
        ("local/dev", "propose", 4),
        ("local/ann", "accept", 4),
        ("local/ben", "accept", 4),
        ("local/olga", "retire", 2),
        ("local/olga", "activate", 4),
        ("local/olga", "rollback", 5),
        ("local/olga", "retire", 4),
        ("local/olga", "activate", 5),
    ]


def test_the_inventory_says_who_answers_and_who_calls(registry: Registry) -> None:
    found = registry.operator("dev", "dev").ask("GET", "/inventory")
    (notes,) = found["servers"]
    assert (notes["owner"], notes["onCall"], notes["state"]) == ("team-notes", "pager:notes", "active")
    assert notes["tools"]["read_note"]["calls"] >= 1
    assert "alice" in {client["name"] for client in found["clients"]}


def test_the_registry_api_tells_everybody_what_is_served_and_what_was(registry: Registry) -> None:
    found = registry.client.get(f"{registry.control_url}/v0.1/servers", params={"version": "latest"}).json()
    (entry,) = found["servers"]
    assert entry["server"]["name"] == "com.example.mcp/notes"
    assert entry["server"]["remotes"] == [{"type": "streamable-http", "url": f"{registry.url}/servers/notes/mcp"}]
    assert entry["_meta"]["io.modelcontextprotocol.registry/official"]["isLatest"] is True
    every = registry.client.get(f"{registry.control_url}/v0.1/servers", params={"include_deleted": "true"}).json()
    assert sorted(one["server"]["version"] for one in every["servers"]) == ["2.0.0", "4.0.0", "5.0.0"]
    page = {"Origin": "vscode-file://vscode-app"}
    answer = registry.client.get(f"{registry.control_url}/v0.1/servers", headers=page)
    assert answer.headers["access-control-allow-origin"] == page["Origin"]
    assert registry.client.get(f"{registry.control_url}/api/v1/whoami", headers=page).status_code == 403
    assert registry.client.get(f"{registry.control_url}/v0.1/servers", headers={"Host": "evil.example"}).status_code == 403


def test_what_does_not_fit_together_is_refused_with_the_finding(registry: Registry) -> None:
    dev, olga = registry.operator("dev", "dev"), registry.operator("olga", "ops")
    text = '@id("x") permit (principal, action in Action::"read", resource == Server::"nots");'
    wrong = dev.propose("policy", "wrong.cedar", {"text": text})
    for name in ("ann", "ben"):
        registry.operator(name, "review").review(wrong)
    refused = olga.step(wrong, "activate", status=422)
    assert "There is no server `nots`; did you mean `notes`?" in refused["detail"]["findings"][0]
    assert olga.ask("GET", "/versions/policy/wrong.cedar/1")["state"] == "reviewed"


def test_suspending_a_server_takes_it_from_clients_within_a_second_or_so(registry: Registry) -> None:
    olga, alice = registry.operator("olga", "ops"), registry.caller("alice", "eng")
    active = next(one for one in olga.ask("GET", "/versions?kind=server")["versions"] if one["state"] == "active")
    policy = next(one for one in olga.ask("GET", "/versions?kind=policy&name=notes.cedar")["versions"] if one["state"] == "active")
    assert alice.tools()
    olga.step(policy, "suspend", reason="First the rules that name it.")
    olga.step(active, "suspend", reason="It misbehaves.")
    until(lambda: alice.tools() == {}, 5.0)
    olga.step(active, "activate")
    olga.step(policy, "activate")
    until(lambda: alice.tools() != {}, 5.0)


def test_the_gateway_serves_on_while_the_control_process_is_away_and_after_a_start_without_it(registry: Registry) -> None:
    alice = registry.caller("alice", "eng")
    (control,) = (int(pid) for pid in Path(f"/proc/{registry.process.pid}/task/{registry.process.pid}/children").read_text().split())
    os.kill(control, signal.SIGKILL)
    assert "goes through the gateway" in alice.text("notes__read_note", title="welcome")
    until(lambda: registry.client.get(f"{registry.control_url}/readyz").is_success if _answers(registry) else False)
    assert "the control process ended with -9" in registry.log.read_text()


def _answers(registry: Registry) -> bool:
    try:
        registry.client.get(f"{registry.control_url}/healthz")
    except httpx2.TransportError:
        return False
    return True
