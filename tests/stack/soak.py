"""Crowds one data folder for a while: two loops of runs, ten readers, and departments that never
stop sending. In the end every partition must hold what was sent for it last.

    python tests/stack/soak.py --minutes 20

Exits with 1 when a row is lost or too many, a reader met an error, or a run failed.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import date, timedelta
from pathlib import Path
from statistics import quantiles
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also when run as a program
from stack import small_city
from stack.commands import City, program
from stack.readers import Readers

RUNNERS, READERS = 2, 10
READER_PAUSE = 1.0
LANDING_PAUSE = 0.4  # seconds between two files, on average
START = date(2021, 7, 1)
DAYS = 90
DEPARTMENTS = tuple(f"d{number}" for number in range(8))
RUN = ("run", "--as-of", small_city.AS_OF, "--fail-on", "never", "--json")
BUSY = "the warehouse is in use by process"  # told who holds it since when: not a failure
SHOWN = 10

Slot = tuple[str, str, str, str]  # source, department, business date, part
Content = Counter[tuple[str, int]]  # key and figure of each row


@dataclass
class Report:
    """Hold what was done and what was found."""

    minutes: float = 0.0
    runs: int = 0
    busy: int = 0  # runs that did not get the lock in time
    run_failures: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # files that runs could not make sense of
    files_landed: int = 0
    kinds: Counter[str] = field(default_factory=Counter)
    parts: int = 0
    rows_landed: int = 0
    rows_found: int = 0
    rows_lost: int = 0
    rows_extra: int = 0
    wrong_partitions: list[str] = field(default_factory=list)
    reads: int = 0
    reader_errors: int = 0
    reader_messages: list[str] = field(default_factory=list)
    generations: int = 0
    slowest_read: float = 0.0
    run_seconds_p50: float = 0.0
    run_seconds_p95: float = 0.0

    @property
    def passed(self) -> bool:
        """Return whether nothing was lost or is too many, and nobody met an error."""
        wrong = self.rows_lost or self.rows_extra or self.reader_errors or self.run_failures
        return not wrong and not self.wrong_partitions and self.reads > 0

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return asdict(self)

    def table(self) -> str:
        """Return the report for people."""
        facts = asdict(self) | {"kinds": dict(self.kinds)}
        for name in ("run_failures", "wrong_partitions", "problems"):
            facts[name] = len(facts[name])
        lines = [f"{name.replace('_', ' '):18}{value}" for name, value in facts.items()]
        wrong = self.run_failures + self.wrong_partitions
        return "\n".join(lines + [f"! {text}" for text in wrong[:SHOWN]])


# --- departments --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sent:
    """A file's bytes, and the rows that are to be in the warehouse once it is taken."""

    data: bytes
    rows: Content


