"""Opens the warehouse for its one writer: lock, migrations, connection."""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from pipelines.engine import open_duckdb, sql
from pipelines.errors import NewerSchemaError, WarehouseBusyError
from pipelines.published import READERS_FILE
from pipelines.settings import SQL, Settings
from pipelines.storage import LOCKED

if TYPE_CHECKING:
    from alembic.config import Config

POLL_SECONDS = 0.2
HOLDER = re.compile(r"lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")
HELD = {  # what a lock file guards
    "warehouse.lock": "the warehouse",
    "operations.lock": "the operational database",
    "publish.lock": "the published folder",
    "readers.lock": "the published folder",
    "housekeeping.lock": "housekeeping",
}
STORES = {"warehouse": "warehouse", "operations": "operational database"}
OUR_REVISION = re.compile(r"[a-z]\d{4}")


@contextmanager
def open_warehouse(settings: Settings, purpose: str) -> Iterator[sa.Connection]:
    """The warehouse, migrated, in autocommit; waits its turn behind other writers.

    The lock is the operating system's, so that a killed process leaves none behind. Raises
    WarehouseBusyError naming the holder when it is not free within `settings.lock_seconds`; so
    long it waits, too, for other programs to close the file, which ask for no lock of ours.
    """
    with writer_lock(settings, purpose):
        file = settings.warehouse
        if not file.exists() or file.stat().st_size == 0:
            _create(settings)
        with opened(file, settings) as connection:
            migrate(connection, "warehouse")
            yield connection


def _create(settings: Settings) -> None:
    """Make the warehouse aside: of a file that a full disk or a kill cuts short nothing is left."""
    unfinished = settings.warehouse.with_name(f".{settings.warehouse.name}.unfinished")
    try:
        remove_database(unfinished)
        with opened(unfinished, settings) as connection:
            migrate(connection, "warehouse")
            run(connection, "CHECKPOINT")
        unfinished.replace(settings.warehouse)
    finally:
        remove_database(unfinished)


def remove_database(file: Path) -> None:
    """Delete a DuckDB file that nobody has open, its log and what it spilled, as far as there."""
    for leftover in file.parent.glob(f"{file.name}*"):
        leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)


@contextmanager
def opened(file: Path, settings: Settings) -> Iterator[sa.Connection]:
    """A DuckDB file in autocommit, closed again whatever happened to it."""
    engine = open_duckdb(file, settings)
    try:
        with _connected(engine, file, settings) as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        engine.dispose()


def _connected(engine: sa.Engine, file: Path, settings: Settings) -> sa.Connection:
    """A connection, as soon as no other program has the file open."""
    deadline = time.monotonic() + settings.lock_seconds
    while True:
        try:
            return engine.connect()
        except sa.exc.OperationalError as error:
            said = str(error.orig)
            if not any(words in said for words in LOCKED):
                raise
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            held = HOLDER.search(said)
            holder = f"process {held['pid']} ({held['program']})" if held else "another program"
            raise WarehouseBusyError(
                f"{holder} has the warehouse's file open, {file}: close it there, and let it read "
                f"the published copy, {settings.published / READERS_FILE}"
            ) from None


