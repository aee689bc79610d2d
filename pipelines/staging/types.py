"""Compile a contract into the SQL that types, masks and places a source's raw rows.

Each column `x` of the contract is compiled to four expressions, each in terms of the one before:
`x__text` (the cell as text, null for a declared spelling of nothing), `x` (typed, or masked if
personal), `x__refused` (the text, masked, of a cell that was filled and could not be read as what
was declared), and, for a number with a unit, `x__cause` (`unit` or `type`, the code of the reason).
"""

from __future__ import annotations

import re

from pipelines.contracts.columns import CAUSE, REFUSED, TEXT, Column, ColumnType
from pipelines.contracts.sources import Source
from pipelines.engine import COLUMN_TYPES, literal, quoted
from pipelines.reading.layout import BLANK

UNSTATED = "未注明计量单位"
NO_UNIT = f"（{UNSTATED}）"  # In brackets, with which nothing reads as a number.
SHOWN_CHARACTERS = 200  # Of a refused cell.
MASKED_CHARACTERS = 300  # More, lest a personal number be cut before it is known for what it is.
NO_VALUE = (
    "待核实|待核|待定|待补|待报|待填|暂无|暂缺|无|没有|不详|未知|未统计|空|空白|见附件|见备注|同上"
)
NUMERALS = "零〇一二两三四五六七八九十百千万亿"
# The words that stand around the figures of a refused number or date; none of them names a person.
FIGURE_WORDS = (
    "不少于|不低于|不超过|不足|不到|大约|大概|将近|接近|超过|突破|达到|共计|累计|至少|约|近|超|逾|达|共"
    "|左右|上下|以上|以下|余|多|至|到|点|年|月|日|号|时|分|秒|上午|下午|(?:星期|周)[一二三四五六日天]"
    f"|{UNSTATED}|人次|条|件|人|次|户|家|个|项|起|例|天|元|亩|米|吨|克|辆|台|处|套|份|宗|平方米|公里|小时"
    "|[eExXTZ]|[AaPp][Mm]|[Kk][GgMm]"
    "|(?i:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)"
)
PLAIN_FIGURE = "[+-]?[0-9]+(?:[.][0-9]{1,6})?"
DASHES = "-‐‑‒–—―−─﹘﹣－"


def staged_columns(source: Source) -> str:
    """Return the column definitions of `chunk.staged` that the contract's columns need."""
    definitions = []
    for column in source.columns:
        definitions.append(f"{quoted(column.name)} {COLUMN_TYPES[column.type]}")
        definitions.append(f"{quoted(column.name + REFUSED)} VARCHAR")
        if column.unit:
            definitions.append(f"{quoted(column.name + CAUSE)} VARCHAR")
    return ",\n    ".join(definitions)


def typed_columns(source: Source) -> dict[str, str]:
    """Return the parts of staging/typed_rows.sql that the contract's columns decide.

    `texts`, `typed`, `refused`: lists of the expressions that the module's docstring describes;
    `columns`: the contract's columns; `department` and `day`: what a row's own columns say of the
    partition it belongs to, NULL where the contract declares no such column; `ignored`: the
    condition on a raw row for being declared noise.
    """
    by = source.partition
    return {
        "texts": ",\n".join(
            f"{_text_with_unit(column, source) if column.unit_from else _text(column)}"
            f" AS {quoted(column.name + TEXT)}"
            for column in source.columns
        ),
        "typed": ",\n".join(
            f"{_typed(column, source)} AS {quoted(column.name)}" for column in source.columns
        ),
        "columns": ", ".join(map(quoted, source.column_names)),
        "refused": ",\n".join(_refused(column, source) for column in source.columns),
        "department": quoted(by.department) if by.department else "CAST(NULL AS VARCHAR)",
        "day": quoted(by.business_date) if by.business_date else "CAST(NULL AS DATE)",
        "ignored": ignored(source),
    }


def ignored(source: Source) -> str:
    """Return the condition on a raw row for being declared noise, or a footer by its first cell.

    Blanks before or in the cell do not matter: 合　计.
    """
    if not source.footer:
        return "_noise"
    patterns = "|".join(f"(?:{pattern})" for pattern in source.footer)
    footer, blank = literal(rf"^[\s　]*(?:{patterns})"), literal(BLANK)
    unspaced = f"regexp_replace(_first, {blank}, '', 'g')"
    return (
        f"(_noise OR regexp_matches(_first, {footer})"
        f" OR (regexp_matches(_first, {blank}) AND regexp_matches({unspaced}, {footer})))"
    )


def total_row(source: Source) -> str:
    """Return the pattern of a cell that has a footer's words and nothing else: 合　计, 合计数."""
    spaced = [
        r"[\s　]*".join(pattern) if pattern.isalpha() else f"(?:{pattern})"
        for pattern in source.footer
    ]
    return f"^(?:其中[:：]?)?[（(]?(?:{'|'.join(spaced)})(?:数|人数|额|金额)?[)）]?[:：]?$"


def _text(column: Column) -> str:
    """Return the expression of a cell's normalised text, null for a spelling of nothing."""
    text = f"normalise_text({quoted(column.name)})"
    if not column.nulls:
        return text
    nulls = "|".join(_spellings(spelling) for spelling in column.nulls)
    return f"CASE WHEN NOT regexp_full_match({text}, {literal(nulls)}) THEN {text} END"


def _spellings(text: str) -> str:
    """Return a pattern of everything that a reader takes for `text`: in either width, any dash."""
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


