"""The faults of the sample city: each with its place and the verdict that it must get.

Every delivery that is not listed here must be accepted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Literal

from pipelines.contracts.formats import CsvDialect
from pipelines.sample.exports import WORKBOOK, Cell, Export, Row
from pipelines.sample.records import COLUMNS
from pipelines.sample.writers import encode

# A verdict, or `stray` (no delivery, reported), or `ignored` (passed over).
Outcome = Literal[
    "accepted",
    "accepted_with_quarantine",
    "rejected",
    "unreadable",
    "unchanged",
    "stray",
    "ignored",
]
VERDICTS = ("accepted", "accepted_with_quarantine", "rejected", "unreadable", "unchanged")


@dataclass(frozen=True)
class Landed:
    """One file of an irregularity: its suffix (or, in a `folder` of its own, its whole name)."""

    name: str
    outcome: Outcome
    days_late: int = 0


@dataclass(frozen=True)
class Irregularity:
    """A fault of `kind` in the delivery of `department` for `day`: its files, in order of arrival.

    With a `folder` the files lie there, beside the normal delivery and not in its place.
    """

    kind: str
    department: str
    day: date
    what: str
    files: tuple[Landed, ...]
    source: str = "data_records"
    folder: str | None = None


def _october(day: int) -> date:
    return date(2021, 10, day)


IRREGULARITIES: tuple[Irregularity, ...] = (
    Irregularity("late", "mzj", _october(6), "three days late", (Landed("csv", "accepted", 3),)),
    Irregularity(
        "late",
        "qxj",
        _october(11),
        "four days late",
        (Landed("csv", "accepted", 4),),
        source="video_channels",
    ),
    Irregularity(
        "wrong_figures",
        "kjj",
        date(2021, 9, 29),
        "a tenth of the figures, then right",
        (Landed("csv", "accepted"), Landed("xlsx", "accepted", 8)),
    ),
    Irregularity(
        "rejected_then_right",
        "swj",
        _october(12),
        "no 目录编码, then corrected",
        (Landed("csv", "rejected"), Landed("xlsx", "accepted", 2)),
    ),
    Irregularity(
        "bad_correction",
        "hszh",
        _october(8),
        "right, then a correction full of text",
        (Landed("csv", "accepted"), Landed("xlsx", "rejected", 1)),
    ),
    Irregularity(
        "same_bytes_again",
        "jtys",
        _october(13),
        "sent twice, byte for byte",
        (Landed("csv", "accepted"), Landed("CSV", "unchanged", 1)),
    ),
    Irregularity(
        "wrong_encoding",
        "slj",
        _october(14),
        "UTF-8 where GB18030 is agreed",
        (Landed("csv", "unreadable"),),
    ),
    Irregularity(
        "missing_column", "nyj", _october(15), "no column 数据领域", (Landed("csv", "rejected"),)
    ),
    Irregularity(
        "unknown_header",
        "bwb",
        _october(18),
        "新增数据量 is called 本日归集条数",
        (Landed("csv", "rejected"),),
    ),
    Irregularity(
        "some_text_in_numbers",
        "gaj",
        _october(11),
        "待核实 for a number in two rows",
        (Landed("csv", "accepted_with_quarantine"),),
    ),
    Irregularity(
        "much_text_in_numbers",
        "xfj",
        _october(20),
        "待核实 in every third row",
        (Landed("csv", "rejected"),),
    ),
    Irregularity(
        "impossible_date",
        "rsj",
        _october(21),
        "2021-02-30 in one row",
        (Landed("csv", "accepted_with_quarantine"),),
    ),
    Irregularity(
        "negative_number",
        "scjg",
        _october(22),
        "a negative number in one row",
        (Landed("csv", "accepted_with_quarantine"),),
    ),
    Irregularity(
        "key_conflict",
        "wjw",
        _october(25),
        "one 目录编码 twice, with other figures",
        (Landed("csv", "accepted_with_quarantine"),),
    ),
    Irregularity(
        "total_below_part",
        "ybj",
        _october(27),
        "累计 below 新增 in one row",
        (Landed("csv", "accepted_with_quarantine"),),
    ),
    Irregularity(
        "duplicate_rows", "zjj", _october(26), "three rows twice", (Landed("csv", "accepted"),)
    ),
    Irregularity(
        "no_rows", "sjj", _october(27), "a header and no rows", (Landed("csv", "rejected"),)
    ),
    Irregularity(
        "zero_bytes", "lyj", _october(28), "nothing at all", (Landed("csv", "unreadable"),)
    ),
    Irregularity(
        "truncated_workbook",
        "czj",
        _october(20),
        "the last third of the file is lost",
        (Landed("xlsx", "unreadable"),),
    ),
    Irregularity(
        "password",
        "sfj",
        _october(21),
        "a workbook with a password",
        (Landed("xlsx", "unreadable"),),
    ),
    Irregularity(
        "declared_null",
        "jtj",
        _october(15),
        "暂无 for a required figure",
        (Landed("xlsx", "accepted_with_quarantine"),),
        source="indicator_reports",
    ),
    Irregularity(
        "copy",
        "fgw",
        _october(22),
        "a department that nobody knows",
        (Landed("data_records.csv", "stray"),),
        folder="2021-10-22/lyfz",
    ),
    Irregularity(
        "copy",
        "fgw",
        _october(23),
        "a source that nobody knows",
        (Landed("data_record_list.csv", "stray"),),
        folder="2021-10-23/fgw",
    ),
    Irregularity(
        "copy",
        "fgw",
        _october(24),
        "a folder for a day that there is not",
        (Landed("data_records.csv", "stray"),),
        folder="2021-02-30/fgw",
    ),
    Irregularity(
        "leftovers",
        "gsgs",
        _october(25),
        "what uploads and desktops leave behind",
        (
            Landed("upload.part", "ignored"),
            Landed(".DS_Store", "ignored"),
            Landed("x.tmp", "ignored"),
        ),
        folder="2021-10-25/gsgs",
    ),
)

# Positions of the rows that a kind spoils and that its verdict quarantines.
SPOILT: Mapping[str, tuple[int, ...]] = {
    "some_text_in_numbers": (3, 17),
    "impossible_date": (5,),
    "negative_number": (7,),
    "key_conflict": (4,),
    "total_below_part": (9,),
    "declared_null": (2,),
}
OLE2 = bytes.fromhex("D0CF11E0A1B11AE1")


def irregularities_until(last: date) -> Sequence[Irregularity]:
    """Return the irregularities of business dates up to `last`."""
    return [irregularity for irregularity in IRREGULARITIES if irregularity.day <= last]


def received_after(landed: Landed) -> timedelta:
    """Return how much later than usual a file arrives."""
    return timedelta(days=landed.days_late)


def contents(irregularity: Irregularity, export: Export) -> Sequence[bytes]:
    """Return the bytes of each file of `irregularity`, made by spoiling the sound `export`."""
    files = FAULTS[irregularity.kind](export)
    assert len(files) == len(irregularity.files), f"{irregularity.kind} makes {len(files)} files"
    return files


def lost_records(irregularity: Irregularity, export: Export) -> int:
    """Return how many new records of `export` the irregularity keeps out of the source table."""
    outcomes = {landed.outcome for landed in irregularity.files}
    if irregularity.folder or "accepted" in outcomes:
        return 0
    quarantined = "accepted_with_quarantine" in outcomes
    rows = [export.rows[at] for at in SPOILT[irregularity.kind]] if quarantined else export.rows
    at = export.columns.index("new_records")
    return sum(cell for row in rows if isinstance(cell := row[at], int))


def _sound(export: Export) -> bytes:
    return encode(export, export.variant)


def _with(export: Export, column: str, change: Callable[[Row], Cell], rows: set[int]) -> Export:
    """Return `export` with the cells of `column` changed in some rows."""
    at = export.columns.index(column)
    changed = [
        (*row[:at], change(row), *row[at + 1 :]) if number in rows else row
        for number, row in enumerate(export.rows)
    ]
    return replace(export, rows=changed)


def _without(export: Export, column: str) -> Export:
    at = export.columns.index(column)
    return replace(
        export,
        columns=(*export.columns[:at], *export.columns[at + 1 :]),
        rows=[(*row[:at], *row[at + 1 :]) for row in export.rows],
    )


def _number(row: Row, position: int) -> int:
    cell = row[position]
    assert isinstance(cell, int)
    return cell


NEW, CUMULATIVE = COLUMNS.index("new_records"), COLUMNS.index("cumulative_records")


def _spoilt(
    kind: str, column: str, change: Callable[[Row], Cell]
) -> Callable[[Export], list[bytes]]:
    return lambda export: [_sound(_with(export, column, change, set(SPOILT[kind])))]


def _every_third(export: Export) -> Export:
    return _with(export, "new_records", lambda row: "待核实", set(range(0, len(export.rows), 3)))


def _wrong_figures(export: Export) -> list[bytes]:
    every = set(range(len(export.rows)))
    wrong = _with(export, "new_records", lambda row: _number(row, NEW) // 10, every)
    return [_sound(wrong), encode(export, WORKBOOK)]


def _wrong_encoding(export: Export) -> list[bytes]:
    return [encode(export, export.variant, CsvDialect(encoding="utf-8"))]


def _key_conflict(export: Export) -> list[bytes]:
    row = list(export.rows[SPOILT["key_conflict"][0]])
    row[NEW], row[CUMULATIVE] = _number(row, NEW) + 1000, _number(row, CUMULATIVE) + 1000
    return [_sound(replace(export, rows=[*export.rows, row]))]


def _duplicate_rows(export: Export) -> list[bytes]:
    return [_sound(replace(export, rows=[*export.rows, *export.rows[2:5]]))]


def _truncated(export: Export) -> list[bytes]:
    whole = _sound(export)
    return [whole[: len(whole) * 2 // 3]]


def _password(export: Export) -> list[bytes]:
    """Return enough of an encrypted workbook: the container's magic and its streams' names."""
    names = "".join(f"{name}\0" for name in ("EncryptionInfo", "EncryptedPackage"))
    return [OLE2 + bytes(504) + names.encode("utf-16-le") + bytes(7168)]


FAULTS: Mapping[str, Callable[[Export], list[bytes]]] = {
    "late": lambda export: [_sound(export)],
    "copy": lambda export: [_sound(export)],
    "same_bytes_again": lambda export: [_sound(export)] * 2,
    "wrong_figures": _wrong_figures,
    "rejected_then_right": lambda export: [
        _sound(_without(export, "catalog_code")),
        encode(export, WORKBOOK),
    ],
    "bad_correction": lambda export: [_sound(export), encode(_every_third(export), WORKBOOK)],
    "wrong_encoding": _wrong_encoding,
    "missing_column": lambda export: [_sound(_without(export, "domain"))],
    "unknown_header": lambda export: [
        _sound(replace(export, headings={"new_records": "本日归集条数"}))
    ],
    "some_text_in_numbers": _spoilt("some_text_in_numbers", "new_records", lambda row: "待核实"),
    "much_text_in_numbers": lambda export: [_sound(_every_third(export))],
    "impossible_date": _spoilt("impossible_date", "record_date", lambda row: "2021-02-30"),
    "negative_number": _spoilt("negative_number", "new_records", lambda row: -_number(row, NEW)),
    "key_conflict": _key_conflict,
    "total_below_part": _spoilt(
        "total_below_part", "cumulative_records", lambda row: _number(row, NEW) - 1
    ),
    "duplicate_rows": _duplicate_rows,
    "no_rows": lambda export: [_sound(replace(export, rows=[]))],
    "zero_bytes": lambda export: [b""],
    "truncated_workbook": _truncated,
    "password": _password,
    "declared_null": _spoilt("declared_null", "value", lambda row: "暂无"),
    "leftovers": lambda export: [_sound(export)[:200], bytes(6148), b"\0" * 64],
}
