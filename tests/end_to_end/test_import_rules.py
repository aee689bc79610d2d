"""The import rules bite: a copy of the tree with one forbidden line in it is refused."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for name in ("pipelines", "dags"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    shutil.copy(PROJECT / "pyproject.toml", tmp_path)
    return tmp_path


def lint(tree: Path) -> subprocess.CompletedProcess[str]:
    linter = Path(sys.executable).with_name("lint-imports")
    environment = os.environ | {"PYTHONPATH": str(tree)}
    return subprocess.run(
        [str(linter), "--no-cache"],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def prepend(file: Path, line: str) -> None:
    """Add a line below the imports' first; a file that is not there yet is made."""
    text = "from __future__ import annotations\n"
    if file.exists():
        text = file.read_text(encoding="utf-8")
    before, marker, after = text.partition("from __future__ import annotations\n")
    assert marker, f"{file} does not start as expected"
    file.write_text(f"{before}{marker}{line}\n{after}", encoding="utf-8")


def test_the_tree_keeps_its_rules(copy: Path) -> None:
    outcome = lint(copy)
    assert outcome.returncode == 0, outcome.stdout


@pytest.mark.parametrize(
    ("file", "line", "rule"),
    [
        ("pipelines/tracking/pace.py", "import duckdb", "Rules have no database"),
        ("pipelines/contracts/columns.py", "import pandas", "Rules have no database"),
        ("dags/ingest.py", "import great_expectations", "DAGs are thin"),
        ("pipelines/landing/files.py", "import pipelines.warehouse.ledger", "Staging needs no"),
        ("pipelines/jobs/night.py", "import airflow", "Airflow is known to DAGs alone"),
        ("pipelines/jobs/night.py", "import great_expectations", "checks.py is the only door"),
        ("pipelines/engine.py", "import pipelines.jobs.night", "Every room has its floor"),
        ("pipelines/engine.py", "import great_expectations", "checks.py is the only door"),
        (
            "pipelines/engine.py",
            "import pipelines.warehouse.loading.load",
            "Every room has its floor",
        ),
        ("pipelines/reading/csv/delimited.py", "import pipelines.staging.stage", "Every room has"),
        ("pipelines/staging/novel.py", "import great_expectations", "checks.py is the only door"),
        ("pipelines/novel.py", "import great_expectations", "checks.py is the only door"),
        ("pipelines/novel.py", "import pipelines.jobs.night", "Every room has its floor"),
    ],
)
def test_a_forbidden_import_is_refused(copy: Path, file: str, line: str, rule: str) -> None:
    prepend(copy / file, line)
    outcome = lint(copy)
    assert outcome.returncode == 1
    broken = [row for row in outcome.stdout.splitlines() if " BROKEN" in row]
    assert any(rule in row for row in broken), outcome.stdout
