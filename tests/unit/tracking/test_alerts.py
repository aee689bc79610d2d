from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.departments import Department
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.contracts.targets import Target
from pipelines.deliveries.delivery import Delivery, Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.tracking.alerts import (
    STATUS_CHINESE,
    Alert,
    chinese_number,
    delivery_alerts,
    digest,
    feed_alerts,
    landing_alerts,
    target_alerts,
    target_key,
)
from pipelines.tracking.calendar import Overdue
from pipelines.tracking.pace import Pace, Status

AS_OF = date(2021, 10, 31)
DEPARTMENTS = {"gaj": Department(code="gaj", name="市公安局", short_name="公安局")}
METRIC = Metric.model_validate(
    {
        "name": "records_new",
        "title": "新增",
        "unit": "条",
        "kind": "flow",
        "source": "records",
        "value": {"aggregate": "sum", "column": "n"},
    }
)
METRICS = {"records_new": METRIC}
SOURCE = Source.model_validate(
    {
        "name": "records",
        "title": "数据资源归集情况",
        "owner": "科",
        "content": "events",
        "grain": "行",
        "key": [],
        "formats": {"jsonl": {}},
        "columns": [{"name": "n", "header": "数", "type": "integer"}],
        "due": {"frequency": "daily", "time": "02:00", "from": date(2021, 9, 23)},
    }
)
SOURCES = {"records": SOURCE}
PACE = Pace(
    target="campaign",
    department=None,
    as_of=AS_OF,
    revision=0,
    baseline=0,
    goal=265e6,
    actual=102e6,
    expected=120e6,
    progress=0.385,
    spi=0.85,
    spi_t=0.81,
    sv_t=-7.4,
    required_per_day=2.672e6,
    days_elapsed=39,
    days_left=61,
    coverage=0.95,
    status=Status.BEHIND,
    last_observed=AS_OF,
)


def target(**changes: object) -> Target:
    given = {
        "name": "campaign",
        "title": "全市数据归集百日攻坚",
        "metric": "records_new",
        "scope": "city",
        "start": date(2021, 9, 23),
        "end": date(2021, 12, 31),
        "goal": 265e6,
    }
    return Target.model_validate(given | changes)


def alert_of(pace: Pace, plan: Target | None = None, metric: Metric = METRIC) -> Alert:
    (alert,) = target_alerts(
        [pace], {"campaign": plan or target()}, {"records_new": metric}, DEPARTMENTS
    )
    return alert


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (-0.001, "0"),
        (5041, "5041"),
        (93.9, "93.9"),
        (93.94, "93.94"),
        (9999.99, "9999.99"),
        (9999.999, "1.00万"),
        (10000, "1.00万"),
        (173_735_000, "1.74亿"),
        (17_373_500, "1737.35万"),
        (99_999_999, "1.00亿"),
        (99_990_000, "9999.00万"),
        (102e6, "1.02亿"),
        (-120e6, "-1.20亿"),
    ],
)
def test_chinese_numbers(value: float, text: str) -> None:
    assert chinese_number(value) == text


@given(st.floats(-1e12, 1e12))
def test_chinese_numbers_read_back(value: float) -> None:
    text = chinese_number(value)
    scale = {"亿": 1e8, "万": 1e4}.get(text[-1], 1)
    assert float(text.rstrip("亿万")) * scale == pytest.approx(value, rel=5.1e-3, abs=5.1e-3)


def test_every_status_has_its_word() -> None:
    assert set(STATUS_CHINESE) == set(Status)
    assert len(set(STATUS_CHINESE.values())) == len(Status)


def test_a_target_behind() -> None:
    assert alert_of(PACE) == Alert(
        kind="target",
        key="target:campaign:city",
        level="critical",
        title="【滞后】全市数据归集百日攻坚",
        detail="截至10月31日完成 1.02亿条，计划 1.20亿条，进度指数 0.81，落后 7.4 天，"
        "剩余 61 天，每天需完成 267.20万条",
        source="records",
        target="campaign",
    )


def test_a_department_at_risk() -> None:
    alert = alert_of(
        replace(PACE, department="gaj", status=Status.AT_RISK), target(curve="workdays")
    )
    assert (alert.level, alert.key) == ("warning", target_key("campaign", "gaj"))
    assert alert.title == "【有风险】全市数据归集百日攻坚 · 公安局"
    assert alert.detail.endswith("剩余 61 个工作日，每个工作日需完成 267.20万条")


@pytest.mark.parametrize("status", sorted(set(Status) - {Status.BEHIND, Status.AT_RISK}))
def test_other_states_are_no_alert(status: Status) -> None:
    paces = [replace(PACE, status=status)]
    assert target_alerts(paces, {"campaign": target()}, METRICS, DEPARTMENTS) == []


def test_a_level_a_budget_and_a_reduction_are_told_in_their_words() -> None:
    percent = METRIC.model_copy(update={"unit": "%"})
    level = replace(
        PACE,
        goal=97,
        actual=80,
        expected=97,
        spi=0.825,
        spi_t=None,
        sv_t=None,
        required_per_day=None,
    )
    plan = target(curve="level")
    assert (
        alert_of(level, plan, percent).detail == "截至10月31日实际 80%，标准不低于 97%，达标度 0.82"
    )
    budget = target(direction="at_most")
    assert (
        "已用 1.02亿条，计划 1.20亿条，进度指数 0.81，超前消耗 7.4 天"
        in alert_of(PACE, budget).detail
    )
    assert alert_of(PACE, budget).detail.endswith("每天最多可用 267.20万条")
    overdrawn = replace(PACE, actual=270e6, required_per_day=-1.0)
    assert alert_of(overdrawn, budget).detail.endswith("已超出总额 2.65亿条")
    falling = replace(PACE, baseline=500e6, actual=450e6, required_per_day=-3e6)
    assert "降至 4.50亿条" in alert_of(falling, budget).detail
    assert alert_of(falling, budget).detail.endswith("每天需减少 300.00万条")


