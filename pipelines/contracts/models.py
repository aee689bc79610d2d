"""The declared configuration as frozen models: sources, metrics, targets, departments.

A column is declared once; its type, checks, table, comments and sample derive from it.
Shapes are checked here, what one file says of another in consistency.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, time
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Code = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
SCALES = "十百千万亿"
SCALE = f"[{SCALES}拾佰仟萬億]+"  # as a contract may spell one


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _as_mapping(value: object) -> object:
    return {text: text for text in value} if isinstance(value, list) else value


def _as_time(value: object) -> object:
    if isinstance(value, int | float):  # YAML reads 18:00 in base 60
        raise ValueError('write it in quotes: "18:00"')
    return value


OneOrMany = Annotated[tuple[str, ...], BeforeValidator(_as_tuple)]


class Declared(BaseModel):
    """Base of all configuration: immutable, and a key nobody knows is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", serialize_by_alias=True)


class ColumnType(StrEnum):
    """The types a contract can declare."""

    TEXT = "text"
    INTEGER = "integer"
    DECIMAL = "decimal"
    DATE = "date"
    TIMESTAMP = "timestamp"
    BOOLEAN = "boolean"


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


class Rows(Declared):
    """How many rows a delivery must have (inclusive)."""

    min: int = Field(1, ge=0)
    max: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max is not None and self.max < self.min:
            raise ValueError(f"`max` {self.max} is below `min` {self.min}")
        return self


class Frequency(StrEnum):
    """How often a department owes a delivery."""

    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"


class Due(Declared):
    """When departments owe a source.

    For business date D the delivery is due on D+1 at `time` (Asia/Shanghai) and overdue
    `grace_days` later. Weekly sources are due for `weekday` (1 = Monday), monthly ones for `day`
    (or the month's last day when it is shorter).
    """

    frequency: Frequency
    time: Annotated[time, BeforeValidator(_as_time)]
    calendar: Literal["calendar", "workdays"] = "calendar"
    weekday: int = Field(1, ge=1, le=7)
    day: int = Field(1, ge=1, le=31)
    grace_days: int = Field(0, ge=0, le=366)
    start: date = Field(alias="from")
    until: date | None = None
    departments: Literal["all"] | tuple[Code, ...] = "all"


def _as_gb18030(value: object) -> object:
    return "gb18030" if value in ("gbk", "gb2312") else value  # which it contains


Encoding = Annotated[Literal["utf-8", "gb18030", "utf-16"], BeforeValidator(_as_gb18030)]


class CsvDialect(Declared):
    """How CSV files are written; decoding is strict and never guessed.

    `short_rows`: rows whose last cells are missing are kept out, or (`pad`) taken as if those were
    empty, as programs write them that leave trailing separators away.
    """

    encoding: Encoding = "utf-8"
    delimiter: str = Field(",", pattern=r"^[ -~\t]$")
    quote: str = Field('"', pattern=r"^[ -~]$")
    short_rows: Literal["quarantine", "pad"] = "quarantine"


class CsvFormat(CsvDialect):
    """The source's CSV dialect, and the departments that write another one."""

    departments: dict[Code, CsvDialect] = {}

    def dialect(self, department: str | None) -> CsvDialect:
        """The dialect that `department` (None: a file of many departments) declared."""
        return self.departments.get(department or "", self)


class WorkbookFormat(Declared):
    """Which sheets of a workbook hold the rows, and what of them counts.

    `sheet` is one sheet, by its position from 0 or its name. `sheets` instead are several, read as
    one delivery: named ones, `all`, each with a header of its own, or `continued`: the first, and
    those after it, which go on with its rows, with or without the header repeated. Hidden rows and
    sheets are taken like others unless they are to be ignored.
    """

    sheet: int | str = 0
    sheets: Literal["all", "continued"] | tuple[str, ...] | None = None
    hidden_rows: Literal["take", "ignore"] = "take"
    hidden_sheets: Literal["take", "ignore"] = "take"

    @model_validator(mode="after")
    def _sheets_are_said_once(self) -> Self:
        if self.sheets is not None and "sheet" in self.model_fields_set:
            raise ValueError("say `sheet` or `sheets`, not both")
        return self


class HtmlFormat(Declared):
    """A table of a page, by its position from 0 among those that have rows."""

    table: int = Field(0, ge=0)
    encoding: Encoding = "utf-8"


