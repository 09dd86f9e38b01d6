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
from typing import TypeVar

from flamepy.errors import ConfigError, InvalidStateError
from flamepy.informers.checkpoint.delivered import Changes, Memory
from flamepy.informers.checkpoint.file import CheckpointFile
from flamepy.informers.checkpoint.resumption import Past
from flamepy.informers.checkpoint.tables import Rows, clear, find, load, write
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.informers.dead_letters.table import BOUNDS, DAY, Bounds, put, remove, trim
from flamepy.informers.dead_letters.table import find as find_dead
from flamepy.runtime.clocks import monotonic, wall
from flamepy.runtime.forks import leak
from flamepy.runtime.repeats import RepeatedLog
from flamepy.texts import text_of
from flamepy.watching.state.subscriptions import Scope

T = TypeVar("T")

logger = logging.getLogger(__name__)

RETRY_DELAY = 2.0  # seconds


class CheckpointStore:
    """The checkpoint of one reactor: one file for all its informers, with retries while it fails.

    Args:
        path: the file.
        retain: finished tasks that are remembered one by one, of each informer.
        bounds: of the dead letters.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        retain: int = 100_000,
        bounds: Bounds = BOUNDS,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.path = path
        self._bounds = bounds
        self._log = RepeatedLog(logger)
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

    @property
    def generation(self) -> int:
        """How often the file was opened."""
        return self._opened

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
                dropped = trim(database, self._bounds, wall()) if changes.dead else 0
                database.execute("COMMIT")
                slot.kept = True
                if changes.outgoing:  # counted under the lock, as the rows are
                    changes.outgoing_stored(changes.outgoing)
            except (OSError, sqlite3.Error, InvalidStateError, ConfigError) as error:
                self._fail(error)
                return False
            if self._failing_since is not None:
                self._recovered()
        if dropped:
            self._report_dropped(dropped)
        return True

    def put_dead(self, letters: list[DeadLetter]) -> None:
        """Store dead letters of an informer whose deliveries are not stored.

        Raises:
            InvalidStateError: the file cannot be used now; the letters are not stored.
        """

        def act(database: sqlite3.Connection) -> int:
            put(database, letters)
            return trim(database, self._bounds, wall())

        dropped = self.transact(act)
        if dropped:
            self._report_dropped(dropped)

    def waiting(self) -> list[DeadLetter]:
        """Return the dead letters that are to be handled again; none while the file fails.

        Raises:
            InvalidStateError: the file cannot be used any more.
        """
        with self._guard:
            if self._database is None:
                return []  # ``_fail`` has said it
        return self.transact(lambda database: find_dead(database, retrying=True))

    def resolved(self, number: int) -> None:
        """Delete a dead letter that was handled after all; what goes wrong is logged."""
        with suppress(InvalidStateError):  # ``_fail`` has said it; it is handled once more then
            self.transact(lambda database: remove(database, informer=None, ids=[number]))

    def _report_dropped(self, count: int) -> None:
        self._log.log(
            logging.WARNING,
            "dropped",
            "%d dead letters were dropped from %s, the oldest first: it keeps %d of them for %.0f "
            "days",
            *(count, self.path, self._bounds.count, self._bounds.age / DAY),
        )

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the database, in a transaction, and return what it returns.

        Raises:
            InvalidStateError: the reactor has stopped, or the file cannot be used now.
        """
        with self._guard:
            if self._closed:
                raise InvalidStateError(
                    f"checkpoint {self.path} is closed: its reactor has stopped; start another "
                    "one, or read the file with flamepy deadletters"
                )
            try:
                database = self._open()
                database.execute("BEGIN IMMEDIATE")
                try:
                    answer = act(database)
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            except (OSError, sqlite3.Error) as error:
                self._fail(error)
                raise InvalidStateError(
                    f"checkpoint {self.path} cannot be used now: {text_of(error)}"
                ) from error
            return answer

    def foreign_changes(self) -> int | None:
        """Return a number that another process's change makes another; None if it is not open."""
        with self._guard:
            if self._database is None:
                return None
            return int(self._database.execute("PRAGMA data_version").fetchone()[0])

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
