"""A landing folder of its own for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipelines.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def folder(settings: Settings) -> Path:
    settings.landing.mkdir(parents=True)
    return settings.landing
