"""The whole configuration as one frozen object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from pipelines.contracts.departments import Department
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.contracts.targets import Target

METRICS_FILE = "metrics.yaml"
TARGETS_FILE = "targets.yaml"
DEPARTMENTS_FILE = "departments.csv"
HOLIDAYS_FILE = "holidays.csv"


def files_of(source: str) -> tuple[str, str]:
    """Return the paths of a source's contract and suite within a configuration folder."""
    return f"sources/{source}.yaml", f"expectations/{source}.json"


@dataclass(frozen=True)
class Catalog:
    """All declarations by their names; `holidays` maps a day to whether it is worked."""

    sources: Mapping[str, Source]
    metrics: Mapping[str, Metric]
    targets: Mapping[str, Target]
    departments: Mapping[str, Department]
    suites: Mapping[str, Suite]
    holidays: Mapping[date, bool] = field(default_factory=dict)

    def metrics_of(self, source: str) -> tuple[Metric, ...]:
        """Return the metrics computed from `source`."""
        return tuple(metric for metric in self.metrics.values() if metric.source == source)

    def due_departments(self, source: Source) -> tuple[str, ...]:
        """Return the codes of departments that owe `source`, still valid or not."""
        if source.due is None:
            return ()
        if source.due.departments == "all":
            return tuple(self.departments)
        return source.due.departments

    @cached_property
    def contract_hashes(self) -> Mapping[str, str]:
        """Map each source to a hash of everything that decides how its deliveries are judged.

        That is its contract, its suite and, if its rows are placed by the names of departments,
        the departments.
        """
        departments = self.configuration["departments:all"]
        return {
            name: _hash(
                [self.configuration[f"source:{name}"], source.partition.department and departments]
            )
            for name, source in self.sources.items()
        }

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Every declaration as plain JSON data, by `kind:name`."""
        content: dict[str, Any] = {}
        for name, source in self.sources.items():
            content[f"source:{name}"] = {
                "contract": source.model_dump(mode="json"),
                "suite": self.suites[name].model_dump(mode="json"),
            }
        for kind, declared in (("metric", self.metrics), ("target", self.targets)):
            for name, model in declared.items():
                content[f"{kind}:{name}"] = model.model_dump(mode="json")
        content["departments:all"] = [
            department.model_dump(mode="json") for department in self.departments.values()
        ]
        content["holidays:all"] = {str(day): works for day, works in self.holidays.items()}
        return content

    @cached_property
    def configuration_hash(self) -> str:
        """Hash of the whole configuration, of its meaning and not of its spelling."""
        return _hash(self.configuration)


def _hash(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
