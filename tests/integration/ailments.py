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
    """What the doctor is shown, and when."""

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
    """A city after its night."""
    city = City(root).source(RECORDS)
    city.metrics(METRIC)
    city.targets(TARGET)
    city.land([("x", 1, "交通"), ("y", 2, "")])
    report = night.run(city.deployment, DAY)
    assert not report.errors
    return city


def copy_of(city: City, root: Path) -> Deployment:
    """A copy of a city, hard links included, to be broken."""
    subprocess.run(["cp", "-a", f"{city.config.parent}/.", str(root)], check=True)
    return Deployment(city.settings).changed(data_dir=root / "data", config_dir=root / "config")


@contextmanager
def broken_contract(there: Deployment) -> Iterator[Deployment]:
    """Somebody has misspelt a key in a contract."""
    assert there.settings.config_dir is not None
    contract = there.settings.config_dir / "sources" / "records.yaml"
    text = contract.read_text(encoding="utf-8").replace("max_quarantine", "max_quarantined")
    contract.write_text(text, encoding="utf-8")
    yield there


@contextmanager
def full_disk(there: Deployment) -> Iterator[Deployment]:
    """The data folder's disk is full."""
    with small_disk(there.settings.data_dir):
        fill(there.settings.data_dir)
        yield there


@contextmanager
def read_only_disk(there: Deployment) -> Iterator[Deployment]:
    """The data folder's disk has been mounted read-only, as Linux does after errors."""
    with small_disk(there.settings.data_dir):
        mount("-o", "remount,ro", str(there.settings.data_dir))
        yield there


@contextmanager
def vanished_mount(there: Deployment) -> Iterator[Deployment]:
    """The archive's own disk was not mounted after a restart."""
    (there.settings.data_dir / MOUNTS).write_text(json.dumps(["archive"]), encoding="utf-8")
    yield there


@contextmanager
def held_lock(there: Deployment) -> Iterator[Deployment]:
    """A run has been at work on the warehouse for two hours."""
    with running(HOLD_LOCK, str(there.settings.data_dir)):
        yield there.changed(lock_seconds=600.0).later(timedelta(hours=2))


@contextmanager
def foreign_writer(there: Deployment) -> Iterator[Deployment]:
    """Somebody has opened the warehouse itself in a program of their own."""
    with running(OPEN_WAREHOUSE, str(there.settings.warehouse)):
        yield there


@contextmanager
def foreign_reader(there: Deployment) -> Iterator[Deployment]:
    """Somebody only reads the warehouse itself: that keeps runs out, too."""
    with running(OPEN_WAREHOUSE, str(there.settings.warehouse), "reading"):
        yield there


@contextmanager
def newer_warehouse(there: Deployment) -> Iterator[Deployment]:
    """The warehouse was made by a newer version of this software."""
    with duckdb.connect(there.settings.warehouse) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'w0099'")
    yield there


@contextmanager
def unreachable_operations(there: Deployment) -> Iterator[Deployment]:
    """The operational database does not answer."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    url = f"postgresql+psycopg2://citybrain:secret@127.0.0.1:{port}/citybrain"
    yield there.changed(ops_url=SecretStr(url))


@contextmanager
def silent_scheduler(there: Deployment) -> Iterator[Deployment]:
    """Nothing has run for three days."""
    yield there.later(timedelta(days=3))


@contextmanager
def unknown_year(there: Deployment) -> Iterator[Deployment]:
    """A year has begun whose holidays nobody has entered."""
    yield replace(there, today=date(2031, 3, 3))


SHOWN: tuple[Ailment, ...] = (
    broken_contract,
    full_disk,
    held_lock,
    foreign_writer,
    newer_warehouse,
    unreachable_operations,
    silent_scheduler,
    unknown_year,
    vanished_mount,
)


def mount(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise CannotMountError(done.stderr.strip())


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """The folder's content on a disk of its own with room for little else."""
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
    """Another process, once it has what it is after."""
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
    (r"\d{8}T\d{6}-[0-9a-f]{6}", "20251102T180000-0a1b2c"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)? UTC", "<time> UTC"),
    (r"configuration [0-9a-f]{16}", "configuration 0123456789abcdef"),
    (r"[\d,.]+ MB", "<size> MB"),
    (r"MB free of [\d,]+", "MB free of <size>"),
    (r"127\.0\.0\.1(:|.?, port )\d+", r"127.0.0.1\g<1>5432"),
    (r"Python 3\.11\.\d+", "Python 3.11"),
    (r"schema ([wo])\d{4}", r"schema \g<1>…"),
)


def shown(there: Deployment, findings: list[Finding]) -> str:
    """What the command prints, with what differs from time to time replaced."""
    root = there.settings.data_dir.parent
    steady = []
    for finding in findings:
        message, mend = (
            text.replace(str(root), "/srv/citybrain") for text in (finding.message, finding.mend)
        )
        for pattern, said in VOLATILE:
            message = re.sub(pattern, said, message)
        steady.append(replace(finding, message=message, mend=mend))
    paper = io.StringIO()
    show_findings(Console(file=paper, width=100, highlight=False), steady)
    return "\n".join(line.rstrip() for line in paper.getvalue().splitlines())
