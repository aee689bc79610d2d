"""Write the workbooks that liaisons send to departments: `citybrain feedback`.

Which rows were kept out, and why, is asked of the published copy, so that this works while a load
runs; their cells come from the archive alone (sent_rows.py). A workbook holds personal data: its
mode is 0600.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from pipelines import published
from pipelines.clock import SHANGHAI
from pipelines.deliveries import feedback_form
from pipelines.deliveries.delivery import Delivery, slot_day
from pipelines.deliveries.reasons import Reason
from pipelines.deployment import Deployment
from pipelines.engine import sql
from pipelines.errors import CitybrainError
from pipelines.feedback.sent_rows import SentFile, read_as_sent
from pipelines.feedback.workbook import Feedback, FeedbackRow, write_workbook
from pipelines.machine import disks, logs
from pipelines.operations import steps
from pipelines.warehouse.ledger import delivery_of

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


@dataclass(frozen=True)
class QuarantinedRow:
    """A quarantined row of the published copy: where it stands in its file, and every reason."""

    business_date: date | None
    sheet: str
    number: int
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Faulty:
    """A delivery with rows to mend, by the department whose they are.

    Of a file of many departments each gets its own rows; `all` stands for rows that name nobody
    known. `entry` is the ledger's row.
    """

    delivery: Delivery
    entry: Any
    rows: Mapping[str, Sequence[QuarantinedRow]]


def write(
    deployment: Deployment,
    department: str | None = None,
    source: str | None = None,
    day: date | None = None,
    delivery: str = "",
    out: Path | None = None,
) -> list[Written]:
    """Write a workbook for each delivery that has rows to mend and for each owner of such rows.

    The arguments narrow down which; `delivery` is the start of an id, `day` a business date of the
    delivery or of its rows. Workbooks in the data folder that nobody needs any more are removed. A
    delivery that cannot be read from the archive is reported with its error, and keeps no other
    from being written.
    """
    settings = deployment.settings
    folder = out or settings.feedback
    written: list[Written] = []
    needed: set[Path] = set()
    run_id = steps.new_run_id()
    work = settings.staging / run_id
    with steps.step(settings, run_id, "feedback", source or "") as progress:
        disks.require_disks(settings, settings.archive, settings.published)
        work.mkdir(parents=True, mode=0o700)
        try:
            for faulty in _faulty_deliveries(deployment):
                mended = faulty.delivery
                is_wanted = source in (None, mended.source)
                is_wanted = is_wanted and mended.delivery_id.startswith(delivery)
                places: dict[str, Path] = {}
                for owner, rows in faulty.rows.items():
                    name = feedback_form.file_name(mended.slot, owner, mended.delivery_id)
                    place = folder / owner / name
                    needed.add(place)
                    days = {mended.business_date}
                    if mended.business_date is None:
                        days = {row.business_date for row in rows}
                    if is_wanted and department in (None, owner) and (day is None or day in days):
                        places[owner] = place
                if places:
                    written += _write_workbooks(deployment, faulty, places, work)
            if out is None:
                _remove_stale(folder, needed)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        progress.deliveries = len({workbook.delivery_id for workbook in written})
        progress.rows = sum(workbook.rows for workbook in written)
    return written


def _faulty_deliveries(deployment: Deployment) -> Iterator[Faulty]:
    """Yield each delivery with rows to mend, by the published copy, and those rows by department.

    Sources that are no longer configured are left out: their files cannot be read any more.
    """
    with published.connect(deployment.settings) as connection:
        result = connection.execute(sql("queries/feedback.sql"))
        names = [column[0] for column in result.description]
        for values in result.fetchall():
            entry: Any = SimpleNamespace(**dict(zip(names, values, strict=True)))
            if entry.source not in deployment.catalog.sources:
                continue
            delivery = delivery_of(entry, entry.contract_hash)
            rows: dict[str, list[QuarantinedRow]] = defaultdict(list)
            query = sql("queries/feedback_rows.sql")
            result = connection.execute(query, {"position": entry.position})
            for department, business_date, sheet, number, stored in result.fetchall():
                owner = delivery.department or department or feedback_form.ALL
                reasons = tuple(
                    Reason(**{name: text or "" for name, text in fields.items()})
                    for fields in stored
                )
                rows[owner].append(QuarantinedRow(business_date, sheet, number, reasons))
            if rows:
                yield Faulty(delivery, entry, rows)


def _write_workbooks(
    deployment: Deployment, faulty: Faulty, places: Mapping[str, Path], work: Path
) -> Iterator[Written]:
    """Write those workbooks of a delivery that have a place, reading its file once."""
    delivery = faulty.delivery
    contract = deployment.catalog.sources[delivery.source]
    wanted = {(row.sheet, row.number) for owner in places for row in faulty.rows[owner]}
    file, error = None, ""
    try:
        file = read_as_sent(deployment.settings, deployment.catalog, delivery, wanted, work)
    except CitybrainError as failure:
        error = str(failure)
    for owner, place in places.items():
        rows = faulty.rows[owner]
        if file is not None:
            feedback = _feedback(deployment, faulty, owner, file)
            mended = (_feedback_row(row, file, contract.titles) for row in rows)
            write_workbook(place, feedback, mended)
        yield Written(
            department=owner,
            source=delivery.source,
            business_date=delivery.business_date,
            part=delivery.part,
            delivery_id=delivery.delivery_id,
            rows=len(rows),
            file=None if file is None else place,
            error=error,
        )


def _feedback_row(row: QuarantinedRow, file: SentFile, titles: Mapping[str, str]) -> FeedbackRow:
    """Put the row's reasons beside the cells that they concern, as far as the file has them."""
    sent = file.rows[row.sheet, row.number]
    marks: dict[int, tuple[str, ...]] = {}
    notes: list[str] = []
    for reason in row.reasons:
        position = file.positions.get(reason.column)
        if position is None:
            notes.append(reason.chinese(titles))
        else:
            marks[position] = (*marks.get(position, ()), reason.chinese(titles))
    return FeedbackRow(row.sheet, row.number, sent.cells, marks, tuple(notes), sent.beyond)


