"""Check totals and drift against the columns of their source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.columns import NUMBERS, ColumnType
from pipelines.contracts.comparisons import Totals
from pipelines.contracts.sources import Source
from pipelines.errors import Problem


def check_totals(source: Source, file: str) -> Iterator[Problem]:
    """Totals are of numbers, and one row of a department and day says each."""
    names = source.column_names
    for position, totals in enumerate(source.totals):
        key = f"totals[{position}]"
        figures = {
            role: getattr(totals, role) for role in ("cumulative", "increment", "correction")
        }
        for role, name in figures.items():
            if name is None:
                continue
            if name not in names:
                yield Problem(
                    file, f"{key}.{role}", f"{name} is no column", f"use one of {', '.join(names)}"
                )
            elif source.column(name).type not in NUMBERS:
                yield Problem(file, f"{key}.{role}", f"{name} is no number", "name a number column")
        for name, count in Counter(filter(None, figures.values())).items():
            if count > 1:
                yield Problem(file, key, f"{name} is there {count} times", "name another column")
        if not source.key:
            yield Problem(
                file, key, "without a key, several rows may say one total", "name the source's key"
            )
        yield from _check_by(source, totals, file, f"{key}.by")


def _check_by(source: Source, totals: Totals, file: str, key: str) -> Iterator[Problem]:
    partition = (source.partition.department, source.partition.business_date)
    for name in totals.by:
        if name not in source.column_names:
            yield Problem(
                file, key, f"{name} is no column", f"use one of {', '.join(source.column_names)}"
            )
        elif source.column(name).pii:
            yield Problem(
                file,
                key,
                f"{name} is masked, and messages name it",
                "use a column that is not personal",
            )
        elif not source.column(name).required:
            yield Problem(file, key, f"{name} is not required", "say `required: true`")
        elif name == source.partition.business_date:
            yield Problem(file, key, f"{name} is another every day", "leave it out")
    missing = [name for name in source.key if name not in (*source.by_of(totals), *partition)]
    if missing:
        yield Problem(
            file,
            key,
            f"several rows of a day may say one total: {', '.join(missing)} of the key is left out",
            "name the whole key",
        )


def check_drift(source: Source, file: str) -> Iterator[Problem]:
    """Check that drift has enough history and names plain text columns."""
    if source.drift is None:
        return
    if source.drift.minimum > source.drift.history:
        yield Problem(
            file,
            "drift.minimum",
            f"{source.drift.minimum} is more than `history`, "
            f"{source.drift.history}: nothing would ever be told",
            "lower it",
        )
    for name in source.drift.categories:
        if name not in source.column_names:
            yield Problem(
                file,
                "drift.categories",
                f"{name} is no column",
                f"use one of {', '.join(source.column_names)}",
            )
        elif source.column(name).type is not ColumnType.TEXT:
            yield Problem(file, "drift.categories", f"{name} is no text", "name a text column")
        elif source.column(name).pii:
            yield Problem(
                file,
                "drift.categories",
                f"{name} is personal, and its values would be kept",
                "use a column that is not personal",
            )
