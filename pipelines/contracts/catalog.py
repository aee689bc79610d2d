"""Loads the configuration folder and holds each file against the others.

The only module of `contracts` that reads files. It reports all problems at once.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from pipelines.contracts.models import (
    Column,
    ColumnType,
    Declared,
    Department,
    Kind,
    Metric,
    Source,
    Suite,
    Target,
)
from pipelines.errors import ConfigurationError, Problem
from pipelines.settings import PROJECT

Model = TypeVar("Model", bound=BaseModel)

# what every source table has besides its contract's columns, and the ledger's own tables
RESERVED_COLUMNS = frozenset(
    {"department", "business_date", "part", "delivery_id", "sheet", "row_number"}
)
RESERVED_TABLES = frozenset(
    {
        "configuration", "decision", "delivery", "delivery_partition", "metric_daily", "pace",
        "quarantine", "run", "alembic_version", "department",
    }
)  # fmt: skip

# The GX expectations a native suite may use: row rules, whose failing rows are quarantined, and
# figures of a whole delivery. What is not here has no condition to split rows by.
ROW_RULES = frozenset(
    {
        "expect_column_values_to_not_be_null",
        "expect_column_values_to_be_null",
        "expect_column_values_to_be_between",
        "expect_column_values_to_be_in_set",
        "expect_column_values_to_not_be_in_set",
        "expect_column_values_to_match_regex",
        "expect_column_values_to_not_match_regex",
        "expect_column_value_lengths_to_be_between",
        "expect_column_value_lengths_to_equal",
        "expect_column_pair_values_a_to_be_greater_than_b",
        "expect_column_pair_values_to_be_equal",
    }
)
TABLE_RULES = frozenset(
    {
        "expect_table_row_count_to_be_between",
        "expect_column_sum_to_be_between",
        "expect_column_min_to_be_between",
        "expect_column_max_to_be_between",
        "expect_column_mean_to_be_between",
        "expect_column_unique_value_count_to_be_between",
    }
)
SEVERITIES = ("critical", "warning", "info")


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
        """Identifies how a delivery of `source` is judged: its contract and its suite."""
        return _hash(self.configuration[f"source:{source}"])

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


def _hash(content: object) -> str:
    text = json.dumps(content, ensure_ascii=False, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_catalog(config_dir: Path | None = None) -> Catalog:
    """The configuration in `config_dir` (None: the repository's own).

    Raises ConfigurationError with every problem found.
    """
    catalog, problems = read_catalog(config_dir)
    if problems:
        raise ConfigurationError(problems)
    return catalog


def read_catalog(config_dir: Path | None = None) -> tuple[Catalog, list[Problem]]:
    """What of the configuration is sound, and the problems of the rest."""
    reader = _Reader(_Files.at(config_dir))
    catalog = reader.read()
    reader.problems.extend(_cross_check(catalog, reader.files))
    return catalog, reader.problems


@dataclass(frozen=True)
class _Files:
    sources: Path
    suites: Path
    metrics: Path
    targets: Path
    departments: Path
    holidays: Path

    @classmethod
    def at(cls, config_dir: Path | None) -> _Files:
        contracts = config_dir or PROJECT / "pipelines" / "contracts"
        return cls(
            sources=contracts / "sources",
            suites=(config_dir or PROJECT) / "expectations",
            metrics=contracts / "metrics.yaml",
            targets=contracts / "targets.yaml",
            departments=contracts / "departments.csv",
            holidays=contracts / "holidays.csv",
        )


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key given twice is an error and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key, count in Counter(map(str, keys)).items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key!r} is given {count} times", node.start_mark
                )
        return super().construct_mapping(node, deep)


class _Reader:
    """Reads every file into models and notes what cannot be read."""

    def __init__(self, files: _Files) -> None:
        self.files = files
        self.problems: list[Problem] = []

    def read(self) -> Catalog:
        sources = self._sources()
        return Catalog(
            sources=sources,
            metrics=self._declared(self.files.metrics, Metric),
            targets=self._declared(self.files.targets, Target),
            departments=self._departments(),
            suites={name: self._suite(name) for name in sources},
            holidays=self._holidays(),
        )

    def note(self, file: Path, key: str, message: str, mend: str) -> None:
        self.problems.append(Problem(file.name, key, message, mend))

    def _yaml(self, path: Path) -> Any:
        try:
            return yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
        except FileNotFoundError:
            self.note(path, "-", "the file is missing", f"create it in {path.parent.name}/")
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            self.note(path, "-", f"not valid YAML: {' '.join(str(error).split())}", "correct it")
        return None

    def _model(self, path: Path, prefix: str, model: type[Model], data: object) -> Model | None:
        try:
            return TypeAdapter(model).validate_python(data)
        except ValidationError as error:
            for fault in error.errors():
                key = _key(prefix, fault["loc"])
                self.note(path, key, *_explain(fault, model))
        return None

    def _sources(self) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        paths = sorted(self.files.sources.glob("*.yaml"))
        if not paths:
            self.note(self.files.sources, "-", "no contracts", "add sources/<name>.yaml")
        for path in paths:
            data = self._yaml(path)
            source = None if data is None else self._model(path, "", Source, data)
            if source is None:
                continue
            if source.name != path.stem:
                self.note(path, "name", f"{source.name} is not the file's name", "make them equal")
            else:
                sources[source.name] = source
        return sources

    def _suite(self, name: str) -> Suite:
        path = self.files.suites / f"{name}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            self.note(
                path, "-", "the source has no suite",
                'create it, if only as {"name": "' + name + '", "expectations": [], "meta": {}}',
            )  # fmt: skip
            return Suite(name=name)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            self.note(path, "-", f"not valid JSON: {error}", "correct it")
            return Suite(name=name)
        return self._model(path, "", Suite, data) or Suite(name=name)

    def _declared(self, path: Path, model: type[Model]) -> dict[str, Model]:
        data = self._yaml(path)
        if data is None:
            return {}
        if not isinstance(data, list):
            self.note(path, "-", "the file must be a list", "start each entry with `- `")
            return {}
        found: dict[str, Model] = {}
        for position, entry in enumerate(data):
            name = entry.get("name") if isinstance(entry, dict) else None
            item = self._model(path, str(name or f"[{position}]"), model, entry)
            if item is None:
                continue
            if name in found:
                self.note(path, str(name), "the name is given twice", "rename one")
            found[str(name)] = item
        return found

    def _rows(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                for number, row in enumerate(csv.DictReader(lines), start=2):
                    yield number, {key: (text or "").strip() for key, text in row.items() if key}
        except UnicodeDecodeError as error:
            self.note(path, "-", f"not UTF-8: {error}", "save it as UTF-8")

    def _departments(self) -> dict[str, Department]:
        path, found = self.files.departments, dict[str, Department]()
        if not path.exists():
            self.note(path, "-", "the file is missing", "create it with code,name")
            return found
        for number, row in self._rows(path):
            given = {key: text for key, text in row.items() if text}
            department = self._model(path, f"row {number}", Department, given)
            if department is None:
                continue
            if department.code in found:
                self.note(path, f"row {number}", f"{department.code} is given twice", "keep one")
            found[department.code] = department
        return found

    def _holidays(self) -> dict[date, bool]:
        """`date,working` rows that overrule the public calendar; the file is optional."""
        found: dict[date, bool] = {}
        if self.files.holidays.exists():
            for number, row in self._rows(self.files.holidays):
                entry = self._model(self.files.holidays, f"row {number}", _Holiday, row)
                if entry is not None:
                    found[entry.date] = entry.working
        return found


class _Holiday(Declared):
    date: date
    working: bool


def _key(prefix: str, location: tuple[int | str, ...]) -> str:
    key = prefix
    for step in location:
        key += f"[{step}]" if isinstance(step, int) else f".{step}" if key else step
    return key or "-"


def _explain(fault: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """A pydantic fault as message and mend."""
    if fault["type"] == "extra_forbidden":
        return "nobody knows this key", "correct its spelling or remove it"
    if fault["type"] == "missing":
        return "the key is missing", "add it"
    message = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    return message + shown, f"see {model.__name__} in contracts/models.py"


def _cross_check(catalog: Catalog, files: _Files) -> Iterator[Problem]:
    for source in catalog.sources.values():
        yield from _check_source(source, catalog, f"{source.name}.yaml")
        yield from _check_suite(source, catalog.suites[source.name], f"{source.name}.json")
    for metric in catalog.metrics.values():
        yield from _check_metric(metric, catalog, files.metrics.name)
    for target in catalog.targets.values():
        yield from _check_target(target, catalog, files.targets.name)
    yield from _check_departments(catalog, files.departments.name)


def _fold(header: str) -> str:
    return fold_header(header)


def fold_header(header: str) -> str:
    """A header as it is compared: width, case and blanks folded."""
    import unicodedata

    return re.sub(r"\s+", "", unicodedata.normalize("NFKC", header)).casefold()


def _check_source(source: Source, catalog: Catalog, file: str) -> Iterator[Problem]:
    names = source.column_names
    if source.name in RESERVED_TABLES:
        yield Problem(file, "name", f"{source.name} is a table of the ledger", "rename the source")
    for name, count in Counter(names).items():
        if count > 1:
            yield Problem(file, "columns", f"{name} is declared {count} times", "rename one")
    for name in RESERVED_COLUMNS.intersection(names):
        yield Problem(file, "columns", f"{name} is a column of every source", "rename it")
    headers = Counter(
        header for column in source.columns for header in {_fold(h) for h in column.header}
    )
    for header, count in headers.items():
        if count > 1:
            yield Problem(file, "columns", f"header {header} stands for {count} columns", "keep one")
    for name in source.key:
        if name not in names:
            yield Problem(file, "key", f"{name} is no column", f"use one of {', '.join(names)}")
        elif not source.column(name).required:
            yield Problem(file, "key", f"{name} is not required", "say `required: true`")
    yield from _check_partition(source, file)
    for key, pattern in _patterns(source):
        try:
            re.compile(pattern)
        except re.error as error:
            yield Problem(file, key, f"{pattern!r} is no regular expression: {error}", "correct it")
    for pattern in source.file_patterns:
        unknown = set(re.findall(r"\(\?P<(\w+)>", pattern)) - {"department", "business_date", "part"}
        if unknown:
            yield Problem(
                file, "file_patterns", f"group {', '.join(sorted(unknown))} means nothing",
                "name groups department, business_date or part",
            )  # fmt: skip
    if not any(source.formats.model_dump().values()) and source.formats == type(source.formats)():
        yield Problem(file, "formats", "no format is declared", "declare csv, xlsx, jsonl or parquet")
    owing = catalog.due_departments(source)
    coded = source.formats.csv.departments if source.formats.csv else {}
    for key, codes in (("due.departments", owing), ("formats.csv.departments", tuple(coded))):
        for code in codes:
            if code not in catalog.departments:
                yield Problem(file, key, f"{code} is no department", "add it to departments.csv")


def _check_partition(source: Source, file: str) -> Iterator[Problem]:
    wanted = {"department": ColumnType.TEXT, "business_date": ColumnType.DATE}
    for role, column_type in wanted.items():
        name = getattr(source.partition, role)
        if name is None:
            continue
        if name not in source.column_names:
            yield Problem(file, f"partition.{role}", f"{name} is no column", "declare it")
            continue
        column = source.column(name)
        if column.type is not column_type or column.pii or column.values:
            yield Problem(
                file, f"partition.{role}", f"{name} must be a plain {column_type} column",
                "correct the column",
            )  # fmt: skip


def _patterns(source: Source) -> Iterator[tuple[str, str]]:
    for pattern in source.footer:
        yield "footer", pattern
    for pattern in source.file_patterns:
        yield "file_patterns", pattern
    for column in source.columns:
        if column.pattern is not None:
            yield f"columns.{column.name}.pattern", column.pattern


def _check_suite(source: Source, suite: Suite, file: str) -> Iterator[Problem]:
    if suite.name != source.name:
        yield Problem(file, "name", f"{suite.name} is not {source.name}", "name it as the source")
    for position, expectation in enumerate(suite.expectations):
        key = f"expectations[{position}]"
        kind, kwargs = expectation.get("type"), expectation.get("kwargs", {})
        if kind not in ROW_RULES | TABLE_RULES:
            yield Problem(
                file, f"{key}.type", f"{kind} is not supported",
                f"use one of {', '.join(sorted(ROW_RULES | TABLE_RULES))}",
            )  # fmt: skip
        if expectation.get("severity", "critical") not in SEVERITIES:
            yield Problem(
                file, f"{key}.severity", f"{expectation['severity']} is no severity",
                f"use one of {', '.join(SEVERITIES)}",
            )  # fmt: skip
        if "mostly" in kwargs:
            yield Problem(
                file, f"{key}.kwargs.mostly", "`mostly` is not for row rules here",
                "remove it: the contract's max_quarantine says how many rows may fail",
            )  # fmt: skip
        for argument in ("column", "column_A", "column_B"):
            name = kwargs.get(argument)
            if name is None:
                continue
            if name not in source.column_names:
                yield Problem(
                    file, f"{key}.kwargs.{argument}", f"{name} is no column of {source.name}",
                    f"use one of {', '.join(source.column_names)}",
                )  # fmt: skip
            elif source.column(name).pii:
                yield Problem(
                    file, f"{key}.kwargs.{argument}", f"{name} is masked before checks",
                    "use the contract's `pattern`, which looks before the mask",
                )  # fmt: skip


def _check_metric(metric: Metric, catalog: Catalog, file: str) -> Iterator[Problem]:
    source = catalog.sources.get(metric.source)
    if source is None:
        yield Problem(
            file, f"{metric.name}.source", f"{metric.source} is no sound source",
            f"use one of {', '.join(catalog.sources)}",
        )  # fmt: skip
        return
    if metric.kind is Kind.FLOW and source.content != "events":
        yield Problem(
            file, f"{metric.name}.kind", f"{source.name} is a snapshot, which has no flow",
            "make it a stock, or the source events",
        )  # fmt: skip
    if metric.by is not None and metric.by not in source.column_names:
        yield Problem(file, f"{metric.name}.by", f"{metric.by} is no column", "correct it")
    for aggregate in metric.aggregates:
        named = [aggregate.column] if aggregate.column else []
        for name in [*named, *aggregate.where]:
            if name not in source.column_names:
                yield Problem(
                    file, f"{metric.name}", f"{name} is no column of {source.name}",
                    f"use one of {', '.join(source.column_names)}",
                )  # fmt: skip
        if aggregate.column in source.column_names and aggregate.aggregate in ("sum", "min", "max"):
            column = source.column(aggregate.column or "")
            if column.type not in (ColumnType.INTEGER, ColumnType.DECIMAL):
                yield Problem(
                    file, f"{metric.name}", f"{aggregate.aggregate} of {column.type} {column.name}",
                    "use a number column, or `count`",
                )  # fmt: skip
        for name, wanted in aggregate.where.items():
            if name in source.column_names:
                yield from _check_where(metric, source.column(name), wanted, file)


def _check_where(metric: Metric, column: Column, wanted: object, file: str) -> Iterator[Problem]:
    stored = set(column.values.values()) if column.values else None
    for value in wanted if isinstance(wanted, tuple) else (wanted,):
        if stored is not None and value not in stored:
            yield Problem(
                file, f"{metric.name}.where.{column.name}", f"{value!r} never occurs",
                f"use one of {', '.join(sorted(stored))}",
            )  # fmt: skip
        if (column.type is ColumnType.BOOLEAN) != isinstance(value, bool):
            yield Problem(
                file, f"{metric.name}.where.{column.name}", f"{value!r} is not {column.type}",
                "compare like with like",
            )  # fmt: skip


def _check_target(target: Target, catalog: Catalog, file: str) -> Iterator[Problem]:
    metric = catalog.metrics.get(target.metric)
    if metric is None:
        yield Problem(
            file, f"{target.name}.metric", f"{target.metric} is no sound metric",
            f"use one of {', '.join(catalog.metrics)}",
        )  # fmt: skip
        return
    for as_of in [target.start, *(revision.effective for revision in target.revisions)]:
        number, revised = target.revised(as_of)
        key = f"{target.name}.revisions[{number - 1}]" if number else target.name
        yield from _check_goals(revised, metric, catalog, file, key)
    distinct = any(aggregate.aggregate == "count_distinct" for aggregate in metric.aggregates)
    if distinct:
        yield Problem(
            file, f"{target.name}.metric", f"{metric.name} counts distinct values, which never "
            "add up over departments", "track a count or a sum",
        )  # fmt: skip


def _check_goals(
    target: Target, metric: Metric, catalog: Catalog, file: str, key: str
) -> Iterator[Problem]:
    if target.end < target.start:
        yield Problem(file, f"{key}.end", f"{target.end} is before the start", "correct it")
    for code in target.department_goals:
        if code not in catalog.departments:
            yield Problem(file, f"{key}.department_goals", f"{code} is no department", "correct it")
    sums = metric.kind is not Kind.RATIO and target.curve != "level"
    if target.scope == "city":
        if target.department_goals or target.department_goal is not None or target.unallocated:
            yield Problem(file, key, "a city target has no goals of departments", "remove them")
        return
    if not sums:
        if target.department_goal is None or target.department_goals:
            yield Problem(
                file, f"{key}.department_goals", "a ratio or a level never sums over departments",
                "give one `department_goal` that serves all",
            )  # fmt: skip
        return
    if target.department_goal is not None:
        yield Problem(file, f"{key}.department_goal", "this target sums", "use `department_goals`")
    total = sum(target.department_goals.values()) + target.unallocated
    if abs(total - target.goal) > 1e-6 * max(1.0, abs(target.goal)):
        yield Problem(
            file, f"{key}.department_goals", f"they and `unallocated` sum to {total:,.0f}, and the "
            f"goal is {target.goal:,.0f}", f"say `unallocated: "
            f"{target.goal - total + target.unallocated:.0f}` or correct the goals",
        )  # fmt: skip


def _check_departments(catalog: Catalog, file: str) -> Iterator[Problem]:
    for code, department in catalog.departments.items():
        if department.successor is not None and department.successor not in catalog.departments:
            yield Problem(
                file, f"{code}.successor", f"{department.successor} is no department", "correct it"
            )
        if department.successor is not None and department.valid_to is None:
            yield Problem(file, f"{code}.valid_to", "has a successor and no end", "add valid_to")
        seen, current = {code}, department.successor
        while current in catalog.departments:
            if current in seen:
                yield Problem(file, f"{code}.successor", "successors go round", "break the circle")
                break
            seen.add(current)
            current = catalog.departments[current].successor
