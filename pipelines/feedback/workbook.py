"""Write a feedback workbook: rows that were kept out, for their department to mend and send back.

What departments wrote is written as text and never as a formula or a link. The same state gives
the same bytes. The words and the layout by which a returned workbook is read are those of
deliveries/feedback_form.py.
"""

from __future__ import annotations

import os
import re
import tempfile
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import xlsxwriter

from pipelines.deliveries import feedback_form
from pipelines.machine.failures import naming_file

SHEET_ROWS = 1_048_576  # Of a worksheet, its header included (ECMA-376 18.3.1.73).
CELL_CHARACTERS = 32_767  # Of a cell.
COMMENTS = 20_000  # Of a workbook; more make office programs crawl, and the last column says all.
SORTED_ROWS = 50_000  # Beyond them rows are written as they come, and none stays in memory.
MEASURED_ROWS = 200  # The rows whose cells decide how wide columns are.
NARROWEST, WIDEST = 8, 42  # Characters of a column.
CONTENT_WIDTH = 84  # Characters of the summary's second column.
# Control characters, which XML cannot hold or a return would not bring back, are shown as
# Unicode's pictures of them.
UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
FONT = {"font_name": "宋体", "font_size": 11, "font_scheme": ""}  # No theme's font.
LINE = {"border": 1, "border_color": "#BFBFBF", "valign": "vcenter"}
A4 = 9


@dataclass(frozen=True)
class FeedbackRow:
    """A row to be mended: its place in the file, its cells, and what is wrong with which.

    `marks` are the reasons by the position of the cell; `notes` those of the row as a whole.
    `beyond` are cells to the right of the header.
    """

    sheet: str
    number: int
    cells: tuple[str, ...]
    marks: Mapping[int, tuple[str, ...]]
    notes: tuple[str, ...]
    beyond: tuple[str, ...] = ()


@dataclass(frozen=True)
class Feedback:
    """Everything that a workbook says but its rows; texts are Chinese.

    `facts` come first in the summary, `problems` are the reasons with the rows that they concern,
    `remarks` reasons that concern the delivery. `units` say, by the position of a header, what the
    figures below it count in where the cells leave it away. `judged_at` is Shanghai's time.
    """

    delivery_id: str
    sha256: str
    judged_at: datetime
    facts: tuple[tuple[str, str], ...]
    problems: tuple[tuple[str, int], ...]
    remarks: tuple[str, ...]
    headers: tuple[str, ...]
    units: Mapping[int, str]
    count: int
    has_beyond: bool


STYLES: dict[str, dict[str, Any]] = {
    "title": {"bold": True, "font_size": 16, "font_color": "#1F3864", "valign": "vcenter"},
    "heading": {"bold": True, "font_color": "#FFFFFF", "bg_color": "#1F4E79", **LINE},
    "item": {"bg_color": "#DDEBF7", "text_wrap": True, "indent": 1, **LINE},
    "content": {"num_format": "@", "text_wrap": True, "indent": 1, **LINE},
    "count": {"num_format": "#,##0", "align": "center", "bg_color": "#DDEBF7", **LINE},
    "identity_header": {
        "bold": True,
        "bg_color": "#A6A6A6",
        "text_wrap": True,
        "align": "center",
        **LINE,
    },
    "header": {
        "bold": True,
        "font_color": "#FFFFFF",
        "bg_color": "#1F4E79",
        "text_wrap": True,
        "align": "center",
        **LINE,
    },
    "identity": {"num_format": "@", "bg_color": "#EDEDED", "font_color": "#595959", **LINE},
    "identity_wrong": {"num_format": "@", "bg_color": "#F8CBAD", "font_color": "#595959", **LINE},
    "action": {"num_format": "@", "align": "center", "locked": False, **LINE},
    "cell": {"num_format": "@", "locked": False, **LINE},
    "wrong": {
        "num_format": "@",
        "bg_color": "#FFC7CE",
        "font_color": "#9C0006",
        "locked": False,
        **LINE,
    },
    "note": {
        "num_format": "@",
        "text_wrap": True,
        "locked": False,
        "font_color": "#7F6000",
        "bg_color": "#FFF9E5",
        **LINE,
    },
}
HOW_TO = (
    "在“待更正数据”工作表中直接修改：红色单元格有误，鼠标移至单元格可查看批注，最后一列列出全部问题。",
    "“处理”列默认为“更正”；如该行不应报送，请改选“删除”。未作修改的行仍按原样隔离；"
    "如表中所列各格即为应报内容（如只是多出的内容应去掉），无须修改，请改选“确认”。",
    "灰色各列（工作表、原文件行号）用于对应原文件，请勿改动；请勿改动表头，勿增删列，勿新增数据行。",
    "改好后保存为 .xlsx，不要改文件名，放回原报送位置即可；系统将与原文件合并后重新检查。",
    "如已重新报送完整文件，请勿再回传本文件。",
)