class JsonFormat(Declared):
    """Where the array of records is: keys from the outermost on, dotted; empty for the top.

    Headers are a record's keys, `contact/phone` for those of an object inside it (so in jsonl).
    """

    records: str = ""


class XmlFormat(Declared):
    """The path of the element that is a row, from the root's name on: `data/records/record`.

    Headers are the names of its children (`contact/phone` for nested ones) and attributes (`@id`).
    """

    record: str = Field(min_length=1)


class ZipFormat(Declared):
    """Whether an archive holds one file of data, or several that are one delivery."""

    members: Literal["one", "all"] = "one"


class NoOptions(Declared):
    """A format that needs nothing said about it."""


class Formats(Declared):
    """The formats a source accepts; one that is absent is refused.

    By the end of a file's name: csv `.csv .tsv .txt`, xlsx `.xlsx .xlsm`, xls `.xls .et`, xlsb
    `.xlsb`, ods `.ods`, html `.html .htm`, json `.json`, jsonl `.jsonl .ndjson`, xml `.xml`,
    parquet `.parquet`. `.gz` and `.zip` around them are accepted always; `zip` says more of the
    latter.
    """

    csv: CsvFormat | None = None
    xlsx: WorkbookFormat | None = None
    xls: WorkbookFormat | None = None
    xlsb: WorkbookFormat | None = None
    ods: WorkbookFormat | None = None
    html: HtmlFormat | None = None
    json_: JsonFormat | None = Field(None, alias="json")
    jsonl: NoOptions | None = None
    xml: XmlFormat | None = None
    parquet: NoOptions | None = None
    zip: ZipFormat = ZipFormat()

    @property
    def declared(self) -> tuple[str, ...]:
        """The names of the formats accepted, as contracts write them."""
        fields = type(self).model_fields.items()
        there = [name for name, _ in fields if name != "zip" and getattr(self, name) is not None]
        return tuple(type(self).model_fields[name].alias or name for name in there)


class Partition(Declared):
    """The columns that say whose and which day's a row is.

    When the landing path names the department and the date, these columns must agree with it;
    where the path says `all` or `bulk`, they split the file into partitions.
    """

    department: Name | None = None
    business_date: Name | None = None


class Totals(Declared):
    """A column that is cumulative, and the column that is its increment.

    For each `by` (the key, unless told): cumulative(d) = cumulative(d-1) + increment(d) +
    correction(d), to within `tolerance`; d-1 is the day before on which the source is due. A total
    that `resets` starts each year or month from 0. A delivery that breaks it is told of, or `held`.
    """

    cumulative: Name
    increment: Name
    correction: Name | None = None
    by: tuple[Name, ...] = ()
    tolerance: float = Field(0, ge=0)
    resets: Literal["yearly", "monthly"] | None = None
    on_break: Literal["warn", "hold"] = "warn"


class Drift(Declared):
    """When a delivery differs from its department's history so much that people are told.

    `volume` is a robust z-score of the number of rows, (rows - median) / spread, against the last
    `history` deliveries, of which there must be `minimum`. Those of a daily source are of the same
    weekday, worked or free as the day is; while they are too few, of days alike in one of both,
    and held against the least and the most of them, not their median. The spread is 1.4826 * MAD
    (Iglewicz and Hoaglin, 1993), or the largest of the square root of the median, 5 % of it, and 1,
    where that is more. `null_share` is by how much a column's share of empty cells may rise.
    `categories` are columns of few values, of which one never seen is told. `columns`: whether
    columns that appear or vanish are told. None (or nothing) leaves a comparison out.
    """

    volume: float | None = Field(3.5, gt=0)
    history: int = Field(8, ge=3)
    minimum: int = Field(4, ge=3)
    null_share: float | None = Field(0.2, gt=0, le=1)
    categories: tuple[Name, ...] = ()
    columns: bool = True


