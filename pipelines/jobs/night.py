"""Compose a night: intake, pace, alerts, publication, one digest.

`citybrain run` calls `run`, the nightly DAG the steps that follow the intake, in a task each.
"""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import clock
from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.deployment import Deployment
from pipelines.errors import CitybrainError
from pipelines.jobs import intake
from pipelines.machine import logs
from pipelines.machine.failures import translating
from pipelines.operations import database
from pipelines.operations.steps import Progress, new_run_id, silent, step
from pipelines.tracking.alerts import (
    Alert,
    delivery_alerts,
    digest,
    feed_alerts,
    landing_alerts,
    target_alerts,
)
from pipelines.tracking.pace import Pace, Status
from pipelines.warehouse import feeds, ledger
from pipelines.warehouse import pace as pace_store
from pipelines.warehouse import publish as publishing
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.loading import returns

if TYPE_CHECKING:
    import sqlalchemy as sa

    from pipelines.landing.files import LandingProblem

log = logs.get(__name__)
NOT_TAKEN = (Verdict.REJECTED, Verdict.HELD, Verdict.UNREADABLE)


@dataclass
class RunReport:
    """Collect a run's outcome: judgements, problems in landing, paces, alerts, errors."""

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
        """True if any file that arrived was not taken, or a step failed."""
        not_taken = any(judgement.verdict in NOT_TAKEN for judgement in self.judgements)
        return not_taken or bool(self.problems) or bool(self.errors)

    @property
    def is_behind(self) -> bool:
        """True if a target is behind or was missed."""
        return any(pace.status in (Status.BEHIND, Status.MISSED) for pace in self.paces)


def run(
    deployment: Deployment,
    as_of: date,
    dates: tuple[date, date] | None = None,
    progress: Progress = silent,
    settle_seconds: float = 0.0,
) -> RunReport:
    """Take every pending delivery in, then track, alert, publish and notify as of a day.

    `dates` limits the intake to deliveries of those business days (both count); bulk files, which
    have no day of their own, are then left for a run without it. Files that have not been still for
    `settle_seconds` are left for the next run. A source that cannot be loaded is reported and does
    not stop the others.
    """
    report = RunReport(new_run_id(), as_of)
    started_at = clock.now()
    try:
        discovery = intake.discover(
            deployment, report.run_id, dates, progress=progress, settle_seconds=settle_seconds
        )
    except CitybrainError as error:
        # Earlier nights' data is tracked and published all the same.
        discovery = intake.Discovery(errors=[str(error)])
    report.unchanged, report.problems = len(discovery.unchanged), discovery.problems
    report.waiting, report.errors = discovery.waiting, discovery.errors
    total = len(discovery.pending)
    judged: dict[tuple[str, datetime], Judgement] = {}
    done = 0
    for number, chunk in enumerate(intake.chunks(deployment.settings, discovery.pending)):
        name = chunk[0].source
        try:
            staged = intake.stage(deployment, chunk, report.run_id, number, progress, done, total)
            progress(f"loading {name}", done + len(chunk), total)
            loaded = intake.load_staged(deployment, [staged], report.run_id, report.errors)
            # A later chunk may judge an earlier one's deliveries anew: the last judgement counts.
            judged |= {judgement.delivery.receipt: judgement for judgement in loaded}
        except CitybrainError as error:
            report.errors.append(str(error))
        except Exception as error:
            # A defect of ours in one source must not take the other sources' night away.
            log.error(
                "a chunk could not be taken in",
                source=name,
                deliveries=len(chunk),
                **logs.arisen(error),
            )
            report.errors.append(f"{name}: {type(error).__name__}; this is a defect, see the log")
        done += len(chunk)
    # The chunks' own folders are gone already; this removes those of chunks that failed.
    report.judgements = list(judged.values())
    shutil.rmtree(deployment.settings.staging / report.run_id, ignore_errors=True)
    progress("tracking", done, total)
    _finish(deployment, report, started_at)
    return report


def _finish(deployment: Deployment, report: RunReport, started_at: datetime) -> None:
    """Track, alert, publish and notify; go on after a failure as far as that tells no untruth.

    Without pace nothing is published or sent. Without alerts figures are published, but no digest
    is sent, which would say that all is well. Without a new generation readers keep the last one,
    and the digest is sent.
    """
    run_id, as_of = report.run_id, report.as_of
    has_alerts = False
    try:
        report.paces = track(deployment, as_of, run_id)
        try:
            report.alerts = raise_alerts(deployment, as_of, run_id)
            has_alerts = True
        except CitybrainError as error:
            report.errors.append(str(error))
        close_run(deployment, as_of, run_id, started_at)
    except CitybrainError as error:
        report.errors.append(str(error))
        return
    try:
        report.generation = publish(deployment, run_id)
    except CitybrainError as error:
        report.errors.append(str(error))
    if not has_alerts:
        report.notified = "digest not sent: its alerts could not be stored"
        return
    try:
        report.notified = notify(deployment, as_of, run_id)
    except CitybrainError as error:
        report.errors.append(str(error))


