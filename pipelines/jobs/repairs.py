"""Use cases of people who mend: rebuild, accept, withdraw. Recorded in the ledger."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from pipelines.deliveries.delivery import Judgement, StagedChunk, Verdict
from pipelines.deployment import Deployment
from pipelines.errors import UsageError, WorseError
from pipelines.jobs import intake
from pipelines.operations import steps
from pipelines.settings import Settings
from pipelines.warehouse import ledger, purges
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import load, returns

if TYPE_CHECKING:
    import sqlalchemy as sa


def rebuild(
    deployment: Deployment, name: str, progress: steps.Progress = steps.silent, force: bool = False
) -> list[Judgement]:
    """Judge a source's whole archive by its contract of today and replace its table.

    Decisions of people are honoured. Raises UsageError for a source that nobody knows, and
    WorseError, with nothing changed, when deliveries that are in force would no longer be taken,
    or cannot be, since their bytes were purged; `force` takes them away. Purged deliveries that
    provide nothing any more are left out.
    """
    settings, catalog = deployment.settings, deployment.catalog
    if name not in catalog.sources:
        raise UsageError(f"no source is called {name}; there are {', '.join(catalog.sources)}")
    run_id = steps.new_run_id()
    source, metrics = catalog.sources[name], catalog.metrics_of(name)
    staged: list[StagedChunk] = []
    try:
        with steps.step(settings, run_id, "rebuild", name) as told:
            known: set[tuple[object, ...]] = set()
            while True:
                with open_warehouse(settings, f"rebuild {name}") as connection:
                    purged = _purged(settings, connection, name)
                    if not force:
                        _refuse_without_bytes(purges.provided(connection, name), purged)
                    receipts = {
                        (row.delivery_id, row.received_at, row.overruled): row
                        for row in ledger.deliveries_to_rebuild(connection, name)
                        if row.delivery_id not in purged
                    }
                    if receipts.keys() <= known:  # nothing came while this was staged
                        in_force = {} if force else ledger.in_force(connection, name)
                        _refuse_losses(in_force, (j for chunk in staged for j in chunk.judgements))
                        judgements = load.reload(
                            connection,
                            staged,
                            source,
                            metrics,
                            deployment.calendar,
                            run_id,
                            ledger.withdrawals(connection, name),
                            _accepted(receipts.values()),
                            partial(_refuse_held, in_force),
                        )
                        intake.apply_configuration(connection, catalog)
                        told.deliveries = len(judgements)
                        return judgements
                came = [row for receipt, row in receipts.items() if receipt not in known]
                staged += _stage_anew(deployment, came, run_id, len(staged), progress)
                known |= receipts.keys()
    finally:
        shutil.rmtree(settings.staging / run_id, ignore_errors=True)


def _accepted(receipts: Iterable[sa.Row[Any]]) -> dict[tuple[str, datetime], datetime]:
    """When people accepted which receipts."""
    return {
        (row.delivery_id, row.received_at): row.decided_at for row in receipts if row.decided_at
    }


def _purged(settings: Settings, connection: sa.Connection, name: str) -> dict[str, sa.Row[Any]]:
    """A source's deliveries whose bytes were purged and have not been received again since.

    A return goes with what it is laid upon.
    """
    from pipelines.landing import archive

    gone = {
        row.delivery_id: row
        for row in purges.purged(connection, name)
        if archive.find(settings.archive, row.sha256) is None
    }
    for delivery_id, upon in returns.foundations(connection, name) if gone else ():
        if upon in gone:
            gone.setdefault(delivery_id, gone[upon])
    return gone


def _refuse_without_bytes(provided: Mapping[str, int], purged: Mapping[str, sa.Row[Any]]) -> None:
    """Rows whose raw bytes are gone cannot be built again: they are not thrown away unasked."""
    lost = [row for name, row in purged.items() if name in provided]
    if lost:
        rows = sum(provided[name] for name in purged if name in provided)
        raise WorseError(
            f"{len(lost)} deliveries with {rows} rows that are in force cannot be built again: "
            f"their bytes were purged, such as those of {lost[0].delivery_id} on "
            f"{lost[0].purged_at:%Y-%m-%d} ({lost[0].reason}); send them again, or say --force "
            "to go on without them"
        )


def _stage_anew(
    deployment: Deployment,
    receipts: Sequence[sa.Row[Any]],
    run_id: str,
    first_number: int,
    progress: steps.Progress,
) -> Iterator[StagedChunk]:
    """Judge receipts of the ledger by the contract of today, from the archive."""
    deliveries = [
        ledger.delivery_of(row, deployment.catalog.contract_hash(row.source), row.overruled)
        for row in receipts
    ]
    done = 0
    for number, chunk in enumerate(
        intake.chunks(deployment.settings, deliveries), start=first_number
    ):
        watch = steps.counting(progress, done, len(deliveries))
        yield intake.stage(deployment, chunk, run_id, number, watch)
        done += len(chunk)


def _refuse_losses(in_force: Mapping[str, int], judgements: Iterable[Judgement]) -> None:
    """Worse never displaces better: not even when a contract was changed for the worse."""
    lost = [
        judgement
        for judgement in judgements
        if judgement.delivery.delivery_id in in_force and not judgement.verdict.loads
    ]
    if lost:
        rows = sum(in_force[judgement.delivery.delivery_id] for judgement in lost)
        first = lost[0]
        why = first.reasons[0].english() if first.reasons else first.verdict.value
        raise WorseError(
            f"{len(lost)} deliveries with {rows} rows that are in force would no longer be taken, "
            f"such as {first.delivery}: {why}; correct the contract, or say --force"
        )


def _refuse_held(in_force: Mapping[str, int], final: Iterable[Judgement]) -> None:
    """As above, of what only history finds: deliveries whose last judgement holds them."""
    latest = {judgement.delivery.delivery_id: judgement for judgement in final}
    _refuse_losses(in_force, (one for one in latest.values() if one.verdict is Verdict.HELD))


def accept(deployment: Deployment, prefix: str, reason: str) -> Judgement:
    """Overrule a held or rejected delivery: its good rows load. Recorded; rebuilds honour it."""
    settings, catalog = deployment.settings, deployment.catalog
    run_id = steps.new_run_id()
    with open_warehouse(settings, "accept") as connection:
        row = ledger.find_delivery(connection, prefix)
        if row.verdict not in (Verdict.HELD, Verdict.REJECTED):
            raise UsageError(f"delivery {row.delivery_id} is {row.verdict}, not held or rejected")
        gone = _purged(settings, connection, row.source).get(row.delivery_id)
        if gone is not None:
            raise UsageError(
                f"the bytes of delivery {row.delivery_id} were purged on {gone.purged_at:%Y-%m-%d} "
                f"({gone.reason}); send them again"
            )
        delivery = ledger.delivery_of(row, catalog.contract_hash(row.source), reason)
        delivery = returns.without_refused(connection, delivery)
    staged = intake.stage(deployment, [delivery], run_id, 0)
    source, metrics = catalog.sources[row.source], catalog.metrics_of(row.source)
    with (
        steps.step(settings, run_id, "accept", source.name),
        open_warehouse(settings, "accept") as connection,
    ):
        final = load.accept(
            connection, staged, source, metrics, deployment.calendar, run_id, row, reason
        )
    intake.discard(staged.folder)
    return final


def withdraw(deployment: Deployment, prefix: str, reason: str) -> int:
    """Take a delivery's rows out of the warehouse, recorded; returns how many there were."""
    settings, catalog = deployment.settings, deployment.catalog
    run_id = steps.new_run_id()
    with (
        steps.step(settings, run_id, "withdraw") as told,
        open_warehouse(settings, "withdraw") as connection,
    ):
        row = ledger.find_delivery(connection, prefix)
        source = catalog.sources[row.source]
        metrics = catalog.metrics_of(row.source)
        told.rows = load.withdraw(connection, row, source, metrics, run_id, reason)
    return told.rows
