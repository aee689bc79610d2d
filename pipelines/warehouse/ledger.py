"""What the ledger knows: positions, deliveries, decisions, the configuration in force, runs."""

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
    """The ledger position that the next entry takes."""
    return last_position(connection) + 1


def last_position(connection: sa.Connection) -> int:
    """The newest ledger position; 0 in an empty ledger."""
    query = (
        "SELECT greatest(coalesce((SELECT max(position) FROM delivery), 0), "
        "coalesce((SELECT max(position) FROM decision), 0), "
        "coalesce((SELECT max(position) FROM configuration), 0))"
    )
    return int(rows(connection, query)[0][0])


def recorded(
    connection: sa.Connection, deliveries: Sequence[Delivery]
) -> set[tuple[str, datetime]]:
    """Which receipts the ledger has already; unchanged ones, too."""
    if not deliveries:
        return set()
    _keep_candidates(connection, deliveries)
    found = rows(
        connection,
        "SELECT DISTINCT delivery_id, received_at FROM delivery "
        "INNER JOIN _candidate USING (delivery_id, received_at)",
    )
    return set(map(tuple, found))


def newest_inputs(
    connection: sa.Connection, deliveries: Sequence[Delivery]
) -> dict[tuple[str, ...], sa.Row[Any]]:
    """What was last received for each slot of `deliveries`, and whether it still stands."""
    if not deliveries:
        return {}
    _keep_candidates(connection, deliveries)
    found = connection.exec_driver_sql(sql("loading/slots.sql"))
    return {
        (row.source, row.department, slot_day(row.business_date), row.part): row for row in found
    }


def _keep_candidates(connection: sa.Connection, candidates: Sequence[Delivery]) -> None:
    table = pa.table(
        {
            "delivery_id": [one.delivery_id for one in candidates],
            "source": [one.source for one in candidates],
            "department": [one.department or "all" for one in candidates],
            "business_date": pa.array([one.business_date for one in candidates], pa.date32()),
            "part": [one.part for one in candidates],
            "received_at": pa.array([one.received_at for one in candidates], pa.timestamp("us")),
        }
    )
    keep(connection, "_candidate", table)


def find_delivery(connection: sa.Connection, prefix: str) -> sa.Row[Any]:
    """The latest judgement of the delivery whose id starts with `prefix`; UsageError if not one."""
    found = rows(
        connection,
        "SELECT * FROM delivery WHERE starts_with(delivery_id, $prefix) AND verdict <> 'unchanged' "
        "QUALIFY row_number() OVER (PARTITION BY delivery_id ORDER BY received_at DESC, "
        "position DESC) = 1",
        prefix=prefix,
    )
    if len(found) != 1:
        known = "no delivery" if not found else f"{len(found)} deliveries"
        raise UsageError(f"{known} has an id starting with {prefix!r}; see `citybrain deliveries`")
    row: sa.Row[Any] = found[0]
    return row


def delivery_of(row: sa.Row[Any], contract_hash: str, overruled: str | None = None) -> Delivery:
    """A ledger row as the delivery that it judged, to be judged again from the archive."""
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
    """The source's receipts in their order, but for those that repeat the one before.

    With what people decided: `overruled` is the reason of an acceptance made since.
    """
    found = connection.exec_driver_sql(sql("loading/receipts.sql"), {"source": source})
    return list(found)


def withdrawals(connection: sa.Connection, source: str) -> list[tuple[datetime, str]]:
    """When which deliveries of a source were withdrawn."""
    found = rows(
        connection,
        "SELECT decided_at, delivery_id FROM decision "
        "WHERE kind = 'withdraw' AND source = $source ORDER BY position",
        source=source,
    )
    return [(at, delivery_id) for at, delivery_id in found]


def forget_partitions(connection: sa.Connection, source: str, position: int) -> None:
    """Close every partition of a source: it is about to be rebuilt."""
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


