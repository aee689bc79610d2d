from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Due
from pipelines.contracts.metrics import Metric
from pipelines.contracts.targets import Target
from pipelines.tracking.calendar import Observation, WorkCalendar
from pipelines.tracking.earned_value import (
    INDEX_LIMIT,
    day_count,
    earned_days,
    planned_share,
    track,
)
from pipelines.tracking.pace import Pace

CALENDAR = WorkCalendar({})
START, END = date(2021, 9, 23), date(2021, 12, 31)  # exactly 100 days
DAY = timedelta(1)
PLATEAU = {
    "milestones": [
        {"by": date(2021, 10, 12), "share": 0.0},
        {"by": date(2021, 10, 31), "share": 0.4},
        {"by": date(2021, 11, 11), "share": 0.4},
        {"by": END, "share": 1},
    ]
}

FLOW = Metric.model_validate(
    {
        "name": "records_new",
        "title": "新增",
        "unit": "条",
        "kind": "flow",
        "source": "records",
        "value": {"aggregate": "sum", "column": "n"},
    }
)
STOCK = Metric.model_validate(FLOW.model_dump() | {"kind": "stock"})
RATE = Metric.model_validate(
    {
        "name": "records_new",
        "title": "在线率",
        "unit": "%",
        "kind": "ratio",
        "source": "channels",
        "numerator": {"aggregate": "count"},
        "denominator": {"aggregate": "count"},
    }
)

DEPARTMENTS = {code: Department(code=code, name=code) for code in ("gaj", "mzj", "fgw")}
DUE = Due.model_validate({"frequency": "daily", "time": "02:00", "from": START, "grace_days": 1})


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


def nth(number: int) -> date:
    """Return the window's day `number`, from 1."""
    return START + (number - 1) * DAY


def observed_on(value: float, on: date) -> Observation:
    return Observation(value, 0, 0, on)


def part(numerator: float, denominator: float, on: date) -> Observation:
    return Observation(0, numerator, denominator, on)


def run(
    plan: Target,
    observations: Mapping[str, Observation],
    as_of: date,
    metric: Metric = FLOW,
    *,
    departments: Mapping[str, Department] = DEPARTMENTS,
    owing: tuple[str, ...] = ("gaj", "mzj"),
    due: Due | None = DUE,
) -> list[Pace]:
    is_carried = metric is not FLOW
    return track(
        plan, metric, observations, departments, owing, due, CALENDAR, as_of, is_carried=is_carried
    )


def city(plan: Target, value: float | None, as_of: date, metric: Metric = FLOW) -> Pace:
    """Return the city's pace when a department has `value`, heard of on the day itself."""
    on = min(as_of, plan.end)
    return run(plan, {} if value is None else {"gaj": observed_on(value, on)}, as_of, metric)[0]


@pytest.mark.parametrize(
    ("as_of", "value", "status", "expected", "elapsed", "left"),
    [
        (START - DAY, None, "not_started", 0, 0, 100),
        (START, None, "no_data", 10, 1, 99),
        (START, 10, "on_track", 10, 1, 99),
        (START, 10.5, "ahead", 10, 1, 99),
        (nth(50), 525, "ahead", 500, 50, 50),
        (nth(50), 524.9, "on_track", 500, 50, 50),
        (nth(50), 475, "on_track", 500, 50, 50),
        (nth(50), 474.9, "at_risk", 500, 50, 50),
        (nth(50), 425, "at_risk", 500, 50, 50),
        (nth(50), 424.9, "behind", 500, 50, 50),
        (nth(50), -3, "behind", 500, 50, 50),
        (nth(50), 1000, "met", 500, 50, 50),
        (nth(99), 999.9, "on_track", 990, 99, 1),
        (nth(100), 999.9, "missed", 1000, 100, 0),
        (nth(100), 1000, "met", 1000, 100, 0),
        (nth(100), None, "no_data", 1000, 100, 0),
        (nth(130), 1200, "met", 1000, 100, 0),
        (nth(130), 1, "missed", 1000, 100, 0),
        (nth(130), None, "no_data", 1000, 100, 0),
    ],
)
def test_status_at_the_boundaries(
    as_of: date, value: float | None, status: str, expected: float, elapsed: int, left: int
) -> None:
    pace = city(target(), value, as_of)
    assert (pace.status, pace.days_elapsed, pace.days_left) == (status, elapsed, left)
    assert pace.expected == pytest.approx(expected)
    assert pace.actual == value


