"""Days that come in several parts: what each part may put into the source table.

The answer follows from the parts that stand there, whatever the order in which they were processed
(load/resolve.sql); a part that is judged anew because of another gets a ledger row that says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Accounting, Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, quoted, rows, run, run_file, sql
from pipelines.warehouse.tables import standby_table

OF_PARTS = ("part_conflict", "parts_mixed")  # reasons that siblings give, and may take back


@dataclass(frozen=True)
class Change:
    """How many more rows of a delivery its siblings keep out than before (less: negative)."""

    copies: int
    conflicts: int
    withheld: int


def resolve(connection: sa.Connection, source: Source) -> dict[str, Change]:
    """Move rows between the source table and standby; what changed, by delivery id.

    Reads `incoming` and `replaced`, whose rows have been put in place and taken away; leaves
    `resolved`, the partitions of shared days as they stand now.
    """
    run_file(connection, "load/shared_days.sql")
    if not rows(connection, "SELECT 1 FROM shared_day LIMIT 1"):
        run_file(connection, "load/unresolved.sql")
        return {}
    names = source.key or source.column_names
    run_file(
        connection,
        "load/resolve.sql",
        source=source.name,
        table=f"main.{quoted(source.name)}",
        standby=standby_table(source),
        key=_listed("", names),
        has_key=" AND ".join(f"{quoted(name)} IS NOT NULL" for name in source.key) or "false",
        same_key=" AND ".join(f"placed.{quoted(n)} = suspects.{quoted(n)}" for n in names),
        same_row=" AND ".join(
            f"{quoted(source.name)}.{name} IS NOT DISTINCT FROM moved.{name}"
            for name in ("delivery_id", "department", "business_date", "sheet", "row_number")
        ),
        content=_content("placed", source),
    )
    return {
        row.delivery_id: Change(row.copies, row.conflicts, row.withheld)
        for row in connection.exec_driver_sql(sql("load/siblings.sql"))
    }


def _listed(alias: str, names: Iterable[str]) -> str:
    return ", ".join(f"{alias}{quoted(name)}" for name in names)


def _content(alias: str, source: Source) -> str:
    return ", ".join(f"{quoted(name)} := {alias}.{quoted(name)}" for name in source.column_names)


def restated(judgement: Judgement, change: Change, is_refused: bool, days: int) -> Judgement:
    """A judgement after its siblings: rows moved between its counts, the reasons renewed.

    `is_refused`: none of its days takes it; `days`: how many days do not.
    """
    counts = judgement.accounting
    assert counts is not None
    accounting = Accounting(
        rows_read=counts.rows_read,
        accepted=counts.accepted - change.copies - change.conflicts - change.withheld,
        quarantined=counts.quarantined + change.conflicts,
        duplicates=counts.duplicates + change.copies,
        ignored=counts.ignored,
        withheld=counts.withheld + change.withheld,
    )
    accounting.verify(judgement.delivery)
    before = sum(int(one.value or 0) for one in judgement.reasons if one.code == "part_conflict")
    conflicts = before + change.conflicts
    reasons = [one for one in judgement.reasons if one.code not in OF_PARTS]
    if conflicts:
        reasons.append(Reason(code="part_conflict", value=str(conflicts)))
    if days:
        reasons.insert(0, Reason(code="parts_mixed", value=str(days)))
    verdict = Verdict.ACCEPTED_WITH_QUARANTINE if accounting.quarantined else Verdict.ACCEPTED
    return judgement.model_copy(
        update={
            "verdict": Verdict.REJECTED if is_refused else verdict,
            "accounting": accounting,
            "reasons": tuple(reasons),
        }
    )


def number_siblings(
    connection: sa.Connection, ids: Sequence[str], position: int
) -> dict[str, sa.Row[Any]]:
    """The ledger rows of deliveries that stand and are to be judged anew, by id.

    The table `sibling` says which positions their new judgements take, from `position` on.
    """
    given = pa.table(
        {
            "delivery_id": pa.array(ids, pa.string()),
            "position": pa.array(range(position, position + len(ids)), pa.int64()),
        }
    )
    keep(connection, "given_sibling", given)
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE sibling AS "
        "SELECT given_sibling.delivery_id, given_sibling.position, "
        "max(there.position) AS former_position "
        "FROM given_sibling INNER JOIN delivery_partition AS there USING (delivery_id) "
        "WHERE there.known_until IS NULL GROUP BY ALL",
    )
    if not ids:
        return {}
    found = rows(
        connection,
        "SELECT delivery.* FROM delivery "
        "INNER JOIN sibling ON delivery.position = sibling.former_position",
    )
    return {row.delivery_id: row for row in found}


def refusals(connection: sa.Connection, ids: Iterable[str]) -> dict[str, tuple[bool, int]]:
    """Of deliveries that stand: whether no day takes them, and how many days do not."""
    found = rows(
        connection,
        "SELECT delivery_id, bool_and(is_standby), count(*) FILTER (is_standby) "
        "FROM delivery_partition WHERE known_until IS NULL "
        "AND delivery_id IN (SELECT unnest(CAST($ids AS VARCHAR[]))) GROUP BY delivery_id",
        ids=list(ids),
    )
    return {delivery_id: (refused, days) for delivery_id, refused, days in found}


def quarantine_siblings(connection: sa.Connection, source: Source) -> None:
    """Quarantine rows of the judgements in `judged` that the day's other parts decide."""
    run_file(
        connection,
        "load/quarantine_siblings.sql",
        standby=standby_table(source),
        key=", ".join(source.key),
        content=_content("there", source),
    )
