"""Metrics against pandas, what was known when, and the pace that follows from it."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import duckdb
import pandas as pd
import pytest
from integration.conftest import DAY, RECORDS, City, with_columns

from pipelines import published
from pipelines.jobs import night, repairs
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.pace import compute_pace, status

WIDE = with_columns(
    RECORDS,
    {"name": "status", "header": ["状态"], "type": "text", "values": {"在线": "on", "离线": "off"}},
    {"name": "linked", "header": ["接入"], "type": "boolean"},
    {"name": "share", "header": ["比例"], "type": "decimal"},
)
HEADER = ("事项", "数量", "领域", "状态", "接入", "比例")
SUM = {"aggregate": "sum", "column": "amount"}
ON = {"status": "on"}


def metric(name: str, kind: str, **parts: Any) -> dict[str, Any]:
    return {
        "name": name,
        "title": name,
        "unit": parts.pop("unit", "条"),
        "kind": kind,
        "source": "records",
        **parts,
    }


METRICS = [
    metric("added", "flow", value=SUM, by="domain"),
    metric("rows_on", "flow", value={"aggregate": "count", "where": ON}),
    metric(
        "linked_by", "stock", value={"aggregate": "count", "where": {"linked": True}}, by="status"
    ),
    metric("filled", "stock", value={"aggregate": "count", "column": "share"}),
    metric("least", "stock", value={"aggregate": "min", "column": "share"}),
    metric(
        "most",
        "stock",
        value={"aggregate": "max", "column": "share", "where": {"domain": ["交通", "医疗"]}},
    ),
    metric("domains", "stock", value={"aggregate": "count_distinct", "column": "domain"}),
    metric(
        "rate",
        "ratio",
        unit="%",
        numerator={"aggregate": "count", "where": ON},
        denominator={"aggregate": "count"},
        by="domain",
    ),
    metric(
        "load",
        "ratio",
        unit="倍",
        numerator={"aggregate": "sum", "column": "share"},
        denominator=SUM,
    ),
]
ROWS = [
    ("i1", 5, "交通", "在线", "是", "0.25"),
    ("i2", "", "交通", "离线", "否", "1.5"),
    ("i3", 7, "", "在线", "", ""),
    ("i4", 0, "医疗", "", "是", "-3"),
    ("i5", 100, "医疗", "在线", "是", "0.000001"),
]
DELIVERIES = {
    ("a", DAY): ROWS,
    ("b", DAY): ROWS[1:3],
    ("a", DAY + timedelta(days=1)): ROWS[2:],
    ("b", DAY + timedelta(days=1)): [("i9", "坏", "交通", "在线", "是", "2")],  # heard, no rows
    ("c", DAY): [("i7", 0, "", "", "", "")],
}


def by_pandas() -> dict[tuple[str, str, date, str], tuple[float | None, ...]]:
    """Map (metric, department, day, breakdown) to (value, numerator, denominator)."""
    figures: dict[tuple[str, str, date, str], tuple[float | None, ...]] = {}
    for (department, day), rows in DELIVERIES.items():
        good = [row for row in rows if row[1] != "坏"]
        frame = pd.DataFrame(
            good, columns=["item", "amount", "domain", "status", "linked", "share"]
        )
        frame["amount"] = pd.to_numeric(frame["amount"])
        frame["share"] = pd.to_numeric(frame["share"])
        frame["domain"] = frame["domain"].where(frame["domain"] != "", None)
        frame["status"] = frame["status"].map({"在线": "on", "离线": "off"})

        def put(
            name: str,
            breakdown: str,
            value: Any,
            up: Any = None,
            down: Any = None,
            place: tuple[str, date] = (department, day),
        ) -> None:
            if not pd.isna(value) or up is not None:
                figures[name, *place, breakdown] = (value, up, down)

        groups = [("", frame), *frame.groupby(frame["domain"].fillna("未填"))]
        for name, group in groups:
            put("added", name, group["amount"].sum())
            on, size = int((group["status"] == "on").sum()), len(group)
            put("rate", name, 100 * on / size if size else None, on, size)
        for name, group in [("", frame), *frame.groupby(frame["status"].fillna("未填"))]:
            put("linked_by", name, (group["linked"] == "是").sum())
        put("rows_on", "", (frame["status"] == "on").sum())
        put("filled", "", frame["share"].count())
        put("least", "", frame["share"].min())
        put("most", "", frame[frame["domain"].isin(["交通", "医疗"])]["share"].max())
        put("domains", "", frame["domain"].nunique())
        if frame["amount"].notna().any():
            up, down = frame["share"].sum(), frame["amount"].sum()
            put("load", "", up / down if down else None, up, down)
    return figures


def test_every_kind_of_metric_agrees_with_pandas(city: City) -> None:
    city.source(WIDE)
    city.metrics(*METRICS)
    for (department, day), rows in DELIVERIES.items():
        city.land(rows, department=department, day=day, header=HEADER)
    city.take()
    computed = {
        (name, department, day, breakdown): tuple(None if n is None else float(n) for n in figures)
        for name, department, day, breakdown, *figures in city.rows(
            "SELECT metric, department, business_date, breakdown, value, numerator, denominator "
            "FROM metric_daily WHERE known_until IS NULL"
        )
    }
    expected = by_pandas()
    assert computed.keys() == expected.keys()
    for key, figures in expected.items():
        for actual, wanted in zip(computed[key], figures, strict=True):
            if wanted is None or pd.isna(wanted):
                assert actual is None, key
            else:
                assert actual == pytest.approx(float(wanted), abs=1e-6), key


def test_a_breakdown_counts_an_empty_cell_and_the_word_for_it_together(city: City) -> None:
    """Count an empty cell and the very word that stands for it as the same breakdown."""
    city.metrics(METRICS[0])
    city.send([("x", 1, ""), ("y", 2, "未填")])
    assert city.rows("SELECT breakdown, value FROM metric_daily ORDER BY 1") == [
        ("", 3),
        ("未填", 3),
    ]


def test_a_figure_that_was_published_stays_known(city: City) -> None:
    """Keep a published figure when a later correction changes today's figure."""
    city.source(RECORDS, due={"frequency": "daily", "time": "02:00", "from": DAY})
    city.metrics(METRICS[0])
    city.targets(
        {
            "name": "goal",
            "title": "百日攻坚",
            "metric": "added",
            "scope": "city",
            "start": DAY,
            "end": DAY + timedelta(days=9),
            "goal": 100,
        }
    )
    settings, catalog, deployment = city.settings, city.catalog, city.deployment
    city.send([("x", 10, ""), ("y", 20, "交通")])
    report = night.run(deployment, DAY)
    then = published.read("SELECT max(position) AS at FROM pace", settings=settings)["at"][0]
    assert [pace.actual for pace in report.paces] == [30]
    assert [pace.actual for pace in status(settings)] == [30]

    city.send([("x", 1, "")])
    withdrawn = city.send([("z", 5, "")], department="b")
    repairs.withdraw(deployment, withdrawn.delivery.delivery_id, "误报")
    with open_warehouse(settings, "test") as connection:
        figures = [
            compute_pace(connection, catalog, DAY, position)[0].actual
            for position in (0, int(then), int(then) + 1, int(then) + 2, None)
        ]
    assert figures[1:] == [30, 1, 6, 1]
    assert figures[0] in (None, 0)
    night.run(deployment, DAY)
    assert [pace.actual for pace in status(settings)] == [1]
    assert [pace.actual for pace in status(settings, catalog, DAY, int(then))] == [30]
    # by breakdown, too, what vanished is closed
    assert city.rows(
        "SELECT breakdown, value, known_until IS NULL FROM metric_daily "
        "WHERE department = 'a' ORDER BY ALL"
    ) == [
        ("", 1, True),
        ("", 30, False),
        ("交通", 20, False),
        ("未填", 1, True),
        ("未填", 10, False),
    ]


def test_knowledge_never_overlaps(city: City) -> None:
    city.metrics(METRICS[0])
    for number in (3, 1, 3, 2):
        city.send([("x", number, ""), ("y", 1, "交通")])
    with duckdb.connect(city.settings.warehouse, read_only=True) as connection:
        overlaps = connection.execute(
            "SELECT count(*) FROM metric_daily AS one JOIN metric_daily AS other "
            "USING (metric, department, business_date, breakdown) WHERE one.known_from < "
            "other.known_from AND coalesce(one.known_until, 999) > other.known_from"
        ).fetchall()
    assert overlaps == [(0,)]
    # what stays the same is not written again
    assert city.rows("SELECT count(*) FROM metric_daily WHERE breakdown = '交通'") == [(1,)]
    assert city.rows("SELECT value FROM metric_daily WHERE breakdown = '' ORDER BY known_from") == [
        (4,),
        (2,),
        (4,),
        (3,),
    ]
