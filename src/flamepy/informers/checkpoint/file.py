"""The file of a checkpoint: held by one reactor, made whole or not at all.

What cannot be read as a checkpoint - damaged, another program's - is renamed with everything beside
it, and reported. One of a newer release is refused and left as it is; one of an older release is
brought to ``FORMAT`` (``formats``). Changes are transactions of a
write-ahead log that the operating system has when they return: they survive the death of the
process at any moment (of the machine: up to the last checkpoint; what follows is delivered again).
"""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TextIO, TypeVar

from flamepy.errors import ConfigError, InvalidStateError
from flamepy.formats import UPGRADE, NewerFormat, database_format, migrate_database
from flamepy.host import platforms
from flamepy.informers.checkpoint.tables import SCHEMA, STEPS
from flamepy.runtime.forks import leak
from flamepy.texts import text_of

T = TypeVar("T")

logger = logging.getLogger(__name__)

FORMAT = 4  # PRAGMA user_version; a change of the tables raises it and adds one of ``STEPS``
APPLICATION_ID = 0x464C4D43  # "FLMC"
WAL_LIMIT = 4 * 1024 * 1024  # bytes the log keeps after it was larger

_HEADER = 100
_MAGIC = b"SQLite format 3\0"
_BESIDE = ("", "-wal", "-shm", "-journal")


class Unreadable(Exception):
    """The file is no checkpoint that this release can read."""


