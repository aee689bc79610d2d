"""Check a contract in itself and against the departments."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks.columns import check_columns
from pipelines.contracts.checks.comparisons import check_drift, check_totals
from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.checks.regexes import check_regex
from pipelines.contracts.columns import ColumnType
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES

PATH_GROUPS = ("department", "business_date", "part")
# Nothing stands beside the records of such a file, so that no line of it could say a unit.
FORMATS_WITHOUT_LINES = ("jsonl", "parquet")


def check_source(source: Source, catalog: Catalog, tables: Collection[str]) -> Iterator[Fault]:
    """Check every key of a contract; `tables` are the warehouse's own tables and views."""
    if source.name in tables:
        yield Fault("name", f"{source.name} is a table of the warehouse's own", "rename the source")
    yield from check_columns(source)
    yield from _check_key(source)
    yield from _check_unit_above(source)
    yield from _check_partition(source)
    yield from check_totals(source)
    yield from check_drift(source)
    for pattern in source.footer:
        yield from check_regex(pattern, "footer")
    yield from _check_file_patterns(source)
    if not source.formats.declared:
        yield Fault("formats", "no format is declared", "declare csv, xlsx, json or another")
    yield from _check_departments(source, catalog)


def _check_key(source: Source) -> Iterator[Fault]:
    """Check that the columns of the key are there in every row, and tell rows apart."""
    if not source.key and source.is_personal:
        yield Fault(
            "key",
            "without a key, two persons who look the same when masked are one row",
            "name a key that is not personal",
        )
    for name in source.key:
        if name not in source.column_names:
            names = ", ".join(source.column_names)
            yield Fault("key", f"{name} is no column", f"use one of {names}")
        elif not source.column(name).required:
            yield Fault("key", f"{name} is not required", "say `required: true`")
        elif source.column(name).pii:
            yield Fault(
                "key",
                f"{name} is masked, and two persons may look the same",
                "use a key that is not personal",
            )


def _check_unit_above(source: Source) -> Iterator[Fault]:
    """Check that `unit_above` has a scale, that a column counts in its unit, and the formats.

    A line outside the table can say it in every format but `FORMATS_WITHOUT_LINES`.
    """
    if source.unit_above is None:
        return
    base = source.unit_above.lstrip(SCALES)
    counted = {unit.lstrip(SCALES) for column in source.columns for unit in column.unit}
    if base == source.unit_above:
        yield Fault(
            "unit_above",
            f"{base} has no scale ({SCALES})",
            "leave the key out: a line with the unit that is stored need not be declared",
        )
    if not counted or (base and base not in counted):
        yield Fault(
            "unit_above",
            f"no column has the `unit` {base or 'that it scales'}",
            "say the `unit` of the columns that are counted in it",
        )
    for name in FORMATS_WITHOUT_LINES:
        if name in source.formats.declared:
            yield Fault(
                "unit_above",
                f"a {name} file has no line that could say it",
                f"say the unit in the headers, or leave {name} out of `formats`",
            )


def _check_partition(source: Source) -> Iterator[Fault]:
    """Check that the columns of the partition are declared and plain."""
    wanted = {"department": ColumnType.TEXT, "business_date": ColumnType.DATE}
    for role, column_type in wanted.items():
        name = getattr(source.partition, role)
        if name is None:
            continue
        if name not in source.column_names:
            yield Fault(f"partition.{role}", f"{name} is no column", "declare it")
            continue
        column = source.column(name)
        if column.type is not column_type or column.pii or column.values:
            yield Fault(
                f"partition.{role}",
                f"{name} must be a plain {column_type} column",
                "correct the column",
            )


def _check_file_patterns(source: Source) -> Iterator[Fault]:
    """Check that the patterns are regular expressions whose groups are those of a slot."""
    for pattern in source.file_patterns:
        yield from check_regex(pattern, "file_patterns", is_sql=False)
        unknown = sorted(set(re.findall(r"\(\?P<(\w+)>", pattern)) - set(PATH_GROUPS))
        if unknown:
            yield Fault(
                "file_patterns",
                f"group {', '.join(unknown)} means nothing",
                f"name groups {' or '.join(PATH_GROUPS)}",
            )


def _check_departments(source: Source, catalog: Catalog) -> Iterator[Fault]:
    """Check that the departments that a contract names exist, and still do when they first owe."""
    owing = catalog.due_departments(source)
    with_dialects = source.formats.csv.departments if source.formats.csv else {}
    for key, codes in (("due.departments", owing), ("formats.csv.departments", with_dialects)):
        for code in codes:
            if code not in catalog.departments:
                yield Fault(key, f"{code} is no department", "add it to departments.csv")
    if source.due is None or source.due.departments == "all":
        return
    for code in owing:
        ended = catalog.departments[code].valid_to if code in catalog.departments else None
        if ended is not None and ended < source.due.start:
            yield Fault(
                "due.departments",
                f"{code} ended on {ended}, before it owes anything",
                "name who took over",
            )
