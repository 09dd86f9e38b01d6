"""When waiting for a session's tasks has become pointless, and which tasks do not start. Pure.

An engine leaves a session open whose services cannot be started: tasks stay pending for ever and
no stream says so (docs/protocol.md#events). It may also lose a task while sending it to an
executor; that task stays pending while later ones run and finish. Checked at every poll.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flamepy.errors import FlameError, SessionClosedError, SessionRetryLimitError
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, SessionState, TaskState
from flamepy.watching.state.records import SessionRecord, TaskRecord

RETRY_LIMIT_EVENT = 1002
LIMIT_QUIET = 1.0
_EXECUTOR = re.compile(r"(?<=^Executor <)[^>]*")
CLOSED_QUIET = 5.0


def stuck_session(info: SessionInfo, quiet: float) -> FlameError | None:
    """Return the error that ends the waits in a session without progress; None if it may move.

    Args:
        info: the session with its events.
        quiet: for how many seconds its counters have stood still. Executors that were bound
            before the retry limit keep working, and a closed session may still run a task that
            was being sent to an executor: both show after a while without movement.
    """
    if info.counts.running or not info.counts.pending:
        return None
    if info.state == SessionState.CLOSED and quiet >= CLOSED_QUIET:
        return SessionClosedError(
            f"session {repr_of(info.id)} is closed and its engine does not run the tasks left "
            "pending"
        )
    exhausted = any(event.code == RETRY_LIMIT_EVENT for event in info.events)
    if exhausted and quiet >= LIMIT_QUIET:
        texts = "; ".join(_different(event.message or "" for event in info.events))
        return SessionRetryLimitError(
            f"session {repr_of(info.id)} gets no executors any more: {texts}"
        )
    return None


def _different(texts: Iterable[str]) -> Iterable[str]:
    """Return the texts, of those that differ in the executor's id alone only the first."""
    found: dict[str, str] = {}
    for text in texts:
        found.setdefault(_EXECUTOR.sub("", text), text)
    return found.values()


def stalled_tasks(record: SessionRecord, now: float, after: float) -> list[TaskRecord]:
    """Return the tasks that stay pending while later ones finish, each once.

    Tasks of a session start in ascending order, so a pending task that sees a later one finish
    has been overtaken; it is stalled when it is still pending ``after`` seconds later.

    Args:
        record: the session; ``overtaken`` records since when a task is overtaken.
        now: loop seconds.
        after: seconds.
    """
    overtaken = record.overtaken
    for number in list(overtaken):
        known = record.tasks.get(number)
        if known is None or known.state != TaskState.PENDING:
            del overtaken[number]
    if record.finished:
        for number in record.unfinished():
            if number > record.finished:
                break
            if record.tasks[number].state == TaskState.PENDING:
                overtaken.setdefault(number, now)
        record.finished = 0
    stalled = [number for number, since in overtaken.items() if now - since >= after]
    for number in stalled:
        overtaken[number] = float("inf")  # reported
    return [record.tasks[number] for number in sorted(stalled)]
