"""Units that stand beside a header: in a row below it, in lines above it or between pages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from pipelines.contracts.consistency import NUMBERS, fold_header, fold_text
from pipelines.contracts.models import SCALES, Column, Source
from pipelines.reading.headers.matching import (
    SCALE,
    SHARES,
    Header,
    cell_at,
    printed,
    suffix_of,
    unit_reason,
)

NUMERALS = "一二三四五六七八九两零〇几数余多上近约超达过"
OFFICE = "省市区县旗州镇乡村道局委办厅院校司心会队团组"  # 填报单位:万州区 is an office, no unit
FIGURE = re.compile(r"(?<![a-z])\d|[一二三四五六七八九两零〇]")
MONEY = ("金额", "资金", "经费")  # 金额单位:万元 is not said of what is counted
UNIT_TITLES = ("单位", "计量单位")
UNIT_CELL = re.compile(r"([(\[【]?)((?:计量)?单位:)?([^()\[\]【】]+)[)\]】]?")
LONE = re.compile(r"(?<![一-鿿])([一-鿿])\s+(?=[一-鿿](?![一-鿿]))")  # 单 位, 万 条
# 单位:X, 单位均为X, 单位(X, and what ends it; 以X为单位
SAID = re.compile(
    r"单位\s*(?:(?:[均都皆]|统一)?[:为]\s*|(?=[(\[【]))"
    r"[(\[【]?\s*([^\s()\[\]【】:;。]*)([;。)\]】]|$)?"
    r"|[以按]([^\s,、以按]{1,9})为单位"
)
# 单位万件, without a colon; nothing stands before it but what a unit is said of
LOOSE = re.compile(
    r"(?:^|[^\w]|表中|表内|数据|计量)单位\s*([十百]?[千万亿]{1,2}[^\W\d]{0,4})\s*(?:$|[)\]】;。])"
)
# 单位 of these is a unit, behind any other word (承建单位, 重点单位) an office
OF_UNIT = re.compile(
    r"(?:[^一-鿿]|计量|统计|核算|数据|数值|数量|金额|资金|经费|面积|货币|表中|表内|本表|的|其)$|^$"
)
# what says which unit it is not, or was: 不是万元, 请勿以万元填报, 非万元, 原单位为万元
DENIED = re.compile(
    r"[^\s,;。()]*(?:不是|并非|请勿|切勿|勿以|不得以)[^\s,;。()]*"
    r"|非[十百]?[千万亿][^\s,;。()]*|原始?(?:数据)?(?:的)?单位[^\s,;。()]*"
)
TITLES_OF_NOTES = ("注", "备注", "附注", "说明")
# a word that can only be a scaled unit: 万宗, 10万条, w条
SCALED = re.compile(
    rf"(?:[\d.]+(?=[^\W\d])|w(?![a-z])|[{NUMERALS}]*[{SCALES}])[^:]{{0,5}}(?<![{OFFICE}])"
)


def is_unit_row(source: Source, header: Header, row: Sequence[str]) -> bool:
    """Whether the row below a header says units, and is no row of data whose units are missing.

    It says nothing below texts and keys, and nothing but units below numbers; one with a scale
    among words that are none is a row of units, too, and not to be taken for data.
    """
    if _unit_of_all(source, row) is not None:
        return source.unit_row  # else a line like any other, in which 单位 may be an office
    numbers = {column.name for column in numbers_of(source, header)}
    for name, position in header.positions.items():
        cell = fold_header(cell_at(row, position))
        if name not in numbers and _is_word(cell) and _bare(cell).rstrip(":") not in UNIT_TITLES:
            return False
    said = [cell for _, cell in _said_units(source, header, row)]
    if not said or any(map(FIGURE.search, said)):
        return False
    return all(_says_unit(source, cell) for cell in said) or any(
        SCALE.match(_bare(cell)) for cell in said
    )


def _bare(cell: str) -> str:
    """A unit without its brackets and 单位:."""
    found = UNIT_CELL.fullmatch(cell)
    return found[3] if found else cell


def _says_unit(source: Source, cell: str) -> bool:
    found = UNIT_CELL.fullmatch(cell)
    return found is not None and (bool(found[1]) or _is_unit(source, found[3]))


def _is_unit(source: Source, word: str) -> bool:
    """Whether a folded word is a unit: of the contract, or with a scale."""
    own = {fold_header(unit) for column in source.columns for unit in column.unit}
    return word in own or word in SHARES or (len(word) <= 4 and SCALE.match(word) is not None)


def _is_own(source: Source, word: str) -> bool:
    """Whether a folded word is a unit of the contract with a scale, or a scale alone."""
    base = SCALE.sub("", word, count=1)
    own = {fold_header(unit) for column in source.columns for unit in column.unit}
    return not base or base in own


def _is_word(cell: str) -> bool:
    """Whether there is more in a cell than punctuation."""
    return any(unicodedata.category(one)[0] in "LNS" or one in SHARES for one in cell)


def _said_units(source: Source, header: Header, row: Sequence[str]) -> list[tuple[Column, str]]:
    """What `row` says below number columns, where that is neither punctuation nor a null."""
    return [
        (column, fold_header(row[position]))
        for column in numbers_of(source, header)
        if (position := header.positions[column.name]) < len(row)
        and row[position].strip() not in column.nulls
        and _is_word(row[position])
    ]


def numbers_of(source: Source, header: Header) -> list[Column]:
    """The columns of numbers that a header has."""
    return [
        column
        for column in source.columns
        if column.type in NUMBERS and column.name in header.positions
    ]


def _unit_of_all(source: Source, cells: Sequence[str]) -> str | None:
    """The unit X of a row whose one filled cell is `单位：X` or `（X）`."""
    filled = [fold_header(cell) for cell in cells if cell.strip()]
    found = UNIT_CELL.fullmatch(filled[0]) if len(filled) == 1 else None
    if found is None:
        return None
    return found[3] if found[2] or (found[1] and _is_unit(source, found[3])) else None


def with_unit_row(source: Source, header: Header, row: Sequence[str]) -> Header:
    """The header with what the row of units below it says; `单位：X` alone is said of all."""
    unit_of_all = _unit_of_all(source, row)
    if unit_of_all is None:
        said = [(column, _bare(cell)) for column, cell in _said_units(source, header, row)]
    else:
        of_numbers = [column for column in numbers_of(source, header) if column.unit]
        fitting = [one for one in of_numbers if suffix_of(one, unit_of_all) is not None]
        said = [(column, unit_of_all) for column in fitting or of_numbers]
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for column, unit in said:
        suffix = suffix_of(column, unit)
        if suffix is None and not column.unit and not SCALE.match(unit):
            continue  # the contract does not say what it counts
        if suffix is None or header.suffixes.get(column.name, suffix) != suffix:
            title = header.cells[header.positions[column.name]]
            shown = unit if _is_unit(source, unit) else "…"
            unsound.append(unit_reason(column, f"{printed(title)} ({shown})"))
        else:
            suffixes[column.name] = suffix
    rows = (*header.rows, tuple(row))
    return replace(header, suffixes=suffixes, unsound=tuple(unsound), rows=rows)


def with_unit_of_titles(source: Source, header: Header, rows: Sequence[Sequence[str]]) -> Header:
    """The header with the unit that a line above it says of the whole table (`单位：万条`).

    It is for the columns that count in it and say none themselves. 单位 also means an office: a
    line that fits no column says nothing, unless what it says has a scale (see `units_of_lines`).
    """
    fitting, astray = units_of_lines(source, header, rows)
    suffixes, unsound = dict(header.suffixes), list(header.unsound)
    for name in fitting.keys() | astray.keys():
        said = fitting.get(name, {})
        if name in header.suffixes:
            continue
        if name in astray or len(set(said.values())) > 1:
            units = "、".join([*said, *astray.get(name, ())])
            title = printed(header.cells[header.positions[name]])
            unsound.append(unit_reason(source.column(name), f"{title} ({units})"))
        elif suffix := next(iter(said.values()), ""):
            suffixes[name] = suffix
    return replace(header, suffixes=suffixes, unsound=tuple(unsound))


def units_of_lines(
    source: Source, header: Header, rows: Sequence[Sequence[str]]
) -> tuple[dict[str, dict[str, str]], dict[str, list[str]]]:
    """What lines outside the table say of its units, by column: (unit -> suffix, units astray).

    Astray is a unit that the column counts in but for its scale and which is not said as one, and
    any word said as a unit that has a scale or a figure and fits no column.
    """
    columns = [column for column in numbers_of(source, header) if column.unit]
    lines = [_folded(row) for row in rows]
    said = {unit for line in lines for unit in _said_of_all(source, line)}
    fitting: dict[str, dict[str, str]] = {}
    astray: dict[str, list[str]] = {}
    assigned: set[str] = set()
    for column in columns:
        of_column = {unit: suffix_of(column, unit) for unit in sorted(said)}
        fitting[column.name] = {
            unit: suffix for unit, suffix in of_column.items() if suffix is not None
        }
        assigned |= fitting[column.name].keys()
    odd = {unit for unit in said - assigned if SCALED.fullmatch(unit)}
    odd = {unit if len(unit) < 5 else unit[:2] + "…" for unit in odd}  # a name may follow
    for column in columns:
        bases = {SCALE.sub("", fold_header(unit), count=1) for unit in column.unit} - SHARES - {""}
        if not bases:
            continue
        scaled, pattern = _scaled(frozenset(bases))
        shown = {
            one["unit"] or one["bare"] or one["counted"]
            for line in lines
            for cell in line
            for one in pattern.finditer(cell)
        }
        shown |= {found[0] for unit in said if (found := scaled.match(unit))}
        lost = odd | ((shown | (said & bases)) - assigned)
        if lost:
            astray[column.name] = sorted(lost)
    return {name: units for name, units in fitting.items() if units}, astray


@lru_cache(maxsize=256)
def _scaled(bases: frozenset[str]) -> tuple[re.Pattern[str], re.Pattern[str]]:
    """What is one of the units with a scale, and what shows such a one of a table in a text.

    3亿条, 共 3 亿条, 数万条, 每万条, 千家万户, 日均万条, 亿元（含）以上 and 万元、亿元 are none.
    """
    own = "|".join(map(re.escape, sorted(bases)))
    scaled = f"[十百]?[千万亿]{{1,3}}(?:{own})"
    shown = re.compile(
        rf"(?<![\d.{NUMERALS}{SCALES}每逾破满家惠进、])(?<!\d\s)(?<![日月年周人户]均)"
        rf"(?P<unit>{scaled})(?!\s*[(、-]\s*(?:不?含|及|{scaled}|[一-鿿]))"
        r"(?=\W|$|为|计(?!划|费|价|算的)|统计|填报|填列|列示|列报|表示|反映)"
        r"|[(\[【](?P<bare>[千万亿]{1,2})[)\]】]"
        r"|(?<!数)[以按]\s*(?P<counted>[十百]?[千万亿]{1,2})\s*计(?!划|费|价|算?的)"
    )
    return re.compile(scaled), shown


def is_note(cells: Sequence[str]) -> bool:
    """Whether a row is one cell, or a note with its title in another."""
    filled = [cell for cell in cells if cell.strip()]
    return len(filled) == 1 or (
        len(filled) > 1 and fold_header(filled[0][:10]).rstrip(":") in TITLES_OF_NOTES
    )


def _has_money(source: Source) -> bool:
    return any(unit.endswith("元") for column in source.columns for unit in column.unit)


def says_unit_of_all(source: Source, row: Sequence[str]) -> bool:
    """Whether a row says a unit in words, be it of a table or of an office."""
    return any(True for _ in _said_of_all(source, _folded(row)))


def has_unit_cell(row: Sequence[str]) -> bool:
    """Whether a cell begins with `单位：`."""
    titles = tuple(f"{title}:" for title in UNIT_TITLES)
    return any(fold_header(cell[:20]).startswith(titles) for cell in row)


def _folded(row: Sequence[str]) -> list[str]:
    """The filled cells of a line, without the blanks that space out a word, and what is denied."""
    spelt = (LONE.sub(r"\1", fold_text(cell)) for cell in row if cell.strip())
    return [DENIED.sub("", cell).strip() for cell in spelt]


def _said_of_all(source: Source, line: Sequence[str]) -> Iterator[str]:
    """The units X of `单位：X`, `单位：X、Y`, `单位（X）`, `以X为单位` and of a cell `（X）`.

    X may stand in the next cell. A bare scale that more words follow (万 个) gets a `…`.
    """
    for cell, following in pairwise([*line, ""]):
        bracketed = UNIT_CELL.fullmatch(cell)
        if bracketed and bracketed[1] and _is_unit(source, bracketed[3].strip()):
            yield bracketed[3].strip()
        spelt_out = cell + following if cell.endswith(("单位:", "单位为")) else cell
        for found in SAID.finditer(spelt_out):
            before = spelt_out[: found.start()]
            if before.endswith(MONEY) and not _has_money(source):
                continue
            if found[3] is None and not OF_UNIT.search(before):
                if _is_own(source, found[1]) and not SCALE.fullmatch(found[1]):
                    yield found[1]
                continue
            *words, last = re.split("[、,]", found[1] or found[3] or "")
            is_cut = found[2] is None and found[3] is None and SCALE.fullmatch(last) is not None
            yield from filter(None, [*words, last + "…" if is_cut else last])
        for found in LOOSE.finditer(cell):
            if _is_own(source, found[1]):
                yield found[1]
