"""Workbooks that are ZIP packages: sound, bounded, and every part found by one name only."""

from __future__ import annotations

import posixpath
import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from lxml.etree import LxmlError, iterparse
from lxml.etree import _Element as Element

from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.layout import damaged
from pipelines.reading.zips import BROKEN

UNSOUND = (*BROKEN, LxmlError, LookupError)  # raised for a broken package, or the XML in it
QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
PARTS = 10_000
INDEX_BYTES = 32 << 20  # of a part that lists others: the workbook, its relations
ELEMENT_BYTES = 32 << 20  # of one row, string or style: its tree takes up to 30 times as much
BLOCK = 1 << 20


@contextmanager
def unbroken() -> Iterator[None]:
    """Raise what libraries raise in the block for a broken package as UnreadableError."""
    try:
        yield
    except UNSOUND as error:
        raise unsound(error) from None


def unsound(error: Exception) -> Exception:
    """Return the error for a workbook that a library cannot read.

    It never quotes the file: what stands in place of a number may be anybody's name or phone.
    """
    if isinstance(error, OSError):
        return damaged(error)
    if isinstance(error, LxmlError):
        return damaged(ValueError("its XML is not well-formed"))
    return damaged(ValueError(QUOTED.sub("…", str(error))))


def check_package(package: zipfile.ZipFile, limit: int) -> None:
    """Refuse a package that unpacks beyond `limit` bytes, or in which a name could mislead.

    The part that is scanned here must be the part that calamine reads. It might not be if two
    names are equal, differ in case only, or climb out of their folder.
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


def whole_part(package: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Return all bytes of a part; refuse one of more than `limit`."""
    with package.open(name) as stream:
        data = stream.read(limit + 1)
    if len(data) > limit:
        raise UnreadableError(Reason(code="too_large", value=str(len(data)), expected=str(limit)))
    return data


def relations(package: zipfile.ZipFile, name: str) -> dict[str, str]:
    """Return the parts that a part of `xl/` refers to, by relation id (ECMA-376-2 9.3)."""
    known = set(package.namelist())
    parts = {}
    for relation in elements(package, name, "{*}Relationship"):
        target = relation.get("Target", "")
        if relation.get("TargetMode") == "External":
            continue
        places = {target.lstrip("/"), posixpath.normpath(posixpath.join("xl", target))} & known
        if len(places) > 1:
            raise UnreadableError(Reason(code="damaged", value="a relation has two targets"))
        if places:
            parts[relation.get("Id", "")] = places.pop()
    return parts


class _MeteredStream:
    """Reads a part; refuses it once it has read too much since `length` was last set to 0."""

    def __init__(self, stream: IO[bytes]) -> None:
        self.stream = stream
        self.length = 0

    def read(self, size: int = -1) -> bytes:
        data = self.stream.read(size)
        self.length += len(data)
        if self.length > ELEMENT_BYTES:
            raise UnreadableError(Reason(code="damaged", value="an element of 32 MiB"))
        return data


def elements(package: zipfile.ZipFile, name: str, *tags: str) -> Iterator[Element]:
    """Yield a part's elements with `tags`, each once it is whole; only one is held in memory.

    Of nested ones the inner comes first. Refuse a document type, and with it any entity: a few
    bytes of those may unpack to any amount.
    """
    with package.open(name) as stream:
        metered = _MeteredStream(stream)
        # lxml's own limits stay: texts of 10 MB, 256 levels
        context = iterparse(
            metered,
            events=("start", "end"),
            resolve_entities=False,
            no_network=True,
            remove_comments=True,
            remove_pis=True,
            tag=tags,
        )
        is_checked = False
        for event, element in context:
            if not is_checked:
                _check_doctype(element)
                is_checked = True
            if event == "start":
                continue
            yield element
            metered.length = 0
            element.clear()
            # Those before it are empty by now, but would fill the memory in their millions.
            while (before := element.getprevious()) is not None and before.tag == element.tag:
                element.getparent().remove(before)
        if context.root is not None:
            _check_doctype(context.root)


def _check_doctype(element: Element) -> None:
    if element.getroottree().docinfo.doctype:
        raise UnreadableError(Reason(code="unsafe_xml", value="DTDForbidden"))


def local(tag: str) -> str:
    """Return a tag without its namespace: strict and transitional workbooks differ in it."""
    return tag.rpartition("}")[2]