def test_figures_of_earned_schedule() -> None:
    pace = city(target(baseline=200, goal=1200), 400, nth(50))
    assert pace == replace(
        pace,
        target="campaign",
        department=None,
        as_of=nth(50),
        revision=0,
        baseline=200,
        goal=1200,
        actual=600,
        days_elapsed=50,
        days_left=50,
        coverage=0.5,
        last_observed=nth(50),
        status="behind",
    )
    figures = (pace.expected, pace.progress, pace.spi, pace.spi_t, pace.sv_t, pace.required_per_day)
    assert figures == pytest.approx((700, 0.4, 0.8, 0.8, -10, 12))


def test_required_per_day() -> None:
    assert city(target(), None, START - 9 * DAY).required_per_day == 10
    assert city(target(), None, nth(50)).required_per_day is None
    assert city(target(), 1100, nth(50)).required_per_day == 0
    assert city(target(), 900, nth(100)).required_per_day is None
    assert city(target(direction="at_most"), 400, nth(50)).required_per_day == 12  # to spend
    assert city(target(direction="at_most"), 1050, nth(50)).required_per_day == -1


def test_the_curve_of_workdays_over_the_national_holiday() -> None:
    plan = target(curve="workdays", goal=690)  # 69 workdays
    before, during, after = date(2021, 9, 30), date(2021, 10, 7), date(2021, 10, 9)
    assert [city(plan, 70, day).days_elapsed for day in (before, during, after)] == [7, 7, 9]
    assert [city(plan, 70, day).status for day in (before, during)] == ["on_track", "on_track"]
    assert city(plan, 70, after).spi_t == pytest.approx(7 / 9)
    assert city(plan, 70, after).required_per_day == pytest.approx(620 / 60)
    assert city(plan, 20, date(2021, 9, 26)).expected == pytest.approx(30)  # a working Sunday


def test_a_window_that_opens_on_a_holiday_has_not_started() -> None:
    plan = target(curve="workdays", start=date(2021, 10, 1), end=date(2021, 10, 15))
    pace = city(plan, 100, date(2021, 10, 7))
    assert (pace.status, pace.expected, pace.spi_t, pace.days_left) == ("not_started", 0, None, 7)
    assert city(plan, 100, date(2021, 10, 8)).status == "behind"


def test_a_window_without_a_workday_is_judged_at_its_end() -> None:
    plan = target(curve="workdays", start=date(2021, 10, 1), end=date(2021, 10, 5))
    assert city(plan, 10, date(2021, 10, 4)).status == "not_started"
    over = city(plan, 10, date(2021, 10, 5))
    assert (over.status, over.spi, over.spi_t) == ("missed", None, None)
    assert city(plan, 1000, date(2021, 10, 5)).status == "met"


@pytest.mark.parametrize(
    ("day", "value", "status", "spi_t"),
    [
        (nth(10), 0, "on_track", 1.0),  # nothing is planned yet, and nothing done
        (nth(10), 100, "ahead", 2.475),
        (nth(39), 400, "on_track", 1.0),
        (nth(45), 400, "on_track", 1.0),  # resting as planned
        (nth(45), 300, "behind", 34.25 / 45),
        (nth(50), 400, "on_track", 1.0),
        (nth(75), 700, "on_track", 1.0),
    ],
)
def test_milestones(day: date, value: float, status: str, spi_t: float) -> None:
    pace = city(target(curve=PLATEAU), value, day)
    assert pace.status == status
    assert pace.spi_t == pytest.approx(spi_t)


