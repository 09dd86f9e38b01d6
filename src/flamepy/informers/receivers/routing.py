"""Which signals an item of a receiver's queue is sent as, and which senders match them. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from flamepy.informers import signals
from flamepy.informers.delivery.inbox import Notice
from flamepy.informers.signals import FlameSignal
from flamepy.types import TaskState
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.state.missed import MissedEnds

_OF_STATE = {
    TaskState.RUNNING: signals.task_running,
    TaskState.SUCCEED: signals.task_succeeded,
    TaskState.FAILED: signals.task_failed,
    TaskState.CANCELLED: signals.task_cancelled,
}
_OF_KIND = {
    SessionEventKind.OPENED: signals.session_opened,
    SessionEventKind.PROGRESS: signals.session_updated,
    SessionEventKind.DRAINED: signals.session_drained,
    SessionEventKind.CLOSED: signals.session_closed,
    SessionEventKind.DELETED: signals.session_deleted,
    SessionEventKind.EVENT: signals.session_event,
}
OF_TASKS = (
    *(signals.task_added, signals.task_updated, signals.task_requeued, signals.task_deleted),
    *(signals.task_stalled, signals.task_drift, signals.events_missed, *_OF_STATE.values()),
)
# Whether a session has drained is known from its tasks; its counters alone do not say it.
COST_TASKS = frozenset((*OF_TASKS, signals.session_drained))
OF_SESSIONS = frozenset((*_OF_KIND.values(), signals.engine_reset))
DROPPABLE = frozenset(
    (
        *(signals.handler_failed, signals.handler_slow),
        *(signals.queue_overflow, signals.retry_scheduled),
    )
)
"""Signals that a receiver whose queue is full does not get."""


@dataclass(frozen=True, slots=True)
class Sending:
    """One signal to be sent.

    Attributes:
        signal: which.
        sender: what the receiver gets as its first argument.
        values: its keyword arguments.
        matching: what a receiver's ``sender=`` is compared with.
        blamed: the receivers that the signal is about, directly or through others: they do not
            get it. So a slow receiver of ``handler_slow`` is reported to the others, and reports
            of reports come to an end.
    """

    signal: FlameSignal
    sender: str
    values: dict[str, Any]  # Any: what the signal's documentation says
    matching: tuple[str, ...]
    blamed: frozenset[Hashable] = field(default=frozenset())


def events_connected() -> bool:
    """Return True if any receiver is connected to a signal of tasks or sessions."""
    return any(one.receivers for one in COST_TASKS | OF_SESSIONS)


def plain(
    signal: FlameSignal,
    sender: str,
    values: dict[str, Any],  # Any: as of ``Sending``
    blamed: frozenset[Hashable] = frozenset(),
) -> Sending:
    """Return the sending of a signal that is no event, but may be about one."""
    event = values.get("event")
    about = (_session_of(event),) if isinstance(event, (TaskEvent, SessionEvent)) else ()
    return Sending(signal, sender, values, (sender, *about), blamed)


def sendings(item: object, endpoint: str) -> list[Sending]:
    """Return what an item of a queue is sent as, in order; nothing for most markers."""
    if isinstance(item, TaskEvent):
        return [_of_event(signal, item) for signal in task_signals(item)]
    if isinstance(item, SessionEvent):
        return [_of_event(_OF_KIND[item.kind], item)]
    if isinstance(item, Notice):
        return [_of_notice(item, endpoint)]
    return [item] if isinstance(item, Sending) else []


def task_signals(event: TaskEvent) -> list[FlameSignal]:
    """Return the signals that a task's event is sent as, in order."""
    if event.kind is EventKind.DELETED:
        return [signals.task_deleted]
    found = [signals.task_updated]
    if event.kind is EventKind.ADDED:
        found.insert(0, signals.task_added)
    if event.is_requeue:
        found.append(signals.task_requeued)
    if event.task.state in _OF_STATE:
        found.append(_OF_STATE[event.task.state])
    return found


def _of_event(signal: FlameSignal, event: TaskEvent | SessionEvent) -> Sending:
    matching = (event.application, _session_of(event))
    return Sending(signal, event.application, {"event": event}, matching)


def _of_notice(notice: Notice, endpoint: str) -> Sending:
    values: dict[str, Any] = dict(notice.values)
    if notice.name == "reset":
        sender = values.pop("application") or endpoint
        values["endpoint"] = endpoint
        return Sending(signals.engine_reset, sender, values, (sender, values["session_id"]))
    if notice.name == "missed":
        return of_missed(values["missed"], endpoint)
    event = values["event"]
    signal = signals.task_drift if notice.name == "drift" else signals.task_stalled
    return Sending(signal, event.application, values, (event.application, _session_of(event)))


def of_missed(missed: MissedEnds, endpoint: str) -> Sending:
    """Return the sending about ends that could not be read."""
    values: dict[str, Any] = {
        "session": missed.session,
        "counts": missed.counts,
        "unknown": missed.unknown,
        "total": missed.total,
        "reason": missed.reason,
        "endpoint": endpoint,
    }
    sender = missed.session.application
    return Sending(signals.events_missed, sender, values, (sender, missed.session.id))


def _session_of(event: TaskEvent | SessionEvent) -> str:
    return event.task.session_id if isinstance(event, TaskEvent) else event.session.id
