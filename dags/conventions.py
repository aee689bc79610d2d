"""Share pool, retries, assets, run ids and the handling of errors among the DAGs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date, datetime, timedelta
from typing import Any

from airflow.sdk import Asset, get_current_context
from airflow.sdk.exceptions import AirflowFailException

from dags import parameters
from pipelines import clock
from pipelines.errors import CitybrainError, StorageError, WarehouseBusyError

WAREHOUSE = "warehouse"  # the pool with one slot: the warehouse has one writer
TIMEZONE = "Asia/Shanghai"


def task_defaults(owner: str, priority: int) -> dict[str, Any]:
    """Return the arguments of every task; CITYBRAIN_DAG_RETRIES is how often a task is retried.

    `priority` decides which task gets the pool first: loads go before the run that publishes them,
    so that sources which arrive together are published together.
    """
    return {
        "owner": owner,
        "priority_weight": priority,
        "weight_rule": "absolute",
        "retries": int(os.environ.get("CITYBRAIN_DAG_RETRIES", "3")),
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": True,
        "max_retry_delay": timedelta(minutes=30),
        "execution_timeout": timedelta(hours=3),  # nobody keeps the one slot for ever
    }


def source_asset(name: str) -> Asset:
    """Return the asset that changes when rows of a source do."""
    return Asset(f"citybrain://source/{name}")


def landing_asset(name: str) -> Asset:
    """Return the asset that changes when settled files of a source lie in landing."""
    return Asset(f"citybrain://landing/{name}")


@contextmanager
def mistakes_fail_at_once() -> Iterator[None]:
    """Fail the task without a retry for what only a person can mend.

    A busy warehouse or a full disk may be free at the next try: these are retried.
    """
    try:
        yield
    except (WarehouseBusyError, StorageError):
        raise
    except CitybrainError as error:
        raise AirflowFailException(str(error)) from error


def moment_of_run() -> datetime:
    """Return the run's logical date or, for runs without one, the time at which it was due."""
    run = get_current_context()["dag_run"]
    return run.logical_date or run.run_after


def backfilled_day() -> date | None:
    """Return the business date of a backfill's run; None for any other run."""
    run = get_current_context()["dag_run"]
    return parameters.backfilled_day(run.run_type, run.logical_date, clock.today())


def run_name(attempt: int = 0) -> str:
    """Return the ledger's id for the run of this task."""
    run = get_current_context()["dag_run"]
    return parameters.run_name(run.dag_id, run.run_id, run.run_after, attempt)


def parameter(name: str) -> str | None:
    """Return a parameter of this run; UsageError if the run was given an unknown one."""
    context = get_current_context()
    dag = context["dag"]
    parameters.check_names(context["dag_run"].conf or {}, list(dag.params))
    value: str | None = context["params"][name]
    return value