def track(deployment: Deployment, as_of: date, run_id: str) -> list[Pace]:
    """Compute and store the pace of every target as of a day."""
    with (
        step(deployment.settings, run_id, "track") as timing,
        open_warehouse(deployment.settings, f"run {run_id}, track") as connection,
    ):
        if not ledger.is_in_force(connection, deployment.catalog):
            intake.apply_configuration(connection, deployment.catalog)
        paces = pace_store.store_pace(connection, deployment.catalog, as_of, run_id)
        timing.rows = len(paces)
    return paces


def raise_alerts(deployment: Deployment, as_of: date, run_id: str) -> list[Alert]:
    """Store an alert for each target at risk, delivery not taken, feed overdue, file of nobody."""
    from pipelines.landing import files

    settings, catalog = deployment.settings, deployment.catalog
    with step(settings, run_id, "alerts") as timing:
        with open_warehouse(settings, f"run {run_id}, alerts") as connection:
            refused = feeds.refused_deliveries(connection, as_of)
            paces = pace_store.stored_pace(connection, run_id)
            overdue = feeds.overdue_feeds(connection, catalog, as_of)
            # In Airflow the intake ran in other processes: landing is looked at once more.
            look = files.look(settings.landing, catalog)
            strays = returns.strays(connection, [file.path for file in look.landed])
        problems = [
            *look.problems,
            *(files.stray_return(path, settings.landing) for path in strays),
        ]
        alerts = [
            *target_alerts(paces, catalog.targets, catalog.metrics, catalog.departments),
            *delivery_alerts(refused, catalog.departments, catalog.sources),
            *feed_alerts(overdue, catalog.sources, catalog.departments),
            *landing_alerts((problem.path, problem.chinese) for problem in problems),
        ]
        with database.open_operations(settings) as connection:
            database.store_alerts(connection, alerts, run_id, as_of)
        timing.rows = len(alerts)
    return alerts


def close_run(deployment: Deployment, as_of: date, run_id: str, started_at: datetime) -> None:
    """Record in the ledger that the run is done, with its verdicts since the run before it."""
    with (
        translating(deployment.settings, "close run"),
        open_warehouse(deployment.settings, f"run {run_id}, close") as connection,
    ):
        judgements = ledger.judged_since_last_run(connection)
        ledger.record_run(
            connection,
            run_id,
            as_of,
            started_at,
            deployment.catalog.configuration_hash,
            dict(Counter(judgement.verdict.value for judgement in judgements)),
        )


def publish(
    deployment: Deployment, run_id: str | None = None, unpin: bool = False
) -> publishing.Generation:
    """Build, verify and put in place a read-only generation; `unpin` ends a rollback first.

    If people decided something since the last run, its pace is computed again first: a generation's
    figures and its ledger always agree.
    """
    settings, catalog = deployment.settings, deployment.catalog
    run_id = run_id or new_run_id()
    if unpin:
        publishing.unpin(settings)
    with step(settings, run_id, "publish") as timing:
        with open_warehouse(settings, f"run {run_id}, publish") as connection:
            latest = ledger.latest_run(connection)
            current = (ledger.last_position(connection), catalog.configuration_hash)
            if latest is not None and (latest.position, latest.configuration_hash) != current:
                _repeat_pace(connection, deployment, latest)
        # The warehouse is closed by now: building a generation opens it again and copies its file.
        with database.open_operations(settings) as connection:
            frames = database.export(connection)
        generation = publishing.publish(settings, catalog.sources, frames, database.METADATA)
        timing.rows = generation.rows
    return generation


def _repeat_pace(connection: sa.Connection, deployment: Deployment, latest: sa.Row[Any]) -> None:
    """Compute the latest run's pace from what the ledger holds now, as a run of its own.

    The new run has the latest run's day and start: it replaces its figures, not its night.
    """
    run_id = new_run_id()
    if not ledger.is_in_force(connection, deployment.catalog):
        intake.apply_configuration(connection, deployment.catalog)
    pace_store.store_pace(connection, deployment.catalog, latest.as_of, run_id)
    ledger.record_run(
        connection,
        run_id,
        latest.as_of,
        latest.started_at,
        deployment.catalog.configuration_hash,
        {},
    )


def notify(deployment: Deployment, as_of: date, run_id: str) -> str:
    """Send the run's one digest; return in one line for people whether it arrived."""
    from pipelines.outputs.notifications import send

    settings = deployment.settings
    with step(settings, run_id, "notify") as timing:
        with open_warehouse(settings, f"run {run_id}, notify") as connection:
            paces = pace_store.stored_pace(connection, run_id)
        with database.open_operations(settings) as connection:
            alerts = database.alerts_of_run(connection, run_id)
        title, body = digest(alerts, as_of, paces, deployment.catalog.targets)
        # No transaction stays open while channels answer: SQLite would lock people out.
        sent = send(settings, title, body)
        with database.open_operations(settings) as connection:
            database.store_notification(connection, run_id, title, body, sent.channels, sent.error)
        timing.rows = len(alerts)
    if sent.error is not None:
        return f"digest not delivered: {sent.error}"
    if not sent.channels:
        return "digest not sent: CITYBRAIN_NOTIFY_URLS is empty"
    return f"digest sent to {sent.channels} channels"
