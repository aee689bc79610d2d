"""Airflow's way to the use cases: ingest DAGs from contracts, and the nightly DAG.

Thin on purpose: parsing these files imports neither GX nor DuckDB, and every task calls a function
of `pipelines.jobs`, the same that the `citybrain` command calls.
"""
