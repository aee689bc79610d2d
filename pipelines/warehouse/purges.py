"""Tell which archived bytes the ledger names, which nothing needs, and record deleted ones."""

from __future__ import annotations

import getpass
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines import clock
from pipelines.engine import keep, open_duckdb, rows, run, sql, transaction
from pipelines.machine.locks import writer_lock
from pipelines.settings import Settings
from pipelines.warehouse.connection import open_warehouse

Named = Mapping[str, Sequence[str]]  # hash → the deliveries whose bytes have it


@contextmanager
def open_ledger(settings: Settings, purpose: str, read_only: bool) -> Iterator[sa.Connection]:
    """Yield the warehouse, which must exist; read-only it is not even migrated."""
    if not read_only:
        with open_warehouse(settings, purpose) as connection:
            yield connection
        return
    with writer_lock(settings, purpose):
        engine = open_duckdb(settings.warehouse, settings, read_only=True)
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()


def named(connection: sa.Connection) -> set[str]:
    """Return every hash that the ledger names."""
    return {row[0] for row in rows(connection, "SELECT DISTINCT sha256 FROM delivery")}


def begun(connection: sa.Connection) -> datetime | None:
    """Return when the ledger's first entry was made (UTC); None while it is empty."""
    first: datetime | None = rows(connection, "SELECT min(judged_at) FROM delivery")[0][0]
    return first


def unneeded(connection: sa.Connection, before: datetime) -> Named:
    """Return bytes received before an instant (UTC) that no rebuild needs any more."""
    return _named(connection, "archive/unneeded.sql", before)


def received_before(connection: sa.Connection, before: datetime) -> Named:
    """Return bytes that were last received before an instant (UTC), needed or not."""
    return _named(connection, "archive/received_before.sql", before)


def _named(connection: sa.Connection, file: str, before: datetime) -> Named:
    names: dict[str, list[str]] = defaultdict(list)
    for sha256, delivery_id in rows(connection, sql(file), before=before):
        names[sha256].append(delivery_id)
    return names


def record(connection: sa.Connection, purged: Named, reason: str) -> None:
    """Record that bytes are deleted; do it before, so that no deletion goes unrecorded."""
    entries = [(name, sha256) for sha256, deliveries in purged.items() for name in deliveries]
    if not entries:
        return
    count = len(entries)
    at = clock.now()
    given = pa.table(
        {
            "purged_at": pa.array([at] * count, pa.timestamp("us")),
            "delivery_id": [name for name, _ in entries],
            "sha256": [sha256 for _, sha256 in entries],
            "reason": [reason] * count,
            "purged_by": [getpass.getuser()] * count,
        }
    )
    with transaction(connection):
        keep(connection, "_purged", given)
        run(connection, "INSERT INTO purge BY NAME SELECT * FROM _purged")


def purged(connection: sa.Connection, source: str) -> list[sa.Row[Any]]:
    """Return a source's deliveries whose bytes were deleted; they may have come again since."""
    return rows(connection, sql("archive/purged.sql"), source=source)


def provided(connection: sa.Connection, source: str) -> dict[str, int]:
    """Return the deliveries that provide a source's partitions, standby included: id → rows."""
    query = (
        "SELECT delivery_id, CAST(sum(rows) AS BIGINT) FROM delivery_partition "
        "WHERE known_until IS NULL AND source = $source GROUP BY delivery_id"
    )
    return dict(map(tuple, rows(connection, query, source=source)))