def _feedback(deployment: Deployment, faulty: Faulty, owner: str, file: SentFile) -> Feedback:
    """Summarise a delivery and what is wrong with its owner's rows, in Chinese."""
    delivery, entry, rows = faulty.delivery, faulty.entry, faulty.rows[owner]
    contract = deployment.catalog.sources[delivery.source]
    department = deployment.catalog.departments.get(owner)
    judged_at = entry.judged_at.replace(tzinfo=UTC).astimezone(SHANGHAI).replace(tzinfo=None)
    day = delivery.business_date
    facts = [
        ("单位", f"{department.name}（{owner}）" if department else "未能识别单位的数据"),
        ("数据源", f"{contract.title}（{contract.name}）"),
        ("业务日期", slot_day(day) if day else "以文件内各行日期为准"),
        *([("分包", delivery.part)] if delivery.part else []),
        ("文件名", entry.file_name),
        ("检查时间", f"{judged_at:%Y-%m-%d %H:%M}（北京时间）"),
        ("检查结果", VERDICTS[entry.verdict]),
    ]
    whole = "整份文件：" if delivery.department is None else ""
    for name, label in COUNTS:
        count = getattr(entry, name)
        if count or name != "withheld":
            facts.append((label, f"{whole}{count:,} 行"))
    facts.append(("本表待更正行数", f"{len(rows):,} 行"))
    # Rows that fail alike are counted together: their reason is told without its value.
    problems: Counter[str] = Counter()
    for row in rows:
        general = (
            reason.model_copy(update={"value": "…" if reason.value else ""})
            for reason in row.reasons
        )
        problems.update(dict.fromkeys(reason.chinese(contract.titles) for reason in general).keys())
    reasons = [Reason(**fields) for fields in json.loads(entry.reasons)]
    return Feedback(
        delivery_id=delivery.delivery_id,
        sha256=delivery.sha256,
        judged_at=judged_at,
        facts=tuple(facts),
        problems=tuple(problems.most_common()),
        remarks=tuple(
            reason.chinese(contract.titles) for reason in reasons if reason.count is None
        ),
        headers=file.headers,
        units=file.units,
        count=len(rows),
        has_beyond=any(file.rows[row.sheet, row.number].beyond for row in rows),
    )


def _remove_stale(folder: Path, needed: set[Path]) -> None:
    """Remove workbooks of ours, under the very names we give, that nobody needs any more."""
    for path in folder.glob("*/*.xlsx") if folder.is_dir() else ():
        if path in needed or path.is_symlink() or path.parent.is_symlink():
            continue
        name = feedback_form.named(path.name)
        if name is None:
            continue
        slot = (name.source, "", name.day, name.part)
        if path.name == feedback_form.file_name(slot, name.department, name.delivery_id):
            path.unlink(missing_ok=True)
            log.info("a workbook that is needed no more was removed", file=path.name)
