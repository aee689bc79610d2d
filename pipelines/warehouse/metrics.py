"""Compile metrics.yaml to SQL: all metrics of a source over its touched partitions in one scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipelines.contracts.metrics import Aggregate, Kind, Metric
from pipelines.contracts.sources import Source
from pipelines.engine import literal, run, run_file
from pipelines.warehouse.tables import source_table

TOTAL = ""  # the breakdown that stands for all
NO_BREAKDOWN = "未填"  # the breakdown of rows whose column is empty
VALUE = sa.Numeric(28, 6)
TOUCHED = sa.table(
    "_touched", sa.column("department"), sa.column("business_date"), sa.column("is_heard")
)
COMPUTED = {
    "metric": "VARCHAR",
    "department": "VARCHAR",
    "business_date": "DATE",
    "breakdown": "VARCHAR",
    "value": "DECIMAL(28,6)",
    "numerator": "DECIMAL(28,6)",
    "denominator": "DECIMAL(28,6)",
}


def record_metrics(connection: sa.Connection, source: Source, metrics: Sequence[Metric]) -> None:
    """Append to metric_daily what changed on the days in `_touched`; write `_computed`."""
    if not metrics:
        return
    columns = ", ".join(f"{name} {kind}" for name, kind in COMPUTED.items())
    run(connection, f"CREATE OR REPLACE TEMP TABLE _computed ({columns})")
    computed = sa.table("_computed", *map(sa.column, COMPUTED))
    connection.execute(
        sa.insert(computed).from_select(list(COMPUTED), metric_values(source, metrics))
    )
    names = [metric.name for metric in metrics]
    run_file(connection, "loading/metric_changes.sql", {"metrics": names})


def recompute_metrics(
    connection: sa.Connection, source: Source, metrics: Sequence[Metric], position: int
) -> None:
    """Compute metrics on every day that the source ever had; changes are known from `position`."""
    values = {"source": source.name, "position": position}
    run_file(connection, "loading/touched_all.sql", values)
    record_metrics(connection, source, metrics)


def metric_values(source: Source, metrics: Sequence[Metric]) -> sa.CompoundSelect[Any]:
    """Return the query for every metric's rows on the departments and days in `_touched`.

    One scan groups by department and day, and by each breakdown column besides; the union over
    metrics reads its result, which is small.
    """
    table = source_table(source).alias("source_row")
    breakdowns = sorted({metric.by for metric in metrics if metric.by is not None})
    days = (TOUCHED.c.department, TOUCHED.c.business_date)
    # An outer join, as a day may have no rows: it is heard of, and its flows are 0. The bounds are
    # compared with the ranges of whole blocks, so that other days are never read.
    joined = TOUCHED.outerjoin(
        table,
        sa.and_(
            table.c.department == TOUCHED.c.department,
            table.c.business_date == TOUCHED.c.business_date,
            table.c.business_date
            >= sa.select(sa.func.min(TOUCHED.c.business_date)).scalar_subquery(),
            table.c.business_date
            <= sa.select(sa.func.max(TOUCHED.c.business_date)).scalar_subquery(),
        ),
    )
    # An empty cell and a cell with the very word that stands for it are one breakdown.
    unnamed: sa.ColumnElement[str] = sa.literal_column(literal(NO_BREAKDOWN))
    labels = {name: sa.func.coalesce(table.c[name].cast(sa.String), unnamed) for name in breakdowns}
    sets = [sa.tuple_(*days), *(sa.tuple_(*days, column) for column in labels.values())]
    aggregates = [
        _aggregate(part, table).label(f"m{number}_{position}")
        for number, metric in enumerate(metrics)
        for position, part in enumerate(metric.aggregates)
    ]
    scan = (
        sa.select(
            *days,
            *(column.label(f"by_{name}") for name, column in labels.items()),
            *(sa.func.grouping(column).label(f"over_{name}") for name, column in labels.items()),
            sa.func.count(table.c.delivery_id).label("rows"),
            *aggregates,
        )
        .select_from(joined)
        .where(TOUCHED.c.is_heard)
        .group_by(sa.func.grouping_sets(*sets))
        .cte("figures")
    )
    selects = []
    for number, metric in enumerate(metrics):
        for by in dict.fromkeys((None, metric.by)):
            selects.append(_values(scan, number, metric, by, breakdowns))
    return sa.union_all(*selects)


def _aggregate(part: Aggregate, table: sa.FromClause) -> sa.ColumnElement[Any]:
    """Return the aggregate over the rows that fulfil its conditions."""
    column = table.c[part.column] if part.column else table.c.delivery_id
    figure: Any = None
    match part.aggregate:
        case "count_distinct":
            figure = sa.func.count(column.distinct())
        case "count":
            figure = sa.func.count(column)
        case "sum" | "min" | "max":
            figure = getattr(sa.func, part.aggregate)(column)
    conditions: list[sa.ColumnElement[bool]] = []
    for name, wanted in part.where.items():
        if isinstance(wanted, tuple):
            conditions.append(table.c[name].in_(wanted))
        elif isinstance(wanted, bool):
            conditions.append(table.c[name].is_(wanted))
        else:
            conditions.append(table.c[name] == wanted)
    filtered: sa.ColumnElement[Any] = figure.filter(sa.and_(*conditions)) if conditions else figure
    return filtered


def _values(
    scan: sa.CTE, number: int, metric: Metric, by: str | None, breakdowns: Sequence[str]
) -> sa.Select[Any]:
    """Select one metric's rows of one grouping: the total, or by its breakdown column."""
    is_level = sa.and_(
        *(scan.c[f"over_{name}"] == (0 if name == by else 1) for name in breakdowns), sa.true()
    )
    breakdown: sa.ColumnElement[str] = sa.literal(TOTAL)
    if by is not None:
        breakdown = scan.c[f"by_{by}"]
        is_level = sa.and_(is_level, scan.c.rows > 0)
    first = scan.c[f"m{number}_0"].cast(VALUE)
    if metric.kind is Kind.RATIO:
        second = scan.c[f"m{number}_1"].cast(VALUE)
        numerator = sa.func.coalesce(first, 0).cast(VALUE)
        ratio = numerator.cast(sa.Double) * metric.scale / sa.func.nullif(second, 0)
        # A denominator next to nothing has no ratio that fits the type; its parts are recorded.
        figures: tuple[Any, ...] = (sa.try_cast(ratio, VALUE), numerator, second)
        is_known = second.is_not(None)
    else:
        # A day with no such rows adds nothing to a flow, and says nothing of a stock.
        value = sa.func.coalesce(first, 0).cast(VALUE) if metric.kind is Kind.FLOW else first
        figures = (value, sa.null().cast(VALUE), sa.null().cast(VALUE))
        is_known = value.is_not(None)
    return sa.select(
        sa.literal(metric.name), scan.c.department, scan.c.business_date, breakdown, *figures
    ).where(is_level, is_known)
