"""Every kind of DAG run for real, by `dag.test()`, on deliveries made by hand."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import pytest

pytestmark = pytest.mark.xdist_group("airflow")
RunDags = Callable[..., list[dict[str, Any]]]

DAY = date(2021, 10, 8)
RECORDS = "报送单位,统计日期,目录编码,目录名称,数据领域,新增数据量,累计数据量"
VISITS = "日期,应用名称,场景领域,访问渠道,访问量,独立访客数"
UNREADABLE = "市公安局,2021-10-08,GA999999,户籍登记,社会,待核实,1000"


def land(
    data: Path, department: str, source: str, lines: Iterable[str], encoding: str, day: date = DAY
) -> Path:
    """Put a CSV into the landing folder."""
    path = data / "landing" / day.isoformat() / department / f"{source}.csv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding=encoding)
    return path


def records(prefix: str, unit: str, count: int, each: int = 10) -> list[str]:
    rows = (f"{unit},2021-10-08,{prefix}{n:06},户籍登记,社会,{each},1000" for n in range(count))
    return [RECORDS, *rows]


def visits(each: int) -> list[str]:
    return [VISITS, f"2021-10-08,一码通,民生服务,网页,{each},{each}"]


def ask(database: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def states(answer: dict[str, Any]) -> dict[str, str]:
    """State by task; of mapped ones `task[index]`."""
    return {
        task if index < 0 else f"{task}[{index}]": state for task, index, state in answer["tasks"]
    }


def changes(airflow_home: Path, name: str, what: str = "source") -> int:
    """Count how often Airflow heard that a source's rows have changed, or its files have come."""
    query = (
        "SELECT count(*) FROM asset_event INNER JOIN asset ON asset.id = asset_event.asset_id "
        "WHERE asset.uri = ?"
    )
    with sqlite3.connect(airflow_home / "airflow.db") as connection:
        count: int = connection.execute(query, [f"citybrain://{what}/{name}"]).fetchone()[0]
    return count


LEDGER = (
    "SELECT source, department, verdict, rows_read, accepted, quarantined "
    "FROM delivery ORDER BY position"
)
STATEMENT_OF_THE_CITY = (
    "SELECT run_id, as_of, actual FROM pace "
    "WHERE target = 'hundred_day_collection' AND department IS NULL"
)


def test_a_night_from_landing_to_publication(run_dags: RunDags, airflow_home: Path, tmp_path: Path):
    changes_before = {name: changes(airflow_home, name) for name in ("data_records", "app_visits")}
    police = [*records("GA", "市公安局", 39), UNREADABLE]
    health = records("WJ", "市卫健委", 5, each=7)
    land(tmp_path, "gaj", "data_records", police, "gb18030")
    land(tmp_path, "wjw", "data_records", health, "utf-8")
    land(tmp_path, "zwfw", "app_visits", visits(120), "utf-8")

    ingested, visited, published, watched = run_dags(
        tmp_path,
        ("ingest_data_records", {"dates": "2021-10-01..2021-10-08"}),
        ("ingest_app_visits", {}),
        ("nightly", {}),
        ("landing_watch", {}),
        CITYBRAIN_AS_OF="2021-10-08",
        CITYBRAIN_CHUNK_DELIVERIES="1",
    )

    assert states(ingested) == {
        "discover": "success",
        "stage[0]": "success",
        "stage[1]": "success",
        "load": "success",
        "every_chunk_is_staged": "success",
    }
    assert states(watched) == {"look": "skipped"}, "nothing is left that could be announced"
    assert {*states(visited).values()} == {*states(published).values()} == {"success"}
    assert "housekeeping: freed 0.0 MB: nothing was old" in published["log"]
    assert sorted(states(published)) == ["alerts", "housekeeping", "notify", "pace", "publish"]
    warehouse = tmp_path / "warehouse.duckdb"
    assert sorted(ask(warehouse, LEDGER)) == [
        ("app_visits", "zwfw", "accepted", 1, 1, 0),
        ("data_records", "gaj", "accepted_with_quarantine", 40, 39, 1),
        ("data_records", "wjw", "accepted", 5, 5, 0),
    ]
    assert ask(
        warehouse,
        "SELECT department, count(*), sum(new_records) FROM data_records GROUP BY ALL ORDER BY 1",
    ) == [("gaj", 39, 390), ("wjw", 5, 35)]
    [(source, department, row_number, text)] = ask(
        warehouse, "SELECT source, department, row_number, row_text FROM quarantine"
    )
    assert (source, department, row_number) == ("data_records", "gaj", 41)
    assert "待核实" in text
    for name, before in changes_before.items():
        assert changes(airflow_home, name) == before + 1

    [(run_id, as_of, actual)] = ask(warehouse, STATEMENT_OF_THE_CITY)
    assert (as_of, actual) == (DAY, 425)
    assert ask(warehouse, "SELECT run_id, as_of FROM run") == [(run_id, DAY)]
    readers = tmp_path / "published" / "citybrain.duckdb"
    assert ask(readers, "SELECT number FROM generation") == [(1,)]
    query = (
        "SELECT actual FROM marts.target_pace "
        "WHERE target = 'hundred_day_collection' AND department = 'gaj'"
    )
    assert ask(readers, query) == [(390,)]
    assert not list((tmp_path / "landing").rglob("*.csv"))
    assert not list((tmp_path / "staging").iterdir())

    # the same bytes again, and a file that is refused: nothing changes, and nobody is told it did
    land(tmp_path, "gaj", "data_records", police, "gb18030")
    land(tmp_path, "zwfw", "app_visits", ["一,二"], "utf-8")
    again, refused = run_dags(tmp_path, ("ingest_data_records", {}), ("ingest_app_visits", {}))
    assert again["state"] == refused["state"] == "success"
    assert states(again) == {
        "discover": "success",
        "stage": "skipped",
        "load": "skipped",
        "every_chunk_is_staged": "skipped",
    }
    assert states(refused)["stage[0]"] == "success"
    assert states(refused)["load"] == "skipped"
    assert [row[:3] for row in ask(warehouse, LEDGER)[3:]] == [
        ("data_records", "gaj", "unchanged"),
        ("app_visits", "zwfw", "rejected"),
    ]
    assert ask(warehouse, "SELECT sum(visits) FROM app_visits") == [(120,)]
    for name, before in changes_before.items():
        assert changes(airflow_home, name) == before + 1


