"""Disks that tests may fill, lose and write-protect: file systems in memory, one a folder."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

DAC_OVERRIDE, DAC_READ_SEARCH = 1, 2  # capabilities(7): what lets root read everything


class Disk:
    """A file system of `size` at `place`; what is on it outlives being unmounted there."""

    def __init__(self, place: Path, size: str, behind: Path) -> None:
        self.place, self.behind = place, behind
        self._ballast = behind / ".ballast"
        place.mkdir(parents=True, exist_ok=True)
        behind.mkdir()
        mounted("-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", str(behind))
        self.plug_in()

    def plug_in(self) -> None:
        mounted("--bind", str(self.behind), str(self.place))

    def pull_out(self) -> None:
        """Unmount the disk, as after a reboot that did not mount it: an empty folder remains."""
        subprocess.run(["umount", str(self.place)], check=True, capture_output=True)

    def fill(self, leave: int = 0) -> None:
        statistics = os.statvfs(self.behind)
        room = statistics.f_bavail * statistics.f_frsize - leave
        with self._ballast.open("ab") as file:
            os.posix_fallocate(file.fileno(), file.tell(), room)

    def clean(self) -> None:
        self._ballast.unlink()

    def protect(self) -> None:
        mounted("-o", "remount,ro", str(self.behind))

    def unprotect(self) -> None:
        mounted("-o", "remount,rw", str(self.behind))

    def throw_away(self) -> None:
        for place in (self.place, self.behind):
            for how in ([], ["-l"]):  # lazily, when somebody still has a file open
                if place.is_mount():
                    subprocess.run(["umount", *how, str(place)], check=False, capture_output=True)


def mounted(*arguments: str) -> None:
    done = subprocess.run(["mount", *arguments], check=False, capture_output=True, text=True)
    if done.returncode:
        raise OSError(done.stderr.strip())


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Disk]]:
    """Yield a function that makes disks: `disk(place, size)`."""
    made: list[Disk] = []
    behind = tmp_path_factory.mktemp("disks")

    def make(place: Path, size: str = "64m") -> Disk:
        try:
            made.append(Disk(place, size, behind / str(len(made))))
        except (OSError, FileNotFoundError) as error:
            pytest.skip(f"NOT TESTED, DISKS CANNOT BE MADE HERE (root may mount tmpfs): {error}")
        return made[-1]

    yield make
    for mounted in reversed(made):
        mounted.throw_away()


class _Header(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


@contextmanager
def as_anybody() -> Iterator[None]:
    """Drop root's right to read what a file's mode forbids, as for any other user."""
    if os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header, held = _Header(0x20080522, 0), (ctypes.c_uint32 * 6)()
    assert libc.capget(ctypes.byref(header), held) == 0
    less = (ctypes.c_uint32 * 6)(*held)
    less[0] &= ~(1 << DAC_OVERRIDE | 1 << DAC_READ_SEARCH)
    assert libc.capset(ctypes.byref(header), less) == 0
    try:
        yield
    finally:
        assert libc.capset(ctypes.byref(header), held) == 0
