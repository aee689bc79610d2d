"""Holds running totals against what stands: cumulative(d) = cumulative(d-1) + increment(d).

The observation before is the latest in force, or of the same wave, for the same department and
`by`; how far it looks back is counted in days on which the department's rows are in force. It is
held to the figure where the source was not due in between, else only to what can be said.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.comparisons import Totals
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import file_literal, keep, quoted, rows, run, run_file, sql
from pipelines.tracking.calendar import WorkCalendar
from pipelines.tracking.freshness import due_before

NEAR_DAYS = 31  # a key not stated on so many of its department's days starts anew
PERIODS = {"yearly": "year", "monthly": "month", None: None}
Found = Mapping[int, Sequence[tuple[Totals, Reason]]]  # by ledger position


def judge_totals(
    connection: sa.Connection,
    wave: Sequence[Judgement],
    source: Source,
    position: int,
    accepted: Path,
    calendar: WorkCalendar,
) -> list[Judgement]:
    """The wave with its breaks told; deliveries that are held for theirs leave `incoming`.

    `position` is the first judgement's. Where a contract holds, the earliest break of each
    department leaves, and the rest is judged again without it, until nothing more is held.
    """
    judged = list(wave)
    if not source.totals or not rows(connection, "SELECT 1 FROM incoming LIMIT 1"):
        return judged
    _observe(connection, source, accepted)
    _keep_due_days(connection, source, calendar)
    while True:
        run_file(connection, "history/total_breaks.sql")
        found = _found(connection, source)
        held = _to_hold(connection, source, judged, position)
        for number in held:
            judged[number] = _held(judged[number], found[position + number])
        if not held:
            break
        _leave(connection, [position + number for number in held])
    for place, told in found.items():
        judged[place - position] = _warned(judged[place - position], told)
    return judged


def _observe(connection: sa.Connection, source: Source, accepted: Path) -> None:
    """Fill `observed` and `total_entry` with all that the wave's totals are held against."""
    run_file(connection, "history/near_days.sql", source=source.name, days=str(NEAR_DAYS))
    entries = {
        "entry": pa.array(range(len(source.totals)), pa.int32()),
        "tolerance": [one.tolerance for one in source.totals],
        "has_correction": [one.correction is not None for one in source.totals],
        "period": pa.array([PERIODS.get(one.resets) for one in source.totals], pa.string()),
    }
    keep(connection, "total_entry", pa.table(entries))
    run(connection, "ALTER TABLE total_entry ALTER tolerance TYPE DECIMAL(28, 6)")
    for entry, totals in enumerate(source.totals):
        by = {f"by_{at}": name for at, name in enumerate(source.by_of(totals))}
        figures = {"cumulative": totals.cumulative, "increment": totals.increment}
        columns = [f"{quoted(name)} AS {alias}" for alias, name in (by | figures).items()]
        columns.append(
            f"{quoted(totals.correction) if totals.correction else 'NULL'} AS correction"
        )
        parts = {
            "entry": str(entry),
            "table": f"main.{quoted(source.name)}",
            "accepted": file_literal(accepted),
            "columns": ", ".join(columns),
            "key": ", ".join(["department", *by]),
            "texts": f"concat_ws(chr(31), {', '.join(by) or repr('')})",
        }
        run_file(connection, "history/stated.sql", **parts)
        for nearest, farthest in ((1, 1), (2, NEAR_DAYS)):
            span = {"nearest": str(nearest), "farthest": str(farthest)}
            run_file(connection, "history/neighbours.sql", **parts, **span)
        run_file(connection, "history/found.sql", **parts)


def _keep_due_days(connection: sa.Connection, source: Source, calendar: WorkCalendar) -> None:
    """The table `due_day`: of each day observed, the one before it on which the source was due."""
    days = [day for (day,) in rows(connection, "SELECT DISTINCT business_date FROM observed")]
    before = due_before(source.due, days, calendar)
    day = pa.date32()
    keep(
        connection,
        "due_day",
        pa.table(
            {"day": pa.array(before.keys(), day), "due_before": pa.array(before.values(), day)}
        ),
    )


def _found(connection: sa.Connection, source: Source) -> Found:
    found: dict[int, list[tuple[Totals, Reason]]] = defaultdict(list)
    for one in connection.exec_driver_sql(sql("history/total_reasons.sql")):
        totals = source.totals[one.entry]
        reason = Reason(
            code=one.code,
            column=totals.cumulative,
            value=one.value,
            expected=one.expected,
            count=one.rows,
            row=one.first_row,
        )
        found[one.position].append((totals, reason))
    return found


def _holds(totals: Totals, reason: Reason) -> bool:
    return totals.on_break == "hold" and reason.code != "total_gap_next"


def _to_hold(
    connection: sa.Connection, source: Source, judged: Sequence[Judgement], position: int
) -> list[int]:
    """Each department's earliest delivery (by its number in the wave) that its breaks hold."""
    earliest: dict[str, tuple[date, int]] = {}
    for one in rows(
        connection,
        "SELECT DISTINCT entry, code, department, business_date, position FROM total_break "
        "ORDER BY business_date, position",
    ):
        number = one.position - position
        if judged[number].delivery.overruled is not None:
            continue
        if _holds(source.totals[one.entry], Reason(code=one.code)):
            earliest.setdefault(one.department, (one.business_date, number))
    return sorted({number for _, number in earliest.values()})


def _leave(connection: sa.Connection, positions: Sequence[int]) -> None:
    """What is held brings nothing, and what it would have replaced stays."""
    listed = ", ".join(map(str, positions))
    run(
        connection,
        f"DELETE FROM incoming WHERE position IN ({listed}); "
        f"DELETE FROM mended WHERE position IN ({listed}); "
        f"DELETE FROM observed WHERE position IN ({listed}); "
        f"UPDATE observed SET replaced_by = NULL WHERE replaced_by IN ({listed})",
    )


def _held(judgement: Judgement, told: Sequence[tuple[Totals, Reason]]) -> Judgement:
    reasons = [reason for totals, reason in told if _holds(totals, reason)]
    warnings = [reason for totals, reason in told if not _holds(totals, reason)]
    return judgement.withheld(Verdict.HELD, reasons, warnings)


def _warned(judgement: Judgement, told: Sequence[tuple[Totals, Reason]]) -> Judgement:
    """What would be held and is loaded all the same is so by a person's decision."""
    reasons = [reason for _, reason in told]
    decided = [one for one in judgement.warnings if one.code == "overruled"]
    if not decided and any(_holds(totals, reason) for totals, reason in told):
        reasons.append(Reason(code="overruled", value=judgement.delivery.overruled or ""))
    return judgement.model_copy(update={"warnings": (*reasons, *judgement.warnings)})
