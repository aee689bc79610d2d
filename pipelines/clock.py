"""The clock: instants in UTC without a zone, as every table stores them, and days of Shanghai.

Only code that starts work reads it. Rules get the day to look from as an argument.
"""

from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from pipelines.errors import UsageError

SHANGHAI = ZoneInfo("Asia/Shanghai")  # business dates are days of this zone


def now() -> datetime:
    """Return this instant in UTC, without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def today() -> date:
    """Return the calendar day in Shanghai."""
    return datetime.now(SHANGHAI).date()


def refuse_future(day: date, today: date, option: str = "") -> None:
    """Raise UsageError if `day` is later than `today`; `option` says where it was given."""
    if day > today:
        raise UsageError(
            f"{option + ': ' if option else ''}{day} lies in the future (today is {today} in "
            "Shanghai); nothing can be known of it yet"
        )
