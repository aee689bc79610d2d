"""Compiles a contract into the SQL that types, masks and places a source's raw rows."""

from __future__ import annotations

from pipelines.contracts.models import Column, ColumnType, Source
from pipelines.engine import literal, quoted, sql

REFUSED = "__refused"  # suffix of the companion column: text that its column could not take
LONG_DIGITS = r"'([0-9]{3})[0-9]{4,}([0-9]{4}|[0-9]{3}[Xx])', '\1****\2', 'g'"
SHOWN_CHARACTERS = 200  # of a refused cell


def typed_rows(source: Source) -> str:
    """The SELECT from `raw` (the readers' layout) that yields staged rows.

    Each contract column comes typed, beside `<column>__refused`: the text, masked if personal,
    of a cell that was filled and could not be read as what was declared. `_department` and
    `_business_date` say where a row belongs, `_stray_department` and `_stray_date` what its own
    columns say when that is elsewhere.
    """
    names = source.column_names
    by = source.partition
    unit = quoted(by.department) if by.department else "CAST(NULL AS VARCHAR)"
    day = quoted(by.business_date) if by.business_date else "CAST(NULL AS DATE)"
    return sql(
        "staging/typed_rows.sql",
        ignored=ignored(source),
        texts=",\n".join(f"{_text(column)} AS {_raw(column.name)}" for column in source.columns),
        typed=",\n".join(f"{_typed(column)} AS {quoted(column.name)}" for column in source.columns),
        columns=", ".join(quoted(name) for name in names),
        refused=",\n".join(_refused(column) for column in source.columns),
        unit=unit,
        day=day,
    )


def ignored(source: Source) -> str:
    """The condition on a raw row for being declared noise: blank, or a footer by its first cell."""
    if not source.footer:
        return "blank"
    footers = "|".join(f"(?:{pattern})" for pattern in source.footer)
    footer = rf"^[\s　]*(?:{footers})"
    return f"(blank OR regexp_matches(first, {literal(footer)}))"


def _raw(name: str) -> str:
    return quoted(f"{name}__text")


def _text(column: Column) -> str:
    text = f"normalise_text({quoted(column.name)})"
    if not column.nulls:
        return text
    nulls = ", ".join(literal(spelling) for spelling in column.nulls)
    return f"CASE WHEN {text} NOT IN ({nulls}) THEN {text} END"


def _typed(column: Column) -> str:
    text = _raw(column.name)
    units = f"[{', '.join(literal(unit) for unit in column.unit)}]::VARCHAR[]"
    match column.type:
        case ColumnType.INTEGER:
            return f"normalise_integer({text}, {units})"
        case ColumnType.DECIMAL:
            return f"normalise_number({text}, {units})"
        case ColumnType.DATE | ColumnType.TIMESTAMP | ColumnType.BOOLEAN:
            return f"normalise_{column.type}({text})"
    if column.values is not None:
        branches = " ".join(
            f"WHEN {literal(given)} THEN {literal(stored)}"
            for given, stored in column.values.items()
        )
        return f"CASE {text} {branches} END"
    if column.pii is None:
        return text
    masked = f"mask_{column.pii}({text})"
    if column.pattern is None:
        return masked
    return f"CASE WHEN regexp_matches({text}, {literal(column.pattern)}) THEN {masked} END"


def _refused(column: Column) -> str:
    text = _raw(column.name)
    # a phone or identity number that slipped into another column is masked there, too
    shown = f"regexp_replace(left({text}, {SHOWN_CHARACTERS}), {LONG_DIGITS})"
    if column.pii:
        shown = f"mask_{column.pii}({text})"
    name = quoted(column.name)
    return (
        f"CASE WHEN {text} IS NOT NULL AND {name} IS NULL THEN {shown} END"
        f" AS {quoted(column.name + REFUSED)}"
    )
