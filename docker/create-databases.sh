#!/bin/bash
# Runs once, when PostgreSQL makes its data folder: the operational database beside Airflow's own,
# each with its owner, so that neither can read the other.
set -euo pipefail

psql --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" --set ON_ERROR_STOP=1 \
    --set password="$CITYBRAIN_OPS_PASSWORD" <<'SQL'
CREATE ROLE citybrain LOGIN PASSWORD :'password';
CREATE DATABASE citybrain OWNER citybrain;
REVOKE CONNECT ON DATABASE citybrain FROM PUBLIC;
REVOKE CONNECT ON DATABASE airflow FROM PUBLIC;
SQL
