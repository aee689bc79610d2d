from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.contracts.sources import Source
from pipelines.contracts.spellings import fold_header
from pipelines.reading.headers.matching import SEARCHED_ROWS, match
from pipelines.reading.headers.search import locate

SOURCE = Source.model_validate(
    {
        "name": "cameras",
        "title": "t",
        "owner": "o",
        "content": "snapshot",
        "grain": "g",
        "key": [],
        "formats": {"csv": {}},
        "columns": [
            {"name": "camera", "header": ["通道编号", "设备ID"], "type": "text", "required": True},
            {"name": "status", "header": "状态", "type": "text", "required": True},
            {"name": "phone", "header": "联系电话", "type": "text", "pii": "phone"},
        ],
    }
)
OPTIONAL = Source.model_validate(
    SOURCE.model_dump()
    | {"columns": [column.model_dump() | {"required": False} for column in SOURCE.columns]}
)


@pytest.mark.parametrize(
    "cell",
    [
        "设备ID",
        "设备id",
        "设备ＩＤ",
        " 设备 ID ",
        "设备\nID",
        "设备　ＩＤ",
        "设\t备 i d",
        "\u00a0设备ID",
        "\ufeff设备ID",
        "设备\u200bID\u200e",
    ],
)
def test_width_case_and_blanks_are_folded(cell):
    assert match(SOURCE, [cell]).positions == {"camera": 0}


@pytest.mark.parametrize("cell", ["设备IDs", "设备", "状 况", "", "-"])
def test_nothing_else_is_taken_for_a_header(cell):
    assert match(SOURCE, [cell]).positions == {}


@given(st.lists(st.text(st.characters(categories=["L", "Nd"]), max_size=5), max_size=5))
def test_blanks_anywhere_make_no_difference(words):
    assert fold_header(" \u3000\n".join(words)) == fold_header("".join(words))


def test_columns_may_come_in_any_order_beside_others():
    header = match(SOURCE, ["序号", "状态", "", "通道编号", "备注 "])
    assert header.positions == {"status": 1, "camera": 3}
    assert header.extra == ("序号", "备注")
    assert [warning.code for warning in header.warnings] == ["extra_column"] * 2
    assert header.faults(SOURCE) == ()


def test_a_repeated_column_is_a_fault_whichever_spelling():
    header = match(SOURCE, ["通道编号", "状态", "设备id"])
    (fault,) = header.faults(SOURCE)
    assert (fault.code, fault.column, fault.value) == (
        "repeated_header",
        "camera",
        "通道编号 / 设备id",
    )


def test_a_missing_column_is_told_with_what_is_expected_and_what_is_there():
    (fault,) = match(SOURCE, ["通道编号", "运行状况"]).faults(SOURCE)
    assert fault.code == "missing_column"
    assert "状态" in fault.english()
    assert "通道编号、运行状况" in fault.english()
    assert "状态" in fault.chinese(SOURCE.titles)


def test_an_optional_column_may_be_missing():
    assert match(SOURCE, ["通道编号", "状态"]).faults(SOURCE) == ()


@pytest.mark.parametrize("titles", [0, 1, 3, SEARCHED_ROWS - 1])
def test_the_header_is_found_below_title_rows(titles):
    rows = [["视频资源通道清单"]] * titles + [["通道编号", "状态"], ["1", "在线"]]
    index, header = locate(SOURCE, rows)
    assert index == titles
    assert header.positions == {"camera": 0, "status": 1}


def test_a_header_too_far_below_is_not_found():
    index, header = locate(SOURCE, [["标题"]] * SEARCHED_ROWS + [["通道编号", "状态"]])
    assert (index, header.positions) == (-1, {})


def test_a_title_that_reads_like_one_header_does_not_win():
    assert locate(SOURCE, [["状态"], ["通道编号", "状态"], ["状态", "通道编号"]])[0] == 1


def test_the_best_partial_match_is_the_header_and_tells_what_is_missing():
    index, header = locate(SOURCE, [["标题"], ["状态"], ["状态", "联系电话"], ["联系电话"]])
    assert index == 2
    assert [fault.column for fault in header.faults(SOURCE)] == ["camera"]


def test_without_required_columns_the_row_with_most_headers_wins():
    assert locate(OPTIONAL, [["状态"], ["状态", "联系电话"], ["通道编号", "状态"]])[0] == 1


def test_without_required_columns_a_later_page_is_no_better_header():
    """The rows of the first page would be titles above it, in no count."""
    rows = [["通道编号", "状态"], ["1", "在线"], ["通道编号", "状态", "联系电话"]]
    assert locate(OPTIONAL, rows)[0] == 0


def test_a_line_of_labels_that_holds_one_header_is_not_taken_for_the_header():
    rows = [["通道编号", "宣州区", "2021年"], ["通道编号", "联系电话", "状态"], ["1", "在线", ""]]
    columns = [
        column.model_dump() | {"required": column.name == "camera"} for column in SOURCE.columns
    ]
    source = Source.model_validate(SOURCE.model_dump() | {"columns": columns})
    index, header = locate(source, rows)
    assert index == 1
    assert header.positions == {"camera": 0, "phone": 1, "status": 2}
    assert locate(source, [rows[0], [""], ["填报表"], rows[1]])[0] == 3
    assert locate(source, [rows[0], rows[2]])[0] == 0  # no better one follows
    assert locate(source, [rows[0], rows[2], rows[1]])[0] == 0  # nor is data passed over for one


def test_without_a_header_no_cell_is_repeated():
    rows = [["44010000001310000001", "在线", "13800001111"], ["张三", "", "13900002222"]]
    index, header = locate(SOURCE, rows)
    assert index == -1
    told = " ".join(
        text for fault in header.faults(SOURCE) for text in (fault.english(), fault.chinese())
    )
    for row in rows:
        assert not any(cell and cell in told for cell in row)
    assert header.warnings == ()


@pytest.mark.parametrize(
    ("cells", "width"), [([], 0), (["", " "], 0), (["状态"], 1), (["", "状态", "", "　"], 2)]
)
def test_a_header_is_as_wide_as_its_last_filled_cell(cells, width):
    assert match(SOURCE, cells).width == width


def test_no_rows_no_header():
    assert locate(SOURCE, [])[0] == -1
