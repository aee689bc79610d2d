"""Workbooks and pages in every shape that departments send, and hostile ones."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
import zipfile
from datetime import datetime

import openpyxl
import pytest
import xlsxwriter

from pipelines.contracts.sources import Source
from pipelines.deliveries.reasons import RejectedError, UnreadableError
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import layout
from pipelines.reading.webpages import html as html_module
from pipelines.reading.workbooks import cells as cells_module
from pipelines.reading.workbooks import packages, xlsx_parts

LIMIT = 1 << 30
HEADER = ["编号", "数量", "占比", "日期"]


def contract(header_rows=1, **formats):
    workbooks = {name: {} for name in ("xlsx", "xls", "xlsb", "ods", "html", "csv")}
    return Source.model_validate(
        {
            "name": "counts",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": workbooks | formats,
            "header_rows": header_rows,
            "footer": ["合计"],
            "columns": [
                {"name": "code", "header": ["编号"], "type": "text", "required": True},
                {"name": "amount", "header": ["数量", "办件量|网上"], "type": "integer"},
                {
                    "name": "share",
                    "header": ["占比", "办件量|窗口"],
                    "type": "decimal",
                    "unit": "%",
                    "share": True,
                    "maximum": 100,
                },
                {"name": "day", "header": "日期", "type": "date"},
                {"name": "district", "from_sheet": True, "type": "text"},
            ],
        }
    )


@pytest.fixture
def opened(tmp_path):
    def reader(data, format_name="xlsx", limit=LIMIT, header_rows=1, **options):
        source = contract(header_rows, **({format_name: options} if options else {}))
        path = tmp_path / "export"
        path.write_bytes(data)
        return open_delivery(path, format_name, source, None, limit, tmp_path), source

    return reader


@pytest.fixture
def read(opened):
    """The rows of bytes read as a format, by sheet in order of reading and by number."""

    def reader(*given, **options):
        reading, source = opened(*given, **options)
        rows = []
        for batch in reading.batches:
            assert batch.schema == layout(source)
            rows += batch.to_pylist()
        sheets = list(dict.fromkeys(row["sheet"] for row in rows))
        return sorted(rows, key=lambda row: (sheets.index(row["sheet"]), row["row_number"]))

    return reader


@pytest.fixture
def refused(read):
    def reason_of(*given, **options):
        with pytest.raises(UnreadableError) as caught:
            read(*given, **options)
        assert caught.value.reason.english()
        assert caught.value.reason.chinese()
        return caught.value.reason

    return reason_of


def told(rows, *names):
    return [tuple(row[name] for name in names) for row in rows]


def codes(rows):
    return [row["code"] for row in rows]


def workbook(*fills, options=None):
    """A workbook with a sheet for each (name, rows or a function that fills it)."""
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True} | (options or {}))
    for name, fill in fills:
        sheet = book.add_worksheet(name)
        if callable(fill):
            fill(sheet, book)
            continue
        for number, row in enumerate(fill):
            sheet.write_row(number, 0, row)
    book.close()
    return out.getvalue()


def one(*rows):
    return workbook(("Sheet1", [HEADER, *rows]))


# --- parts written by hand ----------------------------------------------------------------------

MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
HEAD = (
    '<row r="1"><c r="A1" t="inlineStr"><is><t>编号</t></is></c>'
    '<c r="B1" t="inlineStr"><is><t>数量</t></is></c></row>'
)


def package(rows=HEAD, parts=None, before="", target="worksheets/sheet1.xml", strings=""):
    """An .xlsx of one sheet with this XML inside its sheetData, the last parts given winning."""
    sheet = f'<worksheet xmlns="{MAIN}">{before}<sheetData>{rows}</sheetData></worksheet>'
    relation = f"{OFFICE}/worksheet"
    members = {
        "[Content_Types].xml": f'<Types xmlns="{PACKAGE}/content-types"/>',
        "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
        f'Type="{OFFICE}/officeDocument" Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="S" sheetId="1" r:id="rId7"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="rId7" Type="{relation}" Target="{target}"/></Relationships>',
        "xl/sharedStrings.xml": f'<sst xmlns="{MAIN}">{strings}</sst>',
        f"xl/{target}".replace("xl//", ""): sheet,
    } | (parts or {})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return out.getvalue()


def record(kind, data=b""):
    head = bytes([kind]) if kind < 128 else bytes([kind & 127 | 128, kind >> 7])
    size = len(data)
    sized = b""
    while size > 127:
        sized, size = sized + bytes([size & 127 | 128]), size >> 7
    return head + sized + bytes([size]) + data


def wide(text):
    return struct.pack("<I", len(text)) + text.encode("utf-16-le")


def xlsb(rows, hidden=(), is_1904=False, merged=(), strings=()):
    """A minimal .xlsb ([MS-XLSB]): texts, numbers, and #errors as bytes of their code."""
    body = record(129) + record(148, struct.pack("<4I", 0, 9, 0, 9)) + record(145)
    for number, row in rows.items():
        flags = 0x1000 if number in hidden else 0
        body += record(0, struct.pack("<IIHHBI", number, 0, 300, flags, 0, 0))
        for column, value in enumerate(row):
            cell = struct.pack("<II", column, 0)
            if isinstance(value, str):
                body += record(6, cell + wide(value))
            elif isinstance(value, bytes):
                body += record(3, cell + value)
            elif isinstance(value, tuple):
                body += record(7, cell + struct.pack("<I", *value))
            elif value is not None:
                body += record(5, cell + struct.pack("<d", value))
    body += record(146)
    if merged:
        body += record(177, struct.pack("<I", len(merged)))
        body += b"".join(record(176, struct.pack("<4I", *one)) for one in merged) + record(178)
    book = record(131) + record(153, struct.pack("<III", is_1904, 0, 0)) + record(143)
    book += record(156, struct.pack("<II", 0, 1) + wide("rId1") + wide("S"))
    book += record(144) + record(132)
    items = b"".join(record(19, b"\0" + wide(text)) for text in strings)
    count = struct.pack("<II", len(strings), len(strings))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(
            "[Content_Types].xml",
            f'<Types xmlns="{PACKAGE}/content-types">'
            '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.'
            'relationships+xml"/><Override PartName="/xl/workbook.bin" ContentType="application/'
            'vnd.ms-excel.sheet.binary.macroEnabled.main"/></Types>',
        )
        for name, kind, target in (
            ("_rels/.rels", "officeDocument", "xl/workbook.bin"),
            ("xl/_rels/workbook.bin.rels", "worksheet", "worksheets/sheet1.bin"),
        ):
            file.writestr(
                name,
                f'<Relationships xmlns="{PACKAGE}/relationships"><Relationship Id="rId1" '
                f'Type="{OFFICE}/{kind}" Target="{target}"/></Relationships>',
            )
        file.writestr("xl/workbook.bin", book)
        if strings:
            file.writestr("xl/sharedStrings.bin", record(159, count) + items + record(160))
        file.writestr("xl/worksheets/sheet1.bin", body + record(130))
    return out.getvalue()


# --- sheets -------------------------------------------------------------------------------------

DISTRICTS = workbook(
    ("东区", [HEADER, ["1", 5], ["2", 6]]),
    ("空", []),
    ("西区", [["西区填报表"], ["数量", "编号"], [7, "3"]]),
)


def test_all_sheets_are_one_delivery_each_row_with_its_place(read):
    rows = read(DISTRICTS, sheets="all")
    assert told(rows, "sheet", "row_number", "code", "amount", "district") == [
        ("东区", 2, "1", "5", "东区"),
        ("东区", 3, "2", "6", "东区"),
        ("西区", 3, "3", "7", "西区"),
    ]


def test_named_sheets_are_read_and_no_others(read, refused):
    assert codes(read(DISTRICTS, sheets=["西区"])) == ["3"]
    assert codes(read(DISTRICTS, sheets=["西区", "东区"])) == ["3", "1", "2"]
    reason = refused(DISTRICTS, sheets=["东区", "南区"])
    assert (reason.code, reason.expected) == ("missing_sheet", "南区")


@pytest.mark.parametrize("unsound", [0, 1, 2])
def test_a_sheet_without_the_header_rejects_all_of_them_by_name(read, unsound):
    fills = [(f"表{n}", [HEADER, [str(n), n]]) for n in range(3)]
    fills[unsound] = (f"表{unsound}", [["编码", "数量"], ["9", 9], ["8", 8]])
    with pytest.raises(RejectedError) as caught:
        read(workbook(*fills), sheets="all")
    (reason,) = caught.value.reasons
    assert (reason.code, reason.column, reason.place) == ("missing_column", "code", f"表{unsound}")
    assert caught.value.rows_read == 4


def test_rows_go_on_in_the_next_sheets_with_or_without_the_header(read):
    data = workbook(
        ("1", [["标题"], HEADER, ["1", 5]]),
        ("2", [["2", 6], ["3", 7]]),
        ("3", []),
        ("4", [["数量", "编号"], [8, "4"]]),
    )
    rows = read(data, sheets="continued")
    assert told(rows, "sheet", "row_number", "code", "amount") == [
        ("1", 3, "1", "5"),
        ("2", 1, "2", "6"),
        ("2", 2, "3", "7"),
        ("4", 2, "4", "8"),
    ]
    assert codes(read(data)) == ["1"]


def test_a_continued_sheet_with_half_a_header_is_not_guessed_at(read):
    data = workbook(("1", [HEADER, ["1", 5]]), ("2", [["编码", "数量"], ["2", 6]]))
    with pytest.raises(RejectedError) as caught:
        read(data, sheets="continued")
    assert caught.value.reasons[0].place == "2"


def test_a_continued_sheet_whose_first_columns_are_blank_keeps_its_columns(read, refused):
    first = ("1", [["x", *HEADER], ["甲", "1", 5]])
    rows = read(workbook(first, ("2", [[None, "2", 6], [None, "3"]])), sheets="continued")
    assert told(rows, "sheet", "code", "amount") == [
        ("1", "1", "5"),
        ("2", "2", "6"),
        ("2", "3", ""),
    ]
    moved = ("1", [[None, *HEADER], [None, "1", 5]])
    for second in ([["乙", "2", 6]], [[*[None] * 6, "7"]]):
        reason = refused(workbook(moved, ("2", second)), sheets="continued")
        assert (reason.code, reason.expected, reason.place) == ("shifted", "2", "2")


