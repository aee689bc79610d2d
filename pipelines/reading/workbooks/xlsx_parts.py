"""The parts of an XLSX package (ECMA-376), scanned for what calamine does not tell."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.workbooks.cells import (
    GRID_CELLS,
    MARKED,
    UNCALCULATED,
    Marks,
    Survey,
    check_extent,
    check_text,
    error_cell,
)
from pipelines.reading.workbooks.packages import BLOCK, index_tree, local, parse, relations

TAG_BYTES = 1 << 20
TRUE = ("1", "true")
CELLS = re.compile(rb"<(?:\w+:)?c[\s/>]")
PLACES = re.compile(  # column, row, and a stroke where the cell is empty
    rb"<(?:\w+:)?c\s+r\s*=\s*[\"']([A-Za-z]{1,9})(\d{1,19})[\"'][^<>]*?(/?)>"
)
SHARED = re.compile(rb"\st\s*=\s*[\"']s[\"']")
REFERENCE = re.compile(rb"\st\s*=\s*[\"']s[\"'][^<>]*>\s*<(?:\w+:)?v>\s*(\d{1,15})")
ERROR = re.compile(rb"\st\s*=\s*[\"']e[\"']")
FORMULA = re.compile(rb"<(?:\w+:)?f[\s/>]")
NO_RESULT = re.compile(
    rb"</(?:\w+:)?f>\s*</|<(?:\w+:)?f(?:\s[^<>]*)?/>\s*</|<(?:\w+:)?v\s*/>|<(?:\w+:)?v>\s*</"
)
# what Excel reads and calamine does not: blanks around numbers, errors of newer programs
PADDED = re.compile(rb"(<((?:\w+:)?)v>)(?:\s+([-+.\deE]+)\s*|([-+.\deE]+)\s+)(?=</\2v>)")
AFTER_VALUE = re.compile(rb"v>\s")  # a quick look, before the exact one
NEW_ERROR = re.compile(
    rb"(<((?:\w+:)?)v>)#(?!(?:DIV/0!|N/A|NAME\?|NULL!|NUM!|REF!|VALUE!)<)"
    rb"[A-Z_]{1,20}!?(?=</\2v>)"
)
ITEM = re.compile(rb"<(?:\w+:)?si[\s/>]")
MARK = re.compile(rb"<(?:\w+:)?(?:vertAlign|strike)[\s/>]")
FILLING = ("array", "dataTable")  # kinds of formulas that fill cells
RAISED = ("superscript", "subscript")


@dataclass(frozen=True)
class Workbook:
    """Its sheets as (name, part), whether its dates count from 1904, and has results of formulas.

    Programs that cannot calculate ask for it to be done, and write what they please for a result.
    """

    sheets: list[tuple[str, str | None]]
    is_1904: bool
    is_calculated: bool


def workbook(package: zipfile.ZipFile) -> Workbook:
    """What a package says of itself."""
    parts = relations(package, "xl/_rels/workbook.xml.rels")
    found: list[tuple[str, str | None]] = []
    is_1904, is_calculated = False, True
    for element in index_tree(package, "xl/workbook.xml").iter():
        if local(element.tag) == "workbookPr":
            is_1904 = element.get("date1904") in TRUE
        elif local(element.tag) == "calcPr":
            is_calculated = element.get("fullCalcOnLoad") not in TRUE
        elif local(element.tag) == "sheet":
            relation = next(value for key, value in element.items() if local(key) == "id")
            found.append((element.get("name", ""), parts.get(relation)))
    return Workbook(found, is_1904, is_calculated)


def survey(
    path: Path, part: str, limit: int, wants_hidden: bool, is_calculated: bool = True
) -> Survey:
    """Scan one sheet: a quick pass over its bytes, and an exact one where that finds cause.

    The quick pass will do for cells that say where they stand, close together. Raises
    UnreadableError when the cells span too much, or repeat shared strings beyond `limit` bytes.
    """
    told = Survey()
    with zipfile.ZipFile(path) as package:
        rows = columns = found = placed = spelled = 0
        lengths, marked = _shared_strings(package)
        longest = int(lengths.max(initial=0))
        is_suspect, has_formulas = wants_hidden or bool(marked), False
        with package.open(part) as stream:
            for block in _whole_tags(stream):
                places = PLACES.findall(block)
                found += _cells(block, len(places))
                placed += len(places)
                filled = [place for place in places if not place[2]]
                rows = max([rows, *{int(digits) for _, digits, _ in filled}])
                columns = max([columns, *map(_column_number, {one for one, _, _ in filled})])
                spelled += _spelled(block, lengths, longest)
                check_text(spelled, limit)
                has_formulas = has_formulas or FORMULA.search(block) is not None
                is_suspect = is_suspect or ERROR.search(block) is not None
                is_suspect = is_suspect or MARK.search(block) is not None
                is_suspect = is_suspect or (
                    has_formulas and (not is_calculated or NO_RESULT.search(block) is not None)
                )
                told.is_padded = told.is_padded or _is_padded(block)
        if is_suspect or placed < found or rows * columns > GRID_CELLS:
            parse(package, part, _Cells(told, marked, is_calculated))
    return told


def _cells(block: bytes, placed: int) -> int:
    """How many cells begin in a block; the slow look is for where a quick one finds others."""
    quick = block.count(b"<c") + block.count(b":c")
    return placed if quick == placed else len(CELLS.findall(block))


def _spelled(block: bytes, lengths: np.ndarray, longest: int) -> int:
    """How many bytes of shared strings a block's cells refer to, at the most."""
    if not longest:
        return 0
    references = np.array(REFERENCE.findall(block), dtype="S15").astype(np.int64)
    odd = len(SHARED.findall(block)) - len(references)
    return int(lengths.take(references, mode="clip").sum()) + odd * longest


