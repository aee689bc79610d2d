"""The disks below the data folder: what they refuse, in words, and whether they are all there.

A folder that vanishes with its mount looks empty, and a run would find nothing and be content. So
it is noted which folders have disks of their own, and one that has lost its disk is not believed.
"""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipelines.errors import CitybrainError, StorageError, WarehouseBusyError
from pipelines.settings import Settings

MOUNTS = ".mounts.json"  # in the data folder: which of its folders have disks of their own
NO_ROOM = "no room to spill into"
FULL = ("No space left on device", "disk is full", "Disk quota exceeded", NO_ROOM)
READ_ONLY = (
    "Read-only file system",
    "readonly database",
    "Permission denied",
    "Operation not permitted",
)
DAMAGED = ("is malformed", "is not a database", "not a valid DuckDB database", "Corrupt")
GONE = (
    "Input/output error",
    "Stale file handle",
    "Transport endpoint",
    "No such device",
    "unable to open database file",
    "disk I/O error",
    "No such file or directory",
)
LOCKED = ("Could not set lock on file", "database is locked")
DUCKDB_MEMORY = (
    "Out of Memory Error",
    "failed to pin block",
    "failed to allocate",
    "could not allocate",
)
MEMORY = "out of memory"
AGAIN = (
    "then run again: what was not finished was not kept, and what waits in landing is still there"
)


def refused(error: BaseException) -> str | None:
    """What this machine, and no delivery, is to blame for in `error`; None when it is not.

    Databases tell of disks in words: those of the errors that they raise for a disk's sake are
    looked at, and no others, for another error's words may be a delivery's.
    """
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, CitybrainError):
        return None
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    origin = getattr(error, "orig", None) or error  # SQLAlchemy wraps what a database raises
    text = str(origin)
    said = " ".join(text.split()[:40])
    known = (*FULL, *READ_ONLY, *DAMAGED, *GONE, *LOCKED, *DUCKDB_MEMORY)
    told = next((words for words in known if words in text), None)
    if told in LOCKED:
        told = said  # it names who has it
    if "max_temp_directory_size" in text:  # what DuckDB calls a disk that is full
        told = NO_ROOM
    kinds = {f"{one.__module__.strip('_')}.{one.__name__}" for one in type(origin).__mro__}
    if kinds & {"duckdb.IOException", "duckdb.OutOfMemoryException"}:
        return told or said
    if kinds & {"duckdb.TransactionException", "duckdb.FatalException", "sqlite3.DatabaseError"}:
        return told
    if kinds & {"psycopg2.OperationalError", "psycopg2.InterfaceError"}:
        return said
    return None


def is_machines(error: OSError) -> bool:
    """Whether an error met in reading a file is this machine's, and not of what the file holds.

    Libraries raise OSError for damaged files, too: without a number, or for a place that a file
    names and does not have.
    """
    return error.errno is not None and error.errno != errno.EINVAL


@contextmanager
def disk(settings: Settings, doing: str) -> Iterator[None]:
    """Turn what the machine refuses into an error that says what to do about it."""
    try:
        yield
    except CitybrainError:
        raise
    except Exception as error:
        if refused(error) is None:
            raise
        raise explained(settings, doing, error) from error


@contextmanager
def at(place: Path) -> Iterator[None]:
    """Let errors that name no file, as those of a write to an open one, name `place`."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(place)
        raise


def is_full(error: OSError) -> bool:
    """Whether something smaller might still find room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def explained(
    settings: Settings, doing: str, error: BaseException, then: str = AGAIN
) -> CitybrainError:
    """What the machine refused while `doing` something, with the mend, and what follows."""
    reason = refused(error) or type(error).__name__
    where = _place(settings, error)
    if any(words in reason for words in LOCKED):
        return WarehouseBusyError(
            f"{doing}: another program has {where} open ({reason}); close it there, and let it "
            "read the published copy"
        )
    if reason == MEMORY or any(words in reason for words in DUCKDB_MEMORY):
        limit = f"CITYBRAIN_MEMORY_LIMIT is {settings.memory_limit}"
        return StorageError(f"{doing}: {MEMORY} ({limit}); {_memory_mend(reason)}, {then}")
    if isinstance(where, Path):
        return StorageError(f"{doing}: {where}: {reason} ({free(where)}); {_mend(reason)}, {then}")
    return StorageError(f"{doing}: {where}: {reason}; see whether it answers, {then}")


def _place(settings: Settings, error: BaseException) -> Path | str:
    """The place that an error names; else the store that raises such errors, the data folder."""
    if isinstance(error, OSError) and (error.filename2 or error.filename):
        return Path(str(error.filename2 or error.filename))
    origin = getattr(error, "orig", None) or error
    if type(origin).__module__.startswith(("sqlite3", "psycopg2")):
        kind, _, path = settings.operations_url.partition(":///")
        return Path(path) if kind.startswith("sqlite") and path else "the operational database"
    parts = str(origin).split('"')
    return Path(parts[1]) if len(parts) > 2 and parts[1].startswith("/") else settings.data_dir


def _mend(reason: str) -> str:
    def is_told(of: tuple[str, ...]) -> bool:
        return any(words in reason for words in of)

    if is_told(FULL):
        return "free some space (`citybrain clean` removes what is not needed)"
    if is_told(READ_ONLY):
        return "let this user write there"
    if is_told(DAMAGED):
        return "restore it from a backup"
    return "see whether its disk is still mounted and sound"


def _memory_mend(reason: str) -> str:
    if reason == MEMORY:
        return "run less at the same time, or lower CITYBRAIN_CHUNK_BYTES"
    return "raise it, or lower CITYBRAIN_CHUNK_BYTES"


def free(path: Path) -> str:
    """How much space is left where `path` is, or would be."""
    try:
        there = next((one for one in (path, *path.parents) if one.exists()), None)
        usage = shutil.disk_usage(there or "/")
    except OSError:
        return "its disk does not answer"
    return f"{usage.free / 1e6:,.0f} MB free of {usage.total / 1e6:,.0f}"


def vanished(settings: Settings) -> list[Path]:
    """Folders that had a disk of their own when a run last looked, and have none now."""
    mounted = _mounted(settings)
    return [one for one in _folders(settings) if one.name in mounted and not one.is_mount()]


def require(settings: Settings, *folders: Path) -> None:
    """StorageError when one of `folders` (those that can have disks of their own) has lost its."""
    gone = [one for one in vanished(settings) if one in folders]
    if gone:
        raise StorageError(
            f"{gone[0]} had a disk of its own and has none now: mount it again; if it was moved "
            f"here on purpose, delete {settings.data_dir / MOUNTS}"
        )


def require_all(settings: Settings) -> None:
    """Note which folders have disks of their own; StorageError when one has lost its disk."""
    require(settings, *_folders(settings))
    mounted = [one.name for one in _folders(settings) if one.is_mount()]
    if mounted and mounted != _mounted(settings):
        noted = settings.data_dir / MOUNTS
        unfinished = noted.with_suffix(".part")
        unfinished.write_text(json.dumps(mounted), encoding="utf-8")
        unfinished.replace(noted)


def _folders(settings: Settings) -> tuple[Path, ...]:
    return settings.landing, settings.archive, settings.published


def _mounted(settings: Settings) -> list[str]:
    with suppress(FileNotFoundError, ValueError):
        known: list[str] = json.loads((settings.data_dir / MOUNTS).read_text(encoding="utf-8"))
        return known
    return []
