"""Check what a column says of other columns and keys of its contract."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.columns import NUMBERS, Column, ColumnType
from pipelines.contracts.sources import Source
from pipelines.errors import Problem

FORMATS_WITHOUT_SHEETS = ("csv", "html", "json", "jsonl", "xml", "parquet")


def check_references(column: Column, source: Source, file: str) -> Iterator[Problem]:
    """A column says the unit of a number, or takes its qualifier."""
    if column.unit_from is not None:
        key = f"columns.{column.name}.unit_from"
        if not column.unit:
            yield Problem(
                file, key, f"{column.name} has no `unit` to hold it against", "say its `unit`"
            )
        if column.unit_from not in source.column_names:
            yield Problem(file, key, f"{column.unit_from} is no column", "declare it")
        else:
            unit = source.column(column.unit_from)
            if unit.type is not ColumnType.TEXT or unit.pii or unit.qualifier_of:
                yield Problem(
                    file,
                    key,
                    f"{unit.name} must be a text column that is not personal",
                    "correct the column",
                )
    if column.qualifier_of is not None:
        key = f"columns.{column.name}.qualifier_of"
        if column.qualifier_of not in source.column_names:
            yield Problem(file, key, f"{column.qualifier_of} is no column", "declare it")
        elif source.column(column.qualifier_of).type not in NUMBERS:
            yield Problem(file, key, f"{column.qualifier_of} is no number", "name a number column")
        for other in ("pattern", "values", "pii", "code", "nulls"):
            if getattr(column, other):
                yield Problem(
                    file,
                    key,
                    f"`{other}` is for what a file holds, and this is found in "
                    f"{column.qualifier_of}",
                    "remove it",
                )


def check_derived(column: Column, source: Source, file: str) -> Iterator[Problem]:
    """A column that no header of the file stands for."""
    if column.is_derived and not column.description:
        yield Problem(
            file,
            f"columns.{column.name}.description",
            "no header names the column",
            "say in a `description` what people call it",
        )
    if column.from_sheet and column.pii:
        yield Problem(
            file,
            f"columns.{column.name}.pii",
            "names of sheets say where a row stands, and are told",
            "leave persons out of them",
        )
    one_table = [name for name in source.formats.declared if name in FORMATS_WITHOUT_SHEETS]
    if column.from_sheet and column.required and one_table and source.formats.zip.members != "all":
        yield Problem(
            file,
            f"columns.{column.name}.required",
            f"{', '.join(one_table)} have no sheets: every row of theirs would lack {column.name}",
            "leave `required` out, or declare workbooks only",
        )


def check_code(column: Column, file: str) -> Iterator[Problem]:
    """Check that a public code has no second definition and that personal ones are masked."""
    key = f"columns.{column.name}.code"
    if column.code is None:
        return
    if column.pattern is not None or column.values is not None:
        yield Problem(
            file,
            key,
            f"{column.code} says what the cells look like already",
            "remove `pattern` and `values`",
        )
    if column.code == "id_number" and column.pii != "id_number":
        yield Problem(file, key, "an identity number is personal", "say `pii: id_number`")
