"""The formats that a source accepts, and how files of each are written."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from pipelines.contracts.declared import Code, Declared


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

    departments: dict[Code, CsvDialect] = Field({})

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
