"""A small city of its own for every test: contracts, suites, landing, warehouse, in a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import load_catalog
from pipelines.deliveries.delivery import Judgement
from pipelines.deployment import Deployment
from pipelines.jobs import intake
from pipelines.operations import steps
from pipelines.settings import Settings

DAY = date(2021, 9, 23)
DEPARTMENTS = """code,name,short_name,group,region,valid_from,valid_to,successor
a,甲局,,政府部门,市本级,,,
b,乙局,,政府部门,市本级,,,
c,丙局,,政府部门,市本级,,,
old,旧文化局,文化局,政府部门,市本级,,2021-06-30,new
new,新文旅局,文旅局,政府部门,市本级,2021-07-01,,
"""
RECORDS: dict[str, Any] = {
    "name": "records",
    "title": "数据归集",
    "owner": "数据科",
    "content": "events",
    "grain": "one row per item",
    "key": ["item"],
    "max_quarantine": 1.0,
    "formats": {"csv": {}},
    "columns": [
        {"name": "item", "header": ["事项"], "type": "text", "required": True},
        {"name": "amount", "header": ["数量"], "type": "integer", "minimum": 0},
        {"name": "domain", "header": ["领域"], "type": "text"},
    ],
}
Rows = Sequence[Sequence[object]]


def with_columns(contract: Mapping[str, Any], *added: Mapping[str, Any]) -> dict[str, Any]:
    return {**contract, "columns": [*contract["columns"], *added]}


class City:
    """A deployment in `root`; files are received a minute apart unless a test says otherwise."""

    def __init__(self, root: Path) -> None:
        self.config = root / "config"
        self.settings = Settings(
            data_dir=root / "data", config_dir=self.config, lock_seconds=0, threads=1
        )
        self.minute = 0
        for folder in ("sources", "expectations"):
            (self.config / folder).mkdir(parents=True)
        (self.config / "departments.csv").write_text(DEPARTMENTS, encoding="utf-8")
        self.metrics()
        self.targets()

    def source(
        self, contract: Mapping[str, Any], rules: Iterable[Mapping[str, Any]] = (), **changes: Any
    ) -> City:
        declared = {**contract, **changes}
        name = declared["name"]
        text = yaml.safe_dump(declared, allow_unicode=True, sort_keys=False)
        (self.config / "sources" / f"{name}.yaml").write_text(text, encoding="utf-8")
        suite = {"name": name, "expectations": list(rules), "meta": {}}
        (self.config / "expectations" / f"{name}.json").write_text(json.dumps(suite), "utf-8")
        return self

    def metrics(self, *declared: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(list(declared), allow_unicode=True)
        (self.config / "metrics.yaml").write_text(text, encoding="utf-8")

    def targets(self, *declared: Mapping[str, Any]) -> None:
        text = yaml.safe_dump(list(declared), allow_unicode=True)
        (self.config / "targets.yaml").write_text(text, encoding="utf-8")

    @property
    def catalog(self) -> Catalog:
        return load_catalog(self.config)

    @property
    def deployment(self) -> Deployment:
        """The settings with the configuration as it is now."""
        return Deployment(self.settings, self.catalog)

    def land(
        self,
        content: Rows | str | bytes,
        department: str = "a",
        day: date | str = DAY,
        source: str = "records",
        part: str = "",
        suffix: str = ".csv",
        header: Sequence[str] = ("事项", "数量", "领域"),
        minute: float | None = None,
    ) -> Path:
        """Put a file into landing, received `minute` minutes after an epoch of the test's."""
        if minute is None:
            self.minute += 1
            minute = self.minute
        stem = f"{source}.{part}" if part else source
        return self.put(f"{day}/{department}/{stem}{suffix}", as_bytes(content, header), minute)

    def put(self, place: str, content: bytes, minute: float) -> Path:
        """Put a file into any place below landing."""
        path = self.settings.landing / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        at = 1_632_400_000_000_000_000 + int(minute * 60_000_000_000)
        os.utime(path, ns=(at, at))
        return path

    def take(self) -> list[Judgement]:
        """Discover, stage and load what lies in landing, as a run does before it tracks."""
        deployment, run_id = self.deployment, steps.new_run_id()
        discovery = intake.discover(deployment, run_id)
        staged = [
            intake.stage(deployment, chunk, run_id, number)
            for number, chunk in enumerate(intake.chunks(self.settings, discovery.pending))
        ]
        return intake.load_staged(deployment, staged, run_id)

    def send(self, content: Rows | str | bytes, **where: Any) -> Judgement:
        """Land one delivery and take it; the judgement on it, and not on siblings judged anew."""
        self.land(content, **where)
        [judgement, *_] = self.take()
        return judgement

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query on the warehouse itself."""
        with duckdb.connect(self.settings.warehouse, read_only=True) as connection:
            return connection.execute(query, values or None).fetchall()

    def items(self, source: str = "records") -> set[str]:
        """Return the values of the key column in force."""
        return {row[0] for row in self.rows(f"SELECT item FROM {source}")}

    def verdicts(self) -> list[str]:
        return [row[0] for row in self.rows("SELECT verdict FROM delivery ORDER BY position")]

    def landed(self) -> list[Path]:
        return [path for path in self.settings.landing.rglob("*") if path.is_file()]


def as_bytes(content: Rows | str | bytes, header: Sequence[str]) -> bytes:
    if isinstance(content, bytes):
        return content
    if isinstance(content, str):
        return content.encode()
    lines = [",".join(header)]
    lines += [",".join("" if cell is None else str(cell) for cell in row) for row in content]
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def city(tmp_path: Path) -> City:
    """Return a city whose single source, `records`, has no business rules."""
    return City(tmp_path).source(RECORDS)


@pytest.fixture
def make_city(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], City]:
    """Return a function that makes cities, for tests that need several."""
    return lambda: City(tmp_path_factory.mktemp("city")).source(RECORDS)


def expectation(kind: str, severity: str = "critical", **kwargs: Any) -> dict[str, Any]:
    """Return an entry of a native suite; `meta` holds the expectation's own keys."""
    meta = kwargs.pop("meta", {})
    return {"type": f"expect_{kind}", "kwargs": kwargs, "severity": severity, "meta": meta}
