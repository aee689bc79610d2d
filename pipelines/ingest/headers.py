"""Finds the header row of a grid by the spellings its contract accepts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.contracts.consistency import fold_header
from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason

LONG_NUMBER = re.compile(r"\d{5,}")
SEARCHED_ROWS = 50  # title rows above a header are few


@dataclass(frozen=True)
class Header:
    """Where each column of the contract stands in the file: `positions` by column name."""

    cells: tuple[str, ...]
    positions: dict[str, int]
    extra: tuple[str, ...]
    repeated: tuple[Reason, ...]

    @property
    def width(self) -> int:
        """How many cells the header spans; what stands right of them belongs to no column."""
        return max((end for end, cell in enumerate(self.cells, 1) if cell.strip()), default=0)

    def _shown(self) -> str:
        """The header for a message: only what is sure to be one, for data may be personal.

        Cells of no column are shown when most of the row is columns, and never their digits.
        """
        matched = set(self.positions.values())
        filled = [(number, cell.strip()) for number, cell in enumerate(self.cells) if cell.strip()]
        is_header = 2 * len(matched) >= len(filled)
        shown = [cell for number, cell in filled if is_header or number in matched]
        return "、".join(LONG_NUMBER.sub("…", cell[:100]) for cell in shown)[:500]

    @property
    def warnings(self) -> tuple[Reason, ...]:
        """Columns nobody asked for."""
        return tuple(Reason(code="extra_column", value=name) for name in self.extra)

    def faults(self, source: Source) -> tuple[Reason, ...]:
        """Required columns that are not there, and columns that are there twice."""
        found = self._shown() or "(no header row)"
        missing = tuple(
            Reason(
                code="missing_column",
                column=column.name,
                value=found,
                expected=" / ".join(column.header),
            )
            for column in source.columns
            if column.required and column.name not in self.positions
        )
        return self.repeated + missing


def match(source: Source, cells: Sequence[str]) -> Header:
    """Hold one row's cells against the contract's headers."""
    spellings = {
        fold_header(header + unit): column.name
        for column in source.columns
        for header in column.header
        for unit in ("", *(f"({unit})" for unit in column.unit))  # 新增数据量(条) says nothing new
    }
    positions: dict[str, int] = {}
    extra: list[str] = []
    repeated: list[Reason] = []
    for position, cell in enumerate(cells):
        folded = fold_header(cell)
        name = spellings.get(folded)
        if name is None:
            if folded:
                extra.append(LONG_NUMBER.sub("…", cell.strip()[:100]))
        elif name in positions:
            both = f"{cells[positions[name]]} / {cell}".strip()
            repeated.append(Reason(code="repeated_header", column=name, value=both))
        else:
            positions[name] = position
    return Header(tuple(cells), positions, tuple(extra), tuple(repeated))


def locate(source: Source, rows: Sequence[Sequence[str]]) -> tuple[int, Header]:
    """The header among a file's first rows: (its index, how it matches).

    It is the first row that has every required column, else the one that has most; a file in
    which no row matches anything gives index -1 and an empty header.
    """
    best_index, best = -1, Header((), {}, (), ())
    required = {column.name for column in source.columns if column.required}
    for index, cells in enumerate(rows[:SEARCHED_ROWS]):
        header = match(source, cells)
        if required and required <= header.positions.keys():
            return index, header
        if len(header.positions) > len(best.positions):
            best_index, best = index, header
    return best_index, best