@contextmanager
def writer_lock(settings: Settings, purpose: str, name: str = "warehouse.lock") -> Iterator[None]:
    """Hold a lock file of the data folder, and say in it who does; WarehouseBusyError if busy."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / name).open("a+b", buffering=0) as lock:
        _wait_for(lock, settings.lock_seconds, name)
        _sign(lock, {"pid": os.getpid(), "purpose": purpose, "since": _now()})
        try:
            yield
        finally:
            _sign(lock, {})


def _sign(lock: BinaryIO, holder: Mapping[str, object]) -> None:
    """Say who holds the lock; a full disk takes only the name from it."""
    with suppress(OSError):
        lock.truncate(0)
        lock.write(json.dumps(holder).encode())


def _holder(lock: BinaryIO) -> Mapping[str, object]:
    lock.seek(0)
    with suppress(ValueError):
        return dict(json.loads(lock.read()))
    return {}


def _wait_for(lock: BinaryIO, seconds: float, name: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            holder = _holder(lock)
            raise WarehouseBusyError(
                f"{HELD.get(name, name)} is in use by process {holder.get('pid', '?')} "
                f"({holder.get('purpose', '?')}) since {holder.get('since', '?')} UTC; "
                "wait for it, or raise CITYBRAIN_LOCK_SECONDS"
            ) from None
        return


def _now() -> str:
    return datetime.now(UTC).replace(tzinfo=None).isoformat(" ", "seconds")


@contextmanager
def transaction(connection: sa.Connection) -> Iterator[None]:
    """One DuckDB transaction: all of the block, or nothing of it."""
    run(connection, "BEGIN TRANSACTION")
    try:
        yield
    except BaseException:
        with suppress(Exception):  # a full disk has ended it already
            run(connection, "ROLLBACK")
        raise
    run(connection, "COMMIT")


class Schema(NamedTuple):
    """How far a store is: its revision (None: no tables yet), ours, and whether we know its own."""

    there: str | None
    newest: str
    known: bool

    def refusal(self) -> tuple[str, str]:
        """What a revision that we do not know says of a store, and the mend."""
        if self.there and not OUR_REVISION.fullmatch(self.there):
            return (
                f"has another program's tables (revision {self.there})",
                "give each program a database of its own",
            )
        return f"was made by a newer version (revision {self.there})", "install that version"


def schema(connection: sa.Connection, store: str) -> Schema:
    """How far a store's schema is; it changes nothing."""
    known = revisions(store)
    there = _revisions(connection)
    return Schema(", ".join(there) or None, known[-1], set(there) <= set(known))


def _revisions(connection: sa.Connection) -> Sequence[str]:
    from alembic.migration import MigrationContext

    if connection.dialect.name != "duckdb":
        return MigrationContext.configure(connection).get_current_heads()
    # Alembic would ask with a bound value, for which DuckDB loads pandas
    if not rows(connection, "FROM duckdb_tables() WHERE table_name = 'alembic_version'"):
        return ()
    return [row.version_num for row in rows(connection, "FROM alembic_version")]


def migrate(connection: sa.Connection, store: str) -> None:
    """Bring a store (`warehouse` or `operations`) to its newest schema.

    Raises NewerSchemaError when the store has one that this version does not know.
    """
    found = schema(connection, store)
    if found.there == found.newest:
        return
    if not found.known:
        said, mend = found.refusal()
        raise NewerSchemaError(f"this {STORES[store]} {said}; {mend}")
    upgrade(connection, store, found.newest)


def upgrade(connection: sa.Connection, store: str, revision: str) -> None:
    """Bring a store to a later revision: all the way or, when it is killed or fails, not at all."""
    from alembic import command
    from duckdb_sqlalchemy import alembic_impl  # noqa: F401 - tells Alembic of DuckDB

    config = _migrations(store)
    config.attributes["connection"] = connection
    if not connection.in_transaction():  # so that Alembic neither begins one nor commits it
        connection.begin()
    if connection.dialect.name == "duckdb":
        with transaction(connection):
            command.upgrade(config, revision)
        return
    if connection.dialect.name == "sqlite":  # its driver begins none for CREATE TABLE
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    command.upgrade(config, revision)


def revisions(store: str) -> list[str]:
    """Every revision of a store's schema, the first first."""
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_migrations(store))
    return [script.revision for script in scripts.walk_revisions()][::-1]


def _migrations(store: str) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(SQL / "migrations"))
    config.set_main_option("version_locations", str(SQL / "migrations" / store))
    config.set_main_option("path_separator", "newline")
    return config


def run(connection: sa.Connection, statements: str) -> None:
    """Execute SQL text as it is, several statements included."""
    duckdb_of(connection).execute(statements)


def run_file(connection: sa.Connection, name: str, **parts: str) -> None:
    """Execute a .sql file of warehouse/."""
    run(connection, sql(name, **parts))


def rows(connection: sa.Connection, query: str, **values: Any) -> list[Any]:
    """All rows (named tuples) of a query with bound `:values`."""
    return list(connection.execute(sa.text(query), values))


def keep(connection: sa.Connection, name: str, table: pa.Table) -> None:
    """A temporary table with the rows of `table`."""
    duckdb = duckdb_of(connection)
    duckdb.register(f"{name}_given", table)
    duckdb.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM {name}_given")
    duckdb.unregister(f"{name}_given")


def duckdb_of(connection: sa.Connection) -> Any:
    """DuckDB's own connection below SQLAlchemy's."""
    return connection.connection.driver_connection


def file_literal(path: Path) -> str:
    """A path inside a SQL text literal."""
    return str(path).replace("'", "''")
