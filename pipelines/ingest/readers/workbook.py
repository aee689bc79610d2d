"""XLSX workbooks, read for their values by calamine."""

from __future__ import annotations

import io
import mmap
import re
import zipfile
import zlib
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.contracts.models import Source
from pipelines.contracts.reasons import Reason
from pipelines.errors import UnreadableError
from pipelines.ingest.headers import SEARCHED_ROWS, Header, locate
from pipelines.ingest.readers.layout import BATCH_ROWS, Reading, cell_text, damaged, from_columns

GRID_CELLS = 50_000_000
CELL = re.compile(rb'<(?:\w+:)?c\s(?:[^<>]*?\s)?r="([A-Z]{1,3})(\d{1,7})"')
BROKEN = (  # what zipfile raises for what is no sound package
    zipfile.BadZipFile, zlib.error, OSError, NotImplementedError, RuntimeError, EOFError,
)  # fmt: skip
OLE_MAGIC = bytes.fromhex("d0cf11e0a1b11ae1")  # [MS-CFB] 2.2: compound files, encrypted ones too


def read_xlsx(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared sheet of a workbook that unpacks to at most `limit` bytes."""
    from python_calamine import CalamineError, CalamineWorkbook

    assert source.formats.xlsx is not None
    _check_package(path, limit)
    wanted = source.formats.xlsx.sheet
    try:
        # read by us: calamine tells of a disk that fails as it tells of a damaged workbook
        book = CalamineWorkbook.from_filelike(io.BytesIO(path.read_bytes()))
        names = book.sheet_names
        known = wanted in names if isinstance(wanted, str) else wanted < len(names)
        if not known:
            raise UnreadableError(
                Reason(code="missing_sheet", value="、".join(names)[:500], expected=str(wanted))
            )
        name = wanted if isinstance(wanted, str) else names[wanted]
        rows = iter(book.get_sheet_by_name(name).iter_rows())
    except (CalamineError, OSError, ValueError) as error:
        raise damaged(error) from None
    first = [[cell_text(cell) or "" for cell in row] for row in islice(rows, SEARCHED_ROWS)]
    index, header = locate(source, first)
    texts = ([cell_text(cell) or "" for cell in row] for row in rows)
    below = chain(first[index + 1 :], texts)
    return Reading(header, _grid_batches(source, header, name, index + 2, below))


def _check_package(path: Path, limit: int) -> None:
    """Refuse what is no workbook, is encrypted or cut off, or unpacks beyond `limit` bytes."""
    with path.open("rb") as stream:
        head = stream.read(len(OLE_MAGIC))
    if head == OLE_MAGIC:
        with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, prot=mmap.PROT_READ) as file:
            encrypted = file.find("EncryptedPackage".encode("utf-16-le")) >= 0
        reason = (
            Reason(code="encrypted")
            if encrypted
            else Reason(code="damaged", value="an old binary workbook named .xlsx")
        )
        raise UnreadableError(reason)
    try:
        with zipfile.ZipFile(path) as package:
            unpacked = sum(entry.file_size for entry in package.infolist())
            if unpacked > limit:
                reason = Reason(code="too_large", value=str(unpacked), expected=str(limit))
                raise UnreadableError(reason)
            for name in package.namelist():
                if name.startswith("xl/worksheets/") and name.endswith(".xml"):
                    _check_extent(package, name)
    except BROKEN as error:
        raise damaged(error) from None


def _check_extent(package: zipfile.ZipFile, name: str) -> None:
    """Refuse a sheet whose outermost cells span a grid that no memory holds.

    calamine keeps the whole rectangle, so a stray cell in XFD1048576 would end the process;
    what the sheet says of its own dimension may be a lie.
    """
    rows = columns = 0
    rest = b""
    with package.open(name) as sheet:
        while block := sheet.read(1 << 20):
            block = rest + block
            for letters, digits in CELL.findall(block):
                rows = max(rows, int(digits))
                columns = max(columns, _column_number(letters))
            rest = block[-64:]
            if rows * columns > GRID_CELLS:
                reason = Reason(
                    code="sparse", value=f"{rows} x {columns}", expected=str(GRID_CELLS)
                )
                raise UnreadableError(reason)


def _column_number(letters: bytes) -> int:
    """A = 1 … XFD = 16,384 (ECMA-376 18.18.62)."""
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _grid_batches(
    source: Source, header: Header, sheet: str, start: int, rows: Iterator[list[str]]
) -> Iterator[pa.RecordBatch]:
    width = len(header.cells)
    number = start
    while block := list(islice(rows, BATCH_ROWS)):
        wide = max(width, max(map(len, block)))
        padded = [row + [""] * (wide - len(row)) for row in block]
        columns = [pa.array(column, pa.string()) for column in zip(*padded, strict=True)]
        numbers = np.arange(number, number + len(block))
        number += len(block)
        yield from_columns(source, header, columns, numbers, sheet)
