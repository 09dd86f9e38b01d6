"""``Gate``: where an informer's threads wait while it is paused, or in quarantine.

They wait before an event, and what is queued waits with it: the queue fills, coalesces and loses
no end, as for a callback that is slow (contract G8). A stop ends the wait, and drops what waited.
No method takes a lock, so that a signal handler may pause as well.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from flamepy.informers.outcomes.breaker import Breaker, BreakerState
from flamepy.runtime.clocks import bounded, monotonic
from flamepy.runtime.flags import Claims, Flag
from flamepy.runtime.queues import Empty, SimpleQueue

RETRY_DELAY = 0.001  # seconds


class Gate:
    """The pause and the breaker of one informer; methods may be called from any thread.

    Args:
        breaker: only used here.
        stopping: ends every wait.
        opened: called with the reason when the informer is quarantined; on its thread.
        closed: called when it recovered; on its thread.
    """

    def __init__(
        self,
        breaker: Breaker,
        stopping: Flag,
        *,
        opened: Callable[[str], None] = lambda reason: None,
        closed: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._breaker = breaker
        self._stopping = stopping
        self._opened = opened
        self._closed = closed
        self._clock = clock
        self._claims = Claims()  # who changes the breaker
        self._waiting: deque[SimpleQueue[None]] = deque()
        self._last = ""  # why the breaker opened
        self.paused: str | None = None
        self.shut = False  # paused, or the breaker is not closed: threads ask ``passes``

    @property
    def has_breaker(self) -> bool:
        """Whether failures in a row are counted."""
        return self._breaker.counts

    @property
    def quarantined(self) -> str | None:
        """Why it is in quarantine; None if it is not."""
        return None if self._breaker.state is BreakerState.CLOSED else self._last

    def pause(self, reason: str) -> None:
        """Have threads wait from now on."""
        self.paused = reason
        self.shut = True

    def resume(self) -> None:
        """Let threads pass, and end a quarantine."""
        self.paused = None
        if self._breaker.state is not BreakerState.CLOSED:
            self._breaker.state, self._breaker.failures = BreakerState.CLOSED, 0
            self._closed()
        self.shut = False
        self.wake()

    def wake(self) -> None:
        """Have waiting threads look again."""
        while self._waiting:
            try:
                self._waiting.popleft().put(None)
            except IndexError:  # another thread woke it
                return

    def passes(self) -> bool:
        """Wait until the next event may be handled; False if a stop came first."""
        while not self._stopping.is_set():
            waiter: SimpleQueue[None] = SimpleQueue()
            self._waiting.append(waiter)  # first: what changes after the look wakes it
            now = self._clock()
            if self.paused is None and self._admits(now):
                self._leave(waiter)
                return True
            if not self._stopping.is_set():
                with suppress(Empty):
                    waiter.get(timeout=self._wait(now))
            self._leave(waiter)
        return False

    def _admits(self, now: float) -> bool:
        if not self._claims.take("breaker"):
            return False  # another thread looks just now: look again soon
        try:
            return self._breaker.admits(now)
        finally:
            self._claims.give_back("breaker")

    def _wait(self, now: float) -> float | None:
        if self.paused is None and self._breaker.state is BreakerState.OPEN:
            return bounded(max(RETRY_DELAY, self._breaker.probe_at - now))
        # It is open, and another thread was looking just now, which does not wake this one.
        is_open = self.paused is None and self._breaker.state is BreakerState.CLOSED
        return RETRY_DELAY if is_open else None

    def _leave(self, waiter: SimpleQueue[None]) -> None:
        with suppress(ValueError):
            self._waiting.remove(waiter)

    # ------------------------------------------------------------------ on the informer's threads

    def failed(self, error: str) -> None:
        """Record that an event failed for good."""
        opened = self._breaker.failed(self._clock())
        if self._breaker.state is BreakerState.OPEN:
            self.shut = True
            self._last = f"{self._breaker.failures} failures in a row, the last one {error}"
            self.wake()  # the time of the next probe is another one
        if opened:
            self._opened(self._last)

    def succeeded(self) -> None:
        """Record that an event was handled."""
        if self._breaker.succeeded():
            self.shut = self.paused is not None
            self.wake()
            self._closed()
