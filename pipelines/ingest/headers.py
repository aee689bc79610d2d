"""Finds the header of a grid, in one row or several, by the spellings its contract accepts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from difflib import SequenceMatcher
from itertools import pairwise

from pipelines.contracts.consistency import NUMBERS, fold_header
from pipelines.contracts.models import Column, Source
from pipelines.contracts.reasons import Reason

LONG_NUMBER = re.compile(r"\d{5,}")
SEARCHED_ROWS = 50  # title rows above a header are few
MAX_COLUMNS = 16_384  # of a worksheet (ECMA-376 18.3.1.73); no wider table was ever meant
ALIKE = 0.6  # difflib's own measure of a close match
COMPARED = 200  # cells that are looked at for one
SCALE = re.compile("[十百千万亿]+")
FIGURE = re.compile(r"(?<![a-z])\d|[一二三四五六七八九两零〇]")
UNITS = (  # of a folded header: 数据量(万条), 数据量(单位:万条), 数据量,单位:万条, 数据量/万条
    re.compile(r"(.+)[(\[【](?:(?:计量)?单位:?)?([^()\[\]【】]+)[)\]】]"),
    re.compile(r"(.+?)[,、]?(?:计量)?单位:(.+)"),
    re.compile(r"(.+)/([^/]+)"),
)
UNIT_CELL = re.compile(r"[(\[【]?(?:(?:计量)?单位:)?([^()\[\]【】]+)[)\]】]?")
UNIT_OF_ALL = re.compile(r"[(\[【]?(?:计量)?单位:([^()\[\]【】]+)[)\]】]?")
BRACKETED = re.compile(r"[(\[【]([^()\[\]【】]+)[)\]】]")
UNIT_TITLES = ("", "单位", "计量单位")
UNIT_WORDS = r"[(\[【]?\s*([^\s()\[\]【】:;。]*)"
UNIT_SAID = re.compile(r"单\s*位\s*(?:[:为]\s*|(?=[(\[【]))" + UNIT_WORDS)
# 3亿条 and 数万条 are no units of a table
COUNTS = r"\d.一二三四五六七八九两零〇几数余多上近约超达过十百千万亿"
SHARES = frozenset("%‰")
Merged = tuple[tuple[int, int], tuple[int, int]]  # (row, column) of its corners, both inclusive


@dataclass(frozen=True)
class Header:
    """Where each column of the contract stands in the file: `positions` by column name.

    `cells` are the headers, paths (`办件量|网上`) where they take several rows; `rows` are those
    rows as a grid has them. `unsound` says what makes it unfit. `suffixes` are the units that
    headers say and cells leave away (万条), by column name; '' where it is the contract's own.
    """

    cells: tuple[str, ...]
    positions: dict[str, int]
    extra: tuple[str, ...]
    unsound: tuple[Reason, ...]
    suffixes: Mapping[str, str] = field(default_factory=dict)
    rows: tuple[tuple[str, ...], ...] = ()

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
        is_header = _is_header(self.cells, len(matched))
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


def _told(cell: str) -> str:
    return LONG_NUMBER.sub("…", cell.strip()[:100])


def _told_path(cell: str, uppers: Container[str]) -> str:
    """A header for a message, without what stands below one of the contract's: it may be data."""
    parts = cell.split("|")
    for depth in range(1, len(parts)):
        upper = "|".join(parts[:depth])
        if fold_header(upper) in uppers:
            return f"{_told(upper)}|…"
    return _told(cell)


def _is_header(cells: Sequence[str], matched: int) -> bool:
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
    counted = _without_units(source) | {
        spelling: column for spelling, column in spellings.items() if column.type in NUMBERS
    }
    positions: dict[str, int] = {}
    suffixes: dict[str, str] = {}
    others: list[int] = []
    unsound: list[Reason] = []
    for position, cell in enumerate(cells):
        folded = fold_header(cell)
        column = spellings.get(folded)
        suffix = _spelt_suffix(column, folded) if column else None
        if column is None:
            column, suffix = _counted_in(folded, counted)
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
    is_header = _is_header(cells, len(positions))
    for position in others:
        told = _told_path(cells[position], spellings)
        column = _other_unit(fold_header(cells[position]), counted)
        if column is not None and column.name not in positions:
            unsound.append(_unit_reason(column, told))
        else:
            extra.append(told if is_header else "…")
    return Header(tuple(cells), positions, tuple(extra), tuple(unsound), suffixes)


