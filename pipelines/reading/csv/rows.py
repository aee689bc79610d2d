"""What the rows of a CSV file become: data, noise, or faults that say what is wrong with them."""

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

from pipelines.contracts.models import CsvDialect, Source
from pipelines.reading.headers.matching import MAX_COLUMNS, Header
from pipelines.reading.layout import (
    INVISIBLE,
    NOTE,
    Fault,
    as_far_as_filled,
    faulty,
    first_of,
    from_columns,
    torn_rows,
    unmapped,
)
from pipelines.reading.pages import check_row, pages_of

if TYPE_CHECKING:
    from _csv import Reader

FORMULA = r'^="((?:[^"]|"")*)"$'  # ="00123", as programs write text that Excel shall not convert
BREAK = "\r\n|\r|\n"


@dataclass(frozen=True)
class Seen:
    """What there is anywhere in a file, so that what there is not need not be looked for.

    `crowd` is how many line ends are in as many bytes as are parsed at a time.
    """

    crowd: int
    quotes: int
    nul: bool
    formulas: bool


@dataclass(frozen=True)
class Table:
    """A CSV file's rows: `above` of them, which take `skipped` lines, end with the header.

    `width` is how many cells its rows have, as far as the first ones tell.
    """

    path: Path
    source: Source
    dialect: CsvDialect
    header: Header
    above: int
    skipped: int
    width: int
    seen: Seen


def record_reader(lines: Iterable[str], dialect: CsvDialect) -> Reader:
    """Python's reader in the dialect, for a few rows: Arrow's is for many."""
    return csv.reader(lines, delimiter=dialect.delimiter, quotechar=dialect.quote)


def unwrapped(cell: str) -> str:
    """The text that a cell wraps as a formula; else the cell."""
    found = re.fullmatch(FORMULA, cell) if cell.startswith('="') else None
    return found[1].replace('""', '"') if found else cell


def rows_of_any_width(table: Table, block: list[tuple[int, str, int]]) -> Iterator[pa.RecordBatch]:
    """Rows that lack only empty cells, or have only such to the right, are taken; others not.

    One cell alone may be a note below the table: `pad` is not for it.
    """
    width = table.header.width
    pages = pages_of(table.source, table.header)
    numbers: list[int] = []
    taken: list[list[str]] = []
    torn: list[Fault] = []
    for number, text, sent in block:
        if sent > MAX_COLUMNS:  # more of it than its size is not worth the memory
            blank = not text.replace(table.dialect.delimiter, "").strip()
            torn.append(Fault(number, str(sent), noise=blank))
            continue
        written = next(record_reader([text], table.dialect), [""])
        cells = [unwrapped(cell) for cell in written] if table.seen.formulas else written
        beyond = "".join(cells[width:]).strip(INVISIBLE)
        joined = "".join(cells)
        is_blank = not joined.strip(INVISIBLE)
        is_lone = sum(bool(cell.strip()) for cell in cells[:width]) == 1
        takes_short = is_blank or (table.dialect.short_rows == "pad" and not is_lone)
        if width and not beyond and (sent >= width or takes_short):
            numbers.append(number)
            taken.append([*written[:width], *[""] * (width - len(written))])
            continue
        filled = as_far_as_filled(cells)
        if pages is not None:
            check_row(pages, number, filled)
        value = str(len(filled) if beyond else sent)
        has_breaks = "\n" in joined or "\r" in joined
        swallows = has_breaks and any(_swallows(table, cell) for cell in cells)
        first = "" if swallows else first_of(table.header, cells)
        torn.append(Fault(number, value, first, is_blank, filled))
    if taken:
        columns = [pa.array(column, pa.string()) for column in zip(*taken, strict=True)]
        yield rows_of_one_width(table, columns, np.array(numbers))
    if torn:
        yield faulty(table.source, "cells", str(width or table.width), torn)


def rows_of_one_width(
    table: Table, columns: Sequence[pa.Array], numbers: np.ndarray
) -> pa.RecordBatch:
    """Rows of one width as our layout; those with cells that no person meant are faults."""
    lacking = table.header.width - len(columns)
    if lacking > 0:
        columns = [*columns, *[pa.array([""] * len(numbers))] * lacking]
    if table.seen.formulas:
        columns = [_unwrapped_column(column) for column in columns]
    batch = from_columns(table.source, table.header, columns, numbers)
    swallowed = pa.nulls(len(numbers), pa.int32())
    if table.seen.quotes and table.header.width > 1:
        swallowed = _swallowed_lines(table, columns)
        first = pc.if_else(pc.is_valid(swallowed), "", batch["_first"])  # it is nobody's footer
        batch = batch.set_column(batch.schema.get_field_index("_first"), "_first", first)
    if lacking > 0:
        batch = _without_short(table, batch, columns, table.header.width - lacking)
        if table.dialect.short_rows == "quarantine":
            return batch
    if table.seen.nul:
        batch = _without_nul(table, batch, columns)
    return _faulted(table, batch, columns, "swallowed", swallowed)


