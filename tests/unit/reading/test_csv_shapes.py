"""CSV as departments' systems and clerks write it; headers in several rows and with units."""

from __future__ import annotations

import csv
import io
import json
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.contracts.formats import ZipFormat
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import UnreadableError
from pipelines.reading.csv import delimited
from pipelines.reading.csv.delimited import read_csv
from pipelines.reading.csv.rows import unwrapped
from pipelines.reading.formats import open_delivery
from pipelines.reading.headers.matching import MAX_COLUMNS, match
from pipelines.reading.headers.search import locate
from pipelines.reading.layout import from_columns, layout

HEADER = "编号,单位,数量"
SECRET = "13812345678"


def contract(columns=None, csv=None, **options):
    return Source.model_validate(
        {
            "name": "cases",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": {"csv": csv or {}},
            "columns": columns
            or [
                {"name": "number", "header": "编号", "type": "text", "required": True},
                {"name": "office", "header": "单位", "type": "text"},
                {"name": "amount", "header": "数量", "type": "integer", "unit": "条"},
            ],
        }
        | options
    )


PLAIN = contract()


@pytest.fixture
def opened(tmp_path):
    """Bytes or text as a file, opened by the reader."""

    def open_file(data, source=PLAIN):
        path = tmp_path / "export.csv"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return read_csv(path, source, None, 1 << 30)

    return open_file


@pytest.fixture
def read(opened):
    """Rows of a file whose header is sound, in file order."""

    def reader(data, source=PLAIN):
        reading = opened(data, source)
        assert reading.header.faults(source) == ()
        return rows_of(reading, source)

    return reader


def rows_of(reading, source=PLAIN):
    rows = []
    for batch in reading.batches:
        assert batch.schema == layout(source)
        rows += batch.to_pylist()
    return sorted(rows, key=lambda row: row["row_number"])


def data_of(rows):
    return [
        (row["number"], row["office"], row["amount"])
        for row in rows
        if not row["_noise"] and row["_fault"] is None
    ]


def fates(rows):
    return ["noise" if row["_noise"] else row["_fault"] or "data" for row in rows]


def held(opened, data, source=PLAIN):
    """Return what the one reason to hold a file quotes, once it is read."""
    reading = opened(data, source)
    assert reading.header.faults(source) == ()
    rows_of(reading, source)
    (reason,) = reading.holds
    assert reason.code == "undeclared_unit"
    assert "unit_above" in reason.english()
    assert "citybrain accept" in reason.english()
    assert "约定单位的注明方式" in reason.chinese()
    return reason.value


def refused(opened, data, source=PLAIN):
    with pytest.raises(UnreadableError) as caught:
        list(opened(data, source).batches)
    assert caught.value.reason.english()
    assert caught.value.reason.chinese()
    return caught.value.reason


# --- a whole export -----------------------------------------------------------------------------


def test_an_export_of_pages_glued_together_with_titles_notes_and_blank_lines(read):
    page = f"\ufeff数据归集情况表,,\n填报日期：2021年10月1日,,单位：条\n\n{HEADER}\n1,公安局,5\n"
    rows = read(f"{page}\n{HEADER},\n2,卫健委,6,\n 编号 ,单位,数量\n\n注：以上为初步数,,\n")
    assert [row["row_number"] for row in rows] == list(range(5, 12))
    assert fates(rows) == ["data", "noise", "noise", "data", "noise", "noise", "note"]
    assert data_of(rows) == [("1", "公安局", "5"), ("2", "卫健委", "6")]
    assert rows[-1]["_first"].startswith("注：")  # the contract's footer, if it has one


@pytest.mark.parametrize(
    "note",
    [
        "制表人：张三",
        "注:初步数",
        "第 1 页 共 2 页",
        "合　计",
        "总 计",
        "小计",
        "2021年9月23日",
        "二〇二一年九月二十三日",
        "2021-9-23",
    ],
)
def test_a_row_with_nothing_but_a_note_is_no_row(read, note):
    rows = read(f"{HEADER}\n1,a,5\n{note},,\n")
    assert fates(rows) == ["data", "note"]
    assert (rows[1]["_fault_value"], rows[1]["_first"]) == ("", note)
    assert json.loads(rows[1]["_torn"]) == [note]
    rows = read(f"序号,{HEADER}\n1,1,a,5\n,{note},,\n")
    assert fates(rows) == ["data", "note"]


@pytest.mark.parametrize(
    "row", ["00123,,", "00:1A:2B:3C,,", "2021年9月,,", "制表人：张三,a,", "合计,,9", "1:2,,"]
)
def test_a_row_with_its_key_alone_is_a_row(read, row):
    assert fates(read(f"{HEADER}\n1,a,5\n{row}\n")) == ["data", "data"]


def test_a_day_alone_is_a_row_where_days_are_the_key(read):
    day = {"name": "day", "header": "日期", "type": "date", "required": True}
    others = [{"name": f"c{n}", "header": f"c{n}", "type": "integer"} for n in range(2)]
    rows = read("日期,c0,c1\n2021-9-23,,\n合计,,\n", contract([day, *others]))
    assert fates(rows) == ["data", "note"]


def test_a_narrow_table_may_have_one_cell_in_a_row(read):
    source = contract(PLAIN.model_dump()["columns"][:2])
    assert fates(read("编号,单位\n注：x,\n", source)) == ["data"]


def test_a_row_that_only_begins_like_the_header_is_data(read):
    assert fates(read(f"{HEADER}\n编号,x,5\n编号,x,y\n")) == ["data", "data"]


@pytest.mark.parametrize("row", ["编号,单位,5", "编号,x,数量"])
def test_a_row_most_of_whose_cells_are_headers_is_refused(opened, row):
    assert refused(opened, f"{HEADER}\n1,a,2\n{row}\n").code == "page_header"


# --- cells --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ('="00123"', "00123"),
        ('"=""00123"""', "00123"),
        ('"=""a""""b"""', 'a"b'),
        ('=""', ""),
        ('="1"&"2"', '="1"&"2"'),
        ("=1+1", "=1+1"),
        ('x="1"', 'x="1"'),
    ],
)
def test_text_wrapped_as_a_formula_is_that_text(read, cell, text):
    (row,) = read(f"{HEADER}\n7,{cell},\n")
    assert row["office"] == text


def test_headers_and_rows_of_other_widths_are_unwrapped_too(read):
    rows = read('="编号","=""单位""",数量\n="01",a,\n="02",b,,\n')
    assert data_of(rows) == [("01", "a", ""), ("02", "b", "")]


def test_a_formula_wrapped_across_two_blocks_is_noticed(read):
    before = f"{HEADER}\n" + "1,a,b\n" * 200_000
    filler = "x" * (-len(before.encode()) % (1 << 20) - 4)
    rows = read(f'{before}{filler},a,="07"\n')
    assert rows[-1]["amount"] == "07"


def test_rows_with_nul_bytes_are_told_by_cell_and_the_others_taken(read):
    rows = read(f"{HEADER}\n1,a,2\n2,{SECRET},5\0\n\0,,\n3,b,4\n")
    assert fates(rows) == ["data", "nul", "nul", "data"]
    assert [row["_fault_value"] for row in rows] == [None, "3", "1", None]
    assert json.loads(rows[1]["_torn"]) == ["2", SECRET, "5\0"]
    assert rows[1]["office"] is None


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-16"])
def test_utf_16_that_was_declared_as_something_else_is_no_file_of_nuls(opened, encoding):
    data = f"{HEADER}\n1,abc,2\n".encode(encoding)
    for declared in ("utf-8", "gb18030"):
        reason = refused(opened, data, contract(csv={"encoding": declared}))
        assert (reason.code, reason.expected) == ("encoding", declared)
        assert f"it reads as {encoding}" in reason.value