class Source(Declared):
    """A contract: one kind of export, as departments promise to send it.

    `content`: events happened on the business date, a snapshot is what there was on it.
    `key` are the columns, each `required`, that tell a day's rows of a department apart; empty:
    only rows alike in all are duplicates. More than the share `max_quarantine` of failing rows
    rejects a delivery: at 0.0, unless told, one such row does. `rows` are how many data rows it
    must have, `empty` whether one without any is taken all the same.

    `file_patterns` are regular expressions of whole paths below landing, for files not sent as
    `<date>/<department>/<source>`; groups `department`, `business_date` and `part` say whose, and
    for one that is left out the file's own columns do.
    `footer` are regular expressions searched at the start of a row's first cell (合计, 注[:：]):
    such rows are ignored. A header may take `header_rows` rows, merged cells spanning what they
    stand above; with `unit_row` the row below it says the columns' units. `unit_above` is the
    scaled unit (万条) that a line outside the table says of all its figures, such as `单位：万条`:
    number columns that count in it and whose header says no unit are read in it. A file whose
    lines do not say exactly that is held.
    """

    name: Name
    title: str
    owner: str
    description: str = ""
    content: Literal["snapshot", "events"]
    grain: str
    key: tuple[Name, ...]
    max_quarantine: float = Field(0.0, ge=0, le=1)
    empty: Literal["accept", "reject"] = "reject"
    rows: Rows = Rows()
    due: Due | None = None
    formats: Formats
    file_patterns: tuple[str, ...] = ()
    header_rows: int = Field(1, ge=1, le=5)
    unit_row: bool = False
    unit_above: str | None = None
    footer: tuple[str, ...] = ()
    partition: Partition = Partition()
    totals: tuple[Totals, ...] = ()
    drift: Drift | None = None
    columns: tuple[Column, ...] = Field(min_length=1)

    def column(self, name: str) -> Column:
        """The column called `name`; KeyError when there is none."""
        return next(column for column in self.columns if column.name == name)

    def by_of(self, totals: Totals) -> tuple[str, ...]:
        """The columns that tell the totals of one department and day apart."""
        partition = (self.partition.department, self.partition.business_date)
        return totals.by or tuple(name for name in self.key if name not in partition)

    @property
    def is_personal(self) -> bool:
        """Whether a column holds personal data, which may stray into the others."""
        return any(column.pii for column in self.columns)

    @property
    def titles(self) -> dict[str, str]:
        """The columns' Chinese names."""
        return {
            column.name: column.header[0] if column.header else column.title
            for column in self.columns
        }

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names in declared order."""
        return tuple(column.name for column in self.columns)


class Aggregate(Declared):
    """One aggregate over a partition's rows; `where` keeps rows whose column has the value(s)."""

    aggregate: Literal["sum", "count", "count_distinct", "min", "max"]
    column: Name | None = None
    where: dict[Name, str | bool | int | tuple[str, ...]] = {}

    @model_validator(mode="after")
    def _column_where_needed(self) -> Self:
        if self.aggregate != "count" and self.column is None:
            raise ValueError(f"`{self.aggregate}` needs a `column`")
        return self


class Kind(StrEnum):
    """What a metric's values mean over time: DESIGN's flow, stock and ratio."""

    FLOW = "flow"
    STOCK = "stock"
    RATIO = "ratio"


class Metric(Declared):
    """A named figure per department, business date and breakdown.

    A flow adds over days and departments; a stock holds until the next observation; a ratio is
    `numerator / denominator * scale` and adds its parts, never its values.
    """

    name: Name
    title: str
    unit: str
    kind: Kind
    source: Name
    description: str = ""
    value: Aggregate | None = None
    numerator: Aggregate | None = None
    denominator: Aggregate | None = None
    by: Name | None = None

    @property
    def scale(self) -> int:
        """100 for a ratio shown in percent, else 1."""
        return 100 if self.kind is Kind.RATIO and self.unit == "%" else 1

    @property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """The aggregates it is made of: one, or numerator and denominator."""
        parts = (self.value, self.numerator, self.denominator)
        return tuple(part for part in parts if part is not None)

    @model_validator(mode="after")
    def _parts_fit_the_kind(self) -> Self:
        ratio_parts = self.numerator is not None and self.denominator is not None
        if self.kind is Kind.RATIO and (not ratio_parts or self.value is not None):
            raise ValueError("a ratio has `numerator` and `denominator`, and no `value`")
        if self.kind is not Kind.RATIO and (
            self.value is None or self.numerator is not None or self.denominator is not None
        ):
            raise ValueError(f"a {self.kind} has `value`, and no `numerator` or `denominator`")
        if self.kind is Kind.FLOW and self.value and self.value.aggregate not in ("sum", "count"):
            raise ValueError("a flow adds up: its aggregate is `sum` or `count`")
        return self


