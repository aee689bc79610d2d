"""The one layout in which every reader yields a file's rows.

The contract's columns (text, null where the file lacks one), `sheet`, `row_number` (in the file as
a person counts, from 1), and what starts with `_`, as no declared column does: `_first` (the row's
first filled cell, no further than the contract's first column), `_noise` (declared noise: blank,
hidden by contract, or the header again), and `_fault`, `_fault_value`, `_fault_expected`: a
Reason's code and fields when the row cannot be mapped to columns; its cells are then in `_torn`
only, as a JSON list, which feedback reads from the archive and staging never stores.
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

from pipelines.contracts.consistency import DATES, fold_header
from pipelines.contracts.models import SCALES, Column, Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.machine.failures import is_disk_failure
from pipelines.reading.headers.matching import Header, suffix_of
from pipelines.reading.pages import pages_of, without_pages

BATCH_ROWS = 50_000
JSON = json.JSONEncoder(ensure_ascii=False)
FIGURES = f"[0-9０-９〇零一二三四五六七八九两{SCALES}]"
BLANK = r"[\s\p{Z}\x{200B}-\x{200F}\x{2060}\x{FEFF}]+"
# what shows nothing; a last \x1a is where a file of DOS ends
SPACES = "".join(filter(str.isspace, map(chr, range(0x3001))))
INVISIBLE = SPACES + "".join(
    map(chr, (0x1A, *range(0x200B, 0x2010), *range(0x202A, 0x202F), 0x2060, 0xFEFF))
)
LABEL = r"^[^:：]*\p{Han}[^:：]*[:：]|^第.{1,8}页|^[合总小]计$"  # of a note, without blanks
DAY = "^(?:[0-9]{4}[-/.][0-9]{1,2}[-/.][0-9]{1,2}|.{4}年.{1,3}月.{1,3}[日号])$"
NOTE = "note"  # the fault of a row that says nothing else
POWERS = dict(zip(SCALES, (1, 2, 3, 4, 8), strict=True))
SHOWN_WORDS = 5  # of those that show an undeclared unit
TABLE_COLUMNS = 3  # of one narrower, a row may well have one cell


@dataclass(frozen=True)
class Section:
    """The rows of one `sheet`: their header, and what `from_sheet` columns say of them.

    `title` is '' where they say the `sheet` itself.
    """

    header: Header
    title: str = ""


@dataclass(frozen=True)
class Reading:
    """An opened delivery: its header, its rows yet to be read, what people should know of it.

    `sections` are those, by `sheet`, of which rows have been read; they grow with the batches.
    """

    header: Header
    batches: Iterator[pa.RecordBatch]
    warnings: tuple[Reason, ...] = ()
    sections: Mapping[str, Section] = field(default_factory=dict)

    @property
    def holds(self) -> tuple[Reason, ...]:
        """Return why a person must look at the delivery, once all its batches have been read."""
        headers = [self.header, *(section.header for section in self.sections.values())]
        words = dict.fromkeys(word for header in headers for word in header.unit_words)
        if not words:
            return ()
        shown = "、".join([*words][:SHOWN_WORDS]) + ("、…" if len(words) > SHOWN_WORDS else "")
        return (Reason(code="undeclared_unit", value=shown),)

    def section(self, sheet: str) -> Section:
        """What the rows of `sheet`, once read, stand in; the whole file where it is but one."""
        return self.sections.get(sheet, Section(self.header))


def layout(source: Source) -> pa.Schema:
    """The columns that every reader yields for `source`."""
    lineage = [
        ("_first", pa.string()),
        ("_noise", pa.bool_()),
        ("sheet", pa.string()),
        ("row_number", pa.int64()),
        ("_fault", pa.string()),
        ("_fault_value", pa.string()),
        ("_fault_expected", pa.string()),
        ("_torn", pa.string()),
    ]
    return pa.schema([(name, pa.string()) for name in source.column_names] + lineage)


def from_columns(
    source: Source,
    header: Header,
    columns: Sequence[pa.Array],
    numbers: np.ndarray,
    sheet: str = "",
    hidden: np.ndarray | None = None,
    title: str = "",
) -> pa.RecordBatch:
    """Physical columns (those beyond the header only count for blankness) as our layout.

    `hidden` says of each row whether it is left out by contract, `title` what `from_sheet` columns
    say in place of `sheet`.
    """
    count = len(numbers)
    nothing = pa.nulls(count, pa.string())
    filled = [pc.fill_null(column, "") for column in columns] or [pa.array([""] * count)]
    cells = [
        _given(column, source, header, columns, count, title or sheet) for column in source.columns
    ]
    noise = _noise(header, filled)
    pages = pages_of(source, header)
    if pages is not None and count:
        noise = without_pages(pages, filled, numbers, noise, sheet)
    if hidden is not None:
        noise = pc.or_(noise, pa.array(hidden))
    batch = pa.record_batch(
        [
            *cells,
            _first(header, filled),
            noise,
            pa.array([sheet] * count, pa.string()),
            pa.array(numbers, pa.int64()),
            nothing,
            nothing,
            nothing,
            nothing,
        ],
        schema=layout(source),
    )
    notes = _notes(source, header, filled, noise)
    if notes is not None:
        torn = torn_rows(filled, notes)
        batch = unmapped(source, batch, notes, NOTE, [""] * len(torn), "", torn)
    beyond = filled[header.width :]
    if not beyond or not header.positions:
        return batch
    over = pc.invert(_blank(beyond))  # cells to the right of the header belong to no column
    if not over.true_count:
        return batch
    torn = torn_rows(filled, over)
    sent = [str(len(cells)) for cells in torn]
    return unmapped(source, batch, over, "cells", sent, str(header.width), torn)


def _given(
    column: Column,
    source: Source,
    header: Header,
    columns: Sequence[pa.Array],
    count: int,
    title: str,
) -> pa.Array:
    """What the file gives for a column of the contract."""
    if column.from_sheet:
        return pa.array([title or None] * count, pa.string())
    if column.name not in header.positions:
        return pa.nulls(count, pa.string())
    cells = columns[header.positions[column.name]]
    suffix = header.suffixes.get(column.name)
    at = header.positions.get(column.unit_from or "")
    denied = None
    if suffix is not None and at is not None:
        nulls = source.column(column.unit_from or "").nulls
        denied = _other_unit(column, columns[at], suffix, nulls)
    if suffix or (denied is not None and denied.true_count):
        return _with_unit(column, cells, suffix or "", denied)
    return cells


def _other_unit(
    column: Column, units: pa.Array, suffix: str, nulls: Sequence[str]
) -> pa.Array | None:
    """Which rows say a unit that is not their header's; a scale alone (万) goes with any."""
    if suffix and not suffix.lstrip(SCALES):
        return None
    same = [suffix] if suffix else column.unit
    said = pc.replace_substring_regex(pc.fill_null(units, ""), BLANK, "")
    return pc.invert(pc.is_in(said, pa.array(["", *same, *nulls], pa.string())))


