"""Parquet: typed columns as the text that a person would have typed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.headers import Header, match
from pipelines.ingest.readers.layout import BATCH_ROWS, Reading, cell_text, damaged, from_columns


def read_parquet(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a Parquet file that holds at most `limit` bytes of data."""
    try:
        file = pyarrow.parquet.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(error) from None
    unpacked = sum(
        file.metadata.row_group(group).total_byte_size for group in range(file.num_row_groups)
    )
    if unpacked > limit:
        raise UnreadableError(Reason(code="too_large", value=str(unpacked), expected=str(limit)))
    header = match(source, file.schema_arrow.names)
    return Reading(header, _parquet_batches(file, source, header, limit))


def _parquet_batches(
    file: pyarrow.parquet.ParquetFile, source: Source, header: Header, limit: int
) -> Iterator[pa.RecordBatch]:
    number, decoded = 1, 0
    try:
        for batch in file.iter_batches(BATCH_ROWS):
            decoded += batch.nbytes
            if decoded > limit:  # what the file says of its own size may be a lie
                reason = Reason(code="too_large", value=f"over {limit}", expected=str(limit))
                raise UnreadableError(reason)
            columns = [_as_text(column) for column in batch.columns]
            numbers = np.arange(number, number + batch.num_rows)
            number += batch.num_rows
            yield from_columns(source, header, columns, numbers)
    except (pa.ArrowInvalid, OSError) as error:
        raise damaged(error) from None


def _as_text(column: pa.Array) -> pa.Array:
    """As text; floats and decimals without the exponents that Arrow would write."""
    if not (pa.types.is_floating(column.type) or pa.types.is_decimal(column.type)):
        try:
            return pc.cast(column, pa.string())
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested, binary
            pass
    return pa.array([cell_text(cell) for cell in column.to_pylist()], pa.string())
