"""Checks of the stores: locks, the warehouse, the operational database, the published copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from pipelines.doctor.readings import holder, lock
from pipelines.doctor.visit import Finding, Visit, counted, failure, fine, megabytes, warning
from pipelines.machine.failures import is_damaged
from pipelines.machine.locks import GUARDED
from pipelines.published import READERS_FILE
from pipelines.schema import Schema
from pipelines.warehouse.publish import pinned_to


def locks(visit: Visit) -> Iterator[Finding]:
    """Check who holds the lock files, and for programs that open the warehouse without them."""
    other_program = visit.warehouse.opened_by
    if other_program:
        yield failure(
            "locks",
            f"{other_program} has {visit.settings.warehouse} open: no run can open it",
            "close it there, and let it read the published copy",
        )
    findings = [finding for name in GUARDED for finding in _lock(visit, name)]
    yield from findings or ([] if other_program else [fine("locks", "all free")])


def _lock(visit: Visit, name: str) -> Iterator[Finding]:
    """Yield what is to be said of a lock file; nothing if it is free and unsigned."""
    path = visit.settings.data_dir / name
    if not path.exists():
        return
    with lock(path) as free:
        signature = holder(path)
    pid, purpose, since = (signature.get(key, "?") for key in ("pid", "purpose", "since"))
    if free:
        if signature:
            yield fine(
                "locks",
                f"{name}: process {pid} ({purpose}) ended without giving it back; the "
                "next one takes it over by itself",
            )
        return
    held = f"{name} is held by process {pid} ({purpose}) since {since} UTC"
    if _age(visit.now, since).total_seconds() <= visit.settings.lock_seconds:
        yield fine("locks", held)
    else:
        yield warning(
            "locks",
            f"{held}: longer than others wait (CITYBRAIN_LOCK_SECONDS)",
            "see whether it is still at work; when it ends, the lock is free",
        )


def _age(now: datetime, since: object) -> timedelta:
    with suppress(ValueError, TypeError):
        return now - datetime.fromisoformat(str(since))
    return timedelta(0)


def warehouse(visit: Visit) -> Iterator[Finding]:
    """Check that the warehouse opens, and how far its schema is."""
    file, reading = visit.settings.warehouse, visit.warehouse
    if reading.trouble:
        yield failure(
            "warehouse",
            f"it cannot be opened: {reading.trouble}",
            _mend(reading.trouble, f"put a backup in the place of {file}"),
        )
    elif reading.busy:
        yield fine("warehouse", "not looked into: it is being written (see locks)")
    elif reading.schema is None and reading.opened_by:
        yield fine("warehouse", "not looked into: another program has it open (see locks)")
    elif reading.schema is None or reading.schema.revision is None:
        yield fine("warehouse", f"there is none yet; the first run creates {file}")
    else:
        size = megabytes(file.stat().st_size)
        position = f", ledger position {reading.ledger.position}" if reading.ledger else ""
        yield _far("warehouse", "warehouse", reading.schema, f"{size}{position}")


def _mend(trouble: str, damage: str) -> str:
    """Return the mend of a DuckDB file that does not open; `damage` mends a damaged one."""
    if is_damaged(trouble):
        return damage
    if "memory" in trouble.lower():
        return "correct CITYBRAIN_MEMORY_LIMIT"
    return "see what it names"


def _far(check: str, store: str, schema: Schema, besides: str) -> Finding:
    """Return a finding about the revision of a store's schema."""
    if not schema.is_known:
        refusal, mend = schema.refusal()
        return failure(check, f"the {store} {refusal}; no run can use it", mend)
    if schema.revision != schema.newest:
        return warning(
            check,
            f"schema {schema.revision}; the next run brings it to {schema.newest}",
            "back it up first",
        )
    return fine(check, f"schema {schema.revision}, {besides}")


def operational(visit: Visit) -> Iterator[Finding]:
    """Check that the operational database answers, and how far its schema is."""
    operations = visit.operations
    if operations.trouble:
        yield failure(
            "operations",
            f"{operations.where} does not answer: {operations.trouble}",
            "start it, or correct CITYBRAIN_OPS_URL",
        )
    elif operations.schema is None or operations.schema.revision is None:
        yield fine("operations", f"{operations.where} has no tables yet; the first run makes them")
    else:
        yield _far("operations", "operational database", operations.schema, operations.where)


def published_copy(visit: Visit) -> Iterator[Finding]:
    """Check that readers have a copy, that it opens, and that it is as new as the warehouse."""
    settings, copy = visit.settings, visit.copy
    if copy.trouble:
        yield failure(
            "published",
            f"{settings.published / READERS_FILE} cannot be opened: {copy.trouble}",
            _mend(
                copy.trouble,
                "citybrain publish makes a new one, citybrain rollback gives "
                "readers the one before",
            ),
        )
        return
    if copy.ledger is None:
        yield _nothing_known(visit)
        return
    pinned, position = pinned_to(settings), copy.ledger.position
    if pinned is not None:
        yield warning(
            "published",
            f"a rollback has pinned readers to generation {pinned}",
            "citybrain publish --unpin, once what was wrong is mended",
        )
    newest = visit.warehouse.ledger.position if visit.warehouse.ledger else position
    if position < newest and pinned is None:
        yield warning(
            "published",
            f"it is of ledger position {position}, the warehouse of {newest}",
            "citybrain publish, or wait for the next run",
        )
    generations = list((settings.published / "generations").glob("[0-9]*.duckdb"))
    size = megabytes(sum(path.stat().st_size for path in generations))
    count = counted(len(generations), "generation")
    message = f"generation {copy.generation} of ledger position {position}; {count}, {size}"
    yield fine("published", message)


def _nothing_known(visit: Visit) -> Finding:
    """Return the finding for a published copy whose ledger could not be read, or none at all."""
    if visit.copy.schema is not None:
        refusal, mend = visit.copy.schema.refusal()
        return warning("published", f"the copy {refusal}", mend)
    ledger = visit.warehouse.ledger
    if ledger is not None and ledger.position:
        return warning("published", "nothing is published yet", "citybrain publish")
    return fine("published", "nothing yet; the first run publishes")