def _with_unit(
    column: Column, cells: pa.Array, suffix: str, denied: pa.Array | None = None
) -> pa.Array:
    """Figures with the unit that their header says, and which they leave away.

    One that says a unit or a scale of its own contradicts it, unless it says the very same, and so
    does a row whose unit is another (`denied`): such a cell gets the header's in brackets, with
    which it is no number. (3亿5千 would become 3亿5千万.)
    """
    trimmed = pc.utf8_trim_whitespace(cells)
    figures = pc.and_not(
        pc.match_substring_regex(trimmed, FIGURES),
        pc.is_in(trimmed, pa.array(column.nulls, pa.string())),
    )
    if not suffix:  # the unit that is stored: said by the header, denied by rows
        end = f"（{column.unit[0]}）"
        other = pc.binary_join_element_wise(trimmed, end, "")
        return pc.if_else(pc.and_(figures, denied), other, cells)
    figures = pc.and_not(figures, pc.ends_with(trimmed, suffix))
    own = re.escape(suffix.lstrip(SCALES))
    scales = "万亿" if suffix[0] in "万亿" else SCALES  # 5百 of a 万 is 5百万
    contrary = pc.match_substring_regex(trimmed, f"[{scales}]|{own}$" if own else f"[{scales}]")
    if denied is not None:
        contrary = pc.or_(contrary, denied)
    end = pc.if_else(contrary, f"（{suffix}）", suffix)
    return pc.if_else(figures, pc.binary_join_element_wise(trimmed, end, ""), cells)


def _first(header: Header, columns: Sequence[pa.Array]) -> pa.Array:
    """Each row's first filled cell, no further than the contract's first column."""
    first = columns[0]
    for column in columns[1 : _anchor(header) + 1]:
        first = pc.if_else(_blank([first]), column, first)
    return first


def first_of(header: Header, cells: Sequence[str]) -> str:
    """The same of one row, of any width."""
    return next((cell for cell in cells[: _anchor(header) + 1] if cell.strip()), "")


def _anchor(header: Header) -> int:
    """The position of the contract's first column."""
    return min(header.positions.values(), default=0)


def _notes(
    source: Source, header: Header, columns: Sequence[pa.Array], noise: pa.Array
) -> pa.Array | None:
    """Rows of a table with nothing but what notes say, where these begin; None without any."""
    if not header.rows or header.width < TABLE_COLUMNS:
        return None
    anchor = _anchor(header)
    rows = pa.array(np.flatnonzero(pc.invert(noise)))
    for column in columns[anchor + 1 :]:
        rows = rows.filter(_blank([column.take(rows)]))
        if not len(rows):
            return None
    days = [column.name for column in source.columns if column.type in DATES]
    spared = {header.positions.get(name) for name in days}
    lone, found = np.zeros(len(rows), int), np.zeros(len(rows), bool)
    for position, column in enumerate(columns[: anchor + 1]):
        cells = pc.replace_substring_regex(column.take(rows), BLANK, "")
        pattern = LABEL if position in spared else f"{LABEL}|{DAY}"
        lone += np.array(pc.not_equal(cells, ""), dtype=int)
        found |= np.array(pc.match_substring_regex(cells, pattern), dtype=bool)
    flags = np.zeros(len(noise), bool)
    flags[rows.to_numpy()[found & (lone == 1)]] = True
    return pa.array(flags) if flags.any() else None


