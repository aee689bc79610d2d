"""A source's suite of Great Expectations, and the expectations that it may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from pipelines.contracts.declared import Declared, Name

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


class Suite(Declared):
    """A native Great Expectations suite, as GX itself writes it."""

    name: Name
    expectations: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] = {}
    id: str | None = None
    notes: Any = None

    @model_validator(mode="after")
    def _expectations_are_shaped(self) -> Self:
        for position, expectation in enumerate(self.expectations):
            named = isinstance(expectation.get("type"), str)
            if not named or not isinstance(expectation.get("kwargs", {}), Mapping):
                raise ValueError(f"expectations[{position}] needs a `type` and named `kwargs`")
        return self
