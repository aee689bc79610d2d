"""A fifth source is four files and no Python: real hand-kept GBK data, and a made-up likeness."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from end_to_end.conftest import City

CONTRACT = """
name: covid_updates
title: 疫情通报
owner: 综合科
content: events
grain: one row per notice, as the newspaper wrote it down
key: []
max_quarantine: 0.001
formats: {csv: {encoding: gb18030}}
partition: {business_date: reported_on}
columns:
  - {name: reported_on, header: 报道时间, type: date, required: true}
  - {name: province, header: 省份, type: text, required: true}
  - {name: city, header: 城市, type: text}
  - {name: confirmed, header: 新增确诊, type: integer}
  - {name: recovered, header: 新增出院, type: integer}
  - {name: deaths, header: 新增死亡, type: integer}
  - {name: said_by, header: 消息来源, type: text}
  - {name: link_1, header: 来源链接1, type: text}
  - {name: link_2, header: 来源链接2, type: text}
  - {name: link_3, header: 来源链接3, type: text}
  - {name: remark, header: 备注, type: text}
"""
SUITE = {
    "name": "covid_updates",
    "expectations": [
        {
            "type": "expect_column_values_to_be_between",
            "kwargs": {"column": "confirmed", "min_value": 0},
            "severity": "warning",
            "description": "新增确诊为负数,系事后更正",
        }
    ],
    "meta": {},
}
METRICS = """
- {name: confirmed_new, title: 新增确诊, unit: 例, kind: flow, source: covid_updates,
   value: {aggregate: sum, column: confirmed}, by: province}
"""
TARGETS = """
- {name: confirmed_ceiling, title: 确诊上限, metric: confirmed_new, scope: city,
   departments: [wjw], start: 2020-01-01, end: 2021-12-31, goal: 900000000, direction: at_most}
"""


def write_config(folder: Path) -> Path:
    (folder / "sources").mkdir(parents=True)
    (folder / "expectations").mkdir()
    (folder / "sources" / "covid_updates.yaml").write_text(CONTRACT, "utf-8")
    (folder / "expectations" / "covid_updates.json").write_text(json.dumps(SUITE), "utf-8")
    (folder / "metrics.yaml").write_text(METRICS, "utf-8")
    (folder / "targets.yaml").write_text(TARGETS, "utf-8")
    (folder / "departments.csv").write_text("code,name\nwjw,市卫生健康委员会\n", "utf-8")
    return folder


def made_up_likeness(file: Path) -> Path:
    """Write 1,500 rows of the same shape and with the same faults."""
    header = (
        "报道时间,省份,城市,新增确诊,新增出院,新增死亡,消息来源,来源链接1,来源链接2,来源链接3,备注"
    )
    rows = [
        f"2020年{1 + n % 12}月{1 + n % 28}日,省{n % 7},市{n},{n % 50 - 5},,{n % 3},"
        f'卫健委,http://example.org/{n},,,"更正,见备注"'
        for n in range(1500)
    ]
    rows += [rows[17], rows[18], "2020年,省1,市1,3,,,卫健委,,,,"]
    file.write_bytes("\r\n".join([header, *rows, ""]).encode("gb18030"))
    return file


def read_independently(file: Path) -> tuple[int, Counter[str], int, int]:
    """Count (rows, confirmed by province, repeats, rows without a date), by the csv module."""
    with file.open(encoding="gb18030", newline="") as lines:
        rows = [tuple(row.values()) for row in csv.DictReader(lines)]
    dated = [row for row in rows if row[0].endswith("日")]
    distinct = set(dated)
    totals: Counter[str] = Counter()
    for _, province, _, confirmed, *_ in distinct:
        totals[province.strip()] += int(confirmed or 0)
    return len(rows), totals, len(dated) - len(distinct), len(rows) - len(dated)


@pytest.mark.parametrize("kind", ["real", "made up"])
def test_every_row_is_accounted_for(kind: str, tmp_path: Path, test_data: Path) -> None:
    file = test_data / "thepaper_covid_updates_gbk.csv"
    if kind == "made up":
        file = made_up_likeness(tmp_path / "updates.csv")
    elif not file.exists():
        pytest.skip(f"{file} is absent: set CITYBRAIN_TEST_DATA to the folder that holds it")
    city = City(tmp_path / "data", write_config(tmp_path / "config"))

    city.call("submit", str(file), "--source", "covid_updates", "--department", "wjw", "--bulk")
    city.call("run", "--as-of", "2021-06-30", "--fail-on", "rejected")

    rows, totals, repeats, undated = read_independently(file)
    assert totals
    assert repeats
    assert undated == 1
    [delivery] = city.json("deliveries")
    assert delivery["verdict"] == "accepted_with_quarantine"
    assert delivery["rows_read"] == rows
    assert delivery["duplicates"] == repeats
    assert delivery["quarantined"] == undated
    assert delivery["accepted"] == rows - repeats - undated
    assert delivery["ignored"] == delivery["withheld"] == 0

    by_province = city.sql(
        "SELECT breakdown, sum(value) AS confirmed FROM marts.metric_current "
        "WHERE metric = 'confirmed_new' AND breakdown <> '' GROUP BY breakdown"
    )
    assert {row["breakdown"]: row["confirmed"] for row in by_province} == dict(totals)
    [status] = city.json("status")
    assert status["actual"] == sum(totals.values())

    [bad] = city.json("quarantine")
    assert bad["reasons"] == ["reported_on: '2020年' is not a date; write a date"]
    assert bad["file_name"] == "covid_updates.csv"
    assert delivery["reasons"] == [f"row {bad['row_number']}: {bad['reasons'][0]}"]

    rejected = city.sql("SELECT json_array_length(warnings) AS told FROM delivery")
    assert rejected[0]["told"] == 1, "negative corrections are told, and kept"
