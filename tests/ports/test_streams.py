"""What every implementation of the Streams port does. Another one joins by a row in `STORES`."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from customhouse.adapters.sessions.streams import MemoryStreams, StreamLimits
from customhouse.core.protocol.replay import EVENT_OVERHEAD_BYTES, StoredEvent
from customhouse.core.protocol.sessionid import Session, opened
from customhouse.core.refusal import Reason, Refused
from customhouse.ports.sessions import Streams
from tests.sealers.support import Moving, person

EVENT = EVENT_OVERHEAD_BYTES + 10
"""An event with ten bytes of data."""

LIMITS = StreamLimits(
    kept_seconds=30.0,
    max_events_per_stream=5,
    max_bytes_per_stream=100 * EVENT,
    max_bytes_per_session=8 * EVENT,
    max_bytes=12 * EVENT,
    max_streams_per_session=3,
    max_streams=5,
)
STORES: dict[str, Callable[[Moving], Streams]] = {"memory": lambda clock: MemoryStreams(LIMITS, clock)}

ONE, TWO, THREE, FOUR = (digit * 32 for digit in "1234")


def session(number: int = 1, name: str = "alice") -> Session:
    return opened(
        nonce=number.to_bytes(16, "big"),
        caller=person(name),
        endpoint="/mcp",
        revision="2025-11-25",
        capabilities={},
        client_info={},
        now=1.7e9,
    )


ALICE, BOB, CAROL = session(1), session(2, "bob"), session(3, "carol")


class Store:
    """A store with its clock."""

    def __init__(self, make: Callable[[Moving], Streams]) -> None:
        self.clock = Moving()
        self.streams = make(self.clock)

    async def sent(self, whose: Session, stream: str, *texts: str) -> list[str]:
        """The ids of events that were appended; each text is filled up to ten bytes."""
        ids = []
        for text in texts:
            appended = self.streams.append(whose, stream, text.ljust(10).encode())
            assert appended is not None
            ids.append(str(appended.event.id))
        return ids

    async def begun(self, whose: Session, stream: str, *texts: str) -> list[str]:
        self.streams.begin(whose, stream)
        return [f"{stream}.0", *await self.sent(whose, stream, *texts)]

    async def finished(self, whose: Session, stream: str, *texts: str) -> list[str]:
        ids = await self.begun(whose, stream, *texts)
        self.streams.finish(whose, stream)
        return ids

    async def after(self, whose: Session, event_id: str) -> list[str]:
        """Everything after an event of a stream that finished."""
        return [text(event) async for event in await self.streams.follow(whose, event_id)]

    async def is_gone(self, whose: Session, event_id: str) -> bool:
        try:
            await self.streams.follow(whose, event_id)
        except Refused as refused:
            if (refused.reason, refused.note, refused.message) == (Reason.EVENTS_GONE, "", ""):
                return True
            raise
        return False


def text(event: StoredEvent) -> str:
    return event.data.decode().strip()


async def following(events: AsyncIterator[StoredEvent], heard: list[str]) -> None:
    async for event in events:
        heard.append(text(event))  # noqa: PERF401 - each is to be seen when it comes


async def settled() -> None:
    """Every task that can go on has done so."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture(params=list(STORES))
def store(request: pytest.FixtureRequest) -> Store:
    return Store(STORES[request.param])


async def test_after_each_event_come_the_rest_of_its_own_stream(store: Store) -> None:
    ones = await store.begun(ALICE, ONE)
    twos = await store.begun(ALICE, TWO)
    for number in range(3):
        ones += await store.sent(ALICE, ONE, f"a{number}")
        twos += await store.sent(ALICE, TWO, f"b{number}")
    store.streams.finish(ALICE, ONE)
    store.streams.finish(ALICE, TWO)
    assert len({*ones, *twos}) == 8
    for number in range(4):
        assert await store.after(ALICE, ones[number]) == [f"a{rest}" for rest in range(number, 3)]
        assert await store.after(ALICE, twos[number]) == [f"b{rest}" for rest in range(number, 3)]


async def test_another_session_gets_nothing_by_an_id_that_it_learnt(store: Store) -> None:
    ids = await store.finished(ALICE, ONE, "a", "b")
    await store.finished(BOB, TWO, "c")
    assert [await store.is_gone(BOB, one) for one in ids] == [True] * 3
    assert await store.is_gone(session(4), ids[0])


