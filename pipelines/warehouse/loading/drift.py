"""Holds deliveries against their department's past, by the profiles that staging made of them.

What differs is told as a warning and never held. The past are deliveries that are in force, or of
the same wave, and had been received before, for other days.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.due import Frequency
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Judgement
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, rows, run, sql
from pipelines.tracking.calendar import WorkCalendar

TOLD_COLUMNS = 20  # of new ones, and of vanished ones; a file may have a million


def tell_drift(
    connection: sa.Connection,
    wave: Sequence[Judgement],
    source: Source,
    position: int,
    calendar: WorkCalendar,
) -> list[Judgement]:
    """The wave with its drifts among its warnings; its profiles are kept for those to come.

    `position` is the first judgement's. Reads `incoming`, before the wave's partitions are known.
    """
    judged = list(wave)
    drift = source.drift
    if drift is None or all(one.profile is None for one in wave):
        return judged
    keep(connection, "looked", _profiles(connection, wave, position))
    _keep_kinds(connection, calendar)
    found = connection.exec_driver_sql(
        sql("history/drift.sql"),
        {
            "source": source.name,
            "by_weekday": source.due is not None and source.due.frequency is Frequency.DAILY,
            **drift.model_dump(exclude={"categories"}),
        },
    )
    told: dict[int, list[Reason]] = defaultdict(list)
    for place, code, column, value, expected in found:
        if sum(one.code == code for one in told[place]) < TOLD_COLUMNS:
            told[place].append(_reason(code, column, value, expected, source.titles))
    for place, reasons in told.items():
        one = judged[place - position]
        judged[place - position] = one.model_copy(update={"warnings": (*one.warnings, *reasons)})
    run(connection, "INSERT INTO profile BY NAME SELECT * EXCLUDE (is_taken) FROM looked")
    return judged


def _keep_kinds(connection: sa.Connection, calendar: WorkCalendar) -> None:
    """The table `day_kind`: every day of the wave and of its departments' past, worked or not."""
    query = (
        "SELECT business_date FROM profile SEMI JOIN looked USING (source, department) "
        "UNION SELECT business_date FROM looked"
    )
    days = [day for (day,) in rows(connection, query) if day is not None]
    kinds = {
        "business_date": pa.array(days, pa.date32()),
        "is_working": pa.array([calendar.is_workday(day) for day in days], pa.bool_()),
    }
    keep(connection, "day_kind", pa.table(kinds))


def _reason(code: str, column: str, value: str, expected: str, titles: Mapping[str, str]) -> Reason:
    if code in ("drift_column_new", "drift_column_gone"):  # of the file, not of the contract
        return Reason(code=code, value=titles.get(column, column))
    return Reason(code=code, column=column, value=value, expected=expected)


def _profiles(connection: sa.Connection, wave: Sequence[Judgement], position: int) -> pa.Table:
    query = "SELECT DISTINCT position FROM incoming WHERE NOT is_late"
    loaded = {place for (place,) in rows(connection, query)}
    looked = [
        (place, one.delivery, one.profile)
        for place, one in enumerate(wave, position)
        if one.profile is not None
    ]
    text, count = pa.string(), pa.int64()
    profiles = [profile for _, _, profile in looked]
    return pa.table(
        {
            "position": pa.array([place for place, _, _ in looked], count),
            "delivery_id": pa.array([one.delivery_id for _, one, _ in looked], text),
            "source": pa.array([one.source for _, one, _ in looked], text),
            "department": pa.array([one.department for _, one, _ in looked], text),
            "business_date": pa.array([one.business_date for _, one, _ in looked], pa.date32()),
            "part": pa.array([one.part for _, one, _ in looked], text),
            "received_at": pa.array([one.received_at for _, one, _ in looked], pa.timestamp("us")),
            "rows": pa.array([one.rows for one in profiles], count),
            "good_rows": pa.array([one.good_rows for one in profiles], count),
            "columns": pa.array([one.columns for one in profiles], pa.list_(text)),
            "extra_columns": pa.array([one.extra_columns for one in profiles], pa.list_(text)),
            "nulls": pa.array([list(one.nulls.items()) for one in profiles], pa.map_(text, count)),
            "categories": pa.array(
                [list(one.categories.items()) for one in profiles], pa.map_(text, pa.list_(text))
            ),
            "is_taken": pa.array([place in loaded for place, _, _ in looked], pa.bool_()),
        }
    )
