"""The content of an ODS package (OpenDocument 1.3), scanned for what calamine does not tell."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.workbooks.cells import (
    MARKED,
    UNCALCULATED,
    Flaw,
    Marks,
    Survey,
    check_extent,
    error_cell,
    is_error,
)
from pipelines.reading.workbooks.packages import index_part, parse

TABLE = "urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
OFFICE = "urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
STYLE = "urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
CALC = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
HIDDEN = ("collapse", "filter")
ROWS = 1_048_576
SHOWN = 100


def survey(package: zipfile.ZipFile) -> list[Survey]:
    """Scan the content once: a survey for each of its tables, in order.

    Together they may not span more than one sheet may, for calamine keeps them all.
    """
    if "META-INF/manifest.xml" in package.namelist():
        manifest = index_part(package, "META-INF/manifest.xml")
        if b"encryption-data" in manifest:
            raise UnreadableError(Reason(code="encrypted"))
    tables = _Tables()
    parse(package, "content.xml", tables)
    return tables.surveys


class _Tables:
    """What the parser calls for each element: OpenDocument 1.3 part 3, 9.1."""

    def __init__(self) -> None:
        self.surveys: list[Survey] = []
        self._depth = 0  # of tables: those inside cells are no sheets
        self._others = 0  # cells of the tables before this one
        self._rows = self._columns = 0
        self._row = self._column = 0
        self._row_repeats = self._repeats = 1
        self._flaws: list[tuple[int, int, Flaw]] = []  # of the open row: column, repeats, flaw
        self._is_filled = False
        self._has_text = False  # the open cell, if only an empty one
        self._is_annotation = False
        self._formula = self._type = self._shown_type = ""
        self._text: list[str] | None = None
        self._style = ""
        self._marking: set[str] = set()  # the styles that strike out, raise or lower
        self._spans: list[bool] = []  # that are open: whether they do
        self._marks = Marks()

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        if tag == f"{STYLE}style":
            self._style = attributes.get(f"{STYLE}name", "")
        elif tag == f"{STYLE}text-properties" and _marks(attributes):
            self._marking.add(self._style)
        elif tag == f"{TABLE}table":
            self._depth += 1
            if self._depth == 1:
                self.surveys.append(Survey(attributes.get(f"{TABLE}name", "")))
                self._others += self._rows * self._columns
                self._rows = self._columns = self._row = 0
        elif self._depth != 1:
            return
        elif tag == f"{TABLE}table-row":
            self._row_repeats = int(attributes.get(f"{TABLE}number-rows-repeated", 1))
            self._column, self._flaws, self._is_filled = 0, [], False
            if attributes.get(f"{TABLE}visibility") in HIDDEN and self._row < ROWS:
                last = min(self._row + self._row_repeats, ROWS)
                self.surveys[-1].hidden.update(range(self._row, last))
        elif tag in (f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
            self._start_cell(attributes)
        elif tag == f"{OFFICE}annotation":
            self._is_annotation = True
        elif tag == f"{TEXT}p" and not self._is_annotation:
            self._has_text = True
            self._fill()
        elif tag == f"{TEXT}span":
            is_marking = attributes.get(f"{TEXT}style-name") in self._marking
            self._spans.append(is_marking or any(self._spans[-1:]))

    def _start_cell(self, attributes: Mapping[str, str]) -> None:
        self._repeats = int(attributes.get(f"{TABLE}number-columns-repeated", 1))
        self._formula = attributes.get(f"{TABLE}formula", "")
        self._type = attributes.get(f"{OFFICE}value-type", "")
        self._shown_type = attributes.get(f"{CALC}value-type", "")
        spanned = [
            int(attributes.get(f"{TABLE}number-{axis}-spanned", 1)) for axis in ("rows", "columns")
        ]
        if max(spanned) > 1 and self._row < SEARCHED_ROWS:
            last = (self._row + spanned[0] - 1, self._column + spanned[1] - 1)
            self.surveys[-1].merged.append(((self._row, self._column), last))
        self._text = [] if self._formula or self._shown_type == "error" else None
        self._marks, self._has_text = Marks(), False
        if self._type or self._formula:
            self._fill()

    def _fill(self) -> None:
        self._is_filled = True
        self._columns = max(self._columns, self._column + self._repeats)
        self._check()

    def data(self, text: str) -> None:
        if self._is_annotation:
            return
        if self._text is not None and len(self._text) < SHOWN:
            self._text.append(text[:SHOWN])
        if self._marking:
            self._marks.add(text, any(self._spans[-1:]))

    def end(self, tag: str) -> None:
        if tag == f"{TABLE}table":
            self._depth -= 1
        elif self._depth != 1:
            return
        elif tag == f"{OFFICE}annotation":
            self._is_annotation = False
        elif tag == f"{TEXT}span":
            self._spans.pop()
        elif tag in (f"{TABLE}table-cell", f"{TABLE}covered-table-cell"):
            shown = "".join(self._text or ()).strip()
            if self._shown_type == "error" or (self._formula and is_error(shown)):
                self._flaws.append((self._column, self._repeats, error_cell(shown)))
            elif self._formula and not self._type and (shown or not self._has_text):
                self._flaws.append((self._column, self._repeats, UNCALCULATED))
            elif self._marks.are_partial:
                self._flaws.append((self._column, self._repeats, MARKED))
            self._column += self._repeats
            self._text = None
        elif tag == f"{TABLE}table-row":
            if self._is_filled:
                self._rows = self._row + self._row_repeats
                self._check()
            for column, repeats, flaw in self._flaws:
                for row in range(self._row, self._row + self._row_repeats):
                    for place in range(column, column + repeats):
                        self.surveys[-1].flawed(row, place, flaw)
            self._row += self._row_repeats

    def _check(self) -> None:
        rows = max(self._rows, self._row + 1)
        check_extent(1, self._others + rows * self._columns)


def _marks(attributes: Mapping[str, str]) -> bool:
    """Whether a style's text properties strike out, raise or lower what they are of."""
    position = attributes.get(f"{STYLE}text-position", "0%").split()[:1]
    lines = {attributes.get(f"{STYLE}text-line-through-{one}", "none") for one in ("style", "type")}
    return position not in ([], ["0%"]) or lines != {"none"}
