"""A column of pace is declared once: a new one in `Pace` arrives everywhere."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from integration.conftest import DAY, City
from integration.test_publish import METRIC, TARGET

from pipelines.jobs import night
from pipelines.settings import PROJECT
from pipelines.tracking.pace import pace_columns
from pipelines.warehouse.connection import open_warehouse
from pipelines.warehouse.pace import SQL_TYPES

DECLARATION = """
    slack: Annotated[
        float | None, Column("机动天数", "days that may still be lost", "slack days", ".1f")
    ] = 2.5
"""
ASK = """
import json
from pipelines import published

with published.connect() as connection:
    [(comment,)] = connection.execute(
        "SELECT comment FROM duckdb_columns() WHERE schema_name = 'marts' "
        "AND table_name = 'target_pace' AND column_name = 'slack'"
    ).fetchall()
    runs = connection.execute("SELECT slack FROM pace ORDER BY rowid").fetchall()
    mart = connection.execute("SELECT slack FROM marts.target_pace").fetchall()
print(json.dumps([comment, runs, mart]))
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Copy the project, its `Pace` having one column more."""
    copy = tmp_path / "checkout"
    for folder in ("pipelines", "warehouse", "docs", "expectations"):
        shutil.copytree(
            PROJECT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    declaration = copy / "pipelines" / "tracking" / "pace.py"
    text = declaration.read_text(encoding="utf-8")
    before, mark, after = text.partition("\n\n@cache\ndef pace_columns")
    assert mark
    declaration.write_text(before.rstrip() + DECLARATION + mark + after, encoding="utf-8")
    return copy


def python(checkout: Path, city: City, *arguments: str) -> str:
    environment = os.environ | {
        "PYTHONPATH": str(checkout),
        "CITYBRAIN_DATA_DIR": str(city.settings.data_dir),
        "CITYBRAIN_CONFIG_DIR": str(city.settings.config_dir),
    }
    command = [sys.executable, *arguments]
    result = subprocess.run(
        command, env=environment, cwd=checkout, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_a_new_column_arrives_in_an_old_deployment_and_everywhere_else(
    city: City, checkout: Path
) -> None:
    city.metrics(METRIC)
    city.targets(TARGET)
    city.land([("x", 1, "交通")])
    night.run(city.deployment, DAY)

    run = ("-m", "pipelines.cli", "run", "--as-of", str(DAY), "--fail-on", "never")
    python(checkout, city, *run)
    [row] = json.loads(python(checkout, city, "-m", "pipelines.cli", "status", "--json"))
    assert row["slack"] == 2.5
    table = python(checkout, city, "-m", "pipelines.cli", "status")
    assert "slack days" in table
    assert "2.5" in table
    comment, runs, mart = json.loads(python(checkout, city, "-c", ASK))
    assert comment == "机动天数"
    assert runs == [[None], [2.5]], "the run of before had none"
    assert mart == [[2.5]]

    python(checkout, city, "docs/generate.py")
    document = (checkout / "docs" / "query.md").read_text(encoding="utf-8")
    assert (
        "| `slack` | 机动天数 | days that may still be lost | slack days | yes | yes |" in document
    )
    schema = json.loads((checkout / "warehouse" / "schema.json").read_text(encoding="utf-8"))
    assert "slack" in schema["main"]["pace"]
    assert "slack" in schema["marts"]["target_pace"]


def test_the_table_of_a_new_warehouse_is_what_pace_declares(city: City) -> None:
    with open_warehouse(city.settings, "test"):
        pass
    stored = {
        name: (kind, comment)
        for name, kind, comment in city.rows(
            "SELECT column_name, data_type, comment FROM duckdb_columns() "
            "WHERE table_name = 'pace' AND schema_name = 'main'"
        )
    }
    declared = {
        name: (SQL_TYPES[kind], column.chinese) for name, (kind, column) in pace_columns().items()
    }
    assert {name: stored.get(name) for name in declared} == declared
    assert stored.keys() - declared.keys() == {"run_id", "configuration_hash", "position"}
