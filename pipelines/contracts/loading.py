"""Load the configuration folder: the only module of `contracts` that reads its files.

It reports all problems at once.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.checks import cross_check
from pipelines.contracts.departments import Department, Holiday
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.contracts.targets import Target
from pipelines.errors import ConfigurationError, Problem
from pipelines.settings import PROJECT

Model = TypeVar("Model", bound=BaseModel)


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
    if config_dir is not None and not config_dir.is_dir():
        mend = "correct CITYBRAIN_CONFIG_DIR"
        return Catalog({}, {}, {}, {}, {}), [Problem(str(config_dir), "-", "no such folder", mend)]
    reader = _Reader(_Files.at(config_dir))
    catalog = reader.read()
    files = reader.files
    reader.problems.extend(
        cross_check(catalog, files.metrics.name, files.targets.name, files.departments.name)
    )
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


class _UniqueKeys(yaml.CSafeLoader):
    """YAML in which a key given twice is an error and not a silent loss."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        merge = "tag:yaml.org,2002:merge"
        keys = [self.construct_object(key, deep=True) for key, _ in node.value if key.tag != merge]
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
        in_folder = file.parent in (self.files.sources, self.files.suites)
        name = f"{file.parent.name}/{file.name}" if in_folder else file.name
        self.problems.append(Problem(name, key, message, mend))

    def _yaml(self, path: Path, empty: Any = None) -> Any:
        try:
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506 - a SafeLoader
            return empty if data is None else data
        except FileNotFoundError:
            self.note(path, "-", "the file is missing", f"create it in {path.parent.name}/")
        except (yaml.YAMLError, ValueError) as error:  # such as 2021-02-30, or bytes not UTF-8
            self.note(path, "-", f"not valid YAML: {' '.join(str(error).split())}", "correct it")
        return None

    def _model(self, path: Path, prefix: str, model: type[Model], data: object) -> Model | None:
        try:
            return TypeAdapter(model).validate_python(data)
        except ValidationError as error:
            for fault in error.errors():
                key = _key(prefix, fault["loc"], data)
                self.note(path, key, *_explain(fault, model))
        return None

    def _sources(self) -> dict[str, Source]:
        sources: dict[str, Source] = {}
        paths = sorted(self.files.sources.glob("*.yaml"))
        if not paths:
            self.note(self.files.sources, "-", "no contracts", "add sources/<name>.yaml")
        for path in paths:
            data = self._yaml(path, empty={})
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
                path,
                "-",
                "the source has no suite",
                'create it, if only as {"name": "' + name + '", "expectations": [], "meta": {}}',
            )
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
        if not found:
            self.note(path, "-", "no departments", "add a row of code,name for each")
        return found

    def _holidays(self) -> dict[date, bool]:
        """`date,working` rows that overrule the public calendar; the file is optional."""
        found: dict[date, bool] = {}
        if self.files.holidays.exists():
            for number, row in self._rows(self.files.holidays):
                entry = self._model(self.files.holidays, f"row {number}", Holiday, row)
                if entry is not None:
                    found[entry.date] = entry.working
        return found


def _key(prefix: str, location: tuple[int | str, ...], data: object) -> str:
    """Where in `data` a fault lies; an entry of a list by its name where it has one."""
    key = prefix
    for step in location:
        if not isinstance(data, list | dict) or (isinstance(step, str) and "[" in step):
            continue  # pydantic's name for a branch of a union
        data = _below(data, step)
        if isinstance(step, int):
            name = data.get("name") if isinstance(data, dict) else None
            key += f".{name}" if name and isinstance(name, str) else f"[{step}]"
        else:
            key += f".{step}" if key else step
    return key or "-"


def _below(data: list[Any] | dict[Any, Any], step: int | str) -> object:
    if isinstance(data, list):
        return data[step] if isinstance(step, int) and step < len(data) else None
    return data.get(step)


def _explain(fault: Mapping[str, Any], model: type[BaseModel]) -> tuple[str, str]:
    """A pydantic fault as message and mend."""
    nested = _model_at(model, fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = [declared.alias or name for name, declared in nested.model_fields.items()]
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        return f"nobody knows this key{meant}", "correct its spelling or remove it"
    if fault["type"] == "missing":
        return "the key is missing", "add it"
    message = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    return message + shown, f"see {nested.__name__} in docs/contracts.md"


def _model_at(model: type[BaseModel], location: tuple[int | str, ...]) -> type[BaseModel]:
    """The innermost model of `model` that a fault's location leads into."""
    for step in location:
        for name, declared in model.model_fields.items():
            if step == (declared.alias or name):
                model = next(_models_in(declared.annotation), model)
                break
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