@pytest.mark.parametrize("order", ["utf-16-le", "utf-16-be"])
def test_utf_16_needs_its_byte_order_mark(opened, order):
    source = contract(csv={"encoding": "utf-16"})
    reason = refused(opened, f"{HEADER}\n1,a,2\n".encode(order), source)
    assert reason.value.endswith(f"it reads as {order}")
    assert "缺少 UTF-16 字节序标记" in reason.chinese()
    rows = rows_of(opened(f"\ufeff{HEADER}\n1,a,2\n".encode(order), source), source)
    assert data_of(rows) == [("1", "a", "2")]


@pytest.mark.parametrize(
    ("declared", "sent", "named"),
    [
        ("gb18030", "utf-8-sig", "utf-8"),
        ("utf-8", "gbk", "gb18030"),
        ("utf-8", "gb18030", "gb18030"),
        ("gb18030", "utf-8", "utf-8"),
        ("utf-16", "gbk", "gb18030"),
        ("utf-16", "utf-8", "utf-8"),
    ],
)
def test_the_encoding_that_would_have_read_the_file_is_named(opened, declared, sent, named):
    data = f"{HEADER}\n1,公安局,2\n".encode(sent)
    reason = refused(opened, data, contract(csv={"encoding": declared}))
    assert f"it reads as {named}" in reason.value


# --- rows ---------------------------------------------------------------------------------------


def test_rows_end_at_every_line_end_however_mixed(read):
    rows = read(f'{HEADER}\r\n1,a,1\n2,b,2\r3,c,3\r\n\r4,d,4\n\n5,e\rf,5\n"6\r","g\r\nh",6\r')
    assert [row["row_number"] for row in rows] == list(range(2, 11))
    assert fates(rows) == ["data"] * 3 + ["noise", "data", "noise", "cells", "cells", "data"]
    assert data_of(rows)[-1] == ("6\r", "g\r\nh", "6")


@pytest.mark.parametrize("every", [1, 2, 3, 7])
@pytest.mark.parametrize("tail", [",", ",,", ", ,　,"])
def test_rows_may_end_in_separators_all_or_some(read, every, tail):
    lines = [f"{n},a,{n}" + (tail if n % every == 0 else "") for n in range(500)]
    rows = read("\n".join([HEADER, *lines]))
    assert fates(rows) == ["data"] * 500
    assert [row["row_number"] for row in rows] == list(range(2, 502))
    assert all(row["number"] == row["amount"] == str(row["row_number"] - 2) for row in rows)


@pytest.mark.parametrize("usual", [",", "", ",,,"])
def test_cells_beyond_the_header_keep_the_row_out_with_its_raw_cells(read, usual):
    line = f"1,a,2{usual}\n"
    rows = read(f"{HEADER}\n{line * 3}2,{SECRET},3,,x,\n{line}")
    assert fates(rows) == ["data"] * 3 + ["cells", "data"]
    assert (rows[3]["_fault_value"], rows[3]["_fault_expected"]) == ("5", "3")
    assert json.loads(rows[3]["_torn"]) == ["2", SECRET, "3", "", "x"]
    assert rows[3]["number"] is None
    assert {row["_torn"] for row in rows if row["_fault"] is None} == {None}


@pytest.mark.parametrize("usual", [0, 100])
def test_short_rows_are_kept_out_or_padded_as_the_contract_says(read, usual):
    """Whether most rows are short or few."""
    text = f"{HEADER}\n" + "0,z,0\n" * usual + "1,a\n,\n2\n3,c,5\n" + "4,d\n" * 60
    rows = read(text)[usual:]
    assert fates(rows) == ["cells", "noise", "cells", "data"] + ["cells"] * 60
    assert [row["_fault_value"] for row in rows[:5]] == ["2", None, "1", None, "2"]
    assert json.loads(rows[0]["_torn"]) == ["1", "a"]
    rows = read(text, contract(csv={"short_rows": "pad"}))[usual:]
    assert fates(rows) == ["data", "noise", "cells", "data"] + ["data"] * 60
    assert [row["amount"] or None for row in rows[:5]] == [None, None, None, "5", None]
    assert (rows[2]["_fault_value"], rows[2]["_fault_expected"]) == ("1", "3")
    assert json.loads(rows[2]["_torn"]) == ["2"]


@pytest.mark.parametrize(
    "note", ["制表人：张三", "第1页", '="第1页"', "制表人：张三,", ",张三", " ,7"]
)
@pytest.mark.parametrize("usual", ["1,a,2\n", "1,a\n", "1,a,2,\n"])
def test_a_note_below_the_table_is_not_padded_to_a_row(read, usual, note):
    """Whether most rows are as short as the note or not."""
    rows = read(f"{HEADER}\n" + usual * 5 + note + "\n", contract(csv={"short_rows": "pad"}))
    assert fates(rows) == ["data"] * 5 + ["cells"]
    assert rows[5]["number"] is None
    assert rows[5]["row_number"] == 7
    assert rows[5]["_first"] is not None  # by which a footer would know it


@pytest.mark.parametrize(
    ("swallowing", "lines"),
    [
        ('1,"a\n2,b,3\n3,c",4', 3),
        ('"1,a,2\n2",b,3', 2),
        ('1,"a,2\r2,b",3', 2),
        ('1,a,"2\r\n2,b,3\r\n3,c,4\r\n4,d,5"', 4),
        ('1,a,"2\n2,b,3\n",', 3),
    ],
)
def test_a_pair_of_stray_quotes_does_not_make_one_row_of_several(read, swallowing, lines):
    rows = read(f"{HEADER}\n0,z,1\n{swallowing}\n9,x,2\n")
    assert fates(rows) == ["data", "swallowed", "data"]
    assert rows[1]["_fault_value"] == str(lines)
    assert rows[1]["_first"] == ""  # were it 合计, the rows would go with the footer
    assert [row["row_number"] for row in rows] == [2, 3, 4]


def test_a_row_of_one_swallowing_cell_is_no_footer(read):
    rows = read(f'{HEADER}\n"合计,,\n2,b,3"\n')
    assert fates(rows) == ["cells"]
    assert rows[0]["_first"] == ""


def test_a_cell_of_several_lines_is_a_cell(read):
    rows = read(f'{HEADER}\n1,"一楼, 东\n二楼",2\n2,"a\nb\n\nc",3\n')
    assert fates(rows) == ["data", "data"]


@pytest.mark.parametrize(
    ("delimiter", "quote"), [("\t", '"'), (";", '"'), ("|", "'"), (",", "'"), ("^", "~")]
)
def test_delimiters_and_quotes_are_the_contracts(read, delimiter, quote):
    def line(*cells):
        return delimiter.join(cells) + "\n"

    def quoted(text):
        return f"{quote}{text}{quote}"

    text = (
        line("编号", "单位", "数量")
        + line("1", quoted(f"a{delimiter}{quote}{quote}b"), "2")
        + line("2", quoted("c\nd"), "3", "")
        + line("3", "e")
    )
    rows = read(text, contract(csv={"delimiter": delimiter, "quote": quote}))
    assert data_of(rows) == [("1", f"a{delimiter}{quote}b", "2"), ("2", "c\nd", "3")]
    assert fates(rows)[-1] == "cells"


# --- sizes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("above", [0, 1, 60, 5_000])
@pytest.mark.parametrize("cell", ["{}", '"{}"', '"{}\n"'])
def test_a_row_longer_than_memory_should_hold_is_named(opened, monkeypatch, above, cell):
    monkeypatch.setattr(delimited, "CSV_BLOCK", 1 << 19)
    row = "1," + cell.format("x" * (1 << 20)) + ",2\n"
    ragged = "1,2\n" if above else ""
    text = f"{HEADER}\n" + "1,a,2\n" * above + ragged + row + "1,a,2\n" * 10
    reason = refused(opened, text)
    assert reason.code == "long_row"
    assert reason.value == str(2 + above + bool(above))


