"""Signals: connect a function, and it is called; no subclass, no registration.

The sender is the application's name, or the endpoint for what belongs to no application::

    @signals.task_failed.connect
    def count(application, *, event, **_):
        failures[application] += 1

Receivers must accept ``**kwargs``; the arguments of each signal are listed below, and more may
come. The first parameter gets the sender, unless it has the name of an argument: ``def
started(reactor, **_)`` gets the reactor. ``async def`` receivers work.

Signals are sent while a ``Reactor`` runs, once for all reactors of a connection. Each receiver has
a queue and a thread of its own, from its first event until it is disconnected: one that raises, is
slow or hangs delays no other, and gets what it is connected to in one order. What it raises is
logged and sent as ``handler_failed``, and ``handler_slow`` reports one that runs longer than 30
seconds. The engine is asked for tasks only while a receiver is connected to a signal of tasks.

A receiver gets what happens from its connect on, or from the start of the reactor where that comes
later. The state before that is sent only with ``Reactor(signal_replay="all")``.

These are blinker's signals, in a ``blinker.Namespace``; what differs: ``connect`` holds receivers
strongly unless ``weak=True`` (a lambda would vanish at once); ``sender=None`` is every sender, and
a session's id selects the events of that session; a sender that can never match, and a receiver
that does not take the arguments, are refused. ``signal_sender`` sends them.

==================== ============================================================ ==================
signals              keyword arguments                                            sender
==================== ============================================================ ==================
``task_*``           ``event``: a ``TaskEvent``; ``task_drift`` also ``told``:    application
                     the delivered state, where the event has another
``session_*``        ``event``: a ``SessionEvent``                                application
connection_changed   ``state``, ``previous``: ``ConnectionState``; ``endpoint``   endpoint
engine_reset         ``session_id``, ``epoch``, ``endpoint``                      application
events_missed        ``session``, ``counts``, ``unknown``, ``total``, ``reason``,  application
                     ``endpoint``: ends that were not read before their session
                     was gone
informer_synced      ``registration``, ``endpoint``                               endpoint
handler_failed       ``informer``, ``callback``, ``event``, ``error``,            application or
                     ``attempts``, ``endpoint``                                   endpoint
dead_lettered        ``informer``, ``callback``, ``event``, ``error``,            application or
                     ``attempts``, ``endpoint``: an event that failed for good    endpoint
                     was stored (``reactor.dead_letters``)
handler_quarantined  ``informer``, ``reason``, ``endpoint``: it failed            endpoint
                     ``max_failures`` times in a row; its events wait
handler_recovered    ``informer``, ``endpoint``: it handles events again          endpoint
handler_slow         ``informer``, ``callback``, ``event``, ``seconds``,          application or
                     ``stack``, ``endpoint``                                      endpoint
queue_overflow       ``informer``, ``queue_size``, ``endpoint``                   endpoint
retry_scheduled      ``details`` (``call``, ``attempt``, ``delay``, ``error``),   endpoint
                     ``endpoint``
reactor_started      ``reactor``, ``endpoint``                                    endpoint
reactor_stopped      ``reactor``, ``endpoint``                                    endpoint
reactor_failed       ``reactor``, ``error``, ``endpoint``                         endpoint
==================== ============================================================ ==================

When a receiver is so slow that its queue is full, changes of one task are coalesced for it as for
informers; ``handler_failed``, ``dead_lettered``, ``handler_slow``, ``queue_overflow`` and
``retry_scheduled`` are left out then. A report about a receiver of ``handler_failed`` or
``handler_slow`` goes to the others.
"""

from __future__ import annotations

import enum
import inspect
import threading
import weakref
from collections.abc import Callable, Collection, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from blinker import NamedSignal, Namespace
from blinker.base import ANY_ID

from flamepy.informers.signal_checks import SentBy, check_receiver, checked_sender

Function = Callable[..., Any]  # Any: what a signal sends, and what a receiver returns
F = TypeVar("F", bound=Function)
Changed = Callable[[], None]

_changed: list[Changed] = []
_guard = threading.RLock()  # blinker's own dictionaries do not bear connects at the same time


def on_change(function: Changed) -> Callable[[], None]:
    """Call ``function``, from any thread, when receivers come or go; returns the undo."""
    _changed.append(function)

    def undo() -> None:
        if function in _changed:
            _changed.remove(function)

    return undo


def reference(function: Function) -> Callable[[], Function | None]:
    """Return what gives a receiver as long as anything else holds it.

    One to which there are no weak references is held, as it can be connected strongly only.
    """
    try:
        if inspect.ismethod(function):
            return weakref.WeakMethod(function)
        return weakref.ref(function)
    except TypeError:
        return lambda: function


