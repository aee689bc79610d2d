"""Open the published generation for analysts: read-only, at any hour, in a line.

    from pipelines import published

    published.read("SELECT * FROM marts.target_pace")  # a pandas frame
    with published.connect() as connection:  # DuckDB's own connection
        connection.sql("SELECT * FROM marts.target_pace").show()
    with published.engine().connect() as connection:  # SQLAlchemy's
        connection.exec_driver_sql("SELECT * FROM marts.target_pace").all()

Close a connection, or leave its `with`, before the next publication is of interest: a generation
never changes under an open connection, and a new connection sees the newest.
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
    """Return the file of the generation in place; raise NotPublishedError before the first."""
    settings = settings or Settings()
    file = settings.published / READERS_FILE
    if not file.exists():
        require_disks(settings, settings.published)
        raise NotPublishedError(f"nothing is published at {file}; run `citybrain run` first")
    # DuckDB takes two openings of a path for one database, even if the file was replaced between
    # them. So return the path of the generation itself; the readers' file is a hard link to it.
    inode = file.stat().st_ino
    generations = (file.parent / "generations").glob("*.duckdb")
    return next((each for each in generations if _inode(each) == inode), file)


def _inode(file: Path) -> int | None:
    try:
        return file.stat().st_ino
    except FileNotFoundError:  # a publication has retired it since it was listed
        return None


def connect(settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """Open a read-only DuckDB connection to the generation in place."""
    import duckdb

    return duckdb.connect(path(settings), read_only=True)


def engine(settings: Settings | None = None) -> sa.Engine:
    """Return a read-only SQLAlchemy engine on the generation in place."""
    from pipelines.engine import open_duckdb

    settings = settings or Settings()
    return open_duckdb(path(settings), settings, read_only=True)


def read(
    query: str, parameters: Sequence[Any] | None = None, settings: Settings | None = None
) -> pd.DataFrame:
    """Return a query's rows as a pandas frame; `?` stands for each of `parameters`."""
    with connect(settings) as connection:
        return connection.execute(query, parameters).df()
