"""Tables of a page that go on with the contract's rows after the one that is read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from pipelines.contracts.columns import NUMBERS
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import Header, cell_at
from pipelines.reading.headers.search import is_agreed, locate
from pipelines.reading.webpages.tables import Table
from pipelines.reading.workbooks.cells import plain_text

FIGURE = re.compile(r"\W{0,2}约?\d[\d,，.]*(?:[eE][-+]?\d+)?\s?[^\W\d页年月日时]{0,8}\W?")
WORD = re.compile(r"\w")


def check_second_tables(source: Source, table: Table, others: Iterable[Table]) -> None:
    """Raise UnreadableError if one of the `others` has rows of the contract, as `table` has.

    Such a table has the agreed header and a filled row below it, or no header of its own and
    figures below the number columns of the table that is read. Totals, notes in several cells and
    tables that the page hides count, too: nobody looks at what is left out of a page.
    """
    header: Header | None = None
    for other in others:
        rows, header_of_other, index = _located(source, other, other.first_shown_rows)
        if is_agreed(source, header_of_other):
            is_more = any(_is_filled(header_of_other, row) for row in rows[index + 1 :])
        else:
            header = header or _located(source, table, table.first_rows)[1]
            is_more = is_agreed(source, header) and _goes_on(source, header, rows)
        if is_more:
            value, expected = str(other.position + 1), str(table.position + 1)
            raise UnreadableError(Reason(code="second_table", value=value, expected=expected))


def _located(
    source: Source, table: Table, first_rows: list[list[object]]
) -> tuple[list[list[str]], Header, int]:
    """Return the first rows of a table as texts, its header, and the index of the header's row."""
    rows = [[plain_text(cell) for cell in row] for row in first_rows]
    index, header = locate(source, rows, table.merged)
    return rows, header, index


def _is_filled(header: Header, row: Sequence[str]) -> bool:
    """Return True if several cells of a row are filled, or one where the header has but one."""
    return sum(map(bool, map(str.strip, row))) >= min(2, header.width)


def _goes_on(source: Source, header: Header, rows: Sequence[Sequence[str]]) -> bool:
    """Return True if rows without a header have figures where those of `header` have them."""
    filled = [row for row in rows if _is_filled(header, row)]
    if not filled or not header.width <= len(filled[0]) <= len(header.cells):
        return False
    names = (name for name in header.positions if source.column(name).type in NUMBERS)
    positions = [header.positions[name] for name in names]
    figures = [[cell_at(row, at).strip() for at in positions] for row in filled]
    if not all(FIGURE.fullmatch(cell) or not WORD.search(cell) for cell in figures[0]):
        return False  # the first row is a header of this table's own
    return any(FIGURE.fullmatch(cell) for cells in figures for cell in cells)
