"""JSON, JSON lines, XML and Parquet: nested records by path, and files made to hurt."""

from __future__ import annotations

import io
import json
import math
import tracemalloc
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.contracts.columns import Column
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import RejectedError, UnreadableError
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import layout
from pipelines.reading.records import fields, json_records

LIMIT = 1 << 30
SECRET = "13812345678"


def contract(path="", element="data/records/record", **columns):
    more = [{"name": name, "header": header, "type": "text"} for name, header in columns.items()]
    return Source.model_validate(
        {
            "name": "people",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": {
                "json": {"records": path},
                "jsonl": {},
                "parquet": {},
                "xml": {"record": element},
            },
            "columns": [
                {"name": "number", "header": ["编号"], "type": "text", "required": True},
                {"name": "phone", "header": ["电话", "contact/phone"], "type": "text"},
                *more,
            ],
        }
    )


PLAIN = contract()


def read(data, format_name, source=PLAIN):
    """The rows in file order."""
    rows = []
    with TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        for batch in open_delivery(path, format_name, source, None, LIMIT, Path(folder)).batches:
            assert batch.schema == layout(source)
            rows += batch.to_pylist()
    return sorted(rows, key=lambda row: row["row_number"])


def refused(data, format_name, source=PLAIN):
    with pytest.raises(UnreadableError) as caught:
        read(data, format_name, source)
    assert SECRET not in caught.value.reason.english() + caught.value.reason.chinese()
    return caught.value.reason


def pairs(rows):
    return [(row["number"], row["phone"]) for row in rows]


# --- JSON ---------------------------------------------------------------------------------------


def test_an_array_of_objects():
    rows = read('[{"编号": "1", "电话": 2}, {"编号": 3}]', "json")
    assert pairs(rows) == [("1", "2"), ("3", None)]
    assert [row["row_number"] for row in rows] == [1, 2]


def test_a_byte_order_mark_is_no_part_of_the_text():
    assert pairs(read('[{"编号": "1"}]'.encode("utf-8-sig"), "json")) == [("1", None)]


@pytest.mark.parametrize(
    "above",
    [
        '{"code": 0, "data": {"total": [1, [2]], "items": %s, "x": {}}, "sign": "s"}',
        '{"data":{"items":%s}}',
        ' {\n"data"\t:{ "items" :\r\n%s } }\n',
    ],
)
def test_records_are_found_by_the_contracts_path(above):
    rows = read(above % '[{"编号": "1"}, {"编号": "2"}]', "json", contract("data.items"))
    assert pairs(rows) == [("1", None), ("2", None)]


@pytest.mark.parametrize(
    ("data", "path", "found"),
    [
        ('{"data": {"rows": []}}', "data.items", "rows"),
        ('{"data": 7}', "data.items", "…"),
        ('{"编号": 1}', "", "{…}"),
        ("[]", "data", "[…]"),
        ('{"items": {"a": 1}}', "items", "{…}"),
        ("{}", "items", "{}"),
        (f'{{"{SECRET}": 1}}', "items", "…"),
    ],
)
def test_without_records_at_the_path_what_is_there_is_told(data, path, found):
    reason = refused(data, "json", contract(path))
    assert (reason.code, reason.value) == ("no_records", found)
    assert reason.expected == (path or "[…]")


def test_an_array_without_records_has_no_rows_and_no_fault():
    assert read("[]", "json") == []
    assert read("<data><records/></data>", "xml") == []


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
def test_nested_objects_are_read_by_their_path(format_name):
    record = {"编号": 1, "contact": {"phone": "2", "other": {"x": 1}}, "tags": ["a", 1.50]}
    source = contract(tags="tags", deep="contact/other/x", whole="contact/other")
    line = json.dumps(record).replace("1.5]", "1.50]")
    (row,) = read(f"[{line}]" if format_name == "json" else line, format_name, source)
    assert pairs([row]) == [("1", "2")]
    assert row["tags"] == '["a", "1.50"]'
    assert (row["whole"], row["deep"]) == ('{"x": "1"}', None)  # asked for as a whole


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
@pytest.mark.parametrize(
    ("record", "name"),
    [
        (f'{{"编号": 1, "电话": {SECRET}, "编号": 2}}', "编号"),
        ('{"编号": 1, "contact": {"phone": 1, "phone": 1}}', "phone"),
        ('{"编号": 1, "contact/phone": 1, "contact": {"phone": 2}}', "contact/phone"),
        ('{"编号": [{"a": 1, "a": 1}]}', "a"),
        (f'{{"编号": 1, "{SECRET}": 1, "{SECRET}": 2}}', "…"),
    ],
)
def test_a_key_that_is_there_twice_keeps_the_row_out(format_name, record, name):
    good = '{"编号": "9"}'
    data = f"[{good}, {record}]" if format_name == "json" else f"{good}\n{record}"
    rows = read(data, format_name)
    assert (rows[1]["_fault"], rows[1]["_fault_value"]) == ("repeated_key", name)
    assert (rows[0]["number"], rows[1]["number"]) == ("9", None)
    assert SECRET not in str(rows)


