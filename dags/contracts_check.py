"""A DAG file without a DAG: Airflow shows each broken contract as its import error.

The DAGs of sound contracts are made by ingest.py and run on.
"""

from pipelines.contracts.loading import load_catalog
from pipelines.settings import Settings

load_catalog(Settings().config_dir)
