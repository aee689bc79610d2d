"""What all workbooks have in common: which sheets are read, their headers, their cells as text."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import lru_cache, partial
from itertools import chain, islice, zip_longest

import numpy as np
import pyarrow as pa

from pipelines.contracts.columns import DATES, Column, ColumnType
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
    cell_text,
    decimal_text,
    faulty,
    first_of,
    from_columns,
    suffix_in,
)
from pipelines.reading.workbooks.cells import Figure, Flaw, check_text

Read = Callable[[object], str | Flaw]

SHEETS = 1_000
BATCH_CELLS = 2_000_000
BATCH_TEXT = 64 << 20  # characters of one batch, beyond which it is not waited for more rows
EXACT = 10**15  # Excel keeps fifteen digits of a number
LAST_SERIAL = 2_958_466  # the day after 9999-12-31; a number beyond is a day as it is written
AS_SHOWN = re.compile(r"\d\s*[-/:年月日时]|[%％]\s*$")
UNITS = 1_000  # that the rows of one column may well say
EPOCH_1904 = 1462  # days from 1900-01-00 to 1904-01-01, as Excel counts them


@dataclass(frozen=True)
class Sheet:
    """One sheet: its rows from the first on, as values or Flaws.

    `merged` and `above`, the lines of text outside the grid, are complete once the first
    SEARCHED_ROWS rows are taken, `below` once all are. `merged` and `hidden` count rows from 0,
    columns as in `rows`, which leave out the sheet's `left` first columns.
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
    is_page: bool = False


@dataclass
class _Meter:
    """How much text was read, of a workbook that may repeat one text in millions of cells."""

    limit: int
    read: int = 0

    def count(self, characters: int) -> None:
        self.read += characters
        check_text(self.read, self.limit)


@dataclass(frozen=True)
class _Table:
    """A sheet whose header was looked for: `start` is the index of its first row of data."""

    name: str
    header: Header
    start: int
    rows: Iterator[list[object]]
    hidden: Container[int]
    is_blank: bool
    left: int
    below: Sequence[str]
    all_rows: Iterator[list[object]] = field(repr=False)


def read_book(source: Source, options: WorkbookFormat, book: Book, limit: int) -> Reading:
    """The declared sheets of a workbook as one delivery, of at most `limit` characters."""
    positions = iter(_chosen(options, book))
    table = _table(source, book, next(positions))
    if options.sheets is not None:
        for position in positions if table.is_blank else ():
            table = _table(source, book, position)
            if not table.is_blank:
                break
    sections: dict[str, Section] = {}
    rows = _rows(source, options, book, table, positions, limit, sections)
    return Reading(table.header, rows, sections=sections)


def _chosen(options: WorkbookFormat, book: Book) -> list[int]:
    """The positions of the sheets that the contract asks for; positions count every tab."""
    if len(book.names) > SHEETS:
        raise UnreadableError(
            Reason(code="sheets", value=str(len(book.names)), expected=str(SHEETS))
        )
    ignored = book.hidden if options.hidden_sheets == "ignore" else frozenset[int]()
    if options.sheets in ("all", "continued"):
        tables = [place for place in range(len(book.names)) if place not in book.others]
        chosen = [place for place in tables if place not in ignored]
        if not chosen:
            names = "、".join(book.names)[:500]
            raise UnreadableError(Reason(code="hidden_sheet", value=names))
        return chosen
    wanted = [options.sheet] if options.sheets is None else list(options.sheets)
    return [_position(one, book, ignored) for one in wanted]


def _position(wanted: int | str, book: Book, ignored: frozenset[int]) -> int:
    known = wanted in book.names if isinstance(wanted, str) else -1 < wanted < len(book.names)
    position = (book.names.index(wanted) if isinstance(wanted, str) else wanted) if known else -1
    if not known or position in book.others:
        names = "、".join(book.names)[:500]
        raise UnreadableError(Reason(code="missing_sheet", value=names, expected=str(wanted)))
    if position in ignored:
        raise UnreadableError(Reason(code="hidden_sheet", value=book.names[position]))
    return position


def _table(source: Source, book: Book, position: int) -> _Table:
    sheet = book.open(position)
    head = list(islice(sheet.rows, SEARCHED_ROWS))
    texts = [[plain_text(cell) for cell in row] for row in head]
    lines = [book.names[position], *sheet.above]
    index, header = locate(source, texts, sheet.merged, lines)
    is_blank = len(head) < SEARCHED_ROWS and not any(text.strip() for row in texts for text in row)
    return _Table(
        book.names[position],
        header,
        index + 1,
        chain(head[index + 1 :], sheet.rows),
        sheet.hidden,
        is_blank,
        sheet.left,
        sheet.below,
        chain(head, sheet.rows),
    )