@pytest.mark.parametrize("format_name", ["json", "jsonl"])
@pytest.mark.parametrize(
    "record",
    [
        f'["{SECRET}"]',
        f'"{SECRET}"',
        SECRET,
        "null",
        f'{{"编号": "{SECRET}\\ud800"}}',
        '{"编号": NaN}',
        '{"编号": [-Infinity]}',
    ],
)
def test_an_element_that_is_no_sound_object_keeps_its_place_only(format_name, record):
    parts = ['{"编号": "1"}', record, '{"编号": "2"}']
    data = f"[{','.join(parts)}]" if format_name == "json" else "\n".join(parts)
    rows = read(data, format_name)
    assert [(row["number"], row["_fault"], row["_fault_value"]) for row in rows] == [
        ("1", None, None),
        (None, "malformed", "2"),
        ("2", None, None),
    ]
    assert SECRET not in str(rows)


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("12345678901234567890", "12345678901234567890"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("1e3", "1000"),
        ("1e999999999", "1e999999999"),
        ("9" * 5000, "9" * 5000),
        ("true", "true"),
        ("null", None),
        ('"\\ud842\\udfb7"', "𠮷"),
    ],
)
def test_a_number_keeps_the_digits_that_were_sent(sent, text):
    (row,) = read(f'[{{"编号": {sent}}}]', "json")
    assert row["number"] == text


WHOLE = '[{"编号": "1", "电话": [true, 12.5, "\\u4e00"]}, {"编号": "2"}]'


def test_wherever_an_array_is_cut_off_it_is_damaged():
    for length in range(1, len(WHOLE)):
        assert refused(WHOLE[:length], "json").code == "damaged", WHOLE[:length]


@pytest.mark.parametrize(
    "data",
    [
        "[1,]",
        '[{"编号": 1} {"编号": 2}]',
        WHOLE + "x",
        WHOLE + "[]",
        "[{'编号': 1}]",
        '[{"编号": 1,}]',
        "[,]",
        '[{"编号": "a\nb"}]',
    ],
)
def test_what_is_no_json_is_told_with_its_row(data):
    reason = refused(data + " " * 100, "json")
    assert (reason.code, reason.expected) == ("malformed", "JSON")


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.sampled_from(["编号", "电话", "x"]), st.text(max_size=5) | st.integers() | st.none()
        ),
        max_size=20,
    ),
    st.integers(1, 40),
    st.sampled_from([None, 1]),
)
def test_an_array_and_lines_say_the_same_wherever_blocks_end(sent, block, indent):
    sent = [{"编号": "0"}, *sent]
    source = contract()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pipelines.reading.decoding.BLOCK", block)
        patch.setattr(fields, "BATCH_ROWS", 3)
        array = read(json.dumps(sent, ensure_ascii=False, indent=indent), "json", source)
        lines = read("\n".join(json.dumps(one) for one in sent), "jsonl", source)
    assert pairs(array) == pairs(lines)
    assert len(array) == len(sent)


def test_another_encoding_is_named_and_never_guessed():
    reason = refused('[{"编号": "公安局"}]'.encode("gb18030"), "json")
    assert (reason.code, reason.expected) == ("encoding", "utf-8")
    assert reason.value == "byte 3, line 1; it reads as gb18030"
    reason = refused('{"编号": "公安局"}'.encode("gb18030"), "jsonl")
    assert reason.value.endswith("; it reads as gb18030")
    assert refused('[{"编号": "1"}]'.encode("utf-16"), "json").code == "encoding"


