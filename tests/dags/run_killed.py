"""Runs `ingest_data_records` with a load that dies between its commit and its end, and once more.

Prints one line of JSON: the state of the run. Run by test_runs.py.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

from pipelines.jobs import intake

really_load = intake.load_staged


def die_after_the_commit(*given: Any) -> None:
    """Load, and die before reporting it."""
    intake.load_staged = really_load
    really_load(*given)
    raise OSError("killed between the commit and the end")


dag = DagBag(conf.get("core", "dags_folder")).dags["ingest_data_records"]
load = dag.get_task("load")
load.retries, load.retry_delay, load.retry_exponential_backoff = 1, timedelta(seconds=1), 0
intake.load_staged = die_after_the_commit
run = dag.test()
print(
    "\n" + json.dumps({"state": str(run.state), "tries": run.get_task_instance("load").try_number})
)
