"""Airflow as docker-compose.yml deploys it, on PostgreSQL and on SQLite, through its REST API.

One small city per variant, in the order of this file: every test starts from what those before it
left. No test waits for the clock: runs are triggered, by hand, by events, by a backfill.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest
from stack import postgresql
from stack.airflow_api import Airflow, Refused, client
from stack.deployment import PROJECT, Deployment, deployment

from pipelines.contracts.loading import load_catalog

pytestmark = pytest.mark.xdist_group("stack")

AS_OF = date(2021, 10, 8)
EARLIER = [date(2021, 9, 30), date(2021, 10, 1), date(2021, 10, 2)]
NEXT = date(2021, 10, 3)
DAY_BEFORE = date(2021, 10, 7)
RECORDS = ("报送单位", "统计日期", "目录编码", "目录名称", "数据领域", "新增数据量", "累计数据量")
VISITS = ("日期", "应用名称", "场景领域", "访问渠道", "访问量", "独立访客数")
NAMES = {"gaj": "市公安局", "wjw": "市卫健委", "zwfw": "市政务服务局"}
ENCODINGS = {"wjw": "utf-8"}  # as the contract of data_records has it; the others' is GB18030
SOURCES = set(load_catalog().sources)


@dataclass
class Stack:
    """A running deployment and a person logged in."""

    deployment: Deployment
    airflow: Airflow
    config: Path

    @property
    def data(self) -> Path:
        return self.deployment.volume("data")

    def published(self, query: str) -> list[tuple[Any, ...]]:
        return ask(self.data / "published" / "citybrain.duckdb", query)

    def generation(self) -> int:
        """Return the number of the generation that readers see; 0 before the first."""
        if not (self.data / "published" / "citybrain.duckdb").exists():
            return 0
        ((number,),) = self.published("SELECT number FROM generation")
        return int(number)

    def report(self) -> str:
        """Return what is known of a failure: the logs of failed tasks and of the services."""
        try:
            tasks = self.airflow.troubles()
        except Exception as error:
            tasks = f"--- Airflow does not tell: {error!r}"
        return f"{tasks}\n{self.deployment.tails()}"


@pytest.fixture(scope="module", params=["postgresql", "embedded"])
def stack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """Start a deployment per variant; show what its services wrote when a test fails."""
    if request.param == "postgresql" and postgresql.programs() is None:
        pytest.skip(postgresql.MISSING)
    config = configuration(tmp_path_factory.mktemp("config"))
    running = deployment(request.param, CITYBRAIN_CONFIG_DIR=str(config))
    try:
        running.up()
        password = running.variables["CITYBRAIN_ADMIN_PASSWORD"]
        url = running.variables["AIRFLOW_BASE_URL"]
        airflow = Airflow(url, "admin", password, running.still_runs)
        yield Stack(running, airflow, config)
    finally:
        running.close()


def configuration(folder: Path) -> Path:
    """Copy the repository's configuration for a deployment."""
    contracts = PROJECT / "pipelines" / "contracts"
    shutil.copytree(contracts / "sources", folder / "sources")
    shutil.copytree(PROJECT / "expectations", folder / "expectations")
    for path in (*contracts.glob("*.yaml"), *contracts.glob("*.csv")):
        shutil.copy(path, folder)
    return folder


