"""From landing into the warehouse: discover, stage, load. A run's tasks, and an ingest DAG's.

Staging's modules are imported inside the functions that stage: they cost seconds, and most
commands do not stage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Delivery, Judgement, StagedChunk
from pipelines.deployment import Deployment
from pipelines.errors import IncompatibleTableError, StorageError, UsageError
from pipelines.machine import disks, failures, logs
from pipelines.operations.steps import Progress, silent, step
from pipelines.settings import Settings
from pipelines.warehouse import ledger
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import load, returns

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.landing.files import LandingProblem

log = logs.get(__name__)


@dataclass(frozen=True)
class Discovery:
    """What lies in landing: to be staged, changing nothing, nobody's delivery, being uploaded.

    The paths of those that wait are relative to landing.
    """

    pending: tuple[Delivery, ...]
    unchanged: tuple[Delivery, ...]
    problems: tuple[LandingProblem, ...]
    waiting: tuple[Path, ...] = ()
    errors: tuple[str, ...] = ()


def discover(
    deployment: Deployment,
    run_id: str,
    dates: tuple[date, date] | None = None,
    source: str | None = None,
    progress: Progress = silent,
    settle_seconds: float = 0.0,
) -> Discovery:
    """Archive what lies in landing and is settled, and tell what of it is new.

    Receipts that change nothing are recorded as unchanged and cleared away.
    """
    from pipelines.landing import files, receipts

    settings, catalog = deployment.settings, deployment.catalog
    problems: list[LandingProblem] = []
    waiting: list[files.Landed] = []
    with step(settings, run_id, "discover", source or "") as told:
        disks.require_all_disks(settings)
        errors: list[str] = []
        try:
            receipts.tidy(settings.landing)
        except OSError as error:  # what else lies in landing is taken all the same
            errors.append(str(failures.machine_error(settings, "landing", error)))
        landed, problems, waiting = files.look(settings.landing, catalog, settle_seconds)
        wanted = [one for one in landed if source in (None, one.source) and _within(one, dates)]
        waiting = [one for one in waiting if source in (None, one.source) and _within(one, dates)]
        received: list[Delivery] = []
        unkept: list[OSError] = []
        with logs.part("archive"):
            for number, one in enumerate(wanted, start=1):
                try:
                    received.append(
                        receipts.receive(one, catalog, settings.archive, settle_seconds)
                    )
                except UsageError:  # another upload of it has just begun
                    waiting.append(one)
                except FileNotFoundError:
                    log.debug("another run has taken a file", file=one.path.name)
                except receipts.UnreadableFileError as error:
                    problems.append(files.unreadable(one.path, settings.landing, str(error)))
                except OSError as error:  # the archive's disk
                    unkept.append(error)
                    if not failures.is_out_of_space(error):  # nor will it take anything else
                        break
                progress("archiving", number, len(wanted))
        if received:
            os.sync()  # landing is cleared on the archive's word
        errors += [str(failures.machine_error(settings, "archive", error)) for error in unkept[:1]]
        with open_warehouse(settings, f"run {run_id}, discover") as connection:
            received.sort(key=lambda one: one.order)
            received, strays = returns.resolve(connection, received)
            problems += [files.stray_return(one.path, settings.landing) for one in strays]
            done = ledger.recorded(connection, received)
            # two names of one receipt are one receipt
            news = {one.receipt: one for one in received if one.receipt not in done}
            again = [one for one in received if news.get(one.receipt) is not one]
            fresh = list(news.values())
            pending, repeated = _without_repeats(fresh, ledger.newest_inputs(connection, fresh))
            load.record_unchanged(connection, repeated, run_id)
        unchanged = (*again, *repeated)
        errors += _clear(settings, unchanged)
        told.deliveries = len(received)
    return Discovery(
        tuple(pending),
        unchanged,
        tuple(problems),
        tuple(Path(files.printable(one.path, settings.landing)) for one in waiting),
        tuple(errors),
    )


def _within(landed: object, dates: tuple[date, date] | None) -> bool:
    day = getattr(landed, "business_date", None)
    return dates is None or (day is not None and dates[0] <= day <= dates[1])


def _without_repeats(
    received: Sequence[Delivery], newest: Mapping[tuple[str, ...], sa.Row[Any]]
) -> tuple[list[Delivery], list[Delivery]]:
    """Those that bring their slot other than its previous receipt brought, and the others.

    `newest` is what the ledger received last for each slot. A receipt older than that is never a
    repetition: where it belongs in its slot's history is for the load to say.
    """
    pending: list[Delivery] = []
    repeated: list[Delivery] = []
    before: dict[tuple[str, ...], tuple[datetime, tuple[object, ...] | None]] = {
        slot: (row.received_at, (row.sha256, row.format, row.contract_hash) if row.stands else None)
        for slot, row in newest.items()
    }
    for delivery in received:
        content = (delivery.sha256, delivery.format, delivery.contract_hash)
        at, was = before.get(delivery.slot, (delivery.received_at, None))
        is_newest = delivery.received_at >= at
        (repeated if is_newest and content == was else pending).append(delivery)
        if is_newest:
            before[delivery.slot] = (delivery.received_at, content)
    return pending, repeated


def chunks(settings: Settings, pending: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Deliveries of one source at a time, few and small enough to be staged together."""
    by_source = sorted(pending, key=lambda one: one.source)
    for _, group in groupby(by_source, key=lambda one: one.source):
        chunk: list[Delivery] = []
        there: set[str] = set()
        size = 0
        for delivery in group:
            full = len(chunk) >= settings.chunk_deliveries
            # bytes that were received twice, with others between, are in two chunks
            full = full or delivery.delivery_id in there
            if chunk and (full or size + delivery.size > settings.chunk_bytes):
                yield chunk
                chunk, size, there = [], 0, set()
            chunk.append(delivery)
            there.add(delivery.delivery_id)
            size += delivery.size
        if chunk:
            yield chunk


