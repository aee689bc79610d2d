"""Put into Chinese what people must hear: targets behind, deliveries refused, feeds missing.

An alert is a state and not an event: every run raises it again, with the same `key`, for as long
as its cause lasts. The digest lists all alerts of its run; nobody acknowledges them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pipelines.contracts.departments import Department
from pipelines.contracts.due import Frequency
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.contracts.targets import Target
from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.tracking.calendar import Overdue
from pipelines.tracking.pace import Pace, Status

AlertKind = Literal["target", "delivery", "feed", "landing"]
AlertLevel = Literal["warning", "critical"]

STATUS_CHINESE: Mapping[str, str] = {
    Status.NOT_STARTED: "未开始",
    Status.NO_DATA: "无数据",
    Status.STALE: "数据陈旧",
    Status.AHEAD: "超前",
    Status.ON_TRACK: "正常",
    Status.AT_RISK: "有风险",
    Status.BEHIND: "滞后",
    Status.MET: "已完成",
    Status.MISSED: "未完成",
}

_TARGET_LEVELS: Mapping[Status, AlertLevel] = {Status.BEHIND: "critical", Status.AT_RISK: "warning"}
_VERDICTS: Mapping[Verdict, tuple[str, AlertLevel]] = {
    Verdict.REJECTED: ("退回", "critical"),
    Verdict.UNREADABLE: ("无法读取", "critical"),
    Verdict.HELD: ("待人工确认", "warning"),
}
_GROUPS: Mapping[AlertKind, str] = {
    "target": "目标进度",
    "delivery": "报送质量",
    "feed": "逾期缺报",
    "landing": "无法识别的文件",
}
_GROUP_LIMIT = 20  # lines of one group in the digest
_REASON_LIMIT = 5  # reasons listed for a delivery


@dataclass(frozen=True, slots=True)
class Alert:
    """A state that a person should know of; `key` names its cause and is the same every day."""

    kind: AlertKind
    key: str
    level: AlertLevel
    title: str
    detail: str
    source: str | None = None
    department: str | None = None
    target: str | None = None


def target_key(target: str, department: str | None) -> str:
    """Return the key of a target's alert, of the city (None) or of a department."""
    return f"target:{target}:{department or 'city'}"


def target_alerts(
    paces: Iterable[Pace],
    targets: Mapping[str, Target],
    metrics: Mapping[str, Metric],
    departments: Mapping[str, Department],
) -> list[Alert]:
    """Return an alert per pace that is behind (critical) or at risk (warning)."""
    alerts = []
    for pace in paces:
        level = _TARGET_LEVELS.get(pace.status)
        if level is None:
            continue
        target = targets[pace.target]
        who = f" · {_label(pace.department, departments)}" if pace.department else ""
        alerts.append(
            Alert(
                kind="target",
                key=target_key(pace.target, pace.department),
                level=level,
                title=f"【{STATUS_CHINESE[pace.status]}】{target.title}{who}",
                detail=_pace_chinese(pace, target, metrics[target.metric]),
                source=metrics[target.metric].source,
                department=pace.department,
                target=pace.target,
            )
        )
    return alerts


def _pace_chinese(pace: Pace, target: Target, metric: Metric) -> str:
    """Describe the actual value, the planned one, and what the goal takes from now on."""

    def figure(value: float | None) -> str:
        return "—" if value is None else f"{chinese_number(value)}{metric.unit}"

    since = f"截至{pace.as_of.month}月{pace.as_of.day}日"
    if pace.spi_t is None or pace.sv_t is None:
        bound = "高" if target.direction == "at_most" else "低"
        ratio = "" if pace.spi is None else f"，达标度 {pace.spi:.2f}"
        return f"{since}实际 {figure(pace.actual)}，标准不{bound}于 {figure(pace.goal)}{ratio}"
    budget = target.direction == "at_most" and pace.goal >= pace.baseline
    done, late = ("已用", "超前消耗") if budget else ("完成", "落后")
    if target.direction == "at_most" and not budget:
        done = "降至"
    slip = f"{late} {-pace.sv_t:.1f} 天" if pace.sv_t < 0 else f"提前 {pace.sv_t:.1f} 天"
    text = (
        f"{since}{done} {figure(pace.actual)}，计划 {figure(pace.expected)}，"
        f"进度指数 {pace.spi_t:.2f}，{slip}"
    )
    if pace.required_per_day is None:
        return text
    if budget and pace.required_per_day < 0:
        return f"{text}，已超出总额 {figure(pace.goal)}"
    days = "个工作日，每个工作日" if target.curve == "workdays" else "天，每天"
    verb = "最多可用" if budget else "需减少" if pace.required_per_day < 0 else "需完成"
    return f"{text}，剩余 {pace.days_left} {days}{verb} {figure(abs(pace.required_per_day))}"


