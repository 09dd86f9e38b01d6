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

from flamepy.informers.delivery.inbox import Inbox, LagMarker, Wanted
from flamepy.informers.delivery.invocation import RunningCall
from flamepy.informers.options import Options
from flamepy.informers.receivers.routing import OF_SESSIONS, OF_TASKS, Emission, emissions
from flamepy.informers.signal_checks import first_parameter, label
from flamepy.informers.signals import FlameSignal, Function, reference
from flamepy.informers.workers.async_loop import AsyncCalls
from flamepy.informers.workers.queue import Mailbox, Work
from flamepy.informers.workers.thread_waits import waiting_for
from flamepy.informers.workers.worker import Worker, WorkSource
from flamepy.runtime.clocks import monotonic
from flamepy.watching.hub import Hub
from flamepy.watching.state.subscriptions import Scope

logger = logging.getLogger(__name__)

OPTIONS = Options()  # the queue and the time limit of an informer for which none are given


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a receiver reports to its sender; from the receiver's thread unless noted."""

    failed: Callable[[Receiver, Emission, BaseException], None]
    overflowed: Callable[[Receiver], None]  # on the loop
    lagging: Callable[[Receiver], None]
    ended: Callable[[Receiver], None]


@dataclass(slots=True)
class Mark:
    """A place in a queue; ``reached`` is set when everything before it was handled."""

    reached: threading.Event = field(default_factory=threading.Event)


class _Disconnected:
    """The marker in a queue after which nothing is left for a receiver that was disconnected."""


class Receiver(WorkSource):
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
        self.running: RunningCall | None = None
        self.slow = 0
        self.emission: Emission | None = None  # what it is called with now
        self._endpoint = endpoint
        self._hooks = hooks
        self._function = reference(function)
        self._first = first_parameter(function)
        self._wanted: Mapping[FlameSignal, frozenset[str] | None] = {}
        self._tasks: Inbox | None = None
        self._sessions: Inbox | None = None
        self._disconnects = self._disconnects_reached = 0
        self._asynchronous = AsyncCalls(self.name)
        self.worker = Worker(f"flamepy-signal-{self.name}", self, Mailbox(self.options.queue_size))

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
        tasks, sessions = not OF_TASKS.isdisjoint(wanted), not OF_SESSIONS.isdisjoint(wanted)
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
            wanted=Wanted(tasks=tasks, sessions=not tasks, replay=replay, notices=True),
            overflowed=lambda: self._hooks.overflowed(self),
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

    def takes(self, emission: Emission) -> bool:
        """Return True if it is connected to that signal of that sender; from any thread."""
        senders = self._wanted.get(emission.signal, frozenset())
        return senders is None or any(one in senders for one in emission.matching)

    def _offer(self, item: object) -> bool:
        """Queue what the hub shows, or leave it out if the receiver is not connected to it."""
        wanted = isinstance(item, LagMarker) or any(
            map(self.takes, emissions(item, self._endpoint))
        )
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

    @property
    def calls(self) -> list[RunningCall]:
        """The call that runs now, if one does; from any thread."""
        running = self.running
        return [] if running is None else [running]

    def stack(self, call: RunningCall | None = None) -> str:
        """Return where it is now, as text; empty if it is not called now. From any thread."""
        coroutine = self._asynchronous.stack()
        thread = self.worker.thread
        if coroutine or thread is None:
            return coroutine
        frame = sys._current_frames().get(thread.ident or 0)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    # ------------------------------------------------------------------ on its thread

    def handle(self, item: object, work: Work) -> None:
        """Call the function with what an item of the queue is sent as."""
        if isinstance(item, Mark):
            item.reached.set()
        elif isinstance(item, _Disconnected):
            self._disconnects_reached += 1
            self._hooks.ended(self)
        elif self._disconnects != self._disconnects_reached:
            return  # it was disconnected after this was queued
        elif isinstance(item, LagMarker):
            self._hooks.lagging(self)
        else:
            for emission in emissions(item, self._endpoint):
                if self.worker.stopping.is_set():
                    return
                self._deliver(emission)

    def interrupt(self) -> None:
        """Cancel the coroutine that runs now; from any thread."""
        self._asynchronous.cancel()

    def ended(self) -> None:
        """End the loop of the coroutines."""
        self._asynchronous.close()

    def expire(self, call: RunningCall) -> None:
        """Count a call that runs longer than the time limit."""
        self.slow += 1

    def _deliver(self, emission: Emission) -> None:
        function = emission.signal.receiver_for(self.key, emission.matching)
        if function is None or self.key in emission.blamed or not self.serves(function):
            return  # disconnected or muted meanwhile
        event = emission.values.get("event")
        self.emission, self.running = (
            emission,
            RunningCall(emission.signal.name, monotonic(), event),
        )
        try:
            self._call(function, emission)
        except BaseException as error:  # SystemExit of a receiver must not end the thread
            stopped = self.worker.stopping.is_set() and isinstance(error, CancelledError)
            self.running = None
            if stopped:
                logger.info("%s was cancelled by the stop", self.name)
            else:
                self._hooks.failed(self, emission, error)
        finally:
            self.running = self.emission = None

    def _call(self, function: Callable[..., Any], emission: Emission) -> None:
        if self._first in emission.values:  # see ``first_parameter``
            result = function(**emission.values)
        else:
            result = function(emission.sender, **emission.values)
        if inspect.isawaitable(result):
            self._asynchronous.run(result)
