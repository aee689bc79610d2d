"""Rule 2: which delivery's rows are in force, whatever arrives, in whatever order."""

from __future__ import annotations

from datetime import date

import pytest
from integration.conftest import DAY, RECORDS, City, with_columns

from pipelines import published
from pipelines.deliveries.delivery import Verdict
from pipelines.errors import VerificationError
from pipelines.jobs import intake, night, repairs

A = [("x", 1, "交通"), ("y", 2, "")]
B = [("x", 1, "交通"), ("z", 3, "")]
BULK = with_columns(
    RECORDS | {"partition": {"department": "unit", "business_date": "day"}},
    {"name": "unit", "header": ["单位"], "type": "text"},
    {"name": "day", "header": ["日期"], "type": "date"},
)
BULK_HEADER = ("事项", "数量", "领域", "单位", "日期")


def parts_in_force(city: City) -> dict[tuple[str, str], int]:
    partitions = city.rows("SELECT department, part, rows FROM partition_in_force")
    return {(department, part): rows for department, part, rows in partitions}


def test_a_delivery_replaces_itself(city: City) -> None:
    first = city.send(A)
    second = city.send(B)
    assert (first.verdict, second.verdict) == (Verdict.ACCEPTED, Verdict.ACCEPTED)
    assert city.items() == {"x", "z"}
    superseded = city.rows("SELECT superseded FROM delivery ORDER BY position")
    assert superseded == [([],), ([first.delivery.delivery_id],)]
    assert city.landed() == []


def test_a_b_a_loads_three_times(city: City) -> None:
    for content, items in ((A, {"x", "y"}), (B, {"x", "z"}), (A, {"x", "y"})):
        assert city.send(content).verdict is Verdict.ACCEPTED
        assert city.items() == items
    assert city.rows("SELECT count(*) FROM delivery_partition") == [(3,)]


def test_a_b_a_loads_three_times_when_b_and_a_arrive_together(city: City) -> None:
    city.send(A)
    city.land(B, minute=10, suffix=".txt")
    city.land(A, minute=20)
    assert len(city.take()) == 2
    assert city.items() == {"x", "y"}
    assert city.landed() == []


@pytest.mark.parametrize(
    ("worse", "verdict"),
    [
        ("事项,数量\n", Verdict.REJECTED),  # a header without rows
        ("名称\nx\n", Verdict.REJECTED),  # no required column
        (b"", Verdict.UNREADABLE),
        ("事项,数量\n早,1\n".encode("gb18030"), Verdict.UNREADABLE),
    ],
)
def test_a_worse_delivery_never_replaces_a_better_one(
    city: City, worse: str | bytes, verdict: Verdict
) -> None:
    city.send(A)
    assert city.send(worse).verdict is verdict
    assert city.items() == {"x", "y"}
    assert city.landed() == []


def test_too_many_bad_rows_leave_what_is_loaded(city: City) -> None:
    city.source(RECORDS, max_quarantine=0.4)
    city.send(A)
    judged = city.send([("v", 1, ""), ("w", "?", "")])
    assert judged.verdict is Verdict.REJECTED
    assert [reason.code for reason in judged.reasons] == ["too_many_quarantined", "type"]
    assert judged.accounting is not None
    assert (judged.accounting.quarantined, judged.accounting.withheld) == (1, 1)
    assert city.items() == {"x", "y"}


def test_same_bytes_are_unchanged_also_of_a_rejected_delivery(city: City) -> None:
    city.send(A)
    city.land(A)
    assert city.take() == []
    city.send("事项\n")
    city.land("事项\n")
    assert city.take() == []
    assert city.verdicts() == ["accepted", "unchanged", "rejected", "unchanged"]
    assert city.landed() == []


def test_same_bytes_are_judged_again_after_a_contract_change(city: City) -> None:
    city.send([("x", 500, "")])
    bounded = dict(RECORDS["columns"][1], maximum=100)
    city.source(RECORDS, columns=[RECORDS["columns"][0], bounded, RECORDS["columns"][2]])
    judged = city.send([("x", 500, "")])
    assert judged.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert city.items() == set()


def test_the_newest_delivery_is_the_last_received_not_the_last_processed(city: City) -> None:
    city.send(B, minute=20)
    judged = city.send(A, minute=10)
    assert judged.verdict is Verdict.ACCEPTED
    assert city.items() == {"x", "z"}
    assert parts_in_force(city) == {("a", ""): 2}
    closed = city.rows("SELECT known_from = known_until FROM delivery_partition ORDER BY position")
    assert closed == [(None,), (True,)]


def test_withdrawn_bytes_load_again(city: City) -> None:
    first = city.send(A)
    assert repairs.withdraw(city.deployment, first.delivery.delivery_id, "误报") == 2
    assert city.items() == set()
    assert parts_in_force(city) == {}
    assert city.send(A).verdict is Verdict.ACCEPTED
    assert city.items() == {"x", "y"}