def _rows(
    source: Source,
    options: WorkbookFormat,
    book: Book,
    first: _Table,
    later: Iterator[int],
    limit: int,
    sections: dict[str, Section],
) -> Iterator[pa.RecordBatch]:
    """The rows of every sheet; an unsound header of one of several rejects all of them.

    A sheet says which of several its rows are of; a single one bears any name.
    """
    meter = _Meter(limit)
    read = 0
    table, header, start = first, first.header, first.start
    while True:
        faults = header.faults(source)
        if faults and options.sheets is not None:
            rest = sum(1 for _ in table.rows)
            rest += sum(_length(source, book, position) for position in later)
            placed = [fault.model_copy(update={"place": table.name[:200]}) for fault in faults]
            raise RejectedError(placed, read + rest)
        sections[table.name] = Section(header, table.name if options.sheets is not None else "")
        is_own = header is table.header or start
        rows = table.rows if is_own else _beneath(first, table)
        for batch in _batches(source, header, table, rows, start, book, meter):
            read += batch.num_rows
            yield batch
        for position in later:
            table = _table(source, book, position)
            if not table.is_blank:
                break
        else:
            return
        header, start = table.header, table.start
        if options.sheets == "continued":
            header, start = _continued(source, first, table)


def _continued(source: Source, first: _Table, table: _Table) -> tuple[Header, int]:
    """The header of a sheet that goes on with the first one's rows, and where its own begin.

    One that it repeats without a unit stands in that which a line above the first said. Where the
    first header itself said one, nobody knows whether it still counts.
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
        titles = [one.cells[one.positions[name]] for one in (header, table.header)]
        told = "、".join(map(printed, titles))
        raise UnreadableError(
            Reason(
                code="page_header", value=str(table.start), expected=told, place=table.name[:200]
            )
        )
    suffixes = {**table.header.suffixes, **inherited}
    return replace(table.header, suffixes=suffixes), table.start


def _beneath(first: _Table, table: _Table) -> Iterator[list[object]]:
    """All rows of a sheet without a header, each cell below the first sheet's of its column."""
    shift = table.left - first.left
    if not shift:
        return table.all_rows
    if not 0 < shift < first.header.width:
        places = [str(one.left + 1) for one in (table, first)]
        raise UnreadableError(
            Reason(code="shifted", value=places[0], expected=places[1], place=table.name[:200])
        )
    blank: list[object] = [""] * shift
    return (blank + row for row in table.all_rows)


def _length(source: Source, book: Book, position: int) -> int:
    return sum(1 for _ in _table(source, book, position).rows)


def _batches(
    source: Source,
    header: Header,
    table: _Table,
    rows: Iterator[list[object]],
    start: int,
    book: Book,
    meter: _Meter,
) -> Iterator[pa.RecordBatch]:
    ways = {
        header.positions[column.name]: _Way(
            column,
            header.positions.get(column.unit_from or ""),
            lru_cache(UNITS)(partial(_reading_of, column, book)),
        )
        for column in source.columns
        if column.name in header.positions
    }
    for block in _blocks(rows, meter):
        hidden = np.array([start + place in table.hidden for place in range(len(block))])
        numbers = np.arange(start + 1, start + 1 + len(block))
        yield from _batch(source, header, ways, table.name, block, numbers, hidden)
        start += len(block)
    note_units(source, header, [[line] for line in table.below])


def _blocks(rows: Iterator[list[object]], meter: _Meter) -> Iterator[list[list[object]]]:
    """Rows by the batch: few when they are wide or long."""
    block: list[list[object]] = []
    wide = characters = 0
    for row in rows:
        block.append(row)
        wide = max(wide, len(row))
        characters += sum([len(cell) for cell in row if type(cell) is str])
        full = len(block) >= BATCH_ROWS or wide * len(block) >= BATCH_CELLS
        if full or characters >= BATCH_TEXT:
            meter.count(characters)
            yield block
            block, wide, characters = [], 0, 0
    meter.count(characters)
    if block:
        yield block


