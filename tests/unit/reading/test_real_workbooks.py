"""Workbooks that other programs made: packages' samples, and what LibreOffice writes here."""

from __future__ import annotations

import shutil
import subprocess
from datetime import date, datetime

import openpyxl
import pytest
import python_calamine
import xlsxwriter
from package_samples import sample

from pipelines.contracts.extensions import format_of
from pipelines.contracts.sources import Source
from pipelines.reading.formats import open_delivery
from pipelines.reading.layout import cell_text

LIMIT = 1 << 30
READXL = "usr/lib/R/site-library/readxl/extdata"


def contract(header, types=None, **options):
    workbooks = dict.fromkeys(("xlsx", "xls", "xlsb", "ods"), options)
    return Source.model_validate(
        {
            "name": "sample",
            "title": "t",
            "owner": "o",
            "content": "snapshot",
            "grain": "g",
            "key": [],
            "formats": workbooks | {"html": {}},
            "columns": [
                {"name": f"c{place}", "header": text, "type": "text", "required": not place}
                | (types or {}).get(text, {})
                for place, text in enumerate(header)
                if text
            ],
        }
    )


def read(path, source, folder):
    reading = open_delivery(path, format_of(path), source, None, LIMIT, folder)
    rows = [row for batch in reading.batches for row in batch.to_pylist()]
    return sorted(rows, key=lambda row: row["row_number"])


def texts(rows, source):
    return [tuple(row[name] or "" for name in source.column_names) for row in rows]


def by_openpyxl(path, sheet):
    book = openpyxl.load_workbook(path, data_only=True, read_only=True)
    book[sheet].reset_dimensions()  # which some get wrong
    rows = [list(row) for row in book[sheet].iter_rows(values_only=True)]
    width = max(map(len, rows))
    return [row + [None] * (width - len(row)) for row in rows]


def by_calamine(path, sheet):
    """Independent of what reads .xls here, which is xlrd."""
    return (
        python_calamine.load_workbook(str(path))
        .get_sheet_by_name(sheet)
        .to_python(skip_empty_area=False)
    )


# --- samples of packages ------------------------------------------------------------------------

SAMPLES = (
    [
        ("readxl", f"{READXL}/{name}", sheet, header, of)
        for name, of in (("datasets.xlsx", by_openpyxl), ("datasets.xls", by_calamine))
        for sheet, header in (("iris", 0), ("mtcars", 0), ("chickwts", 0), ("quakes", 0))
    ]
    + [
        ("readxl", f"{READXL}/{stem}.{kind}", sheet, header, of)
        for kind, of in (("xlsx", by_openpyxl), ("xls", by_calamine))
        for stem, sheet, header in (
            ("deaths", "arts", 4),
            ("deaths", "other", 4),
            ("clippy", "list-column", 0),
            ("clippy", "two-row-header", 0),
            ("geometry", "Sheet1", 2),
            ("type-me", "logical_coercion", 0),
            ("type-me", "numeric_coercion", 0),
            ("type-me", "date_coercion", 0),
            ("type-me", "text_coercion", 0),
        )
    ]
    + [
        ("tablib", "tablib-3.10.0/tests/files/founders.xlsx", "Feuille1", 0, by_openpyxl),
        ("tablib", "tablib-3.10.0/tests/files/bad_dimensions.xlsx", "Sheet1", 0, None),
        ("tablib", "tablib-3.10.0/tests/files/dates.xls", "Tablib Dataset", 0, by_calamine),
    ]
)


@pytest.mark.parametrize(
    ("package", "name", "sheet", "header", "independent"),
    SAMPLES,
    ids=[f"{name.rpartition('/')[2]}-{sheet}" for _, name, sheet, *_ in SAMPLES],
)
def test_a_sample_reads_as_another_library_reads_it(
    tmp_path, package, name, sheet, header, independent
):
    path = sample(package, name)
    grid = independent(path, sheet) if independent else BAD_DIMENSIONS
    source = contract([cell_text(cell) or "" for cell in grid[header]], sheet=sheet)
    rows = read(path, source, tmp_path)
    places = [place for place, cell in enumerate(grid[header]) if cell]
    expected = {
        number: tuple(cell_text(grid[number - 1][place]) or "" for place in places)
        for number in range(header + 2, len(grid) + 1)
        if any(grid[number - 1]) or number < len(grid)
    }
    assert [row["row_number"] for row in rows] == list(expected)
    for row in rows:
        if row["_fault"] is None:
            assert texts([row], source) == [expected[row["row_number"]]]
        else:
            assert row["_fault"] == "cells"  # a note beside the table
    assert sum(row["_fault"] is not None for row in rows) <= 2


BAD_DIMENSIONS = [  # whose <dimension> openpyxl believes
    ["PN", "Qty", "Price"],
    ["EP00001", 10000, 0.0367],
    ["EP00002", None, 1],
    ["EP00004", 10000, 0.001],
]


def test_errors_that_excel_saved_are_told(tmp_path):
    path = sample("tablib", "tablib-3.10.0/tests/files/errors.xls")
    source = contract(["div by 0", "name unknown", "not available (formula)"])
    (row,) = read(path, source, tmp_path)
    assert (row["_fault"], row["_fault_value"]) == ("error_cell", "#DIV/0!")
    assert "#NAME?" in row["_torn"]
    assert "#N/A" in row["_torn"]


