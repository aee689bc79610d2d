"""A whole night on the sample city, by the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from end_to_end.conftest import City

from pipelines.contracts.loading import load_catalog
from pipelines.sample import SampleSummary, write_sample

UNTIL = date(2021, 10, 31)
pytestmark = pytest.mark.xdist_group("night")


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> tuple[City, SampleSummary, dict]:
    city = City(tmp_path_factory.mktemp("night"))
    summary = write_sample(city.data / "landing", load_catalog(), UNTIL)
    return city, summary, city.json("run", "--as-of", "2021-10-31", exits=1)


def test_every_delivery_gets_the_verdict_it_deserves(night) -> None:
    city, summary, report = night
    assert report["deliveries"] == {str(k): n for k, n in summary.verdicts.items()}
    assert {problem["path"] for problem in report["problems"]} == set(summary.strays)
    verdict_counts: dict[tuple, Counter] = {}
    for row in city.sql(
        "SELECT source, department, business_date, verdict, lower(regexp_extract("
        "file_name, '[^.]+$')) AS ext FROM delivery"
    ):
        day = row["business_date"] and date.fromisoformat(row["business_date"])
        key = (row["source"], row["department"], day, row["ext"])
        verdict_counts.setdefault(key, Counter())[row["verdict"]] += 1
    for key, verdicts in summary.expected.items():
        assert verdict_counts[key] == Counter({str(k): n for k, n in verdicts.items()}), key
    assert not any((city.data / "landing").rglob("*/data_records.csv")) or summary.strays


def test_totals_are_those_of_the_reports(night) -> None:
    city, summary, _ = night
    [quarter] = city.sql(
        "SELECT sum(value) AS records FROM marts.metric_current WHERE metric = 'records_new' "
        "AND breakdown = '' AND business_date BETWEEN '2021-07-01' AND '2021-09-30'"
    )
    assert quarter["records"] == 265_000_000 == summary.facts["q3_new_records"]
    city_rows = {row["target"]: row for row in city.json("status") if row["department"] is None}
    assert city_rows["hundred_day_collection"]["actual"] == summary.facts["campaign_new_records"]
    assert city_rows["video_integration"]["actual"] == summary.facts["video_channels_integrated"]
    assert city_rows["catalog_entries"]["actual"] == 5041
    assert city_rows["service_kiosks"]["actual"] == 596
    assert city_rows["app_visits"]["actual"] == summary.facts["app_visits"]


def test_departments_ahead_behind_silent_and_renamed(night) -> None:
    city, _, _ = night
    rows = city.json("status", "--target", "hundred_day_collection")
    status = {row["department"]: row["status"] for row in rows}
    assert set(rows[0]) == {
        "target",
        "department",
        "as_of",
        "baseline",
        "goal",
        "actual",
        "expected",
        "progress",
        "spi",
        "spi_t",
        "required_per_day",
        "coverage",
        "status",
    }
    assert status["rfb"] == "no_data"
    assert status["hszh"] == "stale"
    assert {"ahead", "on_track", "behind"} <= set(status.values())
    assert "cgj" not in status, "its successor answers for it"
    heir = next(row for row in rows if row["department"] == "cgzf")
    assert heir["goal"] == 7_000_000
    [sent] = city.sql(
        "SELECT sum(value) AS records FROM marts.metric_current WHERE metric = 'records_new' AND "
        "breakdown = '' AND department IN ('cgj', 'cgzf') AND business_date >= '2021-09-23'"
    )
    assert heir["actual"] == sent["records"]


def test_ledger_accounts_for_every_row(night) -> None:
    city, _, _ = night
    wrong = city.sql(
        "SELECT * FROM delivery WHERE rows_read IS DISTINCT FROM "
        "accepted + quarantined + duplicates + ignored + withheld AND rows_read IS NOT NULL"
    )
    assert wrong == []
    unread = city.sql("SELECT DISTINCT verdict FROM delivery WHERE rows_read IS NULL")
    assert {row["verdict"] for row in unread} == {"unreadable", "unchanged"}


def test_no_raw_phone_number_is_published(night) -> None:
    city, _, _ = night
    phones = city.sql("SELECT DISTINCT contact_phone AS phone FROM video_channels")
    assert phones
    assert all("****" in row["phone"] for row in phones if row["phone"])


def test_landing_the_same_sample_again_changes_nothing(night) -> None:
    city, summary, _ = night
    before = city.sql("SELECT count(*) AS rows, max(known_from) AS position FROM metric_daily")
    write_sample(city.data / "landing", load_catalog(), UNTIL)
    report = city.json("run", "--as-of", "2021-10-31", "--fail-on", "never")
    assert report["deliveries"] == {"unchanged": sum(summary.verdicts.values())}
    after = city.sql("SELECT count(*) AS rows, max(known_from) AS position FROM metric_daily")
    assert before == after


HOLD = """
import sys
from pipelines.settings import Settings
from pipelines.warehouse.connection import open_warehouse
from pipelines.engine import run, transaction
with open_warehouse(Settings(), "a load") as connection, transaction(connection):
    run(connection, "DELETE FROM metric_daily")
    print("loading", flush=True)
    sys.stdin.read()
    run(connection, "ROLLBACK; BEGIN")
