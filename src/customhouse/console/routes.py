"""The table of the operators' API: one row per operation, from which requests are read and the OpenAPI description is written."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from customhouse.core.identity import Caller
from customhouse.core.review import Kind

Number = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request, read: who asks, and what for."""

    caller: Caller
    path: Mapping[str, Any]
    """Parameters in the path, by name."""
    query: Mapping[str, Any]
    """Parameters in the query, by name, with defaults filled in."""
    body: Any
    """A struct of `shapes`, or None where the operation takes none."""


@dataclass(frozen=True, slots=True)
class Query:
    """A parameter in the query."""

    type: Any
    default: Any
    meaning: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One row."""

    method: str
    path: str
    """With parameters in braces."""
    name: str
    """The operation id, and the method of the ledger's record."""
    summary: str
    answer: type[msgspec.Struct]
    carry: Callable[[Asked], msgspec.Struct] | Callable[[Asked], Awaitable[msgspec.Struct]]
    """Does it: blocks, and runs in a worker thread; or is awaited on the loop, where `on_loop` says so."""
    body: type[msgspec.Struct] | None = None
    query: Mapping[str, Query] = field(default_factory=dict)
    status: int = 200
    on_loop: bool = False
    """It waits for something else than the books, so no thread waits with it."""
    max_body_bytes: int = 65_536
    refusals: tuple[int, ...] = ()
    """HTTP statuses of refusals beside those that every operation has."""

    @property
    def changes_things(self) -> bool:
        """Whether the ledger hears of it before it is done."""
        return self.method != "GET"


KindName = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(kind.value for kind in Kind)})$")]

PARAMETERS: Mapping[str, Any] = {
    "kind": KindName,
    "name": Annotated[str, msgspec.Meta(min_length=1, max_length=100, pattern="^[A-Za-z0-9._-]+$")],
    "number": Number,
    "approval": Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")],
    "server": Annotated[str, msgspec.Meta(min_length=1, max_length=40, pattern="^[a-z0-9-]+$")],
}
"""Parameters in paths: the type of each name."""

ALWAYS = (400, 401, 403, 404, 405, 408, 413, 415, 422, 503)
"""Statuses of refusals that any operation may have: the door, the token, the role, an unknown name, a body that does not fit."""
