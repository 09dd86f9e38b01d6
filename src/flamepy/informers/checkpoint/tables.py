"""Read and write the tables of a checkpoint: what was delivered to each informer.

``file`` opens the file, ``store`` serializes the writes. Finished tasks beyond the limit become
numbers in their session's row: a few bytes for many.
"""

from __future__ import annotations

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from flamepy.formats import Step
from flamepy.informers.checkpoint.delivered import Changes
from flamepy.informers.checkpoint.resumption import (
    DeliveredSession,
    DeliveredTask,
    Past,
    PastSession,
    Ranges,
    SessionKey,
    Shown,
)
from flamepy.informers.dead_letters import table as dead_letters
from flamepy.informers.outbox import table as outbox
from flamepy.types import TaskCounts, TaskState

_OVERDUE = """
CREATE TABLE overdue (
    informer INTEGER NOT NULL, key TEXT NOT NULL, PRIMARY KEY (informer, key)) WITHOUT ROWID;
"""
SCHEMA = f"""
CREATE TABLE informers (
    id INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, scope TEXT NOT NULL,
    complete INTEGER NOT NULL, missed INTEGER NOT NULL DEFAULT 0, paused TEXT);
CREATE TABLE sessions (
    key INTEGER PRIMARY KEY, informer INTEGER NOT NULL, id TEXT NOT NULL, created INTEGER NOT NULL,
    application TEXT NOT NULL, told TEXT, retired TEXT NOT NULL DEFAULT '', shown TEXT,
    UNIQUE (informer, id, created));
CREATE TABLE tasks (
    session INTEGER NOT NULL, number INTEGER NOT NULL, created INTEGER NOT NULL,
    state INTEGER NOT NULL, ended INTEGER,
    PRIMARY KEY (session, number)) WITHOUT ROWID;
{_OVERDUE}{dead_letters.SCHEMA}{outbox.SCHEMA}"""


def _add_missed(database: sqlite3.Connection) -> None:
    """Format 2: what a session showed, and how many ends were missed; unknown of before."""
    database.execute("ALTER TABLE informers ADD COLUMN missed INTEGER NOT NULL DEFAULT 0")
    database.execute("ALTER TABLE sessions ADD COLUMN shown TEXT")


def _add_dead_letters(database: sqlite3.Connection) -> None:
    """Format 3: dead letters, rules that were broken, and why an informer is paused."""
    database.execute("ALTER TABLE informers ADD COLUMN paused TEXT")
    database.execute(_OVERDUE)
    database.execute(dead_letters.SCHEMA)


def _add_outbox(database: sqlite3.Connection) -> None:
    """Format 4: the events that sinks are to send."""
    for statement in outbox.STATEMENTS:
        database.execute(statement)


STEPS: dict[int, Step] = {1: _add_missed, 2: _add_dead_letters, 3: _add_outbox}
"""What brings tables to ``SCHEMA``, by the number of the format that each begins at."""

_TASK = "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?)"
SLACK = 64  # finished tasks over the limit before the oldest of them go
_STATEMENT_SIZE = 500  # task numbers in one DELETE


@dataclass(slots=True, eq=False)
class Rows:
    """The keys of one informer's rows.

    Attributes:
        informer: the key of its own row.
        uid: the informer's.
        sessions: the keys of its sessions' rows.
        finished: how many finished tasks have a row, or a few more.
        sequence: the number of the last end, by which the oldest are found.
        leaving: sessions that are gone, with undelivered events of their tasks.
    """

    informer: int
    uid: str
    sessions: dict[SessionKey, int] = field(default_factory=dict)
    finished: int = 0
    sequence: int = 0
    leaving: set[SessionKey] = field(default_factory=set)


def find(database: sqlite3.Connection, uid: str, scope: str) -> tuple[Rows, bool]:
    """Return an informer's rows, made if missing, and whether that whole scope was delivered."""
    found = database.execute(
        "SELECT id, scope, complete FROM informers WHERE uid = ?", (uid,)
    ).fetchone()
    if found is None:
        made = database.execute(
            "INSERT INTO informers (uid, scope, complete) VALUES (?, ?, 0)", (uid, scope)
        )
        return Rows(int(made.lastrowid or 0), uid), False
    rows = Rows(int(found[0]), uid)
    rows.sessions = {
        (name, created): key
        for key, name, created in database.execute(
            "SELECT key, id, created FROM sessions WHERE informer = ?", (rows.informer,)
        )
    }
    _count(database, rows)
    if found[1] != scope:
        database.execute(
            "UPDATE informers SET scope = ?, complete = 0 WHERE id = ?", (scope, rows.informer)
        )
    return rows, bool(found[2]) and found[1] == scope


