"""``Fetches``: several readers of one object at a moment fetch it once.

The first asks the server, the others wait for its answer. Who knows of a later version than the
answer has, because its reference says so, asks again. A delete makes new fetches of those to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from flamepy.objects.store import Entry, Key
from flamepy.runtime.flags import Flag


class _Fetch:
    """One that runs; ``entry`` stays None if it fails, which is not the others' business."""

    __slots__ = ("entry", "over", "thread")

    def __init__(self) -> None:
        self.thread = threading.get_ident()
        self.over = Flag()
        self.entry: Entry | None = None


class Fetches:
    """Fetches in flight, shared by concurrent readers. Safe from any thread.

    Attributes:
        epoch: grows with each ``forget``.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._lock = threading.RLock()
        self._running: dict[Key, _Fetch] = {}

    def get(self, key: Key, version: int, fetch: Callable[[], Entry]) -> Entry:
        """Return what ``fetch`` returns here or in another thread that began before.

        Args:
            key: of the object.
            version: what the caller knows there is; 0 always fetches here.
            fetch: asks the server.

        Raises:
            FlameError: of the fetch.
        """
        if version == 0:
            return fetch()
        while True:
            with self._lock:
                running = self._running.get(key)
                if running is None:
                    mine = self._running[key] = _Fetch()
                    break
            if running.thread == threading.get_ident():
                return fetch()  # a signal handler or a finalizer, in the middle of that fetch
            running.over.wait()
            if running.entry is None:
                return fetch()  # with a deadline and a policy of its own
            if running.entry.version >= version:
                return running.entry
        return self._run(key, mine, fetch)

    def _run(self, key: Key, mine: _Fetch, fetch: Callable[[], Entry]) -> Entry:
        try:
            mine.entry = fetch()
            return mine.entry
        finally:
            with self._lock:
                if self._running.get(key) is mine:
                    del self._running[key]
            mine.over.set()

    def forget(self) -> None:
        """Let no reader to come share a fetch that runs now."""
        with self._lock:
            self.epoch += 1
            self._running.clear()
