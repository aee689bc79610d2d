"""docs/contracts.md says what the declarations say, and its examples are what they accept."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from pipelines.contracts import declared
from pipelines.settings import PROJECT

DOCUMENT = PROJECT / "docs" / "contracts.md"
specification = importlib.util.spec_from_file_location(
    "contract_reference", PROJECT / "docs" / "contract_reference.py"
)
assert specification is not None
assert specification.loader is not None
reference = importlib.util.module_from_spec(specification)
sys.modules[specification.name] = reference
specification.loader.exec_module(reference)
KEYS = [(model, name, key) for model in reference.SECTIONS for name, key in reference.keys(model)]


def all_declarations(model: type[declared.Declared]) -> set[type[declared.Declared]]:
    below = set(model.__subclasses__())
    return below.union(*(all_declarations(subclass) for subclass in below))


def test_the_reference_is_what_the_declarations_give() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == reference.contracts_markdown(), (
        "docs/contracts.md is stale: run `make docs`"
    )


def test_every_declaration_has_a_section_of_its_own() -> None:
    ours = {
        model
        for model in all_declarations(declared.Declared)
        if model.__module__.startswith("pipelines.")
    }
    assert set(reference.SECTIONS) == ours
    sections = [model.section() for model in reference.SECTIONS]
    assert len(set(sections)) == len(sections)


@pytest.mark.parametrize(
    "key", [pytest.param(key, id=f"{model.__name__}.{name}") for model, name, key in KEYS]
)
def test_every_key_has_a_meaning_and_an_example_that_is_accepted(key: FieldInfo) -> None:
    assert key.description
    assert key.description.endswith(".")
    assert key.examples
    annotation = key.annotation
    for rule in key.metadata:
        annotation = Annotated[annotation, rule]
    for example in key.examples:
        TypeAdapter(annotation).validate_python(example)


@pytest.mark.parametrize("section", sorted({model.section() for model in reference.SECTIONS}))
def test_messages_point_to_headings_that_exist(section: str) -> None:
    file, _, anchor = section.partition("#")
    assert Path(PROJECT / file) == DOCUMENT
    headings = [
        line.lstrip("# ").lower().replace(" ", "-")
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("#")
    ]
    assert headings.count(anchor) == 1
