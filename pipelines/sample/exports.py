"""An export before it is written, and a table of how each department writes.

A department keeps its habits over all its sources; where a source does not accept its format, it
sends CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from pipelines.contracts.departments import Department
from pipelines.contracts.sources import Source

Cell = str | int | date | bool | None
Row = Sequence[Cell]


@dataclass(frozen=True)
class Variant:
    """A way of writing: format, headers, dates, numbers, and what stands around the table."""

    ext: Literal["csv", "xlsx", "jsonl", "parquet"] = "csv"
    headers: Literal["agreed", "alternative", "blanks"] = "agreed"
    dates: Literal["plain", "chinese", "slashes", "digits"] = "plain"  # plain: ISO or a real date
    numbers: Literal["plain", "grouped", "wide", "wan", "unit"] = "plain"  # in every sixth row
    titles: int = 0
    total: bool = False
    note: bool = False
    extra: bool = False


PLAIN = Variant()
WORKBOOK = Variant("xlsx", titles=1, total=True, note=True)

# All other departments send plain CSV.
VARIANTS: Mapping[str, Variant] = {
    "czj": Variant("xlsx", titles=2, total=True, note=True, numbers="grouped"),
    "sfj": Variant("xlsx", titles=1, dates="chinese"),
    "gzw": Variant("xlsx", titles=1, total=True, headers="alternative"),
    "whly": Variant("xlsx", titles=2, total=True, note=True),
    "zzb": Variant("xlsx", dates="slashes", numbers="wan"),
    "zgh": Variant("xlsx", titles=1, note=True, headers="blanks", numbers="unit"),
    "daj": Variant("xlsx", titles=1, total=True, dates="digits"),
    "jcy": Variant("xlsx", extra=True),
    "zwfw": Variant("xlsx", titles=1, total=True, numbers="wide"),
    "sthj": Variant("jsonl"),
    "ggzy": Variant("jsonl", headers="alternative", dates="slashes"),
    "gsgs": Variant("jsonl", extra=True),
    "rqgs": Variant("jsonl", numbers="grouped"),
    "swju": Variant("parquet"),
    "ydgs": Variant("parquet"),
    "jxj": Variant(dates="chinese"),
    "tzb": Variant(dates="slashes"),
    "ycj": Variant(dates="digits"),
    "zjy": Variant(numbers="grouped"),
    "tsw": Variant(numbers="wide"),
    "cjr": Variant(numbers="wan", total=True),
    "xfzd": Variant(numbers="unit", headers="blanks"),
    "dsbm": Variant(headers="alternative", dates="chinese", total=True),
    "zfw": Variant(headers="blanks"),
    "jkq": Variant(extra=True),
    "ybj": Variant(headers="alternative"),
}

# Indicators are filled in by hand: in workbooks, except by two departments.
INDICATOR_FORM = Variant("xlsx", titles=2, note=True, dates="chinese")
INDICATOR_VARIANTS: Mapping[str, Variant] = {
    "ydgs": PLAIN,
    "gjj": Variant(headers="alternative", dates="slashes"),
    "rsj": Variant("xlsx", titles=1),
    "dxgs": Variant("xlsx", headers="blanks", dates="digits"),
}

# A line below the table, where the contract declares such lines as noise.
NOTES: Mapping[str, str] = {
    "data_records": "注:数据由业务系统自动统计,累计数含历史存量。",
    "video_channels": "注：离线超过 24 小时记为离线。",
    "indicator_reports": "备注:以上数据由各科室提供。",
}


@dataclass(frozen=True)
class Export:
    """Content of one file: typed cells in the order of `columns` (names of the contract).

    `headings` overrules the spelling of a column's header. `day` is None for a file of many days
    and departments.
    """

    source: Source
    department: Department | None
    day: date | None
    columns: tuple[str, ...]
    rows: Sequence[Row]
    part: str = ""
    headings: Mapping[str, str] = field(default_factory=dict)

    @property
    def code(self) -> str:
        """The department's code, or `all` for a file of many departments."""
        return self.department.code if self.department else "all"

    @property
    def folder(self) -> str:
        """The file's folder below landing."""
        return f"{self.day.isoformat() if self.day else 'bulk'}/{self.code}"

    def name(self, ext: str) -> str:
        """Return the file's path below landing."""
        part = f".{self.part}" if self.part else ""
        return f"{self.folder}/{self.source.name}{part}.{ext}"

    @property
    def variant(self) -> Variant:
        """The variant in which its department writes this source."""
        if self.source.name == "indicator_reports":
            return INDICATOR_VARIANTS.get(self.code, INDICATOR_FORM)
        variant = VARIANTS.get(self.code, PLAIN)
        return variant if getattr(self.source.formats, variant.ext) is not None else PLAIN


