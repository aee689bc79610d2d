from __future__ import annotations

import csv
import io
import json
import zipfile
from datetime import date, datetime, time
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pyarrow.parquet
import pytest
import xlsxwriter
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipelines.contracts.extensions import format_of
from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import RejectedError, UnreadableError
from pipelines.reading.csv import delimited
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import cell_text, layout
from pipelines.reading.records import fields
from pipelines.reading.records import parquet as parquet_reader
from pipelines.reading.workbooks import grid as workbook_reader

LIMIT = 1 << 30
HEADER = "编号,名称,电话"
SECRET = "13812345678"


def contract(**formats):
    return Source.model_validate(
        {
            "name": "people",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": {"csv": {}, "xlsx": {}, "jsonl": {}, "parquet": {}} | formats,
            "columns": [
                {"name": "number", "header": ["编号", "序号"], "type": "text", "required": True},
                {"name": "name", "header": "名称", "type": "text"},
                {"name": "phone", "header": "电话", "type": "text", "pii": "phone"},
            ],
        }
    )


PLAIN = contract()


@pytest.fixture
def read(tmp_path):
    """Rows of bytes read as a format, in file order; every batch has the one layout."""

    def reader(data, format_name="csv", source=PLAIN, department=None, limit=LIMIT):
        path = tmp_path / "export"
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return rows_of(path, format_name, source, department, limit)

    return reader


def rows_of(path, format_name="csv", source=PLAIN, department=None, limit=LIMIT):
    rows = []
    with TemporaryDirectory() as scratch:
        opened = open_delivery(path, format_name, source, department, limit, Path(scratch))
        for batch in opened.batches:
            assert batch.schema == layout(source)
            rows += batch.drop_columns(["_torn"]).to_pylist()  # raw by intent, and never staged
    return sorted(rows, key=lambda row: row["row_number"])


def cells(rows):
    return [(row["number"], row["name"], row["phone"]) for row in rows]


def numbers(rows):
    return [row["row_number"] for row in rows]


def refused(read, *args, **options):
    with pytest.raises(UnreadableError) as caught:
        read(*args, **options)
    assert caught.value.reason.english()
    assert caught.value.reason.chinese()
    return caught.value.reason


def assert_unmapped(row, code, value):
    assert (row["_fault"], row["_fault_value"]) == (code, value)
    assert cells([row]) == [(None, None, None)]


# --- names and cells ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", "csv"),
        ("a.CSV", "csv"),
        ("a.tsv", "csv"),
        ("a.txt", "csv"),
        ("a.b.xlsx", "xlsx"),
        ("a.ndjson", "jsonl"),
        ("a.jsonl", "jsonl"),
        ("a.parquet", "parquet"),
        ("a.doc", None),
        ("csv", None),
        (".csv", None),
        ("a.json", "json"),
        ("a.xml", "xml"),
        ("a.xlsm", "xlsx"),
        ("a.csv.gz", "csv.gz"),
        ("a.TSV.GZ", "csv.gz"),
        ("a.b.zip", "zip"),
        ("a.csv.zip", "csv.zip"),
        ("a.zip.gz", "zip.gz"),
        ("a.gz", None),
        ("a.b.gz", None),
        (".zip", None),
        ("zip", None),
        (".csv.gz", None),
        ("a.tar.gz", None),
    ],
)
def test_a_name_claims_a_format(name, expected):
    assert format_of(Path(name)) == expected


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, None),
        ("", None),
        (" x ", " x "),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (12345678901234567890, "12345678901234567890"),
        (1.0, "1"),
        (-0.5, "-0.5"),
        (1234567.25, "1234567.25"),
        (1e20, "100000000000000000000"),
        (1e-7, "0.0000001"),
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (date(2021, 9, 8), "2021-09-08"),
        (datetime(2021, 9, 8), "2021-09-08"),
        (datetime(2021, 9, 8, 1, 2), "2021-09-08 01:02:00"),
        (time(3, 4, 5), "03:04:05"),
        ([1, "二"], '[1, "二"]'),
        (Decimal("1.10"), "1.10"),
    ],
)
def test_a_cell_as_a_person_would_have_typed_it(cell, text):
    assert cell_text(cell) == text


