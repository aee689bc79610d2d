"""A DAG file without a DAG: Airflow shows what is broken in the contracts as its import error.

The good contracts' DAGs are in ingest.py and run on; this one names each broken file and key.
"""

from pipelines.contracts.loading import load_catalog
from pipelines.settings import Settings

load_catalog(Settings().config_dir)
