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
from itertools import pairwise

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Due
from pipelines.contracts.metrics import Kind, Metric
from pipelines.contracts.targets import Milestones, Target
from pipelines.tracking.calendar import (
    DayCount,
    Observation,
    WorkCalendar,
    answers_for,
    freshness,
    handed_over,
)
from pipelines.tracking.pace import Pace, Status

AHEAD_FROM = 1.05  # of SPI(t)
INDEX_LIMIT = 10.0  # stands for "infinitely good": plan or consumption is zero, the other is not
TOLERANCE = 1e-9  # of shares, which are quotients of floats


@dataclass(frozen=True, slots=True)
class _Plan:
    """A target's plan on a day: the same for the city and every department."""

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
    """Return part / whole: 1 if they are equal, also both 0; INDEX_LIMIT if only `whole` is 0."""
    if abs(part - whole) <= TOLERANCE:
        return 1.0
    if whole <= TOLERANCE:
        return INDEX_LIMIT if part > whole else 0.0
    return part / whole


def day_count(target: Target) -> DayCount:
    """Return the days that `target` counts: workdays if its curve says so, else every day."""
    return "workdays" if target.curve == "workdays" else "calendar"


def planned_share(target: Target, day: date, calendar: WorkCalendar) -> float:
    """Return the share (0..1) of the distance from baseline to goal planned by the end of `day`.

    Counted days elapsed / counted days of the window, both ends included; through milestones a
    straight line from (start - 1, 0), in calendar days; always 1 for a level. `target` is taken
    as given: apply `Target.revised` first. At the end all is planned, wherever a revised end
    has left the milestones; those outside the window count for nothing.
    """
    if target.curve == "level":
        return 1.0
    if day < target.start:
        return 0.0
    if day >= target.end:
        return 1.0
    elapsed = calendar.count(target.start, day, day_count(target))
    if elapsed == 0:
        return 0.0
    for (left, low), (right, high) in pairwise(_points(target, calendar)):
        if elapsed <= right:
            return low + (high - low) * (elapsed - left) / (right - left)
    return 1.0


def earned_days(target: Target, share: float, calendar: WorkCalendar) -> float:
    """Return the counted day, with fraction, on which the plan expects `share`: ES.

    The inverse of `planned_share`, from 0 to the window's counted days. Where the plan rests (a
    plateau of milestones) it is the plateau's last day: resting as planned is no delay. A level
    has no schedule, and its answer means nothing.
    """
    earned = 0.0
    for (left, low), (right, high) in pairwise(_points(target, calendar)):
        if share < low - TOLERANCE:
            break
        climbed = (share - low) / (high - low) if high - low > TOLERANCE else 1.0
        earned = left + (right - left) * min(1.0, max(0.0, climbed))
    return earned


def _points(target: Target, calendar: WorkCalendar) -> list[tuple[int, float]]:
    """Return the plan's corners as (counted day, share): rising days from 0 to the window's end."""
    total = calendar.count(target.start, target.end, day_count(target))
    points = [(0, 0.0)]
    if isinstance(target.curve, Milestones):
        points += [
            ((point.by - target.start).days + 1, point.share)
            for point in target.curve.milestones
            if target.start <= point.by < target.end
        ]
    return [*points, (total, 1.0)] if total > 0 else points
