"""Find the staged rows that fail a rule; note the table rules that a delivery breaks.

Reads `chunk.staged`, `chunk.landed`, `chunk.rule`; writes `chunk.failure` and `chunk.repeated`.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from pipelines.contracts.columns import REFUSED
from pipelines.deliveries.reasons import Reason
from pipelines.engine import quoted, rows, run, run_file
from pipelines.reading.masking import unstrayed
from pipelines.staging.checks import ChecksFailedError, Judge, is_within
from pipelines.staging.chunk import Chunk, cell_text


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
        content=", ".join(f"{quoted(name)} := {cell_text(name)}" for name in source.column_names),
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
