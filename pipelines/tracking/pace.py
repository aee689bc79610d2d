"""How far a target is against its plan, by earned value and earned schedule.

SPI = earned / planned is EVM's; SPI(t) = ES / elapsed and SV(t) = ES - elapsed are earned
schedule (W. Lipke, "Schedule is Different", The Measurable News, 2003). Days are counted days
of the plan curve; a day's value is that at its end.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from pipelines.contracts.models import Department, Due, Kind, Metric, Target
from pipelines.tracking.calendar import (
    TOLERANCE,
    WorkCalendar,
    day_count,
    earned_days,
    planned_share,
)
from pipelines.tracking.freshness import Observation, answers_for, freshness, handed_over

__all__ = ["Observation", "Pace", "Status", "earned_days", "planned_share", "track"]

AHEAD_FROM = 1.05  # of SPI(t)
INDEX_LIMIT = 10.0  # stands for "infinitely good": plan or consumption is zero, and the other not


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
class Pace:
    """One row of pace: the city's (`department` None) or a department's.

    `baseline`, `goal`, `actual`, `expected` are in the metric's unit, `progress` and `coverage`
    shares, `days_*` and `sv_t` counted days, `required_per_day` units per counted day left (below
    zero where the value must fall). None where a figure has no meaning: nobody reported, nothing
    was planned yet, no way to go, or no days left.
    """

    target: str
    department: str | None
    as_of: date
    revision: int
    baseline: float
    goal: float
    actual: float | None
    expected: float | None
    progress: float | None
    spi: float | None
    spi_t: float | None
    sv_t: float | None
    required_per_day: float | None
    days_elapsed: int
    days_left: int
    coverage: float | None
    status: Status
    last_observed: date | None


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is the same for the city and all departments on a day."""

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
    carried: bool,
) -> list[Pace]:
    """The pace of `target` on `as_of`: the city's, then (each_department) one per owing department.

    The target is taken as revised on `as_of`. `owing` are the codes that the contract lists; who
    answers for them on `as_of` owes, with the goals and observations of its predecessors. The city
    counts every department that reported. `carried` says that values are last observations (a
    stock, a ratio over snapshots) and not sums over days.

    A baseline is what was there before the window, and a flow's observations come on top of it.
    It is the city's: departments start a sum at 0, or, when it is to be reduced, at their goal's
    share of it (without a row when the goal is 0); a ratio or a level starts at the target's own.
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
    held = handed_over(observations, departments, as_of, carried)
    owed_by = {answers_for(code, departments, as_of) for code in owing}
    heard = {
        code: freshness(held[code].last_observed if code in held else None, due, clipped, calendar)
        for code in departments
        if code in owed_by
    }
    fresh = [code for code, word in heard.items() if word == "fresh"]
    coverage = len(fresh) / len(heard) if heard else None
    rows = [_pace(plan, None, target.baseline, target.goal, list(held.values()), coverage)]
    for code, goal in _department_goals(target, metric, departments, as_of).items():
        baseline = _department_baseline(target, metric, goal)
        if code in heard and baseline is not None:
            own = [held[code]] if code in held else []
            rows.append(_pace(plan, code, baseline, goal, own, float(code in fresh)))
    return rows


def _actual(metric: Metric, baseline: float, seen: Sequence[Observation]) -> float | None:
    if metric.kind is Kind.RATIO:
        below = math.fsum(part.denominator for part in seen)
        above = math.fsum(part.numerator for part in seen)
        return metric.scale * above / below if below else None
    before = baseline if metric.kind is Kind.FLOW else 0.0
    return math.fsum([before, *(part.value for part in seen)]) if seen else None


def _sums(target: Target, metric: Metric) -> bool:
    return metric.kind is not Kind.RATIO and target.curve != "level"


def _department_goals(
    target: Target, metric: Metric, departments: Mapping[str, Department], as_of: date
) -> dict[str, float]:
    """Goals by who answers for them on `as_of`, in departments' order; none for a city target."""
    if target.scope == "city":
        return {}
    if not _sums(target, metric):
        goal = target.department_goal
        return {} if goal is None else dict.fromkeys(departments, goal)
    goals: dict[str, float] = {}
    for code, goal in target.department_goals.items():
        holder = answers_for(code, departments, as_of)
        if holder is not None:
            goals[holder] = goals.get(holder, 0.0) + goal
    return {code: goals[code] for code in departments if code in goals}


def _department_baseline(target: Target, metric: Metric, goal: float) -> float | None:
    if not _sums(target, metric):
        return target.baseline
    if target.direction == "at_least" or target.goal >= target.baseline:
        return 0.0
    # a reduction from 0 would be one that is over before it began
    return target.baseline * goal / target.goal if target.goal else None


