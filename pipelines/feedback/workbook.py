"""The feedback workbook: rows that were kept out, for their department to mend and send back.

What departments wrote is written as text and never as a formula or a link. The same state gives
the same bytes. Words and layout that the way back relies on are those of contracts/returns.py.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

import xlsxwriter

from pipelines.deliveries import feedback_form

SHEET_ROWS = 1_048_576  # of a worksheet, its header included (ECMA-376 18.3.1.73)
CELL_CHARACTERS = 32_767  # of a cell
COMMENTS = 20_000  # of a workbook; more make office programs crawl, and the last column says all
SORTED_ROWS = 50_000  # beyond them rows are written as they come, without being kept
MEASURED_ROWS = 200  # by which columns are made wide enough
NARROWEST, WIDEST = 8, 42  # characters of a column
CONTENT_WIDTH = 84  # of the summary's
# what XML cannot hold, or the way back would not keep, is shown by Unicode's control pictures
UNWRITABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff]")
FONT = {"font_name": "宋体", "font_size": 11, "font_scheme": ""}  # and no theme's font
LINE = {"border": 1, "border_color": "#BFBFBF", "valign": "vcenter"}


@dataclass(frozen=True)
class Mended:
    """A row to be mended: its place in the file, its cells, what is wrong with which.

    `marks` are what is wrong by the position of the cell; `notes` concern the row as a whole.
    `beyond` are cells that the header has no column for.
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

    `facts` are what the summary tells first, `problems` the reasons with the rows that they
    concern, `remarks` reasons that concern the delivery. `units` say, by the position of a header,
    what the figures below it count in where the cells leave it away. `judged_at` is in Shanghai's
    time.
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


def write_workbook(path: Path, feedback: Feedback, rows: Iterable[Mended]) -> None:
    """Write a workbook to `path`; of `rows` there are `feedback.count`."""
    book = xlsxwriter.Workbook(
        str(path),
        {
            "constant_memory": feedback.count > SORTED_ROWS,
            "strings_to_formulas": False,
            "strings_to_urls": False,
            "strings_to_numbers": False,
            "default_format_properties": dict(FONT),  # which it changes
        },
    )
    styles = {name: book.add_format(FONT | style) for name, style in STYLES.items()}
    book.set_properties(
        {"title": "数据更正反馈", "created": feedback.judged_at.replace(microsecond=0)}
    )
    book.set_custom_property(feedback_form.DELIVERY_ID, feedback.delivery_id)
    book.set_custom_property(feedback_form.SHA256, feedback.sha256)
    _write_summary(book.add_worksheet(feedback_form.SUMMARY), styles, feedback)
    _write_rows(book, styles, feedback, rows)
    book.get_worksheet_by_name(feedback_form.SUMMARY).activate()
    book.close()


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


def _write_summary(sheet: Any, styles: Mapping[str, Any], feedback: Feedback) -> None:
    sheet.set_column(0, 0, 26)
    sheet.set_column(1, 1, CONTENT_WIDTH)
    sheet.hide_gridlines(2)
    sheet.set_row(0, 30)
    sheet.write_string(0, 0, "数据更正反馈", styles["title"])
    row = 2
    _line(
        sheet,
        row,
        (feedback_form.ITEM, feedback_form.CONTENT),
        styles["heading"],
        styles["heading"],
    )
    identified = (
        (feedback_form.DELIVERY_ID, feedback.delivery_id),
        (feedback_form.SHA256, feedback.sha256),
    )
    units = "\n".join(f"{feedback.headers[at]}：{text}" for at, text in feedback.units.items())
    counted = (("填写单位", units),) if units else ()
    for item, content in (*feedback.facts, *counted, *identified):
        row += 1
        _line(sheet, row, (item, content), styles["item"], styles["content"])
    row += 2
    _line(sheet, row, ("涉及行数", "问题"), styles["heading"], styles["heading"])
    for problem, count in feedback.problems:
        row += 1
        sheet.write_number(row, 0, count, styles["count"])
        _write_content(sheet, row, problem, styles["content"])
    for remark in feedback.remarks:
        row += 1
        _line(sheet, row, ("整份报送", remark), styles["item"], styles["content"])
    row += 2
    _line(sheet, row, ("步骤", "如何更正与回传"), styles["heading"], styles["heading"])
    for number, step in enumerate(HOW_TO, start=1):
        row += 1
        _line(sheet, row, (str(number), step), styles["item"], styles["content"])
    sheet.protect("", {"format_columns": True, "format_rows": True})
    sheet.set_paper(9)  # A4
    sheet.fit_to_pages(1, 0)


def _line(sheet: Any, row: int, texts: tuple[str, str], left: Any, right: Any) -> None:
    sheet.write_string(row, 0, _text(texts[0]), left)
    _write_content(sheet, row, texts[1], right)


