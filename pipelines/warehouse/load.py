"""Loads staged chunks: a wave of deliveries is one transaction with its ledger rows and metrics.

Two deliveries for the same department and day never share a wave, so that each one's knowledge
is recorded, in the order in which they were received.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime

import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.delivery import Accounting, Delivery, Judgement, StagedChunk, Verdict
from pipelines.contracts.models import Metric, Source
from pipelines.contracts.reasons import Reason
from pipelines.engine import quoted
from pipelines.warehouse.connection import (
    file_literal,
    keep,
    rows,
    run,
    run_file,
    transaction,
)
from pipelines.warehouse.ledger import (
    forget_partitions,
    last_position,
    next_position,
    recorded,
    take_away,
)
from pipelines.warehouse.metrics import record_metrics
from pipelines.warehouse.tables import drop_table, ensure_table

Place = tuple[str, date]


def load_chunk(
    connection: sa.Connection,
    chunk: StagedChunk,
    source: Source,
    metrics: Sequence[Metric],
    run_id: str,
    cause: str = "landing",
) -> list[Judgement]:
    """Put a chunk's judgements into the ledger and its accepted rows into the source table.

    Returns the judgements as recorded: what only the warehouse can see (a day with and without
    parts, a key that another part has) may have changed them. Deliveries that another run has
    recorded meanwhile are left out. Raises IncompatibleTableError before anything is written.
    """
    ensure_table(connection, source)
    judgements = list(chunk.judgements)
    if cause == "landing":
        known = recorded(connection, [judgement.delivery for judgement in judgements])
        judgements = [one for one in judgements if one.delivery.delivery_id not in known]
    judgements.sort(key=lambda one: (one.delivery.received_at, str(one.delivery)))
    final: list[Judgement] = []
    for wave in _waves(judgements):
        with transaction(connection):
            final += _load_wave(connection, wave, chunk, source, metrics, run_id, cause)
    return final


def reload(
    connection: sa.Connection,
    chunks: Sequence[StagedChunk],
    source: Source,
    metrics: Sequence[Metric],
    run_id: str,
    first_positions: Mapping[str, int],
    withdrawals: Iterable[tuple[int, str]] = (),
) -> list[Judgement]:
    """Replace the source's table by what `chunks` (its whole archive, judged anew) say.

    One transaction: the old table stays until the new one is whole. Knowledge is appended: only
    values of metric_daily that came out otherwise get a successor. What happened is replayed as it
    happened: deliveries by the position of their first judgement, `withdrawals` (position,
    delivery) between them.
    """
    final: list[Judgement] = []
    with transaction(connection):
        position = next_position(connection)
        drop_table(connection, source)
        ensure_table(connection, source)
        forget_partitions(connection, source.name, position)
        for chunk, judgements, withdrawn in _history(chunks, first_positions, withdrawals):
            for wave in _waves(judgements):
                final += _load_wave(connection, wave, chunk, source, (), run_id, "rebuild")
            if withdrawn is not None:
                take_away(connection, withdrawn, source, last_position(connection))
        position = max(position, last_position(connection))
        run_file(connection, "load/touched_all.sql", source=source.name, position=str(position))
        record_metrics(connection, source, metrics)
    return final


def _history(
    chunks: Sequence[StagedChunk],
    first_positions: Mapping[str, int],
    withdrawals: Iterable[tuple[int, str]],
) -> Iterator[tuple[StagedChunk, list[Judgement], str | None]]:
    """What to load, and what then to withdraw, step by step: (chunk, judgements, delivery id)."""
    waiting = sorted(withdrawals)
    for chunk in chunks:
        group: list[Judgement] = []
        for judgement in chunk.judgements:
            while waiting and waiting[0][0] < first_positions[judgement.delivery.delivery_id]:
                yield chunk, group, waiting.pop(0)[1]
                group = []
            group.append(judgement)
        yield chunk, group, None
    for _, delivery_id in waiting:
        yield chunks[-1], [], delivery_id


def recompute(connection: sa.Connection, source: Source, metrics: Sequence[Metric]) -> None:
    """Compute a source's metrics on everything loaded, after their definitions changed."""
    with transaction(connection):
        ensure_table(connection, source)
        position = str(next_position(connection))
        run_file(connection, "load/touched_all.sql", source=source.name, position=position)
        record_metrics(connection, source, metrics)


def record_unchanged(
    connection: sa.Connection, deliveries: Sequence[Delivery], run_id: str
) -> None:
    """Note receipts of bytes that their partition's latest input already had."""
    if not deliveries:
        return
    judgements = [
        Judgement(delivery=delivery, verdict=Verdict.UNCHANGED, accounting=None)
        for delivery in deliveries
    ]
    with transaction(connection):
        run(connection, "CREATE OR REPLACE TEMP TABLE replaced (position BIGINT, "
                        "delivery_id VARCHAR)")  # fmt: skip
        _record(connection, judgements, next_position(connection), run_id, "landing")


