"""No name in a contract collides with a name of ours: it is refused by the check, or it works.

The names are not listed here: they are read from the catalogue of a migrated warehouse, from what a
published generation has, from the .sql files, and from the query that metrics are compiled to.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from integration.conftest import DAY, RECORDS, City
from integration.staged import Memory, Sent, in_memory

from pipelines.contracts.loading import read_catalog
from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.engine import rows, transaction
from pipelines.errors import UsageError
from pipelines.jobs import night, repairs
from pipelines.settings import SQL
from pipelines.tracking.calendar import WorkCalendar
from pipelines.warehouse.ledger import last_position
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.load import load_chunk
from pipelines.warehouse.loading.replay import replay
from pipelines.warehouse.metrics import metric_values, recompute_metrics
from pipelines.warehouse.publish import verify
from pipelines.warehouse.tables import drop_table, ensure_table

DECLARABLE = re.compile(r"[a-z][a-z0-9_]{0,62}")
# what is created, common table expressions, aliases, qualifiers, and fields of structs
NAMES = re.compile(
    r"""(?:TABLE|VIEW|MACRO|JOIN|FROM|INTO|UPDATE|USING)\s+"?(?P<relation>[a-z]\w*)"?
    | "?\b(?P<cte>[a-z]\w*)"?\s+AS\s+\(
    | \bAS\s+"?(?P<alias>[a-z]\w*)"?
    | \b(?P<qualifier>[a-z]\w*)\.
    | "?\b(?P<field>[a-z]\w*)"?\s*:=
    """,
    re.X,
)
KEPT = re.compile(r'keep\(\s*\w+(?:\.\w+)?,\s*"(\w+)"')
TEMPORARY = re.compile(r"TEMP\s+(?:TABLE|VIEW)\s+(?:temp\.)?([\w{}$]+)")

CONTRACT = RECORDS | {"columns": [*RECORDS["columns"][:2]]}


def contract(name: str) -> dict[str, Any]:
    return CONTRACT | {"name": name}


def total(source: str, by: str | None = None, name: str = "added") -> dict[str, Any]:
    declared: dict[str, Any] = {
        "name": name,
        "title": "合计",
        "unit": "条",
        "kind": "flow",
        "source": source,
        "value": {"aggregate": "sum", "column": "amount"},
    }
    return declared | ({"by": by} if by else {})


@pytest.fixture(scope="module")
def memory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Memory]:
    with in_memory(CONTRACT, tmp_path_factory.mktemp("warehouse")) as made:
        yield made


@pytest.fixture(scope="module")
def catalogue(memory: Memory) -> tuple[set[str], set[str]]:
    """Return the names of relations and schemas, and of columns, in the warehouse and its copy."""
    connection = memory.connection
    relations = {
        name
        for query in (
            "SELECT table_name FROM duckdb_tables()",
            "SELECT view_name FROM duckdb_views() WHERE NOT internal",
            "SELECT schema_name FROM duckdb_schemas()",
            "SELECT database_name FROM duckdb_databases()",
        )
        for (name,) in rows(connection, query)
    }
    columns = {name for (name,) in rows(connection, "SELECT column_name FROM duckdb_columns()")}
    published = json.loads((SQL / "schema.json").read_text(encoding="utf-8"))
    for schema, tables in published.items():
        relations |= {schema, *tables}
        columns |= {column for names in tables.values() for column in names}
    return relations, columns


def names_in_sql(*groups: str, mentioning: str = "") -> set[str]:
    """Return names of the given kinds in .sql files that mention `mentioning`, and in metrics."""
    source = Source.model_validate(RECORDS)
    metric = Metric.model_validate(total("records", by="domain"))
    compiled = str(
        metric_values(source, [metric]).compile(dialect=sa.create_engine("duckdb://").dialect)
    )
    texts = [path.read_text(encoding="utf-8") for path in SQL.rglob("*.sql")]
    texts = [text for text in texts if mentioning in text]
    code = [re.sub(r"--.*|'[^']*'", "", text) for text in (*texts, compiled)]
    return {
        match[group]
        for text in code
        for match in NAMES.finditer(text)
        for group in groups
        if match[group]
    }


def test_temporary_tables_are_named_as_no_source_can_be() -> None:
    code = [path.read_text(encoding="utf-8") for path in Path("pipelines").rglob("*.py")]
    made = {name for text in code for name in KEPT.findall(text)}
    scripts = [path.read_text(encoding="utf-8") for path in (SQL / "loading").rglob("*.sql")]
    made |= {name for text in (*scripts, *code) for name in TEMPORARY.findall(text)}
    assert "_incoming" in made
    assert "_judged" in made
    assert sorted(name for name in made if DECLARABLE.fullmatch(name)) == []


def refused_sources(city: City, names: set[str]) -> set[str]:
    """Return the source names that the check refuses with file, key and mend."""
    for name in names:
        city.source(contract(name))
    _, problems = read_catalog(city.config)
    refused = {re.sub(r"sources/(\w+)\.yaml", r"\1", problem.file): problem for problem in problems}
    assert all(problem.key == "name" and problem.mend for problem in problems), problems
    return names & refused.keys()


def load_two_parts(memory: Memory, source: Source, day: date) -> None:
    """Load two contradicting parts, a correction of one, and then everything again."""
    memory.source = source
    metric = Metric.model_validate(total(source.name, by="item"))
    load = Load(memory.connection, source, [metric], WorkCalendar(), "run")
    chunks = [
        memory.staged(
            Sent(day, [{"item": "x", "amount": 1}, {"item": "y", "amount": 2}], part="p1")
        ),
        memory.staged(
            Sent(day, [{"item": "x", "amount": 5}, {"item": "z", "amount": 4}], part="p2")
        ),
        memory.staged(Sent(day, [{"item": "w", "amount": 8}], part="p1")),
    ]
    for chunk in chunks[:2]:
        load_chunk(load, chunk)
    assert figure(memory, source) == 6
    with transaction(memory.connection):
        replay(load, chunks, (), {})
        recompute_metrics(memory.connection, source, [metric], last_position(memory.connection))
    assert figure(memory, source) == 17
    rest = rows(memory.connection, f'SELECT sum(amount), count(*) FROM main."{source.name}"')
    assert rest == [(17, 3)]


def figure(memory: Memory, source: Source) -> int:
    [(value,)] = rows(
        memory.connection,
        "SELECT value FROM metric_daily WHERE known_until IS NULL AND breakdown = '' "
        "AND metric = 'added' AND business_date = $day",
        day=DAY,
    )
    return int(value)


def test_a_source_may_have_any_name_that_the_check_accepts(
    city: City, memory: Memory, catalogue: tuple[set[str], set[str]]
) -> None:
    relations, _ = catalogue
    beside = names_in_sql("relation", "cte", "qualifier", mentioning="${table}")  # in one query
    names = {name for name in relations | beside if DECLARABLE.fullmatch(name)}
    assert {"purge", "partition_in_force", "incoming", "mended"} <= names
    refused = refused_sources(city, names)
    sources = [Source.model_validate(contract(name)) for name in sorted(names - refused)]
    for source in sources:
        load_two_parts(memory, source, DAY)
        memory.connection.exec_driver_sql("DELETE FROM metric_daily")
    assert verify(memory.connection, [source.name for source in sources]) == 3 * len(sources)


def test_no_source_writes_to_a_table_of_the_warehouse_or_drops_it(
    tmp_path: Path, catalogue: tuple[set[str], set[str]]
) -> None:
    with in_memory(CONTRACT, tmp_path) as memory:
        tables = {
            name
            for (name,) in rows(
                memory.connection,
                "SELECT table_name FROM duckdb_tables() UNION SELECT view_name FROM duckdb_views() "
                "WHERE NOT internal",
            )
        }
        assert {"purge", "delivery", "partition_in_force"} <= tables
        for name in tables:
            source = Source.model_validate(contract(name))
            for touch in (drop_table, ensure_table):
                with pytest.raises(UsageError, match=f"{name}.yaml: name: .* another name"):
                    touch(memory.connection, source)


def accepted_columns(city: City, names: set[str]) -> list[dict[str, Any]]:
    """Declare columns by some names; return those that the check lets pass.

    What it refuses, it refuses with file, key and mend.
    """
    declared = [{"name": name, "header": [name], "type": "text"} for name in sorted(names)]
    city.source(RECORDS, columns=[*CONTRACT["columns"], *declared])
    _, problems = read_catalog(city.config)
    refused = {problem.message.split()[0] for problem in problems}
    assert refused <= names
    assert all(problem.file == "sources/records.yaml" and problem.mend for problem in problems)
    numbers = {"increment": "integer", "cumulative": "integer"}
    return [
        column
        | {"type": numbers.get(column["name"], "text"), "required": column["name"] in TOTALS_BY}
        for column in declared
        if column["name"] not in refused
    ]


TOTALS_BY = ["item", "breakdown", "position", "rows"]
# The names of the columns are as contrary as can be.
TOTALS = {"cumulative": "increment", "increment": "cumulative", "by": TOTALS_BY}


def declarable(names: set[str]) -> set[str]:
    return {name for name in names if DECLARABLE.fullmatch(name)} - {"item", "amount"}


def filled(columns: Sequence[Mapping[str, Any]], item: str, amount: int) -> dict[str, Any]:
    """Return a row with a value in every column."""
    cells = {column["name"]: 7 if column["type"] == "integer" else "a" for column in columns}
    return {"item": item, "amount": amount} | cells


PARTS = [[("x", 1), ("y", 2), ("c", 3)], [("x", 5), ("z", 4), ("c", 3)], [("w", 8)]]


def test_loading_works_with_every_column_name_that_the_check_accepts(
    city: City, catalogue: tuple[set[str], set[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    _, names = catalogue
    names = names | names_in_sql("cte", "alias", "qualifier", "field", "relation") | {"why", "now"}
    columns = accepted_columns(city, declarable(names))
    assert {"why", "now", "is_welcome", "position"} <= {column["name"] for column in columns}
    declared = RECORDS | {"columns": [*CONTRACT["columns"], *columns], "totals": [TOTALS]}
    with in_memory(declared, tmp_path_factory.mktemp("columns")) as memory:
        breakdowns = [column["name"] for column in columns[::40]]
        metrics = [
            Metric.model_validate(total("records", by=by, name=f"added_{by}"))
            for by in (*breakdowns, "item")
        ]
        load = Load(memory.connection, memory.source, metrics, WorkCalendar(), "run")
        chunks = [
            memory.staged(Sent(DAY, [filled(columns, *row) for row in part_rows], part=part))
            for part_rows, part in zip(PARTS, ("p1", "p2", "p1"), strict=True)
        ]
        for chunk, figure in zip(chunks, (6, 9, 20), strict=True):
            load_chunk(load, chunk)
            assert totals_known(memory) == {figure}
        with transaction(memory.connection):
            replay(load, chunks, (), {})
            recompute_metrics(
                memory.connection, memory.source, metrics, last_position(memory.connection)
            )
        assert totals_known(memory) == {20}


def totals_known(memory: Memory) -> set[int]:
    query = "SELECT value FROM metric_daily WHERE known_until IS NULL AND breakdown = ''"
    return {int(value) for (value,) in rows(memory.connection, query)}


def test_a_delivery_works_with_column_names_that_staging_uses_itself(city: City) -> None:
    """Test a third of the names from landing to the published copy: staging takes half a minute."""
    beside = names_in_sql("alias", "qualifier", mentioning="${") | {"why", "now", "breakdown"}
    columns = accepted_columns(city, declarable(set(sorted(beside)[::3])))
    city.source(RECORDS, columns=[*CONTRACT["columns"], *columns])
    city.metrics(total("records", by=columns[0]["name"]))
    header = ("事项", "数量", *(column["name"] for column in columns))
    files = [[tuple(filled(columns, *row).values()) for row in part] for part in PARTS]
    city.land(files[0], part="p1", header=header)
    city.land(files[1], part="p2", header=header)
    city.take()
    assert city.rows("SELECT sum(amount), count(*) FROM records") == [(9, 3)]
    city.send(files[2], part="p1", header=header)
    assert city.rows("SELECT sum(amount), count(*) FROM records") == [(20, 4)]
    repairs.rebuild(city.deployment, "records")
    assert city.rows(
        "SELECT DISTINCT value FROM metric_daily WHERE known_until IS NULL AND breakdown = ''"
    ) == [(20,)]
    night.publish(city.deployment)