def _is_padded(block: bytes) -> bool:
    may_be = b" </v>" in block or AFTER_VALUE.search(block) is not None
    return may_be and PADDED.search(block) is not None


def mended(path: Path, part: str) -> bytes | None:
    """The package, one sheet as calamine wants it: no blanks around numbers, errors it knows.

    None when there is nothing to mend.
    """
    copy = io.BytesIO()
    count = 0
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            if name != part:
                new.writestr(name, old.read(name))
                continue
            with old.open(name) as stream, new.open(name, "w") as sheet:
                for block in _whole_tags(stream):
                    trimmed, numbers = PADDED.subn(rb"\1\3\4", block)
                    trimmed, errors = NEW_ERROR.subn(rb"\1#N/A", trimmed)
                    count += numbers + errors
                    sheet.write(trimmed)
    return copy.getvalue() if count else None


class _RichText:
    """What the parser calls for what is inside a text of runs: ECMA-376-1 18.4."""

    def __init__(self) -> None:
        self.marks = Marks()
        self._is_on = self._is_spelling = False

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        match local(tag):
            case "r":
                self._is_on = False
            case "strike":
                self._is_on = self._is_on or attributes.get("val", "1") in TRUE
            case "vertAlign":
                self._is_on = self._is_on or attributes.get("val") in RAISED
            case "rPh":  # how the text is said, which no cell shows
                self._is_spelling = True

    def data(self, text: str) -> None:
        if not self._is_spelling:
            self.marks.add(text, self._is_on)

    def end(self, tag: str) -> None:
        if local(tag) == "rPh":
            self._is_spelling = False


class _SharedStrings:
    """What the parser calls for each element of the shared strings: those that are marked."""

    def __init__(self) -> None:
        self.marked: set[str] = set()
        self._count = 0
        self._text = _RichText()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if local(tag) == "si":
            self._text = _RichText()
        self._text.start(tag, attributes)

    def data(self, text: str) -> None:
        self._text.data(text)

    def end(self, tag: str) -> None:
        self._text.end(tag)
        if local(tag) == "si":
            if self._text.marks.are_partial:
                self.marked.add(str(self._count))
            self._count += 1


