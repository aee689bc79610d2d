"""Structured logs: an event's name and its fields, bound to the run and step in which it happened.

The command appends JSON lines to `<data>/logs/<day>.jsonl` and shows warnings on standard error. In
Airflow, which has configured structlog before us, the task's own log takes them. Fields never hold
what a file's cells say: of an exception only its kind and where it arose.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, WrappedLogger

from pipelines import clock

Log = structlog.stdlib.BoundLogger


def get(name: str) -> Log:
    """A module's logger."""
    log: Log = structlog.get_logger(name, origin=name)
    return log


def arisen(error: BaseException) -> dict[str, object]:
    """Fields for an event about an exception: its kind and the places it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": type(error).__name__,
        "frames": [f"{Path(one.filename).name}:{one.lineno} {one.name}" for one in frames],
    }


@dataclass
class Step:
    """One step of a run, and how much it dealt with; `error` says why it was not finished."""

    run_id: str
    name: str
    source: str
    started_at: datetime
    seconds: float = 0.0
    deliveries: int | None = None
    rows: int | None = None
    error: str | None = None


@contextmanager
def step(run_id: str, name: str, source: str = "", level: int = logging.INFO) -> Iterator[Step]:
    """Tell that a step has begun, and how it ended after how long; the caller fills in counts."""
    log = get(__name__)
    told = Step(run_id, name, source, clock.now())
    started = time.perf_counter()
    with bound_contextvars(run_id=run_id, step=name, **({"source": source} if source else {})):
        log.log(level, "step started")
        try:
            yield told
        except BaseException as error:
            told.error = type(error).__name__
            raise
        finally:
            told.seconds = round(time.perf_counter() - started, 3)
            counts = {"deliveries": told.deliveries, "rows": told.rows, "error": told.error}
            said = {key: value for key, value in counts.items() if value is not None}
            log.log(level, "step finished", seconds=told.seconds, **said)


@contextmanager
def part(name: str) -> Iterator[None]:
    """A part of a step, told at debug level only."""
    current = structlog.contextvars.get_contextvars()
    with step(current.get("run_id", ""), name, current.get("source", ""), logging.DEBUG):
        yield


def to_folder(folder: Path) -> None:
    """Append every event to a file of today (UTC) in `folder`, and show warnings to the person.

    Where the folder cannot be written, warnings are shown all the same.
    """
    file: TextIO | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
        file = (folder / f"{datetime.now(UTC):%Y-%m-%d}.jsonl").open("a", encoding="utf-8")
    except OSError as error:
        print(f"warning: no log is kept in {folder}: {error.strerror}", file=sys.stderr)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _shown,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(_Patient(file)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def _shown(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Shows warnings and what is worse to the person who started the command, if still there."""
    if event["level"] in ("warning", "error", "critical"):
        fields = {
            key: value
            for key, value in event.items()
            if key not in ("event", "level", "timestamp", "frames", "origin", "run_id", "step")
        }
        said = ", ".join(f"{key} {value}" for key, value in fields.items())
        with suppress(OSError, ValueError):  # a terminal that was closed
            print(
                f"{event['level']}: {event['event']}{': ' if said else ''}{said}", file=sys.stderr
            )
    return event


class _Patient:
    """A file that a full disk does not turn into a failed night; None takes nothing."""

    def __init__(self, file: TextIO | None) -> None:
        self.file = file

    def write(self, text: str) -> None:
        if self.file is not None:
            try:
                self.file.write(text)
                self.file.flush()
            except OSError:
                self.file = None

    def flush(self) -> None:
        """Written lines are flushed already."""


def to_logging() -> None:
    """Send every event where Python's `logging` sends things, as programs without ours expect."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.KeyValueRenderer(key_order=["event"]),
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )


if not structlog.is_configured():
    to_logging()
