"""The database file of ``--data``: made whole or not at all, and never taken for another's.

A file that is damaged, another user's, or of a newer version is named and left as it is; one of an
older version is brought to ``FORMAT`` (``formats``). Changes
are transactions of a write-ahead log that the operating system has when they return: they survive
the death of the process at any moment (of the machine: up to the last checkpoint).
"""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from flamepy.errors import ConfigError
from flamepy.formats import UPGRADE, NewerFormat, Step, database_format, migrate_database
from flamepy.texts import text_of

NAME = "flame.db"
FORMAT = 1  # PRAGMA user_version; a change of the tables raises it and adds a step
STEPS: dict[int, Step] = {}
APPLICATION_ID = 0x464C4D49  # "FLMI": marks our databases
LOCK_SLICE_MS = 50  # what one statement waits for a lock; then the caller looks if it still may
WAL_LIMIT = 64 * 1024 * 1024  # bytes the log keeps after it was larger

_HEADER = 100
_MAGIC = b"SQLite format 3\0"
_SCHEMA = """
CREATE TABLE applications (name TEXT PRIMARY KEY, message BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL, spec BLOB NOT NULL, state INTEGER NOT NULL,
    created INTEGER NOT NULL, completed INTEGER, events TEXT NOT NULL);
CREATE TABLE tasks (
    session INTEGER NOT NULL, number INTEGER NOT NULL, state INTEGER NOT NULL,
    created INTEGER NOT NULL, completed INTEGER, events TEXT NOT NULL,
    PRIMARY KEY (session, number)) WITHOUT ROWID;
CREATE TABLE inputs (
    session INTEGER NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (session, number));
CREATE TABLE outputs (
    session INTEGER NOT NULL, number INTEGER NOT NULL, payload BLOB NOT NULL,
    PRIMARY KEY (session, number));
"""


def open_database(folder: Path) -> tuple[sqlite3.Connection, bool]:
    """Return the folder's database, ready for transactions, and whether it was made just now.

    The connection belongs to the calling thread.

    Raises:
        ConfigError: the file is damaged, foreign or newer, or cannot be read or made.
    """
    path = folder / NAME
    fresh = not path.exists()
    if fresh:
        _make(path)
    try:
        _check_header(path)
        old = _check_pages(path) < FORMAT
        if old:
            _migrate(path)
        return _connect(path), fresh
    except NewerFormat as error:
        raise ConfigError(f"{path} {text_of(error)}: it is left as it is; {UPGRADE}") from error
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(damaged(path, error)) from error


def damaged(path: Path, why: object) -> str:
    """Return the text for a database that cannot be read."""
    return (
        f"{path} cannot be read as a database of flamepy: {why}. It is left as it is: put back a "
        "copy, or move the folder away to start empty"
    )


def _make(path: Path) -> None:
    try:
        _create(path)
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(
            f"{path} cannot be made: {text_of(error)}; make room, or give a folder that this "
            "user may "
            "write to"
        ) from error


def _create(path: Path) -> None:
    # Under another name until it is whole: a crash leaves nothing that looks like a database.
    made = path.with_name(f"{path.name}.new")
    for left in (made, made.with_name(f"{made.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    database = sqlite3.connect(made, isolation_level=None)
    try:
        database.executescript(
            f"BEGIN;{_SCHEMA}PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {FORMAT};COMMIT;"
        )
    finally:
        database.close()
    made.rename(path)


def _check_header(path: Path) -> None:
    """Read the file's first bytes, without SQLite: opening another's file could change it."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise ConfigError(damaged(path, "this is no SQLite database, or a damaged one"))
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise ConfigError(
            f"{path} is a database of another program: it is left as it is; give another folder"
        )
    version = int.from_bytes(header[60:64], "big")
    if version > FORMAT:
        raise NewerFormat(version, FORMAT)


def _check_pages(path: Path) -> int:
    """Look for damage with a connection that cannot write, not even its log into the file.

    Returns:
        The number of its format.
    """
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        version = database_format(database, FORMAT)
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        database.close()
    if found != "ok":
        raise ConfigError(damaged(path, found))
    return version


def _migrate(path: Path) -> None:
    try:
        migrate_database(path, STEPS, FORMAT)
    except (sqlite3.Error, OSError) as error:
        raise ConfigError(
            f"{path} is of an older flamepy and cannot be brought to format {FORMAT}: "
            f"{text_of(error)}. It is left as it is: make room or mend the disk, then start again"
        ) from error


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
        database.execute(f"PRAGMA busy_timeout = {LOCK_SLICE_MS}")
    except BaseException:
        database.close()
        raise
    return database
