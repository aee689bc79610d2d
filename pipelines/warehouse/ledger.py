"""Read and write the ledger: positions, deliveries, decisions, configurations, runs.

A position numbers every entry, so that "as known then" is a comparison of positions.
"""

from __future__ import annotations

import getpass
import json
from collections.abc import Collection, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import sqlalchemy as sa

from pipelines import clock
from pipelines.contracts.catalog import Catalog
from pipelines.deliveries.delivery import Accounting, Delivery, Judgement, Origin, Verdict, slot_day
from pipelines.deliveries.reasons import Reason
from pipelines.engine import keep, rows, run, sql, transaction
from pipelines.errors import UsageError


def next_position(connection: sa.Connection) -> int:
    """Return the ledger position that the next entry takes."""
    return last_position(connection) + 1


def last_position(connection: sa.Connection) -> int:
    """Return the newest ledger position; 0 in an empty ledger."""
    query = (
        "SELECT greatest(coalesce((SELECT max(position) FROM delivery), 0), "
        "coalesce((SELECT max(position) FROM decision), 0), "
        "coalesce((SELECT max(position) FROM configuration), 0))"
    )
    return int(rows(connection, query)[0][0])


def recorded(
    connection: sa.Connection, deliveries: Sequence[Delivery]
) -> set[tuple[str, datetime]]:
    """Return the receipts among `deliveries` that the ledger has, unchanged ones included."""
    if not deliveries:
        return set()
    _keep_candidates(connection, deliveries)
    receipts = rows(
        connection,
        "SELECT DISTINCT delivery_id, received_at FROM delivery "
        "INNER JOIN _candidate USING (delivery_id, received_at)",
    )
    return set(map(tuple, receipts))


def newest_inputs(
    connection: sa.Connection, deliveries: Sequence[Delivery]
) -> dict[tuple[str, ...], sa.Row[Any]]:
    """Return what was last received for each slot of `deliveries`, and if it still `stands`."""
    if not deliveries:
        return {}
    _keep_candidates(connection, deliveries)
    return {
        (row.source, row.department, slot_day(row.business_date), row.part): row
        for row in rows(connection, sql("loading/slots.sql"))
    }


def _keep_candidates(connection: sa.Connection, candidates: Sequence[Delivery]) -> None:
    """Put what identifies the deliveries and their slots into the temporary table `_candidate`."""
    table = pa.table(
        {
            "delivery_id": [delivery.delivery_id for delivery in candidates],
            "source": [delivery.source for delivery in candidates],
            "department": [delivery.department or "all" for delivery in candidates],
            "business_date": pa.array(
                [delivery.business_date for delivery in candidates], pa.date32()
            ),
            "part": [delivery.part for delivery in candidates],
            "received_at": pa.array(
                [delivery.received_at for delivery in candidates], pa.timestamp("us")
            ),
        }
    )
    keep(connection, "_candidate", table)


def find_delivery(connection: sa.Connection, prefix: str) -> sa.Row[Any]:
    """Return the latest judgement of the delivery whose id starts with `prefix`.

    Raise UsageError if there is none, or more than one such delivery.
    """
    matches: list[sa.Row[Any]] = rows(
        connection,
        "SELECT * FROM delivery WHERE starts_with(delivery_id, $prefix) AND verdict <> 'unchanged' "
        "QUALIFY row_number() OVER (PARTITION BY delivery_id ORDER BY received_at DESC, "
        "position DESC) = 1",
        prefix=prefix,
    )
    if len(matches) != 1:
        known = f"{len(matches)} deliveries have" if matches else "no delivery has"
        raise UsageError(f"{known} an id starting with {prefix!r}; see `citybrain deliveries`")
    return matches[0]


def delivery_of(row: sa.Row[Any], contract_hash: str, overruled: str | None = None) -> Delivery:
    """Return the delivery that a ledger row judged, to be judged again from the archive."""
    return Delivery(
        delivery_id=row.delivery_id,
        source=row.source,
        department=row.department,
        business_date=row.business_date,
        part=row.part,
        path=Path(row.file_name),
        format=row.format,
        size=row.size,
        sha256=row.sha256,
        received_at=row.received_at,
        contract_hash=contract_hash,
        overruled=overruled,
        corrects=tuple(Origin(**origin) for origin in row.corrects or ()),
    )


def deliveries_to_rebuild(connection: sa.Connection, source: str) -> list[sa.Row[Any]]:
    """Return the source's receipts in their order, without those that repeat the one before.

    `overruled` is the reason of an acceptance that a person has decided since.
    """
    return rows(connection, sql("loading/receipts.sql"), source=source)


def withdrawals(connection: sa.Connection, source: str) -> list[tuple[datetime, str]]:
    """Return the withdrawals of a source in their order: (when, delivery id)."""
    decisions = rows(
        connection,
        "SELECT decided_at, delivery_id FROM decision "
        "WHERE kind = 'withdraw' AND source = $source ORDER BY position",
        source=source,
    )
    return [(at, delivery_id) for at, delivery_id in decisions]


def forget_partitions(connection: sa.Connection, source: str, position: int) -> None:
    """Close every partition of a source that is about to be rebuilt."""
    run(
        connection,
        "UPDATE delivery_partition SET known_until = $position "
        "WHERE source = $source AND known_until IS NULL",
        source=source,
        position=position,
    )


