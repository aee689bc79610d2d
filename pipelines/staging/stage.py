"""Stage deliveries of one source together: read, type, mask, check and split their rows.

Everything happens in a DuckDB file inside the chunk's folder, which is deleted when the chunk is
judged; what stays is accepted.parquet, quarantined.parquet and judgements.json. The same
deliveries under the same contract give the same files, wherever and however often this runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

from pipelines.contracts.departments import Department
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.deliveries.delivery import Delivery, StagedChunk
from pipelines.deliveries.reasons import Reason
from pipelines.engine import connect_args, open_duckdb
from pipelines.errors import StorageError, UsageError
from pipelines.machine import logs
from pipelines.machine.failures import describe_machine_failure, naming_file
from pipelines.settings import Settings
from pipelines.staging.checks import Judge
from pipelines.staging.chunk import Progress, defect, open_chunk, read_rows
from pipelines.staging.results import judge_delivery, split_rows, write_rows
from pipelines.staging.row_failures import check_rows

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

    A delivery that cannot be read or checked is judged so and does not disturb the others. Nor
    does one that our own code fails on: it is set aside as unreadable, to be rebuilt once mended.
    """
    attempt = partial(_stage, source, suite, departments, settings, folder)
    try:
        return attempt(deliveries, progress)
    except (UsageError, StorageError, OSError, MemoryError):
        # This machine, its archive or whoever started us is to blame, and no delivery.
        raise
    except Exception as error:
        if describe_machine_failure(error):
            raise
        log.error(
            "deliveries could not be staged together",
            deliveries=len(deliveries),
            **logs.arisen(error),
        )
    faults = _find_faults(deliveries, attempt)
    marked = [
        delivery.model_copy(update={"defect": faults.get(delivery.delivery_id)})
        for delivery in deliveries
    ]
    return attempt(marked)


def _find_faults(
    deliveries: Sequence[Delivery], attempt: Callable[[Sequence[Delivery]], object]
) -> dict[str, Reason]:
    """Find by halving the deliveries that our own code fails on: the reason by delivery id."""
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
    source: Source,
    suite: Suite,
    departments: Mapping[str, Department],
    settings: Settings,
    folder: Path,
    deliveries: Sequence[Delivery],
    progress: Progress = lambda delivery: None,
) -> StagedChunk:
    """Stage deliveries once, from an empty folder; leave no folder behind if a step fails."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, mode=0o700)
    work = folder / "work.duckdb"
    engine = open_duckdb(work, settings, macros=True)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            chunk = open_chunk(connection, source, suite, departments, settings, folder, deliveries)
            read_rows(chunk, progress)
            with closing(Judge(f"duckdb:///{work}", connect_args(settings))) as judge:
                check_rows(chunk, judge)
            split_rows(chunk)
            judgements = tuple(judge_delivery(outcome, source) for outcome in chunk.outcomes)
            staged = StagedChunk(source=source.name, folder=folder, judgements=judgements)
            write_rows(chunk, staged)
        with naming_file(folder):
            staged.save()
    except BaseException:
        # If the disk is full, the sources that follow need this chunk's room.
        engine.dispose()
        shutil.rmtree(folder, ignore_errors=True)
        raise
    finally:
        engine.dispose()
        for leftover in folder.glob("work.duckdb*"):
            leftover.unlink() if leftover.is_file() else shutil.rmtree(leftover)
    return staged
