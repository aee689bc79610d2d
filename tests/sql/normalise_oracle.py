"""Define the meaning of a cell in plain Python: the second definition of warehouse/macros/*.sql.

Written from the rules, not from the SQL: cells are read from left to right, token by token.
Every function takes text or None and returns a value, or None for what cannot be read.
"""

import datetime as dt
import decimal
import itertools
import re
import unicodedata
from decimal import Decimal

SPACES = " \t\n\v\f\r"
WIDE_SPACES = "\u3000\u00a0"
INVISIBLE = "".join(
    chr(code)
    for first, last in [(0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2060), (0xFEFF, 0xFEFF)]
    for code in range(first, last + 1)
)

QUALIFIERS = [
    "约",
    "大约",
    "大概",
    "近",
    "将近",
    "接近",
    "超",
    "超过",
    "逾",
    "突破",
    "达",
    "达到",
    "共",
    "共计",
    "累计",
    "不少于",
    "不低于",
    "至少",
]
QUALIFIERS_AFTER = ["余", "多", "左右", "上下", "以上"]
SCALES = {
    "": 0,
    "十": 1,
    "百": 2,
    "千": 3,
    "万": 4,
    "十万": 5,
    "百万": 6,
    "千万": 7,
    "亿": 8,
    "十亿": 9,
    "百亿": 10,
    "千亿": 11,
    "万亿": 12,
}
POWER_OF_WORDS = {
    before + scale + after: power
    for scale, power in SCALES.items()
    for before in (("", "余", "多") if scale else ("",))
    for after in ("", *QUALIFIERS_AFTER)
}
TRUE_WORDS = {
    "是",
    "有",
    "对",
    "√",
    "✓",
    "✔",
    "✔\ufe0f",
    "true",
    "yes",
    "y",
    "1",
    "t",
    "已接入",
    "已",
}
FALSE_WORDS = {"否", "无", "错", "×", "✗", "✘", "false", "no", "n", "0", "f", "未接入", "未"}

SHANGHAI = dt.timedelta(hours=8)
EXCEL_DAY_ZERO = dt.datetime(1899, 12, 30)


def fold(text: str) -> str:
    """Fold full-width ASCII, wide spaces and the minus sign to ASCII; drop invisible characters."""
    folded = []
    for char in text:
        if "\uff01" <= char <= "\uff5e":
            char = chr(ord(char) - 0xFEE0)
        elif char in WIDE_SPACES:
            char = " "
        elif char == "\u2212":
            char = "-"
        elif char in INVISIBLE:
            continue
        folded.append(char)
    return "".join(folded)


def squeeze(text: str) -> str:
    return "".join(char for char in fold(text) if char not in SPACES)


def normalise_text(cell: str | None) -> str | None:
    if cell is None:
        return None
    visible = "".join(char for char in cell if char not in INVISIBLE)
    return visible.strip(SPACES + WIDE_SPACES) or None


def _tail_powers(tail: str, units: list[str]) -> set[int]:
    """Return every power of ten the words after a number can mean."""
    endings = {unit for unit in map(squeeze, ["", *units]) if tail.endswith(unit)}
    words = (tail.removesuffix(unit) for unit in endings)
    return {POWER_OF_WORDS[word] for word in words if word in POWER_OF_WORDS}


def _numeral(text: str) -> tuple[str, str, str]:
    """Split into whole digits, decimals and the rest; '' for a whole part not grouped in threes."""
    run = re.match("[0-9]*(?:[, ][0-9]+)*", text)[0]
    head, *groups = re.split("[, ]", run)
    if groups:
        one_separator = "," not in run or " " not in run
        in_threes = all(len(group) == 3 for group in groups)
        if not (one_separator and in_threes and len(head) <= 3 and head and head[0] != "0"):
            return "", "", text
    decimals = re.match("[.]([0-9]+)", text[len(run) :])
    fraction = decimals[1] if decimals else ""
    return head + "".join(groups), fraction, text[len(run) + bool(fraction) + len(fraction) :]


def _is_digits(text: str) -> bool:
    return text != "" and set(text) <= set("0123456789")


