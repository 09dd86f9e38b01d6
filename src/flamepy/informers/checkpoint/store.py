"""A reactor's checkpoint: the past of each informer is loaded from it, and deliveries stored in it.

One connection, and a lock that no callback runs under: informers' threads write, each its own
informer's deliveries. When the file cannot be used, informers continue without it; their deliveries
stay in memory, and are written once that works again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from flamepy.errors import ConfigError, InvalidStateError
from flamepy.informers.checkpoint.delivered import Changes, Memory
from flamepy.informers.checkpoint.file import CheckpointFile
from flamepy.informers.checkpoint.resumption import Past
from flamepy.informers.checkpoint.tables import Rows, clear, find, load, write
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.forks import leak
from flamepy.watching.state.subscriptions import Scope

logger = logging.getLogger(__name__)

RETRY_DELAY = 2.0  # seconds


class CheckpointStore:
    """The checkpoint of one reactor: one file for all its informers, with retries while it fails.

    Args:
        path: the file.
        retain: finished tasks that are remembered one by one, of each informer.
        clock: monotonic seconds.
    """

    def __init__(
        self, path: Path, *, retain: int = 100_000, clock: Callable[[], float] = monotonic
    ) -> None:
        self.path = path
        self.retain = retain
        self._clock = clock
        self._guard = threading.RLock()  # guards all that follows, and the connection's use
        self._file = CheckpointFile(path)
        self._database: sqlite3.Connection | None = None
        self._fresh = False
        self._opened = 0  # how often; rows found before belong to another connection
        self._failing_since: float | None = None
        self._retry_at: float | None = None
        self._closed = False

    @property
    def works(self) -> bool:
        """False while it cannot be written."""
        return self._failing_since is None

    @property
    def retry_at(self) -> float | None:
        """When writing is next tried, monotonic seconds; None while it works."""
        return self._retry_at

    def open(self) -> None:
        """Open the file.

        Raises:
            InvalidStateError: another reactor has it.
            ConfigError: it is of a newer release. What else is wrong is logged.
        """
        with self._guard:
            try:
                self._open()
            except (OSError, sqlite3.Error) as error:
                self._fail(error)

    def _open(self) -> sqlite3.Connection:
        if self._database is None:
            self._file.acquire()
            self._database, self._fresh = self._file.open()
            self._opened += 1
        return self._database

    def memory(self, uid: str, *, replay: str, scope: Scope) -> Memory:
        """Return the record of an informer's deliveries, loaded from the file."""
        slot = _Slot(self, uid, f"{scope.application or ''}\n{scope.session or ''}")
        past = Past()
        with self._guard:
            try:
                if self._database is not None and not self._closed:
                    past = slot.load(self._database, self._opened)
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
        return Memory(past, slot, replay=replay, scope=scope, retain=self.retain)

    def write_changes(self, slot: _Slot, changes: Changes) -> bool:
        """Write the changes of an informer; return False if they cannot be written now."""
        with self._guard:
            waits = self._retry_at is not None and self._clock() < self._retry_at
            if self._closed or waits:
                return False
            try:
                database = self._open()
                database.execute("BEGIN IMMEDIATE")
                rows = slot.rows(database, self._opened, fresh=self._fresh)
                changes.complete = changes.complete and not slot.lost
                write(database, rows, changes, self.retain)
                database.execute("COMMIT")
                slot.kept = True
            except (OSError, sqlite3.Error, InvalidStateError, ConfigError) as error:
                self._fail(error)
                return False
            if self._failing_since is not None:
                self._recovered()
        return True

    def _fail(self, error: Exception) -> None:
        now = self._clock()
        self._retry_at = now + RETRY_DELAY
        if self._failing_since is None:
            self._failing_since = now
            logger.warning(
                "checkpoint %s cannot be used: %s. Informers continue without it; what they get "
                "until it works again will be delivered again after a restart",
                *(self.path, error),
            )
        database, self._database = self._database, None
        if database is not None:
            with suppress(sqlite3.Error):
                database.close()

    def _recovered(self) -> None:
        assert self._failing_since is not None
        logger.info(
            "checkpoint %s works again, after %.1f s; deliveries meanwhile are stored",
            *(self.path, self._clock() - self._failing_since),
        )
        self._failing_since = self._retry_at = None

    def close(self) -> None:
        """Release the file; later deliveries are not stored. Idempotent."""
        with self._guard:
            self._closed = True
            database, self._database = self._database, None
            if database is not None:
                with suppress(sqlite3.Error):
                    database.close()
            self._file.release()

    def reset_after_fork(self) -> None:
        """Leave the file to the parent, in a forked child."""
        self._file.reset_after_fork()
        if self._database is not None:
            leak(self._database)


class _Slot:
    """One informer's place in the file: a ``ChangeStore``. Used under the store's lock."""

    def __init__(self, store: CheckpointStore, uid: str, scope: str) -> None:
        self._store = store
        self._uid = uid
        self._scope = scope
        self._rows: Rows | None = None
        self._opened = 0
        self.kept = False
        self.lost = False  # what it remembered was in a file that is no longer there

    @property
    def retry_at(self) -> float | None:
        """When writing is next tried."""
        return self._store.retry_at

    def write(self, changes: Changes) -> bool:
        """Write changes; see ``ChangeStore``."""
        return self._store.write_changes(self, changes)

    def load(self, database: sqlite3.Connection, opened: int) -> Past:
        """Return the stored past of the informer."""
        self._rows, complete = find(database, self._uid, self._scope)
        past = load(database, self._rows, complete=complete)
        self._opened, self.kept = opened, True
        return past

    def rows(self, database: sqlite3.Connection, opened: int, *, fresh: bool) -> Rows:
        """Return where its rows are now; in a transaction."""
        if self._rows is None or self._opened != opened:
            rows, _ = find(database, self._uid, self._scope)
            if not self.kept:
                clear(database, rows)  # of an earlier process: all is remembered anew
            elif fresh:
                self.lost = True
            self._rows, self._opened = rows, opened
        return self._rows
