"""The context that use cases share: settings, the configuration they point to, its calendar."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from pipelines.contracts.catalog import Catalog
from pipelines.contracts.loading import load_catalog
from pipelines.settings import Settings
from pipelines.tracking.calendar import WorkCalendar


@dataclass(frozen=True)
class Deployment:
    """One deployment's settings and sound configuration, made once by a command or a DAG's task.

    A DAG's task makes it of the parts of the configuration that are sound; see
    `dags/configuration.py`.
    """

    settings: Settings
    catalog: Catalog

    @classmethod
    def load(cls, settings: Settings) -> Deployment:
        """Read the configuration that `settings` name; raise ConfigurationError for mistakes."""
        return cls(settings, load_catalog(settings.config_dir))

    @cached_property
    def calendar(self) -> WorkCalendar:
        """China's working days with the configuration's own holidays."""
        return WorkCalendar(self.catalog.holidays)
