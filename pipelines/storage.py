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
FULL = ("No space left on device", "disk is full", "Disk quota exceeded")
READ_ONLY = ("Read-only file system", "readonly database", "Permission denied")
GONE = (
    "Input/output error", "Stale file handle", "Transport endpoint", "No such device",
    "unable to open database file", "disk I/O error",
)  # fmt: skip
LOCKED = "Could not set lock on file"
MEMORY = ("Out of Memory Error", "failed to allocate data", "could not allocate block")


def refused(error: BaseException) -> str | None:
    """What this machine, and no delivery, is to blame for in `error`; None when it is not.

    Databases tell of disks by their text only.
    """
    if isinstance(error, MemoryError):
        return "out of memory"
    if isinstance(error, CitybrainError):
        return None
    text = str(error)
    told = next(
        (said for said in (*FULL, *READ_ONLY, *GONE, LOCKED, *MEMORY) if said in text), None
    )
    if isinstance(error, OSError):
        return told or error.strerror or type(error).__name__
    return told


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


def explained(settings: Settings, doing: str, error: BaseException) -> CitybrainError:
    """What the machine refused while `doing` something, with the mend."""
    reason = refused(error)
    if reason == LOCKED:
        return WarehouseBusyError(
            f"{doing}: another program has the warehouse's file open ({_shortened(error)}); "
            "close it there, and let it read the published copy"
        )
    where = _place(error) or settings.data_dir
    return StorageError(
        f"{doing}: {where}: {reason} ({free(where)}); {_mend(reason)}, then run again: what was "
        "not finished was not kept, and what waits in landing is still there"
    )


def _shortened(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]


def _place(error: BaseException) -> Path | None:
    """The path that an error names, if it does."""
    if isinstance(error, OSError) and error.filename:
        return Path(str(error.filename))
    parts = str(error).split('"')
    return Path(parts[1]) if len(parts) > 2 and parts[1].startswith("/") else None


def _mend(reason: str | None) -> str:
    if reason in FULL or reason == _said(errno.ENOSPC):
        return "free some space (`citybrain clean` removes what is not needed)"
    if reason in READ_ONLY:
        return "let this user write there"
    if reason in MEMORY or reason == "out of memory":
        return "lower CITYBRAIN_MEMORY_LIMIT, or run less at the same time"
    return "see whether its disk is still mounted"


def _said(number: int) -> str:
    return OSError(number, "").strerror or ""


def free(path: Path) -> str:
    """How much space is left where `path` is, or would be."""
    there = next((one for one in (path, *path.parents) if one.exists()), None)
    try:
        usage = shutil.disk_usage(there or "/")
    except OSError:
        return "its disk does not answer"
    return f"{usage.free / 1e6:,.0f} MB free of {usage.total / 1e6:,.0f}"


def vanished(settings: Settings) -> list[Path]:
    """Folders that had a disk of their own when a run last looked, and have none now."""
    mounted = _mounted(settings)
    return [one for one in _folders(settings) if one.name in mounted and not one.is_mount()]


def require_all(settings: Settings) -> None:
    """Note which folders have disks of their own; StorageError when one has lost its disk."""
    gone = vanished(settings)
    if gone:
        raise StorageError(
            f"{gone[0]} had a disk of its own and has none now: mount it again; if it was moved "
            f"here on purpose, delete {settings.data_dir / MOUNTS}"
        )
    mounted = [one.name for one in _folders(settings) if one.is_mount()]
    if mounted and mounted != _mounted(settings):
        (settings.data_dir / MOUNTS).write_text(json.dumps(mounted), encoding="utf-8")


def _folders(settings: Settings) -> tuple[Path, ...]:
    return settings.landing, settings.archive, settings.published


def _mounted(settings: Settings) -> list[str]:
    with suppress(FileNotFoundError, ValueError):
        known: list[str] = json.loads((settings.data_dir / MOUNTS).read_text(encoding="utf-8"))
        return known
    return []