def load(database: sqlite3.Connection, rows: Rows, *, complete: bool) -> Past:
    """Return what is remembered of an informer."""
    past, by_key = Past(complete), {}
    past.missed, past.paused = database.execute(
        "SELECT missed, paused FROM informers WHERE id = ?", (rows.informer,)
    ).fetchone()
    past.overdue = {
        key
        for (key,) in database.execute(
            "SELECT key FROM overdue WHERE informer = ?", (rows.informer,)
        )
    }
    for key, name, created, application, delivered, retired, shown in database.execute(
        "SELECT key, id, created, application, told, retired, shown FROM sessions "
        "WHERE informer = ?",
        (rows.informer,),
    ):
        session = PastSession(
            application,
            retired=Ranges(retired),
            delivered=_delivered(delivered),
            shown=_shown(shown),
        )
        by_key[key] = past.sessions[name, created] = session
    for key, number, created, state in database.execute(
        "SELECT session, number, tasks.created, state FROM tasks JOIN sessions "
        "ON sessions.key = tasks.session WHERE informer = ?",
        (rows.informer,),
    ):
        by_key[key].tasks[number] = DeliveredTask(created, TaskState(state))
    return past


def pause(database: sqlite3.Connection, uid: str, reason: str | None) -> None:
    """Store why an informer is paused, or that it is not."""
    database.execute("UPDATE informers SET paused = ? WHERE uid = ?", (reason, uid))


def clear(database: sqlite3.Connection, rows: Rows) -> None:
    """Delete the stored state of an informer."""
    database.execute("DELETE FROM overdue WHERE informer = ?", (rows.informer,))
    database.execute("UPDATE informers SET complete = 0 WHERE id = ?", (rows.informer,))
    _forget(database, rows, list(rows.sessions))
    rows.finished = 0


