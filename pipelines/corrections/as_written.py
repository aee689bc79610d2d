"""A file's own cells under its own headers, as its department wrote them: for feedback only."""

from __future__ import annotations

from collections import Counter

from pipelines.contracts.consistency import DATES, fold_header
from pipelines.contracts.models import Column, ColumnType, Source
from pipelines.deliveries.feedback_form import OWN_HEADERS
from pipelines.reading.headers.matching import Header


def headers_of(header: Header) -> tuple[str, ...]:
    """The headers that name one column: neither blank, nor there twice, nor those of feedback."""
    cells = header.cells[: header.width]
    count = Counter(map(fold_header, cells))
    own = set(map(fold_header, OWN_HEADERS))
    return tuple(
        cell
        for cell in cells
        if fold_header(cell) not in own | {""} and count[fold_header(cell)] == 1
    )


def verbatim(source: Source, header: Header, *own: Column) -> Source:
    """The contract with the columns `own`, and c0, c1 … of text for the headers of a file.

    What a reader makes of a number cell that is a share or a date, it makes of it here, too.
    """
    declared = {header.cells[at]: source.column(name) for name, at in header.positions.items()}
    kept = {cell: one for cell, one in declared.items() if one.share or one.type in DATES}
    columns = [
        kept[cell].model_copy(update={"name": f"c{number}", "header": (cell,), "required": False})
        if cell in kept
        else Column(name=f"c{number}", header=(cell,), type=ColumnType.TEXT)
        for number, cell in enumerate(headers_of(header))
    ]
    return source.model_copy(update={"columns": (*own, *columns)})
