"""Scans the content of an ODS package (OpenDocument 1.3) for what calamine does not tell.

To calamine an error is an empty cell; it tells neither hidden rows nor merged cells, and it fills
its memory with whatever a cell says it is repeated.
"""

from __future__ import annotations

import zipfile

from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.headers.matching import SEARCHED_ROWS
from pipelines.reading.workbooks.cells import (
    MARKED,
    UNCALCULATED,
    Flaw,
    Survey,
    check_extent,
    error_cell,
    is_error,
)
from pipelines.reading.workbooks.packages import INDEX_BYTES, elements, whole_part

TABLE = "{urn:oasis:names:tc:opendocument:xmlns:table:1.0}"
OFFICE = "{urn:oasis:names:tc:opendocument:xmlns:office:1.0}"
TEXT = "{urn:oasis:names:tc:opendocument:xmlns:text:1.0}"
STYLE = "{urn:oasis:names:tc:opendocument:xmlns:style:1.0}"
CALC = "{urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0}"
HIDDEN = ("collapse", "filter")
CELLS = (f"{TABLE}table-cell", f"{TABLE}covered-table-cell")
COLUMNS_REPEATED = f"{TABLE}number-columns-repeated"
SPANNED = (f"{TABLE}number-rows-spanned", f"{TABLE}number-columns-spanned")
FORMULA, VALUE_TYPE, SHOWN_TYPE = f"{TABLE}formula", f"{OFFICE}value-type", f"{CALC}value-type"
PARAGRAPH, SPAN, STYLE_NAME = f"{TEXT}p", f"{TEXT}span", f"{TEXT}style-name"
ROWS = 1_048_576  # of a sheet: LibreOffice repeats the last row up to there
SHOWN = 100  # characters of a cell that fails, which are enough to know its error


def survey(package: zipfile.ZipFile) -> list[Survey]:
    """Scan the content once: a survey for each of its tables, in order.

    Together they may not span more cells than one sheet may, for calamine holds them all.
    """
    if "META-INF/manifest.xml" in package.namelist():
        manifest = whole_part(package, "META-INF/manifest.xml", INDEX_BYTES)
        if b"encryption-data" in manifest:
            raise UnreadableError(Reason(code="encrypted"))
    surveys: list[Survey] = []
    marking: set[str] = set()  # styles that strike out, raise or lower a text
    current = Survey()
    row = rows = columns = cells_before = 0
    tags = f"{STYLE}style", f"{TABLE}table", f"{TABLE}table-row"
    for element in elements(package, "content.xml", *tags):
        if element.tag == f"{STYLE}style":
            if any(map(_is_marking, element.iterfind(f"{STYLE}text-properties"))):
                marking.add(element.get(f"{STYLE}name", ""))
        elif any(parent.tag in CELLS for parent in element.iterancestors(*CELLS)):
            continue  # a table inside a cell is no sheet
        elif element.tag == f"{TABLE}table":
            current.name = element.get(f"{TABLE}name", "")
            surveys.append(current)
            cells_before += rows * columns
            current, row, rows, columns = Survey(), 0, 0, 0
        else:
            repeats = int(element.get(f"{TABLE}number-rows-repeated", 1))
            width, flaws = _scan_row(element, row, current, marking)
            if width:
                rows, columns = row + repeats, max(columns, width)
                check_extent(1, cells_before + rows * columns)
            if element.get(f"{TABLE}visibility") in HIDDEN:
                current.hidden.update(range(row, min(row + repeats, ROWS)))
            for column, count, flaw in flaws:
                for number in range(row, row + repeats):
                    for place in range(column, column + count):
                        current.add_flaw(number, place, flaw)
            row += repeats
    return surveys


def _scan_row(
    row: Element, number: int, survey: Survey, marking: set[str]
) -> tuple[int, list[tuple[int, int, Flaw]]]:
    """Return how wide a row is filled, and its flaws as (column, repeats, flaw); note its spans."""
    width = column = 0
    flaws = []
    for cell in row.iterchildren(*CELLS):
        attributes = dict(cell.items())
        repeats = int(attributes.get(COLUMNS_REPEATED, 1))
        if number < SEARCHED_ROWS:
            height, breadth = (int(attributes.get(span, 1)) for span in SPANNED)
            if max(height, breadth) > 1:
                last = (number + height - 1, column + breadth - 1)
                survey.merged.append(((number, column), last))
        formula, kind = attributes.get(FORMULA), attributes.get(VALUE_TYPE)
        is_failed = attributes.get(SHOWN_TYPE) == "error"
        paragraphs: list[Element] = []
        if formula or is_failed or marking or not kind:
            # Notes on a cell (office:annotation) have paragraphs of their own, which do not count.
            paragraphs = list(cell.iterchildren(PARAGRAPH))
        if formula or kind or paragraphs:
            width = column + repeats
        shown = ""
        if formula or is_failed:
            shown = "".join("".join(p.itertext())[:SHOWN] for p in paragraphs[:SHOWN]).strip()
        if is_failed or (formula and is_error(shown)):
            flaws.append((column, repeats, error_cell(shown)))
        elif formula and not kind and (shown or not paragraphs):
            flaws.append((column, repeats, UNCALCULATED))
        elif marking and any(
            span.get(STYLE_NAME) in marking
            for paragraph in paragraphs
            for span in paragraph.iter(SPAN)
        ):
            flaws.append((column, repeats, MARKED))
        column += repeats
    return width, flaws


def _is_marking(properties: Element) -> bool:
    """Tell whether a style's text properties strike out, raise or lower."""
    position = properties.get(f"{STYLE}text-position", "0%").split()[:1]
    lines = {properties.get(f"{STYLE}text-line-through-{key}", "none") for key in ("style", "type")}
    return position not in ([], ["0%"]) or lines != {"none"}
