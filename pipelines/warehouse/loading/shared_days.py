"""Decide between the parts of a day that comes in several.

The answer follows from the parts that stand, whatever the order in which they were processed
(shared_days.sql). A part that is judged again because of another gets a ledger row that says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from pipelines.deliveries.delivery import Accounting, Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import quoted, rows, run_file
from pipelines.warehouse.ledger import judgement_of
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.tables import source_tables

OF_PARTS = ("part_conflict", "parts_mixed")  # reasons that siblings give, and may take back
ROW = ("delivery_id", "department", "business_date", "sheet", "row_number")


def settle_shared_days(
    load: Load, wave: Sequence[Judgement], position: int
) -> tuple[list[Judgement], list[Judgement]]:
    """Move rows between the source's table and standby; return the wave and siblings, restated.

    Siblings are deliveries that stood before; their new judgements take the ledger positions from
    `position` on. Reads and writes the tables of partitions.sql; leaves `_restated`.
    """
    connection, source = load.connection, load.source
    names = [quoted(name) for name in source.key or source.column_names]
    columns = [quoted(name) for name in source.column_names]
    run_file(
        connection,
        "loading/shared_days.sql",
        {"source": source.name, "position": position, "key_names": ", ".join(source.key)},
        **source_tables(source),
        key=", ".join(names),
        has_key=" AND ".join(f"{quoted(name)} IS NOT NULL" for name in source.key) or "false",
        same_key=" AND ".join(f"placed.{name} = suspects.{name}" for name in names),
        same_row=" AND ".join(
            f"source_row.{name} IS NOT DISTINCT FROM moved.{name}" for name in ROW
        ),
        content=", ".join(f"{name} := placed.{name}" for name in columns),
    )
    changes = {
        row.delivery_id: row
        for row in rows(connection, "SELECT * FROM _restated ORDER BY position")
    }
    former = {
        row.delivery_id: judgement_of(row)
        for row in rows(
            connection,
            "SELECT delivery.* FROM delivery INNER JOIN _restated AS restated "
            "ON delivery.position = restated.former_position WHERE restated.is_sibling",
        )
    }
    restated = [
        _restate(judgement, changes[judgement.delivery.delivery_id])
        if judgement.delivery.delivery_id in changes.keys() - former.keys()
        else judgement
        for judgement in wave
    ]
    siblings = [_restate(former[name], row) for name, row in changes.items() if row.is_sibling]
    return restated, siblings


def _restate(judgement: Judgement, change: sa.Row[Any]) -> Judgement:
    """Return a judgement after its siblings: rows moved between counts, the reasons renewed.

    `change` is a row of `_restated`: how many more rows are kept out than before (less: negative).
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
    before = [reason for reason in judgement.reasons if reason.code == "part_conflict"]
    conflicts = sum(int(reason.value or 0) for reason in before) + change.conflicts
    reasons = [reason for reason in judgement.reasons if reason.code not in OF_PARTS]
    if conflicts:
        reasons.append(Reason(code="part_conflict", value=str(conflicts)))
    if change.refused_days:
        reasons.insert(0, Reason(code="parts_mixed", value=str(change.refused_days)))
    verdict = Verdict.ACCEPTED_WITH_QUARANTINE if accounting.quarantined else Verdict.ACCEPTED
    return judgement.model_copy(
        update={
            "verdict": Verdict.REJECTED if change.is_refused else verdict,
            "accounting": accounting,
            "reasons": tuple(reasons),
        }
    )
