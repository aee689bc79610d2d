"""A table of an HTML page, such as systems write under a workbook's name."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from math import isfinite
from pathlib import Path

from pipelines.contracts.models import Source, WorkbookFormat
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import HEAD_BYTES, other_encoding, strict_text
from pipelines.reading.headers.matching import SEARCHED_ROWS, Merged
from pipelines.reading.layout import Reading, damaged
from pipelines.reading.webpages.tables import FirstRows, is_more
from pipelines.reading.workbooks.cells import (
    MARKED,
    NESTED,
    Figure,
    Marks,
    check_extent,
    error_cell,
    is_error,
)
from pipelines.reading.workbooks.grid import Book, Sheet, read_book

BLOCK = 1 << 16
SPAN = 20_000  # columns or rows that one cell may cover; no sheet is wider
CELL_CHARACTERS = 1 << 18
MARKUP_CHARACTERS = 1 << 19  # of one tag or comment
END_TAG = 16  # characters that may be the beginning of one
DEPTH = 100  # of tables inside tables
LINES, LINE_CHARACTERS = 20, 1_000  # of the text above the table
LINES_BELOW = 200
UNSEEN = frozenset({"style", "script", "comment", "template", "title", "datalist"})
MARKS = frozenset({"sup", "sub", "s", "del", "strike", "rt", "rp"})
FIELDS = frozenset({"input", "select", "textarea"})  # of forms: what they show is no text
CELLS = frozenset({"table", "td", "th"})
VEILS = frozenset({"article", "aside", "div", "fieldset", "form", "section", "span", "table"})
NUMBER = re.compile(r"[-+]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][-+]?\d{1,3})?", re.ASCII)
SHOWN = 100  # characters of a cell that is no more than shown
BODIES = frozenset({"thead", "tbody", "tfoot"})
LINE_ENDS = BODIES | frozenset(
    {
        "address",
        "article",
        "blockquote",
        "body",
        "br",
        "caption",
        "center",
        "dd",
        "div",
        "dl",
        "dt",
        "fieldset",
        "footer",
        "form",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "header",
        "hr",
        "legend",
        "li",
        "main",
        "nav",
        "ol",
        "p",
        "pre",
        "section",
        "table",
        "tr",
        "ul",
    }
)
VOID = frozenset({"br", "hr", "img", "input", "wbr", "col", "embed"})  # have nothing inside
UNDISPLAYED = re.compile(r"(?:^|;)\s*display\s*:\s*none\b", re.IGNORECASE)
CHARSET = re.compile(rb"<meta\s[^>]*?charset\s*=\s*[\"']?\s*([A-Za-z][\w-]*)", re.IGNORECASE)
ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb18030": "gb18030",
    "x-gbk": "gb18030",
    "unicode": "utf-16",
    "utf-16": "utf-16",
    "utf-16le": "utf-16",
}
SPACES = re.compile(r"\s+")
VALUELESS = frozenset({"hidden", "button", "submit", "reset", "image"})  # inputs
BLANKS = re.compile(r"[ \t\r\n\f]+")
NO_VEIL = ("", 0, -1)  # outermost hidden element: its tag, how often that is open, tables around
CUT = "…"  # stands for a table in a cell that is only compared
BREAK = "\x00"  # stands for <br> until blanks are folded; no cell can hold it


def read_html(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open the declared table; a row's number is its place in the table, from 1.

    A page may name another encoding than the contract: it is told where the contract's does not
    find the header, and is a warning otherwise.
    """
    options = source.formats.html
    assert options is not None
    named = _named_encoding(path)
    page = _Page(options.table)

    def open_table(position: int) -> Sheet:
        rows = _rows(path, source, options.encoding, page)
        return Sheet(rows, page.merged, page.hidden, page.above, page.below)

    book = Book(names=("",), open=open_table, is_page=True)
    reading = read_book(source, WorkbookFormat(), book, limit)
    if named is None or named == options.encoding:
        return reading
    if reading.header.faults(source):
        raise other_encoding(path, options.encoding, f"it says {named} of itself", source)
    told = Reason(code="charset", value=named, expected=options.encoding)
    return replace(reading, warnings=(*reading.warnings, told))


