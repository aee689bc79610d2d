"""Steps of a run: logged, timed, recorded in `ops.step`, with progress for who watches."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from pipelines.errors import CitybrainError
from pipelines.machine import logs
from pipelines.machine.failures import translating
from pipelines.operations import database
from pipelines.settings import Settings

log = logs.get(__name__)
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


def silent(what: str, done: int, total: int) -> None:
    """Ignore progress: the default where nobody watches."""


@contextmanager
def step(settings: Settings, run_id: str, name: str, source: str = "") -> Iterator[logs.Step]:
    """Run the block as one step: logged, timed, recorded, its machine failures translated.

    The block fills in the counts of the Step that it is given. A timing that cannot be recorded is
    logged, and no reason to fail.
    """
    import sqlalchemy as sa

    timing: logs.Step | None = None
    try:
        with (
            translating(settings, f"{name} {source}".strip()),
            logs.step(run_id, name, source) as timing,
        ):
            yield timing
    finally:
        if timing is not None:
            try:
                with database.open_operations(settings) as connection:
                    database.store_step(connection, timing)
            except (sa.exc.SQLAlchemyError, OSError, CitybrainError) as error:
                log.warning(
                    "the timing of a step was not recorded",
                    step=timing.name,
                    why=type(error).__name__,
                )


def new_run_id() -> str:
    """Return a new run's id: its UTC time, and six digits that tell runs of one second apart."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:6]}"
