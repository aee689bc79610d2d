"""The sources video_channels (weekly survey of cameras) and app_visits (daily use of scenarios)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from itertools import groupby

import numpy as np

from pipelines.contracts.catalog import Catalog
from pipelines.sample.city import (
    CAMPAIGN_DAYS,
    SEED,
    VIDEO_CHANNELS,
    apportion,
    due_days,
    is_silent,
    lines,
    person,
    sender,
)
from pipelines.sample.exports import Export, Row

VIDEO = "video_channels"
VIDEO_COLUMNS = (
    "channel_id",
    "site",
    "status",
    "integrated",
    "surveyed_on",
    "contact_name",
    "contact_phone",
)
# Relative numbers of cameras; other departments count 1.
CAMERAS: Mapping[str, float] = {
    "gaj": 160,
    "jtys": 32,
    "cgj": 20,
    "xfzd": 12,
    "jtj": 16,
    "zjj": 14,
    "jkq": 12,
    "sthj": 8,
    "slj": 8,
    "wjw": 7,
    "lyj": 6,
    "yjj": 5,
    "whly": 5,
    "gdgs": 4,
    "rqgs": 4,
    "gsgs": 3,
    "scjg": 3,
}
LEAST_CAMERAS = 15
FIRST_SURVEY = date(2021, 9, 27)
INTEGRATED_FIRST, INTEGRATED_PER_DAY, INTEGRATED_MOST = 0.62, 0.16 / 28, 0.97
ONLINE_FIRST, ONLINE_PER_DAY, ONLINE_MOST = (0.925, 0.955), 0.02 / 28, 0.985
ROADS = ("人民路", "建设路", "迎宾大道", "滨河路", "文化路", "工业大道", "环城北路", "学府街")
SPOTS = ("路口", "出入口", "停车场", "广场", "大厅", "卡口")

APPS = "app_visits"
APP_COLUMNS = ("visit_date", "app", "scenario_field", "channel", "visits", "unique_visitors")
VISITS_GOAL = 6_000_000
CHANNELS: Mapping[str, float] = {"手机应用": 0.42, "小程序": 0.33, "网页": 0.21, "自助终端": 0.04}


@dataclass(frozen=True)
class Scenario:
    """An application of the city brain: its field, its owner and its relative use."""

    name: str
    field: str
    owner: str
    use: float


SCENARIOS = (
    Scenario("经济运行监测", "宏观决策", "fgw", 1.0),
    Scenario("重大项目调度", "宏观决策", "fgw", 0.8),
    Scenario("城市运行一张图", "宏观决策", "sjzy", 1.5),
    Scenario("市容智能巡查", "城市管理", "cgj", 1.6),
    Scenario("渣土车监管", "城市管理", "cgj", 0.7),
    Scenario("停车一点通", "城市管理", "cgj", 6.0),
    Scenario("公交出行", "城市管理", "jtys", 9.0),
    Scenario("道路拥堵治理", "城市管理", "jtys", 2.5),
    Scenario("网格事件处置", "社会治理", "gaj", 2.2),
    Scenario("治安态势感知", "社会治理", "gaj", 1.1),
    Scenario("流动人口服务", "社会治理", "gaj", 2.0),
    Scenario("预约挂号", "民生服务", "wjw", 8.5),
    Scenario("疫苗接种服务", "民生服务", "wjw", 7.0),
    Scenario("社保查询", "民生服务", "rsj", 7.5),
    Scenario("就业招聘", "民生服务", "rsj", 3.0),
    Scenario("养老助残", "民生服务", "mzj", 1.4),
    Scenario("医保结算", "民生服务", "ybj", 6.5),
    Scenario("智慧旅游", "民生服务", "whly", 3.5),
    Scenario("一件事一次办", "政务服务", "zwfw", 5.0),
    Scenario("政务服务地图", "政务服务", "zwfw", 4.0),
    Scenario("惠企政策直达", "政务服务", "sjzy", 1.8),
    Scenario("空气质量预报", "生态文明", "sthj", 2.4),
    Scenario("水环境监测", "生态文明", "sthj", 1.0),
)


@dataclass(frozen=True)
class Cameras:
    """The cameras of one line: per camera its id, site, contact and two ranks.

    A camera is integrated when its rank is below the number of integrated cameras, and online
    likewise.
    """

    fixed: tuple[tuple[str, str, str, str], ...]
    integrated_rank: tuple[int, ...]
    online_rank: tuple[int, ...]
    online_at_first: float

    def integrated(self, day: date) -> int:
        """Return how many cameras are integrated on `day`."""
        days = (day - FIRST_SURVEY).days
        share = min(INTEGRATED_FIRST + INTEGRATED_PER_DAY * days, INTEGRATED_MOST)
        return round(share * len(self.fixed))

    def online(self, day: date) -> int:
        """Return how many cameras are online on `day`."""
        days = (day - FIRST_SURVEY).days
        share = min(self.online_at_first + ONLINE_PER_DAY * days, ONLINE_MOST)
        return round(share * len(self.fixed))


@lru_cache(maxsize=1)
def make_cameras(senders: tuple[str, ...]) -> Mapping[str, Cameras]:
    """Make the cameras of every line."""
    weights = [CAMERAS.get(code, 1.0) for code in senders]
    counts = apportion(weights, VIDEO_CHANNELS, LEAST_CAMERAS)
    return {
        code: _cameras(position, int(count))
        for position, (code, count) in enumerate(zip(senders, counts, strict=True))
    }


def _cameras(position: int, count: int) -> Cameras:
    rng = np.random.default_rng((SEED, 7, position))
    fixed = []
    for number in range(count):
        kind = "131" if rng.random() < 0.4 else "132"
        place = ROADS[int(rng.integers(len(ROADS)))] + SPOTS[int(rng.integers(len(SPOTS)))]
        name, phone = person(position * 11 + number // 40)
        channel_id = f"999900{position + 1:02d}01{kind}{number + 1:07d}"
        fixed.append((channel_id, f"{place}{number + 1}号", name, phone))
    return Cameras(
        fixed=tuple(fixed),
        integrated_rank=tuple(rng.permutation(count).tolist()),
        online_rank=tuple(rng.permutation(count).tolist()),
        online_at_first=float(rng.uniform(*ONLINE_FIRST)),
    )


def video_exports(catalog: Catalog, day: date, until: date) -> Iterator[Export]:
    """Yield the surveys of `day`; none if it is no survey day."""
    source = catalog.sources[VIDEO]
    if day not in due_days(source, catalog, until):
        return
    for line, cameras in make_cameras(lines(catalog)).items():
        department = sender(catalog, line, day)
        if not is_silent(department.code, VIDEO, day):
            yield Export(source, department, day, VIDEO_COLUMNS, _video_rows(cameras, day))


def _video_rows(cameras: Cameras, day: date) -> list[Row]:
    integrated, online = cameras.integrated(day), cameras.online(day)
    rows: list[Row] = []
    for fixed, first_rank, second_rank in zip(
        cameras.fixed, cameras.integrated_rank, cameras.online_rank, strict=True
    ):
        channel_id, site, name, phone = fixed
        status = "在线" if second_rank < online else "离线"
        rows.append((channel_id, site, status, first_rank < integrated, day, name, phone))
    return rows


def app_exports(catalog: Catalog, day: date) -> Iterator[Export]:
    """Yield the visits of `day`, a file for each owner of scenarios."""
    rng = np.random.default_rng((SEED, 8, day.toordinal()))
    noise = rng.uniform(0.8, 1.2, (len(SCENARIOS), len(CHANNELS)))
    returning = rng.uniform(0.35, 0.9, (len(SCENARIOS), len(CHANNELS)))
    use = np.array([[scenario.use] for scenario in SCENARIOS])
    use = use / use.sum() * np.array(list(CHANNELS.values())) * VISITS_GOAL / CAMPAIGN_DAYS
    visits = np.rint(use * noise * (1.08 if day.isoweekday() > 5 else 0.97)).astype(int)
    visitors = np.floor(visits * returning).astype(int)
    by_owner = sorted(range(len(SCENARIOS)), key=lambda at: SCENARIOS[at].owner)
    for owner, positions in groupby(by_owner, key=lambda at: SCENARIOS[at].owner):
        department = sender(catalog, owner, day)
        if is_silent(department.code, APPS, day):
            continue
        rows: list[Row] = []
        for at in positions:
            scenario = SCENARIOS[at]
            for channel, count, people in zip(CHANNELS, visits[at], visitors[at], strict=True):
                rows.append((day, scenario.name, scenario.field, channel, int(count), int(people)))
        yield Export(catalog.sources[APPS], department, day, APP_COLUMNS, rows)
