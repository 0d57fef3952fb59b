"""What a gateway makes of what was published: the same whoever judged it, whole or not at all, and the old view is let go."""

import asyncio
import gc
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings

from customhouse.adapters.views.files import FileViews
from customhouse.config.tree import Settings
from customhouse.core.content import PolicyContent, ServerContent
from customhouse.core.manifest import Effect, Manifest, Pin, ServerDefinition, ToolReview, digest_of
from customhouse.core.picture import Picture, lines_of, picture_of, read_picture
from customhouse.core.policy import PolicyInvalid
from customhouse.core.review import Kind, Version
from customhouse.core.verdict import RULES
from customhouse.gateway.live import Live, View
from customhouse.gateway.takeover import Takeover
from customhouse.wiring import view_of
from tests.core.pictures import served, verdicts, version
from tests.core.policy_world import caller

Served = list[tuple[Version, bytes]]
CALLERS = (caller("ann", "readers"), caller("ben", "readers", "writers"), caller("eve"))


def view(picture: Picture) -> View:
    return view_of(Settings(), picture)


def judgement(one: View) -> Mapping[str, Any]:
    """All that a client can learn from a view."""
    return {
        "policy": one.policy.digest,
        **{
            path: (
                {
                    name: (tool.definition, tool.review, tool.pin_digest, tool.revision, decisions(one, tool.action))
                    for name, tool in of.tools.items()
                },
                {name: (prompt.definition, prompt.pin_digest, decisions(one, prompt.action)) for name, prompt in of.prompts.items()},
                {uri: (entry.definition, decisions(one, entry.action)) for uri, entry in of.resources.items()},
                [entry.definition for entry in of.templates],
                of.servers,
            )
            for path, of in one.endpoints.items()
        },
    }


def decisions(one: View, ref: Any) -> list[Any]:
    return [
        (one.policy.visible(who, ref), *(one.policy.decide(who, ref, {"title": title}, "default") for title in ("yes", "no")))
        for who in CALLERS
    ]


def judged_by_hand(found: Served) -> View | str:
    """The view of a reader with nothing to go by, or why there is none."""
    try:
        return view(read_picture("x", lines_of(found), Picture()))
    except (PolicyInvalid, ValueError) as problem:
        return str(problem)


@settings(max_examples=40, deadline=None)
@given(served())
def test_a_view_by_kept_verdicts_is_the_view_without_them(found: Served) -> None:
    expected = judged_by_hand(found)
    picture = read_picture("x", lines_of(found, verdicts(found), RULES), Picture())
    if isinstance(expected, str):  # a control process would not have published it
        return
    assert picture.checked
    assert judgement(view(picture)) == judgement(expected)


@settings(max_examples=30, deadline=None)
@given(served(), served())
def test_a_view_after_another_is_the_view_without_it(first: Served, second: Served) -> None:
    expected = judged_by_hand(second)
    known = {**verdicts(first), **verdicts(second)}
    if isinstance(expected, str) or isinstance(judged_by_hand(first), str):
        return
    before = read_picture("x", lines_of(first, known, RULES), Picture())
    for who in CALLERS:  # what was decided under the policies before must count for nothing
        for ref in view(before).policy.offered():
            view(before).policy.decide(who, ref, {}, "default")
    after = read_picture("y", lines_of(second, known, RULES), before)
    assert judgement(view(after)) == judgement(expected)
    shared = {one.digest for one, _ in first if one.kind is Kind.SERVER} & {one.digest for one, _ in second}
    assert {one.digest for one in after.servers if any(one is other for other in before.servers)} <= shared


def reads(policy: str = "", description: str = "Reads.", schema: Any = None, rules: str = RULES) -> list[bytes]:
    """The lines of one server with a tool, and one policy."""
    tool = {"name": "read", "description": description, "inputSchema": schema or {"type": "object"}}
    said = Manifest(server_info={"name": "n"}, capabilities={"tools": {}}, tools=(tool,))
    definition = ServerDefinition(
        name="n", owner="o", contact="c", tenant="acme", url="http://127.0.0.1:1/", tools={"read": ToolReview(Effect.READ)}
    )
    pin = Pin(server="n", revision="2026-07-28", digest=digest_of(said), manifest=said)
    found = [version(Kind.SERVER, "n", ServerContent(definition=definition, pin=pin), 1)]
    if policy:
        found.append(version(Kind.POLICY, "p.cedar", PolicyContent(text=policy), 1))
    return lines_of(found, verdicts(found), rules)


UNKNOWN = '@id("x") permit (principal, action == Action::"call:n/gone", resource);'


class Published:
    """A directory of views with a gateway that follows it."""

    def __init__(self, directory: Path) -> None:
        self.views = FileViews(directory)
        self.live = Live(view(Picture()))
        self.taken: list[str] = []
        self.takeover = Takeover(FileViews(directory), self.live, view, self._taken, (PolicyInvalid,))

    async def _taken(self, picture: Picture) -> None:
        self.taken.append(picture.digest)


