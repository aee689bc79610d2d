"""Scans the parts of an XLSX package (ECMA-376) for what calamine does not tell."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.workbooks.cells import (
    CLASSIC_ERRORS,
    GRID_CELLS,
    MARKED,
    UNCALCULATED,
    Flaw,
    Survey,
    check_extent,
    check_text,
    error_cell,
)
from pipelines.reading.workbooks.packages import (
    BLOCK,
    ELEMENT_BYTES,
    elements,
    local,
    relations,
    whole_part,
)

TRUE = ("1", "true")
NUMBERS = ("n", "b", "s")  # kinds of cells whose value is a number
FILLING = ("array", "dataTable")  # kinds of formulas that fill cells
RAISED = ("superscript", "subscript")
MENDED_BYTES = 256 << 20  # of a sheet that is rewritten as a whole
PADDED = re.compile(rb"(<((?:\w+:)?)v>)(?:\s+([-+.\deE]+)\s*|([-+.\deE]+)\s+)(?=</\2v>)")
# What stands before the cells may be any tags, but no comment and no document type.
HEAD = re.compile(rb"(?:[^<>]*<[^<>!]+>)*?<sheetData>")
# A row as most programs write it: not hidden, each cell with its place, a value or nothing, and
# before a value its formula. No error, no rich text, no blanks around a number.
PLAIN_ROW = re.compile(
    rb"""<row\ r="(\d{1,7})"(?:\ (?!hidden="[1t])[\w:]+="[^"<>]*")*\ ?(?:/>|>(?:
    <c\ r="[A-Z]{1,3}\1"(?:\ s="\d+")?(?:
        />
        | (?:\ t="[nbs]")?>(?:<f(?:\ [^<>]*[^<>/])?>[^<]*</f>)?<v>[^<\s]+</v></c>
        | \ t="str">(?:<f(?:\ [^<>]*[^<>/])?>[^<]*</f>)?<v>[^<]*</v></c>
        | \ t="inlineStr"><is><t(?:\ [^<>]*[^<>/])?>[^<]*</t></is></c>
    ))*+</row>)""",
    re.VERBOSE,
)
COLUMN = re.compile(rb'<c r="([A-Z]+)')


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
    if _is_plain(package, part, limit, is_calculated):
        return Survey()
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
            reference = cell.get("r", "")
            if reference:
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
            # Calamine knows neither errors of newer programs nor blanks around numbers; Excel does.
            if kind == "e" and value not in CLASSIC_ERRORS:
                error = error_cell(value).text
                place = reference[:20] or f"{row_number + 1}:{column + 1}"
                raise UnreadableError(Reason(code="error_cell", value=error, expected=place))
            result.is_padded = result.is_padded or (value != text and kind in NUMBERS)
            flaw = _flaw(content, kind, value, marked, is_calculated)
            if flaw is not None:
                result.add_flaw(row_number, column, flaw)
        check_extent(rows, columns)
        check_text(text_bytes, limit)
    return result


def _is_plain(package: zipfile.ZipFile, part: str, limit: int, is_calculated: bool) -> bool:
    """Tell whether a look at a sheet's bytes is enough to know that nothing has to be told of it.

    It takes a third of the time of the exact scan, which decides wherever this one is in doubt.
    """
    longest = 0
    for name in _shared_string_parts(package):
        for items in _blocks(package, name, b"</si>"):
            # marks of rich text; comments and document types; encodings other than UTF-8
            if any(sign in items for sign in (b"strike", b"vertAlign", b"<!", b"\0")):
                return False
            longest = max([longest, *map(len, items.split(b"</si>"))])
    rows = cells = 0
    columns: set[bytes] = set()
    is_begun = False
    for block in _blocks(package, part, b"</row>"):
        at = 0
        if not is_begun:
            head = HEAD.match(block)
            if head is None:
                return False
            at, is_begun = head.end(), True
        while row := PLAIN_ROW.match(block, at):
            at, rows = row.end(), max(rows, int(row[1]))
        letters = COLUMN.findall(block, 0, at)
        columns.update(letters)
        cells += len(letters)
        if not is_calculated and b"<f" in block:
            return False
        if at < len(block):
            width = max((_column_number(each.decode()) for each in columns), default=0)
            is_small = rows * width <= GRID_CELLS and cells * longest <= limit
            return is_small and block.startswith(b"</sheetData>", at)
    return False


def _blocks(package: zipfile.ZipFile, name: str, end: bytes) -> Iterator[bytes]:
    """Yield a part's bytes in blocks that end with an `end` tag, and what follows the last one."""
    rest = b""
    with package.open(name) as stream:
        while block := stream.read(BLOCK):
            whole, tag, rest = (rest + block).rpartition(end)
            if len(rest) > ELEMENT_BYTES:
                raise UnreadableError(Reason(code="damaged", value="an element of 32 MiB"))
            if tag:
                yield whole + tag
    yield rest


def _shared_string_parts(package: zipfile.ZipFile) -> list[str]:
    return [name for name in package.namelist() if name.lower() == "xl/sharedstrings.xml"]


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
    """Tell whether a rich text of several runs has one struck out, raised or lowered (18.4)."""
    strikes = (mark.get("val", "1") in TRUE for mark in text.iter("{*}strike"))
    raises = (mark.get("val") in RAISED for mark in text.iter("{*}vertAlign"))
    return len(text) > 1 and (any(strikes) or any(raises))


def _shared_strings(package: zipfile.ZipFile) -> tuple[Sequence[int], set[str]]:
    """Return the shared strings' lengths in bytes, and the numbers of those marked in part."""
    lengths: list[int] = []
    marked: set[str] = set()
    for name in _shared_string_parts(package):
        for item in elements(package, name, "{*}si"):
            if _is_partly_marked(item):
                marked.add(str(len(lengths)))
            lengths.append(len("".join(item.itertext()).encode()))
    return lengths, marked


def mended(package: zipfile.ZipFile, part: str) -> bytes:
    """Return the package without the blanks around the numbers of one sheet."""
    copy = io.BytesIO()
    with zipfile.ZipFile(copy, "w") as new:
        for name in package.namelist():
            is_sheet = name == part
            data = whole_part(package, name, MENDED_BYTES) if is_sheet else package.read(name)
            new.writestr(name, PADDED.sub(rb"\1\3\4", data) if is_sheet else data)
    return copy.getvalue()


@lru_cache(1 << 14)
def _column_number(letters: str) -> int:
    """Return the number of a column, from A = 1 to XFD = 16,384 (ECMA-376-1 18.18.62)."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + ord(letter) - 64
    return number
