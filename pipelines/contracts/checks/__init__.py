"""Hold the declared files against each other; each problem names file, key and mend."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog, files_of
from pipelines.contracts.checks.departments import check_departments
from pipelines.contracts.checks.metrics import check_metric
from pipelines.contracts.checks.sources import check_source
from pipelines.contracts.checks.suites import check_suite
from pipelines.contracts.checks.targets import check_target
from pipelines.errors import Problem


def cross_check(
    catalog: Catalog, metrics_file: str, targets_file: str, departments_file: str
) -> Iterator[Problem]:
    """Every problem of one file with another; the names are those of the files, for messages."""
    for source in catalog.sources.values():
        contract, business_rules = files_of(source.name)
        yield from check_source(source, catalog, contract)
        yield from check_suite(source, catalog.suites[source.name], business_rules)
    for metric in catalog.metrics.values():
        yield from check_metric(metric, catalog, metrics_file)
    for target in catalog.targets.values():
        yield from check_target(target, catalog, targets_file)
    yield from check_departments(catalog, departments_file)