@pytest.mark.parametrize(
    ("direction", "goal", "actual", "as_of", "status", "spi"),
    [
        ("at_least", 97, 97, nth(1), "on_track", 1.0),
        ("at_least", 97, 99, nth(50), "on_track", 99 / 97),
        ("at_least", 97, 93, nth(50), "on_track", 93 / 97),
        ("at_least", 97, 90, nth(50), "at_risk", 90 / 97),
        ("at_least", 97, 80, nth(50), "behind", 80 / 97),
        ("at_least", 97, 97, nth(100), "met", 1.0),
        ("at_least", 97, 96.9, nth(120), "missed", 96.9 / 97),
        ("at_least", 97, 90, START - DAY, "not_started", None),
        ("at_most", 5, 4, nth(50), "on_track", 1.25),
        ("at_most", 5, 0, nth(50), "on_track", 1.0),
        ("at_most", 5, 0.001, nth(50), "on_track", INDEX_LIMIT),
        ("at_most", 5, 5.5, nth(50), "at_risk", 5 / 5.5),
        ("at_most", 5, 10, nth(50), "behind", 0.5),
        ("at_most", 0, 3, nth(50), "behind", 0.0),
        ("at_most", 5, 4, nth(100), "met", 1.25),
        ("at_least", 0, 0, nth(50), "on_track", 1.0),
        ("at_least", 0, -1, nth(50), "behind", 0.0),
    ],
)
def test_a_level_is_held(
    direction: str, goal: float, actual: float, as_of: date, status: str, spi: float | None
) -> None:
    plan = target(curve="level", direction=direction, goal=goal)
    pace = city(plan, actual, as_of, STOCK)
    assert pace.status == status
    assert pace.spi == pytest.approx(spi)
    assert (pace.spi_t, pace.sv_t, pace.required_per_day) == (None, None, None)
    assert pace.expected == (0 if status == "not_started" else goal)
    if direction == "at_most":  # nothing on the way up to a ceiling is progress
        assert pace.progress == (1.0 if actual <= goal else None)


@pytest.mark.parametrize(
    ("actual", "as_of", "status", "spi_t"),
    [
        (600, nth(50), "on_track", 1.0),
        (500, nth(50), "ahead", 1.25),
        (640, nth(50), "at_risk", 0.9),
        (1100, nth(50), "behind", 0.0),
        (200, nth(50), "met", 2.0),
        (201, nth(100), "missed", 0.99875),
        (150, nth(100), "met", 1.0),
    ],
)
def test_reducing_from_baseline_to_goal(
    actual: float, as_of: date, status: str, spi_t: float
) -> None:
    plan = target(direction="at_most", baseline=1000, goal=200)
    pace = city(plan, actual, as_of, STOCK)
    assert pace.status == status
    assert pace.spi_t == pytest.approx(spi_t)
    if status == "on_track":
        assert (pace.expected, pace.required_per_day) == pytest.approx((600, -8))


@pytest.mark.parametrize(
    ("actual", "as_of", "status", "spi_t", "sv_t"),
    [
        (500, nth(50), "on_track", 1.0, 0),
        (400, nth(50), "ahead", 1.25, 10),
        (0, nth(50), "ahead", INDEX_LIMIT, 50),
        (-5, nth(50), "ahead", INDEX_LIMIT, 50),
        (550, nth(50), "at_risk", 50 / 55, -5),
        (800, nth(50), "behind", 50 / 80, -30),
        (1010, nth(99), "behind", 99 / 101, -2),  # overdrawn, however near the end
        (1000, nth(99), "on_track", 0.99, -1),  # kept, and met only at the end
        (1000, nth(100), "met", 1.0, 0),
        (1001, nth(100), "missed", 100 / 100.1, -0.1),
    ],
)
def test_a_budget_is_met_only_at_the_end(
    actual: float, as_of: date, status: str, spi_t: float, sv_t: float
) -> None:
    pace = city(target(direction="at_most"), actual, as_of)
    assert pace.status == status
    assert (pace.spi_t, pace.sv_t) == pytest.approx((spi_t, sv_t))


def test_a_budget_that_plans_nothing_yet() -> None:
    plan = target(direction="at_most", curve=PLATEAU)
    assert city(plan, 0, nth(10)).status == "on_track"
    early = city(plan, 5, nth(10))
    assert (early.spi, early.status) == (0, "behind")
    assert city(plan, -5, nth(10)).spi == INDEX_LIMIT


@pytest.mark.parametrize("curve", ["calendar", "workdays", "level", PLATEAU])
@pytest.mark.parametrize("direction", ["at_least", "at_most"])
@pytest.mark.parametrize(("baseline", "goal"), [(0, 0), (100, 100), (120, 100), (0, 100)])
def test_no_goal_divides_by_zero(
    curve: object, direction: str, baseline: float, goal: float
) -> None:
    plan = target(direction=direction, baseline=baseline, goal=goal, curve=curve)
    for actual in (None, -1, 0, 50, 100, 110, 150):
        running = [city(plan, actual, day, STOCK) for day in (START - DAY, START, nth(50))]
        assert running[0].status == "not_started"
        assert all((pace.status == "no_data") == (actual is None) for pace in running[1:])
        for day in (END, END + DAY) if actual is not None else ():
            good = actual >= goal if direction == "at_least" else actual <= goal
            assert city(plan, actual, day, STOCK).status == ("met" if good else "missed")