def _waves(judgements: Iterable[Judgement]) -> Iterator[list[Judgement]]:
    """Judgements in their order, cut where a department and day would come twice."""
    wave: list[Judgement] = []
    taken: set[Place] = set()
    for judgement in judgements:
        places: set[Place] = {
            (partition.department, partition.business_date) for partition in judgement.partitions
        }
        if places & taken:
            yield wave
            wave, taken = [], set()
        wave.append(judgement)
        taken |= places
    if wave:
        yield wave


def _load_wave(
    connection: sa.Connection,
    wave: list[Judgement],
    chunk: StagedChunk,
    source: Source,
    metrics: Sequence[Metric],
    run_id: str,
    cause: str,
) -> list[Judgement]:
    position = next_position(connection)
    wave = _refuse_mixed_parts(connection, wave, position)
    _find_clashes(connection, chunk, source)
    wave = _account_clashes(connection, wave)
    _keep_partitions(connection, wave, position)
    wave = _warn_late(connection, wave)
    run_file(connection, "load/replaced.sql")
    accepted = file_literal(chunk.accepted)
    run_file(connection, "load/rows.sql", table=quoted(source.name), accepted=accepted)
    run_file(connection, "load/partitions.sql")
    _record(connection, wave, position, run_id, cause)
    run_file(
        connection, "load/quarantine.sql", quarantined=file_literal(chunk.quarantined),
        key=", ".join(source.key),
    )  # fmt: skip
    run_file(connection, "load/touched.sql")
    record_metrics(connection, source, metrics)
    return wave


def _keep_partitions(connection: sa.Connection, wave: Sequence[Judgement], position: int) -> None:
    """The table `incoming`: every partition that the wave brings, and what stands against it."""
    brought = [
        (position + number, judgement.delivery, partition)
        for number, judgement in enumerate(wave)
        for partition in judgement.partitions
    ]
    given = pa.table(
        {
            "position": pa.array([number for number, _, _ in brought], pa.int64()),
            "delivery_id": pa.array([one.delivery_id for _, one, _ in brought], pa.string()),
            "source": pa.array([one.source for _, one, _ in brought], pa.string()),
            "department": pa.array([part.department for _, _, part in brought], pa.string()),
            "business_date": pa.array([part.business_date for _, _, part in brought], pa.date32()),
            "part": pa.array([one.part for _, one, _ in brought], pa.string()),
            "rows": pa.array([part.rows for _, _, part in brought], pa.int64()),
            "received_at": pa.array([one.received_at for _, one, _ in brought], pa.timestamp("us")),
        }
    )
    keep(connection, "given", given)
    run_file(connection, "load/incoming.sql")


def _refuse_mixed_parts(
    connection: sa.Connection, wave: list[Judgement], position: int
) -> list[Judgement]:
    """Reject deliveries whose day is there with parts, when they have none, and the reverse."""
    _keep_partitions(connection, wave, position)
    mixed = {row[0] for row in rows(connection, "SELECT delivery_id FROM incoming WHERE is_mixed")}
    if not mixed:
        return wave
    refused = [
        _rejected(judgement, Reason(code="parts_mixed"))
        if judgement.delivery.delivery_id in mixed
        else judgement
        for judgement in wave
    ]
    _keep_partitions(connection, refused, position)
    return refused


def _rejected(judgement: Judgement, reason: Reason) -> Judgement:
    assert judgement.accounting is not None
    accounting = judgement.accounting.model_copy(
        update={"accepted": 0, "withheld": judgement.accounting.accepted}
    )
    return judgement.model_copy(
        update={
            "verdict": Verdict.REJECTED,
            "accounting": accounting,
            "partitions": (),
            "reasons": (reason, *judgement.reasons),
        }
    )


def _warn_late(connection: sa.Connection, wave: list[Judgement]) -> list[Judgement]:
    """Tell of deliveries that nothing came of, since what was received later was there first."""
    late = {row[0] for row in rows(connection, "SELECT delivery_id FROM incoming WHERE is_late")}
    warning = Reason(code="late_receipt")
    return [
        judgement.model_copy(update={"warnings": (warning, *judgement.warnings)})
        if judgement.delivery.delivery_id in late
        else judgement
        for judgement in wave
    ]


