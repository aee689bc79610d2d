"""A metric: a named figure per department, business date and breakdown."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from pipelines.contracts.declared import Declared, Name


class Aggregate(Declared):
    """One aggregate over a partition's rows; `where` keeps rows whose column has the value(s)."""

    aggregate: Literal["sum", "count", "count_distinct", "min", "max"]
    column: Name | None = None
    where: dict[Name, str | bool | int | tuple[str, ...]] = Field({})

    @model_validator(mode="after")
    def _column_where_needed(self) -> Self:
        if self.aggregate != "count" and self.column is None:
            raise ValueError(f"`{self.aggregate}` needs a `column`")
        return self


class Kind(StrEnum):
    """What a metric's values mean over time: DESIGN's flow, stock and ratio."""

    FLOW = "flow"
    STOCK = "stock"
    RATIO = "ratio"


class Metric(Declared):
    """A named figure per department, business date and breakdown.

    A flow adds over days and departments; a stock holds until the next observation; a ratio is
    `numerator / denominator * scale` and adds its parts, never its values.
    """

    name: Name
    title: str
    unit: str
    kind: Kind
    source: Name
    description: str = ""
    value: Aggregate | None = None
    numerator: Aggregate | None = None
    denominator: Aggregate | None = None
    by: Name | None = None

    @property
    def scale(self) -> int:
        """100 for a ratio shown in percent, else 1."""
        return 100 if self.kind is Kind.RATIO and self.unit == "%" else 1

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates it is made of: one, or numerator and denominator."""
        parts = (self.value, self.numerator, self.denominator)
        return tuple(part for part in parts if part is not None)

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        ratio_parts = self.numerator is not None and self.denominator is not None
        if self.kind is Kind.RATIO and (not ratio_parts or self.value is not None):
            raise ValueError("a ratio has `numerator` and `denominator`, and no `value`")
        if self.kind is not Kind.RATIO and (
            self.value is None or self.numerator is not None or self.denominator is not None
        ):
            raise ValueError(f"a {self.kind} has `value`, and no `numerator` or `denominator`")
        if self.kind is Kind.FLOW and self.value and self.value.aggregate not in ("sum", "count"):
            raise ValueError("a flow adds up: its aggregate is `sum` or `count`")
        return self