@dataclass(frozen=True)
class Grid:
    """An export as spelled: lines above, header, rows, lines below."""

    titles: Sequence[str]
    header: Sequence[str]
    rows: Sequence[Row]
    below: Sequence[Row]


def spell(export: Export, variant: Variant) -> Grid:
    """Spell `export` as `variant` says."""
    header = [_header(export, name, variant) for name in export.columns]
    rows: Sequence[Row] = [_spell_row(row, at, variant) for at, row in enumerate(export.rows)]
    if variant.extra:
        header.append("备注说明")
        rows = [[*row, "系统导出" if at % 9 == 0 else ""] for at, row in enumerate(rows)]
    return Grid(_titles(export, variant), header, rows, _below(export, variant))


def _header(export: Export, name: str, variant: Variant) -> str:
    if name in export.headings:
        return export.headings[name]
    spellings = export.source.column(name).header
    if variant.headers == "alternative":
        return spellings[-1]
    if variant.headers == "blanks":
        return f" {spellings[0][:2]}\u3000{spellings[0][2:]}"
    return spellings[0]


def _spell_row(row: Row, position: int, variant: Variant) -> Row:
    number = NUMBERS[variant.numbers] if position % 6 == 2 else None
    day = DATES[variant.dates]
    return [_spell(cell, number, day, variant.ext) for cell in row]


def _spell(
    cell: Cell, number: Callable[[int], Cell] | None, day: Callable[[date], Cell], ext: str
) -> Cell:
    if isinstance(cell, bool):
        return cell if ext in ("jsonl", "parquet") else "是" if cell else "否"
    if isinstance(cell, int):
        return number(cell) if number else cell
    return day(cell) if isinstance(cell, date) else cell


WIDE = str.maketrans("0123456789", "０１２３４５６７８９")

NUMBERS: Mapping[str, Callable[[int], Cell]] = {
    "plain": lambda number: number,
    "grouped": lambda number: f"{number:,}",
    "wide": lambda number: str(number).translate(WIDE),
    "wan": lambda number: (
        f"{number // 10000}.{number % 10000:04d}万" if number >= 10000 else number
    ),
    "unit": lambda number: f"{number} 条",
}
DATES: Mapping[str, Callable[[date], Cell]] = {
    "plain": lambda day: day,
    "chinese": lambda day: f"{day.year}年{day.month}月{day.day}日",
    "slashes": lambda day: f"{day.year}/{day.month}/{day.day}",
    "digits": lambda day: f"{day:%Y%m%d}",
}


def _titles(export: Export, variant: Variant) -> Sequence[str]:
    sender = export.department.name if export.department else "全市"
    when = f"{export.day.year}年{export.day.month}月{export.day.day}日" if export.day else ""
    return (f"{sender}{export.source.title}", f"填报时间 {when}")[: variant.titles]


def _below(export: Export, variant: Variant) -> Sequence[Row]:
    below: list[Row] = []
    width = len(export.columns) + variant.extra
    if variant.total:
        total = ["合计", *(_sum(export, at) for at in range(1, len(export.columns)))]
        below.append(total + [""] * (width - len(total)))
    if variant.note and export.source.name in NOTES:
        below.append([NOTES[export.source.name], *[""] * (width - 1)])
    return below


def _sum(export: Export, position: int) -> Cell:
    cells = [row[position] for row in export.rows]
    numbers = [cell for cell in cells if isinstance(cell, int) and not isinstance(cell, bool)]
    return sum(numbers) if numbers else ""
