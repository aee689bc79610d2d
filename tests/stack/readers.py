"""Analysts who never rest: processes that open the published copy again and again.

Run as a program it is one of them: it reads until its standard input ends, then prints what it
saw as one line of JSON. Between two reads it keeps an eye on the file, and reads at once when
another lies there: what is put in place badly is bad for a moment only. `Readers` starts several
and adds up what they say.
"""

from __future__ import annotations

import argparse
import json
import select
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

import duckdb

WATCH_SECONDS = 0.002  # between two looks at the file
SHOWN = 5  # messages kept of each reader's errors
MART = "SELECT count(*), sum(rows) FROM marts.department_day"


@dataclass
class Seen:
    """Count what readers saw: reads, new files, failures (the first in words), the slowest read."""

    reads: int = 0
    replaced: int = 0
    errors: int = 0
    messages: list[str] = field(default_factory=list)
    slowest: float = 0.0
    generation: int = 0

    def add(self, other: Seen) -> None:
        """Count what another reader saw as well."""
        self.reads += other.reads
        self.replaced += other.replaced
        self.errors += other.errors
        self.messages = (self.messages + other.messages)[:SHOWN]
        self.slowest = max(self.slowest, other.slowest)
        self.generation = max(self.generation, other.generation)

    def fail(self, message: str) -> None:
        """Count a failure."""
        self.errors += 1
        if len(self.messages) < SHOWN:
            self.messages.append(message)


class Readers:
    """`count` reading processes on one published file, from entering the block to leaving it.

    `seen` is what all of them saw, once the block is left. They end with this process, too:
    their standard input does.
    """

    def __init__(self, file: Path, count: int, pause: float) -> None:
        self.command = [sys.executable, __file__, str(file), "--pause", str(pause)]
        self.count = count
        self.observed = Seen()
        self.processes: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Readers:
        pipe = subprocess.PIPE
        self.processes = [
            subprocess.Popen(self.command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
            for _ in range(self.count)
        ]
        return self

    def __exit__(self, *_: object) -> None:
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.close()
            process.stdin = None
        for process in self.processes:
            self.observed.add(_counted_by(process))


def _counted_by(process: subprocess.Popen[str]) -> Seen:
    output, complaints = process.communicate(timeout=60)
    if process.returncode != 0:
        return Seen(errors=1, messages=[f"a reader exited {process.returncode}: {complaints}"])
    return Seen(**json.loads(output))


def read_once(file: Path, observed: Seen) -> None:
    """Open the published copy as it is now, hold it against itself, and count what was seen.

    Torn is a source table whose rows are not those of its partitions in force; a generation
    number must never be lower than one seen before.
    """
    started = time.perf_counter()
    try:
        with duckdb.connect(file, read_only=True, config={"threads": 1}) as connection:
            _hold_against_itself(connection, observed)
            connection.execute(MART).fetchall()
    except Exception as error:  # whatever it is, an analyst would have met it
        observed.fail(f"{type(error).__name__}: {error}")
    observed.reads += 1
    observed.slowest = max(observed.slowest, round(time.perf_counter() - started, 3))


def _hold_against_itself(connection: duckdb.DuckDBPyConnection, observed: Seen) -> None:
    def rows(query: str, *values: str) -> list[tuple[object, ...]]:
        return connection.execute(query, values or None).fetchall()

    ((number,),) = rows("SELECT number FROM generation")
    assert isinstance(number, int)
    if number < observed.generation:
        observed.fail(f"generation {number} after {observed.generation}")
    observed.generation = max(observed.generation, number)
    tables = {row[0] for row in rows("SELECT table_name FROM duckdb_tables()")}
    promises = rows(
        "SELECT source, CAST(sum(rows) AS BIGINT) FROM delivery_partition "
        "WHERE known_until IS NULL GROUP BY source"
    )
    for source, promised in promises:
        if source not in tables:
            observed.fail(f"generation {number} has no table {source}")
            continue
        ((counted,),) = rows(f'SELECT count(*) FROM "{source}"')
        if counted != promised:
            observed.fail(f"generation {number}: {source} has {counted} rows and should {promised}")


def identity(file: Path, observed: Seen) -> tuple[int, int] | None:
    """Return which file lies there, and how long it is; that none does is a failure."""
    try:
        status = file.stat()
    except OSError as error:
        observed.fail(f"{type(error).__name__}: {error}")
        return None
    return status.st_ino, status.st_size


def wait(file: Path, known: tuple[int, int] | None, seconds: float, observed: Seen) -> bool:
    """Wait until it is time to read again, or the file is not `known`; return whether to stop."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([sys.stdin], [], [], WATCH_SECONDS)[0]:
            return True
        if identity(file, observed) != known:
            observed.replaced += 1
            break
    return False


def main() -> None:
    """Read until standard input ends, then tell."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--pause", type=float, default=0.05, help="seconds between two reads")
    given = parser.parse_args()
    observed = Seen()
    while True:
        known = identity(given.file, observed)
        read_once(given.file, observed)
        if wait(given.file, known, given.pause, observed):
            break
    print(json.dumps(asdict(observed)))


if __name__ == "__main__":
    main()
