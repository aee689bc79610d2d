"""XLS workbooks (BIFF in a compound file, as is .et of WPS), read by xlrd."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from datetime import date, datetime
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import Any

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.layout import Reading
from pipelines.reading.workbooks.cells import error_cell
from pipelines.reading.workbooks.grid import Book, Sheet, read_book
from pipelines.reading.workbooks.packages import unsound

BIFF5 = 50  # xlrd's number for Excel 5


class _Nowhere(io.TextIOBase):
    """Discards the log of xlrd, which for odd workbooks may be of any length."""

    def write(self, text: str) -> int:
        return len(text)


def read_xls(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of an old workbook of at most `limit` bytes."""
    import xlrd

    options = source.formats.xls
    assert options is not None
    size = path.stat().st_size
    if size > limit:
        raise UnreadableError(Reason(code="too_large", value=str(size), expected=str(limit)))
    _sound(lambda: _check_chains(path))
    ignores = options.hidden_rows == "ignore"
    # Only with formats, which cost memory, does xlrd report hidden rows and merged cells.
    wants_formats = ignores or source.header_rows > 1
    book: Any = _sound(
        lambda: xlrd.open_workbook(
            str(path), logfile=_Nowhere(), formatting_info=wants_formats, on_demand=True
        )
    )
    if book.biff_version < BIFF5:
        agreed = ", ".join(source.formats.declared)
        raise UnreadableError(Reason(code="other_format", value="Excel 4", expected=agreed))

    def open_sheet(position: int) -> Sheet:
        sheet = _sound(lambda: book.sheet_by_index(position))
        hidden = {row for row, info in sheet.rowinfo_map.items() if info.hidden}
        merged = [
            ((top, left), (bottom - 1, right - 1))
            for top, bottom, left, right in sheet.merged_cells
            if top < SEARCHED_ROWS
        ]
        rows = _rows(book, sheet, position)
        return Sheet(rows, merged, hidden if ignores else frozenset())

    visible = _sound(lambda: list(book._sheet_visibility))
    names = tuple(book.sheet_names())
    hidden = frozenset(place for place, state in enumerate(visible) if state)
    return read_book(
        source, options, Book(names, open_sheet, hidden, is_1904=book.datemode == 1), limit
    )


def _check_chains(path: Path) -> None:
    """Raise ValueError if a chain of mini sectors leads back into itself.

    xlrd would follow it for ever. It finds such loops itself in chains of sectors ([MS-CFB] 2.3),
    but not in those of mini sectors (2.4), in which small streams lie.
    """
    from xlrd.compdoc import SIGNATURE, CompDoc

    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        if data[: len(SIGNATURE)] != SIGNATURE:
            return
        compound = CompDoc(data, logfile=_Nowhere())
        follows = compound.SSAT
        is_known = bytearray(len(follows))
        for stream in compound.dirlist:
            chain: set[int] = set()
            sector = stream.first_SID
            while 0 <= sector < len(follows) and not is_known[sector]:
                is_known[sector] = True
                chain.add(sector)
                sector = follows[sector]
            if sector in chain:
                raise ValueError("a chain of mini sectors bites its tail")


def _sound(read: Callable[[], Any]) -> Any:
    """Return what `read` does; raise UnreadableError for whatever xlrd makes of a damaged file."""
    try:
        return read()
    except (MemoryError, UnreadableError):
        raise
    except Exception as error:
        if "encrypted" in str(error):
            raise UnreadableError(Reason(code="encrypted")) from None
        raise unsound(error) from None


def _rows(book: Any, sheet: Any, position: int) -> Iterator[list[object]]:
    """Yield the sheet's rows, and release its cells afterwards."""
    for row in range(sheet.nrows):
        kinds, values = sheet.row_types(row), sheet.row_values(row)
        yield [
            value if kind in (0, 1) else _value(kind, value, book.datemode)
            for kind, value in zip(kinds, values, strict=True)
        ]
    book.unload_sheet(position)


def _value(kind: int, value: Any, datemode: int) -> object:
    import xlrd

    match kind:
        case xlrd.XL_CELL_BOOLEAN:
            return bool(value)
        case xlrd.XL_CELL_ERROR:
            return error_cell(xlrd.error_text_from_code.get(value, ""))
        case xlrd.XL_CELL_DATE:
            return _instant(value, datemode)
    return value


def _instant(serial: float, datemode: int) -> date | datetime | object:
    """Return the date or time of a cell formatted so; a number that is none stays a number."""
    import xlrd

    try:
        instant: datetime = xlrd.xldate.xldate_as_datetime(serial, datemode)
    except (ValueError, OverflowError, xlrd.XLDateError):
        return serial
    return instant.time() if 0 <= serial < 1 else instant
