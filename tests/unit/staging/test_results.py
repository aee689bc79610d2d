"""The verdict on a delivery, from the counts and reasons that staging noted of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import Delivery, PartitionRows, Verdict
from pipelines.deliveries.reasons import Reason
from pipelines.errors import AccountingError
from pipelines.staging.chunk import Outcome
from pipelines.staging.results import judge_delivery

DAY = date(2021, 9, 23)
RECORDS = {
    "name": "records",
    "title": "数据归集",
    "owner": "数据科",
    "content": "events",
    "grain": "one row per item",
    "key": ["item"],
    "max_quarantine": 0.5,
    "rows": {"min": 2, "max": 10},
    "formats": {"csv": {}},
    "columns": [{"name": "item", "header": ["事项"], "type": "text"}],
}
DELIVERY = Delivery(
    delivery_id="0" * 16,
    source="records",
    department="a",
    business_date=DAY,
    part="",
    path=Path("records.csv"),
    format="csv",
    size=1,
    sha256="0" * 64,
    received_at=datetime(2021, 9, 23, 18),
    contract_hash="",
)
HOLD = Reason(code="undeclared_unit", value="万条")
REJECTION = Reason(code="table_rule", expected="sum")


def source(**changes: Any) -> Source:
    return Source.model_validate(RECORDS | changes)


@pytest.mark.parametrize(
    ("noted", "verdict", "codes"),
    [
        ({"rows_read": 4, "good": 4}, Verdict.ACCEPTED, []),
        ({"rows_read": 4, "good": 3, "duplicates": 1}, Verdict.ACCEPTED, []),
        ({"rows_read": 4, "good": 2, "quarantined": 2}, Verdict.ACCEPTED_WITH_QUARANTINE, []),
        ({"rows_read": 4, "good": 1, "quarantined": 3}, Verdict.REJECTED, ["too_many_quarantined"]),
        ({"rows_read": 1, "good": 1}, Verdict.REJECTED, ["row_count"]),
        ({"rows_read": 11, "good": 11}, Verdict.REJECTED, ["row_count"]),
        ({"rows_read": 2, "ignored": 2}, Verdict.REJECTED, ["no_rows"]),
        ({"rows_read": 4, "good": 4, "holds": [HOLD]}, Verdict.HELD, ["undeclared_unit"]),
        (
            {"rows_read": 4, "good": 4, "holds": [HOLD], "rejections": [REJECTION]},
            Verdict.REJECTED,
            ["table_rule", "undeclared_unit"],
        ),
    ],
)
def test_counts_and_reasons_decide_the_verdict(
    noted: dict[str, Any], verdict: Verdict, codes: list[str]
) -> None:
    judgement = judge_delivery(Outcome(DELIVERY, **noted), source())
    assert judgement.verdict is verdict
    assert [reason.code for reason in judgement.reasons] == codes
    assert judgement.accounting is not None
    expected = noted.get("good", 0) if verdict.loads else 0
    assert judgement.accounting.accepted == expected
    assert judgement.accounting.withheld == noted.get("good", 0) - expected


def test_an_overruled_delivery_loads_and_tells_its_reasons_as_warnings() -> None:
    delivery = DELIVERY.model_copy(update={"overruled": "已核实"})
    outcome = Outcome(delivery, rows_read=4, good=4, holds=[HOLD])
    judgement = judge_delivery(outcome, source())
    assert judgement.verdict is Verdict.ACCEPTED
    assert [reason.code for reason in judgement.warnings] == ["undeclared_unit", "overruled"]


def test_rows_that_were_not_judged_one_by_one_cannot_be_accepted_by_a_person() -> None:
    delivery = DELIVERY.model_copy(update={"overruled": "已核实"})
    outcome = Outcome(delivery, rows_read=4, good=4, is_unsplit=True, rejections=[REJECTION])
    assert judge_delivery(outcome, source()).verdict is Verdict.REJECTED


def test_an_unreadable_delivery_has_no_counts() -> None:
    reason = Reason(code="empty_file")
    judgement = judge_delivery(Outcome(DELIVERY, unreadable=reason), source())
    assert (judgement.verdict, judgement.accounting) == (Verdict.UNREADABLE, None)
    assert judgement.reasons == (reason,)


def test_a_delivery_without_good_rows_empties_its_partition() -> None:
    outcome = Outcome(DELIVERY, rows_read=2, ignored=2)
    judgement = judge_delivery(outcome, source(empty="accept", rows={"min": 0}))
    assert judgement.verdict is Verdict.ACCEPTED
    assert judgement.partitions == (PartitionRows(department="a", business_date=DAY, rows=0),)


def test_a_row_that_went_nowhere_is_a_defect() -> None:
    outcome = Outcome(DELIVERY, rows_read=5, good=4)
    with pytest.raises(AccountingError, match="5 rows were read and 4 accounted for"):
        judge_delivery(replace(outcome), source())