def test_a_recorded_receipt_is_cleared_without_a_second_ledger_row(city: City) -> None:
    """Continue after a run that was killed between its load and clearing the landing folder."""
    city.land(A, minute=5)
    city.take()
    city.land(A, minute=5)
    discovery = intake.discover(city.deployment, "again")
    assert (len(discovery.pending), len(discovery.unchanged)) == (0, 1)
    assert city.verdicts() == ["accepted"]
    assert city.landed() == []


def test_two_names_of_one_receipt_load_once(city: City) -> None:
    """Load a file once that an unpacked archive holds twice, with the same time."""
    city.land(A, minute=5)
    city.land(A, minute=5, suffix=".txt")
    city.take()
    assert city.items() == {"x", "y"}
    assert city.landed() == []


def test_a_chunk_staged_twice_is_recorded_once(city: City) -> None:
    city.land(A)
    discovery = intake.discover(city.deployment, "first")
    staged = [intake.stage(city.deployment, discovery.pending, run, 0) for run in "12"]
    assert len(intake.load_staged(city.deployment, staged, "1")) == 1
    assert city.rows("SELECT count(*) FROM records") == [(2,)]


def test_a_bulk_file_becomes_partitions_and_gives_one_up(city: City) -> None:
    city.source(BULK)
    other = date(2021, 9, 24)
    bulk = [
        ("x", 1, "", "甲局", DAY),
        ("y", 2, "", "b", DAY),
        ("x", 3, "", "甲局", other),
        ("z", 4, "", "无此局", DAY),
        ("w", 5, "", "", DAY),
        ("v", 6, "", "甲局", ""),
    ]
    judged = city.send(bulk, department="all", day="bulk", header=BULK_HEADER)
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (3, 3)
    codes = {reason.code: reason.count for reason in judged.reasons}
    assert codes == {"unknown_department": 2, "required": 1}
    assert len(judged.partitions) == 3
    city.send([("n", 9, "", "", "")], header=BULK_HEADER)
    assert city.rows("SELECT department, business_date, item FROM records ORDER BY ALL") == [
        ("a", DAY, "n"),
        ("a", other, "x"),
        ("b", DAY, "y"),
    ]
    # it has lost a partition since: worth loading again, and newest by receipt
    again = city.send(bulk, department="all", day="bulk", header=BULK_HEADER)
    assert again.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert city.items() == {"x", "y"}
    city.land(bulk, department="all", day="bulk", header=BULK_HEADER)
    assert city.take() == []


def test_a_missing_day_of_a_bulk_row_is_one_reason(city: City) -> None:
    """Report a day once that both the column and the partition require."""
    day = {"name": "day", "header": ["日期"], "type": "date", "required": True}
    city.source(BULK, columns=[*BULK["columns"][:-1], day])
    judged = city.send(
        [("x", 1, "", "a", ""), ("y", 1, "", "a", DAY)],
        department="all",
        day="bulk",
        header=BULK_HEADER,
    )
    assert [(reason.code, reason.count) for reason in judged.reasons] == [("required", 1)]
    ((reasons,),) = city.rows("SELECT reasons FROM quarantine")
    assert len(reasons) == 1


def test_parts_add_up_and_share_their_keys(city: City) -> None:
    city.send([("x", 1, "交通"), ("y", 2, "")], part="p1")
    judged = city.send([("x", 1, "交通"), ("y", 9, ""), ("z", 3, "")], part="p2")
    assert judged.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert judged.accounting is not None
    counts = judged.accounting
    assert (counts.accepted, counts.duplicates, counts.quarantined) == (1, 1, 1)
    assert city.rows("SELECT item, amount, part FROM records ORDER BY item") == [
        ("x", 1, "p1"),
        ("z", 3, "p2"),
    ]
    # neither can be believed: the part that was there first is judged anew
    kept_out = (
        "SELECT part, row_number, quarantine.reasons[1].code "
        "FROM quarantine INNER JOIN delivery USING (position)"
    )
    assert sorted(city.rows(kept_out)) == [
        ("p1", 3, "part_key_conflict"),
        ("p2", 3, "part_key_conflict"),
    ]
    ledger = "SELECT part, cause, verdict, accepted FROM delivery ORDER BY position"
    assert city.rows(ledger) == [
        ("p1", "landing", "accepted", 2),
        ("p2", "landing", "accepted_with_quarantine", 1),
        ("p1", "sibling", "accepted_with_quarantine", 1),
    ]
    assert parts_in_force(city) == {("a", "p1"): 1, ("a", "p2"): 1}
    night.publish(city.deployment)

    # the first part is corrected: the second's row comes back by itself
    city.send([("x", 1, "交通"), ("w", 2, "")], part="p1")
    assert city.rows("SELECT item, amount, part FROM records ORDER BY item") == [
        ("w", 2, "p1"),
        ("x", 1, "p1"),
        ("y", 9, "p2"),
        ("z", 3, "p2"),
    ]
    assert city.rows(ledger)[-1] == ("p2", "sibling", "accepted", 2)
    night.publish(city.deployment)
    still = published.read("FROM marts.quarantine_current", settings=city.settings)
    assert judged.delivery.delivery_id not in set(still["delivery_id"])


