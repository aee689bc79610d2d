"""Finds the header of a grid, in one row or several, among a file's first rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.ingest.header_units import is_unit_row, with_unit_of_titles, with_unit_row
from pipelines.ingest.headers import (
    SEARCHED_ROWS,
    Header,
    Merged,
    cell_at,
    is_surely_header,
    match,
    printed,
    required_of,
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
    return end - 1, with_unit_of_titles(source, best, rows[:above])


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
