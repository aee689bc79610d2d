"""Tell which days count, what departments owe on them, who is silent, and who took over."""

from __future__ import annotations

from bisect import bisect_left
from calendar import monthrange
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache, lru_cache
from typing import Literal

import chinese_calendar

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Due, Frequency
from pipelines.contracts.sources import Source

DayCount = Literal["calendar", "workdays"]
Freshness = Literal["fresh", "stale", "no_data"]
FRIDAY = 4


@cache
def _public_workday(day: date) -> bool | None:
    """Ask the State Council's calendar; None for a year that it does not know."""
    try:
        return bool(chinese_calendar.is_workday(day))
    except NotImplementedError:
        return None


# eq=False: it is compared and hashed as an object, so that due dates can be cached by it.
@dataclass(frozen=True, slots=True, eq=False)
class WorkCalendar:
    """Working days of a deployment: its own `overrides` (day: works), then the public calendar.

    A year that the public calendar does not know counts Monday to Friday besides its overrides.
    """

    overrides: Mapping[date, bool] = field(default_factory=dict)

    def is_workday(self, day: date) -> bool:
        """Tell if people work on `day`, make-up weekends included."""
        known = self.overrides.get(day)
        if known is None:
            known = _public_workday(day)
        return day.weekday() <= FRIDAY if known is None else known

    def provisional(self, start: date, end: date) -> set[int]:
        """Return the years of [start, end] whose holidays are guessed: neither calendar has them.

        A year with any override is known: a list of holidays names exceptions, not 365 days.
        """
        listed = {day.year for day in self.overrides}
        years = set(range(start.year, end.year + 1)) if start <= end else set()
        return {year for year in years - listed if _public_workday(date(year, 1, 1)) is None}

    def days(self, start: date, end: date, curve: DayCount) -> Iterator[date]:
        """Yield the days of [start, end] that count on `curve`, in order."""
        for offset in range((end - start).days + 1):
            day = start + timedelta(offset)
            if curve == "calendar" or self.is_workday(day):
                yield day

    def count(self, start: date, end: date, curve: DayCount) -> int:
        """Count the days of [start, end] on `curve`, both ends included; 0 if end < start."""
        if curve == "calendar":
            return max(0, (end - start).days + 1)
        return sum(1 for _ in self.days(start, end, curve))


@dataclass(frozen=True, slots=True)
class Overdue:
    """Business dates of a source that a department still owes, in order, never empty.

    `last_received` is the latest business date it did send, None if it never sent any.
    """

    source: str
    department: str
    missing: tuple[date, ...]
    last_received: date | None


@dataclass(frozen=True, slots=True)
class Observation:
    """A department's metric within a target's window, as known on the as-of day.

    `value` is a flow's sum over [start, min(as_of, end)] or a stock's last observation by then; of
    a ratio `numerator` and `denominator` count instead (a denominator of 0: no value).
    """

    value: float
    numerator: float
    denominator: float
    last_observed: date


@lru_cache(maxsize=1024)
def due_dates(due: Due, until: date, calendar: WorkCalendar) -> tuple[date, ...]:
    """Return the business dates owed from `due.start` through `until` (and `due.until`), in order.

    On the workdays calendar a weekly date that is a holiday moves to the next workday; a date
    that moves past the last day is not owed. A monthly date never moves, because it stands for
    its month; it is the month's last day when the month is shorter.
    """
    last = until if due.until is None else min(until, due.until)
    match due.frequency:
        case Frequency.DAILY:
            return tuple(calendar.days(due.start, last, due.calendar))
        case Frequency.WEEKLY:
            weeks = _weekly(due, last)
            if due.calendar == "workdays":
                # Two weeks can move to one day: a holiday Friday, and the Friday after it.
                weeks = iter(sorted({_next_workday(day, calendar) for day in weeks}))
            return tuple(day for day in weeks if day <= last)
        case Frequency.MONTHLY:
            return tuple(_monthly(due, last))


def due_before(due: Due | None, days: Collection[date], calendar: WorkCalendar) -> dict[date, date]:
    """Return for each of `days` the latest day before it that is due, in the rhythm of `due`.

    The rhythm has neither start nor end: history is older than what is owed. Without `due`, or in
    a rest of a quarter, it is the day before.
    """
    if due is None or not days:
        return {day: day - timedelta(1) for day in days}
    start = min(days) - timedelta(92)
    rhythm = due.model_copy(update={"start": start, "until": None})
    owed = due_dates(rhythm, max(days), calendar)
    indexes = {day: bisect_left(owed, day) for day in days}
    return {day: owed[index - 1] if index else day - timedelta(1) for day, index in indexes.items()}