@pytest.mark.parametrize("format_name", ["csv", "xlsx", "jsonl", "parquet"])
def test_a_file_without_bytes_is_unreadable(read, format_name):
    assert refused(read, b"", format_name).code == "empty_file"


@pytest.mark.parametrize("format_name", ["csv", "xlsx", "jsonl", "parquet"])
def test_an_undeclared_format_names_those_that_are(read, format_name):
    signed = {"csv": b"x", "xlsx": b"\0", "jsonl": b"{}", "parquet": b"PAR1"}[format_name]
    reason = refused(read, signed, format_name, contract(**{format_name: None}))
    assert (reason.code, reason.value) == ("format", format_name)
    assert set(reason.expected.split(", ")) == {"csv", "xlsx", "jsonl", "parquet"} - {format_name}


# --- CSV: encodings -----------------------------------------------------------------------------

TEXT = f"{HEADER}\n1,㐂𠮷·公安局,{SECRET}\n2,上下,\n"  # 㐂 and 𠮷 take four bytes in GB18030


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_the_declared_encoding_is_read(read, encoding, mark):
    mark = "" if encoding == "utf-16" else mark  # its codec writes one of its own
    rows = read((mark + TEXT).encode(encoding), source=contract(csv={"encoding": encoding}))
    assert cells(rows) == [("1", "㐂𠮷·公安局", SECRET), ("2", "上下", "")]
    assert numbers(rows) == [2, 3]


def test_a_department_may_write_another_dialect(read):
    source = contract(
        csv={"encoding": "gb18030", "departments": {"wjw": {"delimiter": "\t", "quote": "'"}}}
    )
    data = "编号\t名称\t电话\n1\t'a\tb'\t2\n'合\t计'\t2\n"
    rows = read(data, source=source, department="wjw")
    assert cells(rows)[0] == ("1", "a\tb", "2")
    assert rows[1]["_first"] == "合\t计"
    assert refused(read, data, source=source, department="gaj").code == "encoding"


