"""Compiles a contract into the SQL that types, masks and places a source's raw rows."""

from __future__ import annotations

import re

from pipelines.contracts.models import Column, ColumnType, Source
from pipelines.engine import literal, quoted, sql
from pipelines.reading.layout import BLANK

REFUSED = "__refused"  # suffix of the companion column: text that its column could not take
CAUSE = "__cause"  # beside it, of a number with a unit: the code of the reason, `unit` or `type`
UNSTATED = "未注明计量单位"
NO_UNIT = f"（{UNSTATED}）"  # in brackets, with which nothing reads as a number
SHOWN_CHARACTERS = 200  # of a refused cell
LOOKED_AT = 300  # more, lest a number be cut before it is known for what it is
NO_VALUE = (
    "待核实|待核|待定|待补|待报|待填|暂无|暂缺|无|没有|不详|未知|未统计|空|空白|见附件|见备注|同上"
)
NUMERALS = "零〇一二两三四五六七八九十百千万亿"
# of a refused number or date: the words that stand around figures, none of which names a person
FIGURE_WORDS = (
    "不少于|不低于|不超过|不足|不到|大约|大概|将近|接近|超过|突破|达到|共计|累计|至少|约|近|超|逾|达|共"
    "|左右|上下|以上|以下|余|多|至|到|点|年|月|日|号|时|分|秒|上午|下午|(?:星期|周)[一二三四五六日天]"
    f"|{UNSTATED}|人次|条|件|人|次|户|家|个|项|起|例|天|元|亩|米|吨|克|辆|台|处|套|份|宗|平方米|公里|小时"
    "|[eExXTZ]|[AaPp][Mm]|[Kk][GgMm]"
    "|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
)
DASHES = "-‐‑‒–—―−─﹘﹣－"


def typed_rows(source: Source) -> str:
    """The SELECT from `raw` (the readers' layout) that yields staged rows.

    Each contract column comes typed, beside `<column>__refused`: the text, masked if personal,
    of a cell that was filled and could not be read as what was declared. A number with a unit has
    `<column>__cause` besides. `_department` and `_business_date` say where a row belongs,
    `_stray_department` and `_stray_date` what its own columns say when that is elsewhere.
    """
    names = source.column_names
    by = source.partition
    unit = quoted(by.department) if by.department else "CAST(NULL AS VARCHAR)"
    day = quoted(by.business_date) if by.business_date else "CAST(NULL AS DATE)"
    return sql(
        "staging/typed_rows.sql",
        ignored=ignored(source),
        texts=",\n".join(
            f"{_stated(column, source)} AS {_raw(column.name)}" for column in source.columns
        ),
        typed=",\n".join(
            f"{_typed(column, source)} AS {quoted(column.name)}" for column in source.columns
        ),
        columns=", ".join(quoted(name) for name in names),
        refused=",\n".join(
            [_refused(column, source) for column in source.columns]
            + [_cause(column) for column in source.columns if column.unit]
        ),
        unit=unit,
        day=day,
    )


def ignored(source: Source) -> str:
    """The condition on a raw row for being declared noise, or a footer by its first cell.

    Blanks before or in the cell do not matter: 合　计.
    """
    if not source.footer:
        return "_noise"
    footer, blank = literal(footers(source)), literal(BLANK)
    unspaced = f"regexp_replace(_first, {blank}, '', 'g')"
    return (
        f"(_noise OR regexp_matches(_first, {footer})"
        f" OR (regexp_matches(_first, {blank}) AND regexp_matches({unspaced}, {footer})))"
    )


def footers(source: Source) -> str:
    """The pattern with which the first cell of a footer begins."""
    return rf"^[\s　]*(?:{'|'.join(f'(?:{pattern})' for pattern in source.footer)})"


def total_row(source: Source) -> str:
    """The pattern of a cell that is a footer's words and nothing else: 合　计, （合计）, 合计数."""
    spaced = [
        r"[\s　]*".join(pattern) if pattern.isalpha() else f"(?:{pattern})"
        for pattern in source.footer
    ]
    return f"^(?:其中[:：]?)?[（(]?(?:{'|'.join(spaced)})(?:数|人数|额|金额)?[)）]?[:：]?$"


def _raw(name: str) -> str:
    return quoted(f"{name}__text")


def _text(column: Column) -> str:
    text = f"normalise_text({quoted(column.name)})"
    if not column.nulls:
        return text
    nulls = "|".join(_spellings(spelling) for spelling in column.nulls)
    return f"CASE WHEN NOT regexp_full_match({text}, {literal(nulls)}) THEN {text} END"


def _spellings(text: str) -> str:
    """A pattern of everything that a reader takes for `text`: in either width, dashes alike."""
    pattern = ""
    for run in re.findall(f"[{re.escape(DASHES)}]+|.", text, re.DOTALL):
        if run[0] in DASHES:
            pattern += f"[{re.escape(DASHES)}]+"
            continue
        narrow = chr(ord(run) - 0xFEE0) if "！" <= run <= "～" else run
        if "!" <= narrow <= "~":
            pattern += f"[{re.escape(narrow)}{chr(ord(narrow) + 0xFEE0)}]"
        else:
            pattern += re.escape(narrow)
    return pattern


