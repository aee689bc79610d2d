"""Feedback workbooks, as they are named and laid out: what is written and what comes back agree.

`<source>.<department or all>.<business date or bulk>[.<part>].feedback-<delivery id>.xlsx`; the
department is that whose rows are in it, `all` the bureau's own, which name nobody known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from typing import NamedTuple

FORMAT = "feedback"  # the format of a delivery that came back so
ALL = "all"  # stands where the department would, of any file
SUMMARY = "说明"
SHEET = "待更正数据"  # and 待更正数据2 … when one sheet does not hold all rows
# headers that no export has: the file's own stand between ACTION and REASONS
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

# browsers and people append to a name ((1), _已更正) and put something before it (副本)
NAME = re.compile(
    r"(?:.*[^a-zA-Z0-9_])?(?P<source>[a-z][a-z0-9_]{0,62})\.(?P<department>[A-Za-z0-9_-]{1,32})"
    r"\.(?P<day>\d{4}-\d\d-\d\d|bulk)(?:\.(?P<part>[\w-]{1,64}))?"
    r"\.feedback-(?P<delivery_id>[0-9a-f]{16})(?:[^0-9a-zA-Z].*)?(?P<suffix>\.\w{1,5})"
)


class Named(NamedTuple):
    """What the name of a feedback workbook says; department and day as written in it."""

    source: str
    department: str
    day: str
    part: str
    delivery_id: str
    suffix: str


def named(file_name: str) -> Named | None:
    """What a file's name says if it is that of a feedback workbook, as sent or renamed a little."""
    match = NAME.fullmatch(file_name)
    return Named(**{key: text or "" for key, text in match.groupdict().items()}) if match else None


def scope(file_name: str) -> str:
    """Whose rows a return may replace in a file of many departments, by its name."""
    told = named(file_name)
    return told.department if told else ""


def file_name(slot: tuple[str, str, str, str], department: str | None, delivery_id: str) -> str:
    """The name of the workbook with `department`'s rows (None: nobody's) of a slot's delivery."""
    source, _, day, part = slot
    stem = ".".join(filter(None, (source, department or ALL, day, part)))
    return f"{stem}.{FORMAT}-{delivery_id}.xlsx"


def place_seal(delivery_id: str, sheet: str, row: int) -> str:
    """Tells a row that the workbook of a delivery was sent out with: the first part of its seal."""
    return _hash([delivery_id, sheet, row])


def seal(delivery_id: str, sheet: str, row: int, cells: Sequence[str]) -> str:
    """Tells a row that nobody has touched; `cells` are what the workbook shows."""
    lines = [cell.replace("\r\n", "\n").replace("\r", "\n") for cell in cells]
    return f"{place_seal(delivery_id, sheet, row)}-{_hash([sheet, row, *lines])}"


def _hash(content: Sequence[str | int]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:12]
