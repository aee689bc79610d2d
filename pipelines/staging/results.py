"""Sort staged rows by what becomes of them, judge their deliveries, and write the rows as Parquet.

Reads `chunk.staged`, `chunk.faulted`, `chunk.failure`, `chunk.repeated`, `chunk.rule` and
`chunk.landed`; writes `chunk.fate`, accepted.parquet and quarantined.parquet.

A delivery is judged by these rules. Every row that was read is accounted for. Rows that fail a
critical rule are quarantined, and more of them than the contract's `max_quarantine` reject the
delivery. A rejected or held delivery loads nothing, and its good rows are withheld. A person may
overrule that.
"""

from __future__ import annotations

from pipelines.contracts.comparisons import Drift
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import (
    Accounting,
    Judgement,
    PartitionRows,
    Profile,
    StagedChunk,
    Verdict,
)
from pipelines.deliveries.reasons import Reason
from pipelines.engine import quoted, rows, run, sql
from pipelines.reading.masking import unstrayed
from pipelines.staging.chunk import Chunk, Outcome, cell_text

CATEGORY_VALUES = 200  # A column of more values is no category.
CATEGORY_CHARACTERS = 100  # Of a value, as much as is stored.


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
        f"{quoted(name)} := {unstrayed(cell_text(name), chunk.source)}" for name in names
    )
    loading = [
        number for number, judgement in enumerate(staged.judgements) if judgement.verdict.loads
    ]
    accepted = sql("staging/accepted.sql", columns=columns)
    run(chunk.connection, accepted, path=str(staged.accepted), loading=loading)
    quarantined = sql("staging/quarantined.sql", texts=texts)
    run(chunk.connection, quarantined, path=str(staged.quarantined))


def judge_delivery(outcome: Outcome, source: Source) -> Judgement:
    """Return the judgement on one delivery; raise AccountingError if a row is unaccounted for."""
    delivery = outcome.delivery
    if outcome.unreadable is not None:
        return Judgement(
            delivery=delivery,
            verdict=Verdict.UNREADABLE,
            accounting=None,
            reasons=(outcome.unreadable,),
            seconds=outcome.seconds,
        )
    rejections = outcome.rejections or _count_rejections(outcome, source)
    reasons = [*rejections, *outcome.holds]
    warnings = list(outcome.warnings)
    if reasons and delivery.overruled is not None and not outcome.is_unsplit:
        warnings = [*reasons, Reason(code="overruled", value=delivery.overruled), *warnings]
        reasons = []
    if reasons:
        verdict = Verdict.REJECTED if rejections else Verdict.HELD
    elif outcome.quarantined:
        verdict = Verdict.ACCEPTED_WITH_QUARANTINE
    else:
        verdict = Verdict.ACCEPTED
    loads = verdict.loads
    accounting = Accounting(
        rows_read=outcome.rows_read,
        accepted=outcome.good if loads else 0,
        quarantined=outcome.quarantined,
        duplicates=outcome.duplicates,
        ignored=outcome.ignored,
        withheld=0 if loads else outcome.good,
    )
    accounting.verify(delivery)
    partitions = tuple(outcome.partitions) if loads else ()
    if loads and not partitions and delivery.department and delivery.business_date:
        # A delivery without good rows still replaces its partition, if only by nothing.
        partitions = (
            PartitionRows(
                department=delivery.department, business_date=delivery.business_date, rows=0
            ),
        )
    return Judgement(
        delivery=delivery,
        verdict=verdict,
        accounting=accounting,
        partitions=partitions,
        reasons=(*reasons, *outcome.row_reasons),
        warnings=tuple(warnings),
        seconds=outcome.seconds,
        profile=None if outcome.is_unsplit else outcome.profile,
    )


def _count_rejections(outcome: Outcome, source: Source) -> list[Reason]:
    """Return the rejections that follow from a delivery's counts of rows."""
    data_rows = outcome.rows_read - outcome.ignored
    if data_rows == 0:
        return [Reason(code="no_rows")] if source.empty == "reject" else []
    rejections = []
    most = source.rows.max
    if data_rows < source.rows.min or (most is not None and data_rows > most):
        expected = f"{source.rows.min}..{'' if most is None else most}"
        rejections.append(Reason(code="row_count", value=str(data_rows), expected=expected))
    share = outcome.quarantined / data_rows
    if share > source.max_quarantine:
        rejections.append(
            Reason(
                code="too_many_quarantined",
                value=f"{share:.1%} ({outcome.quarantined}/{data_rows})",
                expected=f"{source.max_quarantine * 100:.4g}%",
            )
        )
    return rejections
