"""Readers: a file's rows as batches of text under the contract's column names.

Every reader yields Arrow batches of these columns, all of one layout whatever the format:
the contract's columns (text, null where the file lacks one), `first` (the row's first cell),
`blank`, `sheet`, `row_number` (in the file as a person counts, from 1), `fault` and `fault_value`
(a Reason code, when the row cannot be mapped to columns; its cells are then not kept).
"""

from __future__ import annotations

import csv
import io
import json
import zipfile
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from pipelines.contracts.models import CsvDialect, Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import RejectedError, UnreadableError
from pipelines.ingest.headers import SEARCHED_ROWS, Header, locate, match

BATCH_ROWS = 50_000
HEAD_BYTES = 256 << 10
CSV_BLOCK = 8 << 20
csv.field_size_limit(CSV_BLOCK)  # the same limit as Arrow's
OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")  # [MS-CFB] 2.2: compound files, encrypted ones too


@dataclass(frozen=True)
class Reading:
    """An opened delivery: its header, and its rows yet to be read."""

    header: Header
    batches: Iterator[pa.RecordBatch]


@dataclass(frozen=True)
class Format:
    """One entry of the table of formats."""

    extensions: tuple[str, ...]
    read: Callable[[Path, Source, str | None, int], Reading]


def layout(source: Source) -> pa.Schema:
    """The columns that every reader yields for `source`."""
    lineage = [
        ("first", pa.string()), ("blank", pa.bool_()), ("sheet", pa.string()),
        ("row_number", pa.int64()), ("fault", pa.string()), ("fault_value", pa.string()),
    ]  # fmt: skip
    return pa.schema([(name, pa.string()) for name in source.column_names] + lineage)


def format_of(path: Path) -> str | None:
    """The format that a file's name claims, None when we know none such."""
    suffix = path.suffix.lower()
    return next((name for name, entry in FORMATS.items() if suffix in entry.extensions), None)


def open_delivery(
    path: Path, format_name: str, source: Source, department: str | None, limit: int
) -> Reading:
    """Open archived bytes as `format_name`.

    `limit` is how many bytes an archive inside the file may unpack to. Raises UnreadableError
    when the bytes are not what was declared and RejectedError when columns are missing; both may
    also come while the batches are read.
    """
    if getattr(source.formats, format_name) is None:
        declared = ", ".join(name for name, options in source.formats if options is not None)
        raise UnreadableError(Reason(code="format", value=format_name, expected=declared))
    if path.stat().st_size == 0:
        raise UnreadableError(Reason(code="empty_file"))
    reading = FORMATS[format_name].read(path, source, department, limit)
    faults = reading.header.faults(source)
    if faults:
        rows_read = sum(batch.num_rows for batch in reading.batches)
        raise RejectedError(faults, rows_read)
    return reading


# --- CSV ------------------------------------------------------------------------------------


