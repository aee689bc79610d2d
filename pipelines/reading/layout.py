"""The one layout in which every reader yields a file's rows.

A batch has the contract's columns (text, null where the file lacks one), `sheet`, `row_number` (as
a person counts in the file, from 1), and columns that begin with `_`, as no declared column does:
`_first` is the row's first filled cell, no further than the contract's first column; `_noise` flags
rows that are ignored: blank, hidden by contract, or the header again. A row that cannot be mapped
to columns has `_fault`, `_fault_value` and `_fault_expected`, a Reason's code and fields. Its cells
are in `_torn` only, as a JSON list, which feedback reads from the archive and staging never stores.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.contracts.columns import DATES, Column
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES, fold_header
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.machine.failures import is_disk_failure
from pipelines.reading.headers.matching import Header, suffix_of
from pipelines.reading.pages import without_pages

BATCH_ROWS = 50_000
FIGURES = f"[0-9０-９〇零一二三四五六七八九两{SCALES}]"
BLANK = r"[\s\p{Z}\x{200B}-\x{200F}\x{2060}\x{FEFF}]+"
# Characters that show nothing; \x1a ends a file of DOS.
INVISIBLE = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "".join(
    map(chr, (0x1A, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF))
)
LABEL = r"^[^:：]*\p{Han}[^:：]*[:：]|^第.{1,8}页|^[合总小]计$"  # of a note, without blanks
DAY = "^(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|.{4}年.{1,3}月.{1,3}[日号])$"
NOTE = "note"  # the fault of a row that holds nothing but a note
POWERS = dict(zip(SCALES, (1, 2, 3, 4, 8), strict=True))
SHOWN_WORDS = 5
TABLE_COLUMNS = 3  # a row of a narrower table may well have one cell


@dataclass(frozen=True)
class Section:
    """The rows of one sheet: their header, and the text of `from_sheet` columns.

    `title` is '' where that text is the sheet's own name.
    """

    header: Header
    title: str = ""


@dataclass(frozen=True)
class Reading:
    """An opened delivery: its header, its rows yet to be read, and warnings for people.

    `sections`, by `sheet`, are of the rows read so far: they grow with the batches.
    """

    header: Header
    batches: Iterator[pa.RecordBatch]
    warnings: tuple[Reason, ...] = ()
    sections: Mapping[str, Section] = field(default_factory=dict)

    @property
    def holds(self) -> tuple[Reason, ...]:
        """Return why a person must look at the delivery, once all its batches have been read."""
        headers = [self.header, *(section.header for section in self.sections.values())]
        words = [*dict.fromkeys(word for header in headers for word in header.unit_words)]
        if not words:
            return ()
        more = ["…"] if len(words) > SHOWN_WORDS else []
        return (Reason(code="undeclared_unit", value="、".join(words[:SHOWN_WORDS] + more)),)

    def section(self, sheet: str) -> Section:
        """Return the section of rows that have been read; the whole file if it is only one."""
        return self.sections.get(sheet, Section(self.header))


def layout(source: Source) -> pa.Schema:
    """Return the columns that every reader yields for `source`."""
    kinds = dict.fromkeys((*source.column_names, "_first"), pa.string())
    kinds |= {"_noise": pa.bool_(), "sheet": pa.string(), "row_number": pa.int64()}
    faults = ("_fault", "_fault_value", "_fault_expected", "_torn")
    return pa.schema(kinds | dict.fromkeys(faults, pa.string()))


def from_columns(
    source: Source,
    header: Header,
    columns: Sequence[pa.Array],
    numbers: np.ndarray,
    sheet: str = "",
    hidden: np.ndarray | None = None,
    title: str = "",
) -> pa.RecordBatch:
    """Return the columns of a file as a batch of our layout.

    `numbers` are the rows' numbers, `hidden` flags rows that the contract leaves out, `title` is
    the text of `from_sheet` columns if not `sheet`. Columns of no header only count for blankness.
    """
    count = len(numbers)
    nothing = pa.nulls(count, pa.string())
    filled = [pc.fill_null(column, "") for column in columns] or [pa.array([""] * count)]
    cells = []
    for column in source.columns:
        if column.from_sheet:
            cells.append(pa.array([title or sheet or None] * count, pa.string()))
        elif column.name not in header.positions:
            cells.append(nothing)
        elif column.name in header.suffixes:
            cells.append(_with_unit(source, header, column, columns))
        else:
            cells.append(columns[header.positions[column.name]])
    anchor = min(header.positions.values(), default=0)
    first = filled[0]
    for column in filled[1 : anchor + 1]:
        first = pc.if_else(_are_blank([first]), column, first)
    # Most rows have their first column filled: the others alone are looked at in all columns.
    noise = _are_blank([filled[anchor]])
    if noise.true_count:
        noise = pc.replace_with_mask(
            noise, noise, _are_blank([column.filter(noise) for column in filled])
        )
    noise = without_pages(source, header, filled, numbers, noise, sheet)
    if hidden is not None:
        noise = pc.or_(noise, pa.array(hidden))
    places = [pa.array([sheet] * count, pa.string()), pa.array(numbers, pa.int64())]
    batch = pa.record_batch([*cells, first, noise, *places, *[nothing] * 4], schema=layout(source))
    notes = _notes(source, header, filled, first, noise)
    if notes is not None:
        batch = with_faults(source, batch, filled, notes, NOTE)
    # Cells to the right of the header belong to no column.
    beyond = filled[header.width :] if header.positions else []
    if not beyond or not (over := pc.invert(_are_blank(beyond))).true_count:
        return batch
    return with_faults(source, batch, filled, over, "cells", str(header.width))


def _with_unit(
    source: Source, header: Header, column: Column, columns: Sequence[pa.Array]
) -> pa.Array:
    """Return a column's cells, its figures with the unit that their header says (`suffix`).

    A figure with a scale or unit of another kind contradicts its header, and so does one whose row
    names another unit: it gets the header's in brackets, with which it is no number and keeps its
    row out (3亿5千 would become 3亿5千万).
    """
    cells, suffix = columns[header.positions[column.name]], header.suffixes[column.name]
    unit_at = header.positions.get(column.unit_from or "")
    contrary: pa.Array | pa.Scalar = pa.scalar(False)
    if unit_at is not None and not (suffix and not suffix.lstrip(SCALES)):  # 万 goes with any
        agreed = ["", *([suffix] if suffix else column.unit)]
        agreed += source.column(column.unit_from or "").nulls
        units = pc.replace_substring_regex(pc.fill_null(columns[unit_at], ""), BLANK, "")
        contrary = pc.invert(pc.is_in(units, pa.array(agreed, pa.string())))
    elif not suffix:
        return cells
    trimmed = pc.utf8_trim_whitespace(cells)
    figures = pc.and_not(
        pc.match_substring_regex(trimmed, FIGURES),
        pc.is_in(trimmed, pa.array(column.nulls, pa.string())),
    )
    if suffix:
        figures = pc.and_not(figures, pc.ends_with(trimmed, suffix))
        unit = re.escape(suffix.lstrip(SCALES))
        scales = "万亿" if suffix[0] in "万亿" else SCALES  # 5百 below 万 is 5百万
        pattern = f"[{scales}]|{unit}$" if unit else f"[{scales}]"
        contrary = pc.or_(contrary, pc.match_substring_regex(trimmed, pattern))
    else:
        figures = pc.and_(figures, contrary)
    end = pc.if_else(contrary, f"（{suffix or column.unit[0]}）", suffix)
    return pc.if_else(figures, pc.binary_join_element_wise(trimmed, end, ""), cells)


def first_of(header: Header, cells: Sequence[str]) -> str:
    """Return `_first` of one row, of any width."""
    anchor = min(header.positions.values(), default=0)
    return next((cell for cell in cells[: anchor + 1] if cell.strip()), "")


def _notes(
    source: Source, header: Header, columns: Sequence[pa.Array], first: pa.Array, noise: pa.Array
) -> pa.Array | None:
    """Flag rows whose one filled cell, where rows begin, is a note, a page, a day or a total."""
    if not header.rows or header.width < TABLE_COLUMNS:
        return None
    anchor = min(header.positions.values(), default=0)
    rows = pa.array(np.flatnonzero(pc.invert(noise)))
    for column in columns[anchor + 1 :]:
        rows = rows.filter(_are_blank([column.take(rows)]))
        if not len(rows):
            return None
    days = {header.positions.get(day.name) for day in source.columns if day.type in DATES}
    pattern = LABEL if anchor in days else f"{LABEL}|{DAY}"
    # A row of several filled cells is longer than its first one.
    cells = pc.replace_substring_regex(first.take(rows), BLANK, "")
    joined = pc.binary_join_element_wise(*[c.take(rows) for c in columns[: anchor + 1]], "", "")
    is_lone = pc.equal(pc.replace_substring_regex(joined, BLANK, ""), cells)
    rows = rows.filter(pc.and_(is_lone, pc.match_substring_regex(cells, pattern)))
    flags = np.zeros(len(noise), bool)
    flags[rows.to_numpy()] = True
    return pa.array(flags) if len(rows) else None


def _are_blank(columns: Sequence[pa.Array]) -> pa.Array:
    """Flag rows that show nothing in all of `columns`."""
    joined = pc.binary_join_element_wise(*columns, "") if len(columns) > 1 else columns[0]
    return pc.equal(pc.utf8_ltrim(joined, INVISIBLE), "")


def as_far_as_filled(cells: Sequence[str]) -> tuple[str, ...]:
    """Return the cells without the blank ones at the end."""
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return tuple(cells[:end])


def with_faults(
    source: Source,
    batch: pa.RecordBatch,
    columns: Sequence[pa.Array],
    rows: pa.Array,
    code: str,
    expected: str = "",
    values: Sequence[str] | None = None,
) -> pa.RecordBatch:
    """Return `batch` with the flagged `rows` as faults, their cells of `columns` in `_torn`.

    `values` are those of the flagged rows; of `cells` they are how many cells each row has.
    """
    flagged = zip(*(column.filter(rows).to_pylist() for column in columns), strict=True)
    torn = [as_far_as_filled(cells) for cells in flagged]
    if values is None:
        values = [str(len(cells)) if code == "cells" else "" for cells in torn]
    changed = dict.fromkeys(source.column_names, pa.scalar(None, pa.string())) | {
        "_fault": pa.scalar(code),
        "_fault_value": pa.array(values, pa.string()),
        "_fault_expected": pa.scalar(expected),
        "_torn": pa.array([_as_json(cells) for cells in torn], pa.string()),
    }
    return pa.record_batch(
        [
            pc.replace_with_mask(column, rows, changed[name]) if name in changed else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ],
        schema=batch.schema,
    )


_as_json = json.JSONEncoder(ensure_ascii=False).encode


@dataclass(frozen=True)
class Fault:
    """A row that cannot be mapped: its number, what was found, `_first`, `_noise`, raw cells."""

    number: int
    value: str
    first: str = ""
    noise: bool = False
    torn: tuple[str, ...] = ()


def faulty(
    source: Source, code: str, expected: str, rows: Sequence[Fault], sheet: str = ""
) -> pa.RecordBatch:
    """Return a batch of rows that cannot be mapped: where they stand, and their raw cells."""
    count = len(rows)
    nothing = pa.nulls(count, pa.string())
    fields = [
        [row.first for row in rows],
        [row.noise for row in rows],
        [sheet] * count,
        [row.number for row in rows],
        [code] * count,
        [row.value for row in rows],
        [expected] * count,
        [_as_json(row.torn) for row in rows],
    ]
    return pa.record_batch(
        [*[nothing] * len(source.columns), *map(pa.array, fields)], schema=layout(source)
    )


def damaged(error: Exception) -> Exception:
    """Return what to raise for a library's error: the file is to blame, or this machine."""
    if isinstance(error, OSError) and is_disk_failure(error):
        return error
    return UnreadableError(Reason(code="damaged", value=str(error)[:200]))


