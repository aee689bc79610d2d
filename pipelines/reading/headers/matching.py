"""A header held against a contract: which cell is which column, and the unit that it says."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher

from pipelines.contracts.columns import NUMBERS, Column
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import SCALES, fold_header
from pipelines.deliveries.reasons import Reason

LONG_NUMBER = re.compile(r"\d{5,}")
SEARCHED_ROWS = 50  # title rows above a header are few
MAX_COLUMNS = 16_384  # of a worksheet (ECMA-376 18.3.1.73); no wider table was ever meant
ALIKE = 0.6  # difflib's own measure of a close match
COMPARED = 200  # cells that are looked at for one
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
    """Where each column of the contract stands in the file: `positions` by column name.

    `cells` are the headers, paths (`办件量|网上`) where they take several rows; `rows` are those
    rows as a grid has them. `unsound` says what makes it unfit. `suffixes` are the units that
    headers say and cells leave away (万条), by column name; '' where it is the contract's own.
    `unit_words` are the words outside the table that show a unit which nobody declared; more of
    them may be noted while the rows below the header are read.
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
        """How many cells the header spans; what stands right of them belongs to no column."""
        return max((end for end, cell in enumerate(self.cells, 1) if cell.strip()), default=0)

    def _shown_cells(self, source: Source) -> list[tuple[int, str]]:
        """Positions and texts for a message: only what is sure to be a header, not personal data.

        Cells of no column are shown when most of the row is columns, and never their digits.
        """
        matched = set(self.positions.values())
        filled = [(number, cell.strip()) for number, cell in enumerate(self.cells) if cell.strip()]
        is_header = is_surely_header(self.cells, len(matched))
        uppers = _spellings(source).keys()
        return [
            (number, _told_path(cell, uppers))
            for number, cell in filled
            if is_header or number in matched
        ]

    def _closest(self, source: Source, column: Column) -> str:
        """The header that `column` may be misspelt as, '' when none is like it."""
        matched = set(self.positions.values())
        free = [cell for number, cell in self._shown_cells(source) if number not in matched]
        likeness = {
            cell: max(
                SequenceMatcher(None, fold_header(cell), fold_header(spelling)).ratio()
                for spelling in column.header
            )
            for cell in free[:COMPARED]
        }
        closest = max(likeness, key=likeness.__getitem__, default="")
        return closest if closest and likeness[closest] >= ALIKE else ""

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """Columns nobody asked for."""
        return tuple(Reason(code="extra_column", value=name) for name in self.extra)

    def faults(self, source: Source) -> tuple[Reason, ...]:
        """Required columns that are not there, those there twice, and those in another unit."""
        told = {reason.column for reason in self.unsound}
        missing = tuple(
            self._missing(source, column)
            for column in source.columns
            if column.required
            and not column.is_derived
            and column.name not in self.positions
            and column.name not in told
        )
        return self.unsound + missing

    def _missing(self, source: Source, column: Column) -> Reason:
        found = "、".join(cell for _, cell in self._shown_cells(source))[:500] or "(no header row)"
        closest = self._closest(source, column)
        return Reason(
            code="missing_column",
            column=column.name,
            value=f"{found}; closest: {closest}" if closest else found,
            expected=" / ".join(column.header),
        )


def printed(cell: str) -> str:
    """A header for a message: short, and without the digits that a person's number may have."""
    return LONG_NUMBER.sub("…", cell.strip()[:100])


def _told_path(cell: str, uppers: Container[str]) -> str:
    """A header for a message, without what stands below one of the contract's: it may be data."""
    parts = cell.split("|")
    for depth in range(1, len(parts)):
        upper = "|".join(parts[:depth])
        if fold_header(upper) in uppers:
            return f"{printed(upper)}|…"
    return printed(cell)


def is_surely_header(cells: Sequence[str], matched: int) -> bool:
    """Whether the cells are surely headers, so that those of no column may be shown."""
    return 2 * matched >= sum(1 for cell in cells if cell.strip())


def _spellings(source: Source) -> dict[str, Column]:
    """The columns by the folded headers that the contract accepts."""
    return {fold_header(header): column for column in source.columns for header in column.header}


def required_of(source: Source) -> set[str]:
    """The columns that a file must have a header for."""
    return {column.name for column in source.columns if column.required and not column.is_derived}


