"""Use cases. Only composition: the command line and the DAGs' tasks call the same functions.

Staging's modules are imported inside the functions that stage: they cost seconds, and most
commands do not stage.
"""

from __future__ import annotations

import logging
import shutil
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import operations, published
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.delivery import Delivery, Judgement, StagedChunk, Verdict
from pipelines.contracts.reasons import Reason
from pipelines.errors import (
    CitybrainError,
    IncompatibleTableError,
    UsageError,
    VerificationError,
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

log = logging.getLogger(__name__)
BAD = (Verdict.REJECTED, Verdict.HELD, Verdict.UNREADABLE)
Progress = Callable[[str, int, int], None]  # what, done, of how many


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


@dataclass(frozen=True)
class Discovery:
    """What lies in landing: to be staged, changing nothing, and nobody's delivery."""

    pending: tuple[Delivery, ...]
    unchanged: tuple[Delivery, ...]
    problems: tuple[LandingProblem, ...]


@dataclass
class RunReport:
    """What a run did: every delivery's judgement, every target's pace, the published file."""

    run_id: str
    as_of: date
    judgements: list[Judgement] = field(default_factory=list)
    unchanged: int = 0
    problems: list[LandingProblem] = field(default_factory=list)
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


def new_run_id() -> str:
    """Identifies one run: its UTC time, and what tells two runs of a second apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"


def run(
    settings: Settings,
    catalog: Catalog,
    as_of: date,
    dates: tuple[date, date] | None = None,
    progress: Progress = silent,
) -> RunReport:
    """The whole night: every pending delivery into the warehouse, pace, alerts, publication.

    `dates` limits it to deliveries of those business days (both count); bulk files, which have
    no day of their own, are then left for a run without it. A source that cannot be loaded is
    reported and does not stop the others.
    """
    report = RunReport(new_run_id(), as_of)
    started_at = datetime.now(UTC).replace(tzinfo=None)
    found = discover(settings, catalog, report.run_id, dates, progress=progress)
    report.unchanged, report.problems = len(found.unchanged), list(found.problems)
    done = 0
    for number, chunk in enumerate(chunks(settings, found.pending)):
        name = chunk[0].source
        try:
            watch = counting(progress, done, len(found.pending))
            staged = stage(settings, catalog, chunk, report.run_id, number, watch)
            progress(f"loading {name}", done + len(chunk), len(found.pending))
            report.judgements += load_staged(settings, catalog, [staged], report.run_id)
        except (CitybrainError, OSError) as error:
            report.errors.append(str(error))
        except Exception as error:  # a defect must not take the other sources' night away
            log.exception("could not take in %d deliveries of %s", len(chunk), name)
            report.errors.append(f"{name}: {type(error).__name__}: {error}; this is a defect")
        done += len(chunk)
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
) -> Discovery:
    """Archive what lies in landing and tell what of it is new.

    Receipts that change nothing are recorded as unchanged and cleared away.
    """
    from pipelines.ingest import landing

    landed, problems = landing.look(settings.landing, catalog)
    wanted = [one for one in landed if source in (None, one.source) and _within(one, dates)]
    received: list[Delivery] = []
    for number, one in enumerate(wanted, start=1):
        try:
            received.append(landing.receive(one, catalog, settings.archive))
        except (UsageError, OSError) as error:
            problems.append(
                landing.LandingProblem(
                    str(one.path.relative_to(settings.landing)), str(error),
                    "it stays for the next run", "文件尚未写完或无法读取，下次运行时再取",
                )
            )  # fmt: skip
        progress("archiving", number, len(wanted))
    received.sort(key=lambda one: (one.received_at, str(one), one.delivery_id))
    with open_warehouse(settings, "discover") as connection:
        again, known = ledger.known_before(connection, received)
        done = {one.delivery_id for one in again}
        fresh = [one for one in received if one.delivery_id not in done]
        pending, repeated = _without_repeats(fresh, {one.delivery_id for one in known})
        load.record_unchanged(connection, repeated, run_id)
    unchanged = (*again, *repeated)
    for delivery in unchanged:
        landing.clear(delivery, settings.landing)
    return Discovery(tuple(_refuse_mixed_parts(pending)), unchanged, tuple(problems))


def _within(landed: object, dates: tuple[date, date] | None) -> bool:
    day = getattr(landed, "business_date", None)
    return dates is None or (day is not None and dates[0] <= day <= dates[1])


def _without_repeats(
    received: Sequence[Delivery], known: Collection[str]
) -> tuple[list[Delivery], list[Delivery]]:
    """Those that bring their slot other bytes than its previous receipt, and the others.

    The previous receipt is one of this very run, or else the ledger's latest: then the ids in
    `known` bring nothing.
    """
    pending: list[Delivery] = []
    repeated: list[Delivery] = []
    latest: dict[tuple[str, ...], str] = {}
    for delivery in received:
        before = latest.get(delivery.slot)
        is_same = delivery.delivery_id in known if before is None else before == delivery.sha256
        (repeated if is_same else pending).append(delivery)
        latest[delivery.slot] = delivery.sha256
    return pending, repeated


def _refuse_mixed_parts(pending: Iterable[Delivery]) -> Iterator[Delivery]:
    """A day that comes both whole and in parts is refused altogether."""
    pending = list(pending)
    kinds: dict[tuple[str, ...], set[bool]] = {}
    for delivery in pending:
        kinds.setdefault(delivery.slot[:3], set()).add(delivery.part == "")
    for delivery in pending:
        is_mixed = len(kinds[delivery.slot[:3]]) > 1 and delivery.refusal is None
        refusal = {"refusal": Reason(code="parts_mixed")} if is_mixed else {}
        yield delivery.model_copy(update=refusal)


def chunks(settings: Settings, pending: Iterable[Delivery]) -> Iterator[list[Delivery]]:
    """Deliveries of one source at a time, few and small enough to be staged together."""
    by_source = sorted(pending, key=lambda one: one.source)
    for _, group in groupby(by_source, key=lambda one: one.source):
        chunk: list[Delivery] = []
        size = 0
        for delivery in group:
            full = len(chunk) >= settings.chunk_deliveries
            if chunk and (full or size + delivery.size > settings.chunk_bytes):
                yield chunk
                chunk, size = [], 0
            chunk.append(delivery)
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
    return staging.stage(
        deliveries,
        catalog.sources[name],
        catalog.suites[name],
        catalog.departments,
        settings,
        settings.staging / run_id / f"{name}-{number:04}",
        lambda delivery: progress(next(count)),
    )


def load_staged(
    settings: Settings, catalog: Catalog, staged: Sequence[StagedChunk], run_id: str
) -> list[Judgement]:
    """Load staged chunks of any sources, then clear their files from landing and staging."""
    from pipelines.ingest import landing

    final: list[Judgement] = []
    with open_warehouse(settings, f"run {run_id}") as connection:
        apply_configuration(connection, catalog)
        for chunk in staged:
            source = catalog.sources[chunk.source]
            metrics = catalog.metrics_of(source.name)
            final += load.load_chunk(connection, chunk, source, metrics, run_id)
    for chunk in staged:
        for judgement in chunk.judgements:
            landing.clear(judgement.delivery, settings.landing)
        discard(chunk.folder)
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
    report.paces = track(settings, catalog, report.as_of, report.run_id)
    report.alerts = raise_alerts(settings, catalog, report.as_of, report.run_id)
    close_run(settings, catalog, report.as_of, report.run_id, started_at)
    try:
        report.generation = publish(settings, catalog)
    except VerificationError as error:  # readers keep the last sound one, and people are told
        report.errors.append(str(error))
    report.notified = notify(settings, catalog, report.as_of, report.run_id)


def track(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> list[Pace]:
    """Compute and store the pace of every target as of a day."""
    with open_warehouse(settings, "track") as connection:
        apply_configuration(connection, catalog)
        return _store_pace(connection, catalog, as_of, run_id)


def _store_pace(
    connection: sa.Connection, catalog: Catalog, as_of: date, run_id: str
) -> list[Pace]:
    paces = pace_store.compute_pace(connection, catalog, as_of)
    pace_store.store_pace(connection, paces, run_id, catalog.configuration_hash)
    return paces


def raise_alerts(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> list[Alert]:
    """Store an alert for each target at risk or behind, delivery not taken and feed overdue."""
    from pipelines.ingest import landing

    with open_warehouse(settings, "alerts") as connection:
        refused = pace_store.refused_deliveries(connection, as_of)
        paces = pace_store.pace_of_run(connection, run_id)
        overdue = pace_store.overdue_feeds(connection, catalog, as_of)
    _, problems = landing.look(settings.landing, catalog)
    alerts = [
        *target_alerts(paces, catalog.targets, catalog.metrics, catalog.departments),
        *delivery_alerts(refused, catalog.departments, catalog.sources),
        *feed_alerts(overdue, catalog.sources, catalog.departments),
        *landing_alerts((problem.path, problem.chinese) for problem in problems),
    ]
    with operations.open_operations(settings) as store:
        operations.store_alerts(store, alerts, run_id, as_of)
    return alerts


def close_run(
    settings: Settings, catalog: Catalog, as_of: date, run_id: str, started_at: datetime
) -> None:
    """Note in the ledger that the run is done, and what was judged since the one before it."""
    with open_warehouse(settings, "close run") as connection:
        judgements = ledger.judged_since_last_run(connection)
        summary = dict(Counter(judgement.verdict.value for judgement in judgements))
        ledger.record_run(
            connection, run_id, as_of, started_at, catalog.configuration_hash, summary
        )


def publish(settings: Settings, catalog: Catalog) -> publishing.Generation:
    """Build, verify and put in place a read-only generation.

    What people decided since the last run is in its pace, too.
    """
    with open_warehouse(settings, "publish") as connection:
        latest = ledger.latest_run(connection)
        stands = (ledger.last_position(connection), catalog.configuration_hash)
        if latest is not None and (latest.position, latest.configuration_hash) != stands:
            run_id, started_at = new_run_id(), datetime.now(UTC).replace(tzinfo=None)
            apply_configuration(connection, catalog)
            _store_pace(connection, catalog, latest.as_of, run_id)
            ledger.record_run(
                connection, run_id, latest.as_of, started_at, catalog.configuration_hash, {}
            )
    with operations.open_operations(settings) as store:
        frames = operations.export(store)
    return publishing.publish(settings, catalog.sources, frames, operations.METADATA)


def notify(settings: Settings, catalog: Catalog, as_of: date, run_id: str) -> str:
    """Send the run's one digest; says in a line what became of it."""
    from pipelines.outputs.notify import send

    with open_warehouse(settings, "digest") as connection:
        paces = pace_store.pace_of_run(connection, run_id)
    with operations.open_operations(settings) as store:
        alerts = operations.alerts_of_run(store, run_id)
        title, body = digest(alerts, as_of, paces, catalog.targets)
        sent = send(settings, title, body)
        operations.store_notification(store, run_id, title, body, sent.channels, sent.error)
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