@pytest.mark.parametrize("declared", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize("sent", ["utf-8", "gb18030", "utf-16", "utf-16-le", "utf-16-be", "big5"])
def test_another_encoding_is_an_error_and_never_a_guess(read, declared, sent):
    if declared == sent:
        return
    data = f"{HEADER}\n1,公安局,{SECRET}\n".replace("编号", "序號" if sent == "big5" else "编号")
    data = data.encode(sent, "replace")
    with pytest.raises((UnreadableError, RejectedError)) as caught:
        read(data, source=contract(csv={"encoding": declared}))
    assert SECRET not in str(caught.value)
    if sent in ("utf-8", "gb18030", "utf-16"):
        assert caught.value.reason.code == "encoding"
        assert caught.value.reason.expected == declared


@pytest.mark.parametrize(
    ("declared", "good", "bad"),
    [
        ("utf-8", f"{HEADER}\n1,公安局,", "卫健委\n".encode("gb18030")),
        ("gb18030", f"{HEADER}\n1,公安局,\n2,", b"\xff\xff\n"),
        ("utf-16", f"{HEADER}\n上,上上,\n2,", b"\x00\xdc\n\x00"),
    ],
)
@pytest.mark.parametrize("filler", [0, 1, 100_000])
def test_a_byte_that_does_not_fit_is_named_with_its_line(read, declared, good, bad, filler):
    """The filler puts the byte behind the first block, and characters across its border."""
    good += "上" * 10 + "上,上上,上\n" * filler
    before = good.encode(declared)
    reason = refused(read, before + bad, source=contract(csv={"encoding": declared}))
    assert reason.value == f"byte {len(before)}, line {good.count(chr(10)) + 1}"


def test_text_that_decodes_into_nonsense_is_told_by_the_header_it_would_have(read):
    reason = refused(read, f"{HEADER}\n1,a,b\n", source=contract(csv={"encoding": "gb18030"}))
    assert reason.value == "it reads as utf-8"


# --- CSV: shapes --------------------------------------------------------------------------------


def test_quotes_hold_delimiters_breaks_and_quotes(read):
    rows = read(f'{HEADER}\n1,"a,b","c""d"\n2,"x\ny\r\nz",\n3,5" pipe,"q"\n')
    assert cells(rows) == [("1", "a,b", 'c"d'), ("2", "x\ny\r\nz", ""), ("3", '5" pipe', "q")]
    assert numbers(rows) == [2, 3, 4]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_line_ends_of_every_system(read, newline, last):
    lines = [HEADER, "1,a,b", "2,a", "", "3,c,d"]
    rows = read(newline.join(lines) + (newline if last else ""))
    assert numbers(rows) == [2, 3, 4, 5]
    assert_unmapped(rows[1], "cells", "2")
    assert [row["_noise"] for row in rows] == [False, False, True, False]


def test_blank_rows_of_any_width_are_blank(read):
    rows = read(f"{HEADER}\n\n,,\n  ,　,\n,\n   \n,,,,\n1,a,b\n")
    assert [row["_noise"] for row in rows] == [True] * 6 + [False]
    assert numbers(rows) == list(range(2, 9))


def test_rows_of_another_width_keep_their_place_only(read):
    rows = read(f"{HEADER}\n1,a,b\n2,{SECRET}\n3,a,b\n4,{SECRET},x,y\n合计,9\n")
    assert numbers(rows) == [2, 3, 4, 5, 6]
    assert_unmapped(rows[1], "cells", "2")
    assert_unmapped(rows[3], "cells", "4")
    assert rows[4]["_first"] == "合计"  # a footer is known by it
    assert SECRET not in str(rows)


@pytest.mark.parametrize(
    "titles", ["标题\n", "标题,,\n\n制表:x\n", '"两行\n标题",\n', "a,b,c,d,e\n"]
)
def test_titles_above_count_as_rows(read, titles):
    above = len(list(csv.reader(io.StringIO(titles, newline=""))))
    rows = read(f"{titles}{HEADER}\n1,a,b\n2\n3,c,d\n")
    assert numbers(rows) == [above + 2, above + 3, above + 4]
    assert_unmapped(rows[1], "cells", "1")


def test_a_header_with_a_line_break_is_one_row(read):
    rows = read('"编\n号","名\r\n称",电话\n1,a,b\n2\n"3\n3",c,d\n4\n')
    assert numbers(rows) == [2, 3, 4, 5]
    assert [row["_fault"] for row in rows] == [None, "cells", None, "cells"]


def test_columns_in_another_order_and_missing_ones(read):
    rows = read("备注,电话,编号\nx,2,1\n")
    assert cells(rows) == [("1", None, "2")]
    assert rows[0]["_first"] == "x"


def test_a_cell_beyond_the_last_header_makes_the_row_unmappable(read):
    rows = read(f"{HEADER},,\n1,a,b,,\n2,a,{SECRET},b,\n,,,,\n")
    assert cells(rows)[0] == ("1", "a", "b")
    assert_unmapped(rows[1], "cells", "4")
    assert SECRET not in str(rows)
    assert rows[2]["_noise"]


@pytest.mark.parametrize("text", [HEADER, HEADER + "\n", HEADER + "\r\n", "标题\n" + HEADER])
def test_a_header_alone_has_no_rows(read, text):
    assert read(text) == []


def test_rows_with_nul_bytes_are_no_text_and_the_others_go_on(read):
    rows = read(f"{HEADER}\n1,a\0b,\n2\0,x\n\0\n3,c,d\n")
    assert_unmapped(rows[0], "nul", "2")
    assert_unmapped(rows[1], "cells", "2")
    assert_unmapped(rows[2], "cells", "1")
    assert cells(rows[3:]) == [("3", "c", "d")]


@pytest.mark.parametrize("above", [0, 100])
@pytest.mark.parametrize("row", ["1,{},b", "{},b", '"{}\n",,'])
def test_a_huge_cell_is_a_cell(read, above, row):
    rows = read(HEADER + "\n" + "0,a,b\n" * above + row.format("x" * 300_000) + "\n2,c,d\n")
    assert numbers(rows) == list(range(2, above + 4))
    assert rows[-1]["number"] == "2"


@pytest.mark.parametrize("rest", ["", "3,c,d\n", "3,c,d\n" * 5_000, "3,c,d\n" * 2_000_000])
@pytest.mark.parametrize("open_row", ['2,"b,', '2,b,"', '"2,b,c'])
def test_a_quote_that_is_never_closed_does_not_swallow_the_rows_below(read, open_row, rest):
    if len(rest) > 1 << 20 and open_row != '2,b,"':
        return
    reason = refused(read, f'{HEADER}\n1,"a",b\n{open_row}\n{rest}')
    assert reason.code == "open_quote"
    assert reason.value == "3"


def test_an_odd_quote_inside_a_cell_is_no_open_quote(read):
    assert len(read(f'{HEADER}\n1,5" pipe,b\n2,c,d\n')) == 2
    assert len(read(f'{HEADER}\n1,"a"" b",5"\n2,c,d')) == 2


@pytest.mark.parametrize(
    "text",
    [f"{SECRET},张三,1\n2,李四\n\n3,a,b,c,d\n", f"张三\n{SECRET}\n", f'"{SECRET}\n张三",x\n'],
)
def test_without_a_header_no_content_is_told_and_every_row_is_counted(read, text):
    with pytest.raises(RejectedError) as caught:
        read(text)
    assert caught.value.rows_read == len(list(csv.reader(io.StringIO(text, newline=""))))
    told = str(caught.value) + "".join(reason.chinese() for reason in caught.value.reasons)
    assert SECRET not in told
    assert "张三" not in told


def test_a_missing_column_rejects_with_all_rows_read(read):
    with pytest.raises(RejectedError) as caught:
        read("名称,电话\na,b\nc\n\nd,e\n")
    assert [reason.column for reason in caught.value.reasons] == ["number"]
    assert caught.value.rows_read == 4
    with pytest.raises(RejectedError, match="twice"):
        read("编号,序号,名称\n1,2,3\n")


# random grids: rows of any width, blank ones, quotes and line breaks, whatever the block size
GRID_CELL = st.text(st.sampled_from("ab1,\"\n\r 　上\t'"), max_size=4)
GRID_ROW = st.one_of(
    st.lists(GRID_CELL, min_size=3, max_size=3),
    st.lists(GRID_CELL, min_size=3, max_size=3),
    st.lists(GRID_CELL, min_size=1, max_size=6),
    st.just([]),
    st.lists(st.sampled_from(["", " ", "　"]), min_size=1, max_size=5),
)


@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16"])
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    titles=st.lists(st.sampled_from(["标题", "两\n行", ""]), max_size=3),
    grid=st.lists(GRID_ROW, max_size=40),
    newline=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    ends=st.booleans(),
    block=st.sampled_from([256, 300, 1 << 20]),
)
@example([], [["1"], ["1", "2", "3"]] * 60, "\n", csv.QUOTE_MINIMAL, True, 256)
@example([], [["1", "2", "3"]] * 30 + [["1"]] * 30 + [["1", "2", "3"]], "\n", 1, False, 256)
@example([], [[",,\r"]], "\n", csv.QUOTE_MINIMAL, False, 256)
def test_every_row_is_numbered_and_accounted_for(
    monkeypatch, encoding, titles, grid, newline, quoting, ends, block
):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator=newline, quoting=quoting)
    for row in [*([title] for title in titles), HEADER.split(","), *grid]:
        writer.writerow(row)
    text = out.getvalue() if ends else out.getvalue().removesuffix(newline)
    expected = list(csv.reader(io.StringIO(text, newline="")))[len(titles) + 1 :]

    monkeypatch.setattr(delimited, "CSV_BLOCK", block)
    with TemporaryDirectory() as folder:
        path = Path(folder, "export")
        path.write_bytes(text.encode(encoding))
        rows = rows_of(path, source=contract(csv={"encoding": encoding}))

    first = len(titles) + 2
    assert numbers(rows) == list(range(first, first + len(expected)))
    for row, sent in zip(rows, expected, strict=True):
        blank = not "".join(sent).strip()
        beyond = "".join(sent[3:]).strip()
        swallows = any(cell.count(",") > 1 and set(cell) & set("\r\n") for cell in sent)
        assert row["_noise"] == blank
        if not blank:
            assert row["_first"].strip() == ("" if swallows else sent[0].strip())
        if beyond:
            last = max(place for place, cell in enumerate(sent, 1) if cell.strip())
            assert_unmapped(row, "cells", str(last))
        elif len(sent) < 3 and not blank:
            assert_unmapped(row, "cells", str(len(sent)))
        elif swallows and not blank:
            assert row["_fault"] == "swallowed"
        else:
            assert row["_fault"] is None
            if not blank:
                assert cells([row]) == [tuple(sent[:3])]