def test_an_open_quote_in_a_file_of_one_line_is_found_in_bounded_memory(opened, monkeypatch):
    monkeypatch.setattr(delimited, "CSV_BLOCK", 1 << 12)
    reason = refused(opened, f"{HEADER}\n1,a,2\n" + '"' + "x" * (1 << 16))
    assert (reason.code, reason.value) == ("open_quote", "3")


@pytest.mark.parametrize("cells", [MAX_COLUMNS + 1, 1_000_000])
def test_a_header_of_a_million_columns_is_refused(opened, cells):
    reason = refused(opened, HEADER + ",x" * (cells - 3) + "\n1,a,2\n")
    assert reason.code == "too_wide"
    assert int(reason.value) > MAX_COLUMNS


def test_a_header_longer_than_the_first_look_is_read(read):
    """Its columns are 400 KB, and the agreed ones come last."""
    extra = ",".join(f"{'其他' * 20}{n}" for n in range(3_000))
    rows = read(f"标题\n{extra},{HEADER}\n" + "," * 3_000 + "1,a,2\n")
    assert data_of(rows) == [("1", "a", "2")]


def test_a_row_of_a_million_cells_keeps_its_place_only(read):
    rows = read(
        f"{HEADER}\n" + "1,a,2\n" * 60 + "x," * 1_000_000 + "\n" + "," * 999_999 + "\n2,b,3"
    )
    assert fates(rows) == ["data"] * 60 + ["cells", "noise", "data"]
    assert rows[60]["_fault_value"] == "1000001"


def test_blank_lines_below_a_wide_header_do_not_fill_the_memory(opened):
    """Sixteen thousand empty cells for every byte."""
    wide = HEADER + "," * (MAX_COLUMNS - 3)
    reason = refused(opened, wide + "\n" * 100_000)
    assert reason.code == "crowded"
    rows = rows_of(opened(wide + "\n" * 100 + "1,a,2\n"))
    assert fates(rows) == ["noise"] * 99 + ["data"]


def test_rows_of_another_width_without_end_are_refused(opened, monkeypatch):
    monkeypatch.setattr(delimited, "MOST_OTHERS", 1_000)
    text = f"{HEADER}\n" + "1,a,2\n" * 60 + "1\n" * 999
    assert fates(rows_of(opened(text)))[60:] == ["cells"] * 999
    reason = refused(opened, text + "1\n")
    assert (reason.code, reason.value, reason.expected) == ("ragged", "1000", "3")


def test_a_block_of_short_lines_comes_in_batches(opened, monkeypatch):
    monkeypatch.setattr("pipelines.reading.csv.delimited.MOST_ROWS", 7)
    text = f"{HEADER}\n" + "".join(f'{n},"a\n,,{n}",{n}\n' for n in range(100))
    batches = list(opened(text).batches)
    assert [batch.num_rows for batch in batches] == [7] * 14 + [2]
    rows = [row for batch in batches for row in batch.to_pylist()]
    assert [row["row_number"] for row in rows] == list(range(2, 102))
    assert fates(rows) == ["swallowed"] * 100


# --- the law ------------------------------------------------------------------------------------

CELL = st.text(st.sampled_from("ab1;,|\"'\n\r 　上\t\0="), max_size=4)
FULL = st.lists(CELL, min_size=3, max_size=3)
MESS = st.one_of(
    FULL,
    FULL,
    FULL,
    FULL.map(lambda row: [*row, ""]),
    FULL.map(lambda row: [*row, " ", ""]),
    st.lists(CELL, min_size=1, max_size=6),
    st.just([]),
    st.just(["", "", ""]),
    st.just(HEADER.split(",")),
    st.just([*HEADER.split(","), ""]),
    st.just(["合计", "", "9"]),
    st.just(["注：初步数"]),
    st.just(["x"] * 40),
)


