"""``SignalSender``: sends the events of one link as signals while a reactor of it runs.

Its inbox is like an informer's: bounded, coalescing, an end never lost. It subscribes to tasks
while somebody is connected to a signal of tasks, and to sessions likewise; the sending happens on
the thread ``flamepy-signals``. Methods are called on the link's loop unless noted.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from flamepy.errors import FlameError
from flamepy.informers import signals
from flamepy.informers.async_handlers import AsyncCalls
from flamepy.informers.dispatch import Worker
from flamepy.informers.inbox import Behind, Inbox, Notice
from flamepy.informers.signals import FlameSignal
from flamepy.types import TaskState
from flamepy.watching.events import EventKind, SessionEvent, SessionEventKind, TaskEvent
from flamepy.watching.hub import Hub
from flamepy.watching.missed import MissedEnds
from flamepy.watching.subscriptions import Scope

if TYPE_CHECKING:
    from flamepy.rpc.link import ConnectionChange, Link
    from flamepy.types import RetryDetails

logger = logging.getLogger(__name__)

THREAD = "flamepy-signals"

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
COST_TASKS = (*OF_TASKS, signals.session_drained)
DROPPABLE = (
    *(signals.handler_failed, signals.handler_slow),
    *(signals.queue_overflow, signals.retry_scheduled),
)
OF_SESSIONS = (*_OF_KIND.values(), signals.engine_reset)


@dataclass(frozen=True, slots=True)
class Sending:
    """One signal to be sent."""

    signal: FlameSignal
    sender: str
    values: dict[str, Any]  # Any: what the signal's documentation says


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


class SignalSender:
    """See the module."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._hub = Hub.of(link)
        self._holders: list[Callable[[], None]] = []
        self._worker: Worker | None = None
        self._draining: Worker | None = None  # the last one: informers that drain may fail as well
        self._tasks: Inbox | None = None
        self._sessions: Inbox | None = None
        self._undo: list[Callable[[], None]] = []
        self._asynchronous = AsyncCalls()

    @classmethod
    def of(cls, link: Link) -> SignalSender:
        """Return the sender of a link."""
        return link.attachment("informers.signals", cls)

    # ------------------------------------------------------------------ holding

    def hold(self, closed: Callable[[], None]) -> None:
        """Start sending, unless another reactor has done so.

        ``closed`` is called, on the loop, when the link is closed before ``release``.
        """
        self._holders.append(closed)
        if len(self._holders) > 1:
            return
        self._asynchronous = AsyncCalls()
        self._worker = Worker(
            THREAD,
            self._send,
            interrupt=self._asynchronous.cancel,
            ended=self._asynchronous.close,
        )
        self._undo = [
            signals.on_change(self._receivers_changed),
            self._link.add_observer(self._connection_changed),
            self._link.on_retry(self._retried),
        ]
        self.refresh()

    def release(self, closed: Callable[[], None]) -> Callable[[float], object] | None:
        """Let go; the last holder gets what drains and ends the thread, outside the loop."""
        if closed in self._holders:
            self._holders.remove(closed)
        if self._holders or self._worker is None:
            return None
        for undo in self._undo:
            undo()
        for inbox in (self._tasks, self._sessions):
            if inbox is not None:
                inbox.unsubscribe()
        worker, self._worker, self._tasks, self._sessions = self._worker, None, None, None
        self._draining = worker
        return worker.stop

    async def aclose(self) -> None:
        """Tell the reactors that the link is closed under them; each releases then."""
        for closed in list(self._holders):
            closed()

    def _receivers_changed(self) -> None:
        """Look again at who is connected; from any thread."""
        try:
            if self._link.reactor is not None:
                self._link.reactor.call_soon(self.refresh)
        except FlameError:
            return  # the link is closed: nothing is sent any more

    def refresh(self) -> None:
        """Subscribe to what somebody is connected to, and to nothing else."""
        if self._worker is None:
            return
        self._tasks = self._matched(self._tasks, COST_TASKS, tasks=True)
        self._sessions = self._matched(self._sessions, OF_SESSIONS, tasks=False)

    def _matched(
        self, inbox: Inbox | None, wanted: Iterable[FlameSignal], *, tasks: bool
    ) -> Inbox | None:
        connected = any(one.receivers for one in wanted)
        if connected and inbox is None and self._worker is not None:
            mailbox = self._worker.mailbox
            made = Inbox(
                self._hub,
                self._worker.put,
                lambda: mailbox.closed,
                tasks=tasks,
                sessions=not tasks,
                overflowed=self._overflowed,
                notices=True,
            )
            made.subscribe(Scope(tasks=tasks))
            return made
        if not connected and inbox is not None:
            inbox.unsubscribe()
            return None
        return inbox

    # ------------------------------------------------------------------ what is sent

    def send(self, signal: FlameSignal, sender: str, **values: object) -> None:
        """Queue one signal if anybody is connected; callable from any thread."""
        worker = self._worker or self._draining
        if not signal.receivers or worker is None:
            return
        if signal in DROPPABLE and not worker.mailbox.room:
            return  # the queue stays bounded; ``_overflowed`` has said so
        worker.put(Sending(signal, sender, values))

    def _connection_changed(self, change: ConnectionChange) -> None:
        endpoint = self._link.endpoint
        values = {"state": change.state, "previous": change.previous, "endpoint": endpoint}
        self.send(signals.connection_changed, endpoint, **values)

    def _retried(self, details: RetryDetails) -> None:
        endpoint = self._link.endpoint
        self.send(signals.retry_scheduled, endpoint, details=details, endpoint=endpoint)

    def _overflowed(self) -> None:
        logger.warning("receivers of signals are slow: changes of one task are folded")
        size = self._worker.mailbox.limit if self._worker is not None else 0
        endpoint = self._link.endpoint
        values = {"informer": THREAD, "queue_size": size, "endpoint": endpoint}
        self.send(signals.queue_overflow, endpoint, **values)

    def _send(self, item: object) -> None:
        if isinstance(item, (TaskEvent, SessionEvent)):
            self._event(item)
        elif isinstance(item, Sending):
            self._deliver(item)
        elif isinstance(item, Notice):
            self._notice(item)
        elif isinstance(item, Behind):
            self._go_on()

    def _event(self, event: TaskEvent | SessionEvent) -> None:
        if isinstance(event, TaskEvent):
            connected, found = COST_TASKS, task_signals(event)
        else:
            connected, found = OF_SESSIONS, [_OF_KIND[event.kind]]
        if not any(one.receivers for one in connected):
            # The last one was held weakly and is gone. Told here, not when it went: that may be
            # in the middle of anything, under any lock.
            self._receivers_changed()
        for signal in found:
            self._deliver(Sending(signal, event.application, {"event": event}))

    def _notice(self, notice: Notice) -> None:
        values: dict[str, Any] = dict(notice.values)
        if notice.name == "reset":
            sender = values.pop("application") or self._link.endpoint
            values["endpoint"] = self._link.endpoint
            self._deliver(Sending(signals.engine_reset, sender, values))
        elif notice.name == "missed":
            self._missed(values["missed"])
        else:
            signal = signals.task_drift if notice.name == "drift" else signals.task_stalled
            self._deliver(Sending(signal, values["event"].application, values))

    def _missed(self, missed: MissedEnds) -> None:
        values = {
            "session": missed.session,
            "counts": missed.counts,
            "unknown": missed.unknown,
            "total": missed.total,
            "reason": missed.reason,
            "endpoint": self._link.endpoint,
        }
        sender = missed.session.application
        self._deliver(Sending(signals.events_missed, sender, values))

    def _go_on(self) -> None:
        inbox, loop = self._tasks, self._link.reactor
        if inbox is None or loop is None:
            return
        try:
            loop.call_soon(inbox.catch_up)
        except FlameError:
            return  # the link is closed: nothing is sent any more

    def _deliver(self, sending: Sending) -> None:
        signal = sending.signal
        if signal.is_muted:
            return
        for receiver in list(signal.receivers_for(sending.sender)):
            try:
                result = receiver(sending.sender, **sending.values)
                if inspect.iscoroutine(result):
                    self._asynchronous.run(result)
            except BaseException as error:  # SystemExit of a receiver must not end the thread
                self._failed(sending, receiver, error)

    def _failed(self, sending: Sending, receiver: object, error: BaseException) -> None:
        logger.error(
            "a receiver of the signal %s raised: %r", sending.signal.name, receiver, exc_info=error
        )
        if sending.signal is signals.handler_failed:
            return  # no end of it otherwise
        values = {
            "informer": sending.signal.name,
            "callback": getattr(receiver, "__qualname__", repr(receiver)),
            "event": sending.values.get("event"),
            "error": error,
            "attempts": 1,
            "endpoint": self._link.endpoint,
        }
        self._deliver(Sending(signals.handler_failed, sending.sender, values))