def _without_qualifier(cell: str) -> tuple[str, str]:
    rest = fold(cell).lstrip(SPACES)
    qualifier = max((word for word in QUALIFIERS if rest.startswith(word)), key=len, default="")
    return qualifier, rest.removeprefix(qualifier).lstrip(SPACES)


def _counts_by_scale(units: list[str]) -> bool:
    return any(squeeze(unit)[:1] in {*SMALL, *LARGE} for unit in units)


def _is_bare_scaled(cell: str) -> bool:
    """Return whether it has a scale, and no unit that would say what is counted."""
    _, rest = _without_qualifier(cell)
    word = squeeze(rest)
    word = word.removesuffix(next((q for q in QUALIFIERS_AFTER if word.endswith(q)), ""))
    if not set(word) <= {*NUMERAL_CHARACTERS, *"兩点.,+-"}:
        return False
    return word[-1:] in {*SMALL, *LARGE} or bool(set(word) & set(LARGE))


def normalise_number(cell: str | None, units: list[str]) -> Decimal | None:
    if cell is None or (_counts_by_scale(units) and _is_bare_scaled(cell)):
        return None
    _, rest = _without_qualifier(cell)
    negative = rest.startswith("-")
    if rest[:1] in ("+", "-"):
        rest = rest[1:].lstrip(SPACES)
    spelled = _spelled_readings(rest, units)
    whole, fraction, rest = _numeral(rest)
    powers = _tail_powers(squeeze(rest), units)
    with decimal.localcontext(prec=len(whole + fraction) + 40):
        readings = spelled
        if whole + fraction and powers:
            readings = {Decimal(f"{whole}.{fraction}0").scaleb(power) for power in powers}
            if len(powers) > 1:  # twice nothing is nothing, and was said in two ways
                return None
        if len(readings) != 1:
            return None
        value = readings.pop()
        if value != value.quantize(Decimal("0.000001")) or value >= Decimal(10) ** 22:
            return None
        return -value if negative and value else value


def normalise_qualifier(cell: str | None, units: list[str]) -> str | None:
    if normalise_number(cell, units) is None:
        return None
    before, rest = _without_qualifier(cell)
    word = squeeze(rest)
    for unit in map(squeeze, ["", *units]):
        if not word.endswith(unit):
            continue
        stem = word.removesuffix(unit)
        after = next((qualifier for qualifier in QUALIFIERS_AFTER if stem.endswith(qualifier)), "")
        stem = stem.removesuffix(after)
        number = stem.rstrip("十百千万亿拾佰仟萬億")
        inner = number[-1:] if number != stem and number.endswith(("余", "多")) else ""
        if inner or after:
            break
    else:
        inner = after = ""
    return "…".join(filter(None, [before, inner, after])) or None


def number_with_unit(cell: str, unit: str | None, units: list[str]) -> Decimal | None:
    """Return the number of a cell whose unit another cell of the row gives."""
    if unit is None:
        return normalise_number(cell, units)
    if len(_tail_powers(squeeze(unit), units)) != 1:
        return None
    has_unit = squeeze(cell).endswith(squeeze(unit))
    if _counts_by_scale(units):
        scale = squeeze(unit).lstrip("余多")[:1] in {*SMALL, *LARGE}
        if _is_bare_scaled(unit) or (scale and not has_unit and _is_bare_scaled(cell)):
            return None
    return normalise_number(cell if has_unit else cell + unit, units)


NUMERAL_CHARACTERS = "0123456789零〇一二两三四五六七八九十百千万亿余多壹贰叁肆伍陆柒捌玖拾佰仟萬億"


def states_other_unit(cell: str, units: list[str]) -> bool:
    """Return whether a number is followed by words without a unit of the contract's."""
    word = squeeze(cell)
    for unit in map(squeeze, units):
        stem = word.removesuffix(unit)
        if stem != word and normalise_number(stem, []) is not None:
            return False
    if word.endswith(")"):
        before, bracket, within = word[:-1].rpartition("(")
        return bool(bracket and ")" not in within and normalise_number(before, []) is not None)
    number = word
    while number and number[-1] not in NUMERAL_CHARACTERS:
        if not (unicodedata.category(number[-1])[0] == "L" or number[-1] in "%‰℃°㎡㎥"):
            return False
        number = number[:-1]
    return number != word and normalise_number(number, []) is not None


