"""XML: the elements at the contract's path are rows; no DTD, no entities, nothing fetched."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from xml.etree.ElementTree import ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from pipelines.contracts.consistency import NUMBERS, fold_header
from pipelines.contracts.models import Source
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
    named,
    reading,
    repeated,
    too_long,
    too_many_fields,
)

DEPTH = 100
PROLOG = re.compile(rb"<\?xml[^>]*?\sencoding\s*=\s*[\"']([A-Za-z][\w.-]*)[\"']")
ENCODINGS = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    "us-ascii": "utf-8",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "gb18030": "gb18030",
    "utf-16": "utf-16",
    "utf-16le": "utf-16-le",
    "utf-16be": "utf-16-be",
}
ABOUT_THE_FILE = "{http://www.w3.org/2001/XMLSchema-instance}"  # xsi:nil, xsi:schemaLocation
UNIT_LENGTH = 20  # no unit is longer
CHILD = "\x00"  # stands for a child among an element's texts; no XML can hold it
TRUNCATED = ("no element found", "unclosed token")  # what expat says of a text that ends early


def read_xml(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open an XML file; a row's number is its place among the row elements, from 1."""
    assert source.formats.xml is not None
    steps = source.formats.xml.record.strip("/").split("/")
    beside = Beside()
    rows = partial(_rows, path, source, steps, _encoding(path, source), beside)
    return reading(source, rows, beside)


def _encoding(path: Path, source: Source) -> str:
    """What the file says of itself: XML 1.0, appendix F."""
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
    known = ENCODINGS.get(name)
    if known is None or known.startswith("utf-16"):  # the prolog itself was not
        raise other_encoding(path, "utf-8 / gb18030 / utf-16", f"encoding={name}", source)
    return known


def _rows(path: Path, source: Source, steps: list[str], encoding: str, beside: Beside) -> Records:
    elements = _Elements(steps, source, beside)
    parser = DefusedXMLParser(target=elements, forbid_dtd=True)
    try:
        for text in strict_text(path, encoding, source):
            elements.unheard += len(text)
            parser.feed(text)
            if elements.unheard > RECORD_CHARACTERS:  # one tag, comment or the like so far
                raise too_long(elements.number + 1)
            yield from elements.taken()
        parser.close()
        yield from elements.taken()
    except DefusedXmlException as error:
        raise UnreadableError(Reason(code="unsafe_xml", value=type(error).__name__)) from None
    except ParseError as error:
        if str(error).startswith(TRUNCATED):
            raise UnreadableError(Reason(code="damaged", value=str(error))) from None
        number = str(elements.number + 1)
        raise UnreadableError(Reason(code="malformed", value=number, expected="XML")) from None