def _readings(folded: str) -> Iterator[tuple[str, str]]:
    """(header, unit) that a folded header may be meant as; of a path any part may say the unit."""
    *above, last = folded.split("|")
    for pattern in UNITS:
        if found := pattern.fullmatch(last):
            yield "|".join([*above, found[1]]), found[2]
    for pattern in UNITS:
        for number, part in enumerate(above):
            if found := pattern.fullmatch(part):
                yield "|".join([*above[:number], found[1], *above[number + 1 :], last]), found[2]


def _without_units(source: Source) -> dict[str, Column]:
    """The number columns by their spellings without the contract's own unit, where they have it."""
    return {
        base: column
        for column in source.columns
        if column.type in NUMBERS
        for header in column.header
        for base, unit in _readings(fold_header(header))
        if _suffix(column, unit) == ""
    }


def _suffix(column: Column, unit: str) -> str | None:
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
    said = (_suffix(column, unit) for _, unit in _readings(folded))
    return next((suffix for suffix in said if suffix is not None), None)


def _counted_in(folded: str, counted: Mapping[str, Column]) -> tuple[Column | None, str | None]:
    """The column that a header with a unit stands for, and what its cells leave away."""
    for base, unit in _readings(folded):
        column = counted.get(base)
        if column is not None:
            suffix = _suffix(column, unit)
            if suffix is not None:
                return column, suffix
    return None, None


def _other_unit(folded: str, counted: Mapping[str, Column]) -> Column | None:
    """The column that a header stands for but for a unit that the contract does not count in."""
    found = (counted.get(base) for base, _ in _readings(folded))
    return next((column for column in found if column is not None and column.unit), None)


def _unit_reason(column: Column, found: str) -> Reason:
    return Reason(
        code="header_unit", column=column.name, value=found, expected=" / ".join(column.unit)
    )


def locate(
    source: Source, rows: Sequence[Sequence[str]], merged: Sequence[Merged] = ()
) -> tuple[int, Header]:
    """The header among a file's first rows: (the index of its last row, how it matches).

    It is the first that has every required column, else the one that has most; a file in
    which no row matches anything gives index -1 and an empty header. `merged` are cell ranges in
    the coordinates of `rows`.
    """
    best_index, best, best_rank = -1, Header((), {}, (), ()), (False, 0)
    required = required_of(source)
    last = min(len(rows), SEARCHED_ROWS)
    index = 0
    while index < last:
        block = rows[index : index + source.header_rows]
        header = replace(
            match(source, paths(block, _moved(merged, index))),
            rows=tuple(tuple(row) for row in block),
        )
        known = header.positions.keys() | {reason.column for reason in header.unsound}
        rank = (bool(required) and required <= known, len(known))
        if rank > best_rank:
            if rank[0] and not best_rank[0]:  # a header of several rows may begin a little lower
                last = min(last, index + source.header_rows)
            best_index, best, best_rank = index, header, rank
        index += 1
    if best_index < 0:
        return best_index, _found_in_fewer_rows(source, rows, best)
    best = _with_sound_depth(source, best, _moved(merged, best_index))
    above, end = best_index, best_index + len(best.rows)
    if source.unit_row and end < len(rows) and is_unit_row(source, best, rows[end]):
        best, end = with_unit_row(source, best, rows[end]), end + 1
    return end - 1, _with_unit_of_titles(source, best, rows[:above])


def _depth_reason(source: Source, column: str, header: str) -> Reason:
    return Reason(
        code="header_depth", column=column, value=_told(header), expected=str(source.header_rows)
    )


def _found_in_fewer_rows(source: Source, rows: Sequence[Sequence[str]], nothing: Header) -> Header:
    """No header, with what a header of fewer rows than agreed would have, for the message."""
    for depth in range(source.header_rows - 1, 0, -1):
        _, found = locate(source.model_copy(update={"header_rows": depth}), rows)
        if found.positions and _is_header(found.cells, len(found.positions)):
            unsound = [
                _depth_reason(source, name, found.cells[position])
                for name, position in found.positions.items()
            ]
            return replace(nothing, unsound=tuple(unsound))
    return nothing


def _with_sound_depth(source: Source, header: Header, merged: Sequence[Merged]) -> Header:
    """The header, unsound where its last row is no part of it but the first row of data.

    Such a row is blank below the columns that match, and stands below headers that would match
    without it.
    """
    *above, last = header.rows
    if not above or any(_cell(last, position).strip() for position in header.positions.values()):
        return header
    upper = match(source, paths(above, merged))
    unsound = [
        _depth_reason(source, name, upper.cells[position])
        for name, position in upper.positions.items()
        if name not in header.positions and _cell(last, position).strip()
    ]
    return replace(header, unsound=(*header.unsound, *unsound))


