"""Comparisons of a delivery with others: running totals, and its department's past deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.contracts.declared import Declared, Name


class Totals(Declared, title="Totals"):
    """A cumulative column and the column of its increments, which must agree from day to day.

    For each combination of `by`: cumulative(d) = cumulative(d-1) + increment(d) + correction(d),
    where d-1 is the day before on which the source is due. People are told of a delivery that
    breaks this.
    """

    cumulative: Name = Field(description="Number column with the total.", examples=["year_cases"])
    increment: Name = Field(
        description="Number column with what the day adds to it.", examples=["new_cases"]
    )
    correction: Name | None = Field(
        None,
        description="Number column with what the day corrects of earlier days.",
        examples=["corrected_cases"],
    )
    by: tuple[Name, ...] = Field(
        (),
        description="Columns that tell the totals of a department and day apart; without them, the "
        "`key` without the partition's columns.",
        examples=[["district", "item"]],
    )
    tolerance: float = Field(
        0, ge=0, description="Largest difference that still agrees.", examples=[0.5]
    )
    resets: Literal["yearly", "monthly"] | None = Field(
        None, description="When the total starts again from 0.", examples=["yearly"]
    )
    on_break: Literal["warn", "hold"] = Field(
        "warn",
        description="What becomes of a delivery that breaks a total: it is loaded with a warning, "
        "or held until a person decides.",
        examples=["hold"],
    )


class Drift(Declared, title="Drift"):
    """Bounds of how much a delivery may differ from its department's past without a warning.

    `null` as the value of a key leaves its comparison out.

    The number of rows is compared by a robust z-score, (rows - median) / spread. The spread is
    1.4826 * MAD (Iglewicz and Hoaglin, 1993), but at least the square root of the median, 5 % of
    it, and 1. Deliveries of a daily source are compared with those of the same weekday that were
    as well a working or a free day; while there are too few, with those of the same weekday or the
    same kind of day, and then with the least and the most of them instead of the median.
    """

    volume: float | None = Field(
        3.5,
        gt=0,
        description="Score of the number of rows from which people are warned.",
        examples=[3.5],
    )
    history: int = Field(
        8, ge=3, description="Number of latest deliveries that count as the past.", examples=[8]
    )
    minimum: int = Field(
        4,
        ge=3,
        description="Number of past deliveries below which nothing is compared.",
        examples=[4],
    )
    null_share: float | None = Field(
        0.2,
        gt=0,
        le=1,
        description="Rise of a column's share of empty cells from which people are warned.",
        examples=[0.2],
    )
    categories: tuple[Name, ...] = Field(
        (),
        description="Text columns of few values, where a value never seen before is a warning.",
        examples=[["channel"]],
    )
    columns: bool = Field(
        True, description="Warn of columns that appear or vanish.", examples=[False]
    )
