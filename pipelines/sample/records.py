"""The source data_records: the catalogue, and the records that each item gained each day."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from pipelines.contracts.catalog import Catalog
from pipelines.sample.city import (
    CAMPAIGN,
    CAMPAIGN_DAYS,
    CAMPAIGN_START,
    CATALOG_ITEMS,
    HISTORY_START,
    PACE,
    QUARTER_END,
    QUARTER_RECORDS,
    SEED,
    apportion,
    is_silent,
    lines,
    sender,
    span,
)
from pipelines.sample.exports import Export, Row

SOURCE = "data_records"
COLUMNS = (
    "reporting_unit",
    "record_date",
    "catalog_code",
    "catalog_title",
    "domain",
    "new_records",
    "cumulative_records",
)

# Shares of 政务, 经济, 社会 in a department's catalogue, by its group.
DOMAINS = ("政务", "经济", "社会")
DOMAIN_SHARES: Mapping[str, tuple[float, float, float]] = {
    "党群": (0.7, 0.05, 0.25),
    "政法": (0.5, 0.1, 0.4),
    "公用事业": (0.1, 0.5, 0.4),
    "驻市单位": (0.3, 0.5, 0.2),
    "开发区": (0.3, 0.6, 0.1),
}
USUAL_SHARES = (0.4, 0.25, 0.35)
SUBJECTS: Mapping[str, Sequence[str]] = {
    "政务": (
        "行政许可",
        "行政处罚",
        "行政确认",
        "公共服务",
        "办件过程",
        "电子证照",
        "信访事项",
        "公文流转",
        "督查事项",
        "机构编制",
    ),
    "经济": (
        "企业登记",
        "项目投资",
        "纳税申报",
        "信用评价",
        "招标投标",
        "用电用能",
        "进出口贸易",
        "融资担保",
        "产业园区",
        "价格监测",
    ),
    "社会": (
        "常住人口",
        "社会保险",
        "学籍学历",
        "就诊结算",
        "救助对象",
        "交通出行",
        "住房租赁",
        "矛盾纠纷",
        "社区网格",
        "志愿服务",
    ),
}
KINDS = ("基本信息", "登记信息", "变更记录", "审核结果", "统计台账", "名录", "明细", "预警记录")

LEAST_ITEMS = 24
WORKDAY_FACTOR, WEEKEND_FACTOR = 1.06, 0.85


@dataclass(frozen=True)
class Item:
    """An entry of the catalogue."""

    code: str
    title: str
    domain: str


@dataclass(frozen=True)
class Records:
    """Collected records: `new` and `cumulative` are items × days; new is 0 without an update.

    The items of `lines[i]` are those from `bounds[i]` to `bounds[i + 1]`.
    """

    lines: tuple[str, ...]
    days: tuple[date, ...]
    items: tuple[Item, ...]
    bounds: NDArray[np.int64]
    new: NDArray[np.int64]
    cumulative: NDArray[np.int64]

    def total(self, first: date, last: date) -> int:
        """Return the new records of the whole city from `first` to `last`."""
        return int(self.new[:, self.days.index(first) : self.days.index(last) + 1].sum())


def make_records(catalog: Catalog, until: date) -> Records:
    """Make all records from 2021-07-01 to `until`, at least to the quarter's end.

    A shorter `until` gives the same days: each day has random numbers of its own.
    """
    days = tuple(span(HISTORY_START, max(until, QUARTER_END)))
    senders = tuple(code for code in lines(catalog) if not is_silent(code, SOURCE, HISTORY_START))
    goals = np.array([catalog.targets[CAMPAIGN].department_goals[code] for code in senders])
    counts = apportion(list(goals**0.7), CATALOG_ITEMS, LEAST_ITEMS)
    bounds = np.concatenate([[0], np.cumsum(counts)])
    weights = _update_weights(days, bounds)
    volumes = _daily_volumes(days, senders, goals)
    per_line = np.add.reduceat(weights, bounds[:-1], axis=0)
    exact = weights * np.repeat(volumes / per_line, counts, axis=0)
    new = _balanced(exact, days)
    stock = np.random.default_rng((SEED, 1)).integers(500, 400_000, CATALOG_ITEMS)
    return Records(
        lines=senders,
        days=days,
        items=tuple(_items(catalog, senders, counts)),
        bounds=bounds,
        new=new,
        cumulative=stock[:, None] + np.cumsum(new, axis=1),
    )


def _items(catalog: Catalog, senders: Sequence[str], counts: NDArray[np.int64]) -> Iterator[Item]:
    rng = np.random.default_rng((SEED, 2))
    order = list(catalog.departments)
    for code, count in zip(senders, counts, strict=True):
        shares = DOMAIN_SHARES.get(catalog.departments[code].group, USUAL_SHARES)
        domains = rng.choice(len(DOMAINS), int(count), p=shares)
        for number, at in enumerate(domains.tolist()):
            subjects = SUBJECTS[DOMAINS[at]]
            batch, rest = divmod(number, len(subjects) * len(KINDS))
            title = subjects[rest % len(subjects)] + KINDS[rest // len(subjects)]
            yield Item(
                code=f"{code[:2].upper()}{order.index(code) + 1:02d}{number + 1:04d}",
                title=f"{title}({batch + 1})" if batch else title,
                domain=DOMAINS[at],
            )


def _update_weights(days: Sequence[date], bounds: NDArray[np.int64]) -> NDArray[np.float64]:
    """Draw weights, items × days: 0 without an update; every line updates something daily."""
    rng = np.random.default_rng((SEED, 3))
    size = rng.lognormal(0.0, 0.9, CATALOG_ITEMS)
    chance = rng.uniform(0.28, 0.42, CATALOG_ITEMS)
    weights = np.empty((CATALOG_ITEMS, len(days)))
    for at, day in enumerate(days):
        rng = np.random.default_rng((SEED, 4, day.toordinal()))
        updated = rng.random(CATALOG_ITEMS) < chance
        idle = ~np.logical_or.reduceat(updated, bounds[:-1])
        updated[bounds[:-1]] |= idle
        weights[:, at] = np.where(updated, size * rng.lognormal(0.0, 0.4, CATALOG_ITEMS), 0.0)
    return weights


def _daily_volumes(
    days: Sequence[date], senders: Sequence[str], goals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Draw volumes, lines × days: the daily plan, times the pace once the campaign has begun."""
    pace = np.random.default_rng((SEED, 5)).uniform(0.95, 1.12, len(senders))
    pace = np.array([PACE.get(code, usual) for code, usual in zip(senders, pace, strict=True)])
    volumes = np.empty((len(senders), len(days)))
    for at, day in enumerate(days):
        noise = np.random.default_rng((SEED, 6, day.toordinal())).uniform(0.9, 1.1, len(senders))
        factor = WEEKEND_FACTOR if day.isoweekday() > 5 else WORKDAY_FACTOR
        silent = np.array([is_silent(code, SOURCE, day) for code in senders])
        campaign = pace if day >= CAMPAIGN_START else 1.0
        volumes[:, at] = goals / CAMPAIGN_DAYS * campaign * factor * noise * ~silent
    return volumes


