"""Type, mask, check and split the rows of deliveries; write Parquet. Needs no warehouse."""

import logging
import os

# Great Expectations reads both when checks.py imports it: no telemetry, and no warning that our
# regular expressions replace its own, which have no DuckDB form.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
logging.getLogger("great_expectations.expectations.registry").setLevel(logging.ERROR)
