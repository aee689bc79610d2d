"""When departments owe a source."""

from __future__ import annotations

from datetime import date, time
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipelines.contracts.declared import Code, Declared


def _as_time(value: object) -> object:
    if isinstance(value, int | float):  # YAML reads 18:00 in base 60
        raise ValueError('write it in quotes: "18:00"')
    return value


class Frequency(StrEnum):
    """How often a department owes a delivery."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Due(Declared):
    """When departments owe a source.

    For business date D the delivery is due on D+1 at `time` (Asia/Shanghai) and overdue
    `grace_days` later. Weekly sources are due for `weekday` (1 = Monday), monthly ones for `day`
    (or the month's last day when it is shorter).
    """

    frequency: Frequency
    time: Annotated[time, BeforeValidator(_as_time)]
    calendar: Literal["calendar", "workdays"] = "calendar"
    weekday: int = Field(1, ge=1, le=7)
    day: int = Field(1, ge=1, le=31)
    grace_days: int = Field(0, ge=0, le=366)
    start: date = Field(alias="from")
    until: date | None = None
    departments: Literal["all"] | tuple[Code, ...] = "all"
