"""Why a session or a task is where it is, from what an engine shows. Pure.

The reason of a session is that of ``flamepy.view.reasons``, so that ``flamepy describe``, ``top``
and the dashboard use the same words.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from flamepy.cli.showing.output import counted
from flamepy.types import (
    Application,
    Executor,
    ExecutorState,
    SessionInfo,
    SessionState,
    Task,
    TaskState,
)

STARTING = (ExecutorState.BINDING, ExecutorState.IDLE, ExecutorState.VOID)


def of_session(
    info: SessionInfo,
    application: Application | None,
    executors: Sequence[Executor],
    now: datetime,
    *,
    moved: datetime | None = None,
) -> list[str]:
    """Return why a session makes progress or none, in the words of ``flamepy.view``.

    Args:
        info: the session, with its events.
        application: of the session; None if it is registered no more.
        executors: of the whole engine.
        now: the time.
        moved: when its counters moved last; None if that is not known.
    """
    # Here, as it loads gRPC: commands quieten gRPC first.
    from flamepy.view.reasons import Situation, reason_of

    own = [one for one in executors if one.session_id == info.id]
    bound = [one for one in executors if one.state == ExecutorState.BOUND]
    moved = moved or (None if info.counts.total else info.creation_time)
    ended = info.completion_time or now
    situation = Situation(
        idle=None if moved is None else max(0.0, (now - moved).total_seconds()),
        closed_for=max(0.0, (now - ended).total_seconds()),
        executors=sum(one.state == ExecutorState.BOUND for one in own),
        free=len(executors) - len(bound) if executors else None,
        starting=any(one.state in STARTING for one in own),
    )
    why = reason_of(info, situation).text
    if application is None and info.state == SessionState.OPEN:
        return [f"application {info.application} is not registered any more", why]
    return [why]


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
