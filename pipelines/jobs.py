"""Use cases. Only composition: the command line and the DAGs' tasks call the same functions.

Staging's modules are imported inside the functions that stage: they cost seconds, and most
commands do not stage.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import logs, operations, published, storage
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.delivery import Delivery, Judgement, StagedChunk, Verdict
from pipelines.errors import (
    CitybrainError,
    IncompatibleTableError,
    StorageError,
    UsageError,
)
from pipelines.settings import Settings
from pipelines.tracking.alerts import (
    Alert,
    delivery_alerts,
    digest,
    feed_alerts,
    landing_alerts,
    target_alerts,
)
from pipelines.tracking.pace import Pace, Status
from pipelines.warehouse import ledger, load
from pipelines.warehouse import pace as pace_store
from pipelines.warehouse import publish as publishing
from pipelines.warehouse.connection import open_warehouse

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.ingest.landing import LandingProblem

log = logs.get(__name__)
BAD = (Verdict.REJECTED, Verdict.HELD, Verdict.UNREADABLE)
Progress = Callable[[str, int, int], None]  # what, done, of how many


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


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


@dataclass
class RunReport:
    """What a run did: every delivery's judgement, every target's pace, the published file."""

    run_id: str
    as_of: date
    judgements: list[Judgement] = field(default_factory=list)
    unchanged: int = 0
    problems: list[LandingProblem] = field(default_factory=list)
    waiting: list[Path] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    paces: list[Pace] = field(default_factory=list)
    alerts: list[Alert] = field(default_factory=list)
    notified: str = ""
    generation: publishing.Generation | None = None

    @property
    def has_rejections(self) -> bool:
        """Whether anything that arrived was not taken."""
        bad = any(judgement.verdict in BAD for judgement in self.judgements)
        return bad or bool(self.problems) or bool(self.errors)

    @property
    def is_behind(self) -> bool:
        """Whether a target is behind or was missed."""
        return any(pace.status in (Status.BEHIND, Status.MISSED) for pace in self.paces)


@contextmanager
def step(settings: Settings, run_id: str, name: str, source: str = "") -> Iterator[logs.Step]:
    """One step of a run: logged, timed, kept in `ops.step`; a disk's refusal said in words."""
    told: logs.Step | None = None
    try:
        doing = f"{name} {source}".strip()
        with storage.disk(settings, doing), logs.step(run_id, name, source) as told:
            yield told
    finally:
        if told is not None:
            _keep_step(settings, told)


def _keep_step(settings: Settings, told: logs.Step) -> None:
    """Timings are no reason to fail: where they cannot be kept, that is logged."""
    import sqlalchemy as sa

    try:
        with operations.open_operations(settings) as store:
            operations.store_step(store, told)
    except (sa.exc.SQLAlchemyError, OSError, CitybrainError) as error:
        log.warning("a step's timing was not kept", step=told.name, why=type(error).__name__)


