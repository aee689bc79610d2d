"""Kills runs at random instants, again and again, and holds what comes of it against one that
nobody disturbed: nothing lost, nothing twice, nothing half-done, and readers never notice.

    python tests/stack/chaos.py --kills 200 --seed 1

A round is a data folder of its own that takes the small city's three waves; of the runs on each
wave a handful is killed (SIGKILL, the whole process group) before one may come to its end. Exits
with 1 when anything differs from the reference or a reader met an error.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import duckdb

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # also when run as a program
from stack import small_city, snapshot
from stack.commands import City, Ended, program
from stack.readers import Readers
from stack.snapshot import Snapshot

# the steps that runs log, in the order of a night; a part of one counts for itself
STAGES = (
    "discover",
    "archive",
    "stage",
    "load",
    "metrics",
    "clear",
    "track",
    "alerts",
    "publish",
    "notify",
)
ANYWHERE = "anywhere"
STARTING, BETWEEN = "starting", "between"  # hit before the first step, or outside any
STAGES_OF_WAVE = 5  # kills aimed at stages on each wave; one more goes anywhere
OCCURRENCES = 3  # a stage that comes often in a run is hit in one of its first few
POLL_SECONDS = 0.001
AGED_SECONDS = 3 * 86_400  # what is older than CITYBRAIN_LEFTOVER_HOURS is nobody's any more
READERS = 2
READER_PAUSE = 0.2
RUN = ("run", "--as-of", small_city.AS_OF, "--fail-on", "never", "--json")
# small chunks, so that there are many instants between two commits
SETTINGS = (("CITYBRAIN_CHUNK_DELIVERIES", "3"), ("CITYBRAIN_THREADS", "1"))
EVERY_VERDICT = {
    "accepted",
    "accepted_with_quarantine",
    "held",
    "rejected",
    "unreadable",
    "unchanged",
}


@dataclass
class Report:
    """Hold what was done and what was found; `differences` is everything that must not be."""

    asked: int
    seed: int
    kills: Counter[str] = field(default_factory=Counter)
    rounds: int = 0
    runs: int = 0
    seconds: float = 0.0
    reads: int = 0
    replaced: int = 0  # how often a reader saw a new file come, and read it at once
    reader_errors: int = 0
    reader_messages: list[str] = field(default_factory=list)
    slowest_read: float = 0.0
    differences: list[str] = field(default_factory=list)
    leftovers: int = 0
    cleaned: bool = True  # whether `citybrain clean` took them all
    kept_folders: list[str] = field(
        default_factory=list
    )  # data folders in which something differed

    @property
    def total(self) -> int:
        """Count the runs that were killed."""
        return self.kills.total()

    @property
    def missed(self) -> list[str]:
        """Stages in which no run was killed."""
        return [stage for stage in STAGES if not self.kills[stage]]

    @property
    def passed(self) -> bool:
        """Return whether nothing differs and no reader met an error."""
        return not self.differences and not self.reader_errors and self.reads > 0

    def as_json(self) -> dict[str, Any]:
        """Return the report for programs."""
        return asdict(self) | {"missed": self.missed}

    def table(self) -> str:
        """Return the report for people."""
        stages = (*STAGES, *sorted(self.kills.keys() - set(STAGES)))
        facts = {
            "kills": f"{self.total} of {self.asked}, seed {self.seed}",
            "rounds": f"{self.rounds}, {self.runs} runs, {self.seconds:.0f} s",
            "reads": f"{self.reads}, {self.replaced} at the moment of a replacement, "
            f"slowest {self.slowest_read:.2f} s",
            "reader errors": str(self.reader_errors),
            "leftovers": f"{self.leftovers}, {'' if self.cleaned else 'NOT '}all cleaned",
            "differences": str(len(self.differences)),
        }
        lines = [f"{'killed in ' + stage:22}{self.kills[stage]:5}" for stage in stages]
        lines += [f"{name:22}{value:>5}" for name, value in facts.items()]
        lines += [f"! {text}" for text in (*self.differences, *self.reader_messages)]
        lines += [f"kept: {folder}" for folder in self.kept_folders]
        return "\n".join(lines)


class Log:
    """The events that are appended to a data folder's logs from now on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.read: dict[Path, int] = {path: path.stat().st_size for path in self._files()}

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.jsonl"))

    def news(self) -> list[dict[str, Any]]:
        """Return events since the last call; half a line waits for its other half."""
        events = []
        for path in self._files():
            with path.open("rb") as file:
                file.seek(self.read.get(path, 0))
                text = file.read()
            whole = text[: text.rfind(b"\n") + 1]
            self.read[path] = self.read.get(path, 0) + len(whole)
            events += [event for line in whole.splitlines() if (event := _event(line))]
        return events


