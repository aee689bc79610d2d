"""Pages glued together: a header among the rows is noise if the first one's, and else refused."""

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
from pipelines.reading.headers.matching import (
    SCALE,
    Header,
    cell_at,
    is_surely_header,
    match,
    required_of,
)
from pipelines.reading.headers.search import paths
from pipelines.reading.headers.units import (
    has_unit_cell,
    is_note,
    is_unit_row,
    numbers_of,
    says_unit_of_all,
    units_of_lines,
    with_unit_row,
)

TAIL = r"(?:[,、/(\[【]|(?:计量)?单位:).*$"  # what may follow a header's name, folded
BLANK = r"[\s\p{Z}\p{Cf}]"
# what a line that says a unit has: looser than header_units.py, which reads it
UNIT_LINE = (
    rf"单{BLANK}*位{BLANK}*(?:[均都皆统一]{{0,2}}{BLANK}*[:：为（(\[【]|[十百千万亿萬億]|$)"
    rf"|为{BLANK}*单{BLANK}*位|[千万亿萬億]{BLANK}*(?:[)）\]】]|计)"
)
BARE_UNIT = rf"^{BLANK}*[（(\[【十百千万亿萬億WwＷｗ]"
NUMBER = "^[^年月日:：]*[0-9０-９][^年月日:：]*$"
LINE_CELLS = 4  # of a line such as `填报单位：…  填报日期：…  填报人：…  单位：万条`


@dataclass(frozen=True)
class Pages:
    """What tells a header or a line of units among the rows below `header`.

    `starts` are the folded headers without units; `said` the columns whose header or row of units
    says a unit itself; `numbers` the columns that count in one; `unit_line` matches cells that may
    say one of the table.
    """

    source: Source
    header: Header
    required: frozenset[str]
    starts: frozenset[str]
    said: frozenset[str]
    numbers: tuple[str, ...]
    unit_line: str

    def refuse(self, number: int, found: str, sheet: str = "") -> None:
        """Raise, for the rows below would be taken for what they are not."""
        raise UnreadableError(
            Reason(code="page_header", value=str(number), expected=found[:200], place=sheet[:200])
        )


def pages_of(source: Source, header: Header) -> Pages | None:
    """None where nothing is told from data: without a grid, or a sound header."""
    required = required_of(source)
    if not header.rows or not header.positions or header.faults(source):
        return None
    starts = {
        re.sub(TAIL, "", part)
        for column in source.columns
        for spelling in column.header
        for part in fold_header(spelling).split("|")
    }
    said = set(match(source, header.cells).suffixes)
    if source.unit_row and len(header.rows) > 1:
        bare = replace(header, suffixes={})
        said |= with_unit_row(source, bare, header.rows[-1]).suffixes.keys()
    counted = [column for column in numbers_of(source, header) if column.unit]
    numbers = tuple(column.name for column in counted)
    own = {SCALE.sub("", unit, count=1) for column in counted for unit in column.unit} - {""}
    scaled = rf"[千万亿萬億]{BLANK}*(?:{'|'.join(map(re.escape, sorted(own)))})"
    return Pages(
        source,
        header,
        frozenset(required),
        frozenset(starts - {""}),
        frozenset(said),
        numbers,
        f"{UNIT_LINE}|{scaled}" if own else UNIT_LINE,
    )


def check_row(pages: Pages, number: int, cells: Sequence[str], sheet: str = "") -> None:
    """Raise UnreadableError for one row that is another header, or a line of other units."""
    positions = pages.header.positions
    places = {min(positions.values()), max(positions.values())}
    if pages.source.header_rows > 1:
        places |= {positions[name] for name in pages.numbers}
    ends = [cell_at(cells, at) for at in places]
    if any(re.sub(TAIL, "", fold_header(cell[:200])) in pages.starts for cell in ends):
        _is_same_header(pages, number, [cells], sheet)
        _check_part_of_header(pages, number, cells, sheet)
    _check_line(pages, number, cells, sheet)


def check_lines(
    source: Source, header: Header, lines: Sequence[str], number: int, sheet: str = ""
) -> None:
    """Raise UnreadableError for a line below a table, outside its grid, that says other units."""
    pages = pages_of(source, header) if lines else None
    if pages is not None:
        for line in lines:
            _check_units(pages, number, [line], sheet)


