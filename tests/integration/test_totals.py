"""Running totals: what follows from what stands, what is told, what is held, and by which day."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from integration.conftest import RECORDS, City, with_columns
from integration.staged import Memory, Sent, in_memory

from pipelines.deliveries.delivery import Judgement, Verdict
from pipelines.errors import WorseError
from pipelines.jobs import repairs
from pipelines.warehouse.loading.totals import NEAR_DAYS

FIRST = date(2021, 9, 1)
HEADER = ("事项", "新增", "累计", "更正")
TOTALS: dict[str, Any] = {"cumulative": "total", "increment": "new"}
HOLD = TOTALS | {"on_break": "hold"}
CORRECTED = HOLD | {"correction": "mended"}
KINDS = {
    "hold": HOLD,
    "corrected": CORRECTED,
    "tolerant": HOLD | {"tolerance": 2},
    "told": CORRECTED | {"on_break": "warn"},
}
CONTRACT = RECORDS | {
    "columns": [
        RECORDS["columns"][0],
        {"name": "new", "header": ["新增"], "type": "integer"},
        {"name": "total", "header": ["累计"], "type": "decimal"},
        {"name": "mended", "header": ["更正"], "type": "integer"},
    ]
}
IN_FORCE = "SELECT business_date, total FROM records WHERE department = 'a' ORDER BY ALL"


def day(number: int) -> date:
    return FIRST + timedelta(days=number)


def declare(city: City, **totals: Any) -> City:
    return city.source(CONTRACT, totals=[totals or HOLD])


def padded(rows: Sequence[tuple[object, ...]]) -> list[tuple[object, ...]]:
    return [(*row, *[""] * (len(HEADER) - len(row))) for row in rows]


def send(city: City, number: int, *rows: tuple[object, ...], **where: Any) -> Judgement:
    return city.send(padded(rows), day=day(number), header=HEADER, **where)


def land(city: City, number: int, *rows: tuple[object, ...], **where: Any) -> None:
    city.land(padded(rows), day=day(number), header=HEADER, **where)


def codes_of(judgement: Judgement) -> list[str]:
    return [reason.code for reason in (*judgement.reasons, *judgement.warnings)]


def totals(city: City) -> dict[date, int]:
    return {at: int(total) for at, total in city.rows(IN_FORCE)}


@pytest.fixture(scope="module")
def memories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Memory]]:
    """Yield warehouses in memory by their declaration of totals; departments keep tests apart."""
    with ExitStack() as stack:
        made = {
            name: stack.enter_context(
                in_memory(CONTRACT | {"totals": [totals]}, tmp_path_factory.mktemp(name))
            )
            for name, totals in KINDS.items()
        }
        yield made.__getitem__


def rows_of(*rows: tuple[object, ...]) -> list[dict[str, object]]:
    return [dict(zip(("item", "new", "total", "mended"), row, strict=False)) for row in rows]


# after 100 on day 0: the increment, total and correction of a later day, and what is said of it
@pytest.mark.parametrize(
    ("kind", "later", "row", "code"),
    [
        ("hold", 1, ("x", 20, 120), None),
        ("hold", 1, ("x", 0, 100), None),
        ("hold", 1, ("x", None, 120), None),  # without an increment only a fall is seen
        ("hold", 1, ("x", None, 99), "fallen_total"),
        ("hold", 1, ("x", 120, 120), "total_as_increment"),
        ("hold", 1, ("x", 20, 20), "total_as_increment"),
        ("hold", 1, ("x", 0, 0), "fallen_total"),
        ("hold", 1, ("x", 20, 240), "doubled_total"),
        ("hold", 1, ("x", 0, 200), "doubled_total"),
        ("hold", 1, ("x", 20, 90), "fallen_total"),
        ("hold", 1, ("x", 20, 100), "total_gap"),
        ("hold", 1, ("x", 20, 130), "total_gap"),
        ("hold", 1, ("x", -30, 70), None),  # nobody forbade it, and it adds up
        ("hold", 1, ("y", 20, 20), None),  # another item's history begins
        ("hold", 1, ("x", 20, None), None),  # no total is no break
        ("hold", 3, ("x", 20, 500), None),  # silent days are not days without increment
        ("hold", 3, ("x", 20, 120), None),
        ("hold", 3, ("x", 20, 119), "total_gap"),
        ("hold", 3, ("x", 20, 99), "fallen_total"),
        ("hold", 3, ("x", 150, 150), "total_as_increment"),
        ("hold", 3, ("x", 20, 20), "total_as_increment"),
        ("hold", 3, ("x", -10, 80), None),  # it may go down, and have gone down in between
        ("hold", 200, ("x", 20, 119), "total_gap"),
        ("corrected", 1, ("x", 20, 110, -10), None),
        ("corrected", 1, ("x", 20, 120, None), None),
        ("corrected", 1, ("x", 20, 80, -40), None),
        ("corrected", 1, ("x", 20, 81, -40), "total_gap"),
        ("corrected", 1, ("x", 20, 50, -40), "fallen_total"),
        ("corrected", 1, ("x", None, 99), "fallen_total"),
        ("corrected", 3, ("x", 20, 500, None), None),
        ("corrected", 3, ("x", 20, 110, None), None),  # the silent days may have corrected it
        ("corrected", 3, ("x", 20, 61, -40), None),
        ("corrected", 3, ("x", 20, 50, None), "fallen_total"),  # by what nobody has sent
        ("corrected", 3, ("x", 20, 59, -40), "fallen_total"),
        ("corrected", 3, ("x", 150, 150, None), "total_as_increment"),
        ("corrected", 3, ("x", 20, 20, -100), None),
        ("tolerant", 1, ("x", 20, 122), None),
        ("tolerant", 1, ("x", 20, 118), None),
        ("tolerant", 1, ("x", 20, 123), "total_gap"),
        ("tolerant", 3, ("x", 0, 98), None),
        ("tolerant", 3, ("x", 0, 97), "fallen_total"),
    ],
)
def test_a_total_is_judged_by_its_history(
    memories: Callable[[str], Memory],
    request: pytest.FixtureRequest,
    kind: str,
    later: int,
    row: tuple[object, ...],
    code: str | None,
) -> None:
    memory, department = memories(kind), request.node.name
    memory.load(Sent(FIRST, rows_of(("x", 1, 100)), department))
    [judged] = memory.load(Sent(day(later), rows_of(row), department))
    assert codes_of(judged) == ([] if code is None else [code])
    assert judged.verdict is (Verdict.ACCEPTED if code is None else Verdict.HELD)


DAILY = {"frequency": "daily", "time": "02:00", "from": "2021-09-23"}
DUE: dict[str, dict[str, Any]] = {
    "workdays": DAILY | {"calendar": "workdays"},
    "weekly": DAILY | {"frequency": "weekly"},
    "monthly": DAILY | {"frequency": "monthly"},
    "yearly totals": DAILY | {"calendar": "workdays"},
    "monthly totals": DAILY,
    "monthly totals of weeks": DAILY | {"frequency": "weekly"},
}


@pytest.fixture(scope="module")
def rhythms(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Memory]]:
    """Yield such warehouses for contracts with due dates and totals that start anew."""
    with ExitStack() as stack:
        made = {}
        for name, due in DUE.items():
            resets = {"resets": name.split()[0]} if "totals" in name else {}
            contract = CONTRACT | {"due": due, "totals": [HOLD | resets]}
            made[name] = stack.enter_context(in_memory(contract, tmp_path_factory.mktemp("due")))
        yield made.__getitem__


# after (day, increment, total): those of a later day, and what is said of it
@pytest.mark.parametrize(
    ("due", "earlier", "later", "code"),
    [
        ("workdays", ("2021-09-03", 1, 100), ("2021-09-06", 20, 120), None),  # Friday, Monday
        ("workdays", ("2021-09-03", 1, 100), ("2021-09-06", 20, 240), "doubled_total"),
        ("workdays", ("2021-09-03", 1, 100), ("2021-09-06", 20, 130), "total_gap"),
        ("workdays", ("2021-09-03", 1, 100), ("2021-09-07", 20, 130), None),  # not Monday's
        ("workdays", ("2021-09-30", 1, 100), ("2021-10-08", 20, 130), "total_gap"),  # a holiday
        ("workdays", ("2021-10-08", 1, 100), ("2021-10-11", 20, 130), None),  # worked on Saturday
        ("workdays", ("2021-09-04", 1, 100), ("2021-09-05", 20, 130), "total_gap"),
        # Monday's increment is since Friday or since the Saturday that was not asked for
        ("workdays", ("2021-09-04", 1, 100), ("2021-09-06", 20, 110), None),
        ("workdays", ("2021-09-04", 1, 100), ("2021-09-06", 20, 121), "total_gap"),
        ("workdays", ("2021-09-04", 1, 100), ("2021-09-06", 20, 240), "doubled_total"),
        ("workdays", ("2021-09-04", 1, 100), ("2021-09-06", 20, 99), "fallen_total"),
        ("weekly", ("2021-09-06", 1, 100), ("2021-09-13", 20, 120), None),
        ("weekly", ("2021-09-06", 1, 100), ("2021-09-13", 20, 240), "doubled_total"),
        ("weekly", ("2021-09-06", 1, 100), ("2021-09-20", 20, 240), None),
        ("monthly", ("2021-09-01", 1, 100), ("2021-10-01", 20, 121), "total_gap"),
        ("monthly", ("2021-09-01", 1, 100), ("2021-11-01", 20, 121), None),
        ("yearly totals", ("2020-12-31", 1, 1000), ("2021-01-04", 7, 7), None),
        ("yearly totals", ("2020-12-31", 1, 1000), ("2021-01-04", 7, 14), "doubled_total"),
        ("yearly totals", ("2020-12-31", 1, 1000), ("2021-01-04", 7, 1007), "total_start"),
        ("yearly totals", ("2020-12-31", 1, 1000), ("2021-01-05", 7, 12), None),
        ("yearly totals", ("2020-12-31", 1, 1000), ("2021-01-05", 7, 6), "total_start"),
        ("yearly totals", ("2021-01-04", 7, 7), ("2021-01-05", 5, 12), None),
        ("yearly totals", ("2021-01-04", 7, 7), ("2021-01-05", 5, 5), "total_as_increment"),
        ("yearly totals", ("2021-01-29", 7, 50), ("2021-02-01", 5, 5), "total_as_increment"),
        ("monthly totals", ("2021-08-31", 1, 100), ("2021-09-01", 20, 20), None),
        ("monthly totals", ("2021-08-31", 1, 100), ("2021-09-01", 20, 120), "total_start"),
        ("monthly totals", ("2021-08-31", 1, 100), ("2021-09-02", 20, 120), None),
        # the week began in August: not more than its increment is September's
        ("monthly totals of weeks", ("2021-08-30", 1, 100), ("2021-09-06", 20, 15), None),
        ("monthly totals of weeks", ("2021-08-30", 1, 100), ("2021-09-06", 20, 120), "total_start"),
    ],
)
def test_a_total_follows_from_the_day_before_on_which_it_was_due(
    rhythms: Callable[[str], Memory],
    request: pytest.FixtureRequest,
    due: str,
    earlier: tuple[str, int, int],
    later: tuple[str, int, int],
    code: str | None,
) -> None:
    memory, department = rhythms(due), request.node.name
    [_, judged] = memory.load(
        *(
            Sent(date.fromisoformat(at), rows_of(("x", new, total)), department)
            for at, new, total in (earlier, later)
        )
    )
    assert codes_of(judged) == ([] if code is None else [code])


def test_a_start_from_nothing_is_reported_with_its_figures(city: City) -> None:
    declare(city, **TOTALS, resets="monthly")
    send(city, -1, ("x", 1, 100))
    [warning] = send(city, 0, ("x", 20, 120)).warnings
    figures = "x, 2021-09-01: 0 → 2021-09-01: 120 (+ 20) [Δ 100]"
    assert (warning.value, warning.expected) == (figures, "20")
    assert "累计应自期初从 0 重新起算" in warning.chinese()
    # a month has no next day in the month after
    assert codes_of(send(city, -1, ("x", 30, 129))) == []


def test_a_rebuild_holds_by_due_days_and_periods_as_the_nights_did(city: City) -> None:
    """Use the deployment's holidays: Friday 3 September is free, Saturday the 4th is worked."""
    (city.config / "holidays.csv").write_text(
        "date,working\n2021-09-03,false\n2021-09-04,true\n", encoding="utf-8"
    )
    city.source(CONTRACT, totals=[HOLD | {"resets": "monthly"}], due=DUE["workdays"])
    sent = [
        (-1, 5, 900),
        (0, 10, 10),
        (1, 20, 30),
        (3, 20, 60),
        (3, 20, 50),
        (5, 5, 110),
        (5, 5, 55),
        (8, 5, 200),
        (29, 9, 400),
        (30, 8, 408),
        (37, 8, 8),
    ]
    judged = [send(city, at, ("x", new, total)) for at, new, total in sent]
    assert [codes_of(judgement) for judgement in judged] == [
        [],
        [],
        [],
        ["total_gap"],
        [],
        ["doubled_total"],
        [],
        [],
        [],
        ["total_start"],
        [],
    ]
    before = totals(city)
    again = repairs.rebuild(city.deployment, "records")
    assert [codes_of(judgement) for judgement in again] == [
        codes_of(judgement) for judgement in judged
    ]
    assert totals(city) == before


