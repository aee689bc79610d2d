"""What a cell means, in plain Python: the second definition of warehouse/macros/*.sql.

Written from the rules, not from the SQL: cells are read from left to right, token by token.
Every function takes text or None and returns a value, or None for what cannot be read.
"""

import datetime as dt
import decimal
import re
from decimal import Decimal

SPACES = " \t\n\v\f\r"
WIDE_SPACES = "\u3000\u00a0"
INVISIBLE = "".join(
    chr(code)
    for first, last in [(0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2060), (0xFEFF, 0xFEFF)]
    for code in range(first, last + 1)
)

QUALIFIERS = [
    "约", "大约", "近", "超", "超过", "突破", "达", "达到", "共", "共计", "累计", "不少于", "至少",
]  # fmt: skip
SCALES = {
    "": 0, "十": 1, "百": 2, "千": 3, "万": 4, "十万": 5, "百万": 6, "千万": 7,
    "亿": 8, "十亿": 9, "百亿": 10, "千亿": 11, "万亿": 12,
}  # fmt: skip
POWER_OF_WORDS = {
    before + scale + after: power
    for scale, power in SCALES.items()
    for before in (("", "余", "多") if scale else ("",))
    for after in ("", "余", "多", "左右", "以上")
}
TRUE_WORDS = {"是", "有", "√", "✓", "true", "yes", "y", "1", "t", "已接入", "已"}
FALSE_WORDS = {"否", "无", "×", "✗", "false", "no", "n", "0", "f", "未接入", "未"}

SHANGHAI = dt.timedelta(hours=8)
EXCEL_DAY_ZERO = dt.datetime(1899, 12, 30)


def fold(text: str) -> str:
    """Full-width ASCII, wide spaces and the minus sign as ASCII; nothing invisible."""
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
    return None if cell is None else cell.strip(SPACES + WIDE_SPACES + INVISIBLE) or None


def _tail_powers(tail: str, units: list[str]) -> set[int]:
    """Every power of ten the words after a number can mean."""
    endings = {unit for unit in map(squeeze, ["", *units]) if tail.endswith(unit)}
    words = (tail.removesuffix(unit) for unit in endings)
    return {POWER_OF_WORDS[word] for word in words if word in POWER_OF_WORDS}


def _numeral(text: str) -> tuple[str, str, str]:
    """Whole digits, decimals and what follows; a whole part not grouped in threes is ''."""
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


def normalise_number(cell: str | None, units: list[str]) -> Decimal | None:
    if cell is None:
        return None
    rest = fold(cell).lstrip(SPACES)
    qualifier = max((word for word in QUALIFIERS if rest.startswith(word)), key=len, default="")
    rest = rest.removeprefix(qualifier).lstrip(SPACES)
    negative = rest.startswith("-")
    if rest[:1] in ("+", "-"):
        rest = rest[1:].lstrip(SPACES)
    whole, fraction, rest = _numeral(rest)
    powers = _tail_powers(squeeze(rest), units)
    if not whole + fraction or len(powers) != 1:
        return None
    with decimal.localcontext(prec=len(whole + fraction) + 40):
        value = Decimal(f"{whole}.{fraction}0").scaleb(powers.pop())
        if value != value.quantize(Decimal("0.000001")) or value >= Decimal(10) ** 22:
            return None
        return -value if negative and value else value


def normalise_integer(cell: str | None, units: list[str]) -> int | None:
    number = normalise_number(cell, units)
    if number is None or number != int(number) or not -(2**63) <= number < 2**63:
        return None
    return int(number)


def _shanghai_time(text: str) -> dt.datetime | None:
    """The Shanghai wall-clock time of a written date, with or without a time of day."""
    text = text.strip(SPACES)
    for form in (
        r"(\d{4}) ?- ?(\d{1,2}) ?- ?(\d{1,2})(?:(?:T|\s+)(?P<clock>\S.*))?",
        r"(\d{4}) ?/ ?(\d{1,2}) ?/ ?(\d{1,2})(?:(?:T|\s+)(?P<clock>\S.*))?",
        r"(\d{4}) ?\. ?(\d{1,2}) ?\. ?(\d{1,2})(?:(?:T|\s+)(?P<clock>\S.*))?",
        r"(\d{4}) ?年 ?(\d{1,2}) ?月 ?(\d{1,2}) ?[日号]\s*(?P<clock>\S.*)?",
        r"(\d{4})(\d{2})(\d{2})(?:(?:T|\s+)(?P<clock>\S.*))?",
    ):
        match = re.fullmatch(form, text, re.ASCII | re.DOTALL)
        if match:
            break
    else:
        return None
    try:
        day = dt.datetime(*(int(part) for part in match.groups()[:3]))
        since_midnight = _clock(match["clock"]) if match["clock"] else dt.timedelta()
        moment = day + since_midnight
    except (ValueError, OverflowError):
        return None
    return moment if 1900 <= moment.year <= 2100 else None


def _clock(text: str) -> dt.timedelta:
    """A time of day as time since the Shanghai midnight of its date; ValueError if it is none."""
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
    clock = dt.time(int(hour), int(minute), int(second or 0), int((fraction or "").ljust(6, "0")))
    offset = _offset((zone or "").removeprefix(" "), may_be_negative=bool(plain and second))
    since_midnight = dt.datetime.combine(dt.date(1970, 1, 1), clock) - dt.datetime(1970, 1, 1)
    return since_midnight - offset + SHANGHAI


def _offset(zone: str, *, may_be_negative: bool) -> dt.timedelta:
    """'10:30-11:30' is a span of time: an hour and minute alone take no negative offset."""
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
    """Beijing is 010, the other large cities 02x, everyone else has four digits."""
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
