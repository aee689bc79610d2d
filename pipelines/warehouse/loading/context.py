"""Hold what every step of loading needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from pipelines.contracts.metrics import Metric
from pipelines.contracts.sources import Source
from pipelines.deployment import Deployment
from pipelines.tracking.calendar import WorkCalendar


@dataclass(frozen=True)
class Load:
    """Deliveries of one source on their way into the warehouse, for one run.

    `cause` is what the ledger says of the judgements: landing, accept, withdraw or rebuild. A
    rebuild replays the removals of partitions from the ledger position `since` on; earlier ones
    do not count. No `metrics`: they are computed later.
    """

    connection: sa.Connection
    source: Source
    metrics: Sequence[Metric]
    calendar: WorkCalendar
    run_id: str
    cause: str = "landing"
    since: int = 0

    @classmethod
    def of(
        cls,
        connection: sa.Connection,
        deployment: Deployment,
        source: str,
        run_id: str,
        cause: str = "landing",
    ) -> Load:
        """Return the load of a source by what the deployment declares of it."""
        catalog = deployment.catalog
        metrics = catalog.metrics_of(source)
        return cls(connection, catalog.sources[source], metrics, deployment.calendar, run_id, cause)