# Chinese numerals and numbers of several parts, read by what each character is

DIGITS = {
    char: value
    for row in ("一二三四五六七八九", "壹贰叁肆伍陆柒捌玖")
    for value, char in enumerate(row, 1)
}
NOUGHTS = "零〇"
SMALL = {"十": 10, "拾": 10, "百": 100, "佰": 100, "千": 1000, "仟": 1000}
LARGE = {"万": 10**4, "萬": 10**4, "亿": 10**8, "億": 10**8}
DIGIT_CHARACTERS = {*DIGITS, *NOUGHTS, *"两兩0123456789"}


class NoNumeralError(Exception):
    pass


def _spelled_readings(rest: str, units: list[str]) -> set[Decimal]:
    """Read Chinese numerals or several parts, for every unit the text can end with."""
    blank = next((at for at, char in enumerate(rest) if char in SPACES), len(rest))
    if DIGIT_CHARACTERS & set(rest[blank:]):
        return set()
    word = squeeze(rest)
    readings = set()
    for unit in {unit for unit in map(squeeze, ["", *units]) if word.endswith(unit)}:
        stem = word.removesuffix(unit)
        stem = stem.removesuffix(next((q for q in QUALIFIERS_AFTER if stem.endswith(q)), ""))
        scales = stem[len(stem.rstrip("".join([*SMALL, *LARGE]))) :]
        number = stem.removesuffix(scales)
        if scales and number.endswith(("余", "多")):
            if number[-2:-1] in {"两", "兩"}:  # its scale follows at once, or it is a weight
                continue
            stem = number[:-1] + scales
        try:
            readings.add(_spelled(stem))
        except NoNumeralError:
            continue
    return readings


def _spelled(text: str) -> Decimal:
    """Return the value of a numeral as offices write it; raise NoNumeralError."""
    if "点" in text:
        return _spelled_with_decimals(text)
    tokens = _tokens(text)
    figures = [token for token in tokens if isinstance(token, str)]
    han = [token for token in tokens if token in range(1, 10)]
    if figures and (han or len(figures) < 2):
        raise NoNumeralError("one figure is the plain reader's, and 3 and 三 do not mix")
    if tokens == [0]:
        return Decimal(0)
    if not figures and tokens[:1] == [10]:
        tokens = [1, *tokens]
    before_yi, yi, after_yi = _split(tokens, 10**8)
    if not yi:
        return Decimal(_below_yi(tokens, first=True, filled=True))
    before_wan, wan, after_wan = _split(before_yi, 10**4)
    if wan:
        high = _coefficient(before_wan, first=True) * 10**4 + _rest(after_wan, filled=True)
    else:
        high = _coefficient(before_yi, first=True)
    return Decimal(high * 10**8 + _below_yi(after_yi, first=False, filled=False))


def _spelled_with_decimals(text: str) -> Decimal:
    whole, _, after = text.partition("点")
    fraction = "".join(itertools.takewhile(lambda char: char in DIGITS or char in NOUGHTS, after))
    scale = after.removeprefix(fraction)
    power = 0 if not scale else SCALES.get(scale.translate(str.maketrans("佰仟萬億", "百千万亿")))
    figures = set(whole) & set("0123456789万萬亿億")
    if not whole or not fraction or figures or power is None or "十" in scale:
        raise NoNumeralError(text)
    digits = "".join(str(DIGITS.get(char, 0)) for char in fraction)
    with decimal.localcontext(prec=len(text) + 40):
        return (_spelled(whole) + Decimal(f"0.{digits}")).scaleb(power)


def _tokens(text: str) -> list[int | str]:
    """Split into figures as text, Chinese digits as 0 to 9, and scales as their values."""
    tokens: list[int | str] = []
    for at, char in enumerate(text):
        if char in "0123456789":
            if tokens and isinstance(tokens[-1], str):
                tokens[-1] += char
            else:
                tokens.append(char)
        elif char in "两兩":
            if text[at + 1 : at + 2] not in {"百", "佰", "千", "仟", *LARGE}:
                raise NoNumeralError("a weight")
            tokens.append(2)
        elif char in NOUGHTS:
            tokens.append(0)
        elif char in DIGITS or char in SMALL or char in LARGE:
            tokens.append(DIGITS.get(char) or SMALL.get(char) or LARGE[char])
        else:
            raise NoNumeralError(char)
    return tokens


