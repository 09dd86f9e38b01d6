"""Indexes of listers: a query costs what it returns and what changed since the last one.

An ``Index`` is made of everything at its first query. Then the store notes what changes and what
leaves it in a ``ChangeLog``, which the next query applies; between queries nothing is computed.
Functions of users run on the thread that queries, under no lock.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Generic, TypeVar

from flamepy.types import SessionInfo, Task
from flamepy.watching.state.change_log import ChangeLog
from flamepy.watching.state.records import SessionRecord, TaskRecord
from flamepy.watching.state.store import Store

R = TypeVar("R", bound=Hashable)
V = TypeVar("V")


class Source(Generic[R, V]):
    """The records of a store and the object that each of them shows."""

    @abstractmethod
    def all(self) -> Iterator[tuple[R, V]]:
        """Yield every record that shows an object, and that."""

    @abstractmethod
    def shown(self, record: R) -> V | None:
        """Return what a record shows now; None once it left the store."""

    @abstractmethod
    def follow(self, log: ChangeLog[R]) -> None:
        """Note in ``log`` which records show another object, or none, from now on."""


class TaskSource(Source[TaskRecord, Task]):
    """The delivered tasks of a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> Iterator[tuple[TaskRecord, Task]]:
        """Yield the record and the task of each; copies of dictionaries, taken at once."""
        for session in list(self._store.sessions.values()):
            yield from self.of_session(session)

    def of_session(self, session: SessionRecord) -> Iterator[tuple[TaskRecord, Task]]:
        """Yield those of one session."""
        for known in list(session.tasks.values()):
            if known.delivered:
                yield known, known.task

    def shown(self, record: TaskRecord) -> Task | None:
        """Return the task."""
        session = self._store.sessions.get(record.task.session_id)
        if session is None or session.tasks.get(record.number) is not record:
            return None
        return record.task if record.delivered else None

    def follow(self, log: ChangeLog[TaskRecord]) -> None:
        """Note delivered states."""
        self._store.task_changes.add(log)


class SessionSource(Source[SessionRecord, SessionInfo]):
    """The sessions of a store that an answer has shown."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def all(self) -> Iterator[tuple[SessionRecord, SessionInfo]]:
        """Yield the record and the session of each."""
        for record in list(self._store.sessions.values()):
            if record.info is not None:
                yield record, record.info

    def shown(self, record: SessionRecord) -> SessionInfo | None:
        """Return the session."""
        return record.info if self._store.sessions.get(record.id) is record else None

    def follow(self, log: ChangeLog[SessionRecord]) -> None:
        """Note what polls show."""
        self._store.session_changes.add(log)


class Index(Generic[R, V]):
    """Objects by the value that a function returns for each; may be used from any thread.

    Args:
        source: the objects.
        function: returns the value; called once for each object that is shown. What it raises is
            raised by the query.
    """

    def __init__(self, source: Source[R, V], function: Callable[[V], Any]) -> None:
        self._source = source
        self._function = function
        self._guard = threading.RLock()  # guards the rest; a signal handler may query as well
        self._log: ChangeLog[R] | None = None
        self._taken = 0  # entries of the log that were applied
        self._entries: dict[R, tuple[V, Any]] = {}  # Any: what the function returned
        self._by_value: dict[Any, dict[R, V]] = {}
        self._unhashable: dict[R, V] = {}

    def find(self, wanted: object) -> list[tuple[R, V]]:
        """Return the records and objects whose value equals ``wanted``, in no order."""
        self._refresh()
        with self._guard:
            try:
                found = list(self._by_value.get(wanted, {}).items())
                others = list(self._unhashable)
            except TypeError:  # unhashable, but may equal what is not: {1} and frozenset({1})
                found, others = [], list(self._entries)
            entries = [(record, *self._entries[record]) for record in others]
        found += [(record, shown) for record, shown, value in entries if value == wanted]
        return found

    # ------------------------------------------------------------------ keeping it current

    def _refresh(self) -> None:
        log = self._log
        while log is None or not self._apply_changes(log):
            self._read_all()
            log = self._log

    def _apply_changes(self, log: ChangeLog[R]) -> bool:
        """Apply what a log has; False if everything must be read."""
        while True:
            with self._guard:
                start, changed = self._taken, log.records[:]
            if log.full:  # looked at after the copy: a log that becomes full is emptied
                return False
            values = [self._valued(record, self._source.shown(record)) for record in set(changed)]
            with self._guard:
                if self._log is not log:
                    return False  # another thread has read everything, maybe before these changes
                if self._taken != start:
                    continue  # another thread has applied these changes, maybe later ones as well
                self._set(values)
                del log.records[: len(changed)]
                self._taken += len(changed)
                log.limit = max(log.limit, len(self._entries))
                return True

    def _read_all(self) -> None:
        log: ChangeLog[R] = ChangeLog()
        self._source.follow(log)  # first: what changes while it is read is noted
        values = [self._valued(record, shown) for record, shown in self._source.all()]
        with self._guard:
            self._log, self._taken = log, 0
            log.limit = max(log.limit, len(values))
            self._entries.clear()
            self._by_value.clear()
            self._unhashable.clear()
            self._set(values)

    def _valued(self, record: R, shown: V | None) -> tuple[R, V | None, Any]:
        return record, shown, None if shown is None else self._function(shown)

    def _set(self, values: Iterable[tuple[R, V | None, Any]]) -> None:
        for record, shown, value in values:  # what is outdated by now comes again with the log
            known = self._entries.pop(record, None)
            if known is not None:
                bucket = self._bucket(known[1])
                bucket.pop(record, None)
                if not bucket and bucket is not self._unhashable:
                    del self._by_value[known[1]]
            if shown is not None:
                self._entries[record] = (shown, value)
                self._bucket(value)[record] = shown

    def _bucket(self, value: Any) -> dict[R, V]:
        try:
            return self._by_value.setdefault(value, {})
        except TypeError:
            return self._unhashable
