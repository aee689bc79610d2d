"""Stages deliveries of one source together: reads, types, masks, checks and splits their rows.

Everything happens in a DuckDB file of its own inside the chunk's folder, which is deleted when
the chunk is judged; what stays is accepted.parquet, quarantined.parquet and judgements.json. The
same deliveries under the same contract give the same files, wherever and however often it runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from pipelines.contracts.models import Department, Source, Suite
from pipelines.deliveries.delivery import Delivery, StagedChunk
from pipelines.deliveries.reasons import Reason
from pipelines.engine import connect_args, duckdb_url, open_duckdb
from pipelines.errors import StorageError, UsageError
from pipelines.machine import logs
from pipelines.machine.failures import describe_machine_failure, naming_file
from pipelines.settings import Settings
from pipelines.staging.checks import Judge
from pipelines.staging.chunk import Chunk, Progress, defect
from pipelines.staging.verdicts import Outcome, judge_delivery

log = logs.get(__name__)


def stage(
    deliveries: Sequence[Delivery],
    source: Source,
    suite: Suite,
    departments: Mapping[str, Department],
    settings: Settings,
    folder: Path,
    progress: Progress = lambda delivery: None,
) -> StagedChunk:
    """Judge `deliveries` (all of `source`, all archived) into `folder`, replacing what is there.

    A delivery that cannot be read or checked is judged so and does not disturb the others; nor
    does one that our own code fails on: it is set aside as unreadable, to be rebuilt once mended.
    """

    def attempt(some: Sequence[Delivery], watch: Progress = lambda delivery: None) -> StagedChunk:
        return _stage(some, source, suite, departments, settings, folder, watch)

    try:
        return attempt(deliveries, progress)
    except (UsageError, StorageError, OSError, MemoryError):  # this machine's, no delivery's
        raise
    except Exception as error:
        if describe_machine_failure(error):
            raise
        told = {"deliveries": len(deliveries)} | logs.arisen(error)
        log.error("deliveries could not be staged together", **told)
    faults = _find_faults(deliveries, attempt)
    marked = [
        delivery.model_copy(update={"defect": faults.get(delivery.delivery_id)})
        for delivery in deliveries
    ]
    return attempt(marked)


def _find_faults(
    deliveries: Sequence[Delivery], attempt: Callable[[Sequence[Delivery]], object]
) -> dict[str, Reason]:
    """Which deliveries our own code fails on, found by halving: the reason by delivery id."""
    try:
        attempt(deliveries)
    except (UsageError, StorageError, OSError, MemoryError):
        raise
    except Exception as error:
        if describe_machine_failure(error):
            raise
        if len(deliveries) == 1:
            return {deliveries[0].delivery_id: defect(error)}
        middle = len(deliveries) // 2
        first, second = deliveries[:middle], deliveries[middle:]
        return _find_faults(first, attempt) | _find_faults(second, attempt)
    return {}


def _stage(
    deliveries: Sequence[Delivery],
    source: Source,
    suite: Suite,
    departments: Mapping[str, Department],
    settings: Settings,
    folder: Path,
    progress: Progress,
) -> StagedChunk:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    work = folder / "work.duckdb"
    engine = open_duckdb(work, settings, macros=True)
    outcomes = [Outcome(delivery) for delivery in deliveries]
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            chunk = Chunk(connection, source, suite, departments, settings, folder)
            chunk.read(outcomes, progress)
            with closing(Judge(duckdb_url(work), connect_args(settings))) as judge:
                chunk.check(outcomes, judge)
            chunk.split(outcomes)
            judgements = tuple(judge_delivery(outcome, source) for outcome in outcomes)
            staged = StagedChunk(source=source.name, folder=folder, judgements=judgements)
            chunk.write(staged)
        with naming_file(folder):
            staged.save()
    except BaseException:  # a full disk is to have room for the sources that follow
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        engine.dispose()
        for leftover in folder.glob("work.duckdb*"):
            leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
    return staged
