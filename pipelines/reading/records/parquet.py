"""Parquet: typed columns as the text that a person would have typed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from pipelines.contracts.columns import Column, ColumnType
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import Header, match
from pipelines.reading.layout import (
    BATCH_ROWS,
    Reading,
    cell_text,
    damaged,
    decimal_text,
    from_columns,
    suffix_in,
    with_faults,
)
from pipelines.reading.records.fields import MAX_FIELDS, too_many_fields, wanted

FOOTER_BYTES = 8 << 20  # unpacked it takes many times as much
ENCRYPTED_FOOTER = b"PARE"  # Parquet Modular Encryption: instead of PAR1
BATCH_BYTES = 64 << 20  # of text, once repeated values are written out
NO_TEXT = "\ufffd"  # what decoders write for bytes that are not UTF-8


def read_parquet(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a Parquet file that holds at most `limit` bytes of data.

    Columns inside columns are called by their path, `contact/phone`.
    """
    _check_footer(path)
    try:
        file = _opened(path)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _fault(error) from None
    if file.metadata.num_columns > MAX_FIELDS:
        raise too_many_fields()
    unpacked = sum(
        file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)
    )
    if unpacked > limit:
        raise _too_large(limit, str(unpacked))
    is_wanted = wanted(source)
    names = [name for field in file.schema_arrow for name in _names(field, "", is_wanted)]
    header = match(source, names)
    return Reading(header, _parquet_batches(file, source, header, limit))


def _check_footer(path: Path) -> None:
    """Refuse an encrypted file, and one whose description alone would fill the memory."""
    with path.open("rb") as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - 8))
        tail = file.read()
    if tail[4:] == ENCRYPTED_FOOTER:
        raise UnreadableError(Reason(code="encrypted_data"))
    if int.from_bytes(tail[:4], "little") > FOOTER_BYTES and tail[4:] == b"PAR1":
        raise too_many_fields()


def _opened(path: Path) -> pyarrow.parquet.ParquetFile:
    """The file; texts stay dictionaries, for a short file may repeat a long one without end."""
    with pyarrow.parquet.ParquetFile(path) as file:
        texts = [
            field.name
            for field in file.schema_arrow
            if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
        ]
    return pyarrow.parquet.ParquetFile(path, read_dictionary=texts)


def _fault(error: Exception) -> Exception:
    if "encrypted" in str(error).lower():
        return UnreadableError(Reason(code="encrypted_data"))
    return damaged(error)


def _too_large(limit: int, found: str) -> UnreadableError:
    return UnreadableError(Reason(code="too_large", value=found, expected=str(limit)))


def _names(field: pa.Field, above: str, is_wanted: Callable[[str], bool]) -> Iterator[str]:
    """The names of the columns that a field holds: its own, or those inside it."""
    name = above + field.name
    if not _is_opened(field.type, name, is_wanted):
        yield name
        return
    for number in range(field.type.num_fields):
        yield from _names(field.type.field(number), f"{name}/", is_wanted)


def _is_opened(kind: pa.DataType, name: str, is_wanted: Callable[[str], bool]) -> bool:
    return pa.types.is_struct(kind) and kind.num_fields > 0 and not is_wanted(name)


def _columns(column: pa.Array, name: str, is_wanted: Callable[[str], bool]) -> Iterator[pa.Array]:
    """The columns that a column holds, in the order of their names."""
    if not _is_opened(column.type, name, is_wanted):
        yield column
        return
    for field, inner in zip(column.type, column.flatten(), strict=True):
        yield from _columns(inner, f"{name}/{field.name}", is_wanted)


