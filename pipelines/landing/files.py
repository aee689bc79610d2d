"""The landing folder: find what lies there, whose it is, and whether it is whole.

Paths are untrusted: nothing is followed out of the folder, and a name that does not say a known
source, department and date is reported and left where it is. A file that is still being uploaded
waits. It is settled once it has not changed for a while, or once its sender has put the marker
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
from pipelines.deliveries.feedback_form import ALL, FORMAT, named

BULK = "bulk"  # Stands where the business date would: the file's own column says it.
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
DONE = ".done"  # A sender appends it to a file's name to say that the file is whole.
YEARS = range(1949, 2101)
PART = re.compile(r"[\w-]{1,64}")
UNPRINTABLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # Line breaks; bytes not UTF-8.


@dataclass(frozen=True)
class LandingProblem:
    """A file that is nobody's delivery: where it lies, why, the mend; Chinese for the digest."""

    path: str
    message: str
    mend: str
    chinese: str


@dataclass(frozen=True)
class Landed:
    """A file in the landing folder and the slot that its name says.

    `department` is None when the file's own column says it, and so is `business_date`.
    """

    path: Path
    source: str
    department: str | None
    business_date: date | None
    part: str
    format: str


class Look(NamedTuple):
    """The content of landing: settled deliveries, nobody's files, files that are uploaded now."""

    landed: list[Landed]
    problems: list[LandingProblem]
    waiting: list[Landed]


def look(landing: Path, catalog: Catalog, settle_seconds: float = 0.0) -> Look:
    """List everything in the landing folder; change nothing.

    Files whose name makes sense wait until they are settled; 0 seconds lets none wait. Raises the
    OSError that keeps us out of `landing` itself; other folders and files are reported.
    """
    content = Look([], [], [])
    refusals: list[OSError] = []
    for path in _walk(landing, refusals):
        try:
            status = path.lstat()
        except OSError as error:
            refusals.append(error)
            continue
        identified = _identify(path, status, landing, catalog)
        if isinstance(identified, LandingProblem):
            content.problems.append(identified)
        elif is_settled(path, status, settle_seconds):
            content.landed.append(identified)
        else:
            content.waiting.append(identified)
    for refusal in refusals:
        # Another run may just have taken the file, or the last file of a folder.
        if not isinstance(refusal, FileNotFoundError):
            path = Path(str(refusal.filename))
            if path == landing:
                raise refusal
            content.problems.append(unreadable(path, landing, refusal.strerror))
    return content


def _walk(landing: Path, refusals: list[OSError]) -> Iterator[Path]:
    """Yield the files below the folder in name order; append to `refusals` what keeps us out.

    Dotfiles, unfinished uploads, markers, and what office programs put beside an open workbook
    (~$) are left out. A link to a folder counts as a file, so that it is reported, not followed.
    """
    for folder, folders, names in os.walk(landing, onerror=refusals.append, followlinks=False):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *links]):
            if not name.startswith((".", "~$")) and not name.lower().endswith((*UNFINISHED, DONE)):
                yield Path(folder, name)


def is_settled(path: Path, status: os.stat_result, seconds: float) -> bool:
    """Return whether the file is whole, as far as its times and its marker can tell.

    A modification time in the future is another clock's and tells no age: then the time counts at
    which this machine last saw the file change. A marker older than the file is that of an earlier
    file of the same name.
    """
    now = time.time()
    changed = status.st_mtime if status.st_mtime <= now else status.st_ctime
    if seconds <= 0 or now - changed >= seconds:
        return True
    try:
        return path.with_name(path.name + DONE).lstat().st_mtime_ns >= status.st_mtime_ns
    except OSError:
        # There is no marker, or the name is too long to have one.
        return False


def printable(path: Path, landing: Path) -> str:
    """Return the path below `landing` in printable characters, whatever its sender put into it."""
    return UNPRINTABLE.sub(_escape, path.relative_to(landing).as_posix())


def _escape(character: re.Match[str]) -> str:
    """Spell an unprintable character as Python would: `\\n`."""
    return character[0].encode("unicode_escape").decode()


