"""Signals: connect a function, and it is told; no subclass, no registration.

The sender is the application's name. Receivers get ``event=`` and must accept ``**kwargs``::

    @signals.task_failed.connect
    def count(application, *, event, **_):
        failures[application] += 1

Differences from plain blinker: ``connect`` holds receivers strongly unless ``weak=True`` (a
lambda would vanish at once), and one that raises disturbs no other. Receivers run on the thread
``flamepy-signals`` of a link, one after another, while a ``Reactor`` of that link runs; with
several reactors on one link a signal is still sent once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from blinker import ANY, NamedSignal

from flamepy.errors import FlameError
from flamepy.informers.dispatch import Worker
from flamepy.types import TaskState
from flamepy.watching.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.hub import Hub
from flamepy.watching.subscriptions import Scope, Subscription

if TYPE_CHECKING:
    from flamepy.rpc.link import Link

logger = logging.getLogger(__name__)

F = TypeVar("F", bound=Callable[..., Any])


class FlameSignal(NamedSignal):
    """A blinker signal with strong receivers by default and isolation between them."""

    def connect(self, receiver: F, sender: Any = ANY, weak: bool = False) -> F:
        """Call ``receiver(sender, *, event, **kwargs)`` at each event, of one sender if given."""
        return super().connect(receiver, sender, weak)

    def send_isolated(self, sender: str, **values: object) -> None:
        """Call every receiver; what one raises is logged and disturbs no other."""
        for receiver in list(self.receivers_for(sender)):
            try:
                receiver(sender, **values)
            except BaseException:  # SystemExit of a receiver must not end the thread
                logger.exception("a receiver of the signal %s raised: %r", self.name, receiver)


task_updated = FlameSignal("task_updated", "a task was first seen or changed its state")
task_succeeded = FlameSignal("task_succeeded", "a task succeeded")
task_failed = FlameSignal("task_failed", "a task failed; the text is event.task.error")
task_cancelled = FlameSignal("task_cancelled", "a task was cancelled with its session")
session_opened = FlameSignal("session_opened", "a session was first seen")
session_closed = FlameSignal("session_closed", "a session was closed")

_BY_STATE = {
    TaskState.SUCCEED: task_succeeded,
    TaskState.FAILED: task_failed,
    TaskState.CANCELLED: task_cancelled,
}
_BY_KIND = {
    SessionEventKind.OPENED: session_opened,
    SessionEventKind.CLOSED: session_closed,
}


class SignalSender:
    """Sends the events of one link as signals while at least one reactor holds it.

    Made and used on the link's loop; the sending itself happens on its worker's thread.
    """

    def __init__(self, link: Link) -> None:
        self._hub = Hub.of(link)
        self._holders = 0
        self._worker: Worker | None = None
        self._subscription: Subscription | None = None

    @classmethod
    def of(cls, link: Link) -> SignalSender:
        """Return the sender of a link; call on its loop."""
        return link.attachment("informers.signals", cls)

    def hold(self) -> None:
        """Start sending, unless another reactor has done so."""
        self._holders += 1
        if self._holders == 1:
            self._worker = Worker("flamepy-signals", _send)
            self._subscription = self._hub.subscribe(Scope(), self)

    def release(self) -> Worker | None:
        """Let go; the last holder gets the worker, to stop it outside the loop."""
        self._holders -= 1
        if self._holders or self._subscription is None:
            return None
        self._hub.unsubscribe(self._subscription)
        worker, self._worker, self._subscription = self._worker, None, None
        return worker

    def task_event(self, event: TaskEvent) -> None:
        """Queue a task's event if anybody is connected."""
        if event.kind is not EventKind.DELETED and self._worker is not None and _anybody(event):
            self._worker.put(event)

    def session_event(self, event: SessionEvent) -> None:
        """Queue a session's event if anybody is connected."""
        signal = _BY_KIND.get(event.kind)
        if signal is not None and signal.receivers and self._worker is not None:
            self._worker.put(event)

    def synced(self) -> None:
        """Nothing to tell."""

    def failed(self, error: FlameError) -> None:
        """Nothing to tell."""


def _anybody(event: TaskEvent) -> bool:
    ended = _BY_STATE.get(event.task.state)
    return bool(task_updated.receivers) or (ended is not None and bool(ended.receivers))


def _send(item: object) -> None:
    if isinstance(item, TaskEvent):
        task_updated.send_isolated(item.application, event=item)
        ended = _BY_STATE.get(item.task.state)
        if ended is not None:
            ended.send_isolated(item.application, event=item)
    elif isinstance(item, SessionEvent):
        _BY_KIND[item.kind].send_isolated(item.session.application, event=item)
