"""What holds for the books in a file of SQLite alone: modes, processes, crashes, revisions, and the shell of the database."""

import contextlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import create_engine

from customhouse.adapters.privatefiles import UnsafeKeyFile
from customhouse.adapters.stores.migrate import MIGRATIONS
from customhouse.adapters.stores.sqlite import SqliteStores, upgrade
from customhouse.adapters.stores.tables import METADATA, SCHEMA_VERSION
from customhouse.cli.main import main
from customhouse.core.refusal import Reason, Refused
from customhouse.core.review import State
from customhouse.ports.stores import Books
from tests.ports.stores_support import NEXT_REVISION, event, review, sqlite_on_the_next_revision, tenant, version

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "registry.db"


@pytest.fixture
def stores(path: Path) -> Iterator[SqliteStores]:
    stores = SqliteStores.open(path)
    yield stores
    stores.close()


def unavailable(path: Path) -> str:
    """What the operator is told when the file cannot be opened."""
    with pytest.raises(Refused) as refused:
        SqliteStores.open(path)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    return refused.value.note


def shell(path: Path, *statements: str) -> None:
    """What a person does with the shell of the database."""
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def python(*arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"}
    return subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True, env=environment)


# The file.


def test_the_files_are_for_their_owner_alone(stores: SqliteStores, path: Path) -> None:
    with stores.writing() as books:
        books.note(event())
    assert sorted(file.name for file in path.parent.iterdir()) == ["registry.db", "registry.db-shm", "registry.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o602])
def test_a_file_that_others_can_reach_is_not_opened(stores: SqliteStores, path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(UnsafeKeyFile):
        SqliteStores.open(path)


def test_a_link_is_not_followed(stores: SqliteStores, path: Path) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    with pytest.raises(UnsafeKeyFile):
        SqliteStores.open(link)


def test_a_file_of_something_else_is_refused_and_left_as_it_is(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 100)
    path.chmod(0o600)
    assert "not a database" in unavailable(path)
    assert path.read_bytes() == b"not a database" * 100
    path.unlink()
    shell(path, "CREATE TABLE cats (name TEXT)")
    path.chmod(0o600)
    assert "database of something else" in unavailable(path)


def test_a_place_that_nothing_can_be_written_to_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "file" in unavailable(tmp_path / "file" / "registry.db")


def test_where_a_wal_cannot_be_kept_is_no_place_for_it() -> None:
    with pytest.raises(Refused) as refused, SqliteStores(Path(":memory:"), 1.0).reading():
        pass
    assert "local disk" in refused.value.note


def test_a_damaged_file_is_unavailable_in_the_middle_of_a_transaction(path: Path) -> None:
    stores = SqliteStores.open(path)
    with stores.writing() as books:
        books.add_content("sha256:a", bytes(200_000))
    stores.close()
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))
    damaged = SqliteStores(path, 1.0)
    with pytest.raises(Refused) as refused, damaged.reading() as books:
        books.contents(["sha256:a"])
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "SQLite" in refused.value.note
    damaged.close()


def test_on_a_full_disk_nothing_of_the_transaction_is_kept_even_if_the_refusal_is_swallowed(stores: SqliteStores) -> None:
    with stores._writer.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages + 20}")
    with pytest.raises(Refused) as refused, stores.writing() as books:
        swallow(books)
    assert refused.value.reason is Reason.STORE_UNAVAILABLE
    assert "full" in refused.value.note
    with stores.writing() as books:
        assert (books.note(event("later")).sequence, books.mark("m")) == (1, None)


def swallow(books: Books) -> None:
    """Go on after a refusal as if nothing had happened."""
    books.note(event("before"))
    with contextlib.suppress(Refused):
        books.add_content("sha256:a", bytes(5_000_000))
    with contextlib.suppress(Refused):
        books.put_mark("m", b"1")


@pytest.mark.parametrize("way", ["vacuum", "online", "files"])
def test_a_backup_of_books_in_use_has_everything_that_ended(stores: SqliteStores, path: Path, tmp_path: Path, way: str) -> None:
    with stores.writing() as books:
        books.note(event())
    copy = tmp_path / "copy.db"
    if way == "vacuum":
        shell(path, f"VACUUM INTO '{copy}'")
    elif way == "online":
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    else:
        shutil.copy(path, copy)
        shutil.copy(f"{path}-wal", f"{copy}-wal")
    copy.chmod(0o600)
    restored = SqliteStores.open(copy)
    with restored.reading() as books:
        assert [one.sequence for one in books.history()] == [1]
    restored.close()


# A person in the shell of the database.