@pytest.fixture
def published(tmp_path: Path) -> Published:
    return Published(tmp_path / "views")


async def test_what_is_published_is_taken_over_once(published: Published) -> None:
    assert not published.takeover.ready
    digest = published.views.publish(reads())
    for _ in range(3):
        await published.takeover.look()
    assert (published.taken, published.takeover.ready) == ([digest], True)
    assert list(published.live.view.endpoints["/mcp"].tools) == ["n__read"]


async def test_a_picture_that_cannot_be_taken_over_leaves_the_view_as_it_is(published: Published) -> None:
    published.views.publish(reads())
    await published.takeover.look()
    before = published.live.view
    damaged = published.views.publish(reads(description="Damaged."))
    path = published.views._path(damaged)
    path.write_bytes(path.read_bytes().replace(b"Damaged.", b"Changed."))
    await published.takeover.look()
    assert (published.live.view is before, published.takeover.ready) == (True, False)
    published.views.publish([b'{"kind":"new"}'])
    await published.takeover.look()
    published.views.publish(reads(UNKNOWN, rules="0.0.1/1"))  # another release checked it, so this one does it again
    await published.takeover.look()
    assert (published.live.view is before, published.takeover.ready) == (True, False)
    published.views.publish(reads(description="Reads again."))
    await published.takeover.look()
    assert (published.live.view is before, published.takeover.ready) == (False, True)


async def test_an_old_view_is_let_go_once_no_call_reads_it(published: Published) -> None:
    published.views.publish(reads())
    await published.takeover.look()
    held = published.live.view
    refs = weakref.ref(held.policy.refs_of("n"))
    assert gc.isenabled()
    published.views.publish(reads(description="Reads better."))
    await published.takeover.look()
    assert refs() is not None
    del held
    await published.takeover.look()
    assert refs() is None


async def test_what_did_not_change_is_the_same_object_in_the_next_view(published: Published) -> None:
    published.views.publish(reads())
    await published.takeover.look()
    before = published.live.view
    published.views.publish(reads('@id("x") permit (principal, action in Action::"read", resource);'))
    await published.takeover.look()
    after = published.live.view
    tool = after.endpoints["/mcp"].tool("n__read")
    assert tool is before.endpoints["/mcp"].tool("n__read")
    assert [one.policy.decide(CALLERS[2], tool.action, {}, "default").permitted for one in (before, after)] == [False, True]


async def test_a_server_whose_pin_alone_changed_keeps_its_connections(published: Published) -> None:
    published.views.publish(reads())
    await published.takeover.look()
    (before,) = published.takeover.picture.servers
    published.views.publish(reads(description="Reads better."))
    await published.takeover.look()
    (after,) = published.takeover.picture.servers
    assert after is not before
    assert after.definition is before.definition
    assert published.live.view.endpoints["/mcp"].tool("n__read").server is before.definition


def test_verdicts_are_carried_for_servers_alone() -> None:
    (policy, written) = version(Kind.POLICY, "p.cedar", PolicyContent(text=""), 1)
    (line,) = lines_of([(policy, written)], {}, RULES)
    assert b"verdict" not in line
    assert not picture_of([], {}).checked  # what was not published was not checked


async def test_a_defect_does_not_end_the_following_of_views(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published(tmp_path)
    published.views.publish(reads())
    looks = 0
    look = published.takeover.look

    async def broken_once() -> None:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise RuntimeError("a defect")
        await look()

    monkeypatch.setattr(published.takeover, "look", broken_once)
    monkeypatch.setattr("customhouse.gateway.takeover.AGAIN_SECONDS", 0.01)
    following = asyncio.create_task(published.takeover.run())
    async with asyncio.timeout(5):
        while not published.takeover.ready:  # noqa: ASYNC110 - the task is another one
            await asyncio.sleep(0.01)
    following.cancel()


async def test_a_view_that_could_not_be_read_once_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published = Published(tmp_path)
    monkeypatch.setattr("customhouse.gateway.takeover.AGAIN_SECONDS", 0.0)
    digest = published.views.publish(reads())
    view_file = next(tmp_path.glob("*.view"))
    away = view_file.rename(tmp_path / "elsewhere")
    await published.takeover.look()
    assert not published.takeover.ready
    away.rename(view_file)
    await published.takeover.look()
    assert (published.takeover.picture.digest, published.takeover.ready) == (digest, True)


async def test_a_gateway_is_ready_again_when_what_it_serves_is_published_again(tmp_path: Path) -> None:
    published = Published(tmp_path)
    good = published.views.publish(reads())
    await published.takeover.look()
    published.views.publish([b'{"kind":"new"}'])
    await published.takeover.look()
    assert not published.takeover.ready
    assert published.views.publish(reads()) == good
    await published.takeover.look()
    assert published.takeover.ready