def fate(sent, short_rows, delimiter):
    """What a record of cells is to become: the second definition of the reader's rules."""
    sent = [unwrapped(cell) for cell in sent]
    padded = sent[:3] + [""] * (3 - len(sent))
    if not "".join(sent).strip() or [cell.strip() for cell in padded] == HEADER.split(","):
        return "cells or noise" if "".join(sent[3:]).strip() else "noise"
    is_lone = sum(bool(cell.strip()) for cell in padded) == 1
    if "".join(sent[3:]).strip() or (len(sent) < 3 and (short_rows == "quarantine" or is_lone)):
        return "cells"
    if "\0" in "".join(padded):
        return "nul"
    if any(cell.count(delimiter) > 1 and set(cell) & {"\n", "\r"} for cell in padded):
        return "swallowed"
    return tuple(padded)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    encoding=st.sampled_from(["utf-8", "gb18030", "utf-16"]),
    delimiter=st.sampled_from([",", "\t", ";", "|"]),
    quote=st.sampled_from(['"', "'"]),
    short_rows=st.sampled_from(["quarantine", "pad"]),
    newline=st.sampled_from(["\n", "\r\n", "\r"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    block=st.sampled_from([512, 700, 1 << 20]),
    titles=st.lists(st.sampled_from([["标题"], [""], ["两\n行", "", ""]]), max_size=3),
    mess=st.lists(MESS, max_size=60),
)
@example("utf-8", ",", '"', "quarantine", "\n", csv.QUOTE_MINIMAL, 512, [], [['=""']])
@example("utf-8", ",", '"', "quarantine", "\n", csv.QUOTE_MINIMAL, 512, [], [["", "", "1", '=""']])
@example(
    "utf-8", ",", '"', "pad", "\n", csv.QUOTE_MINIMAL, 512, [], [["1", '=""'], HEADER.split(",")]
)
def test_every_record_is_accounted_for_once_under_its_number(
    encoding, delimiter, quote, short_rows, newline, quoting, block, titles, mess
):
    options = {"delimiter": delimiter, "quotechar": quote}
    out = io.StringIO()
    csv.writer(out, lineterminator=newline, quoting=quoting, **options).writerows(
        [*titles, HEADER.split(","), *mess]
    )
    records = list(csv.reader(io.StringIO(out.getvalue(), newline=""), **options))
    at = records.index(HEADER.split(","))
    below = records[at + 1 :]
    dialect = {"encoding": encoding, "delimiter": delimiter, "quote": quote}
    source = contract(csv=dialect | {"short_rows": short_rows})
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(delimited, "CSV_BLOCK", block)
        path = Path(folder, "export.csv")
        path.write_bytes(out.getvalue().encode(encoding))
        rows = rows_of(read_csv(path, source, None, 1 << 30), source)

    first = at + 2
    assert [row["row_number"] for row in rows] == list(range(first, first + len(below)))
    for row, sent in zip(rows, below, strict=True):
        wanted = fate(sent, short_rows, delimiter)
        if isinstance(wanted, tuple):
            assert fates([row]) == ["data"]
            assert data_of([row]) == [wanted]
        else:
            assert fates([row])[0] in wanted
        if row["_fault"] is not None and not row["_noise"]:
            torn = json.loads(row["_torn"])
            assert len(torn) <= len(sent)
            assert [unwrapped(cell) for cell in sent[: len(torn)]] == torn


# --- headers: several rows ----------------------------------------------------------------------

CASES = contract(
    columns=[
        {"name": "number", "header": "序号", "type": "text", "required": True},
        {"name": "office", "header": "单位", "type": "text", "required": True},
        {
            "name": "online",
            "header": "办件量|网上",
            "type": "integer",
            "unit": "件",
            "required": True,
        },
        {"name": "counter", "header": "办件量 | 窗口", "type": "integer", "unit": "件"},
        {"name": "note", "header": "备注", "type": "text"},
    ],
    header_rows=2,
)
UPPER = ["序号", "单位", "办件量", "", "备注"]
LOWER = ["", "", "网上", "窗口", ""]
PLACES = {"number": 0, "office": 1, "online": 2, "counter": 3, "note": 4}


@pytest.mark.parametrize(
    "merged",
    [
        (),
        (((2, 2), (2, 3)),),
        (((2, 0), (3, 0)), ((2, 1), (3, 1)), ((2, 2), (2, 3)), ((2, 4), (3, 4)), ((0, 0), (0, 4))),
    ],
)
def test_a_header_in_two_rows_is_found_below_titles_with_and_without_ranges(merged):
    rows = [["办件情况表", "", "", "", ""], [], UPPER, LOWER, ["1", "a", "2", "3", ""]]
    index, header = locate(CASES, rows, merged)
    assert index == 3
    assert header.positions == PLACES
    assert header.cells[:4] == ("序号", "单位", "办件量|网上", "办件量|窗口")
    assert header.faults(CASES) == ()
    assert header.extra == ()


def test_a_header_merged_over_both_rows_and_columns_stands_once():
    ranges = (((0, 2), (0, 3)), ((0, 4), (1, 5)))
    _, header = locate(CASES, [[*UPPER, ""], [*LOWER, ""]], ranges)
    assert header.positions == PLACES
    assert header.faults(CASES) == ()


def test_an_upper_header_does_not_spread_past_its_neighbour_or_over_nothing():
    source = contract(
        columns=[
            {"name": name, "header": header, "type": "text"}
            for name, header in (
                ("a", "甲|上|左"),
                ("b", "甲|上|右"),
                ("c", "甲|下"),
                ("d", "乙|下"),
                ("e", "丙"),
                ("f", "右"),
            )
        ],
        header_rows=3,
    )
    grid = [
        ["甲", "", "", "乙", "丙", ""],
        ["上", "", "下", "下", "", ""],
        ["左", "右", "", "", "", "右"],
    ]
    _, header = locate(source, grid)
    assert header.positions == {"a": 0, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}


def test_a_row_above_that_matches_as_much_as_is_required_does_not_win():
    rows = [["", "", "", "", ""], UPPER, LOWER]
    source = contract(
        columns=[c.model_dump() | {"required": c.name == "number"} for c in CASES.columns],
        header_rows=2,
    )
    index, header = locate(source, rows)
    assert (index, header.positions) == (2, PLACES)


def test_a_csv_of_two_header_rows_and_units_read_again_on_each_page(read):
    source = CASES.model_copy(update={"unit_row": True})
    page = "序号,单位,办件量,,备注\n,,网上,窗口,\n,,（件）,（千件）,\n"
    rows = read(f"表一\n{page}1,a,2,3,\n{page}2,b,4,5,x\n,,网上,9,\n", source)
    assert fates(rows) == ["data", "noise", "noise", "noise", "data", "data"]
    assert [row["row_number"] for row in rows] == list(range(5, 11))
    assert [(row["online"], row["counter"]) for row in rows if not row["_noise"]] == [
        ("2", "3千件"),
        ("4", "5千件"),
        ("网上", "9千件"),
    ]


# --- headers: units -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "suffix"),
    [
        ("数量", None),
        ("数量（条）", ""),
        ("数量(单位：条)", ""),
        ("数量/条", ""),
        ("数量（万条）", "万条"),
        ("数量(单位:万条)", "万条"),
        ("数量/万条", "万条"),
        ("数量 （ 万 ）", "万"),
        ("数量【亿条】", "亿条"),
        ("数量，单位：百万条", "百万条"),
        ("数量（计量单位：千条）", "千条"),
        ("数量（萬条）", "万条"),
        ("数量（单\u200b位：億条）", "亿条"),
    ],
)
def test_the_unit_of_a_header_is_the_contracts_or_goes_with_the_figures(header, suffix):
    found = match(PLAIN, ["编号", header])
    assert found.positions == {"number": 0, "amount": 1}
    assert found.suffixes == ({} if suffix is None else {"amount": suffix})
    assert found.faults(PLAIN) == ()


@pytest.mark.parametrize("header", ["数量（万元）", "数量/个", "数量(单位:GB)", "数量（万件）"])
def test_a_header_in_another_unit_is_refused_with_what_is_agreed(header):
    (fault,) = match(PLAIN, ["编号", header]).faults(PLAIN)
    assert (fault.code, fault.column, fault.expected) == ("header_unit", "amount", "条")
    assert header in fault.english()
    assert header in fault.chinese(PLAIN.titles)
    assert match(PLAIN, ["编号", "数量", header]).faults(PLAIN) == ()  # that is another column
    assert match(PLAIN, ["编号", "数量", header]).extra == (header,)


def test_a_unit_is_for_numbers_and_a_path_may_say_it_anywhere():
    assert match(PLAIN, ["编号", "单位（条）"]).positions == {"number": 0}
    for upper, lower in (("办件量（万件）", "网上"), ("办件量", "网上(万件)")):
        rows = [["序号", "单位", upper, ""], ["", "", lower, "窗口"]]
        _, header = locate(CASES, rows)
        assert header.suffixes["online"] == "万件"


def test_a_column_counted_in_myriads_does_not_take_a_bare_scale_for_another():
    columns = [{"name": "amount", "header": "数量", "type": "decimal", "unit": "万条"}]
    source = contract(columns=columns)
    assert match(source, ["数量（万）"]).suffixes == {"amount": ""}
    assert match(source, ["数量（亿）"]).faults(source)[0].code == "header_unit"
    assert match(source, ["数量（条）"]).faults(source)[0].code == "header_unit"


ALIKE = contract(
    columns=[
        {"name": "number", "header": "编号", "type": "text", "required": True},
        {"name": "rows", "header": "数据量(条)", "type": "integer", "unit": "条"},
        {"name": "size", "header": "数据量(GB)", "type": "decimal", "unit": "GB"},
    ]
)


@pytest.mark.parametrize(
    ("header", "suffixes"),
    [
        (["数据量（万条）", "数据量（GB）"], {"rows": "万条", "size": ""}),
        (["数据量（GB）", "数据量（万）"], {"rows": "万", "size": ""}),
        (["数据量（万GB）", "数据量（万条）"], {"rows": "万条", "size": "万GB"}),
    ],
)
def test_columns_that_differ_by_their_unit_only_are_told_apart_by_it(header, suffixes):
    found = match(ALIKE, ["编号", *header])
    assert found.suffixes == suffixes
    assert found.faults(ALIKE) == ()


@pytest.mark.parametrize("header", ["数据量（万）", "数据量（件）"])
def test_a_unit_that_fits_several_columns_or_none_is_refused(header):
    faults = match(ALIKE, ["编号", header]).faults(ALIKE)
    assert {(fault.code, fault.column) for fault in faults} == {
        ("header_unit", "rows"),
        ("header_unit", "size"),
    }


def test_a_header_whose_parts_say_different_units_is_refused():
    rows = [["序号", "单位", "办件量（万件）", ""], ["", "", "网上（件）", "窗口"]]
    _, header = locate(CASES, rows)
    assert [(fault.code, fault.column) for fault in header.faults(CASES)] == [
        ("header_unit", "online")
    ]


UNIT_ROW = contract(unit_row=True)
GRID = [["编号", "单位", "数量"]]


@pytest.mark.parametrize(
    ("row", "suffixes"),
    [
        (["", "", "（条）"], {"amount": ""}),
        (["", "", "万条"], {"amount": "万条"}),
        (["", "", "单位：万条"], {"amount": "万条"}),
        (["-", "计量单位", "(单位:亿)"], {"amount": "亿"}),
        (["（单位）", "", "万条"], {"amount": "万条"}),
        (["单位：", "", "萬条"], {"amount": "万条"}),
    ],
)
def test_a_row_of_units_belongs_to_the_header(row, suffixes):
    index, header = locate(UNIT_ROW, [["标题"], *GRID, row, ["1", "a", "2"]])
    assert index == 2
    assert header.suffixes == suffixes
    assert header.faults(UNIT_ROW) == ()


