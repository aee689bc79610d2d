"""Files that are derived from the code say what the code says."""

from __future__ import annotations

import subprocess
import sys

from pipelines.settings import PROJECT


def test_generated_files_are_fresh() -> None:
    command = [sys.executable, "docs/generate.py", "--check"]
    result = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