class Lander:
    """Sends files for a while, and knows what must be in force for every place afterwards.

    A worse correction never displaces a better: one is sent only where nothing waits, so that it
    cannot take the place of something good that no run has seen.
    """

    def __init__(self, landing: Path, seed: int) -> None:
        self.landing = landing
        self.random = random.Random(seed)
        self.in_force: dict[Slot, Content] = {}
        self.history: dict[Slot, list[Sent]] = {}
        self.parted: dict[Slot, bool] = {}
        self.kinds: Counter[str] = Counter()
        self.parts = 0

    def send(self) -> None:
        """Send a file: most are a place's first, the others what departments send again."""
        slot = self._slot()
        sent = self.history.get(slot)
        if not sent:
            return self._deliver("first", slot, self._made(slot))
        kind = self.random.choice(("corrected", "corrected", "repeated", "returned", "rejected"))
        match kind:
            case "corrected":
                self._deliver(kind, slot, self._made(slot))
            case "repeated":
                self._deliver(kind, slot, sent[-1])
            case "returned":
                self._deliver(kind, slot, sent[0])
            case "rejected" if not self._path(slot).exists():
                self._put(self._path(slot), "没有这样的表头\n1\n".encode("gb18030"))
                self.kinds[kind] += 1
        return None

    def _slot(self) -> Slot:
        if self.history and self.random.random() < 0.4:
            return self.random.choice(list(self.history))
        source = self.random.choice(("records", "surveys", "visits"))
        department = self.random.choice(DEPARTMENTS)
        day = (START + timedelta(days=self.random.randrange(DAYS))).isoformat()
        whole = (source, department, day, "")
        if self.parted.setdefault(whole, self.random.random() < 0.3):
            return source, department, day, self.random.choice(("p1", "p2", "p3"))
        return whole

    def _made(self, slot: Slot) -> Sent:
        """Return some good rows with keys of this slot, often a duplicate and a bad row."""
        source, department, day, part = slot
        rows = [
            (f"{part}k{number}", self.random.randint(1, 9))
            for number in range(self.random.randint(20, 120))
        ]
        repeated = rows[: self.random.randint(0, 2)]
        match source:
            case "records":
                bad = [("bad", -1)] if self.random.random() < 0.3 else []
                lines = [(*row, "交通") for row in rows + repeated + bad]
                data = small_city.csv_of(lines)
            case "surveys":
                lines = [(*row, "在线") for row in rows + repeated]
                header = small_city.SURVEY_HEADER
                data = small_city.csv_of([*lines, ("合计", 0, "")], header, "gb18030")
            case _:
                name = name_of(department)
                data = small_city.jsonl_of([(day, name, *row) for row in rows + repeated])
        return Sent(data, Counter(rows))

    def _deliver(self, kind: str, slot: Slot, sent: Sent) -> None:
        self._put(self._path(slot), sent.data)
        self.in_force[slot] = sent.rows
        self.history.setdefault(slot, []).append(sent)
        self.kinds[kind] += 1
        self.parts += bool(slot[3])

    def _path(self, slot: Slot) -> Path:
        source, department, day, part = slot
        suffix = "jsonl" if source == "visits" else "csv"
        name = f"{source}.{part}.{suffix}" if part else f"{source}.{suffix}"
        return self.landing / day / department / name

    def _put(self, path: Path, data: bytes) -> None:
        """Write aside first and move into place when whole, as a careful uploader does.

        The folder may be cleared away, being empty, before the file lies in it.
        """
        unfinished = path.with_name(f".{path.name}.part")
        while True:
            path.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileNotFoundError):
                unfinished.write_bytes(data)
                unfinished.replace(path)
                return


def name_of(department: str) -> str:
    """Return what `departments.csv` calls a department of this city."""
    return f"{department}局"


# --- the crowd ----------------------------------------------------------------------------------


