"""Check targets against their metrics and departments."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks.fault import Fault
from pipelines.contracts.metrics import Kind, Metric
from pipelines.contracts.targets import Target


def check_target(target: Target, catalog: Catalog) -> Iterator[Fault]:
    """Check a target as it stands at its start and after each revision."""
    metric = catalog.metrics.get(target.metric)
    if metric is None:
        yield Fault(
            f"{target.name}.metric",
            f"{target.metric} is no sound metric",
            f"use one of {', '.join(catalog.metrics)}",
        )
        return
    for as_of in [target.start, *(revision.effective for revision in target.revisions)]:
        number, revised = target.revised(as_of)
        key = f"{target.name}.revisions[{number - 1}]" if number else target.name
        if revised.end < revised.start:
            yield Fault(f"{key}.end", f"{revised.end} is before the start", "correct it")
        yield from _check_departments(revised, catalog, key)
        yield from _check_goals(revised, metric, key)
    if any(aggregate.aggregate == "count_distinct" for aggregate in metric.aggregates):
        yield Fault(
            f"{target.name}.metric",
            f"{metric.name} counts distinct values, which never add up over departments",
            "track a count or a sum",
        )


def _check_departments(target: Target, catalog: Catalog, key: str) -> Iterator[Fault]:
    """Check that every department that the target names exists when it starts."""
    for name in ("departments", "department_goals"):
        for code in getattr(target, name):
            if code not in catalog.departments:
                yield Fault(f"{key}.{name}", f"{code} is no department", "correct it")
                continue
            ended = catalog.departments[code].valid_to
            if ended is not None and ended < target.start:
                yield Fault(
                    f"{key}.{name}",
                    f"{code} ended on {ended}, before the target starts",
                    "name who took over",
                )


def _check_goals(target: Target, metric: Metric, key: str) -> Iterator[Fault]:
    """Check that the goals of departments sum to the city's where the metric adds up."""
    if target.scope == "city":
        if target.department_goals or target.department_goal is not None or target.unallocated:
            yield Fault(key, "a city target has no goals of departments", "remove them")
        return
    if metric.kind is Kind.RATIO or target.curve == "level":
        if target.department_goal is None or target.department_goals:
            yield Fault(
                f"{key}.department_goals",
                "a ratio or a level never sums over departments",
                "give one `department_goal` that serves all",
            )
        return
    if target.department_goal is not None:
        yield Fault(f"{key}.department_goal", "this target sums", "use `department_goals`")
    total = sum(target.department_goals.values()) + target.unallocated
    if abs(total - target.goal) > 1e-6 * max(1.0, abs(target.goal)):
        yield Fault(
            f"{key}.department_goals",
            f"they and `unallocated` sum to {total:,.0f}, and the goal is {target.goal:,.0f}",
            f"say `unallocated: {target.goal - total + target.unallocated:.0f}` or correct the "
            "goals",
        )
