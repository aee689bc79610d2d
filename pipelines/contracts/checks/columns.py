"""Check the names and headers of a contract's columns, and what one says of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.checks.regexes import check_regex
from pipelines.contracts.columns import LINEAGE_COLUMNS, NUMBERS, Column, ColumnType
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header

FORMATS_WITHOUT_SHEETS = ("csv", "html", "json", "jsonl", "xml", "parquet")


def check_columns(source: Source) -> Iterator[Fault]:
    """Check all columns of a contract."""
    for name, count in Counter(source.column_names).items():
        if count > 1:
            yield Fault("columns", f"{name} is declared {count} times", "rename one")
        if name in LINEAGE_COLUMNS:
            yield Fault("columns", f"{name} is a column of every source's table", "rename it")
    yield from _check_headers(source)
    for column in source.columns:
        yield from _check_unit_from(column, source)
        yield from _check_qualifier(column, source)
        yield from _check_derived(column, source)
        yield from _check_code(column)
        if column.pattern is not None:
            yield from check_regex(column.pattern, f"columns.{column.name}.pattern")


def _check_headers(source: Source) -> Iterator[Fault]:
    """Check that each header fits into the header rows and stands for one column."""
    headers = Counter(
        header
        for column in source.columns
        for header in {fold_header(spelling) for spelling in column.header}
    )
    for header, count in headers.items():
        rows = header.count("|") + 1
        if not header:
            yield Fault("columns", "a header is blank", "write what the file has")
        elif rows > source.header_rows:
            yield Fault(
                "columns",
                f"header {header} takes {rows} rows, and a header has {source.header_rows}",
                f"say `header_rows: {rows}`",
            )
        elif count > 1:
            yield Fault("columns", f"header {header} stands for {count} columns", "keep one")


def _check_unit_from(column: Column, source: Source) -> Iterator[Fault]:
    """Check that a number's unit is compared with a declared one, and is in a text column."""
    if column.unit_from is None:
        return
    key = f"columns.{column.name}.unit_from"
    if not column.unit:
        yield Fault(key, f"{column.name} has no `unit` to compare it with", "say its `unit`")
    if column.unit_from not in source.column_names:
        yield Fault(key, f"{column.unit_from} is no column", "declare it")
        return
    unit = source.column(column.unit_from)
    if unit.type is not ColumnType.TEXT or unit.pii or unit.qualifier_of:
        yield Fault(
            key, f"{unit.name} must be a text column that is not personal", "correct the column"
        )


def _check_qualifier(column: Column, source: Source) -> Iterator[Fault]:
    """Check that a qualifier is of a number, and promises nothing of cells that it has not."""
    if column.qualifier_of is None:
        return
    key = f"columns.{column.name}.qualifier_of"
    if column.qualifier_of not in source.column_names:
        yield Fault(key, f"{column.qualifier_of} is no column", "declare it")
    elif source.column(column.qualifier_of).type not in NUMBERS:
        yield Fault(key, f"{column.qualifier_of} is no number", "name a number column")
    for other in ("pattern", "values", "pii", "code", "nulls"):
        if getattr(column, other):
            yield Fault(
                key,
                f"`{other}` is for cells of a file, and this column is taken from those of "
                f"{column.qualifier_of}",
                "remove it",
            )


def _check_derived(column: Column, source: Source) -> Iterator[Fault]:
    """Check a column that has no header in the file."""
    if column.is_derived and not column.description:
        yield Fault(
            f"columns.{column.name}.description",
            "no header names the column",
            "say in a `description` what people call it",
        )
    if column.from_sheet and column.pii:
        yield Fault(
            f"columns.{column.name}.pii",
            "names of sheets are shown in messages, to say where a row is",
            "leave persons out of them",
        )
    without_sheets = [name for name in source.formats.declared if name in FORMATS_WITHOUT_SHEETS]
    is_one_table = without_sheets and source.formats.zip.members != "all"
    if column.from_sheet and column.required and is_one_table:
        yield Fault(
            f"columns.{column.name}.required",
            f"{', '.join(without_sheets)} have no sheets: every row of such a file would lack "
            f"{column.name}",
            "leave `required` out, or declare workbooks only",
        )


def _check_code(column: Column) -> Iterator[Fault]:
    """Check that a public code has no second definition, and that a personal one is masked."""
    if column.code is None:
        return
    key = f"columns.{column.name}.code"
    if column.pattern is not None or column.values is not None:
        yield Fault(
            key, f"{column.code} already says what the cells are", "remove `pattern` and `values`"
        )
    if column.code == "id_number" and column.pii != "id_number":
        yield Fault(key, "an identity number is personal", "say `pii: id_number`")