def _without_short(
    table: Table, batch: pa.RecordBatch, columns: Sequence[pa.Array], width: int
) -> pa.RecordBatch:
    """The batch with its rows as faults, for they have `width` cells; blank ones stay noise.

    Where short rows are padded, only those with one cell filled.
    """
    sent = pa.array([str(width)] * batch.num_rows)
    if table.dialect.short_rows == "pad":
        sent = pc.if_else(_lone(columns), sent, None)
    return _faulted(table, batch, columns, "cells", sent, str(table.header.width))


def _lone(columns: Sequence[pa.Array]) -> pa.Array:
    """Whether a row has but one cell filled."""
    filled = pa.array(np.zeros(len(columns[0]), np.int32))
    for column in columns:
        has = pc.not_equal(pc.utf8_trim_whitespace(column), "")
        filled = pc.add(filled, pc.cast(has, pa.int32()))
    return pc.equal(filled, 1)


def _unwrapped_column(cells: pa.Array) -> pa.Array:
    formulas = pc.match_substring_regex(cells, FORMULA)
    if not formulas.true_count:
        return cells
    texts = pc.replace_substring_regex(cells.filter(formulas), FORMULA, r"\1")
    return pc.replace_with_mask(cells, formulas, pc.replace_substring(texts, '""', '"'))


def _without_nul(
    table: Table, batch: pa.RecordBatch, columns: Sequence[pa.Array]
) -> pa.RecordBatch:
    """The batch with rows that hold NUL as faults, which name the first such cell from 1 on."""
    first = pa.nulls(batch.num_rows, pa.int32())
    for number, column in enumerate(columns, start=1):
        holds = pc.match_substring(column, "\0")
        first = pc.coalesce(first, pc.if_else(holds, pa.scalar(number, pa.int32()), None))
    return _faulted(table, batch, columns, "nul", first)


def _swallows(table: Table, cell: str) -> bool:
    """Whether a pair of stray quotes may have made a cell of several rows."""
    breaks = table.header.width > 1 and ("\n" in cell or "\r" in cell)
    return breaks and cell.count(table.dialect.delimiter) >= table.header.width - 1


def _swallowed_lines(table: Table, columns: Sequence[pa.Array]) -> pa.Array:
    """How many lines of text a row is, where one of its cells swallows rows; else null.

    See _swallows.
    """
    lines = pa.nulls(len(columns[0]), pa.int32())
    for column in columns:
        if not _has_breaks(column):
            continue
        breaks = pc.count_substring_regex(column, BREAK)
        separators = pc.count_substring(column, table.dialect.delimiter)
        swallowed = pc.and_(
            pc.greater(breaks, 0), pc.greater_equal(separators, table.header.width - 1)
        )
        told = pc.if_else(swallowed, pc.add(breaks, pa.scalar(1, pa.int32())), None)
        lines = pc.max_element_wise(lines, told)
    return lines


def _has_breaks(cells: pa.Array) -> bool:
    """Whether any cell may have a line break: a look at all bytes is quicker than at each cell."""
    _, offsets, data = cells.buffers()
    if data is None:
        return False
    start, end = np.frombuffer(offsets, np.int32)[[cells.offset, cells.offset + len(cells)]]
    letters = np.frombuffer(data, np.uint8)[start:end]
    return bool((letters == 10).any() or (letters == 13).any())


def _faulted(
    table: Table,
    batch: pa.RecordBatch,
    columns: Sequence[pa.Array],
    code: str,
    values: pa.Array,
    expected: str = "",
) -> pa.RecordBatch:
    """The batch with the rows that have a value as faults, unless they are noise or faults.

    What only looks like a note (as far as its cells go) is told by what is wrong with its line.
    """
    is_fault = pc.not_equal(pc.fill_null(batch["_fault"], NOTE), NOTE)
    rows = pc.and_not(pc.is_valid(values), pc.or_(is_fault, batch["_noise"]))
    if not rows.true_count:
        return batch
    told = [str(value) for value in values.filter(rows).to_pylist()]
    return unmapped(table.source, batch, rows, code, told, expected, torn_rows(columns, rows))