def test_numbers_go_on_over_batches(read, monkeypatch):
    monkeypatch.setattr(delimited, "CSV_BLOCK", 1 << 12)
    sent = [f"{n},a,b" if n % 7 else f"{n},a" for n in range(5_000)]
    rows = read(HEADER + "\n" + "\n".join(sent) + "\n")
    assert numbers(rows) == list(range(2, 5_002))
    assert [row["row_number"] for row in rows if row["_fault"]] == list(range(2, 5_002, 7))
    assert all(row["number"] == str(row["row_number"] - 2) for row in rows if not row["_fault"])


# --- workbooks ----------------------------------------------------------------------------------


def workbook(fill, sheets=("Sheet1",)):
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    fill(book, [book.add_worksheet(name) for name in sheets])
    book.close()
    return out.getvalue()


def grid(*rows, at=0, column=0):
    def fill(book, sheets):
        for number, row in enumerate(rows, start=at):
            sheets[0].write_row(number, column, row)

    return workbook(fill)


def test_a_workbook_below_merged_titles_as_a_clerk_makes_it(read):
    def fill(book, sheets):
        sheet = sheets[0]
        sheet.merge_range("A1:C1", "视频资源通道清单")
        sheet.write("A2", "填报日期:2021年10月1日")
        sheet.write_row("A4", HEADER.split(","))
        day = book.add_format({"num_format": "yyyy-mm-dd"})
        instant = book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss"})
        sheet.write_number("A5", 44447)
        sheet.write_datetime("B5", datetime(2021, 9, 8), day)
        sheet.write_datetime("C5", datetime(2021, 9, 8, 3, 4, 5), instant)
        sheet.write_row("A6", [1234567.25, True, False])
        sheet.write_formula("A8", "=1/0", value="#DIV/0!")
        sheet.write_string("B8", "0012")
        sheet.write_row("A9", ["合计"])

    rows = read(workbook(fill), "xlsx")
    assert numbers(rows) == [5, 6, 7, 8, 9]
    assert cells(rows)[:2] == [
        ("44447", "2021-09-08", "2021-09-08 03:04:05"),
        ("1234567.25", "true", "false"),
    ]
    assert [row["_noise"] for row in rows] == [False, False, True, False, False]
    assert_unmapped(rows[3], "error_cell", "#DIV/0!")
    assert rows[4]["_first"] == "合计"
    assert {row["sheet"] for row in rows} == {"Sheet1"}


