"""`citybrain feedback`: the workbooks that liaisons send to departments, one a delivery.

Which rows were kept out, and why, is asked of the published copy, so that it works while a load
runs; their cells come from the archive alone (`ingest/as_sent.py`). A workbook holds personal
data: mode 0600.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

from pipelines import published
from pipelines.clock import SHANGHAI
from pipelines.contracts.catalog import Catalog
from pipelines.contracts.sources import Source
from pipelines.deliveries import feedback_form
from pipelines.deliveries.delivery import Delivery, slot_day
from pipelines.deliveries.reasons import Reason
from pipelines.deployment import Deployment
from pipelines.engine import sql
from pipelines.errors import CitybrainError
from pipelines.machine import disks, logs
from pipelines.machine.failures import naming_file
from pipelines.operations import steps
from pipelines.settings import Settings
from pipelines.warehouse.ledger import delivery_of

if TYPE_CHECKING:
    from pipelines.feedback.sent_rows import SentFile
    from pipelines.feedback.workbook import Feedback, Mended

log = logs.get(__name__)
VERDICTS = {
    "accepted_with_quarantine": "已采集，部分行隔离",
    "rejected": "未采集（整体退回）",
    "held": "暂缓采集，待人工确认",
    "accepted": "已采集",
}
COUNTS = (
    ("rows_read", "读取行数"),
    ("accepted", "采集行数"),
    ("quarantined", "隔离行数"),
    ("duplicates", "重复行数"),
    ("ignored", "忽略行数"),
    ("withheld", "扣留行数"),
)


@dataclass(frozen=True)
class Written:
    """A workbook: whose, of which delivery, how many rows; where it is, or why it could not be."""

    department: str
    source: str
    business_date: date | None
    part: str
    delivery_id: str
    rows: int
    file: Path | None
    error: str = ""


class _Quarantined(NamedTuple):
    """A quarantined row of the published copy."""

    department: str | None
    business_date: date | None
    sheet: str
    number: int
    reasons: Sequence[Mapping[str, str | None]]


def write(
    deployment: Deployment,
    department: str | None = None,
    source: str | None = None,
    day: date | None = None,
    delivery: str = "",
    out: Path | None = None,
) -> list[Written]:
    """Write a workbook for each delivery that has rows to mend, and for whose rows they are.

    Those of the data folder that nobody needs any more are removed. What cannot be read from the
    archive is told of with its error, and keeps no other from being written.
    """
    settings, catalog = deployment.settings, deployment.catalog
    folder = out or settings.feedback
    done: list[Written] = []
    needed: set[Path] = set()
    run_id = steps.new_run_id()
    work = settings.staging / run_id
    with steps.step(settings, run_id, "feedback", source or "") as told:
        disks.require_disks(settings, settings.archive, settings.published)
        work.mkdir(parents=True, mode=0o700)
        try:
            for entry, rows in _to_mend(settings, catalog):
                mended = delivery_of(entry, entry.contract_hash)
                by_owner = _by_owner(mended, rows)
                places = {
                    whose: _place(folder, mended, whose, some) for whose, some in by_owner.items()
                }
                needed |= set(places.values())
                wanted = {
                    whose: places[whose]
                    for whose, some in by_owner.items()
                    if department in (None, whose)
                    and source in (None, mended.source)
                    and (day is None or day in {mended.business_date, *_days(mended, some)})
                    and mended.delivery_id.startswith(delivery)
                }
                done += _write(settings, catalog, entry, mended, by_owner, wanted, work)
            if out is None:
                _remove_stale(folder, needed)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        told.deliveries = len({one.delivery_id for one in done})
        told.rows = sum(one.rows for one in done)
    return done


def _to_mend(settings: Settings, catalog: Catalog) -> Iterator[tuple[Any, list[_Quarantined]]]:
    """Deliveries to be mended, as ledger rows, with their quarantined rows."""
    with published.connect(settings) as connection:
        result = connection.execute(sql("queries/feedback.sql"))
        names = [column[0] for column in result.description]
        for values in result.fetchall():
            entry = SimpleNamespace(**dict(zip(names, values, strict=True)))
            if entry.source not in catalog.sources:
                continue
            found = connection.execute(
                sql("queries/feedback_rows.sql"), {"position": entry.position}
            ).fetchall()
            if found:
                yield entry, [_Quarantined(*values) for values in found]


def _by_owner(delivery: Delivery, rows: Iterable[_Quarantined]) -> dict[str, list[_Quarantined]]:
    """Rows by whose they are: of a file of many departments each gets its own."""
    found: dict[str, list[_Quarantined]] = defaultdict(list)
    for row in rows:
        found[delivery.department or row.department or feedback_form.ALL].append(row)
    return found


def _days(delivery: Delivery, rows: Iterable[_Quarantined]) -> set[date | None]:
    """The days that rows of a file of many days are of."""
    return {row.business_date for row in rows} if delivery.business_date is None else set()


def _place(folder: Path, delivery: Delivery, whose: str, rows: Iterable[_Quarantined]) -> Path:
    return folder / whose / feedback_form.file_name(delivery.slot, whose, delivery.delivery_id)


def _write(
    settings: Settings,
    catalog: Catalog,
    entry: Any,
    delivery: Delivery,
    by_owner: Mapping[str, list[_Quarantined]],
    wanted: Mapping[str, Path],
    work: Path,
) -> Iterator[Written]:
    """Write those workbooks of a delivery that are `wanted`, reading its file once."""
    from pipelines.feedback.sent_rows import read_as_sent

    if not wanted:
        return
    of_all = [one for whose in wanted for one in by_owner[whose]]
    error = ""
    try:
        file = read_as_sent(
            settings, catalog, delivery, {(one.sheet, one.number) for one in of_all}, work
        )
    except CitybrainError as failure:
        error = str(failure)
    for whose, place in wanted.items():
        some = by_owner[whose]
        told = (
            whose,
            delivery.source,
            delivery.business_date,
            delivery.part,
            delivery.delivery_id,
            len(some),
        )
        if error:
            yield Written(*told, None, error)
            continue
        contract = catalog.sources[delivery.source]
        summary = _summary(catalog, contract, entry, delivery, whose, some, file)
        mended = (_mended(one, file, contract.titles) for one in some)
        _put(place, summary, mended)
        yield Written(*told, place)


def _mended(row: _Quarantined, file: SentFile, titles: Mapping[str, str]) -> Mended:
    from pipelines.feedback.workbook import Mended

    raw = file.rows[row.sheet, row.number]
    marks: dict[int, tuple[str, ...]] = {}
    notes: list[str] = []
    for reason in _reasons(row):
        position = file.positions.get(reason.column)
        if position is None:
            notes.append(reason.chinese(titles))
        else:
            marks[position] = (*marks.get(position, ()), reason.chinese(titles))
    return Mended(row.sheet, row.number, raw.cells, marks, tuple(notes), raw.beyond)


def _reasons(row: _Quarantined) -> list[Reason]:
    return [Reason(**{name: text or "" for name, text in one.items()}) for one in row.reasons]


def _summary(
    catalog: Catalog,
    contract: Source,
    entry: Any,
    delivery: Delivery,
    whose: str,
    rows: Sequence[_Quarantined],
    file: SentFile,
) -> Feedback:
    from pipelines.feedback.workbook import Feedback

    department = catalog.departments.get(whose)
    judged_at = entry.judged_at.replace(tzinfo=UTC).astimezone(SHANGHAI).replace(tzinfo=None)
    day = delivery.business_date
    facts = [
        ("单位", f"{department.name}（{whose}）" if department else "未能识别单位的数据"),
        ("数据源", f"{contract.title}（{contract.name}）"),
        ("业务日期", slot_day(day) if day else "以文件内各行日期为准"),
        *([("分包", delivery.part)] if delivery.part else []),
        ("文件名", entry.file_name),
        ("检查时间", f"{judged_at:%Y-%m-%d %H:%M}（北京时间）"),
        ("检查结果", VERDICTS[entry.verdict]),
    ]
    counts = [(said, getattr(entry, name)) for name, said in COUNTS]
    whole = "整份文件：" if delivery.department is None else ""
    facts += [
        (said, f"{whole}{count:,} 行") for said, count in counts if count or said != "扣留行数"
    ]
    facts.append(("本表待更正行数", f"{len(rows):,} 行"))
    problems = Counter(
        text for one in rows for text in {_general(reason, contract) for reason in _reasons(one)}
    )
    reasons = [Reason(**told) for told in json.loads(entry.reasons)]
    of_whole = [reason for reason in reasons if reason.count is None]
    return Feedback(
        delivery_id=delivery.delivery_id,
        sha256=delivery.sha256,
        judged_at=judged_at,
        facts=tuple(facts),
        problems=tuple(problems.most_common()),
        remarks=tuple(reason.chinese(contract.titles) for reason in of_whole),
        headers=file.headers,
        units=file.units,
        count=len(rows),
        has_beyond=any(file.rows[one.sheet, one.number].beyond for one in rows),
    )


def _general(reason: Reason, contract: Source) -> str:
    """A reason without what was found, so that rows that fail alike are counted together."""
    return reason.model_copy(update={"value": "…" if reason.value else ""}).chinese(contract.titles)


def _put(place: Path, summary: Feedback, rows: Iterable[Mended]) -> None:
    """Write a workbook aside and put it in place: nobody ever finds half of one."""
    from pipelines.feedback.workbook import in_order, write_workbook

    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".", suffix=".xlsx")  # mode 0600
    os.close(handle)
    unfinished = Path(name)
    try:
        with naming_file(place):
            write_workbook(unfinished, summary, in_order(rows, summary.count))
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


def _remove_stale(folder: Path, needed: set[Path]) -> None:
    """Remove workbooks of ours, under the very names we give, that nobody needs any more."""
    for path in folder.glob("*/*.xlsx") if folder.is_dir() else ():
        told = feedback_form.named(path.name)
        if told is None or path in needed or path.is_symlink() or path.parent.is_symlink():
            continue
        slot = (told.source, "", told.day, told.part)
        if path.name == feedback_form.file_name(slot, told.department, told.delivery_id):
            path.unlink(missing_ok=True)
            log.info("a workbook that is needed no more was removed", file=path.name)
