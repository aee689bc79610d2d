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
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.header_search import paths
from pipelines.ingest.header_units import is_unit_row, units_of_lines, with_unit_row
from pipelines.ingest.headers import Header, match, required_of

TAIL = r"(?:[,、/(\[【]|(?:计量)?单位:).*$"  # what may follow a header's name, folded
UNIT_LINE = r"单\s*位\s*[:：为（(\[【]"
LINE_CELLS = 3  # of a line such as `填报日期：…  填报人：…  单位：万条`


@dataclass(frozen=True)
class Pages:
    """What tells a header or a line of units among the rows below `header`.

    `starts` are the folded headers without units; `said` the columns whose header or row of units
    says a unit itself.
    """

    source: Source
    header: Header
    required: frozenset[str]
    starts: frozenset[str]
    said: frozenset[str]

    def refuse(self, number: int, found: str, sheet: str = "") -> None:
        """Raise, for the rows below would be taken for what they are not."""
        raise UnreadableError(
            Reason(code="page_header", value=str(number), expected=found[:200], place=sheet[:200])
        )


def pages_of(source: Source, header: Header) -> Pages | None:
    """None where nothing is told from data: without a grid, or columns that must be there."""
    required = required_of(source)
    if not header.rows or not required or header.faults(source):
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
    return Pages(source, header, frozenset(required), frozenset(starts - {""}), frozenset(said))


def check_row(pages: Pages, number: int, cells: Sequence[str], sheet: str = "") -> None:
    """Raise UnreadableError for one row that is another header, or a line of other units."""
    positions = pages.header.positions.values()
    ends = [cells[at] for at in (min(positions), max(positions)) if at < len(cells)]
    if any(re.sub(TAIL, "", fold_header(cell[:200])) in pages.starts for cell in ends):
        _is_same_header(pages, number, [cells], sheet)
    if any("位" in cell for cell in cells[: pages.header.width]):
        _check_line(pages, number, cells, sheet)


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
    for row in np.flatnonzero(_lines(pages, columns, noise)).tolist():
        cells = _row(columns, row)
        if pages.source.unit_row and is_unit_row(pages.source, pages.header, cells):
            _check_unit_row(pages, int(numbers[row]), cells, sheet)
            flags[row] = True
        else:
            _check_line(pages, int(numbers[row]), cells, sheet)
    return pa.array(flags)


def _row(columns: Sequence[pa.Array], at: int) -> list[str]:
    return [column[at].as_py() for column in columns]


def _headers(pages: Pages, columns: Sequence[pa.Array], noise: pa.Array) -> np.ndarray:
    """Which rows may be headers: those with headers at the ends of the table, and enough of them.

    Cells are folded only where their first letter is a header's.
    """
    positions = sorted(pages.header.positions.values())
    letters = {one[0] for one in pages.starts}
    letters |= {one.upper() for one in letters}
    letters |= {chr(ord(one) + 0xFEE0) for one in letters if "!" <= one <= "~"}
    first = rf"^[\s\p{{Z}}]*[{''.join(map(re.escape, sorted(letters)))}]"
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
        folded = pc.replace_substring_regex(folded, r"[\s\p{Z}]+", "")
        folded = pc.replace_substring_regex(folded, TAIL, "")
        count += np.array(pc.is_in(folded, starts), dtype=int)
    flags = np.zeros(len(found), bool)
    flags[rows[count >= min(2, len(positions))]] = True
    return flags


def _lines(pages: Pages, columns: Sequence[pa.Array], noise: pa.Array) -> np.ndarray:
    """Which rows may be lines of units: 单位 in the first column, or that one blank."""
    anchor = columns[min(pages.header.positions.values())]
    blank = pc.and_not(pc.equal(pc.utf8_trim_whitespace(anchor), ""), noise)
    says = pc.match_substring_regex(anchor, UNIT_LINE)
    if pages.source.unit_row:
        says = pc.or_(says, pc.match_substring_regex(anchor, r"^\s*[（(\[【]"))
    flags = np.array(pc.and_not(says, noise), dtype=bool)
    rows = np.flatnonzero(blank)
    if len(rows):
        pattern = rf"{UNIT_LINE}|^[^0-9０-９]+$" if pages.source.unit_row else UNIT_LINE
        for column in columns:
            found = pc.match_substring_regex(column.take(pa.array(rows)), pattern)
            flags[rows] |= np.array(found, dtype=bool)
    return flags


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
            name, "" if name in match(pages.source, header.cells).suffixes
            else header.suffixes.get(name, ""),
        )
        for name in page.positions
    }  # fmt: skip
    wanted = {name: header.suffixes.get(name, "") for name in header.positions}
    if page.unsound or page.positions != header.positions or units != wanted:
        told = [reason.value for reason in page.unsound]
        told += [cells[position] for position in page.positions.values()]
        pages.refuse(number, "、".join(told), sheet)
    return True


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


def _check_line(pages: Pages, number: int, cells: Sequence[str], sheet: str) -> None:
    """Raise for a line without data that says units which the rows below it do not have."""
    header = pages.header
    filled = [cell for cell in cells if cell.strip()]
    lacks = any(
        header.positions[name] >= len(cells) or not cells[header.positions[name]].strip()
        for name in pages.required
    )
    if len(filled) > LINE_CELLS or not (lacks or len(filled) == 1):
        return
    if not any(re.search(UNIT_LINE, cell) for cell in filled):
        return
    fitting, astray = units_of_lines(pages.source, header, [cells])
    for name in (fitting.keys() | astray.keys()) - pages.said:
        said = fitting.get(name, {})
        if name in astray or set(said.values()) - {header.suffixes.get(name, "")}:
            units = "、".join([*said, *astray.get(name, ())])
            pages.refuse(number, f"单位：{units}", sheet)