def new_run_id() -> str:
    """Identifies one run: its UTC time, and what tells two runs of a second apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def run(
    settings: Settings,
    catalog: Catalog,
    as_of: date,
    dates: tuple[date, date] | None = None,
    progress: Progress = silent,
    settle_seconds: float = 0.0,
) -> RunReport:
    """The whole night: every pending delivery into the warehouse, pace, alerts, publication.

    `dates` limits it to deliveries of those business days (both count); bulk files, which have
    no day of their own, are then left for a run without it. Files that have not been still for
    `settle_seconds` are left for the next run. A source that cannot be loaded is
    reported and does not stop the others.
    """
    report = RunReport(new_run_id(), as_of)
    started_at = datetime.now(UTC).replace(tzinfo=None)
    try:
        found = discover(
            settings, catalog, report.run_id, dates, progress=progress,
            settle_seconds=settle_seconds,
        )  # fmt: skip
    except CitybrainError as error:  # what is loaded already is tracked and published all the same
        found = Discovery((), (), (), errors=(str(error),))
    report.unchanged, report.problems = len(found.unchanged), list(found.problems)
    report.waiting, report.errors = list(found.waiting), list(found.errors)
    judged: dict[tuple[str, datetime], Judgement] = {}
    done = 0
    for number, chunk in enumerate(chunks(settings, found.pending)):
        name = chunk[0].source
        try:
            watch = counting(progress, done, len(found.pending))
            staged = stage(settings, catalog, chunk, report.run_id, number, watch)
            progress(f"loading {name}", done + len(chunk), len(found.pending))
            loaded = load_staged(settings, catalog, [staged], report.run_id, report.errors)
            judged |= {judgement.delivery.receipt: judgement for judgement in loaded}
        except CitybrainError as error:
            report.errors.append(str(error))
        except Exception as error:  # a defect must not take the other sources' night away
            told = {"source": name, "deliveries": len(chunk)} | logs.arisen(error)
            log.error("a chunk could not be taken in", **told)
            report.errors.append(f"{name}: {type(error).__name__}; this is a defect, see the log")
        done += len(chunk)
    report.judgements = list(judged.values())
    shutil.rmtree(settings.staging / report.run_id, ignore_errors=True)
    progress("tracking", done, len(found.pending))
    finish(settings, catalog, report, started_at)
    return report


def counting(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Progress within one chunk as progress within all of them."""
    return lambda done: progress("staging", before + done, total)


