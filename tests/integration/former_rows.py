"""List what a deployment of the very first schema held, as it was then: do not edit it.

One source, `records`, of two departments and two days: a delivery and its correction, one with a
quarantined row, a rejected correction, an unreadable file, a withdrawn one.
"""

from __future__ import annotations

import hashlib
from datetime import date

DAY, EVE = date(2021, 9, 23), date(2021, 9, 22)
HEADER = "事项,数量,领域\n"
FILES = {  # what each delivery's file said
    "first": HEADER + "x,1,交通\n",
    "second": HEADER + "x,1,交通\ny,2,\n",
    "mixed": HEADER + "k,5,\nw,?,\n",
    "worse": "名称\nx\n",
    "broken": "",
    "slip": HEADER + "v,9,\n",
}
WHERE = {  # department, day
    "first": ("a", DAY),
    "second": ("a", DAY),
    "mixed": ("b", DAY),
    "worse": ("b", DAY),
    "broken": ("c", DAY),
    "slip": ("a", EVE),
}


def sha256(name: str) -> str:
    return hashlib.sha256(FILES[name].encode()).hexdigest()


def delivery_id(name: str) -> str:
    department, day = WHERE[name]
    identity = "|".join(("records", department, str(day), "", "csv", sha256(name)))
    return hashlib.sha256(identity.encode()).hexdigest()[:16]


def entry(position: int, name: str, counts: str, verdict: str, reasons: str, gone: str) -> str:
    department, day = WHERE[name]
    at = f"2021-09-24 01:0{position}:00"
    return (
        f"INSERT INTO delivery VALUES ({position}, '{delivery_id(name)}', 'run{position}', "
        f"'landing', 'records', '{department}', '{day}', '', 'records.csv', 'csv', "
        f"{len(FILES[name].encode())}, '{sha256(name)}', 'c0ffee', '{at}', "
        f"'2021-09-24 02:00:00', '{verdict}', {counts}, '{reasons}', '[]', {gone}, 0.01)"
    )


def partition(position: int, name: str, rows: int, until: str) -> str:
    department, day = WHERE[name]
    return (
        f"INSERT INTO delivery_partition VALUES ({position}, '{delivery_id(name)}', 'records', "
        f"'{department}', '{day}', '', {rows}, '2021-09-24 01:0{position}:00', {position}, {until})"
    )


def row(name: str, number: int, cells: str) -> str:
    department, day = WHERE[name]
    return (
        f"INSERT INTO records VALUES ('{department}', '{day}', '', '{delivery_id(name)}', '', "
        f"{number}, {cells})"
    )


MALFORMED = (
    '[{"code":"type","column":"amount","value":"?","expected":"an integer","count":1,"row":3}]'
)
MISSING = '[{"code":"missing_column","column":"item","value":"名称","expected":"事项"}]'
WAREHOUSE = [
    "CREATE TABLE records (department VARCHAR, business_date DATE, part VARCHAR, "
    "delivery_id VARCHAR, sheet VARCHAR, row_number BIGINT, item VARCHAR, amount BIGINT, "
    "domain VARCHAR)",
    "COMMENT ON TABLE records IS '数据归集'",
    *(
        f"COMMENT ON COLUMN records.{name} IS '说明'"
        for name in (
            "department",
            "business_date",
            "part",
            "delivery_id",
            "sheet",
            "row_number",
            "item",
            "amount",
            "domain",
        )
    ),
    row("second", 2, "'x', 1, '交通'"),
    row("second", 3, "'y', 2, NULL"),
    row("mixed", 2, "'k', 5, NULL"),
    entry(1, "first", "1, 1, 0, 0, 0, 0", "accepted", "[]", "[]"),
    entry(2, "second", "2, 2, 0, 0, 0, 0", "accepted", "[]", f"['{delivery_id('first')}']"),
    entry(3, "mixed", "2, 1, 1, 0, 0, 0", "accepted_with_quarantine", MALFORMED, "[]"),
    entry(4, "worse", "1, 0, 0, 0, 0, 1", "rejected", MISSING, "[]"),
    entry(
        5,
        "broken",
        "NULL, NULL, NULL, NULL, NULL, NULL",
        "unreadable",
        '[{"code":"empty_file"}]',
        "[]",
    ),
    entry(6, "slip", "1, 1, 0, 0, 0, 0", "accepted", "[]", "[]"),
    partition(1, "first", 1, "2"),
    partition(2, "second", 2, "NULL"),
    partition(3, "mixed", 1, "NULL"),
    partition(6, "slip", 1, "7"),
    f"INSERT INTO quarantine VALUES (3, '{delivery_id('mixed')}', 'records', 'b', '{DAY}', '', 3, "
    "'{\"item\":\"w\",\"amount\":\"?\"}', [{'code': 'type', 'column': 'amount', 'value': '?', "
    "'expected': 'an integer'}])",
    f"INSERT INTO decision VALUES (7, 'withdraw', '{delivery_id('slip')}', 'records', 'a', "
    f"'{EVE}', '', '误报', 'root', '2021-09-24 03:00:00')",
    "INSERT INTO configuration VALUES ('0ldc0nf1g', 0, '2021-09-24 02:00:00', "
    '\'{"metric:added": {"name": "added"}}\')',
    f"INSERT INTO metric_daily VALUES ('added', 'a', '{DAY}', '', 1, NULL, NULL, 1, 2), "
    f"('added', 'a', '{DAY}', '', 3, NULL, NULL, 2, NULL), "
    f"('added', 'b', '{DAY}', '', 5, NULL, NULL, 3, NULL), "
    f"('added', 'a', '{EVE}', '', 9, NULL, NULL, 6, 7)",
    f"INSERT INTO pace VALUES ('run6', '{DAY}', 'goal', NULL, 0, '0ldc0nf1g', 6, 0, 100, 8, 100, "
    f"0.08, 0.08, 0.08, -0.9, NULL, 1, 0, 1, 'missed', '{DAY}')",
    f"INSERT INTO run VALUES ('run6', '{DAY}', '2021-09-24 02:00:00', '2021-09-24 02:01:00', 6, "
    "'0ldc0nf1g', '{\"accepted\": 3}')",
    "INSERT INTO department VALUES ('a', '甲局', '甲局', '政府部门', '市本级', NULL, NULL, NULL), "
    "('b', '乙局', '乙局', '政府部门', '市本级', NULL, NULL, NULL)",
]
OPERATIONS = [
    "INSERT INTO alert VALUES ('run6', 'target:goal', 'target', 'critical', '2021-09-23', "
    "'2021-09-24 02:01:00.000000', NULL, NULL, 'goal', '百日攻坚', '未完成')",
    "INSERT INTO notification VALUES ('run6', '2021-09-24 02:01:00.000000', '日报', '内容', 1, "
    "'2021-09-24 02:01:02.000000', NULL)",
]
