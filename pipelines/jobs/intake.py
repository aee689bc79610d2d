"""Take deliveries from landing into the warehouse: discover, stage, load.

`citybrain run` calls these three in one process, an ingest DAG in a task each. Staging's modules
are imported inside `stage`: they bring Great Expectations, which costs seconds, and most commands
do not stage.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Delivery, Judgement, StagedChunk
from pipelines.deployment import Deployment
from pipelines.engine import transaction
from pipelines.errors import IncompatibleTableError, StorageError, UsageError
from pipelines.machine import disks, failures, logs
from pipelines.operations.steps import Progress, silent, step
from pipelines.settings import Settings
from pipelines.warehouse import ledger
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import returns
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.entries import record_unchanged
from pipelines.warehouse.loading.load import load_chunk
from pipelines.warehouse.metrics import recompute_metrics
from pipelines.warehouse.tables import ensure_table

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.landing.files import Landed, LandingProblem

log = logs.get(__name__)


@dataclass
class Discovery:
    """Sort what lies in landing: new, unchanged, no delivery, still uploading; filled in turn.

    `waiting` are paths below landing. `errors` are failures that kept files in landing, for people.
    """

    pending: list[Delivery] = field(default_factory=list)
    unchanged: list[Delivery] = field(default_factory=list)
    problems: list[LandingProblem] = field(default_factory=list)
    waiting: list[Path] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def discover(
    deployment: Deployment,
    run_id: str,
    dates: tuple[date, date] | None = None,
    source: str | None = None,
    progress: Progress = silent,
    settle_seconds: float = 0.0,
) -> Discovery:
    """Archive the settled files of landing and return which of them are new deliveries.

    Only files of `source` and of the business `dates` (both count) are taken, if given; a range of
    dates never takes bulk files. Receipts that change nothing are recorded as unchanged, and their
    files removed. The Discovery also has the files that still wait, those that are nobody's, and
    the errors of files and disks that did not stop the rest. Raise StorageError if a disk is gone.
    """
    from pipelines.landing import files, receipts

    settings, catalog = deployment.settings, deployment.catalog
    discovery = Discovery()
    with step(settings, run_id, "discover", source or "") as timing:
        disks.require_all_disks(settings)
        try:
            receipts.tidy(settings.landing)
        except OSError as error:  # files in folders that can be read are taken all the same
            discovery.errors.append(str(failures.machine_error(settings, "landing", error)))
        landed, problems, uploading = files.look(settings.landing, catalog, settle_seconds)
        discovery.problems += problems
        wanted = _select(landed, source, dates)
        uploading = _select(uploading, source, dates)
        with logs.part("archive"):
            received = _archive(deployment, wanted, discovery, uploading, settle_seconds, progress)
        # Repeats are found by comparing each receipt with the one before it in its slot: the order
        # has to be that of receipt, whatever the names of the files are.
        received.sort(key=lambda delivery: delivery.order)
        with open_warehouse(settings, f"run {run_id}, discover") as connection:
            received, strays = returns.resolve_returns(connection, received)
            discovery.problems += [
                files.stray_return(stray.path, settings.landing) for stray in strays
            ]
            repeated = _sort_receipts(connection, received, discovery)
            record_unchanged(connection, repeated, run_id)
        # Only now, as the ledger has them: a run killed before this finds their files again.
        discovery.errors += _clear(settings, discovery.unchanged)
        discovery.waiting = [
            Path(files.printable(file.path, settings.landing)) for file in uploading
        ]
        timing.deliveries = len(received)
    return discovery


def _select(
    files: Iterable[Landed], source: str | None, dates: tuple[date, date] | None
) -> list[Landed]:
    """Return the files of a source and of a range of business dates; None selects all.

    Bulk files have no business date of their own: a range never selects them.
    """
    return [
        file
        for file in files
        if source in (None, file.source)
        and (
            dates is None
            or (file.business_date is not None and dates[0] <= file.business_date <= dates[1])
        )
    ]


def _archive(
    deployment: Deployment,
    wanted: Sequence[Landed],
    discovery: Discovery,
    uploading: list[Landed],
    settle_seconds: float,
    progress: Progress,
) -> list[Delivery]:
    """Copy files into the archive and return their deliveries.

    A file that cannot be received keeps no other from being received: it is added to `discovery`
    or, if somebody began to write it again meanwhile, to `uploading`.
    """
    from pipelines.landing import files, receipts

    settings, catalog = deployment.settings, deployment.catalog
    received: list[Delivery] = []
    archive_error: OSError | None = None
    for number, file in enumerate(wanted, start=1):
        try:
            received.append(receipts.receive(file, catalog, settings.archive, settle_seconds))
        except UsageError:
            uploading.append(file)
        except FileNotFoundError:
            log.debug("another run has taken a file", file=file.path.name)
        except receipts.UnreadableFileError as error:
            problem = files.unreadable(file.path, settings.landing, str(error))
            discovery.problems.append(problem)
        except OSError as error:
            # A full disk may have room for a smaller file; any other failure meets every file.
            archive_error = archive_error or error
            if not failures.is_out_of_space(error):
                break
        progress("archiving", number, len(wanted))
    if received:
        # Landing's files are removed because the archive has them: it must be on the disk by then.
        os.sync()
    if archive_error is not None:
        discovery.errors.append(str(failures.machine_error(settings, "archive", archive_error)))
    return received


def _sort_receipts(
    connection: sa.Connection, received: Sequence[Delivery], discovery: Discovery
) -> list[Delivery]:
    """Sort receipts into pending and unchanged ones; return the repeats that are not recorded yet.

    A receipt that the ledger has already (a killed run recorded it, or the file has two names) is
    unchanged, and needs no second record.
    """
    recorded = ledger.recorded(connection, received)
    news = {delivery.receipt: delivery for delivery in received if delivery.receipt not in recorded}
    discovery.unchanged += [
        delivery for delivery in received if news.get(delivery.receipt) is not delivery
    ]
    fresh = list(news.values())
    discovery.pending, repeated = _split_repeats(fresh, ledger.newest_inputs(connection, fresh))
    discovery.unchanged += repeated
    return repeated


def _split_repeats(
    received: Sequence[Delivery], newest: Mapping[tuple[str, ...], sa.Row[Any]]
) -> tuple[list[Delivery], list[Delivery]]:
    """Split `received` into deliveries with new content and repeats of their slot's latest one.

    The content is the bytes, their format and the contract's hash: the same bytes under a changed
    contract are new. `newest` is the ledger's latest receipt of each slot. A delivery is compared
    with the latest receipt only, so that A, B, A in a row load three times. A receipt older than
    the latest is never a repeat: loading decides where it belongs in its slot's history.
    """
    pending: list[Delivery] = []
    repeats: list[Delivery] = []
    latest: dict[tuple[str, ...], tuple[datetime, tuple[object, ...] | None]] = {
        slot: (row.received_at, (row.sha256, row.format, row.contract_hash) if row.stands else None)
        for slot, row in newest.items()
    }
    for delivery in received:
        content = (delivery.sha256, delivery.format, delivery.contract_hash)
        latest_at, latest_content = latest.get(delivery.slot, (delivery.received_at, None))
        is_newest = delivery.received_at >= latest_at
        (repeats if is_newest and content == latest_content else pending).append(delivery)
        if is_newest:
            latest[delivery.slot] = (delivery.received_at, content)
    return pending, repeats


def chunks(settings: Settings, pending: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Yield deliveries of one source at a time, few and small enough to be staged together.

    The same bytes received twice, with others between them, go into two chunks: a chunk names its
    deliveries by their bytes.
    """
    by_source = sorted(pending, key=lambda delivery: delivery.source)
    for _, deliveries in groupby(by_source, key=lambda delivery: delivery.source):
        chunk: dict[str, Delivery] = {}
        size = 0
        for delivery in deliveries:
            is_full = (
                len(chunk) >= settings.chunk_deliveries
                or size + delivery.size > settings.chunk_bytes
                or delivery.delivery_id in chunk
            )
            if chunk and is_full:
                yield list(chunk.values())
                chunk, size = {}, 0
            chunk[delivery.delivery_id] = delivery
            size += delivery.size
        if chunk:
            yield list(chunk.values())


