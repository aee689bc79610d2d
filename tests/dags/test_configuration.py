"""Check what still runs when a part of the configuration is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from dags.configuration import sound_catalog, sound_sources
from pipelines.errors import ConfigurationError
from pipelines.settings import PROJECT


def test_a_broken_contract_takes_its_metrics_and_targets_and_nothing_else(
    broken_config: Path,
) -> None:
    whole, rest = sound_catalog(None), sound_catalog(broken_config)
    assert set(whole.sources) - set(rest.sources) == {"video_channels"}
    assert {source.name for source in sound_sources(broken_config)} == set(rest.sources)
    gone = {name for name, metric in whole.metrics.items() if metric.source == "video_channels"}
    assert gone
    assert set(whole.metrics) - set(rest.metrics) == gone
    lost = {name for name, target in whole.targets.items() if target.metric in gone}
    assert lost
    assert set(whole.targets) - set(rest.targets) == lost
    assert rest.configuration_hash != whole.configuration_hash


def test_a_broken_or_missing_contract_is_named(broken_config: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"video_channels.yaml: max_quarantin: nobody"):
        sound_catalog(broken_config, "video_channels")
    with pytest.raises(ConfigurationError, match=r"no_such.yaml: -: the contract is not there"):
        sound_catalog(broken_config, "no_such")


def test_a_broken_suite_takes_its_source(tmp_path: Path) -> None:
    for path in (PROJECT / "pipelines" / "contracts").iterdir():
        (tmp_path / path.name).symlink_to(path)
    suites = tmp_path / "expectations"
    shutil.copytree(PROJECT / "expectations", suites)
    (suites / "app_visits.json").write_text('{"name": "app_visits", "expectations": [{}]}')
    assert "app_visits" not in sound_catalog(tmp_path).sources
    with pytest.raises(ConfigurationError, match=r"expectations/app_visits.json: "):
        sound_catalog(tmp_path, "app_visits")


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("departments.csv", "code,name,successor\ngaj,公安局,nobody\n", r"departments.csv: gaj"),
        ("targets.yaml", "- {name: [", r"targets.yaml: -: not valid YAML"),
        ("metrics.yaml", "name: x\n", r"metrics.yaml: -: the file must be a list"),
    ],
)
def test_a_broken_shared_file_stops_every_source(
    tmp_path: Path, broken_config: Path, file: str, text: str, message: str
) -> None:
    for path in broken_config.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError, match=message):
        sound_catalog(tmp_path)