"""


def test_queries_are_answered_while_a_load_is_under_way(night) -> None:
    city, _, _ = night
    [before] = city.sql("SELECT count(*) AS rows FROM metric_daily")
    loading = subprocess.Popen(
        [sys.executable, "-c", HOLD],
        env=city.environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert loading.stdout is not None
    assert loading.stdout.readline() == "loading\n"
    assert city.sql("SELECT count(*) AS rows FROM metric_daily") == [before]
    assert loading.poll() is None
    loading.communicate()
    assert loading.returncode == 0


def test_queries_are_answered_all_through_a_run(night) -> None:
    city, _, _ = night
    write_sample(city.data / "landing", load_catalog(), date(2021, 11, 1))
    run = city.start("run", "--as-of", "2021-11-01", "--fail-on", "never")
    answers = 0
    while run.poll() is None:
        answers += city.sql("SELECT count(*) AS rows FROM metric_daily")[0]["rows"] > 0
    assert run.returncode == 0
    assert answers


CORRECTION_HEADER = "报送单位,统计日期,目录编码,目录名称,数据领域,新增数据量,累计数据量"


def delivered(folder: Path, records: int, name: str = "data_records.csv") -> Path:
    file = folder / name
    line = f"市公安局,2021-09-23,GA000001,户籍,政务,{records},5000000"
    file.write_text(f"{CORRECTION_HEADER}\n{line}\n", encoding="gb18030")
    return file


def campaign(city: City, *arguments: str) -> dict:
    rows = city.json("status", "--target", "hundred_day_collection", *arguments)
    return next(row for row in rows if row["department"] is None)


def test_a_correction_shows_and_the_old_figure_stays_known(city: City, tmp_path: Path) -> None:
    where = ("--source", "data_records", "--department", "gaj", "--date", "2021-09-23")
    city.call("submit", str(delivered(tmp_path, 1000)), *where)
    city.call("run", "--as-of", "2021-09-23", "--fail-on", "rejected")
    assert campaign(city)["actual"] == 1000
    [then] = city.sql("SELECT max(position) AS position FROM delivery")

    city.call("submit", str(delivered(tmp_path, 1250)), *where)
    city.call("run", "--as-of", "2021-09-23", "--fail-on", "rejected")
    assert campaign(city)["actual"] == 1250
    assert campaign(city, "--known-at", str(then["position"]))["actual"] == 1000
    known_then = city.sql(
        "SELECT value FROM metric_daily WHERE metric = 'records_new' AND breakdown = '' "
        f"AND known_from <= {then['position']} "
        f"AND (known_until IS NULL OR known_until > {then['position']})"
    )
    assert known_then == [{"value": 1000}]


def test_people_can_overrule_withdraw_and_roll_back(city: City, tmp_path: Path) -> None:
    where = ("--source", "data_records", "--department", "gaj", "--date", "2021-09-23")
    bad = tmp_path / "data_records.csv"
    lines = [f"市公安局,2021-09-23,GA00000{n},户籍,政务,{n},5000000" for n in range(5)]
    bad.write_text(
        "\n".join([CORRECTION_HEADER, *lines, lines[0].replace(",0,", ",x,"), ""]),
        encoding="gb18030",
    )
    city.call("submit", str(bad), *where)
    city.call("run", "--as-of", "2021-09-23", exits=1)
    [delivery] = city.json("deliveries")
    assert delivery["verdict"] == "rejected"
    assert campaign(city)["actual"] is None

    city.call("accept", delivery["delivery"][:8], "--reason", "confirmed by phone")
    city.call("run", "--as-of", "2021-09-23", "--fail-on", "rejected")
    accepted = campaign(city)["actual"]
    assert accepted == 1 + 2 + 3 + 4

    city.call("withdraw", delivery["delivery"][:8], "--reason", "sent by mistake")
    city.call("run", "--as-of", "2021-09-23", "--fail-on", "rejected")
    assert campaign(city)["actual"] is None

    city.call("rollback")
    assert campaign(city)["actual"] == accepted
    assert "pinned" in city.call("status")
    city.call("run", "--as-of", "2021-09-23", "--fail-on", "rejected")
    assert campaign(city)["actual"] == accepted, "readers stay pinned while runs go on"
    city.call("publish", "--unpin")
    assert campaign(city)["actual"] is None


def test_bad_input_is_named_and_harms_nobody(city: City, tmp_path: Path) -> None:
    landing = city.data / "landing" / "2021-09-23"
    good = "\n".join([CORRECTION_HEADER, "市民政局,2021-09-23,MZ000001,低保,社会,7,70", ""])
    texts = {
        "gaj": (good.replace("市民政局", "市公安局").encode("utf-8"), "gb18030"),
        "sfj": (good.replace("新增数据量", "本日条数").encode("gb18030"), "new_records"),
        "czj": (good.replace(",7,", ",几条,").encode("gb18030"), "几条"),
        "rsj": (good.replace("2021-09-23", "2021-02-30").encode("gb18030"), "2021-02-30"),
        "zjj": (b"", "no bytes"),
    }
    for code, (content, _) in {**texts, "mzj": (good.encode("gb18030"), "")}.items():
        (landing / code).mkdir(parents=True)
        (landing / code / "data_records.csv").write_bytes(content)
    (landing / "nobody").mkdir()
    (landing / "nobody" / "data_records.csv").write_text(good, encoding="gb18030")

    output = city.call("run", "--as-of", "2021-09-23", exits=1)
    assert "no department is called nobody" in output
    deliveries = {row["department"]: row for row in city.json("deliveries")}
    assert deliveries.pop("mzj")["accepted"] == 1
    for code, (_, words) in texts.items():
        assert words in " ".join(deliveries[code]["reasons"]), deliveries[code]
    assert campaign(city)["actual"] == 7


def test_a_contract_with_a_typo_is_named(tmp_path: Path) -> None:
    from end_to_end.test_fifth_source import CONTRACT, write_config

    config = write_config(tmp_path / "config")
    contract = config / "sources" / "covid_updates.yaml"
    contract.write_text(CONTRACT.replace("type: date", "typ: date"), encoding="utf-8")
    complaint = City(tmp_path / "data", config).complaint("run", exits=2)
    assert "sources/covid_updates.yaml: columns.reported_on.typ: nobody knows this key" in complaint
    assert "sources/covid_updates.yaml: columns.reported_on.type: the key is missing" in complaint


def test_analysts_have_one_line(night) -> None:
    city, _, _ = night
    from pipelines import published
    from pipelines.settings import Settings

    settings = Settings(data_dir=city.data)
    frame = published.read(
        "SELECT * FROM marts.target_pace WHERE target = ?", ["base_stations"], settings
    )
    assert list(frame["goal"]) == [330]
    with published.connect(settings) as connection, pytest.raises(Exception, match="read-only"):
        connection.execute("DELETE FROM delivery")
    with published.engine(settings).connect() as connection:
        assert connection.exec_driver_sql("SELECT 1 FROM delivery LIMIT 1").scalar() == 1
    assert not os.access(published.path(settings), os.W_OK) or os.geteuid() == 0


def test_the_generation_in_place_is_never_missing(night) -> None:
    city, _, _ = night
    names = json.loads(city.call("sql", "SELECT number FROM generation", "--json"))
    assert names[0]["number"] >= 1
    started = time.monotonic()
    assert "read-only" in city.complaint("sql", "DROP TABLE delivery", exits=2)
    assert time.monotonic() - started < 60