class Runner(threading.Thread):
    """Starts a run whenever the last one has ended, until told to stop."""

    def __init__(self, city: City, prefix: Path, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.city, self.prefix, self.stop = city, prefix, stop
        self.seconds: list[float] = []
        self.busy = 0
        self.failures: list[str] = []
        self.problems: list[str] = []

    def run(self) -> None:
        while not self.stop.is_set():
            self.once()

    def once(self) -> None:
        """Run once; record the duration and all that is wrong with it."""
        started = time.monotonic()
        try:
            ended = self.city.call(*RUN, prefix=self.prefix)
        except (OSError, subprocess.TimeoutExpired) as error:
            self.failures.append(f"{type(error).__name__}: {error}")
            return
        self.seconds.append(round(time.monotonic() - started, 2))
        problems = ended.report().get("problems", [])
        self.problems += [f"{problem['path']}: {problem['message']}" for problem in problems]
        faults = ended.faults(0)
        if faults and BUSY in "".join(faults):
            self.busy += 1
        else:
            self.failures += faults


def soak(
    minutes: float, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None
) -> Report:
    """Send and run at once below `folder` for that long, then compare rows with what was sent."""
    names = "".join(f"{code},{name_of(code)}\n" for code in DEPARTMENTS)
    config = small_city.configure(folder / "config", small_city.DEPARTMENTS + names)
    city = City(folder / "data", config, (("CITYBRAIN_THREADS", "1"),))
    stop = threading.Event()
    runners = [Runner(city, folder / f"runner{number}", stop) for number in range(RUNNERS)]
    runners[0].once()  # so that there is something to read from the start
    lander, started = Lander(city.landing, seed), time.monotonic()
    with Readers(city.readers_file, READERS, READER_PAUSE) as readers:
        for runner in runners:
            runner.start()
        try:
            _land(lander, started + minutes * 60, runners, tell)
        finally:
            stop.set()
            for runner in runners:
                runner.join()
        runners[0].once()
    report = Report(round((time.monotonic() - started) / 60, 1))
    _account_runs(report, runners)
    report.files_landed = lander.kinds.total()
    report.kinds, report.parts = lander.kinds, lander.parts
    observed = readers.observed
    report.reads, report.reader_errors = observed.reads, observed.errors
    report.reader_messages, report.slowest_read = observed.messages, observed.slowest
    report.generations = observed.generation
    _account_rows(report, lander, city)
    return report


def _land(
    lander: Lander, until: float, runners: Sequence[Runner], tell: Callable[[str], None]
) -> None:
    spoke = time.monotonic()
    while time.monotonic() < until:
        lander.send()
        time.sleep(lander.random.uniform(0.05, 2 * LANDING_PAUSE))
        if time.monotonic() - spoke > 30:
            spoke = time.monotonic()
            runs = sum(len(runner.seconds) for runner in runners)
            failures = sum(len(runner.failures) for runner in runners)
            tell(
                f"{(until - spoke) / 60:.1f} minutes left: {lander.kinds.total()} files landed, "
                f"{runs} runs, {failures} failures"
            )


def _account_runs(report: Report, runners: Sequence[Runner]) -> None:
    seconds = [duration for runner in runners for duration in runner.seconds]
    report.runs = len(seconds)
    report.busy = sum(runner.busy for runner in runners)
    report.run_failures = [text for runner in runners for text in runner.failures]
    report.problems = [text for runner in runners for text in runner.problems]
    if len(seconds) > 1:
        cuts = quantiles(seconds, n=20, method="inclusive")
        report.run_seconds_p50, report.run_seconds_p95 = round(cuts[9], 1), round(cuts[18], 1)


def _account_rows(report: Report, lander: Lander, city: City) -> None:
    """Compare every partition in the warehouse with what was sent for it last."""
    in_warehouse = _in_warehouse(city)
    report.rows_landed = sum(rows.total() for rows in lander.in_force.values())
    report.rows_found = sum(rows.total() for rows in in_warehouse.values())
    for slot in sorted(lander.in_force.keys() | in_warehouse.keys()):
        wanted, actual = lander.in_force.get(slot, Content()), in_warehouse.get(slot, Content())
        lost, extra = (wanted - actual).total(), (actual - wanted).total()
        report.rows_lost += lost
        report.rows_extra += extra
        if lost or extra:
            report.wrong_partitions.append(f"{slot}: {lost} rows lost, {extra} too many")
    waiting = [path for path in city.landing.rglob("*") if path.is_file()]
    report.wrong_partitions += [f"still in landing: {path}" for path in waiting]


def _in_warehouse(city: City) -> dict[Slot, Content]:
    figures = {
        "records": ("item", "amount"),
        "surveys": ("site", "channels"),
        "visits": ("app", "visits"),
    }
    partitions: dict[Slot, Content] = {}
    with duckdb.connect(city.warehouse, read_only=True) as connection:
        for source, (key, figure) in figures.items():
            for department, day, part, name, value in connection.execute(
                f"SELECT department, CAST(business_date AS VARCHAR), part, {key}, {figure} "
                f"FROM {source}"
            ).fetchall():
                partitions.setdefault((source, department, day, part), Content())[name, value] += 1
    return partitions


if __name__ == "__main__":
    sys.exit(program("soak", __doc__, ("minutes", float, 20), soak))
