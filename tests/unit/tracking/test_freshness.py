from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Due
from pipelines.contracts.sources import Source
from pipelines.tracking.calendar import (
    Observation,
    Overdue,
    WorkCalendar,
    answers_for,
    due_before,
    due_dates,
    freshness,
    handed_over,
    overdue,
)

CALENDAR = WorkCalendar({})


def due(**changes: object) -> Due:
    given = {"frequency": "daily", "time": "02:00", "from": date(2021, 9, 23)}
    return Due.model_validate(given | changes)


def day(text: str) -> date:
    return date.fromisoformat(f"2021-{text}")


def days(*texts: str) -> list[date]:
    return [day(text) for text in texts]


@pytest.mark.parametrize(
    ("promise", "until", "owed"),
    [
        ({}, "09-22", []),
        ({}, "09-25", ["09-23", "09-24", "09-25"]),
        ({"until": day("09-24")}, "09-30", ["09-23", "09-24"]),
        (
            {"calendar": "workdays", "from": day("09-25")},
            "10-08",
            ["09-26", "09-27", "09-28", "09-29", "09-30", "10-08"],
        ),
        ({"frequency": "weekly", "weekday": 1}, "10-05", ["09-27", "10-04"]),
        ({"frequency": "weekly", "weekday": 4}, "10-06", ["09-23", "09-30"]),
        # the Monday of the holiday moves to Friday, and is not owed before
        ({"frequency": "weekly", "weekday": 1, "calendar": "workdays"}, "10-07", ["09-27"]),
        (
            {"frequency": "weekly", "weekday": 1, "calendar": "workdays"},
            "10-11",
            ["09-27", "10-08", "10-11"],
        ),
        # a holiday Friday moves onto the next Friday: one date
        (
            {"frequency": "weekly", "weekday": 5, "calendar": "workdays"},
            "10-15",
            ["09-24", "10-08", "10-15"],
        ),
        (
            {"frequency": "weekly", "weekday": 5, "calendar": "workdays", "until": day("10-03")},
            "10-31",
            ["09-24"],
        ),
        ({"frequency": "monthly", "day": 31}, "12-30", ["09-30", "10-31", "11-30"]),
        ({"frequency": "monthly", "day": 20}, "11-20", ["10-20", "11-20"]),
        ({"frequency": "monthly", "day": 1}, "09-30", []),
    ],
)
def test_due_dates(promise: dict[str, object], until: str, owed: list[str]) -> None:
    assert due_dates(due(**promise), day(until), CALENDAR) == tuple(days(*owed))


@pytest.mark.parametrize(
    ("promise", "of", "expected"),
    [
        (None, "09-06", "09-05"),
        ({}, "09-06", "09-05"),
        ({"calendar": "workdays"}, "09-06", "09-03"),
        ({"calendar": "workdays"}, "09-05", "09-03"),
        ({"calendar": "workdays"}, "10-08", "09-30"),  # a week of holidays
        ({"calendar": "workdays"}, "10-11", "10-09"),  # a Saturday that was worked
        ({"frequency": "weekly", "weekday": 3}, "09-08", "09-01"),
        ({"frequency": "weekly", "weekday": 3}, "09-09", "09-08"),
        ({"frequency": "monthly", "day": 31}, "09-30", "08-31"),
        ({"frequency": "monthly", "day": 31}, "09-29", "08-31"),
        ({"until": date(2021, 9, 24)}, "11-06", "11-05"),
    ],
)
def test_the_due_day_before_goes_by_the_rhythm_alone(
    promise: dict[str, object] | None, of: str, expected: str
) -> None:
    given = None if promise is None else due(**promise)
    asked = [day(of), day("12-30"), day("01-04")]
    assert due_before(given, asked, CALENDAR)[day(of)] == day(expected)


def test_nothing_is_due_before_no_day() -> None:
    assert due_before(due(), [], CALENDAR) == {}
    free = WorkCalendar({day("01-01") + timedelta(n): False for n in range(365)})
    rests = due(calendar="workdays")
    assert due_before(rests, days("12-30"), free) == {day("12-30"): day("12-29")}


def test_monthly_dates_cross_years_and_february() -> None:
    promise = due(frequency="monthly", day=30)
    assert due_dates(promise, date(2022, 2, 28), CALENDAR)[-2:] == (
        date(2022, 1, 30),
        date(2022, 2, 28),
    )


@given(
    st.sampled_from(["daily", "weekly", "monthly"]),
    st.sampled_from(["calendar", "workdays"]),
    st.integers(1, 7),
    st.integers(1, 31),
    st.integers(-5, 400),
    st.integers(0, 60),
)
def test_due_dates_only_grow(
    frequency: str, calendar: str, weekday: int, month_day: int, length: int, more: int
) -> None:
    promise = due(frequency=frequency, calendar=calendar, weekday=weekday, day=month_day)
    until = promise.start + timedelta(length)
    owed = due_dates(promise, until, CALENDAR)
    assert owed == tuple(sorted(set(owed)))
    assert all(promise.start <= due_date <= until for due_date in owed)
    later = due_dates(promise, until + timedelta(more), CALENDAR)
    assert later[: len(owed)] == owed


@pytest.mark.parametrize(
    ("last", "grace", "as_of", "word"),
    [
        (None, 0, "10-08", "no_data"),
        ("09-30", 0, "09-30", "fresh"),
        ("09-30", 0, "10-07", "fresh"),  # nothing is due over the holiday
        ("09-30", 0, "10-08", "stale"),
        ("09-30", 1, "10-08", "fresh"),
        ("09-30", 1, "10-09", "stale"),
        ("09-01", 0, "09-22", "fresh"),  # not due before its start
    ],
)
def test_freshness_follows_due_dates_and_the_last_delivery(
    last: str | None, grace: int, as_of: str, word: str
) -> None:
    promise = due(calendar="workdays", grace_days=grace)
    assert freshness(last and day(last), promise, day(as_of), CALENDAR) == word


