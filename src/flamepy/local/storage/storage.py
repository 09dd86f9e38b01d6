"""The cluster's state in SQLite: a ``Journal`` that writes, and ``load`` that reads it back.

Changes that are committed together are one transaction. Inputs and outputs have tables of their
own, so that a state is changed without writing a payload again. Everything runs on the thread of
``thread``, which may wait for the disk and for another program's lock; ``database`` opens
the file.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from flamepy._proto import types_pb2
from flamepy.errors import ConfigError
from flamepy.local.state.defaults import DEFAULT_RESOURCES
from flamepy.local.state.journal import Ending, Stored, Write
from flamepy.local.state.refusal import StorageRefusal
from flamepy.local.state.rows import TASK_EVENTS, EventRow, SessionRow, TaskRow
from flamepy.local.storage.database import NAME, damaged, open_database
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of
from flamepy.types import Application, SessionAttributes, SessionState, TaskState
from flamepy.wire.applications import decode_application, encode_application
from flamepy.wire.sessions import decode_session_spec, encode_session_spec

logger = logging.getLogger(__name__)

LOCK_PATIENCE = 5.0  # seconds that a change waits for another program's lock
_TASK_TABLES = ("tasks", "inputs", "outputs")


class Storage:
    """The SQLite database of the cluster's state; a ``journal.Journal``.

    Made, used and closed on one thread, all but ``hurry``.

    Args:
        folder: of the database, which is made if it is not there.

    Attributes:
        fresh: True if the database was made just now.

    Raises:
        ConfigError: the database cannot be used; it is left as it is.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._database, self.fresh = open_database(folder)
        self._hurries = False

    def hurry(self) -> None:
        """Stop waiting for locks of other programs; called on any thread."""
        self._hurries = True

    def close(self) -> None:
        """Put everything into the one file, and close it."""
        self._database.close()

    # ------------------------------------------------------------------ reading

    def load(self) -> Stored:
        """Return everything, tasks in ascending order. Raises ConfigError if it is damaged."""
        try:
            applications = [
                decode_application(types_pb2.Application.FromString(message))
                for (message,) in self._database.execute("SELECT message FROM applications")
            ]
            sessions = {
                one[0]: _session(*one)
                for one in self._database.execute(
                    "SELECT key, id, spec, state, created, completed, events FROM sessions "
                    "ORDER BY key"
                )
            }
            self._load_tasks(sessions)
        except (sqlite3.Error, DecodeError, ValueError, KeyError, TypeError) as error:
            raise ConfigError(damaged(self._folder / NAME, error)) from error
        return Stored(applications, list(sessions.values()))

    def _load_tasks(self, sessions: dict[int, SessionRow]) -> None:
        columns = "session, number, state, created, completed, events"
        for key, number, state, created, completed, events in self._database.execute(
            f"SELECT {columns} FROM tasks ORDER BY session, number"
        ):
            row = sessions[key]
            if number != len(row.tasks) + 1:
                raise ValueError(f"session {repr_of(row.id)} has no task {len(row.tasks) + 1}")
            _known(TaskState(state))
            row.tasks[number] = TaskRow(
                number=number,
                session_id=row.id,
                input=None,
                created=created,
                state=TaskState(state),
                completed=completed,
                events=_decode_events(events),
            )
        for key, number, payload in self._database.execute(
            "SELECT session, number, payload FROM inputs"
        ):
            sessions[key].tasks[number].input = payload
        for key, number, payload in self._database.execute(
            "SELECT session, number, payload FROM outputs"
        ):
            sessions[key].tasks[number].output = payload

    # ------------------------------------------------------------------ applications, sessions

    def application_put(self, application: Application) -> None:
        """Add or replace an application."""
        message = encode_application(application).SerializeToString()
        self._database.execute(
            "INSERT OR REPLACE INTO applications VALUES (?, ?)", (application.name, message)
        )

    def application_gone(self, name: str, sessions: Sequence[SessionRow]) -> None:
        """Remove an application and these sessions of it."""
        self._database.execute("DELETE FROM applications WHERE name = ?", (name,))
        _delete_sessions(self._database, sessions)

    def session_created(self, row: SessionRow) -> None:
        """Add a session."""
        spec = SessionAttributes(
            application=row.application,
            common_data=row.common_data,
            min_instances=row.min_instances,
            max_instances=row.max_instances,
            priority=row.priority,
            resreq=row.resreq,
        )
        message = encode_session_spec(spec).SerializeToString()
        values = (row.order, row.id, message, int(row.state), row.created, row.completed, "[]")
        self._database.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def session_closed(self, row: SessionRow, completed: int, cancelled: Sequence[TaskRow]) -> None:
        """Close a session and cancel these tasks."""
        closed = (int(SessionState.CLOSED), completed, row.order)
        self._database.execute("UPDATE sessions SET state = ?, completed = ? WHERE key = ?", closed)
        self._database.executemany(
            "UPDATE tasks SET state = ?, completed = ? WHERE session = ? AND number = ?",
            [(int(TaskState.CANCELLED), completed, row.order, task.number) for task in cancelled],
        )

    def sessions_gone(self, rows: Sequence[SessionRow]) -> None:
        """Remove sessions with their tasks."""
        _delete_sessions(self._database, rows)

    def session_events(self, row: SessionRow, events: Sequence[EventRow]) -> None:
        """Replace the events of a session."""
        self._database.execute(
            "UPDATE sessions SET events = ? WHERE key = ?", (_encode_events(events), row.order)
        )

    # ------------------------------------------------------------------ tasks

    def task_created(self, row: SessionRow, task: TaskRow) -> None:
        """Add a task."""
        self.tasks_created([(row, task)])

    def tasks_created(self, made: Sequence[tuple[SessionRow, TaskRow]]) -> None:
        """Add tasks."""
        tasks, inputs = [], []
        for row, task in made:
            key = (row.order, task.number)
            events = _encode_events(task.events)
            tasks.append((*key, int(task.state), task.created, None, events))
            if task.input is not None:
                inputs.append((*key, task.input))
        self._database.executemany("INSERT INTO tasks VALUES (?, ?, ?, ?, ?, ?)", tasks)
        self._database.executemany("INSERT INTO inputs VALUES (?, ?, ?)", inputs)

    def task_started(self, row: SessionRow, task: TaskRow, events: Sequence[EventRow]) -> None:
        """Note that a task runs."""
        _write_start(self._database, row, task, events)

    def task_ended(self, row: SessionRow, task: TaskRow, ending: Ending) -> None:
        """Note the end of a task."""
        _write_end(self._database, row, task, ending)

    def task_turned(
        self,
        row: SessionRow,
        task: TaskRow,
        ending: Ending,
        following: TaskRow,
        events: Sequence[EventRow],
    ) -> None:
        """Note the end of a task and that another one runs."""
        _write_end(self._database, row, task, ending)
        _write_start(self._database, row, following, events)

    # ------------------------------------------------------------------ transactions

    def begin_with(self, applications: Iterable[Application]) -> None:
        """Write the applications of a new database. Raises ConfigError."""
        for error in self.commit([_putting(one) for one in applications]):
            if error is not None:
                raise ConfigError(str(error)) from error

    def commit(self, writes: Sequence[Write]) -> list[Exception | None]:
        """Make changes durable, all together; if that fails, each that can be by itself.

        Returns:
            For each None, or why it was not made: a StorageRefusal, or what the write raised.
        """
        try:
            self._begin()
        except sqlite3.Error as error:
            return [self._refusal(error) for _ in writes]
        failure = self._write(writes)
        if failure is None or len(writes) == 1:
            return [failure] * len(writes)
        return [self.commit([one])[0] for one in writes]

    def _begin(self) -> None:
        """Begin a transaction; wait for another program's lock, unless the cluster stops."""
        until = monotonic() + LOCK_PATIENCE
        while True:
            try:
                self._database.execute("BEGIN IMMEDIATE")
                return
            except sqlite3.OperationalError as error:
                if not _is_locked(error) or self._hurries or monotonic() >= until:
                    raise

    def _write(self, writes: Sequence[Write]) -> Exception | None:
        try:
            for write in writes:
                write(self)
            self._database.execute("COMMIT")
        except Exception as error:
            self._undo()
            return self._refusal(error) if isinstance(error, sqlite3.Error) else error
        return None

    def _refusal(self, error: sqlite3.Error) -> StorageRefusal:
        way_out = "make room or mend the disk, then try again"
        if _is_locked(error):
            way_out = "end the other program that holds its lock, or wait for it, then try again"
        refusal = StorageRefusal(f"storage {self._folder}: {error}; nothing was changed: {way_out}")
        refusal.__cause__ = error
        return refusal

    def _undo(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error:
            logger.exception("storage %s: a failed change could not be rolled back", self._folder)


def _putting(application: Application) -> Write:
    return lambda journal: journal.application_put(application)


def _is_locked(error: sqlite3.Error) -> bool:
    return isinstance(error, sqlite3.OperationalError) and "locked" in str(error)


def _session(
    key: int,
    session_id: str,
    spec: bytes,
    state: int,
    created: int,
    completed: int | None,
    events: str,
) -> SessionRow:
    _known(SessionState(state))
    wanted = decode_session_spec(types_pb2.SessionSpec.FromString(spec))
    return SessionRow(
        id=session_id,
        application=wanted.application,
        created=created,
        common_data=wanted.common_data,
        min_instances=wanted.min_instances,
        max_instances=wanted.max_instances,
        priority=wanted.priority,
        resreq=wanted.resreq or DEFAULT_RESOURCES,
        order=key,
        state=SessionState(state),
        completed=completed,
        events=_decode_events(events),
    )


def _write_start(
    database: sqlite3.Connection, row: SessionRow, task: TaskRow, events: Sequence[EventRow]
) -> None:
    values = (int(TaskState.RUNNING), _encode_events(events), row.order, task.number)
    database.execute(
        "UPDATE tasks SET state = ?, events = ? WHERE session = ? AND number = ?", values
    )


def _write_end(
    database: sqlite3.Connection, row: SessionRow, task: TaskRow, ending: Ending
) -> None:
    events = _encode_events([*task.events, ending.event])
    key = (row.order, task.number)
    database.execute(
        "UPDATE tasks SET state = ?, completed = ?, events = ? WHERE session = ? AND number = ?",
        (int(ending.state), ending.completed, events, *key),
    )
    if ending.output is not None:
        database.execute("INSERT INTO outputs VALUES (?, ?, ?)", (*key, ending.output))


def _delete_sessions(database: sqlite3.Connection, rows: Iterable[SessionRow]) -> None:
    for row in rows:
        database.execute("DELETE FROM sessions WHERE key = ?", (row.order,))
        for table in _TASK_TABLES:
            database.execute(f"DELETE FROM {table} WHERE session = ?", (row.order,))


def _known(state: SessionState | TaskState) -> None:
    if not state.is_known:
        raise ValueError(f"there is no state {int(state)}")


def _encode_events(events: Iterable[EventRow]) -> str:
    """Return ``[[code, ms, text], ...]``; the texts that follow from the code are left out."""
    return f"[{','.join(map(_encode_event, events))}]"


def _encode_event(event: EventRow) -> str:
    code, message, millis = event
    if TASK_EVENTS.get(code) == message:
        return f"[{code:d},{millis}]"
    return f"[{code:d},{millis},{json.dumps(message)}]"


def _decode_events(text: str) -> list[EventRow]:
    return [
        EventRow(code, rest[0] if rest else TASK_EVENTS[code], int(millis))
        for code, millis, *rest in json.loads(text)
    ]
