"""What every implementation of the Stores port does. Another one joins by a row in `STORES` of `stores_support`."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, State
from customhouse.ports.stores import Books, Event, Stores
from tests.ports.stores_support import STORES, WAIT_SECONDS, captured, event, review, tenant, version

replaced = msgspec.structs.replace


@pytest.fixture(params=list(STORES))
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[..., Stores]]:
    opened: list[Stores] = []

    def made(wait_seconds: float = WAIT_SECONDS) -> Stores:
        opened.append(STORES[request.param](tmp_path / "data" / "registry.db", wait_seconds))
        return opened[-1]

    yield made
    for stores in opened:
        stores.close()


@pytest.fixture
def stores(make: Callable[..., Stores]) -> Stores:
    return make()


# What is kept comes back.


def test_new_books_are_empty(stores: Stores) -> None:
    with stores.reading() as books:
        assert (books.tenants(), books.versions(), books.history(), books.captured()) == ((), (), (), ())
        assert books.contents(["sha256:never"]) == {}
        assert books.reviews(["sha256:never"]) == ()
        assert books.mark("never") is None


def test_tenants_come_by_name_and_a_later_one_takes_the_place_of_its_name(stores: Stores) -> None:
    with stores.writing() as books:
        for name in ("zeta", "acme", "Äther"):
            books.put_tenant(tenant(name))
        books.put_tenant(tenant("acme", "Acme Inc."))
        assert [one.name for one in books.tenants()] == ["acme", "zeta", "Äther"]
    with stores.reading() as books:
        assert books.tenants() == (tenant("acme", "Acme Inc."), tenant("zeta"), tenant("Äther"))


def test_a_content_is_kept_once_and_never_changed(stores: Stores) -> None:
    with stores.writing() as books:
        books.add_content("sha256:a", b"first")
        books.add_content("sha256:a", b"second")
        books.add_content("sha256:empty", b"")
    with stores.writing() as books:
        books.add_content("sha256:a", b"third")
    with stores.reading() as books:
        assert books.contents(["sha256:a", "sha256:never", "sha256:empty", "sha256:a"]) == {"sha256:a": b"first", "sha256:empty": b""}
        assert books.contents([]) == {}


def test_a_large_content_comes_back_byte_by_byte(stores: Stores) -> None:
    large = bytes(range(256)) * 20_480
    with stores.writing() as books:
        books.add_content("sha256:large", large)
    with stores.reading() as books:
        assert books.contents(["sha256:large"])["sha256:large"] == large


def test_contents_of_more_digests_than_a_query_holds_are_found(stores: Stores) -> None:
    digests = [f"sha256:{number}" for number in range(1_201)]
    with stores.writing() as books:
        for digest in digests:
            books.add_content(digest, digest.encode())
    with stores.reading() as books:
        assert books.contents(iter(digests)) == {digest: digest.encode() for digest in digests}


def test_versions_come_by_kind_name_and_number(stores: Stores) -> None:
    rows = [
        version("zoo", 1, kind=Kind.POLICY),
        version("bar", 1, kind=Kind.PORTAL),
        version("alpha", 2),
        version("alpha", 10),
        version("été", 1),
        version("日本", 1),
    ]
    with stores.writing() as books:
        for row in reversed(rows):
            books.add_version(row)
        assert books.versions() == tuple(rows)
    with stores.reading() as books:
        assert books.versions() == tuple(rows)


def test_versions_are_chosen_by_kind_name_and_state_and_what_is_absent_leaves_nothing_out(stores: Stores) -> None:
    one, two, other = version("a", 1, state=State.RETIRED), version("a", 2, state=State.ACTIVE), version("a", 1, kind=Kind.PORTAL)
    with stores.writing() as books:
        for row in (one, two, other):
            books.add_version(row)
    with stores.reading() as books:
        assert books.versions(Kind.SERVER) == (one, two)
        assert books.versions(Kind.PORTAL, "a") == (other,)
        assert books.versions(name="a", states=[State.ACTIVE, State.DRAFT, State.ACTIVE]) == (other, two)
        assert books.versions(states=iter([State.RETIRED])) == (one,)
        assert books.versions(states=[]) == ()
        assert books.versions(name="") == ()
        assert books.versions(name="A") == ()


def test_a_number_is_taken_once(stores: Stores) -> None:
    with stores.writing() as books:
        books.add_version(version())
        with pytest.raises(Refused, match="CHANGED_MEANWHILE"):
            books.add_version(version(digest="sha256:other"))
        books.add_version(version(number=2))
        books.add_version(version(kind=Kind.POLICY))
    with stores.reading() as books:
        assert books.versions(Kind.SERVER) == (version(), version(number=2))


def test_a_version_takes_the_place_of_what_was_seen_and_of_nothing_else(stores: Stores) -> None:
    first = version()
    second = replaced(first, state=State.PROPOSED, reason="Wanted by “the team”")
    with stores.writing() as books:
        books.add_version(first)
        books.replace_version(second, first)
        assert books.versions(states=[State.DRAFT]) == ()
        for was in (first, version("gone")):
            with pytest.raises(Refused, match="CHANGED_MEANWHILE"):
                books.replace_version(replaced(was, state=State.RETIRED), was)
        with pytest.raises(ValueError, match="place of itself"):
            books.replace_version(version(number=2), second)
    with stores.reading() as books:
        assert books.versions(states=[State.PROPOSED]) == (second,)


def test_reviews_come_in_the_order_in_which_they_were_added(stores: Stores) -> None:
    given = [
        review("sha256:b", at=3.0),
        review("sha256:a", at=9.0),
        review("sha256:b", "acme/carol", accepts=False, at=1.0),
        review("sha256:c"),
    ]
    with stores.writing() as books:
        for one in given[:2]:
            books.add_review(one)
    with stores.writing() as books:
        for one in (*given[2:], given[0]):
            books.add_review(one)
    with stores.reading() as books:
        assert books.reviews(["sha256:a", "sha256:b", "sha256:a", "sha256:never"]) == (given[0], given[1], given[2], given[0])
        assert books.reviews([]) == ()


def test_the_newest_capture_of_each_server_is_what_there_is(stores: Stores) -> None:
    with stores.writing() as books:
        books.add_captured(captured("zoo", "sha256:m1", 1.0))
        for at, digest in ((1.0, "sha256:m1"), (2.0, "sha256:m2"), (3.0, "sha256:m2"), (4.0, "sha256:m1")):
            books.add_captured(captured("notes", digest, at))
            assert books.captured("notes") == (captured("notes", digest, at),)
    with stores.reading() as books:
        assert books.captured() == (captured("notes", "sha256:m1", 4.0), captured("zoo", "sha256:m1", 1.0))
        assert books.captured("zoo") == (captured("zoo", "sha256:m1", 1.0),)
        assert books.captured("never") == ()


def test_a_mark_is_the_last_value_under_its_name(stores: Stores) -> None:
    with stores.writing() as books:
        for value in (b"1", b"", b"\x00\xff"):
            books.put_mark("ledger", value)
            assert books.mark("ledger") == value
        books.put_mark("other", b"x")
    with stores.reading() as books:
        assert (books.mark("ledger"), books.mark("other")) == (b"\x00\xff", b"x")


# History.


def test_history_is_numbered_without_a_gap_also_over_transactions_that_failed(stores: Stores) -> None:
    with stores.writing() as books:
        assert [books.note(event(action)).sequence for action in "ab"] == [1, 2]
    with pytest.raises(OSError, match="on purpose"), stores.writing() as books:
        fail(books.note(event("lost")), OSError)
    with stores.writing() as books:
        assert books.note(replaced(event("c"), sequence=77)).sequence == 3
    with stores.reading() as books:
        assert [(one.sequence, one.action) for one in books.history()] == [(1, "a"), (2, "b"), (3, "c")]


def test_an_event_comes_back_as_it_was_noted(stores: Stores) -> None:
    detail = {"from": {"ä": [1, 2.5, None, True]}, "text": "tab\tand \u2028 and \x00"}
    full = Event(
        at=1.5,
        actor="acme/ä",
        action="x",
        tenant="t",
        kind="k",
        name="n",
        number=3,
        digest="sha256:d",
        reason="Weil’s so ist.",
        detail=detail,
    )
    with stores.writing() as books:
        noted = books.note(full)
    detail["text"] = "changed by whoever gave it"
    with stores.reading() as books:
        assert books.history() == (noted,)
        assert books.history()[0].detail["text"] == "tab\tand \u2028 and \x00"
        assert replaced(noted, sequence=0, detail={}) == replaced(full, detail={})


def test_history_is_read_in_pages_and_by_what_it_is_about(stores: Stores) -> None:
    with stores.writing() as books:
        for number in range(30):
            books.note(event(kind=("server", "portal")[number % 2], name=f"n{number % 3}", tenant=("acme", "other")[number % 5 == 0]))
    with stores.reading() as books:
        every = books.history()
        pages: list[Event] = []
        while page := books.history(after=pages[-1].sequence if pages else 0, limit=7):
            assert len(page) <= 7
            pages += page
        assert tuple(pages) == every
        assert [one.sequence for one in every] == list(range(1, 31))
        wanted = tuple(one for one in every if (one.kind, one.name, one.tenant) == ("portal", "n1", "acme") and one.sequence > 6)
        assert books.history(kind="portal", name="n1", tenant="acme", after=6) == wanted
        assert books.history(kind="portal", name="n1", tenant="acme", after=6, limit=1) == wanted[:1]
        assert books.history(tenant="nobody") == ()


@pytest.mark.parametrize(("after", "limit", "expected"), [(-5, 1000, 3), (0, 0, 0), (0, -1, 0), (3, 5, 0), (2**70, 5, 0), (0, 2**70, 3)])
def test_no_number_means_without_limit(stores: Stores, after: int, limit: int, expected: int) -> None:
    with stores.writing() as books:
        for _ in range(3):
            books.note(event())
    with stores.reading() as books:
        assert len(books.history(after=after, limit=limit)) == expected


# Transactions.


def fill(books: Books) -> bool:
    books.put_tenant(tenant())
    books.add_content("sha256:a", b"a")
    books.add_version(version())
    books.replace_version(version(state=State.ACTIVE), version())
    books.add_review(review("sha256:a"))
    books.note(event())
    books.add_captured(captured())
    books.put_mark("m", b"1")
    return True


def read(books: Books) -> tuple[object, ...]:
    contents = sorted(books.contents(["sha256:a"]).items())
    return books.tenants(), contents, books.versions(), books.reviews(["sha256:a"]), books.history(), books.captured(), books.mark("m")


def fail(_done: object, failure: type[BaseException]) -> None:
    raise failure("on purpose")


@pytest.mark.parametrize("failure", [RuntimeError, LookupError, KeyboardInterrupt])
def test_what_an_exception_leaves_is_as_if_it_had_never_begun(stores: Stores, failure: type[BaseException]) -> None:
    with stores.reading() as books:
        before = read(books)
    with pytest.raises(failure, match="on purpose"), stores.writing() as books:
        fail(fill(books), failure)
    with stores.reading() as books:
        assert read(books) == before
    with stores.writing() as books:
        fill(books)


def test_a_transaction_that_reads_writes_nothing(stores: Stores) -> None:
    with stores.reading() as books:
        writes: list[Callable[[], object]] = [
            lambda: books.put_tenant(tenant()),
            lambda: books.add_content("a", b""),
            lambda: books.add_version(version()),
            lambda: books.add_review(review("a")),
            lambda: books.note(event()),
            lambda: books.add_captured(captured()),
            lambda: books.put_mark("m", b""),
        ]
        for write in writes:
            with pytest.raises(RuntimeError, match="only reads"):
                write()
    with stores.writing() as books:
        fill(books)
    with stores.reading() as books, pytest.raises(RuntimeError, match="only reads"):
        books.replace_version(version(), version(state=State.ACTIVE))


def test_books_are_closed_at_the_end_of_their_block(stores: Stores) -> None:
    with stores.writing() as written:
        written.put_mark("m", b"1")
    with stores.reading() as books:
        pass
    uses: list[Callable[[], object]] = [lambda: books.mark("m"), lambda: written.put_mark("m", b"2"), written.tenants]
    for use in uses:
        with pytest.raises(RuntimeError, match="over"):
            use()


def test_closed_stores_are_unavailable_and_closing_twice_is_nothing(stores: Stores) -> None:
    stores.close()
    stores.close()
    for begin in (stores.reading, stores.writing):
        with pytest.raises(Refused) as refused, begin():
            pass
        assert refused.value.reason is Reason.STORE_UNAVAILABLE


@pytest.mark.parametrize("broken", [review("a", at=float("inf")), review("a", "\ud800"), event("\ud800"), tenant("\ud800")])
def test_what_would_not_come_back_is_not_kept(stores: Stores, broken: object) -> None:
    with stores.writing() as books:
        put = {"Review": books.add_review, "Event": books.note, "Tenant": books.put_tenant}[type(broken).__name__]
        with pytest.raises(ValueError, match=r"float|surrogates"):
            put(broken)  # type: ignore[operator]
        assert (books.reviews(["a"]), books.history(), books.tenants()) == ((), (), ())


# Several at once.


def test_a_reader_sees_the_books_as_they_were_when_it_began(stores: Stores) -> None:
    with stores.writing() as books:
        fill(books)
    with stores.reading() as early:
        with stores.writing() as books:
            books.replace_version(version(state=State.RETIRED), version(state=State.ACTIVE))
            books.note(event("retire"))
            with stores.reading() as during:
                assert during.versions() == early.versions()
        with stores.reading() as late:
            assert late.versions() == (version(state=State.RETIRED),)
            assert len(late.history()) == 2
        assert early.versions() == (version(state=State.ACTIVE),)
        assert len(early.history()) == 1


def test_a_writer_that_waits_too_long_is_told_that_somebody_was_first(make: Callable[..., Stores]) -> None:
    stores = make(wait_seconds=0.05)
    with stores.writing() as books:
        books.put_mark("m", b"first")
        with ThreadPoolExecutor(1) as thread:
            assert thread.submit(reason_to_refuse, stores).result() is Reason.CHANGED_MEANWHILE
    assert reason_to_refuse(stores) is None


def reason_to_refuse(stores: Stores) -> Reason | None:
    try:
        with stores.writing() as books:
            books.put_mark("m", b"second")
    except Refused as refused:
        return refused.reason
    return None


def test_of_two_who_change_what_both_saw_the_second_is_told(stores: Stores) -> None:
    with stores.writing() as books:
        books.add_version(version())
    seen = threading.Barrier(2)

    def change(state: State) -> bool:
        with stores.reading() as books:
            was = books.versions()[0]
        seen.wait(10)
        try:
            with stores.writing() as books:
                books.replace_version(replaced(was, state=state), was)
        except Refused:
            return False
        return True

    with ThreadPoolExecutor(2) as threads:
        changed = list(threads.map(change, (State.PROPOSED, State.RETIRED)))
    assert sorted(changed) == [False, True]
    with stores.reading() as books:
        assert books.versions()[0].state is (State.PROPOSED if changed[0] else State.RETIRED)


def test_what_many_threads_note_has_no_gap_and_no_double(stores: Stores) -> None:
    def noting(who: int) -> list[int]:
        sequences = []
        for _ in range(10):
            with stores.writing() as books:
                sequences.append(books.note(event(name=f"thread-{who}")).sequence)
            with stores.reading() as books:
                assert [one.sequence for one in books.history()] == list(range(1, len(books.history()) + 1))
        return sequences

    with ThreadPoolExecutor(6) as threads:
        given = [sequence for some in threads.map(noting, range(6)) for sequence in some]
    assert sorted(given) == list(range(1, 61))


def test_two_thousand_versions_are_listed_in_less_than_a_second(stores: Stores) -> None:
    with stores.writing() as books:
        for number in range(2_000):
            books.add_version(version(f"server-{number:04}", state=State.ACTIVE if number % 2 else State.RETIRED))
    begun = time.monotonic()
    with stores.reading() as books:
        assert len(books.versions(Kind.SERVER, states=[State.ACTIVE])) == 1_000
        assert len(books.versions()) == 2_000
    assert time.monotonic() - begun < 1.0
