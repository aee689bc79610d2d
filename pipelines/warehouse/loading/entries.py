"""Write judgements into the ledger."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import sqlalchemy as sa
from pydantic import TypeAdapter

from pipelines import clock
from pipelines.deliveries.delivery import Accounting, Delivery, Judgement, Origin, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, run, run_file, transaction
from pipelines.warehouse.ledger import next_position

REASONS = TypeAdapter(tuple[Reason, ...])
JUDGED = pa.schema(
    [
        ("position", pa.int64()),
        ("delivery_id", pa.string()),
        ("run_id", pa.string()),
        ("cause", pa.string()),
        ("source", pa.string()),
        ("department", pa.string()),
        ("business_date", pa.date32()),
        ("part", pa.string()),
        ("file_name", pa.string()),
        ("format", pa.string()),
        ("size", pa.int64()),
        ("sha256", pa.string()),
        ("corrects", pa.list_(pa.struct([(name, pa.string()) for name in Origin.model_fields]))),
        ("contract_hash", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("judged_at", pa.timestamp("us")),
        ("verdict", pa.string()),
        *((name, pa.int64()) for name in Accounting.model_fields),
        ("reasons", pa.string()),
        ("warnings", pa.string()),
        ("stage_seconds", pa.float64()),
    ]
)


def enter_judgements(
    connection: sa.Connection,
    judgements: Sequence[Judgement],
    position: int,
    run_id: str,
    causes: Sequence[str],
) -> None:
    """Write one ledger row a judgement, from `position` on, and what staging quarantined.

    Reads the tables of partitions.sql, of which each judgement's predecessors follow.
    """
    _keep_judged(connection, judgements, position, run_id, causes)
    run_file(connection, "loading/entries.sql")


def record_unchanged(
    connection: sa.Connection, deliveries: Sequence[Delivery], run_id: str
) -> None:
    """Note receipts of bytes that were the latest input of their slot already."""
    if not deliveries:
        return
    judgements = [
        Judgement(delivery=delivery, verdict=Verdict.UNCHANGED, accounting=None)
        for delivery in deliveries
    ]
    causes = ["landing"] * len(judgements)
    with transaction(connection):
        _keep_judged(connection, judgements, next_position(connection), run_id, causes)
        run(connection, "INSERT INTO delivery BY NAME SELECT *, [] AS superseded FROM _judged")


def _keep_judged(
    connection: sa.Connection,
    judgements: Sequence[Judgement],
    position: int,
    run_id: str,
    causes: Sequence[str],
) -> None:
    """Keep judgements as the table `_judged`, with the columns that the ledger has."""
    judged_at = clock.now()
    entries = [
        {
            **judgement.delivery.model_dump(include=set(JUDGED.names)),
            **(judgement.accounting.model_dump() if judgement.accounting else {}),
            "position": number,
            "run_id": run_id,
            "cause": cause,
            "file_name": judgement.delivery.path.name,
            # NULL says that the delivery is a whole file
            "corrects": [origin.model_dump() for origin in judgement.delivery.corrects] or None,
            "judged_at": judged_at,
            "verdict": judgement.verdict.value,
            "reasons": REASONS.dump_json(judgement.reasons, exclude_none=True).decode(),
            "warnings": REASONS.dump_json(judgement.warnings, exclude_none=True).decode(),
            "stage_seconds": judgement.seconds,
        }
        for number, (judgement, cause) in enumerate(zip(judgements, causes, strict=True), position)
    ]
    keep(connection, "_judged", pa.Table.from_pylist(entries, JUDGED))
