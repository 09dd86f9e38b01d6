"""From entries of the outbox to rows. Pure.

A row is the same whenever its entry is sent again: that is what makes a repeated batch change
nothing. So nothing here may depend on when or how often an entry is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timezone

from flamepy.informers import (
    EventKind,
    OutboxEntry,
    OverdueEvent,
    SessionEvent,
    SessionEventKind,
    TaskEvent,
)
from flamepy.types import SessionInfo, SessionState, Task, TaskState
from flamepy_sql.tables import COUNTS

Row = dict[str, object]

MAX_TEXT = 10_000  # characters; four bytes each fit into MySQL's TEXT
_ENDED = 10**17  # microseconds in 3,000 years: an end is newer than any state before it
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_REPEATABLE = frozenset({SessionEventKind.PROGRESS, SessionEventKind.DRAINED})


def task_rows(entries: Iterable[OutboxEntry]) -> list[Row]:
    """Return one row for each task of a batch, its newest state, ordered by ``id``."""
    return _newest(
        task_row(one.event, one.created) for one in entries if isinstance(one.event, TaskEvent)
    )


def session_rows(entries: Iterable[OutboxEntry]) -> list[Row]:
    """Return one row for each session of a batch, its newest state, ordered by ``id``."""
    return _newest(
        session_row(one.event, one.created)
        for one in entries
        if isinstance(one.event, SessionEvent)
    )


def task_row(event: TaskEvent, recorded: datetime) -> Row:
    """Return a task's row of the table of tasks."""
    task = event.task
    return {
        "id": event.key.rpartition("/")[0],
        **_names(event, task.session_id),
        "task_id": task.id,
        "state": _name(task.state),
        **_task_times(task),
        "error": storable(task.error),
        "deleted_at": recorded if event.kind is EventKind.DELETED else None,
        "updated_at": recorded,
        "version": version(task.is_completed(), recorded),
    }


def session_row(event: SessionEvent, recorded: datetime) -> Row:
    """Return a session's row of the table of sessions."""
    session = event.session
    closed = session.state == SessionState.CLOSED
    return {
        "id": session_id(session),
        **_names(event, session.id),
        "state": _name(session.state),
        **_session_times(session),
        **{one: getattr(session.counts, one) for one in COUNTS},
        "deleted_at": recorded if event.kind is SessionEventKind.DELETED else None,
        "updated_at": recorded,
        "version": version(closed, recorded),
    }


def version(ended: bool, recorded: datetime) -> int:
    """Return the order of a row's states: a higher one replaces a lower one, never the reverse.

    An end is final (G2), so it is above every state before it, whatever the clock said. Of two
    states of something unfinished the one recorded later is above.
    """
    since = recorded.astimezone(timezone.utc) - _EPOCH
    micros = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return micros + (_ENDED if ended else 0)


def session_id(session: SessionInfo) -> str:
    """Return what identifies a session among those that had its id: as in ``event.key``."""
    return f"{session.id}@{int(session.creation_time.timestamp() * 1000)}"


def event_id(entry: OutboxEntry) -> str:
    """Return the primary key of an entry's row in the table of events.

    ``event.key`` names a state. A task that the engine runs again is PENDING and RUNNING twice, and
    counters come back to what they were: of those, the time at which the entry was written says
    which one it is. It is stored with the entry, so it is the same each time the entry is sent.
    The present state at a registration (``initial``) has the plain key, as it is no new occurrence.
    """
    return f"{entry.key}#{version(False, entry.created)}" if _may_repeat(entry) else entry.key


def event_row(entry: OutboxEntry) -> Row:
    """Return the row of the table of events."""
    event = entry.event
    if isinstance(event, TaskEvent):
        given = _task_event(event)
    elif isinstance(event, SessionEvent):
        given = _session_event(event)
    else:
        given = _overdue_event(event)
    return {**_BLANK, "id": event_id(entry), "event_key": entry.key, **given} | {
        "recorded_at": entry.created
    }


