"""Write docs/contracts.md from the declarations in `pipelines/contracts/`.

The text of a section is a declaration's docstring; a row of its table is a key with the key's
type, default, description and first example.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator, Mapping
from datetime import date, time
from enum import Enum
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipelines.contracts.columns import Column
from pipelines.contracts.comparisons import Drift, Totals
from pipelines.contracts.declared import Declared, OneOrMany
from pipelines.contracts.departments import Department, Holiday
from pipelines.contracts.due import Due
from pipelines.contracts.formats import (
    CsvDialect,
    CsvFormat,
    Formats,
    HtmlFormat,
    JsonFormat,
    NoOptions,
    WorkbookFormat,
    XmlFormat,
    ZipFormat,
)
from pipelines.contracts.metrics import Aggregate, Metric
from pipelines.contracts.sources import Partition, Rows, Source
from pipelines.contracts.suites import ROW_RULES, TABLE_RULES, Suite
from pipelines.contracts.targets import Milestone, Milestones, Revision, Target

SECTIONS: tuple[type[Declared], ...] = (
    Source,
    Column,
    Formats,
    CsvFormat,
    CsvDialect,
    WorkbookFormat,
    HtmlFormat,
    JsonFormat,
    XmlFormat,
    ZipFormat,
    NoOptions,
    Rows,
    Due,
    Partition,
    Totals,
    Drift,
    Suite,
    Metric,
    Aggregate,
    Target,
    Milestones,
    Milestone,
    Revision,
    Department,
    Holiday,
)
BAR = "\\|"  # A bar inside a cell of a table.
INTRODUCTION = """\
# Contracts

<!-- Written by `make docs` from pipelines/contracts/; edit the descriptions there. -->

Everything that a deployment declares, key by key. A folder of configuration
(`CITYBRAIN_CONFIG_DIR`) holds:

| file | content |
|---|---|
| `sources/<name>.yaml` | a [contract](#contracts) for each kind of export |
| `expectations/<name>.json` | the [suite](#suites) of each source |
| `metrics.yaml` | a list of [metrics](#metrics) |
| `targets.yaml` | a list of [targets](#targets) |
| `departments.csv` | the [departments](#departments), a row each |
| `holidays.csv` | optional: [days](#holidays) that overrule the public calendar |

`citybrain check` holds all files against each other, names every mistake with file, key and mend,
and points to the sections below. A key that is not described here is a mistake, and so is a key
given twice. A smallest contract, `sources/service_cases.yaml`:

```yaml
name: service_cases
title: 服务事项办件
owner: 数据资源科
content: events
grain: one row per case
key: [case_no]
formats:
  csv: {encoding: gb18030}
columns:
  - {name: case_no, header: 办件编号, type: text, required: true}
  - {name: closed_on, header: [办结日期, 办结时间], type: date}
```

[exports.md](exports.md) has a contract that uses many more keys, and says what becomes of the files
that departments send.
"""


def contracts_markdown() -> str:
    """Return the text of docs/contracts.md."""
    sections = [INTRODUCTION]
    for model in SECTIONS:
        text = inspect.cleandoc(model.__doc__ or "")
        # The first section has the document's own heading.
        parts = [f"## {model.model_config['title']}", text] if model is not Source else [text]
        if model.model_fields:
            parts.append(_table(model))
        if model is Suite:
            parts.append(_rules("Row rules, whose failing rows are quarantined", ROW_RULES))
            parts.append(_rules("Table rules, of a whole delivery", TABLE_RULES))
        sections.append("\n\n".join(parts) + "\n")
    return "\n".join(sections)


def keys(model: type[Declared]) -> Iterator[tuple[str, FieldInfo]]:
    """Yield the keys of a declaration as files write them."""
    for name, key in model.model_fields.items():
        yield key.alias or name, key


def _table(model: type[Declared]) -> str:
    lines = ["| key | type | default | meaning | example |", "|---|---|---|---|---|"]
    for name, key in keys(model):
        default = "**required**" if key.is_required() else _default(key.default)
        assert key.description, f"{model.__name__}.{name} has no description"
        assert key.examples, f"{model.__name__}.{name} has no example"
        cells = (
            f"`{name}`",
            "text or list of text" if _is_one_or_many(key) else _type(key.annotation),
            default,
            key.description,
            f"`{name}: {_flow(key.examples[0])}`",
        )
        lines.append(f"| {' | '.join(cell.replace('|', BAR) for cell in cells)} |")
    return "\n".join(lines)


def _is_one_or_many(key: FieldInfo) -> bool:
    """Tell whether a single text may be written instead of a list of one."""
    return all(rule in key.metadata for rule in OneOrMany.__metadata__)


def _rules(title: str, rules: frozenset[str]) -> str:
    return f"{title}: " + ", ".join(f"`{rule}`" for rule in sorted(rules)) + "."


def _type(annotation: Any) -> str:
    """Say a key's type in words; a declaration links to its section."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _type(arguments[0])
    if origin in (Union, types.UnionType):
        names = [_type(part) for part in arguments if part is not type(None)]
        return " or ".join(dict.fromkeys(names))
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_type(arguments[0])}"
    if origin in (dict, Mapping):
        return f"mapping to {_type(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Declared):
        return f"[{annotation.model_config['title']}]({annotation.section().partition('.md')[2]})"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return ", ".join(f"`{member.value}`" for member in annotation)
    words = {str: "text", int: "whole number", float: "number", bool: "true or false"}
    return (words | {date: "date", time: "time"}).get(annotation, "anything")


def _default(value: Any) -> str:
    if value is None or value in ((), {}, ""):
        return "–"
    if isinstance(value, BaseModel):
        return f"`{_flow(value.model_dump(mode='json', exclude_none=True))}`"
    return f"`{_flow(value)}`"


def _flow(value: Any) -> str:
    """Write a value as YAML in one line."""
    value = [*value] if isinstance(value, tuple) else value
    text = yaml.safe_dump(
        value, default_flow_style=True, allow_unicode=True, sort_keys=False, width=10_000
    )
    return text.removesuffix("...\n").strip()