def _read_csv(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    assert source.formats.csv is not None
    dialect = source.formats.csv.dialect(department)
    _check_encoding(path, dialect)
    rows, lines = _first_rows(path, dialect)
    index, header = locate(source, rows)
    if header.faults(source):
        _suspect_encoding(path, source, dialect)
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


def _suspect_encoding(path: Path, source: Source, declared: CsvDialect) -> None:
    """Raise when another encoding would have shown the header; nothing is decoded by a guess."""
    for encoding in ("utf-8", "gb18030", "utf-16"):
        if encoding == declared.encoding:
            continue
        try:
            rows, _ = _first_rows(path, declared.model_copy(update={"encoding": encoding}))
        except (UnicodeDecodeError, UnicodeError, UnreadableError):
            continue
        if not locate(source, rows)[1].faults(source):
            raise _other_encoding(declared, f"it reads as {encoding}")


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
    ragged: list[_Fault] = []

    def note(row: Any) -> str:
        reader = csv.reader([row.text], delimiter=dialect.delimiter, quotechar=dialect.quote)
        cells = next(reader, None) or [""]
        number = row.number - skipped + above
        blank = not "".join(cells).strip()
        ragged.append(_Fault(number, str(row.actual_columns), cells[0], blank))
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
            yield _from_columns(source, header, batch.columns, numbers)
    except pa.ArrowInvalid as error:
        nothing_below = ("Empty CSV file", "Could not skip initial")
        if not str(error).startswith(nothing_below):
            reason = Reason(code="malformed", value=str(error)[:200], expected="CSV")
            raise UnreadableError(reason) from None
    if ragged:
        yield _faulty(source, "cells", ragged)


def _numbers(start: int, count: int, taken: Sequence[int]) -> np.ndarray:
    """`count` row numbers from `start` on, without those that invalid rows took."""
    candidates = np.arange(start, start + count + len(taken))
    return candidates[~np.isin(candidates, taken)][:count] if taken else candidates


# --- workbooks ------------------------------------------------------------------------------


def _read_xlsx(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    from python_calamine import CalamineError, CalamineWorkbook

    assert source.formats.xlsx is not None
    _check_package(path, limit)
    wanted = source.formats.xlsx.sheet
    try:
        with path.open("rb") as stream:
            book = CalamineWorkbook.from_filelike(stream)
            names = book.sheet_names
            known = wanted in names if isinstance(wanted, str) else wanted < len(names)
            if not known:
                raise UnreadableError(
                    Reason(code="missing_sheet", value="、".join(names)[:500], expected=str(wanted))
                )
            name = wanted if isinstance(wanted, str) else names[wanted]
            rows = iter(book.get_sheet_by_name(name).iter_rows())
    except (CalamineError, OSError, ValueError) as error:
        raise UnreadableError(Reason(code="damaged", value=str(error)[:200])) from None
    first = [[cell_text(cell) or "" for cell in row] for row in islice(rows, SEARCHED_ROWS)]
    index, header = locate(source, first)
    texts = ([cell_text(cell) or "" for cell in row] for row in rows)
    below = _chain(first[index + 1 :], texts)
    return Reading(header, _grid_batches(source, header, name, index + 2, below))


def _check_package(path: Path, limit: int) -> None:
    """Refuse what is no workbook, is encrypted or cut off, or unpacks beyond `limit` bytes."""
    with path.open("rb") as stream:
        head = stream.read(1 << 16)
    if head.startswith(OLE_MAGIC):
        encrypted = "EncryptedPackage".encode("utf-16-le") in head
        reason = (
            Reason(code="encrypted")
            if encrypted
            else Reason(code="damaged", value="an old binary workbook named .xlsx")
        )
        raise UnreadableError(reason)
    try:
        with zipfile.ZipFile(path) as package:
            unpacked = sum(entry.file_size for entry in package.infolist())
    except zipfile.BadZipFile as error:
        raise UnreadableError(Reason(code="damaged", value=str(error)[:200])) from None
    if unpacked > limit:
        raise UnreadableError(Reason(code="too_large", value=str(unpacked), expected=str(limit)))


def cell_text(cell: object) -> str | None:
    """A workbook's or JSON's value as the text a person would have typed; None for nothing."""
    if cell is None or cell == "":
        return None
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, int):
        return str(cell)
    if isinstance(cell, float):
        return str(int(cell)) if cell.is_integer() else f"{Decimal(repr(cell)):f}"
    if isinstance(cell, datetime):
        midnight = cell.time() == time()
        return cell.date().isoformat() if midnight else cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return json.dumps(cell, ensure_ascii=False, default=str)


def _chain(head: Iterable[list[str]], tail: Iterable[list[str]]) -> Iterator[list[str]]:
    yield from head
    yield from tail


def _grid_batches(
    source: Source, header: Header, sheet: str, start: int, rows: Iterator[list[str]]
) -> Iterator[pa.RecordBatch]:
    width = len(header.cells)
    number = start
    while block := list(islice(rows, BATCH_ROWS)):
        wide = max(width, max(map(len, block)))
        padded = [row + [""] * (wide - len(row)) for row in block]
        columns = [pa.array(column, pa.string()) for column in zip(*padded, strict=True)]
        numbers = np.arange(number, number + len(block))
        number += len(block)
        yield _from_columns(source, header, columns, numbers, sheet)


# --- JSON lines -----------------------------------------------------------------------------


def _read_jsonl(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Keys are headers. The header is all keys of the file, so that it is known before rows."""
    keys: dict[str, None] = {}
    for _, row in _json_rows(path):
        if row is not None:
            keys.update(dict.fromkeys(row))
    header = match(source, list(keys))
    return Reading(header, _json_batches(path, source, header))


def _json_rows(path: Path) -> Iterator[tuple[int, dict[str, str | None] | None]]:
    """(line number, the line's object as text by key); None where it is no object."""
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = f"line {number}, byte {error.start} of it"
                raise UnreadableError(
                    Reason(code="encoding", value=found, expected="utf-8")
                ) from None
            if not text.strip():
                yield number, {}
                continue
            try:
                # numbers keep the digits that were sent
                value = json.loads(text, parse_float=_written_out, parse_int=str)
                if "\\u" in text:  # half a surrogate pair is no text: a UnicodeEncodeError
                    json.dumps(value, ensure_ascii=False).encode()
            except (ValueError, RecursionError):
                yield number, None
                continue
            if not isinstance(value, dict):
                yield number, None
                continue
            yield number, {key: cell_text(cell) for key, cell in value.items()}


def _written_out(number: str) -> str:
    """A JSON number without its exponent, unless that would be absurdly long."""
    exponent = number.lower().partition("e")[2]
    return f"{Decimal(number):f}" if exponent and len(exponent) < 4 else number


def _json_batches(path: Path, source: Source, header: Header) -> Iterator[pa.RecordBatch]:
    rows = _json_rows(path)
    while block := list(islice(rows, BATCH_ROWS)):
        sound = [(number, row) for number, row in block if row is not None]
        columns = [
            pa.array([row.get(key) for _, row in sound], pa.string()) for key in header.cells
        ]
        numbers = np.array([number for number, _ in sound], dtype=np.int64)
        if sound:
            yield _from_columns(source, header, columns, numbers)
        broken = [_Fault(number, str(number)) for number, row in block if row is None]
        if broken:
            yield _faulty(source, "malformed", broken)


# --- Parquet --------------------------------------------------------------------------------


def _read_parquet(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableError(Reason(code="damaged", value=str(error)[:200])) from None
    unpacked = sum(
        file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)
    )
    if unpacked > limit:
        raise UnreadableError(Reason(code="too_large", value=str(unpacked), expected=str(limit)))
    header = match(source, file.schema_arrow.names)
    return Reading(header, _parquet_batches(file, source, header))


def _parquet_batches(
    file: pyarrow.parquet.ParquetFile, source: Source, header: Header
) -> Iterator[pa.RecordBatch]:
    number = 1
    try:
        for batch in file.iter_batches(BATCH_ROWS):
            columns = [_as_text(column) for column in batch.columns]
            numbers = np.arange(number, number + batch.num_rows)
            number += batch.num_rows
            yield _from_columns(source, header, columns, numbers)
    except (pa.ArrowInvalid, OSError) as error:
        raise UnreadableError(Reason(code="damaged", value=str(error)[:200])) from None


def _as_text(column: pa.Array) -> pa.Array:
    try:
        return pc.cast(column, pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested, binary
        return pa.array([cell_text(cell) for cell in column.to_pylist()], pa.string())


# --- all formats ----------------------------------------------------------------------------

FORMATS: dict[str, Format] = {
    "csv": Format((".csv", ".tsv", ".txt"), _read_csv),
    "xlsx": Format((".xlsx",), _read_xlsx),
    "jsonl": Format((".jsonl", ".ndjson"), _read_jsonl),
    "parquet": Format((".parquet",), _read_parquet),
}
EXTENSIONS = tuple(extension for entry in FORMATS.values() for extension in entry.extensions)


def _from_columns(
    source: Source,
    header: Header,
    columns: Sequence[pa.Array],
    numbers: np.ndarray,
    sheet: str = "",
) -> pa.RecordBatch:
    """Physical columns (those beyond the header only count for blankness) as our layout."""
    count = len(numbers)
    nothing = pa.nulls(count, pa.string())
    cells = [
        columns[header.positions[name]] if name in header.positions else nothing
        for name in source.column_names
    ]
    filled = [pc.fill_null(column, "") for column in columns] or [pa.array([""] * count)]
    joined = pc.binary_join_element_wise(*filled, "") if len(filled) > 1 else filled[0]
    blank = pc.equal(pc.utf8_trim_whitespace(joined), "")
    beyond = [pc.utf8_length(column) for column in filled[header.width :]]
    fault, fault_value = nothing, nothing
    if beyond:  # cells to the right of the header belong to no column
        over = pc.greater(pc.max_element_wise(*beyond), 0)
        cells = [pc.if_else(over, nothing, column) for column in cells]
        fault = pc.if_else(over, pa.scalar("cells"), nothing)
        fault_value = pc.if_else(over, pa.scalar(str(len(filled))), nothing)
    return pa.record_batch(
        [*cells, filled[0], blank, pa.array([sheet] * count, pa.string()),
         pa.array(numbers, pa.int64()), fault, fault_value],
        schema=layout(source),
    )  # fmt: skip


@dataclass(frozen=True)
class _Fault:
    """A row that cannot be mapped: its number, what is wrong, what tells noise from data."""

    number: int
    value: str
    first: str = ""
    blank: bool = False


def _faulty(source: Source, code: str, rows: Sequence[_Fault]) -> pa.RecordBatch:
    """Rows that cannot be mapped, as our layout: coordinates only."""
    count = len(rows)
    return pa.record_batch(
        [
            *[pa.nulls(count, pa.string())] * len(source.columns),
            pa.array([row.first for row in rows], pa.string()),
            pa.array([row.blank for row in rows]),
            pa.array([""] * count, pa.string()),
            pa.array([row.number for row in rows], pa.int64()),
            pa.array([code] * count, pa.string()),
            pa.array([row.value for row in rows], pa.string()),
        ],
        schema=layout(source),
    )