def _named_encoding(path: Path) -> str | None:
    """The encoding that a page names in its head, where it is one that contracts know."""
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES).replace(b"\0", b"")
    found = CHARSET.search(head)
    return ENCODINGS.get(found[1].decode().lower()) if found else None


def _rows(path: Path, source: Source, encoding: str, page: _Page) -> Iterator[list[object]]:
    for text in strict_text(path, encoding, source):
        for at in range(0, len(text), BLOCK):
            page.feed(text[at : at + BLOCK])
            yield from page.taken()
            _check_others(source, page)
            if page.cdata_elem in UNSEEN:  # a script may be of any length
                page.rawdata = page.rawdata[-END_TAG:]
            if len(page.rawdata) > MARKUP_CHARACTERS:
                if not page.is_done:
                    raise _too_long(page.number)
                page.rawdata = ""  # as of a picture below the table
    page.close()
    page.end_table()
    yield from page.taken()
    if not page.is_found:
        raise UnreadableError(
            Reason(code="missing_table", value=str(page.tables), expected=str(page.declared + 1))
        )
    _check_others(source, page)


def _check_others(source: Source, page: _Page) -> None:
    """Refuse a page where a table after the one that is read has rows of the contract, too."""
    while page.ours is not None and page.others:
        other = page.others.pop()
        if is_more(source, page.ours, other):
            second, declared = str(other.position + 1), str(page.declared + 1)
            raise UnreadableError(Reason(code="second_table", value=second, expected=declared))


def _too_long(row: int) -> UnreadableError:
    return UnreadableError(
        Reason(code="cell_size", value=str(row + 1), expected=str(CELL_CHARACTERS))
    )


@dataclass(slots=True)
class _Table:
    """An open table: its position among those with cells, how many rows have several filled."""

    position: int | None = None
    rows: int = 0
    filled: int = 0  # cells of the open row
    is_blank: bool = True  # the open cell

    def start(self, tag: str) -> None:
        """A row or a cell begins."""
        self.is_blank = True
        if tag == "tr":
            self.filled = 0

    def fill(self) -> None:
        """There is text in the open cell."""
        self.filled += self.is_blank
        self.rows += self.is_blank and self.filled == 2
        self.is_blank = False


