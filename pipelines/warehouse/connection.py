"""Opens the warehouse for its one writer: lock, migrations, connection."""

from __future__ import annotations

import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import sqlalchemy as sa

from pipelines.engine import open_duckdb, sql
from pipelines.errors import NewerSchemaError, WarehouseBusyError
from pipelines.settings import SQL, Settings

if TYPE_CHECKING:
    from alembic.config import Config

POLL_SECONDS = 0.2
STORES = {"warehouse": "warehouse", "operations": "operational database"}
OUR_REVISION = re.compile(r"[a-z]\d{4}")


@contextmanager
def open_warehouse(settings: Settings, purpose: str) -> Iterator[sa.Connection]:
    """The warehouse, migrated, in autocommit; waits its turn behind other writers.

    The lock is the operating system's, so that a killed process leaves none behind. Raises
    WarehouseBusyError naming the holder when it is not free within `settings.lock_seconds`.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with writer_lock(settings, purpose):
        engine = open_duckdb(settings.warehouse, settings)
        try:
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                migrate(connection, "warehouse")
                yield connection
        finally:
            engine.dispose()


@contextmanager
def writer_lock(settings: Settings, purpose: str, name: str = "warehouse.lock") -> Iterator[None]:
    """Hold a lock file of the data folder."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / name).open("a+", encoding="utf-8") as lock:
        _wait_for(lock, settings.lock_seconds)
        lock.truncate(0)
        lock.write(json.dumps({"pid": os.getpid(), "purpose": purpose, "since": _now()}))
        lock.flush()
        yield
        lock.truncate(0)


def _wait_for(lock: Any, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            lock.seek(0)
            holder = json.loads(lock.read() or "{}")
            raise WarehouseBusyError(
                f"the warehouse is in use by process {holder.get('pid', '?')} "
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
    from alembic.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from duckdb_sqlalchemy import alembic_impl  # noqa: F401 - tells Alembic of DuckDB

    scripts = ScriptDirectory.from_config(_migrations(store))
    known = [script.revision for script in scripts.walk_revisions()]  # the newest first
    there = MigrationContext.configure(connection).get_current_heads()
    return Schema(", ".join(there) or None, known[0], set(there) <= set(known))


def migrate(connection: sa.Connection, store: str) -> None:
    """Bring a store (`warehouse` or `operations`) to its newest schema.

    Raises NewerSchemaError when the store has one that this version does not know.
    """
    from alembic import command

    found = schema(connection, store)
    if found.there == found.newest:
        return
    if not found.known:
        said, mend = found.refusal()
        raise NewerSchemaError(f"this {STORES[store]} {said}; {mend}")
    config = _migrations(store)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


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
