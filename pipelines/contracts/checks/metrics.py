"""Check metrics against their sources."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.columns import NUMBERS, Column, ColumnType
from pipelines.contracts.metrics import Aggregate, Kind, Metric
from pipelines.contracts.sources import Source


def check_metric(metric: Metric, catalog: Catalog) -> Iterator[Fault]:
    """Check that a metric's kind and columns fit its source."""
    source = catalog.sources.get(metric.source)
    if source is None:
        yield Fault(
            f"{metric.name}.source",
            f"{metric.source} is no sound source",
            f"use one of {', '.join(catalog.sources) or '(none is sound yet)'}",
        )
        return
    if metric.kind is Kind.FLOW and source.content != "events":
        yield Fault(
            f"{metric.name}.kind",
            f"{source.name} is a snapshot, which has no flow",
            "make it a stock, or the source events",
        )
    if metric.by is not None and metric.by not in source.column_names:
        yield Fault(f"{metric.name}.by", f"{metric.by} is no column", "correct it")
    counted = [part.column for part in metric.aggregates if part.aggregate == "count_distinct"]
    for name in filter(None, [metric.by, *counted]):
        if name in source.column_names and source.column(name).pii:
            yield Fault(
                metric.name,
                f"{name} is masked, and two persons may look the same",
                "use a column that is not personal",
            )
    for aggregate in metric.aggregates:
        yield from _check_aggregate(metric, aggregate, source)


def _check_aggregate(metric: Metric, aggregate: Aggregate, source: Source) -> Iterator[Fault]:
    """Check that an aggregate's columns exist, and can be added up or compared as it says."""
    columns = [aggregate.column] if aggregate.column else []
    for name in [*columns, *aggregate.where]:
        if name not in source.column_names:
            yield Fault(
                metric.name,
                f"{name} is no column of {source.name}",
                f"use one of {', '.join(source.column_names)}",
            )
    if aggregate.column in source.column_names and aggregate.aggregate in ("sum", "min", "max"):
        column = source.column(aggregate.column or "")
        if column.type not in NUMBERS:
            yield Fault(
                metric.name,
                f"{aggregate.aggregate} of {column.type} {column.name}",
                "use a number column, or `count`",
            )
    for name, wanted in aggregate.where.items():
        if name in source.column_names:
            yield from _check_where(metric, source.column(name), wanted)


def _check_where(metric: Metric, column: Column, wanted: object) -> Iterator[Fault]:
    """Check that a column can have the values that it is compared with."""
    key = f"{metric.name}.where.{column.name}"
    stored = set(column.values.values()) if column.values else None
    for value in wanted if isinstance(wanted, tuple) else (wanted,):
        if stored is not None and value not in stored:
            yield Fault(key, f"{value!r} never occurs", f"use one of {', '.join(sorted(stored))}")
        is_boolean = isinstance(value, bool)
        is_number = isinstance(value, int) and not is_boolean
        if (column.type is ColumnType.BOOLEAN) != is_boolean or (
            column.type in NUMBERS
        ) != is_number:
            yield Fault(key, f"{value!r} is not {column.type}", "compare like with like")
