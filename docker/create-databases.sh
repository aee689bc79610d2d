#!/bin/bash
# Runs once, when PostgreSQL makes its data folder: Airflow's database and the operational one, each
# with an owner who cannot read the other's. The superuser keeps no password, so that nobody is it
# over the network.
set -euo pipefail

psql --username postgres --dbname postgres --set ON_ERROR_STOP=1 \
    --set airflow="$POSTGRES_PASSWORD" --set citybrain="$CITYBRAIN_OPS_PASSWORD" <<'SQL'
CREATE ROLE airflow LOGIN PASSWORD :'airflow';
CREATE ROLE citybrain LOGIN PASSWORD :'citybrain';
CREATE DATABASE airflow OWNER airflow;
CREATE DATABASE citybrain OWNER citybrain;
REVOKE CONNECT ON DATABASE airflow, citybrain FROM PUBLIC;
ALTER ROLE postgres PASSWORD NULL;
SQL
