"""Finds the header of a grid, in one row or several, among a file's first rows."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason
from pipelines.reading.headers.matching import (
    SEARCHED_ROWS,
    Header,
    Merged,
    cell_at,
    is_surely_header,
    match,
    printed,
    required_of,
)
from pipelines.reading.headers.units import is_unit_row, with_unit_above, with_unit_row


def locate(
    source: Source,
    rows: Sequence[Sequence[str]],
    merged: Sequence[Merged] = (),
    above: Sequence[str] = (),
) -> tuple[int, Header]:
    """The header among a file's first rows: (the index of its last row, how it matches).

    It is the first that has every required column and is surely one, else the one that has most;
    a file in which no row matches anything gives index -1 and an empty header. `merged` are cell
    ranges in the coordinates of `rows`; `above` are lines of text outside the grid, which like the
    rows above a header may say a unit.
    """
    best_index, best, best_rank = -1, Header((), {}, (), ()), (False, 0)
    required, least = required_of(source), _least(source)
    last = min(len(rows), SEARCHED_ROWS)
    index = 0
    while index < last:
        block = rows[index : index + source.header_rows]
        header = replace(
            match(source, paths(block, _moved(merged, index))),
            rows=tuple(tuple(row) for row in block),
        )
        known = _known(header)
        rank = (bool(known) and required <= known, len(known))
        if rank > best_rank:
            if best_rank[0] and any(map(_is_wide, rows[best_index + 1 : index])):
                break  # they would be lost as titles: what follows them is a page's
            best_index, best, best_rank = index, header, rank
            is_sure = len(known) >= least and is_surely_header(header.cells, len(known))
            if rank[0] and is_sure:  # one of several rows may begin a little lower
                last = min(last, index + source.header_rows)
        index += 1
    if best_index < 0:
        return best_index, _found_in_fewer_rows(source, rows, best)
    best = _with_sound_depth(source, best, _moved(merged, best_index))
    titles = [*([line] for line in above), *rows[:best_index]]
    end = best_index + len(best.rows)
    if source.unit_row and end < len(rows) and is_unit_row(source, best, rows[end]):
        best, end = with_unit_row(source, best, rows[end]), end + 1
    return end - 1, with_unit_above(source, best, titles)


def is_agreed(source: Source, header: Header) -> bool:
    """Whether a header is surely the contract's, be it in other units."""
    known = _known(header)
    is_sure = len(known) >= _least(source) and is_surely_header(header.cells, len(known))
    return bool(known) and required_of(source) <= known and is_sure


def _least(source: Source) -> int:
    """How many columns of the contract a row needs to be surely a header."""
    return min(2, sum(1 for column in source.columns if column.header))


def _known(header: Header) -> set[str]:
    return header.positions.keys() | {reason.column for reason in header.unsound}


def _is_wide(row: Sequence[str]) -> bool:
    return sum(1 for cell in row if cell.strip()) > 1


def _depth_reason(source: Source, column: str, header: str) -> Reason:
    return Reason(
        code="header_depth", column=column, value=printed(header), expected=str(source.header_rows)
    )


def _found_in_fewer_rows(source: Source, rows: Sequence[Sequence[str]], nothing: Header) -> Header:
    """No header, with what a header of fewer rows than agreed would have, for the message."""
    for depth in range(source.header_rows - 1, 0, -1):
        _, found = locate(source.model_copy(update={"header_rows": depth}), rows)
        if found.positions and is_surely_header(found.cells, len(found.positions)):
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
    if not above or any(cell_at(last, position).strip() for position in header.positions.values()):
        return header
    upper = match(source, paths(above, merged))
    unsound = [
        _depth_reason(source, name, upper.cells[position])
        for name, position in upper.positions.items()
        if name not in header.positions and cell_at(last, position).strip()
    ]
    return replace(header, unsound=(*header.unsound, *unsound))


def _moved(merged: Sequence[Merged], index: int) -> list[Merged]:
    return [
        ((top - index, left), (bottom - index, right)) for (top, left), (bottom, right) in merged
    ]


def paths(block: Sequence[Sequence[str]], merged: Sequence[Merged]) -> list[str]:
    """Each column's header: its cells from top to bottom, joined by `|`.

    An upper cell stands above all that it is merged over; one that is not merged, above the blank
    ones to its right that have a header beneath them.
    """
    if len(block) == 1:
        return list(block[0])
    width = max(map(len, block))
    grid = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in block]
    bottom_row = len(grid) - 1
    covered: set[tuple[int, int]] = set()
    for (top, left), (bottom, right) in merged:
        if bottom < 0 or top > bottom_row or left >= width:
            continue
        rows, columns = range(max(top, 0), min(bottom, bottom_row) + 1), range(left, right + 1)
        covered |= {(row, column) for row in rows for column in columns[: width - left]}
        # one that reaches the last row is a column's own header, however wide it is drawn
        if 0 <= top <= bottom < bottom_row:
            for row in rows:
                grid[row][left : right + 1] = [grid[top][left]] * len(columns[: width - left])
    _spread(grid, covered)
    return ["|".join(dict.fromkeys(filter(None, column))) for column in zip(*grid, strict=True)]


def _spread(grid: list[list[str]], covered: Container[tuple[int, int]]) -> None:
    """Write upper cells that are not merged into the blank ones that they stand above, too."""
    for number, row in enumerate(grid[:-1]):
        parent = ""
        for position, cell in enumerate(row):
            beneath = any(below[position] for below in grid[number + 1 :])
            left_of_it = [above[position - 1 : position + 1] for above in grid[:number]]
            if any(len(set(pair)) > 1 for pair in left_of_it):
                parent = ""
            if not beneath or (number, position) in covered:
                parent = ""
            elif cell:
                parent = cell
            else:
                row[position] = parent