class _Cells:
    """What the parser calls for each element of a sheet: ECMA-376-1 18.3.1.

    `marked` are the shared strings, by their number as cells say it, that are so in part.
    """

    def __init__(self, told: Survey, marked: Container[str], is_calculated: bool) -> None:
        self._told = told
        self._is_calculated = is_calculated
        self._marked = marked
        self._row = self._column = -1
        self._rows = self._columns = 0
        self._kind = ""
        self._has_formula = False
        self._text: list[str] | None = None
        self._value = ""
        self._inline: _RichText | None = None

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if self._inline is not None:
            self._inline.start(tag, attributes)
            return
        match local(tag):
            case "row":
                self._row = int(attributes["r"]) - 1 if "r" in attributes else self._row + 1
                self._column = -1
                if attributes.get("hidden") in TRUE:
                    self._told.hidden.add(self._row)
            case "c":
                self._column += 1
                if "r" in attributes:
                    letters = attributes["r"].rstrip("0123456789")
                    self._column = _column_number(letters.encode()) - 1
                    self._row = int(attributes["r"][len(letters) :]) - 1
                self._kind = attributes.get("t", "n")
                self._has_formula, self._value = False, ""
            case "f" | "v" | "is" as inside:  # what has none of them is a format, and no cell
                self._rows = max(self._rows, self._row + 1)
                self._columns = max(self._columns, self._column + 1)
                check_extent(self._rows, self._columns)
                if inside == "f":
                    self._start_formula(attributes)
                self._text = [] if inside == "v" else None
                self._inline = _RichText() if inside == "is" else None

    def _start_formula(self, attributes: Mapping[str, str]) -> None:
        """One that fills other cells, too, leaves numbers in them that nothing tells apart."""
        self._has_formula = True
        filled = attributes.get("ref", "")
        if not self._is_calculated and attributes.get("t") in FILLING and ":" in filled:
            raise UnreadableError(Reason(code="uncalculated", expected=filled[:40]))

    def data(self, text: str) -> None:
        if self._text is not None:
            self._text.append(text)
        if self._inline is not None:
            self._inline.data(text)

    def end(self, tag: str) -> None:
        if self._inline is not None and local(tag) != "is":
            self._inline.end(tag)
            return
        match local(tag):
            case "is" if self._inline is not None:
                if self._inline.marks.are_partial:
                    self._told.flawed(self._row, self._column, MARKED)
                self._inline = None
            case "v":
                self._value = "".join(self._text or ()).strip()
                self._text = None
            case "c" if self._kind == "e":
                self._told.flawed(self._row, self._column, error_cell(self._value))
            case "c" if self._kind == "s" and self._value in self._marked:
                self._told.flawed(self._row, self._column, MARKED)
            case "c" if self._has_formula and not self._has_result():
                self._told.flawed(self._row, self._column, UNCALCULATED)

    def _has_result(self) -> bool:
        """Whether the open cell's formula was calculated; an empty text is a result, too."""
        return self._is_calculated and bool(self._value or self._kind == "str")


def _whole_tags(stream: IO[bytes]) -> Iterator[bytes]:
    """The part's bytes in blocks that no tag straddles, nor a number between its tags."""
    rest = b""
    while block := stream.read(BLOCK):
        rest += block
        cut = rest.rfind(b"<")
        while cut > 0 and rest[cut : cut + 2] == b"</" and len(rest) - cut < 100:
            cut = rest.rfind(b"<", 0, cut)  # an element begins before its end does
        if cut >= 0 and len(rest) - cut > TAG_BYTES and b">" not in rest[cut:]:
            raise UnreadableError(Reason(code="damaged", value="a tag of a million bytes"))
        if cut > 0:
            yield rest[:cut]
            rest = rest[cut:]
        elif len(rest) > 2 * TAG_BYTES:
            yield rest
            rest = b""
    yield rest


def _shared_strings(package: zipfile.ZipFile) -> tuple[np.ndarray, set[str]]:
    """The shared strings' lengths in bytes, markup included, and those that are marked in part."""
    name = next((one for one in package.namelist() if one.lower() == "xl/sharedstrings.xml"), None)
    if name is None:
        return np.zeros(0, np.int64), set()
    starts: list[int] = []
    at = 0
    has_marks = False
    with package.open(name) as stream:
        for block in _whole_tags(stream):
            starts += [at + item.start() for item in ITEM.finditer(block)]
            has_marks = has_marks or MARK.search(block) is not None
            at += len(block)
    strings = _SharedStrings()
    if has_marks:
        parse(package, name, strings)
    return np.diff(np.array([*starts, at], np.int64)), strings.marked


def _column_number(letters: bytes) -> int:
    """A = 1 … XFD = 16,384 (ECMA-376-1 18.18.62)."""
    number = 0
    for letter in letters.upper():
        number = number * 26 + letter - 64
    return number
