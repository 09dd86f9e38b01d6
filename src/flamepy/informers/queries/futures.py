"""Waiting for tasks: futures whose done-callbacks never run on the loop.

``reactor.future``, ``reactor.wait`` and ``reactor.as_completed`` are made of ``EndFuture``;
``core`` builds its ``TaskFuture`` on the same base. Done-callbacks of all of them run on the
thread ``flamepy-completions`` of the link.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar
from weakref import ReferenceType

from flamepy.errors import ConnectionClosedError, FlameError, InvalidArgumentError
from flamepy.informers.workers.future_completer import CompletableFuture, FutureCompleter
from flamepy.informers.workers.queue import Work
from flamepy.informers.workers.worker import Worker, WorkSource
from flamepy.rpc.link import Link
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import Task
from flamepy.watching.hub import Hub
from flamepy.watching.state.waiters import Interest, Listener
from flamepy.wire.validation import task_id

logger = logging.getLogger(__name__)

R = TypeVar("R")
TaskKey = tuple[str, str]


class FutureListener(ReferenceType["WatchedFuture[Any]"]):
    """What waits for a task in place of a future, which it holds weakly; an ``interests.Listener``.

    A future without references and callbacks no longer waits: its finalizer, on
    any thread, notes that in ``dropped``, and the hub sweeps it.

    Attributes:
        kept: the future, while callbacks wait for its end.
        interest: what it waits for, once it does.
        dropped: the hub's.
    """

    __slots__ = ("dropped", "interest", "kept")

    kept: WatchedFuture[Any] | None
    interest: Interest | None
    dropped: deque[tuple[Interest, Listener]]

    def __init__(self, future: WatchedFuture[Any], gone: Callable[[FutureListener], None]) -> None:
        super().__init__(future, gone)  # type: ignore[call-arg]  # ``ref`` takes both
        self.kept = self.interest = None

    def changed(self, task: Task) -> None:
        """Receive a state."""
        future = self()
        if task.state.is_terminal:
            self.kept = None
        if future is not None:
            future.changed(task)

    def lost(self, error: FlameError) -> None:
        """Receive the error by which the wait ends."""
        future, self.kept = self(), None
        if future is not None:
            future.lost(error)


def _dropped(listener: FutureListener) -> None:
    if listener.interest is not None:
        listener.dropped.append((listener.interest, listener))


class WatchedFuture(CompletableFuture[R], Generic[R]):
    """A future of something about one task that the hub watches; made on the loop.

    It can be awaited on any asyncio loop; to cancel the ``await`` leaves the task alone.

    Args:
        link: of the hub.
        session_id, task_id: which task.
    """

    def __init__(self, link: Link, session_id: str, task_id: str) -> None:
        super().__init__()
        self.session_id = session_id
        self.task_id = task_id
        self._link = link
        self._completions = completions(link)
        self._completer = FutureCompleter.of(link)
        self._told = False  # read and written on the loop
        self.listener = FutureListener(self, _dropped)
        self.listener.dropped = Hub.of(link).dropped
        self.set_running_or_notify_cancel()

    def result(self, timeout: float | None = None) -> R:
        """Wait, for ``timeout`` seconds at most, and return the result."""
        timeout = seconds_or_none("timeout", timeout)
        self._hasten()
        return super().result(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait, for ``timeout`` seconds at most, and return what the result would raise."""
        timeout = seconds_or_none("timeout", timeout)
        self._hasten()
        return super().exception(timeout)

    def __await__(self) -> Generator[Any, None, R]:
        self._hasten()
        return asyncio.wrap_future(self).__await__()

    def _hasten(self) -> None:
        """Record that something waits for this very task, so that it gets a stream now."""
        reactor = self._link.reactor
        if reactor is not None and not self.done():
            with suppress(FlameError):  # the connection is closed: its result says so
                reactor.call_soon(_block, self._link, self.session_id, int(self.task_id))

    def cancel(self) -> bool:
        """Return False: the engine cannot cancel a task, so neither can its future."""
        return False

    def add_done_callback(self, fn: Callable[[concurrent.futures.Future[Any]], object]) -> None:
        """Call ``fn(future)`` on the thread ``flamepy-completions`` once the task has ended."""
        if not self.done():
            self.listener.kept = self  # it is called although nothing else refers to the future
        super().add_done_callback(lambda _: self._completions.put((fn, self)))

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        return f"<{type(self).__name__} {self.session_id}/{self.task_id} {state}>"

    def changed(self, task: Task) -> None:
        """Complete it if the task has ended; on the loop."""
        if not task.state.is_terminal or self._told:
            return
        self._told = True
        try:
            outcome = self._outcome(task)
        except Exception as error:  # whatever it is: no thread may wait for ever
            self._completer.put(self, None, error)
        else:
            self._completer.put(self, outcome, None)

    def lost(self, error: FlameError) -> None:
        """Complete it with an error: nothing more will be known."""
        if not self._told:
            self._told = True
            self._completer.put(self, None, error)

    @abstractmethod
    def _outcome(self, task: Task) -> R:
        """Return the result for a task that has ended, or raise."""