@pytest.mark.parametrize("at", [0, 1, 7])
@pytest.mark.parametrize("column", [0, 2])
def test_row_numbers_are_excels_whatever_is_empty_above_or_left(read, at, column):
    rows = read(
        grid(HEADER.split(","), ["1", "a", "b"], [], [], ["2", "c", "d"], at=at, column=column),
        "xlsx",
    )
    assert numbers(rows) == [at + 2, at + 3, at + 4, at + 5]
    assert [row["number"] for row in rows if not row["_noise"]] == ["1", "2"]


def test_a_note_beside_the_table_makes_its_row_unmappable(read):
    rows = read(grid(HEADER.split(","), ["1", "a", "b"], ["2", SECRET, "b", "", "见电话"]), "xlsx")
    assert cells(rows)[0] == ("1", "a", "b")
    assert_unmapped(rows[1], "cells", "5")
    assert SECRET not in str(rows)


def test_numbers_go_on_over_a_workbooks_batches(read, monkeypatch):
    monkeypatch.setattr(workbook_reader, "BATCH_ROWS", 7)
    rows = read(
        grid(["标题"], HEADER.split(","), *([str(n), "a", "b"] for n in range(100))), "xlsx"
    )
    assert numbers(rows) == list(range(3, 103))
    assert [row["number"] for row in rows] == [str(n) for n in range(100)]


