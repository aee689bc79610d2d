"""Feed tracking from `metric_daily`, store the pace that it computes, and read it again."""

from __future__ import annotations

from dataclasses import asdict
from datetime import date

import pyarrow as pa
import sqlalchemy as sa

from pipelines import published
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.metrics import Kind
from pipelines.contracts.targets import Target
from pipelines.engine import keep, literal, quoted, rows, run, sql
from pipelines.errors import UsageError
from pipelines.settings import Settings
from pipelines.tracking.calendar import Observation, WorkCalendar, owing_departments
from pipelines.tracking.earned_value import track
from pipelines.tracking.pace import Pace, Status, pace_columns
from pipelines.warehouse.ledger import last_position, latest_run

SQL_TYPES = {str: "VARCHAR", Status: "VARCHAR", int: "INTEGER", float: "DOUBLE", date: "DATE"}


def compute_pace(
    connection: sa.Connection, catalog: Catalog, as_of: date, position: int | None = None
) -> list[Pace]:
    """Return every target's pace as of a day, as known at a ledger position (None: the newest)."""
    position = last_position(connection) if position is None else position
    calendar = WorkCalendar(catalog.holidays)
    paces: list[Pace] = []
    for target in catalog.targets.values():
        metric = catalog.metrics[target.metric]
        source = catalog.sources[metric.source]
        is_carried = metric.kind is Kind.STOCK or (
            metric.kind is Kind.RATIO and source.content == "snapshot"
        )
        paces += track(
            target,
            metric,
            _observe(connection, target, as_of, position, is_carried),
            catalog.departments,
            target.departments
            or owing_departments(source.due, catalog.departments)
            or tuple(target.department_goals),
            source.due,
            calendar,
            as_of,
            is_carried=is_carried,
        )
    return paces


def _observe(
    connection: sa.Connection, target: Target, as_of: date, position: int, is_carried: bool
) -> dict[str, Observation]:
    """Return what each department reported of a target's metric within the target's window."""
    _, revised = target.revised(as_of)
    observations = rows(
        connection,
        sql("pace/observed.sql"),
        metric=target.metric,
        is_carried=is_carried,
        since=revised.start,
        until=min(as_of, revised.end),
        position=position,
    )
    return {
        department: Observation(float(value), float(numerator), float(denominator), last)
        for department, value, numerator, denominator, last in observations
    }


def store_pace(connection: sa.Connection, catalog: Catalog, as_of: date, run_id: str) -> list[Pace]:
    """Compute the pace of a run and append it, with everything needed to reproduce it."""
    position = last_position(connection)
    paces = compute_pace(connection, catalog, as_of, position)
    provenance = {
        "run_id": run_id,
        "configuration_hash": catalog.configuration_hash,
        "position": position,
    }
    if paces:
        table = pa.Table.from_pylist([provenance | asdict(pace) for pace in paces])
        keep(connection, "_paces", table)
        run(connection, "INSERT INTO pace BY NAME SELECT * FROM _paces")
    return paces


def stored_pace(connection: sa.Connection, run_id: str | None = None) -> list[Pace]:
    """Return the pace rows of a run (None: the newest finished one), each target's city first."""
    query = sql("pace/of_run.sql", columns=", ".join(map(quoted, pace_columns())))
    return [
        Pace(**row._asdict() | {"status": Status(row.status)})
        for row in rows(connection, query, run_id=run_id)
    ]


def ensure_pace_columns(connection: sa.Connection) -> None:
    """Add the columns that `Pace` declares and the table has not.

    The first migration made the table, and what a migration makes is never edited; a column
    declared since comes from here, into new warehouses and into old ones alike. Runs of before it
    have no value there: it is NULL.
    """
    query = (
        "SELECT column_name FROM duckdb_columns() WHERE table_name = 'pace' "
        "AND schema_name = 'main' AND database_name = current_database()"
    )
    present = {name for (name,) in rows(connection, query)}
    for name, (kind, column) in pace_columns().items():
        if name not in present:
            place = f"pace.{quoted(name)}"
            run(connection, f"ALTER TABLE pace ADD COLUMN {quoted(name)} {SQL_TYPES[kind]}")
            run(connection, f"COMMENT ON COLUMN {place} IS {literal(column.chinese)}")


def status(
    settings: Settings,
    catalog: Catalog | None = None,
    as_of: date | None = None,
    known_at: int | None = None,
) -> list[Pace]:
    """Return the pace of targets from the published generation.

    Without a catalog it is what the newest run stored. With one it is computed: as of a day (None:
    that of the newest run), from what was known at the ledger position `known_at`.
    """
    with published.engine(settings).connect() as connection:
        if catalog is None:
            return stored_pace(connection)
        if as_of is None:
            newest = latest_run(connection)
            if newest is None:
                raise UsageError("no run has finished yet: name a day with --as-of")
            as_of = newest.as_of
        return compute_pace(connection, catalog, as_of, known_at)