def _cell(row: Sequence[str], position: int) -> str:
    return row[position] if position < len(row) else ""


def _moved(merged: Sequence[Merged], index: int) -> list[Merged]:
    return [
        ((top - index, left), (bottom - index, right)) for (top, left), (bottom, right) in merged
    ]


def paths(block: Sequence[Sequence[str]], merged: Sequence[Merged]) -> list[str]:
    """Each column's header: its cells from top to bottom, joined by `|`.

    An upper cell stands above all that it is merged over; in a block without merged cells, above
    the blank ones to its right that have a header beneath them.
    """
    if len(block) == 1:
        return list(block[0])
    width = max(map(len, block))
    grid = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in block]
    bottom_row = len(grid) - 1
    within = [one for one in merged if one[0][0] <= bottom_row and one[1][0] >= 0]
    if within:
        for (top, left), (bottom, right) in within:
            # one that reaches the last row is a column's own header, however wide it is drawn
            if 0 <= top <= bottom < bottom_row and left < width:
                for row in grid[top : bottom + 1]:
                    span = min(right + 1, width) - left
                    row[left : left + span] = [grid[top][left]] * span
    else:
        _spread(grid)
    return ["|".join(dict.fromkeys(filter(None, column))) for column in zip(*grid, strict=True)]


def _spread(grid: list[list[str]]) -> None:
    """Write upper cells into the blank ones that they stand above, too."""
    for number, row in enumerate(grid[:-1]):
        parent = ""
        for position, cell in enumerate(row):
            beneath = any(below[position] for below in grid[number + 1 :])
            left_of_it = [above[position - 1 : position + 1] for above in grid[:number]]
            if any(len(set(pair)) > 1 for pair in left_of_it):
                parent = ""
            if not beneath:
                parent = ""
            elif cell:
                parent = cell
            else:
                row[position] = parent


def is_unit_row(source: Source, header: Header, row: Sequence[str]) -> bool:
    """Whether the row below a header says units, and is no row of data whose units are missing.

    It says nothing below texts and keys, and nothing but units below numbers; one with a scale
    among words that are none is a row of units, too, and not to be taken for data.
    """
    if _unit_of_all(source, row) is not None:
        return True
    numbers = {column.name for column in _numbers(source, header)}
    for name, position in header.positions.items():
        cell = fold_header(_cell(row, position))
        if name not in numbers and _is_word(cell) and cell not in UNIT_TITLES:
            return False
    said = [cell for _, cell in _said_units(source, header, row)]
    if not said or any(map(FIGURE.search, said)):
        return False
    return all(_says_unit(source, cell) for cell in said) or any(
        SCALE.match(_bare(cell)) for cell in said
    )


def _bare(cell: str) -> str:
    """A unit without its brackets and 单位:."""
    found = UNIT_CELL.fullmatch(cell)
    return found[1] if found else cell


def _says_unit(source: Source, cell: str) -> bool:
    return BRACKETED.fullmatch(cell) is not None or _is_unit(source, _bare(cell))


def _is_unit(source: Source, word: str) -> bool:
    """Whether a folded word is a unit: of the contract, or with a scale."""
    own = {fold_header(unit) for column in source.columns for unit in column.unit}
    return word in own or word in SHARES or (len(word) <= 4 and SCALE.match(word) is not None)


def _is_word(cell: str) -> bool:
    """Whether there is more in a cell than punctuation."""
    return any(unicodedata.category(one)[0] in "LNS" or one in SHARES for one in cell)


def _said_units(source: Source, header: Header, row: Sequence[str]) -> list[tuple[Column, str]]:
    """What `row` says below number columns, where that is neither punctuation nor a null."""
    return [
        (column, fold_header(row[position]))
        for column in _numbers(source, header)
        if (position := header.positions[column.name]) < len(row)
        and row[position].strip() not in column.nulls
        and _is_word(row[position])
    ]


def _numbers(source: Source, header: Header) -> list[Column]:
    return [
        column
        for column in source.columns
        if column.type in NUMBERS and column.name in header.positions
    ]