class _Elements:
    """What the parser calls: keeps the open record only, and never a tree."""

    def __init__(self, steps: list[str], source: Source, beside: Beside) -> None:
        self.number = 0
        self.unheard = 0  # characters fed since the parser last told of anything
        self._steps = steps
        self._beside = beside
        self._text: list[str] = []  # of an element beside the records
        self._column = named(source)
        self._unit_fault = lru_cache(maxsize=MAX_FIELDS)(self._other_unit)
        self._titles = source.titles
        self._open: list[str] = []
        self._texts: list[list[str]] = []  # of the record's open elements
        self._cells: dict[str, str | None] = {}
        self._broken: Broken | None = None
        self._size = 0
        self._names: set[str] = set()
        self._ready: list[tuple[int, Record]] = []

    def taken(self) -> list[tuple[int, Record]]:
        """The records that are complete, once."""
        ready, self._ready = self._ready, []
        return ready

    def start(self, tag: str, attributes: Mapping[str, str]) -> None:
        self.unheard = 0
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
            found, sought = self._open[0][:100], "/".join(self._steps)
            raise UnreadableError(Reason(code="no_records", value=found, expected=sought))
        else:
            self._start_beside(attributes)
            return
        self._texts.append([])
        self._grow(len(tag))
        for name, value in attributes.items():
            self._remember(name)
            self._grow(len(name) + len(value))
            if not name.startswith(ABOUT_THE_FILE):
                self._keep(self._place(f"@{_local(name)}"), value)
                if self._broken is None and len(value) <= UNIT_LENGTH:
                    self._broken = self._unit_fault(self._place(), _local(name), value)

    def data(self, text: str) -> None:
        self.unheard = 0
        if self._texts:
            self._grow(len(text))
            self._texts[-1].append(text)
        elif len(self._text) <= LINE_CHARACTERS:
            self._text.append(text[: LINE_CHARACTERS + 1])

    def end(self, tag: str) -> None:
        self.unheard = 0
        if self._texts:
            self._end_text("".join(self._texts.pop()))
            if not self._texts:
                self._ready.append((self.number, self._broken or self._cells))
        elif self._is_on_the_way(self._open[:-1]):
            self._beside.add(self._open[-1], "".join(self._text).strip())
        self._open.pop()
        if not self._texts:
            self._text.clear()

    def _start_beside(self, attributes: Mapping[str, str]) -> None:
        """Hear the attributes of an element that records are in."""
        self._text.clear()
        if self._is_on_the_way(self._open):
            for name, value in attributes.items():
                self._beside.add(_local(name), value)

    def _is_on_the_way(self, opened: list[str]) -> bool:
        return opened == self._steps[: len(opened)]

    def _end_text(self, text: str) -> None:
        """Keep the text of the element that ends; the record's own stands between its children."""
        name = self._place()
        if CHILD not in text and name:
            self._keep(name, text.strip() or None)
            return
        runs = [run for one in text.split(CHILD) if (run := one.strip())]
        if runs:
            name = name or "text()"
            self._check_mixed(name, len(runs))
            self._keep(name, " ".join(runs))

    def start_ns(self, prefix: str, uri: str) -> None:
        self._remember(prefix)

    def close(self) -> None:
        """The parser asks for what it has built: nothing."""

    def _place(self, *below: str) -> str:
        """The path of the open element inside its record."""
        return "/".join([*self._open[len(self._steps) :], *below])

    def _keep(self, name: str, value: str | None) -> None:
        name = name[:MAX_NAME]
        if name not in self._cells:
            self._cells[name] = value
        elif self._broken is None and self._column(name):
            self._broken = repeated(name)

    def _check_mixed(self, name: str, runs: int) -> None:
        """Text among children is a value if it is in one piece and they are columns, too."""
        column = self._column(name)
        if column is None or self._broken is not None or name in self._cells:
            return
        inside = [
            one
            for one in self._cells
            if one.startswith(f"{name}/") and not one.startswith(f"{name}/@")
        ]
        if runs > 1 or not all(map(self._column, inside)):
            self._broken = Broken("mixed_text", self._titles[column.name], "")

    def _other_unit(self, above: str, attribute: str, value: str) -> Broken | None:
        """What is wrong with figures whose attribute says a unit: nobody would read it."""
        column, name = self._column(above), f"{above}/@{attribute}"
        if column is None or column.type not in NUMBERS or self._column(name) is not None:
            return None
        unit = fold_header(value)
        suffix = suffix_of(column, unit)
        if suffix is None and fold_header(attribute) in UNIT_NAMES:
            suffix = unit if column.unit or SCALE.match(unit) else None
        shown = LONG_NUMBER.sub("…", name[:100])
        return Broken("attribute_unit", self._titles[column.name], shown) if suffix else None

    def _remember(self, name: str) -> None:
        """Refuse names without end: the parser remembers every one."""
        self._names.add(name)
        if len(self._names) > MAX_FIELDS:
            raise too_many_fields()

    def _grow(self, characters: int) -> None:
        self._size += characters
        if self._size > RECORD_CHARACTERS:
            raise too_long(self.number)


def _local(name: str) -> str:
    return name.rpartition("}")[2]
