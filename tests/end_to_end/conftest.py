"""The system as a user meets it: the command, in processes of its own, on folders of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class City:
    """One deployment: its data folder and, when not the repository's, its configuration."""

    data: Path
    config: Path | None = None

    def environment(self) -> dict[str, str]:
        variables = {
            key: text for key, text in os.environ.items() if not key.startswith("CITYBRAIN_")
        }
        variables["CITYBRAIN_DATA_DIR"] = str(self.data)
        if self.config:
            variables["CITYBRAIN_CONFIG_DIR"] = str(self.config)
        return variables

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            env=self.environment(),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def call(self, *arguments: str, exits: int = 0) -> str:
        """Return the command's standard output; fail unless it exits as expected."""
        process = self.start(*arguments)
        output, complaints = process.communicate(timeout=300)
        assert process.returncode == exits, f"{arguments}: {process.returncode}\n{complaints}"
        return output

    def complaint(self, *arguments: str, exits: int) -> str:
        """Return the standard error of a command that must fail."""
        process = self.start(*arguments)
        _, complaints = process.communicate(timeout=300)
        assert process.returncode == exits, complaints
        assert "Traceback" not in complaints
        return complaints

    def json(self, *arguments: str, exits: int = 0) -> Any:
        return json.loads(self.call(*arguments, "--json", exits=exits))

    def sql(self, query: str) -> list[dict[str, Any]]:
        return self.json("sql", query)


@pytest.fixture
def city(tmp_path: Path) -> City:
    return City(tmp_path / "data")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Return the folder of real files that no repository may copy; skip the test without it."""
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(os.environ.get("CITYBRAIN_TEST_DATA", beside))
