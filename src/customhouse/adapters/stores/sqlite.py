"""The books in one file of SQLite, in the data directory: the default, with nothing to install or run beside the gateway.

WAL lets readers, in this process and in others, go on while somebody writes; each sees the books as they were when it began.
`synchronous=FULL` makes a transaction that ended survive the loss of power. There is one writer at a time over all processes.
Sources: SQLite, wal.html, lang_transaction.html (BEGIN IMMEDIATE), pragma.html.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, QueuePool, create_engine, event, inspect, select
from sqlalchemy.exc import DBAPIError, TimeoutError  # noqa: A004 - the library's own name

from customhouse.adapters.privatefiles import make_private
from customhouse.adapters.stores.books import SqlBooks
from customhouse.adapters.stores.tables import SCHEMA, SCHEMA_VERSION
from customhouse.core.refusal import Reason, Refused

FILE_NAME = "registry.db"
WAIT_SECONDS = 5.0
"""How long a writer waits for another one. A step of an operator takes milliseconds; who waits longer is told to look again."""
MAX_READERS = 40
"""Connections; worker threads wait for one beyond that. AnyIO runs as many threads by default."""


def upgrade(path: Path) -> tuple[int, int]:
    """Bring the tables of a file up to date; returns the revision before and after. Raises as `SqliteStores.open` does."""
    _make(path)
    stores = SqliteStores(path, WAIT_SECONDS)
    try:
        return stores.migrate()
    finally:
        stores.close()


class SqliteStores:
    """An implementation of `ports.stores.Stores`, for any number of threads."""

    def __init__(self, path: Path, wait_seconds: float) -> None:
        self._reader = _engine(path, wait_seconds, "BEGIN", MAX_READERS)
        self._writer = _engine(path, wait_seconds, "BEGIN IMMEDIATE", 1)
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, wait_seconds: float = WAIT_SECONDS) -> "SqliteStores":
        """The books of a file, which is made if there is none. `wait_seconds` is how long a writer waits for another one.

        Raises `UnsafeKeyFile` if others can reach the file, and `Refused` STORE_UNAVAILABLE, also for tables that this code cannot use.
        """
        _make(path)
        stores = cls(path, wait_seconds)
        try:
            stores._begin_books()
        except BaseException:
            stores.close()
            raise
        return stores

    @contextmanager
    def reading(self) -> Iterator[SqlBooks]:
        with self._transaction(self._reader) as connection, _opened(connection, writes=False) as books:
            yield books

    @contextmanager
    def writing(self) -> Iterator[SqlBooks]:
        with self._transaction(self._writer) as connection, _opened(connection, writes=True) as books:
            yield books

    @contextmanager
    def tables(self, *, writes: bool) -> Iterator[Connection]:
        """A transaction on the tables themselves, for what lies beside the books. Raises `Refused` as `reading` and `writing` do."""
        with self._transaction(self._writer if writes else self._reader) as connection:
            _require_readable(connection)
            with _refusing():
                yield connection

    def close(self) -> None:
        self._closed = True
        self._reader.dispose()
        self._writer.dispose()

    def migrate(self) -> tuple[int, int]:
        """Bring the tables up to date, as a whole or not at all. Returns the revision before (0 for an empty file) and after."""
        with self._transaction(self._writer) as connection:
            before = _schema(connection)[0]
            if before < SCHEMA_VERSION:
                from customhouse.adapters.stores.migrate import migrate  # noqa: PLC0415 - 0.2 s for something that is seldom done

                with _refusing():
                    migrate(connection)
            _require_readable(connection)
            return before, _schema(connection)[0]

    def _begin_books(self) -> None:
        with self._transaction(self._reader) as connection:
            empty = _schema(connection)[0] == 0
        if empty:
            self.migrate()
        with self._transaction(self._reader) as connection:
            _require_readable(connection)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        if self._closed:
            raise Refused(Reason.STORE_UNAVAILABLE, note="The store was closed.")
        connection = _begun(engine)
        try:
            yield connection
            with _refusing():
                connection.commit()
        finally:
            connection.close()


@contextmanager
def _opened(connection: Connection, *, writes: bool) -> Iterator[SqlBooks]:
    _require_readable(connection)
    books = SqlBooks(connection, _refusal, writes=writes)
    try:
        yield books
    finally:
        books.over = True
    if books.failure is not None:
        raise books.failure


def _begun(engine: Engine) -> Connection:
    with _refusing():
        connection = engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection


def _engine(path: Path, wait_seconds: float, begin: str, connections: int) -> Engine:
    """Connections that begin a transaction in one way. With a single one, the threads of this process queue for it in order."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        connect_args={"timeout": wait_seconds, "isolation_level": None, "check_same_thread": False},
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        pool_timeout=wait_seconds,
    )

    @event.listens_for(engine, "connect")
    def prepare(connection: sqlite3.Connection, _record: object) -> None:
        if connection.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise Refused(Reason.STORE_UNAVAILABLE, note=f"{path} must lie on a local disk: SQLite cannot keep a WAL there.")
        for pragma in ("synchronous = FULL", "foreign_keys = ON", "trusted_schema = OFF"):
            connection.execute(f"PRAGMA {pragma}").fetchall()

    @event.listens_for(engine, "begin")
    def begin_transaction(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine


def _schema(connection: Connection) -> tuple[int, int]:
    """Which revision made the tables, and the oldest code that runs on them; zeros for an empty file."""
    with _refusing():
        tables = inspect(connection).get_table_names()
        if not tables:
            return 0, 0
        if SCHEMA.name not in tables:
            raise Refused(Reason.STORE_UNAVAILABLE, note="The file is a database of something else.")
        row = connection.execute(select(SCHEMA)).one()
        return row.schema_version, row.readable_from


def _require_readable(connection: Connection) -> None:
    """Look at the revision; with that look, a transaction that reads begins to see the books of this very moment."""
    with _refusing():
        version, readable_from = connection.execute(select(SCHEMA)).one()
    if version < SCHEMA_VERSION:
        note = f"The tables are of revision {version}, this version of Customhouse needs {SCHEMA_VERSION}: run `customhouse migrate`."
        raise Refused(Reason.STORE_UNAVAILABLE, note=note)
    if readable_from > SCHEMA_VERSION:
        note = f"The tables are of revision {version}, for code from {readable_from} on; this one is {SCHEMA_VERSION}: use a later version."
        raise Refused(Reason.STORE_UNAVAILABLE, note=note)


def _make(path: Path) -> None:
    try:
        make_private(path)
    except OSError as failed:
        raise Refused(Reason.STORE_UNAVAILABLE, note=str(failed)) from failed


@contextmanager
def _refusing() -> Iterator[None]:
    """Errors of the database as refusals."""
    try:
        yield
    except TimeoutError as busy:
        raise Refused(Reason.CHANGED_MEANWHILE, note="Other transactions held the books for too long.") from busy
    except DBAPIError as failed:
        raise _refusal(failed) from failed


def _refusal(failed: DBAPIError) -> Refused:
    code = getattr(failed.orig, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Refused(Reason.CHANGED_MEANWHILE, note="Another process held the books for too long.")
    return Refused(Reason.STORE_UNAVAILABLE, note=f"SQLite: {failed.orig}")