def again(
    pages: Pages, columns: Sequence[pa.Array], numbers: np.ndarray, noise: pa.Array, sheet: str
) -> pa.Array:
    """`noise` with the rows that are the header again, spelled as the contract allows.

    Raises UnreadableError for a header with other units or in other places, and for a line that
    says other units. Of a header of several rows only what one batch holds of it is seen.
    """
    depth = pages.source.header_rows
    flags = np.array(noise, dtype=bool)
    for row in np.flatnonzero(_headers(pages, columns, noise)).tolist():
        for top in range(max(0, row - depth + 1), row + 1):
            block = [_row(columns, at) for at in range(top, min(top + depth, len(flags)))]
            if len(block) == depth and _is_same_header(pages, int(numbers[top]), block, sheet):
                flags[top : top + depth] = True
        if not flags[row]:
            _check_part_of_header(pages, int(numbers[row]), _row(columns, row), sheet)
    for row in _lines(pages, columns, pa.array(flags)).tolist():
        cells = _row(columns, row)
        _check_part_of_header(pages, int(numbers[row]), cells, sheet)
        is_units = _check_line(pages, int(numbers[row]), cells, sheet)
        flags[row] = is_units and pages.source.unit_row
    return pa.array(flags)


def _row(columns: Sequence[pa.Array], at: int) -> list[str]:
    return [column[at].as_py() for column in columns]


def _headers(pages: Pages, columns: Sequence[pa.Array], noise: pa.Array) -> np.ndarray:
    """Which rows may be headers: those with headers at the ends of the table, and enough of them.

    Cells are folded only where their first letter is a header's.
    """
    positions = sorted(pages.header.positions.values())
    first = _first_letters(pages)
    found = pc.match_substring_regex(columns[positions[0]], first)
    if len(positions) > 1:
        found = pc.or_(found, pc.match_substring_regex(columns[positions[-1]], first))
    if pages.source.header_rows == 1:
        found = pc.and_not(found, noise)
    rows = np.flatnonzero(found)
    if not len(rows):
        return np.zeros(len(found), bool)
    starts = pa.array(sorted(pages.starts))
    count = np.zeros(len(rows), int)
    for position in positions:
        cells = pc.utf8_slice_codeunits(columns[position].take(pa.array(rows)), 0, 200)
        folded = pc.utf8_lower(pc.utf8_normalize(cells, form="NFKC"))
        folded = pc.replace_substring_regex(folded, f"{BLANK}+", "")
        folded = pc.replace_substring_regex(folded, TAIL, "")
        count += np.array(pc.is_in(folded, starts), dtype=int)
    flags = np.zeros(len(found), bool)
    flags[rows[count >= min(2, len(positions))]] = True
    return flags


def _first_letters(pages: Pages) -> str:
    """Matches a cell that begins like a header."""
    letters = {one[0] for one in pages.starts}
    letters |= {one.upper() for one in letters}
    letters |= {chr(ord(one) + 0xFEE0) for one in letters if "!" <= one <= "~"}
    return rf"^{BLANK}*[{''.join(map(re.escape, sorted(letters)))}]"


def _lines(pages: Pages, columns: Sequence[pa.Array], noise: pa.Array) -> np.ndarray:
    """Which rows may be lines of units: those that say one, and have no number where one belongs.

    So may the lower row of a header of several, whose headers stand there instead. Numbers are
    looked for first: few rows of data have none.
    """
    rows = np.flatnonzero(pc.invert(noise)) if pages.numbers else np.zeros(0, int)
    for name in pages.numbers:
        cells = columns[pages.header.positions[name]]
        cells = cells if len(rows) == len(cells) else cells.take(pa.array(rows))
        rows = rows[~np.array(pc.match_substring_regex(cells, NUMBER), dtype=bool)]
    if not len(rows):
        return rows
    anchor = columns[min(pages.header.positions.values())].take(pa.array(rows))
    blank = pc.equal(pc.utf8_trim_whitespace(anchor), "")
    bare = "^[^0-9０-９]+$" if pages.source.unit_row else BARE_UNIT
    found = pc.match_substring_regex(anchor, BARE_UNIT)
    for column in columns:
        cells = column.take(pa.array(rows))
        found = pc.or_(found, pc.match_substring_regex(cells, pages.unit_line))
        found = pc.or_(found, pc.and_(blank, pc.match_substring_regex(cells, bare)))
    for name in pages.numbers if pages.source.header_rows > 1 else ():
        cells = columns[pages.header.positions[name]].take(pa.array(rows))
        found = pc.or_(found, pc.match_substring_regex(cells, _first_letters(pages)))
    flagged: np.ndarray = rows[np.array(found, dtype=bool)]
    return flagged


