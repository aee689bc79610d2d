"""Load the configuration folder: the only module of `contracts` that reads files.

All problems of all files are reported at once, so that a person mends them in one go.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import TypeAdapter, ValidationError

from pipelines.contracts.catalog import (
    DEPARTMENTS_FILE,
    HOLIDAYS_FILE,
    METRICS_FILE,
    TARGETS_FILE,
    Catalog,
)
from pipelines.contracts.checks import cross_check
from pipelines.contracts.declared import Declared
from pipelines.contracts.departments import Department, Holiday
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.contracts.suites import Suite
from pipelines.contracts.targets import Target
from pipelines.errors import ConfigurationError, Problem
from pipelines.settings import PROJECT, SQL

Model = TypeVar("Model", bound=Declared)


def load_catalog(config_dir: Path | None = None) -> Catalog:
    """Load the configuration in `config_dir`; None stands for the repository's own.

    Raise ConfigurationError with every problem of it.
    """
    catalog, problems = read_catalog(config_dir)
    if problems:
        raise ConfigurationError(problems)
    return catalog


def read_catalog(config_dir: Path | None = None) -> tuple[Catalog, list[Problem]]:
    """Return what is sound of the configuration, and the problems of the rest."""
    if config_dir is not None and not config_dir.is_dir():
        mend = "correct CITYBRAIN_CONFIG_DIR"
        return Catalog({}, {}, {}, {}, {}), [Problem(str(config_dir), "-", "no such folder", mend)]
    reader = _Reader(config_dir)
    sources = reader.sources()
    catalog = Catalog(
        sources=sources,
        metrics=reader.declared(METRICS_FILE, Metric),
        targets=reader.declared(TARGETS_FILE, Target),
        departments=reader.departments(),
        suites={name: reader.suite(name) for name in sources},
        holidays=reader.holidays(),
    )
    return catalog, [*reader.problems, *cross_check(catalog, own_tables())]


def own_tables() -> frozenset[str]:
    """Return the names of the warehouse's own tables and views, which no source may have.

    They come from its catalogue, of which warehouse/schema.json is a copy (`make docs`).
    """
    schema = json.loads((SQL / "schema.json").read_text(encoding="utf-8"))
    return frozenset(schema["main"])


def _key(prefix: str, location: tuple[int | str, ...], data: object) -> str:
    """Return where in `data` a fault is, with the name of an entry of a list if it has one."""
    key = prefix
    for step in location:
        # Pydantic puts its own name for a branch of a union into the location.
        if not isinstance(data, list | dict) or (isinstance(step, str) and "[" in step):
            continue
        if isinstance(data, list):
            data = data[step] if isinstance(step, int) and step < len(data) else None
        else:
            data = data.get(step)
        if isinstance(step, int):
            name = data.get("name") if isinstance(data, dict) else None
            key += f".{name}" if name and isinstance(name, str) else f"[{step}]"
        else:
            key += f".{step}" if key else step
    return key or "-"


def _explain(fault: Mapping[str, Any], model: type[Declared]) -> tuple[str, str]:
    """Return the message and the mend of a fault that pydantic reports."""
    innermost = _model_at(model, fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = [key.alias or name for name, key in innermost.model_fields.items()]
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1)
        meant = f"; did you mean `{near[0]}`?" if near else ""
        return (
            f"nobody knows this key{meant}",
            f"correct its spelling or remove it, see {innermost.section()}",
        )
    if fault["type"] == "missing":
        return "the key is missing", f"add it, see {innermost.section()}"
    message = fault["msg"].removeprefix("Value error, ")
    given = fault["input"]
    shown = f", not {given!r}" if isinstance(given, str | int | float | bool) else ""
    return message + shown, f"see {innermost.section()}"


def _model_at(model: type[Declared], location: tuple[int | str, ...]) -> type[Declared]:
    """Return the innermost declaration that a fault's location leads to."""
    for step in location:
        for name, key in model.model_fields.items():
            if step == (key.alias or name):
                model = next(_models_in(key.annotation), model)
                break
    return model


def _models_in(annotation: object) -> Iterator[type[Declared]]:
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


