"""What the ledger says of returned feedback workbooks: what they correct, and whether it stands."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from pipelines.deliveries.delivery import Delivery, Judgement, Verdict, delivery_id
from pipelines.deliveries.feedback_form import ALL, FORMAT, Named, named
from pipelines.deliveries.reasons import Reason
from pipelines.engine import rows, sql
from pipelines.warehouse.ledger import delivery_of

STALE = ("outdated_return", "withdrawn_return")  # what it mends is no more what stands


def corrected(
    connection: sa.Connection, told: Named, before: datetime = datetime.max
) -> Delivery | None:
    """The delivery that a workbook's name says it mends; None when the ledger has none such.

    Of its receipts the last `before` then, if any was. Of a file of many departments each gets its
    own rows, and the bureau those of nobody.
    """
    found = rows(
        connection,
        "SELECT * FROM delivery WHERE delivery_id = $id AND verdict <> 'unchanged' "
        "ORDER BY received_at < $before DESC, received_at DESC, position DESC LIMIT 1",
        id=told.delivery_id,
        before=before,
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

    A return is laid upon the newest of what it names and of that one's returns, so that several
    departments' returns of one file, or a second of the same workbook, add up. Those that come
    together are laid upon each other in their order. None was received before what it is laid
    upon, whatever its sender's clock says.
    """
    known: list[Delivery] = []
    strays: list[Delivery] = []
    last: dict[str, Delivery] = {}  # of those received together, by the whole file
    for delivery in received:
        told = named(delivery.path.name) if delivery.format == FORMAT else None
        if told is None:
            known.append(delivery)
            continue
        mended = corrected(connection, told, delivery.received_at)
        if mended is None:
            strays.append(delivery)
            continue
        own = delivery.model_copy(update={"department": mended.department})
        own = own.model_copy(update={"delivery_id": delivery_id(own.slot, FORMAT, own.sha256)})
        [whole, *_] = [*mended.corrects, mended.origin]
        before = last.get(whole.delivery_id)
        family = [told.delivery_id]
        earlier = _newest(connection, own, family, own.received_at)
        upon = _newest_of(mended, before, earlier, _newest(connection, own, family))
        own = _same(connection, own, before) or _laid_upon(upon, own)
        last[whole.delivery_id] = own
        known.append(own)
    return sorted(known, key=lambda one: one.order), strays


def _newest_of(mended: Delivery, *others: Delivery | None) -> Delivery:
    """The newest of a delivery and the returns that go back to it."""
    name = mended.delivery_id
    returns = [one for one in others if one and one.corrects and name in _family(one)]
    return max([mended, *returns], key=lambda one: (one.received_at, one.delivery_id))


def _family(delivery: Delivery) -> set[str]:
    """It, and what it is laid upon."""
    return {delivery.delivery_id, *(origin.delivery_id for origin in delivery.corrects)}


def _laid_upon(mended: Delivery, own: Delivery) -> Delivery:
    later = mended.received_at + timedelta(microseconds=1)
    return own.model_copy(
        update={
            "corrects": (*mended.corrects, mended.origin),
            "received_at": max(own.received_at, later),
        }
    )


def _same(connection: sa.Connection, own: Delivery, last: Delivery | None) -> Delivery | None:
    """The return as it was received already, if it was: under another name, or by a killed run."""
    if last is not None and last.delivery_id == own.delivery_id:
        received_at, corrects = last.received_at, last.corrects
    else:
        found = rows(
            connection,
            "SELECT * FROM delivery WHERE delivery_id = $id AND received_at >= $received_at "
            "ORDER BY received_at, position LIMIT 1",
            id=own.delivery_id,
            received_at=own.received_at,
        )
        if not found:
            return None
        before = delivery_of(found[0], own.contract_hash)
        received_at, corrects = before.received_at, before.corrects
    return own.model_copy(update={"received_at": received_at, "corrects": corrects})


def _newest(
    connection: sa.Connection,
    delivery: Delivery,
    family: Sequence[str] = (),
    before: datetime = datetime.max,
) -> Delivery | None:
    """The slot's newest input that was loaded; of a `family`, the newest with rows to mend, too."""
    source, department, _, part = delivery.slot
    values: dict[str, Any] = {
        "source": source,
        "department": department,
        "day": delivery.business_date,
        "part": part,
        "family": list(family),
        "before": before,
    }
    found = connection.exec_driver_sql(sql("load/current_input.sql"), values).fetchone()
    return None if found is None else delivery_of(found, found.contract_hash)


def foundations(connection: sa.Connection, source: str) -> list[tuple[str, str]]:
    """Which of a source's returns are laid upon what, directly or not: pairs of delivery ids."""
    found = rows(
        connection,
        "SELECT DISTINCT delivery_id, unnest(corrects).delivery_id AS upon FROM delivery "
        "WHERE source = $source",
        source=source,
    )
    return [(delivery_id, upon) for delivery_id, upon in found]


def without_refused(connection: sa.Connection, delivery: Delivery) -> Delivery:
    """A return, laid upon those alone of the returns before it that were taken."""
    upon = [origin.delivery_id for origin in delivery.corrects[1:]]
    found = rows(
        connection,
        "SELECT delivery_id FROM delivery WHERE verdict <> 'unchanged' AND list_contains($upon, "
        "delivery_id) GROUP BY delivery_id "
        "HAVING arg_max(verdict, (received_at, position)) IN ('accepted', "
        "'accepted_with_quarantine')",
        upon=upon,
    )
    taken = {row.delivery_id for row in found}
    whole, *later = delivery.corrects or (None,)
    if whole is None:
        return delivery
    corrects = (whole, *(origin for origin in later if origin.delivery_id in taken))
    return delivery.model_copy(update={"corrects": corrects})


def refuse_outdated(connection: sa.Connection, wave: Iterable[Judgement]) -> list[Judgement]:
    """The judgements; returns that mend what was replaced since, or withdrawn, are rejected.

    They would bring old data back. Of a file of many days each day is looked at by itself, when
    it is loaded. A person may overrule it.
    """
    return [_refused(connection, one) if one.delivery.corrects else one for one in wave]


def _refused(connection: sa.Connection, judgement: Judgement) -> Judgement:
    delivery = judgement.delivery
    if judgement.accounting is None:
        return judgement
    reason = _outdated(connection, delivery) or _withdrawn(connection, delivery)
    if reason is None:
        return judgement
    if delivery.overruled is not None:
        return judgement.model_copy(update={"warnings": (reason, *judgement.warnings)})
    return judgement.withheld(Verdict.REJECTED, [reason])


def _outdated(connection: sa.Connection, delivery: Delivery) -> Reason | None:
    if delivery.business_date is None:
        return None
    current = _newest(connection, delivery, before=delivery.received_at)
    if current is None or current.delivery_id in _family(delivery):
        return None
    return Reason(code="outdated_return", value=current.delivery_id)


def _withdrawn(connection: sa.Connection, delivery: Delivery) -> Reason | None:
    """What a person withdrew of all that a return is laid upon; None if it stands."""
    chain = [origin.delivery_id for origin in delivery.corrects]
    newest = _newest(connection, delivery, chain, delivery.received_at)
    if newest is None:
        return None
    values: dict[str, Any] = {
        "chain": chain,
        "newest": newest.delivery_id,
        "newest_received_at": newest.received_at,
        "delivery_id": delivery.delivery_id,
        "received_at": delivery.received_at,
    }
    found = connection.exec_driver_sql(sql("load/withdrawn_since.sql"), values).fetchone()
    return None if found is None else Reason(code="withdrawn_return", value=str(found[0]))


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