def test_a_key_is_searched_beyond_the_nearest_day_but_not_without_limit(
    memories: Callable[[str], Memory],
) -> None:
    """Count days on which the department sent anything: its silence hides nothing."""
    memory = memories("hold")
    memory.load(Sent(day(0), rows_of(("x", 1, 100), ("far", 1, 100)), "seldom"))
    for number in range(1, NEAR_DAYS):
        memory.load(Sent(day(3 * number), rows_of(("other", 1, number)), "seldom"))
    [judged] = memory.load(Sent(day(200), rows_of(("x", 1, 50)), "seldom"))
    assert codes_of(judged) == ["fallen_total"]
    memory.load(Sent(day(201), rows_of(("other", 1, 1000)), "seldom"))
    [judged] = memory.load(Sent(day(202), rows_of(("far", 1, 50)), "seldom"))
    assert codes_of(judged) == []


def test_a_break_is_reported_with_its_figures_in_both_languages(city: City) -> None:
    declare(city, **TOTALS)
    send(city, 0, ("x", 1, "100.5"), ("y", 1, 7), ("z", 1, 9))
    judged = send(city, 1, ("y", 1, 8), ("x", 20, 130), ("z", 2, 12))
    assert judged.verdict is Verdict.ACCEPTED
    [warning] = judged.warnings
    assert (warning.count, warning.row, warning.column) == (2, 3, "total")
    figures = "x, 2021-09-01: 100.5 → 2021-09-02: 130 (+ 20) [Δ 9.5]"
    assert (warning.value, warning.expected) == (figures, "120.5")
    assert warning.english().startswith("2 rows, first row 3: total: the total does not follow")
    message = warning.chinese({"total": "累计"})
    assert message.startswith("第 3 行等 2 行：累计：累计与前次累计加新增不衔接")
    assert figures in message
    assert "应为 120.5" in message
    assert city.rows("SELECT warnings->>'$[0].code' FROM delivery ORDER BY position") == [
        (None,),
        ("total_gap",),
    ]


