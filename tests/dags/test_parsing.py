"""Check what Airflow makes of dags/: the DAGs, their promises, and a broken contract's effect."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.loading import load_catalog

pytestmark = pytest.mark.xdist_group("airflow")
CATALOG = load_catalog()
OTHERS = {"landing_watch", "nightly"}
Parse = Callable[[Path | None], dict[str, Any]]


def test_every_contract_is_a_dag_and_nothing_fails(parse: Parse) -> None:
    answer = parse(None)
    assert answer["errors"] == {}
    assert set(answer["dags"]) == {f"ingest_{name}" for name in CATALOG.sources} | OTHERS


def test_parsing_imports_neither_gx_nor_duckdb(parse: Parse) -> None:
    assert parse(None)["imported"] == []


@pytest.mark.parametrize("name", CATALOG.sources)
def test_tags_owner_docs_and_parameters_are_the_contracts(parse: Parse, name: str) -> None:
    source, dag = CATALOG.sources[name], parse(None)["dags"][f"ingest_{name}"]
    assert source.due is not None
    assert set(dag["tags"]) == {"ingest", source.content, source.due.frequency.value}
    assert dag["owner"] == source.owner
    assert {task["owner"] for task in dag["tasks"].values()} == {source.owner}
    for words in (source.title, source.owner, source.grain, *source.column_names):
        assert words in dag["doc"]
    assert set(dag["params"]) == {"dates"}
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1


@pytest.mark.parametrize("name", CATALOG.sources)
def test_an_ingest_runs_once_a_day_after_it_is_due_or_when_files_have_come(
    parse: Parse, name: str
) -> None:
    source, schedule = CATALOG.sources[name], parse(None)["dags"][f"ingest_{name}"]["schedule"]
    assert source.due is not None
    due = f"{source.due.time.minute + 5} {source.due.time.hour} * * *"
    assert f"CronTriggerTimetable(expression='{due}', timezone='Asia/Shanghai'" in schedule
    assert schedule.count("expression=") == 1
    assert re.findall(r"uri='([^']+)'", schedule) == [f"citybrain://landing/{name}"]


def test_a_source_due_at_no_fixed_time_is_looked_for_before_the_night(
    parse: Parse, irregular_config: Path
) -> None:
    answer = parse(irregular_config)
    assert answer["errors"] == {}
    schedule = answer["dags"]["ingest_data_records"]["schedule"]
    assert "CronTriggerTimetable(expression='5 7 * * *', timezone='Asia/Shanghai'" in schedule


def test_the_watch_looks_every_ten_minutes_without_the_slot_of_the_warehouse(parse: Parse) -> None:
    dag = parse(None)["dags"]["landing_watch"]
    assert "expression='*/10 * * * *', timezone='Asia/Shanghai'" in dag["schedule"]
    assert dag["catchup"] is False
    assert dag["max_active_runs"] == 1
    assert list(dag["tasks"]) == ["look"]
    assert dag["tasks"]["look"]["pool"] == "default_pool"
    assert dag["tasks"]["look"]["outlets"] == ["landing"]  # an alias: who gets events, a look tells


@pytest.mark.parametrize("name", CATALOG.sources)
def test_an_ingest_stages_in_parallel_and_loads_through_the_one_slot(
    parse: Parse, name: str
) -> None:
    tasks = parse(None)["dags"][f"ingest_{name}"]["tasks"]
    assert {task_id: task["after"] for task_id, task in tasks.items()} == {
        "discover": [],
        "stage": ["discover"],
        "load": ["stage"],
        "every_chunk_is_staged": ["stage"],
    }
    assert [task_id for task_id, task in tasks.items() if task["is_mapped"]] == ["stage"]
    in_pool = {task_id for task_id, task in tasks.items() if task["pool"] == "warehouse"}
    assert in_pool == {"discover", "load"}
    assert tasks["load"]["outlets"] == [f"citybrain://source/{name}"]


def test_the_night_runs_by_the_clock_or_when_any_source_has_changed(parse: Parse) -> None:
    dag = parse(None)["dags"]["nightly"]
    assert (
        "CronTriggerTimetable(expression='30 7 * * *', timezone='Asia/Shanghai'" in dag["schedule"]
    )
    assert "asset_condition=AssetAny(" in dag["schedule"]
    awaited = set(re.findall(r"uri='citybrain://source/(\w+)'", dag["schedule"]))
    assert awaited == set(CATALOG.sources)
    order = {task_id: task["after"] for task_id, task in dag["tasks"].items()}
    assert order == {
        "pace": [],
        "alerts": ["pace"],
        "publish": ["alerts", "pace"],
        "notify": ["pace", "publish"],
        "housekeeping": ["notify"],
    }
    assert {task["pool"] for task in dag["tasks"].values()} == {"warehouse"}
    assert set(dag["params"]) == {"as_of"}


def test_tasks_are_tried_again_with_back_off_and_loads_go_before_the_night(parse: Parse) -> None:
    dags = parse(None)["dags"]
    ingests = [
        task for name in CATALOG.sources for task in dags[f"ingest_{name}"]["tasks"].values()
    ]
    night = list(dags["nightly"]["tasks"].values())
    assert all(task["backs_off"] for task in (*ingests, *night))
    assert {task["retries"] for task in (*ingests, *night)} == {0}  # CITYBRAIN_DAG_RETRIES of tests
    assert min(task["priority"] for task in ingests) > max(task["priority"] for task in night)


def test_a_broken_contract_is_an_import_error_that_names_file_and_key(
    parse: Parse, broken_config: Path
) -> None:
    answer = parse(broken_config)
    assert set(answer["errors"]) == {"contracts_check.py"}
    assert (
        "video_channels.yaml: max_quarantin: nobody knows this key"
        in answer["errors"]["contracts_check.py"]
    )
    good = {f"ingest_{name}" for name in CATALOG.sources} - {"ingest_video_channels"}
    assert set(answer["dags"]) == good | OTHERS