CONTINUED = contract().model_dump() | {
    "columns": [
        {"name": "code", "header": "编号", "type": "text", "required": True},
        {"name": "amount", "header": "数量", "type": "integer", "unit": "条"},
    ],
    "formats": {"xlsx": {"sheets": "continued"}},
}


UNITS = [["编号", "数量"], [None, "万条"]]


@pytest.mark.parametrize(
    ("declared", "first", "second", "amounts", "words"),
    [
        ({}, [["单位：万条"], ["编号", "数量"]], [["编号", "数量"]], ["5", "6"], "万条"),
        ({}, [["编号", "数量（万条）"]], [["编号", "数量（条）"]], ["5万条", "6"], ""),
        ({}, [["编号", "数量"]], [["单位：万条"], ["编号", "数量"]], ["5", "6"], "万条"),
        ({}, UNITS, [["编号", "数量"]], ["万条", "5", "6"], "万条"),
        ({"unit_row": True}, UNITS, UNITS, ["5万条", "6万条"], ""),
        ({"unit_row": True}, UNITS, [], ["5万条", "6万条"], ""),
        ({"unit_above": "万条"}, [["单位：万条"], ["编号", "数量"]], [], ["5万条", "6万条"], ""),
        (
            {"unit_above": "万条"},
            [["单位：万条"], ["编号", "数量"]],
            [["编号", "数量"]],
            ["5万条", "6万条"],
            "no line says 万条",
        ),
    ],
)
def test_a_unit_on_the_first_sheet_holds_for_those_that_continue_it(
    tmp_path, declared, first, second, amounts, words
):
    path = tmp_path / "export.xlsx"
    path.write_bytes(workbook(("1", [*first, ["1", 5]]), ("2", [*second, ["2", 6]])))
    source = Source.model_validate(CONTINUED | declared)
    reading = open_delivery(path, "xlsx", source, None, LIMIT, tmp_path)
    rows = [row["amount"] for batch in reading.batches for row in batch.to_pylist()]
    assert rows == amounts
    assert [reason.value for reason in reading.holds] == ([words] if words else [])


def test_a_continued_header_that_leaves_the_unit_of_the_first_away_is_refused(tmp_path):
    first, second = [["编号", "数量（万条）"], ["1", 5]], [["编号", "数量"], ["2", 6]]
    path = tmp_path / "export.xlsx"
    path.write_bytes(workbook(("1", first), ("2", second)))
    source = Source.model_validate(CONTINUED)
    with pytest.raises(UnreadableError) as caught:
        list(open_delivery(path, "xlsx", source, None, LIMIT, tmp_path).batches)
    assert (caught.value.reason.code, caught.value.reason.place) == ("page_header", "2")


def test_a_continued_header_that_leaves_the_row_of_units_away_is_refused(tmp_path):
    path = tmp_path / "export.xlsx"
    path.write_bytes(workbook(("1", [*UNITS, ["1", 5]]), ("2", [["编号", "数量"], ["2", 6]])))
    source = Source.model_validate(CONTINUED | {"unit_row": True})
    with pytest.raises(RejectedError) as caught:
        list(open_delivery(path, "xlsx", source, None, LIMIT, tmp_path).batches)
    assert {reason.code for reason in caught.value.reasons} == {"header_depth", "header_unit"}


def hidden_sheet(sheet, book):
    sheet.write_row(0, 0, HEADER)
    sheet.write_row(1, 0, ["9"])
    sheet.hide()


HIDING = workbook(("甲", [HEADER, ["1"]]), ("乙", hidden_sheet), ("丙", [HEADER, ["2"]]))


def test_hidden_sheets_are_taken_or_ignored_as_the_contract_says(read, refused):
    assert codes(read(HIDING, sheets="all")) == ["1", "9", "2"]
    assert codes(read(HIDING, sheets="all", hidden_sheets="ignore")) == ["1", "2"]
    assert codes(read(HIDING, sheet=2, hidden_sheets="ignore")) == ["2"]  # it counts every tab
    for asked in ({"sheet": 1}, {"sheet": "乙"}, {"sheets": ["甲", "乙"]}):
        reason = refused(HIDING, hidden_sheets="ignore", **asked)
        assert (reason.code, reason.value) == ("hidden_sheet", "乙")


def test_charts_are_no_sheets_of_rows(read, refused):
    out = io.BytesIO()
    book = xlsxwriter.Workbook(out, {"in_memory": True})
    for name, code in (("甲", "1"), ("丙", "2")):
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, HEADER)
        sheet.write_row(1, 0, [code, 5])
        if name == "甲":
            chart = book.add_chart({"type": "line"})
            chart.add_series({"values": "=甲!$B$2:$B$2"})
            book.add_chartsheet("图").set_chart(chart)
    book.close()
    assert codes(read(out.getvalue(), sheets="all")) == ["1", "2"]
    assert codes(read(out.getvalue(), sheet=2)) == ["2"]
    assert refused(out.getvalue(), sheet=1).code == "missing_sheet"


def test_a_workbook_of_a_thousand_sheets_is_refused(refused):
    reason = refused(workbook(*((str(n), []) for n in range(1001))), sheets="all")
    assert (reason.code, reason.value) == ("sheets", "1001")


# --- hidden rows --------------------------------------------------------------------------------


def filtered(sheet, book):
    for number, row in enumerate([HEADER, ["1"], ["2"], ["3"]]):
        sheet.write_row(number, 0, row)
    sheet.set_row(2, options={"hidden": True})


@pytest.mark.parametrize(
    ("format_name", "data"),
    [
        ("xlsx", workbook(("S", filtered))),
        ("xlsb", xlsb({0: HEADER, 1: ["1"], 2: ["2"], 3: ["3"]}, hidden={2})),
    ],
)
def test_hidden_rows_are_taken_unless_the_contract_ignores_them(read, format_name, data):
    noise = [row["_noise"] for row in read(data, format_name)]
    assert noise == [False, False, False]
    noise = [row["_noise"] for row in read(data, format_name, hidden_rows="ignore")]
    assert noise == [False, True, False]


# --- cells --------------------------------------------------------------------------------------


def test_an_error_cell_keeps_its_row_out_whatever_the_columns_type(read):
    def fill(sheet, book):
        sheet.write_row(0, 0, [*HEADER, "", "备注"])
        sheet.write_row(1, 0, ["1", 5])
        sheet.write_formula("A3", "=B9", value="#REF!")
        sheet.write_row("A4", ["3"])
        sheet.write_formula("B4", "=1/0", value="#DIV/0!")
        sheet.write_row("A5", ["4", 6])
        sheet.write_formula("F5", "=NA()", value="#N/A")  # no column of ours

    rows = read(workbook(("S", fill)))
    assert told(rows, "_fault", "_fault_value", "_fault_expected") == [
        (None, None, None),
        ("error_cell", "#REF!", "编号"),
        ("error_cell", "#DIV/0!", "数量"),
        (None, None, None),
    ]
    assert rows[2]["_torn"].startswith('["3", "#DIV/0!"')
    assert rows[1]["code"] is None


def test_errors_left_of_and_below_all_values_are_found(read):
    sheet = HEAD.replace("A1", "B1").replace(
        '"B1" t="inlineStr"><is><t>数量', '"C1" t="inlineStr"><is><t>数量'
    )
    rows = (
        '<row r="2"><c r="A2" t="e"><v>#N/A</v></c><c r="B2" t="inlineStr"><is><t>1</t></is></c>'
        '</row><row r="4"><c r="B4" t="e"><v>#REF!</v></c></row>'
    )
    found = read(package(sheet + rows))
    assert told(found, "row_number", "code", "_fault") == [
        (2, "1", None),
        (3, "", None),
        (4, None, "error_cell"),
    ]


@pytest.mark.parametrize("error", ["#SPILL!", "#CALC!", "#BUSY!", "#GETTING_DATA"])
def test_an_error_of_a_newer_program_refuses_the_file_and_names_the_cell(refused, error):
    rows = f'<row r="2"><c r="A2" t="e"><v>{error}</v></c><c r="B2"><v>5</v></c></row>'
    reason = refused(package(HEAD + rows))
    assert (reason.code, reason.value, reason.expected) == ("error_cell", error, "A2")


def test_what_is_no_error_is_refused_without_repeating_it(refused):
    rows = '<row r="2"><c r="A2" t="e"><v>13812345678</v></c></row>'
    reason = refused(package(HEAD + rows))
    assert (reason.code, reason.value) == ("error_cell", "#ERROR")
    assert "13812345678" not in reason.english()


def test_errors_of_binary_workbooks_are_told(read):
    data = xlsb({0: HEADER, 1: ["1", b"\x07"], 2: [b"\x2a", 5.0], 3: ["3", 6.0]})
    rows = read(data, "xlsb")
    assert told(rows, "_fault", "_fault_value") == [
        ("error_cell", "#DIV/0!"),
        ("error_cell", "#N/A"),
        (None, None),
    ]
    assert rows[2]["amount"] == "6"


def test_a_sheet_of_nothing_but_errors_is_refused(refused, monkeypatch):
    monkeypatch.setattr(cells_module, "FLAWS", 2)
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="e"><v>#N/A</v></c></row>' for n in range(2, 5))
    assert refused(package(HEAD + rows)).code == "error_cells"


@pytest.mark.parametrize(
    ("cell", "fault", "amount"),
    [
        ("<f>1+1</f><v>2</v>", None, "2"),
        ("<f>1+1</f>", "uncalculated", None),
        ("<f>1+1</f><v></v>", "uncalculated", None),
        ("<f>1+1</f><v/>", "uncalculated", None),
        ('<f t="shared" si="0"/>', "uncalculated", None),
        ('<f t="shared" si="0"/><v>3</v>', None, "3"),
        ("", None, ""),
    ],
)
def test_a_formula_counts_by_its_last_result(read, cell, fault, amount):
    (row,) = read(
        package(
            HEAD + '<row r="2"><c r="A2" t="inlineStr"><is><t>1</t></is></c>'
            f'<c r="B2">{cell}</c></row>'
        )
    )
    assert (row["_fault"], row["amount"]) == (fault, amount)


