"""Opens the warehouse for its one writer: lock, migrations, connection."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pipelines.engine import open_duckdb, run
from pipelines.errors import WarehouseBusyError
from pipelines.machine.failures import lock_holder
from pipelines.machine.locks import writer_lock
from pipelines.published import READERS_FILE
from pipelines.schema import migrate
from pipelines.settings import Settings

POLL_SECONDS = 0.2


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
            holder = lock_holder(error)
            if holder is None:
                raise
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            raise WarehouseBusyError(
                f"{holder} has the warehouse's file open, {file}: close it there, and let it read "
                f"the published copy, {settings.published / READERS_FILE}"
            ) from None