def _split(tokens: list, scale: int) -> tuple[list, bool, list]:
    if scale not in tokens:
        return tokens, False, []
    at = tokens.index(scale)
    return tokens[:at], True, tokens[at + 1 :]


def _below_yi(tokens: list, *, first: bool, filled: bool) -> int:
    before, wan, after = _split(tokens, 10**4)
    if wan:
        return _coefficient(before, first=first) * 10**4 + _rest(after, filled=True)
    if not first:
        return _rest(tokens, filled=False)
    if len(tokens) == 1 and tokens[0] in range(1, 10):
        return tokens[0]
    return _section(tokens)


def _coefficient(tokens: list, *, first: bool) -> int:
    """Read what stands before 万 or 亿; the first of a number may be of any length."""
    if not first and tokens[:1] == [0]:
        tokens = tokens[1:]
    if len(tokens) == 1 and isinstance(tokens[0], str):
        if not first and len(tokens[0]) > 4:
            raise NoNumeralError("not below the scale before it")
        return int(tokens[0])
    if len(tokens) == 1 and tokens[0] in range(1, 10):
        return tokens[0]
    return _section(tokens)


def _rest(tokens: list, *, filled: bool) -> int:
    """Read what stands after 万 or 亿: nothing, a part with a scale, or what 零 leads to."""
    if not tokens:
        return 0
    if len(tokens) == 1 and isinstance(tokens[0], str) and len(tokens[0]) == 4 and filled:
        return int(tokens[0])
    if tokens[0] == 0:
        tokens = tokens[1:]
        if len(tokens) == 1 and isinstance(tokens[0], str) and len(tokens[0]) <= 4:
            return int(tokens[0])
        if len(tokens) == 1 and tokens[0] in range(1, 10):
            return tokens[0]
    return _section(tokens)


def _section(tokens: list) -> int:
    """Read 千, 百, 十 falling, with a digit each; a last digit alone follows 零 or 十."""
    if not tokens or tokens[0] in (0, "0"):
        raise NoNumeralError(tokens)
    total, last, nought, at = 0, 10**4, False, 0
    while at < len(tokens):
        token = tokens[at]
        if token == 0:
            if nought or last == 10:
                raise NoNumeralError("零 stands between parts, once")
            nought = True
            at += 1
            continue
        if isinstance(token, str) and len(token) == 1 and token != "0":
            token = int(token)
        if token not in range(1, 10):
            raise NoNumeralError(token)
        ends = at + 1 == len(tokens)
        scale = 1 if ends else tokens[at + 1]
        if not ends and scale not in (10, 100, 1000):
            raise NoNumeralError("a digit without a scale is the last")
        if scale >= last:
            raise NoNumeralError(scale)
        if scale == 1 and not (nought or last == 10):
            raise NoNumeralError("三百五 is 350 or 305")
        total += token * scale
        last, nought = scale, False
        at += 2
    if nought:
        raise NoNumeralError("零 leads to something")
    return total


def normalise_integer(cell: str | None, units: list[str]) -> int | None:
    number = normalise_number(cell, units)
    if number is None or number != int(number) or not -(2**63) <= number < 2**63:
        return None
    return int(number)


MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
YEAR_DIGITS = {"零": 0, "〇": 0, "○": 0} | {char: DIGITS[char] for char in "一二三四五六七八九"}