def test_without_a_due_date_nothing_goes_stale() -> None:
    assert freshness(date(2001, 1, 1), None, day("12-31"), CALENDAR) == "fresh"
    assert freshness(None, None, day("12-31"), CALENDAR) == "no_data"


DEPARTMENTS = {
    department.code: department
    for department in [
        Department(code="gaj", name="公安局"),
        Department(code="old", name="旧局", valid_to=day("10-10"), successor="mid"),
        Department(
            code="mid", name="中局", valid_from=day("10-11"), valid_to=day("10-20"), successor="new"
        ),
        Department(code="new", name="新局", valid_from=day("10-21")),
        Department(code="gone", name="撤销局", valid_to=day("10-10")),
        Department(code="gap", name="断档局", valid_to=day("10-10"), successor="new"),
    ]
}


@pytest.mark.parametrize(
    ("code", "on", "holder"),
    [
        ("gaj", "10-31", "gaj"),
        ("old", "10-10", "old"),
        ("old", "10-11", "mid"),
        ("old", "10-20", "mid"),
        ("old", "10-21", "new"),
        ("mid", "10-10", None),  # not yet
        ("gone", "10-11", None),
        ("gap", "10-15", None),  # its heir is not there yet
        ("gap", "10-21", "new"),
        ("nobody", "10-21", None),
    ],
)
def test_who_answers(code: str, on: str, holder: str | None) -> None:
    assert answers_for(code, DEPARTMENTS, day(on)) == holder


def test_a_circle_of_successors_ends() -> None:
    circle = {
        "a": Department(code="a", name="甲", valid_to=day("10-10"), successor="b"),
        "b": Department(code="b", name="乙", valid_to=day("10-10"), successor="a"),
    }
    assert answers_for("a", circle, day("10-31")) is None


def observed_on(value: float, on: str) -> Observation:
    return Observation(value, 0, 0, day(on))


@pytest.mark.parametrize(
    ("carried", "observations", "as_of", "values"),
    [
        (True, {"old": observed_on(5, "10-09")}, "10-10", {"old": 5}),
        (True, {"old": observed_on(5, "10-09")}, "10-11", {"mid": 5}),
        (
            True,
            {"old": observed_on(5, "10-09"), "mid": observed_on(7, "10-11")},
            "10-12",
            {"mid": 7},
        ),
        (
            True,
            {"old": observed_on(5, "10-09"), "new": observed_on(7, "10-21")},
            "10-22",
            {"new": 7},
        ),
        # an heir that was there before: both count until it is observed after the handover
        (
            True,
            {"old": observed_on(5, "10-09"), "mid": observed_on(7, "10-10")},
            "10-12",
            {"mid": 12},
        ),
        (
            False,
            {"old": observed_on(5, "10-09"), "mid": observed_on(7, "10-11")},
            "10-12",
            {"mid": 12},
        ),
        (
            True,
            {"gone": observed_on(3, "10-09"), "gaj": observed_on(1, "10-12")},
            "10-12",
            {"gone": 3, "gaj": 1},
        ),
        (False, {"unheard_of": observed_on(3, "10-09")}, "10-12", {"unheard_of": 3}),
    ],
)
def test_handing_over(
    carried: bool, observations: dict[str, Observation], as_of: str, values: dict[str, float]
) -> None:
    held = handed_over(observations, DEPARTMENTS, day(as_of), carried)
    assert {code: observation.value for code, observation in held.items()} == values


def source(**promise: object) -> Source:
    return Source.model_validate(
        {
            "name": "cases",
            "title": "案件",
            "owner": "科",
            "content": "events",
            "grain": "行",
            "key": [],
            "formats": {"jsonl": {}},
            "columns": [{"name": "n", "header": "数", "type": "integer"}],
            "due": due(**promise),
        }
    )


def test_overdue_names_every_department_that_owes() -> None:
    promise = source(grace_days=1, **{"from": day("10-09")}, departments=("gaj", "old"))
    received = {"gaj": set(days("10-09", "10-10", "10-13")), "old": [day("10-09")]}
    assert overdue(promise, DEPARTMENTS, received, day("10-12"), CALENDAR) == [
        Overdue("cases", "gaj", (day("10-11"),), day("10-10")),
        Overdue("cases", "old", (day("10-10"),), day("10-09")),
        Overdue("cases", "mid", (day("10-11"),), None),  # the heir of a listed department
    ]


def test_overdue_of_all_keeps_to_validity() -> None:
    late = overdue(source(**{"from": day("10-20")}), DEPARTMENTS, {}, day("10-21"), CALENDAR)
    assert {alert.department: alert.missing for alert in late} == {
        "gaj": tuple(days("10-20", "10-21")),
        "mid": (day("10-20"),),
        "new": (day("10-21"),),
    }


def test_nothing_is_overdue_when_all_is_there_or_nothing_is_due() -> None:
    promise = source(**{"from": day("10-20")}, departments=("gaj",))
    received = {"gaj": days("10-20", "10-21")}
    assert overdue(promise, DEPARTMENTS, received, day("10-21"), CALENDAR) == []
    assert overdue(promise, DEPARTMENTS, {}, day("10-19"), CALENDAR) == []
    never = promise.model_copy(update={"due": None})
    assert overdue(never, DEPARTMENTS, {}, day("10-21"), CALENDAR) == []
