"""Text that a page shows: of one cell, and in lines above and below the table that is read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import islice
from math import isfinite

from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.workbooks.cells import MARKED, NESTED, Figure, Marks, error_cell, is_error

CELL_CHARACTERS = 1 << 18
SHOWN = 100  # characters of a cell that is only shown to people or compared with a header
LINES, LINE_CHARACTERS = 20, 1_000  # of the text above the table
LINES_BELOW = 200
CELLS = frozenset({"td", "th"})
BODIES = frozenset({"thead", "tbody", "tfoot"})
PARTS = CELLS | BODIES | {"tr"}
MARKS = frozenset({"sup", "sub", "s", "del", "strike", "rt", "rp"})
FIELDS = frozenset({"input", "select", "textarea"})
VALUELESS = frozenset({"hidden", "button", "submit", "reset", "image"})  # types of <input>
VOID = frozenset({"br", "hr", "img", "input", "wbr", "col", "embed"})  # have no content
BLOCKS = """
address article blockquote body br caption center dd div dl dt fieldset footer form h1 h2 h3 h4 h5
h6 header hr legend li main nav ol p pre section table tbody tfoot thead tr ul
"""
LINE_ENDS = frozenset(BLOCKS.split())
UNDISPLAYED = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,3})?", re.ASCII)
BLANKS = re.compile(r"[ \t\r\n\f]+")
SPACES = re.compile(r"\s+")
BREAK = "\x00"  # stands for <br> until blanks are folded; the parser lets no cell hold it


def is_hidden(element: Element) -> bool:
    """Return True if an element keeps its content from being shown."""
    return (
        element.get("hidden") is not None
        or UNDISPLAYED.search(element.get("style") or "") is not None
    )


def _is_field(element: Element) -> bool:
    """Return True for a field of a form: nobody knows the value that a person would see in it."""
    kind = (element.get("type") or "").lower()
    return element.tag in FIELDS and kind not in VALUELESS


def _is_marked(element: Element) -> bool:
    """Return True if the text inside is struck out, raised, lowered, hidden or a form's field."""
    tag = element.tag
    return tag in MARKS or (tag not in VOID and (_is_field(element) or is_hidden(element)))


def cell_value(cell: Element, row: int, is_compared: bool = False) -> object:
    """Return the text of a cell, its Figure, or the Flaw for which it has no certain value.

    `row` counts from 1 and is for messages. Raise UnreadableError for a text of more than
    CELL_CHARACTERS; of a cell that `is_compared` with headers only the beginning is taken.
    """
    number = _number_beside(cell)
    if not len(cell) and not number and len(cell.text or "") <= CELL_CHARACTERS:
        # Most cells hold text alone: this takes a third of the time of what follows.
        text = BLANKS.sub(" ", cell.text or "").strip(" ")
        return error_cell(text) if is_error(text) else text
    content = _CellContent(row, is_compared)
    content.add(cell, is_marked=False)
    text = BLANKS.sub(" ", "".join(content.parts)).replace(" \x00", "\n").replace("\x00", "\n")
    text = text.replace("\n ", "\n").strip(" \n")
    if content.is_nested:
        return replace(NESTED, text=text)
    if content.marks.are_partial:
        return replace(MARKED, text=text)
    if is_error(text):
        return error_cell(text)
    return Figure(number, text) if number and len(text) < SHOWN else text


def _number_beside(cell: Element) -> str:
    """Return the number that Excel, WPS or LibreOffice wrote beside a cell's text, or ''."""
    number = (cell.get("x:num") or cell.get("sdval") or "").strip()
    return number if NUMBER.fullmatch(number) and isfinite(float(number)) else ""


@dataclass
class _CellContent:
    """Collect the text of one cell until it ends.

    It `is_nested` if it holds a table: nobody knows which of their cells is the value. The table's
    text is only added for people to see.
    """

    row: int
    is_compared: bool
    parts: list[str] = field(default_factory=list)
    is_nested: bool = False
    marks: Marks = field(default_factory=Marks)
    _characters: int = 0
    _is_over: bool = False

    def add(self, element: Element, is_marked: bool) -> None:
        """Add the content of `element`, which is the cell or lies in it."""
        self._add_text(element.text, is_marked)
        for child in element:
            tag = child.tag
            # What begins another cell or row lies in an element that was left open: it is over.
            self._is_over = self._is_over or tag in PARTS
            if self._is_over or (self.is_compared and self._characters > SHOWN):
                return
            if tag == "table":
                self.is_nested = True
                pieces = (piece[:SHOWN] for piece in islice(child.itertext(), SHOWN))
                self._add_text(f" {' '.join(pieces)} ", is_marked)
            else:
                if tag in ("br", "p", "div") and self.parts:
                    self.parts.append(BREAK)
                if _is_field(child) and not is_hidden(child):
                    self.marks.has_marked = self.marks.has_other = True
                self.add(child, is_marked or _is_marked(child))
            self._add_text(child.tail, is_marked)

    def _add_text(self, text: str | None, is_marked: bool) -> None:
        if not text or self._is_over:
            return
        self._characters += len(text)
        if self._characters > CELL_CHARACTERS and not (self.is_compared or self.is_nested):
            limit = str(CELL_CHARACTERS)
            raise UnreadableError(Reason(code="cell_size", value=str(self.row), expected=limit))
        self.parts.append(text)
        self.marks.add(text, is_marked)


@dataclass
class Lines:
    """Collect the last lines above `table` and the first ones below it.

    Titles in other tables count, `data_tables` do not, nor does what stands above one of them: it
    is that table's.
    """

    table: Element
    data_tables: frozenset[Element]
    above: deque[str] = field(default_factory=lambda: deque(maxlen=LINES))
    below: list[str] = field(default_factory=list)
    _is_above: bool = True
    _line: list[str] = field(default_factory=list)
    _room: int = LINE_CHARACTERS

    def __post_init__(self) -> None:
        self._around = frozenset(self.table.iterancestors())

    def read(self, roots: Iterable[Element]) -> None:
        """Collect the lines of a whole page."""
        for root in roots:
            self._add(root)
        self._end_line()

    def _add(self, element: Element) -> None:
        is_ours = element is self.table
        is_beside = not is_ours and element not in self._around
        if is_beside and _is_marked(element):
            return
        ends_line = element.tag in LINE_ENDS
        if ends_line:
            self._end_line()
        elif element.tag in CELLS:
            self._write(" ")
        if is_ours:
            for caption in element.iterchildren("caption"):
                self._add(caption)
            self._is_above = False
            # Rows with tables in their cells are kept out: what these say counts as notes below.
            for inner in element.iterdescendants("table"):
                if next(inner.iterancestors("table")) is element:
                    self._add(inner)
        elif is_beside and element in self.data_tables:
            (self.above if self._is_above else self.below).clear()
        else:
            self._write(element.text)
            for child in element:
                self._add(child)
                self._write(child.tail)
        if ends_line:
            self._end_line()

    def _write(self, text: str | None) -> None:
        if text and self._room > 0:
            text = SPACES.sub(" ", text[: 2 * LINE_CHARACTERS])[: self._room]
            self._line.append(text)
            self._room -= len(text)

    def _end_line(self) -> None:
        if line := " ".join("".join(self._line).split()):
            if self._is_above:
                self.above.append(line)
            elif len(self.below) < LINES_BELOW:
                self.below.append(line)
        self._line.clear()
        self._room = LINE_CHARACTERS
