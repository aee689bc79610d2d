"""Every exception that a person can mend: its message names what is wrong, where, and the mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CitybrainError(Exception):
    """An error that a person can mend; the CLI prints its message without a stack trace."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One mistake in the configuration: its file, the key in it, what is wrong, the mend."""

    file: str
    key: str
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message} ({self.mend})"


class UsageError(CitybrainError):
    """A command or use case was called with arguments that make no sense."""

    exit_code = 2


class ConfigurationError(CitybrainError):
    """The configuration folder has mistakes; `problems` lists all of them."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class AccountingError(CitybrainError):
    """Rows read differ from rows accounted for: a defect of ours; the delivery is not loaded."""


class IncompatibleTableError(CitybrainError):
    """A contract changed so that its table cannot follow; `citybrain rebuild` makes it anew."""


class WorseError(CitybrainError):
    """A command would take sound data away; the message names how much, and how to insist."""


class WarehouseBusyError(CitybrainError):
    """Another process holds a lock or a database; the message names it and says since when."""


class NewerSchemaError(CitybrainError):
    """A store has a schema that this version does not know; the message names its revision."""


class StorageError(CitybrainError):
    """The disk or memory failed; the message names the place. Nothing half-done stays."""


class NotPublishedError(CitybrainError):
    """There is no published generation to read yet, or it is of another version."""


class VerificationError(CitybrainError):
    """A freshly built generation does not agree with the ledger; it was not put in place."""
