"""Why a session or a task is where it is, from what an engine shows. Pure.

An engine says little: events of a session, counters, executors. What follows from them is said in
plain words, and what is a guess says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from flamepy.cli.showing.output import age, counted
from flamepy.types import (
    Application,
    Executor,
    ExecutorState,
    SessionInfo,
    SessionState,
    Task,
    TaskState,
)

BIND_FAILED, RETRY_LIMIT = 1001, 1002  # codes of a session's events
STARTING = (ExecutorState.BINDING, ExecutorState.IDLE, ExecutorState.VOID)


def of_session(
    info: SessionInfo,
    application: Application | None,
    executors: Sequence[Executor],
    now: datetime,
) -> list[str]:
    """Return why a session makes progress or none, the most important first.

    Args:
        info: the session, with its events.
        application: of the session; None if it is registered no more.
        executors: of the whole engine.
        now: the time.
    """
    if info.state == SessionState.CLOSED:
        ended = info.completion_time
        return [f"closed {age((now - ended).total_seconds())} ago" if ended else "closed"]
    counts = info.counts
    own = [one for one in executors if one.session_id == info.id]
    bound = [one for one in own if one.state == ExecutorState.BOUND]
    found = []
    if application is None:
        found.append(f"application {info.application} is not registered any more")
    gave_up = _last(info, RETRY_LIMIT)
    if gave_up is not None:
        why = _last(info, BIND_FAILED) or gave_up
        return [*found, f"no executor: bind limit reached, it gets none any more: {why}"]
    failed = _last(info, BIND_FAILED)
    if counts.pending and not bound:
        found.append(_waiting(own, executors))
        if failed is not None:
            found.append(f"a service did not start: {failed}")
    elif counts.pending:
        full = info.max_instances is not None and len(bound) >= info.max_instances
        limit = f", all that max_instances={info.max_instances} allows" if full else ""
        wait, serve = counted(counts.pending, "task"), counted(len(bound), "executor")
        found.append(f"waiting: {wait} for {serve}{limit}")
    elif counts.running:
        found.append(f"{counted(counts.running, 'task')} running")
    elif counts.total:
        found.append(f"open, idle: of {counted(counts.total, 'task')} none is left")
    else:
        since = age((now - info.creation_time).total_seconds())
        found.append(f"open, idle: no task in the {since} since it was created")
    return found


def _waiting(own: Sequence[Executor], executors: Sequence[Executor]) -> str:
    """Return why tasks wait that no executor serves."""
    if any(one.state in STARTING for one in own):
        return "waiting for an executor: one is starting its service"
    others = sum(one.state == ExecutorState.BOUND for one in executors)
    if others:
        serve = f"{counted(others, 'executor')} at work for other sessions"
        return f"waiting for an executor: {serve} (a guess: none is free)"
    return "waiting for an executor: none has been given yet"


def of_task(task: Task, session: SessionInfo, before: int, reasons: Sequence[str]) -> str:
    """Return why a task is where it is.

    Args:
        task: the task.
        session: its session.
        before: tasks of the session that are pending and have a lower number.
        reasons: of the session.
    """
    if task.state == TaskState.PENDING:
        where = f"{counted(before, 'task')} before it" if before else "it is the next one"
        return f"waiting, {where}; session: {reasons[0]}"
    if task.state == TaskState.RUNNING:
        return "running"
    if task.state == TaskState.CANCELLED:
        return "cancelled: its session was closed before it started"
    if task.state == TaskState.FAILED:
        return f"failed: {task.error or 'the engine recorded no text'}"
    return "ended well" if task.state == TaskState.SUCCEED else task.state.name


def failures(tasks: Iterable[Task]) -> list[tuple[str, int, str]]:
    """Return the texts of failures, how often each came and the first task; most often first."""
    found: dict[str, list[str]] = {}
    for task in tasks:
        if task.state == TaskState.FAILED:
            found.setdefault(task.error or "(no text)", []).append(task.id)
    rows = [(text, len(ids), ids[0]) for text, ids in found.items()]
    return sorted(rows, key=lambda row: (-row[1], row[0]))


def _last(info: SessionInfo, code: int) -> str | None:
    texts = [event.message for event in info.events if event.code == code]
    return (texts[-1] or "") if texts else None
