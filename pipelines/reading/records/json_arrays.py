"""JSON: an array of objects at the contract's path, decoded one element after another."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import strict_text
from pipelines.reading.headers.matching import LONG_NUMBER
from pipelines.reading.layout import Reading
from pipelines.reading.records.fields import RECORD_CHARACTERS, Beside, Records, reading, too_long
from pipelines.reading.records.json_objects import Objects

# The text is held whole, twice while it is joined, and one element of it as objects. They take up
# to 24 times the bytes of a file made to hurt, whose one element is all of it: 1.5 GiB.
DOCUMENT_BYTES = 64 << 20
BLANKS = re.compile(r"[ \t\r\n]*")
SHOWN_KEYS = 20
NEAR_END = 16  # characters that a word or an escape may lack where a text is cut off inside it


def read_json(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a JSON file; a row's number is its place in the array, from 1."""
    assert source.formats.json_ is not None
    size = path.stat().st_size
    if size > DOCUMENT_BYTES:
        expected = str(DOCUMENT_BYTES)
        raise UnreadableError(Reason(code="large_array", value=str(size), expected=expected))
    keys = tuple(source.formats.json_.records.split(".")) if source.formats.json_.records else ()
    beside = Beside()
    return reading(source, partial(_elements, path, source, keys, beside), beside)


def _elements(path: Path, source: Source, keys: tuple[str, ...], beside: Beside) -> Records:
    text = _Text("".join(strict_text(path, "utf-8", source)), Objects(source))
    yield from _below(text, keys, ".".join(keys), beside)
    if text.next():
        raise text.malformed()


def _below(text: _Text, keys: tuple[str, ...], path: str, beside: Beside) -> Records:
    """Yield the records below the value that comes next, and read that to its end."""
    if text.next() != ("{" if keys else "["):
        shown = {"[": "[…]", "{": "{…}", "": "-"}.get(text.next(), "…")
        raise _absent(path, shown)
    if not keys:
        for _ in text.entries("]"):
            text.number += 1
            value, written = text.value()
            yield text.number, text.objects.record(value, written)
        return
    others: list[str] = []
    times = 0
    for _ in text.entries("}"):
        if text.next() != '"':
            raise text.malformed()
        key, _ = text.value()
        text.expect(":")
        if key != keys[0]:
            beside.add(key, text.value()[0])
            others = [*others, LONG_NUMBER.sub("…", key[:50])][:SHOWN_KEYS]
            continue
        times += 1
        if times > 1:
            raise UnreadableError(Reason(code="repeated_key", value=path))
        yield from _below(text, keys[1:], path, beside)
    if not times:
        raise _absent(path, "、".join(others) or "{}")


def _absent(path: str, shown: str) -> UnreadableError:
    return UnreadableError(Reason(code="no_records", value=shown, expected=path or "[…]"))


class _Text:
    """A JSON text that is read from its start: `number` counts the records so far."""

    def __init__(self, text: str, objects: Objects) -> None:
        self.objects = objects
        self.number = 0
        self._text = text
        self._at = 0

    def next(self) -> str:
        """Skip blanks and return the character that follows, '' at the end."""
        blanks = BLANKS.match(self._text, self._at)
        assert blanks is not None
        self._at = blanks.end()
        return self._text[self._at : self._at + 1]

    def expect(self, character: str) -> None:
        """Step over `character`; raise UnreadableError if another comes next."""
        if self.next() != character:
            raise self.malformed()
        self._at += 1

    def entries(self, close: str) -> Iterator[None]:
        """Step into the object or array that comes next, and stop before each of its entries."""
        self._at += 1
        if self.next() == close:
            self._at += 1
            return
        while True:
            yield
            if self.next() != ",":
                break
            self._at += 1
        self.expect(close)

    def value(self) -> tuple[Any, str]:
        """Take the value that comes next, and its text."""
        self.next()
        start = self._at
        try:
            value, self._at = self.objects.take(self._text, start)
        except json.JSONDecodeError as error:
            is_near_end = error.pos >= len(self._text) - NEAR_END
            if is_near_end or error.msg.startswith("Unterminated string"):
                self._at = len(self._text)
            raise self.malformed() from None
        except RecursionError:
            raise UnreadableError(Reason(code="deep", value=str(self.number))) from None
        if self._at - start > RECORD_CHARACTERS:
            raise too_long(self.number)
        return value, self._text[start : self._at]

    def malformed(self) -> UnreadableError:
        """Return what to raise where the text is no JSON: it ends too early, or is wrong."""
        if not self.next():
            return UnreadableError(Reason(code="damaged", value="the text ends too early"))
        number = str(max(self.number, 1))
        return UnreadableError(Reason(code="malformed", value=number, expected="JSON"))