@pytest.mark.parametrize(
    ("baseline", "goal", "actual", "status", "progress", "expected"),
    [
        (0, 0, 0, "met", 1.0, 0),
        (100, 100, 100, "met", 1.0, 100),
        (100, 100, 90, "at_risk", None, 100),
        (120, 100, 110, "met", 1.0, 100),
        (120, 100, 80, "behind", None, 100),
    ],
)
def test_a_goal_that_the_baseline_meets_is_a_standard_to_hold(
    baseline: float,
    goal: float,
    actual: float,
    status: str,
    progress: float | None,
    expected: float,
) -> None:
    pace = city(target(baseline=baseline, goal=goal), actual, nth(50), STOCK)
    assert (pace.status, pace.progress, pace.expected) == (status, progress, expected)
    assert pace.spi_t is None


def test_the_last_bit_of_a_float_decides_nothing() -> None:
    assert city(target(goal=0.3, direction="at_most"), 0.1 + 0.2, END).status == "met"
    for day in range(1, 96):  # 95 % of the plan is not at risk, on whichever day
        assert city(target(), 10 * day * 0.95, nth(day)).status == "on_track"
        assert city(target(), 10 * day * 1.05, nth(day)).status == "ahead"


SHARED = target(scope="each_department", department_goals={"gaj": 600, "mzj": 300}, unallocated=100)


def rows(paces: list[Pace]) -> dict[str | None, Pace]:
    return {pace.department: pace for pace in paces}


def test_departments_in_their_order_after_the_city() -> None:
    heard = {
        "mzj": observed_on(100, nth(50)),
        "gaj": observed_on(350, nth(50)),
        "fgw": observed_on(7, nth(50)),
    }
    paces = run(SHARED, heard, nth(50), owing=("mzj", "gaj", "fgw"))
    assert [pace.department for pace in paces] == [None, "gaj", "mzj"]  # fgw has no goal
    assert [pace.actual for pace in paces] == [457, 350, 100]
    assert [pace.status for pace in paces] == ["at_risk", "ahead", "behind"]
    assert [pace.goal for pace in paces] == [1000, 600, 300]
    assert [pace.coverage for pace in paces] == [1, 1, 1]


def test_the_city_counts_who_does_not_owe_and_rows_are_of_who_owes() -> None:
    paces = run(SHARED, {"mzj": observed_on(100, nth(50))}, nth(50), owing=("gaj",))
    assert [(pace.department, pace.actual) for pace in paces] == [(None, 100), ("gaj", None)]
    assert paces[0].coverage == 0


def test_a_city_target_has_one_row_and_may_have_nobody_owing() -> None:
    paces = run(target(), {"gaj": observed_on(500, nth(50))}, nth(50), owing=(), due=None)
    assert [(pace.department, pace.coverage, pace.status) for pace in paces] == [
        (None, None, "on_track")
    ]


@pytest.mark.parametrize(
    ("gaj", "mzj", "statuses", "coverage"),
    [
        (None, None, ("no_data", "no_data", "no_data"), 0.0),
        (48, None, ("stale", "stale", "no_data"), 0.0),
        (48, 49, ("behind", "stale", "behind"), 0.5),  # day 49 is within a day of grace
        (50, None, ("behind", "behind", "no_data"), 0.5),
    ],
)
def test_silence_is_not_being_behind(
    gaj: int | None, mzj: int | None, statuses: tuple[str, ...], coverage: float
) -> None:
    heard = {
        code: observed_on(10, nth(day))
        for code, day in (("gaj", gaj), ("mzj", mzj))
        if day is not None
    }
    paces = run(SHARED, heard, nth(50))
    assert tuple(pace.status for pace in paces) == statuses
    assert paces[0].coverage == coverage
    assert [pace.coverage for pace in paces[1:]] == [
        float(day is not None and day >= 49) for day in (gaj, mzj)
    ]


def test_met_wins_over_stale_and_the_end_over_both() -> None:
    assert run(SHARED, {"gaj": observed_on(600, nth(5))}, nth(50))[1].status == "met"
    assert run(SHARED, {"gaj": observed_on(10, nth(5))}, END)[1].status == "missed"
    assert run(SHARED, {"gaj": observed_on(600, nth(5))}, END + DAY)[2].status == "no_data"