def _parquet_batches(
    file: pyarrow.parquet.ParquetFile, source: Source, header: Header, limit: int
) -> Iterator[pa.RecordBatch]:
    number, decoded = 1, 0
    is_wanted = wanted(source)
    decimals = {
        header.positions.get(column.name): column
        for column in source.columns
        if column.type is ColumnType.DECIMAL
    }
    try:
        for batch in file.iter_batches(BATCH_ROWS):
            physical = [
                inner
                for field, column in zip(batch.schema, batch.columns, strict=True)
                for inner in _columns(column, field.name, is_wanted)
            ]
            size = sum(_bytes(column) for column in physical)
            decoded += size
            if decoded > limit:  # what the file says of its own size may be a lie
                raise _too_large(limit, f"over {limit}")
            step = max(1, batch.num_rows * BATCH_BYTES // max(size, BATCH_BYTES))
            for start in range(0, batch.num_rows, step):
                slices = [column.slice(start, step) for column in physical]
                columns = [
                    _floats(column, _suffixes(decimals.get(place), header, slices))
                    if pa.types.is_floating(column.type)
                    else _as_text(column)
                    for place, column in enumerate(slices)
                ]
                numbers = np.arange(number, number + len(columns[0]))
                number += len(numbers)
                rows = from_columns(source, header, columns, numbers)
                yield _without_bytes(source, header, rows, slices, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _fault(error) from None


def _bytes(column: pa.Array) -> int:
    """How many bytes the column's values take, a repeated one counted as often."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if not len(column.dictionary):
        return 0
    kind = column.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        return int(column.nbytes)
    lengths = pc.fill_null(pc.binary_length(column.dictionary), 0)
    return int(pc.sum(pc.cast(lengths.take(column.indices), pa.int64())).as_py() or 0)


def _as_text(column: pa.Array) -> pa.Array:
    """As text; decimals without the exponents that Arrow would write.

    What of bytes is no text is NO_TEXT.
    """
    if not pa.types.is_decimal(column.type):
        try:
            text = pc.cast(column, pa.string())
            text.validate(full=True)  # what is called text may be no UTF-8
            return text
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested, binary
            pass
    return pa.array([_cell_text(cell) for cell in column.to_pylist()], pa.string())


def _cell_text(cell: Any) -> str | None:
    if isinstance(cell, bytes):
        return cell.decode("utf-8", "replace")
    return cell_text(cell)


def _suffixes(
    column: Column | None, header: Header, slices: Sequence[pa.Array]
) -> Iterable[str] | None:
    """What the figures of a decimal column leave away, row by row; None for another column."""
    if column is None:
        return None
    suffix, at = header.suffixes.get(column.name, ""), header.positions.get(column.unit_from or "")
    if suffix or at is None:
        return repeat(suffix)
    said = _as_text(slices[at]).to_pylist()
    return [suffix_in(column, unit or "") for unit in said]


def _floats(column: pa.Array, suffixes: Iterable[str] | None) -> pa.Array:
    """Floats as the shortest text that is the same float, for a decimal column rounded.

    NaN is how frames write that there is nothing.
    """
    if column.type != pa.float64():  # 93.9 of 32 bits is 93.9000015 in 64
        column = pc.cast(pc.cast(pc.cast(column, pa.float32()), pa.string()), pa.float64())
    cells = [None if cell != cell else cell for cell in column.to_pylist()]
    texts = (
        [cell_text(cell) for cell in cells]
        if suffixes is None
        else [
            None if cell is None else decimal_text(cell, suffix)
            for cell, suffix in zip(cells, suffixes, strict=False)
        ]
    )
    return pa.array(texts, pa.string())


def _without_bytes(
    source: Source,
    header: Header,
    batch: pa.RecordBatch,
    physical: Sequence[pa.Array],
    columns: Sequence[pa.Array],
) -> pa.RecordBatch:
    """The batch with the rows as faults that have bytes instead of text where a column is read."""
    for name, position in header.positions.items():
        if not _is_binary(physical[position].type):
            continue
        bad = pc.fill_null(pc.match_substring(columns[position], NO_TEXT), False)
        if bad.true_count:
            texts = [pc.fill_null(column, "") for column in columns]
            batch = with_faults(source, batch, texts, bad, "no_text", source.titles[name])
    return batch


def _is_binary(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary
    return any(test(kind) for test in tests)