def redefined_sources(connection: sa.Connection, catalog: Catalog) -> set[str]:
    """The sources whose metrics were declared otherwise until now, to be computed anew."""
    latest = _configuration_in_force(connection)
    if latest is None or latest.hash == catalog.configuration_hash:
        return set()
    return {
        metric.source
        for metric in catalog.metrics.values()
        if latest.content.get(f"metric:{metric.name}") != metric.model_dump(mode="json")
    }


def _configuration_in_force(connection: sa.Connection) -> sa.Row[Any] | None:
    query = "SELECT hash, content FROM configuration ORDER BY effective_at DESC LIMIT 1"
    return next(iter(rows(connection, query)), None)


def record_configuration(connection: sa.Connection, catalog: Catalog, redefines: bool) -> None:
    """Store the configuration, if it is not the one in force, and the departments' names.

    One that redefines metrics takes a position of its own, from which their values are known.
    """
    latest = _configuration_in_force(connection)
    if latest is not None and latest.hash == catalog.configuration_hash:
        return
    position = next_position(connection) if redefines else last_position(connection)
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
    departments = list(catalog.departments.values())
    return pa.table(
        {
            "code": pa.array([one.code for one in departments], pa.string()),
            "name": pa.array([one.name for one in departments], pa.string()),
            "short_name": pa.array([one.label for one in departments], pa.string()),
            "department_group": pa.array([one.group for one in departments], pa.string()),
            "region": pa.array([one.region for one in departments], pa.string()),
            "valid_from": pa.array([one.valid_from for one in departments], pa.date32()),
            "valid_to": pa.array([one.valid_to for one in departments], pa.date32()),
            "successor": pa.array([one.successor for one in departments], pa.string()),
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
    """Note that a run has finished."""
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
    """The newest finished run."""
    return next(iter(rows(connection, "SELECT * FROM run ORDER BY finished_at DESC LIMIT 1")), None)


def in_force(connection: sa.Connection, source: str) -> dict[str, int]:
    """The deliveries that provide a source's rows now, and how many."""
    query = (
        "SELECT delivery_id, CAST(sum(rows) AS BIGINT) FROM partition_in_force "
        "WHERE source = $source GROUP BY delivery_id"
    )
    return dict(map(tuple, rows(connection, query, source=source)))


def received_dates(
    connection: sa.Connection, sources: Collection[str], since: date
) -> dict[str, dict[str, set[date]]]:
    """Business dates for which anything is loaded: source → department → dates."""
    found: dict[str, dict[str, set[date]]] = {name: {} for name in sources}
    for source, department, business_date in rows(
        connection,
        "SELECT DISTINCT source, department, business_date FROM partition_in_force "
        "WHERE business_date >= $since",
        since=since,
    ):
        if source in found:
            found[source].setdefault(department, set()).add(business_date)
    return found


def judged_since_last_run(connection: sa.Connection) -> list[Judgement]:
    """Deliveries judged after the last finished run, each with its latest verdict."""
    found = rows(
        connection,
        "SELECT * FROM delivery WHERE verdict <> 'unchanged' "
        "AND position > coalesce((SELECT max(position) FROM run), 0) "
        "QUALIFY row_number() OVER (PARTITION BY delivery_id ORDER BY position DESC) = 1 "
        "ORDER BY position",
    )
    return [judgement_of(row) for row in found]


def judgement_of(row: sa.Row[Any]) -> Judgement:
    """A ledger row as the judgement that it records (its partitions left out)."""
    counts = {name: getattr(row, name) for name in Accounting.model_fields}
    return Judgement(
        delivery=delivery_of(row, row.contract_hash),
        verdict=Verdict(row.verdict),
        accounting=None if row.rows_read is None else Accounting(**counts),
        reasons=tuple(Reason(**reason) for reason in row.reasons),
        warnings=tuple(Reason(**reason) for reason in row.warnings),
        seconds=row.stage_seconds,
    )
