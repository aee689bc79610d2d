"""Deliveries as if staged, for a warehouse in memory: what loading makes of them, in no time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa

from pipelines.contracts.columns import LINEAGE_COLUMNS
from pipelines.contracts.sources import Source
from pipelines.deliveries.delivery import (
    Accounting,
    Delivery,
    Judgement,
    PartitionRows,
    Profile,
    StagedChunk,
    Verdict,
)
from pipelines.engine import open_duckdb
from pipelines.schema import migrate
from pipelines.settings import Settings
from pipelines.tracking.calendar import WorkCalendar
from pipelines.warehouse.loading.context import Load
from pipelines.warehouse.loading.load import load_chunk

TYPES = {
    "text": pa.string(),
    "integer": pa.int64(),
    "decimal": pa.decimal128(28, 6),
    "date": pa.date32(),
}
REASON = pa.struct([(name, pa.string()) for name in ("code", "column", "value", "expected")])
QUARANTINE = {
    "delivery_id": pa.string(),
    "department": pa.string(),
    "business_date": pa.date32(),
    "sheet": pa.string(),
    "row_number": pa.int64(),
    "row_text": pa.string(),
    "reasons": pa.list_(REASON),
}
RECEIVED = datetime(2021, 10, 1)


@dataclass(frozen=True)
class Sent:
    """Describe what a delivery brings: rows as mappings of the contract's columns."""

    day: date
    rows: Sequence[Mapping[str, Any]] = ()
    department: str = "a"
    part: str = ""
    overruled: str | None = None
    profile: Profile | None = None


@dataclass
class Memory:
    """A warehouse in memory; deliveries are received a minute apart, in the order of loading."""

    connection: sa.Connection
    source: Source
    folder: Path
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def load(self, *wave: Sent) -> list[Judgement]:
        """Load deliveries staged together; return what became of each."""
        load = Load(self.connection, self.source, (), WorkCalendar(), "run")
        return load_chunk(load, self.staged(*wave))[: len(wave)]

    def staged(self, *wave: Sent) -> StagedChunk:
        """Write deliveries as staging would have, together."""
        numbered = [(next(self.numbers), sent) for sent in wave]
        judgements = tuple(self._judgement(number, sent) for number, sent in numbered)
        folder = self.folder / str(numbered[0][0])  # DuckDB remembers a file that it has read
        folder.mkdir()
        chunk = StagedChunk(source=self.source.name, folder=folder, judgements=judgements)
        pq.write_table(self._rows(numbered), chunk.accepted)
        nothing = pa.schema(list(QUARANTINE.items())).empty_table()
        pq.write_table(nothing, chunk.quarantined)
        return chunk

    def _judgement(self, number: int, sent: Sent) -> Judgement:
        rows = len(sent.rows)
        return Judgement(
            delivery=Delivery(
                delivery_id=f"{number:08}",
                source=self.source.name,
                department=sent.department,
                business_date=sent.day,
                part=sent.part,
                path=Path("x.csv"),
                format="csv",
                size=1,
                sha256=f"{number:064}",
                received_at=RECEIVED + timedelta(minutes=number),
                contract_hash="",
                overruled=sent.overruled,
            ),
            verdict=Verdict.ACCEPTED,
            accounting=Accounting(
                rows_read=rows, accepted=rows, quarantined=0, duplicates=0, ignored=0, withheld=0
            ),
            partitions=(
                PartitionRows(department=sent.department, business_date=sent.day, rows=rows),
            ),
            profile=sent.profile,
        )

    def _rows(self, numbered: Sequence[tuple[int, Sent]]) -> pa.Table:
        kinds = {name: kind for name, (kind, _) in LINEAGE_COLUMNS.items()}
        kinds |= {column.name: column.type for column in self.source.columns}
        fields = {name: TYPES[kind] for name, kind in kinds.items()}
        made = [
            {
                "department": sent.department,
                "business_date": sent.day,
                "part": sent.part,
                "delivery_id": f"{number:08}",
                "sheet": "",
                "row_number": at,
                **row,
            }
            for number, sent in numbered
            for at, row in enumerate(sent.rows, start=2)
        ]
        return pa.Table.from_pylist(made, schema=pa.schema(list(fields.items())))


@contextmanager
def in_memory(declared: Mapping[str, Any], folder: Path) -> Iterator[Memory]:
    """Yield an empty warehouse for the contract `declared`."""
    settings = Settings(data_dir=folder, threads=1)
    engine = open_duckdb(None, settings)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            migrate(connection, "warehouse")
            yield Memory(connection, Source.model_validate(declared), folder)
    finally:
        engine.dispose()