def test_a_character_cut_at_the_end_of_the_file_is_named():
    assert refused('[{"编号": "1"}]'.encode() + "公".encode()[:2], "json").code == "encoding"


# --- XML ----------------------------------------------------------------------------------------


def xml(*rows, prolog='<?xml version="1.0" encoding="UTF-8"?>'):
    return f"{prolog}<data><meta/><records>{''.join(rows)}</records></data>"


def test_elements_at_the_path_are_rows():
    rows = read(
        xml(
            "<record><编号>1</编号><contact><phone> 2\n</phone></contact></record>\n",
            "<record><编号/></record>",
            "<!-- c --><other><编号>9</编号></other>",
            "<record><编号><![CDATA[<3>&]]></编号><contact><phone>a&amp;b&#20013;</phone></contact>"
            "</record>",
        ),
        "xml",
    )
    assert pairs(rows) == [("1", "2"), (None, None), ("<3>&", "a&b中")]
    assert [row["row_number"] for row in rows] == [1, 2, 3]


def test_attributes_and_namespaces():
    data = (
        '<n:data xmlns:n="u"><n:records xmlns="v"><record n:id="7" xmlns:xsi='
        '"http://www.w3.org/2001/XMLSchema-instance"><编号 xsi:nil="true" unit="条"/>'
        "<n:电话>1</n:电话></record></n:records></n:data>"
    )
    (row,) = read(data, "xml", contract(identity="@id", unit="编号/@unit"))
    assert (row["identity"], row["unit"], row["phone"], row["number"]) == ("7", "条", "1", None)


def test_a_repeated_child_keeps_the_row_out_when_it_is_a_column():
    rows = read(
        xml(
            "<record><编号>1</编号><tag/><tag/></record>",
            f"<record><编号>{SECRET}</编号><编号>2</编号></record>",
            "<record><编号>3</编号><contact><phone>1</phone></contact>"
            "<contact><phone>2</phone></contact></record>",
        ),
        "xml",
    )
    assert [(row["number"], row["_fault"], row["_fault_value"]) for row in rows] == [
        ("1", None, None),
        (None, "repeated_key", "编号"),
        (None, "repeated_key", "contact/phone"),
    ]
    assert SECRET not in str(rows)


def counted(path="", element="d/b/r"):
    columns = [{"name": "amount", "header": "数量", "type": "integer", "unit": "条"}]
    return Source.model_validate(contract(path, element).model_dump() | {"columns": columns})


BESIDE = [
    ('{"单位": "万条", "b": {"r": [{"数量": 5}]}}', "万条"),
    ('{"b": {"unit": "万条", "r": [{"数量": 5}]}}', "万条"),
    ('{"b": {"r": [{"数量": 5}], "说明": "单位：万条"}}', "万条"),
    ('{"b": {"r": [{"数量": 5}]}, "计量单位": "万"}', "单位:万"),
    ('<d 单位="万条"><b><r><数量>5</数量></r></b></d>', "万条"),
    ('<d><b unit="万条"><r><数量>5</数量></r></b></d>', "万条"),
    ("<d><单位>万条</单位><b><r><数量>5</数量></r></b></d>", "万条"),
    ("<d><b><r><数量>5</数量></r></b><n>单位：万<![CDATA[条]]></n></d>", "万条"),
    ('{"t": "统计（万条）", "b": {"r": [{"数量": 5}]}}', "万条"),
    ('{"b": {"r": [{"数量": 5}]}, "unit": "万人"}', "单位:万人"),
    ('{"b": {"r": [{"数量": 5}], "单位": "万州区局"}}', "单位:万州…"),
]
NOT_BESIDE = [
    '{"unit": "条", "b": {"r": [{"数量": 5}], "n": 5, "t": "共3.5万条"}}',
    '{"x": {"单位": "千条"}, "b": {"r": [{"数量": 5, "unit": "千条"}]}}',
    "<d><x><单位>千条</单位></x><b><r><数量>5</数量></r><t>共3.5万条</t></b></d>",
    '<d><b><r 单位="x"><数量>5</数量></r></b></d>',
]


