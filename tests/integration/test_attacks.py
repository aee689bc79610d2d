"""Check that the attacks a hostile tester found stay harmless."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest
import xlsxwriter
from integration.conftest import DAY, RECORDS, City, expectation, with_columns
from rich.console import Console

from pipelines.cli import rendering
from pipelines.deliveries.delivery import Verdict
from pipelines.deployment import Deployment
from pipelines.jobs import night, repairs

OPEN = {**RECORDS, "formats": {"csv": {}, "xlsx": {}, "parquet": {}}}


def withdraw(city: City, judgement: Any) -> None:
    repairs.withdraw(city.deployment, judgement.delivery.delivery_id, "误报")


def rebuild(city: City) -> None:
    repairs.rebuild(city.deployment, "records")


def whole_withdrawn_then_parts(city: City) -> None:
    withdraw(city, city.send([("w", 1, "")]))
    city.send([("p", 1, "")], part="1")
    city.send([("q", 1, "")], part="2")


def older_after_a_withdrawn_newer(city: City) -> None:
    withdraw(city, city.send([("b", 1, "")], minute=10))
    city.send([("a", 1, "")], minute=5)


def key_freed_by_a_withdrawn_part(city: City) -> None:
    withdraw(city, city.send([("k", 1, "")], part="1"))
    city.send([("k", 2, "")], part="2")


def whole_and_part_at_once(city: City) -> None:
    city.land([("w", 1, "")])
    city.land([("p", 1, "")], part="1")
    city.take()


def part_received_before_the_whole_that_was_there_first(city: City) -> None:
    city.send([("w", 1, "")], minute=10)
    city.send([("p", 2, "")], part="2", minute=5)


def clash_in_the_order_of_work(city: City) -> None:
    city.send([("k", 1, "")], part="1", minute=10)
    city.send([("k", 2, "")], part="2", minute=5)


@pytest.mark.parametrize(
    "history",
    [
        whole_withdrawn_then_parts,
        older_after_a_withdrawn_newer,
        key_freed_by_a_withdrawn_part,
        whole_and_part_at_once,
        part_received_before_the_whole_that_was_there_first,
        clash_in_the_order_of_work,
    ],
)
def test_a_rebuild_of_any_history_gives_the_same_rows(
    city: City, history: Callable[[City], None]
) -> None:
    city.source(RECORDS)
    history(city)
    before = city.rows("SELECT item, amount, part FROM records ORDER BY ALL")
    rebuild(city)
    assert city.rows("SELECT item, amount, part FROM records ORDER BY ALL") == before


def test_a_delivery_older_than_the_loaded_one_is_reported_as_late(city: City) -> None:
    city.source(RECORDS)
    city.send([("new", 1, "")], minute=10)
    late = city.send([("old", 1, "")], minute=5)
    assert [reason.code for reason in late.warnings] == ["late_receipt"]
    assert city.items() == {"new"}


def test_a_file_with_a_future_time_is_received_now(city: City) -> None:
    city.source(RECORDS)
    city.send([("wrong clock", 1, "")], minute=60 * 24 * 365 * 30)
    later = city.settings.landing / str(DAY) / "a" / "records.csv"
    later.parent.mkdir(parents=True)
    later.write_text("事项,数量,领域\nright,1,\n", encoding="utf-8")
    city.take()
    assert city.items() == {"right"}


def test_numbers_beyond_every_bound_are_quarantined_and_harm_no_other_delivery(city: City) -> None:
    city.source(RECORDS)
    city.metrics(
        {
            "name": "amounts",
            "title": "量",
            "unit": "条",
            "kind": "flow",
            "source": "records",
            "value": {"aggregate": "sum", "column": "amount"},
        },
        {
            "name": "share",
            "title": "率",
            "unit": "%",
            "kind": "ratio",
            "source": "records",
            "numerator": {"aggregate": "sum", "column": "amount"},
            "denominator": {"aggregate": "count", "where": {"domain": "x"}},
        },
    )
    city.land([(f"k{n}", 9223372036854775807, "x") for n in range(1100)] + [("ok", 1, "x")])
    city.land([("good", 2, "")], department="b")
    first, second = sorted(city.take(), key=lambda judgement: str(judgement.delivery.department))
    assert first.accounting is not None
    assert (first.accounting.accepted, first.accounting.quarantined) == (1, 1100)
    assert second.verdict is Verdict.ACCEPTED
    assert city.items() == {"ok", "good"}


def test_pairs_of_empty_cells_are_ignored_as_gx_ignores_them(city: City) -> None:
    other = {"name": "other", "header": ["其他"], "type": "integer"}
    rule = expectation("column_pair_values_to_be_equal", column_A="amount", column_B="other")
    city.source(with_columns(RECORDS, other), [rule])
    rows = [("a", 5, "", 1), ("b", "", "", ""), ("c", 1, "", 1), ("d", "", "", 3)]
    city.send(rows, header=("事项", "数量", "领域", "其他"))
    assert {"b", "c"} <= city.items()
    assert "a" not in city.items()


def sparse_workbook() -> bytes:
    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, ["事项", "数量", "领域"])
        sheet.write(1_048_575, 16_383, "x")
    return out.getvalue()


def strange_parquet() -> bytes:
    out = io.BytesIO()
    moment = pa.array([0], pa.timestamp("us", tz="Mars/Olympus"))
    pyarrow.parquet.write_table(pa.table({"事项": ["k"], "数量": [1], "领域": moment}), out)
    return out.getvalue()


def floats() -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table({"事项": ["big"], "数量": [1.2345678901e10]}), out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("content", "suffix"), [(sparse_workbook(), ".xlsx"), (strange_parquet(), ".parquet")]
)
def test_a_hostile_file_harms_only_its_own_delivery(
    city: City, content: bytes, suffix: str
) -> None:
    city.source(OPEN)
    city.land(content, suffix=suffix)
    city.land([("good", 1, "")], department="b")
    verdicts = {judgement.delivery.department: judgement.verdict for judgement in city.take()}
    assert verdicts == {"a": Verdict.UNREADABLE, "b": Verdict.ACCEPTED}
    assert city.items() == {"good"}


def test_floats_of_a_frame_are_read_without_exponents(city: City) -> None:
    city.source(OPEN)
    city.send(floats(), suffix=".parquet")
    assert city.rows("SELECT amount FROM records") == [(12345678901,)]


PHONE, NAME = "13812345678", "张三丰"


def test_personal_data_in_a_wrong_column_is_in_no_message(city: City) -> None:
    contact = {"name": "contact", "header": ["联系人"], "type": "text", "pii": "name"}
    dated = {"name": "held_on", "header": ["日期"], "type": "date"}
    city.source(with_columns(RECORDS, contact, dated))
    title = f"填报单位,甲局,联系人,{NAME},联系电话,{PHONE}\n事项名,个数\nk,1\n"
    refused = city.send(title)
    shifted = city.send(
        [("k", 1, "", "李四", PHONE)],
        day=date(2021, 9, 24),
        header=("事项", "数量", "领域", "联系人", "日期"),
    )
    messages = " ".join(
        reason.english() + reason.chinese() for reason in (*refused.reasons, *shifted.reasons)
    )
    rows = str(city.rows("SELECT row_text, CAST(reasons AS VARCHAR) FROM quarantine"))
    for secret in (PHONE, NAME):
        assert secret not in messages
        assert secret not in rows
    assert "138****5678" in rows


def test_words_in_a_column_of_figures_are_in_no_message(city: City) -> None:
    contact = {"name": "contact", "header": ["联系电话"], "type": "text", "pii": "phone"}
    count = {"name": "count", "header": ["件数"], "type": "decimal", "unit": ["万件"]}
    held = {"name": "held_on", "header": ["日期"], "type": "date"}
    domain = RECORDS["columns"][2] | {"name": "kind", "header": ["类别"], "values": ["甲", "乙"]}
    company = {"name": "company", "header": ["代码"], "type": "text", "code": "uscc"}
    city.source(with_columns(RECORDS, contact, count, held, domain, company))
    places = ["数量", "件数", "日期", "类别", "代码"]
    header = ("事项", "联系电话", *places)
    people = [
        "张三丰",
        "李四",
        "欧阳一二",
        "张三丰13812345678",
        "鳌峰西路1号",
        "万一",
        "周三",
        "a@b.cn",
    ]
    figures = [
        "3个",
        "约3万5件",
        "三五百",
        "1.5.5万件",
        "2021年13月",
        "3-5",
        "待核实",
        "暂无",
        "N/A",
        "#REF!",
        "—",
        "/",
    ]
    rows = [
        (f"{cell_at}-{place}", "", *(cell if at == place else "" for at in range(len(places))))
        for cell_at, cell in enumerate(people + figures)
        for place in range(len(places))
    ]
    judgement = city.send([("ok", PHONE, "1", "1", "", "", ""), *rows], header=header)
    messages = " ".join(reason.english() + reason.chinese() for reason in judgement.reasons)
    stored = city.rows(
        "SELECT row_text->>'item', row_text->>['amount', 'count', 'held_on', 'kind', 'company'],"
        " list_transform(reasons, lambda one: one.value) FROM quarantine"
    )
    quarantined = {item: (cells, values) for item, cells, values in stored}
    for secret in ("张三", "李四", "欧阳", "丰", "鳌峰", "西路", "a@b", PHONE):
        assert secret not in messages + str(stored)
    for at, person in enumerate(people):
        for place in range(len(places)):
            cells, values = quarantined[f"{at}-{place}"]
            assert person not in [*cells, *values], (person, place)
    for at, figure in enumerate(figures, start=len(people)):
        for place in range(3):
            if f"{at}-{place}" in quarantined:  # some are dates, or numbers
                assert figure in quarantined[f"{at}-{place}"][0]
                assert figure in quarantined[f"{at}-{place}"][1]


def test_a_source_without_people_shows_what_was_refused(city: City) -> None:
    city.source(RECORDS)
    judgement = city.send([("k", "城管局", "")])
    assert "城管局" in " ".join(reason.chinese() for reason in judgement.reasons)


def test_texts_of_departments_cannot_forge_markup_or_message_lines(city: City) -> None:
    city.source(with_columns(RECORDS, {"name": "day", "header": ["日"], "type": "date"}))
    city.send([("k", 1, "", "[/red]x")], header=("事项", "数量", "领域", "日"))
    screen = Console(file=io.StringIO(), width=200)
    screen.print(rendering.table("", ["cell"], [["[/red]x"]]))
    assert "[/red]x" in screen.file.getvalue()  # type: ignore[attr-defined]
    forged = city.send('事项名,"个\n\n【全市目标】\n- 完成"\nk,1\n', day=date(2021, 9, 24))
    assert all("\n" not in reason.chinese() for reason in forged.reasons)


def test_two_publications_at_once_wait_for_each_other(city: City) -> None:
    city.source(RECORDS)
    city.send([("k", 1, "")])
    patient = city.settings.model_copy(update={"lock_seconds": 60})
    failures: list[BaseException] = []

    def publish() -> None:
        try:
            night.publish(Deployment(patient, city.catalog))
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=publish) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    numbers = sorted(path.stem for path in (patient.published / "generations").iterdir())
    assert numbers == ["000001", "000002", "000003"]


def test_statements_in_headers_and_cells_are_text(city: City) -> None:
    sting = "x'); DROP TABLE records; --\"; DELETE FROM delivery; ${table}"
    city.source(RECORDS, drift={"categories": ["domain"]})
    sent = city.send(
        [("a", 1, sting, sting), (sting, "many", "", "")], header=("事项", "数量", "领域", sting)
    )
    assert sent.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert city.rows("SELECT item, domain FROM records") == [("a", sting)]
    [(item,)] = city.rows("SELECT row_text->>'item' FROM quarantine")
    assert item == sting
    [(extra, categories)] = city.rows("SELECT extra_columns, categories['domain'] FROM profile")
    assert (extra, categories) == ([sting], [sting])
    repairs.rebuild(city.deployment, "records")
    assert city.rows("SELECT item, domain FROM records") == [("a", sting)]


STRAYED = [
    "138 1234 5678",
    "138-1234-5678",
    "１３８１２３４５６７８",
    "1.3812345678E10",
    "13,812,345,678",
    "0563-3021234",
    "110105 19491231 002X",
    "11010519491231002X",
]


def test_a_personal_number_in_another_column_is_reported_and_stored_masked(city: City) -> None:
    contact = {"name": "contact", "header": ["联系电话"], "type": "text", "pii": "phone"}
    columns = [
        {"name": "count", "header": ["件数"], "type": "decimal", "maximum": 10_000},
        {"name": "held_on", "header": ["日期"], "type": "date"},
        {"name": "kind", "header": ["类别"], "type": "text", "values": ["甲"]},
        {"name": "site", "header": ["地点"], "type": "text", "pattern": "^[甲乙]"},
        {"name": "unit", "header": ["单位"], "type": "text"},
    ]
    source = with_columns(RECORDS, contact, *columns) | {"partition": {"department": "unit"}}
    city.source(source)
    places = ["件数", "日期", "类别", "地点", "单位"]
    rows = [
        (f"{number}-{place}", "", *(f'"{cell}"' * (at == place) for at in range(len(places))))
        for number, cell in enumerate(STRAYED)
        for place in range(len(places))
    ]
    shown = [
        ("kept-0", "", '"1,234,567.89"', "", "", "", ""),
        ("kept-1", "", "", "2021-02-30", "", "", ""),
    ]
    judgement = city.send([*rows, *shown], header=("事项", "联系电话", *places))
    assert city.rows("SELECT count(*) FROM quarantine") == [(len(rows) + len(shown),)]
    messages = " ".join(reason.english() + reason.chinese() for reason in judgement.reasons)
    stored = str(city.rows("SELECT row_text, CAST(reasons AS VARCHAR) FROM quarantine"))
    for secret in [*STRAYED, "38123", "1234 5678", "3021234", "19491231", "812345678"]:
        assert secret not in messages + stored, secret
    assert "2021-02-30" in stored
    assert "1234567.89" in stored