def write_workbook(path: Path, feedback: Feedback, rows: Iterable[FeedbackRow]) -> None:
    """Write a workbook to `path` (mode 0600); of `rows` there are `feedback.count`.

    It is written aside and renamed into place: nobody ever finds half of one. Rows are sorted by
    their place in the file, unless there are more than SORTED_ROWS.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".xlsx")
    os.close(handle)
    unfinished = Path(name)
    if feedback.count <= SORTED_ROWS:
        rows = sorted(rows, key=lambda row: (row.sheet, row.number))
    try:
        with naming_file(path):
            book = xlsxwriter.Workbook(
                str(unfinished),
                {
                    "constant_memory": feedback.count > SORTED_ROWS,
                    "strings_to_formulas": False,
                    "strings_to_urls": False,
                    "strings_to_numbers": False,
                    "default_format_properties": dict(FONT),  # A copy, for xlsxwriter changes it.
                },
            )
            styles = {name: book.add_format(FONT | style) for name, style in STYLES.items()}
            created = feedback.judged_at.replace(microsecond=0)
            book.set_properties({"title": "数据更正反馈", "created": created})
            book.set_custom_property(feedback_form.DELIVERY_ID, feedback.delivery_id)
            book.set_custom_property(feedback_form.SHA256, feedback.sha256)
            summary = book.add_worksheet(feedback_form.SUMMARY)
            _write_summary(summary, styles, feedback)
            _write_rows(book, styles, feedback, rows)
            summary.activate()
            book.close()
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def _write_summary(sheet: Any, styles: Mapping[str, Any], feedback: Feedback) -> None:
    """Write the first sheet: facts of the delivery, problems with their rows, how to mend them."""
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, CONTENT_WIDTH)
    sheet.hide_gridlines(2)
    sheet.set_row(0, 30)
    sheet.write_string(0, 0, "数据更正反馈", styles["title"])
    units = "\n".join(f"{feedback.headers[at]}：{text}" for at, text in feedback.units.items())
    heading, item, content = styles["heading"], styles["item"], styles["content"]
    lines: list[tuple[str | int, str, Any, Any] | None] = [
        None,
        (feedback_form.ITEM, feedback_form.CONTENT, heading, heading),
        *((name, text, item, content) for name, text in feedback.facts),
        *([("填写单位", units, item, content)] if units else []),
        (feedback_form.DELIVERY_ID, feedback.delivery_id, item, content),
        (feedback_form.SHA256, feedback.sha256, item, content),
        None,
        ("涉及行数", "问题", heading, heading),
        *((count, problem, styles["count"], content) for problem, count in feedback.problems),
        *(("整份报送", remark, item, content) for remark in feedback.remarks),
        None,
        ("步骤", "如何更正与回传", heading, heading),
        *((str(number), step, item, content) for number, step in enumerate(HOW_TO, start=1)),
    ]
    for row, line in enumerate(lines, start=1):
        if line is None:
            continue
        left, right, left_style, right_style = line
        if isinstance(left, int):
            sheet.write_number(row, 0, left, left_style)
        else:
            sheet.write_string(row, 0, fitted(left), left_style)
        # Not all office programs make a row high enough for the text that wraps in it.
        height = sum(1 + _width(part) // (CONTENT_WIDTH - 6) for part in right.split("\n"))
        if height > 1:
            sheet.set_row(row, 15 * height + 3)
        sheet.write_string(row, 1, fitted(right), right_style)
    sheet.protect("", {"format_columns": True, "format_rows": True})
    sheet.set_paper(A4)
    sheet.fit_to_pages(1, 0)


def _write_rows(
    book: Any, styles: Mapping[str, Any], feedback: Feedback, rows: Iterable[FeedbackRow]
) -> None:
    """Write the rows to be mended, onto as many sheets as they need."""
    after = (*((feedback_form.OVERFLOW,) if feedback.has_beyond else ()), feedback_form.REASONS)
    headers = (*feedback_form.BEFORE, *feedback.headers, *after)
    coming = iter(rows)
    measured = list(islice(coming, MEASURED_ROWS))
    coming = chain(measured, coming)
    comments = 0
    for start in range(0, feedback.count, SHEET_ROWS - 1):
        number = start // (SHEET_ROWS - 1) + 1
        sheet = book.add_worksheet(feedback_form.SHEET + (str(number) if number > 1 else ""))
        count = min(SHEET_ROWS - 1, feedback.count - start)
        _arrange_sheet(sheet, styles, feedback, headers, measured, count)
        for at, row in enumerate(islice(coming, count), start=1):
            comments += _write_row(sheet, styles, at, row, feedback, comments < COMMENTS)


def _arrange_sheet(
    sheet: Any,
    styles: Mapping[str, Any],
    feedback: Feedback,
    headers: Sequence[str],
    measured: Sequence[FeedbackRow],
    count: int,
) -> None:
    """Write what a sheet has besides its `count` rows: headers, widths, the drop-down, protection.

    A column is as wide as its widest cell among the `measured` rows; those of ours have widths of
    their own.
    """
    before = len(feedback_form.BEFORE)
    widths = [_width(header) + 2 for header in headers]
    for row in measured:
        for position, cell in enumerate(row.cells[: len(feedback.headers)], start=before):
            widths[position] = max(widths[position], _width(cell.partition("\n")[0]) + 2)
    widths = [min(max(width, NARROWEST), WIDEST) for width in widths]
    widths[:before] = [16, 20, 14, 18]
    widths[-1] = 60
    if feedback.has_beyond:
        widths[-2] = 24
    sheet.set_row(0, 34)
    for position, header in enumerate(headers):
        hidden = {"hidden": 1} if header == feedback_form.SEAL else {}
        sheet.set_column(position, position, widths[position], None, hidden)
        is_ours = position < before or header in feedback_form.OWN_HEADERS
        style = styles["identity_header" if is_ours else "header"]
        sheet.write_string(0, position, fitted(header), style)
    for position, text in feedback.units.items():
        _comment(sheet, 0, before + position, (text,))
    sheet.freeze_panes(1, before)
    sheet.autofilter(0, 0, count, len(headers) - 1)
    sheet.data_validation(
        1,
        before - 1,
        count,
        before - 1,
        {
            "validate": "list",
            "source": list(feedback_form.ACTIONS),
            "error_title": "处理",
            "error_message": "请选择“更正”“确认”或“删除”",
        },
    )
    allowed = ("format_cells", "format_columns", "format_rows", "autofilter", "sort")
    sheet.protect("", dict.fromkeys(allowed, True))
    sheet.set_landscape()
    sheet.set_paper(A4)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _write_row(
    sheet: Any,
    styles: Mapping[str, Any],
    at: int,
    row: FeedbackRow,
    feedback: Feedback,
    is_commented: bool,
) -> int:
    """Write a row to line `at`; return how many comments it took.

    The row is sealed with what it shows, by which a return that nobody touched is known.
    """
    before = len(feedback_form.BEFORE)
    cells = tuple(fitted(cell, feedback_form.CUT) for cell in row.cells)
    seal = feedback_form.seal(feedback.delivery_id, row.sheet, row.number, cells)
    marked: dict[int, tuple[str, ...]] = {1: row.notes} if row.notes else {}
    marked |= {before + position: reasons for position, reasons in row.marks.items()}
    identity = styles["identity_wrong" if row.notes else "identity"]
    sheet.write_string(at, 0, fitted(row.sheet), identity)
    sheet.write_string(at, 1, str(row.number), identity)
    sheet.write_string(at, 2, seal, styles["identity"])
    sheet.write_string(at, 3, feedback_form.CORRECT, styles["action"])
    for position, cell in enumerate(cells, start=before):
        sheet.write_string(at, position, cell, styles["wrong" if position in marked else "cell"])
    last = before + len(cells)
    if feedback.has_beyond:
        sheet.write_string(at, last, fitted(" | ".join(row.beyond)), styles["cell"])
        last += 1
    reasons = [*row.notes, *chain.from_iterable(row.marks.values())]
    sheet.write_string(at, last, fitted("\n".join(reasons)), styles["note"])
    if len(reasons) > 1:
        sheet.set_row(at, 15 * min(len(reasons), 20) + 3)
    if not is_commented:
        return 0
    for position, texts in marked.items():
        _comment(sheet, at, position, texts)
    return len(marked)


def _comment(sheet: Any, row: int, column: int, lines: Sequence[str]) -> None:
    """Attach a comment that is as high as its lines need."""
    height = 24 + 18 * sum(1 + _width(line) // 36 for line in lines)
    look = {"author": "", "font_name": "宋体", "font_size": 9, "color": "#FFFFE1"}
    size = {"width": 260, "height": height}
    sheet.write_comment(row, column, fitted("\n".join(lines)), size | look)


def fitted(text: str, mark: str = "") -> str:
    """Return `text` as a cell can hold it; what had to be cut ends with `mark`.

    Control characters become pictures. A cell counts characters as UTF-16 does: those beyond the
    first plane twice.
    """
    text = UNWRITABLE.sub(_picture, text.replace("\r\n", "\n"))
    if len(text) * 2 <= CELL_CHARACTERS:
        return text
    cut = text.encode("utf-16-le")[: CELL_CHARACTERS * 2].decode("utf-16-le", "ignore")
    return text if cut == text else cut[: len(cut) - len(mark)] + mark


def _picture(character: re.Match[str]) -> str:
    """Return Unicode's picture of a control character, and U+FFFD for a noncharacter."""
    code = ord(character[0])
    return "\u2421" if code == 0x7F else chr(0x2400 + code) if code < 0x20 else "\ufffd"


def _width(text: str) -> int:
    """Return how wide a text is, in Latin characters; of a long one its first 200 count."""
    text = text[:200]
    return len(text) + sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
