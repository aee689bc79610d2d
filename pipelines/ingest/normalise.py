"""Compiles a contract into the SQL that types, masks and places a source's raw rows."""

from __future__ import annotations

import re

from pipelines.contracts.models import Column, ColumnType, Source
from pipelines.engine import literal, quoted, sql

REFUSED = "__refused"  # suffix of the companion column: text that its column could not take
CAUSE = "__cause"  # beside it, of a number with a unit: the code of the reason, `unit` or `type`
LONG_DIGITS = r"'([0-9]{3})[0-9]{4,}([0-9]{4}|[0-9]{3}[Xx])', '\1****\2', 'g'"
# in a code, whose digits are to be seen: what has the shape of a mobile or identity number
PERSONAL = (
    r"'(^|[^0-9])(?:(1[3-9][0-9])[0-9]{4}([0-9]{4})"
    r"|([1-9][0-9]{5})(?:18|19|20)[0-9]{6}([0-9]{3}[0-9Xx]))($|[^0-9A-Za-z])', "
    r"'\1\2\4****\3\5\6', 'g'"
)
SHOWN_CHARACTERS = 200  # of a refused cell
DASHES = "-‐‑‒–—―−─﹘﹣－"


def typed_rows(source: Source) -> str:
    """The SELECT from `raw` (the readers' layout) that yields staged rows.

    Each contract column comes typed, beside `<column>__refused`: the text, masked if personal,
    of a cell that was filled and could not be read as what was declared. A number with a unit has
    `<column>__cause` besides. `_department` and
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
        texts=",\n".join(
            f"{_stated(column, source)} AS {_raw(column.name)}" for column in source.columns
        ),
        typed=",\n".join(
            f"{_typed(column, source)} AS {quoted(column.name)}" for column in source.columns
        ),
        columns=", ".join(quoted(name) for name in names),
        refused=",\n".join(
            [_refused(column) for column in source.columns]
            + [_cause(column) for column in source.columns if column.unit]
        ),
        unit=unit,
        day=day,
    )


def ignored(source: Source) -> str:
    """The condition on a raw row for being declared noise, or a footer by its first cell."""
    if not source.footer:
        return "noise"
    footers = "|".join(f"(?:{pattern})" for pattern in source.footer)
    footer = rf"^[\s　]*(?:{footers})"
    return f"(noise OR regexp_matches(first, {literal(footer)}))"


def _raw(name: str) -> str:
    return quoted(f"{name}__text")


def _text(column: Column) -> str:
    text = f"normalise_text({quoted(column.name)})"
    if not column.nulls:
        return text
    nulls = "|".join(_spellings(spelling) for spelling in column.nulls)
    return f"CASE WHEN NOT regexp_full_match({text}, {literal(nulls)}) THEN {text} END"


def _spellings(text: str) -> str:
    """A pattern of everything that a reader takes for `text`: in either width, dashes alike."""
    pattern = ""
    for run in re.findall(f"[{re.escape(DASHES)}]+|.", text, re.DOTALL):
        if run[0] in DASHES:
            pattern += f"[{re.escape(DASHES)}]+"
            continue
        narrow = chr(ord(run) - 0xFEE0) if "！" <= run <= "～" else run
        if "!" <= narrow <= "~":
            pattern += f"[{re.escape(narrow)}{chr(ord(narrow) + 0xFEE0)}]"
        else:
            pattern += re.escape(narrow)
    return pattern


def _stated(column: Column, source: Source) -> str:
    """The text of a cell, a number's with the unit that its row says elsewhere."""
    text = _text(column)
    if column.unit_from is None:
        return text
    unit = _text(source.column(column.unit_from))
    whole = f"with_unit({text}, {unit}, {_units(column)})"
    own = ", ".join(literal(one) for one in column.unit if not _is_scaled(one, column.unit))
    if not own:
        return whole
    # the usual row, for which with_unit would be slow
    usual = f"{unit} IN ({own}) AND regexp_full_match({text}, '[+-]?[0-9]+(?:[.][0-9]{{1,6}})?')"
    return f"CASE WHEN {usual} THEN {text} ELSE {whole} END"


def _is_scaled(unit: str, units: tuple[str, ...]) -> bool:
    """Whether it can be taken for another unit, or none, with a scale: 万元, where 元 is one."""
    return any(
        re.fullmatch("[十百千万亿]+", unit.removesuffix(other))
        for other in ("", *units)
        if unit.endswith(other)
    )


def _units(column: Column) -> str:
    return f"[{', '.join(literal(unit) for unit in column.unit)}]::VARCHAR[]"


def _typed(column: Column, source: Source) -> str:
    if column.qualifier_of is not None:
        number = source.column(column.qualifier_of)
        return f"normalise_qualifier({_raw(number.name)}, {_units(number)})"
    text = _raw(column.name)
    units = _units(column)
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
    if column.code is not None:
        code = f"normalise_{column.code}({text})"
        return code if column.pii is None else f"mask_{column.pii}({code})"
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
    if column.code:
        shown = f"regexp_replace(left({text}, {SHOWN_CHARACTERS}), {PERSONAL})"
    if column.pii:
        shown = f"mask_{column.pii}({text})"
    name = quoted(column.name)
    return (
        f"CASE WHEN {text} IS NOT NULL AND {name} IS NULL THEN {shown} END"
        f" AS {quoted(column.name + REFUSED)}"
    )


def _cause(column: Column) -> str:
    text, name = _raw(column.name), quoted(column.name)
    other = f"states_other_unit({text}, {_units(column)})"
    return (
        f"CASE WHEN {text} IS NOT NULL AND {name} IS NULL"
        f" THEN CASE WHEN {other} THEN 'unit' ELSE 'type' END END"
        f" AS {quoted(column.name + CAUSE)}"
    )
