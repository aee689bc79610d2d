"""What time it is: instants in UTC without a zone, as every table has them, and days of Shanghai.

Only what starts work reads it; rules are told their day.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from pipelines.errors import UsageError

SHANGHAI = ZoneInfo("Asia/Shanghai")  # days are its days


def now() -> datetime:
    """This instant in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def today() -> date:
    """The calendar day in Shanghai."""
    return datetime.now(SHANGHAI).date()


def refuse_future(day: date, today: date, said: str = "") -> None:
    """UsageError for a day that nothing can be known of; `said` is where it was given."""
    if day > today:
        raise UsageError(
            f"{said + ': ' if said else ''}{day} lies in the future (today is {today} in "
            "Shanghai); nothing can be known of it yet"
        )
