"""``Receiver``: one receiver of signals as one link serves it - its inboxes, queue and thread.

Each receiver has its own, as an informer has, so that one that hangs, sleeps or blocks the loop of
its coroutines delays no other. A receiver that is connected to several signals has one queue: it
gets them in one order. The thread starts with the first event and ends when the receiver is
disconnected, or gone where it is held weakly: nothing here holds a receiver while it does not run.
"""

from __future__ import annotations

import inspect
import logging
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass, field
from typing import Any

from flamepy.informers.delivery.async_loop import AsyncCalls
from flamepy.informers.delivery.inbox import Inbox, LagMarker
from flamepy.informers.delivery.invocation import Running
from flamepy.informers.delivery.thread_waits import waiting_for
from flamepy.informers.delivery.worker import Worker
from flamepy.informers.options import Options
from flamepy.informers.receivers.routing import COST_TASKS, OF_SESSIONS, Sending, sendings
from flamepy.informers.signal_checks import first_parameter, label
from flamepy.informers.signals import FlameSignal, Function, reference
from flamepy.runtime.clocks import monotonic
from flamepy.watching.hub import Hub
from flamepy.watching.state.subscriptions import Scope

logger = logging.getLogger(__name__)

OPTIONS = Options()  # the queue and the time limit of an informer for which none are given


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a receiver reports to its sender; from the receiver's thread unless noted."""

    failed: Callable[[Receiver, Sending, BaseException], None]
    overflowed: Callable[[Receiver], None]  # on the loop
    behind: Callable[[Receiver], None]
    ended: Callable[[Receiver], None]


@dataclass(slots=True)
class Mark:
    """A place in a queue; ``reached`` is set when everything before it was handled."""

    reached: threading.Event = field(default_factory=threading.Event)


class _Disconnected:
    """The marker in a queue after which nothing is left for a receiver that was disconnected."""


