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
    width, breaks = table.header.width, re.compile("[\r\n]")
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
        swallows = width > 1 and any(
            breaks.search(cell) and cell.count(table.dialect.delimiter) >= width - 1
            for cell in cells
        )
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
    swallowed = pa.nulls(len(numbers), pa.int32())
    if table.scan.quotes and table.header.width > 1:
        swallowed = _swallowed_lines(table, columns)
        first = pc.if_else(pc.is_valid(swallowed), "", batch["_first"])  # it is no footer
        batch = batch.set_column(batch.schema.get_field_index("_first"), "_first", first)
    if table.scan.has_nul:
        first_nul = pa.nulls(len(numbers), pa.int32())  # the first cell with NUL, from 1
        for number, column in enumerate(columns, start=1):
            place = pc.if_else(
                pc.match_substring(column, "\0"), pa.scalar(number, pa.int32()), None
            )
            first_nul = pc.coalesce(first_nul, place)
        batch = _faulted(table, batch, columns, "nul", first_nul)
    if swallowed.null_count < len(numbers):
        batch = _faulted(table, batch, columns, "swallowed", swallowed)
    return batch


def _unwrapped_column(cells: pa.Array) -> pa.Array:
    formulas = pc.match_substring_regex(cells, FORMULA)
    if not formulas.true_count:
        return cells
    texts = pc.replace_substring_regex(cells.filter(formulas), FORMULA, r"\1")
    return pc.replace_with_mask(cells, formulas, pc.replace_substring(texts, '""', '"'))


def _swallowed_lines(table: Table, columns: Sequence[pa.Array]) -> pa.Array:
    """Count the lines of rows in which a pair of stray quotes made one cell of several rows.

    Such a cell has line breaks and as many separators as a row has; other rows give null.
    """
    lines = pa.nulls(len(columns[0]), pa.int32())
    for column in columns:
        has_breaks = [pc.match_substring(column, letter) for letter in "\r\n"]
        if not pc.or_(*has_breaks).true_count:
            continue
        breaks = pc.count_substring_regex(column, BREAK)
        separators = pc.count_substring(column, table.dialect.delimiter)
        swallows = pc.and_(
            pc.greater(breaks, 0), pc.greater_equal(separators, table.header.width - 1)
        )
        count = pc.if_else(swallows, pc.add(breaks, pa.scalar(1, pa.int32())), None)
        lines = pc.max_element_wise(lines, count)
    return lines


def _faulted(
    table: Table, batch: pa.RecordBatch, columns: Sequence[pa.Array], code: str, values: pa.Array
) -> pa.RecordBatch:
    """Return `batch` with the rows that have a value as faults, unless they are noise or faults.

    A row that looks like a note is named by what is wrong with its line.
    """
    is_fault = pc.not_equal(pc.fill_null(batch["_fault"], NOTE), NOTE)
    rows = pc.and_not(pc.is_valid(values), pc.or_(is_fault, batch["_noise"]))
    if not rows.true_count:
        return batch
    shown = [str(value) for value in values.filter(rows).to_pylist()]
    return with_faults(table.source, batch, columns, rows, code, values=shown)
