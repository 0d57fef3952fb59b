"""The implementations of the Stores port, and values to put into them."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import create_engine

from customhouse.adapters.stores.memory import MemoryStores
from customhouse.adapters.stores.migrate import migrate
from customhouse.adapters.stores.sqlite import SqliteStores
from customhouse.core.review import Kind, Review, State, Version
from customhouse.ports.stores import Captured, Event, Stores, Tenant

NEXT_REVISION = Path(__file__).with_name("next_revision")
WAIT_SECONDS = 5.0


def sqlite_on_the_next_revision(path: Path, wait_seconds: float = WAIT_SECONDS) -> SqliteStores:
    """Today's code on the tables of tomorrow."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(0o600)
        path.write_bytes(tables_of_the_next_revision())
    return SqliteStores.open(path, wait_seconds=wait_seconds)


@functools.cache
def tables_of_the_next_revision() -> bytes:
    """A file without books, made by every revision there is and the one after."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "registry.db"
        SqliteStores.open(path).close()
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as connection:
            migrate(connection, [NEXT_REVISION])
        engine.dispose()
        return path.read_bytes()


STORES: dict[str, Callable[[Path, float], Stores]] = {
    "memory": lambda _path, wait_seconds: MemoryStores(wait_seconds),
    "sqlite": lambda path, wait_seconds: SqliteStores.open(path, wait_seconds=wait_seconds),
    "sqlite-on-the-next-revision": sqlite_on_the_next_revision,
}
"""By name: what makes one, in a file or elsewhere, whose writers wait so many seconds for each other."""


def version(name: str = "notes", number: int = 1, *, kind: Kind = Kind.SERVER, state: State = State.DRAFT, digest: str = "") -> Version:
    return Version(
        kind=kind,
        name=name,
        number=number,
        tenant="acme",
        digest=digest or f"sha256:{name}-{number}",
        state=state,
        proposer="acme/alice",
        reviewers_needed=1,
        proposed_at=1.7e9,
    )


def review(digest: str, reviewer: str = "acme/bob", *, accepts: bool = True, at: float = 1.7e9) -> Review:
    return Review(digest=digest, reviewer=reviewer, accepts=accepts, at=at, expires_at=at + 100.0)


def event(action: str = "propose", *, kind: str = "server", name: str = "notes", tenant: str = "acme") -> Event:
    return Event(at=1.7e9, actor="acme/alice", action=action, kind=kind, name=name, tenant=tenant)


def captured(server: str = "notes", digest: str = "sha256:m1", at: float = 1.7e9) -> Captured:
    return Captured(server=server, at=at, digest=digest, revision="2026-07-28", left_out=("A tool has no name.",))


def tenant(name: str = "acme", title: str = "") -> Tenant:
    return Tenant(name=name, title=title, created_at=1.7e9, created_by="acme/root", issuers=("https://issuer.example",))