@pytest.mark.parametrize("event_id", ["", "7", f"{ONE}.4", f"{ONE}.99", f"{FOUR}.0", f"{ONE}.-1", "nonsense"])
async def test_an_id_that_was_never_given_is_gone(store: Store, event_id: str) -> None:
    await store.finished(ALICE, ONE, "a", "b", "c")
    assert await store.is_gone(ALICE, event_id)


async def test_what_still_comes_is_heard_until_the_stream_finishes(store: Store) -> None:
    ids = await store.begun(ALICE, ONE, "a", "b")
    heard: list[str] = []
    task = asyncio.create_task(following(await store.streams.follow(ALICE, ids[1]), heard))
    await settled()
    assert heard == ["b"]
    appended = store.streams.append(ALICE, ONE, b"c")
    assert appended is not None
    assert appended.followed
    await settled()
    await store.sent(ALICE, ONE, "d")
    store.streams.finish(ALICE, ONE)
    await task
    assert heard == ["b", "c", "d"]


async def test_until_somebody_follows_a_stream_goes_out_where_it_began(store: Store) -> None:
    await store.begun(ALICE, ONE)
    appended = store.streams.append(ALICE, ONE, b"a")
    assert appended is not None
    assert not appended.followed


async def test_the_latest_that_follows_is_the_only_one(store: Store) -> None:
    ids = await store.begun(ALICE, ONE, "a")
    first: list[str] = []
    second: list[str] = []
    old = asyncio.create_task(following(await store.streams.follow(ALICE, ids[0]), first))
    await settled()
    new = asyncio.create_task(following(await store.streams.follow(ALICE, ids[1]), second))
    await old
    await store.sent(ALICE, ONE, "b")
    store.streams.finish(ALICE, ONE)
    await new
    assert (first, second) == (["a"], ["b"])


async def test_who_stops_following_leaves_the_stream_to_where_it_began(store: Store) -> None:
    ids = await store.begun(ALICE, ONE)
    task = asyncio.create_task(following(await store.streams.follow(ALICE, ids[0]), []))
    await settled()
    task.cancel()
    await settled()
    appended = store.streams.append(ALICE, ONE, b"a")
    assert appended is not None
    assert not appended.followed


async def test_a_stream_keeps_its_last_events(store: Store) -> None:
    ids = await store.finished(ALICE, ONE, *"abcdefg")
    assert [await store.is_gone(ALICE, one) for one in ids[:2]] == [True, True]
    assert await store.after(ALICE, ids[2]) == list("cdefg")


async def test_the_oldest_events_of_a_session_go_first_whichever_stream_they_are_of(store: Store) -> None:
    ones = await store.begun(ALICE, ONE, *"abcd")
    twos = await store.begun(ALICE, TWO, *"efgh")
    ones += await store.sent(ALICE, ONE, "i")
    store.streams.finish(ALICE, ONE)
    store.streams.finish(ALICE, TWO)
    assert await store.is_gone(ALICE, ones[0])
    assert await store.after(ALICE, ones[1]) == list("bcdi")
    assert await store.after(ALICE, twos[0]) == list("efgh")


async def test_the_oldest_events_of_all_go_first_where_there_are_too_many(store: Store) -> None:
    ones = await store.finished(ALICE, ONE, *"abcde")
    twos = await store.finished(BOB, TWO, *"fghij")
    threes = await store.finished(CAROL, THREE, *"klm")
    assert await store.is_gone(ALICE, ones[0])
    assert await store.after(ALICE, ones[1]) == list("bcde")
    assert await store.after(BOB, twos[0]) == list("fghij")
    assert await store.after(CAROL, threes[0]) == list("klm")


async def test_who_is_too_slow_hears_that_events_are_gone(store: Store) -> None:
    ids = await store.begun(ALICE, ONE, "a")
    events = await store.streams.follow(ALICE, ids[0])
    assert text(await anext(events)) == "a"
    await store.sent(ALICE, ONE, *"bcdefgh")
    with pytest.raises(Refused) as refused:
        await anext(events)
    assert refused.value.reason is Reason.EVENTS_GONE