@pytest.mark.parametrize(
    "statement",
    [
        *(f"DELETE FROM {table}" for table in ("history", "reviews", "contents")),
        *(f"UPDATE {table} SET body = '{{}}'" for table in ("history", "reviews")),
        "UPDATE contents SET content = x'00'",
        "UPDATE history SET sequence = sequence + 1",
        "INSERT INTO history (sequence, kind, name, tenant, body) VALUES (3, '', '', '', '{}')",
        "INSERT INTO history (kind, name, tenant, body) VALUES ('', '', '', '{}')",
        "REPLACE INTO history (sequence, kind, name, tenant, body) VALUES (1, '', '', '', '{}')",
        "REPLACE INTO reviews (sequence, digest, body) VALUES (1, '', '{}')",
        "REPLACE INTO contents (digest, content) VALUES ('sha256:a', x'00')",
        "INSERT INTO contents (digest, content) VALUES ('sha256:a', x'00') ON CONFLICT DO UPDATE SET content = x'00'",
    ],
)
def test_history_reviews_and_contents_can_only_be_added_to(stores: SqliteStores, path: Path, statement: str) -> None:
    with stores.writing() as books:
        books.note(event())
        books.add_review(review("sha256:a"))
        books.add_content("sha256:a", b"a")
    with pytest.raises(sqlite3.IntegrityError, match=r"only ever added|number after the last"):
        shell(path, statement)
    with stores.reading() as books:
        assert (len(books.history()), books.reviews(["sha256:a"])) == (1, (review("sha256:a"),))
        assert books.contents(["sha256:a"]) == {"sha256:a": b"a"}


# Several processes.


READ = """
import sys
from pathlib import Path
from customhouse.adapters.stores.sqlite import SqliteStores
stores = SqliteStores.open(Path(sys.argv[1]), wait_seconds=0.05)
with stores.reading() as books:
    print(len(books.history()))
try:
    with stores.writing() as books:
        books.note(books.history()[0])
    print("written")
except Exception as refused:
    print(refused)
print("alembic" in sys.modules)
"""


def test_another_process_reads_while_this_one_writes_and_writes_when_it_is_done(stores: SqliteStores, path: Path) -> None:
    with stores.writing() as books:
        books.note(event())
    with stores.writing() as books:
        books.note(event())
        assert python("-c", READ, str(path)).communicate(timeout=30)[0].split() == ["1", "CHANGED_MEANWHILE", "False"]
    assert python("-c", READ, str(path)).communicate(timeout=30)[0].split() == ["2", "written", "False"]
    with stores.reading() as books:
        assert [one.sequence for one in books.history()] == [1, 2, 3]


def test_writers_that_share_nothing_but_the_file_take_turns_and_are_not_refused(stores: SqliteStores, path: Path) -> None:
    other = SqliteStores.open(path)

    def noting(one: SqliteStores) -> list[int]:
        sequences = []
        for _ in range(15):
            with one.writing() as books:
                books.history(limit=1)
                sequences.append(books.note(event()).sequence)
        return sequences

    with ThreadPoolExecutor(2) as threads:
        given = [sequence for some in threads.map(noting, (stores, other)) for sequence in some]
    assert sorted(given) == list(range(1, 31))
    other.close()


def test_what_ended_is_on_the_disk_and_not_only_on_its_way(stores: SqliteStores) -> None:
    """`synchronous` 2 is FULL. A kill shows nothing of it, only a loss of power would."""
    for engine in (stores._reader, stores._writer):
        with engine.connect() as connection:
            values = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")]
            assert values == ["wal", 2, 1]


@pytest.mark.parametrize("moment", range(3))
def test_after_a_kill_every_transaction_that_was_said_to_have_ended_is_there_and_none_is_half(path: Path, moment: int) -> None:
    writer = python(str(Path(__file__).with_name("crashing_writer.py")), str(path))
    assert writer.stdout is not None
    acknowledged = [int(writer.stdout.readline()) for _ in range(5 * moment + 2)]
    time.sleep(0.0017 * moment)
    writer.kill()
    acknowledged += [int(line) for line in writer.stdout.read().splitlines()]
    writer.wait()
    writer.stdout.close()
    stores = SqliteStores.open(path)
    with stores.reading() as books:
        versions = books.versions()
        assert [one.number for one in versions][: len(acknowledged)] == acknowledged
        assert len(versions) - len(acknowledged) in (0, 1)
        assert {one.state for one in versions} == {State.PROPOSED}
        digests = [one.digest for one in versions]
        assert set(books.contents(digests)) == set(digests)
        assert [one.digest for one in books.reviews(digests)] == digests
        assert [one.action for one in books.history()] == ["propose", "accept"] * len(versions)
    with stores.writing() as books:
        assert books.note(event()).sequence == 2 * len(versions) + 1
    stores.close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# Revisions of the tables.


