"""``MemoryFile``: the table of an outbox that no file has, of a sink with ``durable=False``."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from typing import TypeVar

from flamepy.errors import InvalidStateError
from flamepy.informers.outbox.table import SCHEMA
from flamepy.texts import text_of

T = TypeVar("T")


class MemoryFile:
    """A database in memory; methods may be called from any thread."""

    generation = 1

    def __init__(self) -> None:
        self._guard = threading.RLock()  # guards the connection
        self._database: sqlite3.Connection | None = None
        self._closed = False

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Call a function with the database, in a transaction, and return what it returns.

        Raises:
            InvalidStateError: it is closed, or the function could not be carried out.
        """
        with self._guard:
            database = self._open()
            try:
                database.execute("BEGIN")
                try:
                    answer = act(database)
                except BaseException:
                    database.execute("ROLLBACK")
                    raise
                database.execute("COMMIT")
            except sqlite3.Error as error:
                raise InvalidStateError(
                    f"the outbox in memory cannot be used: {text_of(error)}"
                ) from error
            return answer

    def _open(self) -> sqlite3.Connection:
        if self._closed:
            raise InvalidStateError("the outbox in memory is closed: its sink was removed")
        if self._database is None:
            self._database = sqlite3.connect(
                ":memory:", isolation_level=None, check_same_thread=False
            )
            self._database.executescript(SCHEMA)
        return self._database

    def foreign_changes(self) -> int | None:
        """Return None: no other process has it."""
        return None

    def close(self) -> None:
        """Free the memory. Idempotent."""
        with self._guard:
            self._closed = True
            database, self._database = self._database, None
            if database is not None:
                database.close()