def storable(text: str | None) -> str | None:
    """Return a text that each database takes: no NUL, no half character, ``MAX_TEXT`` at most."""
    if text is None:
        return None
    cut = text if len(text) <= MAX_TEXT else text[: MAX_TEXT - 3] + "..."
    return cut.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


_BLANK: Row = {
    **dict.fromkeys(
        ("endpoint", "task_id", "state", "old_state", "created_at", "completed_at", "duration")
    ),
    **dict.fromkeys(("error", *COUNTS)),
    "initial": False,
    "inferred": False,
}


def _may_repeat(entry: OutboxEntry) -> bool:
    event = entry.event
    if isinstance(event, TaskEvent):
        first = event.kind is EventKind.ADDED and event.task.state == TaskState.PENDING
        once = first or event.kind is EventKind.DELETED or event.task.is_completed()
        return not (once or event.initial)
    if isinstance(event, SessionEvent):
        return event.kind in _REPEATABLE and not event.initial
    return False


def _task_event(event: TaskEvent) -> Row:
    task = event.task
    return {
        "type": "task",
        "kind": event.kind.value,
        **_names(event, task.session_id),
        "task_id": task.id,
        "state": _name(task.state),
        "old_state": None if event.old is None else _name(event.old.state),
        **_task_times(task),
        "error": storable(task.error),
        "initial": event.initial,
        "inferred": event.inferred,
    }


def _session_event(event: SessionEvent) -> Row:
    session = event.session
    return {
        "type": "session",
        "kind": event.kind.value,
        **_names(event, session.id),
        "state": _name(session.state),
        **_session_times(session),
        "error": storable(None if event.event is None else event.event.message),
        **{one: getattr(session.counts, one) for one in COUNTS},
        "initial": event.initial,
    }


def _overdue_event(event: OverdueEvent) -> Row:
    task = event.task
    return {
        "type": "overdue",
        "kind": "overdue",
        "application": event.application or None,
        "session_id": event.session_id,
        **({} if task is None else {"task_id": task.id, "state": _name(task.state)}),
        "created_at": None if task is None else task.creation_time,
        "duration": event.age,
        "error": storable(event.rule.name),
    }


def _names(event: TaskEvent | SessionEvent, session: str) -> Row:
    return {
        "endpoint": event.endpoint or None,
        "application": event.application or None,
        "session_id": session,
    }


def _task_times(task: Task) -> Row:
    # A task that a restarted engine runs again may still have its old completion time.
    return _times(task.creation_time, task.completion_time if task.is_completed() else None)


def _session_times(session: SessionInfo) -> Row:
    return _times(session.creation_time, session.completion_time)


def _times(created: datetime, completed: datetime | None) -> Row:
    took = None if completed is None else max(0.0, (completed - created).total_seconds())
    return {"created_at": created, "completed_at": completed, "duration": took}


def _name(state: TaskState | SessionState) -> str:
    return state.name.lower()


def _newest(rows: Iterable[Row]) -> list[Row]:
    """Fold the rows of one ``id`` as the database would, in the order in which they come.

    A statement may touch a row once only; and rows are locked in the order of their ids, so that
    two senders that write the same ones wait for each other instead of deadlocking.
    """
    found: dict[object, Row] = {}
    for row in rows:
        seen = found.get(row["id"])
        found[row["id"]] = row if seen is None else merged(seen, row)
    return [found[one] for one in sorted(found, key=str)]


def merged(stored: Row, given: Row) -> Row:
    """Return a row after another one of its ``id``: the newer one, its gaps filled by the older.

    A delete that a checkpoint remembered has no text: what the row knows stays.
    """
    newer, older = (given, stored) if _number(given) >= _number(stored) else (stored, given)
    return {name: older[name] if value is None else value for name, value in newer.items()}


def _number(row: Row) -> int:
    number = row["version"]
    assert isinstance(number, int)
    return number
