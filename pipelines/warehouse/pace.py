"""Feeds tracking from metric_daily and stores what it finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import date, timedelta

import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.models import Kind, Metric, Source, Target
from pipelines.deliveries.delivery import Judgement
from pipelines.engine import keep, rows, run, sql
from pipelines.errors import UsageError
from pipelines.tracking.calendar import WorkCalendar
from pipelines.tracking.freshness import Observation, Overdue, overdue
from pipelines.tracking.pace import Pace, Status, track
from pipelines.warehouse.ledger import last_position, latest_run, received_dates, refused

ATTENTION_DAYS = 62  # how far back gaps and refused deliveries are told: later it is history


def is_carried(metric: Metric, source: Source) -> bool:
    """Whether the metric's last observation holds until the next, instead of adding up."""
    return metric.kind is Kind.STOCK or (metric.kind is Kind.RATIO and source.content == "snapshot")


def observe(
    connection: sa.Connection,
    target: Target,
    metric: Metric,
    source: Source,
    as_of: date,
    position: int,
) -> dict[str, Observation]:
    """What each department reported of a target's metric as of a day, as known at a position."""
    _, revised = target.revised(as_of)
    query = sql("pace/carried.sql" if is_carried(metric, source) else "pace/summed.sql")
    values = {"metric": metric.name, "until": min(as_of, revised.end), "position": position}
    if not is_carried(metric, source):
        values["start"] = revised.start
    return {
        department: Observation(float(value), float(numerator), float(denominator), last)
        for department, value, numerator, denominator, last in rows(connection, query, **values)
    }


def compute_pace(
    connection: sa.Connection,
    catalog: Catalog,
    as_of: date,
    position: int | None = None,
    targets: Iterable[Target] | None = None,
) -> list[Pace]:
    """The pace of every target as of a day, as known at a ledger position (None: the newest)."""
    known_at = last_position(connection) if position is None else position
    calendar = WorkCalendar(catalog.holidays)
    paces: list[Pace] = []
    for target in catalog.targets.values() if targets is None else targets:
        metric = catalog.metrics[target.metric]
        source = catalog.sources[metric.source]
        paces += track(
            target,
            metric,
            observe(connection, target, metric, source, as_of, known_at),
            catalog.departments,
            target.departments or catalog.due_departments(source) or tuple(target.department_goals),
            source.due,
            calendar,
            as_of,
            carried=is_carried(metric, source),
        )
    return paces


def store_pace(
    connection: sa.Connection, paces: Sequence[Pace], run_id: str, configuration_hash: str
) -> None:
    """Append pace rows with everything needed to reproduce them."""
    columns = [
        "as_of",
        "target",
        "department",
        "revision",
        "baseline",
        "goal",
        "actual",
        "expected",
        "progress",
        "spi",
        "spi_t",
        "sv_t",
        "required_per_day",
        "days_elapsed",
        "days_left",
        "coverage",
        "status",
        "last_observed",
    ]
    records = [
        {
            "run_id": run_id,
            "configuration_hash": configuration_hash,
            "position": last_position(connection),
            **{name: value for name, value in asdict(pace).items() if name in columns},
            "status": str(pace.status),
        }
        for pace in paces
    ]
    if records:
        keep(connection, "paces", pa.Table.from_pylist(records))
        run(connection, "INSERT INTO pace BY NAME SELECT * FROM paces")


def stored_pace(connection: sa.Connection) -> list[Pace]:
    """The pace rows of the newest finished run."""
    latest = latest_run(connection)
    return [] if latest is None else pace_of_run(connection, latest.run_id)


def stored_as_of(connection: sa.Connection) -> date:
    """The day that the newest finished run looked at; UsageError before the first."""
    latest = latest_run(connection)
    if latest is None:
        raise UsageError("no run has finished yet: say --as-of")
    day: date = latest.as_of
    return day


def pace_of_run(connection: sa.Connection, run_id: str) -> list[Pace]:
    """The pace rows that a run stored, the city's first under each target."""
    found = rows(connection, sql("pace/of_run.sql"), run_id=run_id)
    return [Pace(**{**row._asdict(), "status": Status(row.status)}) for row in found]


def refused_deliveries(connection: sa.Connection, as_of: date) -> list[Judgement]:
    """Deliveries of the last ATTENTION_DAYS that were not taken and not sent again since."""
    return refused(connection, as_of - timedelta(days=ATTENTION_DAYS))


def overdue_feeds(connection: sa.Connection, catalog: Catalog, as_of: date) -> list[Overdue]:
    """Feeds that departments owe and have not sent, over the last ATTENTION_DAYS.

    Who sent something that was refused is not silent, and hears of that instead.
    """
    calendar = WorkCalendar(catalog.holidays)
    since = as_of - timedelta(days=ATTENTION_DAYS)
    received = received_dates(connection, catalog.sources, since)
    for judgement in refused_deliveries(connection, as_of):
        delivery = judgement.delivery
        if delivery.department is not None and delivery.business_date is not None:
            dates = received[delivery.source].setdefault(delivery.department, set())
            dates.add(delivery.business_date)
    found: list[Overdue] = []
    for name, source in catalog.sources.items():
        if source.due is None:
            continue
        start = max(source.due.start, since)
        recent = source.model_copy(update={"due": source.due.model_copy(update={"start": start})})
        found += overdue(recent, catalog.departments, received[name], as_of, calendar)
    return found