class _UniqueKeys(yaml.CSafeLoader):
    """Load YAML in which a key that is given twice is an error and not a silent loss."""

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
    """Read every file of a folder into models, and note what cannot be read."""

    def __init__(self, config_dir: Path | None) -> None:
        self.folder = config_dir or PROJECT / "pipelines" / "contracts"
        self.suites = (config_dir or PROJECT) / "expectations"
        self.problems: list[Problem] = []

    def note(self, file: Path, key: str, message: str, mend: str) -> None:
        """Record a problem; a file in a folder of the configuration is named with it."""
        is_inside = file.parent in (self.folder / "sources", self.suites)
        name = f"{file.parent.name}/{file.name}" if is_inside else file.name
        self.problems.append(Problem(name, key, message, mend))

    def sources(self) -> dict[str, Source]:
        """Read the contracts."""
        sources: dict[str, Source] = {}
        folder = self.folder / "sources"
        paths = sorted(folder.glob("*.yaml"))
        if not paths:
            self.note(folder, "-", "no contracts", "add sources/<name>.yaml")
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

    def suite(self, name: str) -> Suite:
        """Read a source's suite; an empty one stands for one that cannot be read."""
        path = self.suites / f"{name}.json"
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            empty = '{"name": "' + name + '", "expectations": [], "meta": {}}'
            self.note(path, "-", "the source has no suite", f"create it, if only as {empty}")
            return Suite(name=name)
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            self.note(path, "-", f"not valid JSON: {error}", "correct it")
            return Suite(name=name)
        return self._model(path, "", Suite, data) or Suite(name=name)

    def declared(self, file: str, model: type[Model]) -> dict[str, Model]:
        """Read the entries of a YAML list, by their names."""
        path = self.folder / file
        data = self._yaml(path)
        if data is None:
            return {}
        if not isinstance(data, list):
            self.note(path, "-", "the file must be a list", "start each entry with `- `")
            return {}
        entries: dict[str, Model] = {}
        for position, entry in enumerate(data):
            name = entry.get("name") if isinstance(entry, dict) else None
            item = self._model(path, str(name or f"[{position}]"), model, entry)
            if item is None:
                continue
            if name in entries:
                self.note(path, str(name), "the name is given twice", "rename one")
            entries[str(name)] = item
        return entries

    def departments(self) -> dict[str, Department]:
        """Read the departments, by their codes."""
        path, departments = self.folder / DEPARTMENTS_FILE, dict[str, Department]()
        if not path.exists():
            self.note(path, "-", "the file is missing", "create it with code,name")
            return departments
        for number, row in self._rows(path):
            given = {key: text for key, text in row.items() if text}
            department = self._model(path, f"row {number}", Department, given)
            if department is None:
                continue
            if department.code in departments:
                self.note(path, f"row {number}", f"{department.code} is given twice", "keep one")
            departments[department.code] = department
        if not departments:
            self.note(path, "-", "no departments", "add a row of code,name for each")
        return departments

    def holidays(self) -> dict[date, bool]:
        """Read the days that overrule the public calendar; the file may be absent."""
        path, holidays = self.folder / HOLIDAYS_FILE, dict[date, bool]()
        if path.exists():
            for number, row in self._rows(path):
                holiday = self._model(path, f"row {number}", Holiday, row)
                if holiday is not None:
                    holidays[holiday.date] = holiday.working
        return holidays

    def _yaml(self, path: Path, empty: Any = None) -> Any:
        """Return a file's data, `empty` if it has none; None, with a problem noted, on a fault."""
        try:
            # _UniqueKeys is a safe loader.
            data = yaml.load(path.read_text(encoding="utf-8"), Loader=_UniqueKeys)  # noqa: S506
            return empty if data is None else data
        except FileNotFoundError:
            self.note(path, "-", "the file is missing", f"create it in {path.parent.name}/")
        # A ValueError is a date such as 2021-02-30, or bytes that are not UTF-8.
        except (yaml.YAMLError, ValueError) as error:
            self.note(path, "-", f"not valid YAML: {' '.join(str(error).split())}", "correct it")
        return None

    def _rows(self, path: Path) -> Iterator[tuple[int, dict[str, str]]]:
        try:
            with path.open(encoding="utf-8-sig", newline="") as lines:
                for number, row in enumerate(csv.DictReader(lines), start=2):
                    yield number, {key: (text or "").strip() for key, text in row.items() if key}
        except UnicodeDecodeError as error:
            self.note(path, "-", f"not UTF-8: {error}", "save it as UTF-8")

    def _model(self, path: Path, prefix: str, model: type[Model], data: object) -> Model | None:
        """Return the declaration that `data` is; None, with its problems noted, on a fault."""
        try:
            return TypeAdapter(model).validate_python(data)
        except ValidationError as error:
            for fault in error.errors():
                key = _key(prefix, fault["loc"], data)
                self.note(path, key, *_explain(fault, model))
        return None
