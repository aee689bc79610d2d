"""The whole exception tree. Every message names what is wrong, where, and the mend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class CitybrainError(Exception):
    """Something a person can mend; the CLI prints it in one line, without a stack trace."""

    exit_code = 1


@dataclass(frozen=True)
class Problem:
    """One mistake in the configuration: the file, the key inside it, what is wrong, the mend."""

    file: str
    key: str
    message: str
    mend: str

    def __str__(self) -> str:
        return f"{self.file}: {self.key}: {self.message} ({self.mend})"


class UsageError(CitybrainError):
    """The command was called with arguments that make no sense."""

    exit_code = 2


class ConfigurationError(CitybrainError):
    """The configuration folder has mistakes; `problems` lists all of them."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class AccountingError(CitybrainError):
    """Rows read and rows accounted for differ: a defect of ours, and the delivery is not loaded."""


class IncompatibleTableError(CitybrainError):
    """A contract changed in a way its table cannot follow; names the command that rebuilds it."""


class WorseError(CitybrainError):
    """What was asked for would take sound data away; names how much, and how to insist."""


class WarehouseBusyError(CitybrainError):
    """Another process holds the warehouse; names it and says since when."""


class NewerSchemaError(CitybrainError):
    """A store has a schema that this version does not know; names the revision and the mend."""


class StorageError(CitybrainError):
    """A disk is full, read-only or gone; names the place and the mend. Nothing half-done stays."""


class NotPublishedError(CitybrainError):
    """There is no published generation to read yet."""


class VerificationError(CitybrainError):
    """A freshly built generation does not agree with the ledger; it was not put in place."""
