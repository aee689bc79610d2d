"""Asks Airflow for a backfill and runs each of its runs, in their order.

`run_backfill.py ingest_data_records 2021-10-08T00:00+08:00 2021-10-10T00:00+08:00`. Prints one line
of JSON: what a dry run announces, and each run's logical date, state and tasks.
"""

from __future__ import annotations

import json
import sys
from datetime import datetime
from typing import Any
from unittest.mock import patch

from airflow.dag_processing.bundles.manager import DagBundlesManager
from airflow.dag_processing.dagbag import BundleDagBag, sync_bag_to_db
from airflow.models.backfill import BackfillDagRun, ReprocessBehavior, _create_backfill, _do_dry_run
from airflow.models.dagrun import DagRun
from airflow.utils.session import create_session
from airflow.utils.state import DagRunState
from sqlalchemy import select

dag_id, first, last = sys.argv[1:4]
window = {"from_date": datetime.fromisoformat(first), "to_date": datetime.fromisoformat(last)}


def parsed() -> BundleDagBag:
    """Return dags/ as the DAG processor leaves it: parsed and in the database."""
    manager = DagBundlesManager()
    manager.sync_bundles_to_db()
    [bundle] = manager.get_all_dag_bundles()
    bundle.initialize()
    bag = BundleDagBag(bundle.path, bundle_path=bundle.path, bundle_name=bundle.name)
    sync_bag_to_db(bag, bundle.name, bundle.version)
    return bag


def announced() -> list[str]:
    """Return the logical dates that a dry run announces."""
    with create_session() as session:
        infos = _do_dry_run(
            dag_id=dag_id,
            reverse=False,
            reprocess_behavior=ReprocessBehavior.NONE,
            session=session,
            **window,
        )
        return [info.logical_date.isoformat() for info in infos]


def created() -> list[str]:
    """Return the ids of the backfill's runs, in their order."""
    backfill = _create_backfill(
        dag_id=dag_id,
        max_active_runs=1,
        reverse=False,
        dag_run_conf=None,
        triggering_user_name=None,
        reprocess_behavior=ReprocessBehavior.NONE,
        **window,
    )
    query = (
        select(DagRun.run_id)
        .join(BackfillDagRun, BackfillDagRun.dag_run_id == DagRun.id)
        .where(BackfillDagRun.backfill_id == backfill.id)
        .order_by(BackfillDagRun.sort_ordinal)
    )
    with create_session() as session:
        return list(session.scalars(query))


def run(dag: Any, run_id: str) -> dict[str, Any]:
    """Run one of the runs by `dag.test()`, which would otherwise make a manual run."""

    def the_backfills(*, dag: Any, session: Any, **given: Any) -> DagRun:
        dag_run = session.scalar(select(DagRun).where(DagRun.run_id == run_id))
        dag_run.dag, dag_run.state = dag, DagRunState.RUNNING
        session.commit()
        return dag_run

    with patch("airflow.models.dagrun.get_or_create_dagrun", the_backfills):
        done = dag.test()
    return {
        "logical_date": done.logical_date.isoformat(),
        "run_type": str(done.run_type),
        "state": str(done.state),
        "tasks": sorted(
            [task.task_id, task.map_index, str(task.state)] for task in done.get_task_instances()
        ),
    }


bag = parsed()
answer = {"announced": announced(), "runs": [run(bag.dags[dag_id], run_id) for run_id in created()]}
print("\n" + json.dumps(answer))