@pytest.mark.parametrize(("sheet", "number"), [(0, "1"), (1, "2"), ("汇总", "2")])
def test_the_declared_sheet_is_read(read, sheet, number):
    def fill(book, sheets):
        for position, one in enumerate(sheets, start=1):
            one.write_row("A1", HEADER.split(","))
            one.write("A2", str(position))

    data = workbook(fill, ("明细", "汇总"))
    (row,) = read(data, "xlsx", contract(xlsx={"sheet": sheet}))
    assert row["number"] == number


@pytest.mark.parametrize("sheet", [2, "表3"])
def test_a_missing_sheet_is_told_with_those_there_are(read, sheet):
    data = workbook(lambda book, sheets: None, ("明细", "汇总"))
    reason = refused(read, data, "xlsx", contract(xlsx={"sheet": sheet}))
    assert (reason.code, reason.value, reason.expected) == (
        "missing_sheet",
        "明细、汇总",
        str(sheet),
    )


def test_an_empty_sheet_has_no_header_and_a_header_alone_no_rows(read):
    with pytest.raises(RejectedError, match="no header row"):
        read(grid(), "xlsx")
    assert read(grid(["标题"], HEADER.split(",")), "xlsx") == []


def test_a_workbook_without_a_header_tells_no_content(read):
    with pytest.raises(RejectedError) as caught:
        read(grid(["张三", SECRET], ["李四", SECRET]), "xlsx")
    assert caught.value.rows_read == 2
    assert SECRET not in str(caught.value)


SOUND = grid(HEADER.split(","), ["1", "a", "b"])


@pytest.mark.parametrize("kept", [4, 30, 0.3, 0.9, -30, -1])
def test_a_truncated_workbook_is_damaged(read, kept):
    length = int(len(SOUND) * kept) if isinstance(kept, float) else kept
    assert refused(read, SOUND[:length], "xlsx").code == "damaged"


def repacked(member, change):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(SOUND)) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            if name != member:
                new.writestr(name, data)
            elif (changed := change(data)) is not None:
                new.writestr(name, changed)
    return out.getvalue()