def decide(
    connection: sa.Connection, kind: str, row: sa.Row[Any], reason: str, position: int
) -> None:
    """Record a person's decision on a delivery (`accept` or `withdraw`)."""
    run(
        connection,
        "INSERT INTO decision (position, kind, delivery_id, source, department, "
        "business_date, part, reason, decided_by, decided_at) VALUES ($position, $kind, "
        "$delivery_id, $source, $department, $business_date, $part, $reason, $by, $at)",
        position=position,
        kind=kind,
        delivery_id=row.delivery_id,
        source=row.source,
        department=row.department,
        business_date=row.business_date,
        part=row.part,
        reason=reason,
        by=getpass.getuser(),
        at=clock.now(),
    )


def is_in_force(connection: sa.Connection, catalog: Catalog) -> bool:
    """Tell if the catalog's configuration is the one that the ledger recorded last."""
    query = "SELECT arg_max(hash, effective_at) FROM configuration"
    return bool(rows(connection, query)[0][0] == catalog.configuration_hash)


def redefined_sources(connection: sa.Connection, catalog: Catalog) -> set[str]:
    """Return the sources whose metrics were declared otherwise until now, to be computed anew."""
    query = "SELECT content FROM configuration ORDER BY effective_at DESC LIMIT 1"
    latest = rows(connection, query)
    return {
        metric.source
        for metric in catalog.metrics.values()
        if latest
        and latest[0].content.get(f"metric:{metric.name}") != metric.model_dump(mode="json")
    }


def record_configuration(connection: sa.Connection, catalog: Catalog, redefines: bool) -> None:
    """Store a configuration that is not in force yet, and the departments' names.

    A configuration that redefines metrics takes a position, from which their values are known.
    """
    position = last_position(connection) + (1 if redefines else 0)
    with transaction(connection):
        run(
            connection,
            "INSERT INTO configuration VALUES ($hash, $position, $at, $content)",
            hash=catalog.configuration_hash,
            position=position,
            at=clock.now(),
            content=json.dumps(catalog.configuration, ensure_ascii=False),
        )
        run(connection, "DELETE FROM department")
        keep(connection, "_departments", _department_table(catalog))
        run(connection, "INSERT INTO department BY NAME SELECT * FROM _departments")


def _department_table(catalog: Catalog) -> pa.Table:
    """Return the departments as rows of the warehouse's table `department`."""
    departments = list(catalog.departments.values())
    return pa.table(
        {
            "code": pa.array([department.code for department in departments], pa.string()),
            "name": pa.array([department.name for department in departments], pa.string()),
            "short_name": pa.array([department.label for department in departments], pa.string()),
            "department_group": pa.array(
                [department.group for department in departments], pa.string()
            ),
            "region": pa.array([department.region for department in departments], pa.string()),
            "valid_from": pa.array(
                [department.valid_from for department in departments], pa.date32()
            ),
            "valid_to": pa.array([department.valid_to for department in departments], pa.date32()),
            "successor": pa.array(
                [department.successor for department in departments], pa.string()
            ),
        }
    )


def record_run(
    connection: sa.Connection,
    run_id: str,
    as_of: date,
    started_at: datetime,
    configuration_hash: str,
    summary: dict[str, Any],
) -> None:
    """Record that a run has finished."""
    run(
        connection,
        "INSERT INTO run VALUES ($run, $as_of, $start, $now, $position, $hash, $summary)",
        run=run_id,
        as_of=as_of,
        start=started_at,
        now=clock.now(),
        position=last_position(connection),
        hash=configuration_hash,
        summary=json.dumps(summary, ensure_ascii=False),
    )


def latest_run(connection: sa.Connection) -> sa.Row[Any] | None:
    """Return the newest finished run; None before the first."""
    return next(iter(rows(connection, "SELECT * FROM run ORDER BY finished_at DESC LIMIT 1")), None)


def in_force(connection: sa.Connection, source: str) -> dict[str, int]:
    """Return the deliveries that provide a source's rows now, each with its number of rows."""
    query = (
        "SELECT delivery_id, CAST(sum(rows) AS BIGINT) FROM partition_in_force "
        "WHERE source = $source GROUP BY delivery_id"
    )
    return dict(map(tuple, rows(connection, query, source=source)))


def received_dates(
    connection: sa.Connection, sources: Collection[str], since: date
) -> dict[str, dict[str, set[date]]]:
    """Return the business dates that have rows in force: source → department → dates."""
    dates: dict[str, dict[str, set[date]]] = {name: {} for name in sources}
    for source, department, business_date in rows(
        connection,
        "SELECT DISTINCT source, department, business_date FROM partition_in_force "
        "WHERE business_date >= $since",
        since=since,
    ):
        if source in dates:
            dates[source].setdefault(department, set()).add(business_date)
    return dates


def judged_since_last_run(connection: sa.Connection) -> list[Judgement]:
    """Return deliveries judged after the last finished run, each with its latest verdict."""
    judgements = rows(
        connection,
        "SELECT * FROM delivery WHERE verdict <> 'unchanged' "
        "AND position > coalesce((SELECT max(position) FROM run), 0) "
        "QUALIFY row_number() OVER (PARTITION BY delivery_id ORDER BY position DESC) = 1 "
        "ORDER BY position",
    )
    return [judgement_of(row) for row in judgements]


def judgement_of(row: sa.Row[Any]) -> Judgement:
    """Return the judgement that a ledger row records, without its partitions."""
    counts = {name: getattr(row, name) for name in Accounting.model_fields}
    return Judgement(
        delivery=delivery_of(row, row.contract_hash),
        verdict=Verdict(row.verdict),
        accounting=None if row.rows_read is None else Accounting(**counts),
        reasons=tuple(Reason(**reason) for reason in row.reasons),
        warnings=tuple(Reason(**reason) for reason in row.warnings),
        seconds=row.stage_seconds,
    )
