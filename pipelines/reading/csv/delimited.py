"""CSV: strictly decoded, streamed by Arrow, every row numbered, ragged ones told apart."""

from __future__ import annotations

import csv
import io
from array import array
from codecs import getincrementaldecoder
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TextIO

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.contracts.models import CsvDialect, Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.csv.rows import (
    Seen,
    Table,
    record_reader,
    rows_of_any_width,
    rows_of_one_width,
    unwrapped,
)
from pipelines.reading.decoding import (
    BLOCK,
    BYTE_ORDER_MARK,
    HEAD_BYTES,
    other_encodings,
    strict_text,
)
from pipelines.reading.headers.matching import MAX_COLUMNS, SEARCHED_ROWS
from pipelines.reading.headers.search import locate
from pipelines.reading.layout import BATCH_ROWS, Reading, as_far_as_filled

CSV_BLOCK = 8 << 20  # bytes: no row may be longer
MOST_ROWS = 200_000  # of a batch: a block of short lines has millions
MOST_OTHERS = 5_000_000  # rows of another width than most: Arrow hands over each by itself
CROWDED_CELLS = 50_000_000
csv.field_size_limit(CSV_BLOCK)


def read_csv(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a CSV file in the dialect that `department` declared; `limit` does not concern it."""
    assert source.formats.csv is not None
    dialect = source.formats.csv.dialect(department)
    seen = _look_over(path, dialect, source)
    rows, lines = _first_rows(path, dialect)
    index, header = locate(source, rows)
    if header.faults(source):
        suspect = _suspected_encoding(path, source, dialect)
        if suspect is not None:
            value = f"it reads as {suspect}"
            raise _unreadable("encoding", value, dialect.encoding)
    own = max(map(len, rows), default=1) if index < 0 else len(rows[index])
    if own * seen.crowd > CROWDED_CELLS:  # Arrow makes a row of cells of each blank line
        raise _unreadable("crowded", f"{seen.crowd} x {own}", str(CROWDED_CELLS))
    if index < 0:  # no header: every row is data that cannot be mapped
        width = max((len(row) for row in rows), default=1)
        return Reading(header, _batches(Table(path, source, dialect, header, 0, 0, width, seen)))
    width = _width(len(rows[index]), rows[index + 1 :])
    table = Table(path, source, dialect, header, index + 1, lines[index], width, seen)
    return Reading(header, _batches(table))


def _unreadable(code: str, value: str, expected: str = "") -> UnreadableError:
    return UnreadableError(Reason(code=code, value=value, expected=expected))


# --- before the rows ----------------------------------------------------------------------------


def _look_over(path: Path, dialect: CsvDialect, source: Source) -> Seen:
    """Decode the whole file strictly; raise naming the first byte and line that do not fit."""
    quotes, nul, formulas, last = 0, False, False, ""
    ends: deque[int] = deque(maxlen=CSV_BLOCK // BLOCK + 1)
    crowd = 0
    for text in strict_text(path, dialect.encoding, source):
        ends.append(text.count("\n") + text.count("\r"))
        crowd = max(crowd, sum(ends))
        quotes += text.count(dialect.quote)
        nul = nul or "\0" in text
        formulas = formulas or '="' in text or (last == "=" and text[:1] == '"')
        last = text[-1:]
    if quotes % 2:
        _check_last_quote(path, dialect)
    return Seen(crowd, quotes, nul, formulas)


def _check_last_quote(path: Path, dialect: CsvDialect) -> None:
    """Raise when a quote is never closed: all rows below it would pass for one cell."""
    number, last = 0, [""]
    with path.open(encoding=dialect.encoding, newline="") as stream:
        rows = record_reader(_then_the_end(stream), dialect)
        try:
            for number, last in enumerate(rows, start=1):  # noqa: B007 - of the last one
                pass
        except csv.Error:  # what the quote swallows is larger than a cell may be
            number, last = number + 1, [""]
    if last != ["end"]:
        raise _unreadable("open_quote", str(number))


def _then_the_end(stream: TextIO) -> Iterator[str]:
    """The lines of a file, and one more; what memory should not hold is cut off as an error."""
    while line := stream.readline(CSV_BLOCK):
        if len(line) == CSV_BLOCK:
            raise csv.Error
        yield line
    yield from ("\n", "end")


def _first_rows(path: Path, dialect: CsvDialect) -> tuple[list[list[str]], list[int]]:
    """The file's first rows, and for each how many lines it and those above it take."""
    for size in (HEAD_BYTES, CSV_BLOCK):
        head, is_cut = _head(path, dialect.encoding, size)
        reader = record_reader(io.StringIO(head, newline=""), dialect)
        rows, lines = [], []
        try:
            for row in islice(reader, SEARCHED_ROWS):
                rows.append([unwrapped(cell) for cell in row])
                lines.append(reader.line_num)
        except csv.Error:
            raise _unreadable("long_row", str(len(rows) + 1), str(CSV_BLOCK)) from None
        for row in rows:
            if len(row) > MAX_COLUMNS:
                raise _unreadable("too_wide", str(len(row)), str(MAX_COLUMNS))
        if not is_cut or len(rows) == SEARCHED_ROWS:
            return rows, lines
    raise _unreadable("long_row", str(len(rows)), str(CSV_BLOCK))


def _head(path: Path, encoding: str, size: int) -> tuple[str, bool]:
    """The text of the file's first bytes, and whether there are more."""
    with path.open("rb") as stream:
        head, is_cut = stream.read(size), bool(stream.read(1))
    text = getincrementaldecoder(encoding)("strict").decode(head)
    return text.removeprefix(BYTE_ORDER_MARK), is_cut


def _width(own: int, below: Sequence[Sequence[str]]) -> int:
    """How many cells most rows have: one more than the header where lines end in a separator.

    Arrow reads these alone quickly.
    """
    widths = Counter(len(row) for row in below if as_far_as_filled(row))
    return max(widths, key=lambda width: (widths[width], width == own), default=own)


def _suspected_encoding(path: Path, source: Source, declared: CsvDialect) -> str | None:
    """The other encoding in which the header shows; nothing is ever decoded by this guess."""
    for encoding in other_encodings(path, declared.encoding):
        try:
            rows, _ = _first_rows(path, declared.model_copy(update={"encoding": encoding}))
        except (UnicodeError, UnreadableError):
            continue
        if not locate(source, rows)[1].faults(source):
            return encoding
    return None


# --- the rows -----------------------------------------------------------------------------------


class _Others:
    """Rows of another width than most, packed: a block of them may be millions."""

    def __init__(self) -> None:
        self.count = 0  # of all that were ever kept
        self.numbers = array("q")
        self._widths = array("q")
        self._lengths = array("q")
        self._text = io.StringIO()

    def add(self, number: int, text: str, width: int) -> None:
        """Keep one row, which is numbered higher than those before."""
        self.count += 1
        self.numbers.append(number)
        self._widths.append(width)
        self._lengths.append(len(text))
        self._text.write(text)

    def take(self, count: int) -> Iterator[tuple[int, str, int]]:
        """The first `count` rows as (number, text, cells), which then are no longer kept."""
        texts = self._text.getvalue()
        numbers, widths, lengths = self.numbers, self._widths, self._lengths
        end = sum(lengths[:count])
        self.numbers, self._widths, self._lengths = numbers[count:], widths[count:], lengths[count:]
        self._text = io.StringIO()
        self._text.write(texts[end:])
        start = 0
        for number, width, length in zip(numbers[:count], widths, lengths, strict=False):
            yield number, texts[start : start + length], width
            start += length


def _batches(table: Table) -> Iterator[pa.RecordBatch]:
    """Stream the rows below the header; those of another width come after their block."""
    others = _Others()
    next_number = table.above + 1
    try:
        for batch in _stream(table, others):
            if batch.num_rows:
                numbers = _numbers(next_number, batch.num_rows, others.numbers)
                next_number = int(numbers[-1]) + 1
                for start in range(0, batch.num_rows, MOST_ROWS):
                    part = batch.slice(start, MOST_ROWS)
                    yield rows_of_one_width(table, part.columns, numbers[start:][:MOST_ROWS])
            # Arrow parses ahead: others of a later block may be here, rows before them not yet
            settled, next_number = _settled(next_number, others.numbers)
            if settled:
                yield from _other_batches(table, others.take(settled))
    except pa.ArrowInvalid as error:
        nothing_below = ("Empty CSV file", "Could not skip initial")
        if not str(error).startswith(nothing_below):
            number = str(max([next_number, *(other + 1 for other in others.numbers[-1:])]))
            if others.count == MOST_OTHERS:
                raise _unreadable("ragged", str(others.count), str(table.width)) from None
            if "straddling object" in str(error):
                raise _unreadable("long_row", number, str(CSV_BLOCK)) from None
            raise _unreadable("malformed", number, "CSV") from None
    yield from _other_batches(table, others.take(len(others.numbers)))


def _stream(table: Table, others: _Others) -> Iterator[pa.RecordBatch]:
    """The rows of the usual width as Arrow reads them; the rest goes to `others`."""

    def note(row: pyarrow.csv.InvalidRow) -> str:
        number = row.number - table.skipped + table.above
        others.add(number, row.text, row.actual_columns)
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
                invalid_row_handler=note,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
    )


def _numbers(start: int, count: int, taken: Sequence[int]) -> np.ndarray:
    """`count` row numbers from `start` on, without those that other rows took."""
    candidates = np.arange(start, start + count + len(taken))
    return candidates[~np.isin(candidates, taken)][:count] if len(taken) else candidates


def _settled(next_number: int, taken: Sequence[int]) -> tuple[int, int]:
    """How many of `taken` no row before them can follow any more, and the next free number."""
    numbers = np.array(taken, dtype=np.int64)
    passed = int(np.searchsorted(numbers, next_number))
    ahead = numbers[passed:]
    run = int(np.argmin(np.append(ahead == next_number + np.arange(len(ahead)), False)))
    return passed + run, next_number + run


def _other_batches(
    table: Table, others: Iterator[tuple[int, str, int]]
) -> Iterator[pa.RecordBatch]:
    while block := list(islice(others, BATCH_ROWS)):
        yield from rows_of_any_width(table, block)