def test_spreadsheets_of_libreoffice_and_others(tmp_path):
    files = "tablib-3.10.0/tests/files"
    source = contract(["a", "b", "c", "d"])
    (row,) = read(sample("tablib", f"{files}/ragged.ods"), source, tmp_path)
    assert texts([row], source) == [("1", "", "true", "")]
    source = contract(["This", "is", "a", "second", "sheet"], sheet="Sheet2")
    assert read(sample("tablib", f"{files}/book.ods"), source, tmp_path) == []
    source = contract(["3"])
    rows = read(sample("odfpy", "odfpy-1.4.1/tests/examples/pythagoras.ods"), source, tmp_path)
    assert texts(rows, source) == [("4",), ("5",), ("7",)]


# --- LibreOffice --------------------------------------------------------------------------------

HEADER = ["编号", "数量", "占比", "日期", "备注"]
TYPES = {
    "数量": {"type": "integer"},
    "占比": {"type": "decimal", "unit": "%", "share": True, "maximum": 100},
    "日期": {"type": "date"},
}


def fill(path, is_1904=False):
    """What clerks' workbooks hold, in one sheet of 明细 beside a hidden one."""
    book = xlsxwriter.Workbook(path, {"date_1904": is_1904})
    sheet = book.add_worksheet("明细")
    hidden = book.add_worksheet("隐藏")
    hidden.write(0, 0, "编号")
    hidden.hide()
    percent = book.add_format({"num_format": "0%"})
    ten_thousands = book.add_format({"num_format": '0.0,"千"'})
    day = book.add_format({"num_format": "yyyy-mm-dd"})
    sheet.merge_range("A1:E1", "全市视频资源通道清单（2021年）")
    sheet.write_row(2, 0, HEADER)
    sheet.write_row(3, 0, ["00123", 5])
    sheet.write(3, 2, 0.97, percent)
    sheet.write_datetime(3, 3, datetime(2021, 9, 8), day)
    sheet.write(3, 4, "富文本，换行\n与“引号”")
    sheet.write(4, 0, "00124")
    sheet.write(4, 1, 265000, ten_thousands)
    sheet.write_number(4, 3, 44447 - 1462 * is_1904)
    sheet.write_formula(5, 0, "=1/0", value="#DIV/0!")
    sheet.write_row(5, 1, [7])
    sheet.write_row(6, 0, ["00126"])
    sheet.write_formula(6, 1, "=NA()", value="#N/A")
    sheet.write_row(7, 0, ["00127", 8])
    sheet.set_row(7, options={"hidden": True})
    sheet.write_row(9, 0, ["合计"])
    book.close()


EXPECTED = [
    (4, "00123", "5", "97%", date(2021, 9, 8).isoformat(), "富文本，换行\n与“引号”"),
    (5, "00124", "265000", "", "44447", ""),
    (8, "00127", "8", "", "", ""),
    (9, "", "", "", "", ""),
]


@pytest.fixture(scope="session")
def converted(tmp_path_factory):
    """The same workbook as LibreOffice writes it in each format, of both epochs."""
    if shutil.which("soffice") is None:
        pytest.skip("NO LIBREOFFICE: soffice is not installed; install libreoffice-calc-nogui")
    folder = tmp_path_factory.mktemp("libreoffice")
    for stem, is_1904 in (("since1900", False), ("since1904", True)):
        fill(folder / f"{stem}.xlsx", is_1904)
    for kind in ("xls", "ods", "html", "xlsx"):
        out = folder / kind
        subprocess.run(
            (
                "soffice",
                f"-env:UserInstallation={(folder / 'profile').as_uri()}",
                "--headless",
                "--convert-to",
                kind,
                "--outdir",
                out,
                *folder.glob("since19*.xlsx"),
            ),
            check=True,
            capture_output=True,
            timeout=120,
        )
    return folder


@pytest.mark.parametrize("stem", ["since1900", "since1904"])
@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_libreoffice_writes_the_same_rows_in_every_format(converted, tmp_path, kind, stem):
    source = contract(HEADER, TYPES, hidden_rows="ignore")
    rows = read(converted / kind / f"{stem}.{kind}", source, tmp_path)
    sound = [row for row in rows if row["_fault"] is None]
    found = [(row["row_number"], *texts([row], source)[0]) for row in sound]
    if kind == "ods" and stem == "since1904":  # it has one epoch, and keeps the bare number
        found[1] = (*found[1][:4], str(int(found[1][4]) + 1462), found[1][5])
    assert found == EXPECTED
    assert [row["_noise"] for row in sound] == [False, False, True, True]
    faults = [
        (row["row_number"], row["_fault_value"], row["_fault_expected"])
        for row in rows
        if row["_fault"]
    ]
    assert faults == [(6, "#DIV/0!", "编号"), (7, "#N/A", "数量"), (10, "", "")]  # 合计 alone


def test_libreoffice_writes_pages_that_are_read(converted, tmp_path):
    source = contract(HEADER, TYPES)
    rows = read(converted / "html" / "since1900.html", source, tmp_path)
    assert texts(rows[:1], source) == [
        ("00123", "5", "97%", "2021-09-08", "富文本，换行\n与“引号”")
    ]  # as displayed: a page has no other value
    assert [row["_fault_value"] for row in rows if row["_fault"]] == ["#DIV/0!", "#N/A", ""]


@pytest.mark.parametrize("kind", ["xlsx", "xls", "ods"])
def test_libreoffice_keeps_sheets_hidden(converted, tmp_path, kind):
    path = converted / kind / f"since1900.{kind}"
    source = contract(HEADER, TYPES, sheets="all", hidden_sheets="ignore")
    assert {row["sheet"] for row in read(path, source, tmp_path)} == {"明细"}
