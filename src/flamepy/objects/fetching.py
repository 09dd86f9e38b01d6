"""``Fetches``: several readers of one object at a moment fetch it once.

The first asks the server, the others wait for its answer. Who knows of a later version than the
answer has, because its reference says so, asks again. A delete makes new fetches of those to come.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

from flamepy.errors import FlameError, InternalError
from flamepy.objects.store import Entry, Key


class Fetches:
    """See the module; used from any thread.

    Attributes:
        epoch: grows with each ``forget``.
    """

    def __init__(self) -> None:
        self.epoch = 0
        self._lock = threading.Lock()
        self._running: dict[Key, Future[Entry]] = {}

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
                    mine: Future[Entry] = Future()
                    self._running[key] = mine
                    break
            try:
                entry = running.result()
            except FlameError:
                return fetch()  # with a deadline and a policy of its own
            if entry.version >= version:
                return entry
        return self._run(key, mine, fetch)

    def _run(self, key: Key, mine: Future[Entry], fetch: Callable[[], Entry]) -> Entry:
        try:
            entry = fetch()
        except FlameError as error:
            self._done(key, mine)
            mine.set_exception(error)
            raise
        except BaseException:  # Ctrl-C, or a progress callback's: not the others' business
            self._done(key, mine)
            mine.set_exception(InternalError("the reader that was waited for was interrupted"))
            raise
        self._done(key, mine)
        mine.set_result(entry)
        return entry

    def _done(self, key: Key, mine: Future[Entry]) -> None:
        with self._lock:
            if self._running.get(key) is mine:
                del self._running[key]

    def forget(self) -> None:
        """Let no reader to come share a fetch that runs now."""
        with self._lock:
            self.epoch += 1
            self._running.clear()
