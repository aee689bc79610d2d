"""A real, hand-kept GBK file, and one made up in its likeness: every row is accounted for.

The file is The Paper & Sixth Tone's "COVID-19 Updates" (CC BY 4.0): Chinese dates, a quoted
line end, empty figures, negative corrections, keys that repeat. What must become of each row is
computed here by the csv module and plain Python.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from integration.conftest import City, expectation

from pipelines.deliveries.delivery import Verdict

REAL = "thepaper_covid_updates_gbk.csv"
HEADER = (
    "报道时间",
    "省份",
    "城市",
    "新增确诊",
    "新增出院",
    "新增死亡",
    "消息来源",
    "来源链接1",
    "来源链接2",
    "来源链接3",
    "备注",
)
NAMES = (
    "reported_on",
    "province",
    "city",
    "confirmed",
    "cured",
    "died",
    "told_by",
    "link_1",
    "link_2",
    "link_3",
    "note",
)
# corrections are negative, and the worst day of a country is known
RANGES = {"confirmed": (-10_000, 150_000), "cured": (-1_000, 30_000), "died": (-200, 3_000)}
# a place is a name: not one that was garbled on its way, nor a remark in the wrong column
PROVINCE = "^[一-龥（）0-9]{2,12}$"
ASSIGNED = "reported_on", "province", "told_by"


def contract(key: list[str]) -> dict[str, Any]:
    required = {*ASSIGNED, *key}
    columns: list[dict[str, Any]] = []
    for name, header in zip(NAMES, HEADER, strict=True):
        column: dict[str, Any] = {"name": name, "header": [header], "type": "text"}
        if name == "reported_on":
            column["type"] = "date"
        if name in RANGES:
            low, high = RANGES[name]
            column |= {"type": "integer", "unit": ["例"], "minimum": low, "maximum": high}
        if name == "province":
            column["pattern"] = PROVINCE
        if name in required:
            column["required"] = True
        columns.append(column)
    return {
        "name": "covid_updates",
        "title": "新冠疫情通报",
        "owner": "公共卫生科",
        "content": "events",
        "grain": "one row per report of a place and day",
        "key": key,
        "max_quarantine": 1.0,
        "formats": {"csv": {"encoding": "gbk"}},
        "partition": {"business_date": "reported_on"},
        "columns": columns,
    }


ROWS = 27_424  # of the real file
# what becomes of them, without a key and with the place as the key: the fates, and the reasons
WHAT_BECOMES = {
    False: (
        {"good": 27_390, "quarantined": 19, "duplicate": 15},
        {
            frozenset({"pattern"}): 11,  # ten garbled names, and a remark in the wrong column
            frozenset({"required"}): 7,  # nobody to have told it
            frozenset({"pattern", "required", "type"}): 1,  # 2020年, and nothing else
        },
    ),
    True: (
        {"good": 13_212, "quarantined": 14_204, "duplicate": 8},
        {
            frozenset({"required"}): 11_062,  # a country's figures have no city
            frozenset({"key_conflict"}): 3_129,  # several reports of a place and day
            frozenset({"pattern", "required"}): 11,
            frozenset({"key_conflict", "required"}): 1,
            frozenset({"pattern", "required", "type"}): 1,
        },
    ),
}

TELLS = [
    expectation("column_values_to_be_between", "warning", column=name, min_value=0)
    for name in RANGES
]


def read(content: bytes) -> list[dict[str, str]]:
    lines = io.StringIO(content.decode("gbk"), newline="")
    return [
        {name: cell.strip() for name, cell in zip(NAMES, row, strict=True)}
        for row in list(csv.reader(lines))[1:]
    ]


def fates(rows: list[dict[str, str]], key: list[str]) -> list[tuple[str, frozenset[str]]]:
    """Return each row's fate (`good`, `duplicate`, `quarantined`) and reason codes: the oracle."""
    keyed = defaultdict(set)
    for row in rows:
        keyed[tuple(row[name] for name in ("reported_on", *key))].add(tuple(row.values()))
    earlier: set[tuple[str, ...]] = set()
    results: list[tuple[str, frozenset[str]]] = []
    for row in rows:
        codes: set[str] = set()
        codes |= {"required" for name in (*ASSIGNED, *key) if not row[name]}
        if not re.fullmatch(r"\d{4}年\d{1,2}月\d{1,2}日", row["reported_on"]):
            codes.add("type")
        if not re.fullmatch("[\u4e00-\u9fff（）0-9]{2,12}", row["province"]):
            codes.add("pattern")
        for name, (low, high) in RANGES.items():
            if row[name] and not low <= int(row[name]) <= high:
                codes.add("range")
        place = tuple(row[name] for name in ("reported_on", *key))
        if key and all(place) and len(keyed[place]) > 1:
            codes.add("key_conflict")
        whole = tuple(row.values())
        fate = "quarantined" if codes else "duplicate" if whole in earlier else "good"
        earlier.add(whole)
        results.append((fate, frozenset(codes)))
    return results


def reasons_of(expected: list[tuple[str, frozenset[str]]]) -> Counter[frozenset[str]]:
    return Counter(codes for fate, codes in expected if fate == "quarantined")


def sums(rows: list[dict[str, str]]) -> Mapping[str, int]:
    return {name: sum(int(row[name] or 0) for row in rows) for name in RANGES}


def negatives(rows: list[dict[str, str]]) -> Mapping[str, tuple[int, int]]:
    """Count the corrections and sum what they take back, by column."""
    below = {name: [int(row[name]) for row in rows if row[name].startswith("-")] for name in RANGES}
    return {name: (len(some), sum(some)) for name, some in below.items()}


