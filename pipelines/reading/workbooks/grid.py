"""Reads grids of cells: which sheets of a workbook, where their headers are, and their rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, zip_longest

import numpy as np
import pyarrow as pa

from pipelines.contracts.columns import Column
from pipelines.contracts.formats import WorkbookFormat
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS, Header, Merged, match, printed
from pipelines.reading.headers.search import locate
from pipelines.reading.headers.units import note_units
from pipelines.reading.layout import (
    BATCH_ROWS,
    Fault,
    Reading,
    Section,
    faulty,
    first_of,
    from_columns,
    suffix_in,
)
from pipelines.reading.workbooks.cells import Flaw, check_text, plain_text, value_text

SHEETS = 1_000
BATCH_CELLS = 2_000_000
BATCH_TEXT = 64 << 20  # characters after which a batch waits for no more rows


@dataclass(frozen=True)
class Sheet:
    """One sheet: its rows from the first on, as values or Flaws.

    `above` and `below` are lines of text outside the grid. `merged` and `above` are complete once
    the first SEARCHED_ROWS rows are taken, `below` once all are. `merged` and `hidden` count rows
    from 0, and columns as `rows` do, which leave out the sheet's first `left` columns.
    """

    rows: Iterator[list[object]]
    merged: Sequence[Merged] = ()
    hidden: Container[int] = frozenset()
    above: Sequence[str] = ()
    below: Sequence[str] = ()
    left: int = 0


@dataclass(frozen=True)
class Book:
    """A workbook's sheets by position; `others` are tabs without cells, such as charts."""

    names: tuple[str, ...]
    open: Callable[[int], Sheet]
    hidden: frozenset[int] = frozenset()
    others: frozenset[int] = frozenset()
    is_1904: bool = False


@dataclass(frozen=True)
class _Table:
    """A sheet and its header; the first of its rows of data is number `start`, from 0.

    `head` are its first rows, taken from `sheet.rows` to look for the header in them.
    """

    name: str
    sheet: Sheet
    header: Header
    start: int
    head: list[list[object]]
    is_blank: bool

    def rows(self, start: int) -> Iterator[list[object]]:
        """Yield the rows from number `start` on, which must be one of `head` or the next."""
        return chain(self.head[start:], self.sheet.rows)


def read_book(source: Source, options: WorkbookFormat, book: Book, limit: int) -> Reading:
    """Read the declared sheets of a workbook as one delivery, of at most `limit` characters.

    Where several sheets are asked for, blank ones are passed over, and rows say whose sheet's they
    are.
    """
    positions = iter(_chosen_sheets(options, book))
    table = _open_table(source, book, next(positions))
    if options.sheets is not None and table.is_blank:
        table = _next_table(source, book, positions) or table
    sections: dict[str, Section] = {}
    batches = _batches(source, options, book, table, positions, limit, sections)
    return Reading(table.header, batches, sections=sections)


def _chosen_sheets(options: WorkbookFormat, book: Book) -> list[int]:
    """Return the positions of the sheets that the contract asks for; positions count every tab."""
    names = "、".join(book.names)[:500]
    if len(book.names) > SHEETS:
        count = str(len(book.names))
        raise UnreadableError(Reason(code="sheets", value=count, expected=str(SHEETS)))
    ignored = book.hidden if options.hidden_sheets == "ignore" else frozenset[int]()
    if options.sheets in ("all", "continued"):
        excluded = book.others | ignored
        positions = [place for place in range(len(book.names)) if place not in excluded]
        if not positions:
            raise UnreadableError(Reason(code="hidden_sheet", value=names))
        return positions
    positions = []
    for wanted in [options.sheet] if options.sheets is None else options.sheets:
        if isinstance(wanted, str):
            position = book.names.index(wanted) if wanted in book.names else -1
        else:
            position = wanted
        if not 0 <= position < len(book.names) or position in book.others:
            raise UnreadableError(Reason(code="missing_sheet", value=names, expected=str(wanted)))
        if position in ignored:
            raise UnreadableError(Reason(code="hidden_sheet", value=book.names[position]))
        positions.append(position)
    return positions


