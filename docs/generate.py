"""Write the files of this repository that are derived from its code: `make docs`.

    python docs/generate.py            write them
    python docs/generate.py --check    name those that are stale, and exit with 1 if there are any

A new one is a function that returns the file's whole text, and a line in DOCUMENTS.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

from contract_reference import contracts_markdown
from reason_reference import reasons_markdown

from pipelines import published
from pipelines.deployment import Deployment
from pipelines.jobs import night
from pipelines.settings import PROJECT, Settings

COLUMNS = """
SELECT schema_name, table_name, column_name, data_type, comment
FROM duckdb_columns()
WHERE database_name = current_database() AND NOT internal
ORDER BY schema_name, table_name, column_index
"""
SCHEMAS = """
SELECT schema_name
FROM duckdb_schemas()
WHERE database_name = current_database() AND (NOT internal OR schema_name = 'main')
ORDER BY schema_name
"""


class Column(NamedTuple):
    """A column of a published table or view, as DuckDB's catalogue has it."""

    schema: str
    table: str
    name: str
    type: str
    comment: str


@cache
def published_catalogue() -> tuple[list[str], list[Column]]:
    """Publish an empty deployment and return the schemas and columns of its generation.

    The generation has the migrated warehouse's tables, the marts and the operational tables, but
    no source's: those depend on a deployment's contracts.
    """
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings(data_dir=Path(folder), ops_url=None, config_dir=None)
        night.publish(Deployment.load(settings))
        with published.connect(settings) as connection:
            schemas = [name for (name,) in connection.execute(SCHEMAS).fetchall()]
            return schemas, [Column(*row) for row in connection.execute(COLUMNS).fetchall()]


def schema_json() -> str:
    """Return warehouse/schema.json: schema, table or view, columns."""
    schemas, columns = published_catalogue()
    tables: dict[str, dict[str, list[str]]] = {schema: {} for schema in schemas}
    for column in columns:
        tables[column.schema].setdefault(column.table, []).append(column.name)
    return json.dumps(tables, indent=2) + "\n"


DOCUMENTS: dict[Path, Callable[[], str]] = {
    PROJECT / "docs" / "contracts.md": contracts_markdown,
    PROJECT / "docs" / "reasons.md": reasons_markdown,
    PROJECT / "warehouse" / "schema.json": schema_json,
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