def test_a_held_delivery_withholds_its_good_rows_and_leaves_what_stands(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 1, 100))
    send(city, 1, ("x", 20, 120))
    judged = send(city, 1, ("x", 20, 220), ("y", 1, 1), ("z", "?", 2))
    assert judged.verdict is Verdict.HELD
    assert [reason.code for reason in judged.reasons] == ["total_gap", "type"]
    assert judged.accounting is not None
    counts = judged.accounting
    assert (counts.rows_read, counts.accepted, counts.quarantined, counts.withheld) == (3, 0, 1, 2)
    assert judged.partitions == ()
    assert totals(city) == {day(0): 100, day(1): 120}
    assert city.rows("SELECT count(*) FROM partition_in_force") == [(2,)]
    assert len(city.rows("FROM quarantine")) == 1
    assert city.landed() == []


def test_the_days_after_a_held_one_are_judged_without_it(city: City) -> None:
    """Take days in a wave: day 2 follows from the held day 1 and is no break across the gap."""
    declare(city)
    land(city, 0, ("x", 1, 100))
    land(city, 1, ("x", 20, 220))
    land(city, 2, ("x", 20, 240))
    land(city, 3, ("x", 20, 20))
    land(city, 4, ("x", 20, 280))
    verdicts = [judgement.verdict for judgement in city.take()]
    accepted, held = Verdict.ACCEPTED, Verdict.HELD
    assert verdicts == [accepted, held, accepted, held, accepted]
    assert totals(city) == {day(0): 100, day(2): 240, day(4): 280}


