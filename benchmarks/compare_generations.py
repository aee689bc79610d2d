"""Compare two published generations, table by table.

    python benchmarks/compare_generations.py OLD.duckdb NEW.duckdb

Prints, per table, the rows of each and how many rows only one of them has. Columns that say when or
by which run something was computed differ always and are left out (VOLATILE). The exit code is 1
when a table differs.
"""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

# Times of this machine's clock, names of runs, hashes of the configuration's wording.
VOLATILE = frozenset(
    {
        "run_id",
        "started_at",
        "finished_at",
        "judged_at",
        "raised_at",
        "created_at",
        "sent_at",
        "decided_at",
        "published_at",
        "effective_at",
        "recorded_at",
        "seconds",
        "stage_seconds",
        "configuration_hash",
        "contract_hash",
        "hash",
        "content",
        "path",
        "number",
    }
)


def columns_of(connection: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    """Return the columns of every table and view, by `schema.table`."""
    rows = connection.execute(
        "SELECT schema_name || '.' || table_name, list(column_name ORDER BY column_index) "
        "FROM duckdb_columns() WHERE NOT internal AND database_name = current_database() "
        "GROUP BY 1"
    ).fetchall()
    return dict(rows)


def compare(old: Path, new: Path) -> int:
    """Print the differences between two generations; return 1 if there are any, else 0."""
    # Each has a connection of its own: a view of an attached database may not find its tables.
    first, second = duckdb.connect(old, read_only=True), duckdb.connect(new, read_only=True)
    memory = duckdb.connect()
    before, after = columns_of(first), columns_of(second)
    differs = False
    print(f"{'table':<36}{'old rows':>10}{'new rows':>10}{'only old':>10}{'only new':>10}")
    for table in sorted(before.keys() | after.keys()):
        if table not in before or table not in after:
            print(f"{table:<36}only in the {'new' if table in after else 'old'} generation")
            differs = True
            continue
        changed = set(before[table]) ^ set(after[table])
        shared = [name for name in before[table] if name in after[table]]
        compared = ", ".join(f'"{name}"' for name in shared if name not in VOLATILE)
        for name, connection in (("old", first), ("new", second)):
            rows = connection.execute(f"SELECT {compared} FROM {table}").to_arrow_table()
            memory.register(f"{name}_rows", rows)
        [counts] = memory.execute(
            "SELECT (SELECT count(*) FROM old_rows), (SELECT count(*) FROM new_rows), "
            "(SELECT count(*) FROM (FROM old_rows EXCEPT ALL FROM new_rows)), "
            "(SELECT count(*) FROM (FROM new_rows EXCEPT ALL FROM old_rows))"
        ).fetchall()
        note = f"  columns in one only: {', '.join(sorted(changed))}" if changed else ""
        print(f"{table:<36}" + "".join(f"{count:>10}" for count in counts) + note)
        differs = differs or any(counts[2:]) or bool(changed)
    return 1 if differs else 0


if __name__ == "__main__":
    sys.exit(compare(Path(sys.argv[1]), Path(sys.argv[2])))
