"""The job, the removal and the walk over files that the parts of a cleaning share."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipelines.machine import logs
from pipelines.settings import Settings

log = logs.get(__name__)


@dataclass(frozen=True)
class Removal:
    """One file, folder or set of rows that goes or has gone, with the bytes that this frees.

    What lies in the data folder is named by its path below it.
    """

    kind: str
    what: str
    why: str
    bytes: int


@dataclass(frozen=True)
class Cleaning:
    """One cleaning's limits and orders; `now` is UTC. A dry run does everything but remove."""

    settings: Settings
    now: datetime
    dry_run: bool = False
    purge_before: datetime | None = None
    reason: str = ""
    log_folders: tuple[Path, ...] = ()
    gone: set[Path] = field(default_factory=set)  # files removed, or counted so by a dry run

    def seconds_ago(self, **ago: float) -> float:
        """Return the moment that long before `now` as files' times are: seconds since 1970."""
        return (self.now - timedelta(**ago)).replace(tzinfo=UTC).timestamp()

    def name(self, path: Path) -> str:
        """Return a path as people read it: below the data folder, if it lies there."""
        is_inside = path.is_relative_to(self.settings.data_dir)
        return str(path.relative_to(self.settings.data_dir) if is_inside else path)

    def unlink(self, path: Path) -> None:
        """Remove a file, or only count it as removed in a dry run."""
        self.gone.add(path)
        if not self.dry_run:
            path.unlink(missing_ok=True)

    def may_clean(self, folder: Path) -> bool:
        """Tell whether a folder of the data folder exists and no link leads to it.

        A link may lead anywhere, and nothing outside the data folder is ours to remove.
        """
        parts = folder.relative_to(self.settings.data_dir).parts
        steps = [self.settings.data_dir.joinpath(*parts[: end + 1]) for end in range(len(parts))]
        linked = [step for step in steps if step.is_symlink()]
        if linked:
            log.warning(
                "a link is not followed: nothing there is cleared away", link=str(linked[0])
            )
        return not linked and folder.is_dir()


def regular_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the regular files below a folder with their status; no links, nothing that vanishes."""
    for inside, _, names in os.walk(folder, followlinks=False):
        for name in sorted(names):
            path = Path(inside, name)
            with suppress(FileNotFoundError):
                status = path.lstat()
                if stat.S_ISREG(status.st_mode):
                    yield path, status
