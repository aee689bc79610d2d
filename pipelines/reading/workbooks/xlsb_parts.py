"""The parts of an XLSB package ([MS-XLSB]), scanned for what calamine does not tell."""

from __future__ import annotations

import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.workbooks.cells import Survey, check_extent, check_text, error_cell
from pipelines.reading.workbooks.packages import BLOCK, relations

ROW_HEADER, STRING_REFERENCE, LAST_CELL, STRING_ITEM = 0, 7, 11, 19  # [MS-XLSB] 2.3.2
ERROR_CELLS = (3, 11)  # BrtCellError, BrtFmlaError
WORKBOOK_PROPERTIES, SHEET, MERGED = 153, 156, 176
ROW_IS_HIDDEN = 0x1000  # BrtRowHdr.fDyZero
ERROR_TEXTS = {
    0x00: "#NULL!",
    0x07: "#DIV/0!",
    0x0F: "#VALUE!",
    0x17: "#REF!",
    0x1D: "#NAME?",
    0x24: "#NUM!",
    0x2A: "#N/A",
    0x2B: "#GETTING_DATA",
}
RECORD_BYTES = 64 << 20


def sheets(package: zipfile.ZipFile) -> tuple[list[tuple[str, str | None]], bool]:
    """The workbook's sheets as (name, part), and whether its dates count from 1904."""
    parts = relations(package, "xl/_rels/workbook.bin.rels")
    found: list[tuple[str, str | None]] = []
    is_1904 = False
    with package.open("xl/workbook.bin") as stream:
        for kind, data in _records(stream):
            if kind == WORKBOOK_PROPERTIES:
                is_1904 = bool(data[0] & 1)
            elif kind == SHEET:
                relation, after = _wide_string(data, 8)
                found.append((_wide_string(data, after)[0], parts.get(relation)))
    return found, is_1904


def survey(path: Path, part: str, limit: int) -> Survey:
    """Scan one sheet; raises as the scan of an XLSX sheet does."""
    told = Survey()
    rows = columns = row = spelled = 0
    with zipfile.ZipFile(path) as package:
        lengths = _string_lengths(package)
        with package.open(part) as stream:
            for kind, data in _records(stream):
                if kind == ROW_HEADER:
                    row = int.from_bytes(data[:4], "little")
                    if int.from_bytes(data[10:12], "little") & ROW_IS_HIDDEN:
                        told.hidden.add(row)
                elif kind <= LAST_CELL:
                    column = int.from_bytes(data[:4], "little")
                    rows, columns = max(rows, row + 1), max(columns, column + 1)
                    check_extent(rows, columns)
                    if kind in ERROR_CELLS:
                        told.flawed(row, column, error_cell(ERROR_TEXTS.get(data[8], "")))
                    elif kind == STRING_REFERENCE:
                        spelled += lengths[int.from_bytes(data[8:12], "little")]
                        check_text(spelled, limit)
                elif kind == MERGED:
                    top, bottom, left, right = struct.unpack_from("<4I", data)
                    if top < SEARCHED_ROWS:
                        told.merged.append(((top, left), (bottom, right)))
    return told


def _string_lengths(package: zipfile.ZipFile) -> list[int]:
    if "xl/sharedStrings.bin" not in package.namelist():
        return []
    with package.open("xl/sharedStrings.bin") as stream:
        return [
            2 * int.from_bytes(data[1:5], "little")
            for kind, data in _records(stream)
            if kind == STRING_ITEM
        ]


def _wide_string(data: bytes, at: int) -> tuple[str, int]:
    """An XLWideString and where it ends: [MS-XLSB] 2.5.168."""
    length = int.from_bytes(data[at : at + 4], "little")
    end = at + 4 + 2 * length
    return data[at + 4 : end].decode("utf-16-le"), end


def _records(stream: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """A part's records as (type, data): [MS-XLSB] 2.1.4."""
    held, at = b"", 0
    while True:
        size = 0
        start = at
        if len(held) - at < 6:
            held, at = held[at:] + stream.read(BLOCK), 0
            start = 0
            if not held:
                return
        kind = held[at]
        at += 1
        if kind & 0x80:
            kind = (kind & 0x7F) | (held[at] & 0x7F) << 7
            at += 1
        for shift in (0, 7, 14, 21):
            byte = held[at]
            at += 1
            size |= (byte & 0x7F) << shift
            if not byte & 0x80:
                break
        if size > RECORD_BYTES:
            raise UnreadableError(Reason(code="damaged", value=f"a record of {size} bytes"))
        while len(held) - at < size:
            more = stream.read(max(BLOCK, size))
            if not more:
                raise UnreadableError(Reason(code="damaged", value=f"cut off at byte {start}"))
            held, at = held[at:] + more, 0
        yield kind, held[at : at + size]
        at += size