def test_a_held_correction_leaves_its_predecessor_as_the_day_before(city: City) -> None:
    """Judge the next day of a wave by what is in force, not by the held correction."""
    declare(city)
    send(city, 0, ("x", 1, 100))
    send(city, 1, ("x", 20, 120))
    land(city, 1, ("x", 20, 50))
    land(city, 2, ("x", 5, 125), ("y", 1, 1))
    assert [judgement.verdict for judgement in city.take()] == [Verdict.HELD, Verdict.ACCEPTED]
    assert totals(city)[day(1)] == 120


def test_departments_and_parts_have_histories_of_their_own(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 1, 100))
    send(city, 0, ("x", 1, 7), department="b")
    assert codes_of(send(city, 1, ("x", 1, 8), department="b")) == []
    # a key may move from one part to another
    send(city, 1, ("y", 1, 5), part="p1")
    assert codes_of(send(city, 1, ("x", 20, 120), part="p2")) == []
    assert codes_of(send(city, 2, ("x", 20, 150), part="p1")) == ["total_gap"]


def test_a_correction_is_held_against_the_day_after_that_stands(city: City) -> None:
    declare(city)
    for number, total in enumerate((100, 120, 140)):
        send(city, number, ("x", 20, total))
    judged = send(city, 1, ("x", 25, 125))
    assert judged.verdict is Verdict.ACCEPTED
    [warning] = judged.warnings
    assert warning.code == "total_gap_next"
    assert (warning.value, warning.expected) == (
        "x, 2021-09-02: 125 → 2021-09-03: 140 (+ 20) [Δ -5]",
        "145",
    )
    # the day after is mended in its turn, and all is well
    assert codes_of(send(city, 2, ("x", 20, 145))) == []