def test_the_revisions_together_make_the_tables_of_the_code(stores: SqliteStores, path: Path) -> None:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, METADATA) == []
    engine.dispose()


def test_each_revision_follows_the_one_before_and_says_the_oldest_code_that_runs_on_it() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join((str(MIGRATIONS / "revisions"), str(NEXT_REVISION))))
    revisions = list(ScriptDirectory.from_config(config).walk_revisions("base", "heads"))[::-1]
    assert [revision.revision for revision in revisions] == [f"{number:04}" for number in range(1, len(revisions) + 1)]
    oldest = [revision.module.READABLE_FROM for revision in revisions]
    assert oldest == sorted(oldest)
    assert all(1 <= readable_from <= number for number, readable_from in enumerate(oldest, 1))
    assert len(list((MIGRATIONS / "revisions").glob("r*.py"))) == SCHEMA_VERSION


def test_tables_that_are_too_old_name_the_command_that_helps(stores: SqliteStores, path: Path) -> None:
    shell(path, "UPDATE store_schema SET schema_version = 0")
    assert "customhouse migrate" in unavailable(path)


def test_tables_of_a_later_version_are_used_until_they_are_contracted_also_by_a_process_that_runs(path: Path) -> None:
    stores = sqlite_on_the_next_revision(path)
    assert upgrade(path) == (SCHEMA_VERSION + 1, SCHEMA_VERSION + 1)
    with stores.writing() as books:
        books.note(event())
    shell(path, f"UPDATE store_schema SET readable_from = {SCHEMA_VERSION + 1}")
    assert "use a later version" in unavailable(path)
    with pytest.raises(Refused, match="STORE_UNAVAILABLE"):
        upgrade(path)
    for begin in (stores.reading, stores.writing):
        with pytest.raises(Refused) as refused, begin():
            pass
        assert refused.value.reason is Reason.STORE_UNAVAILABLE
    stores.close()


def test_a_field_that_a_later_version_wrote_outlives_a_change_by_this_one(stores: SqliteStores, path: Path) -> None:
    with stores.writing() as books:
        books.add_version(version())
        books.put_tenant(tenant())
    for table in ("versions", "tenants"):
        shell(path, f"UPDATE {table} SET body = json_set(body, '$.region', json('{{\"eu\": [1.0]}}'))")
    with stores.writing() as books:
        books.replace_version(version(state=State.ACTIVE), version())
        books.put_tenant(tenant(title="Acme"))
    with stores.reading() as books:
        assert (books.versions(), books.tenants()) == ((version(state=State.ACTIVE),), (tenant(title="Acme"),))
    with closing(sqlite3.connect(path)) as connection:
        for table in ("versions", "tenants"):
            assert connection.execute(f"SELECT json_extract(body, '$.region') FROM {table}").fetchall() == [('{"eu":[1.0]}',)]


def test_a_migration_that_fails_leaves_nothing(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    shell(path, "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)", "CREATE TABLE marks (name TEXT)")
    path.chmod(0o600)
    shell(path, "CREATE TABLE store_schema (schema_version INTEGER, readable_from INTEGER)", "INSERT INTO store_schema VALUES (0, 0)")
    shell(path, "DROP TABLE marks", "CREATE TABLE history (sequence INTEGER)")
    with pytest.raises(Refused, match="STORE_UNAVAILABLE"):
        upgrade(path)
    with closing(sqlite3.connect(path)) as connection:
        names = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
    assert names == {"alembic_version", "store_schema", "history"}


def test_migrate_says_what_it_did(tmp_path: Path) -> None:
    run = CliRunner()
    absent = run.invoke(main, ["migrate", "--dir", str(tmp_path)])
    assert (absent.exit_code, "made at the first start" in absent.output) == (0, True)
    path = tmp_path / "data" / "registry.db"
    SqliteStores.open(path).close()
    present = run.invoke(main, ["migrate", "--dir", str(tmp_path)])
    assert (present.exit_code, f"revision {SCHEMA_VERSION}, nothing to do" in present.output) == (0, True)
    shell(path, "UPDATE store_schema SET schema_version = 9, readable_from = 9")
    later = run.invoke(main, ["migrate", "--dir", str(tmp_path)])
    assert (later.exit_code, "use a later version" in later.output) == (1, True)
    path.unlink()
    path.touch(0o600)
    fresh = run.invoke(main, ["migrate", "--dir", str(tmp_path)])
    assert (fresh.exit_code, f"from revision 0 to {SCHEMA_VERSION}" in fresh.output) == (0, True)
