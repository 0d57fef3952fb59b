"""The books in the memory of one process, for tests and for trying things out: gone when the process ends.

A writer works on a copy, which takes the place of the original at the end of its block. Readers hold the original that they began with.
"""

import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields

import msgspec

from customhouse.adapters.stores.encoding import S, decoded, encoded
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import Kind, Review, State, Version
from customhouse.ports.stores import Captured, Event, Tenant


class MemoryStores:
    """An implementation of `ports.stores.Stores`."""

    def __init__(self, wait_seconds: float = 5.0) -> None:
        self._shelves = _Shelves()
        self._turn = threading.Lock()
        self._wait_seconds = wait_seconds
        self._closed = False

    @contextmanager
    def reading(self) -> Iterator["MemoryBooks"]:
        books = MemoryBooks(self._present(), writes=False)
        try:
            yield books
        finally:
            books.over = True

    @contextmanager
    def writing(self) -> Iterator["MemoryBooks"]:
        if not self._turn.acquire(timeout=self._wait_seconds):
            raise Refused(Reason.CHANGED_MEANWHILE, note="Another transaction held the books for too long.")
        try:
            shelves = self._present().copied()
            books = MemoryBooks(shelves, writes=True)
            try:
                yield books
            finally:
                books.over = True
            self._shelves = shelves
        finally:
            self._turn.release()

    def close(self) -> None:
        self._closed = True

    def _present(self) -> "_Shelves":
        if self._closed:
            raise Refused(Reason.STORE_UNAVAILABLE, note="The store was closed.")
        return self._shelves


@dataclass(slots=True)
class _Shelves:
    """Everything that is kept. What a shelf holds is immutable, so a copy of the shelf is a copy of all."""

    tenants: dict[str, Tenant] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    versions: dict[tuple[str, str, int], Version] = field(default_factory=dict)
    reviews: dict[str, tuple[tuple[int, Review], ...]] = field(default_factory=dict)
    """By digest, each with its place among all."""
    events: list[Event] = field(default_factory=list)
    captured: dict[str, Captured] = field(default_factory=dict)
    marks: dict[str, bytes] = field(default_factory=dict)

    def copied(self) -> "_Shelves":
        return _Shelves(*(getattr(self, each.name).copy() for each in fields(self)))


class MemoryBooks:
    """An implementation of `ports.stores.Books`."""

    def __init__(self, shelves: _Shelves, *, writes: bool) -> None:
        self._all = shelves
        self._writes = writes
        self.over = False

    def tenants(self) -> tuple[Tenant, ...]:
        shelf = self._read().tenants
        return tuple(shelf[name] for name in sorted(shelf))

    def put_tenant(self, tenant: Tenant) -> None:
        self._write().tenants[tenant.name] = _kept(tenant)

    def add_content(self, digest: str, content: bytes) -> None:
        self._write().contents.setdefault(digest, bytes(content))

    def contents(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        shelf = self._read().contents
        return {digest: shelf[digest] for digest in digests if digest in shelf}

    def versions(self, kind: Kind | None = None, name: str | None = None, states: Iterable[State] | None = None) -> tuple[Version, ...]:
        wanted = set(State) if states is None else set(states)
        return tuple(
            version
            for _, version in sorted(self._read().versions.items())
            if kind in (None, version.kind) and name in (None, version.name) and version.state in wanted
        )

    def add_version(self, version: Version) -> None:
        key = _key(version)
        if key in self._write().versions:
            raise Refused(
                Reason.CHANGED_MEANWHILE, note=f"There is a version {version.number} of {version.kind.value} {version.name} already."
            )
        self._all.versions[key] = _kept(version)

    def replace_version(self, version: Version, was: Version) -> None:
        if _key(version) != _key(was):
            raise ValueError("A version takes the place of itself alone.")
        if self._write().versions.get(_key(was)) != was:
            raise Refused(Reason.CHANGED_MEANWHILE, note=f"Version {was.number} of {was.kind.value} {was.name} is not what it was.")
        self._all.versions[_key(was)] = _kept(version)

    def reviews(self, digests: Iterable[str]) -> tuple[Review, ...]:
        shelf = self._read().reviews
        found = [placed for digest in set(digests) for placed in shelf.get(digest, ())]
        return tuple(review for _, review in sorted(found, key=lambda placed: placed[0]))

    def add_review(self, review: Review) -> None:
        shelf = self._write().reviews
        place = sum(map(len, shelf.values())) + 1
        shelf[review.digest] = (*shelf.get(review.digest, ()), (place, _kept(review)))

    def note(self, event: Event) -> Event:
        events = self._write().events
        noted = _kept(msgspec.structs.replace(event, sequence=len(events) + 1))
        events.append(noted)
        return noted

    def history(self, *, kind: str = "", name: str = "", tenant: str = "", after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        found = [
            event
            for event in self._read().events[max(after, 0) :]
            if kind in ("", event.kind) and name in ("", event.name) and tenant in ("", event.tenant)
        ]
        return tuple(found[: max(limit, 0)])

    def add_captured(self, captured: Captured) -> None:
        self._write().captured[captured.server] = _kept(captured)

    def captured(self, server: str | None = None) -> tuple[Captured, ...]:
        shelf = self._read().captured
        return tuple(shelf[name] for name in sorted(shelf) if server in (None, name))

    def put_mark(self, name: str, value: bytes) -> None:
        self._write().marks[name] = bytes(value)

    def mark(self, name: str) -> bytes | None:
        return self._read().marks.get(name)

    def _read(self) -> _Shelves:
        if self.over:
            raise RuntimeError("This transaction is over.")
        return self._all

    def _write(self) -> _Shelves:
        if not self._writes:
            raise RuntimeError("This transaction only reads.")
        return self._read()


def _key(version: Version) -> tuple[str, str, int]:
    return version.kind.value, version.name, version.number


def _kept(value: S) -> S:
    """The value as it would come back from a file: nothing in it is shared with whoever gave it."""
    return decoded(encoded(value), type(value))