def _find_clashes(connection: sa.Connection, chunk: StagedChunk, source: Source) -> None:
    """The table `clash`: incoming rows whose key another part of the day already has."""
    siblings = rows(
        connection,
        "SELECT 1 FROM incoming INNER JOIN delivery_partition AS current "
        "USING (source, department, business_date) "
        "WHERE current.known_until IS NULL AND current.part <> incoming.part LIMIT 1",
    )
    if not siblings or not source.key:
        run(
            connection,
            "CREATE OR REPLACE TEMP TABLE clash (delivery_id VARCHAR, sheet VARCHAR, "
            "row_number BIGINT, department VARCHAR, business_date DATE, is_copy BOOLEAN, "
            "row_text VARCHAR)",
        )
        return
    run_file(
        connection,
        "load/clashes.sql",
        accepted=file_literal(chunk.accepted),
        table=quoted(source.name),
        same_key=" AND ".join(
            f"fresh.{quoted(name)} IS NOT DISTINCT FROM there.{quoted(name)}" for name in source.key
        ),
        fresh_content=_content("fresh", source),
        there_content=_content("there", source),
    )


def _content(alias: str, source: Source) -> str:
    return ", ".join(f"{quoted(name)} := {alias}.{quoted(name)}" for name in source.column_names)


def _account_clashes(connection: sa.Connection, wave: list[Judgement]) -> list[Judgement]:
    """Move clashing rows from accepted to duplicates (same content) or quarantined."""
    clashes = {
        (delivery_id, department, day): (copies, conflicts)
        for delivery_id, department, day, copies, conflicts in rows(
            connection,
            "SELECT delivery_id, department, business_date, count(*) FILTER (is_copy), "
            "count(*) FILTER (NOT is_copy) FROM clash GROUP BY ALL",
        )
    }
    return [_without_clashes(judgement, clashes) for judgement in wave]


def _without_clashes(
    judgement: Judgement, clashes: Mapping[tuple[str, *Place], tuple[int, int]]
) -> Judgement:
    """`clashes`: (copies, conflicts) by delivery, department and day."""
    counts = judgement.accounting
    lost = [
        clashes.get((judgement.delivery.delivery_id, one.department, one.business_date), (0, 0))
        for one in judgement.partitions
    ]
    copies, conflicts = sum(copies for copies, _ in lost), sum(others for _, others in lost)
    if counts is None or not copies + conflicts:
        return judgement
    accounting = Accounting(
        rows_read=counts.rows_read,
        accepted=counts.accepted - copies - conflicts,
        quarantined=counts.quarantined + conflicts,
        duplicates=counts.duplicates + copies,
        ignored=counts.ignored,
        withheld=counts.withheld,
    )
    accounting.verify(judgement.delivery)
    reasons = judgement.reasons
    if conflicts:
        reasons = (*reasons, Reason(code="part_conflict", value=str(conflicts)))
    partitions = tuple(
        partition.model_copy(update={"rows": partition.rows - sum(gone)})
        for partition, gone in zip(judgement.partitions, lost, strict=True)
    )
    with_quarantine = Verdict.ACCEPTED_WITH_QUARANTINE
    return judgement.model_copy(
        update={
            "verdict": with_quarantine if accounting.quarantined else judgement.verdict,
            "accounting": accounting,
            "reasons": reasons,
            "partitions": partitions,
        }
    )


def _record(
    connection: sa.Connection, wave: Sequence[Judgement], position: int, run_id: str, cause: str
) -> None:
    """Write the ledger rows, one a judgement; the table `judged` keeps them for what follows."""
    now = datetime.now(UTC).replace(tzinfo=None)
    deliveries = [judgement.delivery for judgement in wave]
    counts = [judgement.accounting for judgement in wave]
    count = pa.int64()
    columns = {
        "position": pa.array(range(position, position + len(wave)), count),
        "delivery_id": [one.delivery_id for one in deliveries],
        "run_id": [run_id] * len(wave),
        "cause": [cause] * len(wave),
        "source": [one.source for one in deliveries],
        "department": pa.array([one.department for one in deliveries], pa.string()),
        "business_date": pa.array([one.business_date for one in deliveries], pa.date32()),
        "part": [one.part for one in deliveries],
        "file_name": [one.path.name for one in deliveries],
        "format": [one.format for one in deliveries],
        "size": pa.array([one.size for one in deliveries], count),
        "sha256": [one.sha256 for one in deliveries],
        "contract_hash": [one.contract_hash for one in deliveries],
        "received_at": pa.array([one.received_at for one in deliveries], pa.timestamp("us")),
        "judged_at": pa.array([now] * len(wave), pa.timestamp("us")),
        "verdict": [judgement.verdict.value for judgement in wave],
        **{
            name: pa.array([None if one is None else getattr(one, name) for one in counts], count)
            for name in Accounting.model_fields
        },
        "reasons": [_json(judgement.reasons) for judgement in wave],
        "warnings": [_json(judgement.warnings) for judgement in wave],
        "stage_seconds": pa.array([judgement.seconds for judgement in wave], pa.float64()),
    }
    keep(connection, "judged", pa.table(columns))
    run_file(connection, "load/judgements.sql")


def _json(reasons: Sequence[Reason]) -> str:
    return "[" + ",".join(reason.model_dump_json(exclude_none=True) for reason in reasons) + "]"
