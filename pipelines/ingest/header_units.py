"""Units that stand beside a header: in a row below it, in lines above it or between pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise

from pipelines.contracts.consistency import NUMBERS, fold_header
from pipelines.contracts.models import Column, Source
from pipelines.ingest.headers import SCALE, SHARES, Header, cell_at, printed, suffix_of, unit_reason

FIGURE = re.compile(r"(?<![a-z])\d|[一二三四五六七八九两零〇]")
UNIT_CELL = re.compile(r"[(\[【]?(?:(?:计量)?单位:)?([^()\[\]【】]+)[)\]】]?")
UNIT_OF_ALL = re.compile(r"[(\[【]?(?:计量)?单位:([^()\[\]【】]+)[)\]】]?")
BRACKETED = re.compile(r"[(\[【]([^()\[\]【】]+)[)\]】]")
UNIT_TITLES = ("", "单位", "计量单位")
UNIT_WORDS = r"[(\[【]?\s*([^\s()\[\]【】:;。]*)"
UNIT_SAID = re.compile(r"单\s*位\s*(?:[:为]\s*|(?=[(\[【]))" + UNIT_WORDS)
# 3亿条 and 数万条 are no units of a table
COUNTS = r"\d.一二三四五六七八九两零〇几数余多上近约超达过十百千万亿"


def is_unit_row(source: Source, header: Header, row: Sequence[str]) -> bool:
    """Whether the row below a header says units, and is no row of data whose units are missing.

    It says nothing below texts and keys, and nothing but units below numbers; one with a scale
    among words that are none is a row of units, too, and not to be taken for data.
    """
    if _unit_of_all(source, row) is not None:
        return True
    numbers = {column.name for column in _numbers(source, header)}
    for name, position in header.positions.items():
        cell = fold_header(cell_at(row, position))
        if name not in numbers and _is_word(cell) and cell not in UNIT_TITLES:
            return False
    said = [cell for _, cell in _said_units(source, header, row)]
    if not said or any(map(FIGURE.search, said)):
        return False
    return all(_says_unit(source, cell) for cell in said) or any(
        SCALE.match(_bare(cell)) for cell in said
    )


def _bare(cell: str) -> str:
    """A unit without its brackets and 单位:."""
    found = UNIT_CELL.fullmatch(cell)
    return found[1] if found else cell


def _says_unit(source: Source, cell: str) -> bool:
    return BRACKETED.fullmatch(cell) is not None or _is_unit(source, _bare(cell))


def _is_unit(source: Source, word: str) -> bool:
    """Whether a folded word is a unit: of the contract, or with a scale."""
    own = {fold_header(unit) for column in source.columns for unit in column.unit}
    return word in own or word in SHARES or (len(word) <= 4 and SCALE.match(word) is not None)


def _is_word(cell: str) -> bool:
    """Whether there is more in a cell than punctuation."""
    return any(unicodedata.category(one)[0] in "LNS" or one in SHARES for one in cell)


def _said_units(source: Source, header: Header, row: Sequence[str]) -> list[tuple[Column, str]]:
    """What `row` says below number columns, where that is neither punctuation nor a null."""
    return [
        (column, fold_header(row[position]))
        for column in _numbers(source, header)
        if (position := header.positions[column.name]) < len(row)
        and row[position].strip() not in column.nulls
        and _is_word(row[position])
    ]


def _numbers(source: Source, header: Header) -> list[Column]:
    return [
        column
        for column in source.columns
        if column.type in NUMBERS and column.name in header.positions
    ]


def _unit_of_all(source: Source, cells: Sequence[str]) -> str | None:
    """The unit X of a row whose one filled cell is `单位：X` or `（X）`."""
    filled = [fold_header(cell) for cell in cells if cell.strip()]
    if len(filled) != 1:
        return None
    if found := UNIT_OF_ALL.fullmatch(filled[0]):
        return found[1]
    found = BRACKETED.fullmatch(filled[0])
    return found[1] if found and _is_unit(source, found[1]) else None


def with_unit_row(source: Source, header: Header, row: Sequence[str]) -> Header:
    """The header with what the row of units below it says; `单位：X` alone is said of all."""
    unit_of_all = _unit_of_all(source, row)
    if unit_of_all is None:
        said = [(column, _bare(cell)) for column, cell in _said_units(source, header, row)]
    else:
        of_numbers = [column for column in _numbers(source, header) if column.unit]
        fitting = [one for one in of_numbers if suffix_of(one, unit_of_all) is not None]
        said = [(column, unit_of_all) for column in fitting or of_numbers]
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for column, unit in said:
        suffix = suffix_of(column, unit)
        if suffix is None and not column.unit and not SCALE.match(unit):
            continue  # the contract does not say what it counts
        if suffix is None or header.suffixes.get(column.name, suffix) != suffix:
            title = header.cells[header.positions[column.name]]
            shown = unit if _is_unit(source, unit) else "…"
            unsound.append(unit_reason(column, f"{printed(title)} ({shown})"))
        else:
            suffixes[column.name] = suffix
    rows = (*header.rows, tuple(row))
    return replace(header, suffixes=suffixes, unsound=tuple(unsound), rows=rows)


def with_unit_of_titles(source: Source, header: Header, rows: Sequence[Sequence[str]]) -> Header:
    """The header with the unit that a line above it says of the whole table (`单位：万条`).

    It is for the columns that count in it and say none themselves. 单位 also means an office: a
    line that fits no column says nothing, unless it names a unit of the contract with a scale.
    """
    fitting, astray = units_of_lines(source, header, rows)
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for name in fitting.keys() | astray.keys():
        said = fitting.get(name, {})
        if name in header.suffixes:
            continue
        if name in astray or len(set(said.values())) > 1:
            units = "、".join([*said, *astray.get(name, ())])
            title = printed(header.cells[header.positions[name]])
            unsound.append(unit_reason(source.column(name), f"{title} ({units})"))
        elif suffix := next(iter(said.values()), ""):
            suffixes[name] = suffix
    return replace(header, suffixes=suffixes, unsound=tuple(unsound))


def units_of_lines(
    source: Source, header: Header, rows: Sequence[Sequence[str]]
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """What lines outside the table say of its units, by column: (unit -> suffix, units astray).

    Astray is a unit that the column counts in but for its scale, and which is not said as a unit.
    """
    columns = [column for column in _numbers(source, header) if column.unit]
    lines = [
        [unicodedata.normalize("NFKC", cell).casefold().strip() for cell in row if cell.strip()]
        for row in rows
    ]
    said = {unit for line in lines for unit in _said_of_all(line)}
    fitting: dict[str, dict[str, str]] = {}
    astray: dict[str, list[str]] = {}
    assigned: set[str] = set()
    for column in columns:
        of_column = {unit: suffix_of(column, unit) for unit in sorted(said)}
        fitting[column.name] = {
            unit: suffix for unit, suffix in of_column.items() if suffix is not None
        }
        assigned |= fitting[column.name].keys()
    for column in columns:
        bases = {SCALE.sub("", fold_header(unit), count=1) for unit in column.unit} - SHARES - {""}
        if not bases:
            continue
        scaled = "[十百]?[千万亿]{1,3}(?:" + "|".join(map(re.escape, sorted(bases))) + ")"
        pattern = re.compile(rf"(?<![{COUNTS}])({scaled})(?!\w)|单\s*位\s*[:为(\[【]?\s*({scaled})")
        shown = {
            one[1] or one[2] for line in lines for cell in line for one in pattern.finditer(cell)
        }
        lost = (shown | (said & bases)) - assigned
        if lost:
            astray[column.name] = sorted(lost)
    return {name: units for name, units in fitting.items() if units}, astray


def _said_of_all(line: Sequence[str]) -> Iterator[str]:
    """The units X of `单位：X`, `单位：X、Y` and `单位（X）`; X may stand in the next cell."""
    for cell, following in pairwise([*line, ""]):
        for found in UNIT_SAID.finditer(cell):
            words = found[1]
            if not words and found.end() == len(cell):
                after = re.match(UNIT_WORDS, following)
                words = after[1] if after else ""
            yield from filter(None, re.split("[、,]", words))
