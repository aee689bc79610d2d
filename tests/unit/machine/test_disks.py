"""Check which folders have disks of their own, noted and missed; and the room that is left."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from integration.disks import Disk, disk

from pipelines.errors import StorageError
from pipelines.machine import disks
from pipelines.settings import Settings

__all__ = ["disk"]
pytestmark = pytest.mark.xdist_group("disks")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    data = tmp_path / "data"
    data.mkdir()
    return Settings(data_dir=data)


def test_disks_are_noted_and_missed(
    settings: Settings, disk: Callable[..., Disk], capsys: pytest.CaptureFixture[str]
) -> None:
    disks.require_all_disks(settings)
    assert not (settings.data_dir / disks.MOUNTS).exists(), "none has a disk of its own"
    archive = disk(settings.archive, "1m")
    disks.require_all_disks(settings)
    archive.pull_out()
    assert disks.lost_disks(settings) == [settings.archive]
    with pytest.raises(StorageError, match=r"archive had a disk of its own .* mount it again"):
        disks.require_all_disks(settings)
    disks.require_disks(settings, settings.published)  # whose disk that is not
    archive.plug_in()
    disks.require_all_disks(settings)
    archive.pull_out()
    (settings.data_dir / disks.MOUNTS).unlink()  # as the message says: it was moved on purpose
    disks.require_all_disks(settings)


def test_a_note_that_was_cut_short_is_made_anew(
    settings: Settings, disk: Callable[..., Disk]
) -> None:
    disk(settings.landing, "1m")
    (settings.data_dir / disks.MOUNTS).write_text('["land')
    disks.require_all_disks(settings)
    assert (settings.data_dir / disks.MOUNTS).read_text() == '["landing"]'


def test_free_space_is_reported_for_folders_that_do_not_exist_yet(tmp_path: Path) -> None:
    assert "MB free of" in disks.describe_free_space(tmp_path / "not" / "yet")
