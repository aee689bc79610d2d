"""Deliveries and judgements, which pass from landing through staging to the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date, datetime
from enum import StrEnum
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from pipelines.deliveries.feedback_form import ALL, FORMAT, named
from pipelines.deliveries.reasons import Reason
from pipelines.errors import AccountingError


class Verdict(StrEnum):
    """The outcome of judging a delivery."""

    ACCEPTED = "accepted"
    ACCEPTED_WITH_QUARANTINE = "accepted_with_quarantine"
    HELD = "held"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    UNCHANGED = "unchanged"

    @property
    def loads(self) -> bool:
        """Tell whether the delivery's rows go into the table of its source."""
        return self in (Verdict.ACCEPTED, Verdict.ACCEPTED_WITH_QUARANTINE)


class _Record(BaseModel):
    """Base of what is stored and handed on: frozen, and an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def slot_day(business_date: date | None) -> str:
    """Return the day in the name of a slot; a file of many days has none, and says `bulk`."""
    return business_date.isoformat() if business_date else "bulk"


def delivery_id(slot: tuple[str, str, str, str], format_name: str, sha256: str) -> str:
    """Derive the id of these bytes in this slot: the same file sent twice has the same id."""
    identity = "|".join((*slot, format_name, sha256))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


class Origin(_Record):
    """A delivery that another one corrects: its id, its bytes, and the format to read them in.

    If the delivery is itself a return, `scope` is the department whose rows it may replace, or
    `all`.
    """

    delivery_id: str
    sha256: str
    format: str
    scope: str = ""


class Delivery(_Record):
    """One file that a department sent.

    `department` and `business_date` are None if the file's own columns say them, row by row.
    `delivery_id` identifies the bytes in their slot, and `received_at` (UTC) one receipt of them:
    by both, a run recognises what an earlier run had loaded before it was killed, and does not
    load it twice. With a `defect`, our own code failed on the file, and it is not read again.
    `overruled` is a person's reason for accepting it. `corrects` are the deliveries that a
    returned feedback workbook corrects: the whole file first, the latest return last.
    """

    delivery_id: str
    source: str
    department: str | None
    business_date: date | None
    part: str
    path: Path
    format: str
    size: int
    sha256: str
    received_at: datetime
    contract_hash: str
    defect: Reason | None = None
    overruled: str | None = None
    corrects: tuple[Origin, ...] = ()

    @property
    def slot(self) -> tuple[str, str, str, str]:
        """Return the slot that the delivery fills: source, department, business date, part."""
        return self.source, self.department or ALL, slot_day(self.business_date), self.part

    @property
    def origin(self) -> Origin:
        """Return what a later return needs to know of this delivery to correct it."""
        name = named(self.path.name) if self.format == FORMAT else None
        return Origin(
            delivery_id=self.delivery_id,
            sha256=self.sha256,
            format=self.format,
            scope=name.department if name else "",
        )

    @property
    def receipt(self) -> tuple[str, datetime]:
        """Return the key of this receipt in the ledger."""
        return self.delivery_id, self.received_at

    @property
    def order(self) -> tuple[datetime, str, str]:
        """Return a sort key: by receipt, and so that two deliveries never tie."""
        return self.received_at, str(self), self.delivery_id

    def __str__(self) -> str:
        source, department, day, part = self.slot
        return f"{day}/{department}/{source}{'.' + part if part else ''}"


class Accounting(_Record):
    """Counts of the rows that were read, by what became of them."""

    rows_read: int
    accepted: int
    quarantined: int
    duplicates: int
    ignored: int
    withheld: int

    def verify(self, delivery: object) -> None:
        """Raise AccountingError unless the other counts sum to the rows read."""
        parts = self.accepted + self.quarantined + self.duplicates + self.ignored + self.withheld
        if parts != self.rows_read or min(self.model_dump().values()) < 0:
            raise AccountingError(
                f"{delivery}: {self.rows_read} rows were read and {parts} accounted for "
                f"({self.model_dump()}); nothing of it was loaded, report this as a defect"
            )


class PartitionRows(_Record):
    """Rows that a delivery puts into one partition of its source."""

    department: str
    business_date: date
    rows: int


class Profile(_Record):
    """Figures of a delivery's content, to be compared with its department's past deliveries.

    `rows` counts the data rows, good and quarantined, and `nulls` the empty cells among the
    `good_rows`, by column. `columns` are the contract's columns that the header has, and
    `extra_columns` its other headers. `categories` are the values of the columns that drift
    watches, without columns of too many values.
    """

    rows: int
    good_rows: int
    columns: tuple[str, ...]
    extra_columns: tuple[str, ...]
    nulls: dict[str, int]
    categories: dict[str, tuple[str, ...]]


class Judgement(_Record):
    """The verdict on a delivery, with its reasons and figures.

    `accounting` is None exactly if the delivery was unreadable.
    """

    delivery: Delivery
    verdict: Verdict
    accounting: Accounting | None
    partitions: tuple[PartitionRows, ...] = ()
    reasons: tuple[Reason, ...] = ()
    warnings: tuple[Reason, ...] = ()
    seconds: float = 0.0
    profile: Profile | None = None

    def withheld(
        self, verdict: Verdict, reasons: Sequence[Reason], warnings: Sequence[Reason] = ()
    ) -> Judgement:
        """Return the judgement changed so that the delivery does not load.

        Its accepted rows become withheld, and the new reasons and warnings come first. The
        delivery must have been read.
        """
        counts = self.accounting
        assert counts is not None
        accounting = counts.model_copy(
            update={"accepted": 0, "withheld": counts.withheld + counts.accepted}
        )
        accounting.verify(self.delivery)
        return self.model_copy(
            update={
                "verdict": verdict,
                "accounting": accounting,
                "partitions": (),
                "reasons": (*reasons, *self.reasons),
                "warnings": (*warnings, *self.warnings),
            }
        )


class StagedChunk(_Record):
    """Deliveries of one source staged together; their rows are Parquet files in `folder`."""

    source: str
    folder: Path
    judgements: tuple[Judgement, ...]

    @property
    def accepted(self) -> Path:
        """Return the file of rows to load: the contract's columns and their lineage."""
        return self.folder / "accepted.parquet"

    @property
    def quarantined(self) -> Path:
        """Return the file of quarantined rows: lineage, masked text and every reason."""
        return self.folder / "quarantined.parquet"

    def save(self) -> Path:
        """Write the judgements beside the rows, last of all: the file says the chunk is whole."""
        path = self.folder / "judgements.json"
        path.write_text(self.model_dump_json(), encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> StagedChunk:
        """Read the chunk that `save` wrote into `folder`."""
        return cls.model_validate_json((folder / "judgements.json").read_text(encoding="utf-8"))
