"""A column of an export and everything that is promised about it.

A column is declared once; its type, checks, table, comments and sample derive from it.
"""

from __future__ import annotations

import re
from datetime import date
from enum import StrEnum
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipelines.contracts.declared import Declared, Name, OneOrMany
from pipelines.contracts.spellings import SCALE


class ColumnType(StrEnum):
    """Types that a contract can declare."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


NUMBERS = (ColumnType.INTEGER, ColumnType.DECIMAL)
DATES = (ColumnType.DATE, ColumnType.TIMESTAMP)
# Columns that the table of every source has before its own, with their Chinese comments.
LINEAGE_COLUMNS: dict[str, tuple[ColumnType, str]] = {
    "department": (ColumnType.TEXT, "报送单位代码"),
    "business_date": (ColumnType.DATE, "业务日期"),
    "part": (ColumnType.TEXT, "分包名；整包为空串"),
    "delivery_id": (ColumnType.TEXT, "报送编号，见 delivery"),
    "sheet": (ColumnType.TEXT, "工作表"),
    "row_number": (ColumnType.INTEGER, "文件中的行号，从 1 起"),
}
# Endings of the columns that staging derives from a declared one: the cell's text, the text of a
# cell that was refused, and the code of the reason.
STAGED_ENDINGS = TEXT, REFUSED, CAUSE = ("__text", "__refused", "__cause")


def _as_mapping(value: object) -> object:
    return {text: text for text in value} if isinstance(value, list) else value


class Column(Declared, title="Columns"):
    """A column of the export, with everything that is promised about its cells.

    A column stands under a header of the file. Two kinds have none, and need a `description`
    instead: one that is `from_sheet` and one that is a `qualifier_of` another column.
    A cell that breaks a promise puts its row into quarantine.
    """

    name: Name = Field(
        description="Name of the column in the warehouse: small letters, digits and `_`, unique in "
        "the contract. The names of the columns that every source's table has are taken: "
        + ", ".join(f"`{name}`" for name in LINEAGE_COLUMNS)
        + ".",
        examples=["channel_id"],
    )
    header: OneOrMany = Field(
        (),
        description="Accepted spellings of the column's header; width, case and blanks do not "
        "matter. Of a header in several rows, the path from the top: `办件量|网上`.",
        examples=[["通道编号", "设备国标编码"]],
    )
    type: ColumnType = Field(
        description="What the cells hold. Numbers may be written `１２３`, `1,234`, `2.65亿` or "
        "`约330`, dates `2021年9月8日`, `2021/9/8` or `20210908`.",
        examples=["integer"],
    )
    required: bool = Field(
        False,
        description="The header must be there, and no cell below it may be empty.",
        examples=[True],
    )
    pattern: str | None = Field(
        None,
        description="Regular expression (RE2) that a text must match somewhere, so write `^` and "
        "`$` for the whole text. Personal texts are matched before they are masked.",
        examples=[r"^[A-Z]\d{4}$"],
    )
    values: Annotated[dict[str, str], BeforeValidator(_as_mapping)] | None = Field(
        None,
        description="The only texts allowed: a list, or a mapping from what files write to what "
        "the warehouse stores.",
        examples=[{"在线": "online", "离线": "offline"}],
    )
    minimum: float | date | None = Field(
        None, description="Smallest number or earliest date allowed, inclusive.", examples=[0]
    )
    maximum: float | date | None = Field(
        None, description="Largest number or latest date allowed, inclusive.", examples=[100]
    )
    code: Literal["uscc", "id_number", "region", "gb28181"] | None = Field(
        None,
        description="Public code that the texts are, held to its check character or structure: "
        "unified social credit code, identity number, administrative region, or channel code of "
        "GB/T 28181.",
        examples=["uscc"],
    )
    unit: OneOrMany = Field(
        (),
        description="Words for the one unit that the numbers are stored in, each of which may "
        "follow a number. A number or header with a scale before the unit (万条, where 条 is "
        "declared) is converted.",
        examples=[["件", "宗"]],
    )
    unit_from: Name | None = Field(
        None,
        description="Name of the text column that says the unit of this number, row by row.",
        examples=["fees_unit"],
    )
    share: bool = Field(
        False,
        description="Number cells of workbooks are shares of one (0.97), as a cell formatted as "
        'percent holds them. Needs `unit: "%"` and a `maximum` in percent.',
        examples=[True],
    )
    nulls: OneOrMany = Field((), description="Spellings of an empty cell.", examples=[["—", "无"]])
    from_sheet: bool = Field(
        False,
        description="The value is the name of the row's sheet; in a zip of several files of one "
        "sheet each, the file's name without its ending.",
        examples=[True],
    )
    qualifier_of: Name | None = Field(
        None,
        description="The value is the word that qualifies the number in the named column, such as "
        "约, 余 or 不少于. For text columns that are not required.",
        examples=["fees"],
    )
    pii: Literal["phone", "name", "id_number", "email", "address"] | None = Field(
        None,
        description="Kind of personal data in the column. It is masked before rows are stored or "
        "shown.",
        examples=["phone"],
    )
    description: str | None = Field(
        None,
        description="Chinese name of the column in comments and messages, instead of its first "
        "header.",
        examples=["区县"],
    )

    @property
    def title(self) -> str:
        """Return the Chinese comment of the column."""
        return self.description or (self.header[0] if self.header else self.name)

    @property
    def is_derived(self) -> bool:
        """Tell whether the column has no header in the file."""
        return self.from_sheet or self.qualifier_of is not None

    @model_validator(mode="after")
    def _origin_is_one(self) -> Self:
        origins = [bool(self.header), self.from_sheet, self.qualifier_of is not None]
        if sum(origins) != 1:
            raise ValueError("say one of `header`, `from_sheet` and `qualifier_of`")
        if self.qualifier_of is not None and (self.type is not ColumnType.TEXT or self.required):
            raise ValueError("`qualifier_of` is for text columns that are not required")
        if self.name.endswith(STAGED_ENDINGS):
            raise ValueError(f"a name may not end with {', '.join(STAGED_ENDINGS)}")
        return self

    @model_validator(mode="after")
    def _units_have_one_scale(self) -> Self:
        for unit in self.unit:
            for stored in ("", *self.unit):
                if unit.endswith(stored) and re.fullmatch(SCALE, unit.removesuffix(stored)):
                    raise ValueError(
                        f"`unit` {unit} is {stored} with a scale, and nothing says which of the "
                        f"two is stored: declare that one; the other is converted to it"
                        if stored
                        else f"`unit` {unit} is a scale: say of what, such as 万条"
                    )
        return self

    @model_validator(mode="after")
    def _keys_fit_the_type(self) -> Self:
        is_number, is_text = self.type in NUMBERS, self.type is ColumnType.TEXT
        for key in ("pattern", "values", "pii", "code"):
            if not is_text and getattr(self, key) is not None:
                raise ValueError(f"`{key}` is for text columns, and this one is {self.type}")
        for key in ("unit", "unit_from"):
            if not is_number and getattr(self, key):
                raise ValueError(f"`{key}` is for numbers, and this column is {self.type}")
        # A total's row often has an empty cell where others have a value.
        if self.values is not None and "" in self.values.values():
            raise ValueError("`values` may not store an empty text: it would pass for a total")
        if self.share and "%" not in self.unit:
            raise ValueError("`share` is for columns whose `unit` has %")
        if self.share and self.maximum is None:
            raise ValueError(
                "`share` needs a `maximum` in percent, such as 100: without it 97.5 typed as a "
                "number would be read as 9750 %"
            )
        return self

    @model_validator(mode="after")
    def _bounds_fit_the_type(self) -> Self:
        for key, bound in (("minimum", self.minimum), ("maximum", self.maximum)):
            if bound is None:
                continue
            if self.type in NUMBERS and isinstance(bound, date):
                raise ValueError(f"`{key}` must be a number")
            if self.type is ColumnType.DATE and not isinstance(bound, date):
                raise ValueError(f"`{key}` must be a date")
            if self.type not in (*NUMBERS, ColumnType.DATE):
                raise ValueError(f"`{key}` is for numbers and dates")
        # Both are numbers, or both dates: the loop above has seen to it.
        if self.minimum is not None and self.maximum is not None and self.maximum < self.minimum:  # type: ignore[operator]
            raise ValueError(f"`maximum` {self.maximum} is below `minimum` {self.minimum}")
        return self
