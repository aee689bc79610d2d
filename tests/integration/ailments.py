"""Deployments that something is wrong with, for the doctor's tests and for docs/doctor.md.

Each is a real one: a copy of a small city that has had its night, broken as machines break.
"""

from __future__ import annotations

import io
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
from integration.conftest import DAY, RECORDS, City
from pydantic import SecretStr
from rich.console import Console

from pipelines.cli.care import show_findings
from pipelines.doctor import Finding, examine
from pipelines.jobs import night
from pipelines.machine.disks import MOUNTS
from pipelines.settings import PROJECT, Settings

METRIC = {
    "name": "added",
    "title": "新增",
    "unit": "条",
    "kind": "flow",
    "source": "records",
    "value": {"aggregate": "sum", "column": "amount"},
}
TARGET = {
    "name": "goal",
    "title": "百日攻坚",
    "metric": "added",
    "scope": "city",
    "start": DAY,
    "end": DAY,
    "goal": 3,
}
SUMMER = date(2025, 6, 2)  # a day whose year and the next are in the public calendar
HOLD_LOCK = (
    "import sys, time; from pathlib import Path; from pipelines.settings import Settings; "
    "from pipelines.warehouse.connection import writer_lock\n"
    "with writer_lock(Settings(data_dir=Path(sys.argv[1])), 'run 20251102T180000-0a1b2c, load'): "
    "print('there', flush=True); time.sleep(600)"
)
OPEN_WAREHOUSE = (
    "import sys, time, duckdb; there = duckdb.connect(sys.argv[1], read_only=len(sys.argv) > 2); "
    "print('there', flush=True); time.sleep(600)"
)


class CannotMountError(Exception):
    """This machine lets nobody mount a small disk, as containers often do not."""


@dataclass(frozen=True)
class Deployment:
    """Carry what the doctor is shown: a data folder, its settings and the time."""

    settings: Settings
    today: date = SUMMER
    now: datetime = field(default_factory=lambda: datetime.now(UTC).replace(tzinfo=None))

    def changed(self, **settings: Any) -> Deployment:
        # made anew: a copy would keep the paths that it has worked out already
        return replace(self, settings=Settings(**{**self.settings.model_dump(), **settings}))

    def later(self, by: timedelta) -> Deployment:
        return replace(self, now=self.now + by)

    def findings(self) -> list[Finding]:
        return list(examine(self.settings, self.today, self.now))


Ailment = Callable[[Deployment], AbstractContextManager[Deployment]]


def healthy_city(root: Path) -> City:
    """Return a city after one good night."""
    city = City(root).source(RECORDS)
    city.metrics(METRIC)
    city.targets(TARGET)
    city.land([("x", 1, "交通"), ("y", 2, "")])
    report = night.run(city.deployment, DAY)
    assert not report.errors
    return city


def copy_of(city: City, root: Path) -> Deployment:
    """Copy a city, hard links included, so that a test can break the copy."""
    subprocess.run(["cp", "-a", f"{city.config.parent}/.", str(root)], check=True)
    return Deployment(city.settings).changed(data_dir=root / "data", config_dir=root / "config")


@contextmanager
def broken_contract(deployment: Deployment) -> Iterator[Deployment]:
    """Misspell a key in a contract."""
    assert deployment.settings.config_dir is not None
    contract = deployment.settings.config_dir / "sources" / "records.yaml"
    text = contract.read_text(encoding="utf-8").replace("max_quarantine", "max_quarantined")
    contract.write_text(text, encoding="utf-8")
    yield deployment


@contextmanager
def full_disk(deployment: Deployment) -> Iterator[Deployment]:
    """Fill the disk of the data folder."""
    with small_disk(deployment.settings.data_dir):
        fill(deployment.settings.data_dir)
        yield deployment


@contextmanager
def read_only_disk(deployment: Deployment) -> Iterator[Deployment]:
    """Mount the data folder's disk read-only, as Linux does after disk errors."""
    with small_disk(deployment.settings.data_dir):
        mount("-o", "remount,ro", str(deployment.settings.data_dir))
        yield deployment


@contextmanager
def vanished_mount(deployment: Deployment) -> Iterator[Deployment]:
    """Note a mount for the archive that is no longer mounted."""
    (deployment.settings.data_dir / MOUNTS).write_text(json.dumps(["archive"]), encoding="utf-8")
    yield deployment