def test_a_formula_whose_result_is_an_empty_text_is_an_empty_cell(read):
    cell = '<c r="B2" t="str"><f>IF(A2=1,2,"")</f><v></v></c>'
    rows = f'<row r="2"><c r="A2" t="inlineStr"><is><t>1</t></is></c>{cell}</row>'
    (row,) = read(package(HEAD + rows))
    assert (row["_fault"], row["amount"]) == (None, "")


RECALCULATED = (
    f'<workbook xmlns="{MAIN}" xmlns:r="{OFFICE}"><sheets><sheet name="S" sheetId="1" r:id="rId7"/>'
    '</sheets><calcPr fullCalcOnLoad="{}"/></workbook>'
)


@pytest.mark.parametrize(
    ("said", "cell", "fault"),
    [
        ("1", "<f>1+1</f><v>0</v>", "uncalculated"),
        ("true", "<f>1+1</f><v>2</v>", "uncalculated"),
        ("1", "<f>1+1</f>", "uncalculated"),
        ("1", '<f t="shared" si="0"/><v>0</v>', "uncalculated"),
        ("1", '<f t="array" ref="B2">1+1</f><v>0</v>', "uncalculated"),
        ("1", "<v>2</v>", None),
        ("0", "<f>1+1</f><v>2</v>", None),
        ("0", '<f t="array" ref="B2:B3">1+1</f><v>2</v>', None),
    ],
)
def test_results_of_a_program_that_asks_for_calculation_are_none(read, said, cell, fault):
    sent = package(
        HEAD
        + f'<row r="2"><c r="A2" t="inlineStr"><is><t>1</t></is></c><c r="B2">{cell}</c></row>',
        {"xl/workbook.xml": RECALCULATED.format(said)},
    )
    assert told(read(sent), "_fault", "amount") == [(fault, None if fault else "2")]


def test_what_a_program_writes_for_formulas_is_no_result(read, refused):
    def fill(sheet, book):
        sheet.write_row(0, 0, HEADER)
        sheet.write_formula("A2", '="x"', None, "x")
        sheet.write_row(2, 0, ["b", 5])
        sheet.write_formula("B4", "=B3+7")

    rows = read(workbook(("S", fill)))
    assert told(rows, "row_number", "_fault", "amount", "_fault_expected") == [
        (2, "uncalculated", None, "编号"),
        (3, None, "5", None),
        (4, "uncalculated", None, "数量"),
    ]
    several = workbook(("S", lambda sheet, book: sheet.write_array_formula("B2:B4", "=A2:A4*2")))
    reason = refused(several)
    assert (reason.code, reason.expected) == ("uncalculated", "B2:B4")


@pytest.mark.parametrize("is_1904", [False, True])
@pytest.mark.parametrize("number", [20210908, 2958466])
def test_a_day_written_as_a_number_is_no_serial_number(read, is_1904, number):
    rows = read(workbook(("S", [HEADER, ["1", 5, 0.5, number]]), options={"date_1904": is_1904}))
    assert [one["day"] for one in rows] == [str(number)]


@pytest.mark.parametrize("is_1904", [False, True])
def test_dates_of_both_epochs_as_dates_numbers_and_texts(read, is_1904):
    serial = 44447 - 1462 * is_1904

    def fill(sheet, book):
        sheet.write_row(0, 0, HEADER)
        sheet.write_datetime("D2", datetime(2021, 9, 8), book.add_format({"num_format": "m/d/yy"}))
        sheet.write_number("D3", serial)
        sheet.write_string("D4", "2021年9月8日")
        sheet.write_number("B5", serial)

    rows = read(workbook(("S", fill), options={"date_1904": is_1904}))
    days = ["2021-09-08", "44447", "2021年9月8日", ""]
    assert [row["day"] for row in rows] == days
    assert rows[3]["amount"] == str(serial)  # no date column: a number like others


@pytest.mark.parametrize("is_1904", [False, True])
def test_numbers_of_date_columns_of_binary_workbooks_count_from_their_epoch(read, is_1904):
    data = xlsb({0: HEADER, 1: ["1", 7.0, 0.5, 44447.0 - 1462 * is_1904]}, is_1904=is_1904)
    (row,) = read(data, "xlsb")
    assert (row["amount"], row["share"], row["day"]) == ("7", "50%", "44447")


def test_shares_are_percent_and_the_display_never_counts(read):
    def fill(sheet, book):
        percent = book.add_format({"num_format": "0%"})
        ten_thousands = book.add_format({"num_format": '0!.0,"万"'})
        sheet.write_row(0, 0, HEADER)
        for number, share in enumerate([0.97, 0.1 + 0.2, 1, 0.055, "97%", "3.5"], start=1):
            sheet.write(number, 0, str(number))
            sheet.write(number, 1, 265_000_000, ten_thousands)
            sheet.write(number, 2, share, percent)

    rows = read(workbook(("S", fill)))
    assert {row["amount"] for row in rows} == {"265000000"}
    assert [row["share"] for row in rows] == ["97%", "30%", "100%", "5.5%", "97%", "3.5"]


@pytest.mark.parametrize(
    ("cell", "code"),
    [
        ("34010000001310000001", "34010000001310000001"),
        (34010000001310000001, None),
        (1234567890123456, None),
        (123456789012345, "123456789012345"),
        (-1e15, None),
        ("007", "007"),
        (7, "7"),
    ],
)
def test_a_number_that_lost_digits_is_no_text(read, cell, code):
    def fill(sheet, book):
        sheet.write_row(0, 0, HEADER)
        write = sheet.write_string if isinstance(cell, str) else sheet.write_number
        write(1, 0, cell)
        sheet.write_number(1, 1, 2e15)  # a number column takes it as it is

    (row,) = read(workbook(("S", fill)))
    assert row["code"] == code
    assert row["_fault"] == (None if code else "lost_digits")
    assert not row["_fault_value"]  # it may be a person's number


# --- merged cells -------------------------------------------------------------------------------


@pytest.mark.parametrize("column", [0, 2])
def test_a_header_of_two_rows_is_read_by_its_paths(read, column):
    def fill(sheet, book):
        sheet.merge_range(1, column, 2, column, "编号")
        sheet.merge_range(1, column + 1, 1, column + 2, "办件量")
        sheet.write_row(2, column + 1, ["网上", "窗口"])
        sheet.write_row(3, column, ["1", 5, 0.5])
        sheet.write(0, column, "标题")

    (row,) = read(workbook(("S", fill)), header_rows=2)
    assert told([row], "row_number", "code", "amount", "share") == [(4, "1", "5", "50%")]


def test_a_header_merged_in_its_first_column_only_spreads_as_one_without_ranges(read):
    def fill(sheet, book):
        sheet.merge_range(0, 0, 1, 0, "编号")
        sheet.write(0, 1, "办件量")
        sheet.write_row(1, 1, ["网上", "窗口"])
        sheet.write_row(2, 0, ["1", 5, 0.5])

    (row,) = read(workbook(("S", fill)), header_rows=2)
    assert told([row], "code", "amount", "share") == [("1", "5", "50%")]


def test_a_header_of_two_rows_in_a_binary_workbook(read):
    data = xlsb(
        {0: ["编号", "办件量"], 1: [None, "网上", "窗口"], 2: ["1", 5.0, 0.5]},
        merged=[(0, 1, 0, 0), (0, 0, 1, 2)],
    )
    (row,) = read(data, "xlsb", header_rows=2)
    assert told([row], "row_number", "code", "amount", "share") == [(3, "1", "5", "50%")]


def test_cells_merged_over_rows_of_data_are_not_filled_in(read):
    def fill(sheet, book):
        sheet.write_row(0, 0, HEADER)
        sheet.merge_range("A2:A4", "1")
        for number in range(1, 4):
            sheet.write(number, 1, number)

    rows = read(workbook(("S", fill)))
    assert told(rows, "code", "amount") == [("1", "1"), ("", "2"), ("", "3")]


# --- parts as programs write them ---------------------------------------------------------------

SHEET_ROWS = (
    '<row r="2"><c r="A2" t="inlineStr"><is><t>1</t></is></c><c r="B2"><v>5</v></c></row>'
    '<row r="3"><c r="A3" t="inlineStr"><is><t>2</t></is></c><c r="B3"><v>6</v></c></row>'
)


@pytest.mark.parametrize(
    "before", ["", '<dimension ref="A1"/>', '<dimension ref="A1:XFD1048576"/>']
)
def test_what_a_sheet_says_of_its_dimension_does_not_count(read, before):
    rows = read(package(HEAD + SHEET_ROWS, before=before))
    assert told(rows, "code", "amount") == [("1", "5"), ("2", "6")]


def test_rows_and_cells_that_do_not_say_where_they_stand(read):
    plain = (HEAD + SHEET_ROWS).replace(' r="', ' x="')
    rows = read(package(plain))
    assert told(rows, "row_number", "code", "amount") == [(2, "1", "5"), (3, "2", "6")]
    mended = (
        plain.replace("<v>6</v>", "<f>1/0</f>")
        .replace("<v>5</v>", "<v>#N/A</v>")
        .replace('<c x="B2">', '<c t="e">')
    )
    rows = read(package(mended), hidden_rows="ignore")
    assert told(rows, "row_number", "_fault") == [(2, "error_cell"), (3, "uncalculated")]


@pytest.mark.parametrize(
    "target",
    ["worksheets/Blatt7.xml", "/xl/tabellen/x.xml", "other/deep/er.xml", "worksheets/表.xml"],
)
def test_the_relations_say_which_part_is_a_sheet(read, target):
    decoy = {"xl/worksheets/sheet1.xml": "<worksheet/>"}
    rows = HEAD + SHEET_ROWS.replace("<v>6</v>", "<v>#REF!</v>").replace('"B3"', '"B3" t="e"')
    found = read(package(rows, decoy, target=target))
    assert told(found, "amount", "_fault") == [("5", None), (None, "error_cell")]


