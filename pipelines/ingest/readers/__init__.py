"""Readers: a file's rows as batches of text under the contract's column names.

One small table of formats; what every reader yields is said in layout.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import RejectedError, UnreadableError
from pipelines.ingest.readers.delimited import read_csv
from pipelines.ingest.readers.jsonlines import read_jsonl
from pipelines.ingest.readers.layout import Reading
from pipelines.ingest.readers.parquet import read_parquet
from pipelines.ingest.readers.workbook import read_xlsx


@dataclass(frozen=True)
class Format:
    """One entry of the table of formats."""

    extensions: tuple[str, ...]
    read: Callable[[Path, Source, str | None, int], Reading]


FORMATS: dict[str, Format] = {
    "csv": Format((".csv", ".tsv", ".txt"), read_csv),
    "xlsx": Format((".xlsx",), read_xlsx),
    "jsonl": Format((".jsonl", ".ndjson"), read_jsonl),
    "parquet": Format((".parquet",), read_parquet),
}
EXTENSIONS = tuple(extension for entry in FORMATS.values() for extension in entry.extensions)


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
    declared = source.formats.declared
    if format_name not in declared:
        expected = ", ".join(declared)
        raise UnreadableError(Reason(code="format", value=format_name, expected=expected))
    if path.stat().st_size == 0:
        raise UnreadableError(Reason(code="empty_file"))
    reading = FORMATS[format_name].read(path, source, department, limit)
    faults = reading.header.faults(source)
    if faults:
        rows_read = sum(batch.num_rows for batch in reading.batches)
        raise RejectedError(faults, rows_read)
    return reading
