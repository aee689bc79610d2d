"""Headers held against a contract: which cell is which column, and the unit that it says."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.contracts.columns import NUMBERS, Column
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES, fold_header
from pipelines.deliveries.reasons import Reason

LONG_NUMBER = re.compile(r"\d{5,}")
SEARCHED_ROWS = 50  # title rows above a header are few
MAX_COLUMNS = 16_384  # of a worksheet (ECMA-376 18.3.1.73); no wider table was ever meant
SCALE = re.compile(f"[{SCALES}]+")
SHARES = frozenset("%‰")
UNITS = (  # of a folded header: 数据量(万条), 数据量(单位:万条), 数据量,单位:万条, 数据量/万条
    re.compile(r"(.+)[(\[【](?:(?:计量)?单位:?)?([^()\[\]【】]+)[)\]】]"),
    re.compile(r"(.+?)[,、]?(?:计量)?单位:(.+)"),
    re.compile(r"(.+)/([^/]+)"),
)
Merged = tuple[tuple[int, int], tuple[int, int]]  # (row, column) of its corners, both inclusive


@dataclass(frozen=True)
class Header:
    """The place of each of the contract's columns in a file: `positions` by column name.

    `cells` are the headers, paths (`办件量|网上`) where they take several rows; `rows` are those
    rows as a grid has them. `extra` are headers of no column, `unsound` says what makes the header
    unfit. `suffixes` are the units that headers say and cells leave away (万条), by column name;
    '' where it is the stored one. `unit_words` are the words outside the table that show a unit
    which nobody declared; more may be noted while the rows below the header are read.
    """

    cells: tuple[str, ...]
    positions: dict[str, int]
    extra: tuple[str, ...]
    unsound: tuple[Reason, ...]
    suffixes: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[tuple[str, ...], ...] = ()
    unit_words: dict[str, None] = field(default_factory=dict)

    @property
    def width(self) -> int:
        """Count the cells that the header spans; what stands right of them is of no column."""
        return max((end for end, cell in enumerate(self.cells, 1) if cell.strip()), default=0)

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """Return a warning for each header of no column."""
        return tuple(Reason(code="extra_column", value=name) for name in self.extra)

    def faults(self, source: Source) -> tuple[Reason, ...]:
        """Return why the header is unfit: columns missing, there twice, or in another unit."""
        absent = required_of(source) - self.positions.keys()
        absent -= {reason.column for reason in self.unsound}
        if not absent:
            return self.unsound
        # A row that is not surely a header may be personal data: of it only columns are shown.
        matched = set(self.positions.values())
        shows_all = is_surely_header(self.cells, len(matched))
        uppers = _spellings(source).keys()
        shown = [
            _shown_path(cell, uppers)
            for position, cell in enumerate(self.cells)
            if cell.strip() and (shows_all or position in matched)
        ]
        value = "、".join(shown)[:500] or "(no header row)"
        missing = [
            Reason(
                code="missing_column",
                column=column.name,
                value=value,
                expected=" / ".join(column.header),
            )
            for column in source.columns
            if column.name in absent
        ]
        return (*self.unsound, *missing)


def match(source: Source, cells: Sequence[str]) -> Header:
    """Hold one row's cells, or the paths of several rows, against the contract's headers."""
    spellings, counted = _spellings(source), _counted_by_spelling(source)
    folded_cells = [fold_header(cell) for cell in cells]
    positions: dict[str, int] = {}
    suffixes: dict[str, str] = {}
    unsound: list[Reason] = []
    others: dict[int, list[Column]] = {}  # by position: the columns whose name is there, not unit
    for position, folded in enumerate(folded_cells):
        if folded in spellings:
            column = spellings[folded]
            fitting = [(column, _suffix_of_spelling(column, folded))]
        else:
            fitting, named = _in_units(folded, counted)
            if len(fitting) > 1:  # a column with a header of its own stands under that
                spelt = {spellings[name].name for name in folded_cells if name in spellings}
                fitting = [pair for pair in fitting if pair[0].name not in spelt] or fitting
            if len(fitting) != 1:
                # 数据量(万) beside 数据量(条) and 数据量(GB) may be either: nobody knows which.
                shown = printed(cells[position])
                unsound += [unit_reason(column, shown) for column, _ in fitting]
                if folded:
                    others[position] = named or [column for column, _ in fitting]
                continue
        column, suffix = fitting[0]
        if column.name in positions:
            both = f"{cells[positions[column.name]]} / {cells[position]}".strip()
            unsound.append(Reason(code="repeated_header", column=column.name, value=both))
            continue
        positions[column.name] = position
        if suffix is not None:
            suffixes[column.name] = suffix
    extra: list[str] = []
    is_header = is_surely_header(cells, len(positions))
    for position, named in others.items():
        shown = _shown_path(cells[position], spellings.keys())
        missed = [column for column in named if column.name not in positions]
        known = {reason.column for reason in unsound}
        unsound += [unit_reason(column, shown) for column in missed if column.name not in known]
        if not missed:
            extra.append(shown if is_header else "…")
    return Header(tuple(cells), positions, tuple(extra), tuple(unsound), suffixes)


def _spellings(source: Source) -> dict[str, Column]:
    """Return the columns by the folded headers that the contract accepts."""
    return {fold_header(header): column for column in source.columns for header in column.header}


def _counted_by_spelling(source: Source) -> dict[str, list[Column]]:
    """Return the number columns by their folded headers, with and without the stored unit."""
    counted: dict[str, list[Column]] = {}
    for column in source.columns:
        if column.type not in NUMBERS:
            continue
        spelt = {fold_header(header) for header in column.header}
        readings = [reading for header in spelt for reading in _readings(header)]
        for base in spelt | {base for base, unit in readings if suffix_of(column, unit) == ""}:
            counted.setdefault(base, []).append(column)
    return counted


def _readings(folded: str) -> Iterator[tuple[str, str]]:
    """Yield each (header, unit) that a folded header may mean; any part of a path may say the unit.

    Of a path whose parts say several units, the unit is all of them: nothing is counted in that.
    """
    parts = folded.split("|")
    split = [next(filter(None, (unit.fullmatch(part) for unit in UNITS)), None) for part in parts]
    units = {parted[2] for parted in split if parted}
    if len(units) > 1:
        bases = [parted[1] if parted else part for parted, part in zip(split, parts, strict=True)]
        yield "|".join(bases), "、".join(sorted(units))
    for number in reversed(range(len(parts))):
        for pattern in UNITS:
            if parted := pattern.fullmatch(parts[number]):
                yield "|".join([*parts[:number], parted[1], *parts[number + 1 :]]), parted[2]


def _in_units(
    folded: str, counted: Mapping[str, list[Column]]
) -> tuple[list[tuple[Column, str | None]], list[Column]]:
    """Return the columns that a header with a unit stands for, with what their cells leave away.

    If there are none, return those that it would stand for but for its unit, too.
    """
    named: list[Column] = []
    for base, unit in _readings(folded):
        columns = counted.get(base, [])
        suffixes = [(column, suffix_of(column, unit)) for column in columns]
        fitting = [(column, suffix) for column, suffix in suffixes if suffix is not None]
        if fitting:
            return [*fitting], []
        named = named or [column for column in columns if column.unit]
    return [], named


def _suffix_of_spelling(column: Column, folded: str) -> str | None:
    """Return the suffix of a header that the contract spells with a unit; None without one."""
    if not column.unit:
        return None
    suffixes = (suffix_of(column, unit) for _, unit in _readings(folded))
    return next((suffix for suffix in suffixes if suffix is not None), None)


def suffix_of(column: Column, unit: str) -> str | None:
    """Return what cells leave away under a header with a folded unit; '' for the stored unit.

    None is for a unit in which the contract does not count.
    """
    stored = {fold_header(spelling): spelling for spelling in column.unit}
    if unit in stored:
        return ""
    scale = SCALE.match(unit)
    if scale is None:
        return None
    base = unit[scale.end() :]
    if base in SHARES or (not base and SHARES.intersection(stored)):
        return None
    if base in stored:
        return scale[0] + stored[base]
    stored_scales = {prefix[0] for spelling in stored if (prefix := SCALE.match(spelling))}
    if base or stored_scales - {unit}:
        return None
    return "" if stored_scales else unit


def required_of(source: Source) -> set[str]:
    """Return the columns that a file must have a header for."""
    return {column.name for column in source.columns if column.required and not column.is_derived}


def is_surely_header(cells: Sequence[str], matched: int) -> bool:
    """Return whether the cells are headers for sure, so that those of no column may be shown."""
    return 2 * matched >= sum(1 for cell in cells if cell.strip())


def unit_reason(column: Column, shown: str) -> Reason:
    """Return the reason for a header in a unit in which the contract does not count."""
    expected = " / ".join(column.unit)
    return Reason(code="header_unit", column=column.name, value=shown, expected=expected)


def depth_reason(name: str, header: str, rows: int) -> Reason:
    """Return the reason for a column whose header has not as many rows as agreed."""
    return Reason(code="header_depth", column=name, value=printed(header), expected=str(rows))


def printed(cell: str) -> str:
    """Return a header for a message: short, and without the digits of a person's number."""
    return LONG_NUMBER.sub("…", cell.strip()[:100])


def _shown_path(cell: str, uppers: Collection[str]) -> str:
    """Return a header for a message; what stands below one of the contract's may be data."""
    parts = cell.split("|")
    for depth in range(1, len(parts)):
        upper = "|".join(parts[:depth])
        if fold_header(upper) in uppers:
            return f"{printed(upper)}|…"
    return printed(cell)


def cell_at(row: Sequence[str], position: int) -> str:
    """Return a cell of a row that may be shorter than its header."""
    return row[position] if position < len(row) else ""
