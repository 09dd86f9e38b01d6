"""Which signals an item of a receiver's queue is sent as, and which senders match them. Pure."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from flamepy.informers import signals
from flamepy.informers.delivery.inbox import Notice
from flamepy.informers.signals import FlameSignal, Reads
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
OF_TASKS = signals.reading(Reads.TASKS)
OF_SESSIONS = signals.reading(Reads.SESSIONS)


@dataclass(frozen=True, slots=True)
class Emission:
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
    return any(one.receivers for one in OF_TASKS | OF_SESSIONS)


def plain(
    signal: FlameSignal,
    sender: str,
    values: dict[str, Any],  # Any: as of ``Emission``
    blamed: frozenset[Hashable] = frozenset(),
) -> Emission:
    """Return the sending of a signal that is no event, but may be about one."""
    event = values.get("event")
    about = (_session_of(event),) if isinstance(event, (TaskEvent, SessionEvent)) else ()
    return Emission(signal, sender, values, (sender, *about), blamed)


def emissions(item: object, endpoint: str) -> list[Emission]:
    """Return what an item of a queue is sent as, in order; nothing for most markers."""
    if isinstance(item, TaskEvent):
        return [_of_event(signal, item) for signal in task_signals(item)]
    if isinstance(item, SessionEvent):
        return [_of_event(_OF_KIND[item.kind], item)]
    if isinstance(item, Notice):
        return [_of_notice(item, endpoint)]
    return [item] if isinstance(item, Emission) else []


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


def _of_event(signal: FlameSignal, event: TaskEvent | SessionEvent) -> Emission:
    matching = (event.application, _session_of(event))
    return Emission(signal, event.application, {"event": event}, matching)


def _of_notice(notice: Notice, endpoint: str) -> Emission:
    values: dict[str, Any] = dict(notice.values)
    if notice.name == "reset":
        sender = values.pop("application") or endpoint
        values["endpoint"] = endpoint
        return Emission(signals.engine_reset, sender, values, (sender, values["session_id"]))
    if notice.name == "missed":
        return of_missed(values["missed"], endpoint)
    event = values["event"]
    signal = signals.task_drift if notice.name == "drift" else signals.task_stalled
    return Emission(signal, event.application, values, (event.application, _session_of(event)))


def of_missed(missed: MissedEnds, endpoint: str) -> Emission:
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
    return Emission(signals.events_missed, sender, values, (sender, missed.session.id))


def _session_of(event: TaskEvent | SessionEvent) -> str:
    return event.task.session_id if isinstance(event, TaskEvent) else event.session.id
