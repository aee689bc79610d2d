"""Type, mask, check and split the rows of deliveries; write Parquet. Needs no warehouse."""

import logging
import os
import warnings

# Great Expectations reads the first two when checks.py imports it: no telemetry, and no warning
# that our regular expressions replace its own, which have no DuckDB form. It wants the schema of a
# table in the connection's configuration, where DuckDB has no place for one.
os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
logging.getLogger("great_expectations.expectations.registry").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", "`schema_name` is deprecated", DeprecationWarning)
