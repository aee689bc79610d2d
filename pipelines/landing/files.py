"""The landing folder: what lies there, whose it is, and whether it is whole.

Paths are untrusted: nothing is followed out of the folder, and a name that does not say a known
source, department and date is reported and left where it is. A file that is still being uploaded
waits: it is settled once it has been still for a while, or once its sender has put the marker
`<file name>.done` beside it.
"""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import NamedTuple

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.extensions import SENDABLE, format_of, suffix_of
from pipelines.contracts.models import Source
from pipelines.deliveries.feedback_form import ALL, FORMAT, Named, named

BULK = "bulk"  # stands where the business date would: the file's own column says it
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
DONE = ".done"  # what a sender appends to a file's name to say that the file is whole
YEARS = range(1949, 2101)
PART = re.compile(r"[\w-]{1,64}")
UNPRINTABLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # line breaks; bytes not UTF-8


@dataclass(frozen=True)
class LandingProblem:
    """A file that is nobody's delivery: where it lies, why, the mend; Chinese for the digest."""

    path: str
    message: str
    mend: str
    chinese: str


@dataclass(frozen=True)
class Landed:
    """A file in the landing folder whose name makes sense."""

    path: Path
    source: str
    department: str | None
    business_date: date | None
    part: str
    format: str


class Look(NamedTuple):
    """What lies in landing: deliveries-to-be, what is nobody's, and what is being uploaded."""

    landed: list[Landed]
    problems: list[LandingProblem]
    waiting: list[Landed]


def look(landing: Path, catalog: Catalog, settle_seconds: float = 0.0) -> Look:
    """Everything in the landing folder; it changes nothing.

    Files with a name that makes sense wait until they are settled; 0 seconds lets none wait.
    """
    seen = Look([], [], [])
    closed: list[OSError] = []
    for path in _files(landing, closed):
        try:
            status = path.lstat()
        except OSError as error:
            closed.append(error)
            continue
        found = _identify(path, status, landing, catalog)
        if isinstance(found, LandingProblem):
            seen.problems.append(found)
        elif is_settled(path, status, settle_seconds):
            seen.landed.append(found)
        else:
            seen.waiting.append(found)
    for refusal in closed:
        if isinstance(refusal, FileNotFoundError):  # another run has just taken it, or all in it
            continue
        place = Path(str(refusal.filename))
        if place == landing:
            raise refusal
        seen.problems.append(unreadable(place, landing, refusal.strerror))
    return seen


def is_settled(path: Path, status: os.stat_result, seconds: float) -> bool:
    """Whether the file is whole, for all that its times and its marker can tell.

    A modification time that lies in the future is of another clock, and tells no age: then the
    time at which this machine last saw the file change does.
    """
    now = time.time()
    changed = status.st_mtime if status.st_mtime <= now else status.st_ctime
    return seconds <= 0 or now - changed >= seconds or _is_marked(path, status)


def _is_marked(path: Path, status: os.stat_result) -> bool:
    """Whether the marker lies beside the file, and is not that of an older file of its name."""
    try:
        return marker_of(path).lstat().st_mtime_ns >= status.st_mtime_ns
    except OSError:  # none, or a name too long to have one
        return False


def marker_of(path: Path) -> Path:
    """What its sender puts beside a file to say that it is whole."""
    return path.with_name(path.name + DONE)


def printable(path: Path, landing: Path) -> str:
    """The path below `landing` in printable characters, whatever its sender has put into it."""
    return UNPRINTABLE.sub(_escaped, path.relative_to(landing).as_posix())


def unreadable(path: Path, landing: Path, why: str | None) -> LandingProblem:
    """What the machine does not let us read, as people are told of it."""
    return LandingProblem(
        printable(path, landing),
        f"it cannot be read: {why}",
        "let this user read it; it stays for the next run",
        "无法读取，下次运行时再取",
    )


def _files(landing: Path, closed: list[OSError]) -> Iterator[Path]:
    """Files below the folder in name order; dotfiles, unfinished uploads, markers are not ours,
    nor what office programs put beside an open workbook (~$).

    A link to a folder counts as a file, so that it is told of and not followed. What keeps us out
    of a folder is appended to `closed`.
    """
    for folder, folders, names in os.walk(landing, onerror=closed.append, followlinks=False):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *links]):
            if not name.startswith((".", "~$")) and not name.lower().endswith((*UNFINISHED, DONE)):
                yield Path(folder, name)


