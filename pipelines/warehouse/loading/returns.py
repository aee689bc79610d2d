"""Find what returned feedback workbooks correct, by the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines.deliveries.delivery import Delivery, delivery_id
from pipelines.deliveries.feedback_form import ALL, FORMAT, Named, named
from pipelines.engine import rows, sql
from pipelines.warehouse.ledger import delivery_of


def corrected_delivery(
    connection: sa.Connection, workbook: Named, before: datetime = datetime.max
) -> Delivery | None:
    """Return the delivery that a workbook's name says it mends; None if the ledger has none.

    Of its receipts the last one `before`, or the last of all. The workbook must come from the
    department of the delivery; of a file of many departments each department gets a workbook of
    its own rows, and the bureau one of the rows that are nobody's.
    """
    entries = rows(
        connection,
        "SELECT * FROM delivery WHERE delivery_id = $id AND verdict <> 'unchanged' "
        "ORDER BY received_at < $before DESC, received_at DESC, position DESC LIMIT 1",
        id=workbook.delivery_id,
        before=before,
    )
    if not entries:
        return None
    delivery = delivery_of(entries[0], entries[0].contract_hash)
    source, department, day, part = delivery.slot
    sender = department if department != ALL else workbook.department
    is_same = (source, sender, day, part) == (
        workbook.source,
        workbook.department,
        workbook.day,
        workbook.part,
    )
    return delivery if is_same else None


def strays(connection: sa.Connection, paths: Iterable[Path]) -> list[Path]:
    """Return the files that have the name of a feedback workbook and mend nothing we know."""
    workbooks = ((path, named(path.name)) for path in paths)
    return [
        path
        for path, workbook in workbooks
        if workbook and corrected_delivery(connection, workbook) is None
    ]


def resolve_returns(
    connection: sa.Connection, received: Sequence[Delivery]
) -> tuple[list[Delivery], list[Delivery]]:
    """Return the deliveries, each return with what it corrects, and the returns of nothing.

    A return is laid upon the newest of what it names and of that delivery's returns, so that
    several departments' returns of one file, or a second of the same workbook, add up. Returns
    that come together are laid upon each other in their order. None is received before what it is
    laid upon, whatever its sender's clock says: it gets a later time if need be.
    """
    resolved: list[Delivery] = []
    strays: list[Delivery] = []
    last: dict[str, Delivery] = {}  # returns received together: the last of each whole file
    for delivery in received:
        workbook = named(delivery.path.name) if delivery.format == FORMAT else None
        if workbook is None:
            resolved.append(delivery)
            continue
        mended = corrected_delivery(connection, workbook, delivery.received_at)
        if mended is None:
            strays.append(delivery)
            continue
        slot = (*delivery.slot[:1], mended.slot[1], *delivery.slot[2:])
        delivery = delivery.model_copy(
            update={
                "department": mended.department,
                "delivery_id": delivery_id(slot, FORMAT, delivery.sha256),
            }
        )
        whole = mended.corrects[0] if mended.corrects else mended.origin
        before = last.get(whole.delivery_id)
        delivery = _as_received_before(connection, delivery, before) or _lay_upon_newest(
            connection, delivery, mended, before
        )
        last[whole.delivery_id] = delivery
        resolved.append(delivery)
    return sorted(resolved, key=lambda delivery: delivery.order), strays


def _as_received_before(
    connection: sa.Connection, delivery: Delivery, last: Delivery | None
) -> Delivery | None:
    """Return the return as it was received already: under another name, or by a killed run."""
    if last is not None and last.delivery_id == delivery.delivery_id:
        received_at, corrects = last.received_at, last.corrects
    else:
        entries = rows(
            connection,
            "SELECT * FROM delivery WHERE delivery_id = $id AND received_at >= $received_at "
            "ORDER BY received_at, position LIMIT 1",
            id=delivery.delivery_id,
            received_at=delivery.received_at,
        )
        if not entries:
            return None
        entry = delivery_of(entries[0], delivery.contract_hash)
        received_at, corrects = entry.received_at, entry.corrects
    return delivery.model_copy(update={"received_at": received_at, "corrects": corrects})


def _lay_upon_newest(
    connection: sa.Connection, delivery: Delivery, mended: Delivery, last: Delivery | None
) -> Delivery:
    """Lay a return upon the newest of the delivery that it mends and of that one's returns."""
    named_id = mended.delivery_id
    others = (
        last,
        newest_input(connection, delivery, [named_id], delivery.received_at),
        newest_input(connection, delivery, [named_id]),
    )
    returns = [other for other in others if other and other.corrects and named_id in family(other)]
    newest = max([mended, *returns], key=lambda each: (each.received_at, each.delivery_id))
    return delivery.model_copy(
        update={
            "corrects": (*newest.corrects, newest.origin),
            "received_at": max(
                delivery.received_at, newest.received_at + timedelta(microseconds=1)
            ),
        }
    )


def family(delivery: Delivery) -> set[str]:
    """Return the ids of a delivery and of what it is laid upon."""
    return {delivery.delivery_id, *(origin.delivery_id for origin in delivery.corrects)}


def newest_input(
    connection: sa.Connection,
    delivery: Delivery,
    family: Sequence[str] = (),
    before: datetime = datetime.max,
) -> Delivery | None:
    """Return the newest input of the delivery's slot that was loaded, received `before`.

    With a `family` of delivery ids only these and their returns count, and also one that was held
    or quarantined and so has rows to mend.
    """
    source, department, _, part = delivery.slot
    values: dict[str, Any] = {
        "source": source,
        "department": department,
        "day": delivery.business_date,
        "part": part,
        "family": list(family),
        "before": before,
    }
    row = connection.exec_driver_sql(sql("loading/current_input.sql"), values).fetchone()
    return None if row is None else delivery_of(row, row.contract_hash)


def foundations(connection: sa.Connection, source: str) -> list[tuple[str, str]]:
    """Return pairs of ids: a return of the source, and a delivery that it is laid upon."""
    pairs = rows(
        connection,
        "SELECT DISTINCT delivery_id, unnest(corrects).delivery_id AS upon FROM delivery "
        "WHERE source = $source",
        source=source,
    )
    return [(delivery_id, upon) for delivery_id, upon in pairs]


def without_refused(connection: sa.Connection, delivery: Delivery) -> Delivery:
    """Lay a return upon its whole file and upon only the returns before it that were loaded."""
    if not delivery.corrects:
        return delivery
    whole, *later = delivery.corrects
    loaded = rows(
        connection,
        "SELECT delivery_id FROM delivery WHERE verdict <> 'unchanged' AND list_contains($upon, "
        "delivery_id) GROUP BY delivery_id "
        "HAVING arg_max(verdict, (received_at, position)) IN ('accepted', "
        "'accepted_with_quarantine')",
        upon=[origin.delivery_id for origin in later],
    )
    ids = {row.delivery_id for row in loaded}
    corrects = (whole, *(origin for origin in later if origin.delivery_id in ids))
    return delivery.model_copy(update={"corrects": corrects})
