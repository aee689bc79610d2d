"""What a delivery is held against: running totals, and its department's past deliveries."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pipelines.contracts.declared import Declared, Name


class Totals(Declared):
    """A column that is cumulative, and the column that is its increment.

    For each `by` (the key, unless told): cumulative(d) = cumulative(d-1) + increment(d) +
    correction(d), to within `tolerance`; d-1 is the day before on which the source is due. A total
    that `resets` starts each year or month from 0. A delivery that breaks it is told of, or `held`.
    """

    cumulative: Name
    increment: Name
    correction: Name | None = None
    by: tuple[Name, ...] = ()
    tolerance: float = Field(0, ge=0)
    resets: Literal["yearly", "monthly"] | None = None
    on_break: Literal["warn", "hold"] = "warn"


class Drift(Declared):
    """When a delivery differs from its department's history so much that people are told.

    `volume` is a robust z-score of the number of rows, (rows - median) / spread, against the last
    `history` deliveries, of which there must be `minimum`. Those of a daily source are of the same
    weekday, worked or free as the day is; while they are too few, of days alike in one of both,
    and held against the least and the most of them, not their median. The spread is 1.4826 * MAD
    (Iglewicz and Hoaglin, 1993), or the largest of the square root of the median, 5 % of it, and 1,
    where that is more. `null_share` is by how much a column's share of empty cells may rise.
    `categories` are columns of few values, of which one never seen is told. `columns`: whether
    columns that appear or vanish are told. None (or nothing) leaves a comparison out.
    """

    volume: float | None = Field(3.5, gt=0)
    history: int = Field(8, ge=3)
    minimum: int = Field(4, ge=3)
    null_share: float | None = Field(0.2, gt=0, le=1)
    categories: tuple[Name, ...] = ()
    columns: bool = True
