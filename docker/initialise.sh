#!/bin/bash
# Brings a deployment's databases, pool and login to the state that the other services expect.
# Runs to its end before they start; running it again changes nothing.
set -euo pipefail

airflow db migrate
airflow pools set warehouse 1 "the warehouse has one writer"

# SimpleAuthManager reads its passwords from a file, and ours come from the environment.
(
    umask 077
    python -c '
import json, os, pathlib
place = pathlib.Path(os.environ["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
place.write_text(json.dumps({"admin": os.environ["CITYBRAIN_ADMIN_PASSWORD"]}), encoding="utf-8")
'
)

# The sample city, for a deployment that wants it and has nothing yet.
if [[ -n "${CITYBRAIN_SAMPLE_UNTIL:-}" && ! -e "$CITYBRAIN_DATA_DIR/warehouse.duckdb" ]] &&
    [[ -z "$(ls -A "$CITYBRAIN_DATA_DIR/landing" 2>/dev/null)" ]]; then
    citybrain sample "$CITYBRAIN_DATA_DIR/landing" --until "$CITYBRAIN_SAMPLE_UNTIL"
fi
