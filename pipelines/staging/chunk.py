"""One chunk's tables in its own DuckDB file: read, checked, split, written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import sqlalchemy as sa

from pipelines.contracts.models import Department, Drift, Source, Suite
from pipelines.corrections.opening import brought, open_brought
from pipelines.corrections.overlay import Bench, Chain
from pipelines.deliveries.delivery import Delivery, PartitionRows, Profile, StagedChunk
from pipelines.deliveries.reasons import Reason, RejectedError, UnreadableError
from pipelines.engine import literal, quoted, sql
from pipelines.machine import logs
from pipelines.machine.failures import is_rust_panic
from pipelines.reading.layout import layout
from pipelines.reading.masking import mask_of, unstrayed
from pipelines.settings import Settings
from pipelines.staging.checks import ChecksFailedError, Judge, Rule, rules, within
from pipelines.staging.owners import department_names, owners
from pipelines.staging.types import REFUSED, ignored, typed_rows
from pipelines.staging.verdicts import Outcome

FLUSH_ROWS = 200_000  # raw rows held in memory before they are typed into the file
FLUSH_BYTES = 256 << 20  # or fewer, when they are long
CATEGORY_VALUES = 200  # a column of more values is no category
CATEGORY_TEXT = 100  # of a value, as much as is kept
DEFECT = "defect"  # the reason of a delivery that our own code fails on
Progress = Callable[[Delivery], None]
log = logs.get(__name__)


def defect(error: BaseException) -> Reason:
    """What is said of our own failure: no more than its kind, for its text may hold data."""
    return Reason(code=DEFECT, value=type(error).__name__)


class Chunk:
    """The chunk's tables: landed, department_name, staged, faulted, rule, failure, sorted."""

    def __init__(
        self,
        connection: sa.Connection,
        source: Source,
        suite: Suite,
        departments: Mapping[str, Department],
        settings: Settings,
        folder: Path,
    ) -> None:
        self.connection = connection
        self.duckdb: Any = connection.connection.driver_connection
        self.source = source
        self.departments = departments
        self.settings = settings
        self.folder = folder
        self.row_rules, self.table_rules = rules(source, suite)
        self.lineage_rules = _lineage_rules(source)
        self.mask = mask_of(self.duckdb, source)
        self._rows = 0
        self._is_staged = False

    # --- read -------------------------------------------------------------------------------

    def read(self, outcomes: Sequence[Outcome], progress: Progress) -> None:
        """Fill `staged` and `faulted` with every delivery's rows, in bounded memory."""
        self._create(outcomes)
        pending: list[pa.Table] = []
        waiting = held = 0
        for number, outcome in enumerate(outcomes):
            started = time.perf_counter()
            for table in self._tables(number, outcome):
                pending.append(table)
                waiting += table.num_rows
                held += table.nbytes
                if waiting >= FLUSH_ROWS or held >= FLUSH_BYTES:
                    self._flush(pending, outcomes)
                    pending, waiting, held = [], 0, 0
            outcome.seconds = time.perf_counter() - started
            progress(outcome.delivery)
        if pending or not self._is_staged:
            self._flush([self._raw_schema().empty_table(), *pending], outcomes)
        for number, outcome in enumerate(outcomes):
            if outcome.unreadable is not None or outcome.unsplit:  # after some rows were staged
                outcome.ignored = 0
                for table in ("staged", "faulted"):
                    self._run(f"DELETE FROM {table} WHERE _delivery = {number}")

    def _create(self, outcomes: Sequence[Outcome]) -> None:
        landed = pa.table(
            {
                "_delivery": pa.array(range(len(outcomes)), pa.int32()),
                "delivery_id": [outcome.delivery.delivery_id for outcome in outcomes],
                "department": pa.array([o.delivery.department for o in outcomes], pa.string()),
                "business_date": pa.array(
                    [outcome.delivery.business_date for outcome in outcomes], pa.date32()
                ),
                "part": [outcome.delivery.part for outcome in outcomes],
            }
        )
        self._keep("landed", landed)
        self._keep("department_name", department_names(self.departments))
        self._run(sql("staging/tables.sql"))

    def _keep(self, name: str, table: pa.Table) -> None:
        self.duckdb.register(f"{name}_given", table)
        self._run(f"CREATE OR REPLACE TABLE {name} AS SELECT * FROM {name}_given")
        self.duckdb.unregister(f"{name}_given")

    def _raw_schema(self) -> pa.Schema:
        own = pa.schema([("_id", pa.int64()), ("_delivery", pa.int32())])
        return pa.schema([*own, *layout(self.source)])

    def _tables(self, number: int, outcome: Outcome) -> Iterator[pa.Table]:
        """A delivery's raw rows; faults of the file as a whole go into its outcome."""
        delivery = outcome.delivery
        if delivery.defect is not None:
            outcome.unreadable = delivery.defect
            return
        if delivery.department is not None and delivery.business_date is not None:
            department = self.departments.get(delivery.department)
            if department is None or not department.valid_on(delivery.business_date):
                label = department.label if department else delivery.department
                outcome.warnings.append(Reason(code="outside_validity", value=label))
        with brought(delivery, self.settings, self.folder, self.mask) as (chain, bench):
            yield from self._batches(number, outcome, chain, bench)

    def _batches(
        self, number: int, outcome: Outcome, chain: Chain, bench: Bench
    ) -> Iterator[pa.Table]:
        delivery = outcome.delivery
        try:
            reading = open_brought(chain, bench, self.source, partial(owners, self.duckdb))
            outcome.warnings.extend([*reading.warnings, *reading.header.warnings])
            outcome.columns = tuple(sorted(reading.header.positions))
            outcome.extra_columns = tuple(sorted(reading.header.extra))
            for batch in reading.batches:
                outcome.rows_read += batch.num_rows
                yield self._numbered(number, batch)
            outcome.holds.extend(reading.holds)
        except UnreadableError as error:
            outcome.unreadable = error.reason
        except RejectedError as error:
            outcome.unsplit = True
            outcome.rejections.extend(error.reasons)
            outcome.rows_read, outcome.good = error.rows_read, error.rows_read
        except (OSError, MemoryError):
            raise
        except BaseException as error:
            if not isinstance(error, Exception) and not is_rust_panic(error):
                raise
            told = {"delivery_id": delivery.delivery_id} | logs.arisen(error)
            log.error("a delivery could not be read", **told)
            outcome.unreadable = defect(error)

    def _numbered(self, number: int, batch: pa.RecordBatch) -> pa.Table:
        ids = np.arange(self._rows, self._rows + batch.num_rows)
        self._rows += batch.num_rows
        delivery = pa.array(np.full(batch.num_rows, number, dtype=np.int32))
        return pa.Table.from_arrays(
            [pa.array(ids), delivery, *batch.columns], schema=self._raw_schema()
        )

    def _flush(self, pending: list[pa.Table], outcomes: Sequence[Outcome]) -> None:
        self.duckdb.register("raw", pa.concat_tables(pending))
        noise = ignored(self.source)
        # made by the first rows: to plan this statement takes longer than to run it on a few
        into = "INSERT INTO staged" if self._is_staged else "CREATE TABLE staged AS"
        self._run(f"{into} {typed_rows(self.source)}")
        self._is_staged = True
        for name in sorted({one.unit_from for one in self.source.columns if one.unit_from}):
            parts = {"column": literal(name), "unit": quoted(name), "ignored": noise}
            self._run(sql("staging/unit_above.sql", **parts))
        told = unstrayed("_fault_value", self.source)
        self._run(sql("staging/faulted_rows.sql", ignored=noise, fault_value=told))
        for number, rows in self._all(
            f"SELECT _delivery, count(*) FROM raw WHERE {noise} GROUP BY _delivery"
        ):
            outcomes[number].ignored += rows
        self.duckdb.unregister("raw")

    # --- check ------------------------------------------------------------------------------

    def check(self, outcomes: Sequence[Outcome], judge: Judge) -> None:
        """Fill `rule` and `failure`: which row fails what; note table rules that break."""
        everything = [*self.row_rules, *self.lineage_rules]
        self._keep(
            "rule",
            pa.table(
                {
                    "rule": pa.array(range(len(everything)), pa.int32()),
                    "code": [rule.reason.code for rule in everything],
                    "column": [rule.reason.column for rule in everything],
                    "expected": [rule.reason.expected for rule in everything],
                    "critical": [rule.critical for rule in everything],
                }
            ),
        )
        if self._all("SELECT 1 FROM staged LIMIT 1"):
            self._check_range(judge, outcomes, 0, len(outcomes) - 1)
            self._check_tables(judge, outcomes)
        self._check_lineage()

    def _check_range(
        self, judge: Judge, outcomes: Sequence[Outcome], first: int, last: int
    ) -> None:
        """Judge deliveries first..last as one batch; halve it when one of them breaks it."""
        table = f"judged_{first}_{last}"
        self._run(
            f"CREATE OR REPLACE VIEW {table} AS "
            f"SELECT * FROM staged WHERE _delivery BETWEEN {first} AND {last}"
        )
        try:
            broken = judge.broken(table, self.row_rules)
        except ChecksFailedError as error:
            if first == last:
                reason = Reason(code="check_failed", value=str(error))
                outcomes[first].unsplit = True
                outcomes[first].rejections.append(reason)
                return
            middle = (first + last) // 2
            self._check_range(judge, outcomes, first, middle)
            self._check_range(judge, outcomes, middle + 1, last)
            return
        if not broken:
            return
        numbers = {id(rule): number for number, rule in enumerate(self.row_rules)}
        fails = [
            sa.case((entry.condition, numbers[id(entry.rule)]), else_=sa.null()) for entry in broken
        ]
        values = [_shown(entry.rule, self.source) for entry in broken]
        flagged = (
            sa.select(
                sa.column("_id"),
                sa.func.list_value(*fails).label("rules"),
                sa.func.list_value(*values).label("texts"),
            )
            .select_from(sa.table(table))
            .where(sa.or_(*(entry.condition for entry in broken)))
        )
        before = self._all("SELECT count(*) FROM failure")[0][0]
        self.connection.execute(
            sa.insert(sa.table("flagged", *map(sa.column, ("_id", "rules", "texts")))).from_select(
                ["_id", "rules", "texts"], flagged
            )
        )
        self._run(sql("staging/rule_failures.sql"))
        failures = self._all("SELECT count(*) FROM failure")[0][0] - before
        judged = sum(entry.rows for entry in broken)
        assert failures == judged, f"GX judged {judged} failures and {failures} were split off"

    def _check_tables(self, judge: Judge, outcomes: Sequence[Outcome]) -> None:
        """Compute every table rule's figure for every delivery in one pass."""
        if not self.table_rules:
            return
        figures = judge.figures("staged", self.table_rules)
        query = (
            sa.select(sa.column("_delivery"), *figures)
            .select_from(sa.table("staged"))
            .group_by(sa.column("_delivery"))
        )
        for number, *values in self.connection.execute(query):
            for rule, value in zip(self.table_rules, values, strict=True):
                if within(rule, value):
                    continue
                outcome = outcomes[number]
                told = (self.mask or str)(f"{value}")
                reason = rule.reason.model_copy(update={"value": told})
                if not rule.critical:
                    outcome.warnings.append(reason)
                elif rule.holds:
                    outcome.holds.append(reason)
                else:
                    outcome.rejections.append(reason)

    def _check_lineage(self) -> None:
        """Rows that name another department or day than their delivery's, and repeated keys."""
        key = self.source.key or self.source.column_names
        self._run(
            sql(
                "staging/repeated_rows.sql",
                key=", ".join(quoted(name) for name in key),
                staged_key=", ".join(f"staged.{quoted(name)}" for name in key),
                same_key=" AND ".join(
                    f"staged.{quoted(name)} IS NOT DISTINCT FROM suspects.{quoted(name)}"
                    for name in key
                ),
                has_key=" AND ".join(f"{quoted(name)} IS NOT NULL" for name in self.source.key)
                or "false",
                content=", ".join(
                    f"{quoted(name)} := {self._text(name)}" for name in self.source.column_names
                ),
            )
        )
        start = len(self.row_rules)
        numbers = {
            rule.reason.code + rule.reason.column: str(start + position)
            for position, rule in enumerate(self.lineage_rules)
        }
        by = self.source.partition
        self._run(
            sql(
                "staging/lineage_failures.sql",
                other_department=numbers["other_partition" + (by.department or "department")],
                unknown_department=numbers["unknown_department" + (by.department or "department")],
                other_date=numbers["other_partition" + (by.business_date or "business_date")],
                no_date=numbers["required" + (by.business_date or "business_date")],
                key_conflict=numbers["key_conflict"],
                stray_department=unstrayed("_stray_department", self.source),
            )
        )

    def _text(self, name: str) -> str:
        """What a staged cell holds, as text: its value, or what could not be read as one."""
        return f"coalesce(staged.{quoted(name + REFUSED)}, CAST(staged.{quoted(name)} AS VARCHAR))"

    # --- split ------------------------------------------------------------------------------

    def split(self, outcomes: Sequence[Outcome]) -> None:
        """Decide each row's fate and count it in its delivery's outcome."""
        self._run(sql("staging/sorted_rows.sql"))
        for number, fate, rows in self._all(
            "SELECT _delivery, fate, count(*) FROM sorted GROUP BY ALL"
        ):
            outcome = outcomes[number]
            match fate:
                case "quarantined":
                    outcome.quarantined += rows
                case "duplicate":
                    outcome.duplicates += rows
                case "good":
                    outcome.good += rows
        for number, rows in self._all("SELECT _delivery, count(*) FROM faulted GROUP BY _delivery"):
            outcomes[number].faulty += rows
            outcomes[number].quarantined += rows
        for number, department, business_date, rows in self._all(sql("staging/partitions.sql")):
            outcomes[number].partitions.append(
                PartitionRows(department=department, business_date=business_date, rows=rows)
            )
        for number, critical, *fields, row, rows in self._all(sql("staging/reason_counts.sql")):
            code, column, value, expected = ("" if text is None else text for text in fields)
            reason = Reason(
                code=code, column=column, value=value, expected=expected, count=rows, row=row
            )
            kept = outcomes[number].row_reasons if critical else outcomes[number].warnings
            kept.append(reason)
        if self.source.drift is not None:
            self._profile(outcomes, self.source.drift)

    def _profile(self, outcomes: Sequence[Outcome], drift: Drift) -> None:
        """Note what each delivery looks like, in one pass over the good rows."""
        names, categories = self.source.column_names, drift.categories
        query = sql(
            "staging/profiles.sql",
            nulls=", ".join(f"count(*) - count(staged.{quoted(name)})" for name in names),
            values=", ".join(
                f"list_transform(list(DISTINCT left(staged.{quoted(name)}, {CATEGORY_TEXT})) "
                f"FILTER (staged.{quoted(name)} IS NOT NULL), "
                f"lambda value: {unstrayed('value', self.source)})"
                for name in categories
            ),
        )
        told = {number: (nulls, values) for number, nulls, values in self._all(query)}
        nothing: tuple[list[int], list[list[str] | None]] = ([0] * len(names), [])
        for number, outcome in enumerate(outcomes):
            nulls, values = told.get(number, nothing)
            found = dict(zip(categories, values or [], strict=False))
            outcome.profile = Profile(
                rows=outcome.good + outcome.quarantined,
                good_rows=outcome.good,
                columns=outcome.columns,
                extra_columns=outcome.extra_columns[:CATEGORY_VALUES],
                nulls=dict(zip(names, nulls, strict=True)),
                categories={
                    name: tuple(sorted(some or ()))
                    for name, some in found.items()
                    if len(some or ()) <= CATEGORY_VALUES
                },
            )

    def write(self, chunk: StagedChunk) -> None:
        """Write the rows beside the judgements."""
        self._keep(
            "loads",
            pa.table(
                {
                    "_delivery": pa.array(range(len(chunk.judgements)), pa.int32()),
                    "loads": [judgement.verdict.loads for judgement in chunk.judgements],
                }
            ),
        )
        names = self.source.column_names
        columns = ", ".join(f"staged.{quoted(name)}" for name in names)
        texts = ", ".join(
            f"{quoted(name)} := {unstrayed(self._text(name), self.source)}" for name in names
        )
        self._run(sql("staging/accepted.sql", columns=columns, path=_path(chunk.accepted)))
        self._run(sql("staging/quarantined.sql", texts=texts, path=_path(chunk.quarantined)))

    def _run(self, statement: str) -> None:
        self.duckdb.execute(statement)

    def _all(self, query: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.duckdb.execute(query).fetchall()
        return rows


def _path(path: Path) -> str:
    return str(path).replace("'", "''")


def _shown(rule: Rule, source: Source) -> sa.ColumnElement[Any]:
    """The text that a failing row shows for `rule`: what was sent in its column, masked."""
    if not rule.column:
        return sa.null()
    refused: sa.ColumnClause[Any] = sa.column(rule.column + REFUSED)
    text = sa.func.coalesce(refused, sa.cast(sa.column(rule.column), sa.String))
    return sa.func.mask_strayed(text, sa.false()) if source.is_personal else text


def _lineage_rules(source: Source) -> list[Rule]:
    """Reasons that are no column's: given by the path, the key and the partition columns."""
    by = source.partition
    unit, day = by.department or "department", by.business_date or "business_date"
    reasons = [
        Reason(code="other_partition", column=unit, expected="the delivery's department"),
        Reason(code="unknown_department", column=unit),
        Reason(code="other_partition", column=day, expected="the delivery's business date"),
        Reason(code="required", column=day),
        Reason(code="key_conflict", expected=", ".join(source.key)),
    ]
    return [Rule({}, reason, critical=True, column=reason.column) for reason in reasons]
