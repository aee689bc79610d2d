"""Declare pace: what a target's progress is called, and where each of its columns is shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, get_args, get_type_hints


class Status(StrEnum):
    """The word for what a pace amounts to."""

    NOT_STARTED = "not_started"
    NO_DATA = "no_data"
    STALE = "stale"
    AHEAD = "ahead"
    ON_TRACK = "on_track"
    AT_RISK = "at_risk"
    BEHIND = "behind"
    MET = "met"
    MISSED = "missed"


@dataclass(frozen=True, slots=True)
class Column:
    """Declare a column of pace, beside its name and type in `Pace`.

    `chinese` is its comment in the database and `meaning` its line in docs/query.md. `heading` is
    that of `citybrain status`, whose table leaves the column out if it is empty, and `layout` the
    format of its figures there.
    """

    chinese: str
    meaning: str
    heading: str = ""
    layout: str = ""
    in_json: bool = True
    in_mart: bool = True


@dataclass(frozen=True, slots=True)
class Pace:
    """A row of pace: the city's (`department` None) or a department's.

    The fields are the one declaration of pace's columns: the warehouse's table, the mart
    `target_pace`, `citybrain status`, its JSON and docs/query.md follow from them. Figures are None
    where they have no meaning: nobody reported, nothing was planned yet, the goal is the baseline,
    or no days are left.
    """

    target: Annotated[str, Column("目标", "name of the target")]
    department: Annotated[str | None, Column("单位代码；空为全市", "its code; null for the city")]
    as_of: Annotated[date, Column("截止日", "last day whose data counts")]
    revision: Annotated[
        int,
        Column(
            "目标修订号", "number of the target's revision, from 0", in_json=False, in_mart=False
        ),
    ]
    baseline: Annotated[
        float, Column("基数", "value before the target's first day, in its unit", in_mart=False)
    ]
    actual: Annotated[float | None, Column("实际值", "value as known, in its unit", "actual")]
    expected: Annotated[
        float | None, Column("计划应达值", "value that the plan has for this day", "expected")
    ]
    goal: Annotated[float, Column("目标值", "value to reach by the target's last day", "goal")]
    progress: Annotated[
        float | None,
        Column("完成比例", "share of the distance from baseline to goal", "progress", ".1%"),
    ]
    spi: Annotated[
        float | None, Column("进度绩效指数 SPI", "earned share / planned share", in_mart=False)
    ]
    spi_t: Annotated[
        float | None,
        Column(
            "时间进度绩效指数 SPI(t)",
            "earned schedule: planned day of the actual value / days elapsed",
            "SPI(t)",
            ".2f",
        ),
    ]
    sv_t: Annotated[
        float | None,
        Column(
            "时间偏差（天），负为落后",
            "earned schedule: days ahead of the plan, below zero behind it",
            in_json=False,
        ),
    ]
    required_per_day: Annotated[
        float | None,
        Column(
            "剩余每日需完成量",
            "units per day left, below zero where the value must fall",
            "required/day",
        ),
    ]
    days_elapsed: Annotated[
        int,
        Column(
            "已过天数（按计划日历）",
            "days of the plan's calendar until `as_of`",
            in_json=False,
            in_mart=False,
        ),
    ]
    days_left: Annotated[
        int,
        Column(
            "剩余天数（按计划日历）",
            "days of the plan's calendar after `as_of`",
            in_json=False,
            in_mart=False,
        ),
    ]
    coverage: Annotated[
        float | None,
        Column(
            "应报单位中已报的比例", "share of owing departments that are fresh", "coverage", ".0%"
        ),
    ]
    status: Annotated[Status, Column("状态", "what the figures amount to", "status")]
    last_observed: Annotated[
        date | None, Column("最近数据的业务日期", "newest business date with data", in_json=False)
    ]


@cache
def pace_columns() -> Mapping[str, tuple[type, Column]]:
    """Return pace's columns in order: name → Python type (without None) and declaration."""
    columns: dict[str, tuple[type, Column]] = {}
    for name, hint in get_type_hints(Pace, include_extras=True).items():
        kind, column = get_args(hint)
        columns[name] = (get_args(kind)[0] if isinstance(kind, UnionType) else kind, column)
    return columns