def _written_day(text: str) -> tuple[dt.datetime, str] | None:
    """Return the day a text begins with, and the rest; ValueError for an impossible day."""
    for form in (
        r"(\d{4}) ?- ?(\d{1,2}) ?- ?(\d{1,2})(.*)",
        r"(\d{4}) ?/ ?(\d{1,2}) ?/ ?(\d{1,2})(.*)",
        r"(\d{4}) ?\. ?(\d{1,2}) ?\. ?(\d{1,2})(.*)",
        r"(\d{4}) ?年 ?(\d{1,2}) ?月 ?(\d{1,2}) ?[日号](.*)",
        r"(\d{4})(\d{2})(\d{2})(.*)",
    ):
        match = re.fullmatch(form, text, re.ASCII | re.DOTALL)
        if match:
            rest = match[4]
            if "年" in form:
                rest = " " + rest  # nothing need separate 日 from what follows
            if rest[:1].isdecimal() and rest[:1].isascii():
                return None
            return dt.datetime(*(int(part) for part in match.groups()[:3])), rest
    match = re.match(r"(.{4})年([一二三四五六七八九十]+)月([一二三四五六七八九十]+)[日号]", text)
    if match and set(match[1]) <= set(YEAR_DIGITS):
        year = int("".join(str(YEAR_DIGITS[char]) for char in match[1]))
        month, day = _small(match[2]), _small(match[3])
        return dt.datetime(year, month, day), " " + text[match.end() :]
    for form, order in (
        (r"(\d{1,2})[-/ ]([A-Za-z]+)[-/ ](\d{4})", "dmy"),
        (r"([A-Za-z]+)\.? (\d{1,2}),? (\d{4})", "mdy"),
        (r"(\d{4})[-/ ]([A-Za-z]+)[-/ ](\d{1,2})", "ymd"),
    ):
        match = re.match(form + r"(?!\d)", text, re.ASCII)
        if match:
            parts = dict(zip(order, match.groups(), strict=True))
            rest = text[match.end() :]
            if rest and rest[0] not in "T" + SPACES:
                return None
            return dt.datetime(int(parts["y"]), _month(parts["m"]), int(parts["d"])), rest
    return None


def _month(word: str) -> int:
    for number, name in enumerate(MONTHS, 1):
        if word.lower() in (name, name[:3]):
            return number
    raise ValueError(word)


def _small(numeral: str) -> int:
    """Read 1 to 99; raise ValueError for an unusual numeral."""
    match = re.fullmatch("(?:([二三四五六七八九])?(十))?([一二三四五六七八九])?", numeral)
    if match is None:
        raise ValueError(numeral)
    tens, ten, ones = match.groups()
    return (DIGITS[tens] if tens else bool(ten)) * 10 + (DIGITS[ones] if ones else 0)


def _shanghai_time(text: str) -> dt.datetime | None:
    """Return the Shanghai wall-clock time of a written date, with or without a time."""
    try:
        written = _written_day(text.strip(SPACES))
        if written is None:
            return None
        day, rest = written
        named = re.match(r"\s*(?:星期|周)([一二三四五六日天])", rest, re.ASCII) or re.match(
            r"\s*\((?:星期|周)([一二三四五六日天]) ?[)]", rest, re.ASCII
        )
        if named:
            if "一二三四五六日".index(named[1].replace("天", "日")) != day.weekday():
                return None
            rest = rest[named.end() :]
            if named[1] == "日" and not named[0].endswith(")"):
                rest = " " + rest
        moment = day
        if rest.strip(SPACES):
            half = re.match(r"\s*(上午|下午)\s*", rest, re.ASCII)
            if half:
                rest = rest[half.end() :]
            elif rest[0] == "T":
                rest = rest[1:]
            elif rest[0] in SPACES:
                rest = rest.lstrip(SPACES)
            else:
                return None
            moment = day + _clock(rest, half[1] if half else "")
    except (ValueError, OverflowError):
        return None
    return moment if 1900 <= moment.year <= 2100 else None


def _hour(written: str, half: str) -> int:
    """Return the hour of the day; 上午12 is midnight to some writers and noon to others."""
    hour = int(written)
    if (half == "上午" and hour >= 12) or (half == "下午" and hour == 0):
        raise ValueError(written)
    return hour + 12 if half == "下午" and hour < 12 else hour


