"""Load staged chunks: a wave of deliveries is one transaction with its ledger rows and metrics.

Killed at any moment, a load has loaded whole waves and nothing else: what the ledger knows of a
receipt and what the tables hold commit together, and the file leaves landing only afterwards.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import date

import sqlalchemy as sa

from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Judgement, StagedChunk
from pipelines.engine import rows, run_file, transaction
from pipelines.machine import logs
from pipelines.warehouse.ledger import next_position, recorded
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.drift import warn_of_drift
from pipelines.warehouse.loading.entries import enter_judgements
from pipelines.warehouse.loading.incoming import list_incoming, list_withdrawal
from pipelines.warehouse.loading.shared_days import settle_shared_days
from pipelines.warehouse.loading.stale_returns import refuse_stale_returns
from pipelines.warehouse.loading.totals import judge_totals
from pipelines.warehouse.metrics import record_metrics
from pipelines.warehouse.tables import ensure_table, source_tables


def load_chunk(load: Load, chunk: StagedChunk) -> list[Judgement]:
    """Put a chunk's judgements into the ledger and its accepted rows into the source's table.

    Return the judgements as recorded, and those of other deliveries that were judged again: only
    the warehouse knows the other parts of a day, and they may change a judgement. Receipts that
    another run has recorded meanwhile are left out. Raise IncompatibleTableError before anything
    is written.
    """
    ensure_table(load.connection, load.source)
    known = recorded(load.connection, [judgement.delivery for judgement in chunk.judgements])
    new = [judgement for judgement in chunk.judgements if judgement.delivery.receipt not in known]
    new.sort(key=lambda judgement: judgement.delivery.order)
    final: list[Judgement] = []
    for wave in cut_waves(new, load.source):
        with transaction(load.connection):
            final += load_wave(load, chunk, wave)
    return final


def cut_waves(judgements: Iterable[Judgement], source: Source) -> Iterator[list[Judgement]]:
    """Split judgements, in their order, into waves that can be loaded in one transaction each.

    No department and day comes twice in a wave, so that the metrics after each of two deliveries
    for the same day are recorded, in the order of receipt. A return is the first of its wave, for
    what it corrects must be in the ledger before it. Where totals hold, the days of a department
    rise in a wave, so that no total is judged by one that came after it.
    """
    holds = any(totals.on_break == "hold" for totals in source.totals)
    wave: list[Judgement] = []
    days: dict[str, set[date]] = {}  # of the wave, by department
    for judgement in judgements:
        new_days: dict[str, set[date]] = {}
        for partition in judgement.partitions:
            new_days.setdefault(partition.department, set()).add(partition.business_date)
        repeats = any(days.get(name, set()) & new for name, new in new_days.items())
        falls = holds and any(
            min(new) < max(days[name]) for name, new in new_days.items() if name in days
        )
        if wave and (repeats or falls or judgement.delivery.corrects):
            yield wave
            wave, days = [], {}
        wave.append(judgement)
        for name, new in new_days.items():
            days.setdefault(name, set()).update(new)
    if wave:
        yield wave


def load_wave(load: Load, chunk: StagedChunk, wave: list[Judgement]) -> list[Judgement]:
    """Load one wave inside the caller's transaction; return what `load_chunk` returns of it."""
    connection, source = load.connection, load.source
    if any(judgement.delivery.corrects for judgement in wave):
        wave = refuse_stale_returns(connection, wave)
    position = next_position(connection)
    wave = list_incoming(load, chunk, wave, position)
    with logs.part("history"):
        if source.totals and any(judgement.partitions for judgement in wave):
            wave = judge_totals(load, wave, position)
        if source.drift and any(judgement.profile for judgement in wave):
            wave = warn_of_drift(load, wave, position)
    final = _exchange(load, wave, position)
    if load.metrics:
        with logs.part("metrics"):
            record_metrics(connection, source, load.metrics)
    return final


def take_away(load: Load, delivery_id: str, position: int) -> int | None:
    """Remove the partitions that a delivery provides; return how many rows, None if it has none.

    `position` is that of the decision. Rows that the delivery kept out of its days come in, and
    their judgements take the positions after it. Leaves the caller's transaction open.
    """
    list_withdrawal(load, delivery_id, position)
    _exchange(load, [], position + 1)
    [(removed,)] = rows(load.connection, "SELECT CAST(sum(rows) AS BIGINT) FROM _replaced")
    return None if removed is None else int(removed)


def _exchange(load: Load, wave: Sequence[Judgement], position: int) -> list[Judgement]:
    """Put what was listed as incoming in place of what it replaces; enter it into the ledger.

    Return the wave's judgements, from `position` on, and those of siblings on shared days.
    """
    connection = load.connection
    run_file(connection, "loading/partitions.sql", None, **source_tables(load.source))
    siblings: list[Judgement] = []
    if rows(connection, "SELECT 1 FROM _shared_day LIMIT 1"):
        wave, siblings = settle_shared_days(load, wave, position + len(wave))
    causes = [load.cause] * len(wave) + ["sibling"] * len(siblings)
    final = [*wave, *siblings]
    enter_judgements(connection, final, position, load.run_id, causes)
    return final


def newer_provider(connection: sa.Connection) -> str | None:
    """Return the delivery that makes all of the wave just loaded come too late; None if not all.

    Where a withdrawal is what stands, the answer says so in words.
    """
    query = (
        "SELECT CASE WHEN bool_and(incoming.is_late) "
        "THEN coalesce(any_value(provider.delivery_id), 'what was withdrawn') END "
        "FROM _incoming AS incoming LEFT JOIN partition_in_force AS provider "
        "USING (source, department, business_date, part)"
    )
    newer: str | None = rows(connection, query)[0][0]
    return newer
