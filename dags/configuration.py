"""Select the parts of a configuration that may run when other parts are broken.

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

# Who owes what, and when: without them no figure is right.
SHARED = ("departments.csv", "holidays.csv")


def sound_sources(config_dir: Path | None) -> tuple[Source, ...]:
    """Return the contracts without a problem in their own files."""
    catalog, problems = read_catalog(config_dir)
    return tuple(_sound(catalog.sources.values(), problems))


def sound_deployment(source: str | None = None) -> Deployment:
    """Return this process's deployment without the broken parts of its configuration."""
    settings = Settings()
    return Deployment(settings, sound_catalog(settings.config_dir, source))


def sound_catalog(config_dir: Path | None, source: str | None = None) -> Catalog:
    """Return the configuration without its broken parts.

    Raises ConfigurationError if a file that all sources share is broken, or `source`, if given.
    """
    catalog, problems = read_catalog(config_dir)
    fatal = [problem for problem in problems if problem.file in SHARED or _is_whole_file(problem)]
    sources = {sound.name: sound for sound in _sound(catalog.sources.values(), problems)}
    if source is not None and source not in sources:
        missing = Problem(files_of(source)[0], "-", "the contract is not there", "restore it")
        fatal += [problem for problem in problems if problem.file in files_of(source)] or [missing]
    if fatal:
        raise ConfigurationError(fatal)
    broken = {(problem.file, problem.key.partition(".")[0]) for problem in problems}
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
    """Tell whether the problem takes away all metrics or all targets, and not a single entry."""
    return problem.file in ("metrics.yaml", "targets.yaml") and problem.key == "-"