def _clock(text: str, half: str) -> dt.timedelta:
    """Return a time of day as time since the date's Shanghai midnight; ValueError if none."""
    spoken = re.fullmatch(r"(\d{1,2})时(\d{1,2})分(?:(\d{1,2})秒)?(.*)", text, re.ASCII)
    plain = re.fullmatch(
        r"(\d{1,2}):(\d{2})(?::(\d{2})(?:\.(\d{1,6})0*)?)?([^\d:.].*)?", text, re.ASCII
    )
    if spoken:
        hour, minute, second, zone = spoken.groups()
        fraction = None
    elif plain:
        hour, minute, second, fraction, zone = plain.groups()
    else:
        raise ValueError(text)
    microsecond = int((fraction or "").ljust(6, "0"))
    clock = dt.time(_hour(hour, half), int(minute), int(second or 0), microsecond)
    offset = _offset((zone or "").removeprefix(" "), may_be_negative=bool(plain and second))
    since_midnight = dt.datetime.combine(dt.date(1970, 1, 1), clock) - dt.datetime(1970, 1, 1)
    return since_midnight - offset + SHANGHAI


def _offset(zone: str, *, may_be_negative: bool) -> dt.timedelta:
    """Return the offset; the hour and minute of a span such as '10:30-11:30' are none."""
    if zone in ("", "Z"):
        return dt.timedelta() if zone else SHANGHAI
    match = re.fullmatch(r"([+-])(\d{2}):?(\d{2})", zone, re.ASCII)
    if not match or int(match[2]) > 14 or int(match[3]) > 59:
        raise ValueError(zone)
    offset = dt.timedelta(hours=int(match[2]), minutes=int(match[3]))
    if match[1] == "+":
        return offset
    if not may_be_negative:
        raise ValueError(zone)
    return -offset


def _excel_time(text: str) -> dt.datetime | None:
    match = re.fullmatch(r"(\d{5})(?:\.(\d{1,15})0*)?", text.strip(SPACES), re.ASCII)
    if not match or not 36526 <= int(match[1]) <= 73050:
        return None
    day_share = Decimal(f"0.{match[2] or 0}")
    milliseconds = (day_share * 86_400_000).to_integral_value(decimal.ROUND_HALF_UP)
    return EXCEL_DAY_ZERO + dt.timedelta(days=int(match[1]), milliseconds=int(milliseconds))


def normalise_date(cell: str | None) -> dt.date | None:
    if cell is None:
        return None
    text = fold(cell)
    moment = _shanghai_time(text)
    if moment is None and re.fullmatch(r"\d{5}(\.0+)?", text.strip(SPACES), re.ASCII):
        moment = _excel_time(text.strip(SPACES)[:5])
    return moment and moment.date()


def normalise_timestamp(cell: str | None) -> dt.datetime | None:
    if cell is None:
        return None
    text = fold(cell)
    moment = _shanghai_time(text) or _excel_time(text)
    return moment and moment - SHANGHAI


def normalise_boolean(cell: str | None) -> bool | None:
    word = (normalise_text(fold(cell or "")) or "").lower()
    return True if word in TRUE_WORDS else False if word in FALSE_WORDS else None


# Codes, from the standards' own texts

USCC_CHARACTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
PROVINCES = {
    *range(11, 16),
    *range(21, 24),
    *range(31, 38),
    *range(41, 47),
    *range(50, 55),
    *range(61, 66),
    71,
    81,
    82,
}


def _code(cell: str | None) -> str:
    return squeeze(cell or "").upper()


def uscc_check_character(body: str) -> str | None:
    """Compute GB 32100-2015, 5.4: C18 = 31 - MOD(sum of Ci * 3^(i-1), 31), where 31 is 0."""
    if not set(body) <= set(USCC_CHARACTERS):
        return None
    total = sum(USCC_CHARACTERS.index(char) * pow(3, at, 31) for at, char in enumerate(body))
    return USCC_CHARACTERS[-total % 31]


def normalise_uscc(cell: str | None) -> str | None:
    code = _code(cell)
    if len(code) != 18 or not _is_digits(code[2:8]):
        return None
    return code if uscc_check_character(code[:17]) == code[17] else None


def id_check_character(body: str) -> str:
    """Compute ISO 7064, pure system: the remainder is carried from digit to digit."""
    carried = 0
    for digit in body:
        carried = (carried + int(digit)) * 2 % 11
    return "0123456789X"[(1 - carried) % 11]


