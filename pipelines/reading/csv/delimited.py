"""CSV: strictly decoded, streamed by Arrow, every row numbered, rows of other widths kept apart."""

from __future__ import annotations

import csv
import io
from array import array
from codecs import getincrementaldecoder
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.contracts.formats import CsvDialect
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.csv.rows import (
    Scan,
    Table,
    record_reader,
    rows_of_any_width,
    rows_of_one_width,
    unwrapped,
)
from pipelines.reading.decoding import BLOCK, BYTE_ORDER_MARK, HEAD_BYTES, reads_as, strict_text
from pipelines.reading.headers.matching import MAX_COLUMNS, SEARCHED_ROWS
from pipelines.reading.headers.search import locate
from pipelines.reading.layout import BATCH_ROWS, Reading

CSV_BLOCK = 8 << 20  # bytes: no row may be longer
MOST_ROWS = 200_000  # of a batch: a block of short lines has millions
MOST_OTHERS = 5_000_000  # rows of another width than most: Arrow hands over each by itself
CROWDED_CELLS = 50_000_000
csv.field_size_limit(CSV_BLOCK)


def read_csv(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a CSV file in the dialect that `department` declared; `limit` does not concern it."""
    assert source.formats.csv is not None
    dialect = source.formats.csv.dialect(department)
    scan = _scan(path, dialect, source)
    rows, lines = _first_rows(path, dialect)
    index, header = locate(source, rows)
    # Headers that show in another encoding explain the fault; the file is not read by a guess.
    if header.faults(source) and (encoding := reads_as(path, dialect.encoding, source)):
        raise _unreadable("encoding", f"it reads as {encoding}", dialect.encoding)
    # Without a header (-1) every row is data that cannot be mapped.
    own_width = max(map(len, rows), default=1) if index < 0 else len(rows[index])
    if own_width * scan.crowd > CROWDED_CELLS:  # Arrow makes a row of cells of each blank line
        raise _unreadable("crowded", f"{scan.crowd} x {own_width}", str(CROWDED_CELLS))
    # Arrow reads rows of one width alone quickly: the usual one, which is one cell more than the
    # header's where lines end in a separator. Rows shorter than the header are few, or slow.
    width = own_width
    if index >= 0:
        widths = Counter(len(row) for row in rows[index + 1 :] if len(row) >= header.width)
        width = max(widths, key=lambda cells: (widths[cells], cells == own_width), default=width)
    skipped = lines[index] if index >= 0 else 0
    table = Table(path, source, dialect, header, index + 1, skipped, width, scan)
    return Reading(header, _batches(table))


def _unreadable(code: str, value: str, expected: str = "") -> UnreadableError:
    return UnreadableError(Reason(code=code, value=value, expected=expected))


def _scan(path: Path, dialect: CsvDialect, source: Source) -> Scan:
    """Decode the whole file strictly and note what is anywhere in it.

    Raises UnreadableError for the first byte that does not fit, and for a quote that is never
    closed: all rows below it would pass for one cell.
    """
    quotes, crowd, has_nul, has_formulas, last = 0, 0, False, False, ""
    line_ends: deque[int] = deque(maxlen=CSV_BLOCK // BLOCK + 1)
    for text in strict_text(path, dialect.encoding, source):
        line_ends.append(text.count("\n") + text.count("\r"))
        crowd = max(crowd, sum(line_ends))
        quotes += text.count(dialect.quote)
        has_nul = has_nul or "\0" in text
        has_formulas = has_formulas or '="' in text or (last == "=" and text[:1] == '"')
        last = text[-1:]
    if quotes % 2:
        number, cells = 0, [""]
        with path.open(encoding=dialect.encoding, newline="") as stream:
            try:
                for cells in record_reader(_lines_and_end(stream), dialect):  # noqa: B007
                    number += 1  # the last row is looked at behind the loop
            except csv.Error:  # what the quote swallows is larger than a cell may be
                number, cells = number + 1, [""]
        if cells != ["end"]:
            raise _unreadable("open_quote", str(number))
    return Scan(crowd, quotes, has_nul, has_formulas)


def _lines_and_end(stream: TextIO) -> Iterator[str]:
    """Yield the lines of a file and a line `end`; raise csv.Error for one too long for memory."""
    while line := stream.readline(CSV_BLOCK):
        if len(line) == CSV_BLOCK:
            raise csv.Error
        yield line
    yield from ("\n", "end")


def _first_rows(path: Path, dialect: CsvDialect) -> tuple[list[list[str]], list[int]]:
    """Return the file's first rows, and for each how many lines it and those above it take."""
    for size in (HEAD_BYTES, CSV_BLOCK):
        with path.open("rb") as stream:
            head, is_cut = stream.read(size), bool(stream.read(1))
        text = getincrementaldecoder(dialect.encoding)("strict").decode(head)
        text = text.removeprefix(BYTE_ORDER_MARK)
        reader = record_reader(io.StringIO(text, newline=""), dialect)
        rows: list[list[str]] = []
        lines: list[int] = []
        try:
            for row in islice(reader, SEARCHED_ROWS):
                rows.append([unwrapped(cell) if cell[:1] == "=" else cell for cell in row])
                lines.append(reader.line_num)
        except csv.Error:
            raise _unreadable("long_row", str(len(rows) + 1), str(CSV_BLOCK)) from None
        width = max(map(len, rows), default=0)
        if width > MAX_COLUMNS:
            raise _unreadable("too_wide", str(width), str(MAX_COLUMNS))
        if not is_cut or len(rows) == SEARCHED_ROWS:
            return rows, lines
    raise _unreadable("long_row", str(len(rows)), str(CSV_BLOCK))


@dataclass
class _Others:
    """Rows of another width than most that Arrow handed over, in the order of their numbers.

    A block may have millions, so they are kept in columns. `count` is of all there ever were.
    """

    count: int = 0
    numbers: array[int] = field(default_factory=lambda: array("q"))
    widths: array[int] = field(default_factory=lambda: array("q"))
    texts: list[str] = field(default_factory=list)

    def take(self, table: Table, count: int) -> Iterator[pa.RecordBatch]:
        """Yield the first `count` rows as batches and forget them."""
        rows = zip(self.numbers[:count], self.texts[:count], self.widths[:count], strict=True)
        del self.numbers[:count], self.widths[:count], self.texts[:count]
        while block := list(islice(rows, BATCH_ROWS)):
            yield from rows_of_any_width(table, block)


def _batches(table: Table) -> Iterator[pa.RecordBatch]:
    """Yield the rows below the header; those of another width come after their block.

    Arrow tells the number of such rows only. The others take the numbers in between, so a row of
    another width is settled once every row before it has come: Arrow parses ahead, and may hand
    over those of a later block first.
    """
    others = _Others()
    next_number = table.above + 1
    try:
        for batch in _stream(table, others):
            if batch.num_rows:
                numbers = np.arange(next_number, next_number + batch.num_rows + len(others.numbers))
                numbers = numbers[~np.isin(numbers, others.numbers)][: batch.num_rows]
                next_number = int(numbers[-1]) + 1
                for start in range(0, batch.num_rows, MOST_ROWS):
                    part = batch.slice(start, MOST_ROWS)
                    yield rows_of_one_width(table, part.columns, numbers[start:][:MOST_ROWS])
            if len(others.numbers):
                settled, next_number = _settled(next_number, others.numbers)
                yield from others.take(table, settled)
    except pa.ArrowInvalid as error:
        if not str(error).startswith(("Empty CSV file", "Could not skip initial")):
            number = str(max([next_number, *(other + 1 for other in others.numbers[-1:])]))
            if others.count == MOST_OTHERS:
                raise _unreadable("ragged", str(others.count), str(table.width)) from None
            if "straddling object" in str(error):
                raise _unreadable("long_row", number, str(CSV_BLOCK)) from None
            raise _unreadable("malformed", number, "CSV") from None
    if len(others.numbers):
        yield from others.take(table, len(others.numbers))


def _settled(next_number: int, numbers: Sequence[int]) -> tuple[int, int]:
    """Count the leading row `numbers` that are final, and return the next free number, too."""
    ascending = np.array(numbers, dtype=np.int64)
    passed = int(np.searchsorted(ascending, next_number))
    ahead = ascending[passed:]
    run = int(np.argmin(np.append(ahead == next_number + np.arange(len(ahead)), False)))
    return passed + run, next_number + run


def _stream(table: Table, others: _Others) -> Iterator[pa.RecordBatch]:
    """Yield the rows of the usual width as Arrow reads them; add the rest to `others`."""

    def keep(row: pyarrow.csv.InvalidRow) -> str:
        others.count += 1
        others.numbers.append(row.number - table.skipped + table.above)
        others.texts.append(row.text)
        others.widths.append(row.actual_columns)
        return "skip" if others.count < MOST_OTHERS else "error"

    names = [f"c{position}" for position in range(table.width)]
    return iter(
        pyarrow.csv.open_csv(
            pa.OSFile(str(table.path)),  # of a path Arrow would take the name's word for packed
            read_options=pyarrow.csv.ReadOptions(
                encoding=table.dialect.encoding,
                skip_rows=table.skipped,
                column_names=names,
                use_threads=False,  # rows stay in order and invalid ones know their number
                block_size=min(CSV_BLOCK, max(2 * table.path.stat().st_size, 64 << 10)),
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=table.dialect.delimiter,
                quote_char=table.dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=keep,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    )
