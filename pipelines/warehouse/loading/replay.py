"""Load a source's whole archive again, as if everything had come in its order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pipelines.deliveries.delivery import Judgement, StagedChunk
from pipelines.warehouse.ledger import forget_partitions, last_position, next_position
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.load import cut_waves, load_wave, take_away
from pipelines.warehouse.tables import drop_table, ensure_table


def replay(
    load: Load,
    chunks: Sequence[StagedChunk],
    withdrawals: Iterable[tuple[datetime, str]],
    accepted: Mapping[tuple[str, datetime], datetime],
) -> list[Judgement]:
    """Replace the source's table by what `chunks`, its archive judged anew, bring.

    Receipts follow each other as they came; receipts that a person `accepted` come at that time,
    and between them the `withdrawals` (when, delivery id) happen. The caller's transaction holds
    it all, so that the old table stays until the new one is whole. Metrics are not computed.
    """
    connection = load.connection
    load = replace(load, metrics=(), since=next_position(connection))
    drop_table(connection, load.source)
    ensure_table(connection, load.source)
    forget_partitions(connection, load.source.name, load.since)
    final: list[Judgement] = []
    for chunk, judgements, withdrawn in _history(chunks, withdrawals, accepted):
        for wave in cut_waves(judgements, load.source):
            final += load_wave(load, chunk, wave)
        if withdrawn is not None:
            take_away(load, withdrawn, last_position(connection))
    return final


def _history(
    chunks: Sequence[StagedChunk],
    withdrawals: Iterable[tuple[datetime, str]],
    accepted: Mapping[tuple[str, datetime], datetime],
) -> Iterator[tuple[StagedChunk, list[Judgement], str | None]]:
    """Yield what to load, and which delivery to withdraw after it, in the order of happening."""
    if not chunks:
        return

    def moment(judgement: Judgement) -> datetime:
        delivery = judgement.delivery
        return accepted.get(delivery.receipt, delivery.received_at)

    waiting = sorted(withdrawals)
    # A receipt is staged twice when a decision came in between: the later judgement counts.
    judged = {
        judgement.delivery.receipt: (chunk, judgement)
        for chunk in chunks
        for judgement in chunk.judgements
    }
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
