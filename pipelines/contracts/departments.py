"""Departments, and the days that overrule the public calendar."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from pipelines.contracts.declared import Code, Declared


class Department(Declared, title="Departments"):
    """A row of `departments.csv`: who sends; only `code` and `name` are needed.

    Departments merge and are renamed. The past stays under the old code, and sums of the city
    follow the successor.
    """

    code: Code = Field(description="Code of the department, as in paths.", examples=["gaj"])
    name: str = Field(description="Full Chinese name.", examples=["市公安局"])
    short_name: str = Field(
        "", description="Short name that tables and messages show.", examples=["公安局"]
    )
    group: str = Field("", description="Group that the department is in.", examples=["政法"])
    region: str = Field("", description="Region that it belongs to.", examples=["市本级"])
    valid_from: date | None = Field(
        None, description="First day of the department.", examples=[date(2019, 1, 1)]
    )
    valid_to: date | None = Field(
        None, description="Last day of the department.", examples=[date(2021, 10, 31)]
    )
    successor: Code | None = Field(
        None, description="Code of the department that took over.", examples=["wjw"]
    )

    @property
    def label(self) -> str:
        """Return the name that tables and messages show."""
        return self.short_name or self.name

    def valid_on(self, day: date) -> bool:
        """Tell whether the department exists on `day`; both ends count."""
        after_start = self.valid_from is None or self.valid_from <= day
        return after_start and (self.valid_to is None or day <= self.valid_to)


class Holiday(Declared, title="Holidays"):
    """A row of `holidays.csv`, which may be absent: a day that overrules the public calendar."""

    # A key with a default value may not have the name of its type, and Field() would be one.
    date: Annotated[date, Field(description="The day.", examples=[date(2021, 10, 9)])]
    working: bool = Field(description="Whether it is worked.", examples=[True])