def _stated(column: Column, source: Source) -> str:
    """The text of a cell, a number's with the unit that its row says elsewhere."""
    text = _text(column)
    if column.unit_from is None:
        return text
    said = source.column(column.unit_from)
    unit = _text(said)
    whole = f"with_unit({text}, {unit}, {_units(column)})"
    own = ", ".join(literal(one) for one in (*column.unit, *said.nulls))
    # the usual row, for which with_unit would be slow
    usual = f"{unit} IN ({own}) AND regexp_full_match({text}, '[+-]?[0-9]+(?:[.][0-9]{{1,6}})?')"
    # a unit left blank below another than the contract's: of a merged cell, or of none?
    written = f"normalise_text({quoted(said.name)})"
    above = (
        f"coalesce(last_value({written} IGNORE NULLS) OVER "
        "(PARTITION BY _delivery, sheet ORDER BY row_number ROWS UNBOUNDED PRECEDING), "
        "(SELECT unit_above.unit FROM unit_above WHERE unit_above._delivery = raw._delivery "
        f"AND unit_above.sheet = raw.sheet AND unit_above.name = {literal(said.name)}))"
    )
    unsaid = f"{written} IS NULL AND {above} NOT IN ({own}) AND is_bare_figure({text})"
    return (
        f"CASE WHEN {usual} THEN {text} WHEN {unsaid} THEN {text} || {literal(NO_UNIT)}"
        f" ELSE {whole} END"
    )


def _units(column: Column) -> str:
    return f"[{', '.join(literal(unit) for unit in column.unit)}]::VARCHAR[]"


def _typed(column: Column, source: Source) -> str:
    if column.qualifier_of is not None:
        number = source.column(column.qualifier_of)
        return f"normalise_qualifier({_raw(number.name)}, {_units(number)})"
    text = _raw(column.name)
    units = _units(column)
    match column.type:
        case ColumnType.INTEGER:
            return f"normalise_integer({text}, {units})"
        case ColumnType.DECIMAL:
            return f"normalise_number({text}, {units})"
        case ColumnType.DATE | ColumnType.TIMESTAMP | ColumnType.BOOLEAN:
            return f"normalise_{column.type}({text})"
    if column.values is not None:
        branches = " ".join(
            f"WHEN {literal(given)} THEN {literal(stored)}"
            for given, stored in column.values.items()
        )
        return f"CASE {text} {branches} END"
    if column.code is not None:
        code = f"normalise_{column.code}({text})"
        return code if column.pii is None else f"mask_{column.pii}({code})"
    if column.pii is None:
        return text
    masked = f"mask_{column.pii}({text})"
    if column.pattern is None:
        return masked
    return f"CASE WHEN regexp_matches({text}, {literal(column.pattern)}) THEN {masked} END"


def _refused(column: Column, source: Source) -> str:
    text = _raw(column.name)
    # a phone or identity number that slipped into another column is masked there, too
    every = "false" if column.code else "true"
    shown = f"left(mask_strayed(left({text}, {LOOKED_AT}), {every}), {SHOWN_CHARACTERS})"
    if column.pii:
        shown = f"mask_{column.pii}({text})"
    elif source.is_personal:
        shown = _impersonal(column, text, shown)
    name = quoted(column.name)
    return (
        f"CASE WHEN {text} IS NOT NULL AND {name} IS NULL THEN {shown} END"
        f" AS {quoted(column.name + REFUSED)}"
    )


def _impersonal(column: Column, text: str, shown: str) -> str:
    """`shown` where a text is figures or says that there is no value; else without its words.

    A number or date keeps what it has besides letters, another text its first character.
    """
    nothing = rf"[#/\\.\s{re.escape(DASHES)}]*|(?i:n/?a|null|none|nan)|#[A-Z0-9/]+[!?]?"
    harmless = f"[（(]?(?:{NO_VALUE})[）)]?|{nothing}"
    if column.type is not ColumnType.TEXT:
        units = "|".join(re.escape(unit) for unit in sorted(column.unit, key=len, reverse=True))
        word = f"{units}|{FIGURE_WORDS}" if units else FIGURE_WORDS
        begins = rf"[^\p{{L}}]*(?:{FIGURE_WORDS})?[^\p{{L}}]*(?:[0-9０-９]|[{NUMERALS[:12]}])"
        figures = rf"{begins}(?:[^\p{{L}}]|[{NUMERALS}]|{word})*"
        words = rf"regexp_replace({shown}, '\p{{L}}+', '…', 'g')"
    else:
        figures = (
            r"[0-9A-Za-z]*[0-9][0-9A-Za-z]*" if column.code else r"[^\p{L}]*[0-9０-９][^\p{L}]*"
        )
        words = f"left({text}, 1) || '…'"
    safe = literal(f"(?:{harmless})|(?:{figures})")
    return f"CASE WHEN regexp_full_match({text}, {safe}) THEN {shown} ELSE {words} END"


def _cause(column: Column) -> str:
    text, name = _raw(column.name), quoted(column.name)
    other = f"states_other_unit({text}, {_units(column)})"
    return (
        f"CASE WHEN {text} IS NOT NULL AND {name} IS NULL"
        f" THEN CASE WHEN {other} THEN 'unit' ELSE 'type' END END"
        f" AS {quoted(column.name + CAUSE)}"
    )
