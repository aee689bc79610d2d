"""Airflow runs in processes of its own: its settings are read once, when it is imported."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
HAS_AIRFLOW = importlib.util.find_spec("airflow") is not None

Answer = dict[str, Any]
Parse = Callable[[Path | None], Answer]


@pytest.fixture(scope="session")
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a fresh Airflow home with a SQLite database and the pool of one slot."""
    if not HAS_AIRFLOW:
        pytest.skip("AIRFLOW IS NOT INSTALLED: no DAG was tested; run `make test`")
    home = tmp_path_factory.mktemp("airflow")
    program = (
        "from airflow.utils.db import initdb; initdb();"
        "from airflow.models.pool import Pool;"
        "Pool.create_or_update_pool('warehouse', 1, '', include_deferred=False)"
    )
    run([sys.executable, "-c", program], environment(home))
    return home


@pytest.fixture(scope="session")
def parse(airflow_home: Path) -> Parse:
    """Return a function that parses dags/ with a configuration folder and reports the result."""
    answers: dict[Path | None, Answer] = {}

    def parsed(config_dir: Path | None) -> Answer:
        if config_dir not in answers:
            given = {} if config_dir is None else {"CITYBRAIN_CONFIG_DIR": str(config_dir)}
            output = run(
                [sys.executable, str(HERE / "parse_dags.py")], environment(airflow_home, **given)
            )
            answers[config_dir] = last_line(output)
        return answers[config_dir]

    return parsed


@pytest.fixture(scope="session")
def run_program(airflow_home: Path) -> Callable[..., Any]:
    """Return a function that runs a program on a data folder: its last line, all output."""

    def ran(program: str, data: Path, *arguments: str, **given: str) -> tuple[Any, str]:
        env = environment(airflow_home, CITYBRAIN_DATA_DIR=str(data), **given)
        output = run([sys.executable, str(HERE / program), *arguments], env)
        return last_line(output), output

    return ran


@pytest.fixture(scope="session")
def run_dags(run_program: Callable[..., Any]) -> Callable[..., list[Answer]]:
    """Return a function that runs DAGs in turn on a data folder: their states, and the log."""

    def ran(data: Path, *runs: tuple[str, dict[str, str]], **given: str) -> list[Answer]:
        answers, log = run_program("run_dags.py", data, json.dumps(runs), **given)
        return [answer | {"log": log} for answer in answers]

    return ran


@pytest.fixture(scope="session")
def broken_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository's configuration with a contract misspelt."""
    folder = tmp_path_factory.mktemp("broken")
    edited(folder, "video_channels", "max_quarantine", "max_quarantin")
    return folder


@pytest.fixture(scope="session")
def irregular_config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the repository's configuration with a source due at no fixed time."""
    folder = tmp_path_factory.mktemp("irregular")
    edited(folder, "data_records", r"due: .*\n", "")
    return folder


def edited(folder: Path, source: str, pattern: str, text: str) -> None:
    """Write the repository's configuration into a folder, one contract changed in one place."""
    contracts = PROJECT / "pipelines" / "contracts"
    shutil.copytree(contracts / "sources", folder / "sources")
    shutil.copytree(PROJECT / "expectations", folder / "expectations")
    for path in (*contracts.glob("*.yaml"), *contracts.glob("*.csv")):
        shutil.copy(path, folder)
    contract = folder / "sources" / f"{source}.yaml"
    changed, count = re.subn(pattern, text, contract.read_text(encoding="utf-8"))
    assert count == 1
    contract.write_text(changed, encoding="utf-8")


def environment(home: Path, **given: str) -> dict[str, str]:
    """Return a process's environment: this Airflow, this tree's DAGs, no retries."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "CITYBRAIN", "PYTEST"))
    }
    return inherited | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__CORE__UNIT_TEST_MODE": "false",
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "CITYBRAIN_DAG_RETRIES": "0",
        "CITYBRAIN_SETTLE_SECONDS": "0",  # what a test has just landed is whole
        "PYTHONPATH": str(PROJECT),
        **given,
    }


def last_line(output: str) -> Any:
    """Return the JSON of a program's last output line; Airflow's logs come before it."""
    return json.loads(output.splitlines()[-1])


def run(command: list[str], env: dict[str, str]) -> str:
    """Return the standard output of a program that must succeed."""
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-6000:]}"
    return done.stdout
