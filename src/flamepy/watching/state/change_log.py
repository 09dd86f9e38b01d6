"""Which records changed since a reader last looked, for indexes over the store. Pure.

The store notes in every log, on the loop, what changed or left it; a reader on another thread takes
from its own log. Nothing is noted where there is no log, and each log is bounded.
"""

from __future__ import annotations

from typing import Generic, TypeVar
from weakref import ref

R = TypeVar("R")

LEAST = 1024  # changes that a log has room for at least


class ChangeLog(Generic[R]):
    """The records that changed, oldest first.

    Attributes:
        records: appended to by the store, taken from the front by the reader, each in one
            operation.
        limit: how many may wait for the reader.
        full: True once one found no room: the log has ended, and the reader must read everything.
    """

    __slots__ = ("__weakref__", "full", "limit", "records")

    def __init__(self, limit: int = LEAST) -> None:
        self.records: list[R] = []
        self.limit = max(limit, LEAST)
        self.full = False


class ChangeLogs(Generic[R]):
    """The logs of one kind of records; held weakly, as their readers come and go."""

    __slots__ = ("_logs",)

    def __init__(self) -> None:
        self._logs: list[ref[ChangeLog[R]]] = []

    def add(self, log: ChangeLog[R]) -> None:
        """Note every change from now on in a log; from any thread."""
        self._logs.append(ref(log))

    def note(self, record: R) -> None:
        """Record that a record changed, or left the store, after it did; on the loop."""
        ended: list[ref[ChangeLog[R]]] = []
        for one in self._logs:
            log = one()
            if log is None:
                ended.append(one)
            elif len(log.records) < log.limit:
                log.records.append(record)
            else:
                log.full = True
                log.records.clear()
                ended.append(one)
        for one in ended:
            self._logs.remove(one)

    def end(self) -> None:
        """End every log, for too much has changed: their readers must read everything."""
        for log in filter(None, (one() for one in self._logs)):
            log.full = True
            log.records.clear()
        self._logs.clear()

    def __bool__(self) -> bool:
        return bool(self._logs)