class Milestone(Declared):
    """By the end of day `by`, `share` of the way from baseline to goal."""

    by: date
    share: float = Field(ge=0, le=1)


class Milestones(Declared):
    """A plan curve through given points, straight between them."""

    milestones: tuple[Milestone, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _points_rise(self) -> Self:
        for earlier, later in zip(self.milestones, self.milestones[1:], strict=False):
            if later.by <= earlier.by or later.share < earlier.share:
                raise ValueError(f"milestones must rise in `by` and `share`, and {later.by} not")
        if self.milestones[-1].share != 1:
            raise ValueError("the last milestone must have share 1")
        return self


Curve = Literal["calendar", "workdays", "level"] | Milestones


class Revision(Declared):
    """A re-baselining, recorded and never edited in place; absent keys keep their value."""

    effective: date
    reason: str
    goal: float | None = None
    baseline: float | None = None
    end: date | None = None
    department_goals: dict[Code, float] | None = None
    unallocated: float | None = None


class Target(Declared):
    """A metric, a scope, a window, a baseline, a goal and a plan curve.

    `start` and `end` both count. `goal` is the city's. With `each_department` scope the goals of
    `department_goals` plus `unallocated` sum to it; for a ratio or a level one `department_goal`
    serves every department. `departments` owe it; empty is whoever owes the metric's source.
    Thresholds are of SPI(t), for a level of actual / goal.
    """

    name: Name
    title: str
    metric: Name
    scope: Literal["city", "each_department"]
    start: date
    end: date
    baseline: float = 0
    goal: float
    departments: tuple[Code, ...] = ()
    department_goals: dict[Code, float] = {}
    unallocated: float = 0
    department_goal: float | None = None
    direction: Literal["at_least", "at_most"] = "at_least"
    curve: Curve = "calendar"
    at_risk_below: float = Field(0.95, gt=0, le=1)
    behind_below: float = Field(0.85, gt=0, le=1)
    owner: str = ""
    description: str = ""
    revisions: tuple[Revision, ...] = ()

    @model_validator(mode="after")
    def _window_and_thresholds(self) -> Self:
        if self.end < self.start:
            raise ValueError(f"`end` {self.end} is before `start` {self.start}")
        if self.behind_below > self.at_risk_below:
            raise ValueError("`behind_below` must not exceed `at_risk_below`")
        effective = [revision.effective for revision in self.revisions]
        if effective != sorted(set(effective)):
            raise ValueError("`revisions` must be in order, one per day")
        return self

    def revised(self, as_of: date) -> tuple[int, Target]:
        """The target as it stood on `as_of`: (revision number, 0 for the first; the target)."""
        number, current = 0, self
        for revision in self.revisions:
            if revision.effective <= as_of:
                number += 1
                changes = revision.model_dump(exclude={"effective", "reason"}, exclude_none=True)
                current = current.model_copy(update=changes)
        return number, current


class Department(Declared):
    """Who sends: code, names, group, validity, and who took over."""

    code: Code
    name: str
    short_name: str = ""
    group: str = ""
    region: str = ""
    valid_from: date | None = None
    valid_to: date | None = None
    successor: Code | None = None

    @property
    def label(self) -> str:
        """What tables and messages call it."""
        return self.short_name or self.name

    def valid_on(self, day: date) -> bool:
        """Whether the department exists on `day` (both ends count)."""
        after_start = self.valid_from is None or self.valid_from <= day
        return after_start and (self.valid_to is None or day <= self.valid_to)


class Holiday(Declared):
    """A day that overrules the public calendar: whether it is worked."""

    date: date
    working: bool


class Suite(Declared):
    """A native Great Expectations suite, as GX itself writes it."""

    name: Name
    expectations: tuple[Mapping[str, Any], ...] = ()
    meta: Mapping[str, Any] = {}
    id: str | None = None
    notes: Any = None

    @model_validator(mode="after")
    def _expectations_are_shaped(self) -> Self:
        for position, expectation in enumerate(self.expectations):
            named = isinstance(expectation.get("type"), str)
            if not named or not isinstance(expectation.get("kwargs", {}), Mapping):
                raise ValueError(f"expectations[{position}] needs a `type` and named `kwargs`")
        return self
