"""A small made-up city for the programs that kill and crowd runs: its contracts, its deliveries.

The 26 deliveries of `WAVES` come in three waves, because corrections of a place cannot lie in
landing beside what they correct. Written twice they have the same bytes and the same times, so
that two data folders which took them must hold the same. Among them is everything a delivery can
be: accepted, with quarantined rows and duplicates, in bulk, in parts that contradict each other,
whole and in parts at once, held, rejected, unreadable, unchanged, late, corrected, corrected for
the worse, sent back to what it was at first, and sent again after it was withdrawn.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import xlsxwriter
import yaml

AS_OF = "2021-09-30"
EPOCH = 1_632_960_000_000_000_000  # 2021-09-30 in nanoseconds: minute 0 of every receipt
STRAY = "2021-09-23/nobody/records.csv"  # nobody's delivery: it stays in landing
HEADER = ("事项", "数量", "领域")
SURVEY_HEADER = ("点位", "路数", "状态")

DEPARTMENTS = "code,name\na,甲局\nb,乙局\nc,丙局\n"
SOURCES: tuple[dict[str, Any], ...] = (
    {
        "name": "records",
        "title": "数据归集",
        "owner": "数据科",
        "content": "events",
        "grain": "one row per item",
        "key": ["item"],
        "max_quarantine": 0.34,
        "due": {"frequency": "daily", "time": "02:00", "from": "2021-09-23"},
        "formats": {"csv": {}},
        "columns": [
            {"name": "item", "header": "事项", "type": "text", "required": True},
            {"name": "amount", "header": "数量", "type": "integer", "required": True},
            {"name": "domain", "header": "领域", "type": "text"},
        ],
    },
    {
        "name": "surveys",
        "title": "点位普查",
        "owner": "智慧城市科",
        "content": "snapshot",
        "grain": "one row per site",
        "key": ["site"],
        "footer": ["合计"],
        "formats": {"csv": {"encoding": "gb18030"}, "xlsx": {}},
        "columns": [
            {"name": "site", "header": "点位", "type": "text", "required": True},
            {"name": "channels", "header": "路数", "type": "integer", "required": True},
            {
                "name": "status",
                "header": "状态",
                "type": "text",
                "values": {"在线": "online", "离线": "offline"},
            },
        ],
    },
    {
        "name": "visits",
        "title": "访问量",
        "owner": "智慧城市科",
        "content": "events",
        "grain": "one row per app",
        "key": ["app"],
        "max_quarantine": 0.5,
        "formats": {"jsonl": {}},
        "partition": {"department": "unit", "business_date": "day"},
        "columns": [
            {"name": "day", "header": "日期", "type": "date", "required": True},
            {"name": "unit", "header": "单位", "type": "text"},
            {"name": "app", "header": "应用", "type": "text", "required": True},
            {"name": "visits", "header": "访问量", "type": "integer", "minimum": 0},
            {"name": "phone", "header": "电话", "type": "text", "pii": "phone"},
        ],
    },
)
RULES: dict[str, list[dict[str, Any]]] = {
    "records": [
        {
            "type": "expect_column_values_to_be_between",
            "severity": "critical",
            "kwargs": {"column": "amount", "min_value": 0, "max_value": 100_000},
        }
    ],
    "surveys": [
        {
            "type": "expect_column_sum_to_be_between",
            "severity": "critical",
            "kwargs": {"column": "channels", "max_value": 1000},
            "meta": {"on_failure": "hold"},
        },
        {
            "type": "expect_column_values_to_be_between",
            "severity": "warning",
            "kwargs": {"column": "channels", "min_value": 1},
        },
    ],
    "visits": [],
}
METRICS: tuple[dict[str, Any], ...] = (
    {
        "name": "records_new",
        "title": "归集量",
        "unit": "条",
        "kind": "flow",
        "source": "records",
        "value": {"aggregate": "sum", "column": "amount"},
        "by": "domain",
    },
    {
        "name": "channels",
        "title": "路数",
        "unit": "路",
        "kind": "stock",
        "source": "surveys",
        "value": {"aggregate": "sum", "column": "channels"},
    },
    {
        "name": "online_rate",
        "title": "在线率",
        "unit": "%",
        "kind": "ratio",
        "source": "surveys",
        "denominator": {"aggregate": "count"},
        "numerator": {"aggregate": "count", "where": {"status": "online"}},
    },
    {
        "name": "visits_daily",
        "title": "访问量",
        "unit": "次",
        "kind": "flow",
        "source": "visits",
        "value": {"aggregate": "sum", "column": "visits"},
        "by": "app",
    },
)
TARGETS: tuple[dict[str, Any], ...] = (
    {
        "name": "campaign",
        "title": "归集攻坚",
        "metric": "records_new",
        "scope": "each_department",
        "start": "2021-09-23",
        "end": "2021-10-22",
        "goal": 9000,
        "department_goals": {"a": 3000, "b": 3000, "c": 3000},
    },
    {
        "name": "channels_integrated",
        "title": "路数接入",
        "metric": "channels",
        "scope": "city",
        "start": "2021-09-23",
        "end": "2021-12-31",
        "goal": 500,
    },
)


@dataclass(frozen=True)
class Shipment:
    """One file for landing, and the minute after EPOCH in which it is received."""

    path: str
    content: bytes
    minute: int


def csv_of(
    rows: Sequence[Sequence[object]], header: Sequence[str] = HEADER, encoding: str = "utf-8"
) -> bytes:
    """Return rows as a CSV file; cells must need no quotes."""
    lines = [",".join(map(str, row)) for row in (header, *rows)]
    return ("\n".join(lines) + "\n").encode(encoding)


def jsonl_of(rows: Sequence[tuple[str, str, str, object]]) -> bytes:
    """Return visits (day, unit, app, visits) as JSON lines, each with a phone number to mask."""
    keys = ("日期", "单位", "应用", "访问量", "电话")
    lines = [dict(zip(keys, (*row, "13800001111"), strict=True)) for row in rows]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def workbook_of(rows: Sequence[Sequence[object]], header: Sequence[str]) -> bytes:
    """Return a workbook with a title above its header, the same bytes every time."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer, {"in_memory": True})
    book.set_properties({"created": datetime(2021, 9, 24)})
    sheet = book.add_worksheet("普查")
    sheet.write(0, 0, "点位普查表")
    for number, row in enumerate((header, *rows), start=2):
        sheet.write_row(number, 0, row)
    book.close()
    return buffer.getvalue()


