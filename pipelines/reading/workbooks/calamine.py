"""XLSX, XLSB and ODS workbooks: values by calamine, the rest by a scan of the package's parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any, TypeVar

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.machine.failures import is_rust_panic
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.layout import Reading, cell_text
from pipelines.reading.workbooks import ods_parts, xlsb_parts, xlsx_parts
from pipelines.reading.workbooks.cells import Flaws, Survey
from pipelines.reading.workbooks.grid import Book, Sheet, read_book
from pipelines.reading.workbooks.packages import check_package, unbroken, unsound

Tabs = list[tuple[str, str | None]]  # name, and the part that holds the sheet
Found = TypeVar("Found")


def read_xlsx(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of a workbook that unpacks to at most `limit` bytes."""
    options = source.formats.xlsx
    assert options is not None
    ignores = options.hidden_rows == "ignore"
    workbook = _look(path, limit, xlsx_parts.workbook)
    tabs = workbook.sheets
    calamine = _opened(path.read_bytes(), [name for name, _ in tabs])

    def open_sheet(position: int) -> Sheet:
        part, name = _part(tabs, position), tabs[position][0]
        with unbroken():
            told = xlsx_parts.survey(path, part, limit, ignores, workbook.is_calculated)
            mended = xlsx_parts.mended(path, part) if told.is_padded else None
        if mended is None:
            try:
                return _sheet(calamine, name, told, ignores)
            except UnreadableError:  # of what Excel reads, perhaps
                with unbroken():
                    mended = xlsx_parts.mended(path, part)
                if mended is None:
                    raise
        return _sheet(_opened(mended, calamine.sheet_names), name, told, ignores)

    return read_book(source, options, _book(calamine, open_sheet, workbook.is_1904), limit)


def read_xlsb(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of a binary workbook, in the same way."""
    options = source.formats.xlsb
    assert options is not None
    ignores = options.hidden_rows == "ignore"
    tabs, is_1904 = _look(path, limit, xlsb_parts.sheets)
    calamine = _opened(path.read_bytes(), [name for name, _ in tabs])

    def open_sheet(position: int) -> Sheet:
        with unbroken():
            told = xlsb_parts.survey(path, _part(tabs, position), limit)
        return _sheet(calamine, tabs[position][0], told, ignores)

    return read_book(source, options, _book(calamine, open_sheet, is_1904), limit)


def read_ods(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of an OpenDocument spreadsheet, in the same way."""
    options = source.formats.ods
    assert options is not None
    ignores = options.hidden_rows == "ignore"
    surveys = _look(path, limit, ods_parts.survey)
    calamine = _opened(path.read_bytes(), [survey.name for survey in surveys])

    def open_sheet(position: int) -> Sheet:
        return _sheet(calamine, surveys[position].name, surveys[position], ignores)

    return read_book(source, options, _book(calamine, open_sheet, is_1904=False), limit)


def _look(path: Path, limit: int, look: Callable[[zipfile.ZipFile], Found]) -> Found:
    with unbroken(), zipfile.ZipFile(path) as package:
        check_package(package, limit)
        return look(package)


def _part(tabs: Tabs, position: int) -> str:
    part = tabs[position][1]
    if part is None:
        raise UnreadableError(Reason(code="damaged", value="a sheet's part is not there"))
    return part


@contextmanager
def _read() -> Iterator[None]:
    """Turn what calamine makes of a damaged workbook, a panic too, into UnreadableError."""
    from python_calamine import CalamineError

    try:
        yield
    except (CalamineError, OSError, ValueError) as error:
        raise unsound(error) from None
    except BaseException as error:
        if not is_rust_panic(error):
            raise
        raise unsound(ValueError("its parts contradict each other")) from None


def _opened(data: bytes, names: list[str]) -> Any:
    """The workbook as calamine has it, if it has the sheets that its parts name.

    The bytes are read by us: calamine tells of a disk that fails as of a damaged workbook.
    """
    from python_calamine import CalamineWorkbook

    with _read():
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    if book.sheet_names != names or len(set(names)) < len(names):
        raise UnreadableError(Reason(code="damaged", value="its sheets cannot be told apart"))
    return book


def _book(calamine: Any, open_sheet: Callable[[int], Sheet], is_1904: bool) -> Book:
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    tabs = list(enumerate(calamine.sheets_metadata))
    return Book(
        names=tuple(calamine.sheet_names),
        open=open_sheet,
        hidden=frozenset(n for n, tab in tabs if tab.visible != SheetVisibleEnum.Visible),
        others=frozenset(n for n, tab in tabs if tab.typ != SheetTypeEnum.WorkSheet),
        is_1904=is_1904,
    )


def _sheet(calamine: Any, name: str, told: Survey, ignores_hidden: bool) -> Sheet:
    with _read():
        sheet = calamine.get_sheet_by_name(name)
        ranges = told.merged or sheet.merged_cell_ranges or ()
        start = sheet.start
    flawed = [column for row in told.flaws.values() for column in row]
    # calamine's rows begin where its values do; a flaw may stand to the left of them
    given = start[1] if start else min(flawed, default=0)
    left = min([given, *flawed])
    merged = [
        ((top, max(first - left, 0)), (bottom, last - left))
        for (top, first), (bottom, last) in ranges
        if top < SEARCHED_ROWS and last >= left
    ]
    rows = iter(sheet.iter_rows()) if start else iter(())
    if told.flaws:
        rows = _with_flaws(rows, told.flaws, left, given - left)
    return Sheet(rows, merged, told.hidden if ignores_hidden else frozenset(), left=left)


def _with_flaws(
    rows: Iterator[list[object]], flaws: Flaws, left: int, missing: int
) -> Iterator[list[object]]:
    """The rows with their flaws in place; `missing` columns stand before calamine's first."""
    last = max(flaws)
    for index, values in enumerate(chain(rows, repeat(None))):
        if values is None and index > last:
            return
        row = [""] * missing + (values or [])
        for column, flaw in flaws.get(index, {}).items():
            row += [""] * (column - left + 1 - len(row))
            shown = flaw.text or cell_text(row[column - left]) or ""
            row[column - left] = replace(flaw, text=shown)
        yield row