STRINGS = (
    "<si><r><rPr><b/></rPr><t>富</t></r><r><t>文本</t></r></si>"
    "<si><t>漢字</t><rPh sb='0' eb='2'><t>カンジ</t></rPh><phoneticPr fontId='1'/></si>"
    "<si><t xml:space='preserve'> 两边 </t></si><si><t>a_x000D_\nb</t></si>"
    "<si><t>_x005F_x000D_</t></si><si><t/></si>"
)


def test_strings_shared_rich_phonetic_escaped_and_blank(read):
    rows = "".join(f'<row r="{n + 2}"><c r="A{n + 2}" t="s"><v>{n}</v></c></row>' for n in range(6))
    found = codes(read(package(HEAD + rows, strings=STRINGS)))
    assert found == ["富文本", "漢字", " 两边 ", "a\r\nb", "_x000D_", ""]


def test_numbers_with_blanks_around_them_are_numbers(read):
    """As R's openxlsx writes them: Excel reads it."""
    padded = SHEET_ROWS.replace("<v>5</v>", "<v> 5</v>").replace("<v>6</v>", "<v>\n6.5 </v>")
    assert [row["amount"] for row in read(package(HEAD + padded))] == ["5", "6.5"]


def test_prefixes_and_strict_names_are_read_like_others(read):
    sheet = (
        f'<x:worksheet xmlns:x="{MAIN}"><x:sheetData><x:row r="1"><x:c r="A1" t="inlineStr"><x:is>'
        '<x:t>编号</x:t></x:is></x:c></x:row><x:row r="2" hidden="1"><x:c r="A2" t="e"><x:v>#REF!'
        "</x:v></x:c></x:row></x:sheetData></x:worksheet>"
    )
    (row,) = read(package(parts={"xl/worksheets/sheet1.xml": sheet}), hidden_rows="ignore")
    assert (row["_fault"], row["_noise"]) == ("error_cell", True)


def by_openpyxl(rows):
    """Return a workbook of these rows as openpyxl writes it."""
    book, out = openpyxl.Workbook(), io.BytesIO()
    for values in rows:
        book.active.append(values)
    book.save(out)
    return out.getvalue()


PLAIN = [HEADER, ["1", 5, 0.5, datetime(2021, 9, 8)], ["2", None, 0.25]]


@pytest.mark.parametrize(
    "data",
    [
        workbook(("S", PLAIN), options={"default_date_format": "yyyy-mm-dd"}),
        by_openpyxl(PLAIN),
        package(HEAD + SHEET_ROWS),
        package(HEAD + SHEET_ROWS.replace("<v>6</v>", '<f aca="false">B2+1</f><v>6</v>')),
        package(HEAD + SHEET_ROWS.replace('r="3">', 'r="3" hidden="false" ht="12.8">')),
    ],
    ids=["xlsxwriter", "openpyxl", "inline", "formula", "libreoffice"],
)
def test_a_plain_sheet_needs_no_exact_scan(read, monkeypatch, data):
    monkeypatch.setattr(xlsx_parts, "_shared_strings", None)  # what the exact scan begins with
    assert codes(read(data)) == ["1", "2"]


# --- hostile packages ---------------------------------------------------------------------------

FAR = "</c></row><row r='9'><c r='XFD1048576'><v>1</v></c></row>"


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        "<row r = '1048576'><c r = 'XFD1048576'><v>1</v></c></row>",
        '<row r="1048576"><c><v>1</v></c></row><row><c r="XFD1"><v>1</v></c></row>',
        f'<row {"a" * 300}="" r="1048576"><c r="XFD1048576"><v>1</v></c></row>',
        '<row r="1"><c r="ZZZZZZZ1"><v>1</v></c></row><row r="99999999999"/>',
        '<row r="2"><c r="XFD2"><v>1</v></c><c r="A2"><v>1</v></c></row>'
        '<row r="1048576"><c r="A1048576"><v>1</v></c></row>',
        "<row/>" * 4000 + "<row>" + "<c><v>1</v></c>" * 15_000 + "</row>",
    ],
)
def test_a_stray_cell_far_outside_is_refused_however_it_is_written(refused, rows):
    started = time.perf_counter()
    assert refused(package(HEAD + rows)).code in ("sparse", "damaged")
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize("cell", ['<c r="AMJ1048576" s="1"/>', '<c r="AMJ1048576"></c>'])
def test_a_format_far_outside_is_no_cell(read, cell):
    """As LibreOffice writes sheets whose columns are formatted whole."""
    rows = read(package(HEAD + SHEET_ROWS + f'<row r="1048576">{cell}</row>'))
    assert codes(rows) == ["1", "2"]


def test_the_part_that_is_read_is_the_part_that_is_scanned(refused):
    far = '<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'
    assert refused(package(HEAD + far, target="elsewhere/x.xml")).code == "sparse"
    sheet = f'<worksheet xmlns="{MAIN}"><sheetData>{HEAD}{far}</sheetData></worksheet>'
    for twin in ("xl/worksheets/SHEET1.xml", "xl/x/../worksheets/sheet1.xml", "xl\\a.xml"):
        assert refused(package(parts={twin: sheet})).code == "damaged"
    two = {"worksheets/sheet1.xml": sheet}  # /worksheets/sheet1.xml or /xl/worksheets/sheet1.xml
    assert refused(package(parts=two)).code == "damaged"


@pytest.mark.parametrize(
    "name", ["xl/workbook.xml", "xl/_rels/workbook.xml.rels", "xl/worksheets/sheet1.xml"]
)
def test_entities_are_refused_in_every_part_that_is_parsed(refused, name):
    laughs = (
        '<!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'
        f'<worksheet xmlns="{MAIN}"><sheetData>{HEAD}</sheetData>&b;</worksheet>'
    )
    assert refused(package(parts={name: laughs}), hidden_rows="ignore").code == "unsafe_xml"


def test_one_long_string_in_many_cells_is_refused(refused):
    rows = "".join(f'<row r="{n}"><c r="A{n}" t="s"><v>0</v></c></row>' for n in range(2, 5000))
    data = package(HEAD + rows, strings=f"<si><t>{'长' * 30_000}</t></si>")
    assert refused(data, limit=10 << 20).code == "repeated_text"
    many = {0: HEADER} | {n: [(0,)] for n in range(1, 5000)}
    data = xlsb(many, strings=["长" * 30_000])
    assert refused(data, "xlsb", limit=10 << 20).code == "repeated_text"


def test_a_tag_without_an_end_is_refused(refused):
    assert refused(package(HEAD + "<row " + "a" * 5_000_000)).code == "damaged"


def test_a_row_whose_tree_would_fill_the_memory_is_refused(refused, monkeypatch):
    monkeypatch.setattr(packages, "ELEMENT_BYTES", 1 << 16)
    assert refused(package(HEAD + f"<row r='2'>{'<c/>' * 100_000}</row>")).code == "damaged"


def test_a_sheet_too_large_to_be_rewritten_is_refused(refused, monkeypatch):
    monkeypatch.setattr(xlsx_parts, "MENDED_BYTES", 100)
    padded = SHEET_ROWS.replace("<v>5</v>", "<v> 5</v>")
    assert refused(package(HEAD + padded)).code == "too_large"


def test_a_table_in_a_cell_of_opendocument_hides_no_error(read):
    inner = f'<table:table table:name="T">{row(NUMBER)}</table:table>'
    error = ERROR.replace("</table:table-cell>", f"{inner}</table:table-cell>")
    rows = read(ods(("S", ODS_HEADER + row(text_cell("1"), error))), "ods")
    assert ("error_cell", "#DIV/0!") in told(rows, "_fault", "_fault_value")


def test_a_binary_workbook_with_a_stray_cell_or_cut_off_is_refused(refused):
    far = xlsb({0: HEADER, 1_048_575: [None] * 100 + [1.0]})
    assert refused(far, "xlsb").code == "sparse"
    sound = xlsb({0: HEADER, 1: ["1", 5.0]})
    parts = {
        name: zipfile.ZipFile(io.BytesIO(sound)).read(name)
        for name in zipfile.ZipFile(io.BytesIO(sound)).namelist()
    }
    for cut in range(1, len(parts["xl/worksheets/sheet1.bin"]), 7):
        broken = parts | {"xl/worksheets/sheet1.bin": parts["xl/worksheets/sheet1.bin"][:cut]}
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as file:
            for name, content in broken.items():
                file.writestr(name, content)
        with pytest.raises(AssertionError):  # cells or nothing, and never another error
            assert refused(out.getvalue(), "xlsb").code != "damaged"


def with_part(data, name, change):
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w") as new:
        for one in old.namelist():
            new.writestr(one, change(old.read(one)) if one == name else old.read(one))
    return out.getvalue()


@pytest.mark.parametrize(
    ("part", "change"),
    [
        # what fuzzing found: a panic in calamine, and a record shorter than it should be
        ("xl/workbook.bin", lambda data: data.replace(wide("rId1"), wide("rId9"))),
        ("xl/worksheets/sheet1.bin", lambda data: data + record(176, b"1234")),
    ],
)
def test_a_binary_workbook_whose_parts_contradict_each_other_is_damaged(refused, part, change):
    data = with_part(xlsb({0: HEADER, 1: ["1", 5.0]}), part, change)
    assert refused(data, "xlsb").code == "damaged"


# --- OpenDocument -------------------------------------------------------------------------------