def items(prefix: str, amounts: Sequence[object]) -> list[tuple[object, ...]]:
    """Return records with keys of their own, over two domains."""
    return [
        (f"{prefix}{number}", amount, ("交通", "教育")[number % 2])
        for number, amount in enumerate(amounts)
    ]


def sites(prefix: str, channels: Sequence[int]) -> list[tuple[object, ...]]:
    """Return survey rows with keys of their own, in both states."""
    return [
        (f"{prefix}{number}", count, ("在线", "离线")[number % 2])
        for number, count in enumerate(channels)
    ]


def surveyed(rows: Sequence[Sequence[object]]) -> bytes:
    """Return a GB18030 export with the contract's footer; 㐂 takes four bytes."""
    return csv_of([*rows, ("㐂号", 1, "在线"), ("合计", 0, "")], SURVEY_HEADER, "gb18030")


def visited(amount: int) -> bytes:
    """Return a bulk file over four days and all departments, with a refused row."""
    rows: list[tuple[str, str, str, object]] = [
        (f"2021-09-2{day}", unit, app, amount + day)
        for day in range(3, 7)
        for unit in ("甲局", "乙局", "丙局")
        for app in ("停车", "挂号")
    ]
    return jsonl_of([*rows, ("2021-09-23", "无此局", "停车", 1)])


BEGINNING = csv_of(items("a", [10, 20, 30, 40, 50, 60]))
RESENT = csv_of([*items("b", [5, 6, 7, 8, 9, -1]), ("b0", 5, "交通")])
WITHDRAWN = csv_of(items("w", [100, 200, 300]))
WITHDRAWN_PLACE = ("records", "a", "2021-09-25")
EAST = items("e", [1, 2, 3, 4, 5])