def test_a_late_day_between_is_held_against_both_neighbours(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 20, 100))
    send(city, 2, ("x", 20, 150))
    assert codes_of(send(city, 1, ("x", 20, 120))) == ["total_gap_next"]


def test_a_person_overrules_and_a_rebuild_comes_to_the_same(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 20, 100))
    held = send(city, 1, ("x", 20, 130))
    assert held.verdict is Verdict.HELD
    send(city, 2, ("x", 20, 150))
    accepted = repairs.accept(city.deployment, held.delivery.delivery_id, "已核实")
    assert accepted.verdict is Verdict.ACCEPTED
    assert [reason.code for reason in accepted.warnings] == ["total_gap", "overruled"]
    assert accepted.warnings[-1].value == "已核实"
    for _ in range(2):
        assert totals(city) == {day(0): 100, day(1): 130, day(2): 150}
        final = repairs.rebuild(city.deployment, "records")
        # as it came: the person's decision was the last of it
        assert [codes_of(judgement) for judgement in final] == [[], [], ["total_gap", "overruled"]]


def test_a_day_that_came_after_a_held_one_stands_when_that_is_accepted_and_rebuilt(
    city: City,
) -> None:
    declare(city)
    send(city, 0, ("x", 20, 100))
    held = send(city, 1, ("x", 20, 130))
    across = send(city, 2, ("x", 20, 140))
    assert (held.verdict, across.verdict) == (Verdict.HELD, Verdict.ACCEPTED)
    repairs.accept(city.deployment, held.delivery.delivery_id, "已核实")
    before = totals(city)
    repairs.rebuild(city.deployment, "records")
    assert totals(city) == before == {day(0): 100, day(1): 130, day(2): 140}