def ask(database: Path, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def land(
    data: Path, day: date, department: str, source: str, content: bytes, suffix: str, hour: int
) -> Path:
    """Put a file into landing, received in the night after the day that it speaks of."""
    path = data / "landing" / day.isoformat() / department / f"{source}{suffix}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    received = datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(hours=24 + hour)
    os.utime(path, (received.timestamp(), received.timestamp()))
    return path


def records(department: str, day: date, counts: Iterable[object]) -> list[tuple[object, ...]]:
    code = department[:2].upper()
    return [
        (NAMES[department], day, f"{code}{number:06}", "户籍登记", "社会", count, 1000)
        for number, count in enumerate(counts)
    ]


def land_records(
    data: Path,
    day: date,
    department: str,
    counts: Iterable[object],
    suffix: str = ".csv",
    hour: int = 1,
) -> Path:
    """Land a department's new records of a day, with a row for each count."""
    rows = [[str(cell) for cell in row] for row in records(department, day, counts)]
    if suffix == ".csv":
        text = "".join(",".join(row) + "\n" for row in ([*RECORDS], *rows))
        content = text.encode(ENCODINGS.get(department, "gb18030"))
    else:
        lines = (
            json.dumps(dict(zip(RECORDS, row, strict=True)), ensure_ascii=False) for row in rows
        )
        content = "".join(f"{line}\n" for line in lines).encode()
    return land(data, day, department, "data_records", content, suffix, hour)


def land_visits(data: Path, day: date, department: str, count: int) -> Path:
    row = (str(day), "一码通", "民生服务", "网页", str(count), str(count))
    text = f"{','.join(VISITS)}\n{','.join(row)}\n"
    return land(data, day, department, "app_visits", text.encode(), ".csv", 1)


PACE = (
    "SELECT department, actual FROM marts.target_pace WHERE target = 'hundred_day_collection' "
    "AND (department IS NULL OR department IN ('gaj', 'wjw')) ORDER BY department NULLS FIRST"
)
LEDGER = (
    "SELECT source, department, verdict, rows_read, accepted, quarantined FROM delivery "
    "ORDER BY source, department, business_date"
)


def test_every_service_runs_and_its_own_check_says_so(stack: Stack) -> None:
    for name, service in stack.deployment.services.items():
        assert name in stack.deployment.started
        if service.health:
            assert stack.deployment.started[name].is_healthy
            assert stack.deployment.started[name].process.poll() is None
    health = stack.airflow.get("/monitor/health")
    assert {part: answer["status"] for part, answer in health.items()} == dict.fromkeys(
        ("metadatabase", "scheduler", "triggerer", "dag_processor"), "healthy"
    )


def test_nobody_comes_in_without_the_password(stack: Stack) -> None:
    url = stack.deployment.variables["AIRFLOW_BASE_URL"]
    with client(url) as anybody:
        assert anybody.get("/api/v2/dags").status_code == 401
        assert anybody.get("/auth/token").status_code == 403
    with pytest.raises(Refused, match="401"):
        Airflow(url, "admin", "admin")


def test_the_metadata_lies_where_the_variant_says(stack: Stack) -> None:
    if "postgres" not in stack.deployment.services:
        assert (stack.deployment.volume("home") / "airflow.db").exists()
        return
    given = stack.deployment.environment("scheduler")
    airflows = given["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("+psycopg2", "")
    alerts = given["CITYBRAIN_OPS_URL"].replace("+psycopg2", "")
    for url in (airflows, alerts):
        psycopg2.connect(url).close()
    for url, other in (
        (airflows, {"dbname": "citybrain"}),
        (alerts, {"dbname": "airflow"}),
        (airflows, {"user": "postgres", "dbname": "postgres"}),
    ):
        with pytest.raises(psycopg2.OperationalError, match=r"permission denied|authentication"):
            psycopg2.connect(url, **other)


def test_every_contract_is_a_dag_and_the_pool_has_one_slot(stack: Stack) -> None:
    ingests = {f"ingest_{source}" for source in SOURCES}
    wanted = {*ingests, "nightly", "landing_watch"}
    dags = stack.airflow.until(
        lambda: stack.airflow.dags() if wanted <= set(stack.airflow.dags()) else None, "all DAGs"
    )
    assert set(dags) == wanted
    assert all(dag["is_paused"] and not dag["has_import_errors"] for dag in dags.values())
    assert stack.airflow.import_errors() == {}
    assert stack.airflow.get("/pools/warehouse")["slots"] == 1


def test_a_triggered_ingest_is_published_by_the_night_that_its_change_makes(stack: Stack) -> None:
    stack.airflow.let_run("nightly", "ingest_data_records", "ingest_app_visits")
    before, since = stack.generation(), datetime.now(UTC)
    land_records(stack.data, AS_OF, "gaj", [*[10] * 39, "待核实"])
    land_records(stack.data, AS_OF, "wjw", [7] * 5)
    run = stack.airflow.trigger("ingest_data_records", dates="2021-10-04..2021-10-08")
    assert stack.airflow.follow("ingest_data_records", run)["state"] == "success"
    assert stack.airflow.states("ingest_data_records", run) == {
        "discover": "success",
        "stage[0]": "success",
        "load": "success",
        "every_chunk_is_staged": "success",
    }
    night = stack.airflow.run_of_asset("nightly", ["ingest_data_records"], since)
    assert night["state"] == "success"
    assert {*stack.airflow.states("nightly", night["dag_run_id"]).values()} == {"success"}
    assert stack.generation() > before
    assert stack.published(LEDGER) == [
        ("data_records", "gaj", "accepted_with_quarantine", 40, 39, 1),
        ("data_records", "wjw", "accepted", 5, 5, 0),
    ]
    assert stack.published(PACE) == [(None, 425.0), ("gaj", 390.0), ("wjw", 35.0)]
    assert stack.published("SELECT DISTINCT as_of FROM marts.target_pace") == [(AS_OF,)]


def test_landed_files_are_taken_after_a_triggered_watch_or_an_announcement(stack: Stack) -> None:
    stack.airflow.let_run("landing_watch")  # there is nothing yet
    since = datetime.now(UTC)
    land_records(stack.data, DAY_BEFORE, "wjw", [8])
    look = stack.airflow.trigger("landing_watch")
    assert stack.airflow.follow("landing_watch", look)["state"] == "success"
    stack.airflow.pause("landing_watch", True)
    land_visits(stack.data, AS_OF, "zwfw", 120)
    stack.airflow.announce("citybrain://landing/app_visits")

    counted = stack.airflow.run_of_asset("ingest_data_records", ["landing_watch"], since)
    visited = stack.airflow.run_of_asset("ingest_app_visits", [""], since)
    assert [counted["state"], visited["state"]] == ["success"] * 2
    for dag in ("ingest_app_visits", "ingest_data_records"):
        night = stack.airflow.run_of_asset("nightly", [dag], since)
        assert night["state"] == "success"
    assert stack.published("SELECT department, business_date, visits FROM app_visits") == [
        ("zwfw", AS_OF, 120)
    ]
    assert stack.published(PACE) == [(None, 433.0), ("gaj", 390.0), ("wjw", 43.0)]


def test_a_backfill_in_reverse_equals_one_run_of_the_command(stack: Stack, tmp_path: Path) -> None:
    files = [
        land_records(stack.data, EARLIER[0], "gaj", [1] * 3),
        land_records(stack.data, EARLIER[0], "wjw", [2, "待核实", *[2] * 30]),
        land_records(stack.data, EARLIER[1], "wjw", [3, 3], ".jsonl", hour=1),
        land_records(stack.data, EARLIER[1], "wjw", [30, 3, 3], ".csv", hour=2),  # corrects it
        land_records(stack.data, EARLIER[2], "gaj", [4] * 4, hour=1),
        land_records(stack.data, EARLIER[2], "gaj", ["待核实"] * 4, ".jsonl", hour=2),  # is refused
    ]
    by_command = tmp_path / "data"
    for file in files:
        copied = by_command / file.relative_to(stack.data)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copied)
    waits = land_records(stack.data, NEXT, "gaj", [5])

    stack.airflow.await_idle("nightly")
    if "postgres" in stack.deployment.services:
        backfill(stack, "ingest_data_records", EARLIER)
    else:  # Airflow's own backfills fail on SQLite while a scheduler writes, and may end it
        for day in reversed(EARLIER):
            run = stack.airflow.trigger("ingest_data_records", dates=str(day))
            assert stack.airflow.follow("ingest_data_records", run)["state"] == "success"
    stack.airflow.await_idle("nightly")
    assert waits.exists()
    assert not [file for file in files if file.exists()]

    command(by_command, "run", "--date", f"{EARLIER[0]}..{EARLIER[-1]}", "--fail-on", "never")
    expected = by_command / "published" / "citybrain.duckdb"
    for query in (
        "SELECT * FROM data_records WHERE {days} ORDER BY ALL",
        "SELECT metric, department, business_date, breakdown, value, numerator, denominator "
        "FROM metric_daily WHERE known_until IS NULL AND {days} ORDER BY ALL",
        "SELECT delivery_id, department, business_date, part, rows FROM delivery_partition "
        "WHERE known_until IS NULL AND {days} ORDER BY ALL",
        "SELECT delivery_id, verdict, rows_read, accepted, quarantined, withheld FROM delivery "
        "WHERE {days} ORDER BY ALL",
    ):
        days = f"business_date BETWEEN '{EARLIER[0]}' AND '{EARLIER[-1]}'"
        rows = ask(expected, query.format(days=days))
        assert rows
        assert stack.published(query.format(days=days)) == rows


def backfill(stack: Stack, dag: str, days: list[date]) -> None:
    """Backfill business days, the last first, and check that it did just that."""
    logical = [day + timedelta(days=1) for day in days]
    body = {
        "dag_id": dag,
        "from_date": f"{logical[0]}T00:00:00+08:00",
        "to_date": f"{logical[-1]}T23:59:59+08:00",
        "run_backwards": True,
        "max_active_runs": 1,
    }
    stack.airflow.ask("POST", "/backfills", json=body)
    made = stack.airflow.runs(dag, run_type="backfill")
    ended = [stack.airflow.follow(dag, run["dag_run_id"]) for run in made]
    runs = sorted(ended, key=lambda run: run["start_date"])
    assert [run["state"] for run in runs] == ["success"] * len(days)
    moments = [datetime.fromisoformat(run["logical_date"]) for run in runs]
    shanghai = timedelta(hours=8)
    assert [(moment + shanghai).date() for moment in moments] == logical[::-1]


def command(data: Path, *arguments: str) -> None:
    """Run `citybrain` on a data folder of its own."""
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("CITYBRAIN_")
    }
    subprocess.run(
        [Path(sys.executable).with_name("citybrain"), *arguments],
        check=True,
        timeout=120,
        env=inherited | {"CITYBRAIN_DATA_DIR": str(data), "CITYBRAIN_AS_OF": AS_OF.isoformat()},
    )


