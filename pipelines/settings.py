"""Settings of a deployment: where its folders are and how large they may grow."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).resolve().parent.parent
SQL = PROJECT / "warehouse"


class Settings(BaseSettings):
    """One deployment's settings, read from the environment.

    Every field is an environment variable with the prefix CITYBRAIN_: `data_dir` is
    CITYBRAIN_DATA_DIR, and so on.
    """

    model_config = SettingsConfigDict(env_prefix="CITYBRAIN_", frozen=True)

    config_dir: Path | None = Field(None, description="contracts of this deployment")
    data_dir: Path = Field(PROJECT / "data", description="landing, archive, warehouse, published")
    ops_url: SecretStr | None = Field(None, description="operational database (SQLAlchemy URL)")
    notify_urls: SecretStr = Field(SecretStr(""), description="Apprise URLs, blank-separated")
    memory_limit: str = Field("2GB", description="DuckDB's limit per process")
    threads: int = Field(2, ge=1, description="DuckDB threads per process")
    lock_seconds: float = Field(600, ge=0, description="how long a writer waits for another")
    chunk_deliveries: int = Field(500, ge=1, description="deliveries staged and judged together")
    chunk_bytes: int = Field(64 << 20, ge=1, description="bytes staged and judged together")
    max_uncompressed_bytes: int = Field(
        2 << 30, ge=1, description="limit of what one delivery unpacks to"
    )
    max_archive_ratio: int = Field(
        200, ge=1, description="how many times its size an archive above 10 MB may unpack to"
    )
    settle_seconds: float = Field(
        60, ge=0, description="how long a file must have been still before a DAG takes it in"
    )
    keep_generations: int = Field(7, ge=1, description="how many published generations are kept")
    keep_days: int = Field(7, ge=0, description="days whose last generation is kept, too")
    leftover_hours: float = Field(
        24, ge=1, description="how old leftovers of a killed run must be to be removed"
    )
    compress_days: int = Field(7, ge=0, description="after how many days the archive is compressed")
    archive_days: int | None = Field(
        None, ge=1, description="days after which archived bytes that no rebuild needs are deleted"
    )
    log_days: int = Field(30, ge=1, description="days that log files are kept")
    step_days: int = Field(90, ge=1, description="days that the timings of steps are kept")

    @cached_property
    def landing(self) -> Path:
        """The folder where departments' files arrive."""
        return self.data_dir / "landing"

    @cached_property
    def archive(self) -> Path:
        """Raw bytes of every delivery, by hash; never changed."""
        return self.data_dir / "archive"

    @cached_property
    def staging(self) -> Path:
        """Judged deliveries on their way to the warehouse."""
        return self.data_dir / "staging"

    @cached_property
    def warehouse(self) -> Path:
        """The DuckDB file, which has one writer at a time."""
        return self.data_dir / "warehouse.duckdb"

    @cached_property
    def logs(self) -> Path:
        """Folder of the events of commands that change something: JSON lines, a file a day."""
        return self.data_dir / "logs"

    @cached_property
    def published(self) -> Path:
        """Folder of the read-only generations; readers open `citybrain.duckdb` in it."""
        return self.data_dir / "published"

    @cached_property
    def feedback(self) -> Path:
        """Folder of the workbooks for departments to mend, which hold personal data."""
        return self.data_dir / "feedback"

    @cached_property
    def operations_url(self) -> str:
        """SQLAlchemy URL of the operational database."""
        if self.ops_url is not None:
            return self.ops_url.get_secret_value()
        return f"sqlite:///{self.data_dir / 'operations.sqlite'}"