def _event(line: bytes) -> dict[str, Any]:
    """Return the event of a log line; an empty one when a kill has left half a line before it."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


@dataclass
class Course:
    """Track a run by its log: steps entered, steps still open, how long each took."""

    log: Log
    entered: Counter[str] = field(default_factory=Counter)
    open: list[str] = field(default_factory=list)
    lengths: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    faults: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Take in what was logged meanwhile."""
        for event in self.log.news():
            name = str(event.get("step"))
            match event.get("event"):
                case "step started":
                    self.entered[name] += 1
                    self.open.append(name)
                case "step finished":
                    if name in self.open:
                        self.open.remove(name)
                    self.lengths[name].append(float(event["seconds"]))
            if event.get("level") in ("error", "critical") or "exception" in event:
                self.faults.append(f"logged: {event}")

    @property
    def stage(self) -> str:
        """The innermost step under way."""
        if self.open:
            return self.open[-1]
        return BETWEEN if self.entered else STARTING


@dataclass(frozen=True)
class Usual:
    """A wave's run that nobody disturbed: its seconds, of each stage and in all; its end."""

    lengths: dict[str, list[float]]
    seconds: float
    ended: Ended


class Chaos:
    """One campaign against one seed; `report` grows as it goes."""

    def __init__(
        self, folder: Path, kills: int, seed: int, tell: Callable[[str], None] = print
    ) -> None:
        self.folder = folder
        self.report = Report(kills, seed)
        self.random = random.Random(seed)
        self.tell = tell
        self.aimed: Counter[str] = Counter()
        self.config = small_city.configure(folder / "config")
        for number, wave in enumerate(small_city.WAVES):
            small_city.write(wave, self._written(number))
        self.template = City(folder / "template", self.config, SETTINGS)
        self.usual: list[Usual] = []
        self.reference = Snapshot()

    def run(self) -> Report:
        """Run the reference, then rounds until enough runs were killed or something differs."""
        started = time.monotonic()
        self._prepare()
        while self.report.total < self.report.asked and not self.report.differences:
            before = self.report.total
            self._play_round()
            self.report.seconds = round(time.monotonic() - started, 1)
            if self.report.total == before:
                self.report.differences.append("no run of a round could be killed")
        return self.report

    def _written(self, number: int) -> Path:
        return self.folder / f"wave{number + 1}"

    def _city(self, name: str) -> City:
        """Return a city in a data folder where an empty city was published, links as they were."""
        city = City(self.folder / name, self.config, SETTINGS)
        subprocess.run(["cp", "-a", self.template.data, city.data], check=True)
        return city

    # --- the reference ----------------------------------------------------------------------

    def _prepare(self) -> None:
        empty = self.template.call(*RUN, prefix=self.folder / "template-run")
        self.report.differences += empty.faults(0)
        city = self._city("reference")
        for number in range(len(small_city.WAVES)):
            small_city.land(self._written(number), city.landing)
            self.usual.append(self._undisturbed(city, number))
            self._between(city, number)
        self.reference = snapshot.take(city)
        self.report.differences += self.reference.faults
        if self.reference.verdicts != EVERY_VERDICT:
            self.report.differences.append(f"reference has only {self.reference.verdicts}")
        lengths = ", ".join(f"{usual.seconds:.1f}" for usual in self.usual)
        self.tell(f"reference: waves take {lengths} s")

    def _undisturbed(self, city: City, number: int) -> Usual:
        course, started = Course(Log(city.data / "logs")), time.monotonic()
        ended = city.call(*RUN, prefix=self.folder / f"reference-run{number + 1}")
        seconds = time.monotonic() - started
        course.look()
        self.report.differences += ended.faults(0) + course.faults
        return Usual(dict(course.lengths), seconds, ended)

    def _between(self, city: City, number: int) -> None:
        """Withdraw a delivery after the corrections, as a person would; it is then sent again."""
        if small_city.WAVES[number] is not small_city.CORRECTIONS:
            return
        with duckdb.connect(city.warehouse, read_only=True) as connection:
            rows = connection.execute(
                "SELECT delivery_id FROM delivery_partition WHERE known_until IS NULL "
                "AND (source, department, CAST(business_date AS VARCHAR)) = (?, ?, ?)",
                small_city.WITHDRAWN_PLACE,
            ).fetchall()
        ((delivery,),) = rows
        arguments = ("withdraw", delivery, "--reason", "报错了单位")
        self.report.differences += city.call(*arguments, prefix=city.data / "withdraw").faults(0)

    # --- rounds -----------------------------------------------------------------------------

    def _play_round(self) -> None:
        self.report.rounds += 1
        city = self._city(f"round{self.report.rounds}")
        faults: list[str] = []
        with Readers(city.readers_file, READERS, READER_PAUSE) as readers:
            for number, usual in enumerate(self.usual):
                small_city.land(self._written(number), city.landing)
                faults += self._take_wave(city, usual)
                self._between(city, number)
        observed = readers.observed
        self.report.reads += observed.reads
        self.report.replaced += observed.replaced
        self.report.reader_errors += observed.errors
        self.report.reader_messages += observed.messages
        self.report.slowest_read = max(self.report.slowest_read, observed.slowest)
        faults += self.reference.differences(snapshot.take(city)) + self._clean(city)
        name = city.data.name
        self.report.differences += [f"{name}: {fault}" for fault in faults]
        if faults or observed.errors:
            self.report.kept_folders.append(str(city.data))
        else:
            shutil.rmtree(city.data)
        self.tell(
            f"{name}: {self.report.total}/{self.report.asked} kills, {observed.reads} reads, "
            f"{observed.errors} reader errors, {len(faults)} differences"
        )

    def _take_wave(self, city: City, usual: Usual) -> list[str]:
        """Kill a handful of runs, then let one come to its end; returns what was wrong."""
        ended, faults = None, []
        for aim in self._aims():
            if self.report.total >= self.report.asked or ended is not None or faults:
                break
            ended, wave_faults = self._disturb(city, usual, aim)
            faults += wave_faults
        if ended is None:
            course = Course(Log(city.data / "logs"))
            ended = city.call(*RUN, prefix=city.data / "run")
            self.report.runs += 1
            course.look()
            faults += course.faults
        return faults + ended.faults(usual.ended.code) + _other_problems(usual.ended, ended)

    def _aims(self) -> list[str]:
        """Return the next aims: the stages hit least so far, in a night's order, and anywhere."""

        def least(stage: str) -> tuple[float, float]:
            return self.report.kills[stage] + self.aimed[stage], self.random.random()

        chosen = sorted(STAGES, key=least)[:STAGES_OF_WAVE]
        aims = sorted(chosen, key=STAGES.index)
        aims.insert(self.random.randint(0, len(aims)), ANYWHERE)
        return aims

    def _disturb(self, city: City, usual: Usual, aim: str) -> tuple[Ended | None, list[str]]:
        """Start a run and kill it where `aim` says; its end when it came to one before that."""
        self.aimed[aim] += 1
        course, prefix = Course(Log(city.data / "logs")), city.data / "run"
        reached = self._reached(course, usual, aim)
        process = city.start(*RUN, prefix=prefix)
        self.report.runs += 1
        try:
            while process.poll() is None and not reached():
                time.sleep(POLL_SECONDS)
        finally:
            if process.returncode is None:  # not waited for yet: the number is still its own
                os.killpg(process.pid, signal.SIGKILL)
            code = process.wait()
        course.look()
        if code != -signal.SIGKILL:
            return Ended.of(code, prefix), course.faults
        self.report.kills[course.stage] += 1
        return None, course.faults + snapshot.torn(city)

    def _reached(self, course: Course, usual: Usual, aim: str) -> Callable[[], bool]:
        """Return a test of whether the instant to kill has come; it draws where in the stage."""
        if aim == ANYWHERE:
            at = time.monotonic() + self.random.uniform(0, usual.seconds)
            return lambda: time.monotonic() >= at
        lengths = usual.lengths.get(aim) or [0.0]
        nth = self.random.randint(1, min(OCCURRENCES, len(lengths)))
        wait = self.random.uniform(0, lengths[nth - 1])

        def reached() -> bool:
            course.look()
            if course.entered[aim] < nth:
                return False
            time.sleep(wait)
            return True

        return reached

    def _clean(self, city: City) -> list[str]:
        """Count what killed runs left behind, and have it cleaned when it looks old enough."""
        left = snapshot.leftovers(city)
        self.report.leftovers += len(left)
        for path in left:
            snapshot.age(city.data / path, AGED_SECONDS)
        ended = city.call("clean", prefix=city.data / "clean")
        still = snapshot.leftovers(city)
        self.report.cleaned = self.report.cleaned and not still
        return ended.faults(0) + [f"not cleaned: {path}" for path in still]


def _other_problems(wanted: Ended, actual: Ended) -> list[str]:
    """Return the files that either the reference run or this run could not make sense of."""
    named, differing = (
        sorted(problem["path"] for problem in ended.report().get("problems", []))
        for ended in (wanted, actual)
    )
    return [] if named == differing else [f"a run has problems with {differing} and not {named}"]


def chaos(
    kills: int, seed: int, folder: Path, tell: Callable[[str], None] = lambda line: None
) -> Report:
    """Kill that many runs in data folders below `folder`, which stay when something differs."""
    return Chaos(folder, kills, seed, tell).run()


if __name__ == "__main__":
    sys.exit(program("chaos", __doc__, ("kills", int, 200), chaos))
