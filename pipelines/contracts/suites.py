"""A source's suite of Great Expectations, and the expectations that it may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pipelines.contracts.declared import Declared, Name

# Row rules: the rows that fail are quarantined. An expectation that is not listed has no condition
# by which rows could be split.
ROW_RULES = frozenset(
    {
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_not_match_regex",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
    }
)
# Table rules judge figures of a whole delivery.
TABLE_RULES = frozenset(
    {
        "expect_table_row_count_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_unique_value_count_to_be_between",
    }
)


class Suite(Declared, title="Suites"):
    """A suite, `expectations/<source>.json`, in the form in which Great Expectations writes it."""

    name: Name = Field(description="Name of the source.", examples=["window_cases"])
    expectations: tuple[Mapping[str, Any], ...] = Field(
        (),
        description="Expectations, each with `type`, `kwargs` and `severity`. A failing row of a "
        "`critical` row rule is quarantined, a delivery that fails a `critical` table rule is "
        "rejected; a `warning` or `info` is only told.",
        examples=[[{"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "item"}}]],
    )
    meta: Mapping[str, Any] = Field(
        {}, description="Notes of programs; not read.", examples=[{"author": "数据资源科"}]
    )
    id: str | None = Field(
        None,
        description="Identifier that Great Expectations gave the suite; not read.",
        examples=["9f1c2d3e"],
    )
    notes: Any = Field(None, description="Notes of people; not read.", examples=["每季度复核"])

    @model_validator(mode="after")
    def _expectations_are_shaped(self) -> Self:
        for position, expectation in enumerate(self.expectations):
            has_type = isinstance(expectation.get("type"), str)
            if not has_type or not isinstance(expectation.get("kwargs", {}), Mapping):
                raise ValueError(f"expectations[{position}] needs a `type` and named `kwargs`")
        return self
