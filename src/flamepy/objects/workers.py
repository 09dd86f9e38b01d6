"""``Workers``: the threads ``flamepy-objects-<n>``, which run cache calls for coroutines.

A small fixed number, started as they are needed, ended by ``close``. They are daemons: the
interpreter's end waits for no transfer.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from flamepy.errors import ConnectionClosedError
from flamepy.runtime import threads
from flamepy.runtime.queues import SimpleQueue

T = TypeVar("T")
THREADS = 4

_Job = tuple[concurrent.futures.Future[Any], Callable[[], Any]]


class Workers:
    """The threads that run cache calls for coroutines. Safe from any thread."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # guards threads, idle and closed
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._idle = 0
        self._closed = False

    def submit(self, job: Callable[[], T]) -> concurrent.futures.Future[T]:
        """Run a job; a future that is cancelled in time is not begun.

        Raises:
            ConnectionClosedError: it is closed.
        """
        future: concurrent.futures.Future[T] = concurrent.futures.Future()
        with self._lock:
            if self._closed:
                raise ConnectionClosedError("the connection to the object cache is closed")
            if self._idle:
                self._idle -= 1
            elif len(self._threads) < THREADS:
                name = f"flamepy-objects-{len(self._threads)}"
                self._threads.append(threads.start(self._work, name=name))
            self._jobs.put((future, job))
        return future

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            future, job = item
            if future.set_running_or_notify_cancel():
                try:
                    result = job()
                except BaseException as error:
                    future.set_exception(error)
                else:
                    future.set_result(result)
                    del result
            del item, future, job
            with self._lock:
                self._idle = min(self._idle + 1, len(self._threads))

    def close(self) -> None:
        """Ask the threads to end, those in a transfer when it is over. Idempotent."""
        with self._lock:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._jobs.put(None)

    def running(self) -> bool:
        """True while one of the threads lives."""
        return any(one.is_alive() for one in self._threads)
