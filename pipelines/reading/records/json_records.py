"""JSON arrays and JSON lines: strictly read objects, numbers with the digits that were sent.

By the standard library's decoder: ijson writes ? for half a surrogate pair and fails on numbers of
thousands of digits.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import other_encoding, strict_text
from pipelines.reading.headers.matching import LONG_NUMBER
from pipelines.reading.layout import Reading, cell_text
from pipelines.reading.records.fields import (
    MAX_NAME,
    RECORD_CHARACTERS,
    Beside,
    Broken,
    Record,
    Records,
    column_finder,
    reading,
    repeated,
    too_long,
)

# The text of an array is held whole, twice while it is joined, and one element of it as objects.
# In a file made to hurt one element is all of it: as objects 24 times the bytes, or 1.5 GiB.
DOCUMENT_BYTES = 64 << 20
BLANKS = re.compile(r"[ \t\r\n]*")
SHOWN_KEYS = 20
NEAR_END = 16  # characters that a word or an escape may lack where a text is cut off inside it
NO_OBJECT = Broken("malformed", "JSON")


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


def read_jsonl(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a file of JSON lines, an object a line; a row's number is its line's."""
    return reading(source, partial(_lines, path, source))


def _lines(path: Path, source: Source) -> Records:
    """Yield each line's number and its record; a line that is no object becomes a fault."""
    objects = _Objects(source)
    number = 0
    with path.open("rb") as file:
        while line := file.readline(RECORD_CHARACTERS + 1):
            number += 1
            if len(line) > RECORD_CHARACTERS:
                raise too_long(number)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                place = f"line {number}, byte {error.start} of it"
                raise other_encoding(path, "utf-8", place, source) from None
            try:
                value, end = objects.take(text) if text else ({}, 0)
            except (ValueError, RecursionError):
                yield number, NO_OBJECT
            else:
                yield number, objects.record(value, text) if end == len(text) else NO_OBJECT


def _elements(path: Path, source: Source, keys: tuple[str, ...], beside: Beside) -> Records:
    text = _Text("".join(strict_text(path, "utf-8", source)), _Objects(source))
    yield from _below(text, keys, ".".join(keys), beside)
    if text.next():
        raise text.malformed()


def _below(text: _Text, keys: tuple[str, ...], path: str, beside: Beside) -> Records:
    """Yield the records below the value that comes next, and read that to its end."""
    if text.next() != ("{" if keys else "["):
        raise _absent(path, {"[": "[…]", "{": "{…}", "": "-"}.get(text.next(), "…"))
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


class _Objects:
    """Decode values one after another, and turn the last of them into a record."""

    def __init__(self, source: Source) -> None:
        self._column = column_finder(source)
        self._repeated: str | None = None  # a key that is twice in an object of the last value
        self._has_constant = False  # NaN or Infinity, which JSON does not have
        self._decoder = json.JSONDecoder(
            object_pairs_hook=self._object,
            parse_float=_written_out,
            parse_int=str,
            parse_constant=self._constant,
        )

    def take(self, text: str, start: int = 0) -> tuple[Any, int]:
        """Return the value that starts at `start`, and where it ends.

        Raise ValueError when there is none, RecursionError when it is nested too deep.
        """
        self._repeated, self._has_constant = None, False
        return self._decoder.raw_decode(text, start)

    def record(self, value: Any, text: str) -> Record:
        """Return the record that the value taken last is; `text` is how that was written."""
        if not isinstance(value, dict) or self._has_constant:
            return NO_OBJECT
        if self._repeated is not None:
            return repeated(self._repeated)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair is no text
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                return NO_OBJECT
        cells: dict[str, str | None] = {}
        return self._flatten(value, "", cells) or cells

    def _flatten(
        self, value: dict[str, Any], above: str, cells: dict[str, str | None]
    ) -> Broken | None:
        """Add cells by their path; return what makes the record unusable, if anything does.

        An object that the contract itself asks for is a cell: its JSON text.
        """
        for key, cell in value.items():
            name = above + key
            if len(name) > MAX_NAME:
                return NO_OBJECT
            if isinstance(cell, dict) and cell and not self._column(name):
                if broken := self._flatten(cell, f"{name}/", cells):
                    return broken
            elif name in cells:
                return repeated(name)
            else:
                cells[name] = (cell or None) if type(cell) is str else cell_text(cell)
        return None

    def _object(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs) and self._repeated is None:
            self._repeated = Counter(key for key, _ in pairs).most_common(1)[0][0]
        return value

    def _constant(self, name: str) -> str:
        self._has_constant = True
        return name


def _written_out(number: str) -> str:
    """Return a JSON number without its exponent, unless that would be absurdly long."""
    if "e" not in number and "E" not in number:
        return number
    exponent = number.lower().partition("e")[2]
    return f"{Decimal(number):f}" if len(exponent) < 4 else number


class _Text:
    """A JSON text that is read from its start: `number` counts the records so far."""

    def __init__(self, text: str, objects: _Objects) -> None:
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
        """Pass over `character`; raise UnreadableError if another comes next."""
        if self.next() != character:
            raise self.malformed()
        self._at += 1

    def entries(self, close: str) -> Iterator[None]:
        """Enter the object or array that comes next, and stop before each of its entries."""
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
