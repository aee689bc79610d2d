"""Use cases of people who mend: rebuild a source, accept or withdraw a delivery.

Each is recorded in the ledger, and honoured by later rebuilds.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from pipelines.deliveries.delivery import Judgement, StagedChunk, Verdict
from pipelines.deployment import Deployment
from pipelines.engine import transaction
from pipelines.errors import UsageError, WorseError
from pipelines.jobs import intake
from pipelines.operations.steps import Progress, new_run_id, silent, step
from pipelines.settings import Settings
from pipelines.warehouse import ledger, purges
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import returns
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.load import load_wave, newer_provider, take_away
from pipelines.warehouse.loading.replay import replay
from pipelines.warehouse.metrics import recompute_metrics, record_metrics
from pipelines.warehouse.tables import ensure_table

if TYPE_CHECKING:
    import sqlalchemy as sa


def rebuild(
    deployment: Deployment, name: str, progress: Progress = silent, force: bool = False
) -> list[Judgement]:
    """Judge a source's whole archive by its contract of today and replace its table.

    People's decisions are honoured. Raises UsageError for an unknown source. Raises WorseError, and
    changes nothing, if deliveries in force would no longer be taken, or cannot be because their
    bytes were purged; `force` takes them away. Purged deliveries that provide no rows in force are
    left out.

    Staging takes hours for a large archive, and the warehouse is not locked meanwhile. So the loop
    stages what the ledger names, looks again, and reloads only once nothing new has come.
    """
    settings, catalog = deployment.settings, deployment.catalog
    if name not in catalog.sources:
        raise UsageError(f"no source is called {name}; there are {', '.join(catalog.sources)}")
    run_id = new_run_id()
    staged: list[StagedChunk] = []
    staged_receipts: set[tuple[object, ...]] = set()
    try:
        with step(settings, run_id, "rebuild", name) as timing:
            while True:
                with open_warehouse(settings, f"rebuild {name}") as connection:
                    receipts = _receipts_to_stage(connection, settings, name, force)
                    if receipts.keys() <= staged_receipts:
                        judgements = _reload(
                            connection, deployment, name, staged, receipts.values(), run_id, force
                        )
                        timing.deliveries = len(judgements)
                        return judgements
                new = [receipts[receipt] for receipt in receipts if receipt not in staged_receipts]
                deliveries = [
                    ledger.delivery_of(row, catalog.contract_hashes[row.source], row.overruled)
                    for row in new
                ]
                done = 0
                for chunk in intake.chunks(settings, deliveries):
                    staged.append(
                        intake.stage(
                            deployment, chunk, run_id, len(staged), progress, done, len(deliveries)
                        )
                    )
                    done += len(chunk)
                staged_receipts |= receipts.keys()
    finally:
        shutil.rmtree(settings.staging / run_id, ignore_errors=True)


def _receipts_to_stage(
    connection: sa.Connection, settings: Settings, name: str, force: bool
) -> dict[tuple[object, ...], sa.Row[Any]]:
    """Return the ledger's receipts of a source whose bytes the archive still has.

    Raises WorseError if rows in force come from bytes that were purged, unless `force`.
    """
    purged = _purged(connection, settings, name)
    provided = {} if force or not purged else purges.provided(connection, name)
    lost = [row for delivery_id, row in purged.items() if delivery_id in provided]
    if lost:
        rows = sum(provided[delivery_id] for delivery_id in purged if delivery_id in provided)
        raise WorseError(
            f"{len(lost)} deliveries with {rows} rows that are in force cannot be built again: "
            f"their bytes were purged, such as those of {lost[0].delivery_id} on "
            f"{lost[0].purged_at:%Y-%m-%d} ({lost[0].reason}); send them again, or say --force "
            "to go on without them"
        )
    return {
        (row.delivery_id, row.received_at, row.overruled): row
        for row in ledger.deliveries_to_rebuild(connection, name)
        if row.delivery_id not in purged
    }


def _purged(connection: sa.Connection, settings: Settings, name: str) -> dict[str, sa.Row[Any]]:
    """Return a source's deliveries whose bytes were purged, by id, as rows of the ledger's `purge`.

    Deliveries whose bytes were received again since are left out. A feedback workbook counts as
    purged with the file that it corrects: without that file it is only a few rows.
    """
    from pipelines.landing import archive

    purged = {
        row.delivery_id: row
        for row in purges.purged(connection, name)
        if archive.find(settings.archive, row.sha256) is None
    }
    for delivery_id, foundation in returns.foundations(connection, name) if purged else ():
        if foundation in purged:
            purged.setdefault(delivery_id, purged[foundation])
    return purged


def _reload(
    connection: sa.Connection,
    deployment: Deployment,
    name: str,
    staged: list[StagedChunk],
    receipts: Iterable[sa.Row[Any]],
    run_id: str,
    force: bool,
) -> list[Judgement]:
    """Replace a source's table by its staged deliveries, unless that takes rows in force away.

    Losses are looked for twice: in the judgements of staging before anything is loaded; and, of
    deliveries held because of their history, in the final judgements before the commit.
    """
    in_force = {} if force else ledger.in_force(connection, name)
    _refuse_losses(in_force, (judged for chunk in staged for judged in chunk.judgements))
    accepted = {
        (row.delivery_id, row.received_at): row.decided_at for row in receipts if row.decided_at
    }
    load = Load.of(connection, deployment, name, run_id, "rebuild")
    with transaction(connection):
        first = ledger.next_position(connection)
        judgements = replay(load, staged, ledger.withdrawals(connection, name), accepted)
        _refuse_held(in_force, judgements)
        position = max(first, ledger.last_position(connection))
        recompute_metrics(connection, load.source, load.metrics, position)
    if not ledger.is_in_force(connection, deployment.catalog):
        intake.apply_configuration(connection, deployment.catalog)
    return judgements


def _refuse_losses(in_force: Mapping[str, int], judgements: Iterable[Judgement]) -> None:
    """Raise WorseError if deliveries in force (rows by id) are judged so that they do not load.

    Worse never displaces better, not even when a contract was changed for the worse.
    """
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
    """Raise WorseError if the last judgement of a delivery in force holds it."""
    latest = {judgement.delivery.delivery_id: judgement for judgement in final}
    _refuse_losses(
        in_force, (judgement for judgement in latest.values() if judgement.verdict is Verdict.HELD)
    )


def accept(deployment: Deployment, prefix: str, reason: str) -> Judgement:
    """Overrule a held or rejected delivery, named by how its id starts: its good rows load."""
    settings, catalog = deployment.settings, deployment.catalog
    run_id = new_run_id()
    with open_warehouse(settings, "accept") as connection:
        row = ledger.find_delivery(connection, prefix)
        if row.verdict not in (Verdict.HELD, Verdict.REJECTED):
            raise UsageError(f"delivery {row.delivery_id} is {row.verdict}, not held or rejected")
        purge = _purged(connection, settings, row.source).get(row.delivery_id)
        if purge is not None:
            raise UsageError(
                f"the bytes of delivery {row.delivery_id} were purged on "
                f"{purge.purged_at:%Y-%m-%d} ({purge.reason}); send them again"
            )
        delivery = ledger.delivery_of(row, catalog.contract_hashes[row.source], reason)
        delivery = returns.without_refused(connection, delivery)
    # Staged without the warehouse's lock, which other writers may need meanwhile.
    staged = intake.stage(deployment, [delivery], run_id, 0)
    with (
        step(settings, run_id, "accept", row.source),
        open_warehouse(settings, "accept") as connection,
    ):
        load = Load.of(connection, deployment, row.source, run_id, "accept")
        ensure_table(connection, load.source)
        with transaction(connection):
            ledger.decide(connection, "accept", row, reason, ledger.next_position(connection))
            judgement = load_wave(load, staged, list(staged.judgements))[0]
            if not judgement.verdict.loads:
                cause = judgement.reasons[0].english()
                raise UsageError(f"nothing of it can be taken: {cause}")
            newer = newer_provider(connection)
            if newer is not None:
                raise UsageError(
                    f"{newer} was received later and provides this day; nothing changes"
                )
    intake.discard(staged.folder)
    return judgement


def withdraw(deployment: Deployment, prefix: str, reason: str) -> int:
    """Take the rows of a delivery, named by how its id starts, out; return how many there were."""
    settings = deployment.settings
    run_id = new_run_id()
    with (
        step(settings, run_id, "withdraw") as timing,
        open_warehouse(settings, "withdraw") as connection,
    ):
        row = ledger.find_delivery(connection, prefix)
        load = Load.of(connection, deployment, row.source, run_id, "withdraw")
        with transaction(connection):
            position = ledger.next_position(connection)
            removed = take_away(load, row.delivery_id, position)
            if removed is None:
                raise UsageError(
                    f"delivery {row.delivery_id} provides no rows now: it was {row.verdict}, or "
                    "something newer has taken its place"
                )
            ledger.decide(connection, "withdraw", row, reason, position)
            record_metrics(connection, load.source, load.metrics)
        timing.rows = removed
    return removed
