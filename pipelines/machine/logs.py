"""Structured logs: an event with its fields, bound to the run and the step in which it happened.

The command appends JSON lines to `<data>/logs/<day>.jsonl` and shows warnings on standard error. In
Airflow, which has configured structlog before us, events go to the task's log. Fields never hold
the text of a file's cells: of an exception only its class and the places it came through.
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
    """Return a module's logger."""
    log: Log = structlog.get_logger(name, origin=name)
    return log


def arisen(error: BaseException) -> dict[str, object]:
    """Return fields for an event about an exception: its class and the places it came through."""
    frames = traceback.extract_tb(error.__traceback__)
    return {
        "exception": type(error).__name__,
        "frames": [f"{Path(frame.filename).name}:{frame.lineno} {frame.name}" for frame in frames],
    }


@dataclass
class Step:
    """One step of a run: its time, how much it dealt with, and the error that ended it early."""

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
    """Log the start and the end of the block with its time; the caller fills in counts."""
    log = get(__name__)
    timing = Step(run_id, name, source, clock.now())
    started = time.perf_counter()
    with bound_contextvars(run_id=run_id, step=name, **({"source": source} if source else {})):
        log.log(level, "step started")
        try:
            yield timing
        except BaseException as error:
            timing.error = type(error).__name__
            raise
        finally:
            timing.seconds = round(time.perf_counter() - started, 3)
            counts = {"deliveries": timing.deliveries, "rows": timing.rows, "error": timing.error}
            known = {key: value for key, value in counts.items() if value is not None}
            log.log(level, "step finished", seconds=timing.seconds, **known)


@contextmanager
def part(name: str) -> Iterator[None]:
    """Log the block as a part of the current step, at debug level."""
    current = structlog.contextvars.get_contextvars()
    with step(current.get("run_id", ""), name, current.get("source", ""), logging.DEBUG):
        yield


def to_folder(folder: Path) -> None:
    """Append every event to a file of today (UTC) in `folder`, and show warnings on the terminal.

    If the folder cannot be written, warnings are shown all the same.
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
            _show,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG),
        logger_factory=structlog.WriteLoggerFactory(_LogFile(file)),  # type: ignore[arg-type]
        cache_logger_on_first_use=False,
    )


def _show(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Print an event from level warning on standard error, and pass it on."""
    if event["level"] in ("warning", "error", "critical"):
        fields = {
            key: value
            for key, value in event.items()
            if key not in ("event", "level", "timestamp", "frames", "origin", "run_id", "step")
        }
        details = ", ".join(f"{key} {value}" for key, value in fields.items())
        with suppress(OSError, ValueError):  # a terminal that was closed
            print(
                f"{event['level']}: {event['event']}{': ' if details else ''}{details}",
                file=sys.stderr,
            )
    return event


class _LogFile:
    """A log file that takes nothing more once its disk fails: no night fails for its log."""

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
        """Ignore it: `write` has flushed."""


def to_logging() -> None:
    """Send every event to Python's `logging`, for programs that configure no log of ours."""
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