@pytest.mark.parametrize(
    ("row", "words"), [(",,万条", "万条"), ("（单位）,,万", "(万)"), ("计量单位,,万元", "单位万元")]
)
def test_a_row_of_scaled_units_that_nobody_agreed_on_holds_the_file(opened, row, words):
    assert held(opened, f"{HEADER}\n{row}\n1,a,2\n") == words


@pytest.mark.parametrize("row", [["", "", "条"], ["单位：甲局", "", ""], ["1", "万家", ""]])
def test_what_scales_nothing_below_a_header_is_left_to_the_rows(row):
    assert locate(PLAIN, [*GRID, row]) == (0, locate(PLAIN, GRID)[1])


@pytest.mark.parametrize("row", [["", "", "万元"], ["", "", "（个）"], ["", "", "暂无"]])
def test_a_row_of_other_units_is_refused(row):
    _, header = locate(UNIT_ROW, [*GRID, row])
    assert [fault.code for fault in header.faults(UNIT_ROW)] == ["header_unit"]


@pytest.mark.parametrize(
    "row",
    [
        ["1", "a", "2"],
        ["1", "a", "三万"],
        ["1", "a", ""],
        ["1", "a", "—"],
        ["x", "", "暂无"],
        ["x", "", "（条）"],
        ["x", "a", "赵子龙"],
        ["单位：万条", "", ""],
        ["（万件）", "", ""],
    ],
)
def test_where_the_declared_row_of_units_is_missing_the_file_is_refused(row):
    _, header = locate(UNIT_ROW, [*GRID, row])
    faults = header.faults(UNIT_ROW)
    assert {fault.code for fault in faults} <= {"header_depth", "header_unit"}
    assert ("header_depth", "number", "编号", "2") in {
        (fault.code, fault.column, fault.value, fault.expected) for fault in faults
    }
    assert "赵子龙" not in "".join(fault.english() + fault.chinese() for fault in faults)


def test_without_a_text_column_figures_in_place_of_units_are_refused():
    columns = [{"name": "index", "header": "指数", "type": "decimal", "required": True}]
    source = contract(columns, unit_row=True)
    assert [fault.code for fault in locate(source, [["指数"], ["5"]])[1].faults(source)] == [
        "header_unit"
    ]
    assert locate(source, [["指数"], ["分"]])[1].faults(source) == ()


@pytest.mark.parametrize("row", [",,万条", ",,（条）", "x,,件"])
def test_a_row_of_units_without_the_header_above_it_is_refused(opened, row):
    columns = [column.model_dump() for column in PLAIN.columns]
    columns[-1]["unit"] = ["条", "件"]
    source = contract(columns, unit_row=True)
    data = f"{HEADER}\n,,条\n1,a,2\n{row}\n3,b,4\n"
    assert refused(opened, data, source).code == "page_header"


def test_a_row_of_units_that_contradicts_its_header_is_refused():
    _, header = locate(UNIT_ROW, [["编号", "单位", "数量（条）"], ["", "", "万条"]])
    assert [fault.code for fault in header.faults(UNIT_ROW)] == ["header_unit"]


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("单位：万条", "万条"),
        ("（单位：亿条）", "亿条"),
        ("填报日期：2021-10-01  单位：万条", "万条"),
        ("填报单位：市公安局", None),
        ("单位：条", None),
    ],
)
def test_a_scaled_unit_above_the_table_is_never_read_unless_declared(opened, title, words):
    _, header = locate(PLAIN, [["归集情况", "", title], ["编号", "单位", "数量"]])
    assert (header.suffixes, [*header.unit_words]) == ({}, [words] if words else [])
    if words:
        assert held(opened, f"归集情况,,{title}\n{HEADER}\n1,a,5\n") == words
    _, header = locate(PLAIN, [[title], ["编号", "单位", "数量（条）"]])
    assert (header.suffixes, header.unit_words) == ({"amount": ""}, {})  # the header says it


ABOVE = contract(unit_above="万条")


@pytest.mark.parametrize(
    "title",
    [
        "单位：万条",
        "（单位：万条）",
        "统计表（万条）",
        "填报日期：2021-10-01  单位：万条    填报人：张三",
        "单 位： 萬 条",
        "单位：,万条",
        "单位：万条、%",
        "表中数据单位均为万条。",
    ],
)
def test_the_declared_unit_of_a_line_above_the_table_is_read(opened, read, title):
    text = f"{title}\n{HEADER}\n1,a,5\n注：数据单位：万条\n"
    assert read(text, ABOVE)[0]["amount"] == "5万条"
    assert opened(text, ABOVE).holds == ()
    header = opened(f"{title}\n编号,单位,数量（条）\n", ABOVE).header
    assert header.suffixes == {"amount": ""}  # what a header says itself goes first


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("统计表", "no line says 万条"),
        ("单位：条", "no line says 万条"),
        ("单位：亿条", "亿条"),
        ("单位：百万条", "百万条"),
        ("单位：10万条", "单位:10万条"),
        ("单位：万件", "单位:万件"),
        ("单位：万", "单位:万"),
        ("单位：万条,统计表（亿条）", "亿条"),
        ("单位：万条\n注：以万条计", "万条"),
    ],
)
def test_a_file_that_does_not_say_the_declared_unit_exactly_is_held(opened, title, words):
    data = f"{title}\n{HEADER}\n1,a,5\n"
    assert held(opened, data, ABOVE) == words
    reading = opened(data, ABOVE)
    assert rows_of(reading, ABOVE)[0]["amount"] == "5万条"  # accepted, it is the contract's
    assert "no line" not in reading.holds[0].chinese()


@pytest.mark.parametrize(
    ("titles", "words"),
    [
        (("", ""), []),
        (("", "单位：万条\n"), ["万条"]),
        (("单位：亿条\n", "（万）\n"), ["亿条、(万)"]),
    ],
)
def test_a_scaled_unit_in_any_member_of_an_archive_holds_all_of_it(tmp_path, titles, words):
    source = contract()
    formats = source.formats.model_copy(update={"zip": ZipFormat(members="all")})
    source = source.model_copy(update={"formats": formats})
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as package:
        for name, title in zip(("东区.csv", "西区.csv"), titles, strict=True):
            package.writestr(name, f"{title}{HEADER}\n1,a,5\n")
    reading = open_delivery(path, "csv", source, None, 1 << 30, tmp_path / "scratch")
    assert [row["amount"] for batch in reading.batches for row in batch.to_pylist()] == ["5", "5"]
    assert [reason.value for reason in reading.holds] == words


def test_a_declared_unit_is_for_the_columns_that_count_in_it():
    source = contract([*(column.model_dump() for column in SHARED.columns)], unit_above="万")
    _, header = locate(source, [["单位：万"], SHARED_GRID])
    assert (header.suffixes, header.unit_words) == ({"amount": "万"}, {})


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("3.5", "3.5万条"),
        (" 12 ", "12万条"),
        ("１２", "１２万条"),
        ("约5", "约5万条"),
        ("-3", "-3万条"),
        ("一百二十", "一百二十万条"),
        ("3.5万条", "3.5万条"),
        ("3.5万", "3.5万（万条）"),
        ("5条", "5条（万条）"),
        ("", ""),
        ("—", "—"),
        ("待定", "待定"),
        ("-999", "-999"),
    ],
)
def test_figures_get_the_unit_that_their_header_says(read, cell, text):
    column = {"name": "amount", "header": "数量", "type": "decimal", "unit": "条", "nulls": "-999"}
    columns = [{"name": "number", "header": "编号", "type": "text", "required": True}, column]
    (row,) = read(f"编号,数量（万条）\n1,{cell}\n", contract(columns=columns))
    assert (row["number"], row["amount"]) == ("1", text)