def delivery_alerts(
    judgements: Iterable[Judgement],
    departments: Mapping[str, Department],
    sources: Mapping[str, Source],
) -> list[Alert]:
    """Return an alert per delivery that was rejected or unreadable (critical) or held (warning).

    The key is the slot that the delivery was to fill: a good delivery for it ends the alert.
    """
    alerts = []
    for judgement in judgements:
        if judgement.verdict not in _VERDICTS:
            continue
        word, level = _VERDICTS[judgement.verdict]
        delivery = judgement.delivery
        source, _, day, part = delivery.slot
        about = [
            _label(delivery.department, departments) if delivery.department else "多部门文件",
            sources[source].title if source in sources else source,
            day if delivery.business_date else "多日文件",
            *([f"分包 {part}"] if part else []),
        ]
        titles = sources[source].titles if source in sources else {}
        reasons = [reason.chinese(titles) for reason in judgement.reasons]
        more = len(reasons) - _REASON_LIMIT
        detail = "；".join(reasons[:_REASON_LIMIT]) + (
            f"；其余 {more} 条见系统" if more > 0 else ""
        )
        alerts.append(
            Alert(
                kind="delivery",
                key=":".join(("delivery", *delivery.slot)),
                level=level,
                title=f"【{word}】{' · '.join(about)}",
                detail=detail or "未说明原因",
                source=source,
                department=delivery.department,
            )
        )
    return alerts


def feed_alerts(
    overdues: Iterable[Overdue],
    sources: Mapping[str, Source],
    departments: Mapping[str, Department],
) -> list[Alert]:
    """Return a warning per source and department that owes deliveries."""
    alerts = []
    for late in overdues:
        source = sources[late.source]
        daily = source.due is None or source.due.frequency is Frequency.DAILY
        last = f"最近一次为 {late.last_received}" if late.last_received else "从未报送"
        alerts.append(
            Alert(
                kind="feed",
                key=f"feed:{late.source}:{late.department}",
                level="warning",
                title=f"【缺报】{_label(late.department, departments)} · {source.title}",
                detail=f"缺 {len(late.missing)} {'天' if daily else '期'}，"
                f"最早为 {late.missing[0]}；{last}",
                source=late.source,
                department=late.department,
            )
        )
    return alerts


def landing_alerts(problems: Iterable[tuple[str, str]]) -> list[Alert]:
    """Return a warning per file that belongs to no source: (path, reason in Chinese)."""
    return [
        Alert("landing", f"landing:{path}", "warning", f"【无法识别】{path}", why)
        for path, why in problems
    ]


def digest(
    alerts: Iterable[Alert], as_of: date, paces: Iterable[Pace], targets: Mapping[str, Target]
) -> tuple[str, str]:
    """Write the message of the day, in plain text: (title, body).

    The city's targets come first, then the alerts by kind, the critical ones first.
    """
    listed = list(alerts)
    critical = sum(1 for alert in listed if alert.level == "critical")
    count = f"严重 {critical} 条，提醒 {len(listed) - critical} 条" if listed else "无告警"
    title = f"城市大脑数据归集日报 {as_of.year}年{as_of.month}月{as_of.day}日：{count}"
    city = [_city_line(pace, targets[pace.target]) for pace in paces if pace.department is None]
    blocks = [["【全市目标】", *(city or ["（无）"])]]
    for kind, name in _GROUPS.items():
        group = [alert for alert in listed if alert.kind == kind]
        if not group:
            continue
        group.sort(key=lambda alert: alert.level != "critical")
        lines = [f"- {alert.title}：{alert.detail}" for alert in group[:_GROUP_LIMIT]]
        more = len(group) - _GROUP_LIMIT
        blocks.append(
            [f"【{name}】{len(group)} 条", *lines, *([f"其余 {more} 条见系统"] if more > 0 else [])]
        )
    return title, "\n\n".join("\n".join(block) for block in blocks)


def _city_line(pace: Pace, target: Target) -> str:
    parts = [f"- {target.title}：{STATUS_CHINESE[pace.status]}"]
    if pace.actual is not None:
        base = f"自 {chinese_number(pace.baseline)} 起的" if pace.baseline else ""
        share = "" if pace.progress is None else f"（{base}进度 {_percent(pace.progress)}）"
        parts.append(
            f"实际 {chinese_number(pace.actual)} / 目标 {chinese_number(pace.goal)}{share}"
        )
    if pace.spi_t is not None:
        parts.append(f"进度指数 {pace.spi_t:.2f}")
    if pace.coverage is not None:
        parts.append(f"数据覆盖 {_percent(pace.coverage)}")
    if pace.days_left:
        parts.append(f"剩余 {pace.days_left} {'个工作日' if target.curve == 'workdays' else '天'}")
    return "，".join(parts)


def chinese_number(value: float) -> str:
    """Write a figure as reports do: 1.02亿, 17373.50万, 93.9; two decimals at most."""
    for scale, word in ((1e8, "亿"), (1e4, "万")):
        # Rounded before it is compared, or 99,999,999 would read 10000.00万.
        if round(abs(value) / (scale / 1e4), 2) >= 1e4:
            return f"{value / scale:.2f}{word}"
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _percent(share: float) -> str:
    # A share below 1 is never shown as 100 %.
    shown = min(math.floor(share * 1000 + 1e-9) / 10, 99.9) if share < 1 else share * 100
    return f"{shown:.1f}%"


def _label(code: str | None, departments: Mapping[str, Department]) -> str:
    department = departments.get(code or "")
    return department.label if department else code or ""