def made_up() -> bytes:
    """Return a small file of the real file's shape and quirks."""
    rows: list[tuple[object, ...]] = []
    for day in range(1, 29):
        for number, province in enumerate(("湖北", "广东", "刚果（布）", "迈希夫3号")):
            date = f"2020年2月{day}日"
            city = f"{province}{number}市" if number % 2 else ""
            figures = (day * number, "" if day % 5 else day, "" if day % 3 else 0)
            link = f"https://example.org/{day}/{number}"
            rows.append((date, province, city, *figures, "卫健委", link, "", "", ""))
            if day % 4 == 0:  # the key again, and another report
                rows.append((date, province, city, day, 0, 0, "央视,新闻", f"{link}/b", "", "", ""))
    rows.append(
        ("2020年2月19日", "湖北", "武汉市", -279, -3, -108, "卫健委\n订正", "x", "", "", "核减")
    )
    rows.append(("2020年2月20日", "江西", "", -5, "", "", "国家卫健委", "x", "", "", "核减"))
    rows.append(("2020年", "山西", "", 1, 0, 0, "卫健委", "x", "", "", "年份不全"))
    rows.append(("2020年2月21日", "?以色列", "", 1, 0, 0, "WHO", "x", "", "", ""))
    rows.append(
        ("2020年2月21日", "各省出院总数比卫健委少2例", "", 0, 2, 0, "央视", "x", "", "", "")
    )
    rows.append(("2020年2月22日", "四川", "成都市", 1, 0, 0, "", "x", "", "", ""))
    rows.append(("2020年2月22日", "四川", "绵阳市", 1_000_000, 0, 0, "央视", "x", "", "", ""))
    rows += rows[:15]
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerows([HEADER, *rows])
    return text.getvalue().encode("gbk")


@pytest.fixture(params=["real", "made up"])
def content(request: pytest.FixtureRequest) -> bytes:
    if request.param == "made up":
        return made_up()
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    file = Path(os.environ.get("CITYBRAIN_TEST_DATA", beside)) / REAL
    if not file.exists():
        pytest.skip(f"{file} is absent: set CITYBRAIN_TEST_DATA to the folder that holds it")
    data = file.read_bytes()
    rows = read(data)
    # what was published, so that what follows is about all of it
    assert len(rows) == ROWS
    assert len({row["reported_on"] for row in rows} - {"2020年"}) == 382
    assert sums(rows) == {"confirmed": 2_985_151, "cured": 459_669, "died": 149_428}
    assert negatives(rows) == {
        "confirmed": (70, -19_894),
        "cured": (31, -1_325),
        "died": (25, -405),
    }
    assert len(rows) - len({tuple(row.values()) for row in rows}) == 15
    return data


@pytest.mark.parametrize("key", [[], ["province", "city"]], ids=["no key", "place as key"])
def test_every_row_of_a_hand_kept_file_is_accounted_for(
    city: City, content: bytes, key: list[str]
) -> None:
    """Load reports that add up over a day: with a place as the key they contradict each other."""
    rows = read(content)
    expected = fates(rows, key)
    counted = Counter(fate for fate, _ in expected)
    city.source(contract(key), TELLS)
    judged = city.send(content, day="bulk", source="covid_updates")

    assert judged.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert judged.accounting is not None
    counts = judged.accounting
    assert counts.rows_read == len(rows)
    assert (counts.accepted, counts.quarantined, counts.duplicates) == (
        counted["good"],
        counted["quarantined"],
        counted["duplicate"],
    )
    assert counts.ignored == counts.withheld == 0

    if len(rows) == ROWS:
        assert (counted, reasons_of(expected)) == WHAT_BECOMES[bool(key)]

    # each quarantined row for the right reasons, and no other
    kept_out = city.rows(
        "SELECT row_number, list_distinct(list_transform(reasons, one -> one.code)) FROM quarantine"
    )
    assert len(kept_out) == counted["quarantined"]
    assert Counter(frozenset(codes) for _, codes in kept_out) == reasons_of(expected)
    expected_codes = {code for _, codes in expected for code in codes}
    assert (
        {reason.code for reason in judged.reasons}
        == expected_codes
        >= {"required", "type", "pattern"}
    )

    # the figures of what is in force, corrections included, are those of the rows that are good
    good = [row for row, (fate, _) in zip(rows, expected, strict=True) if fate == "good"]
    summed = ", ".join(f"sum({name})" for name in RANGES)
    assert city.rows(f"SELECT {summed} FROM covid_updates") == [tuple(sums(good).values())]
    for name, (some, total) in negatives(good).items():
        query = f"SELECT count(*), sum({name}) FROM covid_updates WHERE {name} < 0"
        assert city.rows(query) == [(some, total or None)]
    # and nothing of the file's figures is lost between the fates
    rest = [row for row, (fate, _) in zip(rows, expected, strict=True) if fate != "good"]
    assert {name: sums(good)[name] + sums(rest)[name] for name in RANGES} == sums(rows)

    # corrections are taken, and told: a warning for each column, counted
    below = {warning.column: warning.count for warning in judged.warnings if warning.code == "rule"}
    assert below == {name: some for name, (some, _) in negatives(rows).items() if some}

    # every day is a partition of its own
    days = city.rows("SELECT count(*), sum(rows) FROM partition_in_force")
    assert days == [(len({row["reported_on"] for row in good}), len(good))]
