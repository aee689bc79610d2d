"""Compare deliveries with their department's past, by the profiles that staging made of them.

Differences are warnings and never hold a delivery back. The past are deliveries for other days that
were received before and are in force, or come in the same wave.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import count

import pyarrow as pa

from pipelines.contracts.due import Frequency
from pipelines.deliveries.delivery import Judgement
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, rows, run, sql
from pipelines.warehouse.loading.context import Load

SHOWN_COLUMNS = 20  # new ones, and vanished ones, in the warnings: a file may have a million
PROFILED = pa.schema(
    [
        ("position", pa.int64()),
        ("delivery_id", pa.string()),
        ("source", pa.string()),
        ("department", pa.string()),
        ("business_date", pa.date32()),
        ("part", pa.string()),
        ("received_at", pa.timestamp("us")),
        ("rows", pa.int64()),
        ("good_rows", pa.int64()),
        ("columns", pa.list_(pa.string())),
        ("extra_columns", pa.list_(pa.string())),
        ("nulls", pa.map_(pa.string(), pa.int64())),
        ("categories", pa.map_(pa.string(), pa.list_(pa.string()))),
        ("is_taken", pa.bool_()),
    ]
)


def warn_of_drift(load: Load, wave: Sequence[Judgement], position: int) -> list[Judgement]:
    """Return the wave with its drifts among its warnings; keep its profiles for later deliveries.

    `position` is the first judgement's. Reads `_incoming`; writes `_profiled` and `_day_kind`.
    """
    connection, source, drift = load.connection, load.source, load.source.drift
    assert drift is not None
    keep(connection, "_profiled", _profiles(load, wave, position))
    _keep_day_kinds(load)
    differences = connection.exec_driver_sql(
        sql("loading/drift.sql"),
        {
            "source": source.name,
            "by_weekday": source.due is not None and source.due.frequency is Frequency.DAILY,
            **drift.model_dump(exclude={"categories"}),
        },
    )
    warnings: dict[int, list[Reason]] = defaultdict(list)
    shown: Counter[tuple[int, str]] = Counter()
    for place, code, column, value, expected in differences:
        shown[place, code] += 1
        if shown[place, code] > SHOWN_COLUMNS:
            continue
        if code in ("drift_column_new", "drift_column_gone"):  # a column of the file
            reason = Reason(code=code, value=source.titles.get(column, column))
        else:
            reason = Reason(code=code, column=column, value=value, expected=expected)
        warnings[place].append(reason)
    run(connection, "INSERT INTO profile BY NAME SELECT * EXCLUDE (is_taken) FROM _profiled")
    return [
        judgement.model_copy(update={"warnings": (*judgement.warnings, *warnings[place])})
        if place in warnings
        else judgement
        for place, judgement in zip(count(position), wave)
    ]


def _profiles(load: Load, wave: Sequence[Judgement], position: int) -> pa.Table:
    """Return the wave's profiles, a row each; `is_taken`: rows of it come into force."""
    query = "SELECT DISTINCT position FROM _incoming WHERE NOT is_late"
    taken = {place for (place,) in rows(load.connection, query)}
    profiled = [
        {
            **judgement.delivery.model_dump(include=set(PROFILED.names)),
            **judgement.profile.model_dump(exclude={"nulls", "categories"}),
            "nulls": list(judgement.profile.nulls.items()),
            "categories": list(judgement.profile.categories.items()),
            "position": place,
            "is_taken": place in taken,
        }
        for place, judgement in enumerate(wave, position)
        if judgement.profile is not None
    ]
    return pa.Table.from_pylist(profiled, PROFILED)


def _keep_day_kinds(load: Load) -> None:
    """Keep in `_day_kind` which days of the wave and of its departments' past are working days."""
    query = (
        "SELECT business_date FROM profile SEMI JOIN _profiled USING (source, department) "
        "UNION SELECT business_date FROM _profiled"
    )
    days = [day for (day,) in rows(load.connection, query) if day is not None]
    kinds = {
        "business_date": pa.array(days, pa.date32()),
        "is_working": pa.array([load.calendar.is_workday(day) for day in days], pa.bool_()),
    }
    keep(load.connection, "_day_kind", pa.table(kinds))
