"""Reasons: why a row or a delivery was not taken as it was sent.

A reason is stored in the ledger as data, not as a sentence; its words are in reason_texts.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict

from pipelines.deliveries.reason_texts import EXPECTED_CHINESE, FOUND_CHINESE, TEMPLATES
from pipelines.errors import CitybrainError

# Reasons whose `expected` is a list of columns of the key.
WITH_KEY_COLUMNS = ("key_conflict", "part_key_conflict")
# Reasons whose `value` may hold phrases of ours. Others quote what a department wrote.
WITH_OUR_PHRASES = ("encoding", "missing_column", "undeclared_unit")
# Line breaks and other control characters in quoted text could forge lines of a message.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")


class Reason(BaseModel):
    """Why a row or a delivery was not taken as it was sent.

    `code` is a key of TEMPLATES, documented in docs/reasons.md. `value` is what was met, masked if
    personal, and `expected` what was promised. In the summary of a delivery `count` is the number
    of rows with this reason, and `row` the number of the first, whose value is shown. `place` names
    the sheet, or the member of an archive, where there are several.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    column: str = ""
    value: str = ""
    expected: str = ""
    place: str = ""
    count: int | None = None
    row: int | None = None

    def english(self) -> str:
        """Return the sentence for the command line and logs."""
        rows = ""
        if self.count is not None and self.row is not None:
            several = f"{self.count} rows, first " if self.count > 1 else ""
            rows = f"{several}row {self.row}: "
        place = f"{self.place}: " if self.place else ""
        return self._sentence(TEMPLATES[self.code][0], place, rows, {})

    def chinese(self, titles: Mapping[str, str] = MappingProxyType({})) -> str:
        """Return the sentence for departments; `titles` maps columns to their Chinese names."""
        value, expected = self.value, EXPECTED_CHINESE.get(self.expected, self.expected)
        if self.code in WITH_OUR_PHRASES:
            for phrase, chinese in FOUND_CHINESE:
                value = phrase.sub(chinese, value)
        if self.code in WITH_KEY_COLUMNS:
            expected = "、".join(titles.get(name, name) for name in self.expected.split(", "))
        rows = ""
        if self.count is not None and self.row is not None:
            several = f"等 {self.count} 行" if self.count > 1 else ""
            rows = f"第 {self.row} 行{several}："
        place = f"{self.place}：" if self.place else ""
        column = titles.get(self.column, self.column)
        changed = {"value": value, "expected": expected, "column": column}
        return self._sentence(TEMPLATES[self.code][1], place, rows, changed)

    def _sentence(self, template: str, place: str, rows: str, changed: dict[str, str]) -> str:
        """Fill a template; no part of the sentence has control characters of quoted text."""
        fields = {"column": self.column, "value": self.value, "expected": self.expected} | changed
        clean = {name: CONTROLS.sub(" ", text) for name, text in fields.items()}
        return CONTROLS.sub(" ", place) + rows + template.format(**clean)


class UnreadableError(CitybrainError):
    """A delivery's bytes cannot be read as what its contract declares; carries the reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        super().__init__(reason.english())


class RejectedError(CitybrainError):
    """A delivery was read but cannot be judged row by row, as when it lacks required columns.

    Carries the reasons and how many rows were read, for the judgement's accounting.
    """

    def __init__(self, reasons: Sequence[Reason], rows_read: int) -> None:
        self.reasons = tuple(reasons)
        self.rows_read = rows_read
        super().__init__("; ".join(reason.english() for reason in reasons))
