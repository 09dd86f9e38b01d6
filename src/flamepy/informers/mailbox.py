"""The bounded queue between the loop and one thread.

``Mailbox`` owns the lock; the loop puts, one thread takes, many items at a time. At its limit a
new event is folded into one of the same object that still waits; where that would hide a
terminal state or a delete it is refused, and the loop's side (``inbox``) makes it good later
(contract G8). No callback runs under the lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from flamepy.clocks import monotonic
from flamepy.watching.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

QUEUE_SIZE = 10_000
BATCH = 64
BUSY, GATHER = 0.002, 0.0005  # seconds since the last take, and to wait for company


@dataclass(slots=True)
class _Cell:
    item: object


class _Moves(tuple[SessionEvent, ...]):
    """A progress and the drain behind it, in one cell."""


class Mailbox:
    """A queue from the loop to one thread.

    Args:
        limit: events of tasks that wait at most; other items are few and always taken.
        ready: called, from any thread and outside the lock, when something can be taken; for a
            taker that does not wait in ``get``.
    """

    def __init__(self, limit: int = QUEUE_SIZE, ready: Callable[[], None] | None = None) -> None:
        self.limit = limit
        self._announce = ready
        self._ready = threading.Condition(threading.Lock())
        self._cells: deque[_Cell] = deque()
        self._last: dict[tuple[str, str], _Cell] = {}  # where folding may happen; filled near full
        self._waiting = False
        self._took = float("-inf")
        self._closed = False
        self.coalesced = 0

    def __len__(self) -> int:
        return len(self._cells)

    @property
    def closed(self) -> bool:
        """True once nothing is taken any more."""
        return self._closed

    @property
    def room(self) -> int:
        """How many more events of tasks are taken without folding."""
        return max(0, self.limit - len(self._cells))

    def put(self, item: object) -> bool:
        """Queue an item; False if it is an event that found no place, or after ``close``."""
        with self._ready:
            if self._closed:
                return False
            full = len(self._cells) >= self.limit
            if full and isinstance(item, (TaskEvent, SessionEvent)):
                folded = self._fold(item)
                if folded or isinstance(item, TaskEvent):
                    return folded
            cell = _Cell(item)
            self._cells.append(cell)
            if isinstance(item, (TaskEvent, SessionEvent)):
                self._last[_object(item)] = cell
            if self._waiting:
                self._ready.notify()
        if self._announce is not None:
            self._announce()
        return True

    def _fold(self, event: TaskEvent | SessionEvent) -> bool:
        cell = self._last.get(_object(event))
        if cell is None:
            return False
        if isinstance(event, SessionEvent):
            waiting = cell.item if isinstance(cell.item, _Moves) else (cell.item,)
            moves = fold_session(waiting, event)
            if moves is None:
                return False
            self.coalesced += len(waiting) + 1 - len(moves)
            cell.item = _Moves(moves) if len(moves) > 1 else moves[0]
            return True
        folded = fold(cell.item, event) if isinstance(cell.item, TaskEvent) else None
        if folded is None:
            return False
        cell.item = folded
        self.coalesced += 1
        return True

    def take(self, timeout: float | None = None, most: int = BATCH) -> list[object]:
        """Return what waits, in order, ``most`` items at most.

        Waits up to ``timeout`` seconds (None: for ever) for the first one; an empty list says
        that the time is up or the mailbox closed and empty.
        """
        with self._ready:
            if not self._cells and not self._closed:
                self._waiting = True
                self._ready.wait_for(lambda: self._cells or self._closed, timeout)
                self._waiting = False
                if self._cells and monotonic() - self._took < BUSY:
                    # Events come one by one faster than a thread is woken: let some gather. Who
                    # puts does not notify now, which is what costs.
                    self._ready.wait(GATHER)
            self._took = monotonic()
            taken: list[object] = []
            for _ in range(min(most, len(self._cells))):
                cell = self._cells.popleft()
                item = cell.item
                if isinstance(item, (TaskEvent, SessionEvent)):
                    key = _object(item)
                elif isinstance(item, _Moves):
                    key = _object(item[0])
                    taken += item[:-1]
                    item = item[-1]
                else:
                    taken.append(item)
                    continue
                taken.append(item)
                if self._last.get(key) is cell:
                    del self._last[key]
        return taken

    def close(self, *, discard: bool = False) -> None:
        """Take nothing more; with ``discard`` drop what is queued, too."""
        with self._ready:
            self._closed = True
            if discard:
                self._cells.clear()
                self._last.clear()
            self._ready.notify_all()
        if self._announce is not None:
            self._announce()


def _object(event: TaskEvent | SessionEvent) -> tuple[str, str]:
    if isinstance(event, TaskEvent):
        return event.task.session_id, event.task.id
    return event.session.id, ""


def fold(waiting: TaskEvent, new: TaskEvent) -> TaskEvent | None:
    """Return one event for two of the same task, or None if both must be told.

    A terminal state, a delete and another incarnation are never folded away, and what is deleted
    was added first. The result is ``initial`` only if both were: it tells of a change.
    """
    same = waiting.task.creation_time == new.task.creation_time
    if not same or waiting.task.state.is_terminal or waiting.kind is EventKind.DELETED:
        return None
    if new.kind is EventKind.ADDED:
        return None
    if new.kind is EventKind.DELETED and waiting.kind is EventKind.ADDED:
        return None
    kind = new.kind if new.kind is EventKind.DELETED else waiting.kind
    return replace(
        new,
        kind=kind,
        old=waiting.old,
        initial=waiting.initial and new.initial,
        coalesced=waiting.coalesced + new.coalesced + 1,
    )


_MOVES = (SessionEventKind.PROGRESS, SessionEventKind.DRAINED)


def fold_session(waiting: tuple[object, ...], new: SessionEvent) -> tuple[SessionEvent, ...] | None:
    """Return what is told instead of a session's waiting moves and a new one, or None.

    Of any number of moves of the counters and drains the last progress is left, and behind it a
    drain that still holds; everything else of a session is told as it is.
    """
    moves = [one for one in waiting if isinstance(one, SessionEvent)]
    for one in (*moves, new):
        if one.kind not in _MOVES or one.session.creation_time != new.session.creation_time:
            return None
    skipped = len(moves) + sum(one.coalesced for one in moves)
    progress = [one for one in moves if one.kind is SessionEventKind.PROGRESS]
    if new.kind is SessionEventKind.PROGRESS:
        old = progress[0].old if progress else new.old
        return (replace(new, old=old, coalesced=new.coalesced + skipped),)
    if not progress:
        return (replace(new, coalesced=new.coalesced + skipped),)
    drains = skipped - 1 - progress[0].coalesced
    return (progress[0], replace(new, coalesced=new.coalesced + drains))