def stage(
    deployment: Deployment,
    deliveries: Sequence[Delivery],
    run_id: str,
    number: int,
    progress: Progress = silent,
    done: int = 0,
    total: int = 0,
) -> StagedChunk:
    """Judge deliveries of one source; needs no warehouse and may run anywhere, in parallel.

    `number` tells a run's chunks apart. `progress` counts on from `done` to `total` deliveries.
    """
    from pipelines.staging import stage

    settings, catalog = deployment.settings, deployment.catalog
    name = deliveries[0].source
    count = iter(range(done + 1, done + len(deliveries) + 1))
    with step(settings, run_id, "stage", name) as timing:
        staged = stage.stage(
            deliveries,
            catalog.sources[name],
            catalog.suites[name],
            catalog.departments,
            settings,
            settings.staging / run_id / f"{name}-{number:04}",
            lambda _: progress("staging", next(count), total or len(deliveries)),
        )
        timing.deliveries = len(deliveries)
        timing.rows = sum(
            judgement.accounting.rows_read
            for judgement in staged.judgements
            if judgement.accounting
        )
    return staged


def _clear(settings: Settings, taken: Iterable[Delivery]) -> list[str]:
    """Remove recorded deliveries' files from landing; return why files are left, if any are."""
    from pipelines.landing import receipts

    errors: list[OSError] = []
    with logs.part("clear"):
        for delivery in taken:
            try:
                receipts.clear(delivery, settings.landing)
            except OSError as error:
                errors.append(error)
    then = f"files that were taken still lie there ({len(errors)}), and are not taken twice"
    return [str(failures.machine_error(settings, "landing", error, then)) for error in errors[:1]]


