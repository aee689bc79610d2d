"""Read Parquet: typed columns as the text that a person would have typed."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from pipelines.contracts.columns import ColumnType
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
from pipelines.reading.records.fields import MAX_FIELDS, ColumnOf, column_finder, too_many_fields

FOOTER_BYTES = 8 << 20  # unpacked it takes many times as much
ENCRYPTED_FOOTER = b"PARE"  # Parquet Modular Encryption: instead of PAR1
BATCH_BYTES = 64 << 20  # of text, once repeated values are written out
BINARY = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)
NO_TEXT = "\ufffd"  # what decoders write for bytes that are not UTF-8


def read_parquet(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a Parquet file that holds at most `limit` bytes of data.

    Columns inside columns are called by their path, `contact/phone`.
    """
    _check_footer(path)
    try:
        with pyarrow.parquet.ParquetFile(path) as described:
            # Texts stay dictionaries, for a short file may repeat one long text without end.
            texts = [
                field.name
                for field in described.schema_arrow
                if pa.types.is_string(field.type) or pa.types.is_binary(field.type)
            ]
        file = pyarrow.parquet.ParquetFile(path, read_dictionary=texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _fault(error) from None
    if file.metadata.num_columns > MAX_FIELDS:
        raise too_many_fields()
    groups = range(file.num_row_groups)
    unpacked = sum(file.metadata.row_group(group).total_byte_size for group in groups)
    if unpacked > limit:
        raise _too_large(limit, str(unpacked))
    no_rows = pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
    column_of = column_finder(source)
    names = [name for name, _ in _columns(no_rows.schema, no_rows.columns, "", column_of)]
    header = match(source, names)
    return Reading(header, _batches(file, source, header, limit))


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


def _fault(error: Exception) -> Exception:
    if "encrypted" in str(error).lower():
        return UnreadableError(Reason(code="encrypted_data"))
    return damaged(error)


def _too_large(limit: int, size: str) -> UnreadableError:
    return UnreadableError(Reason(code="too_large", value=size, expected=str(limit)))


def _columns(
    fields: Iterable[pa.Field], columns: Sequence[pa.Array], above: str, column_of: ColumnOf
) -> Iterator[tuple[str, pa.Array]]:
    """Yield columns with their names; instead of one that holds others, these by their paths.

    One that the contract itself asks for is not opened: its cells are JSON texts.
    """
    for field, column in zip(fields, columns, strict=True):
        name, kind = above + field.name, column.type
        if pa.types.is_struct(kind) and kind.num_fields and not column_of(name):
            yield from _columns(kind, column.flatten(), f"{name}/", column_of)
        else:
            yield name, column


def _batches(
    file: pyarrow.parquet.ParquetFile, source: Source, header: Header, limit: int
) -> Iterator[pa.RecordBatch]:
    """Yield the rows as text, in slices that memory holds once repeated values are written out."""
    number, decoded = 1, 0
    column_of = column_finder(source)
    try:
        for batch in file.iter_batches(BATCH_ROWS):
            named = _columns(batch.schema, batch.columns, "", column_of)
            physical = [column for _, column in named]
            size = sum(map(_bytes, physical))
            decoded += size
            if decoded > limit:  # what the file says of its own size may be a lie
                raise _too_large(limit, f"over {limit}")
            step = max(1, batch.num_rows * BATCH_BYTES // max(size, BATCH_BYTES))
            for start in range(0, batch.num_rows, step):
                slices = [column.slice(start, step) for column in physical]
                columns = _texts(slices, source, header)
                numbers = np.arange(number, number + len(columns[0]))
                number += len(numbers)
                rows = from_columns(source, header, columns, numbers)
                yield _without_bytes(source, header, rows, slices, columns)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _fault(error) from None


def _bytes(column: pa.Array) -> int:
    """Return how many bytes the column's values take, a repeated one counted as often."""
    if not pa.types.is_dictionary(column.type):
        return int(column.nbytes)
    if not len(column.dictionary):
        return 0
    kind = column.type.value_type
    if not (pa.types.is_string(kind) or pa.types.is_binary(kind)):
        return int(column.nbytes)
    lengths = pc.fill_null(pc.binary_length(column.dictionary), 0)
    return int(pc.sum(pc.cast(lengths.take(column.indices), pa.int64())).as_py() or 0)


def _texts(columns: Sequence[pa.Array], source: Source, header: Header) -> list[pa.Array]:
    """Return columns as text; floats of decimal columns in the places that their unit leaves."""
    decimals = {
        header.positions.get(column.name): column
        for column in source.columns
        if column.type is ColumnType.DECIMAL
    }
    texts = []
    for position, values in enumerate(columns):
        if not pa.types.is_floating(values.type):
            texts.append(_as_text(values))
            continue
        column = decimals.get(position)
        suffixes: Iterable[str] | None = None
        if column is not None:
            suffix = header.suffixes.get(column.name, "")
            unit_position = header.positions.get(column.unit_from or "")
            suffixes = repeat(suffix)
            if not suffix and unit_position is not None:
                units = _as_text(columns[unit_position]).to_pylist()
                suffixes = [suffix_in(column, unit or "") for unit in units]
        texts.append(_floats(values, suffixes))
    return texts


def _as_text(column: pa.Array) -> pa.Array:
    """Return the column as text: decimals without the exponents that Arrow would write.

    Bytes that are no text become NO_TEXT.
    """
    if not pa.types.is_decimal(column.type):
        try:
            text = pc.cast(column, pa.string())
            text.validate(full=True)  # what is called text may be no UTF-8
            return text
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested, binary
            pass
    cells = [
        cell.decode("utf-8", "replace") if isinstance(cell, bytes) else cell_text(cell)
        for cell in column.to_pylist()
    ]
    return pa.array(cells, pa.string())


def _floats(column: pa.Array, suffixes: Iterable[str] | None) -> pa.Array:
    """Return floats as the shortest text that is the same float, or rounded as `suffixes` say.

    NaN is how data frames write that there is nothing.
    """
    if column.type != pa.float64():  # 93.9 of 32 bits is 93.9000015 in 64
        column = pc.cast(pc.cast(pc.cast(column, pa.float32()), pa.string()), pa.float64())
    cells = [None if cell != cell else cell for cell in column.to_pylist()]
    if suffixes is None:
        return pa.array(map(cell_text, cells), pa.string())
    texts = [
        None if cell is None else decimal_text(cell, suffix)
        for cell, suffix in zip(cells, suffixes, strict=False)
    ]
    return pa.array(texts, pa.string())


def _without_bytes(
    source: Source,
    header: Header,
    batch: pa.RecordBatch,
    physical: Sequence[pa.Array],
    columns: Sequence[pa.Array],
) -> pa.RecordBatch:
    """Return the batch, those rows as faults that have bytes instead of text in a column."""
    for name, position in header.positions.items():
        kind = physical[position].type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if not any(is_kind(kind) for is_kind in BINARY):
            continue
        bad = pc.fill_null(pc.match_substring(columns[position], NO_TEXT), False)
        if bad.true_count:
            texts = [pc.fill_null(column, "") for column in columns]
            batch = with_faults(source, batch, texts, bad, "no_text", source.titles[name])
    return batch
