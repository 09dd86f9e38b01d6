"""``DaemonPool``: threads for user code, for which the interpreter's end does not wait.

The pools of ``concurrent.futures`` refuse work from the end of the main program on, and the
interpreter joins their threads: a call that hangs keeps the process for ever. These threads are
daemons, and take work for as long as the interpreter runs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.texts import repr_of

P = ParamSpec("P")
T = TypeVar("T")

_Job = tuple["Future[Any]", Callable[[], Any]]


class DaemonPool(ThreadPoolExecutor):
    """An executor; a subclass because asyncio and gRPC take no other kind.

    Jobs begin in the order in which they come. The threads start when they are needed and end
    with ``shutdown``.

    Args:
        workers: threads at most.
        name: of the threads; with more than one, followed by a number.
    """

    def __init__(self, workers: int, *, name: str) -> None:
        super().__init__(workers, thread_name_prefix=name)
        self._limit = workers
        self._name = name
        self._lock = threading.Lock()  # guards what follows
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started: list[threading.Thread] = []
        self._free = 0  # threads that wait, less the jobs that wait for them
        self._closed = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run a call on one of the threads.

        Raises:
            RuntimeError: the pool was shut down, or no thread can be started.
        """
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the pool {repr_of(self._name)} was shut down")
            if self._free > 0:
                self._free -= 1
            elif len(self._started) < self._limit:
                self._start()
            self._jobs.put((future, lambda: fn(*args, **kwargs)))
        return future

    def _start(self) -> None:
        number = f"-{len(self._started)}" if self._limit > 1 else ""
        thread = threading.Thread(target=self._work, name=f"{self._name}{number}", daemon=True)
        thread.start()
        self._started.append(thread)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            _run(*job)
            del job  # its result may be large
            with self._lock:
                self._free += self._jobs.empty()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. Idempotent.

        Args:
            wait: for the calls that were taken.
            cancel_futures: cancel those that have not begun.
        """
        with self._lock:
            self._closed = True
            while cancel_futures and (job := self._next()) is not None:
                job[0].cancel()
            for _ in self._started:
                self._jobs.put(None)
        if wait:
            for thread in self._started:
                thread.join()

    def abandon(self) -> None:
        """Let the threads end after the calls that were taken; without a lock, so for finalizers.

        No caller may submit afterwards.
        """
        for _ in list(self._started):
            self._jobs.put(None)

    def _next(self) -> _Job | None:
        try:
            return self._jobs.get_nowait()
        except Empty:
            return None


def _run(future: Future[Any], call: Callable[[], Any]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
