"""Loads staged chunks: a wave of deliveries is one transaction with its ledger rows and metrics.

Two deliveries for the same department and day never share a wave, so that each one's knowledge
is recorded, in the order in which they were received.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines import clock
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import (
    Accounting,
    Delivery,
    Judgement,
    Origin,
    StagedChunk,
    Verdict,
)
from pipelines.deliveries.reasons import Reason
from pipelines.engine import file_literal, keep, quoted, rows, run, run_file, transaction
from pipelines.errors import UsageError
from pipelines.machine import logs
from pipelines.tracking.calendar import WorkCalendar
from pipelines.warehouse.ledger import (
    decide,
    forget_partitions,
    judgement_of,
    last_position,
    next_position,
    recorded,
)
from pipelines.warehouse.loading import returns
from pipelines.warehouse.loading.drift import tell_drift
from pipelines.warehouse.loading.parts import (
    number_siblings,
    quarantine_siblings,
    refusals,
    resolve,
    restated,
)
from pipelines.warehouse.loading.totals import judge_totals
from pipelines.warehouse.metrics import record_metrics
from pipelines.warehouse.tables import drop_table, ensure_table, standby_table

Place = tuple[str, date]
ORIGINS = pa.list_(pa.struct([(name, pa.string()) for name in Origin.model_fields]))


def load_chunk(
    connection: sa.Connection,
    chunk: StagedChunk,
    source: Source,
    metrics: Sequence[Metric],
    calendar: WorkCalendar,
    run_id: str,
) -> list[Judgement]:
    """Put a chunk's judgements into the ledger and its accepted rows into the source table.

    Returns the judgements as recorded, and those of other deliveries that were judged anew: what
    only the warehouse can see (the other parts of a day) may have changed them. Receipts that
    another run has recorded meanwhile are left out. Raises IncompatibleTableError before anything
    is written.
    """
    ensure_table(connection, source)
    known = recorded(connection, [judgement.delivery for judgement in chunk.judgements])
    judgements = [one for one in chunk.judgements if one.delivery.receipt not in known]
    judgements.sort(key=lambda one: one.delivery.order)
    final: list[Judgement] = []
    for wave in _waves(judgements, source):
        with transaction(connection):
            final += _load_wave(
                connection, wave, chunk, source, metrics, calendar, run_id, "landing"
            )
    return final


def accept(
    connection: sa.Connection,
    chunk: StagedChunk,
    source: Source,
    metrics: Sequence[Metric],
    calendar: WorkCalendar,
    run_id: str,
    row: sa.Row[Any],
    reason: str,
) -> Judgement:
    """Load the one delivery of `chunk` by a person's decision, recorded with it.

    Raises UsageError, with nothing changed, when nothing of it can be loaded.
    """
    ensure_table(connection, source)
    with transaction(connection):
        decide(connection, "accept", row, reason, next_position(connection))
        judgements = list(chunk.judgements)
        final = _load_wave(
            connection, judgements, chunk, source, metrics, calendar, run_id, "accept"
        )[0]
        if not final.verdict.loads:
            raise UsageError(f"nothing of it can be taken: {final.reasons[0].english()}")
        newer = _newer(connection)
        if newer is not None:
            raise UsageError(f"{newer} was received later and provides this day; nothing changes")
    return final


def _newer(connection: sa.Connection) -> str | None:
    """What provides all that the wave brought, as it was received later; None if not all."""
    query = (
        "SELECT CASE WHEN bool_and(incoming.is_late) "
        "THEN coalesce(any_value(there.delivery_id), 'what was withdrawn') END "
        "FROM incoming LEFT JOIN partition_in_force AS there "
        "USING (source, department, business_date, part)"
    )
    found: str | None = rows(connection, query)[0][0]
    return found


def reload(
    connection: sa.Connection,
    chunks: Sequence[StagedChunk],
    source: Source,
    metrics: Sequence[Metric],
    calendar: WorkCalendar,
    run_id: str,
    withdrawals: Iterable[tuple[datetime, str]] = (),
    accepted: Mapping[tuple[str, datetime], datetime] = MappingProxyType({}),
    refuse: Callable[[Sequence[Judgement]], None] = lambda final: None,
) -> list[Judgement]:
    """Replace the source's table by what `chunks` (its whole archive, judged anew) say.

    One transaction: the old table stays until the new one is whole, and for good when `refuse`,
    which is asked about what came of it, raises. Knowledge is appended: only
    values of metric_daily that came out otherwise get a successor. What happened is replayed in the
    order of receipt, between them `withdrawals` (when, delivery id) and, of the receipts that a
    person `accepted`, those at their time.
    """
    final: list[Judgement] = []
    with transaction(connection):
        position = next_position(connection)
        drop_table(connection, source)
        ensure_table(connection, source)
        forget_partitions(connection, source.name, position)
        for chunk, judgements, withdrawn in _history(chunks, withdrawals, accepted):
            for wave in _waves(judgements, source):
                final += _load_wave(
                    connection, wave, chunk, source, (), calendar, run_id, "rebuild", position
                )
            if withdrawn is not None:
                _take_away(connection, withdrawn, source, run_id, last_position(connection))
        refuse(final)
        position = max(position, last_position(connection))
        run_file(connection, "load/touched_all.sql", source=source.name, position=str(position))
        record_metrics(connection, source, metrics)
    return final


def _history(
    chunks: Sequence[StagedChunk],
    withdrawals: Iterable[tuple[datetime, str]],
    accepted: Mapping[tuple[str, datetime], datetime],
) -> Iterator[tuple[StagedChunk, list[Judgement], str | None]]:
    """What to load, and what then to withdraw, step by step: (chunk, judgements, delivery id)."""
    if not chunks:
        return

    def moment(judgement: Judgement) -> datetime:
        delivery = judgement.delivery
        return accepted.get(delivery.receipt, delivery.received_at)

    waiting = sorted(withdrawals)
    # of a receipt that was staged twice, as a decision came between, the later counts
    judged = {one.delivery.receipt: (chunk, one) for chunk in chunks for one in chunk.judgements}
    in_order = sorted(judged.values(), key=lambda pair: (moment(pair[1]), pair[1].delivery.order))
    chunk = chunks[0]
    group: list[Judgement] = []
    for origin, judgement in in_order:
        while waiting and waiting[0][0] < moment(judgement):
            yield chunk, group, waiting.pop(0)[1]
            group = []
        if origin is not chunk:
            yield chunk, group, None
            chunk, group = origin, []
        group.append(judgement)
    yield chunk, group, None
    for _, delivery_id in waiting:
        yield chunk, [], delivery_id


def withdraw(
    connection: sa.Connection,
    row: sa.Row[Any],
    source: Source,
    metrics: Sequence[Metric],
    run_id: str,
    reason: str,
) -> int:
    """Take a delivery's rows away, recorded; returns how many there were.

    Raises UsageError when none of its rows are in the source table.
    """
    with transaction(connection):
        position = next_position(connection)
        gone = _take_away(connection, row.delivery_id, source, run_id, position)
        if gone is None:
            raise UsageError(
                f"delivery {row.delivery_id} provides no rows now: it was {row.verdict}, or "
                "something newer has taken its place"
            )
        decide(connection, "withdraw", row, reason, position)
        run_file(connection, "load/touched.sql")
        record_metrics(connection, source, metrics)
    return gone


def _take_away(
    connection: sa.Connection, delivery_id: str, source: Source, run_id: str, position: int
) -> int | None:
    """Empty the partitions that a delivery provides: how many rows went, None if it has none.

    What its siblings had to keep back comes in, judged anew after `position`.
    """
    run_file(connection, "load/withdrawn.sql", position=str(position), delivery_id=delivery_id)
    gone = rows(connection, "SELECT CAST(sum(rows) AS BIGINT) FROM replaced")[0][0]
    _replace_rows(connection, source)
    _settle(connection, [], source, run_id, "withdraw", position + 1)
    return None if gone is None else int(gone)


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
        run(
            connection,
            "CREATE OR REPLACE TEMP TABLE replaced (position BIGINT, delivery_id VARCHAR)",
        )
        causes = ["landing"] * len(judgements)
        _record(connection, judgements, next_position(connection), run_id, causes)


def _waves(judgements: Iterable[Judgement], source: Source) -> Iterator[list[Judgement]]:
    """Judgements in their order, cut where a department and day would come twice.

    What a return corrects must be in the ledger before it: it is the first of its wave. Where
    totals hold, a department's days rise in a wave: none is judged by what came after it.
    """
    holds = any(totals.on_break == "hold" for totals in source.totals)
    wave: list[Judgement] = []
    taken: set[Place] = set()
    latest: dict[str, date] = {}
    for judgement in judgements:
        places: set[Place] = {
            (partition.department, partition.business_date) for partition in judgement.partitions
        }
        falls = holds and any(day < latest.get(department, day) for department, day in places)
        if places & taken or falls or (wave and judgement.delivery.corrects):
            yield wave
            wave, taken, latest = [], set(), {}
        wave.append(judgement)
        taken |= places
        latest |= {
            department: max(day, latest.get(department, day)) for department, day in sorted(places)
        }
    if wave:
        yield wave


def _load_wave(
    connection: sa.Connection,
    wave: list[Judgement],
    chunk: StagedChunk,
    source: Source,
    metrics: Sequence[Metric],
    calendar: WorkCalendar,
    run_id: str,
    cause: str,
    since: int = 0,
) -> list[Judgement]:
    wave = returns.refuse_outdated(connection, wave)
    position = next_position(connection)
    _keep_partitions(connection, wave, position, since)
    wave = _warn_late(connection, wave)
    with logs.part("history"):
        wave = judge_totals(connection, wave, source, position, chunk.accepted, calendar)
        wave = tell_drift(connection, wave, source, position, calendar)
    run_file(connection, "load/replaced.sql")
    _replace_rows(connection, source)
    accepted = file_literal(chunk.accepted)
    run_file(connection, "load/new_rows.sql", table=_main(source), accepted=accepted)
    final = _settle(connection, wave, source, run_id, cause, position, chunk.quarantined)
    if metrics:
        with logs.part("metrics"):
            run_file(connection, "load/touched.sql")
            record_metrics(connection, source, metrics)
    return final


def _main(source: Source) -> str:
    return f"main.{quoted(source.name)}"


def _replace_rows(connection: sa.Connection, source: Source) -> None:
    name = quoted(source.name)
    for table in (_main(source), standby_table(source)):
        run_file(connection, "load/replaced_rows.sql", table=table, unqualified=name)


def _settle(
    connection: sa.Connection,
    wave: list[Judgement],
    source: Source,
    run_id: str,
    cause: str,
    position: int,
    quarantined: Path | None = None,
) -> list[Judgement]:
    """Settle what shared days come to, and enter it all: the wave, and siblings judged anew."""
    changes = resolve(connection, source)
    query = "SELECT delivery_id FROM incoming GROUP BY delivery_id HAVING bool_and(is_late)"
    late = {row[0] for row in rows(connection, query)}
    own = {one.delivery.delivery_id for one in wave} - late
    others = [delivery_id for delivery_id in changes if delivery_id not in own]
    found = number_siblings(connection, others, position + len(wave))
    run_file(connection, "load/partitions.sql", source=source.name)
    refused = refusals(connection, changes)

    def told(judgement: Judgement) -> Judgement:
        name = judgement.delivery.delivery_id
        return restated(judgement, changes[name], *refused[name])

    final = [told(one) if one.delivery.delivery_id in own & changes.keys() else one for one in wave]
    final += [told(judgement_of(found[name])) for name in others]
    causes = [cause] * len(wave) + ["sibling"] * len(others)
    _record(connection, final, position, run_id, causes)
    if quarantined is not None:
        run_file(connection, "load/quarantine.sql", quarantined=file_literal(quarantined))
    if changes:
        quarantine_siblings(connection, source)
    return final


def _keep_partitions(
    connection: sa.Connection, wave: Sequence[Judgement], position: int, since: int
) -> None:
    """The tables `incoming`, every partition that the wave brings, and `mended`, its returns.

    What was withdrawn before the ledger's position `since` stands against nothing: a rebuild
    begins there.
    """
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
    keep(connection, "given_return", _returns(wave, position))
    run_file(connection, "load/incoming.sql", since=str(since))


def _returns(wave: Sequence[Judgement], position: int) -> pa.Table:
    """The wave's returns that load, with what they are laid upon."""
    loading = [
        (position + number, one.delivery.received_at, upon)
        for number, one in enumerate(wave)
        if one.verdict.loads and (upon := returns.laid_upon(one))
    ]
    return pa.table(
        {
            "position": pa.array([number for number, _, _ in loading], pa.int64()),
            "received_at": pa.array([at for _, at, _ in loading], pa.timestamp("us")),
            "laid_upon": pa.array([upon for _, _, upon in loading], pa.list_(pa.string())),
        }
    )