def test_after_the_end_nobody_goes_stale() -> None:
    heard = {"gaj": observed_on(600, END), "mzj": observed_on(300, END)}
    paces = run(SHARED, heard, END + 200 * DAY)
    assert [pace.coverage for pace in paces] == [1, 1, 1]


def test_ratios_add_their_parts() -> None:
    plan = target(scope="each_department", curve="level", goal=97, department_goal=95)
    on = nth(50)
    heard = {"gaj": part(90, 100, on), "mzj": part(300, 300, on), "fgw": part(0, 0, on)}
    paces = rows(run(plan, heard, on, RATE, owing=("gaj", "mzj", "fgw")))
    assert {code: pace.actual for code, pace in paces.items()} == {
        None: 97.5,
        "gaj": 90,
        "mzj": 100,
        "fgw": None,
    }
    statuses = [pace.status for pace in paces.values()]
    assert statuses == ["on_track", "at_risk", "on_track", "no_data"]
    assert paces["gaj"].goal == 95


def test_a_ratio_can_climb_from_its_baseline() -> None:
    plan = target(scope="each_department", baseline=80, goal=100, department_goal=100)
    paces = run(plan, {"gaj": part(90, 100, nth(50))}, nth(50), RATE)
    assert [pace.spi_t for pace in paces[:2]] == pytest.approx([1.0, 1.0])
    assert paces[1].baseline == 80


def test_departments_start_a_sum_at_zero_and_a_reduction_at_their_part() -> None:
    goals = {"gaj": 600, "mzj": 400}
    growing = target(scope="each_department", baseline=100, department_goals=goals)
    paces = run(growing, {"gaj": observed_on(300, nth(50))}, nth(50))
    assert [(pace.baseline, pace.actual) for pace in paces] == [(100, 400), (0, 300), (0, None)]
    falling = target(
        scope="each_department", baseline=2000, direction="at_most", department_goals=goals
    )
    paces = run(falling, {"gaj": observed_on(900, nth(50))}, nth(50), STOCK)
    assert [(pace.baseline, pace.expected) for pace in paces[1:]] == [(1200, 900), (800, 600)]
    assert paces[1].spi_t == pytest.approx(1.0)
    cleared = falling.model_copy(update={"goal": 0, "department_goals": {"gaj": 0}})
    assert len(run(cleared, {"gaj": observed_on(900, nth(50))}, nth(50), STOCK)) == 1


def test_a_revision_counts_from_its_day() -> None:
    plan = target(
        revisions=[
            {"effective": nth(50), "goal": 2000, "reason": "专题会议"},
            {"effective": nth(60), "end": nth(200), "reason": "延期"},
        ]
    )
    before, on, later = (city(plan, 500, nth(day)) for day in (49, 50, 60))
    assert [(pace.revision, pace.goal) for pace in (before, on, later)] == [
        (0, 1000),
        (1, 2000),
        (2, 2000),
    ]
    assert [pace.status for pace in (before, on, later)] == ["on_track", "behind", "behind"]
    assert (later.days_left, later.expected) == (140, 600)
    assert city(plan, 500, nth(100)).status == "behind"  # the end moved


HANDOVER = nth(50)
MERGED = {
    "old": Department(code="old", name="旧局", valid_to=HANDOVER - DAY, successor="new"),
    "new": Department(code="new", name="新局", valid_from=HANDOVER),
    "gone": Department(code="gone", name="撤销局", valid_to=HANDOVER - DAY),
    "mzj": Department(code="mzj", name="民政局"),
}
MERGING = target(
    scope="each_department", department_goals={"old": 400, "new": 100, "gone": 200, "mzj": 300}
)


def merged(
    observations: Mapping[str, Observation], as_of: date, metric: Metric = FLOW
) -> list[Pace]:
    return run(MERGING, observations, as_of, metric, departments=MERGED, owing=tuple(MERGED))


def test_before_the_handover_the_predecessor_owes() -> None:
    day = HANDOVER - DAY
    paces = rows(merged({"old": observed_on(196, day), "gone": observed_on(98, day)}, day))
    assert list(paces) == [None, "old", "gone", "mzj"]
    assert (paces["old"].goal, paces["old"].status) == (400, "on_track")
    assert paces[None].coverage == pytest.approx(2 / 3)


