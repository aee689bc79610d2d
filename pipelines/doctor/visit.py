"""The visit that a check is given, and the findings that it returns."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import read_catalog
from pipelines.doctor import readings
from pipelines.errors import Problem
from pipelines.settings import Settings


class Level(StrEnum):
    """Severity of a finding: fine, to be looked at today, or the next night will fail."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """Result of one check, with the mend (empty when there is nothing to mend)."""

    check: str
    level: Level
    message: str
    mend: str = ""


def fine(check: str, message: str) -> Finding:
    """Return a finding that asks for nothing."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, mend: str) -> Finding:
    """Return a finding that somebody must look at, although the night goes on."""
    return Finding(check, Level.WARNING, message, mend)


def failure(check: str, message: str, mend: str) -> Finding:
    """Return a finding that makes the night, or its purpose, fail."""
    return Finding(check, Level.FAILURE, message, mend)


@dataclass
class Visit:
    """One examination of a deployment; what several checks need is read once.

    `today` is the day in Shanghai, `now` is UTC without a zone, as in the ledger.
    """

    settings: Settings
    today: date
    now: datetime

    @cached_property
    def configuration(self) -> tuple[Catalog, list[Problem]]:
        """The sound part of the configuration, and every problem of the rest."""
        try:
            return read_catalog(self.settings.config_dir)
        except OSError as error:
            message = error.strerror or type(error).__name__
            problem = Problem(str(error.filename or "-"), "-", message, "let this user read it")
            return Catalog({}, {}, {}, {}, {}), [problem]

    @cached_property
    def warehouse(self) -> readings.Reading:
        """State of the warehouse, as far as it can be read now."""
        return readings.read_warehouse(self.settings)

    @cached_property
    def copy(self) -> readings.Reading:
        """State of the published copy."""
        return readings.read_copy(self.settings)

    @cached_property
    def operations(self) -> readings.Operations:
        """State of the operational database."""
        return readings.read_operations(self.settings)

    @property
    def ledger(self) -> readings.Ledger | None:
        """State of the warehouse's ledger, or of the published one if that is not readable."""
        return self.warehouse.ledger or self.copy.ledger


def in_a_line(error: BaseException, length: int = 300) -> str:
    """Shorten an error's text to one line of at most `length` characters."""
    return " ".join(str(error).split())[:length]


def at(moment: datetime) -> str:
    """Format a UTC time for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def megabytes(size: float) -> str:
    """Format a size in bytes for people."""
    return f"{size / 1e6:,.1f} MB" if size < 1e7 else f"{size / 1e6:,.0f} MB"


def counted(number: int, noun: str) -> str:
    """Format a count with its noun: `1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
