"""Airflow DAGs: an ingest for each contract, the watch on landing, the night.

They are thin: parsing these files imports neither Great Expectations nor DuckDB, and every task
calls a function of `pipelines.jobs`, the same that the `citybrain` command calls.
"""