def ods(*tables, doctype="", styles=""):
    spaces = " ".join(
        f'xmlns:{name}="urn:oasis:names:tc:opendocument:xmlns:{name}:1.0"'
        for name in ("office", "table", "text", "style")
    )
    calc = "urn:org:documentfoundation:names:experimental:calc:xmlns:calcext:1.0"
    body = "".join(
        f'<table:table table:name="{name}">{rows}</table:table>' for name, rows in tables
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
        file.writestr(
            "content.xml",
            f'{doctype}<office:document-content {spaces} xmlns:calcext="{calc}">'
            f"{styles}<office:body><office:spreadsheet>{body}</office:spreadsheet></office:body>"
            "</office:document-content>",
        )
        file.writestr("META-INF/manifest.xml", "<manifest/>")
    return out.getvalue()


def text_cell(text, extra=""):
    return (
        f'<table:table-cell office:value-type="string"{extra}><text:p>{text}</text:p>'
        "</table:table-cell>"
    )


def row(*cells, extra=""):
    return f"<table:table-row{extra}>{''.join(cells)}</table:table-row>"


ODS_HEADER = row(*(text_cell(name) for name in HEADER))
NUMBER = (
    '<table:table-cell office:value-type="float" office:value="5"><text:p>5</text:p>'
    "</table:table-cell>"
)
ERROR = (
    '<table:table-cell table:formula="of:=1/0" office:value-type="string" office:string-value="" '
    'calcext:value-type="error"><text:p>#DIV/0!</text:p></table:table-cell>'
)
OLD_ERROR = (
    '<table:table-cell table:formula="oooc:=1/0" office:value-type="float" office:value="0">'
    "<text:p>Err:502</text:p></table:table-cell>"
)
OPEN = '<table:table-cell table:formula="of:=1+1"/>'


def test_opendocument_rows_repeated_hidden_and_flawed(read):
    data = ods(
        (
            "S",
            ODS_HEADER
            + row(text_cell("1"), NUMBER, extra=' table:number-rows-repeated="2"')
            + row(text_cell("2"), ERROR)
            + row(text_cell("3"), OLD_ERROR)
            + row(text_cell("4"), OPEN)
            + row(text_cell("5"), NUMBER, extra=' table:visibility="filter"')
            + row(
                '<table:table-cell table:number-columns-repeated="16384"/>',
                extra=' table:number-rows-repeated="1048568"',
            ),
        )
    )
    rows = read(data, "ods", hidden_rows="ignore")
    assert told(rows, "row_number", "code", "amount", "_fault_value", "_noise") == [
        (2, "1", "5", None, False),
        (3, "1", "5", None, False),
        (4, None, None, "#DIV/0!", False),
        (5, None, None, "Err:502", False),
        (6, None, None, "", False),
        (7, "5", "5", None, True),
    ]
    assert rows[4]["_fault"] == "uncalculated"
    assert not any(one["_noise"] for one in read(data, "ods"))


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ("<text:p/>", None),
        ("<text:p></text:p>", None),
        ("", "uncalculated"),
        ("<text:p>5</text:p>", "uncalculated"),
        ("<office:annotation><text:p>5</text:p></office:annotation>", "uncalculated"),
    ],
)
def test_an_opendocument_formula_with_an_empty_paragraph_is_an_empty_cell(read, inside, fault):
    cell = f'<table:table-cell table:formula="of:=IF(1;&quot;&quot;)">{inside}</table:table-cell>'
    data = ods(("S", ODS_HEADER + row(text_cell("1"), cell) + row(text_cell("2"), OPEN)))
    rows = read(data, "ods")
    assert told(rows, "_fault", "amount") == [
        (fault, None if fault else ""),
        ("uncalculated", None),
    ]


def test_opendocument_headers_of_two_rows(read):
    covered = "<table:covered-table-cell/>"
    data = ods(
        (
            "S",
            row(
                text_cell("编号", ' table:number-rows-spanned="2"'),
                text_cell("办件量", ' table:number-columns-spanned="2"'),
                covered,
            )
            + row(covered, text_cell("网上"), text_cell("窗口"))
            + row(text_cell("1"), NUMBER, text_cell("50%")),
        )
    )
    (found,) = read(data, "ods", header_rows=2)
    assert told([found], "code", "amount", "share") == [("1", "5", "50%")]


@pytest.mark.parametrize(
    "bomb",
    [
        row(NUMBER, extra=' table:number-rows-repeated="1000000000"'),
        row(
            NUMBER.replace(
                "office:value-type", 'table:number-columns-repeated="99999999" office:value-type'
            )
        ),
        row(NUMBER, extra=' table:number-rows-repeated="60000000"'),
        row('<table:table-cell table:number-columns-repeated="2000000000"/>', NUMBER),
    ],
)
def test_opendocument_cells_repeated_without_end_are_refused(refused, bomb):
    started = time.perf_counter()
    assert refused(ods(("S", ODS_HEADER + bomb)), "ods").code == "sparse"
    assert refused(ods(("S", ODS_HEADER), ("T", bomb)), "ods").code == "sparse"
    assert time.perf_counter() - started < 5


def test_opendocument_entities_and_passwords_are_refused(refused):
    laughs = '<!DOCTYPE x [<!ENTITY a "ha">]>'
    assert refused(ods(("S", ODS_HEADER), doctype=laughs), "ods").code == "unsafe_xml"
    locked = io.BytesIO(ods(("S", ODS_HEADER)))
    with zipfile.ZipFile(locked, "a") as file:
        file.writestr("x", b"")
    data = locked.getvalue()
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as new:
            for name in old.namelist():
                is_list = name == "META-INF/manifest.xml"
                new.writestr(name, b"<manifest:encryption-data/>" if is_list else old.read(name))
    assert refused(out.getvalue(), "ods").code == "encrypted"


# --- old workbooks ------------------------------------------------------------------------------

OLE = bytes.fromhex("d0cf11e0a1b11ae1")


@pytest.mark.parametrize("data", [OLE, OLE + b"\0" * 5000, OLE + b"\xff" * 5000])
def test_a_damaged_old_workbook_is_damaged(refused, data):
    assert refused(data, "xls").code == "damaged"


def test_an_old_workbook_beyond_the_limit_is_not_opened(refused):
    reason = refused(OLE + b"\0" * 5000, "xls", limit=5000)
    assert (reason.code, reason.value) == ("too_large", "5008")


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (
            b'<?xml version="1.0"?>\n<?mso-application progid="Excel.Sheet"?>\n<Workbook '
            b'xmlns="urn:schemas-microsoft-com:office:spreadsheet"></Workbook>',
            "SpreadsheetML 2003",
        ),
        (b"MIME-Version: 1.0\nContent-Type: multipart/related\n\n<html>", "MHTML"),
    ],
)
def test_other_formats_under_an_old_workbooks_name_are_named(refused, data, kind):
    reason = refused(data, "xls")
    assert (reason.code, reason.value) == ("other_format", kind)


# --- pages --------------------------------------------------------------------------------------


def page(*rows, head="", table="<table border=1>"):
    return f"<html><head>{head}</head><body>{table}{''.join(rows)}</table></body></html>"


def table_row(*cells, tag="td"):
    return "<tr>" + "".join(f"<{tag}>{cell}</{tag}>" for cell in cells) + "</tr>"


TABLE_HEADER = table_row(*HEADER, tag="th")


def test_a_page_as_systems_write_it(read):
    sent = page(
        "<thead>",
        TABLE_HEADER,
        "</thead><tbody>",
        "<TR><TD style='mso-number-format:\"\\@\"' x:str>00123<TD>1,234<td>97%<td>2021年9月8日",
        "<tr><td>&#65;&amp;B&nbsp;<br>C<td>5<td><td></tr>",
        table_row("<font><b>4</b></font><script>var a='<td>x</td>'</script>", "  6\n ", "", ""),
        head="<style>td{}</style><title>t</title>",
    )
    rows = read(b"\xef\xbb\xbf" + sent.encode(), "html")
    assert told(rows, "row_number", "code", "amount", "share", "day", "sheet") == [
        (2, "00123", "1,234", "97%", "2021年9月8日", ""),
        (3, "A&B\xa0\nC", "5", "", "", ""),
        (4, "4", "6", "", "", ""),
    ]


def test_spans_are_merged_cells_above_and_blanks_below(read):
    sent = page(
        "<tr><td colspan=3>标题</td></tr>",
        "<tr><th rowspan=2>编号<th colspan=2>办件量</tr><tr><th>网上<th>窗口</tr>",
        "<tr><td rowspan=2>1<td>5<td>50%</tr><tr><td>6<td>60%</tr>" + table_row("2", "7", "70%"),
    )
    rows = read(sent.encode(), "html", header_rows=2)
    assert told(rows, "row_number", "code", "amount", "share") == [
        (4, "1", "5", "50%"),
        (5, "", "6", "60%"),
        (6, "2", "7", "70%"),
    ]


def test_tables_in_tables_are_tables_of_their_own(read, refused):
    inner = f"<table>{TABLE_HEADER}{table_row('1', '5', '', '')}</table>"
    sent = page(table_row(f"菜单{inner}更多"), table_row("页脚"), "<table></table>").encode()
    assert codes(read(sent, "html", table=1)) == ["1"]
    with pytest.raises(RejectedError):
        read(sent, "html", table=0)
    reason = refused(sent, "html", table=2)
    assert (reason.code, reason.value, reason.expected) == ("missing_table", "2", "3")


ROWS = table_row("1", "5", "", "")
OTHER_HEADER = table_row("部门", "人数", tag="th")
TWO_ROWS = "<tr><th rowspan=2>编号<th colspan=2>办件量</tr><tr><th>网上<th>窗口</tr>"


@pytest.mark.parametrize(
    "after",
    [
        TABLE_HEADER + ROWS,
        table_row("第2页") + TABLE_HEADER + ROWS,
        table_row("编号", "数量（万）") + table_row("2", "6"),
        table_row("数量", "编号") + ROWS,
        f"<tr><td><table>{TABLE_HEADER}{ROWS}</table>",
        f"{TABLE_HEADER}<tr><td>2<td><table><tr><td>6</table>",
        TABLE_HEADER + table_row("按目录", "填整数", "", ""),
        TABLE_HEADER + table_row("合计", "5"),
    ],
)
def test_a_second_table_of_the_agreed_header_and_rows_is_refused(refused, after):
    between = f"</table><table>{OTHER_HEADER}{ROWS}</table><p>第2页</p><table>"
    reason = refused(page(TABLE_HEADER, ROWS, between, after).encode(), "html")
    place = "4" if after.startswith("<tr><td><table>") else "3"
    assert (reason.code, reason.value, reason.expected) == ("second_table", place, "1")


def test_a_second_table_with_a_header_of_two_rows_is_known(refused):
    sent = page(TWO_ROWS, table_row("1", "5"), "</table><table>", TWO_ROWS, table_row("2", "6"))
    assert refused(sent.encode(), "html", header_rows=2).code == "second_table"


