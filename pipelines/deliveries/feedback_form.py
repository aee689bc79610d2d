"""The names and the layout of feedback workbooks, for those who write and those who read them.

`<source>.<department or all>.<business date or bulk>[.<part>].feedback-<delivery id>.xlsx`; the
department is the one that the workbook's rows belong to; `all` is the bureau's own workbook, whose
rows name no department that is known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

FORMAT = "feedback"  # the format of a delivery that is a returned feedback workbook
ALL = "all"  # stands in place of a department, in the name of any file
SUMMARY = "说明"
SHEET = "待更正数据"  # and 待更正数据2 … when one sheet does not hold all rows
# Headers that no export has. Those of the department's file stand between ACTION and REASONS.
ORIGIN_SHEET = "工作表（勿改）"
ORIGIN_ROW = "原文件行号（勿改）"
SEAL = "校验码（勿改）"
ACTION = "处理（更正/确认/删除）"
OVERFLOW = "多出的内容（供对照）"
REASONS = "问题说明（供对照）"
BEFORE = (ORIGIN_SHEET, ORIGIN_ROW, SEAL, ACTION)
OWN_HEADERS = (*BEFORE, OVERFLOW, REASONS)
ACTIONS = CORRECT, CONFIRM, DELETE = ("更正", "确认", "删除")
ITEM, CONTENT = "项目（勿改）", "内容（勿改）"  # the headers of the summary's table
DELIVERY_ID, SHA256 = "报送编号", "原件指纹（SHA-256）"  # of the summary and of the properties
CUT = "……（内容过长，已截断，不能直接回传）"

# Browsers and people append to a name, as in `(1)` or `_已更正`, and prefix it, as in `副本`.
NAME = re.compile(
    r"(?:.*[^a-zA-Z0-9_])?(?P<source>[a-z][a-z0-9_]{0,62})\.(?P<department>[A-Za-z0-9_-]{1,32})"
    r"\.(?P<day>\d{4}-\d\d-\d\d|bulk)(?:\.(?P<part>[\w-]{1,64}))?"
    r"\.feedback-(?P<delivery_id>[0-9a-f]{16})(?:[^0-9a-zA-Z].*)?(?P<suffix>\.\w{1,5})"
)


class Named(NamedTuple):
    """The statements of a feedback workbook's name; department and day as written in it."""

    source: str
    department: str
    day: str
    part: str
    delivery_id: str
    suffix: str


def named(file_name: str) -> Named | None:
    """Return what a feedback workbook's name states, be it renamed a little; None for others."""
    match = NAME.fullmatch(file_name)
    return Named(**{key: text or "" for key, text in match.groupdict().items()}) if match else None


def file_name(slot: tuple[str, str, str, str], department: str | None, delivery_id: str) -> str:
    """Return the name of the workbook for `department`'s rows of a delivery; None means ALL."""
    source, _, day, part = slot
    stem = ".".join(filter(None, (source, department or ALL, day, part)))
    return f"{stem}.{FORMAT}-{delivery_id}.xlsx"


def seal(delivery_id: str, sheet: str, row: int, cells: Sequence[str]) -> str:
    """Return the seal of a workbook row with these `cells`, two hashes joined by `-`.

    The first hash proves that the row was sent out in the workbook of this delivery, the second
    that nobody has touched its cells since; spreadsheet programs may change their line ends.
    """
    lines = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
    sealed: tuple[Sequence[str | int], ...] = ([delivery_id, sheet, row], [sheet, row, *lines])
    return "-".join(
        hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12] for content in sealed
    )