def _text_with_unit(column: Column, source: Source) -> str:
    """Return the expression of a figure's text with the unit that another cell of its row says.

    A blank unit cell below a row with another unit than the contract's is ambiguous: the cell may
    be merged with the one above, or say nothing. Such a figure gets NO_UNIT and is refused. The
    row above may have been typed in an earlier flush, so its unit is looked up in chunk.last_unit.
    """
    unit_column = source.column(column.unit_from or "")
    text, unit = _text(column), _text(unit_column)
    expected = ", ".join(literal(spelling) for spelling in (*column.unit, *unit_column.nulls))
    # The usual row needs no rewriting, and with_unit would be slow on it.
    is_usual = f"{unit} IN ({expected}) AND regexp_full_match({text}, '{PLAIN_FIGURE}')"
    written = f"normalise_text({quoted(unit_column.name)})"
    above = (
        f"coalesce(last_value({written} IGNORE NULLS) OVER "
        "(PARTITION BY _delivery, sheet ORDER BY row_number ROWS UNBOUNDED PRECEDING), "
        "(SELECT _last.unit FROM chunk.last_unit AS _last "
        "WHERE _last._delivery = raw_rows._delivery "
        f"AND _last.sheet = raw_rows.sheet AND _last.name = {literal(unit_column.name)}))"
    )
    is_unstated = f"{written} IS NULL AND {above} NOT IN ({expected}) AND is_bare_figure({text})"
    return (
        f"CASE WHEN {is_usual} THEN {text} WHEN {is_unstated} THEN {text} || {literal(NO_UNIT)}"
        f" ELSE with_unit({text}, {unit}, {_units(column)}) END"
    )


def _units(column: Column) -> str:
    """Return the SQL list of the units that may trail a column's figures."""
    return f"[{', '.join(map(literal, column.unit))}]::VARCHAR[]"


def _typed(column: Column, source: Source) -> str:
    """Return the expression of a column's typed value, null where its text cannot be read."""
    if column.qualifier_of is not None:
        number = source.column(column.qualifier_of)
        return f"normalise_qualifier({quoted(number.name + TEXT)}, {_units(number)})"
    text = quoted(column.name + TEXT)
    match column.type:
        case ColumnType.INTEGER:
            return f"normalise_integer({text}, {_units(column)})"
        case ColumnType.DECIMAL:
            return f"normalise_number({text}, {_units(column)})"
        case ColumnType.DATE | ColumnType.TIMESTAMP | ColumnType.BOOLEAN:
            return f"normalise_{column.type}({text})"
    if column.values is not None:
        branches = " ".join(
            f"WHEN {literal(written)} THEN {literal(stored)}"
            for written, stored in column.values.items()
        )
        return f"CASE {text} {branches} END"
    value = text if column.code is None else f"normalise_{column.code}({text})"
    if column.pii is None:
        return value
    masked = f"mask_{column.pii}({value})"
    if column.code is not None or column.pattern is None:
        return masked
    return f"CASE WHEN regexp_matches({text}, {literal(column.pattern)}) THEN {masked} END"


def _refused(column: Column, source: Source) -> str:
    """Return the definitions of `<column>__refused` and, of a number with a unit, `__cause`."""
    text, name = quoted(column.name + TEXT), quoted(column.name)
    is_refused = f"{text} IS NOT NULL AND {name} IS NULL"
    if column.pii:
        shown = f"mask_{column.pii}({text})"
    else:
        # A phone or identity number that slipped into another column is masked there, too.
        every = "false" if column.code else "true"
        masked = f"mask_strayed(left({text}, {MASKED_CHARACTERS}), {every})"
        shown = f"left({masked}, {SHOWN_CHARACTERS})"
        if source.is_personal:
            shown = _without_words(column, text, shown)
    definition = f"CASE WHEN {is_refused} THEN {shown} END AS {quoted(column.name + REFUSED)}"
    if not column.unit:
        return definition
    is_other = f"states_other_unit({text}, {_units(column)})"
    cause = f"CASE WHEN {is_other} THEN 'unit' ELSE 'type' END"
    return (
        f"{definition},\nCASE WHEN {is_refused} THEN {cause} END AS {quoted(column.name + CAUSE)}"
    )


def _without_words(column: Column, text: str, shown: str) -> str:
    """Return `shown` as it is where a text is figures or says nothing, else without its words.

    Any word in a source with personal data may be a name. A refused number or date keeps what it
    has besides letters, another text its first character.
    """
    blank_signs = rf"[#/\\.\s{re.escape(DASHES)}]*|(?i:n/?a|null|none|nan)|#[A-Z0-9/]+[!?]?"
    harmless = f"[（(]?(?:{NO_VALUE})[）)]?|{blank_signs}"
    if column.type is not ColumnType.TEXT:
        units = "|".join(re.escape(unit) for unit in sorted(column.unit, key=len, reverse=True))
        word = f"{units}|{FIGURE_WORDS}" if units else FIGURE_WORDS
        start = rf"[^\p{{L}}]*(?:{FIGURE_WORDS})?[^\p{{L}}]*(?:[0-9０-９]|[{NUMERALS[:12]}])"
        figures = rf"{start}(?:[^\p{{L}}]|[{NUMERALS}]|{word})*"
        words = rf"regexp_replace({shown}, '\p{{L}}+', '…', 'g')"
    else:
        figures = (
            r"[0-9A-Za-z]*[0-9][0-9A-Za-z]*" if column.code else r"[^\p{L}]*[0-9０-９][^\p{L}]*"
        )
        words = f"left({text}, 1) || '…'"
    safe = literal(f"(?:{harmless})|(?:{figures})")
    return f"CASE WHEN regexp_full_match({text}, {safe}) THEN {shown} ELSE {words} END"