def _batch(
    source: Source,
    header: Header,
    ways: Mapping[int, _Way],
    sheet: str,
    block: list[list[object]],
    numbers: np.ndarray,
    hidden: np.ndarray,
) -> Iterator[pa.RecordBatch]:
    columns: list[list[str]] = []
    flawed: dict[int, tuple[str, str, str]] = {}  # by place in the block: a fault's fields
    for position, cells in enumerate(zip_longest(*block, fillvalue="")):
        if position not in ways:
            columns.append([plain_text(cell) for cell in cells])
            continue
        column = ways[position].column
        texts = ways[position].texts(cells, block, header)
        for place, text in enumerate(texts):
            if isinstance(text, Flaw):
                value = text.text if text.is_told else ""
                flawed.setdefault(place, (text.code, value, source.titles[column.name]))
                texts[place] = plain_text(cells[place])
        columns.append(texts)  # type: ignore[arg-type]  # flaws are texts by now
    columns += [[""] * len(block)] * (len(header.cells) - len(columns))
    arrays = [pa.array(column, pa.string()) for column in columns]
    if flawed:
        sound = np.ones(len(block), bool)
        sound[list(flawed)] = False
        by_reason = defaultdict(list)
        for place, (code, value, title) in flawed.items():
            torn = tuple(column[place] for column in columns)
            fault = Fault(
                int(numbers[place]), value, first_of(header, torn), bool(hidden[place]), torn
            )
            by_reason[code, title].append(fault)
        for (code, title), faults in by_reason.items():
            yield faulty(source, code, title, faults, sheet)
        mask = pa.array(sound)
        arrays = [array.filter(mask) for array in arrays]
        numbers, hidden = numbers[sound], hidden[sound]
    if len(numbers):
        yield from_columns(source, header, arrays, numbers, sheet, hidden)


def plain_text(cell: object) -> str:
    """A cell as its file shows it."""
    if type(cell) is str:
        return cell
    if isinstance(cell, Figure):
        return cell.shown
    return cell.text if isinstance(cell, Flaw) else cell_text(cell) or ""


@dataclass(frozen=True)
class _Way:
    """How cells of `column` become text: `read_in` a unit, which the cells at `unit_at` may say."""

    column: Column
    unit_at: int | None
    read_in: Callable[[str], Read]

    def texts(
        self, cells: Sequence[object], block: Sequence[Sequence[object]], header: Header
    ) -> list[str | Flaw]:
        """The cells of a block's column as text, or as what is wrong with them."""
        suffix, at = header.suffixes.get(self.column.name, ""), self.unit_at
        if suffix or at is None:
            read = self.read_in(suffix)
            return [cell if type(cell) is str else read(cell) for cell in cells]
        units = [plain_text(row[at]) if at < len(row) else "" for row in block]
        return [
            cell if type(cell) is str else self.read_in(suffix_in(self.column, unit))(cell)
            for cell, unit in zip(cells, units, strict=True)
        ]


def _reading_of(column: Column, book: Book, suffix: str) -> Read:
    """How a cell of `column` that is no text becomes one: its value, never its display."""

    def number(cell: object) -> bool:
        return isinstance(cell, int | float) and not isinstance(cell, bool)

    def text(cell: object) -> str | Flaw:
        if number(cell) and abs(cell) >= EXACT:  # type: ignore[arg-type]
            return Flaw("lost_digits")
        return shown(cell)

    def shown(cell: object) -> str | Flaw:
        """The digits that Excel keeps: 0.1 + 0.2 is 0.3."""
        if isinstance(cell, float) and not cell.is_integer():
            return plain(float(f"{cell:.15g}"))
        return plain(cell)

    def decimal(cell: object) -> str | Flaw:
        return decimal_text(cell, suffix) if isinstance(cell, float) else plain(cell)

    def share(cell: object) -> str | Flaw:
        if not number(cell):
            return plain(cell)
        percent = Decimal(f"{cell:.15g}") * 100
        if column.type is ColumnType.DECIMAL:
            percent = Decimal(f"{percent:.6f}")
        return f"{percent.normalize():f}%"

    def day(cell: object) -> str | Flaw:
        if number(cell) and cell < LAST_SERIAL:  # type: ignore[operator]
            return plain(cell + EPOCH_1904)  # type: ignore[operator]
        return plain(cell)

    def plain(cell: object) -> str | Flaw:
        return cell if isinstance(cell, Flaw) else cell_text(cell) or ""

    by_type: dict[ColumnType, Read] = {
        ColumnType.TEXT: text,
        ColumnType.INTEGER: shown,
        ColumnType.DECIMAL: decimal,
    }
    if book.is_1904:
        by_type |= dict.fromkeys(DATES, day)
    read = share if column.share else by_type.get(column.type, plain)
    return _as_on_page(column, read) if book.is_page else read


def _as_on_page(column: Column, read: Read) -> Read:
    """The same on a page, whose days and percentages are what it shows.

    Nobody knows the epoch of the number beside a day, nor whether a column that is no share counts
    in percent.
    """

    def cell_of(cell: object) -> str | Flaw:
        if column.share or not isinstance(cell, Figure):
            return read(cell)
        is_shown = column.type in DATES or AS_SHOWN.search(cell.shown)
        return cell.shown if is_shown else read(cell)

    return cell_of
