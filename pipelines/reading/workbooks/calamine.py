"""XLSX, XLSB and ODS workbooks: values by calamine, the rest by a scan of the package's parts."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from pipelines.contracts.formats import WorkbookFormat
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.machine.failures import is_rust_panic
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.layout import Reading, cell_text
from pipelines.reading.workbooks import ods_parts, xlsb_parts, xlsx_parts
from pipelines.reading.workbooks.cells import Flaws, Survey
from pipelines.reading.workbooks.grid import Book, Sheet, read_book
from pipelines.reading.workbooks.packages import check_package, unbroken, unsound


def read_xlsx(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of a workbook that unpacks to at most `limit` bytes."""
    options = source.formats.xlsx
    assert options is not None
    with _package(path, limit) as package:
        workbook = xlsx_parts.workbook(package)
    calamine = _opened(path.read_bytes(), [name for name, _ in workbook.sheets])

    def open_sheet(position: int) -> Sheet:
        name, part = workbook.sheets[position]
        with _package(path, limit) as package:
            part = _existing(part)
            survey = xlsx_parts.survey(package, part, limit, workbook.is_calculated)
            mended = xlsx_parts.mended(package, part) if survey.is_padded else None
        book = calamine if mended is None else _opened(mended, calamine.sheet_names)
        return _sheet(book, name, survey, options)

    return read_book(source, options, _book(calamine, open_sheet, workbook.is_1904), limit)


def read_xlsb(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of a binary workbook, in the same way."""
    options = source.formats.xlsb
    assert options is not None
    with _package(path, limit) as package:
        tabs, is_1904 = xlsb_parts.sheets(package)
    calamine = _opened(path.read_bytes(), [name for name, _ in tabs])

    def open_sheet(position: int) -> Sheet:
        name, part = tabs[position]
        with _package(path, limit) as package:
            survey = xlsb_parts.survey(package, _existing(part), limit)
        return _sheet(calamine, name, survey, options)

    return read_book(source, options, _book(calamine, open_sheet, is_1904), limit)


def read_ods(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheets of an OpenDocument spreadsheet, in the same way."""
    options = source.formats.ods
    assert options is not None
    with _package(path, limit) as package:
        surveys = ods_parts.survey(package)
    calamine = _opened(path.read_bytes(), [survey.name for survey in surveys])

    def open_sheet(position: int) -> Sheet:
        return _sheet(calamine, surveys[position].name, surveys[position], options)

    return read_book(source, options, _book(calamine, open_sheet, is_1904=False), limit)


@contextmanager
def _package(path: Path, limit: int) -> Iterator[zipfile.ZipFile]:
    """Open a sound package; what breaks in the block is the file's fault."""
    with unbroken(), zipfile.ZipFile(path) as package:
        check_package(package, limit)
        yield package


def _existing(part: str | None) -> str:
    if part is None:
        raise UnreadableError(Reason(code="damaged", value="a sheet's part is not there"))
    return part


@contextmanager
def _read() -> Iterator[None]:
    """Raise what calamine makes of a damaged workbook, a panic too, as UnreadableError."""
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
    """Return the workbook as calamine has it, if its sheets are those that its parts name.

    We read the bytes ourselves, because calamine reports a failing disk as a damaged workbook.
    """
    from python_calamine import CalamineWorkbook

    with _read():
        book = CalamineWorkbook.from_filelike(io.BytesIO(data))
    if book.sheet_names != names or len(set(names)) < len(names):
        raise UnreadableError(Reason(code="damaged", value="its sheets cannot be told apart"))
    return book


def _book(calamine: Any, open_sheet: Callable[[int], Sheet], is_1904: bool) -> Book:
    """Describe a workbook by calamine's list of its sheets; `open_sheet` reads one by its index."""
    from python_calamine import SheetTypeEnum, SheetVisibleEnum

    tabs = list(enumerate(calamine.sheets_metadata))
    return Book(
        names=tuple(calamine.sheet_names),
        open=open_sheet,
        hidden=frozenset(n for n, tab in tabs if tab.visible != SheetVisibleEnum.Visible),
        others=frozenset(n for n, tab in tabs if tab.typ != SheetTypeEnum.WorkSheet),
        is_1904=is_1904,
    )


def _sheet(calamine: Any, name: str, survey: Survey, options: WorkbookFormat) -> Sheet:
    """Return a sheet with calamine's values and what our own `survey` of its part has found."""
    with _read():
        sheet = calamine.get_sheet_by_name(name)
        ranges = survey.merged or sheet.merged_cell_ranges or ()
        start = sheet.start
    flawed_columns = [column for row in survey.flaws.values() for column in row]
    # Calamine's rows begin with the column of the first value; a flaw may stand left of it.
    first_value = start[1] if start else min(flawed_columns, default=0)
    left = min([first_value, *flawed_columns])
    merged = [
        ((top, max(first - left, 0)), (bottom, last - left))
        for (top, first), (bottom, last) in ranges
        if top < SEARCHED_ROWS and last >= left
    ]
    rows = iter(sheet.iter_rows()) if start else iter(())
    if survey.flaws:
        rows = _with_flaws(rows, survey.flaws, left, first_value - left)
    hidden = survey.hidden if options.hidden_rows == "ignore" else frozenset[int]()
    return Sheet(rows, merged, hidden, left=left)


def _with_flaws(
    rows: Iterator[list[object]], flaws: Flaws, left: int, missing: int
) -> Iterator[list[object]]:
    """Yield the rows with their flaws in place; `missing` columns stand before calamine's first."""
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
