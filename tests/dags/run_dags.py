"""Runs DAGs with `dag.test()`, one after the other, and prints one line of JSON about each run.

`run_dags.py '[["ingest_data_records", {"dates": "2021-10-08"}], …]'`. Run by test_runs.py.
"""

from __future__ import annotations

import json
import sys

from airflow.configuration import conf
from airflow.dag_processing.dagbag import DagBag

bag = DagBag(conf.get("core", "dags_folder"))
answers = []
for dag_id, parameters in json.loads(sys.argv[1]):
    run = bag.dags[dag_id].test(run_conf=parameters)
    answers.append(
        {
            "state": str(run.state),
            "tasks": sorted(
                [task.task_id, task.map_index, str(task.state)] for task in run.get_task_instances()
            ),
        }
    )
print("\n" + json.dumps(answers))
