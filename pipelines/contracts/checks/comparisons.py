"""Check totals and drift against the columns of their source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.columns import NUMBERS, ColumnType
from pipelines.contracts.comparisons import Totals
from pipelines.contracts.sources import Source


def check_totals(source: Source) -> Iterator[Fault]:
    """Check that totals are numbers, and that one row of a department's day says each."""
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
                yield Fault(
                    f"{key}.{role}", f"{name} is no column", f"use one of {', '.join(names)}"
                )
            elif source.column(name).type not in NUMBERS:
                yield Fault(f"{key}.{role}", f"{name} is no number", "name a number column")
        for name, count in Counter(filter(None, figures.values())).items():
            if count > 1:
                yield Fault(key, f"{name} is there {count} times", "name another column")
        if not source.key:
            yield Fault(
                key, "without a key, several rows may say one total", "name the source's key"
            )
        yield from _check_by(source, totals, f"{key}.by")


def _check_by(source: Source, totals: Totals, key: str) -> Iterator[Fault]:
    """Check that the columns of `by` are there in every row and, with the day, the whole key."""
    partition = (source.partition.department, source.partition.business_date)
    for name in totals.by:
        if name not in source.column_names:
            names = ", ".join(source.column_names)
            yield Fault(key, f"{name} is no column", f"use one of {names}")
        elif source.column(name).pii:
            yield Fault(
                key, f"{name} is masked, and messages name it", "use a column that is not personal"
            )
        elif not source.column(name).required:
            yield Fault(key, f"{name} is not required", "say `required: true`")
        elif name == source.partition.business_date:
            yield Fault(key, f"{name} is another every day", "leave it out")
    missing = [name for name in source.key if name not in (*source.by_of(totals), *partition)]
    if missing:
        yield Fault(
            key,
            f"several rows of a day may say one total: {', '.join(missing)} of the key is left out",
            "name the whole key",
        )


def check_drift(source: Source) -> Iterator[Fault]:
    """Check that drift can have enough history, and names plain text columns."""
    drift = source.drift
    if drift is None:
        return
    if drift.minimum > drift.history:
        yield Fault(
            "drift.minimum",
            f"{drift.minimum} is more than `history`, {drift.history}: nothing would ever be "
            "compared",
            "lower it",
        )
    for name in drift.categories:
        if name not in source.column_names:
            names = ", ".join(source.column_names)
            yield Fault("drift.categories", f"{name} is no column", f"use one of {names}")
        elif source.column(name).type is not ColumnType.TEXT:
            yield Fault("drift.categories", f"{name} is no text", "name a text column")
        elif source.column(name).pii:
            yield Fault(
                "drift.categories",
                f"{name} is personal, and its values would be stored",
                "use a column that is not personal",
            )