def normalise_id_number(cell: str | None) -> str | None:
    code = _code(cell)
    if len(code) != 18 or not _is_digits(code[:17]):
        return None
    if int(code[:2]) not in PROVINCES | {83} or code[6:8] not in ("18", "19", "20"):
        return None
    try:
        dt.datetime.strptime(code[6:14], "%Y%m%d")
    except ValueError:
        return None
    return code if id_check_character(code[:17]) == code[17] else None


def normalise_region(cell: str | None) -> str | None:
    code = _code(cell)
    if len(code) != 6 or not _is_digits(code) or int(code[:2]) not in PROVINCES:
        return None
    return None if code[2:4] == "00" and code[4:] != "00" else code


def normalise_gb28181(cell: str | None) -> str | None:
    code = _code(cell)
    if len(code) != 20 or not _is_digits(code) or not normalise_region(code[:6]):
        return None
    return code if 111 <= int(code[10:13]) <= 599 else None


def mask_phone(cell: str | None) -> str | None:
    if normalise_text(cell) is None:
        return None
    number = squeeze(cell)
    for prefix in ("+86-", "+86", "0086-", "0086", "86-", "86"):
        if number.startswith(prefix) and _phone_parts(number.removeprefix(prefix)):
            number = number.removeprefix(prefix)
            break
    return _phone_parts(number) or "****"


def _phone_parts(number: str) -> str | None:
    if re.fullmatch(r"1[3-9]\d-?\d{4}-?\d{4}", number, re.ASCII):
        return f"{number[:3]}****{number[-4:]}"
    for area_length in (3, 4):
        landline = re.fullmatch(
            rf"\(?(0\d{{{area_length - 1}}})\)?-?[2-9]\d{{6,7}}", number, re.ASCII
        )
        if landline and _is_area_code(landline[1]):
            return f"{landline[1]}-****{number[-3:]}"
    if re.fullmatch(r"[2-9]\d{6,7}", number, re.ASCII):
        return f"****{number[-3:]}"
    return None


def _is_area_code(digits: str) -> bool:
    """Return whether these are area digits: Beijing 010, large cities 02x, others four digits."""
    return digits == "010" or (
        len(digits) == (3 if digits[1] == "2" else 4) and digits[1] not in "01"
    )


def mask_id_number(cell: str | None) -> str | None:
    if normalise_text(cell) is None:
        return None
    digits = squeeze(cell)
    if len(digits) == 18 and _is_digits(digits[:17]) and digits[17] in "0123456789Xx":
        return digits[:6] + "*" * 8 + digits[-4:]
    return "****"


def mask_name(cell: str | None) -> str | None:
    name = normalise_text(cell)
    if name is None:
        return None
    return "*" if len(name) == 1 else name[0] + "*" * (len(name) - 1)


def mask_email(cell: str | None) -> str | None:
    if normalise_text(cell) is None:
        return None
    mailbox, _, domain = squeeze(cell).partition("@")
    labels = domain.split(".")
    if not mailbox or len(labels) < 2:
        return "****"
    if not all(re.fullmatch("[0-9A-Za-z-]+", label) for label in labels):
        return "****"
    return ("" if len(mailbox) == 1 else mailbox[0]) + "***@" + domain


def mask_address(cell: str | None) -> str | None:
    address = normalise_text(cell)
    if address is None:
        return None
    return address[:6] + "****" if len(address) > 8 else "****"


GAP = "[ \t\r\n\u2000-\u200a\u202f‐‑‒–—―─﹘﹣-]{0,3}"


def _spread(*digits: str) -> str:
    """Build a pattern of digits, each of these a pattern, with gaps between."""
    return GAP.join(digits)


