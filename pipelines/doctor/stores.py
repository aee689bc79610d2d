"""Checks of what is kept: locks, the warehouse, the operational database, the published copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta

from pipelines.doctor.readings import holder, lock
from pipelines.doctor.visit import Finding, Visit, counted, failure, fine, megabytes, warning
from pipelines.machine import disks
from pipelines.machine.locks import HELD
from pipelines.published import READERS_FILE
from pipelines.schema import Schema
from pipelines.warehouse.publish import pinned_to


def locks(visit: Visit) -> Iterator[Finding]:
    """Who holds the lock files, and whether a program that knows nothing of them is in the way."""
    elsewhere = visit.warehouse.opened_by
    if elsewhere:
        yield failure(
            "locks",
            f"{elsewhere} has {visit.settings.warehouse} open: no run can open it",
            "close it there, and let it read the published copy",
        )
    found = [finding for name in HELD for finding in _lock(visit, name)]
    yield from found or ([] if elsewhere else [fine("locks", "all free")])


def _lock(visit: Visit, name: str) -> Iterator[Finding]:
    path = visit.settings.data_dir / name
    if not path.exists():
        return
    with lock(path) as free:
        told = holder(path)
    pid, purpose, since = (told.get(key, "?") for key in ("pid", "purpose", "since"))
    if free:
        if told:
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
    """Whether the warehouse opens, and how far its schema is."""
    file, found = visit.settings.warehouse, visit.warehouse
    if found.trouble:
        yield failure(
            "warehouse",
            f"it cannot be opened: {found.trouble}",
            _mend(found.trouble, f"put a backup in the place of {file}"),
        )
    elif found.busy:
        yield fine("warehouse", "not looked into: it is being written (see locks)")
    elif found.schema is None and found.opened_by:
        yield fine("warehouse", "not looked into: another program has it open (see locks)")
    elif found.schema is None or found.schema.there is None:
        yield fine("warehouse", f"there is none yet; the first run creates {file}")
    else:
        size = megabytes(file.stat().st_size)
        position = f", ledger position {found.ledger.position}" if found.ledger else ""
        yield _far("warehouse", "warehouse", found.schema, f"{size}{position}")


def _mend(trouble: str, damage: str) -> str:
    """What mends a DuckDB file that does not open; `damage` is what mends one that is damaged."""
    if any(words in trouble for words in disks.DAMAGED):
        return damage
    if "memory" in trouble.lower():
        return "correct CITYBRAIN_MEMORY_LIMIT"
    return "see what it names"


def _far(check: str, store: str, schema: Schema, besides: str) -> Finding:
    """How far a store's schema is."""
    if not schema.known:
        said, mend = schema.refusal()
        return failure(check, f"the {store} {said}; no run can use it", mend)
    if schema.there != schema.newest:
        return warning(
            check,
            f"schema {schema.there}; the next run brings it to {schema.newest}",
            "back it up first",
        )
    return fine(check, f"schema {schema.there}, {besides}")


def operational(visit: Visit) -> Iterator[Finding]:
    """Whether the operational database answers, and how far its schema is."""
    found = visit.operations
    if found.trouble:
        yield failure(
            "operations",
            f"{found.where} does not answer: {found.trouble}",
            "start it, or correct CITYBRAIN_OPS_URL",
        )
    elif found.schema is None or found.schema.there is None:
        yield fine("operations", f"{found.where} has no tables yet; the first run makes them")
    else:
        yield _far("operations", "operational database", found.schema, found.where)


def published_copy(visit: Visit) -> Iterator[Finding]:
    """Whether readers have a copy, whether it opens, and whether it is as new as it can be."""
    settings, found = visit.settings, visit.copy
    if found.trouble:
        yield failure(
            "published",
            f"{settings.published / READERS_FILE} cannot be opened: {found.trouble}",
            _mend(
                found.trouble,
                "citybrain publish makes a new one, citybrain rollback gives "
                "readers the one before",
            ),
        )
        return
    if found.ledger is None:
        yield _nothing_known(visit)
        return
    pinned, position = pinned_to(settings), found.ledger.position
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
    kept = f"{counted(len(generations), 'generation')}, {size}"
    yield fine("published", f"generation {found.generation} of ledger position {position}; {kept}")


def _nothing_known(visit: Visit) -> Finding:
    if visit.copy.schema is not None:
        said, mend = visit.copy.schema.refusal()
        return warning("published", f"the copy {said}", mend)
    there = visit.warehouse.ledger
    if there is not None and there.position:
        return warning("published", "nothing is published yet", "citybrain publish")
    return fine("published", "nothing yet; the first run publishes")
