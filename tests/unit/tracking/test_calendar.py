from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.targets import Target
from pipelines.tracking.calendar import WorkCalendar
from pipelines.tracking.earned_value import day_count, earned_days, planned_share

CALENDAR = WorkCalendar({})
START, END = date(2021, 9, 23), date(2021, 12, 31)
PLATEAU = {
    "milestones": [
        {"by": date(2021, 10, 10), "share": 0.2},
        {"by": date(2021, 10, 31), "share": 0.2},
        {"by": date(2021, 12, 20), "share": 1},
    ]
}
RISING = {
    "milestones": [{"by": date(2021, 10, 31), "share": 0.4}, {"by": date(2021, 12, 31), "share": 1}]
}


def target(**changes: object) -> Target:
    given = {
        "name": "campaign",
        "title": "百日攻坚",
        "metric": "records_new",
        "scope": "city",
        "start": START,
        "end": END,
        "goal": 1000,
    }
    return Target.model_validate(given | changes)


@pytest.mark.parametrize(
    ("day", "works"),
    [
        (date(2021, 9, 26), True),  # a Sunday that makes up for the National Day week
        (date(2021, 9, 30), True),
        (date(2021, 10, 1), False),
        (date(2021, 10, 7), False),  # a Thursday
        (date(2021, 10, 8), True),
        (date(2021, 10, 9), True),  # a Saturday that makes up
        (date(2021, 10, 10), False),
        (date(2099, 1, 1), True),  # unknown year, a Thursday
        (date(2099, 1, 3), False),  # a Saturday
    ],
)
def test_public_calendar(day: date, works: bool) -> None:
    assert CALENDAR.is_workday(day) is works


def test_overrides_come_first() -> None:
    calendar = WorkCalendar({date(2021, 10, 1): True, date(2021, 9, 30): False})
    assert calendar.is_workday(date(2021, 10, 1))
    assert not calendar.is_workday(date(2021, 9, 30))


@pytest.mark.parametrize(
    ("overrides", "start", "end", "guessed"),
    [
        ({}, START, END, set()),
        ({}, date(2098, 6, 1), date(2099, 6, 1), {2098, 2099}),
        ({date(2099, 1, 1): False}, date(2098, 6, 1), date(2099, 6, 1), {2098}),
        ({}, date(2099, 2, 1), date(2099, 1, 1), set()),
    ],
)
def test_provisional_years(
    overrides: dict[date, bool], start: date, end: date, guessed: set[int]
) -> None:
    assert WorkCalendar(overrides).provisional(start, end) == guessed


@pytest.mark.parametrize(
    ("start", "end", "calendar_days", "workdays"),
    [
        (date(2021, 10, 1), date(2021, 10, 7), 7, 0),
        (date(2021, 9, 23), date(2021, 9, 23), 1, 1),
        (date(2021, 9, 23), date(2021, 9, 22), 0, 0),
        (date(2021, 9, 23), date(2021, 9, 1), 0, 0),
        (date(2021, 9, 25), date(2021, 10, 10), 16, 7),  # 26-30 September, 8 and 9 October
        (START, END, 100, 69),
    ],
)
def test_count_includes_both_ends(
    start: date, end: date, calendar_days: int, workdays: int
) -> None:
    assert CALENDAR.count(start, end, "calendar") == calendar_days
    assert CALENDAR.count(start, end, "workdays") == workdays
    assert len(list(CALENDAR.days(start, end, "workdays"))) == workdays


@pytest.mark.parametrize(
    ("curve", "day", "share"),
    [
        ("calendar", START - timedelta(1), 0.0),
        ("calendar", START, 0.01),
        ("calendar", date(2021, 12, 30), 0.99),
        ("calendar", END, 1.0),
        ("calendar", END + timedelta(30), 1.0),
        ("workdays", date(2021, 9, 30), 7 / 69),
        ("workdays", date(2021, 10, 7), 7 / 69),
        ("workdays", date(2021, 10, 9), 9 / 69),
        ("level", START - timedelta(1), 1.0),
        ("level", START, 1.0),
        (RISING, START - timedelta(1), 0.0),
        (RISING, START, 0.4 / 39),
        (RISING, date(2021, 10, 31), 0.4),
        (RISING, date(2021, 11, 30), 0.4 + 0.6 * 30 / 61),
        (PLATEAU, date(2021, 10, 20), 0.2),
        (PLATEAU, date(2021, 12, 25), 1.0),
    ],
)
def test_planned_share(curve: object, day: date, share: float) -> None:
    assert planned_share(target(curve=curve), day, CALENDAR) == pytest.approx(share)


def test_milestones_outside_a_revised_window_count_for_nothing() -> None:
    shortened = target(curve=RISING, end=date(2021, 11, 30))
    assert planned_share(shortened, date(2021, 11, 15), CALENDAR) == pytest.approx(0.7)
    assert planned_share(shortened, date(2021, 11, 30), CALENDAR) == 1.0
    early = {"milestones": [{"by": date(2021, 1, 1), "share": 0.5}, {"by": END, "share": 1}]}
    assert planned_share(target(curve=early), START, CALENDAR) == pytest.approx(0.01)


def test_a_window_without_a_counted_day_plans_nothing_before_its_end() -> None:
    holiday = target(curve="workdays", start=date(2021, 10, 1), end=date(2021, 10, 5))
    assert planned_share(holiday, date(2021, 10, 4), CALENDAR) == 0.0
    assert planned_share(holiday, date(2021, 10, 5), CALENDAR) == 1.0
    assert earned_days(holiday, 0.5, CALENDAR) == 0.0


@pytest.mark.parametrize(
    ("curve", "share", "days"),
    [
        ("calendar", -0.5, 0.0),
        ("calendar", 0.0, 0.0),
        ("calendar", 0.255, 25.5),
        ("calendar", 1.0, 100.0),
        ("calendar", 1.7, 100.0),
        ("workdays", 0.5, 34.5),
        (RISING, 0.2, 19.5),
        (PLATEAU, 0.1, 9.0),
        (PLATEAU, 0.2, 39.0),  # the last day of the plateau
        (PLATEAU, 1.0, 100.0),
    ],
)
def test_earned_days(curve: object, share: float, days: float) -> None:
    assert earned_days(target(curve=curve), share, CALENDAR) == pytest.approx(days)


curves = st.sampled_from(["calendar", "workdays", RISING, PLATEAU])
offsets = st.integers(-20, 120)
shares = st.floats(-1, 2)


@given(curves, offsets, offsets)
def test_planned_share_rises_within_0_and_1(curve: object, first: int, other: int) -> None:
    plan = target(curve=curve)
    low, high = (
        planned_share(plan, START + timedelta(offset), CALENDAR)
        for offset in sorted((first, other))
    )
    assert 0 <= low <= high <= 1


@given(curves, shares, shares)
def test_earned_days_rise_within_the_window(curve: object, first: float, other: float) -> None:
    plan = target(curve=curve)
    low, high = (earned_days(plan, share, CALENDAR) for share in sorted((first, other)))
    assert 0 <= low <= high <= CALENDAR.count(START, END, day_count(plan))


@given(curves, st.integers(0, 99))
def test_earned_days_is_the_inverse_of_planned_share(curve: object, offset: int) -> None:
    plan, day = target(curve=curve), START + timedelta(offset)
    share = planned_share(plan, day, CALENDAR)
    elapsed = CALENDAR.count(START, day, day_count(plan))
    earned = earned_days(plan, share, CALENDAR)
    if curve is PLATEAU and share in (0.2, 1.0):
        assert earned >= elapsed
    else:
        assert earned == pytest.approx(elapsed)