def _blank(columns: Sequence[pa.Array]) -> pa.Array:
    """Whether a row has nothing in all of `columns`."""
    joined = pc.binary_join_element_wise(*columns, "") if len(columns) > 1 else columns[0]
    return pc.equal(pc.utf8_ltrim(joined, INVISIBLE), "")


def _noise(header: Header, columns: Sequence[pa.Array]) -> pa.Array:
    """Rows without anything, and rows that are the header's again: of pages glued together."""
    anchor = _anchor(header)
    trimmed = pc.utf8_trim_whitespace(columns[anchor])
    noise = pc.equal(pc.utf8_ltrim(trimmed, INVISIBLE), "")
    if noise.true_count:  # the others are looked at in these rows only
        blank = _blank([column.filter(noise) for column in columns])
        noise = pc.replace_with_mask(noise, noise, blank)
    for row in header.rows:
        wanted = {
            position: row[position].strip() if position < len(row) else ""
            for position in header.positions.values()
        }
        if not any(wanted.values()):
            continue
        again = pc.equal(trimmed, wanted[anchor])
        for position, text in wanted.items():
            if not again.true_count:
                break
            if position != anchor:
                cells = pc.utf8_trim_whitespace(columns[position])
                again = pc.and_(again, pc.equal(cells, text))
        noise = pc.or_(noise, again)
    return noise


def torn_rows(columns: Sequence[pa.Array], torn: pa.Array) -> list[tuple[str, ...]]:
    """The raw cells of the rows that `torn` flags, each as far as it is filled."""
    rows = zip(*(column.filter(torn).to_pylist() for column in columns), strict=True)
    return [as_far_as_filled(row) for row in rows]


def as_far_as_filled(cells: Sequence[str]) -> tuple[str, ...]:
    """The cells without the blank ones at the end."""
    end = len(cells)
    while end and not cells[end - 1].strip():
        end -= 1
    return tuple(cells[:end])


def unmapped(
    source: Source,
    batch: pa.RecordBatch,
    rows: pa.Array,
    code: str,
    values: Sequence[str],
    expected: str,
    torn: Sequence[tuple[str, ...]],
) -> pa.RecordBatch:
    """The batch with the rows that `rows` flags as faults; `values` and `torn` are theirs alone."""
    told = {
        "_fault": pa.scalar(code),
        "_fault_value": pa.array(values, pa.string()),
        "_fault_expected": pa.scalar(expected),
        "_torn": pa.array([_written(cells) for cells in torn], pa.string()),
    } | dict.fromkeys(source.column_names, pa.scalar(None, pa.string()))
    return pa.record_batch(
        [
            pc.replace_with_mask(column, rows, told[name]) if name in told else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ],
        schema=batch.schema,
    )


def _written(cells: Sequence[str]) -> str:
    return JSON.encode(cells)


@dataclass(frozen=True)
class Fault:
    """A row that cannot be mapped: its number, what is wrong, what tells noise from data.

    `torn` are its raw cells.
    """

    number: int
    value: str
    first: str = ""
    noise: bool = False
    torn: tuple[str, ...] = ()


def faulty(
    source: Source, code: str, expected: str, rows: Sequence[Fault], sheet: str = ""
) -> pa.RecordBatch:
    """Rows that cannot be mapped, as our layout: coordinates, and the raw cells in `_torn`."""
    count = len(rows)
    return pa.record_batch(
        [
            *[pa.nulls(count, pa.string())] * len(source.columns),
            pa.array([row.first for row in rows], pa.string()),
            pa.array([row.noise for row in rows]),
            pa.array([sheet] * count, pa.string()),
            pa.array([row.number for row in rows], pa.int64()),
            pa.array([code] * count, pa.string()),
            pa.array([row.value for row in rows], pa.string()),
            pa.array([expected] * count, pa.string()),
            pa.array([_written(row.torn) for row in rows], pa.string()),
        ],
        schema=layout(source),
    )


def damaged(error: Exception) -> Exception:
    """What to raise when a library cannot read a file: the file is to blame, or this machine."""
    if isinstance(error, OSError) and is_disk_failure(error):
        return error
    return UnreadableError(Reason(code="damaged", value=str(error)[:200]))


def decimal_text(cell: float, suffix: str = "") -> str:
    """A binary float as the decimal that is stored of it: more digits are how it was computed.

    `suffix` is the unit that its header or row says: 12.3456789012 亿 has two places.
    """
    scale = suffix[: len(suffix) - len(suffix.lstrip(SCALES))]
    digits = f"{cell:.15g}" if scale else repr(cell)
    places = 6 + sum(POWERS[one] for one in scale)
    return f"{Decimal(digits):.{places}f}".rstrip("0").rstrip(".")


def suffix_in(column: Column, unit: str) -> str:
    """What a figure leaves away whose row says `unit`."""
    return suffix_of(column, fold_header(unit)) or ""


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