def _unit_of_all(source: Source, cells: Sequence[str]) -> str | None:
    """The unit X of a row whose one filled cell is `单位：X` or `（X）`."""
    filled = [fold_header(cell) for cell in cells if cell.strip()]
    if len(filled) != 1:
        return None
    if found := UNIT_OF_ALL.fullmatch(filled[0]):
        return found[1]
    found = BRACKETED.fullmatch(filled[0])
    return found[1] if found and _is_unit(source, found[1]) else None


def with_unit_row(source: Source, header: Header, row: Sequence[str]) -> Header:
    """The header with what the row of units below it says; `单位：X` alone is said of all."""
    unit_of_all = _unit_of_all(source, row)
    if unit_of_all is None:
        said = [(column, _bare(cell)) for column, cell in _said_units(source, header, row)]
    else:
        of_numbers = [column for column in _numbers(source, header) if column.unit]
        fitting = [one for one in of_numbers if _suffix(one, unit_of_all) is not None]
        said = [(column, unit_of_all) for column in fitting or of_numbers]
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for column, unit in said:
        suffix = _suffix(column, unit)
        if suffix is None and not column.unit and not SCALE.match(unit):
            continue  # the contract does not say what it counts
        if suffix is None or header.suffixes.get(column.name, suffix) != suffix:
            title = header.cells[header.positions[column.name]]
            shown = unit if _is_unit(source, unit) else "…"
            unsound.append(_unit_reason(column, f"{_told(title)} ({shown})"))
        else:
            suffixes[column.name] = suffix
    rows = (*header.rows, tuple(row))
    return replace(header, suffixes=suffixes, unsound=tuple(unsound), rows=rows)


def _with_unit_of_titles(source: Source, header: Header, rows: Sequence[Sequence[str]]) -> Header:
    """The header with the unit that a line above it says of the whole table (`单位：万条`).

    It is for the columns that count in it and say none themselves. 单位 also means an office: a
    line that fits no column says nothing, unless it names a unit of the contract with a scale.
    """
    fitting, astray = units_of_lines(source, header, rows)
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for name in fitting.keys() | astray.keys():
        said = fitting.get(name, {})
        if name in header.suffixes:
            continue
        if name in astray or len(set(said.values())) > 1:
            units = "、".join([*said, *astray.get(name, ())])
            title = _told(header.cells[header.positions[name]])
            unsound.append(_unit_reason(source.column(name), f"{title} ({units})"))
        elif suffix := next(iter(said.values()), ""):
            suffixes[name] = suffix
    return replace(header, suffixes=suffixes, unsound=tuple(unsound))


def units_of_lines(
    source: Source, header: Header, rows: Sequence[Sequence[str]]
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """What lines outside the table say of its units, by column: (unit -> suffix, units astray).

    Astray is a unit that the column counts in but for its scale, and which is not said as a unit.
    """
    columns = [column for column in _numbers(source, header) if column.unit]
    lines = [
        [unicodedata.normalize("NFKC", cell).casefold().strip() for cell in row if cell.strip()]
        for row in rows
    ]
    said = {unit for line in lines for unit in _said_of_all(line)}
    fitting: dict[str, dict[str, str]] = {}
    astray: dict[str, list[str]] = {}
    assigned: set[str] = set()
    for column in columns:
        of_column = {unit: _suffix(column, unit) for unit in sorted(said)}
        fitting[column.name] = {
            unit: suffix for unit, suffix in of_column.items() if suffix is not None
        }
        assigned |= fitting[column.name].keys()
    for column in columns:
        bases = {SCALE.sub("", fold_header(unit), count=1) for unit in column.unit} - SHARES - {""}
        if not bases:
            continue
        scaled = "[十百]?[千万亿]{1,3}(?:" + "|".join(map(re.escape, sorted(bases))) + ")"
        pattern = re.compile(rf"(?<![{COUNTS}])({scaled})(?!\w)|单\s*位\s*[:为(\[【]?\s*({scaled})")
        shown = {
            one[1] or one[2] for line in lines for cell in line for one in pattern.finditer(cell)
        }
        lost = (shown | (said & bases)) - assigned
        if lost:
            astray[column.name] = sorted(lost)
    return {name: units for name, units in fitting.items() if units}, astray


def _said_of_all(line: Sequence[str]) -> Iterator[str]:
    """The units X of `单位：X`, `单位：X、Y` and `单位（X）`; X may stand in the next cell."""
    for cell, following in pairwise([*line, ""]):
        for found in UNIT_SAID.finditer(cell):
            words = found[1]
            if not words and found.end() == len(cell):
                after = re.match(UNIT_WORDS, following)
                words = after[1] if after else ""
            yield from filter(None, re.split("[、,]", words))
