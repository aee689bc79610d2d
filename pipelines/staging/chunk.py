"""One chunk, deliveries of one source staged together: its context, and the step that reads them.

The chunk's tables lie in the schema `chunk` of a DuckDB file of their own; tables.sql says what
each holds. `open_chunk` makes them and `read_rows` fills `staged` and `faulted`; row_failures.py
then fills `failure`, results.py fills `fate` and writes the Parquet files. Besides, every step
notes in `Chunk.outcomes` what it learns of a delivery as a whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.columns import REFUSED
from pipelines.contracts.departments import Department
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.corrections.chain import archived_chain, open_corrected
from pipelines.deliveries.delivery import Delivery, PartitionRows, Profile
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.engine import duckdb_of, keep, quoted, rows, run, run_file, sql
from pipelines.landing.archive import raw_bytes
from pipelines.machine import logs
from pipelines.machine.failures import is_rust_panic
from pipelines.reading.formats import FileOpener
from pipelines.reading.layout import Reading, layout
from pipelines.reading.masking import Mask, mask_of, unstrayed
from pipelines.settings import Settings
from pipelines.staging.checks import Rule, rules
from pipelines.staging.owners import department_names, owners
from pipelines.staging.types import staged_columns, typed_columns

FLUSH_ROWS = 200_000  # Raw rows held in memory before they are typed into the file,
FLUSH_BYTES = 256 << 20  # or fewer, when they are long.
DEFECT = "defect"  # The reason of a delivery that our own code fails on.
Progress = Callable[[Delivery], None]
log = logs.get(__name__)


@dataclass
class Outcome:
    """Counts and reasons of one delivery, filled while its chunk is staged.

    `unreadable`: why nothing of it could be read. `is_unsplit`: its rows were read but not judged
    one by one, so it has no good ones to take. `columns`: the contract's columns that its header
    has; `extra_columns`: headers that the contract does not know.
    """

    delivery: Delivery
    rows_read: int = 0
    ignored: int = 0
    quarantined: int = 0
    duplicates: int = 0
    good: int = 0
    seconds: float = 0.0
    unreadable: Reason | None = None
    is_unsplit: bool = False
    rejections: list[Reason] = field(default_factory=list)
    holds: list[Reason] = field(default_factory=list)
    row_reasons: list[Reason] = field(default_factory=list)
    warnings: list[Reason] = field(default_factory=list)
    partitions: list[PartitionRows] = field(default_factory=list)
    columns: tuple[str, ...] = ()
    extra_columns: tuple[str, ...] = ()
    profile: Profile | None = None


@dataclass(frozen=True)
class Chunk:
    """Deliveries staged together, and what every step needs of them.

    `_delivery` in a table is a position in `outcomes`.
    """

    connection: sa.Connection
    source: Source
    departments: Mapping[str, Department]
    settings: Settings
    folder: Path
    row_rules: Sequence[Rule]
    table_rules: Sequence[Rule]
    mask: Mask | None
    outcomes: Sequence[Outcome]


def defect(error: BaseException) -> Reason:
    """Return the reason of our own failure: no more than its kind, for its text may hold data."""
    return Reason(code=DEFECT, value=type(error).__name__)


def open_chunk(
    connection: sa.Connection,
    source: Source,
    suite: Suite,
    departments: Mapping[str, Department],
    settings: Settings,
    folder: Path,
    deliveries: Sequence[Delivery],
) -> Chunk:
    """Make the chunk's tables, with its deliveries, departments' names and rules in them."""
    run_file(connection, "staging/tables.sql", staged_columns=staged_columns(source))
    landed = {
        "_delivery": pa.array(range(len(deliveries)), pa.int32()),
        "delivery_id": [delivery.delivery_id for delivery in deliveries],
        "department": pa.array([delivery.department for delivery in deliveries], pa.string()),
        "business_date": pa.array([delivery.business_date for delivery in deliveries], pa.date32()),
        "part": [delivery.part for delivery in deliveries],
    }
    keep(connection, "chunk.landed", pa.table(landed))
    if source.partition.department:
        keep(connection, "chunk.department_name", department_names(departments))
    row_rules, table_rules = rules(source, suite)
    # Rules that no column's declaration gives have a role, by which row_failures.sql knows them.
    department_column = source.partition.department or "department"
    day_column = source.partition.business_date or "business_date"
    roles = {
        "other_department": Reason(
            code="other_partition", column=department_column, expected="the delivery's department"
        ),
        "unknown_department": Reason(code="unknown_department", column=department_column),
        "other_date": Reason(
            code="other_partition", column=day_column, expected="the delivery's business date"
        ),
        "no_date": Reason(code="required", column=day_column),
        "key_conflict": Reason(code="key_conflict", expected=", ".join(source.key)),
    }
    reasons = [*(rule.reason for rule in row_rules), *roles.values()]
    declared = {
        "rule": pa.array(range(len(reasons)), pa.int32()),
        "role": [*[""] * len(row_rules), *roles],
        "code": [reason.code for reason in reasons],
        "column": [reason.column for reason in reasons],
        "expected": [reason.expected for reason in reasons],
        "critical": [*(rule.critical for rule in row_rules), *[True] * len(roles)],
    }
    keep(connection, "chunk.rule", pa.table(declared))
    mask = mask_of(duckdb_of(connection), source)
    outcomes = [Outcome(delivery) for delivery in deliveries]
    return Chunk(
        connection, source, departments, settings, folder, row_rules, table_rules, mask, outcomes
    )


def read_rows(chunk: Chunk, progress: Progress) -> None:
    """Read every delivery and type its rows into `staged` and `faulted`, in bounded memory.

    Rows of many small deliveries are typed together, those of a large one a flush at a time: to
    plan the typing statement takes longer than to run it on a few rows.
    """
    lineage = pa.schema([("_id", pa.int64()), ("_delivery", pa.int32())])
    schema = pa.schema([*lineage, *layout(chunk.source)])
    waiting: list[pa.Table] = []
    row_count = waiting_rows = waiting_bytes = 0
    for number, outcome in enumerate(chunk.outcomes):
        started = time.perf_counter()
        for batch in _raw_rows(chunk, outcome):
            ids = pa.array(np.arange(row_count, row_count + batch.num_rows))
            delivery = pa.array(np.full(batch.num_rows, number, dtype=np.int32))
            waiting.append(pa.Table.from_arrays([ids, delivery, *batch.columns], schema=schema))
            row_count += batch.num_rows
            waiting_rows += batch.num_rows
            waiting_bytes += batch.nbytes
            if waiting_rows >= FLUSH_ROWS or waiting_bytes >= FLUSH_BYTES:
                _type_rows(chunk, waiting)
                waiting, waiting_rows, waiting_bytes = [], 0, 0
        outcome.seconds = time.perf_counter() - started
        progress(outcome.delivery)
    if waiting:
        _type_rows(chunk, waiting)
    for number, outcome in enumerate(chunk.outcomes):
        if outcome.unreadable is not None or outcome.is_unsplit:
            # The file turned out to be broken after some of its rows were typed.
            outcome.ignored = 0
            for table in ("chunk.staged", "chunk.faulted"):
                run(chunk.connection, f"DELETE FROM {table} WHERE _delivery = {number}")


def _raw_rows(chunk: Chunk, outcome: Outcome) -> Iterator[pa.RecordBatch]:
    """Yield a delivery's rows as its reader gives them; note in `outcome` what ails the file.

    A file that cannot be read is unreadable and disturbs no other delivery, and so is one that our
    own code fails on. What the machine refuses (OSError, MemoryError) and what the archive has
    lost (UsageError) or damaged (StorageError) is raised: no delivery is to blame for it.
    """
    delivery = outcome.delivery
    if delivery.defect is not None:
        outcome.unreadable = delivery.defect
        return
    if delivery.department is not None and delivery.business_date is not None:
        department = chunk.departments.get(delivery.department)
        if department is None or not department.valid_on(delivery.business_date):
            label = department.label if department else delivery.department
            outcome.warnings.append(Reason(code="outside_validity", value=label))
    archive, folder = chunk.settings.archive, chunk.folder
    limits = chunk.settings.max_uncompressed_bytes, chunk.settings.max_archive_ratio
    scratch = folder / f"unpacked-{delivery.sha256}"  # Made when something is unpacked.
    opener = FileOpener(delivery.department, *limits, scratch, chunk.mask)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        open_it: Callable[[], Reading]
        if delivery.corrects:
            files = archived_chain(delivery, archive, folder, opener)
            of = partial(owners, duckdb_of(chunk.connection))
            open_it = partial(open_corrected, stack.enter_context(files), chunk.source, of)
        else:
            path = stack.enter_context(raw_bytes(archive, delivery.sha256, folder, delivery))
            open_it = partial(opener.open, path, delivery.format, chunk.source)
        try:
            reading = open_it()
            outcome.warnings.extend([*reading.warnings, *reading.header.warnings])
            outcome.columns = tuple(sorted(reading.header.positions))
            outcome.extra_columns = tuple(sorted(reading.header.extra))
            for batch in reading.batches:
                outcome.rows_read += batch.num_rows
                yield batch
            outcome.holds.extend(reading.holds)
        except UnreadableError as error:
            outcome.unreadable = error.reason
        except RejectedError as error:
            outcome.is_unsplit = True
            outcome.rejections.extend(error.reasons)
            outcome.rows_read, outcome.good = error.rows_read, error.rows_read
        except (OSError, MemoryError):
            raise
        except BaseException as error:
            # A panic in calamine arrives as an exception that is no Exception; all others of that
            # kind (KeyboardInterrupt, SystemExit, GeneratorExit) are no business of ours.
            if not isinstance(error, Exception) and not is_rust_panic(error):
                raise
            identity = {"delivery_id": delivery.delivery_id}
            log.error("a delivery could not be read", **identity, **logs.arisen(error))
            outcome.unreadable = defect(error)


def _type_rows(chunk: Chunk, waiting: Sequence[pa.Table]) -> None:
    """Type raw rows into `staged`, and those that fit no columns into `faulted`."""
    connection, source = chunk.connection, chunk.source
    duckdb = duckdb_of(connection)
    duckdb.register("raw_rows", pa.concat_tables(waiting))
    parts = typed_columns(source)
    fault_value = unstrayed("_fault_value", source)
    query = sql("staging/typed_rows.sql", **parts, fault_value=fault_value)
    for number, count in rows(connection, query):
        chunk.outcomes[number].ignored += count
    for name in sorted({column.unit_from for column in source.columns if column.unit_from}):
        unit_parts = {"unit": quoted(name), "ignored": parts["ignored"]}
        run_file(connection, "staging/last_units.sql", {"name": name}, **unit_parts)
    duckdb.unregister("raw_rows")


def cell_text(name: str) -> str:
    """Return the expression of a staged cell as text: its value, or what could not be read."""
    return f"coalesce(staged.{quoted(name + REFUSED)}, CAST(staged.{quoted(name)} AS VARCHAR))"
