"""JSON arrays and JSON lines: strictly read objects, numbers with the digits that were sent.

By the standard library's decoder: ijson writes ? for half a surrogate pair and fails on numbers of
thousands of digits.
"""

from __future__ import annotations

import json
from collections import Counter
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
    MAX_FIELDS,
    MAX_NAME,
    RECORD_CHARACTERS,
    Beside,
    Broken,
    ColumnOf,
    Record,
    Records,
    column_finder,
    reading,
    repeated,
    too_long,
    too_many_fields,
)

# A document is decoded as a whole. As objects it takes 5 to 10 times its bytes, and in a file made
# to hurt (an array of empty objects, or an object of a million keys) up to 24 times: 0.8 GiB.
DOCUMENT_BYTES = 32 << 20
SHOWN_KEYS = 20
NEAR_END = 16  # characters that a word or an escape may lack where a text is cut off inside it
NO_OBJECT = Broken("malformed", "JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | Broken:
    """Return an object, or its fault if a key is there twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        return repeated(Counter(key for key, _ in pairs).most_common(1)[0][0])
    return value


def _written_out(number: str) -> str:
    """Return a JSON number without its exponent, unless that would be absurdly long."""
    if "e" not in number and "E" not in number:
        return number
    exponent = number.lower().partition("e")[2]
    return f"{Decimal(number):f}" if len(exponent) < 4 else number


def _no_number(name: str) -> Broken:
    """Return the fault of NaN and Infinity, which JSON does not have."""
    return NO_OBJECT


DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_written_out, parse_int=str, parse_constant=_no_number
)


def read_json(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a JSON file; a row's number is its place in the array, from 1."""
    assert source.formats.json_ is not None
    size = path.stat().st_size
    if size > DOCUMENT_BYTES:
        expected = str(DOCUMENT_BYTES)
        raise UnreadableError(Reason(code="large_array", value=str(size), expected=expected))
    beside = Beside()
    text = "".join(strict_text(path, "utf-8", source))
    elements = _elements(_document(text), source.formats.json_.records, beside)

    def records() -> Records:
        column_of = column_finder(source)
        for number, element in enumerate(elements, start=1):
            yield number, _record(element, number, column_of)

    return reading(source, records, beside)


def read_jsonl(path: Path, source: Source, department: str | None, limit: int) -> Reading:
    """Open a file of JSON lines, an object a line; a row's number is its line's."""
    return reading(source, partial(_lines, path, source))


def _lines(path: Path, source: Source) -> Records:
    """Yield each line's number and its record; a line that is no object becomes a fault."""
    column_of = column_finder(source)
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
                value = DECODER.decode(text) if text else {}
            except (ValueError, RecursionError):
                yield number, NO_OBJECT
            else:
                yield number, _record(value, number, column_of)


def _document(text: str) -> Any:
    """Return the value that a text is; raise UnreadableError where it is cut off or no JSON."""
    try:
        return DECODER.decode(text)
    except json.JSONDecodeError as error:
        is_near_end = error.pos >= len(text) - NEAR_END and error.msg != "Extra data"
        if is_near_end or error.msg.startswith("Unterminated string"):
            reason = Reason(code="damaged", value="the text ends too early")
        else:
            reason = Reason(code="malformed", value=str(error.lineno), expected="JSON")
    except RecursionError:
        reason = Reason(code="deep", value="1")
    raise UnreadableError(reason)


def _elements(value: Any, path: str, beside: Beside) -> list[Any]:
    """Return the array at the dotted `path`, and note the texts that stand beside it."""
    shown = ""
    for step in path.split(".") if path else ():
        if not isinstance(value, dict):
            break
        for key, other in value.items():
            if key != step:
                beside.add(key, other)
        shown = (
            "、".join(LONG_NUMBER.sub("…", key[:50]) for key in list(value)[:SHOWN_KEYS]) or "{}"
        )
        if step not in value:
            raise UnreadableError(Reason(code="no_records", value=shown, expected=path))
        value = value[step]
    else:
        if isinstance(value, list):
            return value
    if isinstance(value, Broken):
        place = value.value or "1"
        raise UnreadableError(Reason(code=value.code, value=place, expected=value.expected))
    shown = "[…]" if isinstance(value, list) else "{…}" if isinstance(value, dict) else "…"
    raise UnreadableError(Reason(code="no_records", value=shown, expected=path or "[…]"))


def _record(value: Any, number: int, column_of: ColumnOf) -> Record:
    """Return the cells of a decoded element by their paths, or its fault."""
    if not isinstance(value, dict):
        return value if isinstance(value, Broken) else NO_OBJECT
    cells: dict[str, str | None] = {}
    try:
        broken = _add_cells(value, "", cells, column_of)
    except RecursionError:  # the decoder went just as deep, from fewer calls
        return NO_OBJECT
    if sum(len(cell) for cell in cells.values() if cell) > RECORD_CHARACTERS:
        raise too_long(number)
    try:
        "".join(text for cell in cells.items() for text in cell if text).encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return NO_OBJECT
    return broken or cells


def _add_cells(
    value: dict[str, Any], above: str, cells: dict[str, str | None], column_of: ColumnOf
) -> Broken | None:
    """Add cells by their path; return what makes the record unusable, if anything does.

    An object that the contract itself asks for is a cell: its JSON text.
    """
    for key, cell in value.items():
        name = above + key
        if len(name) > MAX_NAME:
            return NO_OBJECT
        if len(cells) > MAX_FIELDS:
            raise too_many_fields()
        if isinstance(cell, dict) and cell and not column_of(name):
            if broken := _add_cells(cell, f"{name}/", cells, column_of):
                return broken
        elif name in cells:
            return repeated(name)
        elif type(cell) is str:
            cells[name] = cell or None
        elif broken := _fault_in(cell):
            return broken
        else:
            cells[name] = cell_text(cell)
    return None


def _fault_in(value: Any) -> Broken | None:
    """Return the first fault in a value and all that it holds."""
    if isinstance(value, Broken):
        return value
    if not isinstance(value, dict | list):
        return None
    items = value.values() if isinstance(value, dict) else value
    return next((fault for item in items if (fault := _fault_in(item))), None)
