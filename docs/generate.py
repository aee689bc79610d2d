"""Write the files of this repository that are derived from its code: `make docs`.

    python docs/generate.py            write them
    python docs/generate.py --check    name those that are stale, and exit with 1 if there are any

A new one is a function that returns the file's whole text, and a line in DOCUMENTS.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

# An installed package may be another checkout's; the files written are those of this one.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from contract_reference import contracts_markdown
from reason_reference import reasons_markdown

from pipelines import published
from pipelines.deployment import Deployment
from pipelines.jobs import night
from pipelines.settings import PROJECT, Settings
from pipelines.tracking.pace import pace_columns
from pipelines.warehouse.tables import LINEAGE

COLUMNS = """
SELECT schema_name, table_name, column_name, data_type, comment
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY schema_name, table_name, column_index
"""
TABLES = """
SELECT schema_name || '.' || table_name, comment
FROM (
    SELECT database_name, internal, schema_name, table_name, comment FROM duckdb_tables()
    UNION ALL
    SELECT database_name, internal, schema_name, view_name, comment FROM duckdb_views()
)
WHERE database_name = current_database() AND NOT internal
"""
SCHEMAS = """
SELECT schema_name
FROM duckdb_schemas()
WHERE database_name = current_database() AND (NOT internal OR schema_name = 'main')
ORDER BY schema_name
"""


QUERY = PROJECT / "docs" / "query.md"
GENERATED = "<!-- From here on written by docs/generate.py (`make docs`): do not edit. -->\n"


class Column(NamedTuple):
    """A column of a published table or view, as DuckDB's catalogue has it."""

    schema: str
    table: str
    name: str
    type: str
    comment: str | None


class Catalogue(NamedTuple):
    """DuckDB's catalogue of a generation: schemas, comments by `schema.table`, columns."""

    schemas: list[str]
    comments: dict[str, str | None]
    columns: list[Column]


@cache
def published_catalogue() -> Catalogue:
    """Publish an empty deployment and return the catalogue of its generation.

    The generation has the migrated warehouse's tables, the marts and the operational tables, but
    no source's: those depend on a deployment's contracts.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), ops_url=None, config_dir=None)
        night.publish(Deployment.load(settings))
        with published.connect(settings) as connection:
            return Catalogue(
                [name for (name,) in connection.execute(SCHEMAS).fetchall()],
                dict(connection.execute(TABLES).fetchall()),
                [Column(*row) for row in connection.execute(COLUMNS).fetchall()],
            )


def schema_json() -> str:
    """Return warehouse/schema.json: schema, table or view, columns."""
    catalogue = published_catalogue()
    tables: dict[str, dict[str, list[str]]] = {schema: {} for schema in catalogue.schemas}
    for column in catalogue.columns:
        tables[column.schema].setdefault(column.table, []).append(column.name)
    return json.dumps(tables, indent=2) + "\n"


def query_document() -> str:
    """Return docs/query.md: its hand-written part, then pace's columns and the dictionary."""
    written = QUERY.read_text(encoding="utf-8").partition(GENERATED)[0]
    shown = [
        (
            f"`{name}`",
            column.chinese,
            column.meaning,
            "target" if name in ("target", "department") else column.heading,
            "yes" if column.in_json else "",
            "yes" if column.in_mart else "",
        )
        for name, (_, column) in pace_columns().items()
    ]
    parts = [
        "## Columns of pace\n\nThe table `pace` has them all.\n",
        table(("column", "说明", "meaning", "`status`", "`status --json`", "`target_pace`"), shown),
        "## Data dictionary\n\nEach source has a table of its name besides: the columns that its "
        "contract declares, and\nwhere each row came from.\n",
        table(
            ("column", "type", "说明"),
            [(f"`{name}`", kind, comment) for name, (kind, comment) in LINEAGE.items()],
        ),
    ]
    catalogue = published_catalogue()
    by_table: dict[str, list[Column]] = {}
    for column in catalogue.columns:
        by_table.setdefault(f"{column.schema}.{column.table}", []).append(column)
    for name in sorted(by_table, key=lambda name: (not name.startswith("marts."), name)):
        comment = catalogue.comments[name]
        if comment is None:  # Alembic's own
            continue
        parts.append(f"### {name.removeprefix('main.')}\n\n{comment}\n")
        cells = [(f"`{each.name}`", each.type, each.comment or "") for each in by_table[name]]
        parts.append(table(("column", "type", "说明"), cells))
    return written + GENERATED + "\n" + "\n".join(parts)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines
    )


DOCUMENTS: dict[Path, Callable[[], str]] = {
    PROJECT / "docs" / "contracts.md": contracts_markdown,
    PROJECT / "docs" / "reasons.md": reasons_markdown,
    PROJECT / "warehouse" / "schema.json": schema_json,
    QUERY: query_document,
}


def main(arguments: list[str]) -> int:
    """Write every document, or with --check only name the stale ones; return the exit code."""
    stale = []
    for path, generate in DOCUMENTS.items():
        text = generate()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.relative_to(PROJECT))
            if "--check" not in arguments:
                path.write_text(text, encoding="utf-8")
    for path in stale:
        print(f"{path} is stale (run `make docs`)" if "--check" in arguments else f"wrote {path}")
    return 1 if stale and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
