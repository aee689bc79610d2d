"""The night: what a run does from its intake to its digest, and what follows the intake.

Only composition: the command line and the DAGs' tasks call the same functions.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import clock, published
from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.deployment import Deployment
from pipelines.errors import CitybrainError
from pipelines.jobs.intake import (
    Discovery,
    apply_configuration,
    chunks,
    discover,
    load_staged,
    stage,
)
from pipelines.machine import failures, logs
from pipelines.operations import database
from pipelines.operations.steps import Progress, counting, new_run_id, silent, step
from pipelines.tracking.alerts import (
    Alert,
    delivery_alerts,
    digest,
    feed_alerts,
    landing_alerts,
    target_alerts,
)
from pipelines.tracking.pace import Pace, Status
from pipelines.warehouse import ledger
from pipelines.warehouse import pace as pace_store
from pipelines.warehouse import publish as publishing
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import returns

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.landing.files import LandingProblem

log = logs.get(__name__)
BAD = (Verdict.REJECTED, Verdict.HELD, Verdict.UNREADABLE)


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


def run(
    deployment: Deployment,
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
    started_at = clock.now()
    try:
        found = discover(
            deployment, report.run_id, dates, progress=progress, settle_seconds=settle_seconds
        )
    except CitybrainError as error:  # what is loaded already is tracked and published all the same
        found = Discovery((), (), (), errors=(str(error),))
    report.unchanged, report.problems = len(found.unchanged), list(found.problems)
    report.waiting, report.errors = list(found.waiting), list(found.errors)
    judged: dict[tuple[str, datetime], Judgement] = {}
    done = 0
    for number, chunk in enumerate(chunks(deployment.settings, found.pending)):
        name = chunk[0].source
        try:
            watch = counting(progress, done, len(found.pending))
            staged = stage(deployment, chunk, report.run_id, number, watch)
            progress(f"loading {name}", done + len(chunk), len(found.pending))
            loaded = load_staged(deployment, [staged], report.run_id, report.errors)
            judged |= {judgement.delivery.receipt: judgement for judgement in loaded}
        except CitybrainError as error:
            report.errors.append(str(error))
        except Exception as error:  # a defect must not take the other sources' night away
            told = {"source": name, "deliveries": len(chunk)} | logs.arisen(error)
            log.error("a chunk could not be taken in", **told)
            report.errors.append(f"{name}: {type(error).__name__}; this is a defect, see the log")
        done += len(chunk)
    report.judgements = list(judged.values())
    shutil.rmtree(deployment.settings.staging / report.run_id, ignore_errors=True)
    progress("tracking", done, len(found.pending))
    finish(deployment, report, started_at)
    return report


def finish(deployment: Deployment, report: RunReport, started_at: datetime) -> None:
    """What follows the loads of a run: pace, alerts, publication, one digest."""
    run_id = report.run_id
    stored = True
    try:
        report.paces = track(deployment, report.as_of, run_id)
        try:
            report.alerts = raise_alerts(deployment, report.as_of, run_id)
        except CitybrainError as error:  # figures are published without them
            report.errors.append(str(error))
            stored = False
        close_run(deployment, report.as_of, run_id, started_at)
    except CitybrainError as error:
        report.errors.append(str(error))
        return  # nobody is told of figures that were not computed
    try:
        report.generation = publish(deployment, run_id)
    except CitybrainError as error:  # readers keep the last sound one, and people are told
        report.errors.append(str(error))
    if not stored:
        report.notified = "digest not sent: its alerts could not be stored"
        return
    try:
        report.notified = notify(deployment, report.as_of, run_id)
    except CitybrainError as error:
        report.errors.append(str(error))


def track(deployment: Deployment, as_of: date, run_id: str) -> list[Pace]:
    """Compute and store the pace of every target as of a day."""
    settings, catalog = deployment.settings, deployment.catalog
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


def raise_alerts(deployment: Deployment, as_of: date, run_id: str) -> list[Alert]:
    """Store an alert for each target at risk or behind, delivery not taken and feed overdue."""
    from pipelines.landing import files

    settings, catalog = deployment.settings, deployment.catalog
    with step(settings, run_id, "alerts") as told:
        with open_warehouse(settings, f"run {run_id}, alerts") as connection:
            refused = pace_store.refused_deliveries(connection, as_of)
            paces = pace_store.pace_of_run(connection, run_id)
            overdue = pace_store.overdue_feeds(connection, catalog, as_of)
            seen = files.look(settings.landing, catalog)
            strays = returns.strays(connection, [one.path for one in seen.landed])
        problems = [
            *seen.problems,
            *(files.stray_return(path, settings.landing) for path in strays),
        ]
        alerts = [
            *target_alerts(paces, catalog.targets, catalog.metrics, catalog.departments),
            *delivery_alerts(refused, catalog.departments, catalog.sources),
            *feed_alerts(overdue, catalog.sources, catalog.departments),
            *landing_alerts((problem.path, problem.chinese) for problem in problems),
        ]
        with database.open_operations(settings) as store:
            database.store_alerts(store, alerts, run_id, as_of)
        told.rows = len(alerts)
    return alerts


def close_run(deployment: Deployment, as_of: date, run_id: str, started_at: datetime) -> None:
    """Note in the ledger that the run is done, and what was judged since the one before it."""
    settings, catalog = deployment.settings, deployment.catalog
    with (
        failures.translating(settings, "close run"),
        open_warehouse(settings, f"run {run_id}, close") as connection,
    ):
        judgements = ledger.judged_since_last_run(connection)
        summary = dict(Counter(judgement.verdict.value for judgement in judgements))
        ledger.record_run(
            connection, run_id, as_of, started_at, catalog.configuration_hash, summary
        )


def publish(deployment: Deployment, run_id: str | None = None) -> publishing.Generation:
    """Build, verify and put in place a read-only generation.

    What people decided since the last run is in its pace, too.
    """
    settings, catalog = deployment.settings, deployment.catalog
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
                    connection,
                    again,
                    latest.as_of,
                    latest.started_at,
                    catalog.configuration_hash,
                    {},
                )
        with database.open_operations(settings) as store:
            frames = database.export(store)
        placed = publishing.publish(settings, catalog.sources, frames, database.METADATA)
        told.rows = placed.rows
    return placed


def notify(deployment: Deployment, as_of: date, run_id: str) -> str:
    """Send the run's one digest; says in a line what became of it."""
    from pipelines.outputs.notifications import send

    settings, catalog = deployment.settings, deployment.catalog
    with step(settings, run_id, "notify") as told:
        with open_warehouse(settings, f"run {run_id}, notify") as connection:
            paces = pace_store.pace_of_run(connection, run_id)
        with database.open_operations(settings) as store:
            alerts = database.alerts_of_run(store, run_id)
        title, body = digest(alerts, as_of, paces, catalog.targets)
        sent = send(settings, title, body)
        with database.open_operations(settings) as store:
            database.store_notification(store, run_id, title, body, sent.channels, sent.error)
        told.rows = len(alerts)
    if sent.error is not None:
        return f"digest not delivered: {sent.error}"
    if not sent.channels:
        return "digest not sent: CITYBRAIN_NOTIFY_URLS is empty"
    return f"digest sent to {sent.channels} channels"


def status(
    deployment: Deployment, as_of: date | None = None, known_at: int | None = None
) -> list[Pace]:
    """The pace of targets from the published generation: as the last run found it, or as of a day.

    `known_at` is a ledger position: what was known then.
    """
    engine = published.engine(deployment.settings)
    try:
        with engine.connect() as connection:
            if as_of is None and known_at is None:
                return pace_store.stored_pace(connection)
            day = as_of or pace_store.stored_as_of(connection)
            return pace_store.compute_pace(connection, deployment.catalog, day, known_at)
    finally:
        engine.dispose()
