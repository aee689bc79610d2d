"""What every DAG here has in common: pool, retries, assets, and how a task fails."""

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
    """Arguments of every task; CITYBRAIN_DAG_RETRIES says how often one is tried again.

    `priority` decides who waits for the pool: loads go before the run that publishes them, so that
    sources which arrive together are published together.
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
    """The asset that changes when rows of a source do."""
    return Asset(f"citybrain://source/{name}")


def landing_asset(name: str) -> Asset:
    """The asset that changes when files of a source are in landing, ready to be taken."""
    return Asset(f"citybrain://landing/{name}")


@contextmanager
def mistakes_fail_at_once() -> Iterator[None]:
    """What a person has to mend is not tried again; a busy warehouse or a full disk is."""
    try:
        yield
    except (WarehouseBusyError, StorageError):
        raise
    except CitybrainError as error:
        raise AirflowFailException(str(error)) from error


def moment_of_run() -> datetime:
    """The run's instant: its logical date, or for runs without one the time it was due."""
    run = get_current_context()["dag_run"]
    return run.logical_date or run.run_after


def backfilled_day() -> date | None:
    """The business date that this run of a backfill stands for; None when it is of none."""
    run = get_current_context()["dag_run"]
    return parameters.backfilled_day(run.run_type, run.logical_date, clock.today())


def run_name(attempt: int = 0) -> str:
    """The id in the ledger of the run in which this task runs."""
    run = get_current_context()["dag_run"]
    return parameters.run_name(run.dag_id, run.run_id, run.run_after, attempt)


def parameter(name: str) -> str | None:
    """A parameter of this run; UsageError when the run was given one that nobody reads."""
    context = get_current_context()
    dag = context["dag"]
    parameters.check_names(context["dag_run"].conf or {}, list(dag.params))
    value: str | None = context["params"][name]
    return value
