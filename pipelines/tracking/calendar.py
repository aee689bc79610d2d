"""Which days count (China's working days, or every day), and how a plan spreads over them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from itertools import pairwise
from typing import Literal

import chinese_calendar

from pipelines.contracts.targets import Milestones, Target

DayCount = Literal["calendar", "workdays"]

TOLERANCE = 1e-9  # of shares, which are quotients of floats
_FRIDAY = 4


@cache
def _public_workday(day: date) -> bool | None:
    """What the State Council's calendar says; None for a year that it does not know."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


# eq=False: compared and hashed as an object, so that lists of due dates can be cached by it
@dataclass(frozen=True, slots=True, eq=False)
class WorkCalendar:
    """Working days of a deployment: its own `overrides` (day: works), then the public calendar.

    A year that the public calendar does not know counts Monday to Friday besides its overrides.
    """

    overrides: Mapping[date, bool] = field(default_factory=dict)

    def is_workday(self, day: date) -> bool:
        """Whether people work on `day`, make-up weekends included."""
        known = self.overrides.get(day)
        if known is None:
            known = _public_workday(day)
        return day.weekday() <= _FRIDAY if known is None else known

    def provisional(self, start: date, end: date) -> set[int]:
        """Years of [start, end] whose holidays are guessed: neither calendar knows them.

        A year with any override is known: a list of holidays names exceptions, not 365 days.
        """
        listed = {day.year for day in self.overrides}
        years = set(range(start.year, end.year + 1)) if start <= end else set()
        return {year for year in years - listed if _public_workday(date(year, 1, 1)) is None}

    def days(self, start: date, end: date, curve: DayCount) -> Iterator[date]:
        """The days of [start, end] that count on `curve`, in order."""
        for offset in range((end - start).days + 1):
            day = start + timedelta(offset)
            if curve == "calendar" or self.is_workday(day):
                yield day

    def count(self, start: date, end: date, curve: DayCount) -> int:
        """How many days of [start, end] count on `curve`; both ends count, 0 when end < start."""
        if curve == "calendar":
            return max(0, (end - start).days + 1)
        return sum(1 for _ in self.days(start, end, curve))


def day_count(target: Target) -> DayCount:
    """The days that `target` counts: workdays when its curve says so, else every day."""
    return "workdays" if target.curve == "workdays" else "calendar"


def planned_share(target: Target, day: date, calendar: WorkCalendar) -> float:
    """The share (0..1) of the way from baseline to goal that is planned by the end of `day`.

    Counted days elapsed / counted days of the window, both ends included; through milestones a
    straight line from (start - 1, 0), in calendar days; always 1 for a level. `target` is taken
    as it stands: `Target.revised` comes first. At the end all is planned, wherever a revised end
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
    """The counted day, with fraction, on which the plan expects `share`: earned schedule's ES.

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
    """The plan's corners as (counted day, share): rising days from 0 to the window's end."""
    total = calendar.count(target.start, target.end, day_count(target))
    points = [(0, 0.0)]
    if isinstance(target.curve, Milestones):
        points += [
            ((point.by - target.start).days + 1, point.share)
            for point in target.curve.milestones
            if target.start <= point.by < target.end
        ]
    return [*points, (total, 1.0)] if total > 0 else points