class EndFuture(WatchedFuture[Task]):
    """A future of a task's end: ``result()`` is the task as it ended, however it ended.

    It raises only when the fate cannot be known: ``TaskLostError``, ``SessionRetryLimitError``,
    ``UnavailableError``.
    """

    def _outcome(self, task: Task) -> Task:
        return task


def _block(link: Link, session_id: str, number: int) -> None:
    with suppress(ConnectionClosedError):  # it has ended, and was closed, before we came here
        Hub.of(link).hasten(session_id, number)


class _Completions(WorkSource):
    """Calls done-callbacks of futures, one after another."""

    def __init__(self, link: Link) -> None:
        self.worker = Worker("flamepy-completions", self, lingers=False)
        self._raised = RepeatedLog(logger)

    def handle(self, item: object, work: Work) -> None:
        """Call one done-callback."""
        assert isinstance(item, tuple)
        callback, future = item
        try:
            callback(future)
        except BaseException as error:  # one callback must not end the thread for the others
            text, kind = "a done-callback of %s raised", kind_of(error)
            self._raised.log(logging.ERROR, kind, text, repr_of(future), error=error)

    async def aclose(self) -> None:
        """Write what was counted."""
        self._raised.flush(everything=True)


def completions(link: Link) -> Worker:
    """Return the worker for done-callbacks of a link, made at the first call; on the loop."""
    return link.attachment("informers.completions", _Completions).worker


def task_key(task: Task | TaskKey | WatchedFuture[Any]) -> TaskKey:
    """Return (session id, task id) of a task, of a future, or of such a pair.

    Raises:
        InvalidArgumentError: it is something else, or an id breaks its rule.
    """
    if isinstance(task, tuple) and len(task) == 2:
        if not isinstance(task[0], str):
            raise InvalidArgumentError(f"session id must be text, got {repr_of(task[0])}")
        return task[0], task_id(task[1])
    if isinstance(task, Task):
        return task.session_id, task.id
    if isinstance(task, WatchedFuture):
        return task.session_id, task.task_id
    raise InvalidArgumentError(
        "a task is named by a Task, by a future of session.run, or by (session id, task id), not "
        f"by {repr_of(task)}"
    )


async def end_of(link: Link, task: Task | TaskKey | WatchedFuture[Any]) -> EndFuture:
    """Return a future of a task's end; on the loop.

    Raises:
        TaskNotFoundError, SessionNotFoundError: it is not there.
        FlameError: the engine did not answer.
    """
    session_id, task_id = task_key(task)
    future = EndFuture(link, session_id, task_id)
    known = task if isinstance(task, Task) else await link.frontend.get_task(session_id, task_id)
    future.listener.interest = Hub.of(link).notify_end(known, future.listener)
    return future


async def ends_of(
    link: Link, tasks: Sequence[Task | TaskKey | WatchedFuture[Any]]
) -> list[EndFuture]:
    """Return a future of each task's end, in order; looks at all of them at the same time.

    Raises:
        TaskNotFoundError, SessionNotFoundError: one is not there.
        FlameError: the engine did not answer.
    """
    return list(await asyncio.gather(*(end_of(link, task) for task in tasks)))
