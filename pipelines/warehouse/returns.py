"""What the ledger says of returned feedback workbooks: what they correct, and whether it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines.contracts.delivery import Delivery, Judgement, Verdict, delivery_id
from pipelines.contracts.reasons import Reason
from pipelines.contracts.returns import ALL, FORMAT, Named, named
from pipelines.engine import sql
from pipelines.warehouse.ledger import delivery_of
from pipelines.warehouse.statements import rows

STALE = ("outdated_return", "withdrawn_return")  # what it mends is no more what stands


def corrected(connection: sa.Connection, told: Named) -> Delivery | None:
    """The delivery that a workbook's name says it mends; None when the ledger has none such.

    Of a file of many departments each gets its own rows, and the bureau those of nobody.
    """
    found = rows(
        connection,
        "SELECT * FROM delivery WHERE delivery_id = :id AND verdict <> 'unchanged' "
        "ORDER BY received_at DESC, position DESC LIMIT 1",
        id=told.delivery_id,
    )
    if not found:
        return None
    delivery = delivery_of(found[0], found[0].contract_hash)
    source, department, day, part = delivery.slot
    whose = department if department != ALL else told.department
    slot = (source, whose, day, part)
    return delivery if slot == (told.source, told.department, told.day, told.part) else None


def strays(connection: sa.Connection, paths: Iterable[Path]) -> list[Path]:
    """Those of some files that are feedback workbooks by their names, and mend nothing known."""
    said = ((path, named(path.name)) for path in paths)
    return [path for path, told in said if told and corrected(connection, told) is None]


def resolve(
    connection: sa.Connection, received: Sequence[Delivery]
) -> tuple[list[Delivery], list[Delivery]]:
    """Received deliveries with what the returns among them correct, and the returns of nothing.

    A return is laid upon the newest of its slot when that goes back to what it names, so that
    several departments' returns of one file, or a second of the same workbook, add up. Those that
    come together are laid upon each other in their order.
    """
    known: list[Delivery] = []
    strays: list[Delivery] = []
    last: dict[tuple[str, ...], Delivery] = {}  # of those received together
    for delivery in received:
        told = named(delivery.path.name) if delivery.format == FORMAT else None
        if told is None:
            known.append(delivery)
            continue
        mended = corrected(connection, told)
        if mended is None:
            strays.append(delivery)
            continue
        own = delivery.model_copy(update={"department": mended.department})
        own = own.model_copy(update={"delivery_id": delivery_id(own.slot, FORMAT, own.sha256)})
        newest = (last.get(own.slot), _current(connection, own))
        chains = [(*one.corrects, one.origin) for one in newest if one is not None]
        chains.append((*mended.corrects, mended.origin))
        chain = next(one for one in chains if told.delivery_id in {e.delivery_id for e in one})
        last[own.slot] = own = own.model_copy(update={"corrects": chain})
        known.append(own)
    return known, strays


def _current(connection: sa.Connection, delivery: Delivery) -> Delivery | None:
    """What the slot's newest input was when `delivery` was received."""
    source, department, _, part = delivery.slot
    values: dict[str, Any] = {
        "source": source, "department": department, "day": delivery.business_date, "part": part,
        "received_at": delivery.received_at, "delivery_id": delivery.delivery_id,
    }  # fmt: skip
    found = connection.exec_driver_sql(sql("load/current_input.sql"), values).fetchone()
    return None if found is None else delivery_of(found, found.contract_hash)


def foundations(connection: sa.Connection, source: str) -> list[tuple[str, str]]:
    """Which of a source's returns are laid upon what, directly or not: pairs of delivery ids."""
    found = rows(
        connection,
        "SELECT DISTINCT delivery_id, unnest(corrects).delivery_id AS upon FROM delivery "
        "WHERE source = :source",
        source=source,
    )
    return [(delivery_id, upon) for delivery_id, upon in found]


def refuse_outdated(connection: sa.Connection, wave: Iterable[Judgement]) -> list[Judgement]:
    """The judgements; returns that mend what was replaced since, or withdrawn, are rejected.

    They would bring old data back. It holds for rebuilds as it did at first: what counts is what
    had been received, and was known, when the return came. A person may overrule it.
    """
    return [_refused(connection, one) if one.delivery.corrects else one for one in wave]


def _refused(connection: sa.Connection, judgement: Judgement) -> Judgement:
    delivery = judgement.delivery
    current = _current(connection, delivery)
    laid_upon = {origin.delivery_id for origin in delivery.corrects}
    if current is None or judgement.accounting is None:
        return judgement
    if current.delivery_id not in laid_upon:
        reason = Reason(code="outdated_return", value=current.delivery_id)
    else:
        withdrawn = _withdrawn(connection, delivery, current)
        if withdrawn is None:
            return judgement
        reason = Reason(code="withdrawn_return", value=withdrawn)
    if delivery.overruled is not None:
        return judgement.model_copy(update={"warnings": (reason, *judgement.warnings)})
    return judgement.withheld(Verdict.REJECTED, [reason])


def _withdrawn(connection: sa.Connection, delivery: Delivery, current: Delivery) -> str | None:
    """What a person withdrew of all that a return is laid upon; None if it stands."""
    values: dict[str, Any] = {
        "chain": [origin.delivery_id for origin in delivery.corrects],
        "newest": current.delivery_id, "newest_received_at": current.received_at,
        "delivery_id": delivery.delivery_id, "received_at": delivery.received_at,
    }  # fmt: skip
    found = connection.exec_driver_sql(sql("load/withdrawn_since.sql"), values).fetchone()
    return None if found is None else str(found[0])


def laid_upon(judgement: Judgement) -> list[str]:
    """The deliveries, the whole file first, whose partitions a return may replace as they may.

    None of a whole file, nor of what a person has let replace whatever stands.
    """
    if any(warning.code in STALE for warning in judgement.warnings):
        return []
    return [origin.delivery_id for origin in judgement.delivery.corrects]


def overtaken(connection: sa.Connection) -> list[tuple[str, Reason]]:
    """Of the returns in `incoming`, which partitions something newer provides: they are left."""
    found = rows(
        connection,
        "SELECT delivery_id, count(*) AS count, "
        "list_slice(list(department || ' ' || business_date ORDER BY business_date, department), "
        "1, 3) AS first "
        "FROM incoming WHERE is_overtaken GROUP BY delivery_id",
    )
    return [
        (row[0], Reason(code="overtaken_return", value=", ".join(row[2]), expected=str(row[1])))
        for row in found
    ]