@contextmanager
def held_lock(deployment: Deployment) -> Iterator[Deployment]:
    """Hold the warehouse lock as a run that has worked for two hours does."""
    with running(HOLD_LOCK, str(deployment.settings.data_dir)):
        yield deployment.changed(lock_seconds=600.0).later(timedelta(hours=2))


@contextmanager
def foreign_writer(deployment: Deployment) -> Iterator[Deployment]:
    """Open the warehouse file for writing in another program."""
    with running(OPEN_WAREHOUSE, str(deployment.settings.warehouse)):
        yield deployment


@contextmanager
def foreign_reader(deployment: Deployment) -> Iterator[Deployment]:
    """Open the warehouse file for reading in another program: that keeps runs out, too."""
    with running(OPEN_WAREHOUSE, str(deployment.settings.warehouse), "reading"):
        yield deployment


@contextmanager
def newer_warehouse(deployment: Deployment) -> Iterator[Deployment]:
    """Mark the warehouse as made by a newer version of this software."""
    with duckdb.connect(deployment.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'w0099'")
    yield deployment


@contextmanager
def unreachable_operations(deployment: Deployment) -> Iterator[Deployment]:
    """Point the operational database to a server that does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"postgresql+psycopg2://citybrain:secret@127.0.0.1:{port}/citybrain"
    yield deployment.changed(ops_url=SecretStr(url))


@contextmanager
def silent_scheduler(deployment: Deployment) -> Iterator[Deployment]:
    """Let three days pass without a run."""
    yield deployment.later(timedelta(days=3))


@contextmanager
def unknown_year(deployment: Deployment) -> Iterator[Deployment]:
    """Let a year begin whose holidays nobody has entered."""
    yield replace(deployment, today=date(2031, 3, 3))


# The ailments that docs/doctor.md shows, each with the heading of its section there.
SHOWN: dict[Ailment, str] = {
    broken_contract: "A key in a contract is misspelt",
    full_disk: "The data folder's disk is full",
    held_lock: "A run has held the warehouse for two hours",
    foreign_writer: "Another program has the warehouse open",
    newer_warehouse: "A newer version made the warehouse",
    unreachable_operations: "The operational database does not answer",
    silent_scheduler: "No run has finished for three days",
    unknown_year: "This year's holidays are not known",
    vanished_mount: "The archive's disk was not mounted after a restart",
}


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMountError(done.stderr.strip())


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk over the folder, keeping its content."""
    aside = folder.with_name(folder.name + ".aside")
    folder.rename(aside)
    folder.mkdir()
    mount("-t", "tmpfs", "-o", "size=32m", "none", str(folder))
    try:
        subprocess.run(["cp", "-a", f"{aside}/.", str(folder)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)
        shutil.rmtree(aside)


def fill(folder: Path) -> None:
    with (folder / "filling").open("wb") as file:
        try:
            while file.write(bytes(1 << 16)):
                file.flush()
        except OSError:
            return


@contextmanager
def running(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Start another process and wait until it holds what it opens."""
    command = [sys.executable, "-c", code, *arguments]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == "there"
            yield process
        finally:
            process.kill()


# --- as docs/doctor.md shows them ---------------------------------------------------------------

VOLATILE = (
    (r"process \d+", "process 4711"),
    (r"\(\S*/python[\d.]*\)", "(/usr/bin/python3.11)"),
    (r"\d{8}T\d{6}-[0-9a-f]{6}", "20251102T180000-0a1b2c"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "<time> UTC"),
    (r"configuration [0-9a-f]{16}", "configuration 0123456789abcdef"),
    (r"[\d,.]+ MB", "<size> MB"),
    (r"MB free of [\d,]+", "MB free of <size>"),
    (r"127\.0\.0\.1(:|.?, port )\d+", r"127.0.0.1\g<1>5432"),
    (r"Python 3\.11\.\d+", "Python 3.11"),
    (r"schema ([wo])\d{4}", r"schema \g<1>…"),
)


def shown(deployment: Deployment, findings: list[Finding]) -> str:
    """Return what the command prints, with what differs from run to run replaced."""
    root = deployment.settings.data_dir.parent
    steady = []
    for finding in findings:
        message, mend = (
            text.replace(str(root), "/srv/citybrain") for text in (finding.message, finding.mend)
        )
        for pattern, replacement in VOLATILE:
            message = re.sub(pattern, replacement, message)
        steady.append(replace(finding, message=message, mend=mend))
    paper = io.StringIO()
    show_findings(Console(file=paper, width=100, highlight=False), steady)
    return "\n".join(line.rstrip() for line in paper.getvalue().splitlines())
