"""A column of an export and everything that is promised about it.

A column is declared once; its type, checks, table, comments and sample derive from it.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, model_validator

from pipelines.contracts.declared import Declared, Name, OneOrMany
from pipelines.contracts.spellings import SCALE


def _as_mapping(value: object) -> object:
    return {text: text for text in value} if isinstance(value, list) else value


class ColumnType(StrEnum):
    """The types a contract can declare."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


NUMBERS = (ColumnType.INTEGER, ColumnType.DECIMAL)
DATES = (ColumnType.DATE, ColumnType.TIMESTAMP)


class Column(Declared):
    """One column of an export and everything that is promised about it.

    `header` lists the accepted spellings (width, case and blanks are folded), of a header in
    several rows the path `办件量|网上`; `required` means that the header must be there and no cell
    empty. `values` are the only texts allowed: a list, or a mapping to what the warehouse stores.
    `unit` lists the words that may trail a number, all for the one unit it is stored in; a scale
    before it (万条 of 条) is read into it. `unit_from` names the column that says each row's.
    `share`: number cells of workbooks are shares of one, as cells formatted as percent hold them;
    it needs a `maximum`, of percent. `code` is a public code, validated by its check character or
    structure. `pattern` is a regular expression that a text must match somewhere (say ^ and $),
    looked at before the mask; `minimum` and `maximum` are inclusive bounds of numbers and dates;
    `nulls` are the spellings of an empty cell, such as `—` or `无`; what `pii` says is personal is
    masked so.
    `description` is the column's Chinese comment, its first header unless told.

    Two kinds of columns have no header, and need a `description`: `from_sheet` is the name of the
    row's sheet (of a zip of several files of one sheet each, the file's name without its ending),
    `qualifier_of` the word by which another column's number was qualified (约, 余, 不少于).
    """

    name: Name
    header: OneOrMany = ()
    type: ColumnType
    required: bool = False
    pattern: str | None = None
    values: Annotated[dict[str, str], BeforeValidator(_as_mapping)] | None = None
    minimum: float | date | None = None
    maximum: float | date | None = None
    code: Literal["uscc", "id_number", "region", "gb28181"] | None = None
    unit: OneOrMany = ()
    unit_from: Name | None = None
    share: bool = False
    nulls: OneOrMany = ()
    from_sheet: bool = False
    qualifier_of: Name | None = None
    pii: Literal["phone", "name", "id_number", "email", "address"] | None = None
    description: str | None = None

    @property
    def title(self) -> str:
        """The Chinese comment of the column."""
        return self.description or (self.header[0] if self.header else self.name)

    @property
    def is_derived(self) -> bool:
        """Whether no header of the file stands for it."""
        return self.from_sheet or self.qualifier_of is not None

    @model_validator(mode="after")
    def _origin_is_one(self) -> Self:
        origins = [bool(self.header), self.from_sheet, self.qualifier_of is not None]
        if sum(origins) != 1:
            raise ValueError("say one of `header`, `from_sheet` and `qualifier_of`")
        if self.qualifier_of is not None and (self.type is not ColumnType.TEXT or self.required):
            raise ValueError("`qualifier_of` is for text columns that are not required")
        return self

    @model_validator(mode="after")
    def _units_have_one_scale(self) -> Self:
        for unit in self.unit:
            for stored in ("", *self.unit):
                if unit.endswith(stored) and re.fullmatch(SCALE, unit.removesuffix(stored)):
                    raise ValueError(
                        f"`unit` {unit} is {stored} with a scale, and which of them is stored "
                        "nothing says: declare that one; the other is read into it"
                        if stored
                        else f"`unit` {unit} is a scale: say of what, 万条"
                    )
        return self

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> Self:
        if self.name.endswith(("__refused", "__text", "__cause")):
            raise ValueError("a name may not end with __refused, __text or __cause")
        if self.values is not None and "" in self.values.values():
            raise ValueError("`values` may not store an empty text: it would pass for a total")
        numeric = self.type in (ColumnType.INTEGER, ColumnType.DECIMAL)
        text_only = {
            "pattern": self.pattern,
            "values": self.values,
            "pii": self.pii,
            "code": self.code,
        }
        if self.type is not ColumnType.TEXT:
            for key, value in text_only.items():
                if value is not None:
                    raise ValueError(f"`{key}` is for text columns, and this one is {self.type}")
        for key, given in (("unit", self.unit), ("unit_from", self.unit_from)):
            if given and not numeric:
                raise ValueError(f"`{key}` is for numbers, and this column is {self.type}")
        if self.share and "%" not in self.unit:
            raise ValueError("`share` is for columns whose `unit` has %")
        if self.share and self.maximum is None:
            raise ValueError(
                "`share` needs a `maximum` in percent, such as 100, lest 97.5 typed as a number "
                "pass for 9750 %"
            )
        for key, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is None:
                continue
            if numeric and isinstance(bound, date):
                raise ValueError(f"`{key}` must be a number")
            if self.type is ColumnType.DATE and not isinstance(bound, date):
                raise ValueError(f"`{key}` must be a date")
            if not numeric and self.type is not ColumnType.DATE:
                raise ValueError(f"`{key}` is for numbers and dates")
        if self.minimum is not None and self.maximum is not None and self.maximum < self.minimum:  # type: ignore[operator]
            raise ValueError(f"`maximum` {self.maximum} is below `minimum` {self.minimum}")
        return self