def _warn_late(connection: sa.Connection, wave: list[Judgement]) -> list[Judgement]:
    """Tell of deliveries of which, or of some days of which, nothing came: what is newer stands."""
    query = "SELECT delivery_id FROM incoming WHERE is_late AND NOT is_overtaken"
    warnings = {row[0]: [Reason(code="late_receipt")] for row in rows(connection, query)}
    for delivery_id, warning in returns.overtaken(connection):
        warnings.setdefault(delivery_id, []).append(warning)
    return [
        judgement.model_copy(
            update={"warnings": (*warnings[judgement.delivery.delivery_id], *judgement.warnings)}
        )
        if judgement.delivery.delivery_id in warnings
        else judgement
        for judgement in wave
    ]


def _record(
    connection: sa.Connection,
    wave: Sequence[Judgement],
    position: int,
    run_id: str,
    causes: Sequence[str],
) -> None:
    """Write the ledger rows, one a judgement; the table `judged` keeps them for what follows."""
    now = clock.now()
    deliveries = [judgement.delivery for judgement in wave]
    counts = [judgement.accounting for judgement in wave]
    count = pa.int64()
    columns = {
        "position": pa.array(range(position, position + len(wave)), count),
        "delivery_id": [one.delivery_id for one in deliveries],
        "run_id": [run_id] * len(wave),
        "cause": list(causes),
        "source": [one.source for one in deliveries],
        "department": pa.array([one.department for one in deliveries], pa.string()),
        "business_date": pa.array([one.business_date for one in deliveries], pa.date32()),
        "part": [one.part for one in deliveries],
        "file_name": [one.path.name for one in deliveries],
        "format": [one.format for one in deliveries],
        "size": pa.array([one.size for one in deliveries], count),
        "sha256": [one.sha256 for one in deliveries],
        "corrects": pa.array([_chain(one) for one in deliveries], ORIGINS),
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


def _chain(delivery: Delivery) -> list[dict[str, str]] | None:
    """What a return corrects; None for a whole file."""
    return [origin.model_dump() for origin in delivery.corrects] or None


def _json(reasons: Sequence[Reason]) -> str:
    return "[" + ",".join(reason.model_dump_json(exclude_none=True) for reason in reasons) + "]"