def _is_same_header(pages: Pages, number: int, block: Sequence[Sequence[str]], sheet: str) -> bool:
    """Whether rows are the header again; False for data. Raises for another header."""
    header = pages.header
    cells = paths(block, ())
    page = match(pages.source, cells)
    known = page.positions.keys() | {reason.column for reason in page.unsound}
    filled = sum(1 for cell in cells if cell.strip())
    whole = known >= header.positions.keys() or len(known) == filled or len(pages.required) > 1
    if not (pages.required <= known and whole and 2 * len(known) >= filled):
        return False
    units = {
        name: page.suffixes.get(
            name,
            ""
            if name in match(pages.source, header.cells).suffixes
            else header.suffixes.get(name, ""),
        )
        for name in page.positions
    }
    wanted = {name: header.suffixes.get(name, "") for name in header.positions}
    if page.unsound or page.positions != header.positions or units != wanted:
        told = [reason.value for reason in page.unsound]
        told += [cells[position] for position in page.positions.values()]
        pages.refuse(number, "、".join(told), sheet)
    return True


def _check_part_of_header(pages: Pages, number: int, cells: Sequence[str], sheet: str = "") -> None:
    """Raise for one row of a header of several that is not, with those beside it, the first."""
    if pages.source.header_rows == 1:
        return
    filled = [cell for cell in cells if cell.strip()]
    known = sum(re.sub(TAIL, "", fold_header(cell[:200])) in pages.starts for cell in filled)
    if known > 1 and is_surely_header(filled, known):
        pages.refuse(number, "、".join(filled), sheet)


def _check_line(pages: Pages, number: int, cells: Sequence[str], sheet: str) -> bool:
    """Whether a row is one of units; raises where it or a line says other units than the header.

    A line has few cells, and none of them is a number below a number's header.
    """
    header = pages.header
    below = [cell_at(cells, header.positions[name]) for name in pages.numbers]
    if not below or any(map(re.compile(NUMBER).search, below)):
        return False
    if is_unit_row(pages.source, header, cells):
        _check_unit_row(pages, number, cells, sheet)
        return True
    if _is_line(pages.source, cells):
        _check_units(pages, number, cells, sheet)
    return False


def _check_units(pages: Pages, number: int, line: Sequence[str], sheet: str) -> None:
    """Raise where a line says other units than those in which the rows above it were read."""
    header = pages.header
    fitting, astray = units_of_lines(pages.source, header, [line])
    for name in (fitting.keys() | astray.keys()) - pages.said:
        said, suffix = fitting.get(name, {}), header.suffixes.get(name, "")
        lost = set(astray.get(name, ())) - {fold_header(suffix)}
        if lost or set(said.values()) - {suffix}:
            units = "、".join([*said, *sorted(lost)])
            pages.refuse(number, f"单位：{units}", sheet)


def _is_line(source: Source, cells: Sequence[str]) -> bool:
    """Whether a row that lacks figures may say a unit of the table."""
    if is_note(cells):
        return True
    filled = sum(1 for cell in cells if cell.strip())
    return says_unit_of_all(source, cells) if filled <= LINE_CELLS else has_unit_cell(cells)


def _check_unit_row(pages: Pages, number: int, cells: Sequence[str], sheet: str) -> None:
    header = pages.header
    own = match(pages.source, header.cells).suffixes
    page = with_unit_row(pages.source, replace(header, suffixes=own, unsound=()), cells)
    other = [
        name
        for name in header.positions
        if page.suffixes.get(name, "") != header.suffixes.get(name, "")
    ]
    if page.unsound or other:
        told = [reason.value for reason in page.unsound]
        told += [f"{pages.source.titles[name]}：{page.suffixes.get(name, '')}" for name in other]
        pages.refuse(number, "、".join(told), sheet)
