"""Views swapped while clients call and list: no error, and nothing that was half of one view and half of another."""

import itertools
import resource
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from customhouse.adapters.ledgers.following import Follower
from customhouse.adapters.views.files import FileViews
from customhouse.core.content import Content, PolicyContent, read_content
from customhouse.core.manifest import Manifest, Pin, digest_of
from customhouse.core.picture import lines_of
from customhouse.core.review import Kind
from customhouse.core.verdict import RULES
from tests.core.pictures import verdicts, version
from tests.journeys.conftest import Notes
from tests.journeys.operators import Agent, Registry, notes_definition, running

CLIENTS = 6
POLICIES = {
    "odd": '@id("odd") permit (principal in Group::"local/eng", action == Action::"call:notes/read_note", resource);',
    "even": '@id("even") permit (principal in Group::"local/eng", action in Action::"read", resource in Server::"notes");',
}
SHOWN = {
    frozenset({("notes__read_note", "As odd views say.")}),
    frozenset({("notes__read_note", "As even views say."), ("notes__list_notes", "As even views say.")}),
}


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory, notes: Notes) -> Iterator[Registry]:
    limits = "limits: {requests_per_second_per_caller: 100000, burst_per_caller: 100000}\n"
    with running(tmp_path_factory.mktemp("swaps"), notes, settings=limits) as deployment:
        yield deployment


def lines(notes: Notes, which: str) -> list[bytes]:
    """What a control process publishes: a policy and the words of the tools differ together."""
    title = {"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]}
    schemas = {"list_notes": {"type": "object"}, "read_note": title}
    tools = tuple({"name": name, "description": f"As {which} views say.", "inputSchema": of} for name, of in schemas.items())
    said = Manifest(server_info={"name": "notes"}, capabilities={"tools": {}}, tools=tools)
    pin = Pin(server="notes", revision="2026-07-28", digest=digest_of(said), manifest=said)
    definition = notes_definition(notes, tools={name: {"class": "read"} for name in schemas})
    contents: list[tuple[Kind, str, Content]] = [
        (Kind.SERVER, "notes", read_content(Kind.SERVER, {"definition": definition, "pin": msgspec.to_builtins(pin)})),
        (Kind.POLICY, "eng.cedar", PolicyContent(text=POLICIES[which])),
    ]
    found = [version(kind, name, content, 1) for kind, name, content in contents]
    return lines_of(found, verdicts(found), RULES)


class Load:
    """Clients that list and call until they are told to stop, and what they were answered."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._over = threading.Event()
        self.shown: set[frozenset[tuple[str, str]]] = set()
        self.refused: set[str] = set()
        self.answered = 0

    def stop(self) -> None:
        self._over.set()

    def run(self, number: int) -> None:
        """One client with connections and a token of its own."""
        agent = Agent(self._registry, "/mcp", self._registry.mint(f"eng-{number}", "eng", resource=f"{self._registry.url}/mcp"))
        for turn in itertools.count(number):
            if self._over.is_set():
                return
            (self._list, self._read, self._list_notes)[turn % 3](agent)
            self.answered += 1

    def _list(self, agent: Agent) -> None:
        self.shown.add(frozenset((name, tool["description"]) for name, tool in agent.tools().items()))

    def _read(self, agent: Agent) -> None:
        assert "apples" in agent.text("notes__read_note", title="shopping")

    def _list_notes(self, agent: Agent) -> None:
        answer = agent.call("notes__list_notes")
        if "error" in answer:
            self.refused.add(answer["error"]["data"]["reason"])
        else:
            assert not answer["result"].get("isError")


def swapped(registry: Registry, notes: Notes, swaps: int) -> Load:
    """So many views, one after the other, each of them taken over before the next, under load."""
    views, load = FileViews(registry.directory / "data" / "views"), Load(registry)
    published = {which: lines(notes, which) for which in POLICIES}
    watcher = registry.caller("eng-w", "eng")
    publish(views, published["even"], watcher, "even")
    with ThreadPoolExecutor(CLIENTS) as clients:
        running_clients = [clients.submit(load.run, number) for number in range(CLIENTS)]
        try:
            for which in itertools.islice(itertools.cycle(("odd", "even")), swaps):
                publish(views, published[which], watcher, which)
        finally:
            load.stop()
        for one in running_clients:
            one.result()
    return load


def publish(views: FileViews, published: list[bytes], watcher: Agent, which: str) -> None:
    """Publish a view and wait until it is served."""
    views.publish(published)
    deadline = time.monotonic() + 20.0
    while f"As {which} views say." not in {tool["description"] for tool in watcher.tools().values()}:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def decided(registry: Registry) -> set[tuple[str, str, str, str]]:
    """Of each recorded call: tool, decision, policy and pin."""
    found = (seen.record for seen in Follower(registry.directory / "data" / "ledger").more())
    return {(one.name, one.decision, one.policy_digest, one.pin_digest) for one in found if one.method == "tools/call"}


def check(registry: Registry, load: Load) -> None:
    assert load.shown == SHOWN
    assert load.refused == {"unknown_name"}
    rows = decided(registry)
    pins = {policy: {pin for _, _, other, pin in rows if other == policy and pin} for policy in {policy for _, _, policy, _ in rows}}
    assert [len(of) for of in pins.values()] == [1, 1]
    assert len(set.union(*pins.values())) == 2
    (even,) = {policy for name, decision, policy, _ in rows if (name, decision) == ("list_notes", "permit")}
    assert {(name, decision) for name, decision, policy, _ in rows if policy == even} == {
        ("list_notes", "permit"),
        ("read_note", "permit"),
    }


def test_swapping_views_under_load_gives_no_error_and_no_mixed_decision(registry: Registry, notes: Notes) -> None:
    check(registry, swapped(registry, notes, 30))


@pytest.mark.long
@pytest.mark.timeout(1_200)
def test_a_thousand_swaps_under_load_are_as_good_and_leave_nothing_behind(registry: Registry, notes: Notes) -> None:
    swapped(registry, notes, 100)
    before = resident_megabytes(registry)
    check(registry, swapped(registry, notes, 1_000))
    assert resident_megabytes(registry) - before < 20


def resident_megabytes(registry: Registry) -> float:
    """Of the gateway, which is the process that was started; the control process is its child."""
    pages = int(Path(f"/proc/{registry.process.pid}/statm").read_text("ascii").split()[1])
    return pages * resource.getpagesize() / 1e6