class _Page(HTMLParser):
    """Collects the rows of one table among those that have cells; tables inside it are others.

    A row that the page does not show is `hidden`, a cell that it does not show has no place. Of
    one that is shown in part, in part struck out or raised, or a form's field nobody knows the
    value. What is in a table of a cell's own is the cell's, if but one cell of it is filled.
    `ours` are its first rows, `others` the tables that follow, as far as none lies in them; what
    lies in a hidden part of the page is none, unless our table does. `above` are the last lines of
    text before the first cell, of titles in tables, too, but not of tables of data: those with
    several cells in several rows. `below` are the first lines after the table, of no other.
    """

    def __init__(self, wanted: int) -> None:
        super().__init__(convert_charrefs=True)
        self.wanted = self.declared = wanted
        self.ours: FirstRows | None = None
        self.others: list[FirstRows] = []
        self._first_rows: list[list[object]] = []
        self._veil = NO_VEIL
        self._is_veiled = False  # our table
        self.tables = 0  # that have cells, so far
        self.number = 0  # of the open row, from 0
        self.merged: list[Merged] = []
        self.hidden: set[int] = set()  # rows, from 0
        self.is_found = self.is_done = False
        self.above: deque[str] = deque(maxlen=LINES)
        self.below: list[str] = []
        self._outer = 0  # tables that ours stands in
        self._line: list[str] = []
        self._line_characters = 0
        self._open: list[_Table] = []
        self._unseen = 0
        self._row: list[object] | None = None
        self._cell: list[str] | None = None
        self._characters = 0
        self._cell_tables = 0  # that the open cell stands in
        self._number = ""  # that the open cell holds beside its text
        self._pieces = 0  # of the open cell: filled cells of tables in it, and itself
        self._is_new_piece = True
        self._mark = ("", 0)  # the tag of the outermost mark, and how often it is open
        self._marks = Marks()
        self._is_row_hidden = self._is_body_hidden = False
        self._span = (1, 1)
        self._spanned: dict[int, int] = {}  # by column: rows yet covered from above
        self._width = 0
        self._ready: list[list[object]] = []

    def parse_html_declaration(self, i: int) -> int:
        """As HTMLParser does it, which asserts that others write markup well."""
        try:
            return super().parse_html_declaration(i)
        except AssertionError as error:
            raise damaged(error) from None

    def taken(self) -> list[list[object]]:
        """The rows that are complete, once."""
        ready, self._ready = self._ready, []
        return ready

    @property
    def _is_ours(self) -> bool:
        return bool(self._open) and self._open[-1].position == self.wanted

    @property
    def _is_open(self) -> bool:
        """Whether we are in our table, or before the first cell of what may be ours."""
        return self._is_ours or (
            bool(self._open) and self._open[-1].position is None and self.tables == self.wanted
        )

    @property
    def _is_beside(self) -> bool:
        """Whether we are above our table, or below it and in no other."""
        return not self.is_found or (self.is_done and len(self._open) <= self._outer)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._is_beside:
            self._start_beside(tag, attrs)
        if tag in VEILS:
            self._start_veil(tag, attrs)
        self._is_new_piece = self._is_new_piece or tag in CELLS
        if tag in UNSEEN:
            self._unseen += 1
        elif tag == "table":
            if len(self._open) == DEPTH:
                raise UnreadableError(Reason(code="deep", value=str(self.number + 1)))
            self._open.append(_Table())
            if not self.is_found:
                self._is_row_hidden = self._is_body_hidden = False
        elif tag in ("td", "th") and self._open:
            if self._open[-1].position is None:
                if self.is_done and (self._is_veiled or not self._veil[1]):
                    self._start_other()
                self._open[-1].position = self.tables
                if self.tables == self.wanted:
                    self.is_found, self._is_veiled = True, self._veil[1] > 0
                    self._end_line()
                self.tables += 1
            if self._is_ours:
                self._start_cell(dict(attrs), _is_hidden(attrs))
            elif self._cell is not None and not self._is_unshown and not _is_hidden(attrs):
                self._start_inner(_number_beside(dict(attrs)))
        elif tag == "tr" and self._is_open:
            self._end_row()
            self._is_row_hidden = _is_hidden(attrs)
        elif tag in BODIES and self._is_open:
            self._end_body(_is_hidden(attrs))
        elif self._cell is not None:
            if tag in ("br", "p", "div") and self._cell:
                self._cell.append(BREAK)
            self._start_mark(tag, attrs)

    def _start_beside(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """A tag outside of our table's cells may end a line, or hide what is inside it."""
        if tag in LINE_ENDS:
            self._end_line()
            if self._mark[0] == "p":  # whose end tag may be left away
                self._mark = ("", 0)
        elif tag in ("td", "th"):
            self._write(" ")
        if self._open and tag in ("td", "th", "tr"):
            self._open[-1].start(tag)
        self._start_mark(tag, attrs)

    def _start_veil(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        outermost, depth, tables = self._veil
        if depth:
            self._veil = (outermost, depth + (tag == outermost), tables)
        elif _is_hidden(attrs):
            self._veil = (tag, 1, len(self._open))

    def _end_veil(self, tag: str) -> None:
        """One ends with its element, or with the table that this stands in, were it left open."""
        outermost, depth, tables = self._veil
        depth -= tag == outermost
        self._veil = (outermost, depth, tables) if depth > 0 else NO_VEIL
        if tag == "table" and len(self._open) < tables:
            self._veil = NO_VEIL

    @property
    def _is_unshown(self) -> bool:
        """Whether we are in a hidden table of the open cell."""
        return self._cell_tables <= self._veil[2] and self._cell_tables < len(self._open)

    def _start_inner(self, number: str) -> None:
        """A cell of a table in the open cell begins; it is filled if it holds a number."""
        if number:
            self._pieces += 1 + (self._number not in ("", number))
            self._number, self._is_new_piece = number, False
            if self._cell is not None:
                self._cell.append(" ")

    def _start_mark(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        outermost, depth = self._mark
        is_field = tag in FIELDS and (dict(attrs).get("type") or "").lower() not in VALUELESS
        if is_field and not _is_hidden(attrs):
            self._marks.has_marked = self._marks.has_other = True
        if depth:
            self._mark = (outermost, depth + (tag == outermost))
        elif tag in MARKS or (tag not in VOID and (is_field or _is_hidden(attrs))):
            self._mark = (tag, 1)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in UNSEEN:  # <title/> has nothing inside
            self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        if self._is_beside:
            self._end_beside(tag)
        self._is_new_piece = self._is_new_piece or tag in CELLS
        if tag in UNSEEN:
            self._unseen = max(0, self._unseen - 1)
        elif tag == "table" and self._open:
            if self._is_ours:
                if not self.is_done:
                    self._outer = len(self._open) - 1
                self.end_table()
            if self._open.pop().rows > 1 and not self.is_found:
                self.above.clear()
            self._end_veil(tag)
        elif self._is_ours and tag in ("td", "th"):
            self._end_cell()
        elif self._is_ours and tag == "tr":
            self._end_row()
        elif tag in BODIES and self._is_open:
            self._end_body()
        elif self._cell is not None and self._mark[1] and tag == self._mark[0]:
            self._mark = (tag, self._mark[1] - 1)
        if tag in VEILS and tag != "table":
            self._end_veil(tag)

    def handle_data(self, data: str) -> None:
        if self._is_beside and not self._unseen:
            self._write(data)
        if self._cell is None or self._unseen or self._is_unshown:
            return
        if self._is_new_piece and data.strip():
            self._pieces += 1
            self._is_new_piece = False
            self._cell.append(" ")
        if self._characters > SHOWN and (self._pieces > 1 or self.is_done):
            return  # such a cell is but shown, or compared with a header
        self._characters += len(data)
        if self._characters > CELL_CHARACTERS:
            raise _too_long(self.number)
        self._cell.append(data.replace(BREAK, ""))
        self._marks.add(data, self._mark[1] > 0)

    def _end_beside(self, tag: str) -> None:
        if tag in LINE_ENDS:
            self._end_line()
        if self._mark[1] and tag == self._mark[0]:
            self._mark = (tag, self._mark[1] - 1)

    def _write(self, text: str) -> None:
        """Text above or below the table, of which no more than a line is held."""
        if self._mark[1]:
            return
        if self._open and text.strip():
            self._open[-1].fill()
        if text := SPACES.sub(" ", text)[: LINE_CHARACTERS - self._line_characters]:
            self._line.append(text)
            self._line_characters += len(text)

    def _end_line(self) -> None:
        if line := " ".join("".join(self._line).split()):
            if not self.is_done:
                self.above.append(line)
            elif len(self.below) < LINES_BELOW:
                self.below.append(line)
        self._line.clear()
        self._line_characters = 0

    def close(self) -> None:
        """The page is over, and its last line."""
        super().close()
        if self._is_beside:
            self._end_line()

    def end_table(self) -> None:
        """The wanted table is over, or another that is looked at after it, or the page is."""
        if not self.is_found:
            return
        self._end_row()
        first = FirstRows(self.wanted, self._first_rows, self.merged)
        if self.ours is None:
            self.ours = first
        elif first.rows:
            if sum(sum(map(bool, row)) > 1 for row in first.rows) > 1:
                self.below.clear()  # they are above a table of data
            self.others.append(first)
        self._first_rows = []
        self.is_done = True

    def _start_other(self) -> None:
        """A table begins after the one that was wanted."""
        if self._cell is not None:
            self._cell.append(CUT)
        self.end_table()
        self.wanted, self.number, self._width = self.tables, 0, 0
        self.merged, self.hidden, self._spanned = [], set(), {}
        self._is_row_hidden = self._is_body_hidden = False

    def _start_cell(self, attributes: dict[str, str | None], is_hidden: bool) -> None:
        self._end_cell()
        if self._row is None:
            self._row = []
        if self._veil[2] >= len(self._open):  # left open in the cell before
            self._veil = NO_VEIL
        if is_hidden:
            return
        self._cover()
        self._cell_tables = len(self._open)
        self._cell, self._characters = [], 0
        self._pieces, self._is_new_piece = 0, True
        self._number = _number_beside(attributes)
        self._mark, self._marks = ("", 0), Marks()
        rows = _span(attributes.get("rowspan"), none=SPAN)
        self._span = (rows, _span(attributes.get("colspan"), none=1))

    def _cover(self) -> None:
        """Blanks for what cells of rows above cover at this place."""
        assert self._row is not None
        while self._spanned.get(len(self._row), 0):
            self._row.append("")
        self._width = max(self._width, len(self._row))
        check_extent(self.number + 1, self._width)

    def _end_cell(self) -> None:
        if self._cell is None or self._row is None:
            return
        text = BLANKS.sub(" ", "".join(self._cell)).replace(" \x00", "\n").replace("\x00", "\n")
        text = text.replace("\n ", "\n").strip(" \n")
        rows, columns = self._span
        top, left = self.number, len(self._row)
        self._row.append(self._value(text))
        self._row.extend([""] * (columns - 1))
        if rows > 1:
            for column in range(left, left + columns):
                self._spanned[column] = rows
        if (rows > 1 or columns > 1) and top < SEARCHED_ROWS:
            self.merged.append(((top, left), (top + rows - 1, left + columns - 1)))
        self._cell = None

    def _value(self, text: str) -> object:
        """What the open cell holds, of which the page shows `text`."""
        if self._pieces > 1:
            return replace(NESTED, text=text)
        if self._marks.are_partial:
            return replace(MARKED, text=text)
        if is_error(text):
            return error_cell(text)
        return Figure(self._number, text) if self._number and len(text) < SHOWN else text

    def _end_body(self, is_next_hidden: bool = False) -> None:
        """A group of rows is over, and with it what cells of it cover."""
        self._end_row()
        self._spanned.clear()
        self._is_body_hidden = is_next_hidden

    def _end_row(self) -> None:
        self._end_cell()
        is_hidden, self._is_row_hidden = self._is_row_hidden or self._is_body_hidden, False
        if self._row is None:
            return
        self._cover()
        if not self.is_done:
            self._ready.append(self._row)
        if len(self._first_rows) < SEARCHED_ROWS and not (self.is_done and is_hidden):
            self._first_rows.append(self._row)
        self._row = None
        if is_hidden:
            self.hidden.add(self.number)
        self.number += 1
        self._spanned = {column: left - 1 for column, left in self._spanned.items() if left > 1}


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    """Whether a tag keeps what is inside it from being shown."""
    return any(
        name == "hidden" or (name == "style" and UNDISPLAYED.search(value or "") is not None)
        for name, value in attrs
    )


def _number_beside(attributes: Mapping[str, str | None]) -> str:
    """The number that Excel, WPS or LibreOffice wrote beside a cell's text; '' for none."""
    number = (attributes.get("x:num") or attributes.get("sdval") or "").strip()
    return number if NUMBER.fullmatch(number) and isfinite(float(number)) else ""


def _span(text: str | None, none: int) -> int:
    """How many rows or columns a cell covers: `none` for 0, 1 where the attribute is no number."""
    found = re.match(r"\s*(\d{1,20})", text or "")
    span = int(found[1]) or none if found else 1
    if span > SPAN:
        raise UnreadableError(Reason(code="sparse", value=str(span), expected=str(SPAN)))
    return span
