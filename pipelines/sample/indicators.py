"""The source indicator_reports: figures that departments fill in by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np

from pipelines.contracts.catalog import Catalog
from pipelines.sample.city import LAST_DAY, QUARTER_END, due_days, person, sender
from pipelines.sample.exports import WIDE, Export, Row

SOURCE = "indicator_reports"
COLUMNS = ("indicator", "value", "unit", "reported_on", "reporter", "reporter_phone")
# Besides the weekly reports the bureau itself closes the quarter.
EXTRA_REPORTS = (("sjzy", QUARTER_END),)

Wording = Literal["plain", "counted", "about", "grouped", "wide", "myriads"]
WORDINGS: Mapping[Wording, Callable[[int, str], str]] = {
    "plain": lambda number, unit: f"{number}",
    "counted": lambda number, unit: f"{number}{unit}",
    "about": lambda number, unit: f"约{number}",
    "grouped": lambda number, unit: f"{number:,}{unit}",
    "wide": lambda number, unit: f"{number:,}{unit}".translate(WIDE).replace(",", "，"),
    "myriads": lambda number, unit: f"{number / 10000:.1f}万余{unit}",
}

START = date(2021, 9, 24)
OCTOBER = date(2021, 10, 29)


@dataclass(frozen=True)
class Indicator:
    """A figure of one department that moves in a straight line through `points`."""

    department: str
    name: str
    unit: str
    wording: Wording
    points: Mapping[date, float]

    def value(self, day: date) -> int:
        """Return the figure on `day` as a whole number."""
        days = [point.toordinal() for point in self.points]
        return int(np.interp(day.toordinal(), days, list(self.points.values())))


def _steady(value: float) -> Mapping[date, float]:
    return {START: value}


def _growing(first: float, last: float) -> Mapping[date, float]:
    return {START: first, LAST_DAY: last}


INDICATORS = (
    Indicator("dxgs", "5G基站建成数", "座", "counted", {START: 128, OCTOBER: 143, LAST_DAY: 172}),
    Indicator("dxgs", "5G用户数", "人", "myriads", _growing(412_000, 506_000)),
    Indicator("dxgs", "千兆小区数", "个", "plain", _growing(611, 702)),
    Indicator("dxgs", "光缆线路抢修次数", "次", "counted", _growing(31, 96)),
    Indicator("ydgs", "5G基站建成数", "座", "about", {START: 109, OCTOBER: 125, LAST_DAY: 151}),
    Indicator("ydgs", "5G用户数", "人", "myriads", _growing(583_000, 694_000)),
    Indicator("ydgs", "物联网卡数", "件", "grouped", _growing(133_400, 170_200)),
    Indicator("sjzy", "政务数据资源目录完善数", "条", "counted", {START: 4982, QUARTER_END: 5041}),
    Indicator("sjzy", "数据共享接口数", "个", "counted", _growing(318, 402)),
    Indicator("sjzy", "数据共享调用次数", "次", "myriads", _growing(1_265_000, 3_840_000)),
    Indicator("sjzy", "视频资源摸底通道数", "路", "counted", _steady(6417)),
    Indicator("zwfw", "实体政务服务场所数", "个", "counted", _steady(1142)),
    Indicator("zwfw", "自助终端数", "台", "counted", _steady(596)),
    Indicator("zwfw", "政务服务事项总数", "项", "grouped", _steady(2000)),
    Indicator("zwfw", "全程网办事项数", "项", "counted", _steady(1948)),
    Indicator("zwfw", "本年办件量", "件", "myriads", _growing(406_000, 553_000)),
    Indicator("zwfw", "办件满意率", "%", "counted", _steady(99)),
    Indicator("wjw", "健康码申领人次", "人次", "myriads", _growing(269_000, 275_000)),
    Indicator("wjw", "核酸采样点数", "个", "counted", _growing(47, 61)),
    Indicator("wjw", "电子病历调阅次数", "次", "wide", _growing(1234, 4321)),
    Indicator("wjw", "预约诊疗率", "%", "counted", _growing(71, 78)),
    Indicator("rsj", "社保卡持卡人数", "人", "myriads", _growing(2_311_000, 2_330_000)),
    Indicator("rsj", "电子社保卡签发率", "%", "counted", _growing(58, 66)),
    Indicator("rsj", "网上招聘岗位数", "个", "wide", _growing(8210, 9904)),
    Indicator("scjg", "新登记市场主体数", "件", "grouped", _growing(23_473, 31_020)),
    Indicator("scjg", "企业开办当日办结率", "%", "counted", _growing(97, 99)),
    Indicator("scjg", "电子营业执照下载次数", "次", "wide", _growing(12_207, 20_155)),
    Indicator("jtj", "智慧校园数", "个", "counted", _growing(118, 131)),
    Indicator("jtj", "线上缴费学生人次", "人次", "grouped", _growing(17_893, 42_310)),
    Indicator("jtj", "网络学习空间数", "个", "plain", _growing(3120, 3515)),
    Indicator("jtj", "多媒体教室数", "个", "counted", _growing(4870, 4990)),
    Indicator("jtj", "体育场馆线上预约人次", "人次", "myriads", _growing(31_000, 88_000)),
    Indicator("jtj", "在线研修教师数", "人", "about", _growing(6400, 7100)),
    Indicator("ybj", "医保电子凭证激活率", "%", "counted", _growing(63, 74)),
    Indicator("ybj", "异地就医直接结算人次", "人次", "wide", _growing(9310, 15_820)),
    Indicator("ybj", "定点医药机构接入数", "个", "counted", _growing(1015, 1080)),
    Indicator("gjj", "线上业务办理笔数", "件", "grouped", _growing(38_200, 60_900)),
    Indicator("gjj", "离柜业务率", "%", "counted", _growing(82, 88)),
    Indicator("gjj", "缴存职工数", "人", "myriads", _growing(236_000, 241_000)),
)


def latest(name: str, until: date) -> int:
    """Return the city's sum of the indicator `name` as of `until`."""
    return sum(indicator.value(until) for indicator in INDICATORS if indicator.name == name)


def report_days(catalog: Catalog, until: date) -> tuple[date, ...]:
    """Return the business dates of the weekly reports."""
    return due_days(catalog.sources[SOURCE], catalog, until)


def indicator_exports(catalog: Catalog, day: date, until: date) -> Iterator[Export]:
    """Yield the reports of `day`; none if no report is due."""
    weekly = day in report_days(catalog, until)
    for line in dict.fromkeys(indicator.department for indicator in INDICATORS):
        if not weekly and (line, day) not in EXTRA_REPORTS:
            continue
        name, phone = person(sum(map(ord, line)))
        rows: list[Row] = [
            (
                indicator.name,
                WORDINGS[indicator.wording](indicator.value(day), indicator.unit),
                indicator.unit,
                day,
                name,
                phone,
            )
            for indicator in INDICATORS
            if indicator.department == line
        ]
        department = sender(catalog, line, day)
        yield Export(catalog.sources[SOURCE], department, day, COLUMNS, rows)
