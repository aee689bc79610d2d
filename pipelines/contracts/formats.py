"""The formats that a source accepts, and how files of each are written."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from pipelines.contracts.declared import Code, Declared
from pipelines.contracts.extensions import EXTENSIONS_BY_FORMAT

EncodingName = Literal["utf-8", "gb18030", "utf-16"]
ENCODINGS: tuple[EncodingName, ...] = get_args(EncodingName)
# The names by which pages and XML files say their encodings. GB18030 contains GBK and GB2312.
ENCODING_NAMES: dict[str, EncodingName] = {name: name for name in ENCODINGS} | {
    "utf8": "utf-8",
    "gbk": "gb18030",
    "gb2312": "gb18030",
    "x-gbk": "gb18030",
    "unicode": "utf-16",
    "utf-16le": "utf-16",
    "utf-16be": "utf-16",
}


def _as_gb18030(value: object) -> object:
    return ENCODING_NAMES[str(value)] if value in ("gbk", "gb2312") else value


Encoding = Annotated[EncodingName, BeforeValidator(_as_gb18030)]


class CsvDialect(Declared, title="CSV dialect"):
    """The way in which one department writes its CSV files."""

    encoding: Encoding = Field(
        "utf-8",
        description="Encoding of the files, decoded strictly and never guessed; `gbk` and `gb2312` "
        "are read as `gb18030`, which contains them.",
        examples=["gb18030"],
    )
    delimiter: str = Field(
        ",",
        pattern=r"^[ -~\t]$",
        description='Character between the cells; in YAML a tab is `"\\t"`.',
        examples=[";"],
    )
    quote: str = Field(
        '"',
        pattern=r"^[ -~]$",
        description="Character around cells that hold delimiters or line breaks.",
        examples=["'"],
    )
    short_rows: Literal["quarantine", "pad"] = Field(
        "quarantine",
        description="What becomes of a row whose last cells are missing: it is quarantined, or "
        "filled with empty cells, for programs that leave trailing delimiters out.",
        examples=["pad"],
    )


class CsvFormat(CsvDialect, title="CSV"):
    """The way in which CSV files are written, and the departments that write them otherwise."""

    departments: dict[Code, CsvDialect] = Field(
        {},
        description="Dialects of the departments that write another one, by their codes; what a "
        "dialect leaves out has its usual default.",
        examples=[{"wjw": {"encoding": "utf-8"}}],
    )

    def dialect(self, department: str | None) -> CsvDialect:
        """Return the dialect of a department; None stands for a file of many departments."""
        return self.departments.get(department or "", self)


class WorkbookFormat(Declared, title="Workbooks"):
    """The sheets of a workbook (`xlsx`, `xls`, `xlsb`, `ods`) that hold the rows.

    The header row is found by its headers, below any title rows.
    """

    sheet: int | str = Field(
        0,
        description="The one sheet with the rows: its position, counted from 0, or its name.",
        examples=["明细"],
    )
    sheets: Literal["all", "continued"] | tuple[str, ...] | None = Field(
        None,
        description="Several sheets that are read as one delivery, instead of `sheet`: named ones "
        "or `all`, each with a header, or `continued`: the first sheet, and those after it that go "
        "on with its rows, whether they repeat the header or not.",
        examples=["all"],
    )
    hidden_rows: Literal["take", "ignore"] = Field(
        "take", description="What becomes of hidden rows.", examples=["ignore"]
    )
    hidden_sheets: Literal["take", "ignore"] = Field(
        "take", description="What becomes of hidden sheets.", examples=["ignore"]
    )

    @model_validator(mode="after")
    def _sheets_are_said_once(self) -> Self:
        """Refuse `sheet` and `sheets` together."""
        if self.sheets is not None and "sheet" in self.model_fields_set:
            raise ValueError("say `sheet` or `sheets`, not both")
        return self


class HtmlFormat(Declared, title="HTML"):
    """The table of a web page that holds the rows."""

    table: int = Field(
        0,
        ge=0,
        description="Position of the table among those that have rows, counted from 0.",
        examples=[1],
    )
    encoding: Encoding = Field(
        "utf-8", description="Encoding of pages that do not name theirs.", examples=["gb18030"]
    )


class JsonFormat(Declared, title="JSON"):
    """The place of the array of records in a JSON document.

    Headers of the columns are the keys of a record, `contact/phone` for an object inside it; so
    they are in JSON lines.
    """

    records: str = Field(
        "",
        description="Keys that lead to the array, from the outermost on, with dots between them; "
        "empty when the document is the array.",
        examples=["data.rows"],
    )


class XmlFormat(Declared, title="XML"):
    """The element of an XML document that is a row.

    Headers of the columns are the names of its children, `contact/phone` for one inside another,
    and its attributes, `@id`.
    """

    record: str = Field(
        min_length=1,
        description="Path of the element, from the root's name on.",
        examples=["data/records/record"],
    )


class ZipFormat(Declared, title="ZIP"):
    """The content of an archive."""

    members: Literal["one", "all"] = Field(
        "one",
        description="One file of data, or several that are read as one delivery.",
        examples=["all"],
    )


class NoOptions(Declared, title="Formats without options"):
    """A format that needs no options, written `{}`."""


def _accepted(format_name: str) -> str:
    """Describe a format by the ends of its files' names."""
    return f"Files whose names end in {', '.join(EXTENSIONS_BY_FORMAT[format_name])}."


class Formats(Declared, title="Formats"):
    """The formats that the source accepts; a file of any other format is refused.

    `{}` accepts a format as it usually is. Files packed as `.gz` or `.zip` are accepted always.
    """

    csv: CsvFormat | None = Field(
        None, description=_accepted("csv"), examples=[{"encoding": "gb18030"}]
    )
    xlsx: WorkbookFormat | None = Field(
        None, description=_accepted("xlsx"), examples=[{"sheets": "all", "hidden_rows": "ignore"}]
    )
    xls: WorkbookFormat | None = Field(None, description=_accepted("xls"), examples=[{}])
    xlsb: WorkbookFormat | None = Field(None, description=_accepted("xlsb"), examples=[{}])
    ods: WorkbookFormat | None = Field(None, description=_accepted("ods"), examples=[{}])
    html: HtmlFormat | None = Field(None, description=_accepted("html"), examples=[{"table": 0}])
    json_: JsonFormat | None = Field(
        None, alias="json", description=_accepted("json"), examples=[{"records": "data.rows"}]
    )
    jsonl: NoOptions | None = Field(None, description=_accepted("jsonl"), examples=[{}])
    xml: XmlFormat | None = Field(
        None, description=_accepted("xml"), examples=[{"record": "data/records/record"}]
    )
    parquet: NoOptions | None = Field(None, description=_accepted("parquet"), examples=[{}])
    zip: ZipFormat = Field(
        ZipFormat(),
        description="What a `.zip` holds of the formats above.",
        examples=[{"members": "all"}],
    )

    @property
    def declared(self) -> tuple[str, ...]:
        """Return the names of the accepted formats, as contracts write them."""
        return tuple(
            key.alias or name
            for name, key in type(self).model_fields.items()
            if name != "zip" and getattr(self, name) is not None
        )
