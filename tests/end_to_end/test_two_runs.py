"""Two at once, in processes of their own: who waits, who is told what, and that nothing is lost."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from end_to_end.conftest import City
from integration.conftest import DAY, RECORDS
from integration.conftest import City as Contracts

from pipelines import published
from pipelines.jobs import night

RUN = ("run", "--as-of", str(DAY), "--json", "--fail-on", "never")
HOLD = """
import sys
from pipelines.settings import Settings
from pipelines.warehouse.connection import open_warehouse
with open_warehouse(Settings(), "run 7, load records"):
    print("held", flush=True)
    sys.stdin.read()
"""
ANALYSE = """
import duckdb, sys
with duckdb.connect(sys.argv[1], read_only=sys.argv[2] == "reading"):
    print("held", flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True)
class Busy(City):
    """A deployment whose commands have little patience, unless they are given some."""

    contracts: Contracts = field(kw_only=True)
    patience: float = field(kw_only=True, default=300)

    def environment(self) -> dict[str, str]:
        return super().environment() | {
            "CITYBRAIN_LOCK_SECONDS": str(self.patience),
            "CITYBRAIN_CHUNK_DELIVERIES": "8",
        }

    def impatient(self) -> Busy:
        return Busy(self.data, self.config, contracts=self.contracts, patience=0.5)

    def took_in(self) -> None:
        """Load and publish what lies in landing, by a run in this process."""
        report = night.run(self.contracts.deployment, DAY)
        assert report.errors == []

    def shown(self) -> int:
        """Count the rows that readers see."""
        query = "SELECT count(*) AS n FROM records"
        return int(published.read(query, settings=self.contracts.settings)["n"][0])

    def land(self, days: int, since: int = 0) -> int:
        """Land `days` days of two departments' two sources; return the number of files."""
        for number in range(since, since + days):
            for source in ("records", "visits"):
                for department in "ab":
                    day = DAY - timedelta(days=number)
                    self.contracts.land(
                        [(f"{source}-{number}", number, "")],
                        department=department,
                        source=source,
                        day=day,
                    )
        return days * 4

    @contextmanager
    def held(self, code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Let another process hold the warehouse as long as the block lasts."""
        holder = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env=self.environment(),
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        try:
            yield holder
        finally:
            holder.communicate()


@pytest.fixture
def city(tmp_path: Path) -> Busy:
    contracts = Contracts(tmp_path).source(RECORDS).source(RECORDS | {"name": "visits"})
    return Busy(contracts.settings.data_dir, contracts.config, contracts=contracts)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit code, output, complaints; a stack trace is never among them."""
    output, complaints = process.communicate(timeout=300)
    assert "Traceback" not in complaints, complaints
    return process.returncode, output, complaints


def test_two_first_runs_at_once_take_everything_once(city: Busy) -> None:
    """Start both on an empty data folder: both make the stores and find the same files."""
    files = city.land(12)
    together = [city.start(*RUN) for _ in range(2)]
    deliveries: Counter[str] = Counter()
    for code, output, complaints in map(ended, together):
        assert (code, complaints) == (0, "")
        report = json.loads(output)
        assert (report["errors"], report["problems"]) == ([], [])
        deliveries.update(report["deliveries"])
    assert deliveries.keys() <= {"accepted", "unchanged"}
    assert deliveries["accepted"] == files
    assert city.contracts.landed() == []
    assert city.contracts.rows(
        "SELECT count(*), count(DISTINCT delivery_id), max(position), "
        "(SELECT count(*) FROM records), (SELECT count(*) FROM visits) FROM delivery"
    ) == [(files, files, files, files // 2, files // 2)]
    assert city.shown() == files // 2
    assert not list((city.data / "staging").glob("*"))


def test_the_holder_of_the_warehouse_is_named_and_a_killed_process_releases_it(city: Busy) -> None:
    city.land(2)
    city.took_in()
    city.took_in()
    [(delivery_id,)] = city.contracts.rows(
        "SELECT delivery_id FROM delivery WHERE source = 'visits' LIMIT 1"
    )
    city.contracts.land([("late", 1, "")])
    commands: list[tuple[str, ...]] = [
        RUN,
        ("publish",),
        ("rebuild", "records"),
        ("accept", delivery_id, "--reason", "r"),
        ("withdraw", delivery_id, "--reason", "r"),
    ]
    impatient = city.impatient()
    with city.held(HOLD) as holder:
        busy = rf"in use by process {holder.pid} \(run 7, load records\) since {DATE} UTC; wait"
        for command, process in [(words, impatient.start(*words)) for words in commands]:
            code, output, complaints = ended(process)
            text = output if command == RUN else complaints
            assert code == 1, (command, text)
            assert re.search(busy, text), (command, text)
        assert city.sql("SELECT count(*) AS n FROM records") == [{"n": 4}]
        assert "Targets as of" in city.call("status")
        assert "pinned to generation 1" in city.call("rollback"), "it waits for no load"
        holder.send_signal(signal.SIGKILL)
        assert json.loads(impatient.call(*RUN))["deliveries"] == {"accepted": 1}
    assert city.contracts.landed() == []


DATE = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


@pytest.mark.parametrize("how", ["reading", "writing"])
def test_an_analyst_has_the_warehouses_file_open(city: Busy, how: str) -> None:
    """Use a program that takes no lock of ours; the published copy is meant for it."""
    city.land(1)
    city.took_in()
    city.contracts.land([("late", 1, "")])
    file = city.data / "warehouse.duckdb"
    with city.held(ANALYSE, str(file), how) as analyst:
        code, output, _ = ended(city.impatient().start(*RUN))
        report = json.loads(output)
        assert code == 1
        assert report["deliveries"] == {}
        for error in report["errors"]:
            assert re.match(
                rf"process {analyst.pid} \(.*python.*\) has the warehouse's file open, "
                rf"{file}: close it there",
                error,
            ), error
            assert str(city.data / "published" / "citybrain.duckdb") in error
        assert city.sql("SELECT count(*) AS n FROM records") == [{"n": 2}]
        patient = city.start(*RUN)  # waits until the analyst goes
    code, output, _ = ended(patient)
    assert code == 0
    assert json.loads(output)["deliveries"] == {"accepted": 1}


def test_people_decide_while_a_run_loads(city: Busy, tmp_path: Path) -> None:
    """Let each decision wait for its turn, and check that all of them hold."""
    city.land(1)
    city.contracts.source(RECORDS | {"max_quarantine": 0})
    city.contracts.land([("k", "?", ""), ("good", 1, "")], department="c")
    city.took_in()
    chosen = "SELECT delivery_id FROM delivery WHERE verdict = 'rejected' OR source = 'visits' "
    (rejected,), (withdrawn,), _ = city.contracts.rows(chosen + "ORDER BY verdict DESC")
    files = city.land(8, since=1)
    decisions: list[tuple[str, ...]] = [
        ("rollback", "--generation", "1"),
        ("accept", rejected, "--reason", "by phone"),
        ("withdraw", withdrawn, "--reason", "a slip"),
        ("publish",),
    ]
    started = [city.start(*words) for words in (RUN, *decisions)]
    for code, output, complaints in map(ended, started):
        assert (code, complaints) == (0, ""), (output, complaints)
    assert city.contracts.landed() == []
    rows = city.contracts.rows
    assert rows("SELECT kind FROM decision ORDER BY kind") == [("accept",), ("withdraw",)]
    assert rows("SELECT count(*) FROM records WHERE item = 'good'") == [(1,)]
    assert rows("SELECT count(*), count(DISTINCT position) FROM delivery") == [
        (4 + 1 + 1 + files, 4 + 1 + 1 + files)
    ]
    assert "pinned to generation 1" in city.call("status")
    city.call("publish", "--unpin")
    assert rows("SELECT count(*) FROM records") == [(city.shown(),)]