def test_parameters_that_make_no_sense_are_refused_and_named(stack: Stack) -> None:
    with pytest.raises(Refused, match="next week") as refused:
        stack.airflow.trigger("ingest_data_records", dates="next week")
    assert refused.value.status == 400
    run = stack.airflow.trigger("ingest_data_records", dates="2021-13-45")
    assert stack.airflow.follow("ingest_data_records", run)["state"] == "failed"
    assert stack.airflow.states("ingest_data_records", run)["discover"] == "failed"
    log = stack.airflow.log("ingest_data_records", run, "discover")
    assert "'2021-13-45' is no date of the calendar; write 2021-10-31" in log


def test_a_broken_contract_is_an_import_error_until_it_is_mended(stack: Stack) -> None:
    contract = stack.config / "sources" / "video_channels.yaml"
    good = contract.read_text(encoding="utf-8")
    contract.write_text(good.replace("max_quarantine", "max_quarantin"), encoding="utf-8")
    errors = stack.airflow.until(lambda: stack.airflow.import_errors() or None, "the import error")
    assert set(errors) == {"contracts_check.py"}
    assert (
        "video_channels.yaml: max_quarantin: nobody knows this key" in errors["contracts_check.py"]
    )
    dags = stack.airflow.dags()
    assert {f"ingest_{source}" for source in SOURCES - {"video_channels"}} <= set(dags)
    contract.write_text(good, encoding="utf-8")
    stack.airflow.until(lambda: not stack.airflow.import_errors() or None, "its mending")
