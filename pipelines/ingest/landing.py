"""The landing folder: what lies there, whose it is, and its bytes put into the archive.

Paths are untrusted: nothing is followed out of the folder, and a name that does not say a known
source, department and date is reported and left where it is. A file that is still being uploaded
waits: it is settled once it has been still for a while, or once its sender has put the marker
`<file name>.done` beside it.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.delivery import Delivery
from pipelines.contracts.models import Source
from pipelines.errors import UsageError
from pipelines.ingest.archive import archived, compressed
from pipelines.ingest.readers import EXTENSIONS, format_of
from pipelines.settings import Settings
from pipelines.storage import at

BULK = "bulk"  # stands where the business date would: the file's own column says it
ALL = "all"  # stands where the department would
TAKEN = ".taken"  # a recorded delivery on its way out
ASIDE = re.compile(r"(\.[0-9a-f]{8})?\.taken$")
LONGEST_NAME = 255  # bytes, of all common file systems
UNFINISHED = (".part", ".tmp", ".filepart", ".crdownload")
DONE = ".done"  # what a sender appends to a file's name to say that the file is whole
MARKERS_KEPT = 86_400  # seconds that a marker may wait for its file
YEARS = range(1949, 2101)
PART = re.compile(r"[\w-]{1,64}")
UNPRINTABLE = re.compile(r"[\\\x00-\x1f\x7f-\x9f\ud800-\udfff]")  # line breaks; bytes not UTF-8


class UnreadableFileError(Exception):
    """The landing folder's disk does not give a file's bytes; the message says why."""


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
        elif _is_settled(path, status, settle_seconds):
            seen.landed.append(found)
        else:
            seen.waiting.append(found)
    for refusal in closed:
        if isinstance(refusal, FileNotFoundError):  # another run has just taken it, or all in it
            continue
        place = Path(str(refusal.filename))
        if place == landing:
            raise refusal
        seen.problems.append(_unreadable(place, landing, refusal.strerror))
    return seen


def _is_settled(path: Path, status: os.stat_result, seconds: float) -> bool:
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
        return _marker(path).lstat().st_mtime_ns >= status.st_mtime_ns
    except OSError:  # none, or a name too long to have one
        return False


def _marker(path: Path) -> Path:
    return path.with_name(path.name + DONE)


def printable(path: Path, landing: Path) -> str:
    """The path below `landing` in printable characters, whatever its sender has put into it."""
    return UNPRINTABLE.sub(_escaped, path.relative_to(landing).as_posix())


def receive(
    landed: Landed, catalog: Catalog, archive: Path, settle_seconds: float = 0.0
) -> Delivery:
    """Put the file's bytes into the archive, by hash, and name the delivery.

    The receipt time is the file's modification time. Raises UsageError when the file is not
    settled (a new upload may have begun since `look`) or changes while it is copied, and
    FileNotFoundError when another run has taken it. What the file itself refuses is an
    UnreadableFileError, what the archive's disk does an OSError.
    """
    with _reading():
        before = landed.path.stat()
    if not _is_settled(landed.path, before, settle_seconds):
        raise UsageError(f"{landed.path} is still being uploaded; it is taken when it is whole")
    sha256 = _archive(landed.path, archive)
    with _reading():
        after = landed.path.stat()
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        raise UsageError(f"{landed.path} is still being written; it is taken by the next run")
    day = landed.business_date.isoformat() if landed.business_date else BULK
    identity = "|".join(
        (landed.source, landed.department or ALL, day, landed.part, landed.format, sha256)
    )
    return Delivery(
        delivery_id=hashlib.sha256(identity.encode()).hexdigest()[:16],
        source=landed.source,
        department=landed.department,
        business_date=landed.business_date,
        part=landed.part,
        path=landed.path,
        format=landed.format,
        size=before.st_size,
        sha256=sha256,
        received_at=_received(before),
        contract_hash=catalog.contract_hash(landed.source),
    )


@contextmanager
def _reading() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UnreadableFileError(error.strerror or type(error).__name__) from error


def unreadable(landed: Landed, landing: Path, error: UnreadableFileError) -> LandingProblem:
    """A file that the machine does not let us read, as people are told of it."""
    return _unreadable(landed.path, landing, str(error))


def _unreadable(path: Path, landing: Path, why: str | None) -> LandingProblem:
    return LandingProblem(
        printable(path, landing), f"it cannot be read: {why}",
        "let this user read it; it stays for the next run", "无法读取，下次运行时再取",
    )  # fmt: skip


def clear(delivery: Delivery, landing: Path) -> None:
    """Remove a recorded delivery's file from landing, unless other bytes have replaced it.

    Its marker goes first, lest it be taken for that of a file sent the next moment; folders below
    `landing` that are empty then go too.
    """
    taken = _taken(delivery.path)
    try:
        if delivery.path.stat().st_size != delivery.size:
            return
        # whatever lies there is moved aside first: what is sent from now on is not looked at
        delivery.path.rename(taken)
        if _digest(taken) == delivery.sha256:
            _remove(_marker(delivery.path))
            taken.unlink()
            _remove_empty(delivery.path.parent, landing)
        else:
            _put_back(taken, delivery.path)
    except FileNotFoundError:  # another run has cleared it
        return


def put_back(landing: Path) -> None:
    """Files that a killed run had moved aside to clear them, back in their places."""
    for folder, _, names in os.walk(landing, followlinks=False):
        for name in names:
            if name.startswith(".") and name.endswith(TAKEN):
                _put_back(Path(folder, name), Path(folder, ASIDE.sub("", name[1:])))


def _taken(path: Path) -> Path:
    # a name of its own, for what was put aside before may still wait for its place
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TAKEN}")
    return aside if len(aside.name.encode()) < LONGEST_NAME else path.with_name(path.name)


def _put_back(taken: Path, path: Path) -> None:
    """Rename a file to its place, unless something newer lies there: it waits for that to go."""
    with suppress(FileNotFoundError, FileExistsError):
        try:
            os.link(taken, path)  # never replaces anything
        except FileExistsError:
            raise
        except OSError:  # a disk without links
            if not path.exists():
                taken.rename(path)
            return
        taken.unlink()


def clear_markers(landing: Path) -> None:
    """Remove markers whose file is gone, once they are a day old, with folders then empty."""
    for folder, _, names in os.walk(landing, followlinks=False):
        present = set(names)
        for name in names:
            marker = Path(folder, name)
            is_left = name.lower().endswith(DONE) and name[: -len(DONE)] not in present
            if is_left and _is_old(marker):
                _remove(marker)
                _remove_empty(marker.parent, landing)


def _is_old(marker: Path) -> bool:
    try:
        return time.time() - marker.lstat().st_mtime > MARKERS_KEPT
    except FileNotFoundError:  # another run has removed it
        return False


def _remove(marker: Path) -> None:
    with suppress(OSError):  # there is none, or the name is too long to have one
        marker.unlink()


def _remove_empty(folder: Path, landing: Path) -> None:
    """Remove the folder and those above it, as far as they are empty and below `landing`."""
    while folder != landing and folder.is_relative_to(landing):
        try:
            folder.rmdir()
        except OSError:  # somebody else's file lies there
            return
        folder = folder.parent


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _received(stat: os.stat_result) -> datetime:
    """When the file arrived, in UTC: its modification time, and never later than now."""
    moment = min(stat.st_mtime_ns, time.time_ns())
    return datetime(1970, 1, 1) + timedelta(microseconds=moment // 1000)


def submit(
    file: Path,
    settings: Settings,
    catalog: Catalog,
    source: str,
    department: str | None,
    business_date: date | None,
    part: str = "",
    replace: bool = False,
) -> Path:
    """Copy `file` to its place in landing, received now; returns the place.

    A department or business date of None is left to the file's own columns. Raises UsageError
    naming the argument that makes no sense, or the file that waits there and may not be replaced.
    """
    _check_arguments(file, catalog, source, department, business_date, part)
    day = business_date.isoformat() if business_date else BULK
    folder = settings.landing / day / (department or ALL)
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{source}.{part}" if part else source
    place = folder / f"{stem}{file.suffix.lower()}"
    if place.exists() and not replace:
        raise UsageError(f"{place} waits to be taken in: run first, or say --replace")
    handle, unfinished = tempfile.mkstemp(dir=folder, suffix=".part")
    try:
        with at(folder), os.fdopen(handle, "wb") as target, file.open("rb") as origin:
            shutil.copyfileobj(origin, target, 1 << 20)
        Path(unfinished).chmod(0o640)
        Path(unfinished).replace(place)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return place


def _check_arguments(
    file: Path,
    catalog: Catalog,
    source: str,
    department: str | None,
    business_date: date | None,
    part: str,
) -> None:
    contract = catalog.sources.get(source)
    if contract is None:
        raise UsageError(f"no source is called {source}; there are {', '.join(catalog.sources)}")
    if department is None and contract.partition.department is None:
        raise UsageError(f"say --department: {source} has no column that names it")
    if department is not None and department not in catalog.departments:
        raise UsageError(f"no department is called {department}; see departments.csv for codes")
    if business_date is None and contract.partition.business_date is None:
        raise UsageError(f"say --date: {source} has no column that names the day")
    if part and not PART.fullmatch(part):
        raise UsageError(f"part {part!r} may hold letters, digits, - and _ only")
    if not file.is_file():
        raise UsageError(f"{file} is no file")
    if format_of(file) is None:
        raise UsageError(f"{file.name} is of no known format; send {', '.join(EXTENSIONS)}")


def _files(landing: Path, closed: list[OSError]) -> Iterator[Path]:
    """Files below the folder in name order; dotfiles, unfinished uploads, markers are not ours.

    A link to a folder counts as a file, so that it is told of and not followed. What keeps us out
    of a folder is appended to `closed`.
    """
    for folder, folders, names in os.walk(landing, onerror=closed.append, followlinks=False):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted([*names, *links]):
            if not name.startswith(".") and not name.lower().endswith((*UNFINISHED, DONE)):
                yield Path(folder, name)


def _identify(
    path: Path, status: os.stat_result, landing: Path, catalog: Catalog
) -> Landed | LandingProblem:
    shown = printable(path, landing)
    suffix = Path(shown).suffix
    if not stat.S_ISREG(status.st_mode):
        return LandingProblem(
            shown, "not a regular file", "send the file itself", "不是普通文件，请直接报送文件"
        )
    kind = format_of(path)
    if kind is None:
        return LandingProblem(
            shown, f"no format is called {suffix or 'nothing'}",
            f"send one of {', '.join(EXTENSIONS)}", f"不支持的文件类型“{suffix}”",
        )  # fmt: skip
    matched = _match_patterns(shown, catalog)
    if matched is not None:
        source, day, department, part = matched
    else:
        steps = shown.split("/")
        if len(steps) != 3:
            return LandingProblem(
                shown, "not at <business date>/<department>/<source>[.<part>].<ext>",
                "move it there, or use `citybrain submit`", "文件未按“业务日期/单位/数据源”存放",
            )  # fmt: skip
        day, department, name = steps
        source, dot, part = name[: -len(suffix)].partition(".")
        part = part or dot  # `records..csv` has a part, and a bad one
    return _resolve(path, shown, catalog, source, day, department, part, kind)


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
            shown, f"no source is called {source}",
            f"name the file after one of {', '.join(catalog.sources)}", f"未知数据源“{source}”",
        )  # fmt: skip
    if part and not PART.fullmatch(part):
        return LandingProblem(
            shown, f"part {part!r} holds other than letters, digits, - and _",
            "rename the file", f"分包名“{part}”含有不允许的字符",
        )  # fmt: skip
    business_date = _day(day, contract)
    if isinstance(business_date, str):
        return LandingProblem(
            shown, business_date, "name the folder after the day, as 2021-09-23",
            f"业务日期“{day}”无效",
        )  # fmt: skip
    if department == ALL and contract.partition.department is not None:
        code = None
    elif department in catalog.departments:
        code = department
    else:
        return LandingProblem(
            shown, f"no department is called {department}",
            "correct the folder's name, or add the department to departments.csv",
            f"未登记的单位“{department}”",
        )  # fmt: skip
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


def _archive(path: Path, archive: Path) -> str:
    archive.mkdir(parents=True, exist_ok=True, mode=0o700)
    digest = hashlib.sha256()
    handle, unfinished = tempfile.mkstemp(dir=archive, prefix=".")  # mode 0600
    try:
        with at(archive), os.fdopen(handle, "wb") as copy:
            for block in _blocks(path):
                digest.update(block)
                copy.write(block)
        place = archived(archive, digest.hexdigest())
        if not place.exists() and not compressed(place).exists():
            place.parent.mkdir(exist_ok=True, mode=0o700)
            Path(unfinished).replace(place)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return digest.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with _reading(), path.open("rb") as origin:
        while block := origin.read(1 << 20):
            yield block
