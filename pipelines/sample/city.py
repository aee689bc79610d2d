"""The made-up city: its days, the departments that send, the silent ones, the pace of each.

The totals are published figures of one real quarter; everything below them is invented.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

import chinese_calendar
import numpy as np
from numpy.typing import NDArray

from pipelines.clock import SHANGHAI
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.departments import Department
from pipelines.contracts.due import Frequency
from pipelines.contracts.sources import Source
from pipelines.errors import UsageError

SEED = 20210923

HISTORY_START = date(2021, 7, 1)
CAMPAIGN_START = date(2021, 9, 23)
QUARTER_END = date(2021, 9, 30)
LAST_DAY = date(2021, 12, 31)
CAMPAIGN_DAYS = 100
CAMPAIGN = "hundred_day_collection"
SOURCES = ("data_records", "video_channels", "app_visits", "indicator_reports")

# Published figures of the third quarter of 2021.
QUARTER_RECORDS = 265_000_000
CATALOG_ITEMS = 5041
VIDEO_CHANNELS = 6417

# Actual over plan during the campaign; other departments lie between 0.95 and 1.12.
PACE: Mapping[str, float] = {
    "swju": 1.32,
    "zrzy": 1.35,
    "fgw": 1.40,
    "tjj": 1.30,  # ahead
    "rsj": 0.90,
    "jtys": 0.91,
    "gjj": 0.88,
    "mzj": 0.89,
    "czj": 0.92,  # at risk
    "scjg": 0.52,
    "ybj": 0.60,
    "jtj": 0.55,
    "zwfw": 0.64,
    "wjw": 0.68,  # behind
    "gdgs": 0.72,
    "whly": 0.79,
    "xcb": 0.50,
}


@dataclass(frozen=True)
class Silence:
    """A department that sends nothing (of `source`, if one is named) from `start` on."""

    department: str
    start: date
    source: str = ""


SILENCES = (
    # It answers surveys and has never collected a record.
    Silence("rfb", HISTORY_START, "data_records"),
    Silence("hszh", date(2021, 10, 12)),
)


def is_silent(department: str, source: str, day: date) -> bool:
    """Return True if `department` sends nothing of `source` for business date `day`."""
    return any(
        silence.department == department and silence.source in ("", source) and silence.start <= day
        for silence in SILENCES
    )


def require_fit(catalog: Catalog, until: date) -> None:
    """Raise UsageError unless the city can be made for `catalog` up to `until`."""
    if not CAMPAIGN_START <= until <= LAST_DAY:
        raise UsageError(f"the sample city lives from {CAMPAIGN_START} to {LAST_DAY}, not {until}")
    missing = [name for name in SOURCES if name not in catalog.sources]
    missing += [name for name in (CAMPAIGN,) if name not in catalog.targets]
    if missing:
        raise UsageError(
            f"the sample city needs {', '.join(missing)}, which this configuration does not have; "
            "make the sample with the repository's own configuration"
        )


def lines(catalog: Catalog) -> tuple[str, ...]:
    """Return the departments of the campaign's first day; later renames continue their lines."""
    departments = catalog.departments.items()
    return tuple(code for code, department in departments if department.valid_on(CAMPAIGN_START))


def sender(catalog: Catalog, line: str, day: date) -> Department:
    """Return the department that sends for `line` on `day`: itself, or the successor then valid."""
    department = catalog.departments[line]
    while not department.valid_on(day) and department.successor is not None:
        department = catalog.departments[department.successor]
    return department


def span(first: date, last: date) -> Iterator[date]:
    """Yield every day from `first` to `last`, both included."""
    for offset in range((last - first).days + 1):
        yield first + timedelta(days=offset)


def due_days(source: Source, catalog: Catalog, until: date) -> tuple[date, ...]:
    """Return the business dates on which `source` is sent.

    A weekly source is sent on its weekday, or on the next working day if that is a holiday.
    """
    due = source.due
    assert due is not None, f"{source.name} is due on no day"
    days = list(span(due.start, until))
    if due.frequency is Frequency.DAILY:
        return tuple(days)
    weekdays = (day for day in days if day.isoweekday() == due.weekday)
    moved = (_workday_from(day, catalog.holidays) for day in weekdays)
    return tuple(sorted({day for day in moved if day <= until}))


def _workday_from(day: date, holidays: Mapping[date, bool]) -> date:
    while not holidays.get(day, chinese_calendar.is_workday(day)):
        day += timedelta(days=1)
    return day


def receipt_time(name: str, day: date) -> datetime:
    """Return when the file `name` of `day` arrives: between 00:10 and 01:50 of the next day."""
    seconds = 600 + zlib.crc32(name.encode()) % 6000
    midnight = datetime.combine(day + timedelta(days=1), time(), SHANGHAI)
    return midnight + timedelta(seconds=seconds)


def apportion(weights: Sequence[float], total: int, least: int) -> NDArray[np.int64]:
    """Return whole numbers of at least `least` that follow `weights` and sum to `total`."""
    share = np.asarray(weights, dtype=float)
    exact = share / share.sum() * (total - least * len(share))
    counts: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    largest_remainders = np.argsort(counts - exact, kind="stable")
    counts += least
    counts[largest_remainders[: total - int(counts.sum())]] += 1
    return counts


SURNAMES = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
GIVEN = ("建国", "晓燕", "志强", "丽", "文斌", "海燕", "军", "敏", "永红", "思远", "静", "国平")


def person(number: int) -> tuple[str, str]:
    """Return an invented name and telephone number."""
    name = SURNAMES[number % len(SURNAMES)] + GIVEN[number // 7 % len(GIVEN)]
    return name, f"1990000{number * 37 % 10000:04d}"