def decimal_text(cell: float, suffix: str = "") -> str:
    """Return a binary float as the decimal that is stored, without the digits of its computation.

    `suffix` is the unit that its header or row says: 12.3456789012 亿 has two places.
    """
    scale = suffix[: len(suffix) - len(suffix.lstrip(SCALES))]
    digits = f"{cell:.15g}" if scale else repr(cell)
    places = 6 + sum(POWERS[letter] for letter in scale)
    return f"{Decimal(digits):.{places}f}".rstrip("0").rstrip(".")


def suffix_in(column: Column, unit: str) -> str:
    """Return the unit that a figure leaves away whose row says `unit`; '' for the stored one."""
    return suffix_of(column, fold_header(unit)) or ""


def cell_text(cell: object) -> str | None:
    """Return a workbook's or JSON's value as a person would have typed it; None for nothing."""
    match cell:
        case None | "":
            return None
        case str():
            return cell
        case bool():
            return "true" if cell else "false"
        case int() | timedelta():
            return str(cell)
        case float():
            return str(int(cell)) if cell.is_integer() else f"{Decimal(repr(cell)):f}"
        case Decimal():
            return f"{cell:f}"
        case datetime():
            return cell.date().isoformat() if cell.time() == time() else cell.isoformat(" ")
        case date() | time():
            return cell.isoformat()
    return json.dumps(cell, ensure_ascii=False, default=str)