class Receiver:
    """One connected function: its inboxes, queue and thread. On the link's loop unless noted.

    Args:
        key: blinker's, the same as long as ``function`` lives.
        function: the receiver itself; held weakly.
        endpoint: the engine's.
        hooks: see there.
    """

    def __init__(self, key: Hashable, function: Function, endpoint: str, hooks: Hooks) -> None:
        self.key = key
        self.name = label(function)
        self.options = OPTIONS
        self.running: Running | None = None
        self.slow = 0
        self.sending: Sending | None = None  # what it is called with now
        self._endpoint = endpoint
        self._hooks = hooks
        self._function = reference(function)
        self._first = first_parameter(function)
        self._wanted: Mapping[FlameSignal, frozenset[str] | None] = {}
        self._tasks: Inbox | None = None
        self._sessions: Inbox | None = None
        self._disconnects = self._disconnects_reached = 0
        self._asynchronous = AsyncCalls(self.name)
        self.worker = Worker(
            f"flamepy-signal-{self.name}",
            self._handle,
            limit=self.options.queue_size,
            interrupt=self._asynchronous.cancel,
            ended=self._asynchronous.close,
        )

    def __repr__(self) -> str:
        return f"<Receiver {self.name} at {self._endpoint}>"

    @property
    def is_gone(self) -> bool:
        """True once the receiver, held weakly, is no more; from any thread."""
        return self._function() is None

    def serves(self, function: Function) -> bool:
        """Return True if this is for that very function, not one that has its key by chance."""
        own = self._function()
        if inspect.ismethod(own) and inspect.ismethod(function):
            return own == function  # of the same object and function; each access makes another
        return own is function

    # ------------------------------------------------------------------ what it gets

    def match(
        self, wanted: Mapping[FlameSignal, frozenset[str] | None], hub: Hub, replay: str
    ) -> None:
        """Subscribe to what the connected signals need from now on, and no more.

        Args:
            wanted: the senders of each signal, None for every sender.
            hub: where tasks and sessions come from.
            replay: what of the present state is sent, as of ``Inbox``.
        """
        before, self._wanted = self._wanted, wanted
        tasks, sessions = not COST_TASKS.isdisjoint(wanted), not OF_SESSIONS.isdisjoint(wanted)
        if tasks and self._tasks is None:
            self._tasks = self._subscribed(hub, replay, tasks=True)
        elif not tasks and self._tasks is not None:
            self._tasks.unsubscribe()
            self._tasks = None
        if sessions and self._sessions is None:
            self._sessions = self._subscribed(hub, replay, tasks=False)
        elif not sessions and self._sessions is not None:
            self._sessions.unsubscribe()
            self._sessions = None
        if before and not wanted:
            self._disconnect()

    def _subscribed(self, hub: Hub, replay: str, *, tasks: bool) -> Inbox:
        made = Inbox(
            hub,
            self._offer,
            lambda: self.worker.mailbox.closed,
            tasks=tasks,
            sessions=not tasks,
            replay=replay,
            overflowed=lambda: self._hooks.overflowed(self),
            notices=True,
        )
        made.subscribe(Scope(tasks=tasks))
        return made

    def _disconnect(self) -> None:
        """End the thread after what it does now; what is queued is not delivered any more."""
        if self.worker.thread is None and not len(self.worker.mailbox):
            self._hooks.ended(self)
            return
        self._disconnects += 1
        self.put(_Disconnected())

    def unsubscribe(self) -> None:
        """Get nothing more from the hub; what is queued is delivered."""
        for inbox in (self._tasks, self._sessions):
            if inbox is not None:
                inbox.unsubscribe()
        self._tasks = self._sessions = None

    def catch_up(self) -> None:
        """Queue what did not fit before, while there is room."""
        for inbox in (self._tasks, self._sessions):
            if inbox is not None:
                inbox.catch_up()

    @property
    def is_connected(self) -> bool:
        """True while it is connected to any signal."""
        return bool(self._wanted)

    def takes(self, sending: Sending) -> bool:
        """Return True if it is connected to that signal of that sender; from any thread."""
        senders = self._wanted.get(sending.signal, frozenset())
        return senders is None or any(one in senders for one in sending.matching)

    def _offer(self, item: object) -> bool:
        """Queue what the hub shows, or leave it out if the receiver is not connected to it."""
        wanted = isinstance(item, LagMarker) or any(map(self.takes, sendings(item, self._endpoint)))
        return self.put(item) if wanted else True

    def put(self, item: object) -> bool:
        """Queue an item; False if it is an event that found no place. From any thread."""
        try:
            return self.worker.put(item)
        except RuntimeError as error:
            # It is queued, and the next one, or ``retry``, starts the thread.
            logger.warning("%s gets its signals later: %s", self.name, error)
            return True

    def retry(self) -> None:
        """Start the thread if something is queued and it could not be started before."""
        if self.worker.thread is None and len(self.worker.mailbox):
            self.put(None)

    # ------------------------------------------------------------------ the end; any thread

    def mark(self) -> Mark | None:
        """Queue a mark, unless nothing was ever queued, or the thread waits for this one."""
        mark = Mark()
        if self.worker.thread is None and not len(self.worker.mailbox):
            return None
        if self.worker.waits_for_us or not self.put(mark):
            return None
        return mark

    def wait(self, mark: Mark, timeout: float) -> bool:
        """Wait for a mark, never where the thread waits for this one; True if it was reached."""
        thread = self.worker.thread
        if thread is None or not thread.is_alive():
            return True
        with waiting_for(thread) as sensible:
            return not sensible or mark.reached.wait(timeout)

    def stack(self) -> str:
        """Return where it is now, as text; empty if it is not called now. From any thread."""
        coroutine = self._asynchronous.stack()
        thread = self.worker.thread
        if coroutine or thread is None:
            return coroutine
        frame = sys._current_frames().get(thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    # ------------------------------------------------------------------ on its thread

    def _handle(self, item: object) -> None:
        if isinstance(item, Mark):
            item.reached.set()
        elif isinstance(item, _Disconnected):
            self._disconnects_reached += 1
            self._hooks.ended(self)
        elif self._disconnects != self._disconnects_reached:
            return  # it was disconnected after this was queued
        elif isinstance(item, LagMarker):
            self._hooks.behind(self)
        else:
            for sending in sendings(item, self._endpoint):
                if self.worker.stopping.is_set():
                    return
                self._deliver(sending)

    def _deliver(self, sending: Sending) -> None:
        function = sending.signal.receiver_for(self.key, sending.matching)
        if function is None or self.key in sending.blamed or not self.serves(function):
            return  # disconnected or muted meanwhile
        event = sending.values.get("event")
        self.sending, self.running = sending, Running(sending.signal.name, monotonic(), event)
        try:
            self._call(function, sending)
        except BaseException as error:  # SystemExit of a receiver must not end the thread
            stopped = self.worker.stopping.is_set() and isinstance(error, CancelledError)
            self.running = None
            if stopped:
                logger.info("%s was cancelled by the stop", self.name)
            else:
                self._hooks.failed(self, sending, error)
        finally:
            self.running = self.sending = None

    def _call(self, function: Callable[..., Any], sending: Sending) -> None:
        if self._first in sending.values:  # see ``first_parameter``
            result = function(**sending.values)
        else:
            result = function(sending.sender, **sending.values)
        if inspect.isawaitable(result):
            self._asynchronous.run(result)
