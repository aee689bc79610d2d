"""Scans the parts of an XLSB package ([MS-XLSB]) for what calamine does not tell.

To calamine an error is an empty cell; it tells neither hidden rows nor merged cells.
"""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from typing import IO

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.workbooks.cells import Survey, check_extent, check_text, error_cell
from pipelines.reading.workbooks.packages import BLOCK, relations

ROW_HEADER, STRING_REFERENCE, LAST_CELL, STRING_ITEM = 0, 7, 11, 19  # [MS-XLSB] 2.3.2
ERROR_CELLS = (3, 11)  # BrtCellError, BrtFmlaError
WORKBOOK_PROPERTIES, SHEET, MERGED = 153, 156, 176
ROW_IS_HIDDEN = 0x1000  # BrtRowHdr.fDyZero
RECORD_BYTES = 64 << 20


def sheets(package: zipfile.ZipFile) -> tuple[list[tuple[str, str | None]], bool]:
    """Return the workbook's sheets as (name, part), and whether its dates count from 1904."""
    parts = relations(package, "xl/_rels/workbook.bin.rels")
    tabs: list[tuple[str, str | None]] = []
    is_1904 = False
    with package.open("xl/workbook.bin") as stream:
        for kind, data in _records(stream):
            if kind == WORKBOOK_PROPERTIES:
                is_1904 = bool(data[0] & 1)
            elif kind == SHEET:
                relation, after = _wide_string(data, 8)
                tabs.append((_wide_string(data, after)[0], parts.get(relation)))
    return tabs, is_1904


def survey(package: zipfile.ZipFile, part: str, limit: int) -> Survey:
    """Scan one sheet; raise as the scan of an XLSX sheet does."""
    import xlrd  # which has the codes of errors: those of .xls and .xlsb (BErr) are the same

    result = Survey()
    rows = columns = row = text_bytes = 0
    lengths = _string_lengths(package)
    with package.open(part) as stream:
        for kind, data in _records(stream):
            if kind == ROW_HEADER:
                row = int.from_bytes(data[:4], "little")
                if int.from_bytes(data[10:12], "little") & ROW_IS_HIDDEN:
                    result.hidden.add(row)
            elif kind <= LAST_CELL:
                column = int.from_bytes(data[:4], "little")
                rows, columns = max(rows, row + 1), max(columns, column + 1)
                check_extent(rows, columns)
                if kind in ERROR_CELLS:
                    result.add_flaw(
                        row, column, error_cell(xlrd.error_text_from_code.get(data[8], ""))
                    )
                elif kind == STRING_REFERENCE:
                    text_bytes += lengths[int.from_bytes(data[8:12], "little")]
                    check_text(text_bytes, limit)
            elif kind == MERGED:
                top, bottom, left, right = struct.unpack_from("<4I", data)
                if top < SEARCHED_ROWS:
                    result.merged.append(((top, left), (bottom, right)))
    return result


def _string_lengths(package: zipfile.ZipFile) -> list[int]:
    if "xl/sharedStrings.bin" not in package.namelist():
        return []
    with package.open("xl/sharedStrings.bin") as stream:
        items = (data for kind, data in _records(stream) if kind == STRING_ITEM)
        return [2 * int.from_bytes(data[1:5], "little") for data in items]


def _wide_string(data: bytes, at: int) -> tuple[str, int]:
    """Return an XLWideString and where it ends ([MS-XLSB] 2.5.168)."""
    end = at + 4 + 2 * int.from_bytes(data[at : at + 4], "little")
    return data[at + 4 : end].decode("utf-16-le"), end


def _records(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Yield a part's records as (type, data).

    A record begins with its type in one or two bytes and its size in up to four, seven bits a byte,
    the lowest first; the highest bit says that another byte follows ([MS-XLSB] 2.1.4).
    """
    buffer, at = b"", 0
    while True:
        if len(buffer) - at < 6:
            buffer, at = buffer[at:] + stream.read(BLOCK), 0
            if not buffer:
                return
        kind = buffer[at]
        at += 1
        if kind & 0x80:
            kind = (kind & 0x7F) | (buffer[at] & 0x7F) << 7
            at += 1
        size = 0
        for shift in range(0, 28, 7):
            byte = buffer[at]
            at += 1
            size |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        if size > RECORD_BYTES:
            raise UnreadableError(Reason(code="damaged", value=f"a record of {size} bytes"))
        while len(buffer) - at < size:
            more = stream.read(max(BLOCK, size))
            if not more:
                raise UnreadableError(Reason(code="damaged", value="cut off inside a record"))
            buffer, at = buffer[at:] + more, 0
        yield kind, buffer[at : at + size]
        at += size