def test_after_the_handover_goal_owing_and_flow_are_the_successors() -> None:
    day = HANDOVER
    heard = {"old": observed_on(200, day - DAY), "gone": observed_on(98, day - DAY)}
    paces = rows(merged(heard, day))
    assert list(paces) == [None, "new", "mzj"]
    assert (paces["new"].goal, paces["new"].actual) == (500, 200)
    assert paces[None].actual == 298  # who is gone without an heir still counts
    later = rows(merged(heard | {"new": observed_on(60, day)}, day))
    assert (later["new"].actual, later["new"].status) == (260, "on_track")
    assert later[None].coverage == 0.5


def test_a_stock_is_carried_until_the_successor_is_observed() -> None:
    heard = {"old": observed_on(200, HANDOVER - DAY)}
    assert rows(merged(heard, HANDOVER, STOCK))["new"].actual == 200
    heard["new"] = observed_on(230, HANDOVER)
    paces = rows(merged(heard, HANDOVER, STOCK))
    assert (paces["new"].actual, paces[None].actual) == (230, 230)


def test_a_department_before_its_start_owes_nothing_but_counts() -> None:
    day = HANDOVER - DAY
    paces = rows(merged({"new": observed_on(5, day), "mzj": observed_on(150, day)}, day))
    assert "new" not in paces
    assert paces[None].actual == 155


curves = st.sampled_from(["calendar", "workdays", PLATEAU])
within = st.integers(1, 99).map(nth)
amounts = st.floats(0, 1e9)


@given(curves, within, st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_on_plan_the_index_is_one(curve: object, as_of: date, baseline: float, goal: float) -> None:
    assume(abs(goal - baseline) > 1)
    direction = "at_least" if goal > baseline else "at_most"
    plan = target(curve=curve, baseline=baseline, goal=goal, direction=direction)
    share = planned_share(plan, as_of, CALENDAR)
    pace = city(plan, baseline + share * (goal - baseline), as_of, STOCK)
    assert pace.spi_t == pytest.approx(1.0)
    assert pace.spi == pytest.approx(1.0)
    assert pace.sv_t == pytest.approx(0.0, abs=1e-4)
    assert pace.status == "on_track"


@given(curves, within, amounts, amounts)
def test_more_is_never_worse(curve: object, as_of: date, first: float, other: float) -> None:
    plan = target(curve=curve, goal=1e9)
    low, high = (city(plan, value, as_of).spi_t for value in sorted((first, other)))
    assert low is not None
    assert high is not None
    assert low <= high + 1e-9


@given(within, amounts)
def test_earned_schedule_is_its_definition(as_of: date, value: float) -> None:
    plan = target(goal=1e9, curve="workdays")
    pace = city(plan, value, as_of)
    assert pace.progress is not None
    assert pace.spi_t is not None
    elapsed = CALENDAR.count(START, as_of, day_count(plan))
    earned = earned_days(plan, pace.progress, CALENDAR)
    assert pace.spi_t * elapsed == pytest.approx(earned, abs=1e-6)


codes = st.sampled_from(list(MERGED))
flows = st.dictionaries(codes, st.integers(0, 10**9), min_size=1)
any_day = st.integers(1, 120).map(nth)


@given(flows, any_day)
def test_the_citys_flow_is_the_sum_of_departments(values: dict[str, int], as_of: date) -> None:
    heard = {code: observed_on(value, min(as_of, HANDOVER - DAY)) for code, value in values.items()}
    paces = merged(heard, as_of)
    assert paces[0].actual == sum(values.values())
    listed = {pace.department for pace in paces}
    rest = sum(value for code, value in values.items() if code not in listed and code != "old")
    if as_of < HANDOVER:
        rest = sum(value for code, value in values.items() if code not in listed)
    assert sum(pace.actual or 0 for pace in paces[1:]) + rest == paces[0].actual


@given(flows, st.sampled_from([FLOW, STOCK]))
def test_a_handover_conserves_the_citys_actual(values: dict[str, int], metric: Metric) -> None:
    heard = {code: observed_on(value, HANDOVER - DAY) for code, value in values.items()}
    before, after = (merged(heard, day, metric)[0] for day in (HANDOVER - DAY, HANDOVER))
    assert before.actual == after.actual
