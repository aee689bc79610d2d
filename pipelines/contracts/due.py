"""The days and times at which departments owe a source."""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipelines.contracts.declared import Code, Declared


class Frequency(StrEnum):
    """The rhythm in which a department owes deliveries."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


def _as_time(value: object) -> object:
    # YAML reads 18:00 in base 60, as the number 1080.
    if isinstance(value, int | float):
        raise ValueError('write it in quotes: "18:00"')
    return value


class Due(Declared, title="Due"):
    """The days and times at which departments owe the source.

    The delivery for business date D is due on D+1 at `time` (Asia/Shanghai), and overdue
    `grace_days` later. A source without this key is never overdue.
    """

    frequency: Frequency = Field(
        description="How often a department owes a delivery.", examples=["daily"]
    )
    # A key with a default value may not have the name of its type, and Field() would be one.
    time: Annotated[
        time,
        BeforeValidator(_as_time),
        Field(
            description="Time of the following day, in quotes: YAML would read 18:00 as 1080.",
            examples=["18:00"],
        ),
    ]
    calendar: Literal["calendar", "workdays"] = Field(
        "calendar",
        description="Days that count: all, or China's working days (`holidays.csv` overrules "
        "them).",
        examples=["workdays"],
    )
    weekday: int = Field(
        1,
        ge=1,
        le=7,
        description="Day for which a weekly source is due; 1 is Monday.",
        examples=[5],
    )
    day: int = Field(
        1,
        ge=1,
        le=31,
        description="Day of the month for which a monthly source is due; the last day of a month "
        "that is shorter.",
        examples=[31],
    )
    grace_days: int = Field(
        0, ge=0, le=366, description="Days after which a late delivery is overdue.", examples=[1]
    )
    start: date = Field(
        alias="from",
        description="First business date that departments owe.",
        examples=[date(2021, 9, 23)],
    )
    until: date | None = Field(
        None,
        description="Last business date that departments owe; without it the source has no end.",
        examples=[date(2021, 12, 31)],
    )
    departments: Literal["all"] | tuple[Code, ...] = Field(
        "all",
        description="Codes of the departments that owe the source; nobody owes outside its own "
        "validity.",
        examples=[["gaj", "wjw"]],
    )
