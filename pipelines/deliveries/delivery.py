"""A delivery and its judgement: what passes from landing through staging to the ledger."""

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
    """What became of a delivery."""

    ACCEPTED = "accepted"
    ACCEPTED_WITH_QUARANTINE = "accepted_with_quarantine"
    HELD = "held"
    REJECTED = "rejected"
    UNREADABLE = "unreadable"
    UNCHANGED = "unchanged"

    @property
    def loads(self) -> bool:
        """Whether its rows go into the source table."""
        return self in (Verdict.ACCEPTED, Verdict.ACCEPTED_WITH_QUARANTINE)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def slot_day(business_date: date | None) -> str:
    """The day of a slot, which a bulk file has not."""
    return business_date.isoformat() if business_date else "bulk"


def delivery_id(slot: tuple[str, str, str, str], format_name: str, sha256: str) -> str:
    """Identifies these bytes in this place."""
    identity = "|".join((*slot, format_name, sha256))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


class Origin(_Record):
    """A delivery that another one corrects: what identifies it, its bytes, how to read them.

    `scope` is whose rows it may replace when it is itself a return: a department, or `all`.
    """

    delivery_id: str
    sha256: str
    format: str
    scope: str = ""


class Delivery(_Record):
    """One file. `department` and `business_date` are None when its own columns say them.

    `delivery_id` identifies these bytes in this place; `received_at` (UTC) tells their receipts
    apart, so that a run that was killed between loading and clearing the landing folder recognises
    what it has done. `defect`: our own code failed on it, and it is not read again. `corrects`:
    what a returned feedback workbook is laid upon, from the whole file to the last return.
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
        """The place it fills: source, department, business date, part."""
        return self.source, self.department or ALL, slot_day(self.business_date), self.part

    @property
    def origin(self) -> Origin:
        """It, as what a return is laid upon."""
        name = named(self.path.name) if self.format == FORMAT else None
        return Origin(
            delivery_id=self.delivery_id,
            sha256=self.sha256,
            format=self.format,
            scope=name.department if name else "",
        )

    @property
    def receipt(self) -> tuple[str, datetime]:
        """What the ledger knows this receipt by."""
        return self.delivery_id, self.received_at

    @property
    def order(self) -> tuple[datetime, str, str]:
        """Deliveries are taken in the order of receipt; those of one slot never tie."""
        return self.received_at, str(self), self.delivery_id

    def __str__(self) -> str:
        source, department, day, part = self.slot
        return f"{day}/{department}/{source}{'.' + part if part else ''}"


class Accounting(_Record):
    """Where every row that was read went."""

    rows_read: int
    accepted: int
    quarantined: int
    duplicates: int
    ignored: int
    withheld: int

    def verify(self, what: object) -> None:
        """Raise AccountingError unless rows read = the sum of the others."""
        parts = self.accepted + self.quarantined + self.duplicates + self.ignored + self.withheld
        if parts != self.rows_read or min(self.model_dump().values()) < 0:
            raise AccountingError(
                f"{what}: {self.rows_read} rows were read and {parts} accounted for "
                f"({self.model_dump()}); nothing of it was loaded, report this as a defect"
            )


class PartitionRows(_Record):
    """Rows that a delivery puts into one partition of its source."""

    department: str
    business_date: date
    rows: int


class Profile(_Record):
    """What a delivery looked like, to be held against its department's past.

    `rows` are its data rows, good and quarantined; `nulls` counts the empty cells of its
    `good_rows` by column. `columns` are the contract's that its header has, `extra_columns` the
    others; `categories` the values of the drift's columns, without those of too many values.
    """

    rows: int
    good_rows: int
    columns: tuple[str, ...]
    extra_columns: tuple[str, ...]
    nulls: dict[str, int]
    categories: dict[str, tuple[str, ...]]


class Judgement(_Record):
    """Staging's word on a delivery. `accounting` is None exactly when it was unreadable."""

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
        """The same, of a delivery that was read and does not load: its good rows are withheld.

        What is told comes before what it was told of already.
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
    """Deliveries of one source staged together; the rows lie in Parquet files beside it."""

    source: str
    folder: Path
    judgements: tuple[Judgement, ...]

    @property
    def accepted(self) -> Path:
        """Rows to load: the contract's columns and their lineage."""
        return self.folder / "accepted.parquet"

    @property
    def quarantined(self) -> Path:
        """Rows kept out: lineage, masked text and every reason."""
        return self.folder / "quarantined.parquet"

    def save(self) -> Path:
        """Write the judgements beside the rows; the file's presence says the chunk is whole."""
        path = self.folder / "judgements.json"
        path.write_text(self.model_dump_json(), encoding="utf-8")
        return path

    @classmethod
    def read(cls, folder: Path) -> StagedChunk:
        """The chunk that `save` wrote into `folder`."""
        return cls.model_validate_json((folder / "judgements.json").read_text(encoding="utf-8"))