def test_a_delivery_compared_with_a_wrong_day_is_judged_again_when_resent(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 20, 100))
    send(city, 1, ("x", 20, 120))
    right = send(city, 2, ("x", 20, 150))
    assert right.verdict is Verdict.HELD
    send(city, 1, ("x", 30, 130))
    assert send(city, 2, ("x", 20, 150)).verdict is Verdict.ACCEPTED
    before = totals(city)
    repairs.rebuild(city.deployment, "records")
    assert totals(city) == before == {day(0): 100, day(1): 130, day(2): 150}


def test_a_rebuild_judges_by_receipt_as_the_nights_did(city: City) -> None:
    declare(city)
    sent = [(0, 100), (1, 130), (2, 140), (1, 120), (3, 300), (4, 160)]
    judged = [send(city, number, ("x", 20, total)) for number, total in sent]
    assert [codes_of(judgement) for judgement in judged] == [
        [],
        ["total_gap"],
        [],
        [],
        ["total_gap"],
        [],
    ]
    before = totals(city)
    again = repairs.rebuild(city.deployment, "records")
    assert [(codes_of(judgement), judgement.verdict) for judgement in again] == [
        (codes_of(judgement), judgement.verdict) for judgement in judged
    ]
    assert totals(city) == before == {day(0): 100, day(1): 120, day(2): 140, day(4): 160}


def test_a_day_is_not_judged_by_what_was_received_after_it(city: City) -> None:
    """Take days together, as a rebuild does, and a night after several failed ones."""
    declare(city)
    send(city, 0, ("x", 100, 100), department="c")
    for part in ("p1", "p2"):  # cut waves where they meet
        send(city, 1, (part, 5, 5), department="a", part=part)
    send(city, 1, ("x", 20, 120), department="c")
    send(city, 0, ("x", 10, 10), department="c")
    stood = city.rows("SELECT department, business_date, total FROM records ORDER BY ALL")
    repairs.rebuild(city.deployment, "records")
    totals = city.rows("SELECT department, business_date, total FROM records ORDER BY ALL")
    assert totals == stood


def test_a_rebuild_under_a_stricter_contract_removes_nothing_without_force(city: City) -> None:
    declare(city, **TOTALS)
    send(city, 0, ("x", 20, 100))
    send(city, 1, ("x", 20, 130))
    declare(city, **HOLD)
    with pytest.raises(WorseError, match="1 deliveries with 1 rows"):
        repairs.rebuild(city.deployment, "records")
    assert totals(city) == {day(0): 100, day(1): 130}
    repairs.rebuild(city.deployment, "records", force=True)
    assert totals(city) == {day(0): 100}