def _write_content(sheet: Any, row: int, text: str, style: Any) -> None:
    """Write a text in a row that is high enough for it: not all programs see to that."""
    lines = sum(1 + _width(line) // (CONTENT_WIDTH - 6) for line in text.split("\n"))
    if lines > 1:
        sheet.set_row(row, 15 * lines + 3)
    sheet.write_string(row, 1, _text(text), style)


def _write_rows(
    book: Any, styles: Mapping[str, Any], feedback: Feedback, rows: Iterable[Mended]
) -> None:
    after = (*((feedback_form.OVERFLOW,) if feedback.has_beyond else ()), feedback_form.REASONS)
    headers = (*feedback_form.BEFORE, *feedback.headers, *after)
    coming = iter(rows)
    first = list(islice(coming, MEASURED_ROWS))
    widths = _widths(headers, feedback, first)
    coming = chain(first, coming)
    comments = 0
    for number in range(1, -(-feedback.count // (SHEET_ROWS - 1)) + 1):
        name = feedback_form.SHEET + (str(number) if number > 1 else "")
        sheet = book.add_worksheet(name)
        some = min(SHEET_ROWS - 1, feedback.count - (number - 1) * (SHEET_ROWS - 1))
        _arrange(sheet, headers, widths, some, styles)
        for at, text in feedback.units.items():
            _comment(sheet, 0, len(feedback_form.BEFORE) + at, (text,))
        for at, row in enumerate(islice(coming, some), start=1):
            comments += _write_row(sheet, styles, at, row, feedback, comments < COMMENTS)


def _arrange(
    sheet: Any, headers: Sequence[str], widths: Sequence[int], rows: int, styles: Mapping[str, Any]
) -> None:
    """What a sheet has but its rows: headers, widths, the drop-down, what may be changed."""
    before, last = len(feedback_form.BEFORE), len(headers) - 1
    for position, width in enumerate(widths):
        hidden = {"hidden": 1} if headers[position] == feedback_form.SEAL else {}
        sheet.set_column(position, position, width, None, hidden)
    sheet.set_row(0, 34)
    for position, header in enumerate(headers):
        is_own = position < before or header in feedback_form.OWN_HEADERS
        style = styles["identity_header" if is_own else "header"]
        sheet.write_string(0, position, _text(header), style)
    sheet.freeze_panes(1, before)
    sheet.autofilter(0, 0, rows, last)
    sheet.data_validation(
        1,
        before - 1,
        rows,
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
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.repeat_rows(0)


def _write_row(
    sheet: Any, styles: Mapping[str, Any], at: int, row: Mended, feedback: Feedback, comment: bool
) -> int:
    """Write a row; returns how many comments it took."""
    cells = tuple(map(shown, row.cells))
    seal = feedback_form.seal(feedback.delivery_id, row.sheet, row.number, cells)
    marked: dict[int, tuple[str, ...]] = {1: row.notes} if row.notes else {}
    marked |= {len(feedback_form.BEFORE) + position: told for position, told in row.marks.items()}
    own = styles["identity_wrong" if row.notes else "identity"]
    sheet.write_string(at, 0, _text(row.sheet), own)
    sheet.write_string(at, 1, str(row.number), own)
    sheet.write_string(at, 2, seal, styles["identity"])
    sheet.write_string(at, 3, feedback_form.CORRECT, styles["action"])
    for position, cell in enumerate(cells, start=len(feedback_form.BEFORE)):
        sheet.write_string(at, position, cell, styles["wrong" if position in marked else "cell"])
    last = len(feedback_form.BEFORE) + len(cells)
    if feedback.has_beyond:
        sheet.write_string(at, last, _text(" | ".join(row.beyond)), styles["cell"])
        last += 1
    told = [*row.notes, *(text for some in row.marks.values() for text in some)]
    sheet.write_string(at, last, _text("\n".join(told)), styles["note"])
    if len(told) > 1:
        sheet.set_row(at, 15 * min(len(told), 20) + 3)
    if not comment:
        return 0
    for position, some in marked.items():
        _comment(sheet, at, position, some)
    return len(marked)


def _comment(sheet: Any, row: int, column: int, lines: Sequence[str]) -> None:
    size = {"width": 260, "height": 24 + 18 * sum(1 + _width(one) // 36 for one in lines)}
    look = {"author": "", "font_name": "宋体", "font_size": 9, "color": "#FFFFE1"}
    sheet.write_comment(row, column, _text("\n".join(lines)), size | look)


def shown(cell: str) -> str:
    """A cell as a workbook can hold it: control characters visible, what is too long cut."""
    whole = _writable(cell)
    text = _cut(whole)
    return text if text == whole else text[: -len(feedback_form.CUT)] + feedback_form.CUT


def _text(text: str) -> str:
    return _cut(_writable(text))


def _writable(text: str) -> str:
    return UNWRITABLE.sub(_picture, text.replace("\r\n", "\n"))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return "\u2421" if code == 0x7F else chr(0x2400 + code) if code < 0x20 else "\ufffd"


def _cut(text: str) -> str:
    """As much as a cell holds; characters beyond the first plane count twice there (UTF-16)."""
    if len(text) * 2 <= CELL_CHARACTERS:
        return text
    return text.encode("utf-16-le")[: CELL_CHARACTERS * 2].decode("utf-16-le", "ignore")


def _widths(headers: Sequence[str], feedback: Feedback, rows: Sequence[Mended]) -> list[int]:
    before = len(feedback_form.BEFORE)
    widths = [_width(header) + 2 for header in headers]
    widths[:before] = [16, 20, 14, 18]
    for row in rows:
        for position, cell in enumerate(row.cells[: len(feedback.headers)], start=before):
            widths[position] = max(widths[position], _width(cell.partition("\n")[0]) + 2)
    if feedback.has_beyond:
        widths[-2] = 24
    widths[-1] = 60
    return [min(max(width, NARROWEST), WIDEST) for width in widths[:-1]] + [60]


def _width(text: str) -> int:
    """How wide a text is, in Latin characters."""
    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text[:200])
    return wide + len(text[:200])


def in_order(rows: Iterable[Mended], count: int) -> Iterator[Mended]:
    """Rows by their place in the file, unless they are too many to be kept."""
    if count > SORTED_ROWS:
        return iter(rows)
    return iter(sorted(rows, key=lambda one: (one.sheet, one.number)))
