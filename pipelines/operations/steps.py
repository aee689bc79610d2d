"""Steps of a run: logged, timed, kept in `ops.step`, watched by who started it."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipelines.errors import CitybrainError
from pipelines.machine import failures, logs
from pipelines.operations import database
from pipelines.settings import Settings

log = logs.get(__name__)
Progress = Callable[[str, int, int], None]  # what, done, of how many


def silent(what: str, done: int, total: int) -> None:
    """Progress that nobody watches."""


def counting(progress: Progress, before: int, total: int) -> Callable[[int], None]:
    """Progress within one chunk as progress within all of them."""
    return lambda done: progress("staging", before + done, total)


@contextmanager
def step(settings: Settings, run_id: str, name: str, source: str = "") -> Iterator[logs.Step]:
    """One step of a run: logged, timed, kept in `ops.step`; a disk's refusal said in words."""
    told: logs.Step | None = None
    try:
        doing = f"{name} {source}".strip()
        with failures.translating(settings, doing), logs.step(run_id, name, source) as told:
            yield told
    finally:
        if told is not None:
            _keep_step(settings, told)


def _keep_step(settings: Settings, told: logs.Step) -> None:
    """Timings are no reason to fail: where they cannot be kept, that is logged."""
    import sqlalchemy as sa

    try:
        with database.open_operations(settings) as store:
            database.store_step(store, told)
    except (sa.exc.SQLAlchemyError, OSError, CitybrainError) as error:
        log.warning("a step's timing was not kept", step=told.name, why=type(error).__name__)


def new_run_id() -> str:
    """Identifies one run: its UTC time, and what tells two runs of a second apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