@pytest.mark.parametrize(
    ("header", "unit", "text"),
    [
        ("数量（万条）", "条", "5（万条）"),
        ("数量（万条）", "亿条", "5（万条）"),
        ("数量（万条）", "万条", "5万条"),
        ("数量（万条）", " 万 条 ", "5万条"),
        ("数量（万条）", "", "5万条"),
        ("数量（万条）", "—", "5万条"),
        ("数量（万）", "条", "5万"),
        ("数量（条）", "万条", "5（条）"),
        ("数量（条）", "件", "5"),
        ("数量", "万条", "5"),
    ],
)
def test_a_row_whose_unit_denies_its_header_is_no_number(read, header, unit, text):
    columns = [
        {"name": "number", "header": "编号", "type": "text", "required": True},
        {"name": "office", "header": "计量单位", "type": "text", "nulls": "—"},
        {
            "name": "amount",
            "header": "数量",
            "type": "integer",
            "unit": ["条", "件"],
            "unit_from": "office",
            "nulls": "无",
        },
    ]
    rows = read(f"编号,{header},计量单位\n1,5,{unit}\n2,无,{unit}\n", contract(columns))
    assert [row["amount"] for row in rows] == [text, "无"]


SHARED = contract(
    columns=[
        *[column.model_dump() for column in PLAIN.columns],
        {"name": "share", "header": "占比", "type": "decimal", "unit": "%"},
        {"name": "index", "header": "指数", "type": "decimal"},
    ]
)
SHARED_GRID = ["编号", "单位", "数量", "占比", "指数"]


@pytest.mark.parametrize(
    "title",
    [
        ["单位：万条 填报日期：2021年9月23日"],
        ["单位：万条    填报人：张三"],
        ["单位：万条  制表：数据科"],
        ["单位：", "万条"],
        ["单位：", "", "万条"],
        ["单位：万条、%"],
        ["单位：万条。"],
        ["计量单位为万条"],
        ["单位（万条）"],
        ["数据单位：万条；占比单位：%"],
        ["填报单位：甲局 单位：万条"],
        ["单 位： 万条"],
        ["统计表（万条）", "单位：万条"],
        ["统计表（万条）"],
        ["单位：万条填报人：张三"],
        ["统计表 万条"],
        ["单位：万条", "单位：千条"],
        ["单位：千条", "（万条）"],
        ["按万条计"],
        ["单位：10万条"],
        ["单位：一万条"],
    ],
)
def test_a_scaled_unit_above_the_table_is_found_among_other_words(title):
    _, header = locate(SHARED, [title, SHARED_GRID])
    assert (header.suffixes, header.faults(SHARED)) == ({}, ())
    assert any("万条" in word for word in header.unit_words)
    assert "张三" not in str(header.unit_words)
    _, header = locate(PLAIN, [title, ["编号", "单位", "数量（条）"]])
    assert (header.faults(PLAIN), header.unit_words) == ((), {})  # the header says its own


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("累计归集3亿条", []),
        ("共 3 亿条", []),
        ("共数万条", ["万条"]),
        ("填报单位：万条山镇", ["万条"]),
        ("十件实事", ["十件"]),
    ],
)
def test_a_figure_in_a_title_is_no_unit_and_everything_else_is_held(title, words):
    source = contract(
        columns=[
            {
                "name": "amount",
                "header": "数量",
                "type": "integer",
                "unit": ["条", "件"],
                "required": True,
            }
        ]
    )
    _, header = locate(source, [[title], ["数量"]])
    assert header.suffixes == {}
    assert header.faults(source) == ()
    assert [*header.unit_words] == words


YUAN = contract(
    columns=[
        {"name": "place", "header": "区县", "type": "text", "required": True},
        {
            "name": "fee",
            "header": "数量",
            "type": "integer",
            "required": True,
            "unit": ["元", "户", "家", "人", "件"],
        },
    ],
    csv={"encoding": "utf-8"},
)
ODD_LINES = [
    "各单位万元（含）以上采购情况表",
    "用人单位千人（含）以上",
    "注：含重点单位(万达广场)",
    "填报单位：万达信息",
    "技术支持单位：亿联网络",
    "承建单位：百度智能云",
    "注：电政务惠及千家万户",
    "服务千家万户",
    "消费券惠万家",
    "亿元（含）以上项目",
    "亿元-在建",
    "注：亿元（含）以上项目单列",
    "注：万元、千元票据均已剔除",
    "注：千人（含）以上企业",
    "注：以千计的重复工单已剔除",
    "日均万件，另见附表",
    "注：原始数据单位为万元，已换算为元",
    "注：本表以元为单位，不是万元",
    "注：单位为元（不是万元）",
    "注：请勿以万元填报",
    "注：收费以元计，非万元。",
    "按万人计算的比率另表列示",
    "责任单位亿元 在建",
    "规上单位万家",
    "非税收入  单位：万元",
    "表中数据单位万元",
    "金额单位:万元",
]


@pytest.mark.parametrize("line", ODD_LINES)
def test_offices_thresholds_and_denials_are_held_and_not_interpreted(opened, line):
    _, header = locate(YUAN, [[line], ["区县", "数量"]])
    assert (header.suffixes, header.faults(YUAN)) == ({}, ())
    assert header.unit_words
    assert held(opened, f"区县,数量\n东区,5\n{line}\n", YUAN)
    rows = rows_of(opened(f"区县,数量\n东区,5\n{line}\n", YUAN), YUAN)
    assert rows[0]["fee"] == "5"


@pytest.mark.parametrize(
    "title",
    [
        "单位：W条",
        "单位：万宗",
        "单位：万(件)",
        "单位：百万 条",
        "单位：万 填报人：张三",
        "统计表（万）",
        "单位：10人",
        "单位：万元",
        "单位：百色市",
        "填报单位：万州区",
        "金额单位：万元",
        "单位：次、万宗",
        "以万宗为单位",
    ],
)
def test_a_scale_of_another_unit_above_the_table_is_never_ignored(title):
    _, header = locate(PLAIN, [[title], ["编号", "单位", "数量"]])
    assert (header.suffixes, header.faults(PLAIN)) == ({}, ())
    assert header.unit_words
    assert "张三" not in str(header.unit_words)


@pytest.mark.parametrize(
    "title",
    [
        "填报单位：万州区大数据局",
        "填报单位：三亚市",
        "填报单位：340802",
        "单位：个、次",
        "（十）归集情况",
        "事业单位百余家",
    ],
)
def test_an_office_or_a_figure_above_the_table_is_no_unit(title):
    _, header = locate(PLAIN, [[title], ["编号", "单位", "数量"]])
    assert header == locate(PLAIN, [["编号", "单位", "数量"]])[1]


def test_a_unit_of_one_of_several_columns_is_held():
    source = contract(
        columns=[
            *[column.model_dump() for column in PLAIN.columns],
            {"name": "cost", "header": "金额", "type": "decimal", "unit": ["元"]},
        ]
    )
    _, header = locate(source, [["金额单位：万元"], ["编号", "单位", "数量", "金额"]])
    assert (header.suffixes, [*header.unit_words]) == ({}, ["万元"])


@pytest.mark.parametrize("line", ["单位：元", "以元为单位", "单位：亿元"])
def test_another_scale_than_that_of_the_stored_unit_is_held(line):
    columns = [{"name": "cost", "header": "金额", "type": "decimal", "unit": "万元"}]
    source = contract(columns)
    assert locate(source, [[line], ["金额"]])[1].unit_words
    assert not locate(source, [["单位：万元"], ["金额"]])[1].unit_words  # it is the contract's


