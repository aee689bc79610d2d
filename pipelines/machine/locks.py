"""Lock files: one writer at a time, released by the operating system when a process dies."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import BinaryIO

from pipelines import clock
from pipelines.errors import WarehouseBusyError
from pipelines.settings import Settings

POLL_SECONDS = 0.2
HELD = {  # what a lock file guards
    "warehouse.lock": "the warehouse",
    "operations.lock": "the operational database",
    "publish.lock": "the published folder",
    "readers.lock": "the published folder",
    "housekeeping.lock": "housekeeping",
}


@contextmanager
def writer_lock(settings: Settings, purpose: str, name: str = "warehouse.lock") -> Iterator[None]:
    """Hold a lock file of the data folder, and say in it who does; WarehouseBusyError if busy."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / name).open("a+b", buffering=0) as lock:
        _wait_for(lock, settings.lock_seconds, name)
        _sign(
            lock,
            {
                "pid": os.getpid(),
                "purpose": purpose,
                "since": clock.now().isoformat(" ", "seconds"),
            },
        )
        try:
            yield
        finally:
            _sign(lock, {})


def _sign(lock: BinaryIO, holder: Mapping[str, object]) -> None:
    """Say who holds the lock; a full disk takes only the name from it."""
    with suppress(OSError):
        lock.truncate(0)
        lock.write(json.dumps(holder).encode())


def _holder(lock: BinaryIO) -> Mapping[str, object]:
    lock.seek(0)
    with suppress(ValueError):
        return dict(json.loads(lock.read()))
    return {}


def _wait_for(lock: BinaryIO, seconds: float, name: str) -> None:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
            holder = _holder(lock)
            raise WarehouseBusyError(
                f"{HELD.get(name, name)} is in use by process {holder.get('pid', '?')} "
                f"({holder.get('purpose', '?')}) since {holder.get('since', '?')} UTC; "
                "wait for it, or raise CITYBRAIN_LOCK_SECONDS"
            ) from None
        return
