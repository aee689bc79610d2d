"""JSON lines: an object a line, its keys the headers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.headers import Header, match
from pipelines.ingest.readers.layout import (
    BATCH_ROWS,
    Fault,
    Reading,
    cell_text,
    faulty,
    from_columns,
)


def read_jsonl(path: Path, source: Source, department: str | None, limit: int) -> Reading:
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
            yield from_columns(source, header, columns, numbers)
        broken = [Fault(number, str(number)) for number, row in block if row is None]
        if broken:
            yield faulty(source, "malformed", "JSON", broken)
