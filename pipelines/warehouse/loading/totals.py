"""Hold running totals to those that stand: cumulative(d) = cumulative(d-1) + increment(d).

The total before is the latest in force, or of the same wave, for the same department and `by`. How
far the search goes back is counted in days on which rows of the department are in force. A total is
held to the exact figure where the source was not due in between, else only to bounds.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any, NamedTuple

import pyarrow as pa

from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, quoted, rows, run, run_file, sql
from pipelines.tracking.calendar import due_before
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.tables import source_tables

NEAR_DAYS = 31  # a key that none of so many days of its department stated starts anew
OBSERVED = "_observed_{}"  # the temporary table of each of a contract's totals, by its number
PERIODS = {"yearly": "year", "monthly": "month", None: None}


class Break(NamedTuple):
    """Totals of a delivery that do not follow, all of one code; `days`: of department and day."""

    reason: Reason
    holds: bool
    days: list[dict[str, Any]]


def judge_totals(load: Load, wave: Sequence[Judgement], position: int) -> list[Judgement]:
    """Return the wave with its breaks as warnings, or held where the contract says so.

    `position` is the first judgement's. Deliveries that are held leave `_incoming`: the earliest
    break of each department leaves, then the rest is judged again without it, until nothing more
    is held. For a delivery is not to blame if it is the one before it that is wrong.
    """
    judged = list(wave)
    _observe(load)
    while breaks := _breaks(load):
        held = _earliest_held(judged, breaks, position)
        for number in held:
            reasons = breaks[position + number]
            judged[number] = judged[number].withheld(
                Verdict.HELD,
                [each.reason for each in reasons if each.holds],
                [each.reason for each in reasons if not each.holds],
            )
        if not held:
            break
        _remove(load, [position + number for number in held])
    for place, broken in breaks.items():
        judgement = judged[place - position]
        warnings = [each.reason for each in broken]
        is_decided = any(warning.code == "overruled" for warning in judgement.warnings)
        if not is_decided and any(each.holds for each in broken):
            # The contract would hold the delivery, and a person decided that it loads.
            warnings.append(Reason(code="overruled", value=judgement.delivery.overruled or ""))
        judged[place - position] = judgement.model_copy(
            update={"warnings": (*warnings, *judgement.warnings)}
        )
    return judged


def _observe(load: Load) -> None:
    """Collect the totals to judge, and the due day before each of their days."""
    source = load.source
    days: set[date] = set()
    for number, totals in enumerate(source.totals):
        table = OBSERVED.format(number)
        by = {f"_by_{at}": name for at, name in enumerate(source.by_of(totals))}
        figures = {"_cumulative": totals.cumulative, "_increment": totals.increment}
        columns = [f"{quoted(name)} AS {alias}" for alias, name in (by | figures).items()]
        columns.append(
            f"{quoted(totals.correction) if totals.correction else 'NULL'} AS _correction"
        )
        run_file(
            load.connection,
            "loading/totals.sql",
            {"source": source.name, "days": NEAR_DAYS},
            **source_tables(source),
            observed=table,
            columns=", ".join(columns),
            key=", ".join(["department", *by]),
            # a separator that no text from a file contains
            breakdown=f"concat_ws(chr(31), {', '.join(by)})" if by else "''",
        )
        query = f"SELECT DISTINCT business_date FROM {table}"
        days |= {day for (day,) in rows(load.connection, query)}
    before = due_before(source.due, sorted(days), load.calendar)
    due_days = {
        "day": pa.array(before.keys(), pa.date32()),
        "due_before": pa.array(before.values(), pa.date32()),
    }
    keep(load.connection, "_due_day", pa.table(due_days))


def _breaks(load: Load) -> Mapping[int, list[Break]]:
    """Return the breaks of every declaration, by the ledger position of the delivery."""
    breaks: dict[int, list[Break]] = defaultdict(list)
    for number, totals in enumerate(load.source.totals):
        query = sql("loading/total_breaks.sql", observed=OBSERVED.format(number))
        values = {
            "period": PERIODS.get(totals.resets),
            "tolerance": totals.tolerance,
            "has_correction": totals.correction is not None,
        }
        for row in load.connection.exec_driver_sql(query, values):
            reason = Reason(
                code=row.code,
                column=totals.cumulative,
                value=row.value,
                expected=row.expected,
                count=row.rows,
                row=row.first_row,
            )
            holds = totals.on_break == "hold" and row.code != "total_gap_next"
            breaks[row.position].append(Break(reason, holds, row.days))
    return breaks


def _earliest_held(
    judged: Sequence[Judgement], breaks: Mapping[int, Iterable[Break]], position: int
) -> list[int]:
    """Return the place in the wave of each department's earliest delivery that is to be held."""
    earliest: dict[str, tuple[date, int]] = {}
    for place, broken in breaks.items():
        if judged[place - position].delivery.overruled is not None:
            continue
        for day in (day for each in broken if each.holds for day in each.days):
            candidate = (day["business_date"], place - position)
            department = day["department"]
            earliest[department] = min(candidate, earliest.get(department, candidate))
    return sorted({number for _, number in earliest.values()})


def _remove(load: Load, positions: Sequence[int]) -> None:
    """Take held deliveries out of what comes; what they would have replaced stays."""
    held = ", ".join(map(str, positions))
    observed = [OBSERVED.format(number) for number in range(len(load.source.totals))]
    for table in ("_incoming", "_mended", *observed):
        run(load.connection, f"DELETE FROM {table} WHERE position IN ({held})")
    for table in observed:
        update = f"UPDATE {table} SET replaced_by = NULL WHERE replaced_by IN ({held})"
        run(load.connection, update)
