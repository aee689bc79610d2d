"""Check targets against their metrics and departments."""

from __future__ import annotations

from collections.abc import Iterator

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.metrics import Kind, Metric
from pipelines.contracts.targets import Target
from pipelines.errors import Problem


def check_target(target: Target, catalog: Catalog, file: str) -> Iterator[Problem]:
    """Check a target as it stands at its start and after each revision."""
    metric = catalog.metrics.get(target.metric)
    if metric is None:
        yield Problem(
            file,
            f"{target.name}.metric",
            f"{target.metric} is no sound metric",
            f"use one of {', '.join(catalog.metrics)}",
        )
        return
    for as_of in [target.start, *(revision.effective for revision in target.revisions)]:
        number, revised = target.revised(as_of)
        key = f"{target.name}.revisions[{number - 1}]" if number else target.name
        yield from _check_goals(revised, metric, catalog, file, key)
    distinct = any(aggregate.aggregate == "count_distinct" for aggregate in metric.aggregates)
    if distinct:
        yield Problem(
            file,
            f"{target.name}.metric",
            f"{metric.name} counts distinct values, which never add up over departments",
            "track a count or a sum",
        )


def _check_goals(
    target: Target, metric: Metric, catalog: Catalog, file: str, key: str
) -> Iterator[Problem]:
    if target.end < target.start:
        yield Problem(file, f"{key}.end", f"{target.end} is before the start", "correct it")
    for name in ("departments", "department_goals"):
        for code in getattr(target, name):
            if code not in catalog.departments:
                yield Problem(file, f"{key}.{name}", f"{code} is no department", "correct it")
                continue
            ended = catalog.departments[code].valid_to
            if ended is not None and ended < target.start:
                yield Problem(
                    file,
                    f"{key}.{name}",
                    f"{code} ended on {ended}, before the target starts",
                    "name who took over",
                )
    sums = metric.kind is not Kind.RATIO and target.curve != "level"
    if target.scope == "city":
        if target.department_goals or target.department_goal is not None or target.unallocated:
            yield Problem(file, key, "a city target has no goals of departments", "remove them")
        return
    if not sums:
        if target.department_goal is None or target.department_goals:
            yield Problem(
                file,
                f"{key}.department_goals",
                "a ratio or a level never sums over departments",
                "give one `department_goal` that serves all",
            )
        return
    if target.department_goal is not None:
        yield Problem(file, f"{key}.department_goal", "this target sums", "use `department_goals`")
    total = sum(target.department_goals.values()) + target.unallocated
    if abs(total - target.goal) > 1e-6 * max(1.0, abs(target.goal)):
        yield Problem(
            file,
            f"{key}.department_goals",
            f"they and `unallocated` sum to {total:,.0f}, and the goal is {target.goal:,.0f}",
            f"say `unallocated: "
            f"{target.goal - total + target.unallocated:.0f}` or correct the goals",
        )