def test_a_bulk_file_is_held_as_a_whole_and_its_days_are_compared(city: City) -> None:
    bulk = with_columns(
        CONTRACT | {"partition": {"department": "unit", "business_date": "day"}},
        {"name": "unit", "header": ["单位"], "type": "text"},
        {"name": "day", "header": ["日期"], "type": "date"},
    )
    city.source(bulk, totals=[HOLD])
    where: dict[str, Any] = {
        "department": "all",
        "day": "bulk",
        "header": ("事项", "新增", "累计", "单位", "日期"),
    }
    sound = [("x", 20, 100 + 20 * n, unit, day(n)) for n in range(3) for unit in "ab"]
    assert codes_of(city.send(sound, **where)) == []
    broken = [*sound, ("x", 20, 500, "b", day(3))]
    judged = city.send(broken, **where)
    assert (judged.verdict, codes_of(judged)) == (Verdict.HELD, ["total_gap"])
    assert judged.accounting is not None
    assert judged.accounting.withheld == 7
    assert city.rows("SELECT count(*) FROM records") == [(6,)]


def test_several_totals_are_judged_each_by_its_own_rule(city: City) -> None:
    city.source(
        CONTRACT | {"key": ["item"]},
        totals=[
            TOTALS | {"by": ["item"]},
            {"cumulative": "mended", "increment": "new", "on_break": "hold"},
        ],
    )
    send(city, 0, ("x", 1, 100, 10))
    judged = send(city, 1, ("x", 1, 200, 11))
    assert (judged.verdict, codes_of(judged)) == (Verdict.ACCEPTED, ["total_gap"])
    judged = send(city, 2, ("x", 1, 300, 5))
    assert judged.verdict is Verdict.HELD
    assert [reason.code for reason in judged.reasons] == ["fallen_total"]
    assert [reason.code for reason in judged.warnings] == ["total_gap"]


def test_numbers_stay_exact_beyond_what_a_float_holds(city: City) -> None:
    declare(city)
    send(city, 0, ("x", 1, "1234567890123.000001"))
    assert codes_of(send(city, 1, ("x", 1, "1234567890124.000001"))) == []
    judged = send(city, 2, ("x", 1, "1234567890125.000002"))
    assert codes_of(judged) == ["total_gap"]
    assert judged.reasons[0].expected == "1234567890125.000001"


@dataclass(frozen=True)
class Figures:
    """One row of the property's histories."""

    new: int
    total: int
    mended: int


Day = int
Present = dict[Day, dict[str, Figures]]


def broken(earlier: Figures, now: Figures, gap: int) -> str | None:
    """Return what is wrong with `now`, `gap` days after `earlier`, by plain arithmetic."""
    right = earlier.total + now.new + now.mended
    if now.total == right:
        return None
    if now.total == now.new != 0 != earlier.total:
        return "total_as_increment"
    if gap > 1 and now.new < 0:
        return None  # it takes back what silent days said
    if gap == 1 and now.total == right * 2 != 0:
        return "doubled_total"
    if now.total < earlier.total + min(now.mended, 0):
        return "fallen_total"
    return "total_gap" if gap == 1 else None  # what silent days added is unknown


def oracle_codes(present: Present, at: Day, fresh: set[Day]) -> set[str]:
    """Return the oracle's codes for day `at` among the days that are present."""
    codes: set[str] = set()
    for item, now in present[at].items():
        others = [number for number in present if item in present[number]]
        before = max((number for number in others if number < at), default=None)
        after = min((number for number in others if number > at), default=None)
        if before is not None:
            codes.add(broken(present[before][item], now, at - before) or "")
        if after is not None and after not in fresh:
            codes.add("total_gap_next" if broken(now, present[after][item], after - at) else "")
    return codes - {""}


def replay(
    waves: Sequence[Sequence[tuple[Day, dict[str, Figures], bool]]], holds: bool
) -> tuple[list[tuple[bool, set[str]]], Present]:
    """Return the oracle's (held, codes) of every delivery in order, and what is in force then."""
    standing: Present = {}
    verdicts: list[tuple[bool, set[str]]] = []
    for wave in waves:
        left = {at: (rows, overruled) for at, rows, overruled in wave}
        held: dict[Day, set[str]] = {}
        while True:
            present = standing | {at: rows for at, (rows, _) in left.items()}
            codes = {at: oracle_codes(present, at, set(left)) for at in left}
            worst = min(
                (at for at in left if codes[at] - {"total_gap_next"} and not left[at][1]),
                default=None,
            )
            if worst is None or not holds:
                break
            held[worst] = codes[worst]
            del left[worst]
        standing = present
        verdicts += [(at in held, held.get(at) or codes.get(at, set())) for at, _, _ in wave]
    return verdicts, standing


