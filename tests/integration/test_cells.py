"""Numbers, units, qualifiers, codes and spellings of nothing, through real staging."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from integration.conftest import City

from pipelines.deliveries.delivery import Verdict
from pipelines.reading.records import fields
from pipelines.staging import chunk

CONTRACT: dict[str, Any] = {
    "name": "figures",
    "title": "指标填报",
    "owner": "综合科",
    "content": "snapshot",
    "grain": "one row per item",
    "key": ["item"],
    "max_quarantine": 1.0,
    "formats": {"csv": {}},
    "columns": [
        {"name": "item", "header": ["事项"], "type": "text", "required": True},
        {
            "name": "amount",
            "header": ["数值"],
            "type": "decimal",
            "unit": ["条"],
            "unit_from": "unit",
            "nulls": ["—", "/", "暂无"],
        },
        {"name": "unit", "header": ["计量单位"], "type": "text", "nulls": ["无"]},
        {"name": "qualifier", "qualifier_of": "amount", "type": "text", "description": "限定词"},
        {"name": "company", "header": ["统一社会信用代码"], "type": "text", "code": "uscc"},
        {
            "name": "person",
            "header": ["身份证号"],
            "type": "text",
            "code": "id_number",
            "pii": "id_number",
        },
        {"name": "region", "header": ["区划"], "type": "text", "code": "region"},
        {"name": "channel", "header": ["通道"], "type": "text", "code": "gb28181"},
        {"name": "visits", "header": ["访问量"], "type": "integer", "unit": ["人次", "次"]},
    ],
}
HEADER = ("事项", "数值", "计量单位", "统一社会信用代码", "身份证号", "区划", "通道", "访问量")
USCC, PERSON = "91110000600037341L", "11010519491231002X"
CHANNEL = "34020000001320000001"


def row(item: str, **cells: str) -> tuple[str, ...]:
    given = {"事项": item} | cells
    return tuple(given.get(name, "") for name in HEADER)


def reasons(city: City, item: str) -> list[tuple[str, str, str, str]]:
    [(stored,)] = city.rows(
        "SELECT reasons FROM quarantine WHERE row_text->>'item' = ? AND source = 'figures'", item
    )
    return [
        (reason["code"], reason["column"], reason["value"], reason["expected"]) for reason in stored
    ]


def test_numbers_are_read_in_the_unit_of_their_row(city: City) -> None:
    city.source(CONTRACT)
    judgement = city.send(
        [
            row("plain", 数值="5041", 计量单位="条"),
            row("scaled", 数值="5041", 计量单位="万条"),
            row("said_twice", 数值="5041条", 计量单位="条"),
            row("no_unit", 数值="3万5千", 计量单位="无"),
            row("about", 数值="约三百二十余", 计量单位="条"),
            row("at_least", 数值="不少于2亿6500万条"),
            row("wide", 数值="１２３", 计量单位="条", 访问量="1.5万余人次"),
        ],
        source="figures",
        header=HEADER,
    )
    assert judgement.verdict is Verdict.ACCEPTED, judgement.reasons
    assert city.rows("SELECT item, amount, qualifier, unit FROM figures ORDER BY item") == [
        ("about", Decimal(320), "约…余", "条"),
        ("at_least", Decimal(265_000_000), "不少于", None),
        ("no_unit", Decimal(35_000), None, None),
        ("plain", Decimal(5041), None, "条"),
        ("said_twice", Decimal(5041), None, "条"),
        ("scaled", Decimal(50_410_000), None, "万条"),
        ("wide", Decimal(123), None, "条"),
    ]
    assert city.rows("SELECT visits FROM figures WHERE item = 'wide'") == [(15_000,)]


def test_every_dash_is_the_null_of_the_contract(city: City) -> None:
    city.source(CONTRACT)
    spellings = ["—", "——", "－", "-", "–", "―", "/", "／", "暂无", " — "]
    content = [row(f"k{at}", 数值=cell) for at, cell in enumerate(spellings)]
    judgement = city.send(content, source="figures", header=HEADER)
    assert judgement.verdict is Verdict.ACCEPTED, judgement.reasons
    assert city.rows("SELECT count(*), count(amount), count(qualifier) FROM figures") == [
        (len(spellings), 0, 0)
    ]


def test_a_blank_unit_below_a_foreign_unit_is_not_guessed(city: City) -> None:
    city.source(CONTRACT)
    city.send(
        [
            row("own", 数值="1"),
            row("scaled", 数值="2", 计量单位="万条"),
            row("merged", 数值="2.5"),
            row("nought", 数值="0"),
            row("said", 数值="3条"),
            row("still", 数值="4万"),
            row("none", 数值="5", 计量单位="无"),
            row("after", 数值="6"),
            row("dash", 数值="—"),
        ],
        source="figures",
        header=HEADER,
    )
    assert city.items("figures") == {"own", "scaled", "nought", "said", "none", "after", "dash"}
    assert reasons(city, "merged") == [("unit", "amount", "2.5（未注明计量单位）", "条")]
    assert reasons(city, "still") == [("unit", "amount", "4万（未注明计量单位）", "条")]


def test_a_unit_holds_for_later_blank_cells_of_its_own_file_only(
    city: City, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunk, "FLUSH_ROWS", 1)
    monkeypatch.setattr(fields, "BATCH_ROWS", 1)
    city.source({**CONTRACT, "formats": {"jsonl": {}}})
    first_rows = [
        ("a", "1", ""),
        ("b", "2", "万条"),
        ("c", "3", ""),
        ("d", "4", ""),
        ("e", "5", "条"),
        ("f", "6", ""),
        ("g", "7", "万条"),
    ]
    for minute, (unit, rows) in enumerate({"a": first_rows, "b": [("h", "8", "")]}.items()):
        lines = [json.dumps(dict(zip(HEADER, row, strict=False))) for row in rows]
        city.land(
            "\n".join(lines), source="figures", department=unit, suffix=".jsonl", minute=minute
        )
    city.take()
    assert city.items("figures") == {"a", "b", "e", "f", "g", "h"}
    assert reasons(city, "d") == [("unit", "amount", "4（未注明计量单位）", "条")]


def test_codes_shortened_by_a_spreadsheet_and_total_lines_are_reported(city: City) -> None:
    city.source(
        {
            **CONTRACT,
            "key": [],
            "footer": ["合计", "小计"],
            "columns": [
                {"name": "item", "header": ["事项"], "type": "text", "required": True},
                {"name": "place", "header": ["地点"], "type": "text"},
                {"name": "amount", "header": ["数值"], "type": "integer"},
            ],
        }
    )
    header = ("序号", "事项", "地点", "数值")
    city.send(
        [
            ("1", "a", "东", "1"),
            ("2", "3.20102E+19", "东", "2"),
            ("3", "a", "小　计：", "3"),
            ("4", "合计", "", "6"),
            ("", " 合　计：", "", "6"),
            ("5", "b", "小计站", "4"),
            ("6", "c", "（合计）", "3"),
            ("7", "d", "其中：合计数", "3"),
            ("8", "３．２e＋19", "东", "2"),
            ("合计", "", "", "10"),
            ("330106", "合计乡", "", "7"),
        ],
        source="figures",
        header=header,
    )
    assert city.rows("SELECT item, amount FROM figures ORDER BY amount") == [
        ("a", 1),
        ("b", 4),
        ("合计乡", 7),
    ]
    assert reasons(city, "3.20102E+19") == [("scientific", "item", "3.20102E+19", "")]
    assert reasons(city, "a") == [("total_row", "place", "小　计：", "")]
    for item in "cd":
        assert [code for code, *_ in reasons(city, item)] == ["total_row"]
    assert [code for code, *_ in reasons(city, "３．２e＋19")] == ["scientific"]
    assert reasons(city, "合计") == [("total_row", "item", "合计", "")]


def test_an_unreadable_cell_is_reported_by_its_cause(city: City) -> None:
    city.source(CONTRACT)
    city.send(
        [
            row("good", 数值="1"),
            row("unit_in_cell", 数值="5041个"),
            row("unit_beside", 数值="5041", 计量单位="个"),
            row("digit_for_unit", 数值="5", 计量单位="3"),
            row("range", 数值="3-5万"),
            row("ambiguous", 数值="3万5", 计量单位="条"),
            row("twice_scaled", 数值="3万", 计量单位="万条"),
            row("visits", 访问量="5041条"),
            row("half", 访问量="1.5次"),
        ],
        source="figures",
        header=HEADER,
    )
    assert city.items("figures") == {"good"}
    for item, column, expected, value in [
        ("unit_in_cell", "amount", "条", "5041个"),
        ("unit_beside", "amount", "条", "5041（个）"),
        ("digit_for_unit", "amount", "条", "5（3）"),
        ("visits", "visits", "人次、次", "5041条"),
    ]:
        assert reasons(city, item) == [("unit", column, value, expected)]
    for item, column, expected, value in [
        ("range", "amount", "a number", "3-5万"),
        ("ambiguous", "amount", "a number", "3万5条"),
        ("twice_scaled", "amount", "a number", "3万万条"),
        ("half", "visits", "an integer", "1.5次"),
    ]:
        assert reasons(city, item) == [("type", column, value, expected)]


def test_a_scale_in_a_column_counted_by_scale_is_refused(city: City) -> None:
    columns = [
        column | ({"unit": ["万元"]} if column["name"] == "amount" else {})
        for column in CONTRACT["columns"]
    ]
    city.source({**CONTRACT, "columns": columns})
    city.send(
        [
            row("plain", 数值="300"),
            row("own", 数值="300万元"),
            row("beside", 数值="3", 计量单位="万元"),
            row("bare", 数值="300万"),
            row("large", 数值="3亿"),
            row("spelled", 数值="三百万"),
            row("twice", 数值="300万", 计量单位="万元"),
            row("scale", 数值="3", 计量单位="万"),
        ],
        source="figures",
        header=HEADER,
    )
    assert city.rows("SELECT item, amount FROM figures ORDER BY item") == [
        ("beside", Decimal(3)),
        ("own", Decimal(300)),
        ("plain", Decimal(300)),
    ]
    for item, value in [
        ("bare", "300万"),
        ("large", "3亿"),
        ("spelled", "三百万"),
        ("twice", "300万，万元"),
    ]:
        assert reasons(city, item) == [("type", "amount", value, "a number")]
    assert reasons(city, "scale") == [("unit", "amount", "3（万）", "万元")]


def test_codes_are_stored_in_one_spelling_and_masked(city: City) -> None:
    city.source(CONTRACT)
    judgement = city.send(
        [
            row("good", 统一社会信用代码=USCC, 身份证号=PERSON, 区划="340200", 通道=CHANNEL),
            row(
                "wide",
                统一社会信用代码="９１１１００００ 600037341l",
                身份证号=PERSON.lower(),
                区划=" ３４０２００",
                通道=CHANNEL,
            ),
            row("bad_company", 统一社会信用代码=USCC[:-1] + "M"),
            row("bad_person", 身份证号=PERSON[:-1] + "1"),
            row("strayed", 统一社会信用代码=PERSON, 区划="13812345678"),
            row("bad_region", 区划="990200"),
            row("bad_channel", 通道="34020000009990000001"),
        ],
        source="figures",
        header=HEADER,
    )
    assert city.rows("SELECT item, company, person, region, channel FROM figures ORDER BY 1") == [
        ("good", USCC, "110105********002X", "340200", CHANNEL),
        ("wide", USCC, "110105********002X", "340200", CHANNEL),
    ]
    company = ("code", "company", USCC[:-1] + "M", "a unified social credit code")
    person = ("code", "person", "110105********0021", "an identity number")
    region = ("code", "region", "990200", "a region code")
    assert reasons(city, "bad_company") == [company]
    assert reasons(city, "bad_person") == [person]
    assert reasons(city, "bad_region") == [region]
    channel = ("code", "channel", "34020000009990000001", "a channel code")
    assert reasons(city, "bad_channel") == [channel]
    assert [reason[2] for reason in reasons(city, "strayed")] == ["110105****002X", "138****5678"]
    messages = [
        reason.chinese(city.catalog.sources["figures"].titles) for reason in judgement.reasons
    ]
    assert any("统一社会信用代码（18 位，含校验码），可能有错漏" in text for text in messages)


def test_a_refused_cell_is_not_reported_as_missing_too(city: City) -> None:
    required = [
        column | {"required": column["name"] in ("item", "amount", "company")}
        for column in CONTRACT["columns"]
    ]
    city.source({**CONTRACT, "columns": required})
    bad = row("bad", 数值="5个", 统一社会信用代码="91110000600037341X")
    city.send([bad, row("none")], source="figures", header=HEADER)
    assert [code for code, *_ in reasons(city, "bad")] == ["unit", "code"]
    assert [code for code, *_ in reasons(city, "none")] == ["required", "required"]
