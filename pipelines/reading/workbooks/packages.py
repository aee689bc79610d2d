"""Workbooks that are ZIP packages: sound, bounded, and every part found by one name only."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol
from xml.etree.ElementTree import Element, ParseError
from xml.parsers.expat import ExpatError, ParserCreate

from defusedxml import DefusedXmlException, DTDForbidden
from defusedxml.ElementTree import fromstring

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.layout import damaged
from pipelines.reading.zips import BROKEN

UNSOUND = (*BROKEN, ParseError, ExpatError, LookupError)  # a package, or the XML in it
QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
PARTS = 10_000
INDEX_BYTES = 32 << 20  # of a part that lists others: the workbook, its relations
BLOCK = 1 << 20


@contextmanager
def unbroken() -> Iterator[None]:
    """Turn what libraries raise for a package that is not sound into UnreadableError."""
    try:
        yield
    except DefusedXmlException as error:
        raise UnreadableError(Reason(code="unsafe_xml", value=type(error).__name__)) from None
    except UNSOUND as error:
        raise unsound(error) from None


def unsound(error: Exception) -> Exception:
    """What to raise when a library cannot read a workbook: its words, without the file's own."""
    if isinstance(error, OSError):
        return damaged(error)
    return damaged(ValueError(QUOTED.sub("…", str(error))))


def check_package(package: zipfile.ZipFile, limit: int) -> None:
    """Refuse a package that unpacks beyond `limit` bytes, or in which a name could mislead.

    What is surveyed here and what calamine reads must be one part: names that differ in case
    only, climb, or come twice are how they would not be.
    """
    entries = package.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > limit:
        raise UnreadableError(Reason(code="too_large", value=str(unpacked), expected=str(limit)))
    names = [entry.filename.casefold() for entry in entries]
    if len(names) > PARTS:
        raise UnreadableError(Reason(code="damaged", value=f"{len(names)} parts"))
    if len(set(names)) < len(names):
        raise UnreadableError(Reason(code="damaged", value="a part is there twice"))
    if any("\\" in name or ".." in name.split("/") for name in names):
        raise UnreadableError(Reason(code="damaged", value="a part's name is a path elsewhere"))


def index_part(package: zipfile.ZipFile, name: str) -> bytes:
    """A part that lists others, whole."""
    with package.open(name) as stream:
        data = stream.read(INDEX_BYTES + 1)
    if len(data) > INDEX_BYTES:
        raise UnreadableError(
            Reason(code="too_large", value=str(len(data)), expected=str(INDEX_BYTES))
        )
    return data


def index_tree(package: zipfile.ZipFile, name: str) -> Element:
    """Such a part as XML, without document types or entities."""
    root: Element = fromstring(index_part(package, name), forbid_dtd=True)
    return root


def relations(package: zipfile.ZipFile, name: str) -> dict[str, str]:
    """The parts that a part of `xl/` refers to, by relation: ECMA-376-2 9.3."""
    known = set(package.namelist())
    found = {}
    for relation in index_tree(package, name):
        target = relation.get("Target", "")
        if relation.get("TargetMode") == "External":
            continue
        places = {target.lstrip("/"), posixpath.normpath(posixpath.join("xl", target))} & known
        if len(places) > 1:
            raise UnreadableError(Reason(code="damaged", value="a relation has two targets"))
        if places:
            found[relation.get("Id", "")] = places.pop()
    return found


class Handlers(Protocol):
    """What is called for each element of a part; a tag is its namespace, `}`, and its name."""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        """An element begins."""

    def data(self, text: str) -> None:
        """A piece of its text."""

    def end(self, tag: str) -> None:
        """It ends."""


def parse(package: zipfile.ZipFile, name: str, handlers: Handlers) -> None:
    """Feed a part to `handlers`, streaming; a document type, and so any entity, is refused.

    By expat itself: defusedxml refuses no more, and takes six times as long for each cell.
    """
    parser = ParserCreate(namespace_separator="}")
    parser.buffer_text = True
    parser.StartDoctypeDeclHandler = _forbidden
    parser.StartElementHandler = handlers.start
    parser.CharacterDataHandler = handlers.data
    parser.EndElementHandler = handlers.end
    with package.open(name) as stream:
        while block := stream.read(BLOCK):
            parser.Parse(block, False)
    parser.Parse(b"", True)


def _forbidden(name: str, system: str | None, public: str | None, has_subset: int) -> None:
    raise DTDForbidden(name, system, public)


def local(tag: str) -> str:
    """A tag without its namespace: strict and transitional workbooks differ in it."""
    return tag.rpartition("}")[2]
