"""CSV: strictly decoded, streamed by Arrow, every row numbered, ragged ones told apart."""

from __future__ import annotations

import csv
import io
from codecs import getincrementaldecoder
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipelines.contracts.models import CsvDialect, Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.headers import SEARCHED_ROWS, Header, locate
from pipelines.ingest.readers.layout import Fault, Reading, faulty, from_columns

HEAD_BYTES = 256 << 10
CSV_BLOCK = 8 << 20
csv.field_size_limit(CSV_BLOCK)  # the same limit as Arrow's


def read_csv(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a CSV file in the dialect that `department` declared; `limit` does not concern it."""
    assert source.formats.csv is not None
    dialect = source.formats.csv.dialect(department)
    try:
        _check_encoding(path, dialect)
    except UnreadableError as error:
        raise _with_suspicion(error, path, source, dialect) from None
    rows, lines = _first_rows(path, dialect)
    index, header = locate(source, rows)
    if header.faults(source):
        suspect = _suspected_encoding(path, source, dialect)
        if suspect is not None:
            raise _other_encoding(dialect, f"it reads as {suspect}")
    if index < 0:  # no header: every row is data that cannot be mapped
        width = max((len(row) for row in rows), default=1)
        return Reading(header, _csv_batches(path, source, dialect, header, 0, 0, width))
    width = len(rows[index])
    return Reading(
        header, _csv_batches(path, source, dialect, header, index + 1, lines[index], width)
    )


def _check_encoding(path: Path, dialect: CsvDialect) -> None:
    """Decode the whole file strictly; raise naming the first byte and line that do not fit."""
    decoder = getincrementaldecoder(dialect.encoding)("strict")
    offset, line, quotes = 0, 1, 0
    with path.open("rb") as stream:
        while True:
            block = stream.read(1 << 20)
            pending = len(decoder.getstate()[0])
            try:
                text = decoder.decode(block, final=not block)
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(dialect.encoding, "ignore")
                line += before.count("\n")
                found = f"byte {offset - pending + error.start}, line {line}"
                raise _other_encoding(dialect, found) from None
            except UnicodeError as error:  # UTF-16 that does not say its byte order
                raise _other_encoding(dialect, str(error)) from None
            line += text.count("\n")
            quotes += text.count(dialect.quote)
            offset += len(block)
            if not block:
                break
    if quotes % 2:
        _check_last_quote(path, dialect)


def _other_encoding(dialect: CsvDialect, found: str) -> UnreadableError:
    return UnreadableError(Reason(code="encoding", value=found, expected=dialect.encoding))


def _check_last_quote(path: Path, dialect: CsvDialect) -> None:
    """Raise when a quote is never closed: all rows below it would pass for one cell."""
    number, last = 0, [""]
    with path.open(encoding=dialect.encoding, newline="") as lines:
        rows = csv.reader(
            chain(lines, ["\n", "end"]), delimiter=dialect.delimiter, quotechar=dialect.quote
        )
        try:
            for number, last in enumerate(rows, start=1):  # noqa: B007 - of the last one
                pass
        except csv.Error:  # what the quote swallows is larger than a cell may be
            number, last = number + 1, [""]
    if last != ["end"]:
        value, expected = str(number), "CSV (a quote in it is never closed)"
        raise UnreadableError(Reason(code="malformed", value=value, expected=expected))


def _head(path: Path, encoding: str) -> str:
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    return getincrementaldecoder(encoding)("strict").decode(head).removeprefix("\ufeff")


def _first_rows(path: Path, dialect: CsvDialect) -> tuple[list[list[str]], list[int]]:
    """The file's first rows, and for each how many lines it and those above it take."""
    text = io.StringIO(_head(path, dialect.encoding), newline="")
    reader = csv.reader(text, delimiter=dialect.delimiter, quotechar=dialect.quote)
    rows, lines = [], []
    try:
        for row in islice(reader, SEARCHED_ROWS):
            rows.append(row)
            lines.append(reader.line_num)
    except csv.Error as error:
        number = str(reader.line_num)
        raise UnreadableError(
            Reason(code="malformed", value=f"{number} ({error})", expected="CSV")
        ) from None
    return rows, lines


def _with_suspicion(
    error: UnreadableError, path: Path, source: Source, declared: CsvDialect
) -> UnreadableError:
    """The error, with the encoding that would have read the file, if it is of the encoding."""
    suspect = _suspected_encoding(path, source, declared)
    if error.reason.code != "encoding" or suspect is None:
        return error
    return _other_encoding(declared, f"{error.reason.value}; it reads as {suspect}")


def _suspected_encoding(path: Path, source: Source, declared: CsvDialect) -> str | None:
    """The other encoding in which the header shows; nothing is ever decoded by this guess."""
    for encoding in ("utf-8", "gb18030", "utf-16"):
        if encoding == declared.encoding:
            continue
        try:
            rows, _ = _first_rows(path, declared.model_copy(update={"encoding": encoding}))
        except (UnicodeError, UnreadableError):
            continue
        if not locate(source, rows)[1].faults(source):
            return encoding
    return None


def _csv_batches(
    path: Path,
    source: Source,
    dialect: CsvDialect,
    header: Header,
    above: int,
    skipped: int,
    width: int,
) -> Iterator[pa.RecordBatch]:
    """Stream the rows below the first `above` ones; rows of another width become faults.

    Those above take `skipped` lines: more than rows when a title or a header has a line break.
    """
    ragged: list[Fault] = []

    def note(row: Any) -> str:
        reader = csv.reader([row.text], delimiter=dialect.delimiter, quotechar=dialect.quote)
        cells = next(reader, None) or [""]
        number = row.number - skipped + above
        blank = not "".join(cells).strip()
        ragged.append(Fault(number, str(row.actual_columns), cells[0], blank))
        return "skip"

    names = [f"c{position}" for position in range(width)]
    try:
        stream = pyarrow.csv.open_csv(
            path,
            read_options=pyarrow.csv.ReadOptions(
                encoding=dialect.encoding,
                skip_rows=skipped,
                column_names=names,
                use_threads=False,  # rows stay in order and invalid ones know their number
                block_size=min(CSV_BLOCK, max(2 * path.stat().st_size, 64 << 10)),
            ),
            parse_options=pyarrow.csv.ParseOptions(
                delimiter=dialect.delimiter,
                quote_char=dialect.quote,
                newlines_in_values=True,
                ignore_empty_lines=False,
                invalid_row_handler=note,
            ),
            convert_options=pyarrow.csv.ConvertOptions(
                column_types={name: pa.string() for name in names}, strings_can_be_null=False
            ),
        )
        next_number = above + 1
        for batch in stream:
            numbers = _numbers(next_number, batch.num_rows, [row.number for row in ragged])
            if batch.num_rows:
                next_number = int(numbers[-1]) + 1
            yield from_columns(source, header, batch.columns, numbers)
    except pa.ArrowInvalid as error:
        nothing_below = ("Empty CSV file", "Could not skip initial")
        if not str(error).startswith(nothing_below):
            reason = Reason(code="malformed", value=str(error)[:200], expected="CSV")
            raise UnreadableError(reason) from None
    if ragged:
        yield faulty(source, "cells", str(width), ragged)


def _numbers(start: int, count: int, taken: Sequence[int]) -> np.ndarray:
    """`count` row numbers from `start` on, without those that invalid rows took."""
    candidates = np.arange(start, start + count + len(taken))
    return candidates[~np.isin(candidates, taken)][:count] if taken else candidates
