"""Lock files: one writer at a time.

The lock is the operating system's, on an open file: it is released when the process dies, however
it dies, so that no lock outlives its holder. The name in the file is only for people to read.
"""

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
GUARDED = {  # by lock file: what it guards, in words for messages
    "warehouse.lock": "the warehouse",
    "operations.lock": "the operational database",
    "publish.lock": "the published folder",
    "readers.lock": "the published folder",
    "housekeeping.lock": "housekeeping",
}


@contextmanager
def writer_lock(settings: Settings, purpose: str, name: str = "warehouse.lock") -> Iterator[None]:
    """Hold a lock file of the data folder for the block, and write into it who holds it.

    Waits up to `lock_seconds` for another holder; then raises WarehouseBusyError that names it.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    # Opened for appending, so that opening it does not wipe out the name of its holder.
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
    """Write who holds the lock. A full disk loses the name, but not the lock."""
    with suppress(OSError):
        lock.truncate(0)
        lock.write(json.dumps(holder).encode())


def _wait_for(lock: BinaryIO, seconds: float, name: str) -> None:
    """Take the lock, asking again until it is free; raise WarehouseBusyError after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() < deadline:
                time.sleep(POLL_SECONDS)
                continue
        holder: Mapping[str, object] = {}
        lock.seek(0)
        with suppress(ValueError):  # the holder is just writing its name
            holder = dict(json.loads(lock.read()))
        raise WarehouseBusyError(
            f"{GUARDED.get(name, name)} is in use by process {holder.get('pid', '?')} "
            f"({holder.get('purpose', '?')}) since {holder.get('since', '?')} UTC; "
            "wait for it, or raise CITYBRAIN_LOCK_SECONDS"
        )
