"""A clerk's CSV through staging and load: the unit of its header, and every row accounted for."""

from __future__ import annotations

import pytest
from integration.conftest import RECORDS, City, with_columns

from pipelines.deliveries.delivery import Verdict
from pipelines.jobs import repairs

COUNTED = with_columns(
    {**RECORDS, "columns": RECORDS["columns"][:1]},
    {"name": "amount", "header": ["数量"], "type": "integer", "unit": "条"},
    {"name": "domain", "header": ["领域"], "type": "text"},
)
PHONE = "13812345678"


def test_every_row_of_a_clerks_export_has_one_fate(city: City) -> None:
    city.source(COUNTED, footer=["合计", "注[:：]"])
    page = "事项,数量（万条）,领域,\n"
    judgement = city.send(
        "数据归集情况表,,,\n" + page + "a,3.5,交通,\nb,一百二十,,\n\n" + page + "c,3.5万条,,\n"
        f'd,3亿5千,,\ne,1,{PHONE},,多\nf,2\ng,5,"交通\nh,6,医疗\ni,7",\nj,8\0,,\nb,一百二十,,\n'
        '="00123",9,,\n合计,99,,\n合计,"99,,\nk,10,,",\n注：初步数\n',
        header=(),
    )
    assert judgement.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert judgement.accounting is not None
    counted = judgement.accounting.model_dump()
    assert {name: counted[name] for name in ("rows_read", "ignored", "duplicates")} == {
        "rows_read": 15,
        "ignored": 4,
        "duplicates": 1,
    }
    assert counted["quarantined"] == 6
    assert city.rows("SELECT item, amount FROM records ORDER BY item") == [
        ("00123", 90_000),
        ("a", 35_000),
        ("b", 1_200_000),
        ("c", 35_000),
    ]
    kept_out = city.rows("SELECT row_number, reasons->0->>'code' FROM quarantine ORDER BY ALL")
    assert kept_out == [
        (8, "unit"),
        (9, "cells"),
        (10, "cells"),
        (11, "swallowed"),
        (12, "nul"),
        (16, "swallowed"),
    ]
    assert PHONE not in str(city.rows("SELECT * FROM quarantine"))


def test_a_header_in_another_unit_rejects_the_delivery_with_a_reason(city: City) -> None:
    city.source(COUNTED)
    judgement = city.send([("a", 1, "")], header=("事项", "数量（万元）", "领域"))
    assert judgement.verdict is Verdict.REJECTED
    (reason,) = judgement.reasons
    message = "列“数量（万元）”的单位与约定（条）不符，请换算成约定单位并修改表头"
    assert reason.chinese(city.catalog.sources["records"].titles) == message


def test_pages_in_different_units_are_never_loaded_as_one(city: City) -> None:
    city.source(COUNTED)
    pages = "事项,数量,领域\na,1,\n事项,数量（万条）,领域\nb,2,\n"
    judgement = city.send(pages, header=())
    assert judgement.verdict is Verdict.UNREADABLE
    assert [reason.code for reason in judgement.reasons] == ["page_header"]


@pytest.mark.parametrize(
    ("sent", "words"),
    [
        ("单位：万条\n事项,数量,领域\na,1,\n", "万条"),
        ("事项,数量,领域\na,1,\n注：以上数据均以万条计,,\n", "万条"),
        ("事项,数量,领域\n,万条,\na,1,\n", "万条"),
        ("填报单位：万州区,,\n事项,数量,领域\na,1,\n", "单位:万州…"),
    ],
)
def test_an_undeclared_unit_waits_for_a_person_and_then_loads_without_its_scale(
    city: City, sent: str, words: str
) -> None:
    city.source(COUNTED, footer=["注[:：]"], max_quarantine=0.5)
    judgement = city.send(sent, header=())
    assert judgement.verdict is Verdict.HELD
    (reason,) = [reason for reason in judgement.reasons if reason.count is None]
    assert (reason.code, reason.value) == ("undeclared_unit", words)
    assert city.rows("SELECT * FROM records") == []
    decided = judgement.delivery.delivery_id
    accepted = repairs.accept(city.deployment, decided, "已核实，单位为条")
    assert accepted.verdict.loads
    assert "undeclared_unit" in [warning.code for warning in accepted.warnings]
    assert city.rows("SELECT item, amount FROM records") == [("a", 1)]


def test_a_declared_unit_above_the_table_is_read_and_another_is_held(city: City) -> None:
    city.source(COUNTED, unit_above="万条")
    judgement = city.send("单位：万条\n事项,数量,领域\na,1,\n", header=())
    assert judgement.verdict is Verdict.ACCEPTED
    assert city.rows("SELECT item, amount FROM records") == [("a", 10_000)]
    for title, words in (("单位：亿条", "亿条"), ("统计表", "no line says 万条")):
        held = city.send(f"{title}\n事项,数量,领域\na,2,\n", header=())
        assert (held.verdict, held.reasons[0].value) == (Verdict.HELD, words)
    assert city.rows("SELECT item, amount FROM records") == [("a", 10_000)]


def test_a_footer_is_recognised_with_blanks_in_it_and_before_it(city: City) -> None:
    city.source(COUNTED, footer=["合计", "制表"])
    totals = ",合计,5,\n 合 计,,5,\n合\u3000计,,5,\n\u00a0合计,,5,\n,制表人：张三,,\n,合计,5\n"
    rows = f"1,a,5,\n{totals}2,合计生育率,7,\n3,合计,12,\n"
    judgement = city.send("序号,事项,数量,领域\n" + rows, header=())
    assert judgement.accounting is not None
    assert (judgement.accounting.rows_read, judgement.accounting.ignored) == (9, 6)
    assert city.rows("SELECT item, amount FROM records ORDER BY amount") == [
        ("a", 5),
        ("合计生育率", 7),
    ]
    # below another first cell it may be a line of totals or not: it is kept out, and told
    assert [reason.code for reason in judgement.reasons] == ["total_row"]
