"""The disks below the data folder: how much room they have, and whether they are all mounted.

A folder that loses its mount looks empty: a run would find nothing in landing and be content. So a
run notes which folders have disks of their own, and the next one refuses to go on if a folder that
had a disk has none. What a disk's errors mean is in `failures`.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from pathlib import Path

from pipelines.errors import StorageError
from pipelines.settings import Settings

MOUNTS = ".mounts.json"  # in the data folder: the names of its folders that have their own disks


def describe_free_space(path: Path) -> str:
    """Describe the room left on the disk of `path`, which need not exist yet."""
    try:
        existing = next((place for place in (path, *path.parents) if place.exists()), Path("/"))
        usage = shutil.disk_usage(existing)
    except OSError:
        return "its disk does not answer"
    return f"{usage.free / 1e6:,.0f} MB free of {usage.total / 1e6:,.0f}"


def lost_disks(settings: Settings) -> list[Path]:
    """Return the folders that had disks of their own when a run last looked, and have none now."""
    noted = _noted(settings)
    return [place for place in _folders(settings) if place.name in noted and not place.is_mount()]


def require_disks(settings: Settings, *folders: Path) -> None:
    """Raise StorageError if one of `folders` has lost its disk."""
    lost = [place for place in lost_disks(settings) if place in folders]
    if lost:
        raise StorageError(
            f"{lost[0]} had a disk of its own and has none now: mount it again; if it was moved "
            f"here on purpose, delete {settings.data_dir / MOUNTS}"
        )


def require_all_disks(settings: Settings) -> None:
    """Raise StorageError if any folder has lost its disk; else note which folders have one now."""
    require_disks(settings, *_folders(settings))
    mounted = [place.name for place in _folders(settings) if place.is_mount()]
    if mounted and mounted != _noted(settings):
        note = settings.data_dir / MOUNTS
        unfinished = note.with_suffix(".part")
        unfinished.write_text(json.dumps(mounted), encoding="utf-8")
        unfinished.replace(note)


def _folders(settings: Settings) -> tuple[Path, ...]:
    return settings.landing, settings.archive, settings.published


def _noted(settings: Settings) -> list[str]:
    """Return the names of folders noted to have disks of their own; a broken note says none."""
    with suppress(FileNotFoundError, ValueError):
        names: list[str] = json.loads((settings.data_dir / MOUNTS).read_text(encoding="utf-8"))
        return names
    return []