def discover(
    settings: Settings,
    catalog: Catalog,
    run_id: str,
    dates: tuple[date, date] | None = None,
    source: str | None = None,
    progress: Progress = silent,
    settle_seconds: float = 0.0,
) -> Discovery:
    """Archive what lies in landing and is settled, and tell what of it is new.

    Receipts that change nothing are recorded as unchanged and cleared away.
    """
    from pipelines.ingest import landing

    problems: list[LandingProblem] = []
    waiting: list[landing.Landed] = []
    with step(settings, run_id, "discover", source or "") as told:
        storage.require_all(settings)
        errors: list[str] = []
        try:
            landing.put_back(settings.landing)
        except OSError as error:  # what else lies in landing is taken all the same
            errors.append(str(storage.explained(settings, "landing", error)))
        landing.clear_markers(settings.landing)
        landed, problems, waiting = landing.look(settings.landing, catalog, settle_seconds)
        wanted = [one for one in landed if source in (None, one.source) and _within(one, dates)]
        waiting = [one for one in waiting if source in (None, one.source) and _within(one, dates)]
        received: list[Delivery] = []
        unkept: list[OSError] = []
        with logs.part("archive"):
            for number, one in enumerate(wanted, start=1):
                try:
                    received.append(landing.receive(one, catalog, settings.archive, settle_seconds))
                except UsageError:  # another upload of it has just begun
                    waiting.append(one)
                except FileNotFoundError:
                    log.debug("another run has taken a file", file=one.path.name)
                except landing.UnreadableFileError as error:
                    problems.append(landing.unreadable(one, settings.landing, error))
                except OSError as error:  # the archive's disk
                    unkept.append(error)
                    if not storage.is_full(error):  # nor will it take anything else
                        break
                progress("archiving", number, len(wanted))
        if received:
            os.sync()  # landing is cleared on the archive's word
        errors += [str(storage.explained(settings, "archive", error)) for error in unkept[:1]]
        received.sort(key=lambda one: one.order)
        with open_warehouse(settings, f"run {run_id}, discover") as connection:
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
        tuple(Path(landing.printable(one.path, settings.landing)) for one in waiting),
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
    settings: Settings,
    catalog: Catalog,
    deliveries: Sequence[Delivery],
    run_id: str,
    number: int,
    progress: Callable[[int], None] = lambda done: None,
) -> StagedChunk:
    """Judge deliveries of one source; needs no warehouse and may run anywhere, in parallel."""
    from pipelines.ingest import staging

    name = deliveries[0].source
    count = iter(range(1, len(deliveries) + 1))
    with step(settings, run_id, "stage", name) as told:
        staged = staging.stage(
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
    from pipelines.ingest import landing

    kept: list[OSError] = []
    with logs.part("clear"):
        for delivery in taken:
            try:
                landing.clear(delivery, settings.landing)
            except OSError as error:
                kept.append(error)
    then = f"files that were taken still lie there ({len(kept)}), and are not taken twice"
    return [str(storage.explained(settings, "landing", error, then)) for error in kept[:1]]


def load_staged(
    settings: Settings,
    catalog: Catalog,
    staged: Sequence[StagedChunk],
    run_id: str,
    errors: list[str] | None = None,
) -> list[Judgement]:
    """Load staged chunks of any sources, then clear their files from landing and staging.

    What keeps files in landing is appended to `errors`; without it StorageError is raised, when
    everything is loaded.
    """
    final: list[Judgement] = []
    name = ", ".join(sorted({chunk.source for chunk in staged}))
    with step(settings, run_id, "load", name) as told:
        with open_warehouse(settings, f"run {run_id}, load {name}") as connection:
            apply_configuration(connection, catalog)
            for chunk in staged:
                source = catalog.sources[chunk.source]
                metrics = catalog.metrics_of(source.name)
                final += load.load_chunk(connection, chunk, source, metrics, run_id)
        kept = _clear(settings, (one.delivery for chunk in staged for one in chunk.judgements))
        for chunk in staged:
            discard(chunk.folder)
        told.deliveries = len(final)
        told.rows = sum(one.accounting.accepted for one in final if one.accounting)
    for judgement in final:
        counts = judgement.accounting.model_dump() if judgement.accounting else {}
        log.debug(
            "delivery judged", run_id=run_id, delivery_id=judgement.delivery.delivery_id,
            delivery=str(judgement.delivery), verdict=judgement.verdict.value, **counts,
        )  # fmt: skip
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


def finish(settings: Settings, catalog: Catalog, report: RunReport, started_at: datetime) -> None:
    """What follows the loads of a run: pace, alerts, publication, one digest."""
    run_id = report.run_id
    stored = True
    try:
        report.paces = track(settings, catalog, report.as_of, run_id)
        try:
            report.alerts = raise_alerts(settings, catalog, report.as_of, run_id)
        except CitybrainError as error:  # figures are published without them
            report.errors.append(str(error))
            stored = False
        close_run(settings, catalog, report.as_of, run_id, started_at)
    except CitybrainError as error:
        report.errors.append(str(error))
        return  # nobody is told of figures that were not computed
    try:
        report.generation = publish(settings, catalog, run_id)
    except CitybrainError as error:  # readers keep the last sound one, and people are told
        report.errors.append(str(error))
    if not stored:
        report.notified = "digest not sent: its alerts could not be stored"
        return
    try:
        report.notified = notify(settings, catalog, report.as_of, run_id)
    except CitybrainError as error:
        report.errors.append(str(error))


def track(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> list[Pace]:
    """Compute and store the pace of every target as of a day."""
    with (
        step(settings, run_id, "track") as told,
        open_warehouse(settings, f"run {run_id}, track") as connection,
    ):
        apply_configuration(connection, catalog)
        paces = _store_pace(connection, catalog, as_of, run_id)
        told.rows = len(paces)
    return paces


def _store_pace(
    connection: sa.Connection, catalog: Catalog, as_of: date, run_id: str
) -> list[Pace]:
    paces = pace_store.compute_pace(connection, catalog, as_of)
    pace_store.store_pace(connection, paces, run_id, catalog.configuration_hash)
    return paces


def raise_alerts(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> list[Alert]:
    """Store an alert for each target at risk or behind, delivery not taken and feed overdue."""
    from pipelines.ingest import landing

    with step(settings, run_id, "alerts") as told:
        with open_warehouse(settings, f"run {run_id}, alerts") as connection:
            refused = pace_store.refused_deliveries(connection, as_of)
            paces = pace_store.pace_of_run(connection, run_id)
            overdue = pace_store.overdue_feeds(connection, catalog, as_of)
        problems = landing.look(settings.landing, catalog).problems
        alerts = [
            *target_alerts(paces, catalog.targets, catalog.metrics, catalog.departments),
            *delivery_alerts(refused, catalog.departments, catalog.sources),
            *feed_alerts(overdue, catalog.sources, catalog.departments),
            *landing_alerts((problem.path, problem.chinese) for problem in problems),
        ]
        with operations.open_operations(settings) as store:
            operations.store_alerts(store, alerts, run_id, as_of)
        told.rows = len(alerts)
    return alerts


def close_run(
    settings: Settings, catalog: Catalog, as_of: date, run_id: str, started_at: datetime
) -> None:
    """Note in the ledger that the run is done, and what was judged since the one before it."""
    with (
        storage.disk(settings, "close run"),
        open_warehouse(settings, f"run {run_id}, close") as connection,
    ):
        judgements = ledger.judged_since_last_run(connection)
        summary = dict(Counter(judgement.verdict.value for judgement in judgements))
        ledger.record_run(
            connection, run_id, as_of, started_at, catalog.configuration_hash, summary
        )


def publish(
    settings: Settings, catalog: Catalog, run_id: str | None = None
) -> publishing.Generation:
    """Build, verify and put in place a read-only generation.

    What people decided since the last run is in its pace, too.
    """
    run_id = run_id or new_run_id()
    with step(settings, run_id, "publish") as told:
        with open_warehouse(settings, f"run {run_id}, publish") as connection:
            latest = ledger.latest_run(connection)
            stands = (ledger.last_position(connection), catalog.configuration_hash)
            if latest is not None and (latest.position, latest.configuration_hash) != stands:
                again = new_run_id()
                apply_configuration(connection, catalog)
                _store_pace(connection, catalog, latest.as_of, again)
                ledger.record_run(  # still that night's, told anew
                    connection, again, latest.as_of, latest.started_at,
                    catalog.configuration_hash, {},
                )  # fmt: skip
        with operations.open_operations(settings) as store:
            frames = operations.export(store)
        placed = publishing.publish(settings, catalog.sources, frames, operations.METADATA)
        told.rows = placed.rows
    return placed


def notify(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> str:
    """Send the run's one digest; says in a line what became of it."""
    from pipelines.outputs.notify import send

    with step(settings, run_id, "notify") as told:
        with open_warehouse(settings, f"run {run_id}, notify") as connection:
            paces = pace_store.pace_of_run(connection, run_id)
        with operations.open_operations(settings) as store:
            alerts = operations.alerts_of_run(store, run_id)
        title, body = digest(alerts, as_of, paces, catalog.targets)
        sent = send(settings, title, body)
        with operations.open_operations(settings) as store:
            operations.store_notification(store, run_id, title, body, sent.channels, sent.error)
        told.rows = len(alerts)
    if sent.error is not None:
        return f"digest not delivered: {sent.error}"
    if not sent.channels:
        return "digest not sent: CITYBRAIN_NOTIFY_URLS is empty"
    return f"digest sent to {sent.channels} channels"


def status(
    settings: Settings, catalog: Catalog, as_of: date | None = None, known_at: int | None = None
) -> list[Pace]:
    """The pace of targets from the published generation: as the last run found it, or as of a day.

    `known_at` is a ledger position: what was known then.
    """
    engine = published.engine(settings)
    try:
        with engine.connect() as connection:
            if as_of is None and known_at is None:
                return pace_store.stored_pace(connection)
            day = as_of or pace_store.stored_as_of(connection)
            return pace_store.compute_pace(connection, catalog, day, known_at)
    finally:
        engine.dispose()