@pytest.mark.parametrize(
    "after",
    [
        "",
        TABLE_HEADER,
        TABLE_HEADER + table_row("", "") + "<tr hidden><td>2<td>5</tr>",
        OTHER_HEADER + ROWS,
        table_row("编号", "人数") + ROWS,
        TABLE_HEADER + table_row("填报说明：编号按目录，数量按件"),
        table_row("部门", "人数", "", "") + ROWS,
        table_row("", "5", "", ""),
        table_row("东区", "5"),
        table_row("a", "见附件 1", "", "") + ROWS,
        table_row("第 1 页", "共 3 页", "", ""),
        TABLE_HEADER + "<tr><td hidden>x</tr>",
        f"<tr><td>{'x' * 300_000}",
        f"<tr><td>{'<img src=' + 'x' * 700_000 + '>'}",
        f"<script>{'x ' * 700_000}</script>",
    ],
)
def test_what_follows_a_table_and_is_no_second_one_is_left_alone(read, after):
    rows = read(page(TABLE_HEADER, ROWS, "</table><table>", after).encode(), "html")
    assert told(rows, "code", "amount") == [("1", "5")]


@pytest.mark.parametrize("own", [ROWS, ""])
@pytest.mark.parametrize(
    "after",
    [
        ROWS,
        table_row("第2页") + table_row("2", "1,234", "", ""),
        table_row("2", "(5)", "6%", ""),
        table_row("2", "—", "6", "") + ROWS,
        ROWS + table_row("制表人", "数量"),
        table_row("", "4", "", "") + ROWS,
        table_row("合计", "5", "", ""),
    ],
)
def test_a_table_that_goes_on_without_a_header_is_refused(refused, own, after):
    sent = page(TABLE_HEADER, own, "</table><p>第2页</p><table>", after).encode()
    reason = refused(sent, "html")
    assert (reason.code, reason.value, reason.expected) == ("second_table", "2", "1")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<table hidden>", "</table>"),
        ('<div style="display: none"><p><div>x</div><table>', "</table></div>"),
        ("<table><tr><td>x<div hidden><table>", "</table></div></table>"),
    ],
)
@pytest.mark.parametrize("header", [TABLE_HEADER, ""])
def test_tables_that_a_page_hides_are_second_ones_like_others(refused, before, after, header):
    hidden = f"</table>{before}{header}{ROWS}{after}"
    assert refused(page(TABLE_HEADER, ROWS, hidden).encode(), "html").code == "second_table"


@pytest.mark.parametrize("left_open", ["<div hidden>x", "<p hidden>x", "<span hidden>x"])
def test_a_hidden_element_left_open_hides_no_second_table(refused, left_open):
    other = f"</table><table>{TABLE_HEADER}{ROWS}"
    sent = page(TABLE_HEADER, ROWS, f"<tr><td>{left_open}</td></tr>", other)
    assert refused(sent.encode(), "html").code == "second_table"


def test_a_second_table_is_found_beyond_a_long_script(refused):
    script = f"<script>{'x ' * 700_000}</script>"
    sent = page(script, TABLE_HEADER, ROWS, f"</table>{script}<table>", TABLE_HEADER, ROWS)
    assert refused(sent.encode(), "html").code == "second_table"


@pytest.mark.parametrize(
    "cell",
    [
        "<table><tr><td>123</td></tr></table>",
        "<table><tr><td></td></tr></table>",
        "5<table><tr><td></td></tr></table>",
        "<table><tr><td>1</td><td>2</td></tr></table>",
        "1<table><tr><td>2</table>",
        "<b><table><tr><td>2</table></b>1",
        "<table><tr><td><s>4</s>5</table>",
        "5<table hidden><tr><td x:num=7>tip<table><tr><td>8</table></table>",
        "5<div hidden><table><tr><td>tip</table></div>",
        '<table><tr><td x:num="12345678.91">12345.7</td></tr></table>',
    ],
)
def test_a_cell_that_holds_a_table_keeps_its_row_out(read, cell):
    sent = page(TABLE_HEADER, table_row("a", cell, "", ""), table_row("b", "6", "", ""))
    rows = read(sent.encode(), "html")
    assert [row["_fault"] or row["amount"] for row in rows] == ["nested_cells", "6"]
    assert not any(row["_fault_value"] for row in rows)
    if "1" in cell and "2" in cell and "x:num" not in cell and "123" not in cell:
        assert " ".join(json.loads(rows[0]["_torn"])[1].split()) in ("1 2", "2 1")


def test_a_hidden_element_left_open_in_a_cell_ends_with_it(read):
    sent = page(TABLE_HEADER, "<tr><td>a<td><div hidden>tip<td>6%")
    assert told(read(sent.encode(), "html"), "share") == [("6%",)]


FIGURES_OF_PAGES = (  # attributes of a cell, what it shows, the column, what it is
    ('x:num="12345678.91"', "12345.7", "amount", "12345678.91"),
    ("x:num='12'", "1,2", "amount", "12"),
    ('sdval="0.5" sdnum="1033;0;0"', "1", "amount", "0.5"),
    ('x:num="-1.2E3"', "(1,200)", "amount", "-1200"),
    ('x:num="0.3"', "", "amount", "0.3"),
    ('x:num="0.30000000000000004"', "0", "amount", "0.3"),
    ("x:num", "7", "amount", "7"),
    ('x:num=""', "7", "amount", "7"),
    ('x:num="1,234"', "7", "amount", "7"),
    ('x:num="1e999"', "7", "amount", "7"),
    ('x:num="nan"', "7", "amount", "7"),
    ('x:num="0.97"', "97%", "amount", "97%"),
    ('x:num="0.973"', "97%", "share", "97.3%"),
    ('x:num="44447"', "2021/9/8", "day", "2021/9/8"),
    ('x:num="44447"', "44447", "day", "44447"),
    ('x:num="320102001001"', "3.2E+11", "code", "320102001001"),
    ('x:num="3.20102E+19"', "3.20102E+19", "code", "lost_digits"),
    ('x:num="44447"', "2021-09-08", "code", "2021-09-08"),
    ('x:num="0.354"', "8:30", "code", "8:30"),
    ('x:num="5"', "#REF!", "amount", "error_cell"),
    ('x:num="5"', "5<sup>1</sup>", "amount", "marked_cell"),
)


@pytest.mark.parametrize(("beside", "shown", "column", "expected"), FIGURES_OF_PAGES)
def test_the_number_that_a_page_holds_beside_its_text_counts(read, beside, shown, column, expected):
    at = ["code", "amount", "share", "day"].index(column)
    cells = ["<td>", "<td>", "<td>9", "<td>"]
    cells[at] = f"<td {beside}>{shown}"
    header = TABLE_HEADER.replace("<th>", '<th x:num="5">')  # of headers what they show
    (one,) = read(page(header, "<tr>", *cells).encode(), "html")
    assert (one["_fault"] or one[column]) == expected


@pytest.mark.parametrize("declared", ["utf-8", "gb18030", "utf-16"])
@pytest.mark.parametrize("meta", ["utf-8", "gb2312", None])
def test_the_declared_encoding_counts_and_another_named_is_told(opened, declared, meta):
    head = f'<meta http-equiv="Content-Type" content="text/html; charset={meta}">' if meta else ""
    sent = page(TABLE_HEADER, table_row("一", "5", "", ""), head=head).encode(declared)
    reading, _ = opened(sent, "html", encoding=declared)
    assert [code for batch in reading.batches for code in batch["code"].to_pylist()] == ["一"]
    same = {"utf-8": "utf-8", "gb2312": "gb18030"}.get(meta, declared) == declared
    assert [one.code for one in reading.warnings] == ([] if same else ["charset"])


@pytest.mark.parametrize(("sent", "declared"), [("utf-8", "gb18030"), ("gb18030", "utf-8")])
def test_a_page_of_another_encoding_is_told_by_what_it_says(refused, sent, declared):
    data = page(TABLE_HEADER, head=f"<meta charset={sent}>").encode(sent)
    reason = refused(data, "html", encoding=declared)
    assert (reason.code, reason.expected) == ("encoding", declared)
    assert f"it reads as {sent}" in reason.value


@pytest.mark.parametrize(
    "cell",
    [
        "5<sup>1</sup>",
        "5<sub>1</sub>",
        "<s>4</s>5",
        "<del>4</del> 5",
        "<strike>4</strike>5",
        "5<a><sup>[1]</sup></a>",
        "<s>4<s>3</s>2</s>5",
        "5<sup>1",
        "<span style='DISPLAY : none'>0005</span>5",
        "<span hidden>0005</span>5",
        "<div style='color:red;display:none;'><div>4</div></div>5",
    ],
)
def test_a_cell_with_struck_raised_or_hidden_text_keeps_its_row_out(read, cell):
    sent = page(TABLE_HEADER, table_row("a", cell, "", ""), table_row("b", "6", "", ""))
    rows = read(sent.encode(), "html")
    assert told(rows, "row_number", "_fault", "_fault_value", "_fault_expected") == [
        (2, "marked_cell", "", "数量"),
        (3, None, None, None),
    ]
    assert rows[1]["amount"] == "6"


RAISED, STRUCK = '<vertAlign val="superscript"/>', "<strike/>"


def rich(*runs):
    """Runs of rich text as (properties, text)."""
    return "".join(f"<r><rPr>{look}</rPr><t>{text}</t></r>" for look, text in runs)


@pytest.mark.parametrize("kind", ["shared", "inline"])
@pytest.mark.parametrize(
    ("text", "is_marked"),
    [
        (rich(("", "5"), (RAISED, "1")), True),
        ("<r><t>5</t></r>" + rich(('<vertAlign val="subscript"/>', "1")), True),
        (rich((STRUCK, "4"), ("<b/>", "51")), True),
        (rich((RAISED, "5"), (STRUCK, "1")), True),
        (rich((STRUCK, "51")), False),  # all of the cell
        (rich(("<b/>", "5"), ('<strike val="0"/><vertAlign val="baseline"/>', "1")), False),
        (rich(("", "51"), (RAISED, " ")), True),
        ('<t>51</t><rPh sb="0" eb="1"><t>wuyi</t></rPh>', False),
    ],
)
def test_rich_text_in_part_struck_or_raised_keeps_its_row_out(read, kind, text, is_marked):
    is_shared = kind == "shared"
    inside = 's"><v>1</v>' if is_shared else f'inlineStr"><is>{text}</is>'
    sent = package(
        f'{HEAD}<row r="2"><c r="A2"><v>1</v></c><c r="B2" t="{inside}</c></row>',
        strings=f"<si><t>x</t></si><si>{text}</si>" if is_shared else "",
    )
    rows = read(sent)
    expected = ("marked_cell", "", "数量", None) if is_marked else (None, None, None, "51")
    assert told(rows, "_fault", "_fault_value", "_fault_expected", "amount") == [expected]