def unreadable(path: Path, landing: Path, why: str | None) -> LandingProblem:
    """Report a file or folder that this user may not read."""
    return LandingProblem(
        printable(path, landing),
        f"it cannot be read: {why}",
        "let this user read it; it stays for the next run",
        "无法读取，下次运行时再取",
    )


def stray_return(path: Path, landing: Path) -> LandingProblem:
    """Report a feedback workbook of a delivery that was never received, or that is another's."""
    return LandingProblem(
        printable(path, landing),
        "it mends no delivery that the ledger knows by this name",
        "give it the name back that `citybrain feedback` gave it, or send the whole file",
        "反馈文件名与台账不符，请恢复原文件名后回传，或重新报送完整文件",
    )


def _identify(
    path: Path, status: os.stat_result, landing: Path, catalog: Catalog
) -> Landed | LandingProblem:
    """Read from a file's path whose delivery it is, or say why nobody's.

    A feedback workbook that came back says everything by its name, wherever it lies. For other
    files a contract's own file pattern comes before the usual place.
    """
    shown = printable(path, landing)
    if not stat.S_ISREG(status.st_mode):
        return LandingProblem(
            shown, "not a regular file", "send the file itself", "不是普通文件，请直接报送文件"
        )
    workbook = named(path.name)
    if workbook is not None:
        if workbook.suffix.lower() != ".xlsx":
            return LandingProblem(
                shown,
                f"a feedback workbook that comes back is .xlsx, and this is {workbook.suffix}",
                "save it as .xlsx under its own name",
                "回传的反馈文件须另存为 .xlsx 格式",
            )
        slot = (workbook.source, workbook.day, workbook.department, workbook.part)
        return _resolve(path, shown, catalog, FORMAT, *slot)
    file_format = format_of(path)
    if file_format is None:
        suffix = Path(shown).suffix
        return LandingProblem(
            shown,
            f"no format is called {suffix or 'nothing'}",
            f"send one of {SENDABLE}",
            f"不支持的文件类型“{suffix}”",
        )
    for source in catalog.sources.values():
        for pattern in source.file_patterns:
            if match := re.fullmatch(pattern, shown):
                groups = match.groupdict("")
                day = groups.get("business_date", BULK)
                if re.fullmatch(r"\d{8}", day):  # 20211001, as file names often have it.
                    day = f"{day[:4]}-{day[4:6]}-{day[6:]}"
                slot = (source.name, day, groups.get("department", ALL), groups.get("part", ""))
                return _resolve(path, shown, catalog, file_format, *slot)
    steps = shown.split("/")
    if len(steps) != 3:
        return LandingProblem(
            shown,
            "not at <business date>/<department>/<source>[.<part>].<ext>",
            "move it there, or use `citybrain submit`",
            "文件未按“业务日期/单位/数据源”存放",
        )
    day, department, name = steps
    source_name, dot, part = name[: -len(suffix_of(name))].partition(".")
    # `records..csv` has a part, and a bad one.
    return _resolve(path, shown, catalog, file_format, source_name, day, department, part or dot)


def _resolve(
    path: Path,
    shown: str,
    catalog: Catalog,
    file_format: str,
    source: str,
    day: str,
    department: str,
    part: str,
) -> Landed | LandingProblem:
    """Return the slot that the words of a path name, or a report of the first wrong word."""
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
    business_date, fault = None, ""
    if day != BULK or contract.partition.business_date is None:
        try:
            business_date = date.fromisoformat(day)
        except ValueError:
            fault = f"{day} is no date of the calendar"
        else:
            if business_date.year not in YEARS:
                fault = f"{day} is no day that this century's data speaks of"
            elif business_date.isoformat() != day:
                fault = f"{day} is not written as {business_date}"
    if fault:
        return LandingProblem(
            shown, fault, "name the folder after the day, as 2021-09-23", f"业务日期“{day}”无效"
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
    return Landed(path, source, code, business_date, part, file_format)
