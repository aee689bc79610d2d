"""A source: one kind of export, as departments promise to send it."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.columns import Column
from pipelines.contracts.comparisons import Drift, Totals
from pipelines.contracts.declared import Declared, Name
from pipelines.contracts.due import Due
from pipelines.contracts.formats import Formats


class Rows(Declared):
    """How many rows a delivery must have (inclusive)."""

    min: int = Field(1, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"`max` {self.max} is below `min` {self.min}")
        return self


class Partition(Declared):
    """The columns that say whose and which day's a row is.

    When the landing path names the department and the date, these columns must agree with it;
    where the path says `all` or `bulk`, they split the file into partitions.
    """

    department: Name | None = None
    business_date: Name | None = None


class Source(Declared):
    """A contract: one kind of export, as departments promise to send it.

    `content`: events happened on the business date, a snapshot is what there was on it.
    `key` are the columns, each `required`, that tell a day's rows of a department apart; empty:
    only rows alike in all are duplicates. More than the share `max_quarantine` of failing rows
    rejects a delivery: at 0.0, unless told, one such row does. `rows` are how many data rows it
    must have, `empty` whether one without any is taken all the same.

    `file_patterns` are regular expressions of whole paths below landing, for files not sent as
    `<date>/<department>/<source>`; groups `department`, `business_date` and `part` say whose, and
    for one that is left out the file's own columns do.
    `footer` are regular expressions searched at the start of a row's first cell (合计, 注[:：]):
    such rows are ignored. A header may take `header_rows` rows, merged cells spanning what they
    stand above; with `unit_row` the row below it says the columns' units. `unit_above` is the
    scaled unit (万条) that a line outside the table says of all its figures, such as `单位：万条`:
    number columns that count in it and whose header says no unit are read in it. A file whose
    lines do not say exactly that is held.
    """

    name: Name
    title: str
    owner: str
    description: str = ""
    content: Literal["snapshot", "events"]
    grain: str
    key: tuple[Name, ...]
    max_quarantine: float = Field(0.0, ge=0, le=1)
    empty: Literal["accept", "reject"] = "reject"
    rows: Rows = Rows()
    due: Due | None = None
    formats: Formats
    file_patterns: tuple[str, ...] = ()
    header_rows: int = Field(1, ge=1, le=5)
    unit_row: bool = False
    unit_above: str | None = None
    footer: tuple[str, ...] = ()
    partition: Partition = Partition()
    totals: tuple[Totals, ...] = ()
    drift: Drift | None = None
    columns: tuple[Column, ...] = Field(min_length=1)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError when there is none."""
        return next(column for column in self.columns if column.name == name)

    def by_of(self, totals: Totals) -> tuple[str, ...]:
        """The columns that tell the totals of one department and day apart."""
        partition = (self.partition.department, self.partition.business_date)
        return totals.by or tuple(name for name in self.key if name not in partition)

    @property
    def is_personal(self) -> bool:
        """Whether a column holds personal data, which may stray into the others."""
        return any(column.pii for column in self.columns)

    @property
    def titles(self) -> dict[str, str]:
        """The columns' Chinese names."""
        return {
            column.name: column.header[0] if column.header else column.title
            for column in self.columns
        }

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in declared order."""
        return tuple(column.name for column in self.columns)
