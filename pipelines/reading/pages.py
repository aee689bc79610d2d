"""Rows below a header that are no data: the header again, rows and lines of units.

Systems glue the pages of a report into one file. A page's header is ignored if it says the same as
the first one, and refuses the file if it does not: the rows below it would be read as what they
are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import Header, cell_at, is_surely_header, match, required_of
from pipelines.reading.headers.search import paths
from pipelines.reading.headers.units import (
    counted_without_unit,
    is_unit_row,
    note_units_of_row,
    numbers_of,
    with_unit_row,
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
    """Return `noise` with the rows that repeat the header or its row of units.

    Notes undeclared units of lines among the rows in `Header.unit_words`. Raises UnreadableError
    for a header with other units or in other places. A header of several rows that two batches
    share is not recognised.
    """
    if not _has_pages(source, header) or not len(numbers):
        return noise
    flags = np.array(noise, dtype=bool)
    (names, begins), depth = _names(source), source.header_rows
    positions = sorted(header.positions.values())

    def cells_at(row: int) -> list[str]:
        return [column[row].as_py() for column in columns]

    # A header again has a name at an end of the table.
    at_ends = np.zeros(len(flags), bool)
    for position in {positions[0], positions[-1]}:
        at_ends |= _are_names(columns[position], begins, names)
    for row in map(int, np.flatnonzero(at_ends)):
        cells = cells_at(row)
        if _count_names(names, [cells[at] for at in positions]) < min(2, len(positions)):
            continue
        for top in range(max(0, row - depth + 1), row + 1):
            block = [cells_at(at) for at in range(top, min(top + depth, len(flags)))]
            if len(block) == depth and _is_same_header(
                source, header, int(numbers[top]), block, sheet
            ):
                flags[top : top + depth] = True
        if not flags[row]:
            _check_part_of_header(source, names, int(numbers[row]), cells, sheet)
    for row in _rows_without_figures(source, header, columns, flags, begins):
        cells = cells_at(row)
        _check_part_of_header(source, names, int(numbers[row]), cells, sheet)
        flags[row] = _is_unit_row(source, header, int(numbers[row]), cells, sheet)
    return pa.array(flags)


def check_row(source: Source, header: Header, number: int, cells: Sequence[str]) -> None:
    """Look at one row whose cells fit no columns; raise UnreadableError for another header."""
    if not _has_pages(source, header):
        return
    places = {min(header.positions.values()), max(header.positions.values())}
    if source.header_rows > 1:
        places |= {header.positions[column.name] for column in numbers_of(source, header)}
    names, _ = _names(source)
    if _count_names(names, [cell_at(cells, place) for place in places]):
        _is_same_header(source, header, number, [cells], "")
        _check_part_of_header(source, names, number, cells, "")
    _is_unit_row(source, header, number, cells, "")


def _has_pages(source: Source, header: Header) -> bool:
    """Return whether rows can repeat the header: it is sound and stands in a grid."""
    return bool(header.rows and header.positions) and not header.faults(source)


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


def _count_names(names: frozenset[str], cells: Sequence[str]) -> int:
    folded = (fold_header(cell[:COMPARED_CHARACTERS]) for cell in cells)
    return sum(re.sub(TAIL, "", cell) in names for cell in folded)


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


def _refuse(number: int, cells: Sequence[str], sheet: str) -> None:
    """Raise UnreadableError for row `number` of `sheet`, which contradicts the header."""
    shown = "、".join(cells)[:200]
    raise UnreadableError(
        Reason(code="page_header", value=str(number), expected=shown, place=sheet[:200])
    )


def _rows_without_figures(
    source: Source, header: Header, columns: Sequence[pa.Array], noise: np.ndarray, begins: str
) -> list[int]:
    """Return the rows that have no figure where one belongs and may say a unit.

    So may the lower row of a header of several, whose names stand where the figures belong.
    Figures are looked for first: few rows of data have none.
    """
    numbers = [column for column in numbers_of(source, header) if column.unit]
    counted = [header.positions[column.name] for column in numbers]
    is_several = source.header_rows > 1
    if not counted or not (source.unit_row or is_several or counted_without_unit(source, header)):
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
        patterns = [UNIT_LETTERS]
        if position in counted:
            patterns += ["^[^0-9０-９]+$"] * source.unit_row + [begins] * is_several
        cells = column.take(pa.array(rows))
        flags |= np.array(pc.match_substring_regex(cells, "|".join(patterns)), dtype=bool)
    return [int(row) for row in rows[flags]]


def _is_same_header(
    source: Source, header: Header, number: int, block: Sequence[Sequence[str]], sheet: str
) -> bool:
    """Return whether rows are the header again; raise UnreadableError for another header."""
    cells = paths(block, ())
    places = header.positions.values()
    if all(cell_at(cells, at).strip() == header.cells[at].strip() for at in places):
        return True
    page = match(source, cells)
    required = required_of(source)
    known = page.positions.keys() | {reason.column for reason in page.unsound}
    filled = sum(1 for cell in cells if cell.strip())
    is_whole = known >= header.positions.keys() or len(known) == filled or len(required) > 1
    if not (required <= known and is_whole and 2 * len(known) >= filled):
        return False
    # A page that leaves away what a row or line of units said of the first header means the same.
    in_cells = match(source, header.cells).suffixes
    beside = {name: unit for name, unit in header.suffixes.items() if name not in in_cells}
    units = {name: page.suffixes.get(name, beside.get(name, "")) for name in page.positions}
    wanted = {name: header.suffixes.get(name, "") for name in header.positions}
    if page.unsound or page.positions != header.positions or units != wanted:
        shown = [reason.value for reason in page.unsound]
        _refuse(number, shown + [cells[at] for at in page.positions.values()], sheet)
    return True


def _check_part_of_header(
    source: Source, names: frozenset[str], number: int, cells: Sequence[str], sheet: str
) -> None:
    """Raise UnreadableError for one row of a header of several that stands without the others."""
    if source.header_rows == 1:
        return
    filled = [cell for cell in cells if cell.strip()]
    known = _count_names(names, filled)
    if known > 1 and is_surely_header(filled, known):
        _refuse(number, filled, sheet)


def _is_unit_row(
    source: Source, header: Header, number: int, cells: Sequence[str], sheet: str
) -> bool:
    """Return whether a row without figures is the declared row of units again.

    Raises UnreadableError where it says other units than the first. Of any other row the scaled
    units are noted.
    """
    counted = [column for column in numbers_of(source, header) if column.unit]
    below = [cell_at(cells, header.positions[column.name]) for column in counted]
    if not below or any(re.search(NUMBER, cell) for cell in below):
        return False
    if not (source.unit_row and is_unit_row(source, header, cells)):
        note_units_of_row(source, header, cells)
        return False
    in_cells = match(source, header.cells).suffixes
    page = with_unit_row(source, replace(header, suffixes=in_cells, unsound=()), cells)
    others = {
        name: unit
        for name in header.positions
        if (unit := page.suffixes.get(name, "")) != header.suffixes.get(name, "")
    }
    if page.unsound or others:
        shown = [reason.value for reason in page.unsound]
        shown += [f"{source.titles[name]}：{unit}" for name, unit in others.items()]
        _refuse(number, shown, sheet)
    return True
