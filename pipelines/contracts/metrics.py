"""A metric: a named figure per department, business date and breakdown."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.declared import Declared, Name


class Aggregate(Declared, title="Aggregates"):
    """One aggregate over the rows of a department's day."""

    aggregate: Literal["sum", "count", "count_distinct", "min", "max"] = Field(
        description="How rows become one figure. Distinct counts are never added up over "
        "departments or days.",
        examples=["sum"],
    )
    column: Name | None = Field(
        None, description="Column that is aggregated; `count` needs none.", examples=["new_cases"]
    )
    where: dict[Name, str | bool | int | tuple[str, ...]] = Field(
        {},
        description="Rows that count: those whose columns have the given value, or one of several.",
        examples=[{"status": "online"}],
    )

    @model_validator(mode="after")
    def _column_is_given_if_needed(self) -> Self:
        if self.aggregate != "count" and self.column is None:
            raise ValueError(f"`{self.aggregate}` needs a `column`")
        return self


class Kind(StrEnum):
    """The meaning of a metric's values over days and departments."""

    FLOW = "flow"
    STOCK = "stock"
    RATIO = "ratio"


class Metric(Declared, title="Metrics"):
    """An entry of `metrics.yaml`: a named figure per department, business date and breakdown."""

    name: Name = Field(description="Name of the metric.", examples=["records_new"])
    title: str = Field(description="Chinese name.", examples=["新增归集数据量"])
    unit: str = Field(
        description="Unit of the figure. A ratio in `%` is multiplied by 100.", examples=["条"]
    )
    kind: Kind = Field(
        description="A `flow` adds up over days and departments, and needs a source of events. A "
        "`stock` holds until the next observation. A `ratio` is a numerator divided by a "
        "denominator: those are added up, never the ratio.",
        examples=["flow"],
    )
    source: Name = Field(
        description="Source whose rows it is computed from.", examples=["data_records"]
    )
    description: str = Field("", description="What else people should know.", examples=["含补报"])
    value: Aggregate | None = Field(
        None,
        description="The figure of a flow or a stock.",
        examples=[{"aggregate": "sum", "column": "new_records"}],
    )
    numerator: Aggregate | None = Field(
        None,
        description="The part of a ratio above the line.",
        examples=[{"aggregate": "count", "where": {"status": "online"}}],
    )
    denominator: Aggregate | None = Field(
        None, description="The part of a ratio below the line.", examples=[{"aggregate": "count"}]
    )
    by: Name | None = Field(
        None, description="Column whose values break the figure down.", examples=["domain"]
    )

    @property
    def scale(self) -> int:
        """Return 100 for a ratio shown in percent, else 1."""
        return 100 if self.kind is Kind.RATIO and self.unit == "%" else 1

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """Return the metric's aggregates: its value, or its numerator and denominator."""
        parts = (self.value, self.numerator, self.denominator)
        return tuple(part for part in parts if part is not None)

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        has_both_parts = self.numerator is not None and self.denominator is not None
        if self.kind is Kind.RATIO and (not has_both_parts or self.value is not None):
            raise ValueError("a ratio has `numerator` and `denominator`, and no `value`")
        if self.kind is not Kind.RATIO and (
            self.value is None or self.numerator is not None or self.denominator is not None
        ):
            raise ValueError(f"a {self.kind} has `value`, and no `numerator` or `denominator`")
        if self.kind is Kind.FLOW and self.value and self.value.aggregate not in ("sum", "count"):
            raise ValueError("a flow adds up: its aggregate is `sum` or `count`")
        return self
