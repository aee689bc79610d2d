"""Land the sample city: every export, with the irregularities in their places."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path

from pipelines.clock import SHANGHAI
from pipelines.contracts.catalog import Catalog
from pipelines.sample import indicators, surveys
from pipelines.sample.city import (
    CAMPAIGN_START,
    HISTORY_START,
    QUARTER_END,
    due_days,
    lines,
    receipt_time,
    require_fit,
    sender,
    span,
)
from pipelines.sample.exports import Export
from pipelines.sample.irregularities import (
    VERDICTS,
    Irregularity,
    contents,
    irregularities_until,
    lost_records,
    received_after,
)
from pipelines.sample.records import Records, history_exports, make_records, record_exports
from pipelines.sample.writers import Sent, encode, land

HISTORY_RECEIVED = datetime(2021, 9, 23, 8, tzinfo=SHANGHAI)

# Source, department (`all`), business date (None for bulk), extension in small letters.
DeliveryKey = tuple[str, str, date | None, str]


@dataclass(frozen=True)
class SampleSummary:
    """The files that were landed, and the figures and verdicts that they must lead to.

    `facts` are figures as of the last day. `expected` maps each irregular delivery to the number of
    its files by verdict; every other delivery must be accepted, and `verdicts` counts all.
    `strays` are files that are no delivery and must be reported, `ignored` are files that must be
    passed over; both are paths below the landing folder.
    """

    files: int
    bytes: int
    facts: Mapping[str, float]
    expected: Mapping[DeliveryKey, Mapping[str, int]]
    verdicts: Mapping[str, int]
    strays: tuple[str, ...]
    ignored: tuple[str, ...]


def write_sample(
    folder: Path,
    catalog: Catalog,
    until: date = date(2021, 10, 31),
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Land the city's files of 2021-07-01 to `until` below `folder`: the same files on every call.

    `progress` is called with the days done and all days. Raise UsageError for a `catalog` or an
    `until` for which the city cannot be made.
    """
    require_fit(catalog, until)
    records = make_records(catalog, until)
    landing = _Landing(folder, irregularities_until(until))
    for export in history_exports(catalog, records):
        landing.land_history(export)
    days = tuple(span(CAMPAIGN_START, until))
    for done, day in enumerate(days, start=1):
        for export in _exports(catalog, records, day, until):
            landing.land(export)
        if progress is not None:
            progress(done, len(days))
    return landing.summary(_facts(catalog, records, until, landing.lost))


def _exports(catalog: Catalog, records: Records, day: date, until: date) -> Iterator[Export]:
    yield from record_exports(catalog, records, day)
    yield from surveys.video_exports(catalog, day, until)
    yield from surveys.app_exports(catalog, day)
    yield from indicators.indicator_exports(catalog, day, until)


@dataclass
class _Landing:
    """Lands exports one by one and counts for the summary."""

    folder: Path
    irregularities: Sequence[Irregularity]
    files: int = 0
    bytes: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    expected: dict[DeliveryKey, Counter[str]] = field(default_factory=dict)
    beside: dict[str, list[str]] = field(default_factory=lambda: {"stray": [], "ignored": []})
    lost: dict[date, int] = field(default_factory=dict)

    def land_history(self, export: Export) -> None:
        self._put(Sent(export.name("csv"), encode(export, export.variant), HISTORY_RECEIVED))
        self.verdicts["accepted"] += 1

    def land(self, export: Export) -> None:
        irregularities = [each for each in self.irregularities if _concerns(each, export)]
        if not any(irregularity.folder is None for irregularity in irregularities):
            variant = export.variant
            assert export.day is not None
            name = export.name(variant.ext)
            self._put(Sent(name, encode(export, variant), receipt_time(name, export.day)))
            self.verdicts["accepted"] += 1
        for irregularity in irregularities:
            self._land_irregular(irregularity, export)

    def _land_irregular(self, irregularity: Irregularity, export: Export) -> None:
        for landed, content in zip(irregularity.files, contents(irregularity, export), strict=True):
            folder = irregularity.folder
            name = f"{folder}/{landed.name}" if folder else export.name(landed.name)
            received = receipt_time(name, irregularity.day) + received_after(landed)
            self._put(Sent(name, content, received))
            if landed.outcome in VERDICTS:
                place = (irregularity.source, irregularity.department, irregularity.day)
                key = (*place, landed.name.lower())
                self.expected.setdefault(key, Counter())[landed.outcome] += 1
                self.verdicts[landed.outcome] += 1
            else:
                self.beside[landed.outcome].append(name)
        if irregularity.source == "data_records":
            lost = self.lost.get(irregularity.day, 0) + lost_records(irregularity, export)
            self.lost[irregularity.day] = lost

    def _put(self, sent: Sent) -> None:
        self.bytes += land(self.folder, sent)
        self.files += 1

    def summary(self, facts: Mapping[str, float]) -> SampleSummary:
        return SampleSummary(
            files=self.files,
            bytes=self.bytes,
            facts=facts,
            expected={key: dict(counts) for key, counts in self.expected.items()},
            verdicts=dict(self.verdicts),
            strays=tuple(self.beside["stray"]),
            ignored=tuple(self.beside["ignored"]),
        )