def stage(
    deployment: Deployment,
    deliveries: Sequence[Delivery],
    run_id: str,
    number: int,
    progress: Callable[[int], None] = lambda done: None,
) -> StagedChunk:
    """Judge deliveries of one source; needs no warehouse and may run anywhere, in parallel."""
    from pipelines.staging import stage

    settings, catalog = deployment.settings, deployment.catalog
    name = deliveries[0].source
    count = iter(range(1, len(deliveries) + 1))
    with step(settings, run_id, "stage", name) as told:
        staged = stage.stage(
            deliveries,
            catalog.sources[name],
            catalog.suites[name],
            catalog.departments,
            settings,
            settings.staging / run_id / f"{name}-{number:04}",
            lambda delivery: progress(next(count)),
        )
        told.deliveries = len(deliveries)
        told.rows = sum(one.accounting.rows_read for one in staged.judgements if one.accounting)
    return staged


def _clear(settings: Settings, taken: Iterable[Delivery]) -> list[str]:
    """Remove the files of recorded deliveries from landing; what keeps some there, in words."""
    from pipelines.landing import receipts

    kept: list[OSError] = []
    with logs.part("clear"):
        for delivery in taken:
            try:
                receipts.clear(delivery, settings.landing)
            except OSError as error:
                kept.append(error)
    then = f"files that were taken still lie there ({len(kept)}), and are not taken twice"
    return [str(failures.machine_error(settings, "landing", error, then)) for error in kept[:1]]


def load_staged(
    deployment: Deployment,
    staged: Sequence[StagedChunk],
    run_id: str,
    errors: list[str] | None = None,
) -> list[Judgement]:
    """Load staged chunks of any sources, then clear their files from landing and staging.

    What keeps files in landing is appended to `errors`; without it StorageError is raised, when
    everything is loaded.
    """
    settings, catalog = deployment.settings, deployment.catalog
    final: list[Judgement] = []
    name = ", ".join(sorted({chunk.source for chunk in staged}))
    with step(settings, run_id, "load", name) as told:
        with open_warehouse(settings, f"run {run_id}, load {name}") as connection:
            apply_configuration(connection, catalog)
            for chunk in staged:
                source = catalog.sources[chunk.source]
                metrics = catalog.metrics_of(source.name)
                final += load.load_chunk(
                    connection, chunk, source, metrics, deployment.calendar, run_id
                )
        kept = _clear(settings, (one.delivery for chunk in staged for one in chunk.judgements))
        for chunk in staged:
            discard(chunk.folder)
        told.deliveries = len(final)
        told.rows = sum(one.accounting.accepted for one in final if one.accounting)
    for judgement in final:
        counts = judgement.accounting.model_dump() if judgement.accounting else {}
        log.debug(
            "delivery judged",
            run_id=run_id,
            delivery_id=judgement.delivery.delivery_id,
            delivery=str(judgement.delivery),
            verdict=judgement.verdict.value,
            **counts,
        )
    if kept and errors is None:
        raise StorageError(kept[0])
    if errors is not None:
        errors += kept
    return final


def apply_configuration(connection: sa.Connection, catalog: Catalog) -> None:
    """Compute redefined metrics anew, and only then note the configuration as in force."""
    redefined = ledger.redefined_sources(connection, catalog)
    for name in sorted(redefined):
        with suppress(IncompatibleTableError):  # its rebuild computes them
            load.recompute(connection, catalog.sources[name], catalog.metrics_of(name))
    ledger.record_configuration(connection, catalog, bool(redefined))


def discard(folder: Path) -> None:
    """Remove a chunk's folder, and its run's when it was the last."""
    shutil.rmtree(folder, ignore_errors=True)
    try:
        folder.parent.rmdir()
    except OSError:  # other chunks of the run are still there
        return
