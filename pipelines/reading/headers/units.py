"""Units beside a header: a declared row below it, a declared line above it, and undeclared words.

A unit is read only where the contract says that it stands. Words anywhere else that show a unit
with a scale (`单位：万条`, `（万）`, `以万计`) are never interpreted: they are noted in
`Header.unit_words`, and the delivery waits for a person.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import lru_cache

from pipelines.contracts.columns import NUMBERS, Column
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES, fold_header, fold_text
from pipelines.reading.headers.matching import (
    SCALE,
    SHARES,
    Header,
    cell_at,
    depth_reason,
    printed,
    suffix_of,
    unit_reason,
)

FIGURE = re.compile(r"(?<![a-z])\d|[一二三四五六七八九两零〇]")
UNIT_TITLES = ("单位", "计量单位")
NOTE_TITLES = ("注", "备注", "附注", "说明")
UNIT_CELL = re.compile(r"([(\[【]?)((?:计量)?单位:)?([^()\[\]【】]+)[)\]】]?")
LINE_CELLS = 4  # of a line such as `填报单位：…  填报日期：…  填报人：…  单位：万条`

# What shows a scaled unit in folded text, where a line break ends a cell. These patterns match too
# much on purpose: a place name behind 单位 costs a person one look, a lost scale falsifies figures.
ANY_SCALE = f"(?:[{SCALES}拾佰仟]+|w(?![a-z]))"
LARGE_SCALE = "(?:[十百]*[千万亿]+|w(?![a-z]))"
LETTERS = r"[^\W\d]{0,5}"
STATED = (  # 单位：万宗, 单位均为万, 单位（次、万人）, 单位：10人; without a colon 单位万宗
    r"(?:单\s*位\s*(?:[^\W\d]{0,3}\s*[:为(\[【]\s*)+(?:[^\W\d]{0,6}\s*[、,]\s*)*[(\[【]?\s*"
    rf"(?:[\d.]*\s*{ANY_SCALE}|[\d.]+(?=[^\W\d]))|单\s*位\s*{LARGE_SCALE})"
    rf"(?P<rest>{LETTERS})(?![^\W\d])"
)
BRACKETED = rf"[(\[【]\s*{LARGE_SCALE}{LETTERS}\s*[)\]】]"
WHOLE_CELL = rf"(?<!.)(?:{BRACKETED}|[(\[【]{ANY_SCALE}[)\]】])(?!.)"
COUNTED = rf"[以按]\s*{ANY_SCALE}\s*(?:计|{LETTERS}为单位)"  # 以万计, 以万宗为单位
STATEMENT = re.compile(f"{STATED}|{WHOLE_CELL}")


def numbers_of(source: Source, header: Header) -> list[Column]:
    """Return the columns of numbers that a header has."""
    return [
        column
        for column in source.columns
        if column.type in NUMBERS and column.name in header.positions
    ]


def counted_without_unit(source: Source, header: Header) -> list[Column]:
    """Return the columns with a `unit` that no header says, or all where a line declares it."""
    return [
        column
        for column in numbers_of(source, header)
        if column.unit and (source.unit_above or column.name not in header.suffixes)
    ]


# --- declared: a row below the header, a line above it -------------------------------------------


def with_unit_row(source: Source, header: Header, row: Sequence[str]) -> Header:
    """Return `header` with the units of the declared row below it.

    The row says nothing below texts and keys, and nothing but units below numbers; otherwise it is
    a row of data, and the header unsound.
    """
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    numbers = [column.name for column in numbers_of(source, header)]
    for name, position in header.positions.items():
        cell = fold_header(cell_at(row, position))
        if name not in numbers and _is_word(cell) and _bare(cell).rstrip(":") not in UNIT_TITLES:
            unsound.append(depth_reason(name, header.cells[position], source.header_rows + 1))
    for column, unit in units_below(source, header, row):
        suffix = suffix_of(column, unit)
        if suffix is None and not column.unit and not (SCALE.match(unit) or FIGURE.search(unit)):
            continue  # the contract does not say what the column counts
        if suffix is None or header.suffixes.get(column.name, suffix) != suffix:
            title = printed(header.cells[header.positions[column.name]])
            shown = unit if is_unit(source, unit) else "…"
            unsound.append(unit_reason(column, f"{title} ({shown})"))
        else:
            suffixes[column.name] = suffix
    rows = (*header.rows, tuple(row))
    return replace(header, suffixes=suffixes, unsound=tuple(unsound), rows=rows)


def units_below(source: Source, header: Header, row: Sequence[str]) -> list[tuple[Column, str]]:
    """Return the folded words of `row` below number columns, without brackets and 单位:."""
    cells = [
        (column, cell_at(row, header.positions[column.name]))
        for column in numbers_of(source, header)
    ]
    return [
        (column, _bare(fold_header(cell)))
        for column, cell in cells
        if cell.strip() not in column.nulls and _is_word(cell)
    ]


def is_unit(source: Source, word: str) -> bool:
    """Return whether a folded word is a unit: of the contract, or with a scale."""
    units = {fold_header(unit) for column in source.columns for unit in column.unit}
    return word in units or word in SHARES or (len(word) <= 4 and SCALE.match(word) is not None)


def with_unit_above(source: Source, header: Header, lines: Iterable[Sequence[str]]) -> Header:
    """Return `header` in the contract's `unit_above`, if any, and note other units of `lines`.

    `lines` are rows and texts outside the table. The unit is for the columns that count in it and
    whose header says none; that no line says it is noted, too.
    """
    is_stated = note_units(source, header, lines)
    if source.unit_above is None:
        return header
    unit = fold_header(source.unit_above)
    suffixes = {
        column.name: suffix
        for column in counted_without_unit(source, header)
        if column.name not in header.suffixes and (suffix := suffix_of(column, unit)) is not None
    }
    if suffixes and not is_stated and not header.unit_words:
        header.unit_words[f"no line says {source.unit_above}"] = None
    return replace(header, suffixes={**header.suffixes, **suffixes})


def _bare(cell: str) -> str:
    """Return a folded unit without its brackets and 单位:."""
    unit = UNIT_CELL.fullmatch(cell)
    return unit[3] if unit else cell


def _is_word(cell: str) -> bool:
    """Return whether there is more in a cell than punctuation."""
    return any(unicodedata.category(letter)[0] in "LNS" or letter in SHARES for letter in cell)


# --- undeclared: any other words that show a scaled unit -----------------------------------------


def note_units(source: Source, header: Header, lines: Iterable[Sequence[str]]) -> bool:
    """Note in `header.unit_words` the scaled units of `lines`; return whether one is `unit_above`.

    Nothing is noted where the header says the unit of every figure.
    """
    columns = counted_without_unit(source, header)
    if not columns:
        return False
    units = [{fold_header(unit) for unit in column.unit} for column in columns]
    declared = fold_header(source.unit_above or "")
    agreed, scaled, others = _patterns(
        frozenset.union(*map(frozenset, units)),
        frozenset({declared} if declared else set.intersection(*units)),
    )
    is_stated = False
    for line in lines:
        text = "\n\n".join(" ".join(fold_text(cell).split()) for cell in line if cell.strip())
        text, count = agreed.subn("", text)
        is_stated |= bool(declared and count)
        shown = list(scaled.finditer(text)) or list(others.finditer(text))
        header.unit_words.update((_quoted(match), None) for match in shown)
    return is_stated


@lru_cache(maxsize=256)
def _patterns(units: frozenset[str], agreed: frozenset[str]) -> tuple[re.Pattern[str], ...]:
    """Compile what matches `agreed` units, one of `units` with a scale, and other scaled units.

    A figure with a unit (`3.5万条`) is neither. Where a unit is stored with a scale (万条), it is
    shown without one, too.
    """

    def any_of(words: Iterable[str]) -> str:
        longest_first = sorted(words, key=lambda word: (-len(word), word))
        return "|".join(r"\s*".join(map(re.escape, word)) for word in longest_first) or "(?!)"

    no_figure = rf"(?<![\d.{SCALES}])(?<!\d\s)"
    bases = {SCALE.sub("", unit, count=1) for unit in units} - SHARES - {""}
    unscaled = any_of({SCALE.sub("", unit, count=1) for unit in units if SCALE.match(unit)})
    others = [STATED, BRACKETED, WHOLE_CELL, COUNTED]
    others += [rf"单\s*位[^\W\d]{{0,3}}\s*[:为(\[【\s]\s*(?:{unscaled})(?![^\W\d])"]
    others += [rf"[以按]\s*(?:{unscaled})\s*(?:计|为单位)"]
    return (
        re.compile(rf"{no_figure}(?:{any_of(agreed - bases)})(?![^\W\d])"),
        re.compile(rf"{no_figure}(?<![a-z]){ANY_SCALE}\s*(?:{any_of(bases)})"),
        re.compile("|".join(others)),
    )


def _quoted(match: re.Match[str]) -> str:
    """Return the words for a message, cut behind a scale, where a name may follow."""
    rest = match.groupdict().get("rest") or ""
    words = match[0][: len(match[0]) - len(rest)] + rest[:1] + ("…" if len(rest) > 1 else "")
    return printed("".join(words.split()))


def note_units_of_row(source: Source, header: Header, row: Sequence[str]) -> None:
    """Note the scaled units of a row of the grid without figures, if it is no row of data.

    A row of one cell, a note, and one with a cell that begins with 单位 are lines outside the
    table. In others what stands below number columns counts, and in those of few cells a plain
    statement: `甲局单位：万条` or a cell `（万）`.
    """
    filled = [cell for cell in row if cell.strip()]
    is_line = len(filled) == 1 or any(
        fold_header(cell[:20]).startswith(UNIT_TITLES) for cell in filled
    )
    if is_line or (filled and fold_header(filled[0][:10]).rstrip(":") in NOTE_TITLES):
        note_units(source, header, [filled])
        return
    shown = [f"({unit})" for _, unit in units_below(source, header, row)]
    if len(filled) <= LINE_CELLS:
        shown += [cell for cell in filled if STATEMENT.search(fold_text(cell).strip())]
    note_units(source, header, [shown])
