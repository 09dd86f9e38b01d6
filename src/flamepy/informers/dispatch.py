"""The way of an event from the loop to a thread of its own: a bounded queue and a worker.

``Mailbox`` owns the lock; the loop puts, one worker takes. Over its limit the mailbox folds a new
event of a task into the one that still waits there, so it stays bounded by the number of tasks
and a terminal state or a delete is late, never lost (contract G8). No callback runs under the
lock.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flamepy.types import TaskState
from flamepy.watching.events import EventKind, TaskEvent

logger = logging.getLogger(__name__)

QUEUE_SIZE = 10_000
IDLE_LIMIT = 1.0


@dataclass(slots=True)
class _Cell:
    item: object


class Mailbox:
    """A queue from the loop to one worker.

    Args:
        limit: items that are queued one by one; more are folded together per task.
    """

    def __init__(self, limit: int = QUEUE_SIZE) -> None:
        self._limit = limit
        self._ready = threading.Condition()
        self._cells: deque[_Cell] = deque()
        self._last: dict[tuple[str, str], _Cell] = {}
        self._closed = False
        self.coalesced = 0

    def __len__(self) -> int:
        return len(self._cells)

    def put(self, item: object) -> bool:
        """Queue an item; False (and nothing queued) after ``close``."""
        with self._ready:
            if self._closed:
                return False
            if isinstance(item, TaskEvent) and self._fold(item):
                return True
            cell = _Cell(item)
            self._cells.append(cell)
            if isinstance(item, TaskEvent):
                self._last[item.task.session_id, item.task.id] = cell
            self._ready.notify()
            return True

    def _fold(self, event: TaskEvent) -> bool:
        if len(self._cells) < self._limit:
            return False
        cell = self._last.get((event.task.session_id, event.task.id))
        if cell is None or not isinstance(cell.item, TaskEvent):
            return False
        folded = fold(cell.item, event)
        if folded is None:
            return False
        cell.item = folded
        self.coalesced += 1
        return True

    def get(self, timeout: float | None) -> object | None:
        """Return the next item, or None after ``timeout`` seconds or when closed and empty."""
        with self._ready:
            self._ready.wait_for(lambda: self._cells or self._closed, timeout)
            if not self._cells:
                return None
            cell = self._cells.popleft()
            if isinstance(cell.item, TaskEvent):
                key = (cell.item.task.session_id, cell.item.task.id)
                if self._last.get(key) is cell:
                    del self._last[key]
            return cell.item

    def close(self, *, discard: bool = False) -> None:
        """Take nothing more; with ``discard`` drop what is queued, too."""
        with self._ready:
            self._closed = True
            if discard:
                self._cells.clear()
                self._last.clear()
            self._ready.notify_all()

    @property
    def closed(self) -> bool:
        """True once nothing is taken any more."""
        return self._closed


def fold(waiting: TaskEvent, new: TaskEvent) -> TaskEvent | None:
    """Return one event for two of the same task, or None if both must be told.

    A terminal state, a delete and another incarnation are never folded away.
    """
    same = waiting.task.creation_time == new.task.creation_time
    if not same or waiting.task.state.is_terminal or waiting.kind is EventKind.DELETED:
        return None
    if new.kind is EventKind.ADDED or waiting.task.state == TaskState.FAILED:
        return None
    kind = new.kind if new.kind is EventKind.DELETED else waiting.kind
    return replace(
        new,
        kind=kind,
        old=waiting.old,
        initial=waiting.initial,
        coalesced=waiting.coalesced + new.coalesced + 1,
    )


class Worker:
    """One named daemon thread that takes items from a mailbox; started at the first item.

    Args:
        name: the thread's name.
        handle: gets each item; must not raise.
        limit: see ``Mailbox``.
        lingers: False lets the thread end after a second without work; a new item starts
            another one.
    """

    def __init__(
        self,
        name: str,
        handle: Callable[[object], None],
        *,
        limit: int = QUEUE_SIZE,
        lingers: bool = True,
    ) -> None:
        self._name = name
        self._handle = handle
        self._lingers = lingers
        self.mailbox = Mailbox(limit)
        self._guard = threading.Lock()  # guards _thread: who starts it, who may leave
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # of the thread, for coroutines

    def put(self, item: object) -> bool:
        """Queue an item and see that somebody takes it; False after ``stop``."""
        with self._guard:
            queued = self.mailbox.put(item)
            if queued and self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        return queued

    def call(self, method: Callable[..., Any], arguments: tuple[object, ...]) -> None:
        """Call ``method`` here, on the worker's thread; an ``async def`` one is awaited."""
        result = method(*arguments)
        if inspect.iscoroutine(result):
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
            self._loop.run_until_complete(result)

    @property
    def is_current(self) -> bool:
        """True on the worker's own thread."""
        return threading.current_thread() is self._thread

    def stop(self, timeout: float) -> bool:
        """Let the queue drain for so many seconds, then drop the rest; True if it drained.

        Never waits on the worker's own thread, which ends after the callback that called.
        """
        self.mailbox.close(discard=timeout <= 0)
        thread = self._thread
        if thread is None or self.is_current:
            return True
        thread.join(max(timeout, 0.0))
        if thread.is_alive():
            dropped = len(self.mailbox)
            self.mailbox.close(discard=True)
            logger.warning("%s still runs a callback; %d events dropped", self._name, dropped)
            return False
        return True

    def _run(self) -> None:
        try:
            while self._next():
                pass
        finally:
            if self._loop is not None:
                self._loop.close()
                self._loop = None

    def _next(self) -> bool:
        item = self.mailbox.get(None if self._lingers else IDLE_LIMIT)
        if item is not None:
            self._handle(item)
            return True
        with self._guard:
            # Under the guard nobody can queue: an empty mailbox stays empty until we have left.
            if len(self.mailbox) or (self._lingers and not self.mailbox.closed):
                return True
            self._thread = None if not self.mailbox.closed else self._thread
            return False
