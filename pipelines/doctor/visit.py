"""What a check is given, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from functools import cached_property

from pipelines.contracts.catalog import Catalog, read_catalog
from pipelines.doctor import readings
from pipelines.errors import Problem
from pipelines.settings import Settings


class Level(StrEnum):
    """How bad a finding is: nothing to do, look at it today, the next night fails of it."""

    OK = "ok"
    WARNING = "warning"
    FAILURE = "failure"


@dataclass(frozen=True)
class Finding:
    """What one check found, and what mends it (empty when there is nothing to mend)."""

    check: str
    level: Level
    message: str
    mend: str = ""


def fine(check: str, message: str) -> Finding:
    """A finding that asks for nothing."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, mend: str) -> Finding:
    """A finding that somebody must look at, though the night goes on."""
    return Finding(check, Level.WARNING, message, mend)


def failure(check: str, message: str, mend: str) -> Finding:
    """A finding that the night, or what it is for, fails of."""
    return Finding(check, Level.FAILURE, message, mend)


@dataclass
class Visit:
    """One look at a deployment; what several checks need is read once.

    `today` is the day in Shanghai, `now` the time in UTC without a zone, as the ledger has it.
    """

    settings: Settings
    today: date
    now: datetime

    @cached_property
    def configuration(self) -> tuple[Catalog, list[Problem]]:
        """What of the configuration is sound, and every problem of the rest."""
        try:
            return read_catalog(self.settings.config_dir)
        except OSError as error:
            said = error.strerror or type(error).__name__
            problem = Problem(str(error.filename or "-"), "-", said, "let this user read it")
            return Catalog({}, {}, {}, {}, {}), [problem]

    @cached_property
    def warehouse(self) -> readings.Reading:
        """The warehouse, as far as it can be looked into now."""
        return readings.read_warehouse(self.settings)

    @cached_property
    def copy(self) -> readings.Reading:
        """The published copy."""
        return readings.read_copy(self.settings)

    @cached_property
    def operations(self) -> readings.Operations:
        """The operational database."""
        return readings.read_operations(self.settings)

    @property
    def ledger(self) -> readings.Ledger | None:
        """The warehouse's ledger, or the published one where that cannot be had."""
        return self.warehouse.ledger or self.copy.ledger


def in_a_line(error: BaseException, length: int = 300) -> str:
    """An error's text on one line, no longer than a person reads."""
    return " ".join(str(error).split())[:length]


def at(moment: datetime) -> str:
    """A time of the ledger's, for people."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def megabytes(size: float) -> str:
    """A size on disk, for people."""
    return f"{size / 1e6:,.1f} MB" if size < 1e7 else f"{size / 1e6:,.0f} MB"


def counted(number: int, noun: str) -> str:
    """`1 file`, `2 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
