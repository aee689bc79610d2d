"""Find the header of a grid, in one row or several, among a file's first rows."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace

from pipelines.contracts.sources import Source
from pipelines.reading.headers.matching import (
    SEARCHED_ROWS,
    Header,
    Merged,
    cell_at,
    depth_reason,
    is_surely_header,
    match,
    required_of,
)
from pipelines.reading.headers.units import with_unit_above, with_unit_row


def locate(
    source: Source,
    rows: Sequence[Sequence[str]],
    merged: Sequence[Merged] = (),
    above: Sequence[str] = (),
) -> tuple[int, Header]:
    """Return the header among a file's first rows, and the index of its last row.

    Without a row that matches anything the index is -1 and the header empty. `merged` are cell
    ranges in the coordinates of `rows`. `above` are lines of text outside the grid; like the rows
    above a header they may say a unit.
    """
    # The header is the first row that has every required column and is surely one; otherwise the
    # row that has most. A row that has every required column by chance (a line of labels) loses to
    # a better one below it, unless a row of data stands between: that one would be lost as a title,
    # and what follows it is the header of the next page. A header of several rows may begin a
    # little lower than where it is first recognised.
    best_index, best, best_rank = -1, Header((), {}, (), ()), (False, 0)
    required = required_of(source)
    last = min(len(rows), SEARCHED_ROWS)
    index = 0
    while index < last:
        block = rows[index : index + source.header_rows]
        cells = paths(block, merged, index)
        header = replace(match(source, cells), rows=tuple(tuple(row) for row in block))
        known = _known(header)
        rank = (bool(known) and required <= known, len(known))
        if rank > best_rank:
            between = rows[best_index + 1 : index]
            if best_rank[0] and any(sum(map(bool, map(str.strip, row))) > 1 for row in between):
                break
            best_index, best, best_rank = index, header, rank
            if is_agreed(source, header):
                last = min(last, index + source.header_rows)
        index += 1
    if best_index < 0:
        return best_index, best
    if len(best.rows) > 1:
        best = _with_sound_depth(source, best, paths(best.rows[:-1], merged, best_index))
    end = best_index + len(best.rows)
    if source.unit_row and end < len(rows):
        best, end = with_unit_row(source, best, rows[end]), end + 1
    titles = [*([line] for line in above), *rows[:best_index]]
    return end - 1, with_unit_above(source, best, titles)


def is_agreed(source: Source, header: Header) -> bool:
    """Return whether a header is surely the contract's, be it in other units."""
    known = _known(header)
    least = min(2, sum(1 for column in source.columns if column.header))
    is_sure = len(known) >= least and is_surely_header(header.cells, len(known))
    return bool(known) and required_of(source) <= known and is_sure


def _known(header: Header) -> set[str]:
    """Return the columns that a header names, fit or not."""
    return header.positions.keys() | {reason.column for reason in header.unsound}


def _with_sound_depth(source: Source, header: Header, uppers: Sequence[str]) -> Header:
    """Return the header, unsound where its last row is the first row of data.

    Such a row is blank below the columns that match, and stands below headers that would match
    without it: `uppers` are the paths above it.
    """
    last = header.rows[-1]
    if any(cell_at(last, position).strip() for position in header.positions.values()):
        return header
    unsound = [
        depth_reason(name, uppers[position], source.header_rows)
        for name, position in match(source, uppers).positions.items()
        if name not in header.positions and cell_at(last, position).strip()
    ]
    return replace(header, unsound=(*header.unsound, *unsound))


def paths(block: Sequence[Sequence[str]], merged: Sequence[Merged], first: int) -> list[str]:
    """Return each column's header: its cells from top to bottom, joined by `|`.

    An upper cell stands above all that it is merged over; one that is not merged, above the blank
    ones to its right that have a header beneath them. `first` is the row of `block`'s first one in
    the coordinates of `merged`.
    """
    if len(block) == 1:
        return list(block[0])
    width = max(map(len, block))
    grid = [[*(cell.strip() for cell in row), *[""] * (width - len(row))] for row in block]
    bottom_row = len(grid) - 1
    covered: set[tuple[int, int]] = set()
    for (top, left), (bottom, right) in merged:
        top, bottom = top - first, bottom - first
        if bottom < 0 or top > bottom_row or left >= width:
            continue
        rows = range(max(top, 0), min(bottom, bottom_row) + 1)
        columns = range(left, min(right + 1, width))
        covered |= {(row, column) for row in rows for column in columns}
        # A range that reaches the last row is one column's own header, however wide it is drawn.
        if 0 <= top <= bottom < bottom_row:
            for row in rows:
                grid[row][left : right + 1] = [grid[top][left]] * len(columns)
    _spread(grid, covered)
    return ["|".join(dict.fromkeys(filter(None, column))) for column in zip(*grid, strict=True)]


def _spread(grid: list[list[str]], covered: Container[tuple[int, int]]) -> None:
    """Write upper cells that are not merged into the blank ones to their right, too.

    A cell ends at its neighbour, at the end of the cell above it, and at a column without a header
    beneath.
    """
    for number, row in enumerate(grid[:-1]):
        parent = ""
        for position, cell in enumerate(row):
            has_header = any(below[position] for below in grid[number + 1 :])
            pairs = [above[position - 1 : position + 1] for above in grid[:number]]
            if (
                not has_header
                or (number, position) in covered
                or (not cell and any(len(set(pair)) > 1 for pair in pairs))
            ):
                parent = ""
            elif cell:
                parent = cell
            else:
                row[position] = parent
