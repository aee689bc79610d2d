"""Rows below a header that are no data: the header again, and lines that say a unit.

Systems glue the pages of a report into one file. A page's header is ignored if it repeats the rows
of the first one, and refuses the file if it does not: the rows below it might be read as what they
are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import Header, cell_at, is_surely_header
from pipelines.reading.headers.units import (
    counted_without_unit,
    is_unit,
    note_units_of_row,
    numbers_of,
    units_below,
)

TAIL = r"(?:[,、/(\[【]|(?:计量)?单位:).*$"  # what may follow a header's name, folded
BLANK = r"[\s\p{Z}\p{Cf}]"
NUMBER = "^[^年月日:：]*[0-9０-９][^年月日:：]*$"
# A cell without any of these letters shows no unit.
UNIT_LETTERS = rf"[十百千万亿萬億拾佰仟WwＷｗ]|单{BLANK}*位"
COMPARED_CHARACTERS = 200  # of a cell that may be a header


def without_pages(
    source: Source,
    header: Header,
    columns: Sequence[pa.Array],
    numbers: np.ndarray,
    noise: pa.Array,
    sheet: str,
) -> pa.Array:
    """Return `noise` with the rows that repeat all rows of the header.

    Notes undeclared units of lines among the rows in `Header.unit_words`. Raises UnreadableError
    for any other header. One of several rows that two batches share counts as another header.
    """
    if not _has_pages(source, header) or not len(numbers):
        return noise
    flags, depth = np.array(noise, dtype=bool), len(header.rows)
    names, begins = _names(source)
    are_names = np.zeros(len(flags), bool)
    for position in _watched(source, header):
        are_names |= _are_names(columns[position], begins, names)
    for row in map(int, np.flatnonzero(are_names)):
        for top in range(max(0, row - depth + 1), row + 1):
            if _is_repeated(header, columns, top):
                flags[top : top + depth] = True
        if not flags[row]:
            cells = [column[row].as_py() for column in columns]
            _check_no_header(names, int(numbers[row]), cells, sheet)
    for row in _rows_without_figures(source, header, columns, flags):
        cells = [column[row].as_py() for column in columns]
        _check_units(source, header, int(numbers[row]), cells, sheet)
    return pa.array(flags)


def check_row(source: Source, header: Header, number: int, cells: Sequence[str]) -> None:
    """Look at one row whose cells fit no columns; raise UnreadableError for a header."""
    if not _has_pages(source, header):
        return
    names, _ = _names(source)
    if any(_is_name(names, cell_at(cells, place)) for place in _watched(source, header)):
        _check_no_header(names, number, cells, "")
    _check_units(source, header, number, cells, "")


def _has_pages(source: Source, header: Header) -> bool:
    """Return whether rows can repeat the header: it is sound and stands in a grid."""
    return bool(header.rows and header.positions) and not header.faults(source)


def _watched(source: Source, header: Header) -> set[int]:
    """Return the places where a header again has a name: at an end of the table.

    A lower row of a header of several has its names anywhere.
    """
    places = sorted(header.positions.values())
    return set(places) if source.header_rows > 1 else {places[0], places[-1]}


def _names(source: Source) -> tuple[frozenset[str], str]:
    """Return the contract's folded headers without units, each part of a path by itself.

    Return, too, a pattern of cells whose first letter, in any width and case, is that of a name.
    """
    spellings = [spelling for column in source.columns for spelling in column.header]
    parts = [part for spelling in spellings for part in fold_header(spelling).split("|")]
    names = frozenset(re.sub(TAIL, "", part) for part in parts) - {""}
    letters = {name[0] for name in names} | {name[0].upper() for name in names}
    letters |= {chr(ord(letter) + 0xFEE0) for letter in letters if "!" <= letter <= "~"}
    return names, rf"^{BLANK}*[{''.join(map(re.escape, sorted(letters)))}]"


def _is_name(names: frozenset[str], cell: str) -> bool:
    return re.sub(TAIL, "", fold_header(cell[:COMPARED_CHARACTERS])) in names


def _are_names(cells: pa.Array, begins: str, names: frozenset[str]) -> np.ndarray:
    """Flag the cells that are one of `names`; those are folded only that begin like one."""
    flags = np.array(pc.match_substring_regex(cells, begins), dtype=bool)
    if flags.any():
        folded = pc.utf8_slice_codeunits(cells.filter(pa.array(flags)), 0, COMPARED_CHARACTERS)
        folded = pc.utf8_lower(pc.utf8_normalize(folded, form="NFKC"))
        for pattern in (f"{BLANK}+", TAIL):
            folded = pc.replace_substring_regex(folded, pattern, "")
        flags[flags] = np.array(pc.is_in(folded, pa.array(sorted(names))), dtype=bool)
    return flags


def _is_repeated(header: Header, columns: Sequence[pa.Array], top: int) -> bool:
    """Return whether the rows from `top` on are those of the header, but for width and blanks."""
    return top + len(header.rows) <= len(columns[0]) and all(
        fold_header(columns[place][top + depth].as_py()) == fold_header(cell_at(cells, place))
        for depth, cells in enumerate(header.rows)
        for place in header.positions.values()
    )


def _check_no_header(names: frozenset[str], number: int, cells: Sequence[str], sheet: str) -> None:
    """Raise UnreadableError for a row that is surely a header or one row of it."""
    filled = [cell for cell in cells if cell.strip()]
    known = sum(_is_name(names, cell) for cell in filled)
    if known > 1 and is_surely_header(filled, known):
        _refuse(number, filled, sheet)


def _refuse(number: int, cells: Sequence[str], sheet: str) -> None:
    """Raise UnreadableError for row `number` of `sheet`, which contradicts the header."""
    shown = "、".join(cells)[:200]
    raise UnreadableError(
        Reason(code="page_header", value=str(number), expected=shown, place=sheet[:200])
    )


def _rows_without_figures(
    source: Source, header: Header, columns: Sequence[pa.Array], noise: np.ndarray
) -> list[int]:
    """Return the rows that have no figure where one belongs and may say a unit.

    Figures are looked for first: few rows of data have none.
    """
    numbers = [column for column in numbers_of(source, header) if column.unit]
    counted = [header.positions[column.name] for column in numbers]
    if not counted or not (source.unit_row or counted_without_unit(source, header)):
        return []
    rows = np.flatnonzero(~noise)
    for position in counted:
        cells = columns[position]
        cells = cells if len(rows) == len(cells) else cells.take(pa.array(rows))
        rows = rows[~np.array(pc.match_substring_regex(cells, NUMBER), dtype=bool)]
    if not len(rows):
        return []
    flags = np.zeros(len(rows), bool)
    for position, column in enumerate(columns):
        is_unit = source.unit_row and position in counted
        pattern = f"{UNIT_LETTERS}|^[^0-9０-９]+$" if is_unit else UNIT_LETTERS
        matches = pc.match_substring_regex(column.take(pa.array(rows)), pattern)
        flags |= np.array(matches, dtype=bool)
    return [int(row) for row in rows[flags]]


def _check_units(
    source: Source, header: Header, number: int, cells: Sequence[str], sheet: str
) -> None:
    """Note the scaled units of a row without figures; raise UnreadableError for a row of units.

    A declared row of units stands below its header, with which it was taken.
    """
    counted = [column for column in numbers_of(source, header) if column.unit]
    below = [cell_at(cells, header.positions[column.name]) for column in counted]
    if not below or any(re.search(NUMBER, cell) for cell in below):
        return
    units = [unit for _, unit in units_below(source, header, cells)]
    if source.unit_row and any(is_unit(source, unit) for unit in units):
        _refuse(number, [cell for cell in cells if cell.strip()], sheet)
    note_units_of_row(source, header, cells)
