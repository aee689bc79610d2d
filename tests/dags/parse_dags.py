"""Parses dags/ as Airflow does and prints one line of JSON about it. Run by conftest.parse."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

HEAVY = (
    "great_expectations",
    "duckdb",
    "pandas",
    "pyarrow",
    "sqlalchemy_duckdb",
    "pipelines.jobs.night",
)

before = set(sys.modules)
bag = DagBag(conf.get("core", "dags_folder"))
answer = {
    "errors": {Path(file).name: text for file, text in bag.import_errors.items()},
    "imported": [name for name in HEAVY if name in set(sys.modules) - before],
    "dags": {
        dag_id: {
            "tags": sorted(dag.tags),
            "owner": dag.owner,
            "doc": dag.doc_md,
            "params": {name: param.schema for name, param in dag.params.items()},
            "catchup": dag.catchup,
            "max_active_runs": dag.max_active_runs,
            "schedule": repr(dag.timetable),
            "tasks": {
                task.task_id: {
                    "owner": task.owner,
                    "pool": task.pool,
                    "retries": task.retries,
                    "backs_off": bool(task.retry_exponential_backoff),
                    "priority": task.priority_weight,
                    "outlets": [getattr(asset, "uri", asset.name) for asset in task.outlets],
                    "after": sorted(task.upstream_task_ids),
                    "is_mapped": task.is_mapped,
                }
                for task in dag.tasks
            },
        }
        for dag_id, dag in bag.dags.items()
    },
}
print(json.dumps(answer, ensure_ascii=False))
