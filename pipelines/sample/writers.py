"""Encode exports, to the same bytes every time, and land them in one step."""

from __future__ import annotations

import csv
import io
import json
import os
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path

from pipelines.contracts.formats import CsvDialect
from pipelines.sample.exports import Cell, Export, Grid, Variant, spell

# A workbook holds its time of creation, and a zip the time of each member: both are fixed.
WORKBOOK_CREATED = datetime(2021, 9, 23, 8, 0, 0)


@dataclass(frozen=True)
class Sent:
    """A file on its way: path below the landing folder, content, time of receipt (aware)."""

    name: str
    content: bytes
    received: datetime


def encode(export: Export, variant: Variant, dialect: CsvDialect | None = None) -> bytes:
    """Encode `export` as `variant` says; `dialect` overrules the contract's CSV dialect."""
    grid = spell(export, variant)
    if variant.ext == "xlsx":
        return _xlsx(grid)
    if variant.ext == "jsonl":
        return _jsonl(grid)
    if variant.ext == "parquet":
        return _parquet(grid)
    agreed = export.source.formats.csv
    assert agreed is not None, f"{export.source.name} takes no CSV"
    code = export.department.code if export.department else None
    return _csv(grid, dialect or agreed.dialect(code))


def _csv(grid: Grid, dialect: CsvDialect) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(
        text, delimiter=dialect.delimiter, quotechar=dialect.quote, lineterminator="\r\n"
    )
    writer.writerows([title] for title in grid.titles)
    writer.writerow(grid.header)
    writer.writerows(grid.rows)
    writer.writerows(grid.below)
    return text.getvalue().encode(dialect.encoding)


def _jsonl(grid: Grid) -> bytes:
    lines = (
        json.dumps(dict(zip(grid.header, row, strict=True)), ensure_ascii=False, default=str)
        for row in grid.rows
    )
    return "".join(f"{line}\n" for line in lines).encode()


def _parquet(grid: Grid) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = list(zip(*grid.rows, strict=True)) or [()] * len(grid.header)
    sink = io.BytesIO()
    pq.write_table(pa.table([list(cells) for cells in columns], names=list(grid.header)), sink)
    return sink.getvalue()


def _xlsx(grid: Grid) -> bytes:
    import xlsxwriter

    content = io.BytesIO()
    book = xlsxwriter.Workbook(content, {"in_memory": True})
    book.set_properties({"created": WORKBOOK_CREATED})
    sheet = book.add_worksheet("填报")
    title_format = book.add_format({"bold": True, "align": "center"})
    date_format = book.add_format({"num_format": "yyyy-mm-dd"})
    for at, title in enumerate(grid.titles):
        sheet.merge_range(at, 0, at, len(grid.header) - 1, title, title_format)
    table = [grid.header, *grid.rows, *grid.below]
    for at, row in enumerate(table, start=len(grid.titles)):
        for column, cell in enumerate(row):
            _write_cell(sheet, at, column, cell, date_format)
    book.close()
    return content.getvalue()


def _write_cell(sheet: object, row: int, column: int, cell: Cell, date_format: object) -> None:
    from xlsxwriter.worksheet import Worksheet

    assert isinstance(sheet, Worksheet)
    if isinstance(cell, date):
        sheet.write_datetime(row, column, cell, date_format)
    elif isinstance(cell, int):
        sheet.write_number(row, column, cell)
    elif cell:
        sheet.write_string(row, column, cell)


def land(folder: Path, sent: Sent) -> int:
    """Put `sent` below `folder` in one step, with its time of receipt; return its size."""
    path = folder / sent.name
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.tmp")
    temporary.write_bytes(sent.content)
    seconds = int(sent.received.timestamp())
    os.utime(temporary, (seconds, seconds))
    temporary.replace(path)
    return len(sent.content)
