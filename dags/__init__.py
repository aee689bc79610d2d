"""Airflow's way to the use cases: ingest DAGs from contracts, the watch on landing, the night.

Thin on purpose: parsing these files imports neither GX nor DuckDB, and every task calls a function
of `pipelines.jobs`, the same that the `citybrain` command calls.
"""
