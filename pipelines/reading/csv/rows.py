"""Rows of a CSV file as batches: data, noise, or faults that say what is wrong with them."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.formats import CsvDialect
from pipelines.contracts.sources import Source
from pipelines.reading.headers.matching import MAX_COLUMNS, Header
from pipelines.reading.layout import (
    INVISIBLE,
    NOTE,
    Fault,
    as_far_as_filled,
    faulty,
    first_of,
    from_columns,
    with_faults,
)
from pipelines.reading.pages import check_row

if TYPE_CHECKING:
    from _csv import Reader

FORMULA = r'^="((?:[^"]|"")*)"$'  # ="00123", as programs write text that Excel shall not convert
BREAK = "\r\n|\r|\n"


@dataclass(frozen=True)
class Scan:
    """Facts from one look at the whole text, which let later passes skip work.

    `crowd` is the largest number of line ends in a block that Arrow parses at a time; `quotes`
    counts quotes; `has_nul` and `has_formulas` say whether any cell may have one.
    """

    crowd: int
    quotes: int
    has_nul: bool
    has_formulas: bool


@dataclass(frozen=True)
class Table:
    """A CSV file below its header, which ends with row `above` and line `skipped`.

    `width` is how many cells its rows have, as far as the first ones tell.
    """

    path: Path
    source: Source
    dialect: CsvDialect
    header: Header
    above: int
    skipped: int
    width: int
    scan: Scan


def record_reader(lines: Iterable[str], dialect: CsvDialect) -> Reader:
    """Return Python's CSV reader in the dialect, for a few rows: Arrow's is for many."""
    return csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)


def unwrapped(cell: str) -> str:
    """Return the text that a cell wraps as a formula; otherwise the cell."""
    match = re.fullmatch(FORMULA, cell)
    return match[1].replace('""', '"') if match else cell


def rows_of_any_width(table: Table, block: list[tuple[int, str, int]]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of `block` (number, text, cells), which are shorter or longer than most.

    Rows that only lack empty cells, or have only empty ones too many, are data; others are faults.
    `pad` is not for a row of one filled cell: it may be a note below the table.
    """
    width = table.header.width
    numbers: list[int] = []
    taken: list[list[str]] = []
    faults: list[Fault] = []
    for number, text, sent in block:
        if sent > MAX_COLUMNS:  # more than its size is not worth the memory
            is_blank = not text.replace(table.dialect.delimiter, "").strip()
            faults.append(Fault(number, str(sent), noise=is_blank))
            continue
        cells = next(record_reader([text], table.dialect), [""])
        if table.scan.has_formulas:
            cells = [unwrapped(cell) if cell[:1] == "=" else cell for cell in cells]
        beyond = "".join(cells[width:]).strip(INVISIBLE)
        is_blank = not "".join(cells).strip(INVISIBLE)
        is_lone = sum(bool(cell.strip()) for cell in cells[:width]) == 1
        is_padded = is_blank or (table.dialect.short_rows == "pad" and not is_lone)
        if width and not beyond and (sent >= width or is_padded):
            numbers.append(number)
            taken.append([*cells[:width], *[""] * (width - len(cells))])
            continue
        filled = as_far_as_filled(cells)
        check_row(table.source, table.header, number, filled)
        # A cell that swallows rows would make them a footer if it began with 合计.
        swallows = any(_swallowed_lines(table, cell) for cell in cells)
        first = "" if swallows else first_of(table.header, cells)
        faults.append(Fault(number, str(len(filled) if beyond else sent), first, is_blank, filled))
    if taken:
        columns = [pa.array(column, pa.string()) for column in zip(*taken, strict=True)]
        yield rows_of_one_width(table, columns, np.array(numbers))
    if faults:
        yield faulty(table.source, "cells", str(width or table.width), faults)


def rows_of_one_width(
    table: Table, columns: Sequence[pa.Array], numbers: np.ndarray
) -> pa.RecordBatch:
    """Return rows of one width as a batch; those with cells that nobody meant are faults.

    A row has one fault: NUL goes before swallowed rows.
    """
    if table.scan.has_formulas:
        columns = [_unwrapped_column(column) for column in columns]
    batch = from_columns(table.source, table.header, columns, numbers)
    if table.scan.has_nul:
        first_nul = np.zeros(len(numbers), int)  # the first cell with NUL, from 1
        for number in reversed(range(len(columns))):
            first_nul[np.array(pc.match_substring(columns[number], "\0"), dtype=bool)] = number + 1
        batch = _faulted(table, batch, columns, "nul", first_nul)
    if not table.scan.quotes:
        return batch
    lines = np.zeros(len(numbers), int)
    for column in columns:
        has_breaks = pc.or_(pc.match_substring(column, "\n"), pc.match_substring(column, "\r"))
        if has_breaks.true_count:
            rows = np.flatnonzero(has_breaks)
            counts = [
                _swallowed_lines(table, cell) for cell in column.filter(has_breaks).to_pylist()
            ]
            lines[rows] = np.maximum(lines[rows], counts)
    if not lines.any():
        return batch
    # Such a row is no footer, were its first cell 合计: the rows in it would go with it.
    first = pc.if_else(pa.array(lines > 0), "", batch["_first"])
    batch = batch.set_column(batch.schema.get_field_index("_first"), "_first", first)
    return _faulted(table, batch, columns, "swallowed", lines)


def _swallowed_lines(table: Table, cell: str) -> int:
    """Count the lines of a cell that a pair of stray quotes made of several rows; 0 for others.

    Such a cell has line breaks and as many separators as a row has.
    """
    if table.header.width < 2 or cell.count(table.dialect.delimiter) < table.header.width - 1:
        return 0
    breaks = len(re.findall(BREAK, cell))
    return breaks + 1 if breaks else 0


def _unwrapped_column(cells: pa.Array) -> pa.Array:
    formulas = pc.match_substring_regex(cells, FORMULA)
    if not formulas.true_count:
        return cells
    texts = pc.replace_substring_regex(cells.filter(formulas), FORMULA, r"\1")
    return pc.replace_with_mask(cells, formulas, pc.replace_substring(texts, '""', '"'))


def _faulted(
    table: Table, batch: pa.RecordBatch, columns: Sequence[pa.Array], code: str, values: np.ndarray
) -> pa.RecordBatch:
    """Return `batch` with the rows that have a value as faults, unless they are noise or faults.

    A row that looks like a note is named by what is wrong with its line.
    """
    is_fault = pc.not_equal(pc.fill_null(batch["_fault"], NOTE), NOTE)
    rows = pc.and_not(pa.array(values > 0), pc.or_(is_fault, batch["_noise"]))
    if not rows.true_count:
        return batch
    shown = [str(value) for value in values[np.array(rows, dtype=bool)]]
    return with_faults(table.source, batch, columns, rows, code, values=shown)
