"""Departments, and the days that overrule the public calendar."""

from __future__ import annotations

from datetime import date

from pipelines.contracts.declared import Code, Declared


class Department(Declared):
    """Who sends: code, names, group, validity, and who took over."""

    code: Code
    name: str
    short_name: str = ""
    group: str = ""
    region: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    successor: Code | None = None

    @property
    def label(self) -> str:
        """What tables and messages call it."""
        return self.short_name or self.name

    def valid_on(self, day: date) -> bool:
        """Whether the department exists on `day` (both ends count)."""
        after_start = self.valid_from is None or self.valid_from <= day
        return after_start and (self.valid_to is None or day <= self.valid_to)


class Holiday(Declared):
    """A day that overrules the public calendar: whether it is worked."""

    date: date
    working: bool
