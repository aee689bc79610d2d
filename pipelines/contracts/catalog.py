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


def files_of(source: str) -> tuple[str, str]:
    """What problems call a source's contract and its suite."""
    return f"sources/{source}.yaml", f"expectations/{source}.json"


def _hash(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Catalog:
    """The whole configuration, cross-checked."""

    sources: Mapping[str, Source]
    metrics: Mapping[str, Metric]
    targets: Mapping[str, Target]
    departments: Mapping[str, Department]
    suites: Mapping[str, Suite]
    holidays: Mapping[date, bool] = field(default_factory=dict)

    def metrics_of(self, source: str) -> tuple[Metric, ...]:
        """Metrics computed from `source`."""
        return tuple(metric for metric in self.metrics.values() if metric.source == source)

    def due_departments(self, source: Source) -> tuple[str, ...]:
        """Codes that owe `source`, valid or not; none when it is not due."""
        if source.due is None:
            return ()
        if source.due.departments == "all":
            return tuple(self.departments)
        return source.due.departments

    def contract_hash(self, source: str) -> str:
        """Identifies how a delivery of `source` is judged: its contract, its suite, and the names
        of departments where rows are placed by them.
        """
        return self._contract_hashes[source]

    @cached_property
    def _contract_hashes(self) -> dict[str, str]:
        named = {
            name: source.partition.department and self.configuration["departments:all"]
            for name, source in self.sources.items()
        }
        return {name: _hash([self.configuration[f"source:{name}"], named[name]]) for name in named}

    @cached_property
    def configuration(self) -> dict[str, Any]:
        """Every declared thing as plain JSON data, by `kind:name`."""
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
        """Identifies the whole configuration."""
        return _hash(self.configuration)
