"""Rows below a header that are no data: the header again, rows and lines of units.

Systems glue the pages of a report into one file. A page's header is ignored if it says the same as
the first one, and refuses the file if it does not: the rows below it would be read as what they
are not.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.consistency import fold_header
from pipelines.contracts.models import Source
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


@dataclass(frozen=True)
class Pages:
    """The first header of a grid, prepared to be compared with the rows below it.

    `names` are the contract's folded headers without units, `first_letters` matches a cell that
    begins like one of them, `numbers` are the positions of the columns that count in a unit.
    """

    source: Source
    header: Header
    required: frozenset[str]
    names: frozenset[str]
    first_letters: str
    numbers: tuple[int, ...]

    def refuse(self, number: int, cells: Sequence[str], sheet: str) -> None:
        """Raise UnreadableError for row `number` of `sheet`, which differs from the header."""
        shown = "、".join(cells)[:200]
        raise UnreadableError(
            Reason(code="page_header", value=str(number), expected=shown, place=sheet[:200])
        )

    def count_names(self, cells: Sequence[str]) -> int:
        """Count the cells that are a header of the contract, whatever their unit."""
        folded = (fold_header(cell[:COMPARED_CHARACTERS]) for cell in cells)
        return sum(re.sub(TAIL, "", cell) in self.names for cell in folded)


def pages_of(source: Source, header: Header) -> Pages | None:
    """Return what rows below `header` are compared with; None without a grid or a sound header."""
    if not header.rows or not header.positions or header.faults(source):
        return None
    names = {
        re.sub(TAIL, "", part)
        for column in source.columns
        for spelling in column.header
        for part in fold_header(spelling).split("|")
    } - {""}
    letters = {name[0] for name in names} | {name[0].upper() for name in names}
    letters |= {chr(ord(letter) + 0xFEE0) for letter in letters if "!" <= letter <= "~"}
    counted = [column for column in numbers_of(source, header) if column.unit]
    return Pages(
        source,
        header,
        frozenset(required_of(source)),
        frozenset(names),
        rf"^{BLANK}*[{''.join(map(re.escape, sorted(letters)))}]",
        tuple(header.positions[column.name] for column in counted),
    )


def check_row(pages: Pages, number: int, cells: Sequence[str]) -> None:
    """Look at one row whose cells fit no columns; raise UnreadableError for another header."""
    positions = pages.header.positions.values()
    places = {min(positions), max(positions)}
    if pages.source.header_rows > 1:
        places.update(pages.numbers)
    if pages.count_names([cell_at(cells, place) for place in places]):
        _is_same_header(pages, number, [cells], "")
        _check_part_of_header(pages, number, cells, "")
    _is_unit_row(pages, number, cells, "")


def without_pages(
    pages: Pages, columns: Sequence[pa.Array], numbers: np.ndarray, noise: pa.Array, sheet: str
) -> pa.Array:
    """Return `noise` with the rows that repeat the header or its row of units.

    Notes undeclared units of lines among the rows in `Header.unit_words`. Raises UnreadableError
    for a header with other units or in other places. A header of several rows that two batches
    share is not recognised.
    """
    depth = pages.source.header_rows
    flags = np.array(noise, dtype=bool)

    def cells_at(row: int) -> list[str]:
        return [column[row].as_py() for column in columns]

    for row in _rows_like_headers(pages, columns, noise):
        for top in range(max(0, row - depth + 1), row + 1):
            block = [cells_at(place) for place in range(top, min(top + depth, len(flags)))]
            if len(block) == depth and _is_same_header(pages, int(numbers[top]), block, sheet):
                flags[top : top + depth] = True
        if not flags[row]:
            _check_part_of_header(pages, int(numbers[row]), cells_at(row), sheet)
    for row in _rows_without_figures(pages, columns, flags):
        cells = cells_at(row)
        _check_part_of_header(pages, int(numbers[row]), cells, sheet)
        flags[row] = _is_unit_row(pages, int(numbers[row]), cells, sheet)
    return pa.array(flags)


def _rows_like_headers(pages: Pages, columns: Sequence[pa.Array], noise: pa.Array) -> list[int]:
    """Return the rows with several of the contract's headers in the places of the first one.

    Cells are folded only in rows whose first or last cell begins with a header's first letter.
    """
    positions = sorted(pages.header.positions.values())
    flags = pc.match_substring_regex(columns[positions[0]], pages.first_letters)
    if len(positions) > 1:
        last = pc.match_substring_regex(columns[positions[-1]], pages.first_letters)
        flags = pc.or_(flags, last)
    if pages.source.header_rows == 1:
        flags = pc.and_not(flags, noise)
    rows = np.flatnonzero(flags)
    if not len(rows):
        return []
    names = pa.array(sorted(pages.names))
    count = np.zeros(len(rows), int)
    for position in positions:
        cells = columns[position].take(pa.array(rows))
        cells = pc.utf8_slice_codeunits(cells, 0, COMPARED_CHARACTERS)
        folded = pc.utf8_lower(pc.utf8_normalize(cells, form="NFKC"))
        folded = pc.replace_substring_regex(folded, f"{BLANK}+", "")
        folded = pc.replace_substring_regex(folded, TAIL, "")
        count += np.array(pc.is_in(folded, names), dtype=int)
    return list(rows[count >= min(2, len(positions))])


def _rows_without_figures(
    pages: Pages, columns: Sequence[pa.Array], noise: np.ndarray
) -> list[int]:
    """Return the rows that have no figure where one belongs and may say a unit.

    So may the lower row of a header of several, whose names stand where the figures belong.
    Figures are looked for first: few rows of data have none.
    """
    source, header = pages.source, pages.header
    if not pages.numbers or not (
        source.unit_row or source.header_rows > 1 or counted_without_unit(source, header)
    ):
        return []
    rows = np.flatnonzero(~noise)
    for position in pages.numbers:
        cells = columns[position]
        cells = cells if len(rows) == len(cells) else cells.take(pa.array(rows))
        rows = rows[~np.array(pc.match_substring_regex(cells, NUMBER), dtype=bool)]
    if not len(rows):
        return []
    flags = np.zeros(len(rows), bool)
    for position, column in enumerate(columns):
        cells = column.take(pa.array(rows))
        patterns = [UNIT_LETTERS]
        if position in pages.numbers and source.unit_row:
            patterns.append("^[^0-9０-９]+$")
        if position in pages.numbers and source.header_rows > 1:
            patterns.append(pages.first_letters)
        flags |= np.array(pc.match_substring_regex(cells, "|".join(patterns)), dtype=bool)
    return list(rows[flags])


def _is_same_header(pages: Pages, number: int, block: Sequence[Sequence[str]], sheet: str) -> bool:
    """Return whether rows are the header again; raise UnreadableError for another header."""
    header = pages.header
    cells = paths(block, ())
    page = match(pages.source, cells)
    known = page.positions.keys() | {reason.column for reason in page.unsound}
    filled = sum(1 for cell in cells if cell.strip())
    whole = known >= header.positions.keys() or len(known) == filled or len(pages.required) > 1
    if not (pages.required <= known and whole and 2 * len(known) >= filled):
        return False
    # A page that leaves away what a row or line of units said of the first header means the same.
    in_cells = match(pages.source, header.cells).suffixes
    beside = {name: unit for name, unit in header.suffixes.items() if name not in in_cells}
    units = {name: page.suffixes.get(name, beside.get(name, "")) for name in page.positions}
    wanted = {name: header.suffixes.get(name, "") for name in header.positions}
    if page.unsound or page.positions != header.positions or units != wanted:
        shown = [reason.value for reason in page.unsound]
        pages.refuse(number, shown + [cells[at] for at in page.positions.values()], sheet)
    return True


def _check_part_of_header(pages: Pages, number: int, cells: Sequence[str], sheet: str) -> None:
    """Raise UnreadableError for one row of a header of several that stands without the others."""
    if pages.source.header_rows == 1:
        return
    filled = [cell for cell in cells if cell.strip()]
    known = pages.count_names(filled)
    if known > 1 and is_surely_header(filled, known):
        pages.refuse(number, filled, sheet)


def _is_unit_row(pages: Pages, number: int, cells: Sequence[str], sheet: str) -> bool:
    """Return whether a row without figures is the declared row of units again.

    Raises UnreadableError where it says other units than the first. Of any other row the scaled
    units are noted.
    """
    source, header = pages.source, pages.header
    below = [cell_at(cells, position) for position in pages.numbers]
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
        pages.refuse(number, shown, sheet)
    return True