SEVERAL = "[0-9]"
BIRTH_CENTURY = f"(?:1{GAP}[89]|2{GAP}0)"
INSTANT = r"(?:19|20)(?:\d{10}|\d{12})"
# what a number may be, the first that fits at a place winning; whether that is masked for its shape
NUMBERS_IN_TEXT = [
    (re.compile(pattern, re.ASCII), is_suspect)
    for pattern, is_suspect in [
        (r"(?:19|20)\d\d[-/.年]\d{1,2}[-/.月]\d{1,2}(?:日|\b)", False),
        (rf"{INSTANT}\b", False),
        (r"1\.[3-9]\d{5,}[Ee]\+?10\b", True),
        (r"[1-9]\.\d{8,}[Ee]\+?1[47]\b", True),
        (_spread("[1-9]", *[SEVERAL] * 5, BIRTH_CENTURY, *[SEVERAL] * 9, r"[0-9Xx]\b"), True),
        (_spread("1", "[3-9]", *[SEVERAL] * 9) + r"\b", True),
        (r"1[3-9]\d[ .,·/_()-]{1,3}\d{4}[ .,·/_()-]{1,3}\d{4}", True),
        (r"1[3-9],\d{3},\d{3},\d{3}\b", True),
        (r"0(?:10|2\d|[3-9]\d\d)\)?" + _spread("", "[2-9]", *[SEVERAL] * 7) + r"\b", True),
        (r"0(?:10|2\d|[3-9]\d\d)\)?" + _spread("", "[2-9]", *[SEVERAL] * 6) + r"\b", True),
        *[(_spread("62", *[SEVERAL] * more) + r"\b", True) for more in (17, 16, 15, 14)],
        (r"\d{11,}\.\d{1,6}\b", True),
        (r"\d{11,}[Xx]?", True),
        (r"\d{1,3}(?:,\d{3})+(?:\.\d+)?\b", False),
        (r"\d+(?:\.\d+)?", True),
    ]
]


def mask_strayed(cell: str | None) -> str | None:
    return _mask_numbers(cell, every=False)


def mask_strayed_and_long(cell: str | None) -> str | None:
    return _mask_numbers(cell, every=True)


def _mask_numbers(cell: str | None, every: bool) -> str | None:
    if cell is None:
        return None
    text = fold(cell)
    masked, at = "", 0
    while at < len(text):
        hit = next(
            (
                (match, suspect)
                for shape, suspect in NUMBERS_IN_TEXT
                if (match := shape.match(text, at))
            ),
            None,
        )
        piece = hit[0][0] if hit else text[at]
        masked += _masked_number(piece, every) if hit and hit[1] else piece
        at += len(piece)
    return cell if masked == text else masked


def _masked_number(piece: str, every: bool) -> str:
    mantissa, mark, exponent = re.fullmatch("([^Ee]*)([Ee]?)(.*)", piece, re.DOTALL).groups()
    if mark:
        return f"{mantissa[:3]}****{mark}{exponent}"
    whole, point, fraction = piece.partition(".")
    is_decimal = whole.isdigit() and fraction.isdigit()
    digits = re.sub("[^0-9Xx]", "", whole if is_decimal else piece)
    is_long = every and not point and len(piece) > 10 and piece.rstrip("Xx").isdigit()
    if re.fullmatch(INSTANT, piece, re.ASCII):
        return piece
    if not is_long and not _is_personal(digits):
        return piece
    return (
        digits[: 3 if len(digits) < 15 else 6] + "****" + digits[-3 if digits[0] == "0" else -4 :]
    )


def _is_personal(digits: str) -> bool:
    """Recognise mobiles, identity numbers of either length, landlines with area, bank cards."""
    mobile = digits.removeprefix("00").removeprefix("86") if "86" in digits[:4] else digits
    if len(mobile) == 11 and mobile.isdigit() and mobile[0] == "1" and mobile[1] in "3456789":
        return True
    if not digits[:-1].isdigit():
        return False
    if len(digits) == 18 and digits[0] != "0" and digits[6:8] in ("18", "19", "20"):
        return True
    if not digits.isdigit():
        return False
    if len(digits) == 15:
        return (
            digits[0] != "0"
            and int(digits[8:10]) in range(1, 13)
            and (int(digits[10:12]) in range(1, 32))
        )
    for area in (3, 4):
        if len(digits) - area in (7, 8) and digits[0] == "0" and _is_area_code(digits[:area]):
            return digits[area] in "23456789"
    return digits.startswith("62") and 16 <= len(digits) <= 19
