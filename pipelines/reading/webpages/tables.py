"""Whether a page goes on with the contract's rows in another table than the one that is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from pipelines.contracts.consistency import NUMBERS
from pipelines.contracts.models import Source
from pipelines.reading.headers.matching import Header, Merged, cell_at, required_of
from pipelines.reading.headers.search import is_agreed, locate
from pipelines.reading.workbooks.grid import plain_text

FIGURE = re.compile(r"\W{0,2}约?\d[\d,，.]*(?:[eE][-+]?\d+)?\s?[^\W\d页年月日时]{0,8}\W?")
WORD = re.compile(r"\w")
WORDS = re.compile(r"(?=.*\w)\D+", re.DOTALL)


@dataclass(frozen=True)
class FirstRows:
    """The first rows of a table, and which of a page's tables with cells it is, from 0."""

    position: int
    rows: list[list[object]]
    merged: list[Merged]


def is_more(source: Source, ours: FirstRows, other: FirstRows) -> bool:
    """Whether a table has rows of the contract, as the one has that is read.

    It has the agreed header, or none of its own and goes on below that of the one that is read.
    """
    rows, header, index = _located(source, other)
    if is_agreed(source, header):
        return any(_is_row(source, header, row) for row in rows[index + 1 :])
    _, own, _ = _located(source, ours)
    return is_agreed(source, own) and _goes_on(source, own, rows)


def _located(source: Source, table: FirstRows) -> tuple[list[list[str]], Header, int]:
    rows = [[plain_text(cell) for cell in row] for row in table.rows]
    index, header = locate(source, rows, table.merged)
    return rows, header, index


def _is_row(source: Source, header: Header, row: Sequence[str]) -> bool:
    """Whether what stands below a header is data, not a note or a total."""
    cells = {name: cell_at(row, at).strip() for name, at in header.positions.items()}
    filled = {name for name, cell in cells.items() if cell}
    return (
        any(map(str.strip, row))
        and required_of(source) & cells.keys() <= filled
        and len(filled) >= min(2, len(cells))
        and not any(re.match(rf"\s*(?:{pattern})", row[0]) for pattern in source.footer)
        and not any(WORDS.fullmatch(cells[name]) for name in _numbers(source, header))
    )


def _goes_on(source: Source, header: Header, rows: Sequence[Sequence[str]]) -> bool:
    """Whether rows without a header have figures where those of our table have them."""
    width = header.width
    wide = [row for row in rows if sum(map(bool, map(str.strip, row))) >= min(2, width)]
    if not wide or not width <= len(wide[0]) <= len(header.cells):
        return False
    numbers = [header.positions[name] for name in _numbers(source, header)]
    first = [cell_at(wide[0], at).strip() for at in numbers]
    if not all(FIGURE.fullmatch(cell) or not WORD.search(cell) for cell in first):
        return False  # it is a header of the table's own
    return any(
        _is_row(source, header, row)
        and any(FIGURE.fullmatch(cell_at(row, at).strip()) for at in numbers)
        for row in wide
    )


def _numbers(source: Source, header: Header) -> list[str]:
    return [name for name in header.positions if source.column(name).type in NUMBERS]
