"""JSON objects as records: strictly read, numbers with the digits that were sent.

The standard library's decoder, because ijson's writes ? for half a surrogate pair and fails on
numbers of thousands of digits.
"""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

from pipelines.contracts.sources import Source
from pipelines.reading.layout import cell_text
from pipelines.reading.records.fields import (
    MAX_NAME,
    Broken,
    Record,
    RepeatedNameError,
    repeated,
    wanted,
)

NO_OBJECT = Broken("malformed", "JSON")


class Objects:
    """Reads values one after another; what is wrong with one is told once it is taken."""

    def __init__(self, source: Source) -> None:
        self._is_wanted = wanted(source)
        self._repeated: str | None = None
        self._is_strange = False
        self.decoder = json.JSONDecoder(
            object_pairs_hook=self._unique,
            parse_float=_written_out,
            parse_int=str,
            parse_constant=self._strange,
        )

    def take(self, text: str, start: int = 0) -> tuple[Any, int]:
        """The value that starts at `start`, and where it ends; ValueError when there is none.

        RecursionError when it is nested deeper than any data is.
        """
        self._repeated, self._is_strange = None, False
        value, end = self.decoder.raw_decode(text, start)
        return value, end

    def record(self, value: Any, text: str) -> Record:
        """The value that was taken last, written as `text`."""
        if not isinstance(value, dict) or self._is_strange:
            return NO_OBJECT
        if self._repeated is not None:
            return repeated(self._repeated)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair is no text
            try:
                json.dumps(value, ensure_ascii=False).encode()
            except UnicodeEncodeError:
                return NO_OBJECT
        cells: dict[str, str | None] = {}
        try:
            self._flatten(value, "", cells)
        except RepeatedNameError as error:
            return repeated(str(error))
        except OverflowError:
            return NO_OBJECT
        return cells

    def _flatten(self, value: dict[str, Any], above: str, cells: dict[str, str | None]) -> None:
        """Cells by their path; an object that the contract itself asks for is its JSON text."""
        for key, cell in value.items():
            name = above + key
            if len(name) > MAX_NAME:
                raise OverflowError
            if isinstance(cell, dict) and cell and not self._is_wanted(name):
                self._flatten(cell, f"{name}/", cells)
                continue
            if name in cells:
                raise RepeatedNameError(name)
            cells[name] = (cell or None) if type(cell) is str else cell_text(cell)

    def _unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs) and self._repeated is None:
            seen: set[str] = set()
            self._repeated = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return value

    def _strange(self, constant: str) -> str:
        """NaN and Infinity, which JSON does not have."""
        self._is_strange = True
        return constant


def _written_out(number: str) -> str:
    """A JSON number without its exponent, unless that would be absurdly long."""
    if "e" not in number and "E" not in number:
        return number
    exponent = number.lower().partition("e")[2]
    return f"{Decimal(number):f}" if len(exponent) < 4 else number
