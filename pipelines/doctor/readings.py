"""Read the state of the stores, without waiting, migrating or writing."""

from __future__ import annotations

import fcntl
import json
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines import published
from pipelines.engine import open_duckdb, rows
from pipelines.errors import NotPublishedError
from pipelines.machine.failures import error_text, lock_holder
from pipelines.operations.database import step_table
from pipelines.schema import Schema, schema
from pipelines.settings import Settings
from pipelines.warehouse import ledger

WAREHOUSE_LOCK = "warehouse.lock"
NEWEST_ENTRY = (
    "SELECT max(moment) FROM (SELECT max(judged_at) AS moment FROM delivery "
    "UNION ALL SELECT max(decided_at) FROM decision "
    "UNION ALL SELECT max(effective_at) FROM configuration "
    "UNION ALL SELECT max(finished_at) FROM run)"
)
# Seconds that a database may take to answer; SQLite's are for a lock.
TIMEOUTS: dict[str, dict[str, Any]] = {
    "sqlite": {"timeout": 1},
    "postgresql": {"connect_timeout": 3},
    "mysql": {"connect_timeout": 3},
    "mariadb": {"connect_timeout": 3},
}


@dataclass(frozen=True)
class Ledger:
    """State of a ledger; times are UTC, `started_at` is that of the last finished run."""

    position: int
    configuration: str | None
    run_id: str | None
    started_at: datetime | None
    newest: datetime | None


@dataclass(frozen=True)
class Reading:
    """State of the warehouse or of its published copy; all fields are empty if it does not exist.

    `busy`: one of our writers is at work on it. `opened_by`: another program has the file open.
    `trouble`: why it cannot be opened. `generation`: the number of the copy.
    """

    schema: Schema | None = None
    ledger: Ledger | None = None
    busy: bool = False
    opened_by: str | None = None
    trouble: str | None = None
    generation: int | None = None

    @property
    def is_hidden(self) -> bool:
        """True if the store exists and its ledger could not be read."""
        return bool(self.busy or self.opened_by or self.trouble or self.schema) and not self.ledger


@dataclass(frozen=True)
class Operations:
    """State of the operational database.

    `where` names it without its password; `steps` are the newest ones, in their order.
    """

    where: str = ""
    schema: Schema | None = None
    steps: tuple[sa.Row[Any], ...] = ()
    trouble: str | None = None


@contextmanager
def lock(path: Path) -> Iterator[bool]:
    """Hold a lock file if it is free, and yield whether it was; never wait and never write.

    A writer that starts meanwhile waits for us, so that no run finds the warehouse open.
    """
    try:
        file = path.open(encoding="utf-8")
    except FileNotFoundError:  # no writer has ever started
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            free = False
        else:
            free = True
        yield free


def holder(path: Path) -> dict[str, Any]:
    """Return what a lock file says of its holder: pid, purpose, since.

    Empty if its last holder gave it back or is just writing. Raise OSError if it cannot be opened.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def read_warehouse(settings: Settings) -> Reading:
    """Read the state of the warehouse, unless one of our own writers is at work on it."""
    try:
        if not settings.warehouse.exists():
            return Reading()
        with lock(settings.data_dir / WAREHOUSE_LOCK) as free:
            if not free:
                return Reading(busy=True)
            other_program = _opened_by(settings.warehouse)
            reading = _read(open_duckdb(settings.warehouse, settings, read_only=True))
            return replace(reading, opened_by=reading.opened_by or other_program)
    except OSError as error:
        return Reading(trouble=f"{error.strerror}: {error.filename}")


def read_copy(settings: Settings) -> Reading:
    """Read the state of the generation that readers have."""
    try:
        engine = published.engine(settings)
        return _read(engine, is_copy=True)
    except NotPublishedError:
        return Reading()
    except OSError as error:
        return Reading(trouble=f"{error.strerror}: {error.filename}")


def _opened_by(path: Path) -> str | None:
    """Name the process that has a database file open, even to read: it keeps writers out."""
    if sys.platform != "linux":  # each system orders the fields in its own manner
        return None
    layout = "hhlli"  # type, whence, start, length, pid
    asked = struct.pack(layout, fcntl.F_WRLCK, 0, 0, 0, 0)
    with path.open("rb") as file:
        kind, _, _, _, pid = struct.unpack(layout, fcntl.fcntl(file, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK else _process(pid)


def _process(pid: int) -> str:
    return f"process {pid}" if pid > 0 else "a process that cannot be seen from here"


def _read(engine: sa.Engine, is_copy: bool = False) -> Reading:
    """Read a store through `engine` and dispose of it; an error becomes part of the reading."""
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            store_schema = schema(connection, "warehouse")
            if store_schema.revision is None or not store_schema.is_known:
                return Reading(store_schema)
            query = "SELECT number FROM generation"
            number = rows(connection, query)[0][0] if is_copy else None
            return Reading(store_schema, _ledger(connection), generation=number)
    except Exception as error:  # whatever the file holds, and whoever has it open
        holder = lock_holder(error)
        if holder is not None:
            return Reading(opened_by=holder)
        return Reading(trouble=error_text(error)[:300])
    finally:
        engine.dispose()


def _ledger(connection: sa.Connection) -> Ledger:
    """Read what the ledger says last: position, configuration, run and newest entry."""
    query = "SELECT hash FROM configuration ORDER BY effective_at DESC LIMIT 1"
    configuration = rows(connection, query)
    latest = ledger.latest_run(connection)
    return Ledger(
        position=ledger.last_position(connection),
        configuration=configuration[0].hash if configuration else None,
        run_id=latest.run_id if latest else None,
        started_at=latest.started_at if latest else None,
        newest=rows(connection, NEWEST_ENTRY)[0][0],
    )


def read_operations(settings: Settings, steps: int = 1000) -> Operations:
    """Read the operational database's schema revision and its newest `steps` steps.

    The password is removed from what it says.
    """
    try:
        url = sa.make_url(settings.operations_url)
    except Exception:  # the text of the error is the URL
        return Operations("CITYBRAIN_OPS_URL", trouble="it is no database URL")
    where = url.set(query={}).render_as_string(hide_password=True)
    try:
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            return Operations(where)  # a connection would make the file
        arguments = TIMEOUTS.get(url.get_backend_name(), {})
        engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.NullPool)
        try:
            with engine.connect() as connection:
                return _operations(connection, where, steps)
        finally:
            engine.dispose()
    except Exception as error:  # drivers have errors of their own
        text = error_text(error)[:300]
        for secret in (url.password, url.query.get("password")):
            text = text.replace(str(secret), "***") if secret else text
        return Operations(where, trouble=text or type(error).__name__)


def _operations(connection: sa.Connection, where: str, steps: int) -> Operations:
    """Read the newest `steps` steps, oldest first; none if the schema is not the newest."""
    store_schema = schema(connection, "operations")
    if store_schema.revision != store_schema.newest:
        return Operations(where, store_schema)
    newest = sa.select(step_table).order_by(step_table.c.number.desc()).limit(steps)
    return Operations(where, store_schema, tuple(reversed(connection.execute(newest).all())))
