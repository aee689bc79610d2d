"""The one place that knows what each library raises when the machine, and no delivery, is at fault.

| raised by | when the machine is at fault | how to tell |
|---|---|---|
| Python, pyarrow | disks: OSError with a number; memory: MemoryError | by class |
| calamine | never: a panic of its Rust code means a broken workbook | by class name |
| zipfile, gzip, lxml, pyarrow | OSError, but also for a broken file | by its errno |
| DuckDB | IOException, OutOfMemoryException | by class |
| DuckDB | TransactionException, FatalException | by class, if the words name a disk |
| SQLite | DatabaseError (also raised for wrong SQL) | by class, if the words name a disk |
| PostgreSQL (psycopg2) | OperationalError, InterfaceError | by class |
| SQLAlchemy | wraps any of the databases' errors | `orig` |

The words of an error count only for the classes that are listed: the text of any other error may
quote a cell, and a cell may say anything. Classes are compared by name, so that this module imports
none of the libraries.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import CitybrainError, StorageError, WarehouseBusyError
from pipelines.machine.disks import describe_free_space
from pipelines.settings import Settings

# Words that databases use for what a disk did. OSError has the same ones from the system.
NO_ROOM = "no room to spill into"
FULL = ("No space left on device", "disk is full", "Disk quota exceeded", NO_ROOM)
READ_ONLY = (
    "Read-only file system",
    "readonly database",
    "Permission denied",
    "Operation not permitted",
)
DAMAGED = ("is malformed", "is not a database", "not a valid DuckDB database", "Corrupt")
GONE = (
    "Input/output error",
    "Stale file handle",
    "Transport endpoint",
    "No such device",
    "unable to open database file",
    "disk I/O error",
    "No such file or directory",
)
LOCKED = ("Could not set lock on file", "database is locked")
DUCKDB_MEMORY = (
    "Out of Memory Error",
    "failed to pin block",
    "failed to allocate",
    "could not allocate",
)
OUT_OF_MEMORY = "out of memory"

# Error classes whose every instance is the machine's, and those where the words decide.
ALWAYS = frozenset({"duckdb.IOException", "duckdb.OutOfMemoryException"})
SERVERS = frozenset({"psycopg2.OperationalError", "psycopg2.InterfaceError"})
BY_WORDS = frozenset(
    {"duckdb.TransactionException", "duckdb.FatalException", "sqlite3.DatabaseError"}
)
SCHEMA_MISMATCH = frozenset({"duckdb.CatalogException", "duckdb.BinderException"})
RUST_PANIC = "PanicException"  # no Exception, but a BaseException of its own

LOCK_HOLDER = re.compile(r"lock is held in (?P<program>.*?) \(PID (?P<pid>\d+)\)")
MESSAGE_WORDS = 40  # of a database's message, as many words as a person may want to read
RUN_AGAIN = (
    "then run again: what was not finished was not kept, and what waits in landing is still there"
)


def describe_machine_failure(error: BaseException) -> str | None:
    """Describe `error` if the disk, memory or a lock caused it; None if the input may be at fault.

    Errors of our own (CitybrainError) say what they mean already: None.
    """
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if isinstance(error, CitybrainError):
        return None
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    origin = _driver_error(error)
    classes = _class_names(origin)
    if classes.isdisjoint(ALWAYS | SERVERS | BY_WORDS):
        return None
    text = str(origin)
    message = " ".join(text.split()[:MESSAGE_WORDS])
    if not classes.isdisjoint(SERVERS):
        return message
    known = (*FULL, *READ_ONLY, *DAMAGED, *GONE, *LOCKED, *DUCKDB_MEMORY)
    words = next((words for words in known if words in text), None)
    if words in LOCKED:
        words = message  # it names the process that has the file open
    if "max_temp_directory_size" in text:  # DuckDB's words for a disk that is full
        words = NO_ROOM
    return words or (message if not classes.isdisjoint(ALWAYS) else None)


def is_disk_failure(error: OSError) -> bool:
    """Tell an OSError of the disk from one that a library raises for a broken file.

    A library's has no number, or EINVAL: the file names a place that it does not have.
    """
    return error.errno is not None and error.errno != errno.EINVAL


def is_out_of_space(error: OSError) -> bool:
    """Tell whether the disk is full, so that something smaller might still find room."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def is_rust_panic(error: BaseException) -> bool:
    """Tell whether a library's Rust code gave up on a file (calamine: a broken workbook)."""
    return type(error).__name__ == RUST_PANIC


