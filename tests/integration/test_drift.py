"""Drift: what a delivery looks like, held against its department's past. It is told, never held."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import RECORDS, City
from integration.staged import Memory, Sent, in_memory

from pipelines import published
from pipelines.deliveries.delivery import Judgement, Profile, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.jobs import night, repairs
from pipelines.tracking.calendar import WorkCalendar

MONDAY = date(2021, 9, 6)
WEEKLY = {"frequency": "weekly", "time": "02:00", "from": "2021-01-01"}
DAILY = {"frequency": "daily", "time": "02:00", "from": "2021-01-01"}
DRIFT: dict[str, Any] = {"categories": ["domain"]}
CONTRACT = RECORDS | {"due": WEEKLY, "drift": DRIFT}


def looks(
    rows: int = 100,
    empty: int = 0,
    columns: Sequence[str] = ("amount", "domain", "item"),
    extra: Sequence[str] = (),
    domains: Sequence[str] = ("交通",),
) -> Profile:
    return Profile(
        rows=rows,
        good_rows=rows,
        columns=tuple(columns),
        extra_columns=tuple(extra),
        nulls={"item": 0, "amount": empty, "domain": 0},
        categories={"domain": tuple(domains)},
    )


def week(number: int, **sent: Any) -> Sent:
    return Sent(MONDAY + timedelta(weeks=number), **sent)


def drifts(judgement: Judgement) -> list[Reason]:
    assert judgement.verdict.loads
    return [warning for warning in judgement.warnings if warning.code.startswith("drift_")]


def codes(judgement: Judgement) -> list[str]:
    return [reason.code for reason in drifts(judgement)]


@contextmanager
def after(
    folder: Path, past: Sequence[Profile], changes: Mapping[str, Any] = DRIFT
) -> Iterator[Memory]:
    """Yield a warehouse to which a department has sent `past`, a week apart."""
    with in_memory(CONTRACT | {"drift": changes}, folder) as memory:
        for number, profile in enumerate(past):
            [judged] = memory.load(week(number, profile=profile))
            assert codes(judged) == []
        yield memory


VOLUMES = (980, 1000, 1020, 1040)  # the median is 1010, MAD 20, 5 % of the median 50.5


@pytest.mark.parametrize(
    ("past", "rows", "expected"),
    [
        (VOLUMES, 1186, None),
        (VOLUMES, 1187, ("1187 (z = +3.5, n = 4)", "834–1186")),
        (VOLUMES, 834, None),
        (VOLUMES, 833, ("833 (z = -3.5, n = 4)", "834–1186")),
        (VOLUMES, 0, ("0 (z = -20.0, n = 4)", "834–1186")),
        (VOLUMES[:3], 10000, None),  # too few to know what is usual
        ((1000,) * 5, 1175, None),  # always the same: a MAD of 0 is no reason to cry
        ((1000,) * 5, 1176, ("1176 (z = +3.5, n = 5)", "825–1175")),
        ((20, 20, 20, 21), 35, None),  # twenty events or thirty-five: chance does that
        ((20, 20, 20, 21), 36, ("36 (z = +3.6, n = 4)", "5–35")),
        ((0,) * 4, 3, None),
        ((0,) * 4, 4, ("4 (z = +4.0, n = 4)", "0–3")),
        ((50, 100, 150, 100, 50), 350, None),  # who varies may go on varying: MAD 50
        ((50, 100, 150, 100, 50), 400, ("400 (z = +4.0, n = 5)", "0–359")),
    ],
)
def test_volume_is_compared_with_a_robust_range(
    tmp_path: Path, past: Sequence[int], rows: int, expected: tuple[str, str] | None
) -> None:
    with in_memory(CONTRACT, tmp_path) as memory:
        for number, usual in enumerate(past):
            memory.load(week(number, profile=looks(usual)))
        [judged] = memory.load(week(len(past), profile=looks(rows)))
    assert judged.verdict is Verdict.ACCEPTED
    drift = [(warning.code, warning.value, warning.expected) for warning in drifts(judged)]
    assert drift == ([] if expected is None else [("drift_volume", *expected)])


def test_only_the_latest_history_counts(tmp_path: Path) -> None:
    drift = {"history": 4}
    with in_memory(CONTRACT | {"drift": drift}, tmp_path) as memory:
        for number, rows in enumerate((10, 10, 10, 10, 10, 100, 100, 100, 100)):
            memory.load(week(number, profile=looks(rows)))
        [judged] = memory.load(week(9, profile=looks(100)))
        assert codes(judged) == []
        [judged] = memory.load(week(10, profile=looks(10)))
        assert codes(judged) == ["drift_volume"]


def daily(memory: Memory, first: date, volumes: Sequence[int]) -> dict[date, Judgement]:
    """Return the judgements of daily deliveries of `volumes` rows, by day."""
    return {
        (day := first + timedelta(days=number)): memory.load(Sent(day, profile=looks(rows)))[0]
        for number, rows in enumerate(volumes)
    }


def test_a_daily_source_is_compared_with_the_same_weekday(tmp_path: Path) -> None:
    """Learn soon that a Monday is twice as long as other days, and a weekend short."""
    start = date(2021, 5, 10)  # four weeks without a holiday
    with in_memory(CONTRACT | {"due": DAILY}, tmp_path) as memory:
        judgements = daily(memory, start, [200, 100, 100, 100, 100, 10, 10] * 4)
        assert [codes(judgement) for judgement in judgements.values()] == [[]] * 28
        [monday] = memory.load(Sent(start + timedelta(days=28), profile=looks(100)))
        [tuesday] = memory.load(Sent(start + timedelta(days=29), profile=looks(100)))
    [drift] = drifts(monday)
    assert (drift.code, drift.value) == ("drift_volume_weekday", "100 (z = -7.1, n = 4)")
    assert "以往同一星期几的水平（151–249）" in drift.chinese()
    assert codes(tuesday) == []


def test_a_daily_source_is_compared_with_similar_days_until_weekdays_have_a_history(
    tmp_path: Path,
) -> None:
    with in_memory(CONTRACT | {"due": DAILY}, tmp_path) as memory:
        judgements = daily(memory, date(2021, 5, 10), [1000, 990, 1010, 1000, 9000, 50, 60, 1000])
        with_drift = {
            day: drifts(judgement) for day, judgement in judgements.items() if drifts(judgement)
        }
    [(day, [drift])] = with_drift.items()
    assert day == date(2021, 5, 14)
    assert (drift.code, drift.value) == ("drift_volume_kind", "9000 (z = +159.8, n = 4)")
    assert "以往同类日期" in drift.chinese()
    assert "（815–1185）" in drift.chinese()


@pytest.mark.parametrize("goes_by", ["holidays", "weekdays"])
def test_holidays_and_make_up_workdays_are_no_drift(tmp_path: Path, goes_by: str) -> None:
    start, days = date(2021, 8, 2), 75  # the moon festival, the National Day, four days made up
    calendar = WorkCalendar()

    def usual(day: date) -> int:
        works = calendar.is_workday(day) if goes_by == "holidays" else day.isoweekday() <= 5
        return 1000 if works else 50

    with in_memory(CONTRACT | {"due": DAILY}, tmp_path) as memory:
        volumes = [usual(start + timedelta(days=number)) for number in range(days)]
        judgements = daily(memory, start, volumes)
        assert [day for day, judgement in judgements.items() if codes(judgement)] == []
        # and such a day is not out of sight
        holiday = Sent(date(2021, 10, 4), profile=looks(5000))
        assert codes(memory.load(holiday)[0]) == ["drift_volume_kind"]


def test_departments_and_parts_are_not_compared_with_each_other(tmp_path: Path) -> None:
    with after(tmp_path, [looks()] * 4) as memory:
        [other] = memory.load(week(4, department="b", profile=looks(5000, extra=["new"])))
        [part] = memory.load(week(4, part="p", profile=looks(5000, extra=["new"])))
    assert codes(other) == codes(part) == []


def test_columns_that_appear_or_vanish_are_reported_once(tmp_path: Path) -> None:
    with after(tmp_path, [looks()]) as memory:
        [judged] = memory.load(week(1, profile=looks(columns=("item", "amount"), extra=["经办人"])))
        assert [(warning.code, warning.value) for warning in drifts(judged)] == [
            ("drift_column_gone", "领域"),
            ("drift_column_new", "经办人"),
        ]
        [again] = memory.load(week(2, profile=looks(columns=("item", "amount"), extra=["经办人"])))
        assert codes(again) == []
        [many] = memory.load(week(3, profile=looks(extra=[f"c{n}" for n in range(150)])))
        assert codes(many).count("drift_column_new") == 20


def test_a_category_that_nobody_ever_sent_is_reported(tmp_path: Path) -> None:
    with after(tmp_path, [looks(domains=["交通", "教育"])] * 4) as memory:
        profile = looks(domains=["交通", "医疗", "体育"])
        [judged] = memory.load(week(4, profile=profile))
        [drift] = drifts(judged)
        assert (drift.code, drift.column) == ("drift_category", "domain")
        assert (drift.value, drift.expected) == ("体育、医疗", "交通、教育")
        # once seen, it is known to all: whoever sends it
        [other] = memory.load(week(4, department="b", profile=profile))
        assert codes(other) == []
        # and what a delivery said before does not excuse its correction
        [corrected] = memory.load(week(9, profile=looks(domains=["文旅"])))
        [again] = memory.load(week(9, profile=looks(domains=["文旅", "交通"])))
        assert codes(corrected) == codes(again) == ["drift_category"]


def test_a_category_is_new_only_after_the_first_days(tmp_path: Path) -> None:
    """Count days in the order of receipt, not deliveries: at first every category is new."""
    with in_memory(CONTRACT, tmp_path) as memory:
        judged = memory.load(
            *(
                week(number, department=name, profile=looks(domains=[f"{name}{number}"]))
                for number in range(6)
                for name in "ab"
            )
        )
    assert [codes(judgement) for judgement in judged] == [[]] * 8 + [["drift_category"]] * 4


def test_a_jump_in_the_share_of_empty_cells_is_reported(tmp_path: Path) -> None:
    with after(tmp_path, [looks(empty=n) for n in (0, 5, 10, 5)]) as memory:
        [usual] = memory.load(week(4, profile=looks(empty=25)))
        assert codes(usual) == []
        [judged] = memory.load(week(5, profile=looks(empty=26)))
    [drift] = drifts(judged)
    assert (drift.code, drift.column) == ("drift_nulls", "amount")
    assert (drift.value, drift.expected) == ("26.0% (26/100)", "5.0%")


def test_drift_that_a_contract_switches_off_is_not_reported(tmp_path: Path) -> None:
    quiet = {"volume": None, "null_share": None, "columns": False}
    with after(tmp_path, [looks()] * 5, quiet) as memory:
        [judged] = memory.load(
            week(9, profile=looks(9000, empty=9000, extra=["new"], domains=["new"]))
        )
    # `domains` is in the profile and would be told of if the contract asked
    assert "drift_volume" not in codes(judged)
    assert "drift_nulls" not in codes(judged)
    assert "drift_column_new" not in codes(judged)


def test_the_history_is_what_was_received_earlier_and_is_in_force(tmp_path: Path) -> None:
    """Leave deliveries that are no longer in force out of the history."""
    with after(tmp_path, [looks()] * 4) as memory:
        for _ in range(3):  # corrected in time: the wrong version is forgotten
            memory.load(week(4, profile=looks(9000)))
        memory.load(week(4, profile=looks()))
        [fine] = memory.load(week(5, profile=looks()))
        assert codes(fine) == []
        [odd] = memory.load(week(6, profile=looks(9000)))
        assert codes(odd) == ["drift_volume"]


def test_one_wave_is_a_history_in_order_of_receipt(tmp_path: Path) -> None:
    with in_memory(CONTRACT, tmp_path) as memory:
        wave = memory.load(
            *(week(n, profile=looks()) for n in (4, 3, 2, 1)), week(0, profile=looks(500))
        )
    assert [codes(judgement) for judgement in wave] == [[]] * 4 + [["drift_volume"]]


def send(city: City, number: int, rows: Sequence[Sequence[object]], **where: Any) -> Judgement:
    return city.send(rows, day=MONDAY + timedelta(weeks=number), **where)


def test_staging_profiles_every_delivery(city: City) -> None:
    city.source(CONTRACT)
    judged = send(
        city,
        0,
        [
            ("x", 1, "交通"),
            ("y", "", "交通"),
            ("y2", "", "教育"),
            ("z", "?", "医疗"),
            ("x", 1, "交通"),
            ("w", 1),
        ],
    )
    assert judged.profile == Profile(
        rows=5,
        good_rows=3,
        columns=("amount", "domain", "item"),
        extra_columns=(),
        nulls={"item": 0, "amount": 2, "domain": 0},
        categories={"domain": ("交通", "教育")},
    )
    judged = send(city, 1, [("x", 1, "", "")], header=("事项", "数量", "备注", "批次"))
    assert judged.profile is not None
    assert judged.profile.columns == ("amount", "item")
    assert judged.profile.extra_columns == ("备注", "批次")
    many = [(f"x{n}", 1, f"d{n}") for n in range(201)]
    judged = send(city, 2, many)
    assert judged.profile is not None
    assert judged.profile.categories == {}
    assert send(city, 3, "事项\n").profile == Profile(
        rows=0,
        good_rows=0,
        columns=("item",),
        extra_columns=(),
        nulls={"item": 0, "amount": 0, "domain": 0},
        categories={},
    )
    assert send(city, 4, b"").profile is None
    profiles = city.rows(
        "SELECT rows, good_rows, nulls['amount'], extra_columns FROM profile ORDER BY ALL"
    )
    assert profiles == [
        (0, 0, 0, []),
        (1, 1, 0, ["备注", "批次"]),
        (5, 3, 2, []),
        (201, 201, 0, []),
    ]


def test_without_declared_drift_nothing_is_profiled(city: City) -> None:
    assert city.send([("x", 1, "")]).profile is None
    assert city.rows("SELECT count(*) FROM profile") == [(0,)]


def test_a_rebuild_reports_the_same_drift_as_the_nights_and_readers_see_it(city: City) -> None:
    city.source(CONTRACT)
    for number in range(4):
        send(city, number, [(f"x{n}", 1, "交通") for n in range(30)])
    judged = send(
        city, 4, [(f"x{n}", "", "教育") for n in range(10)], header=("事项", "数量", "领域")
    )
    expected = ["drift_category", "drift_nulls", "drift_volume"]
    assert codes(judged) == expected
    again = repairs.rebuild(city.deployment, "records")
    assert [codes(judgement) for judgement in again] == [[]] * 4 + [expected]
    night.publish(city.deployment)
    table = published.read("SELECT rows FROM profile ORDER BY position", settings=city.settings)
    assert list(table["rows"]) == [30, 30, 30, 30, 10] * 2
