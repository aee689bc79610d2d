"""Hold the declarations against each other; every problem names file, key and mend."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from pipelines.contracts.catalog import (
    DEPARTMENTS_FILE,
    METRICS_FILE,
    TARGETS_FILE,
    Catalog,
    files_of,
)
from pipelines.contracts.checks.departments import check_departments
from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.checks.metrics import check_metric
from pipelines.contracts.checks.sources import check_source
from pipelines.contracts.checks.suites import check_suite
from pipelines.contracts.checks.targets import check_target
from pipelines.errors import Problem


def cross_check(catalog: Catalog, tables: Collection[str]) -> Iterator[Problem]:
    """Yield every mistake that shows only when declarations are held against each other.

    `tables` are the warehouse's own tables and views, whose names no source may have.
    """
    for file, fault in _faults(catalog, tables):
        yield Problem(file, *fault)


def _faults(catalog: Catalog, tables: Collection[str]) -> Iterator[tuple[str, Fault]]:
    for source in catalog.sources.values():
        contract, suite = files_of(source.name)
        for fault in check_source(source, catalog, tables):
            yield contract, fault
        for fault in check_suite(source, catalog.suites[source.name]):
            yield suite, fault
    for metric in catalog.metrics.values():
        for fault in check_metric(metric, catalog):
            yield METRICS_FILE, fault
    for target in catalog.targets.values():
        for fault in check_target(target, catalog):
            yield TARGETS_FILE, fault
    for fault in check_departments(catalog):
        yield DEPARTMENTS_FILE, fault