def is_schema_mismatch(error: BaseException) -> bool:
    """Tell whether DuckDB knows no such table or column: the file is of another version."""
    return not _class_names(_driver_error(error)).isdisjoint(SCHEMA_MISMATCH)


def lock_holder(error: BaseException) -> str | None:
    """Name the process that keeps a database file from being opened; None for other errors."""
    text = error_text(error)
    if not any(words in text for words in LOCKED):
        return None
    holder = LOCK_HOLDER.search(text)
    return f"process {holder['pid']} ({holder['program']})" if holder else "another program"


def error_text(error: BaseException) -> str:
    """Return the text of a database's error on one line, without what SQLAlchemy adds to it."""
    return " ".join(str(_driver_error(error)).split())


def _driver_error(error: BaseException) -> BaseException:
    """Return the database driver's error below SQLAlchemy's, or `error` itself."""
    return getattr(error, "orig", None) or error


def _class_names(error: BaseException) -> set[str]:
    """Return the names of an error's class and its bases, as `duckdb.IOException`."""
    return {f"{each.__module__.strip('_')}.{each.__name__}" for each in type(error).__mro__}


@contextmanager
def translating(settings: Settings, doing: str) -> Iterator[None]:
    """Raise machine failures of the block as errors that say what failed and how to mend it."""
    try:
        yield
    except Exception as error:
        if describe_machine_failure(error) is None:
            raise
        raise machine_error(settings, doing, error) from error


@contextmanager
def naming_file(place: Path) -> Iterator[None]:
    """Name `place` in disk errors of the block that name no file: a write to an open file has none.

    `translating` needs the name to say which disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = str(place)
        raise


def machine_error(
    settings: Settings, doing: str, error: BaseException, then: str = RUN_AGAIN
) -> CitybrainError:
    """Return the error for people: what was being done, where, why it failed, the mend.

    WarehouseBusyError for a lock, StorageError for anything else; `then` ends the message with
    what follows once it is mended.
    """
    reason = describe_machine_failure(error) or type(error).__name__
    place = _failed_place(settings, error)
    if _has_words(reason, LOCKED):
        return WarehouseBusyError(
            f"{doing}: another program has {place} open ({reason}); close it there, and let it "
            "read the published copy"
        )
    if reason == OUT_OF_MEMORY or _has_words(reason, DUCKDB_MEMORY):
        limit = f"CITYBRAIN_MEMORY_LIMIT is {settings.memory_limit}"
        # Python's own memory has no limit of ours: only DuckDB's can be raised.
        mend = "run less at the same time" if reason == OUT_OF_MEMORY else "raise it"
        return StorageError(
            f"{doing}: {OUT_OF_MEMORY} ({limit}); {mend}, or lower CITYBRAIN_CHUNK_BYTES, {then}"
        )
    if isinstance(place, Path):
        room = describe_free_space(place)
        return StorageError(f"{doing}: {place}: {reason} ({room}); {disk_mend(reason)}, {then}")
    return StorageError(f"{doing}: {place}: {reason}; see whether it answers, {then}")


def disk_mend(reason: str) -> str:
    """Return what a person can do about a disk that failed for `reason`."""
    if _has_words(reason, FULL):
        return "free some space (`citybrain clean` removes what is not needed)"
    if _has_words(reason, READ_ONLY):
        return "let this user write there"
    if _has_words(reason, DAMAGED):
        return "restore it from a backup"
    return "see whether its disk is still mounted and sound"


def is_damaged(reason: str) -> bool:
    """Tell whether a database says that its file is damaged or no database at all."""
    return _has_words(reason, DAMAGED)


def _has_words(reason: str, choices: tuple[str, ...]) -> bool:
    return any(words in reason for words in choices)


def _failed_place(settings: Settings, error: BaseException) -> Path | str:
    """Return the file that an error names; else the store whose driver raised it."""
    if isinstance(error, OSError) and (error.filename2 or error.filename):
        return Path(str(error.filename2 or error.filename))
    origin = _driver_error(error)
    if type(origin).__module__.startswith(("sqlite3", "psycopg2")):
        kind, _, path = settings.operations_url.partition(":///")
        return Path(path) if kind.startswith("sqlite") and path else "the operational database"
    # DuckDB quotes the path: IO Error: Could not write file "/data/x.duckdb": No space left …
    quoted = re.search(r'"(/[^"]*)"', str(origin))
    return Path(quoted[1]) if quoted else settings.data_dir