class Reads(enum.Flag):
    """What the hub must read so that a signal can be sent."""

    NOTHING = 0
    TASKS = enum.auto()
    SESSIONS = enum.auto()


class FlameSignal(NamedSignal):
    """A blinker signal whose receivers are held strongly by default.

    Args:
        name: the signal's.
        doc: when it is sent.
        arguments: the names of its keyword arguments; None where they are not known.
        sent_by: what its sender is.
        reads: what the hub must read so that it can be sent.
        droppable: a receiver whose queue is full does not get it.
    """

    def __init__(
        self,
        name: str,
        doc: str | None = None,
        *,
        arguments: Collection[str] | None = None,
        sent_by: SentBy = SentBy.ANYTHING,
        reads: Reads = Reads.NOTHING,
        droppable: bool = False,
    ) -> None:
        super().__init__(name, doc)
        self.reads, self.droppable = reads, droppable
        self.arguments = None if arguments is None else frozenset(arguments)
        self.sent_by = sent_by

    def connect(self, receiver: F, sender: Any = None, weak: bool = False) -> F:
        """Call ``receiver(sender, **kwargs)`` at each sending.

        Args:
            receiver: a function, a method, or anything else that can be called.
            sender: of this sender only: an application's name or a session's id, or an endpoint,
                as the signal's documentation says; None for every sender.
            weak: drop the receiver, and call it no more, when nothing else refers to it.

        Raises:
            InvalidArgumentError: the receiver cannot be called with what is sent, or the sender
                can never match.
        """
        check_receiver(self.name, self.arguments, receiver)
        sender = checked_sender(self.name, self.sent_by, sender)
        with _guard:
            super().connect(receiver, sender, weak)
        _notify()
        return receiver

    def disconnect(self, receiver: Callable[..., Any], sender: Any = None) -> None:
        """Call ``receiver`` no more, for one sender only if given.

        Raises:
            InvalidArgumentError: the sender can never match.
        """
        sender = checked_sender(self.name, self.sent_by, sender)
        with _guard:
            super().disconnect(receiver, sender)
            for lost in [one for one in self.receivers if not self._by_receiver.get(one)]:
                del self.receivers[lost]  # blinker keeps one that lost its last sender
        _notify()

    def receiver_for(self, key: Hashable, senders: Collection[str]) -> Function | None:
        """Return the receiver of that key, if it is connected to any of the senders now."""
        held = self.receivers.get(key)
        receiver: Function | None = held() if isinstance(held, weakref.ref) else held
        return receiver if not self.is_muted and self._matches(key, senders) else None

    def _matches(self, key: Hashable, senders: Collection[str]) -> bool:
        connected = self._by_receiver.get(key) or ()
        return ANY_ID in connected or any(one in connected for one in senders)


@dataclass(frozen=True, slots=True)
class Connected:
    """A receiver, and the senders of each signal that it is connected to; None for every one."""

    receiver: Function
    senders: dict[FlameSignal, frozenset[str] | None]


def connected() -> dict[Hashable, Connected]:
    """Return every receiver that is connected to a signal of ours, by blinker's key."""
    found: dict[Hashable, Connected] = {}
    with _guard:
        for signal in _OURS:
            # Copies: a receiver that is held weakly may go, and be taken out, at any moment.
            for key, held in signal.receivers.copy().items():
                receiver = held() if isinstance(held, weakref.ref) else held
                senders = (signal._by_receiver.get(key) or set()).copy()
                if receiver is not None and senders:
                    entry = found.setdefault(key, Connected(receiver, {}))
                    entry.senders[signal] = None if ANY_ID in senders else frozenset(senders)
    return found


class _Namespace(Namespace):
    """A namespace of signals of ours."""

    def signal(self, name: str, doc: str | None = None) -> NamedSignal:
        """Return the signal of that name, made at the first call."""
        return self.setdefault(name, FlameSignal(name, doc))


def _notify() -> None:
    for function in tuple(_changed):  # others may come and go meanwhile
        function()


def reset_after_fork() -> None:
    """Reset, in a forked child, the parent's callback and a lock that a thread may have held."""
    global _guard
    _guard = threading.RLock()
    _changed.clear()


namespace = _Namespace()
"""All signals by name: ``namespace["task_failed"]``."""


# Arguments that several signals have; "endpoint" is the engine's.
_EVENT = ("event",)
_HANDLER = ("informer", "callback", "event", "endpoint")
_REACTOR = ("reactor", "endpoint")

_OURS: list[FlameSignal] = []
"""Every signal of ours. Adding one is one ``_signal`` below, and a row of the table above."""


