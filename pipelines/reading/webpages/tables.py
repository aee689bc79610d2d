"""Tables of a parsed page: their rows as a grid, with what cells cover by their spans."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice

from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS, Merged
from pipelines.reading.webpages.text import BODIES, CELLS, cell_value, is_hidden
from pipelines.reading.workbooks.cells import check_extent, plain_text

SPAN = 20_000  # columns or rows that one cell may cover; no sheet is wider


Row = tuple[list[Element], bool]  # cells, and whether the row is hidden


@dataclass
class Table:
    """One table with cells: `position` counts those of the page from 0.

    `merged` and `hidden` are filled while `rows` are read: cell ranges within the first
    SEARCHED_ROWS, and the rows that the page does not show; both count from 0.
    """

    element: Element
    position: int
    merged: list[Merged] = field(default_factory=list)
    hidden: set[int] = field(default_factory=set)

    @cached_property
    def first_rows(self) -> list[list[object]]:
        """Return the rows among which a header is looked for, their texts cut where long."""
        return list(islice(self.rows(is_compared=True), SEARCHED_ROWS))

    @property
    def first_shown_rows(self) -> list[list[object]]:
        """Return the same without those that the page does not show."""
        return [row for at, row in enumerate(self.first_rows) if at not in self.hidden]

    def follows(self, other: Table) -> bool:
        """Return True for a table that begins after `other`, and not in one of its cells."""
        return self.position > other.position and all(
            element is not other.element for element in self.element.iterancestors("table")
        )

    def rows(self, is_compared: bool = False) -> Iterator[list[object]]:
        """Yield each row as values or Flaws, blanks where a cell above or beside covers a place.

        A hidden cell has no place: the page shows the next one where it would stand.
        """
        covered: dict[int, int] = {}  # by column: rows below that a cell covers yet
        number = width = 0
        for row in _rows(self.element):
            if row is None:  # no cell reaches beyond its group of rows
                covered.clear()
                continue
            values: list[object] = []
            cells, is_row_hidden = row
            for cell in cells:
                if is_hidden(cell):
                    continue
                _skip_covered(values, covered)
                left = len(values)
                height = _span(cell.get("rowspan"), none=SPAN)
                columns = _span(cell.get("colspan"), none=1)
                width = max(width, left)
                check_extent(number + 1, width)
                values.append(cell_value(cell, number + 1, is_compared))
                values.extend([""] * (columns - 1))
                if height > 1:
                    covered |= dict.fromkeys(range(left, left + columns), height)
                if (height > 1 or columns > 1) and number < SEARCHED_ROWS:
                    bottom_right = (number + height - 1, left + columns - 1)
                    self.merged.append(((number, left), bottom_right))
            _skip_covered(values, covered)
            width = max(width, len(values))
            check_extent(number + 1, width)
            covered = {column: height - 1 for column, height in covered.items() if height > 1}
            if is_row_hidden:
                self.hidden.add(number)
            yield values
            number += 1


def tables_of(roots: list[Element]) -> list[Table]:
    """Return the tables that have cells of their own, in the order in which they begin."""
    elements = (table for root in roots for table in root.iter("table"))
    filled = (table for table in elements if any(_rows(table)))
    return [Table(element, position) for position, element in enumerate(filled)]


def has_data(table: Table) -> bool:
    """Return True if several rows have several filled cells: titles and layouts have not."""
    rows = table.first_shown_rows
    wide = (row for row in rows if sum(bool(plain_text(cell).strip()) for cell in row) > 1)
    return len(list(islice(wide, 2))) > 1


def _rows(table: Element) -> Iterator[Row | None]:
    """Yield the rows that have cells, and None where a group of rows begins or ends.

    The parser leaves some cells and rows inside a cell whose <div> was never closed: wherever they
    lie, a row begins with its tag, and a cell without one belongs to the open row or begins one.
    """
    cells: list[Element] = []
    is_row_hidden = is_body_hidden = False
    for event, element in _structure(table):
        if element.tag in CELLS:
            cells.append(element)
            continue
        if cells:
            yield cells, is_row_hidden or is_body_hidden
            cells = []
        is_row_hidden = event == "start" and element.tag == "tr" and is_hidden(element)
        if element.tag in BODIES:
            yield None
            is_body_hidden = event == "start" and is_hidden(element)
    if cells:
        yield cells, is_row_hidden or is_body_hidden


def _structure(element: Element) -> Iterator[tuple[str, Element]]:
    """Yield the cells of a table at their start, its rows and groups of rows at both ends.

    Forms may stand between them; tables inside are tables of their own.
    """
    for child in element:
        tag = child.tag
        if tag == "table":
            continue
        is_part = tag == "tr" or tag in BODIES
        if is_part or tag in CELLS:
            yield "start", child
        if len(child):
            yield from _structure(child)
        if is_part:
            yield "end", child


def _skip_covered(values: list[object], covered: dict[int, int]) -> None:
    """Add blanks for what cells of rows above cover at this place."""
    while covered.get(len(values), 0):
        values.append("")


def _span(text: str | None, none: int) -> int:
    """Return how many rows or columns a cell covers: `none` for 0, 1 for what is no number."""
    if not text:
        return 1
    number = re.match(r"\s*(\d{1,20})", text)
    span = (int(number[1]) or none) if number else 1
    if span > SPAN:
        raise UnreadableError(Reason(code="sparse", value=str(span), expected=str(SPAN)))
    return span
