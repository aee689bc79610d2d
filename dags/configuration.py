"""What of the configuration may run when a part of it is broken.

A broken contract takes away its own source, its metrics and their targets, and nothing else;
`contracts_check.py` shows it as an import error. Files that every source shares fail closed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path

from pipelines.contracts.catalog import Catalog, files_of
from pipelines.contracts.loading import read_catalog
from pipelines.contracts.sources import Source
from pipelines.deployment import Deployment
from pipelines.errors import ConfigurationError, Problem
from pipelines.settings import Settings

SHARED = ("departments.csv", "holidays.csv")  # who owes what and when: no figure is right without


def sound_sources(config_dir: Path | None) -> tuple[Source, ...]:
    """The contracts with no problem of their own."""
    catalog, problems = read_catalog(config_dir)
    return tuple(_sound(catalog.sources.values(), problems))


def sound_deployment(source: str | None = None) -> Deployment:
    """Return this process's deployment without the broken parts of its configuration."""
    settings = Settings()
    return Deployment(settings, sound_catalog(settings.config_dir, source))


def sound_catalog(config_dir: Path | None, source: str | None = None) -> Catalog:
    """The configuration without its broken parts; `source` is one that must not be among them.

    Raises ConfigurationError when that source, or what all share, is broken.
    """
    catalog, problems = read_catalog(config_dir)
    fatal = [one for one in problems if one.file in SHARED or _is_whole_file(one)]
    sources = {one.name: one for one in _sound(catalog.sources.values(), problems)}
    if source is not None and source not in sources:
        own = [one for one in problems if one.file in files_of(source)]
        gone = Problem(files_of(source)[0], "-", "the contract is not there", "restore it")
        fatal += own or [gone]
    if fatal:
        raise ConfigurationError(fatal)
    broken = {(one.file, one.key.partition(".")[0]) for one in problems}
    metrics = {
        name: metric
        for name, metric in catalog.metrics.items()
        if ("metrics.yaml", name) not in broken and metric.source in sources
    }
    targets = {
        name: target
        for name, target in catalog.targets.items()
        if ("targets.yaml", name) not in broken and target.metric in metrics
    }
    suites = {name: catalog.suites[name] for name in sources}
    return replace(catalog, sources=sources, metrics=metrics, targets=targets, suites=suites)


def _sound(sources: Iterable[Source], problems: Collection[Problem]) -> Iterable[Source]:
    files = {problem.file for problem in problems}
    return (source for source in sources if files.isdisjoint(files_of(source.name)))


def _is_whole_file(problem: Problem) -> bool:
    """Whether all metrics or all targets are missing, and not one of them."""
    return problem.file in ("metrics.yaml", "targets.yaml") and problem.key == "-"
