"""Check a contract in itself and against the departments."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks.columns import check_code, check_derived, check_references
from pipelines.contracts.checks.comparisons import check_drift, check_totals
from pipelines.contracts.checks.names import RESERVED_COLUMNS, RESERVED_TABLES
from pipelines.contracts.checks.regexes import check_regex
from pipelines.contracts.columns import ColumnType
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES, fold_header
from pipelines.errors import Problem

FORMATS_WITHOUT_LINES = ("jsonl", "parquet")  # nothing stands beside their records


def check_source(source: Source, catalog: Catalog, file: str) -> Iterator[Problem]:
    """Check every key of a contract against its columns and the departments."""
    names = source.column_names
    if source.name in RESERVED_TABLES:
        yield Problem(file, "name", f"{source.name} is a table of the ledger", "rename the source")
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(file, "columns", f"{name} is declared {count} times", "rename one")
    for name in RESERVED_COLUMNS.intersection(names):
        yield Problem(file, "columns", f"{name} is a column of every source", "rename it")
    headers = Counter(
        header for column in source.columns for header in {fold_header(h) for h in column.header}
    )
    for header, count in headers.items():
        if not header:
            yield Problem(file, "columns", "a header is blank", "write what the file has")
        elif header.count("|") >= source.header_rows:
            rows = header.count("|") + 1
            yield Problem(
                file,
                "columns",
                f"header {header} takes {rows} rows, and a header has {source.header_rows}",
                f"say `header_rows: {rows}`",
            )
        elif count > 1:
            yield Problem(
                file, "columns", f"header {header} stands for {count} columns", "keep one"
            )
    if not source.key and any(column.pii for column in source.columns):
        yield Problem(
            file,
            "key",
            "without a key, two persons who look the same masked are one row",
            "name a key that is not personal",
        )
    for name in source.key:
        if name not in names:
            yield Problem(file, "key", f"{name} is no column", f"use one of {', '.join(names)}")
        elif not source.column(name).required:
            yield Problem(file, "key", f"{name} is not required", "say `required: true`")
        elif source.column(name).pii:
            yield Problem(
                file,
                "key",
                f"{name} is masked, and two persons may look the same",
                "use a key that is not personal",
            )
    yield from _check_unit_above(source, file)
    yield from _check_partition(source, file)
    yield from check_totals(source, file)
    yield from check_drift(source, file)
    for column in source.columns:
        yield from check_references(column, source, file)
        yield from check_derived(column, source, file)
        yield from check_code(column, file)
    for key, pattern in _patterns(source):
        yield from check_regex(pattern, file, key)
    for pattern in source.file_patterns:
        yield from check_regex(pattern, file, "file_patterns", is_sql=False)
    for pattern in source.file_patterns:
        unknown = set(re.findall(r"\(\?P<(\w+)>", pattern)) - {
            "department",
            "business_date",
            "part",
        }
        if unknown:
            yield Problem(
                file,
                "file_patterns",
                f"group {', '.join(sorted(unknown))} means nothing",
                "name groups department, business_date or part",
            )
    if not source.formats.declared:
        yield Problem(
            file, "formats", "no format is declared", "declare csv, xlsx, json or another"
        )
    owing = catalog.due_departments(source)
    coded = source.formats.csv.departments if source.formats.csv else {}
    for key, codes in (("due.departments", owing), ("formats.csv.departments", tuple(coded))):
        for code in codes:
            if code not in catalog.departments:
                yield Problem(file, key, f"{code} is no department", "add it to departments.csv")
    ended = {
        code: catalog.departments[code].valid_to for code in owing if code in catalog.departments
    }
    for code, last in ended.items() if source.due and source.due.departments != "all" else ():
        if source.due and last is not None and last < source.due.start:
            yield Problem(
                file,
                "due.departments",
                f"{code} ended on {last}, before it owes anything",
                "name who took over",
            )


def _check_unit_above(source: Source, file: str) -> Iterator[Problem]:
    """Check that a number column counts in `unit_above` and that every format can say it."""
    if source.unit_above is None:
        return
    base = source.unit_above.lstrip(SCALES)
    counted = {unit.lstrip(SCALES) for column in source.columns for unit in column.unit}
    if base == source.unit_above:
        yield Problem(
            file,
            "unit_above",
            f"{base} has no scale ({SCALES})",
            "leave the key out: a line with the unit that is stored need not be declared",
        )
    if not counted or (base and base not in counted):
        yield Problem(
            file,
            "unit_above",
            f"no column has the `unit` {base or 'that it scales'}",
            "say the `unit` of the columns that are counted in it",
        )
    for name in FORMATS_WITHOUT_LINES:
        if name in source.formats.declared:
            yield Problem(
                file,
                "unit_above",
                f"a {name} file has no line that could say it",
                f"say the unit in the headers, or leave {name} out of `formats`",
            )


def _check_partition(source: Source, file: str) -> Iterator[Problem]:
    wanted = {"department": ColumnType.TEXT, "business_date": ColumnType.DATE}
    for role, column_type in wanted.items():
        name = getattr(source.partition, role)
        if name is None:
            continue
        if name not in source.column_names:
            yield Problem(file, f"partition.{role}", f"{name} is no column", "declare it")
            continue
        column = source.column(name)
        if column.type is not column_type or column.pii or column.values:
            yield Problem(
                file,
                f"partition.{role}",
                f"{name} must be a plain {column_type} column",
                "correct the column",
            )


def _patterns(source: Source) -> Iterator[tuple[str, str]]:
    for pattern in source.footer:
        yield "footer", pattern
    for column in source.columns:
        if column.pattern is not None:
            yield f"columns.{column.name}.pattern", column.pattern
