"""A source: one kind of export, described by one contract."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.columns import Column
from pipelines.contracts.comparisons import Drift, Totals
from pipelines.contracts.declared import Declared, Name
from pipelines.contracts.due import Due
from pipelines.contracts.formats import Formats


class Rows(Declared, title="Rows"):
    """The number of rows of data that a delivery must have; both bounds are inclusive."""

    min: int = Field(1, ge=0, description="Fewest rows.", examples=[50])
    max: int | None = Field(None, ge=0, description="Most rows.", examples=[100000])

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"`max` {self.max} is below `min` {self.min}")
        return self


class Partition(Declared, title="Partition"):
    """The columns that say which department's and which day's a row is.

    When the path below landing names the department and the day, these columns must agree with
    it. When the path says `all` or `bulk`, they split the file into partitions.
    """

    department: Name | None = Field(
        None,
        description="Text column with the department's name, short name or code.",
        examples=["reporting_unit"],
    )
    business_date: Name | None = Field(
        None, description="Date column with the business date.", examples=["stat_date"]
    )


class Source(Declared, title="Contracts"):
    """A contract, `sources/<name>.yaml`: one kind of export, as departments promise to send it."""

    name: Name = Field(
        description="Name of the source: of its file, of its suite and of its table. The names of "
        "the warehouse's own tables are taken (`citybrain check` says so).",
        examples=["window_cases"],
    )
    title: str = Field(description="Chinese name.", examples=["窗口办件量"])
    owner: str = Field(description="Who answers for the contract.", examples=["数据资源科"])
    description: str = Field(
        "", description="What else people should know.", examples=["含网上办件"]
    )
    content: Literal["snapshot", "events"] = Field(
        description="`events` happened on the business date, and add up over days; a `snapshot` is "
        "the state on the business date.",
        examples=["events"],
    )
    grain: str = Field(
        description="What one row is, in a sentence.", examples=["one row per item and day"]
    )
    key: tuple[Name, ...] = Field(
        description="Columns, each `required`, that tell the rows of a department's day apart. "
        "Without any, `[]`, only rows that are equal in all columns are duplicates.",
        examples=[["district", "item"]],
    )
    max_quarantine: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of failing rows up to which the others are loaded; above it the "
        "delivery is rejected. At 0.0 one failing row rejects it.",
        examples=[0.05],
    )
    empty: Literal["accept", "reject"] = Field(
        "reject",
        description="What becomes of a delivery with a header and no rows.",
        examples=["accept"],
    )
    rows: Rows = Field(
        Rows(), description="How many rows a delivery must have.", examples=[{"min": 50}]
    )
    due: Due | None = Field(
        None,
        description="When departments owe the source.",
        examples=[{"frequency": "daily", "time": "18:00", "from": "2021-09-23"}],
    )
    formats: Formats = Field(
        description="Formats that are accepted.", examples=[{"csv": {}, "xlsx": {"sheet": 0}}]
    )
    file_patterns: tuple[str, ...] = Field(
        (),
        description="Regular expressions of whole paths below landing, for files that are not sent "
        "as `<date>/<department>/<source>`. The groups `department`, `business_date` and `part` "
        "say what they are of; for a group that is left out, the file's own columns do.",
        examples=[[r"spb/(?P<business_date>\d{8})_(?P<part>\w+)\.csv"]],
    )
    header_rows: int = Field(
        1,
        ge=1,
        le=5,
        description="Number of rows that the header takes; a merged cell spans the headers below "
        "it.",
        examples=[2],
    )
    unit_row: bool = Field(
        False,
        description="The row below the header says the units of the columns.",
        examples=[True],
    )
    unit_above: str | None = Field(
        None,
        description="Scaled unit that a line outside the table says of all its figures, such as "
        "`单位：万条`: number columns that count in it, and whose header says no unit, are read in "
        "it. A file without exactly such a line is held.",
        examples=["万条"],
    )
    footer: tuple[str, ...] = Field(
        (),
        description="Regular expressions of the beginning of a row's first cell; rows that match "
        "are ignored.",
        examples=[["合计", "注[:：]"]],
    )
    partition: Partition = Field(
        Partition(),
        description="Columns that say whose and which day's a row is.",
        examples=[{"department": "reporting_unit", "business_date": "stat_date"}],
    )
    totals: tuple[Totals, ...] = Field(
        (),
        description="Running totals that must agree from day to day.",
        examples=[[{"cumulative": "year_cases", "increment": "new_cases"}]],
    )
    drift: Drift | None = Field(
        None,
        description="Comparison with the department's past deliveries.",
        examples=[{"volume": 3.5, "categories": ["channel"]}],
    )
    columns: tuple[Column, ...] = Field(
        min_length=1,
        description="Columns of the export, in any order.",
        examples=[[{"name": "item", "header": "事项编码", "type": "text", "required": True}]],
    )

    def column(self, name: str) -> Column:
        """Return the column called `name`; StopIteration if there is none."""
        return next(column for column in self.columns if column.name == name)

    def by_of(self, totals: Totals) -> tuple[str, ...]:
        """Return the columns that tell the totals of one department and day apart."""
        partition = (self.partition.department, self.partition.business_date)
        return totals.by or tuple(name for name in self.key if name not in partition)

    @property
    def is_personal(self) -> bool:
        """Tell whether a column holds personal data, which may stray into the others."""
        return any(column.pii for column in self.columns)

    @property
    def titles(self) -> dict[str, str]:
        """Map the columns' names to what departments call them: the first header, if any."""
        return {
            column.name: column.header[0] if column.header else column.title
            for column in self.columns
        }

    @property
    def column_names(self) -> tuple[str, ...]:
        """Return the columns' names in declared order."""
        return tuple(column.name for column in self.columns)
