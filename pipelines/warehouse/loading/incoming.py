"""List the partitions that a wave brings, and tell which of them come too late."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from pipelines.deliveries.delivery import Judgement, StagedChunk
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, literal, rows, run, run_file
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.stale_returns import STALE
from pipelines.warehouse.tables import source_tables

GIVEN = pa.schema(
    [
        ("position", pa.int64()),
        ("delivery_id", pa.string()),
        ("source", pa.string()),
        ("department", pa.string()),
        ("business_date", pa.date32()),
        ("part", pa.string()),
        ("rows", pa.int64()),
        ("received_at", pa.timestamp("us")),
    ]
)
GIVEN_RETURN = pa.schema(
    [
        ("position", pa.int64()),
        ("received_at", pa.timestamp("us")),
        ("laid_upon", pa.list_(pa.string())),
    ]
)


def list_incoming(
    load: Load, chunk: StagedChunk, wave: Sequence[Judgement], position: int
) -> list[Judgement]:
    """List what the wave brings; return it with a warning on each delivery that comes too late.

    `position` is the ledger position of the first judgement. Writes `_given`, `_given_return`, the
    tables of incoming.sql, and the views `_accepted` and `_quarantined` of the chunk's rows.
    """
    connection = load.connection
    for view, path in (("_accepted", chunk.accepted), ("_quarantined", chunk.quarantined)):
        # DuckDB binds no value inside a view
        parquet = f"read_parquet({literal(str(path))})"
        run(connection, f"CREATE OR REPLACE TEMP VIEW {view} AS FROM {parquet}")
    given = [
        {
            "position": number,
            "delivery_id": judgement.delivery.delivery_id,
            "source": judgement.delivery.source,
            "department": partition.department,
            "business_date": partition.business_date,
            "part": judgement.delivery.part,
            "rows": partition.rows,
            "received_at": judgement.delivery.received_at,
        }
        for number, judgement in enumerate(wave, position)
        for partition in judgement.partitions
    ]
    # A return that a person let replace whatever stands is taken like a whole file.
    returns = [
        {
            "position": number,
            "received_at": judgement.delivery.received_at,
            "laid_upon": [origin.delivery_id for origin in judgement.delivery.corrects],
        }
        for number, judgement in enumerate(wave, position)
        if judgement.delivery.corrects
        and judgement.verdict.loads
        and not any(warning.code in STALE for warning in judgement.warnings)
    ]
    keep(connection, "_given", pa.Table.from_pylist(given, GIVEN))
    keep(connection, "_given_return", pa.Table.from_pylist(returns, GIVEN_RETURN))
    run_file(connection, "loading/incoming.sql", {"since": load.since})
    late = rows(
        connection,
        "SELECT delivery_id, bool_or(NOT is_overtaken) AS is_late, "
        "count(*) FILTER (is_overtaken) AS overtaken, "
        "list_slice(list(department || ' ' || business_date ORDER BY business_date, department) "
        "FILTER (is_overtaken), 1, 3) AS first_overtaken "
        "FROM _incoming WHERE is_late GROUP BY delivery_id",
    )
    if not late:
        return list(wave)
    warnings: dict[str, list[Reason]] = {}
    for row in late:
        warnings[row.delivery_id] = [Reason(code="late_receipt")] if row.is_late else []
        if row.overtaken:
            places = ", ".join(row.first_overtaken)
            reason = Reason(code="overtaken_return", value=places, expected=str(row.overtaken))
            warnings[row.delivery_id].append(reason)
    return [
        judgement.model_copy(
            update={
                "warnings": (*warnings.get(judgement.delivery.delivery_id, ()), *judgement.warnings)
            }
        )
        for judgement in wave
    ]


def list_withdrawal(load: Load, delivery_id: str, position: int) -> None:
    """List the withdrawal of a delivery: like a return that is laid upon it and brings nothing."""
    connection = load.connection
    withdrawal = {"position": position, "received_at": None, "laid_upon": [delivery_id]}
    keep(connection, "_given", GIVEN.empty_table())
    keep(connection, "_given_return", pa.Table.from_pylist([withdrawal], GIVEN_RETURN))
    run_file(connection, "loading/incoming.sql", {"since": load.since})
    table = source_tables(load.source)["table"]
    run(
        connection,
        f"CREATE OR REPLACE TEMP VIEW _accepted AS FROM {table} WHERE false; "
        "CREATE OR REPLACE TEMP VIEW _quarantined AS "
        "SELECT * EXCLUDE (position, source) FROM quarantine WHERE false",
    )
