"""The one layout in which every reader yields a file's rows.

The contract's columns (text, null where the file lacks one), `first` (the row's first cell),
`blank`, `sheet`, `row_number` (in the file as a person counts, from 1), and `fault`, `fault_value`,
`fault_expected`: a Reason's code and fields when the row cannot be mapped to columns; its cells
are then not kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.headers import Header
from pipelines.storage import is_machines

BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Reading:
    """An opened delivery: its header, and its rows yet to be read."""

    header: Header
    batches: Iterator[pa.RecordBatch]


def layout(source: Source) -> pa.Schema:
    """The columns that every reader yields for `source`."""
    lineage = [
        ("first", pa.string()), ("blank", pa.bool_()), ("sheet", pa.string()),
        ("row_number", pa.int64()), ("fault", pa.string()), ("fault_value", pa.string()),
        ("fault_expected", pa.string()),
    ]  # fmt: skip
    return pa.schema([(name, pa.string()) for name in source.column_names] + lineage)


def from_columns(
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
    fault, fault_value, fault_expected = nothing, nothing, nothing
    if beyond:  # cells to the right of the header belong to no column
        over = pc.greater(pc.max_element_wise(*beyond), 0)
        cells = [pc.if_else(over, nothing, column) for column in cells]
        fault = pc.if_else(over, pa.scalar("cells"), nothing)
        fault_value = pc.if_else(over, pa.scalar(str(len(filled))), nothing)
        fault_expected = pc.if_else(over, pa.scalar(str(header.width)), nothing)
    return pa.record_batch(
        [*cells, filled[0], blank, pa.array([sheet] * count, pa.string()),
         pa.array(numbers, pa.int64()), fault, fault_value, fault_expected],
        schema=layout(source),
    )  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """A row that cannot be mapped: its number, what is wrong, what tells noise from data."""

    number: int
    value: str
    first: str = ""
    blank: bool = False


def faulty(source: Source, code: str, expected: str, rows: Sequence[Fault]) -> pa.RecordBatch:
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
            pa.array([expected] * count, pa.string()),
        ],
        schema=layout(source),
    )


def damaged(error: Exception) -> Exception:
    """What to raise when a library cannot read a file: the file is to blame, or this machine."""
    if isinstance(error, OSError) and is_machines(error):
        return error
    return UnreadableError(Reason(code="damaged", value=str(error)[:200]))


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
    if isinstance(cell, Decimal):
        return f"{cell:f}"
    if isinstance(cell, datetime):
        midnight = cell.time() == time()
        return cell.date().isoformat() if midnight else cell.isoformat(" ")
    if isinstance(cell, date | time):
        return cell.isoformat()
    if isinstance(cell, timedelta):
        return str(cell)
    return json.dumps(cell, ensure_ascii=False, default=str)
