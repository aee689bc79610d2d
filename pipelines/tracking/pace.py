"""Compute how far a target is against its plan, by earned value and earned schedule.

SPI = earned / planned is earned value management's index; SPI(t) = ES / elapsed and
SV(t) = ES - elapsed are earned schedule's (W. Lipke, "Schedule is Different", The Measurable News,
2003). Days are counted days of the plan's curve, and a day's value is the value at its end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, get_args, get_type_hints

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Due
from pipelines.contracts.metrics import Kind, Metric
from pipelines.contracts.targets import Target
from pipelines.tracking.calendar import (
    TOLERANCE,
    WorkCalendar,
    day_count,
    earned_days,
    planned_share,
)
from pipelines.tracking.freshness import Observation, answers_for, freshness, handed_over

AHEAD_FROM = 1.05  # of SPI(t)
INDEX_LIMIT = 10.0  # stands for "infinitely good": plan or consumption is zero, the other is not


class Status(StrEnum):
    """What a pace amounts to."""

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


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the city and all departments have in common on a day."""

    target: Target
    metric: Metric
    revision: int
    as_of: date
    elapsed: int
    left: int
    share: float
    calendar: WorkCalendar


def track(
    target: Target,
    metric: Metric,
    observations: Mapping[str, Observation],
    departments: Mapping[str, Department],
    owing: Collection[str],
    due: Due | None,
    calendar: WorkCalendar,
    as_of: date,
    *,
    is_carried: bool,
) -> list[Pace]:
    """Return the pace of `target` on `as_of`: the city's, then each owing department's.

    The target is taken as revised on `as_of`. `owing` are the codes that the contract lists; who
    answers for them on `as_of` owes, with the goals and observations of its predecessors. The city
    counts every department that reported. `is_carried` says that values are last observations (a
    stock, a ratio over snapshots) and not sums over days.
    """
    revision, target = target.revised(as_of)
    curve, clipped = day_count(target), min(as_of, target.end)
    plan = _Plan(
        target=target,
        metric=metric,
        revision=revision,
        as_of=as_of,
        elapsed=calendar.count(target.start, clipped, curve),
        left=calendar.count(max(as_of + timedelta(1), target.start), target.end, curve),
        share=planned_share(target, as_of, calendar),
        calendar=calendar,
    )
    by_holder = handed_over(observations, departments, as_of, is_carried)
    owed_by = {answers_for(code, departments, as_of) for code in owing}
    states = {
        code: freshness(
            by_holder[code].last_observed if code in by_holder else None, due, clipped, calendar
        )
        for code in departments
        if code in owed_by
    }
    fresh = [code for code, state in states.items() if state == "fresh"]
    coverage = len(fresh) / len(states) if states else None
    paces = [_pace(plan, None, target.baseline, target.goal, list(by_holder.values()), coverage)]
    for code, (baseline, goal) in _department_spans(target, metric, departments, as_of).items():
        if code in states:
            observed = [by_holder[code]] if code in by_holder else []
            paces.append(_pace(plan, code, baseline, goal, observed, float(code in fresh)))
    return paces


def _department_spans(
    target: Target, metric: Metric, departments: Mapping[str, Department], as_of: date
) -> dict[str, tuple[float, float]]:
    """Return (baseline, goal) by who answers for it on `as_of`, in departments' order.

    A ratio or a level has one goal and the target's baseline for every department. Sums start at 0
    or, when the value is to be reduced, at the goal's share of the city's baseline: a reduction
    from 0 would be over before it began, so a goal of 0 gives no department a span.
    """
    if target.scope == "city":
        return {}
    if metric.kind is Kind.RATIO or target.curve == "level":
        goal = target.department_goal
        return {} if goal is None else dict.fromkeys(departments, (target.baseline, goal))
    goals: dict[str, float] = {}
    for code, goal in target.department_goals.items():
        holder = answers_for(code, departments, as_of)
        if holder is not None:
            goals[holder] = goals.get(holder, 0.0) + goal
    spans: dict[str, tuple[float, float]] = {}
    for code in departments:
        if code not in goals:
            continue
        goal = goals[code]
        if target.direction == "at_least" or target.goal >= target.baseline:
            spans[code] = (0.0, goal)
        elif target.goal:
            spans[code] = (target.baseline * goal / target.goal, goal)
    return spans


def _actual(metric: Metric, baseline: float, observed: Sequence[Observation]) -> float | None:
    """Combine observations into the metric's value; None if nobody reported any.

    A baseline is the value before the window: a flow's observations come on top of it.
    """
    if metric.kind is Kind.RATIO:
        denominator = math.fsum(part.denominator for part in observed)
        numerator = math.fsum(part.numerator for part in observed)
        return metric.scale * numerator / denominator if denominator else None
    before = baseline if metric.kind is Kind.FLOW else 0.0
    return math.fsum([before, *(part.value for part in observed)]) if observed else None


