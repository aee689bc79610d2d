"""Tell which deliveries and feeds of the last two months wait for somebody."""

from __future__ import annotations

from datetime import date, timedelta

import sqlalchemy as sa

from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Judgement
from pipelines.engine import rows, sql
from pipelines.tracking.calendar import Overdue, WorkCalendar, overdue
from pipelines.warehouse.ledger import judgement_of, received_dates

ATTENTION_DAYS = 62  # older gaps and refusals are history, and no alert


def refused_deliveries(connection: sa.Connection, as_of: date) -> list[Judgement]:
    """Return deliveries of the last ATTENTION_DAYS that were not taken nor sent again since."""
    since = as_of - timedelta(days=ATTENTION_DAYS)
    return [judgement_of(row) for row in rows(connection, sql("queries/refused.sql"), since=since)]


def overdue_feeds(connection: sa.Connection, catalog: Catalog, as_of: date) -> list[Overdue]:
    """Return what departments owe and have not sent, over the last ATTENTION_DAYS.

    A department that sent something which was refused is not silent: it hears of that instead.
    """
    calendar = WorkCalendar(catalog.holidays)
    since = as_of - timedelta(days=ATTENTION_DAYS)
    received = received_dates(connection, catalog.sources, since)
    for judgement in refused_deliveries(connection, as_of):
        delivery = judgement.delivery
        if delivery.department is not None and delivery.business_date is not None:
            dates = received[delivery.source].setdefault(delivery.department, set())
            dates.add(delivery.business_date)
    feeds: list[Overdue] = []
    for name, source in catalog.sources.items():
        if source.due is None:
            continue
        start = max(source.due.start, since)
        recent = source.model_copy(update={"due": source.due.model_copy(update={"start": start})})
        feeds += overdue(recent, catalog.departments, received[name], as_of, calendar)
    return feeds