def load_staged(
    deployment: Deployment,
    staged: Sequence[StagedChunk],
    run_id: str,
    errors: list[str] | None = None,
) -> list[Judgement]:
    """Load staged chunks of any sources, then remove their files from landing and staging.

    Returns the final judgements, those of siblings judged anew included. If files cannot be removed
    from landing, the reason is appended to `errors`; without `errors`, StorageError is raised once
    everything is loaded.
    """
    settings, catalog = deployment.settings, deployment.catalog
    judgements: list[Judgement] = []
    names = ", ".join(sorted({chunk.source for chunk in staged}))
    with step(settings, run_id, "load", names) as timing:
        with open_warehouse(settings, f"run {run_id}, load {names}") as connection:
            if not ledger.is_in_force(connection, catalog):
                apply_configuration(connection, catalog)
            # Each chunk is a transaction of its own: a run that is killed keeps what it loaded, and
            # the next run finds the rest still in landing.
            for chunk in staged:
                load = Load.of(connection, deployment, chunk.source, run_id)
                judgements += load_chunk(load, chunk)
        # Files leave landing only after the commit. Killed in between, the next run receives them
        # again, sees that the ledger has their receipts, and only removes them.
        failed = _clear(
            settings, (judged.delivery for chunk in staged for judged in chunk.judgements)
        )
        for chunk in staged:
            discard(chunk.folder)
        timing.deliveries, accepted = len(judgements), 0
        for judgement in judgements:
            counts = judgement.accounting.model_dump() if judgement.accounting else {}
            accepted += counts.get("accepted", 0)
            log.debug(
                "delivery judged",
                delivery_id=judgement.delivery.delivery_id,
                delivery=str(judgement.delivery),
                verdict=judgement.verdict.value,
                **counts,
            )
        timing.rows = accepted
    if failed and errors is None:
        raise StorageError(failed[0])
    if errors is not None:
        errors += failed
    return judgements


def apply_configuration(connection: sa.Connection, catalog: Catalog) -> None:
    """Recompute metrics whose definition changed, then record the configuration as in force.

    In this order, so that a killed run recomputes them again. A source whose table cannot follow
    its contract is left to `citybrain rebuild`, which computes its metrics, too.
    """
    redefined = ledger.redefined_sources(connection, catalog)
    for name in sorted(redefined):
        with suppress(IncompatibleTableError):
            source, metrics = catalog.sources[name], catalog.metrics_of(name)
            with transaction(connection):
                ensure_table(connection, source)
                position = ledger.next_position(connection)
                recompute_metrics(connection, source, metrics, position)
    ledger.record_configuration(connection, catalog, bool(redefined))


def discard(folder: Path) -> None:
    """Remove a chunk's folder, and its run's folder if no other chunk is left in it."""
    shutil.rmtree(folder, ignore_errors=True)
    with suppress(OSError):
        folder.parent.rmdir()
