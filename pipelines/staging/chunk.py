"""One chunk, deliveries of one source staged together: its tables and the steps that fill them.

The tables lie in the schema `chunk` of a DuckDB file of their own; warehouse/staging/tables.sql
says what each holds. In this order `open_chunk` makes them, `read_rows` fills `staged` and
`faulted`, `check_rows` fills `failure`, `split_rows` fills `fate`, `write_rows` writes the Parquet
files. Besides, every step notes in `Chunk.outcomes` what it learns of a delivery as a whole.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.comparisons import Drift
from pipelines.contracts.departments import Department
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.corrections.chain import archived_chain, open_corrected
from pipelines.deliveries.delivery import Delivery, PartitionRows, Profile, StagedChunk
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.engine import duckdb_of, keep, quoted, rows, run, run_file, sql
from pipelines.landing.archive import raw_bytes
from pipelines.machine import logs
from pipelines.machine.failures import is_rust_panic
from pipelines.reading.formats import FileOpener
from pipelines.reading.layout import Reading, layout
from pipelines.reading.masking import Mask, mask_of, unstrayed
from pipelines.settings import Settings
from pipelines.staging.checks import ChecksFailedError, Judge, Rule, is_within, rules
from pipelines.staging.owners import department_names, owners
from pipelines.staging.types import REFUSED, staged_columns, typed_columns
from pipelines.staging.verdicts import Outcome

FLUSH_ROWS = 200_000  # Raw rows held in memory before they are typed into the file,
FLUSH_BYTES = 256 << 20  # or fewer, when they are long.
CATEGORY_VALUES = 200  # A column of more values is no category.
CATEGORY_CHARACTERS = 100  # Of a value, as much as is stored.
DEFECT = "defect"  # The reason of a delivery that our own code fails on.
Progress = Callable[[Delivery], None]
log = logs.get(__name__)


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


def check_rows(chunk: Chunk, judge: Judge) -> None:
    """Note in `failure` which row fails what, and in `outcomes` which table rules break."""
    source = chunk.source
    if rows(chunk.connection, "SELECT 1 FROM chunk.staged LIMIT 1"):
        _check_row_rules(chunk, judge, 0, len(chunk.outcomes) - 1)
        if chunk.table_rules:
            _check_table_rules(chunk, judge)
    # Rows that name another department or day than their delivery's, and repeated keys. Without a
    # key only rows that are the same in every column repeat each other, and none is in conflict.
    key = [quoted(name) for name in source.key or source.column_names]
    run_file(
        chunk.connection,
        "staging/row_failures.sql",
        key=", ".join(key),
        staged_key=", ".join(f"staged.{name}" for name in key),
        same_key=" AND ".join(
            f"staged.{name} IS NOT DISTINCT FROM suspects.{name}" for name in key
        ),
        has_key=" AND ".join(f"{quoted(name)} IS NOT NULL" for name in source.key) or "false",
        content=", ".join(f"{quoted(name)} := {_cell_text(name)}" for name in source.column_names),
        stray_department=unstrayed("staged._stray_department", source),
    )


def _check_row_rules(chunk: Chunk, judge: Judge, first: int, last: int) -> None:
    """Judge deliveries first..last as one batch; halve the batch when one of them breaks GX.

    Raises AssertionError if the rows that fail by GX's conditions are not as many as GX counted.
    """
    connection = chunk.connection
    table = f"chunk.judged_{first}_{last}"
    run(
        connection,
        f"CREATE OR REPLACE VIEW {table} AS "
        f"SELECT * FROM chunk.staged WHERE _delivery BETWEEN {first} AND {last}",
    )
    try:
        broken_rules = judge.broken(table, chunk.row_rules)
    except ChecksFailedError as error:
        if first == last:
            outcome = chunk.outcomes[first]
            outcome.is_unsplit = True
            outcome.rejections.append(Reason(code="check_failed", value=str(error)))
            return
        middle = (first + last) // 2
        _check_row_rules(chunk, judge, first, middle)
        _check_row_rules(chunk, judge, middle + 1, last)
        return
    if not broken_rules:
        return
    # One pass over the rows however many rules are broken: each failing row yields the list of
    # the rules that it fails (null for those it keeps) beside the texts that it shows for them.
    numbers = {id(rule): number for number, rule in enumerate(chunk.row_rules)}
    conditions = [broken.condition for broken in broken_rules]
    failed = [
        sa.case((broken.condition, numbers[id(broken.rule)]), else_=sa.null())
        for broken in broken_rules
    ]
    shown: list[sa.ColumnElement[Any]] = []
    for broken in broken_rules:
        name = broken.rule.column
        refused: sa.ColumnClause[Any] = sa.column(name + REFUSED)
        text = sa.func.coalesce(refused, sa.cast(sa.column(name), sa.String))
        masked = sa.func.mask_strayed(text, sa.false()) if chunk.source.is_personal else text
        shown.append(masked if name else sa.null())
    pairs = (
        sa.select(
            sa.column("_id"),
            sa.func.unnest(sa.func.list_value(*failed)).label("rule"),
            sa.func.unnest(sa.func.list_value(*shown)).label("value"),
        )
        .select_from(sa.table(table.removeprefix("chunk."), schema="chunk"))
        .where(sa.or_(*conditions))
        .subquery()
    )
    value = sa.func.left(sa.cast(pairs.c.value, sa.String), 200)
    failures = sa.select(pairs.c["_id"], pairs.c.rule, value).where(pairs.c.rule.is_not(None))
    target = sa.table("failure", *map(sa.column, ("_id", "rule", "value")), schema="chunk")
    count = "SELECT count(*) FROM chunk.failure"
    before = rows(connection, count)[0][0]
    connection.execute(sa.insert(target).from_select(["_id", "rule", "value"], failures))
    split_off = rows(connection, count)[0][0] - before
    judged = sum(broken.rows for broken in broken_rules)
    assert split_off == judged, f"GX judged {judged} failures and {split_off} were split off"


def _check_table_rules(chunk: Chunk, judge: Judge) -> None:
    """Compute every table rule's figure for every delivery in one pass; note those that break."""
    query = (
        sa.select(sa.column("_delivery"), *judge.figures("chunk.staged", chunk.table_rules))
        .select_from(sa.table("staged", schema="chunk"))
        .group_by(sa.column("_delivery"))
    )
    for number, *values in chunk.connection.execute(query):
        outcome = chunk.outcomes[number]
        for rule, value in zip(chunk.table_rules, values, strict=True):
            if is_within(rule, value):
                continue
            shown = chunk.mask(f"{value}") if chunk.mask else f"{value}"
            reason = rule.reason.model_copy(update={"value": shown})
            if not rule.critical:
                outcome.warnings.append(reason)
            elif rule.holds:
                outcome.holds.append(reason)
            else:
                outcome.rejections.append(reason)


