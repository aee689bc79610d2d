"""Reject returns that would bring back rows which were replaced or withdrawn since."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa

from pipelines.deliveries.delivery import Delivery, Judgement, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.engine import sql
from pipelines.warehouse.loading.returns import family, newest_input

STALE = ("outdated_return", "withdrawn_return")  # reasons that a person may overrule


def refuse_stale_returns(connection: sa.Connection, wave: Iterable[Judgement]) -> list[Judgement]:
    """Return the judgements; those on stale returns reject, or warn where a person overruled it.

    The days of a file of many days are not looked at here: each is decided when it is loaded.
    """
    final = []
    for judgement in wave:
        delivery = judgement.delivery
        reason = None
        if delivery.corrects and judgement.accounting is not None:
            reason = _outdated(connection, delivery) or _withdrawn(connection, delivery)
        if reason is None:
            final.append(judgement)
        elif delivery.overruled is not None:
            warnings = (reason, *judgement.warnings)
            final.append(judgement.model_copy(update={"warnings": warnings}))
        else:
            final.append(judgement.withheld(Verdict.REJECTED, [reason]))
    return final


def _outdated(connection: sa.Connection, delivery: Delivery) -> Reason | None:
    """Return the reason if something outside the return's chain was loaded for its slot since."""
    if delivery.business_date is None:
        return None
    current = newest_input(connection, delivery, before=delivery.received_at)
    if current is None or current.delivery_id in family(delivery):
        return None
    return Reason(code="outdated_return", value=current.delivery_id)


def _withdrawn(connection: sa.Connection, delivery: Delivery) -> Reason | None:
    """Return the reason if a person withdrew any of what the return is laid upon."""
    chain = [origin.delivery_id for origin in delivery.corrects]
    newest = newest_input(connection, delivery, chain, delivery.received_at)
    if newest is None:
        return None
    values: dict[str, Any] = {
        "chain": chain,
        "newest": newest.delivery_id,
        "newest_received_at": newest.received_at,
        "delivery_id": delivery.delivery_id,
        "received_at": delivery.received_at,
    }
    row = connection.exec_driver_sql(sql("loading/withdrawn_since.sql"), values).fetchone()
    return None if row is None else Reason(code="withdrawn_return", value=str(row[0]))