def _pace(
    plan: _Plan,
    department: str | None,
    baseline: float,
    goal: float,
    observed: Sequence[Observation],
    coverage: float | None,
) -> Pace:
    """Return a row: the figures, and what they amount to.

    Where there is no distance to cover (a level; a goal that equals the baseline, or lies below it
    and asks for at least) the goal is a standard to hold, and SPI is how far it is held. In a
    budget (at most, from below) what is used up early is bad, so both indexes are inverted, at most
    INDEX_LIMIT, and SV(t) changes its sign: below zero is bad everywhere.
    """
    target, distance = plan.target, goal - baseline
    actual = _actual(plan.metric, baseline, observed)
    is_level, at_least = target.curve == "level", target.direction == "at_least"
    has_distance = distance > 0 if at_least else distance != 0 and not is_level
    is_standard = is_level or not has_distance
    is_budget = not is_level and not at_least and distance >= 0
    is_started = plan.elapsed > 0 or plan.as_of >= target.end
    is_satisfied = actual is not None and _satisfies(actual, goal, at_least)

    progress = spi = spi_t = sv_t = None
    if actual is not None:
        if has_distance:
            progress = (actual - baseline) / distance
        elif is_satisfied:
            progress = 1.0
        if is_started and is_standard:
            spi = _held_share(actual, goal, at_least)
        elif plan.elapsed and progress is not None:
            spi, spi_t, sv_t = _indexes(plan, progress, is_budget)

    expected = baseline
    if is_started:
        expected = goal if is_standard else baseline + plan.share * distance
    reached = baseline if actual is None and not is_started else actual
    required = None
    if reached is not None and plan.left and not is_level:
        required = 0.0 if is_satisfied and not is_budget else (goal - reached) / plan.left
    return Pace(
        target=target.name,
        department=department,
        as_of=plan.as_of,
        revision=plan.revision,
        baseline=baseline,
        actual=actual,
        expected=expected,
        goal=goal,
        progress=progress,
        spi=spi,
        spi_t=spi_t,
        sv_t=sv_t,
        required_per_day=required,
        days_elapsed=plan.elapsed,
        days_left=plan.left,
        coverage=coverage,
        status=_status(
            plan,
            actual,
            spi if is_standard else spi_t,
            coverage,
            is_satisfied=is_satisfied,
            is_standard=is_standard,
            is_budget=is_budget,
        ),
        last_observed=max((part.last_observed for part in observed), default=None),
    )


def _status(
    plan: _Plan,
    actual: float | None,
    index: float | None,
    coverage: float | None,
    *,
    is_satisfied: bool,
    is_standard: bool,
    is_budget: bool,
) -> Status:
    """Grade a row; `index` is SPI(t), or SPI where the goal is a standard to hold."""
    target, is_over = plan.target, plan.as_of >= plan.target.end
    if not plan.elapsed and not is_over:
        return Status.NOT_STARTED
    if actual is None:
        return Status.NO_DATA
    # A standard must be held, and a budget not be exceeded, until the last day.
    if is_satisfied and (is_over or not (target.curve == "level" or is_budget)):
        return Status.MET
    if is_over:
        return Status.MISSED
    if coverage == 0:
        return Status.STALE
    # Near the last day the indexes of an overdrawn budget would look harmless.
    if is_budget and not is_satisfied:
        return Status.BEHIND
    assert index is not None, "a started target with an actual value has an index"
    index = round(index, 9)
    if index >= AHEAD_FROM and not is_standard:
        return Status.AHEAD
    if index >= target.at_risk_below:
        return Status.ON_TRACK
    return Status.AT_RISK if index >= target.behind_below else Status.BEHIND


def _satisfies(actual: float, goal: float, at_least: bool) -> bool:
    is_reached = actual >= goal if at_least else actual <= goal
    # A sum of decimals must not miss the goal by its last bit.
    return is_reached or math.isclose(actual, goal, rel_tol=1e-12, abs_tol=1e-12)


def _held_share(actual: float, goal: float, at_least: bool) -> float:
    """Return actual / goal, or its inverse for at_most; 1 or 0 where a quotient says nothing."""
    part, whole = (actual, goal) if at_least else (goal, actual)
    if whole <= 0:
        return 1.0 if _satisfies(actual, goal, at_least) else 0.0
    return min(INDEX_LIMIT, part / whole)


def _indexes(plan: _Plan, progress: float, is_budget: bool) -> tuple[float, float, float]:
    """Return SPI, SPI(t) and SV(t), the last in counted days."""
    is_on_plan = abs(progress - plan.share) <= TOLERANCE
    # On a plateau of the plan every day is on plan, and not only the one that ES names.
    earned = plan.elapsed if is_on_plan else earned_days(plan.target, progress, plan.calendar)
    if is_budget:
        # Past its goal a budget goes on being used up, although the plan's days end there.
        earned *= max(1.0, progress)
        spi, spi_t = _quotient(plan.share, progress), _quotient(plan.elapsed, earned)
        return min(INDEX_LIMIT, spi), min(INDEX_LIMIT, spi_t), plan.elapsed - earned
    return _quotient(progress, plan.share), earned / plan.elapsed, earned - plan.elapsed


def _quotient(part: float, whole: float) -> float:
    if abs(part - whole) <= TOLERANCE:
        return 1.0
    if whole <= TOLERANCE:
        return INDEX_LIMIT if part > whole else 0.0
    return part / whole
