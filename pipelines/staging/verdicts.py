"""The verdict on a delivery, from what staging found out about it: DESIGN §3 rules 2, 3 and 8."""

from __future__ import annotations

from dataclasses import dataclass, field

from pipelines.contracts.models import Source
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
    """What is known of one delivery while its chunk is staged."""

    delivery: Delivery
    rows_read: int = 0
    ignored: int = 0
    faulty: int = 0
    quarantined: int = 0
    duplicates: int = 0
    good: int = 0
    seconds: float = 0.0
    unreadable: Reason | None = None
    unsplit: bool = False  # its rows were not told apart: there are no good ones to take
    rejections: list[Reason] = field(default_factory=list)
    holds: list[Reason] = field(default_factory=list)
    row_reasons: list[Reason] = field(default_factory=list)
    warnings: list[Reason] = field(default_factory=list)
    partitions: list[PartitionRows] = field(default_factory=list)
    columns: tuple[str, ...] = ()  # of the contract, as far as the header has them
    extra_columns: tuple[str, ...] = ()
    profile: Profile | None = None


def judge_delivery(outcome: Outcome, source: Source) -> Judgement:
    """The verdict on one delivery, by DESIGN §3 rules 2, 3 and 8."""
    delivery = outcome.delivery
    if outcome.unreadable is not None:
        return Judgement(
            delivery=delivery,
            verdict=Verdict.UNREADABLE,
            accounting=None,
            reasons=(outcome.unreadable,),
            seconds=outcome.seconds,
        )
    _weigh(outcome, source)
    verdict = Verdict.ACCEPTED
    if outcome.quarantined:
        verdict = Verdict.ACCEPTED_WITH_QUARANTINE
    reasons = [*outcome.rejections, *outcome.holds]
    warnings = list(outcome.warnings)
    if reasons and delivery.overruled is not None and not outcome.unsplit:
        warnings = [*reasons, Reason(code="overruled", value=delivery.overruled), *warnings]
        reasons = []
    if reasons:
        verdict = Verdict.REJECTED if outcome.rejections else Verdict.HELD
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
    return Judgement(
        delivery=delivery,
        verdict=verdict,
        accounting=accounting,
        partitions=_partitions(outcome) if loads else (),
        reasons=(*reasons, *outcome.row_reasons),
        warnings=tuple(warnings),
        seconds=outcome.seconds,
        profile=None if outcome.unsplit else outcome.profile,
    )


def _weigh(outcome: Outcome, source: Source) -> None:
    """Add the rejections that follow from a delivery's own counts."""
    data = outcome.rows_read - outcome.ignored
    if outcome.rejections:
        return
    if data == 0:
        if source.empty == "reject":
            outcome.rejections.append(Reason(code="no_rows"))
        return
    most = source.rows.max
    if data < source.rows.min or (most is not None and data > most):
        asked = f"{source.rows.min}..{'' if most is None else most}"
        outcome.rejections.append(Reason(code="row_count", value=str(data), expected=asked))
    share = outcome.quarantined / data
    if share > source.max_quarantine:
        outcome.rejections.append(
            Reason(
                code="too_many_quarantined",
                value=f"{share:.1%} ({outcome.quarantined}/{data})",
                expected=f"{source.max_quarantine * 100:.4g}%",
            )
        )


def _partitions(outcome: Outcome) -> tuple[PartitionRows, ...]:
    """What it replaces: its own partition, if only by nothing, or those its rows name."""
    delivery = outcome.delivery
    if outcome.partitions or delivery.department is None or delivery.business_date is None:
        return tuple(outcome.partitions)
    own = PartitionRows(
        department=delivery.department, business_date=delivery.business_date, rows=0
    )
    return (own,)