@pytest.mark.parametrize(
    ("look", "is_marked"),
    [
        ('style:text-position="super 58%"', True),
        ('style:text-position="-33% 58%"', True),
        ('style:text-line-through-style="solid"', True),
        ('style:text-line-through-type="double"', True),
        ('style:text-position="0% 100%" style:text-line-through-style="none"', False),
    ],
)
@pytest.mark.parametrize("text", ["5{}", "<text:span>5{}</text:span>", "<text:a>5</text:a>{}"])
def test_spans_of_an_ods_in_part_struck_or_raised_keep_their_row_out(read, look, is_marked, text):
    styles = (
        '<office:automatic-styles><style:style style:name="T1" style:family="text">'
        f"<style:text-properties {look}/></style:style></office:automatic-styles>"
    )
    marked = text.format('<text:span text:style-name="T1">1</text:span>')
    sent = ods(("S", ODS_HEADER + row(text_cell("a"), text_cell(marked))), styles=styles)
    rows = read(sent, "ods")
    expected = ("marked_cell", "", "数量", None) if is_marked else (None, None, None, "51")
    assert told(rows, "_fault", "_fault_value", "_fault_expected", "amount") == [expected]


def test_text_all_of_one_kind_is_a_value_and_marks_of_a_header_are_its_text(read):
    header = table_row("编<sup>号</sup>", "数量", "占比", "日期", "备注", tag="th")
    cells = ("<s>a</s>", "<sup>5</sup>", "<b>9</b><s> </s>", "", "x<sup>2</sup>")
    rows = read(page(header, table_row(*cells)).encode(), "html")
    assert told(rows, "_fault", "code", "amount", "share") == [(None, "a", "5", "9")]


def test_rows_that_a_page_hides_are_noise(read):
    plain = table_row("{}", "5", "", "")
    sent = page(
        TABLE_HEADER,
        "<tr style='display:none'><td>1<td>5</tr>",
        "<tr hidden><td>2<td>5",
        plain.format("3"),
        "<tbody style='x:y; display: none'>",
        plain.format("4"),
        plain.format("5"),
        "</tbody>",
        "<tr style='display:table-row'><td>6<td>5</tr>",
        "<tr hidden></tr><td>7<td>5</tr>",
        table="<table><tbody hidden></table><table>",
    )
    rows = read(sent.encode(), "html")
    assert told(rows, "row_number", "code", "_noise") == [
        (2, "1", True),
        (3, "2", True),
        (4, "3", False),
        (5, "4", True),
        (6, "5", True),
        (7, "6", False),
        (8, "7", False),
    ]


def test_cells_that_a_page_hides_have_no_place(read):
    sent = page(
        "<tr><th hidden>主键<th>编号<th>数量<th>占比<th>日期</tr>",
        "<tr><td style='display:none'>77<td>1<td>5<td>50%<td></tr>",
        "<tr><td hidden>78<table><tr><td>x</table>y<td>2<td>6<td style='display: none'>9<td>60%",
        "<tr><td hidden>79</tr>",
    )
    rows = read(sent.encode(), "html")
    assert told(rows, "row_number", "code", "amount", "share", "_noise") == [
        (2, "1", "5", "50%", False),
        (3, "2", "6", "60%", False),
        (4, "", "", "", True),
    ]


@pytest.mark.parametrize(
    ("cell", "amount"),
    [
        ("<select><option>4<option selected>5</select>", None),
        ("<input value=5>", None),
        ("<textarea>5</textarea>", None),
        ("5<input type=checkbox>", None),
        ("<ruby>5<rp>(</rp><rt>1</rt><rp>)</rp></ruby>", None),
        ("5<input type=hidden value=6><input type=Button value=7>", "5"),
        ("5<input style='display:none'>", "5"),
        ("5<datalist><option>7</datalist>", "5"),
    ],
)
def test_a_field_of_a_form_is_no_value(read, cell, amount):
    header = table_row("<input type=checkbox>编号", "数量", tag="th")
    rows = read(page(header, table_row("a", cell), table_row("b", "6")).encode(), "html")
    fault = None if amount else "marked_cell"
    assert told(rows, "row_number", "_fault", "amount") == [(2, fault, amount), (3, None, "6")]


def test_a_cell_spans_rows_to_the_end_of_its_group_at_most(read):
    sent = page(
        "<thead>",
        TABLE_HEADER,
        "</thead><tbody>",
        "<tr><td rowspan=0>1<td>5</tr>",
        "<tr><td>6</tr>",
        "</tbody><tbody>",
        "<tr><td rowspan=9>2<td>7</tr>",
        "<tr><td>8</tr>",
        "</tbody>",
        table_row("3", "9"),
    )
    rows = read(sent.encode(), "html")
    assert told(rows, "code", "amount") == [
        ("1", "5"),
        ("", "6"),
        ("2", "7"),
        ("", "8"),
        ("3", "9"),
    ]


IN_ITEMS = table_row("编号", "数量") + table_row("a", "5")
OTHERS = f"<table>{table_row('月份', '数量')}{table_row('9月', '5')}</table>"


@pytest.fixture
def amount(tmp_path):
    """Read a page whose one amount counts in 条: (its text, what the reason to hold it quotes)."""

    def reader(sent, table=0, unit_above=None):
        source = contract(html={"table": table})
        columns = tuple(
            column.model_copy(update={"unit": ("条",) if column.name == "amount" else column.unit})
            for column in source.columns
        )
        source = source.model_copy(update={"columns": columns, "unit_above": unit_above})
        path = tmp_path / "export"
        path.write_bytes(f"<html>{sent}".encode())
        reading = open_delivery(path, "html", source, None, LIMIT, tmp_path)
        amounts = [text for batch in reading.batches for text in batch["amount"].to_pylist()]
        words = "".join(reason.value for reason in reading.holds)
        return next(filter(None, amounts)), words

    return reader


@pytest.mark.parametrize(
    ("before", "table"),
    [
        ("<p>单位：万条</p>", 0),
        ("单位<b>：</b>万<span>条</span>", 0),
        ("<h1>统计表</h1><div>（<i>单位：&nbsp;万条</i>）<br>2021年", 0),
        (f"<p>{'说明，' * 300_000}<p>单位：万条{'<p>注' * 18}", 0),
        (f"<p>单位：条</p>{OTHERS}<p>单位：万条</p>", 1),
        ("<table><tr><td>统计表<tr><td>&nbsp;<td>单位：<td>万条</table>", 1),
        ("<table><tr><td>菜单<td>页面<tr><td>目录<td>单位：万条<br>", 1),
        ("<p style='display:none'>单位：条<p>单位：万条", 0),
    ],
)
def test_a_scaled_unit_of_a_page_above_its_table_is_held_or_declared(amount, before, table):
    for caption in ("", "<caption>统计表</caption>"):
        sent = f"{before}<table>{caption}{IN_ITEMS}</table>"
        assert amount(sent, table) == ("5", "万条")
        assert amount(sent, table, "万条") == ("5万条", "")


@pytest.mark.parametrize(
    "below",
    [
        "<p>单位：万条</p>",
        "单位：万条",
        "<br>注：数据均以万条计<p>x",
        f"{OTHERS}<p>单位：万条",
        "<table><tr><td>x</table>单位均为万条",
        "<table><tr><td>单位：万条</table>",
        f"{'<p>说明' * 150}<p>单位：万条",
    ],
)
def test_a_scaled_unit_of_a_page_below_its_table_is_held(amount, below):
    assert amount(f"<table>{IN_ITEMS}</table>{below}") == ("5", "万条")
    sent = f"<p>单位：万条</p><table>{IN_ITEMS}</table>{below}"
    assert amount(sent, 0, "万条") == ("5万条", "万条" if "万条计" in below else "")


@pytest.mark.parametrize(
    "below",
    [
        "<p>单位：条",
        "<p>共3.5万条",
        "<p hidden>单位：万条",
        "<script>单位：万条</script>",
        "<table><tr><td>a<td>b<tr><td>单位：万条<td>1</table>",
        "<p>制表单位：万州区大数据局",
    ],
)
def test_what_a_page_says_below_of_other_things_is_no_unit(amount, below):
    assert amount(f"<table>{IN_ITEMS}</table>{below}") == ("5", "")


def test_a_scaled_unit_of_a_table_in_a_cell_is_held(amount):
    inner = "<table><caption>单位：万条</caption><tr><td>x</table>"
    assert amount(f"<table>{IN_ITEMS}<tr><td>{inner}</table>") == ("5", "万条")


def test_below_a_table_in_a_table_stands_what_is_in_the_outer_one(amount):
    sent = f"<table><tr><td><table>{IN_ITEMS}</table><tr><td>单位：万条</table>"
    assert amount(sent, 1) == ("5", "万条")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("数量（万条）", ["万条"]),
        ("单位为万条", ["万条"]),
        ("1万条以下", []),
        ("万条山镇", ["万条"]),
        ("数量（条）", []),
    ],
)
def test_a_scaled_unit_in_the_name_of_a_sheet_is_held(tmp_path, name, words):
    source = contract()
    columns = [
        column.model_copy(update={"unit": ("条",)} if column.name == "amount" else {})
        for column in source.columns
    ]
    source = source.model_copy(update={"columns": tuple(columns)})
    path = tmp_path / "export"
    with xlsxwriter.Workbook(path) as book:
        sheet = book.add_worksheet(name)
        sheet.write_row(0, 0, ["编号", "数量"])
        sheet.write_row(1, 0, ["1", 5])
    reading = open_delivery(path, "xlsx", source, None, LIMIT, tmp_path)
    (batch,) = reading.batches
    assert batch["amount"].to_pylist() == ["5"]
    assert [reason.value for reason in reading.holds] == words