def rising(
    waves: Sequence[Sequence[tuple[Day, dict[str, Figures], bool]]],
) -> list[list[tuple[Day, dict[str, Figures], bool]]]:
    """Split waves where totals hold, so that no day is judged with a later day that came first."""
    cut: list[list[tuple[Day, dict[str, Figures], bool]]] = []
    for wave in waves:
        cut.append([])
        for arrival in wave:
            if cut[-1] and arrival[0] < cut[-1][-1][0]:
                cut.append([])
            cut[-1].append(arrival)
    return cut


@st.composite
def histories(draw: st.DrawFn) -> list[list[tuple[Day, dict[str, Figures], bool]]]:
    """Draw waves of a department's days: mostly true, with gaps, corrections and planted errors."""
    days = 7
    truth: dict[str, list[Figures]] = {}
    for item in "xy":
        total, truth[item] = draw(st.sampled_from([0, 100])), []
        for _ in range(days):
            new, mended = draw(st.sampled_from([0, 3, 20])), draw(st.sampled_from([0, 0, 0, -5]))
            total += new + mended
            truth[item].append(Figures(new, total, mended))

    def row(item: str, at: Day) -> Figures:
        true = truth[item][at]
        match draw(st.sampled_from(["", "", "", "double", "increment", "total", "fall", "off"])):
            case "double":
                return Figures(true.new, true.total * 2, true.mended)
            case "increment":
                return Figures(true.total, true.total, true.mended)
            case "total":
                return Figures(true.new, true.new, true.mended)
            case "fall":
                return Figures(true.new, true.total - 50, true.mended)
            case "off":
                return Figures(true.new, true.total + 1, true.mended)
        return true

    waves = []
    for _ in range(draw(st.integers(1, 4))):
        order = draw(st.lists(st.integers(0, days - 1), min_size=1, max_size=6, unique=True))
        items = st.sampled_from(["x", "y", "xy", "xy"])
        waves.append(
            [
                (at, {item: row(item, at) for item in draw(items)}, draw(st.integers(0, 5)) == 0)
                for at in order
            ]
        )
    return waves


@pytest.mark.parametrize("kind", ["corrected", "told"])
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_the_warehouse_agrees_with_the_oracle(
    memories: Callable[[str], Memory], kind: str, data: st.DataObject
) -> None:
    memory, waves = memories(kind), data.draw(histories())
    department = f"p{next(memory.numbers)}"
    judged: list[Judgement] = []
    for wave in waves:
        judged += memory.load(
            *(
                Sent(
                    day(at),
                    rows_of(*((item, f.new, f.total, f.mended) for item, f in rows.items())),
                    department,
                    overruled="已核实" if overruled else None,
                )
                for at, rows, overruled in wave
            )
        )
    holds = kind == "corrected"
    verdicts, standing = replay(rising(waves) if holds else waves, holds)
    assert [
        (judgement.verdict is Verdict.HELD, set(codes_of(judgement)) - {"overruled"})
        for judgement in judged
    ] == verdicts
    for judgement in judged:
        assert judgement.accounting is not None
        judgement.accounting.verify(judgement.delivery)
    loaded_rows = memory.connection.execute(
        sa.text(
            "SELECT business_date, item, new, total, mended FROM records WHERE department = :d"
        ),
        {"d": department},
    )
    in_force = {
        (at, item, Figures(new, int(total), mended)) for at, item, new, total, mended in loaded_rows
    }
    assert in_force == {
        (day(at), item, figures) for at, rows in standing.items() for item, figures in rows.items()
    }