FIRST = (
    Shipment("2021-09-23/a/records.csv", BEGINNING, 1),
    Shipment("2021-09-23/b/records.csv", RESENT, 2),
    Shipment("2021-09-23/c/records.east.csv", csv_of(EAST), 3),
    # a copy of a row of the other part, and a row that contradicts one
    Shipment(
        "2021-09-23/c/records.west.csv",
        csv_of([*items("f", [6, 7, 8]), EAST[0], ("e1", 99, "教育")]),
        4,
    ),
    Shipment("2021-09-24/a/records.csv", csv_of([("r", "交通")], ("事项", "领域")), 5),
    Shipment("2021-09-24/b/records.csv", "事项,数量,领域\nx,1,交通\n".encode("gb18030"), 6),
    Shipment("2021-09-24/c/records.csv", csv_of(items("q", [1, -1, -1, "很多"])), 7),
    Shipment("2021-09-25/a/records.csv", WITHDRAWN, 8),
    Shipment("2021-09-24/a/surveys.csv", surveyed(sites("s", [10, 20, 30])), 60),
    Shipment("2021-09-24/b/surveys.csv", surveyed(sites("t", [900, 900])), 10),
    Shipment("2021-09-24/c/surveys.csv", surveyed(sites("u", [0, 50])), 11),
    Shipment("2021-09-25/a/surveys.xlsx", workbook_of(sites("s", [11, 21, 31]), SURVEY_HEADER), 12),
    Shipment("bulk/all/visits.jsonl", visited(10), 13),
    Shipment("2021-09-27/a/visits.jsonl", jsonl_of([("2021-09-27", "甲局", "停车", 3)] * 2), 14),
    # one day whole and in parts, which are refused together however far apart they are taken
    Shipment("2021-09-26/c/records.csv", csv_of(items("m", [1, 2])), 0),
    Shipment("2021-09-26/c/records.late.csv", csv_of(items("l", [3])), 16),
    Shipment(STRAY, csv_of(items("n", [1])), 15),
)
CORRECTIONS = (
    Shipment("2021-09-23/a/records.csv", csv_of(items("a", [11, 21, 31, 41])), 101),
    Shipment("2021-09-23/b/records.csv", RESENT, 102),
    Shipment("2021-09-23/c/records.west.csv", csv_of(items("f", [6, 7, 8, 9])), 103),
    Shipment("2021-09-24/a/records.csv", csv_of(items("r", [70, 80])), 104),
    Shipment("2021-09-24/c/surveys.csv", csv_of([("u0", 1)], SURVEY_HEADER[:2], "utf-8"), 105),
    # written before what is there already, and come only now
    Shipment("2021-09-24/a/surveys.csv", surveyed(sites("s", [1, 1])), 50),
    Shipment("bulk/all/visits.jsonl", visited(1000), 107),
)
RETURNS = (
    Shipment("2021-09-23/a/records.csv", BEGINNING, 201),
    Shipment("2021-09-25/a/records.csv", WITHDRAWN, 202),
    Shipment("2021-09-24/b/surveys.csv", surveyed(sites("t", [90, 90])), 203),
)
WAVES = (FIRST, CORRECTIONS, RETURNS)


def configure(folder: Path, departments: str = DEPARTMENTS) -> Path:
    """Write the city's configuration into `folder`, which becomes a CITYBRAIN_CONFIG_DIR."""
    for name in ("sources", "expectations"):
        (folder / name).mkdir(parents=True)
    (folder / "departments.csv").write_text(departments, encoding="utf-8")
    for source in SOURCES:
        name = source["name"]
        _write_yaml(folder / "sources" / f"{name}.yaml", source)
        suite = {"name": name, "expectations": RULES[name], "meta": {}}
        (folder / "expectations" / f"{name}.json").write_text(json.dumps(suite), "utf-8")
    _write_yaml(folder / "metrics.yaml", list(METRICS))
    _write_yaml(folder / "targets.yaml", list(TARGETS))
    return folder


def _write_yaml(path: Path, declared: object) -> None:
    path.write_text(yaml.safe_dump(declared, allow_unicode=True, sort_keys=False), "utf-8")


def write(shipments: Sequence[Shipment], folder: Path) -> None:
    """Put shipments below `folder` as they will lie in landing, with their times."""
    for shipment in shipments:
        path = folder / shipment.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(shipment.content)
        at = EPOCH + shipment.minute * 60_000_000_000
        os.utime(path, ns=(at, at))


def land(written: Path, landing: Path) -> None:
    """Copy what `write` put below `written` into landing, times included."""
    shutil.copytree(written, landing, dirs_exist_ok=True)