def test_a_part_is_judged_again_when_its_conflict_becomes_a_repetition(city: City) -> None:
    """Keep out as many rows as before, for another reason."""
    city.send([("x", 1, "")], part="p1")
    city.send([("x", 2, ""), ("y", 2, "")], part="p2")
    city.send([("x", 2, "")], part="p1")
    ledger = "SELECT part, accepted, quarantined, duplicates FROM delivery ORDER BY position"
    assert city.rows(ledger)[-1] == ("p2", 1, 0, 1)
    night.publish(city.deployment)
    assert published.read("FROM marts.quarantine_current", settings=city.settings).empty


def test_parts_landing_together_share_their_keys(city: City) -> None:
    city.land([("x", 1, "")], part="p1")
    city.land([("x", 2, ""), ("y", 2, "")], part="p2")
    first, second, first_again = city.take()
    assert first.verdict is Verdict.ACCEPTED
    assert second.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert first_again.delivery.slot == first.delivery.slot
    assert first_again.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert city.items() == {"y"}


def test_bulk_parts_share_their_keys(city: City) -> None:
    city.source(BULK)
    other = date(2021, 9, 24)
    first = [("x", 1, "", "a", DAY), ("y", 2, "", "b", other)]
    second = [
        ("x", 1, "", "a", DAY),
        ("k", 1, "", "a", DAY),
        ("y", 5, "", "b", other),
        ("z", 1, "", "b", other),
        ("u", 1, "", "b", other),
    ]
    where = {"department": "all", "day": "bulk", "header": BULK_HEADER}
    city.send(first, part="p1", **where)
    judged = city.send(second, part="p2", **where)
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.duplicates) == (3, 1)
    assert parts_in_force(city) == {("a", "p1"): 1, ("b", "p1"): 0, ("a", "p2"): 1, ("b", "p2"): 2}
    night.publish(city.deployment)


def test_whole_and_parts_that_came_together_are_both_refused(city: City) -> None:
    city.land(A, minute=5)
    city.land(B, part="p1", minute=5.02)
    city.land(A, department="b")
    judged = {judgement.delivery.slot[1::2]: judgement for judgement in city.take()}
    assert judged["b", ""].verdict is Verdict.ACCEPTED
    for slot in (("a", ""), ("a", "p1")):
        assert judged[slot].verdict is Verdict.REJECTED
        assert judged[slot].reasons[0].code == "parts_mixed"
    assert parts_in_force(city) == {("b", ""): 2}


@pytest.mark.parametrize(("present", "added"), [("", "p1"), ("p1", "")])
def test_whole_and_parts_are_not_mixed_with_what_is_loaded(
    city: City, present: str, added: str
) -> None:
    loaded = city.send(A, part=present)
    judged = city.send(B, part=added)
    assert judged.verdict is Verdict.REJECTED
    assert [reason.code for reason in judged.reasons] == ["parts_mixed"]
    assert judged.accounting is not None
    assert judged.accounting.withheld == 2
    assert parts_in_force(city) == {("a", present): 2}
    assert city.items() == {"x", "y"}
    # once the day is free it comes in by itself
    repairs.withdraw(city.deployment, loaded.delivery.delivery_id, "改为分包")
    assert parts_in_force(city) == {("a", added): 2}
    assert city.items() == {"x", "z"}
    city.land(B, part=added)
    assert city.take() == []
    night.publish(city.deployment)


def test_rows_by_a_predecessors_name_belong_to_the_successor(city: City) -> None:
    city.source(BULK)
    rows = [
        ("x1", 1, "", "旧文化局", DAY),
        ("x2", 1, "", "文化局", DAY),
        ("x3", 1, "", "old", DAY),
        ("x4", 1, "", "文旅局", DAY),
        ("x5", 1, "", "", ""),
        ("n1", 1, "", "甲局", DAY),
        ("n2", 1, "", "new", date(2021, 9, 24)),
    ]
    judged = city.send(rows, department="new", header=BULK_HEADER)
    assert judged.accounting is not None
    assert (judged.accounting.accepted, judged.accounting.quarantined) == (5, 2)
    quarantined = city.rows(
        "SELECT row_number, reasons[1].code, reasons[1].value FROM quarantine ORDER BY row_number"
    )
    assert quarantined == [(7, "other_partition", "甲局"), (8, "other_partition", "2021-09-24")]
    assert {row[0] for row in city.rows("SELECT department FROM records")} == {"new"}


def test_a_hand_deleted_row_stops_publication(city: City) -> None:
    import duckdb

    city.send(A)
    placed = night.publish(city.deployment)
    with duckdb.connect(city.settings.warehouse) as connection:
        connection.execute("DELETE FROM records WHERE item = 'x'")
    with pytest.raises(VerificationError, match="citybrain rebuild records"):
        night.publish(city.deployment)
    generations = city.settings.published / "generations"
    assert [path.name for path in generations.glob("[0-9]*")] == [placed.path.name]
    repairs.rebuild(city.deployment, "records")
    assert night.publish(city.deployment).number == 2