def _signal(
    name: str,
    doc: str,
    arguments: Collection[str],
    sent_by: SentBy,
    *,
    reads: Reads = Reads.NOTHING,
    droppable: bool = False,
) -> FlameSignal:
    made = namespace[name] = FlameSignal(
        name, doc, arguments=arguments, sent_by=sent_by, reads=reads, droppable=droppable
    )
    _OURS.append(made)
    return made


def _of_task(name: str, doc: str, *more: str) -> FlameSignal:
    return _signal(name, doc, (*_EVENT, *more), SentBy.APPLICATION, reads=Reads.TASKS)


def _of_session(name: str, doc: str, reads: Reads = Reads.SESSIONS) -> FlameSignal:
    return _signal(name, doc, _EVENT, SentBy.APPLICATION, reads=reads)


def reading(reads: Reads) -> frozenset[FlameSignal]:
    """Return the signals of ours for which the hub must read that."""
    return frozenset(one for one in _OURS if reads in one.reads)


task_added = _of_task("task_added", "a task was first seen")
task_updated = _of_task("task_updated", "a task was first seen or changed its state")
task_running = _of_task("task_running", "a task started to run")
task_requeued = _of_task("task_requeued", "the engine put a running task back into its queue")
task_succeeded = _of_task("task_succeeded", "a task succeeded")
task_failed = _of_task("task_failed", "a task failed; the text is event.task.error")
task_cancelled = _of_task("task_cancelled", "a task was cancelled with its session")
task_deleted = _of_task("task_deleted", "the engine no longer knows a task")
task_stalled = _of_task("task_stalled", "a task has been pending while later ones ended")
task_drift = _of_task("task_drift", "the engine shows another end than the delivered one", "told")
session_opened = _of_session("session_opened", "a session was first seen")
session_updated = _of_session("session_updated", "a session's counters moved")
# That a session has drained is known from its tasks; its counters alone do not show it.
session_drained = _of_session(
    "session_drained", "all tasks of a session have ended", Reads.TASKS | Reads.SESSIONS
)
session_closed = _of_session("session_closed", "a session was closed")
session_deleted = _of_session("session_deleted", "the engine no longer knows a session")
session_event = _of_session("session_event", "the engine recorded an event of a session")
connection_changed = _signal(
    "connection_changed",
    "the connection's state changed",
    ("state", "previous", "endpoint"),
    SentBy.ENDPOINT,
)
events_missed = _signal(
    "events_missed",
    "ends were not read before their session was gone",
    ("session", "counts", "unknown", "total", "reason", "endpoint"),
    SentBy.APPLICATION,
    reads=Reads.TASKS,
)
engine_reset = _signal(
    "engine_reset",
    "a session is another one under its old id, or was lost",
    ("session_id", "epoch", "endpoint"),
    SentBy.APPLICATION,
    reads=Reads.SESSIONS,
)
informer_synced = _signal(
    "informer_synced",
    "an informer received the initial state",
    ("registration", "endpoint"),
    SentBy.ENDPOINT,
)
handler_failed = _signal(
    "handler_failed",
    "a callback or receiver failed for good",
    (*_HANDLER, "error", "attempts"),
    SentBy.EITHER,
    droppable=True,
)
dead_lettered = _signal(
    "dead_lettered",
    "an event whose handling failed for good was stored",
    (*_HANDLER, "error", "attempts"),
    SentBy.EITHER,
    droppable=True,
)
handler_quarantined = _signal(
    "handler_quarantined",
    "an informer failed too often in a row; its events wait",
    ("informer", "reason", "endpoint"),
    SentBy.ENDPOINT,
)
handler_recovered = _signal(
    "handler_recovered",
    "an informer that was in quarantine handles events again",
    ("informer", "endpoint"),
    SentBy.ENDPOINT,
)
handler_slow = _signal(
    "handler_slow",
    "a callback runs longer than its timeout",
    (*_HANDLER, "seconds", "stack"),
    SentBy.EITHER,
    droppable=True,
)
queue_overflow = _signal(
    "queue_overflow",
    "an informer's queue is full; changes are coalesced",
    ("informer", "queue_size", "endpoint"),
    SentBy.ENDPOINT,
    droppable=True,
)
retry_scheduled = _signal(
    "retry_scheduled",
    "a call failed and will be repeated",
    ("details", "endpoint"),
    SentBy.ENDPOINT,
    droppable=True,
)
reactor_started = _signal("reactor_started", "a reactor was started", _REACTOR, SentBy.ENDPOINT)
reactor_stopped = _signal("reactor_stopped", "a reactor was stopped", _REACTOR, SentBy.ENDPOINT)
reactor_failed = _signal(
    "reactor_failed",
    "a reactor failed; it watches no more",
    (*_REACTOR, "error"),
    SentBy.ENDPOINT,
)