class CheckpointFile:
    """The file and the lock on it, which ends with the process however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: TextIO | None = None

    def acquire(self) -> None:
        """Open and lock the file for this reactor. Does nothing if that was done.

        Raises:
            InvalidStateError: another reactor has it; the pid of its process is named.
            ConfigError: this platform has no file locks.
            OSError: the folder cannot be written to.
        """
        if self._lock is not None:
            return
        platforms.require(
            f"checkpoint {self.path}",
            *platforms.LOCKS,
            instead="leave checkpoint= out; informers then receive everything again at each start",
        )
        import fcntl

        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = self.path.with_name(f"{self.path.name}.lock")
        flags = os.O_RDWR | os.O_CREAT
        lock = os.fdopen(os.open(name, flags, 0o600), "r+", encoding="utf-8")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            owner = lock.read().strip() or "unknown"
            lock.close()
            raise InvalidStateError(
                f"checkpoint {self.path} is in use by a reactor of process {owner}: stop that one, "
                "or give this one a file of its own"
            ) from error
        except BaseException:
            lock.close()
            raise
        with contextlib.suppress(OSError):  # on a full disk the lock holds, only nameless
            lock.truncate()
            lock.write(f"{os.getpid()}\n")
            lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Release the file. Idempotent. The lock's file stays: removing it would be a race."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            with contextlib.suppress(OSError):  # the pid may still wait for a place on the disk
                lock.close()

    def reset_after_fork(self) -> None:
        """Leave it to the parent, in a forked child, which must not keep the lock."""
        if self._lock is not None:
            os.close(self._lock.fileno())
            leak(self._lock)
            self._lock = None

    def open(self) -> tuple[sqlite3.Connection, bool]:
        """Return the database, ready for transactions, and whether it was made just now.

        The connection may be used by one thread at a time.

        Raises:
            OSError, sqlite3.Error: it cannot be read or made; nothing was changed.
            ConfigError: it is of a newer release; nothing was changed.
        """
        try:
            if self.path.exists():
                _check_header(self.path)
                if _check_pages(self.path) < FORMAT:
                    migrate_database(self.path, STEPS, FORMAT)
        except NewerFormat as error:
            raise ConfigError(
                f"checkpoint {self.path} {text_of(error)}: it is left as it is; "
                f"{UPGRADE}, or give this "
                "reactor a file of its own, with which informers begin as at their first start"
            ) from error
        except (Unreadable, sqlite3.DatabaseError) as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # no room, no permission: nothing is wrong with the file
            self._set_aside(error)
        fresh = not self.path.exists()
        if fresh:
            _create(self.path)
        elif self.path.stat().st_mode & 0o077:
            self.path.chmod(0o600)
        return _connect(self.path), fresh

    def _set_aside(self, why: Exception) -> None:
        number = 1
        while (kept := self.path.with_name(f"{self.path.name}.aside-{number}")).exists():
            number += 1
        for suffix in reversed(_BESIDE):
            one = self.path.with_name(self.path.name + suffix)
            if one.exists():
                one.rename(kept.with_name(kept.name + suffix))
        logger.error(
            "checkpoint %s cannot be used: %s. It was set aside as %s; informers begin as at their "
            "first start",
            *(self.path, why, kept),
        )


class SharedFile:
    """A checkpoint's file beside the reactor that holds it, for commands; a ``Database``.

    Opened for each transaction. Never makes the file, brings it to another format, or sets it
    aside.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the database, in a transaction, and return what it returns.

        Raises:
            ConfigError: there is no such file, or it is of another release or program.
            InvalidStateError: it cannot be used now.
        """
        self._check()
        try:
            database = sqlite3.connect(self.path, isolation_level=None)
            try:
                database.execute("BEGIN IMMEDIATE")
                answer = act(database)
                database.execute("COMMIT")
            finally:
                database.close()  # undoes what was not committed
        except (OSError, sqlite3.Error) as error:
            raise InvalidStateError(
                f"checkpoint {self.path} cannot be used now: {text_of(error)}"
            ) from error
        return answer

    def _check(self) -> None:
        if not self.path.is_file():
            raise ConfigError(
                f"there is no checkpoint {self.path}; it is the file of Reactor(checkpoint=...), "
                "or of flamepy run --checkpoint"
            )
        try:
            # By SQLite alone: reading the file itself would drop the locks that a reactor of this
            # process has on it (POSIX locks end with any descriptor of their file).
            database = sqlite3.connect(self.path)
            try:
                found = database_format(database, FORMAT)
                owner = database.execute("PRAGMA application_id").fetchone()[0]
            finally:
                database.close()
        except NewerFormat as error:
            raise ConfigError(f"checkpoint {self.path} {text_of(error)}; {UPGRADE}") from error
        except sqlite3.Error as error:
            raise ConfigError(f"{self.path} is no checkpoint: {text_of(error)}") from error
        if owner != APPLICATION_ID:
            raise ConfigError(f"{self.path} is no checkpoint: it is a database of another program")
        if found < FORMAT:
            raise ConfigError(
                f"checkpoint {self.path} is of an older release (format {found}; this one knows "
                f"{FORMAT}): a reactor of this release brings it to today's format when it starts"
            )


def _check_header(path: Path) -> None:
    """Read the file's first bytes, without SQLite: opening another's file could change it."""
    with path.open("rb") as file:
        header = file.read(_HEADER)
    if len(header) < _HEADER or not header.startswith(_MAGIC):
        raise Unreadable("this is no SQLite database, or a damaged one")
    if int.from_bytes(header[68:72], "big") != APPLICATION_ID:
        raise Unreadable("it is a database of another program")
    version = int.from_bytes(header[60:64], "big")
    if version > FORMAT:
        raise NewerFormat(version, FORMAT)


def _check_pages(path: Path) -> int:
    """Look for damage with a connection that cannot write, and leaves no index of the log.

    Returns:
        The number of its format.
    """
    index = path.with_name(f"{path.name}-shm")
    found_there = index.exists()
    database = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)
    try:
        version = database_format(database, FORMAT)
        found = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    finally:
        database.close()
        if not found_there:
            index.unlink(missing_ok=True)
    if found != "ok":
        raise Unreadable(f"it is damaged: {found}")
    return version


def _create(path: Path) -> None:
    # Under another name until it is whole: a crash leaves nothing that looks like a checkpoint.
    made = path.with_name(f"{path.name}.new")
    for left in (made, made.with_name(f"{made.name}-journal")):
        left.unlink(missing_ok=True)
    os.close(os.open(made, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    database = sqlite3.connect(made, isolation_level=None)
    try:
        database.executescript(
            f"BEGIN;{SCHEMA}PRAGMA application_id = {APPLICATION_ID};"
            f"PRAGMA user_version = {FORMAT};COMMIT;"
        )
    finally:
        database.close()
    made.rename(path)


def _connect(path: Path) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")
    except BaseException:
        database.close()
        raise
    return database
