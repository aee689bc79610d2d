"""For analysts: the published copy, read-only, in one line.

    from pipelines import published
    published.connect().sql("SELECT * FROM marts.target_pace")
    published.read("SELECT * FROM marts.target_pace")       # a pandas frame
    sqlalchemy_engine = published.engine()

The copy never changes under an open connection: a new one sees the newest generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.errors import NotPublishedError
from pipelines.machine.disks import require_disks
from pipelines.settings import Settings

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    import sqlalchemy as sa

READERS_FILE = "citybrain.duckdb"


def path(settings: Settings | None = None) -> Path:
    """The file of the generation in place; NotPublishedError when there is none yet."""
    settings = settings or Settings()
    file = settings.published / READERS_FILE
    if not file.exists():
        require_disks(settings, settings.published)
        raise NotPublishedError(f"nothing is published at {file}; run `citybrain run` first")
    # the generation itself, so that every generation is a database of its own to DuckDB
    inode = file.stat().st_ino
    generations = (file.parent / "generations").glob("*.duckdb")
    return next((one for one in generations if _inode(one) == inode), file)


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:  # a publication has just retired it
        return None


def connect(settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only DuckDB connection to the generation in place."""
    import duckdb

    return duckdb.connect(path(settings), read_only=True)


def engine(settings: Settings | None = None) -> sa.Engine:
    """A read-only SQLAlchemy engine on the generation in place."""
    from pipelines.engine import open_duckdb

    settings = settings or Settings()
    return open_duckdb(path(settings), settings, read_only=True)


def read(
    query: str, parameters: Sequence[Any] | None = None, settings: Settings | None = None
) -> pd.DataFrame:
    """A query's rows as a pandas frame; `?` stands for each of `parameters`."""
    with connect(settings) as connection:
        return connection.execute(query, parameters).df()
