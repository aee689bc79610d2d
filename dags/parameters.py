"""Interpret the parameters of DAG runs.

JSON Schema refuses a wrong form when a run is triggered. A day that is not in the calendar, or not
in the past, is refused by UsageError when the run's first task starts.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta

from pipelines.clock import SHANGHAI, refuse_future
from pipelines.errors import UsageError

BACKFILL = "backfill"  # Airflow's name for runs of a backfill
DATES = r"^(\d{4}-\d{2}-\d{2}(\.\.\d{4}-\d{2}-\d{2})?)?$"


def date_range(text: str | None, today: date) -> tuple[date, date] | None:
    """Return the first and last day (both count) of `dates`; None if it is empty: every day."""
    if not text:
        return None
    first, separator, last = text.partition("..")
    start = _past_day("dates", text, first, today)
    end = _past_day("dates", text, last, today) if separator else start
    if end < start:
        raise UsageError(f"dates {text!r}: the range ends before it starts; write {last}..{first}")
    return start, end


def backfilled_day(run_type: str, logical_date: datetime | None, today: date) -> date | None:
    """Return the business date of a backfill's run: the day before its logical date, in Shanghai.

    None for runs of any other type. Raises UsageError for a day that has not come yet.
    """
    if run_type != BACKFILL or logical_date is None:
        return None
    day = logical_date.astimezone(SHANGHAI).date() - timedelta(days=1)
    refuse_future(day, today, f"backfill of {day}")
    return day


def as_of(
    text: str | None,
    deployment: str | None,
    moment: datetime,
    today: date,
    backfilled: date | None = None,
) -> date:
    """Return the day to look from: the parameter, the backfill's, the deployment's or yesterday.

    `deployment` is CITYBRAIN_AS_OF; `moment` is the run's own instant, and yesterday is the day
    before it in Shanghai.
    """
    if text:
        return _past_day("as_of", text, text, today)
    if backfilled:
        return backfilled
    if deployment:
        return _past_day("CITYBRAIN_AS_OF", deployment, deployment, today)
    return moment.astimezone(SHANGHAI).date() - timedelta(days=1)


def check_names(given: Collection[str], known: Collection[str]) -> None:
    """Raise UsageError for unknown parameters, which Airflow itself lets through."""
    for name in sorted(set(given) - set(known)):
        raise UsageError(f"no parameter is called {name!r}; there are: {', '.join(sorted(known))}")


def run_name(dag_id: str, airflow_run: str, moment: datetime, attempt: int = 0) -> str:
    """Return a run's id for the ledger: the same for the same Airflow run and attempt.

    It has the form of `steps.new_run_id`, which is safe in paths: the UTC time, and six digits that
    tell runs of one second apart.
    """
    digest = hashlib.sha256(f"{dag_id}|{airflow_run}|{attempt}".encode()).hexdigest()
    return f"{moment.astimezone(UTC):%Y%m%dT%H%M%S}-{digest[:6]}"


def _past_day(name: str, given: str, text: str, today: date) -> date:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").date()
    except ValueError:
        raise UsageError(
            f"{name} {given!r}: {text!r} is no date of the calendar; write 2021-10-31"
        ) from None
    refuse_future(day, today, f"{name} {given!r}")
    return day