def test_a_scaled_unit_in_the_caption_of_a_table_is_held(amount):
    caption = "<caption>统计表（单位：万条）</caption>"
    assert amount(f"<table>{caption}{IN_ITEMS}</table>") == ("5", "万条")
    sent = f"<table>{caption}{OTHERS[7:]}<table>{IN_ITEMS}</table>"
    assert amount(sent, 1) == ("5", "")  # it is the other's


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<title>统计表（万条）</title><script>'<p>单位：万条'</script><!-- 单位：万条 -->", ""),
        ("<div style='display:none'><div>x</div>单位：万条</div>", ""),
        ("<p hidden>单位：万条<p>统计表", ""),
        ("<table hidden><tr><td>单位：万条</table>", ""),
        ("<select><option>万条<option>单位：万条</select><textarea>单位：万条</textarea>", ""),
        ("", f"<p>单位：万条</p>{OTHERS}"),
    ],
)
def test_what_a_page_does_not_show_above_its_table_says_no_unit(amount, before, after):
    is_second = before.startswith("<table")
    assert amount(f"{before}<table>{IN_ITEMS}</table>{after}", int(is_second)) == ("5", "")


def test_rows_of_hidden_cells_below_a_wide_one_are_counted(refused, monkeypatch):
    monkeypatch.setattr(cells_module, "GRID_CELLS", 1_000_000)
    sent = page(TABLE_HEADER, "<tr><td rowspan=0 colspan=20000>", "<tr><td hidden>" * 100)
    assert refused(sent.encode(), "html").code == "sparse"


def test_text_above_a_table_is_not_kept_without_end(tmp_path):
    path = tmp_path / "export"
    above = "".join(f"<p>{'文' * 100_000}{'<br>字' * 1_000}" for _ in range(30))
    path.write_text(f"<html>{above}<table>{IN_ITEMS}</table>")
    tracemalloc.start()
    try:
        open_delivery(path, "html", contract(), None, LIMIT, tmp_path)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 8 << 20
    assert held < 7 << 20  # a block as bytes and as text


def test_errors_on_pages_are_errors(read):
    rows = read(page(TABLE_HEADER, table_row("1", "#DIV/0!", "", "")).encode(), "html")
    assert told(rows, "_fault", "_fault_value") == [("error_cell", "#DIV/0!")]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"<tr>{'<td colspan=20000>x' * 200_000}", "sparse"),
        ("<tr><td colspan=1000000000>x", "sparse"),
        ("<tr><td rowspan=1000000000>x", "sparse"),
        (f"<tr><td>{'x' * 2_000_000}", "cell_size"),
        (f"<tr><td a='{'x' * 3_000_000}'>", None),
        (f"<tr><td a='{'x' * 11_000_000}'>", "cell_size"),
        (f"<p>{'x' * 11_000_000}</p>", "cell_size"),
        (f"<!--{'x' * 3_000_000}", "damaged"),
        ("<div>" * 300, "deep"),
        ("<table><tr><td>" * 200, "deep"),
        (f"<tr><td>{'&#' * 1_500_000}", "cell_size"),
        (f"<tr><td>{'<' * 3_000_000}", "cell_size"),
        (f"<tr><td>{'<!' * 1_500_000}", None),
        (f"<tr><td>{'<a ' * 1_000_000}", None),
        (f"{'</b>' * 1_000}{'<div>' * 300}", "deep"),
    ],
)
def test_pages_made_to_hurt_are_refused_in_time(read, text, code):
    started = time.perf_counter()
    with pytest.raises((UnreadableError, RejectedError)) as caught:
        read(page(TABLE_HEADER.replace("编号", "编码"), text).encode(), "html")
    assert time.perf_counter() - started < 20
    if code is not None:
        assert caught.value.reason.code == code


def test_a_page_beyond_the_limit_is_refused_with_a_mend(refused, monkeypatch):
    monkeypatch.setattr(html_module, "PAGE_BYTES", 100)
    reason = refused(page(TABLE_HEADER, ROWS).encode(), "html")
    assert (reason.code, reason.expected) == ("large_page", "100")
    assert ".xlsx" in reason.chinese()


@pytest.mark.parametrize("end", ["</", "<!-- x", "<td class='x", "<script>var a;", "<td cla"])
def test_a_page_that_ends_inside_its_markup_is_damaged(refused, end):
    for start in (f"<table>{TABLE_HEADER}{ROWS}", ""):
        assert refused(f"{start}{end}".encode(), "html").code == "damaged"


def test_pages_glued_together_are_one(read, refused):
    first, second = page(TABLE_HEADER, ROWS), page(OTHER_HEADER, ROWS)
    assert told(read((first + second).encode(), "html"), "code", "amount") == [("1", "5")]
    assert codes(read((second + first).encode(), "html", table=1)) == ["1"]
    reason = refused((first + second + first).encode(), "html")
    assert (reason.code, reason.value) == ("second_table", "3")


@pytest.mark.parametrize(
    "left_open", ["<div>", "<div hidden>", "<span>", "<b>", "<center>", "<ul><li>"]
)
def test_an_element_left_open_in_a_cell_ends_with_it(read, left_open):
    rows = f"<tr><td>{left_open}1<td>{left_open}5<td>6<tr><td>2<td>{left_open}7<td>8"
    for tail in ("", "</tbody><tr><td>3<td>9"):
        sent = read(page(TABLE_HEADER, f"<tbody>{rows}{tail}").encode(), "html")
        assert told(sent, "code", "amount", "share")[:2] == [("1", "5", "6"), ("2", "7", "8")]


FIGURES = Source.model_validate(
    {
        "name": "figures",
        "title": "t",
        "owner": "o",
        "content": "snapshot",
        "grain": "g",
        "key": [],
        "formats": {"xlsx": {}},
        "columns": [
            {"name": "text", "header": "文本", "type": "text"},
            {"name": "whole", "header": "整数", "type": "integer"},
            {"name": "rate", "header": "比值", "type": "decimal"},
            {
                "name": "share",
                "header": "占比",
                "type": "decimal",
                "unit": "%",
                "share": True,
                "maximum": 100,
            },
        ],
    }
)


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        (1 / 3, ("0.333333333333333", "0.333333333333333", "0.333333", "33.333333%")),
        (310 / 330, ("0.939393939393939", "0.939393939393939", "0.939394", "93.939394%")),
        (0.1 + 0.2, ("0.3", "0.3", "0.3", "30%")),
        (5.0000001, ("5.0000001", "5.0000001", "5", "500.00001%")),
        (5.000000000000001, ("5", "5", "5", "500%")),
        (-1e-9, ("-0.000000001", "-0.000000001", "-0", "-0%")),
        (12345678901.55, ("12345678901.55", "12345678901.55", "12345678901.55", "1234567890155%")),
        (5, ("5", "5", "5", "500%")),
    ],
)
def test_computed_numbers_are_decimals_of_six_places(tmp_path, value, texts):
    path = tmp_path / "export"
    path.write_bytes(workbook(("1", [["文本", "整数", "比值", "占比"], [value] * 4])))
    reading = open_delivery(path, "xlsx", FIGURES, None, LIMIT, tmp_path)
    (row,) = [row for batch in reading.batches for row in batch.to_pylist()]
    assert told([row], "text", "whole", "rate", "share") == [texts]


MONEY = Source.model_validate(
    {
        "name": "fees",
        "title": "t",
        "owner": "o",
        "content": "snapshot",
        "grain": "g",
        "key": [],
        "formats": {"xlsx": {}, "html": {"encoding": "utf-8"}},
        "columns": [
            {"name": "fee", "header": "收费", "type": "decimal", "unit": "元", "unit_from": "unit"},
            {"name": "unit", "header": "单位", "type": "text"},
            {
                "name": "cost",
                "header": "成本",
                "type": "decimal",
                "unit": "万元",
                "unit_from": "unit",
            },
        ],
    }
)
LONG = 12.3456789012345


@pytest.mark.parametrize(
    ("rows", "fees"),
    [
        ([["收费（亿元）"], [LONG]], ["12.3456789012345亿元"]),
        ([["收费（万元）"], [LONG]], ["12.3456789012万元"]),
        ([["收费（百万元）"], [1 / 3]], ["0.333333333333百万元"]),
        ([["收费"], [LONG]], ["12.345679"]),
        ([["收费（元）"], [LONG]], ["12.345679"]),
        (
            [["收费", "单位"], [LONG, "亿元"], [LONG, "元"], [LONG, "萬元"], [LONG], [LONG, "人"]],
            ["12.3456789012345", "12.345679", "12.3456789012", "12.345679", "12.345679"],
        ),
    ],
)
def test_figures_of_a_scale_keep_the_places_that_it_uncovers(tmp_path, rows, fees):
    path = tmp_path / "export"
    path.write_bytes(workbook(("1", rows)))
    reading = open_delivery(path, "xlsx", MONEY, None, LIMIT, tmp_path)
    assert [row["fee"] for batch in reading.batches for row in batch.to_pylist()] == fees


def test_figures_of_a_declared_line_keep_the_places_that_its_scale_uncovers(tmp_path):
    path = tmp_path / "export"
    path.write_bytes(workbook(("1", [["单位：亿元"], ["收费", "备注"], [0.1 + 0.2]])))
    source = MONEY.model_copy(update={"unit_above": "亿元"})
    reading = open_delivery(path, "xlsx", source, None, LIMIT, tmp_path)
    assert [row["fee"] for batch in reading.batches for row in batch.to_pylist()] == ["0.3亿元"]


def test_a_scale_that_the_contract_counts_in_uncovers_nothing(tmp_path):
    path = tmp_path / "export"
    path.write_bytes(workbook(("1", [["成本", "单位"], [LONG, "万元"]])))
    reading = open_delivery(path, "xlsx", MONEY, None, LIMIT, tmp_path)
    assert [row["cost"] for batch in reading.batches for row in batch.to_pylist()] == ["12.345679"]