def test_lines_outside_the_grid_are_looked_at_as_rows_above_the_header_are():
    index, header = locate(PLAIN, GRID, (), ["统计表", "单位：万条"])
    assert (index, [*header.unit_words]) == (0, ["万条"])
    assert locate(ABOVE, GRID, (), ["统计表", "单位：万条"])[1].suffixes == {"amount": "万条"}


def test_a_bare_scale_above_the_table_is_held_and_no_unit_of_shares():
    _, header = locate(SHARED, [["单位：万"], SHARED_GRID])
    assert (header.suffixes, [*header.unit_words]) == ({}, ["单位:万"])
    assert match(SHARED, ["编号", "占比（万）"]).faults(SHARED)[0].code == "header_unit"


@pytest.mark.parametrize("row", [["", "", "（赵子龙）"], ["", "单位", "万件"]])
def test_a_row_of_units_that_are_not_agreed_is_told_by_its_units_only(row):
    index, header = locate(UNIT_ROW, [*GRID, row])
    (fault,) = header.faults(UNIT_ROW)
    assert (index, fault.code) == (1, "header_unit")
    assert "赵子龙" not in fault.english() + fault.chinese()


# --- headers: pages glued together --------------------------------------------------------------


@pytest.mark.parametrize(
    "page",
    [
        "编号,单位,数量(万条)",
        "编号,数量,单位",
        "编号,单位,数量/万条,",
        "序号,编号,单位,数量",
        "编号,单位,数量（万元）",
        "编号,数量(万条)",
        "\ufeff编号,单位,数量（万条）",
    ],
)
def test_a_page_with_another_header_is_refused(opened, page):
    reason = refused(opened, f"{HEADER}\n1,a,2\n{page}\n3,b,4\n")
    assert (reason.code, reason.value) == ("page_header", "3")


@pytest.mark.parametrize(
    "page",
    [
        "单位：万条",
        ",,单位：万条",
        "单位：万条,,",
        "填报单位：甲,日期：9月,单位：万条",
        "填报单位：甲,单位：万条,2021年9月23日",
        ",,,单位：万条",
        ",,（万条）",
        "（万条）,,",
        ",,万条",
        "（单位）,,万条",
        "单 位：万 条,,",
        ",,数据以万条为单位",
        "单位：10条,,",
        "x,金额单位：万元,",
        "x,（万）,",
    ],
)
def test_a_line_between_pages_that_shows_a_scaled_unit_is_held(opened, page):
    assert held(opened, f"{HEADER}\n1,a,2\n{page}\n3,b,4\n")


@pytest.mark.parametrize(
    ("first", "page"),
    [
        ("编号,单位,数量(万条)", "编 号,单位,数量（万条）"),
        ("单位：条\n编号,单位,数量", "编号,单位,数量"),
    ],
)
def test_a_page_that_repeats_the_header_is_noise(read, first, page):
    assert fates(read(f"{first}\n1,a,2\n{page}\n3,b,4\n")) == ["data", "noise", "data"]


@pytest.mark.parametrize(
    ("first", "page"),
    [
        ("编号,单位,数量", "编号,单位,数量（条）"),
        ("编号,单位,数量(万条)", "编号,单位,数量/万条"),
        ("单位：万条\n编号,单位,数量", "编号,单位,数量（万条）"),
    ],
)
def test_a_page_whose_header_is_spelled_otherwise_is_refused(opened, first, page):
    reason = refused(opened, f"{first}\n1,a,2\n{page}\n3,b,4\n", ABOVE)
    assert reason.code == "page_header"


@pytest.mark.parametrize("page", ["数量,编号", "编号,数量（万条）"])
def test_pages_of_a_contract_that_requires_nothing_are_compared_too(opened, page):
    columns = [column.model_dump() | {"required": False} for column in PLAIN.columns]
    source = contract(columns=columns)
    assert refused(opened, f"编号,数量\n1,2\n{page}\n3,4\n", source).code == "page_header"
    assert held(opened, "编号,数量\n1,2\n单位：万条,\n3,4\n", source) == "万条"


def test_rows_with_a_number_are_no_lines_of_units(opened, read):
    page = ["十一,单位：十一,6", "（一）,x,6", "A,市直单位（含事业单位）,"]
    text = "\n".join([HEADER, "1,a,2", *page])
    assert fates(read(text)) == ["data"] * 4
    assert opened(text).holds == ()
    office = "千灯镇,填报单位：千灯镇,"  # without a figure, it is held rather than understood
    assert held(opened, f"{text}\n{office}\n") == "单位:千灯…"
    assert fates(read(f"{text}\n{office}\n")) == ["data"] * 5


def test_a_page_may_say_the_declared_unit_of_the_first_again(opened, read):
    page = "单位：万条,,\n编号,单位,数量\n"
    rows = read(f"{page}1,a,2\n{page}3,b,4\n", ABOVE)
    assert fates(rows) == ["data", "note", "noise", "data"]
    assert rows[-1]["amount"] == "4万条"
    assert held(opened, f"{page}1,a,2\n{page}3,b,4\n") == "万条"


def test_an_office_among_the_rows_is_no_unit(read):
    assert fates(read(f"{HEADER}\n1,填报单位：甲局,2\n2,单位：万条,3\n")) == ["data", "data"]


SCALED_NOTES = [
    "注：以上数据均以万条计",
    "注：表中数据单位均为万条。",
    "注：单位万条",
    "注：以上数据单位为万",
    "注：数据均为万条",
    "注：(万条) 为计量单位",
    "注：（万）",
    "数量以万计",
    "单位统一为万条",
    "以上数据均以万条计算，下同",
    "注：数量按 萬 条 计",
    "说明：数量以万条统计",
    "以上为万条",
]


@pytest.mark.parametrize("note", SCALED_NOTES)
@pytest.mark.parametrize("form", ["{}", "{},,", ",,{}"])
def test_a_note_below_that_says_a_scale_is_held(opened, note, form):
    note = form.format(note.replace(",", "，"))
    assert held(opened, f"{HEADER}\n1,a,2\n{note}\n")


@pytest.mark.parametrize("row", ["注：,以上均为万条,", "备注,单位均为万条,"])
def test_a_note_whose_title_has_a_cell_of_its_own_is_held(opened, row):
    assert held(opened, f"{HEADER}\n1,a,2\n{row}\n") == "万条"


@pytest.mark.parametrize(
    "note",
    [*SCALED_NOTES, "单位均为万条", "数据单位万条。", "单位为万", "单位万", "计量单位统一为万条"],
)
def test_a_scale_said_above_is_held_with_and_without_a_colon(note):
    _, header = locate(PLAIN, [[note], ["编号", "单位", "数量"]])
    assert (header.suffixes, header.faults(PLAIN)) == ({}, ())
    assert header.unit_words


FIGURES_IN_NOTES = [
    "注：共3.5万条",
    "比上年增加2万条",
    "共 3.5 万条，其中新增 2 万条",
    "满意度按百分制计",
    "事业单位百余家",
    "制表单位：万州区大数据局",
    "注：以条计",
    "单位均为条",
    "数据单位条",
]
NOTES_HELD_RATHER_THAN_GUESSED = [
    "注：突破万条",
    "每万条错误率",
    "近万条",
    "数以万计的记录",
    "注：万条山镇的数据",
    "按千条计费",
    "注：单位万某某",
    "注：万条计划内的不计",
]


@pytest.mark.parametrize("note", FIGURES_IN_NOTES)
def test_a_note_with_a_figure_or_the_stored_unit_holds_nothing(opened, read, note):
    note = note.replace(",", "，")
    text = f"{HEADER}\n1,a,2\n{note},,\n{note}\n"
    rows = read(text)
    assert (rows[0]["amount"], len(rows)) == ("2", 3)
    reading = opened(text)
    rows_of(reading)
    assert reading.holds == ()
    _, header = locate(PLAIN, [[note], ["编号", "单位", "数量"]])
    assert (header.suffixes, header.faults(PLAIN), header.unit_words) == ({}, (), {})


