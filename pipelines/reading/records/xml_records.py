"""XML: the elements at the contract's path are rows; no document type, no entities, no network."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path

from lxml.etree import XMLParser, XMLSyntaxError

from pipelines.contracts.columns import NUMBERS
from pipelines.contracts.formats import ENCODING_NAMES, ENCODINGS
from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import other_encoding, strict_text
from pipelines.reading.headers.matching import LONG_NUMBER, SCALE, suffix_of
from pipelines.reading.layout import Reading
from pipelines.reading.records.fields import (
    LINE_CHARACTERS,
    MAX_FIELDS,
    MAX_NAME,
    RECORD_CHARACTERS,
    UNIT_NAMES,
    Beside,
    Broken,
    Record,
    Records,
    column_finder,
    reading,
    repeated,
    too_long,
    too_many_fields,
)

DEPTH = 100
PROLOG = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']")
KNOWN_ENCODINGS = {**ENCODING_NAMES, "us-ascii": "utf-8"}
ABOUT_THE_FILE = "{http://www.w3.org/2001/XMLSchema-instance}"  # xsi:nil, xsi:schemaLocation
UNIT_LENGTH = 20  # no unit is longer
CHILD = "\x00"  # stands for a child among an element's texts; no XML can hold it


def read_xml(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open an XML file; a row's number is its place among the row elements, from 1."""
    assert source.formats.xml is not None
    steps = source.formats.xml.record.strip("/").split("/")
    beside = Beside()
    rows = partial(_rows, path, source, steps, _encoding(path, source), beside)
    return reading(source, rows, beside)


def _encoding(path: Path, source: Source) -> str:
    """Return the encoding that the file says of itself (XML 1.0, appendix F)."""
    with path.open("rb") as stream:
        head = stream.read(1024)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head.startswith(b"<\0?\0"):
        return "utf-16-le"
    if head.startswith(b"\0<\0?"):
        return "utf-16-be"
    declared = PROLOG.search(head)
    if declared is None:
        return "utf-8"
    name = declared[1].decode().lower()
    known = KNOWN_ENCODINGS.get(name)
    if known is None or known.startswith("utf-16"):  # UTF-16 could not be read as this prolog was
        raise other_encoding(path, " / ".join(ENCODINGS), f"encoding={name}", source)
    return known


