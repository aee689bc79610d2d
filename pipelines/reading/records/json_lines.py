"""JSON lines: an object a line, its keys the headers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pipelines.contracts.sources import Source
from pipelines.reading.decoding import other_encoding
from pipelines.reading.layout import Reading
from pipelines.reading.records.fields import RECORD_CHARACTERS, Record, Records, reading, too_long
from pipelines.reading.records.json_objects import NO_OBJECT, Objects


def read_jsonl(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a file of JSON lines; a row's number is its line's."""
    return reading(source, partial(_lines, path, source))


def _lines(path: Path, source: Source) -> Records:
    objects = Objects(source)
    number = 0
    with path.open("rb") as file:
        while line := file.readline(RECORD_CHARACTERS + 1):
            number += 1
            if len(line) > RECORD_CHARACTERS:
                raise too_long(number)
            try:
                text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                found = f"line {number}, byte {error.start} of it"
                raise other_encoding(path, "utf-8", found, source) from None
            yield number, _record(objects, text.strip())


def _record(objects: Objects, text: str) -> Record:
    if not text:
        return {}
    try:
        value, end = objects.take(text)
    except (ValueError, RecursionError):
        return NO_OBJECT
    return objects.record(value, text) if end == len(text) else NO_OBJECT
