"""From a file somebody dropped to judged rows in Parquet; needs no warehouse."""

import logging
import os

# Great Expectations reads both when it is imported (by checks.py): no telemetry, and no warning
# that our regular expressions take the place of its own, which know no DuckDB
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
logging.getLogger("great_expectations.expectations.registry").setLevel(logging.ERROR)