def test_the_good_run_while_a_contract_is_broken(
    run_dags: RunDags, broken_config: Path, tmp_path: Path
):
    land(tmp_path, "wjw", "data_records", records("WJ", "市卫健委", 5), "utf-8")
    left = land(tmp_path, "wjw", "video_channels", ["通道编号"], "utf-8")
    ingested, published = run_dags(
        tmp_path,
        ("ingest_data_records", {}),
        ("nightly", {"as_of": "2021-10-08"}),
        CITYBRAIN_CONFIG_DIR=str(broken_config),
    )
    assert ingested["state"] == published["state"] == "success"
    readers = tmp_path / "published" / "citybrain.duckdb"
    assert ask(readers, "SELECT count(*) FROM data_records") == [(5,)]
    tracked = {row[0] for row in ask(readers, "SELECT DISTINCT target FROM marts.target_pace")}
    assert "hundred_day_collection" in tracked
    assert not {name for name in tracked if name.startswith("video")}
    assert left.exists()  # it waits for its contract


def test_parameters_that_make_no_sense_fail_at_once_and_say_why(run_dags: RunDags, tmp_path: Path):
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date()
    future = today.replace(year=today.year + 2, day=1)
    land(tmp_path, "wjw", "data_records", records("WJ", "市卫健委", 5), "utf-8")
    answers = run_dags(
        tmp_path,
        ("ingest_data_records", {"dates": f"2021-10-01..{future}"}),
        ("ingest_data_records", {"dates": "2021-10-08..2021-10-01"}),
        ("ingest_data_records", {"date": "2021-10-08"}),
        ("nightly", {"as_of": f"{future}"}),
    )
    assert [answer["state"] for answer in answers] == ["failed"] * 4
    assert states(answers[0]) == {
        "discover": "failed",
        "stage": "upstream_failed",
        "load": "upstream_failed",
        "every_chunk_is_staged": "upstream_failed",
    }
    log = answers[0]["log"]
    for message in (
        f"{future} lies in the future",
        "the range ends before it starts; write 2021-10-01..2021-10-08",
        "no parameter is called 'date'; there are: dates",
        f"as_of '{future}'",
    ):
        assert message in log
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_a_load_that_was_killed_after_its_commit_is_announced_by_the_next_attempt(
    run_program: Callable[..., Any], airflow_home: Path, tmp_path: Path
):
    before = changes(airflow_home, "data_records")
    land(tmp_path, "wjw", "data_records", records("WJ", "市卫健委", 5), "utf-8")
    answer, _ = run_program("run_killed.py", tmp_path)
    assert (answer["state"], answer["tries"]) == ("success", 2)
    assert ask(tmp_path / "warehouse.duckdb", "SELECT count(*) FROM data_records") == [(5,)]
    assert changes(airflow_home, "data_records") == before + 1