def _pace(
    plan: _Plan,
    department: str | None,
    baseline: float,
    goal: float,
    seen: Sequence[Observation],
    coverage: float | None,
) -> Pace:
    """One row: the figures, and what they amount to.

    Where there is no way to go (a level; a goal that equals the baseline, or lies below it and
    asks for at least) the goal is a standard to hold, and SPI is how far it is held. In a budget
    (at most, from below) what is used up early is bad, so both indexes are inverted, at most
    INDEX_LIMIT, and SV(t) changes its sign: below zero is bad everywhere.
    """
    target, way = plan.target, goal - baseline
    actual = _actual(plan.metric, baseline, seen)
    level, at_least = target.curve == "level", target.direction == "at_least"
    way_to_go = way > 0 if at_least else way != 0 and not level
    hold, budget = level or not way_to_go, not level and not at_least and way >= 0
    over = plan.as_of >= target.end
    started = plan.elapsed > 0 or over
    satisfied = actual is not None and _satisfies(actual, goal, at_least)

    progress = spi = spi_t = sv_t = None
    if actual is not None:
        progress = (actual - baseline) / way if way_to_go else 1.0 if satisfied else None
        if started and hold:
            spi = _held(actual, goal, at_least)
        elif plan.elapsed and progress is not None:
            spi, spi_t, sv_t = _indexes(plan, progress, budget)

    if not started:
        status = Status.NOT_STARTED
    elif actual is None:
        status = Status.NO_DATA
    elif satisfied and (over or not (level or budget)):
        status = Status.MET
    elif over:
        status = Status.MISSED
    elif coverage == 0:
        status = Status.STALE  # nobody who owes is fresh
    elif budget and not satisfied:
        status = Status.BEHIND  # near the end the indexes of an overdrawn budget look harmless
    else:
        status = _graded(target, spi if hold else spi_t, hold)

    reached = baseline if actual is None and not started else actual
    required = None
    if reached is not None and plan.left and not level:
        required = 0.0 if satisfied and not budget else (goal - reached) / plan.left
    return Pace(
        target=target.name,
        department=department,
        as_of=plan.as_of,
        revision=plan.revision,
        baseline=baseline,
        goal=goal,
        actual=actual,
        expected=baseline if not started else goal if hold else baseline + plan.share * way,
        progress=progress,
        spi=spi,
        spi_t=spi_t,
        sv_t=sv_t,
        required_per_day=required,
        days_elapsed=plan.elapsed,
        days_left=plan.left,
        coverage=coverage,
        status=status,
        last_observed=max((part.last_observed for part in seen), default=None),
    )


def _satisfies(actual: float, goal: float, at_least: bool) -> bool:
    reached = actual >= goal if at_least else actual <= goal
    # a sum of decimals must not miss the goal by its last bit
    return reached or math.isclose(actual, goal, rel_tol=1e-12, abs_tol=1e-12)


def _held(actual: float, goal: float, at_least: bool) -> float:
    """actual / goal, or its inverse for at_most; 1 or 0 where that says nothing."""
    part, whole = (actual, goal) if at_least else (goal, actual)
    if whole <= 0:
        return 1.0 if _satisfies(actual, goal, at_least) else 0.0
    return min(INDEX_LIMIT, part / whole)


def _indexes(plan: _Plan, progress: float, budget: bool) -> tuple[float, float, float]:
    """SPI, SPI(t) and SV(t) in days."""
    on_plan = abs(progress - plan.share) <= TOLERANCE
    # on a plateau of the plan every day is on plan, and not only the one that ES names
    earned = plan.elapsed if on_plan else earned_days(plan.target, progress, plan.calendar)
    if budget:
        earned *= max(1.0, progress)  # past its goal a budget goes on being used up
        spi, spi_t = _quotient(plan.share, progress), _quotient(plan.elapsed, earned)
        return min(INDEX_LIMIT, spi), min(INDEX_LIMIT, spi_t), plan.elapsed - earned
    return _quotient(progress, plan.share), earned / plan.elapsed, earned - plan.elapsed


def _quotient(part: float, whole: float) -> float:
    if abs(part - whole) <= TOLERANCE:
        return 1.0
    if whole <= TOLERANCE:
        return INDEX_LIMIT if part > whole else 0.0
    return part / whole


def _graded(target: Target, index: float | None, hold: bool) -> Status:
    assert index is not None, "a started target with an actual value has an index"
    index = round(index, 9)
    if index >= AHEAD_FROM and not hold:
        return Status.AHEAD
    if index >= target.at_risk_below:
        return Status.ON_TRACK
    return Status.AT_RISK if index >= target.behind_below else Status.BEHIND