def _balanced(exact: NDArray[np.float64], days: Sequence[date]) -> NDArray[np.int64]:
    """Round to whole numbers and scale the history to the third quarter's published total."""
    history, quarter = days.index(CAMPAIGN_START), days.index(QUARTER_END) + 1
    campaign = _whole(exact[:, history:])
    wanted = QUARTER_RECORDS - int(campaign[:, : quarter - history].sum())
    before = _whole(exact[:, :history] * (wanted / exact[:, :history].sum()))
    largest = np.unravel_index(before.argmax(), before.shape)
    before[largest] += wanted - int(before.sum())
    return np.concatenate([before, campaign], axis=1)


def _whole(exact: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(exact > 0, np.maximum(np.rint(exact), 1), 0).astype(np.int64)


def history_exports(catalog: Catalog, records: Records) -> Iterator[Export]:
    """Yield the bulk files of the days before the campaign, a part for each month."""
    before = (day for day in records.days if day < CAMPAIGN_START)
    for month, days in groupby(before, key=lambda day: day.month):
        rows: list[Row] = []
        for day in days:
            for position in range(len(records.lines)):
                rows += _rows(catalog, records, position, day)
        part = f"2021m{month:02d}"
        yield Export(catalog.sources[SOURCE], None, None, COLUMNS, rows, part)


def record_exports(catalog: Catalog, records: Records, day: date) -> Iterator[Export]:
    """Yield the deliveries of the campaign's day `day`."""
    for position, line in enumerate(records.lines):
        department = sender(catalog, line, day)
        if not is_silent(department.code, SOURCE, day):
            rows = _rows(catalog, records, position, day)
            yield Export(catalog.sources[SOURCE], department, day, COLUMNS, rows)


def _rows(catalog: Catalog, records: Records, position: int, day: date) -> list[Row]:
    label = sender(catalog, records.lines[position], day).label
    at = records.days.index(day)
    first, last = int(records.bounds[position]), int(records.bounds[position + 1])
    updated = np.flatnonzero(records.new[first:last, at]) + first
    new, cumulative = records.new[updated, at].tolist(), records.cumulative[updated, at].tolist()
    rows: list[Row] = []
    for number, added, total in zip(updated.tolist(), new, cumulative, strict=True):
        item = records.items[number]
        rows.append((label, day, item.code, item.title, item.domain, added, total))
    return rows