def _identify(
    path: Path, status: os.stat_result, landing: Path, catalog: Catalog
) -> Landed | LandingProblem:
    shown = printable(path, landing)
    if not stat.S_ISREG(status.st_mode):
        return LandingProblem(
            shown, "not a regular file", "send the file itself", "不是普通文件，请直接报送文件"
        )
    told = named(path.name)
    if told is not None:
        return _identify_return(path, shown, catalog, told)
    kind = format_of(path)
    if kind is None:
        suffix = Path(shown).suffix
        return LandingProblem(
            shown,
            f"no format is called {suffix or 'nothing'}",
            f"send one of {SENDABLE}",
            f"不支持的文件类型“{suffix}”",
        )
    matched = _match_patterns(shown, catalog)
    if matched is not None:
        source, day, department, part = matched
    else:
        steps = shown.split("/")
        if len(steps) != 3:
            return LandingProblem(
                shown,
                "not at <business date>/<department>/<source>[.<part>].<ext>",
                "move it there, or use `citybrain submit`",
                "文件未按“业务日期/单位/数据源”存放",
            )
        day, department, name = steps
        source, dot, part = name[: -len(suffix_of(name))].partition(".")
        part = part or dot  # `records..csv` has a part, and a bad one
    return _resolve(path, shown, catalog, source, day, department, part, kind)


def _identify_return(
    path: Path, shown: str, catalog: Catalog, told: Named
) -> Landed | LandingProblem:
    """A feedback workbook that came back, wherever it lies: its name says all."""
    if told.suffix.lower() != ".xlsx":
        return LandingProblem(
            shown,
            f"a feedback workbook that comes back is .xlsx, and this is {told.suffix}",
            "save it as .xlsx under its own name",
            "回传的反馈文件须另存为 .xlsx 格式",
        )
    return _resolve(path, shown, catalog, told.source, told.day, told.department, told.part, FORMAT)


def stray_return(path: Path, landing: Path) -> LandingProblem:
    """A feedback workbook of a delivery that was never received, or that is another's."""
    return LandingProblem(
        printable(path, landing),
        "it mends no delivery that the ledger knows by this name",
        "give it the name back that `citybrain feedback` gave it, or send the whole file",
        "反馈文件名与台账不符，请恢复原文件名后回传，或重新报送完整文件",
    )


def _escaped(character: re.Match[str]) -> str:
    return character[0].encode("unicode_escape").decode()


def _match_patterns(relative: str, catalog: Catalog) -> tuple[str, str, str, str] | None:
    for source in catalog.sources.values():
        for pattern in source.file_patterns:
            match = re.fullmatch(pattern, relative)
            if match:
                groups = {key: text or "" for key, text in match.groupdict().items()}
                day = groups.get("business_date", BULK)
                return (
                    source.name,
                    _dashed(day),
                    groups.get("department", ALL),
                    groups.get("part", ""),
                )
    return None


def _resolve(
    path: Path,
    shown: str,
    catalog: Catalog,
    source: str,
    day: str,
    department: str,
    part: str,
    kind: str,
) -> Landed | LandingProblem:
    contract = catalog.sources.get(source)
    if contract is None:
        return LandingProblem(
            shown,
            f"no source is called {source}",
            f"name the file after one of {', '.join(catalog.sources)}",
            f"未知数据源“{source}”",
        )
    if part and not PART.fullmatch(part):
        return LandingProblem(
            shown,
            f"part {part!r} holds other than letters, digits, - and _",
            "rename the file",
            f"分包名“{part}”含有不允许的字符",
        )
    business_date = _day(day, contract)
    if isinstance(business_date, str):
        return LandingProblem(
            shown,
            business_date,
            "name the folder after the day, as 2021-09-23",
            f"业务日期“{day}”无效",
        )
    if department == ALL and contract.partition.department is not None:
        code = None
    elif department in catalog.departments:
        code = department
    else:
        return LandingProblem(
            shown,
            f"no department is called {department}",
            "correct the folder's name, or add the department to departments.csv",
            f"未登记的单位“{department}”",
        )
    return Landed(path, source, code, business_date, part, kind)


def _dashed(day: str) -> str:
    """20211001, as file names often have it, as folders are called: 2021-10-01."""
    return f"{day[:4]}-{day[4:6]}-{day[6:]}" if re.fullmatch(r"\d{8}", day) else day


def _day(text: str, contract: Source) -> date | str | None:
    """The business date, None for bulk, or what is wrong with it."""
    if text == BULK and contract.partition.business_date is not None:
        return None
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return f"{text} is no date of the calendar"
    if day.year not in YEARS:
        return f"{text} is no day that this century's data speaks of"
    return day if day.isoformat() == text else f"{text} is not written as {day}"