def split_rows(chunk: Chunk) -> None:
    """Sort rows by their fate into `fate`; count rows, partitions and reasons in `outcomes`."""
    connection = chunk.connection
    query = sql("staging/fates.sql")
    for number, fate, department, business_date, count in rows(connection, query):
        outcome = chunk.outcomes[number]
        if fate == "quarantined":
            outcome.quarantined += count
        elif fate == "duplicate":
            outcome.duplicates += count
        else:
            outcome.good += count
            outcome.partitions.append(
                PartitionRows(department=department, business_date=business_date, rows=count)
            )
    for number, critical, *fields, row, count in rows(connection, sql("staging/reason_counts.sql")):
        code, column, value, expected = ("" if text is None else text for text in fields)
        reason = Reason(
            code=code, column=column, value=value, expected=expected, count=count, row=row
        )
        outcome = chunk.outcomes[number]
        (outcome.row_reasons if critical else outcome.warnings).append(reason)
    if chunk.source.drift is not None:
        _profile(chunk, chunk.source.drift)


def _profile(chunk: Chunk, drift: Drift) -> None:
    """Note what each delivery looks like, in one pass over the good rows.

    Values of categories are masked as refused cells are. A column of more than CATEGORY_VALUES
    values is left out of the profile.
    """
    source, names = chunk.source, chunk.source.column_names
    masked = unstrayed("_value", source)
    query = sql(
        "staging/profiles.sql",
        nulls=", ".join(f"count(*) - count(staged.{quoted(name)})" for name in names),
        values=", ".join(
            f"list_transform(list(DISTINCT left(staged.{quoted(name)}, {CATEGORY_CHARACTERS})) "
            f"FILTER (staged.{quoted(name)} IS NOT NULL), lambda _value: {masked})"
            for name in drift.categories
        ),
    )
    profiled = {number: (nulls, values) for number, nulls, values in rows(chunk.connection, query)}
    for number, outcome in enumerate(chunk.outcomes):
        nulls, values = profiled.get(number, ([0] * len(names), []))
        categories = dict(zip(drift.categories, values or [], strict=False))
        outcome.profile = Profile(
            rows=outcome.good + outcome.quarantined,
            good_rows=outcome.good,
            columns=outcome.columns,
            extra_columns=outcome.extra_columns[:CATEGORY_VALUES],
            nulls=dict(zip(names, nulls, strict=True)),
            categories={
                name: tuple(sorted(category or ()))
                for name, category in categories.items()
                if len(category or ()) <= CATEGORY_VALUES
            },
        )


def write_rows(chunk: Chunk, staged: StagedChunk) -> None:
    """Write the good rows of deliveries that load, and all quarantined rows, as Parquet."""
    names = chunk.source.column_names
    columns = ", ".join(f"staged.{quoted(name)}" for name in names)
    texts = ", ".join(
        f"{quoted(name)} := {unstrayed(_cell_text(name), chunk.source)}" for name in names
    )
    loading = [
        number for number, judgement in enumerate(staged.judgements) if judgement.verdict.loads
    ]
    accepted = sql("staging/accepted.sql", columns=columns)
    run(chunk.connection, accepted, path=str(staged.accepted), loading=loading)
    quarantined = sql("staging/quarantined.sql", texts=texts)
    run(chunk.connection, quarantined, path=str(staged.quarantined))


def _cell_text(name: str) -> str:
    """Return the expression of a staged cell as text: its value, or what could not be read."""
    return f"coalesce(staged.{quoted(name + REFUSED)}, CAST(staged.{quoted(name)} AS VARCHAR))"