async def test_an_event_beyond_every_bound_is_sent_and_not_kept(store: Store) -> None:
    ids = await store.begun(ALICE, ONE, "a")
    huge = store.streams.append(ALICE, ONE, b"x" * (10 * EVENT))
    assert huge is not None
    ids += [str(huge.event.id), *await store.sent(ALICE, ONE, "b")]
    store.streams.finish(ALICE, ONE)
    assert await store.is_gone(ALICE, ids[1])
    assert await store.after(ALICE, ids[2]) == ["b"]


async def test_a_finished_stream_is_kept_for_a_while_and_then_gone(store: Store) -> None:
    ids = await store.finished(ALICE, ONE, "a")
    still = await store.begun(ALICE, TWO, "b")
    store.clock.at += 29.9
    store.streams.sweep()
    assert await store.after(ALICE, ids[0]) == ["a"]
    store.clock.at += 0.2
    store.streams.sweep()
    assert await store.is_gone(ALICE, ids[0])
    assert not await store.is_gone(ALICE, still[0])


async def test_nothing_is_added_to_a_stream_that_finished_or_never_began(store: Store) -> None:
    await store.finished(ALICE, ONE, "a")
    store.streams.finish(ALICE, ONE)
    store.streams.finish(ALICE, THREE)
    assert store.streams.append(ALICE, ONE, b"b") is None
    assert store.streams.append(ALICE, THREE, b"b") is None
    assert store.streams.append(BOB, ONE, b"b") is None
    assert await store.after(ALICE, f"{ONE}.0") == ["a"]


async def test_with_its_session_a_stream_is_gone_and_who_follows_hears_the_end(store: Store) -> None:
    ids = await store.begun(ALICE, ONE, "a")
    others = await store.finished(BOB, TWO, "b")
    heard: list[str] = []
    task = asyncio.create_task(following(await store.streams.follow(ALICE, ids[0]), heard))
    await settled()
    await store.streams.forget(ALICE)
    await store.streams.forget(CAROL)
    await task
    assert heard == ["a"]
    assert await store.is_gone(ALICE, ids[0])
    assert store.streams.append(ALICE, ONE, b"c") is None
    assert await store.after(BOB, others[0]) == ["b"]


async def test_a_stream_too_many_takes_the_place_of_one_that_finished(store: Store) -> None:
    first = await store.finished(ALICE, ONE, "a")
    second = await store.finished(ALICE, TWO, "b")
    third = await store.finished(ALICE, THREE, "c")
    fourth = await store.finished(ALICE, FOUR, "d")
    assert [await store.is_gone(ALICE, ids[0]) for ids in (first, second, third, fourth)] == [True, False, False, False]


async def test_where_nothing_has_finished_a_stream_too_many_is_not_kept(store: Store) -> None:
    for stream in (ONE, TWO, THREE):
        await store.begun(ALICE, stream)
    store.streams.begin(ALICE, FOUR)
    assert store.streams.append(ALICE, FOUR, b"a") is None
    assert not await store.is_gone(ALICE, f"{ONE}.0")


async def test_all_sessions_together_hold_so_many_streams_and_no_more(store: Store) -> None:
    begun = [f"{number:032x}" for number in range(5)]
    for number, stream in enumerate(begun):
        await store.begun(session(10 + number), stream)
    store.streams.begin(BOB, ONE)
    assert store.streams.append(BOB, ONE, b"a") is None
    store.streams.finish(session(13), begun[3])
    store.streams.begin(BOB, ONE)
    assert store.streams.append(BOB, ONE, b"a") is not None
    assert await store.is_gone(session(13), f"{begun[3]}.0")


async def test_what_was_dropped_takes_no_room() -> None:
    store = MemoryStreams(LIMITS, Moving())
    for number in range(50):
        whose, stream = session(number % 7), f"{number:032x}"
        store.begin(whose, stream)
        for _ in range(number % 9):
            store.append(whose, stream, b"0123456789")
        store.finish(whose, stream)
        assert store.size_bytes <= LIMITS.max_bytes
        assert len(store) <= LIMITS.max_streams
    for number in range(7):
        await store.forget(session(number))
    assert (store.size_bytes, len(store)) == (0, 0)


async def test_who_was_followed_gets_no_event_that_the_next_one_gets(store: Store) -> None:
    ids = await store.finished(ALICE, ONE, "a", "b")
    first = await store.streams.follow(ALICE, ids[0])
    assert text(await anext(first)) == "a"
    second = await store.streams.follow(ALICE, ids[1])
    assert [text(event) async for event in first] == []
    assert [text(event) async for event in second] == ["b"]
