"""Judge a delivery from what staging learned of it.

The rules: every row that was read is accounted for. Rows that fail a critical rule are
quarantined, and more of them than the contract's `max_quarantine` reject the delivery. A rejected
or held delivery loads nothing, and its good rows are withheld. A person may overrule that.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import (
    Accounting,
    Delivery,
    Judgement,
    PartitionRows,
    Profile,
    Verdict,
)
from pipelines.deliveries.reasons import Reason


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