def held(sent, source):
    """Return the amounts of a file, and what the reason to hold it quotes."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_text(sent, encoding="utf-8")
        format_name = "xml" if sent.startswith("<") else "json"
        reading = open_delivery(path, format_name, source, None, LIMIT, Path(folder))
        amounts = [row["amount"] for batch in reading.batches for row in batch.to_pylist()]
    assert {reason.code for reason in reading.holds} <= {"undeclared_unit"}
    return amounts, "".join(reason.value for reason in reading.holds)


@pytest.mark.parametrize(("sent", "words"), [*BESIDE, *((sent, "") for sent in NOT_BESIDE)])
def test_a_scaled_unit_beside_the_records_is_held_and_not_read(sent, words):
    assert held(sent, counted("b.r")) == (["5"], words)


@pytest.mark.parametrize(("sent", "words"), BESIDE)
def test_a_declared_unit_beside_the_records_is_theirs(sent, words):
    source = counted("b.r").model_copy(update={"unit_above": "万条"})
    assert held(sent, source) == (["5万条"], "" if words == "万条" else words)


@pytest.mark.parametrize("sent", NOT_BESIDE)
def test_a_declared_unit_that_stands_nowhere_beside_the_records_is_held(sent):
    source = counted("b.r").model_copy(update={"unit_above": "万条"})
    assert held(sent, source) == (["5万条"], "no line says 万条")


@pytest.mark.parametrize(
    "parents",
    [
        '<b 单位="万条">{}</b><b>{}</b>',
        '<b>{}</b><b 单位="万条">{}</b>',
        "<b><单位>万条</单位>{}</b><b>{}</b>",
        "<b>{}<单位>万条</单位></b><b><单位>条</单位>{}</b>",
    ],
)
def test_the_unit_of_one_parent_holds_the_records_of_all(parents):
    row = "<r><数量>5</数量></r>"
    assert held(f"<d>{parents.format(row, row)}</d>", counted()) == (["5", "5"], "万条")


@pytest.mark.parametrize(("first", "second"), [("东区局", "西区局"), ("条", "东区局")])
def test_offices_in_the_unit_of_parents_hold_nothing(first, second):
    sent = f'<b 单位="{first}">{{0}}</b><b 单位="{second}">{{0}}</b><b>{{0}}</b>'
    sent = f"<d>{sent.format('<r><数量>5</数量></r>')}</d>"
    assert held(sent, counted()) == (["5"] * 3, "")


def test_what_stands_beside_the_records_is_not_kept_without_end():
    others = "<o>x</o>" * 3_000 + f"<o>{'万' * 100_000}</o>"
    sent = f"<d><b><单位>万条</单位>{others}<r><数量>5</数量></r></b></d>"
    assert held(sent, counted()) == (["5"], "万条")


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("<数量>5</数量>", "5"),
        ('<数量 unit="条" id="7">5</数量>', "5"),
        ('<数量 unit="万条">5</数量>', "attribute_unit"),
        ('<数量 k="万 条">5</数量>', "attribute_unit"),
        ('<数量 单位="GB">5</数量>', "attribute_unit"),
        ('<数量 k="GB" unit="">5</数量>', "5"),
        ("<数量>5<单位>万条</单位></数量>", "mixed_text"),
        ("<数量>1<br/>2</数量>", "mixed_text"),
        ("<数量>1<b>2</b>3</数量>", "mixed_text"),
        ("<数量>1<!-- 0 --><![CDATA[2]]></数量>", "12"),
        ("<数量>5<计量>万条</计量></数量>", "mixed_text"),
        ("<数量>5<计量>条</计量>6</数量>", "mixed_text"),
        ('<数量 计量="万条">5</数量>', "5"),
        ("<备注 unit='万条'>1</备注><数量>5</数量>", "5"),
        ("<x>1<br/>2</x><数量>5</数量>", "5"),
    ],
)
def test_a_figure_beside_other_elements_or_in_another_unit_keeps_its_row_out(amount, text):
    columns = {"备注": "text", "数量": "integer", "数量/计量": "text", "数量/@计量": "text"}
    source = Source.model_validate(
        contract().model_dump()
        | {
            "columns": [
                {"name": f"c{n}", "header": header, "type": kind}
                | ({"unit": "条"} if kind == "integer" else {})
                for n, (header, kind) in enumerate(columns.items())
            ]
        }
    )
    rows = read(xml(f"<record>{amount}</record>", "<record><数量>9</数量></record>"), "xml", source)
    assert [row["_fault"] or row["c1"] for row in rows] == [text, "9"]
    if rows[0]["_fault"]:
        shown = f"数量/@{'unit' if 'unit' in amount else 'k' if 'k=' in amount else '单位'}"
        told = shown if text == "attribute_unit" else ""
        assert (rows[0]["_fault_value"], rows[0]["_fault_expected"]) == (told, "数量")


@pytest.mark.parametrize("data", [xml("<record><编号>1<b/>2</编号></record>"), None])
def test_a_file_of_broken_rows_only_is_not_told_as_one_without_a_header(data):
    rows = read(data, "xml") if data else read('[{"编号": 1, "编号": 2}]', "json")
    assert [row["_fault"] for row in rows] == ["mixed_text" if data else "repeated_key"]


@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("gb18030", "gbk"),
        ("gbk", "GB2312"),
        ("gb18030", "gb18030"),
        ("utf-16-le", "utf-16"),
        ("utf-16-be", "utf-16"),
    ],
)
def test_the_encoding_that_the_prolog_says(encoding, said):
    prolog = f"<?xml version='1.0' encoding='{said}' standalone='yes'?>"
    data = xml("<record><编号>公安局</编号></record>", prolog=prolog).encode(encoding)
    assert pairs(read(data, "xml")) == [("公安局", None)]


def test_an_encoding_that_is_not_what_the_prolog_says_is_named():
    data = xml("<record><编号>公安局</编号></record>")
    reason = refused(data.encode("gb18030"), "xml")
    assert reason.code == "encoding"
    assert reason.value.endswith("; it reads as gb18030")
    big5 = xml("<record/>", prolog='<?xml version="1.0" encoding="big5"?>')
    assert refused(big5, "xml").value == "encoding=big5"


LAUGHS = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY a "ha">'
    + "".join(
        f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    + "]><data><records><record><编号>&i;</编号></record></records></data>"
)
OUTSIDE = (
    '<?xml version="1.0"?><!DOCTYPE d [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    "<data><records><record><编号>&x;</编号></record></records></data>"
)
DTD = '<?xml version="1.0"?><!DOCTYPE data SYSTEM "http://127.0.0.1:9/x.dtd"><data/>'


LATE = f"<!--{'x' * 2_000_000}-->" + DTD.partition("?>")[2]
EMPTY = "<!DOCTYPE data><data><records/></data>"


@pytest.mark.parametrize("data", [LAUGHS, OUTSIDE, DTD, LATE, EMPTY])
def test_document_types_and_entities_are_refused(data):
    assert refused(data, "xml").code == "unsafe_xml"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (xml("<record><编号>1</record>"), "malformed"),
        (xml("&undefined;"), "malformed"),
        (xml("<record>")[:-30], "damaged"),
        ("<data><records>", "damaged"),
        ("<rows><row/></rows>", "no_records"),
        ("<data/><data/>", "malformed"),
        ("<data>\0</data>", "malformed"),
        (xml("<record><n:编号>1</n:编号></record>"), "malformed"),
        (xml("<record n:id='1'/>"), "malformed"),
        (xml("<record id='1' id='2'/>"), "malformed"),
        ("<data><records><record><编号", "damaged"),
        ("<data><records><!-- 1", "damaged"),
    ],
)
def test_what_is_no_sound_xml_is_told(data, code):
    assert refused(data, "xml").code == code


# --- files made to hurt -------------------------------------------------------------------------

HUGE = "x" * (20 << 20)
HOSTILE = {
    "json: nested arrays": ("[" * 100_000 + "]" * 100_000, "json", "deep"),
    "json: nested and cut off": ("[" * 3_000_000, "json", "deep"),
    "json: nested objects": ("[" + '{"编号":' * 100_000, "json", "deep"),
    "json: a long string": (f'[{{"编号": "{HUGE}"}}]', "json", "long_record"),
    "json: a string without end": (f'[{{"编号": "{HUGE}', "json", "damaged"),
    "json: many keys": (
        "[" + ",".join(f'{{"k{n}": 1}}' for n in range(3_000)) + "]",
        "json",
        "too_many_fields",
    ),
    "jsonl: a long line": (f'{{"编号": "{HUGE}"}}', "jsonl", "long_record"),
    "jsonl: many keys": (
        json.dumps({f"k{n}": 1 for n in range(3_000)}),
        "jsonl",
        "too_many_fields",
    ),
    "xml: nested": ("<data>" * 100_000, "xml", "deep"),
    "xml: long text": (xml(f"<record><编号>{HUGE}</编号></record>"), "xml", "long_record"),
    "xml: a long tag": (f"<data><records><{HUGE}", "xml", "long_record"),
    "xml: a long attribute": (f"<data><records><record a='{HUGE}'/>", "xml", "long_record"),
    "xml: a long comment": (f"<data><!--{HUGE}--></data>", "xml", "long_record"),
    "xml: many names": (xml(*(f"<x{n}/>" for n in range(3_000))), "xml", "too_many_fields"),
    "xml: many prefixes": (
        "<data " + " ".join(f"xmlns:p{n}='u'" for n in range(3_000)) + "/>",
        "xml",
        "too_many_fields",
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_record_made_to_hurt_is_refused_in_bounded_memory(name):
    data, format_name, code = HOSTILE[name]
    tracemalloc.start()
    try:
        reason = refused(data, format_name)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reason.code == code
    assert held < 150 << 20


def test_a_document_beyond_the_limit_is_refused_with_a_mend(monkeypatch):
    monkeypatch.setattr(json_records, "DOCUMENT_BYTES", 20)
    assert len(read('[{"编号": "1"}]   '.encode(), "json")) == 1
    reason = refused('[{"编号": "12345"}]'.encode(), "json")
    assert (reason.code, reason.value, reason.expected) == ("large_array", "21", "20")
    assert ".jsonl" in reason.chinese()


def test_a_name_longer_than_any_header_keeps_the_row_out():
    deep = '{"' + "k" * 400 + '":' + '{"' + "k" * 400 + '": 1}}'
    rows = read(f'[{{"编号": 1}}, {deep}]', "json")
    assert [row["_fault"] for row in rows] == [None, "malformed"]


def test_long_rows_come_in_batches_that_memory_holds(monkeypatch):
    monkeypatch.setattr(fields, "BATCH_CHARACTERS", 1_000)
    lines = "\n".join(json.dumps({"编号": "x" * 400}) for _ in range(10))
    with TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_text(lines)
        opened = open_delivery(path, "jsonl", PLAIN, None, LIMIT, Path(folder))
        assert [batch.num_rows for batch in opened.batches] == [3, 3, 3, 1]


# --- Parquet ------------------------------------------------------------------------------------


def parquet(columns, **options):
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def test_nested_columns_are_read_by_their_path():
    data = parquet({"编号": ["1", "2"], "contact": [{"phone": "7", "at": {"x": 1}}, None]})
    assert pairs(read(data, "parquet")) == [("1", "7"), ("2", None)]
    rows = read(data, "parquet", contract(deep="contact/at/x", whole="contact/at"))
    assert [(row["deep"], row["whole"]) for row in rows] == [(None, '{"x": 1}'), (None, None)]


@pytest.mark.parametrize(
    ("column", "texts"),
    [
        (pa.array(["a", None, "a"]).dictionary_encode(), ["a", None, "a"]),
        (pa.array([b"ab", None, "中".encode()]), ["ab", None, "中"]),
        (
            pa.array([0, None, 1], pa.timestamp("us", tz="Asia/Shanghai")),
            ["1970-01-01 08:00:00.000000+0800", None, "1970-01-01 08:00:00.000001+0800"],
        ),
        (
            pa.array([0, None, 1], pa.timestamp("ms")),
            ["1970-01-01 00:00:00.000", None, "1970-01-01 00:00:00.001"],
        ),
        (pa.array(["1.10", None, "-0.01"]).cast(pa.decimal128(10, 2)), ["1.10", None, "-0.01"]),
    ],
)
def test_parquet_columns_as_text(column, texts):
    rows = read(parquet({"编号": ["1", "2", "3"], "电话": column}), "parquet")
    assert [row["phone"] for row in rows] == texts


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary(2)])
@pytest.mark.parametrize("is_encoded", [True, False])
def test_bytes_that_are_no_text_keep_their_row_out_and_no_other(kind, is_encoded):
    phones = pa.array([b"12", b"\xff7", None, b"34"], kind)
    keys = pa.array([b"\xfe0", b"ab", b"cd", b"ef"], kind)
    others = pa.array([b"\xff\xfe"] * 4, kind)
    data = parquet({"编号": keys, "电话": phones, "图": others}, use_dictionary=is_encoded)
    rows = read(data, "parquet")
    assert [(row["_fault"], row["_fault_expected"], row["phone"]) for row in rows] == [
        ("no_text", "编号", None),
        ("no_text", "电话", None),
        (None, None, None),
        (None, None, "34"),
    ]
    assert [row["number"] for row in rows] == [None, None, "cd", "ef"]
    assert json.loads(rows[1]["_torn"])[0] == "ab"


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_nan_in_parquet_is_nothing(kind):
    keys = pa.array(np.array([np.nan, 1.5], kind.to_pandas_dtype()), kind)
    data = parquet({"编号": keys, "电话": ["x", "NaN"]})
    assert pairs(read(data, "parquet")) == [(None, "x"), ("1.5", "NaN")]


@pytest.mark.parametrize(
    ("kind", "values", "texts"),
    [
        (pa.float32(), [93.9, 1 / 3, 5e-9, None], ["93.9", "0.333333", "0", None]),
        (
            pa.float64(),
            [93.9, 1 / 3, 12345678901.55, math.nan],
            ["93.9", "0.333333", "12345678901.55", None],
        ),
        (pa.float16(), [0.5, 2, 0.25, None], ["0.5", "2", "0.25", None]),
    ],
)
def test_floats_in_parquet_are_decimals_of_six_places_where_decimals_are_kept(kind, values, texts):
    columns = [
        {"name": "number", "header": "编号", "type": "text"},
        {"name": "rate", "header": "率", "type": "decimal"},
    ]
    source = contract().model_copy(update={"columns": tuple(map(Column.model_validate, columns))})
    cells = pa.array(np.array(values, kind.to_pandas_dtype()), kind)
    rows = read(parquet({"编号": cells, "率": cells}), "parquet", source)
    assert [row["rate"] for row in rows] == texts
    assert rows[0]["number"] == texts[0]  # of text, all digits that it has


@pytest.mark.parametrize(
    ("header", "units", "texts"),
    [
        ("率", ["元", "亿元", None], ["12.345679", "12.3456789012345", "12.345679"]),
        ("率（亿元）", ["", None, "亿元"], ["12.3456789012345亿元"] * 3),
    ],
)
def test_floats_of_a_scale_in_parquet_keep_the_places_that_it_uncovers(header, units, texts):
    columns = [
        {"name": "rate", "header": "率", "type": "decimal", "unit": "元", "unit_from": "unit"},
        {"name": "unit", "header": "单位", "type": "text"},
    ]
    source = contract().model_copy(update={"columns": tuple(map(Column.model_validate, columns))})
    sent = parquet({header: pa.array([12.3456789012345] * 3), "单位": pa.array(units, pa.string())})
    assert [row["rate"] for row in read(sent, "parquet", source)] == texts


def test_an_encrypted_parquet_file_is_told():
    whole = parquet({"编号": ["1"]})
    assert refused(whole[:-4] + b"PARE", "parquet").code == "encrypted_data"


def test_a_table_of_a_million_columns_is_refused():
    schema = pa.schema([(f"c{number}", pa.int8()) for number in range(3_000)])
    assert refused(parquet(schema.empty_table()), "parquet").code == "too_many_fields"


def test_one_long_value_repeated_by_a_dictionary_is_counted_as_often():
    values = pa.DictionaryArray.from_arrays(pa.array([0] * 100_000, pa.int32()), ["x" * 1_000_000])
    data = parquet({"编号": values})
    assert len(data) < 2 << 20
    assert refused(data, "parquet").code == "too_large"


def test_a_rejected_file_counts_all_its_rows():
    with pytest.raises(RejectedError) as caught:
        read('[{"x": 1}, {"x": 2}, 3]', "json")
    assert caught.value.rows_read == 3