@pytest.mark.parametrize(
    ("member", "change"),
    [
        ("xl/worksheets/sheet1.xml", lambda data: data[: len(data) // 2]),
        ("xl/worksheets/sheet1.xml", lambda data: b""),
        ("xl/worksheets/sheet1.xml", lambda data: None),
        ("xl/worksheets/sheet1.xml", lambda data: data.replace(b'r="A', b'r="')),
        ("xl/sharedStrings.xml", lambda data: b"<sst></sst>"),
        ("xl/workbook.xml", lambda data: b"\x00\x01"),
        ("xl/workbook.xml", lambda data: None),
    ],
)
def test_a_damaged_workbook_is_damaged(read, member, change):
    with pytest.raises((UnreadableError, RejectedError)) as caught:
        read(repacked(member, change), "xlsx")
    if isinstance(caught.value, UnreadableError):
        assert caught.value.reason.code in ("damaged", "missing_sheet")


@pytest.mark.parametrize("data", [b"PK\x03\x04", b"\0" * 1000])
def test_what_is_no_workbook_is_damaged(read, data):
    assert refused(read, data, "xlsx").code == "damaged"


OLE = bytes.fromhex("d0cf11e0a1b11ae1")


def test_a_password_and_an_old_workbook_are_told_apart(read):
    locked = OLE + b"\0" * 1000 + "EncryptedPackage".encode("utf-16-le") + b"\0" * 1000
    assert refused(read, locked, "xlsx").code == "encrypted"
    old = refused(read, OLE + b"\0" * 1000 + "Workbook".encode("utf-16-le"), "xlsx")
    assert (old.code, old.value) == ("other_format", "xls")


def test_a_workbook_that_unpacks_too_far_is_not_unpacked(read):
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as package:
        package.writestr("xl/worksheets/sheet1.xml", b"0" * 5_000_000)
    assert len(bomb.getvalue()) < 10_000
    reason = refused(read, bomb.getvalue(), "xlsx", limit=4_999_999)
    assert (reason.code, reason.value, reason.expected) == ("too_large", "5000000", "4999999")


# --- JSON lines ---------------------------------------------------------------------------------


def lines(*records):
    return "\n".join(
        one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in records
    )


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ("12345678901234567890", "12345678901234567890"),
        ("1.10", "1.10"),
        ("-0", "-0"),
        ("0.1", "0.1"),
        ("1e3", "1000"),
        ("1.5E-3", "0.0015"),
        ("1e999999999", "1e999999999"),
        ("1e99999999999999999999", "1e99999999999999999999"),
        ("true", "true"),
        ("null", None),
        ('""', None),
        ('" 一 "', " 一 "),
        ('"\\u4e00"', "一"),
        ('"\\ud842\\udfb7"', "𠮷"),
        ('{"a": 1}', '{"a": "1"}'),
        ("[]", "[]"),
    ],
)
def test_a_json_value_keeps_the_text_that_was_sent(read, sent, text):
    (row,) = read(f'{{"编号": {sent}}}', "jsonl")
    assert row["number"] == text


def test_keys_may_be_missing_or_others_and_lines_blank(read):
    rows = read(
        lines({"编号": "1"}, "", {"电话": "2", "x": 1}, "  ", {"编号": "3"}) + "\r\n", "jsonl"
    )
    assert cells(rows) == [
        ("1", None, None),
        (None, None, None),
        (None, None, "2"),
        (None, None, None),
        ("3", None, None),
    ]
    assert [row["_noise"] for row in rows] == [False, True, False, True, False]
    assert numbers(rows) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "broken",
    [
        f'{{"编号": "{SECRET}"',
        f'["{SECRET}"]',
        f'"{SECRET}"',
        SECRET,
        "null",
        "true",
        f'{{"编号": "{SECRET}"}} x',
        f"{{'编号': '{SECRET}'}}",
        f'{{"编号": "{SECRET}\\ud800"}}',
        f'{{"编号": "{SECRET}", "\\udc00": 1}}',
        "[" * 100_000,
        '{"编号":' * 100_000,
        f'{{"编号": 1,}} {SECRET}',
    ],
)
def test_a_line_that_is_no_object_keeps_its_place_only(read, broken):
    rows = read(lines({"编号": "1"}, broken, {"编号": "2"}), "jsonl")
    assert numbers(rows) == [1, 2, 3]
    assert_unmapped(rows[1], "malformed", "2")
    assert SECRET not in str(rows)


def test_lines_that_are_all_broken_are_told_one_by_one(read):
    rows = read(lines(f'{{"{SECRET}"', f'"{SECRET}"'), "jsonl")
    assert [row["_fault"] for row in rows] == ["malformed"] * 2
    assert SECRET not in str(rows)


def test_unknown_keys_alone_are_not_repeated(read):
    with pytest.raises(RejectedError) as caught:
        read(lines({SECRET: 1}), "jsonl")
    assert SECRET not in str(caught.value)


def test_a_byte_order_mark_is_no_part_of_the_first_line(read):
    (row,) = read(lines({"编号": "1"}).encode("utf-8-sig"), "jsonl")
    assert row["number"] == "1"