def _concerns(irregularity: Irregularity, export: Export) -> bool:
    place = (export.source.name, export.code, export.day)
    return (irregularity.source, irregularity.department, irregularity.day) == place


def _facts(
    catalog: Catalog, records: Records, until: date, lost: Mapping[date, int]
) -> Mapping[str, float]:
    """Return figures as of `until`, counting what the pipeline must accept."""
    quarter_end = min(until, QUARTER_END)
    lost_in_quarter = sum(count for day, count in lost.items() if day <= quarter_end)
    facts: dict[str, float] = {
        "q3_new_records": records.total(HISTORY_START, quarter_end) - lost_in_quarter,
        "campaign_new_records": records.total(CAMPAIGN_START, until) - sum(lost.values()),
        "catalog_items": len(records.items),
        "departments": len(lines(catalog)),
        "departments_with_records": len(records.lines),
        "scenarios": len(surveys.SCENARIOS),
        "fields": len({scenario.field for scenario in surveys.SCENARIOS}),
        "app_visits": sum(
            int(str(row[4]))
            for day in span(CAMPAIGN_START, until)
            for export in surveys.app_exports(catalog, day)
            for row in export.rows
        ),
    }
    return {**facts, **_video_facts(catalog, until), **_indicator_facts(catalog, until)}


def _video_facts(catalog: Catalog, until: date) -> Mapping[str, float]:
    """Return figures of each department's latest survey, also of departments now silent."""
    latest: dict[str, Export] = {}
    for day in due_days(catalog.sources[surveys.VIDEO], catalog, until):
        line_of = {sender(catalog, line, day).code: line for line in lines(catalog)}
        for export in surveys.video_exports(catalog, day, until):
            latest[line_of[export.code]] = export
    rows = [row for export in latest.values() for row in export.rows]
    if not rows:
        return {}
    return {
        "video_channels": len(rows),
        "video_channels_integrated": sum(row[3] is True for row in rows),
        "video_channels_offline": sum(row[2] == "离线" for row in rows),
    }


def _indicator_facts(catalog: Catalog, until: date) -> Mapping[str, float]:
    weekly = indicators.report_days(catalog, until)
    if not weekly:
        return {}
    facts: dict[str, float] = {
        name: indicators.latest(title, weekly[-1])
        for name, title in (
            ("service_venues", "实体政务服务场所数"),
            ("kiosks", "自助终端数"),
            ("base_stations", "5G基站建成数"),
        )
    }
    closing = QUARTER_END if until >= QUARTER_END else weekly[-1]
    facts["catalog_entries"] = indicators.latest("政务数据资源目录完善数", closing)
    online = indicators.latest("全程网办事项数", until)
    facts["online_service_rate"] = 100 * online / indicators.latest("政务服务事项总数", until)
    return facts
