"""Refuse names that tables and columns of the warehouse have."""

from __future__ import annotations

RESERVED_COLUMNS = frozenset(
    {
        "department",
        "business_date",
        "part",
        "delivery_id",
        "sheet",
        "row_number",
        "first",
        "noise",
        "fault",
        "fault_value",
        "fault_expected",
        "torn",
        "content",
    }
)
RESERVED_TABLES = frozenset(
    {
        "configuration",
        "decision",
        "delivery",
        "delivery_partition",
        "metric_daily",
        "pace",
        "quarantine",
        "run",
        "alembic_version",
        "department",
        "departments",
        "generation",
        "candidate",
        "given",
        "incoming",
        "replaced",
        "clash",
        "judged",
        "touched",
        "computed",
        "known",
        "outdated",
        "paces",
        "profile",
        "looked",
        "near_day",
        "stated",
        "observed",
        "neighbour",
        "total_entry",
        "total_break",
    }
)