def _weekly(due: Due, last: date) -> Iterator[date]:
    day = due.start + timedelta((due.weekday - due.start.isoweekday()) % 7)
    while day <= last:
        yield day
        day += timedelta(7)


def _monthly(due: Due, last: date) -> Iterator[date]:
    first = due.start.year * 12 + due.start.month - 1
    for position in range(first, last.year * 12 + last.month):
        year, month = position // 12, position % 12 + 1
        day = date(year, month, min(due.day, monthrange(year, month)[1]))
        if due.start <= day <= last:
            yield day


def _next_workday(day: date, calendar: WorkCalendar) -> date:
    while not calendar.is_workday(day):
        day += timedelta(1)
    return day


def freshness(
    last_observed: date | None, due: Due | None, as_of: date, calendar: WorkCalendar
) -> Freshness:
    """Tell if the last observation is as recent as the contract asks for on `as_of`.

    It is `stale` if a due date lies in (last_observed, as_of - grace_days]; a source that is never
    due does not go stale.
    """
    if last_observed is None:
        return "no_data"
    if due is None:
        return "fresh"
    owed = due_dates(due, as_of - timedelta(due.grace_days), calendar)
    return "stale" if owed and owed[-1] > last_observed else "fresh"


def heirs(code: str, departments: Mapping[str, Department]) -> Iterator[str]:
    """Yield `code`'s successor, the successor's successor, and so on; a circle ends it."""
    visited = {code}
    while code in departments:
        successor = departments[code].successor
        if successor is None or successor in visited:
            return
        visited.add(successor)
        yield successor
        code = successor


def answers_for(code: str, departments: Mapping[str, Department], day: date) -> str | None:
    """Return who answers for `code` on `day`: itself while valid, then the first valid heir.

    None if it is unknown or not valid yet, or if it ended and nobody took over.
    """
    for candidate in (code, *heirs(code, departments)):
        department = departments.get(candidate)
        if department is None:
            return None
        if department.valid_to is not None and department.valid_to < day:
            continue
        return candidate if (department.valid_from or day) <= day else None
    return None


def owing_departments(due: Due | None, departments: Mapping[str, Department]) -> tuple[str, ...]:
    """Return the codes that a contract makes owe its source, valid or not; none if never due."""
    if due is None:
        return ()
    return tuple(departments) if due.departments == "all" else due.departments


def overdue(
    source: Source,
    departments: Mapping[str, Department],
    received: Mapping[str, Collection[date]],
    as_of: date,
    calendar: WorkCalendar,
) -> list[Overdue]:
    """Return what is missing of `source` on `as_of`, by owing department, in their order.

    A date D is missing if D + grace_days <= as_of and it is not in `received[department]`. It
    is owed by whoever answered for a listed department on D, so a successor owes from its first
    day, and what its predecessor left out stays under the old code.
    """
    due = source.due
    if due is None:
        return []
    listed = owing_departments(due, departments)
    sent = {code: frozenset(days) for code, days in received.items()}
    owed: dict[str, list[date]] = {}
    for day in due_dates(due, as_of - timedelta(due.grace_days), calendar):
        for code in {answers_for(code, departments, day) for code in listed}:
            if code is not None and day not in sent.get(code, ()):
                owed.setdefault(code, []).append(day)
    return [
        Overdue(
            source=source.name,
            department=code,
            missing=tuple(owed[code]),
            last_received=max((day for day in sent.get(code, ()) if day <= as_of), default=None),
        )
        for code in departments
        if code in owed
    ]


def handed_over(
    observations: Mapping[str, Observation],
    departments: Mapping[str, Department],
    as_of: date,
    is_carried: bool,
) -> dict[str, Observation]:
    """Return observations by who answers for them on `as_of`; by their own code if nobody does.

    A successor's and its predecessors' add up. Where values are carried (last observations), an
    ended department's is dropped once an heir was observed after that end: the heir's own count
    includes what it took over.
    """
    by_holder: dict[str, Observation] = {}
    for code, observation in observations.items():
        ended = departments[code].valid_to if code in departments else None
        if is_carried and ended is not None and ended < as_of:
            later = (observations.get(heir) for heir in heirs(code, departments))
            if any(heir is not None and heir.last_observed > ended for heir in later):
                continue
        holder = answers_for(code, departments, as_of) or code
        other = by_holder.get(holder)
        if other is not None:
            observation = Observation(
                value=observation.value + other.value,
                numerator=observation.numerator + other.numerator,
                denominator=observation.denominator + other.denominator,
                last_observed=max(observation.last_observed, other.last_observed),
            )
        by_holder[holder] = observation
    return by_holder
