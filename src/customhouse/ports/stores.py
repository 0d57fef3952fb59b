"""What the control plane remembers: versions and their contents, reviews, tenants, captures, and who did what.

One port, since a step of an operator touches several of these in one transaction. Calls block: they belong in a worker thread of the
control process, never on the loop of the gateway. History and contents are append-only: no adapter has a way to change or remove them.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Protocol

import msgspec

from customhouse.core.review import Kind, Review, State, Version


class Tenant(msgspec.Struct, frozen=True, kw_only=True):
    """An organisation or department whose servers, callers and records others never see."""

    name: str
    title: str = ""
    created_at: float
    """Unix seconds."""
    created_by: str
    """`tenant/person`."""
    issuers: tuple[str, ...] = ()
    """`iss` of the authorization servers whose tokens belong to this tenant, sorted."""


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something an operator, or the control plane itself, did."""

    sequence: int = 0
    """1, 2, 3 and so on over the whole store, without gaps; given by the store."""
    at: float
    """Unix seconds."""
    actor: str
    """`tenant/person`, or `customhouse` for what is done by the clock."""
    action: str
    """The verb, such as `propose`, `accept`, `activate`, `suspend`, `notice`, `capture`."""
    tenant: str = ""
    kind: str = ""
    name: str = ""
    number: int = 0
    digest: str = ""
    reason: str = ""
    """In the words of the actor; empty where none was given."""
    detail: Mapping[str, object] = {}
    """JSON values: what else there is to know, never a secret."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """What a server said it offers at one time."""

    server: str
    at: float
    """Unix seconds."""
    digest: str
    """Of the manifest; the key of its content."""
    revision: str
    """The protocol revision it was captured in."""
    left_out: tuple[str, ...] = ()
    """What could not be used, a sentence each."""


class Books(Protocol):
    """One transaction. What it reads is consistent; what it writes is there for everybody or for nobody."""

    def tenants(self) -> tuple[Tenant, ...]:
        """All tenants, by name."""

    def put_tenant(self, tenant: Tenant) -> None:
        """Add a tenant, or replace the one of that name."""

    def add_content(self, digest: str, content: bytes) -> None:
        """Keep a content under its digest, or under a name that fixes it as a digest does; a second time is nothing. Contents are never
        changed or removed."""

    def contents(self, digests: Iterable[str]) -> Mapping[str, bytes]:
        """The contents of those digests that are known."""

    def versions(self, kind: Kind | None = None, name: str | None = None, states: Iterable[State] | None = None) -> tuple[Version, ...]:
        """Versions by kind, name and number; absent arguments leave nothing out."""

    def add_version(self, version: Version) -> None:
        """Add a version. Raises `Refused` CHANGED_MEANWHILE if its kind, name and number are taken."""

    def replace_version(self, version: Version, was: Version) -> None:
        """Put a version in the place of what this caller saw. Raises `Refused` CHANGED_MEANWHILE if it is another one
        by now, or gone."""

    def reviews(self, digests: Iterable[str]) -> tuple[Review, ...]:
        """All reviews of these contents, in the order in which they were added."""

    def add_review(self, review: Review) -> None:
        """Add a review; nothing takes one back but a later one of the same person."""

    def note(self, event: Event) -> Event:
        """Append to the history; returns the event with its sequence."""

    def history(self, *, kind: str = "", name: str = "", tenant: str = "", after: int = 0, limit: int = 1000) -> tuple[Event, ...]:
        """Events in order; empty arguments leave nothing out. `after` is the sequence of the last one seen."""

    def add_captured(self, captured: Captured) -> None:
        """Keep a capture; the manifest itself is a content under `captured.digest`."""

    def captured(self, server: str | None = None) -> tuple[Captured, ...]:
        """The newest capture of one server, or of each, by server."""

    def put_mark(self, name: str, value: bytes) -> None:
        """Keep a small value by name, such as how far something was read."""

    def mark(self, name: str) -> bytes | None:
        """The value kept under a name."""


class Stores(Protocol):
    """Where the books are."""

    def reading(self) -> AbstractContextManager[Books]:
        """A transaction that writes nothing. Raises `Refused` STORE_UNAVAILABLE."""

    def writing(self) -> AbstractContextManager[Books]:
        """A transaction, kept at the end of the block unless an exception leaves it, which is then raised on.

        Raises `Refused`: STORE_UNAVAILABLE, and CHANGED_MEANWHILE where somebody else's transaction came first.
        """

    def close(self) -> None:
        """Let go of the files and connections."""
