"""A night of packed, nested, misnamed and hostile files: each is told, and the rest go on."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import Any

from integration.conftest import RECORDS, City, with_columns

from pipelines.deliveries.delivery import Verdict

OPEN: dict[str, Any] = {
    **RECORDS,
    "formats": {
        "csv": {},
        "json": {"records": "data"},
        "jsonl": {},
        "parquet": {},
        "xlsx": {},
        "xml": {"record": "data/row"},
        "zip": {"members": "all"},
    },
}
LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
    "<data><row><事项>&b;</事项></row></data>"
)


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as package:
        for name, data in members:
            package.writestr(name, data)
    return out.getvalue()


def csv(*items: str) -> bytes:
    return ("事项,数量,领域\n" + "".join(f"{item},1,\n" for item in items)).encode()


HOSTILE = [
    (zipped(("a.csv", b"0" * (30 << 20))), ".zip", "bomb"),
    (gzip.compress(b"0" * (30 << 20)), ".csv.gz", "bomb"),
    (zipped(("a.zip", zipped(("b.zip", zipped(("c.csv", csv("x"))))))), ".zip", "nested"),
    (LAUGHS.encode(), ".xml", "unsafe_xml"),
    (("<data>" * 200_000).encode(), ".xml", "deep"),
    (('{"data": ' + "[" * 200_000).encode(), ".json", "deep"),
    (b'{"data": [{"x": "' + b"x" * (10 << 20) + b'"}]}', ".json", "long_record"),
    (gzip.compress(csv("x") * 9)[:-9], ".csv.gz", "damaged"),
    (b"<html><table></table></html>", ".xlsx", "other_format"),
]


def test_hostile_files_hurt_only_themselves(city: City) -> None:
    city.source(OPEN)
    for number, (content, suffix, _) in enumerate(HOSTILE):
        city.land(content, part=f"p{number}", suffix=suffix)
    city.land(gzip.compress(csv("gz")), department="b", suffix=".csv.gz")
    city.land(zipped(("东.csv", csv("z1")), ("西.csv", csv("z2"))), department="c", suffix=".zip")
    judgements = city.take()
    codes = {
        judgement.delivery.part: judgement.reasons[0].code
        for judgement in judgements
        if judgement.verdict is Verdict.UNREADABLE
    }
    assert codes == {f"p{number}": code for number, (_, _, code) in enumerate(HOSTILE)}
    assert city.items() == {"gz", "z1", "z2"}
    assert city.rows("SELECT DISTINCT sheet FROM records WHERE department = 'c' ORDER BY 1") == [
        ("东.csv",),
        ("西.csv",),
    ]
    assert list(city.settings.staging.rglob("unpacked-*")) == []


def test_rows_of_json_and_xml_are_accounted_for(city: City) -> None:
    city.source(OPEN)
    rows = '{"事项": "a", "数量": 1}, {"事项": "b", "事项": "c"}, 7, {"事项": "d", "数量": "x"}'
    judgement = city.send(f'{{"data": [{rows}]}}', suffix=".json")
    assert judgement.verdict is Verdict.ACCEPTED_WITH_QUARANTINE
    assert judgement.accounting is not None
    assert (judgement.accounting.rows_read, judgement.accounting.quarantined) == (4, 3)
    kinds = city.rows("SELECT row_number, reasons[1].code FROM quarantine ORDER BY 1")
    assert kinds == [(2, "repeated_key"), (3, "malformed"), (4, "type")]
    two = city.send("<data><row><事项>e</事项></row><row/></data>", department="b", suffix=".xml")
    assert two.accounting is not None
    assert (two.accounting.accepted, two.accounting.ignored) == (1, 1)


def test_a_misnamed_file_is_loaded_and_reported(city: City) -> None:
    city.source(OPEN)
    judgement = city.send(csv("k"), suffix=".xls")
    assert judgement.verdict is Verdict.ACCEPTED
    assert [reason.code for reason in judgement.warnings] == ["misnamed"]
    assert city.items() == {"k"}


def test_a_member_found_unsound_among_others_rejects_the_whole(city: City) -> None:
    city.source(OPEN)
    content = zipped(("a.csv", csv("a", "b")), ("b.csv", "项,量\n1,2\n".encode()))
    judgement = city.send(content, suffix=".zip")
    assert judgement.verdict is Verdict.REJECTED
    assert judgement.reasons[0].place == "b.csv"
    assert judgement.accounting is not None
    assert (judgement.accounting.rows_read, judgement.accounting.withheld) == (4, 4)


def test_a_member_found_damaged_after_rows_were_read_is_unreadable(city: City) -> None:
    city.source(OPEN)
    long = '{"data": [' + '{"事项": "x", "数量": 1},' * 60_000
    content = zipped(("a.csv", csv("a")), ("b.json", long.encode()))
    city.land(content, suffix=".zip")
    city.land(csv("good"), department="b")
    verdicts = {judgement.delivery.department: judgement.verdict for judgement in city.take()}
    assert verdicts == {"a": Verdict.UNREADABLE, "b": Verdict.ACCEPTED}
    assert city.items() == {"good"}


def test_personal_numbers_in_names_are_in_no_message(city: City) -> None:
    phone = {"name": "phone", "header": ["电话"], "type": "text", "pii": "phone"}
    name = "张三13812345678"
    bad = "项,量\n1,2\n".encode()
    city.source(with_columns({**OPEN, "formats": {**OPEN["formats"], "xls": {}}}, phone))
    city.land(zipped(("a.csv", csv("a")), (f"{name}.csv", bad)), part="p1", suffix=".zip")
    city.land(zipped(("a.csv", csv("a")), (f"{name}.json", b"[1")), part="p2", suffix=".zip")
    city.land(zipped((f"{name}.pdf", b"x"), ("b.csv", csv("b"))), part="p3", suffix=".zip")
    first, two, three = city.take()
    assert first.reasons[0].place == "张三138****5678.csv"
    assert two.reasons[0].place == "张三138****5678.json"
    assert three.warnings[0].value == "张三138****5678.pdf"
    assert "13812345678" not in str(city.rows("SELECT * FROM delivery"))