def match(source: Source, cells: Sequence[str]) -> Header:
    """Hold one row's cells, or the paths of several rows, against the contract's headers."""
    spellings = _spellings(source)
    counted = _without_units(source)
    spelt = {fold_header(cell) for cell in cells}
    positions: dict[str, int] = {}
    suffixes: dict[str, str] = {}
    others: list[int] = []
    unsound: list[Reason] = []
    for position, cell in enumerate(cells):
        folded = fold_header(cell)
        column = spellings.get(folded)
        suffix = _spelt_suffix(column, folded) if column else None
        if column is None:
            fitting = _counted_in(folded, counted)
            if len(fitting) > 1:  # not one that has a header of its own
                fitting = [one for one in fitting if not _is_spelt(one[0], spelt)] or fitting
            if len(fitting) == 1:
                column, suffix = fitting[0]
            else:  # none, or nobody knows which: 数据量(万) beside 数据量(条) and 数据量(GB)
                unsound += [unit_reason(one, printed(cell)) for one, _ in fitting]
        if column is None:
            if folded:
                others.append(position)
        elif column.name in positions:
            both = f"{cells[positions[column.name]]} / {cell}".strip()
            unsound.append(Reason(code="repeated_header", column=column.name, value=both))
        else:
            positions[column.name] = position
            if suffix is not None:
                suffixes[column.name] = suffix
    extra: list[str] = []
    is_header = is_surely_header(cells, len(positions))
    for position in others:
        told = _told_path(cells[position], spellings)
        missed = [
            column
            for column in _other_units(fold_header(cells[position]), counted)
            if column.name not in positions
        ]
        known = {reason.column for reason in unsound}
        unsound += [unit_reason(column, told) for column in missed if column.name not in known]
        if not missed:
            extra.append(told if is_header else "…")
    return Header(tuple(cells), positions, tuple(extra), tuple(unsound), suffixes)


def _is_spelt(column: Column, folded: Container[str]) -> bool:
    return any(fold_header(header) in folded for header in column.header)


def _readings(folded: str) -> Iterator[tuple[str, str]]:
    """(header, unit) that a folded header may be meant as; of a path any part may say the unit.

    Of a path whose parts say several, the unit is all of them: none that is counted in.
    """
    parts = folded.split("|")
    split = [next(filter(None, (one.fullmatch(part) for one in UNITS)), None) for part in parts]
    said = {found[2] for found in split if found}
    if len(said) > 1:
        bases = [found[1] if found else part for found, part in zip(split, parts, strict=True)]
        yield "|".join(bases), "、".join(sorted(said))
    for number in reversed(range(len(parts))):
        for pattern in UNITS:
            if found := pattern.fullmatch(parts[number]):
                yield "|".join([*parts[:number], found[1], *parts[number + 1 :]]), found[2]


def _without_units(source: Source) -> dict[str, list[Column]]:
    """The number columns by their spellings, and by those without the contract's own unit."""
    counted: dict[str, list[Column]] = {}
    for column in source.columns:
        if column.type not in NUMBERS:
            continue
        spelt = {fold_header(header) for header in column.header}
        bases = {
            base
            for header in spelt
            for base, unit in _readings(header)
            if suffix_of(column, unit) == ""
        }
        for base in spelt | bases:
            counted.setdefault(base, []).append(column)
    return counted


def suffix_of(column: Column, unit: str) -> str | None:
    """What cells leave away under a header that says `unit`: '' if the contract leaves it away too.

    None for a unit that the contract does not count in.
    """
    own = {fold_header(one): one for one in column.unit}
    if unit in own:
        return ""
    scale = SCALE.match(unit)
    if scale is None:
        return None
    rest = unit[scale.end() :]
    if rest in SHARES or (not rest and SHARES.intersection(own)):
        return None
    if rest in own:
        return scale[0] + own[rest]
    own_scales = {found[0] for one in own if (found := SCALE.match(one))}
    if rest or own_scales - {unit}:
        return None
    return "" if own_scales else unit


def _spelt_suffix(column: Column, folded: str) -> str | None:
    """The suffix of a header that the contract spells with a unit; None where it has none."""
    if not column.unit:
        return None
    said = (suffix_of(column, unit) for _, unit in _readings(folded))
    return next((suffix for suffix in said if suffix is not None), None)


def _counted_in(folded: str, counted: Mapping[str, list[Column]]) -> list[tuple[Column, str]]:
    """The columns that a header with a unit may stand for, and what their cells leave away."""
    for base, unit in _readings(folded):
        said = [(column, suffix_of(column, unit)) for column in counted.get(base, ())]
        fitting = [(column, suffix) for column, suffix in said if suffix is not None]
        if fitting:
            return fitting
    return []


def _other_units(folded: str, counted: Mapping[str, list[Column]]) -> list[Column]:
    """The columns that a header stands for but for a unit that the contract does not count in."""
    found = (counted.get(base, []) for base, _ in _readings(folded))
    return [column for column in next(filter(None, found), []) if column.unit]


def unit_reason(column: Column, found: str) -> Reason:
    """What is said of a header in a unit that the contract does not count in."""
    return Reason(
        code="header_unit", column=column.name, value=found, expected=" / ".join(column.unit)
    )


def cell_at(row: Sequence[str], position: int) -> str:
    """A cell of a row that may be shorter than its header."""
    return row[position] if position < len(row) else ""
