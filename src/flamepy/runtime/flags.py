"""``Flag`` and ``Claims``: an event, and who comes first, without holding a lock.

``threading.Event`` holds a lock for some lines of ``wait`` and of ``set``. A signal handler or a
finalizer that runs in those lines on the same thread and sets the event waits for ever, and so does
a thread that serves others and sets it meanwhile. A flag has no such lines. Imports nothing of
flamepy but ``clocks`` and ``queues``.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress

from flamepy.runtime.clocks import bounded
from flamepy.runtime.queues import Empty, SimpleQueue


class Flag:
    """Set once, awaited by any number of threads; all methods may be called at any moment.

    It has the methods of ``threading.Event`` but ``clear``.
    """

    __slots__ = ("__weakref__", "_set", "_waiters")

    def __init__(self) -> None:
        self._set = False
        self._waiters: deque[SimpleQueue[None]] = deque()

    def is_set(self) -> bool:
        """Return True once ``set`` was called."""
        return self._set

    def set(self) -> None:
        """Wake every waiter, now and later. Idempotent."""
        self._set = True
        while self._waiters:
            try:
                waiter = self._waiters.popleft()
            except IndexError:  # another thread sets it at the same time
                return
            waiter.put(None)

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, for ``timeout`` seconds at most; return whether it is."""
        if self._set:
            return True
        waiter: SimpleQueue[None] = SimpleQueue()
        self._waiters.append(waiter)
        try:
            if not self._set:  # else ``set`` may have missed the waiter
                waiter.get(timeout=bounded(timeout))
        except Empty:
            return self._set
        finally:
            with suppress(ValueError):  # ``set`` took it
                self._waiters.remove(waiter)
        return True


class Claims:
    """Decides which of several threads, or of nested calls on one, takes a step; without a lock."""

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken: dict[str, object] = {}

    def take(self, step: str) -> bool:
        """Return True to the first caller."""
        mine = object()
        return self._taken.setdefault(step, mine) is mine

    def is_taken(self, step: str) -> bool:
        """Return True once a caller has taken it."""
        return step in self._taken

    def give_back(self, step: str) -> None:
        """Let it be taken again."""
        self._taken.pop(step, None)