def _rows(path: Path, source: Source, steps: list[str], encoding: str, beside: Beside) -> Records:
    """Yield the records as the parser completes them; no tree of the file is ever built."""
    target = _Target(steps, source, beside)
    parser = XMLParser(
        target=target,
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    is_whole = False
    try:
        for text in strict_text(path, encoding, source):
            # The parser buffers a tag or comment until it ends, however long that is.
            target.silent += len(text)
            parser.feed(text)
            if target.silent > RECORD_CHARACTERS:
                raise too_long(target.number + 1)
            _check_namespaces(parser, target)
            yield from target.take()
        is_whole = True
        parser.close()
    except XMLSyntaxError as error:
        if is_whole:  # it is cut off
            raise UnreadableError(Reason(code="damaged", value=str(error)[:200])) from None
        raise _malformed(target) from None
    _check_namespaces(parser, target)
    yield from target.take()


def _check_namespaces(parser: XMLParser, target: _Target) -> None:
    """Raise UnreadableError if a prefix is not declared: the parser itself only drops it."""
    errors = parser.feed_error_log.filter_from_errors()
    if any(entry.domain_name == "NAMESPACE" for entry in errors):
        raise _malformed(target)


def _malformed(target: _Target) -> UnreadableError:
    number = str(target.number + 1)
    return UnreadableError(Reason(code="malformed", value=number, expected="XML"))


class _Target:
    """Receive what the parser reads, and turn one record after another into cells.

    `number` counts the records, `silent` the characters since the parser last called.
    """

    def __init__(self, steps: list[str], source: Source, beside: Beside) -> None:
        self.number = 0
        self.silent = 0
        self._steps = steps
        self._beside = beside
        self._text_beside: list[str] = []  # of the open element, if it lies in no record
        self._column = column_finder(source)
        self._unit_fault = lru_cache(maxsize=MAX_FIELDS)(self._find_unit_fault)
        self._titles = source.titles
        self._open: list[str] = []  # names of the open elements
        self._texts: list[list[str]] = []  # of the open record and the open elements in it
        self._cells: dict[str, str | None] = {}
        self._broken: Broken | None = None
        self._size = 0
        self._names: set[str] = set()
        self._complete: list[tuple[int, Record]] = []

    def take(self) -> Iterator[tuple[int, Record]]:
        """Yield the complete records, once."""
        complete, self._complete = self._complete, []
        yield from complete

    def doctype(self, name: str, public_id: str | None, system_id: str | None) -> None:
        """Refuse a document type before the parser reads what it declares."""
        raise UnreadableError(Reason(code="unsafe_xml", value="DOCTYPE"))

    def start_ns(self, prefix: str, uri: str) -> None:
        self._remember(prefix)

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.silent = 0
        self._remember(tag)
        self._open.append(_local(tag))
        if len(self._open) > DEPTH:
            raise UnreadableError(Reason(code="deep", value=str(self.number + 1)))
        if self._texts:
            self._texts[-1].append(CHILD)
        elif self._open == self._steps:
            self.number += 1
            self._cells, self._broken, self._size = {}, None, 0
        elif len(self._open) == 1 and self._open[0] != self._steps[0]:
            root, path = self._open[0][:100], "/".join(self._steps)
            raise UnreadableError(Reason(code="no_records", value=root, expected=path))
        else:
            self._text_beside.clear()
            if self._leads_to_records(self._open):
                for name, value in attributes.items():
                    self._beside.add(_local(name), value)
            return
        self._texts.append([])
        self._grow(len(tag))
        for name, value in attributes.items():
            self._remember(name)
            self._grow(len(name) + len(value))
            if not name.startswith(ABOUT_THE_FILE):
                self._add_cell(self._path(f"@{_local(name)}"), value)
                if self._broken is None and len(value) <= UNIT_LENGTH:
                    self._broken = self._unit_fault(self._path(), _local(name), value)

    def data(self, text: str) -> None:
        self.silent = 0
        if self._texts:
            self._grow(len(text))
            self._texts[-1].append(text)
        elif len(self._text_beside) <= LINE_CHARACTERS:
            self._text_beside.append(text[: LINE_CHARACTERS + 1])

    def end(self, tag: str) -> None:
        self.silent = 0
        if self._texts:
            self._add_text("".join(self._texts.pop()))
            if not self._texts:
                self._complete.append((self.number, self._broken or self._cells))
        elif self._leads_to_records(self._open[:-1]):
            self._beside.add(self._open[-1], "".join(self._text_beside).strip())
        self._open.pop()
        if not self._texts:
            self._text_beside.clear()

    def close(self) -> None:
        """Return nothing: the parser asks for a tree, and none was built."""

    def _leads_to_records(self, opened: list[str]) -> bool:
        return opened == self._steps[: len(opened)]

    def _path(self, *below: str) -> str:
        """Return the path of the open element, or of what is `below` it, inside its record."""
        return "/".join([*self._open[len(self._steps) :], *below])

    def _add_text(self, text: str) -> None:
        """Add the text of the element that ends as its cell, the record's own as `text()`.

        Text beside other elements, or in pieces around them, has no certain value.
        """
        name, has_children = self._path(), CHILD in text
        runs = [run for part in text.split(CHILD) if (run := part.strip())]
        if not runs and (has_children or not name):
            return
        column = self._column(name or "text()")
        if column and self._broken is None and (len(runs) > 1 or (name and has_children)):
            self._broken = Broken("mixed_text", self._titles[column.name], "")
        self._add_cell(name or "text()", " ".join(runs) or None)

    def _add_cell(self, name: str, value: str | None) -> None:
        name = name[:MAX_NAME]
        if name not in self._cells:
            self._cells[name] = value
        elif self._broken is None and self._column(name):
            self._broken = repeated(name)

    def _find_unit_fault(self, path: str, attribute: str, value: str) -> Broken | None:
        """Return the fault of a figure whose attribute says another unit than the contract's."""
        column, name = self._column(path), f"{path}/@{attribute}"
        if column is None or column.type not in NUMBERS or self._column(name) is not None:
            return None
        unit = fold_header(value)
        suffix = suffix_of(column, unit)
        if suffix is None and fold_header(attribute) in UNIT_NAMES:
            suffix = unit if column.unit or SCALE.match(unit) else None
        shown = LONG_NUMBER.sub("…", name[:100])
        return Broken("attribute_unit", self._titles[column.name], shown) if suffix else None

    def _remember(self, name: str) -> None:
        """Refuse names without end: the parser keeps every one of them for good."""
        self._names.add(name)
        if len(self._names) > MAX_FIELDS:
            raise too_many_fields()

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > RECORD_CHARACTERS:
            raise too_long(self.number)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
