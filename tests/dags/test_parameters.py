"""The DAGs' parameters: what they mean, and what is refused in which words."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

import pytest

from dags.parameters import DATES, as_of, backfilled_day, check_names, date_range, run_name
from pipelines.errors import UsageError

TODAY = date(2021, 11, 1)
LATE_EVENING = datetime(2021, 10, 31, 15, 59, tzinfo=UTC)  # 23:59 in Shanghai
MIDNIGHT = datetime(2021, 10, 31, 16, 0, tzinfo=UTC)  # 00:00 of the next day there


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, None),
        ("", None),
        ("2021-10-31", (date(2021, 10, 31), date(2021, 10, 31))),
        ("2021-10-01..2021-10-07", (date(2021, 10, 1), date(2021, 10, 7))),
        ("2021-11-01", (TODAY, TODAY)),  # today is no future
    ],
)
def test_a_range_of_days_counts_both_ends(
    text: str | None, expected: tuple[date, date] | None
) -> None:
    assert re.fullmatch(DATES, text or "")
    assert date_range(text, TODAY) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2021-10-07..2021-10-01", "ends before it starts; write 2021-10-01..2021-10-07"),
        ("2021-11-02", "2021-11-02 lies in the future (today is 2021-11-01 in Shanghai)"),
        ("2021-10-30..2021-11-02", "2021-11-02 lies in the future"),
        ("2031-01-01..2031-01-07", "2031-01-01 lies in the future"),
        ("2021-02-30", "'2021-02-30' is no date of the calendar"),
        ("2021-10-01..", "'' is no date of the calendar"),
        ("yesterday", "'yesterday' is no date of the calendar"),
    ],
)
def test_a_range_that_makes_no_sense_is_refused(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        date_range(text, TODAY)


@pytest.mark.parametrize(
    "text", ["2021-10", "20211031", "2021-10-01...2021-10-07", "2021-10-01..", " 2021-10-01", "all"]
)
def test_a_wrong_form_is_refused_when_the_run_is_triggered(text: str) -> None:
    assert re.search(DATES, text) is None


@pytest.mark.parametrize(
    ("parameter", "deployment", "moment", "expected"),
    [
        ("2021-10-15", "2021-10-31", MIDNIGHT, date(2021, 10, 15)),
        (None, "2021-10-20", MIDNIGHT, date(2021, 10, 20)),
        ("", "", MIDNIGHT, date(2021, 10, 31)),
        (None, None, MIDNIGHT, date(2021, 10, 31)),
        (None, None, LATE_EVENING, date(2021, 10, 30)),
        ("2021-11-01", None, MIDNIGHT, TODAY),
    ],
)
def test_as_of_is_the_parameter_else_the_deployments_else_yesterday_in_shanghai(
    parameter: str | None, deployment: str | None, moment: datetime, expected: date
) -> None:
    assert as_of(parameter, deployment, moment, TODAY) == expected


def test_a_backfill_looks_from_its_own_day_whatever_the_deployment_says() -> None:
    day = date(2021, 9, 30)
    assert as_of(None, "2021-10-20", MIDNIGHT, TODAY, day) == day
    assert as_of("2021-10-15", "2021-10-20", MIDNIGHT, TODAY, day) == date(2021, 10, 15)


@pytest.mark.parametrize(
    ("run_type", "logical_date", "expected"),
    [
        ("backfill", LATE_EVENING, date(2021, 10, 30)),
        ("backfill", MIDNIGHT, date(2021, 10, 31)),
        ("backfill", MIDNIGHT + timedelta(days=1), TODAY),
        ("backfill", datetime(2021, 10, 8, 18, 5, tzinfo=UTC), date(2021, 10, 8)),
        ("scheduled", MIDNIGHT, None),
        ("manual", MIDNIGHT, None),
        ("asset_triggered", None, None),
        ("backfill", None, None),
    ],
)
def test_a_run_of_a_backfill_stands_for_the_day_before_its_logical_date_in_shanghai(
    run_type: str, logical_date: datetime | None, expected: date | None
) -> None:
    assert backfilled_day(run_type, logical_date, TODAY) == expected


def test_a_backfill_of_days_to_come_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="backfill of 2021-11-02: 2021-11-02 lies in the future"):
        backfilled_day("backfill", MIDNIGHT + timedelta(days=2), TODAY)


@pytest.mark.parametrize(
    ("parameter", "deployment", "message"),
    [
        ("2021-11-02", None, "as_of '2021-11-02': 2021-11-02 lies in the future"),
        (None, "2021-13-01", "CITYBRAIN_AS_OF '2021-13-01'"),
    ],
)
def test_an_as_of_that_makes_no_sense_names_where_it_came_from(
    parameter: str | None, deployment: str | None, message: str
) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        as_of(parameter, deployment, MIDNIGHT, TODAY)


def test_a_parameter_that_nobody_reads_is_refused() -> None:
    check_names(["dates"], ["dates"])
    with pytest.raises(UsageError, match="no parameter is called 'datess'; there are: dates"):
        check_names(["dates", "datess"], ["dates"])


def test_a_runs_name_is_stable_short_and_safe_in_paths() -> None:
    airflow_run = "manual__2021-10-31T16:00:00+00:00"
    name = run_name("nightly", airflow_run, MIDNIGHT)
    assert name == run_name("nightly", airflow_run, MIDNIGHT)
    assert re.fullmatch(r"20211031T160000-[0-9a-f]{6}", name)
    others = {
        run_name("ingest_x", airflow_run, MIDNIGHT),
        run_name("nightly", airflow_run + "x", MIDNIGHT),
        run_name("nightly", airflow_run, MIDNIGHT, attempt=2),
    }
    assert len(others - {name}) == 3