def test_bytes_that_are_not_utf8_are_named_by_line(read):
    reason = refused(read, lines({"编号": "1"}, {"编号": "二"}).encode("gb18030"), "jsonl")
    assert (reason.code, reason.expected) == ("encoding", "utf-8")
    assert "line 1" in reason.value


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.just(""),
            st.just("[1]"),
            st.just("{"),
            st.just('{"编号": "1"}'),
            st.just('{"名称": 2}'),
        ),
        max_size=30,
    )
)
def test_every_line_is_numbered_and_accounted_for(sent):
    sent = ['{"编号": "0"}', *sent, '{"编号": "9"}']
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fields, "BATCH_ROWS", 4)
        path = Path(folder, "export")
        path.write_text("\n".join(sent))
        rows = rows_of(path, "jsonl")
    assert numbers(rows) == list(range(1, len(sent) + 1))
    for row, line in zip(rows, sent, strict=True):
        assert row["_noise"] == (line == "")
        assert (row["_fault"] == "malformed") == (line in ("[1]", "{"))


# --- Parquet ------------------------------------------------------------------------------------


def parquet(columns, **options):
    out = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), out, **options)
    return out.getvalue()


def test_parquet_types_become_text(read):
    rows = read(
        parquet(
            {
                "编号": pa.array(["a", "b", "a"]).dictionary_encode(),
                "名称": [Decimal("1.10"), None, Decimal("12345678901234567890.00")],
                "电话": [date(2021, 9, 8), None, date(2021, 1, 1)],
                "extra": [1.5, 2, None],
            }
        ),
        "parquet",
    )
    assert cells(rows) == [
        ("a", "1.10", "2021-09-08"),
        ("b", None, None),
        ("a", "12345678901234567890.00", "2021-01-01"),
    ]
    assert numbers(rows) == [1, 2, 3]


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([12345678901234567, None], ["12345678901234567", None]),
        ([1.5, 3.0], ["1.5", "3"]),
        ([True, False], ["true", "false"]),
        (["", " "], ["", " "]),
        ([None, None], [None, None]),
        ([[1, 2], None], ["[1, 2]", None]),
        ([{"a": "一"}, None], ['{"a": "一"}', None]),
    ],
)
def test_a_parquet_column_as_text(read, values, texts):
    rows = read(parquet({"编号": ["1", "2"], "名称": values}), "parquet")
    assert [row["name"] for row in rows] == texts


def test_bytes_that_are_no_text_do_not_break_the_file(read):
    rows = read(parquet({"编号": ["1", "2"], "名称": [b"\xff\x00", b"x"]}), "parquet")
    assert [(row["number"], row["_fault"]) for row in rows] == [(None, "no_text"), ("2", None)]


def test_numbers_go_on_over_row_groups(read, monkeypatch):
    monkeypatch.setattr(parquet_reader, "BATCH_ROWS", 7)
    data = parquet({"编号": [str(n) for n in range(100)]}, row_group_size=30)
    rows = read(data, "parquet")
    assert numbers(rows) == list(range(1, 101))
    assert [row["number"] for row in rows] == [str(n) for n in range(100)]


def test_parquet_without_rows_or_columns(read):
    assert read(parquet({"编号": pa.array([], pa.string())}), "parquet") == []
    with pytest.raises(RejectedError) as caught:
        read(parquet({"名称": ["a", "b"]}), "parquet")
    assert caught.value.rows_read == 2


PARQUET = parquet({"编号": [str(n) for n in range(1000)]}, compression="none", use_dictionary=False)


@pytest.mark.parametrize("kept", [4, 20, 0.5, -5, -1])
def test_truncated_parquet_is_damaged(read, kept):
    length = int(len(PARQUET) * kept) if isinstance(kept, float) else kept
    assert refused(read, PARQUET[:length], "parquet").code == "damaged"


@pytest.mark.parametrize("part", [slice(4, 60), slice(-80, -10)])
def test_scrambled_parquet_is_damaged(read, part):
    data = bytearray(PARQUET)
    data[part] = bytes(byte ^ 0x5A for byte in data[part])
    assert refused(read, bytes(data), "parquet").code == "damaged"


def test_parquet_that_unpacks_too_far_is_not_unpacked(read):
    data = parquet({"编号": ["x" * 1000] * 5000}, use_dictionary=False)
    assert refused(read, data, "parquet", limit=100_000).code == "too_large"