def write(database: sqlite3.Connection, rows: Rows, changes: Changes, retain: int) -> None:
    """Write changes; to be called in a transaction."""
    put, removed = [], []
    for (key, number), row in changes.tasks.items():
        if row.delivered is not None:
            session = rows.sessions.get(key) or _add(database, rows, key, row.application)
            ended = None
            if row.delivered.state.is_terminal:
                ended = rows.sequence = rows.sequence + 1
                rows.finished += 1
            put.append((session, number, row.delivered.created, int(row.delivered.state), ended))
        elif key in rows.sessions:
            removed.append((rows.sessions[key], number))
    if removed:
        database.executemany("DELETE FROM tasks WHERE session = ? AND number = ?", removed)
    if put:
        database.executemany(_TASK, put)
    for key, one in changes.sessions.items():
        session = rows.sessions.get(key) or _add(database, rows, key, one.application)
        text = None if one.delivered is None else _text(one.delivered)
        database.execute("UPDATE sessions SET told = ? WHERE key = ?", (text, session))
    for key, last in changes.shown.items():
        if last.shown is None and key not in rows.sessions:
            continue
        session = rows.sessions.get(key) or _add(database, rows, key, last.application)
        shown = last.shown
        text = None if shown is None else json.dumps([_numbers(shown.counts), shown.closed])
        database.execute("UPDATE sessions SET shown = ? WHERE key = ?", (text, session))
    if changes.missed:
        database.execute(
            "UPDATE informers SET missed = missed + ? WHERE id = ?", (changes.missed, rows.informer)
        )
    _remove_sessions(database, rows, changes)
    if changes.outgoing:
        outbox.put(database, rows.uid, changes.outgoing)
    if changes.complete:
        database.execute("UPDATE informers SET complete = 1 WHERE id = ?", (rows.informer,))
    if changes.dead:
        dead_letters.put(database, changes.dead)
    if changes.resolved:
        dead_letters.remove(database, informer=None, ids=changes.resolved)
    for mark, broken in changes.overdue.items():
        database.execute(
            "INSERT OR IGNORE INTO overdue VALUES (?, ?)"
            if broken
            else "DELETE FROM overdue WHERE informer = ? AND key = ?",
            (rows.informer, mark),
        )
    if rows.finished > retain + max(SLACK, retain // 10):
        _trim(database, rows, retain)


def _add(database: sqlite3.Connection, rows: Rows, key: SessionKey, application: str) -> int:
    made = database.execute(
        "INSERT INTO sessions (informer, id, created, application) VALUES (?, ?, ?, ?)",
        (rows.informer, *key, application),
    )
    rows.sessions[key] = int(made.lastrowid or 0)
    return rows.sessions[key]


def _remove_sessions(database: sqlite3.Connection, rows: Rows, changes: Changes) -> None:
    for key in changes.gone:
        if key in rows.sessions:
            rows.leaving.add(key)
            database.execute(
                "UPDATE sessions SET retired = '', told = NULL, shown = NULL WHERE key = ?",
                (rows.sessions[key],),
            )
    empty = [
        key
        for key in rows.leaving
        if not database.execute(
            "SELECT EXISTS (SELECT 1 FROM tasks WHERE session = ?)", (rows.sessions[key],)
        ).fetchone()[0]
    ]
    _forget(database, rows, [*empty, *changes.forgotten])


def _forget(database: sqlite3.Connection, rows: Rows, keys: Iterable[SessionKey]) -> None:
    for key in keys:
        rows.leaving.discard(key)
        session = rows.sessions.pop(key, None)
        if session is not None:
            database.execute("DELETE FROM tasks WHERE session = ?", (session,))
            database.execute("DELETE FROM sessions WHERE key = ?", (session,))


def _count(database: sqlite3.Connection, rows: Rows) -> None:
    rows.finished, rows.sequence = database.execute(
        "SELECT count(ended), coalesce(max(ended), 0) FROM tasks JOIN sessions "
        "ON sessions.key = tasks.session WHERE informer = ?",
        (rows.informer,),
    ).fetchone()


def _trim(database: sqlite3.Connection, rows: Rows, retain: int) -> None:
    """Reduce the oldest finished tasks over the limit to their numbers."""
    _count(database, rows)
    numbers: dict[int, list[int]] = defaultdict(list)
    for session, number in database.execute(
        "SELECT session, number FROM tasks JOIN sessions ON sessions.key = tasks.session "
        "WHERE informer = ? AND ended IS NOT NULL ORDER BY ended LIMIT ?",
        (rows.informer, max(0, rows.finished - retain)),
    ).fetchall():
        numbers[session].append(number)
    for session, retired in numbers.items():
        (text,) = database.execute(
            "SELECT retired FROM sessions WHERE key = ?", (session,)
        ).fetchone()
        ranges = Ranges(text)
        for number in retired:
            ranges.add(number)
        database.execute("UPDATE sessions SET retired = ? WHERE key = ?", (str(ranges), session))
        for at in range(0, len(retired), _STATEMENT_SIZE):
            part = retired[at : at + _STATEMENT_SIZE]
            marks = ", ".join("?" * len(part))
            database.execute(
                f"DELETE FROM tasks WHERE session = ? AND number IN ({marks})", (session, *part)
            )
    rows.finished = min(rows.finished, retain)


def _text(delivered: DeliveredSession) -> str:
    drained = None if delivered.drained is None else _numbers(delivered.drained)
    return json.dumps([_numbers(delivered.counts), delivered.closed, drained, delivered.events])


def _delivered(text: str | None) -> DeliveredSession | None:
    if text is None:
        return None
    counts, closed, drained, events = json.loads(text)
    return DeliveredSession(
        TaskCounts(*counts),
        closed,
        None if drained is None else TaskCounts(*drained),
        tuple((code, moment) for code, moment in events),
    )


def _shown(text: str | None) -> Shown | None:
    if text is None:
        return None
    counts, closed = json.loads(text)
    return Shown(TaskCounts(*counts), closed)


def _numbers(counts: TaskCounts) -> list[int]:
    return [counts.pending, counts.running, counts.succeed, counts.failed, counts.cancelled]
