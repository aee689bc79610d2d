"""Scans the parts of an XLSX package (ECMA-376) for what calamine does not tell."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.workbooks.cells import (
    CLASSIC_ERRORS,
    MARKED,
    UNCALCULATED,
    Flaw,
    Marks,
    Survey,
    check_extent,
    check_text,
    error_cell,
)
from pipelines.reading.workbooks.packages import elements, local, relations, whole_part

TRUE = ("1", "true")
NUMBERS = ("n", "b", "s")  # kinds of cells whose value is a number
FILLING = ("array", "dataTable")  # kinds of formulas that fill cells
RAISED = ("superscript", "subscript")
MENDED_BYTES = 256 << 20  # of a sheet that is rewritten as a whole
# Excel reads blanks around numbers, and errors of newer programs; calamine does not.
PADDED = re.compile(rb"(<((?:\w+:)?)v>)(?:\s+([-+.\deE]+)\s*|([-+.\deE]+)\s+)(?=</\2v>)")
NEW_ERROR = re.compile(
    rb"(<((?:\w+:)?)v>)#(?!(?:DIV/0!|N/A|NAME\?|NULL!|NUM!|REF!|VALUE!)<)"
    rb"[A-Z_]{1,20}!?(?=</\2v>)"
)


@dataclass(frozen=True)
class Workbook:
    """A workbook's sheets as (name, part), whether its dates count from 1904 and its results count.

    Programs that cannot calculate ask Excel to do it, and write what they please for a result.
    """

    sheets: list[tuple[str, str | None]]
    is_1904: bool
    is_calculated: bool


def workbook(package: zipfile.ZipFile) -> Workbook:
    """Return what a package says of itself."""
    parts = relations(package, "xl/_rels/workbook.xml.rels")
    sheets: list[tuple[str, str | None]] = []
    is_1904, is_calculated = False, True
    tags = "{*}workbookPr", "{*}calcPr", "{*}sheet"
    for element in elements(package, "xl/workbook.xml", *tags):
        match local(element.tag):
            case "workbookPr":
                is_1904 = element.get("date1904") in TRUE
            case "calcPr":
                is_calculated = element.get("fullCalcOnLoad") not in TRUE
            case "sheet":
                relation = next(value for key, value in element.items() if local(key) == "id")
                sheets.append((element.get("name", ""), parts.get(relation)))
    return Workbook(sheets, is_1904, is_calculated)


def survey(package: zipfile.ZipFile, part: str, limit: int, is_calculated: bool) -> Survey:
    """Scan one sheet's cells (ECMA-376-1 18.3.1).

    Raise UnreadableError if they span too much, or repeat shared strings beyond `limit` bytes.
    """
    result = Survey()
    lengths, marked = _shared_strings(package)
    longest = max(lengths, default=0)
    row_number = -1
    rows = columns = text_bytes = 0
    for row in elements(package, part, "{*}row", "{*}sheetData"):
        if local(row.tag) == "sheetData":
            break  # what follows the cells (links, rules, formats) may be large, and is no value
        row_number = int(row.get("r", row_number + 2)) - 1
        column = -1
        if row.get("hidden") in TRUE:
            result.hidden.add(row_number)
        for cell in row.iterchildren("{*}c"):
            column += 1
            reference = cell.get("r")
            if reference is not None:
                letters = reference.rstrip("0123456789")
                column = _column_number(letters) - 1
                row_number = int(reference[len(letters) :]) - 1
            kind = cell.get("t", "n")
            content = {child.tag.rpartition("}")[2]: child for child in cell}
            if "v" in content or "f" in content or "is" in content:  # or it is a format alone
                rows, columns = max(rows, row_number + 1), max(columns, column + 1)
            text = content["v"].text or "" if "v" in content else ""
            value = text.strip()
            if kind == "s":
                is_known = value.isdecimal() and int(value) < len(lengths)
                text_bytes += lengths[int(value)] if is_known else longest
            is_padded = value != text and kind in NUMBERS
            is_new_error = kind == "e" and value not in CLASSIC_ERRORS
            result.needs_mending = result.needs_mending or is_padded or is_new_error
            flaw = _flaw(content, kind, value, marked, is_calculated)
            if flaw is not None:
                result.add_flaw(row_number, column, flaw)
        check_extent(rows, columns)
        check_text(text_bytes, limit)
    return result


def _flaw(
    content: dict[str, Element], kind: str, value: str, marked: set[str], is_calculated: bool
) -> Flaw | None:
    """Return what is wrong with a cell of these child elements; None for most.

    A formula's empty text is a result, too. A formula that also fills other cells leaves numbers
    in them that nothing tells apart from entered ones: uncalculated, it spoils the whole sheet.
    """
    if kind == "e":
        return error_cell(value)
    is_marked = "is" in content and _is_partly_marked(content["is"])
    if is_marked or (kind == "s" and value in marked):
        return MARKED
    if "f" not in content or (is_calculated and (value or kind == "str")):
        return None
    filled = content["f"].get("ref", "")
    if not is_calculated and content["f"].get("t") in FILLING and ":" in filled:
        raise UnreadableError(Reason(code="uncalculated", expected=filled[:40]))
    return UNCALCULATED


def _is_partly_marked(text: Element) -> bool:
    """Tell whether only a part of a rich text is struck out, raised or lowered (18.4).

    Its phonetic reading (rPh), which no cell shows, counts for nothing, nor do blanks.
    """
    marks = Marks()
    for run in text.iterchildren("{*}r", "{*}t"):
        pieces = [run] if local(run.tag) == "t" else run.findall("{*}t")
        strikes = (mark.get("val", "1") in TRUE for mark in run.iterfind("{*}rPr/{*}strike"))
        raises = (mark.get("val") in RAISED for mark in run.iterfind("{*}rPr/{*}vertAlign"))
        text_of_run = "".join(piece.text or "" for piece in pieces)
        marks.add(text_of_run, any(strikes) or any(raises))
    return marks.are_partial


def _shared_strings(package: zipfile.ZipFile) -> tuple[Sequence[int], set[str]]:
    """Return the shared strings' lengths in bytes, and the numbers of those marked in part."""
    lengths: list[int] = []
    marked: set[str] = set()
    for name in package.namelist():
        if name.lower() == "xl/sharedstrings.xml":
            for item in elements(package, name, "{*}si"):
                if len(item) > 1 and _is_partly_marked(item):
                    marked.add(str(len(lengths)))
                lengths.append(len("".join(item.itertext()).encode()))
    return lengths, marked


def mended(package: zipfile.ZipFile, part: str) -> bytes:
    """Return the package with one sheet as calamine wants it.

    Numbers have no blanks around them, and errors of newer programs become #N/A: which they are,
    the survey of the sheet has noted.
    """
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as new:
        for name in package.namelist():
            if name != part:
                new.writestr(name, package.read(name))
                continue
            sheet = PADDED.sub(rb"\1\3\4", whole_part(package, name, MENDED_BYTES))
            new.writestr(name, NEW_ERROR.sub(rb"\1#N/A", sheet))
    return copy.getvalue()


@lru_cache(1 << 14)
def _column_number(letters: str) -> int:
    """Return the number of a column, from A = 1 to XFD = 16,384 (ECMA-376-1 18.18.62)."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number