@pytest.mark.parametrize("note", NOTES_HELD_RATHER_THAN_GUESSED)
def test_a_note_with_a_scale_and_no_figure_is_held_whatever_it_means(opened, note):
    assert held(opened, f"{HEADER}\n1,a,2\n{note},,\n")
    assert held(opened, f"{HEADER}\n1,a,2\n{note}\n")
    assert "某某" not in held(opened, f"{note}\n{HEADER}\n1,a,2\n")


def test_a_note_below_holds_nothing_where_the_header_says_every_unit(opened, read):
    text = "编号,单位,数量（万条）\n1,a,2\n注：以上数据均以万条计\n"
    assert read(text)[0]["amount"] == "2万条"
    reading = opened(text)
    rows_of(reading)
    assert reading.holds == ()


def test_a_row_of_data_that_names_a_scale_is_no_line(read):
    rows = read(f"{HEADER}\n1,投入（万条）,2\n2,投入（万条）,\n3,以万条计,\n")
    assert fates(rows) == ["data"] * 3


def test_a_cell_of_a_unit_is_held_in_a_line_of_any_width(opened):
    grid = "编号,单位,数量,a,b,c\n1,x,2,,,\n填报单位：甲,填报日期：略,填报人：略,电话：略,,{}\n"
    assert held(opened, grid.format("单位：万条")) == "万条"
    assert held(opened, grid.format("计量单位：（万条）")) == "万条"
    for cell in ("单位：条", "填报单位：万条"):
        reading = opened(grid.format(cell))
        rows_of(reading)
        assert reading.holds == ()


@pytest.mark.parametrize(
    "row", ["\u200b,,", "\u200b", "\ufeff,\u2060,\u3000\u200b ", ",\u200e,", "\x1a", "\x1a,,"]
)
def test_a_row_of_nothing_that_shows_is_blank(read, row):
    """The last byte of a file of DOS is 0x1A."""
    assert fates(read(f"{HEADER}\r\n1,a,2\r\n{row}")) == ["data", "noise"]
    assert fates(read(f"{HEADER}\n{row}\n1,\u200ba,2\n")) == ["noise", "data"]


def test_a_page_of_two_header_rows_or_of_units_is_compared_too(opened):
    source = CASES.model_copy(update={"unit_row": True})
    head = "序号,单位,办件量,,备注\n,,网上,窗口,\n,,（件）,（件）,\n1,a,2,3,\n"
    for page in (
        "序号,单位,办件量(万件),,备注\n,,网上,窗口,\n",
        "序号,单位,办件量,,备注\n,,网上(万件),窗口,\n",
        "序号,单位,办件量,,备注\n,,网上,窗口,\n,,（万件）,（件）,\n",
    ):
        assert refused(opened, f"{head}{page}4,b,5,6,\n", source).code == "page_header"


@pytest.mark.parametrize(
    "page",
    [
        "序号,单位,办件量,,备注,附件\n,,窗口,网上,,\n",
        "序号,单位,办件量（万件）\n,,网上,窗口,\n",
        "序,单,办理量,,备\n,,窗口,网上,\n",
        "序号,,办件量,,备注,x\n,,网上,窗口,\n",
    ],
)
def test_part_of_a_header_of_two_rows_is_not_passed_over(opened, page):
    """Ragged upper rows come apart from the lower ones, and so do those spelled otherwise."""
    head = "序号,单位,办件量,,备注\n,,网上,窗口,\n1,a,2,3,\n"
    reason = refused(opened, f"{head}{page}4,b,5,6,\n", CASES)
    assert reason.code == "page_header"


# --- headers: fewer rows than agreed ------------------------------------------------------------


def test_a_row_of_data_is_not_taken_for_the_second_row_of_a_header():
    columns = [
        {"name": "number", "header": "序号", "type": "text", "required": True},
        {"name": "contact", "header": "联系人", "type": "text"},
        {"name": "note", "header": "备注", "type": "text"},
    ]
    source = contract(columns=columns, header_rows=2)
    rows = [["序号", "联系人", "备注"], ["", "张三丰", "住址东风路八号"], ["2", "x", "y"]]
    _, header = locate(source, rows)
    faults = header.faults(source)
    assert {(fault.code, fault.column, fault.value) for fault in faults} == {
        ("header_depth", "contact", "联系人"),
        ("header_depth", "note", "备注"),
    }
    told = "".join(reason.english() + reason.chinese() for reason in (*faults, *header.warnings))
    assert "张三丰" not in told
    assert "东风路" not in told


def test_a_header_of_fewer_rows_than_agreed_is_no_header():
    rows = [["序号", "单位", "办件量"], ["1", "甲", "5"]]
    index, header = locate(CASES, rows)
    assert (index, header.positions) == (-1, {})
    faults = header.faults(CASES)
    assert {fault.code for fault in faults} == {"missing_column"}
    assert [fault.column for fault in faults] == ["number", "office", "online"]


# --- headers: what is told, and columns without one ---------------------------------------------


@pytest.mark.parametrize(
    ("cell", "shown"), [("新增数据", "新增数据"), ("新增数据量13812345678", "新增数据量…")]
)
def test_a_missing_column_is_told_with_the_headers_that_are_there(cell, shown):
    columns = [
        {"name": "number", "header": "编号", "type": "text", "required": True},
        {
            "name": "fresh",
            "header": ["新增数据量", "当日新增"],
            "type": "integer",
            "required": True,
        },
    ]
    source = contract(columns=columns)
    (fault,) = match(source, ["编号", cell]).faults(source)
    assert (fault.code, fault.value) == ("missing_column", f"编号、{shown}")
    assert "新增数据量 / 当日新增" in fault.chinese(source.titles)


def test_cells_of_a_row_that_may_be_data_are_no_extra_columns_by_name():
    header = match(PLAIN, ["编号", "张三", "李四"])
    assert header.extra == ("…", "…")


def test_cells_of_a_row_that_may_be_data_are_not_shown():
    (fault,) = match(PLAIN, ["编 号1", "张三", "李四"]).faults(PLAIN)
    assert "编" not in fault.value
    assert "（无表头）" in fault.chinese()


def test_columns_without_a_header_are_filled_by_the_sheet_and_never_missed():
    columns = [
        {"name": "number", "header": "编号", "type": "text", "required": True},
        {"name": "district", "from_sheet": True, "type": "text", "required": True},
        {"name": "amount", "header": "数量", "type": "decimal", "required": True},
        {"name": "about", "qualifier_of": "amount", "type": "text"},
    ]
    source = contract(columns=columns)
    _, header = locate(source, [["编号", "数量"]])
    assert header.faults(source) == ()
    assert header.positions == {"number": 0, "amount": 1}
    cells = [pa.array(["1"]), pa.array(["约2"])]
    (row,) = from_columns(source, header, cells, np.array([2]), "城东区").to_pylist()
    assert (row["number"], row["district"], row["amount"]) == ("1", "城东区", "约2")
    assert row["about"] is None
    (row,) = from_columns(source, header, cells, np.array([2])).to_pylist()
    assert row["district"] is None


def test_hidden_rows_are_noise():
    _, header = locate(PLAIN, [["编号", "单位", "数量"]])
    columns = [pa.array(["1", "2"]), pa.array(["a", "b"]), pa.array(["3", "4"])]
    hidden = np.array([False, True])
    rows = from_columns(PLAIN, header, columns, np.array([2, 3]), "", hidden).to_pylist()
    assert fates(rows) == ["data", "noise"]