def test_the_watch_announces_the_sources_that_have_settled_files_and_no_others(
    run_dags: RunDags, airflow_home: Path, tmp_path: Path
):
    def announced() -> dict[str, int]:
        names = ("data_records", "app_visits", "video_channels", "indicator_reports")
        return {name: changes(airflow_home, name, "landing") for name in names}

    before = announced()
    an_hour_ago = time.time() - 3600
    for department in ("wjw", "gaj"):
        still = land(tmp_path, department, "data_records", records("X", "市卫健委", 5), "utf-8")
        os.utime(still, (an_hour_ago, an_hour_ago))
    land(tmp_path, "zwfw", "app_visits", visits(120), "utf-8")  # just now: it may not be whole
    marked = land(tmp_path, "gaj", "video_channels", ["通道编号"], "utf-8")
    marked.with_name(f"{marked.name}.done").touch()
    land(tmp_path, "gaj", "no_such_source", ["x"], "utf-8")
    watched, ingested = run_dags(
        tmp_path, ("landing_watch", {}), ("ingest_app_visits", {}), CITYBRAIN_SETTLE_SECONDS="600"
    )
    assert states(watched) == {"look": "success"}
    assert announced() == before | {
        name: before[name] + 1 for name in ("data_records", "video_channels")
    }
    message = (
        "settled files: 2 of data_records, 1 of video_channels; 1 still being uploaded, 1 nobody"
    )
    assert message in watched["log"]
    assert not (tmp_path / "archive").exists(), "a look takes nothing"
    assert states(ingested)["stage"] == "skipped", "nor does an ingest take what may not be whole"
    assert (
        "discover app_visits: 0 pending in 0 chunks, 0 unchanged, 1 still being uploaded"
        in (ingested["log"])
    )


def test_a_backfill_is_a_run_a_day_that_takes_this_day(
    run_program: Callable[..., Any], tmp_path: Path
):
    days = [DAY + timedelta(days=number) for number in range(-1, 3)]
    for day in days:
        lines = [line.replace("2021-10-08", f"{day}") for line in records("WJ", "市卫健委", 5)]
        land(tmp_path, "wjw", "data_records", lines, "utf-8", day)
    window = ("2021-10-09T00:00+08:00", "2021-10-11T00:00+08:00")
    answer, log = run_program("run_backfill.py", tmp_path, "ingest_data_records", *window)
    at_five_past_two = ["2021-10-08T18:05:00+00:00", "2021-10-09T18:05:00+00:00"]
    assert answer["announced"] == at_five_past_two
    assert [run["logical_date"] for run in answer["runs"]] == at_five_past_two
    assert {(run["run_type"], run["state"]) for run in answer["runs"]} == {("backfill", "success")}
    assert all(["stage", 0, "success"] in run["tasks"] for run in answer["runs"])
    query = "SELECT DISTINCT CAST(business_date AS VARCHAR) FROM data_records ORDER BY 1"
    assert ask(tmp_path / "warehouse.duckdb", query) == [("2021-10-08",), ("2021-10-09",)]
    left = {path.parts[-3] for path in (tmp_path / "landing").rglob("*.csv")}
    assert left == {"2021-10-07", "2021-10-10"}
    for day in ("2021-10-08", "2021-10-09"):
        assert f"discover data_records {day}..{day}: 1 pending" in log
    for task in ("stage", "load"):
        message = f"{task} data_records: 1 deliveries (1 accepted), 5 rows accepted"
        assert log.count(message) == 2


def test_a_night_in_a_backfill_looks_from_its_own_day(
    run_program: Callable[..., Any], tmp_path: Path
):
    window = ("2021-10-09T07:30+08:00", "2021-10-10T07:30+08:00")
    answer, _ = run_program(
        "run_backfill.py", tmp_path, "nightly", *window, CITYBRAIN_AS_OF="2021-10-31"
    )
    assert [run["state"] for run in answer["runs"]] == ["success"] * 2
    assert ask(tmp_path / "warehouse.duckdb", "SELECT as_of FROM run ORDER BY finished_at") == [
        (date(2021, 10, 8),),
        (date(2021, 10, 9),),
    ]
