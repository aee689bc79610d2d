"""Compiles metrics.yaml to SQL: all metrics of a source over its touched partitions in one scan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipelines.contracts.metrics import Aggregate, Kind, Metric
from pipelines.contracts.sources import Source
from pipelines.engine import literal, run, run_file
from pipelines.warehouse.tables import source_table

TOTAL = ""  # the breakdown that stands for all
UNSAID = "未填"  # rows whose breakdown column is empty

_TOUCHED = sa.table(
    "touched", sa.column("department"), sa.column("business_date"), sa.column("is_heard")
)
_VALUE = sa.Numeric(28, 6)


def record_metrics(connection: sa.Connection, source: Source, metrics: Sequence[Metric]) -> None:
    """Append to metric_daily what the partitions in the table `touched` changed."""
    if not metrics:
        return
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE computed (metric VARCHAR, department VARCHAR, "
        "business_date DATE, breakdown VARCHAR, value DECIMAL(28,6), numerator DECIMAL(28,6), "
        "denominator DECIMAL(28,6))",
    )
    computed = sa.table(
        "computed",
        *(
            sa.column(name)
            for name in (
                "metric",
                "department",
                "business_date",
                "breakdown",
                "value",
                "numerator",
                "denominator",
            )
        ),
    )
    connection.execute(
        sa.insert(computed).from_select(computed.c.keys(), metric_values(source, metrics))
    )
    names = ", ".join(literal(metric.name) for metric in metrics)
    run_file(connection, "load/metric_changes.sql", metrics=names)


def metric_values(source: Source, metrics: Sequence[Metric]) -> sa.CompoundSelect[Any]:
    """The query for every metric's rows on the departments and days in `touched`.

    One scan groups by department and day, and by each breakdown column besides; the union over
    metrics reads its result, which is small.
    """
    table = source_table(source)
    breakdowns = sorted({metric.by for metric in metrics if metric.by is not None})
    day = (_TOUCHED.c.department, _TOUCHED.c.business_date)
    # sorted by whole days, and a day may have no rows: heard, and zero
    joined = _TOUCHED.outerjoin(
        table,
        sa.and_(
            table.c.department == _TOUCHED.c.department,
            table.c.business_date == _TOUCHED.c.business_date,
            table.c.business_date
            >= sa.select(sa.func.min(_TOUCHED.c.business_date)).scalar_subquery(),
            table.c.business_date
            <= sa.select(sa.func.max(_TOUCHED.c.business_date)).scalar_subquery(),
        ),
    )
    # an empty cell and the very word that stands for it are one breakdown
    unsaid: sa.ColumnElement[str] = sa.literal_column(literal(UNSAID))
    said = {name: sa.func.coalesce(table.c[name].cast(sa.String), unsaid) for name in breakdowns}
    sets = [sa.tuple_(*day), *(sa.tuple_(*day, column) for column in said.values())]
    aggregates = [
        _aggregate(part, table).label(f"m{number}_{position}")
        for number, metric in enumerate(metrics)
        for position, part in enumerate(metric.aggregates)
    ]
    scan = (
        sa.select(
            *day,
            *(column.label(f"by_{name}") for name, column in said.items()),
            *(sa.func.grouping(column).label(f"over_{name}") for name, column in said.items()),
            sa.func.count(table.c.delivery_id).label("rows"),
            *aggregates,
        )
        .select_from(joined)
        .where(_TOUCHED.c.is_heard)
        .group_by(sa.func.grouping_sets(*sets))
        .cte("figures")
    )
    selects = []
    for number, metric in enumerate(metrics):
        selects.append(_values(scan, number, metric, None, breakdowns))
        if metric.by is not None:
            selects.append(_values(scan, number, metric, metric.by, breakdowns))
    return sa.union_all(*selects)


def _aggregate(part: Aggregate, table: sa.Table) -> sa.ColumnElement[Any]:
    column = table.c[part.column] if part.column else table.c.delivery_id
    figure: Any = None
    match part.aggregate:
        case "count_distinct":
            figure = sa.func.count(column.distinct())
        case "count":
            figure = sa.func.count(column)
        case "sum" | "min" | "max":
            figure = getattr(sa.func, part.aggregate)(column)
    conditions = [_condition(table.c[name], wanted) for name, wanted in part.where.items()]
    filtered: sa.ColumnElement[Any] = figure.filter(sa.and_(*conditions)) if conditions else figure
    return filtered


def _condition(column: sa.Column[Any], wanted: object) -> sa.ColumnElement[bool]:
    if isinstance(wanted, tuple):
        return column.in_(wanted)
    return column.is_(wanted) if isinstance(wanted, bool) else column == wanted


def _values(
    scan: sa.CTE, number: int, metric: Metric, by: str | None, breakdowns: Sequence[str]
) -> sa.Select[Any]:
    """One metric's rows of one grouping: the total, or by its breakdown column."""
    is_level = sa.and_(
        *(scan.c[f"over_{name}"] == (0 if name == by else 1) for name in breakdowns), sa.true()
    )
    breakdown: sa.ColumnElement[str] = sa.literal(TOTAL)
    if by is not None:
        breakdown = scan.c[f"by_{by}"]
        is_level = sa.and_(is_level, scan.c.rows > 0)
    first = scan.c[f"m{number}_0"].cast(_VALUE)
    if metric.kind is Kind.RATIO:
        second = scan.c[f"m{number}_1"].cast(_VALUE)
        numerator = sa.func.coalesce(first, 0).cast(_VALUE)
        ratio = numerator.cast(sa.Double) * metric.scale / sa.func.nullif(second, 0)
        # a denominator next to nothing has no ratio that fits; its parts are kept
        figures: tuple[Any, ...] = (sa.try_cast(ratio, _VALUE), numerator, second)
        is_told = second.is_not(None)
    else:
        # a day with no such rows adds nothing to a flow, and says nothing of a stock
        value = sa.func.coalesce(first, 0).cast(_VALUE) if metric.kind is Kind.FLOW else first
        figures = (value, sa.null().cast(_VALUE), sa.null().cast(_VALUE))
        is_told = value.is_not(None)
    return sa.select(
        sa.literal(metric.name), scan.c.department, scan.c.business_date, breakdown, *figures
    ).where(is_level, is_told)
