"""Open the warehouse for its one writer: lock, migrations, connection."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa

from pipelines.engine import is_migrated, open_duckdb, run
from pipelines.errors import WarehouseBusyError
from pipelines.machine.failures import lock_holder
from pipelines.machine.locks import writer_lock
from pipelines.published import READERS_FILE
from pipelines.schema import migrate
from pipelines.settings import Settings
from pipelines.warehouse.pace import ensure_pace_columns

POLL_SECONDS = 0.2


@contextmanager
def open_warehouse(settings: Settings, purpose: str) -> Iterator[sa.Connection]:
    """Yield the warehouse, migrated, in autocommit, once no other process writes it.

    The lock is the operating system's, so that a killed process leaves none behind. Raise
    WarehouseBusyError, which names the holder, if the lock is not free within
    `settings.lock_seconds`. Other programs ask for no lock of ours: this waits as long for them to
    close the file.
    """
    with writer_lock(settings, purpose):
        file = settings.warehouse
        if not file.exists() or file.stat().st_size == 0:
            _create(settings)
        with opened(file, settings) as connection:
            if not is_migrated(connection, "warehouse"):
                migrate(connection, "warehouse")
            ensure_pace_columns(connection)
            yield connection


def _create(settings: Settings) -> None:
    """Create the warehouse under another name: what a full disk or a kill cuts short is no file."""
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
    """Delete a DuckDB file that nobody has open, its log and its spilled data, where present."""
    for leftover in file.parent.glob(f"{file.name}*"):
        leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)


@contextmanager
def opened(file: Path, settings: Settings) -> Iterator[sa.Connection]:
    """Yield a DuckDB file in autocommit, once no other program has it open; close it afterwards."""
    engine = open_duckdb(file, settings)
    deadline = time.monotonic() + settings.lock_seconds
    try:
        while True:
            try:
                connection = engine.connect()
                break
            except sa.exc.OperationalError as error:
                holder = lock_holder(error)
                if holder is None:
                    raise
                if time.monotonic() >= deadline:
                    raise WarehouseBusyError(
                        f"{holder} has the warehouse's file open, {file}: close it there, and let "
                        f"it read the published copy, {settings.published / READERS_FILE}"
                    ) from None
                time.sleep(POLL_SECONDS)
        with connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")
    finally:
        engine.dispose()
