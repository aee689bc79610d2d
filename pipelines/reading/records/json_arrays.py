"""JSON: an array of objects, found by the contract's path, read one element at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from pipelines.contracts.models import Source
from pipelines.deliveries.reasons import Reason, UnreadableError
from pipelines.reading.decoding import strict_text
from pipelines.reading.headers.matching import LONG_NUMBER
from pipelines.reading.layout import Reading
from pipelines.reading.records.fields import RECORD_CHARACTERS, Beside, Records, reading, too_long
from pipelines.reading.records.json_objects import Objects

BLANK = " \t\r\n"
SHOWN_KEYS = 20
NEAR_END = 16  # characters that a word or an escape may lack when a block ends inside it


def read_json(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a JSON file; a row's number is its place in the array, from 1."""
    assert source.formats.json_ is not None
    keys = tuple(source.formats.json_.records.split(".")) if source.formats.json_.records else ()
    beside = Beside()
    return reading(source, partial(_elements, path, source, keys, beside), beside)


def _elements(path: Path, source: Source, keys: tuple[str, ...], beside: Beside) -> Records:
    text = _Text(strict_text(path, "utf-8", source), Objects(source))
    yield from _below(text, keys, ".".join(keys), beside)
    if text.next():
        raise text.malformed()


def _below(text: _Text, keys: tuple[str, ...], sought: str, beside: Beside) -> Records:
    """The records below the value that comes next; it is read to its end."""
    if not keys:
        yield from _array(text, sought)
        return
    if text.next() != "{":
        raise _absent(sought, text.shown())
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
            raise UnreadableError(Reason(code="repeated_key", value=sought))
        yield from _below(text, keys[1:], sought, beside)
    if not times:
        raise _absent(sought, "、".join(others) or "{}")


def _array(text: _Text, sought: str) -> Records:
    if text.next() != "[":
        raise _absent(sought, text.shown())
    for _ in text.entries("]"):
        text.number += 1
        value, written = text.value()
        yield text.number, text.objects.record(value, written)


def _absent(sought: str, found: str) -> UnreadableError:
    expected = sought or "[…]"
    return UnreadableError(Reason(code="no_records", value=found, expected=expected))


def _cut_off() -> UnreadableError:
    return UnreadableError(Reason(code="damaged", value="the text ends too early"))


class _Text:
    """The file's text, of which no more than a record is held."""

    def __init__(self, blocks: Iterator[str], objects: Objects) -> None:
        self.objects = objects
        self.number = 0  # of the record that is being read
        self._blocks = blocks
        self._held = ""
        self._at = 0
        self._is_whole = False

    def next(self) -> str:
        """The next character that is not blank, which stays; nothing at the end."""
        while True:
            while self._at < len(self._held):
                character = self._held[self._at]
                if character not in BLANK:
                    return character
                self._at += 1
            if not self._more():
                return ""

    def shown(self) -> str:
        """What kind of value comes next."""
        return {"[": "[…]", "{": "{…}", "": "-"}.get(self.next(), "…")

    def expect(self, character: str) -> None:
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
        while True:
            self.next()
            try:
                value, end = self.objects.take(self._held, self._at)
                if end < len(self._held) or self._is_whole:
                    break
            except json.JSONDecodeError as error:
                is_near_end = error.pos >= len(self._held) - NEAR_END
                if not is_near_end and not error.msg.startswith("Unterminated string"):
                    raise self.malformed() from None
            except RecursionError:
                raise UnreadableError(Reason(code="deep", value=str(self.number))) from None
            if len(self._held) - self._at > RECORD_CHARACTERS:
                raise too_long(self.number)
            if self._is_whole:
                raise _cut_off()
            self._more()
        written = self._held[self._at : end]
        if len(written) > RECORD_CHARACTERS:
            raise too_long(self.number)
        self._at = end
        return value, written

    def malformed(self) -> UnreadableError:
        """What to raise where the text is no JSON: it ends too early, or is wrong here."""
        if not self.next():
            return _cut_off()
        number = str(max(self.number, 1))
        return UnreadableError(Reason(code="malformed", value=number, expected="JSON"))

    def _more(self) -> bool:
        """Hold at least twice as much, so that a long record is not tried at every block."""
        held = [self._held[self._at :]]
        added = 0
        while added <= len(held[0]):
            block = next(self._blocks, None)
            if block is None:
                self._is_whole = True
                break
            held.append(block)
            added += len(block)
        self._held, self._at = "".join(held), 0
        return added > 0
