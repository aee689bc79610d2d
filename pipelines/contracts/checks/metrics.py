"""Check metrics against their sources."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.columns import NUMBERS, Column, ColumnType
from pipelines.contracts.metrics import Kind, Metric
from pipelines.errors import Problem


def check_metric(metric: Metric, catalog: Catalog, file: str) -> Iterator[Problem]:
    """Check that a metric's kind and columns fit its source."""
    source = catalog.sources.get(metric.source)
    if source is None:
        yield Problem(
            file,
            f"{metric.name}.source",
            f"{metric.source} is no sound source",
            f"use one of {', '.join(catalog.sources) or '(none is sound yet)'}",
        )
        return
    if metric.kind is Kind.FLOW and source.content != "events":
        yield Problem(
            file,
            f"{metric.name}.kind",
            f"{source.name} is a snapshot, which has no flow",
            "make it a stock, or the source events",
        )
    if metric.by is not None and metric.by not in source.column_names:
        yield Problem(file, f"{metric.name}.by", f"{metric.by} is no column", "correct it")
    counted = [part.column for part in metric.aggregates if part.aggregate == "count_distinct"]
    for name in filter(None, [metric.by, *counted]):
        if name in source.column_names and source.column(name).pii:
            yield Problem(
                file,
                metric.name,
                f"{name} is masked, and two persons may look the same",
                "use a column that is not personal",
            )
    for aggregate in metric.aggregates:
        named = [aggregate.column] if aggregate.column else []
        for name in [*named, *aggregate.where]:
            if name not in source.column_names:
                yield Problem(
                    file,
                    f"{metric.name}",
                    f"{name} is no column of {source.name}",
                    f"use one of {', '.join(source.column_names)}",
                )
        if aggregate.column in source.column_names and aggregate.aggregate in ("sum", "min", "max"):
            column = source.column(aggregate.column or "")
            if column.type not in NUMBERS:
                yield Problem(
                    file,
                    f"{metric.name}",
                    f"{aggregate.aggregate} of {column.type} {column.name}",
                    "use a number column, or `count`",
                )
        for name, wanted in aggregate.where.items():
            if name in source.column_names:
                yield from _check_where(metric, source.column(name), wanted, file)


def _check_where(metric: Metric, column: Column, wanted: object, file: str) -> Iterator[Problem]:
    stored = set(column.values.values()) if column.values else None
    for value in wanted if isinstance(wanted, tuple) else (wanted,):
        if stored is not None and value not in stored:
            yield Problem(
                file,
                f"{metric.name}.where.{column.name}",
                f"{value!r} never occurs",
                f"use one of {', '.join(sorted(stored))}",
            )
        is_number = isinstance(value, int) and not isinstance(value, bool)
        if (column.type is ColumnType.BOOLEAN) != isinstance(value, bool) or (
            column.type in NUMBERS
        ) != is_number:
            yield Problem(
                file,
                f"{metric.name}.where.{column.name}",
                f"{value!r} is not {column.type}",
                "compare like with like",
            )
