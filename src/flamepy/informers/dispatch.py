"""``Worker``: one named daemon thread that takes items from a mailbox.

Started at the first item, ended by ``stop``, which drains and is bounded. What an item means is
its handler's business (``registration``, ``sending``, ``core.futures``).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from time import monotonic

from flamepy.informers.mailbox import QUEUE_SIZE, Mailbox

logger = logging.getLogger(__name__)

IDLE_LIMIT = 1.0


class Worker:
    """See the module.

    Args:
        name: the thread's name.
        handle: gets each item; must not raise.
        limit: see ``Mailbox``.
        lingers: False lets the thread end after a second without work; a new item starts
            another one.
        due: returns the monotonic second at which ``idle`` wants to be called; None for never.
        idle: called then, on the thread, and when the mailbox has been drained at the end.
        interrupt: called, from the stopping thread, when what is queued is dropped.
        ended: called last on the thread, however it ends.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[object], None],
        *,
        limit: int = QUEUE_SIZE,
        lingers: bool = True,
        due: Callable[[], float | None] = lambda: None,
        idle: Callable[[], None] = lambda: None,
        interrupt: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._handle = handle
        self._lingers = lingers
        self._due = due
        self._idle = idle
        self._interrupt = interrupt
        self._ended = ended
        self.mailbox = Mailbox(limit)
        self.stopping = threading.Event()  # set when what is queued is dropped: ends waits inside
        self._guard = threading.Lock()  # guards _thread: who starts it, who may leave
        self._thread: threading.Thread | None = None

    def put(self, item: object) -> bool:
        """Queue an item and see that somebody takes it; False if it found no place."""
        queued = self.mailbox.put(item)
        if queued and self._thread is None:
            with self._guard:
                if self._thread is None:
                    self._start()
        return queued

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        self._thread.start()

    @property
    def thread(self) -> threading.Thread | None:
        """The thread, once something was queued."""
        return self._thread

    @property
    def is_current(self) -> bool:
        """True on the worker's own thread."""
        return threading.current_thread() is self._thread

    def stop(self, timeout: float) -> bool:
        """Let the queue drain for so many seconds, then drop the rest; True if it drained.

        Never waits on the worker's own thread, which ends after the callback that called, nor
        on a thread that waits for this one, directly or through others.
        """
        self.mailbox.close(discard=timeout <= 0)
        if timeout <= 0:
            self._drop()
        if self.join(timeout):
            return True
        dropped = len(self.mailbox)
        self._drop()
        self.mailbox.close(discard=True)
        if dropped:
            logger.warning("%s still runs a callback; %d events dropped", self._name, dropped)
        return False

    def join(self, timeout: float) -> bool:
        """Wait up to so many seconds for the thread to end; True if it has, or if it is us."""
        thread = self._thread
        if thread is None or self.is_current:
            return True
        with _waits.of(threading.current_thread(), thread) as sensible:
            if sensible and timeout > 0:
                thread.join(timeout)
        return not thread.is_alive()

    def _drop(self) -> None:
        self.stopping.set()
        self._interrupt()

    # ------------------------------------------------------------------ on the thread

    def _run(self) -> None:
        try:
            while self._next():
                pass
        finally:
            self._ended()

    def _next(self) -> bool:
        due = self._due()
        timeout = None if self._lingers else IDLE_LIMIT
        if due is not None:
            timeout = max(0.0, due - monotonic())
        for item in self.mailbox.take(timeout):
            if self.stopping.is_set():
                break
            self._handle(item)
        else:
            due = self._due()
            if due is not None and (due <= monotonic() or self.mailbox.closed):
                self._idle()
                return True
        return bool(len(self.mailbox)) or self._stays(due)

    def _stays(self, due: float | None) -> bool:
        if due is not None and not self.stopping.is_set():
            return True
        with self._guard:
            # Only this thread empties the mailbox; ``put`` queues first and looks at _thread
            # then, so what was queued before _thread is None here is seen here.
            if self.mailbox.closed:
                return bool(len(self.mailbox)) and not self.stopping.is_set()
            if self._lingers:
                return True
            self._thread = None
            if len(self.mailbox):
                self._start()
            return False


class _Waits:
    """Which thread waits for which to end, so that two never wait for each other."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.edges: dict[threading.Thread, threading.Thread] = {}

    def of(self, waiter: threading.Thread, target: threading.Thread) -> _Wait:
        return _Wait(self, waiter, target)


class _Wait:
    """A wait under way; as a context it says whether it may be waited at all."""

    def __init__(self, waits: _Waits, waiter: threading.Thread, target: threading.Thread) -> None:
        self._waits, self._waiter, self._target = waits, waiter, target
        self._entered = False

    def __enter__(self) -> bool:
        with self._waits.lock:
            seen: threading.Thread | None = self._target
            while seen is not None:
                if seen is self._waiter:
                    return False
                seen = self._waits.edges.get(seen)
            self._waits.edges[self._waiter] = self._target
            self._entered = True
            return True

    def __exit__(self, *error: object) -> None:
        if self._entered:
            with self._waits.lock:
                self._waits.edges.pop(self._waiter, None)


_waits = _Waits()
