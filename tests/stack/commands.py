"""The command in a process of its own, on a data folder; and what its programs have in common."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

PATIENCE = 600  # seconds
TRACE = "Traceback (most recent call last)"


@dataclass(frozen=True)
class City:
    """A data folder, the configuration it goes by, and settings besides (CITYBRAIN_…)."""

    data: Path
    config: Path
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def landing(self) -> Path:
        """Return the folder where deliveries are put."""
        return self.data / "landing"

    @property
    def warehouse(self) -> Path:
        """The warehouse, to be opened by others only while no run is under way."""
        return self.data / "warehouse.duckdb"

    @property
    def operations(self) -> Path:
        """The operational database, which lies in the data folder unless a setting says more."""
        return self.data / "operations.sqlite"

    @property
    def readers_file(self) -> Path:
        """The published copy."""
        return self.data / "published" / "citybrain.duckdb"

    def environment(self, **more: str) -> dict[str, str]:
        """Return this process's environment with only this deployment's settings."""
        inherited = {
            key: text for key, text in os.environ.items() if not key.startswith("CITYBRAIN_")
        }
        folders = {"CITYBRAIN_DATA_DIR": str(self.data), "CITYBRAIN_CONFIG_DIR": str(self.config)}
        return inherited | folders | dict(self.settings) | more

    def start(self, *arguments: str, prefix: Path, **more: str) -> subprocess.Popen[bytes]:
        """Start a command as the leader of a process group; `said` plus .out and .err gets text."""
        with _beside(prefix, ".out").open("wb") as out, _beside(prefix, ".err").open("wb") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "pipelines.cli", *arguments],
                env=self.environment(**more),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def call(self, *arguments: str, prefix: Path, **more: str) -> Ended:
        """Run a command to its end; one that does not come to it is killed after ten minutes."""
        process = self.start(*arguments, prefix=prefix, **more)
        try:
            process.wait(timeout=PATIENCE)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        return Ended.of(process.returncode, prefix)


@dataclass(frozen=True)
class Ended:
    """A command that ended by itself: its exit code and what it said."""

    code: int
    output: str
    complaints: str

    @classmethod
    def of(cls, code: int, prefix: Path) -> Ended:
        """Build the end of a command from what it left in the two files of `prefix`."""
        output, complaints = (
            _beside(prefix, suffix).read_text("utf-8", "replace") for suffix in (".out", ".err")
        )
        return cls(code, output, complaints)

    def faults(self, expected: int) -> list[str]:
        """Return what is wrong with a `run --json` that should have ended with `expected`."""
        faults = []
        if self.code != expected:
            faults.append(f"a run exited {self.code} and not {expected}: {self.complaints[-2000:]}")
        elif TRACE in self.complaints:
            faults.append(f"a stack trace: {self.complaints[-2000:]}")
        return faults + [f"a run says: {error}" for error in self.report().get("errors", [])]

    def report(self) -> dict[str, Any]:
        """Return what `run --json` printed; empty when it did not come to that."""
        try:
            report = json.loads(self.output)
        except ValueError:
            return {}
        return report if isinstance(report, dict) else {}


class Report(Protocol):
    """Declare what a program found out: whether all is well, and all of it for people."""

    @property
    def passed(self) -> bool: ...

    def as_json(self) -> dict[str, Any]: ...

    def table(self) -> str: ...


def program(
    name: str,
    description: str,
    amount: tuple[str, type, float],
    work: Callable[[Any, int, Path, Callable[[str], None]], Report],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run `work(amount, seed, folder, tell)` as a program; its exit code, 1 when it did not pass.

    `amount` is how much of it: its option, type and default. The folder goes when all is well.
    """
    option, kind, default = amount
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument(f"--{option}", type=kind, default=default)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="where to work [default: a temporary one]")
    parser.add_argument("--json", action="store_true", help="print the report for programs")
    given = parser.parse_args(arguments)
    folder = given.folder or Path(tempfile.mkdtemp(prefix=f"citybrain-{name}-"))
    folder.mkdir(parents=True, exist_ok=True)
    report = work(
        getattr(given, option), given.seed, folder, lambda line: print(line, file=sys.stderr)
    )
    if report.passed and given.folder is None:
        shutil.rmtree(folder)
    facts = report.as_json() | {"passed": report.passed}
    print(json.dumps(facts, ensure_ascii=False, indent=2) if given.json else report.table())
    return 0 if report.passed else 1


def _beside(prefix: Path, suffix: str) -> Path:
    return prefix.with_name(prefix.name + suffix)