def _open_table(source: Source, book: Book, position: int) -> _Table:
    """Open a sheet and look for its header."""
    sheet, name = book.open(position), book.names[position]
    head = list(islice(sheet.rows, SEARCHED_ROWS))
    texts = [[plain_text(cell) for cell in row] for row in head]
    index, header = locate(source, texts, sheet.merged, [name, *sheet.above])
    is_blank = len(head) < SEARCHED_ROWS and not any(text.strip() for row in texts for text in row)
    return _Table(name, sheet, header, index + 1, head, is_blank)


def _next_table(source: Source, book: Book, positions: Iterator[int]) -> _Table | None:
    """Open the next sheet of `positions` that is not blank; None if there is none."""
    tables = (_open_table(source, book, position) for position in positions)
    return next((table for table in tables if not table.is_blank), None)


def _batches(
    source: Source,
    options: WorkbookFormat,
    book: Book,
    first: _Table,
    positions: Iterator[int],
    limit: int,
    sections: dict[str, Section],
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of every sheet, and note each in `sections` as soon as it is read.

    Where several sheets are asked for, the unsound header of one rejects all of them. A single
    sheet may have any name, so its rows do not say it.
    """
    text = rows_read = 0
    table, header, start = first, first.header, first.start
    while True:
        faults = header.faults(source)
        if faults and options.sheets is not None:
            later = (_open_table(source, book, position) for position in positions)
            rows_read += sum(
                1 for unread in chain([table], later) for _ in unread.rows(unread.start)
            )
            place = table.name[:200]
            raise RejectedError([f.model_copy(update={"place": place}) for f in faults], rows_read)
        sections[table.name] = Section(header, table.name if options.sheets is not None else "")
        rows = table.rows(start)
        if header is not table.header and not start:
            rows = _below_first_header(first, table)
        number = start
        for block, characters in _blocks(rows):
            text += characters
            check_text(text, limit)
            for batch in _block_batches(source, header, table, block, number, book.is_1904):
                rows_read += batch.num_rows
                yield batch
            number += len(block)
        note_units(source, header, [[line] for line in table.sheet.below])
        following = _next_table(source, book, positions)
        if following is None:
            return
        table, header, start = following, following.header, following.start
        if options.sheets == "continued":
            header, start = _continued_header(source, first, table)


def _continued_header(source: Source, first: _Table, table: _Table) -> tuple[Header, int]:
    """Return the header of a sheet that continues the first one, and where its rows begin.

    A sheet without a header stands below the first one's. A header that it repeats without a unit
    counts in the unit that a line above the first header stated. Where the first header itself
    stated the unit, nobody knows whether it still holds: that is refused.
    """
    header = first.header
    if not table.header.positions:
        return header, 0
    stated = match(source, header.cells).suffixes
    inherited = {
        name: suffix
        for name, suffix in header.suffixes.items()
        if suffix and name in table.header.positions and name not in table.header.suffixes
    }
    for name in inherited.keys() & stated.keys():
        both = (each.cells[each.positions[name]] for each in (header, table.header))
        raise UnreadableError(
            Reason(
                code="page_header",
                value=str(table.start),
                expected="、".join(map(printed, both)),
                place=table.name[:200],
            )
        )
    return replace(table.header, suffixes={**table.header.suffixes, **inherited}), table.start


def _below_first_header(first: _Table, table: _Table) -> Iterator[list[object]]:
    """Return all rows of a sheet without a header, each cell below the first sheet's header of it.

    Readers leave out a sheet's blank first columns, of which each sheet may have other ones.
    """
    shift = table.sheet.left - first.sheet.left
    if not shift:
        return table.rows(0)
    if not 0 < shift < first.header.width:
        left, expected = (str(each.sheet.left + 1) for each in (table, first))
        raise UnreadableError(
            Reason(code="shifted", value=left, expected=expected, place=table.name[:200])
        )
    blank: list[object] = [""] * shift
    return (blank + row for row in table.rows(0))


def _blocks(rows: Iterator[list[object]]) -> Iterator[tuple[list[list[object]], int]]:
    """Split rows into blocks, fewer rows if they are wide or long; count each block's characters.

    A workbook may repeat one long text in millions of cells, so characters count, not bytes read.
    """
    block: list[list[object]] = []
    width = characters = 0
    for row in rows:
        block.append(row)
        width = max(width, len(row))
        characters += sum([len(cell) for cell in row if type(cell) is str])
        is_full = len(block) >= BATCH_ROWS or width * len(block) >= BATCH_CELLS
        if is_full or characters >= BATCH_TEXT:
            yield block, characters
            block, width, characters = [], 0, 0
    if block:
        yield block, characters


def _block_batches(
    source: Source,
    header: Header,
    table: _Table,
    block: list[list[object]],
    start: int,
    is_1904: bool,
) -> Iterator[pa.RecordBatch]:
    """Yield a block's sound rows in the layout of all readers, and before them its flawed rows."""
    columns_at = {
        header.positions[column.name]: column
        for column in source.columns
        if column.name in header.positions
    }
    texts: list[list[str]] = []
    flaws: dict[int, tuple[str, str, str]] = {}  # the first of a row: its code, value and column
    for position, cells in enumerate(zip_longest(*block, fillvalue="")):
        column = columns_at.get(position)
        if column is None:
            texts.append([plain_text(cell) for cell in cells])
            continue
        values = _column_values(column, cells, block, header, is_1904)
        for place, value in enumerate(values):
            if isinstance(value, Flaw):
                shown = value.text if value.is_told else ""
                flaws.setdefault(place, (value.code, shown, source.titles[column.name]))
                values[place] = plain_text(cells[place])
        texts.append(values)  # type: ignore[arg-type]  # its flaws have been replaced by texts
    texts += [[""] * len(block)] * (len(header.cells) - len(texts))
    numbers = np.arange(start + 1, start + 1 + len(block))
    hidden = np.array([start + place in table.sheet.hidden for place in range(len(block))])
    arrays = [pa.array(column, pa.string()) for column in texts]
    if flaws:
        by_reason = defaultdict(list)
        for place, (code, shown, title) in flaws.items():
            torn = tuple(column[place] for column in texts)
            first = first_of(header, torn)
            fault = Fault(int(numbers[place]), shown, first, bool(hidden[place]), torn)
            by_reason[code, title].append(fault)
        for (code, title), faults in by_reason.items():
            yield faulty(source, code, title, faults, table.name)
        is_sound = np.ones(len(block), bool)
        is_sound[list(flaws)] = False
        mask = pa.array(is_sound)
        arrays = [array.filter(mask) for array in arrays]
        numbers, hidden = numbers[is_sound], hidden[is_sound]
    if len(numbers):
        yield from_columns(source, header, arrays, numbers, table.name, hidden)


def _column_values(
    column: Column,
    cells: Sequence[object],
    block: Sequence[Sequence[object]],
    header: Header,
    is_1904: bool,
) -> list[str | Flaw]:
    """Return a block's cells of one column as text, in the unit that the header or each row states.

    The unit of a number decides how many of its decimal places count.
    """
    suffix = header.suffixes.get(column.name, "")
    unit_at = header.positions.get(column.unit_from or "")
    if suffix or unit_at is None:
        return [
            cell if type(cell) is str else value_text(column, cell, suffix, is_1904)
            for cell in cells
        ]
    units = [plain_text(row[unit_at]) if unit_at < len(row) else "" for row in block]
    suffixes = {unit: suffix_in(column, unit) for unit in set(units)}
    return [
        cell if type(cell) is str else value_text(column, cell, suffixes[unit], is_1904)
        for cell, unit in zip(cells, units, strict=True)
    ]
