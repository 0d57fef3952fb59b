"""Whatever is done in whatever order: the books in memory and those in a file say the same, also to readers that began earlier."""

import shutil
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from customhouse.adapters.stores.memory import MemoryStores
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.refusal import Refused
from customhouse.core.review import Kind, State
from customhouse.ports.stores import Books, Stores
from tests.ports.stores_support import captured, event, review, tenant, version

NAMES = st.sampled_from(["a", "B", "ä", "日", "a b", "%", ""])
DIGESTS = st.sampled_from(["sha256:1", "sha256:2", "sha256:3"])
NUMBERS = st.integers(1, 3)
KINDS = st.sampled_from(list(Kind))
STATES = st.sampled_from(list(State))
TIMES = st.floats(0, 4e9) | st.integers(0, 10).map(float)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS, lambda inner: st.lists(inner, max_size=2), max_leaves=3
)

Operation = Callable[[Books], object]
VERSIONS = st.builds(lambda name, number, kind, state: version(name, number, kind=kind, state=state), NAMES, NUMBERS, KINDS, STATES)
EVENTS = st.builds(
    lambda kind, name, whose, detail: msgspec.structs.replace(event(kind=kind, name=name, tenant=whose), detail=detail),
    *(st.sampled_from(["server", ""]), NAMES, NAMES, st.dictionaries(TEXTS, VALUES, max_size=2)),
)
WRITES: st.SearchStrategy[Operation] = st.one_of(
    st.builds(lambda name, title: lambda books: books.put_tenant(tenant(name, title)), NAMES, TEXTS),
    st.builds(lambda digest, content: lambda books: books.add_content(digest, content), DIGESTS, st.binary(max_size=8)),
    st.builds(lambda one: lambda books: books.add_version(one), VERSIONS),
    st.builds(lambda place, state: lambda books: move(books, place, state), st.integers(0, 9), STATES),
    st.builds(lambda one, was: lambda books: books.replace_version(one, was), VERSIONS, VERSIONS),
    st.builds(lambda digest, who, at: lambda books: books.add_review(review(digest, who, at=at)), DIGESTS, NAMES, TIMES),
    st.builds(lambda one: lambda books: books.note(one), EVENTS),
    st.builds(lambda server, digest, at: lambda books: books.add_captured(captured(server, digest, at)), NAMES, DIGESTS, TIMES),
    st.builds(lambda name, value: lambda books: books.put_mark(name, value), NAMES, st.binary(max_size=8)),
)
READS: st.SearchStrategy[Operation] = st.one_of(
    st.just(lambda books: books.tenants()),
    st.builds(lambda digests: lambda books: books.contents(digests), st.lists(DIGESTS)),
    st.builds(
        lambda kind, name, states: lambda books: books.versions(kind, name, states),
        *(st.none() | KINDS, st.none() | NAMES, st.none() | st.lists(STATES)),
    ),
    st.builds(lambda digests: lambda books: books.reviews(digests), st.lists(DIGESTS)),
    st.builds(
        lambda kind, name, whose, after, limit: lambda books: books.history(kind=kind, name=name, tenant=whose, after=after, limit=limit),
        *(st.sampled_from(["", "server"]), NAMES, NAMES, st.integers(-1, 9), st.integers(-1, 9)),
    ),
    st.builds(lambda server: lambda books: books.captured(server), st.none() | NAMES),
    st.builds(lambda name: lambda books: books.mark(name), NAMES),
)


def move(books: Books, place: int, state: State) -> None:
    """Put another state in the place of one of the versions that are there."""
    there = books.versions()
    if there:
        was = there[place % len(there)]
        books.replace_version(msgspec.structs.replace(was, state=state), was)


def everything(books: Books) -> tuple[object, ...]:
    digests = ["sha256:1", "sha256:2", "sha256:3"]
    kept = books.tenants(), dict(books.contents(digests)), books.versions(), books.reviews(digests), books.history(), books.captured()
    return (*kept, [books.mark(name) for name in ("a", "B", "ä", "日", "a b", "%", "")])


def outcome(books: Books, operation: Operation) -> object:
    try:
        return operation(books)
    except (Refused, ValueError) as failed:
        return type(failed)


def outcomes(stores: Stores, operations: Sequence[Operation], *, fails: bool) -> list[object]:
    """What a transaction says, operation by operation, and what is in it at its end."""
    said: list[object] = []
    try:
        with stores.writing() as books:
            said = [outcome(books, operation) for operation in operations]
            said.append(everything(books))
            if fails:
                raise InterruptedError
    except InterruptedError:
        said.append("interrupted")
    return said


class SameBooks(RuleBasedStateMachine):
    """Two implementations that are told the same."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp())
        self.memory = MemoryStores()
        self.file = SqliteStores.open(self.directory / "registry.db")
        self.readers: list[tuple[Books, Books]] = []
        self.blocks = ExitStack()

    @rule(operations=st.lists(WRITES | READS, min_size=1, max_size=8), fails=st.sampled_from([False, False, True]))
    def write(self, operations: list[Operation], fails: bool) -> None:
        assert outcomes(self.memory, operations, fails=fails) == outcomes(self.file, operations, fails=fails)

    @rule()
    def begin_to_read(self) -> None:
        if len(self.readers) < 3:
            self.readers.append((self.blocks.enter_context(self.memory.reading()), self.blocks.enter_context(self.file.reading())))

    @rule(operations=st.lists(READS, min_size=1, max_size=4))
    def read(self, operations: list[Operation]) -> None:
        for one, other in self.readers:
            for operation in operations:
                assert operation(one) == operation(other)
            assert everything(one) == everything(other)

    @rule()
    def open_again(self) -> None:
        self.blocks.close()
        self.readers.clear()
        self.file.close()
        self.file = SqliteStores.open(self.directory / "registry.db")

    def teardown(self) -> None:
        self.blocks.close()
        with self.memory.reading() as one, self.file.reading() as other:
            assert everything(one) == everything(other)
        self.file.close()
        shutil.rmtree(self.directory)


TestSameBooks = SameBooks.TestCase
TestSameBooks.settings = settings(max_examples=25, stateful_step_count=10)