def judged(verdict: Verdict, reasons: int = 1, **changes: object) -> Judgement:
    delivery = Delivery.model_validate(
        {
            "delivery_id": "x",
            "source": "records",
            "department": "gaj",
            "business_date": AS_OF,
            "part": "",
            "path": Path("x.csv"),
            "format": "csv",
            "size": 1,
            "sha256": "",
            "received_at": datetime(2021, 11, 1, tzinfo=UTC),
            "contract_hash": "",
        }
        | changes
    )
    why = tuple(Reason(code="row_count", value=str(n), expected="1") for n in range(reasons))
    return Judgement(delivery=delivery, verdict=verdict, accounting=None, reasons=why)


@pytest.mark.parametrize(
    ("verdict", "level", "word"),
    [
        (Verdict.REJECTED, "critical", "退回"),
        (Verdict.UNREADABLE, "critical", "无法读取"),
        (Verdict.HELD, "warning", "待人工确认"),
    ],
)
def test_a_delivery_that_was_not_taken(verdict: Verdict, level: str, word: str) -> None:
    (alert,) = delivery_alerts([judged(verdict)], DEPARTMENTS, SOURCES)
    assert (alert.level, alert.key) == (level, "delivery:records:gaj:2021-10-31:")
    assert alert.title == f"【{word}】公安局 · 数据资源归集情况 · 2021-10-31"
    assert alert.detail == "数据行数为 0，约定应为 1"
    assert (alert.source, alert.department) == ("records", "gaj")


@pytest.mark.parametrize(
    "verdict", [Verdict.ACCEPTED, Verdict.ACCEPTED_WITH_QUARANTINE, Verdict.UNCHANGED]
)
def test_a_delivery_that_was_taken_is_no_alert(verdict: Verdict) -> None:
    assert delivery_alerts([judged(verdict)], DEPARTMENTS, SOURCES) == []


def test_a_delivery_of_many_with_many_reasons() -> None:
    bulk = judged(Verdict.REJECTED, 7, department=None, business_date=None, part="2")
    (alert,) = delivery_alerts([bulk], DEPARTMENTS, {})
    assert alert.title == "【退回】多部门文件 · records · 多日文件 · 分包 2"
    assert alert.detail.endswith("；其余 2 条见系统")
    assert alert.detail.count("数据行数") == 5


def test_feeds_that_are_late() -> None:
    missing = (date(2021, 10, 29), date(2021, 10, 30))
    late, never = feed_alerts(
        [
            Overdue("records", "gaj", missing, date(2021, 10, 28)),
            Overdue("records", "unheard_of", missing, None),
        ],
        SOURCES,
        DEPARTMENTS,
    )
    assert (late.key, late.level) == ("feed:records:gaj", "warning")
    assert late.title == "【缺报】公安局 · 数据资源归集情况"
    assert late.detail == "缺 2 天，最早为 2021-10-29；最近一次为 2021-10-28"
    assert never.detail.endswith("从未报送")
    assert "unheard_of" in never.title


def test_files_that_nobody_can_place() -> None:
    (alert,) = landing_alerts([("2021-10-31/nobody/x.csv", "部门未登记")])
    assert alert.key == "landing:2021-10-31/nobody/x.csv"
    assert (alert.kind, alert.level, alert.detail) == ("landing", "warning", "部门未登记")


def test_the_digest_leads_with_the_city_and_groups_alerts() -> None:
    landing = landing_alerts((f"{number}.csv", "部门未登记") for number in range(23))
    paces = [PACE, replace(PACE, department="gaj")]
    alerts = [*landing, alert_of(replace(PACE, status=Status.AT_RISK)), alert_of(PACE)]
    title, body = digest(alerts, AS_OF, paces, {"campaign": target()})
    assert title == "城市大脑数据归集日报 2021年10月31日：严重 1 条，提醒 24 条"
    lines = body.splitlines()
    assert lines[:2] == [
        "【全市目标】",
        "- 全市数据归集百日攻坚：滞后，实际 1.02亿 / 目标 2.65亿（进度 38.5%），"
        "进度指数 0.81，数据覆盖 95.0%，剩余 61 天",
    ]
    assert lines[3] == "【目标进度】2 条"
    assert lines[4].startswith("- 【滞后】")  # the critical one first
    assert "【无法识别的文件】23 条" in lines
    assert lines[-1] == "其余 3 条见系统"
    assert sum("部门未登记" in line for line in lines) == 20


def test_a_quiet_day_and_a_share_that_is_not_yet_whole() -> None:
    almost = replace(PACE, status=Status.ON_TRACK, progress=0.99999, coverage=None, days_left=0)
    title, body = digest([], AS_OF, [almost], {"campaign": target()})
    assert title.endswith("无告警")
    assert "进度 99.9%" in body
    silent = replace(PACE, status=Status.NO_DATA, actual=None, progress=None, spi_t=None)
    assert (
        "- 全市数据归集百日攻坚：无数据，数据覆盖 95.0%"
        in digest([], AS_OF, [silent], {"campaign": target()})[1]
    )
    assert digest([], AS_OF, [], {})[1] == "【全市目标】\n（无）"
