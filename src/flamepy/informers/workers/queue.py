"""The bounded queue between the loop and one thread.

The loop puts, one thread takes, many items at a time. At its limit a new event is merged into one
of the same object that still waits; where that would hide a terminal state or a delete it is
refused, and the loop's side (``inbox``) makes it good later (contract G8).

The limit holds for what was taken as well, but for what is being handled: a thread that takes many
items at a time says when it begins and when it has finished each.

There is no lock, for the loop must never wait: the taking thread may be held up anywhere by a
signal handler or a finalizer, which makes a call and needs the loop. Each change is one operation
of a deque, a list or a dictionary. Events are put by the loop alone, other items by any thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable
from contextlib import suppress
from dataclasses import replace

from flamepy.informers.options import QUEUE_SIZE
from flamepy.runtime.clocks import bounded, monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.queues import Empty, SimpleQueue
from flamepy.watching.state.events import EventKind, SessionEvent, SessionEventKind, TaskEvent

BATCH = 64
COALESCE_WITHIN = 0.002  # seconds since the last take
COALESCE_DELAY = 0.0005  # seconds to wait for more events


class Work:
    """One item of a mailbox, from ``put`` until it was handled.

    Attributes:
        items: has one item; it is empty while the loop coalesces, and once the item was opened.
            Taking it out is one operation, so that the two never both have it.
        since: when it was put, monotonic seconds; a coalesced event keeps that.
        rest: what is left to handle after a wait, if there is anything.
        key: the one that it has while it is handled; None where one thread handles all.
    """

    __slots__ = ("items", "key", "rest", "since")

    def __init__(self, item: object) -> None:
        self.items = [item]
        self.since = monotonic()
        self.key: Hashable = None
        self.rest: list[object] = []

    def peek(self) -> object:
        """Return what waits, without opening it; the last event where several were coalesced."""
        while True:
            with suppress(IndexError):  # the loop coalesces it just now
                item = self.items[0]
                return item[-1] if isinstance(item, _Moves) else item
            _rest()


class _Moves(tuple[SessionEvent, ...]):
    """A progress and the drain after it, in one place."""


class Mailbox:
    """A queue from the loop to one thread.

    Args:
        limit: events of tasks that wait at most, taken ones included, but for those that are being
            handled; other items are few and always taken.
        ready: called, from any thread, when something can be taken; for a taker that does not wait
            in ``take``.
    """

    def __init__(self, limit: int = QUEUE_SIZE, ready: Callable[[], None] | None = None) -> None:
        self.limit = limit
        self._announce = ready
        self._queued: deque[Work] = deque()
        self._last: dict[tuple[str, str], Work] = {}  # of each object, for coalescing
        self._waiting: deque[SimpleQueue[None]] = deque()
        self._took = float("-inf")
        self._taken: dict[Work, None] = {}  # in the order of ``put``
        self._running: dict[Work, None] = {}  # of those the ones that are being handled
        self._last_initial: Work | None = None
        self.mixed = False  # a live event was put while an initial one waited
        self._moving = 0  # those that are in ``_queued`` and in ``_taken`` for a moment
        self._closed = False
        self.discarded = Flag()  # what was queued is dropped
        self.coalesced = 0

    def __len__(self) -> int:
        """Return how many items can be taken."""
        return len(self._queued)

    @property
    def waiting(self) -> int:
        """How many items were put and are not being handled yet, taken ones included."""
        return self.unfinished - len(self._running) - self._moving

    @property
    def unfinished(self) -> int:
        """How many items were put and have not been handled to their end; from any thread."""
        if self.discarded.is_set():
            return len(self._running)
        return len(self._queued) + len(self._taken)

    @property
    def oldest(self) -> float | None:
        """When the oldest unfinished item was put, monotonic seconds; None without one."""
        with suppress(StopIteration, RuntimeError):  # it has just been finished
            return next(iter(self._taken)).since
        with suppress(IndexError):  # it has just been taken
            return self._queued[0].since
        return None

    def count(self, session_id: str, task_id: str | None) -> int:
        """Return how many events of a task, or of a session, wait; from any thread."""
        while True:
            try:
                waiting = [*self._queued, *(one for one in self._taken if one not in self._running)]
                break
            except RuntimeError:  # it has just changed
                continue
        found = 0
        for work in waiting:
            item = next(iter(tuple(work.items) or tuple(work.rest)), None)
            item = item[-1] if isinstance(item, _Moves) else getattr(item, "event", item)
            if isinstance(item, (TaskEvent, SessionEvent)):
                session, task = _object(item)
                found += session == session_id and task_id in (None, task)
        return found

    @property
    def closed(self) -> bool:
        """True once nothing is taken any more."""
        return self._closed

    @property
    def room(self) -> int:
        """How many more events of tasks are accepted without coalescing."""
        return max(0, self.limit - self.waiting)

    def put(self, item: object) -> bool:
        """Queue an item; False if it is an event that found no place, or after ``close``."""
        if self._closed:
            return False
        is_event = isinstance(item, (TaskEvent, SessionEvent))
        if is_event and self.waiting >= self.limit:
            folded = self._fold(item)  # type: ignore[arg-type]  # is_event says so
            if folded or isinstance(item, TaskEvent):
                return folded
        work = Work(item)
        if is_event:
            self._last[_object(item)] = work  # type: ignore[arg-type]  # first: who opens drops it
            self._note_lane(item.initial, work)  # type: ignore[attr-defined]  # an event
        self._queued.append(work)
        self._wake()
        if self._announce is not None:
            self._announce()
        return True

    def _note_lane(self, initial: bool, work: Work) -> None:
        if initial:
            self._last_initial = work
        elif self._last_initial is not None:
            if self._last_initial.items:
                self.mixed = True
            else:
                self._last_initial = None

    def push(self, item: object) -> None:
        """Queue an item of the taker's own, also after ``close``; from any thread."""
        if not self.discarded.is_set():
            self._queued.append(Work(item))
            self._wake()
            if self._announce is not None:
                self._announce()

    def _wake(self) -> None:
        while self._waiting:
            try:
                waiter = self._waiting.popleft()
            except IndexError:  # another thread woke it
                return
            waiter.put(None)

    def _fold(self, event: TaskEvent | SessionEvent) -> bool:
        work = self._last.get(_object(event))
        if work is None:
            return False
        try:
            waiting = work.items.pop()
        except IndexError:  # it has just been opened
            return False
        folded: object = None
        try:
            folded, skipped = _folded(waiting, event)
            if folded is not None:
                self.coalesced += skipped
        finally:
            work.items.append(waiting if folded is None else folded)
        return folded is not None

    def take(self, timeout: float | None = None, most: int = BATCH) -> list[Work]:
        """Return what waits, in order, ``most`` at most; the taker calls ``open`` and ``finish``.

        Waits up to ``timeout`` seconds (None: for ever) for the first one; an empty list says
        that the time is up or the mailbox closed and empty.
        """
        if not self._queued and not self._closed:
            self._wait(timeout)
            if self._queued and monotonic() - self._took < COALESCE_WITHIN:
                # Events come one by one faster than a thread is woken: let some gather. Who
                # puts wakes no thread now, which is what costs.
                _rest()
        self._took = monotonic()
        taken: list[Work] = []
        for _ in range(min(most, len(self._queued))):
            work = self._take_one()
            if work is None:
                break
            taken.append(work)
        return taken

    def _take_one(self) -> Work | None:
        self._moving = 1  # it is counted twice for a moment rather than not at all
        try:
            head = self._queued[0]
            self._taken[head] = None
            work = self._queued.popleft()
        except IndexError:  # closed meanwhile
            return None
        finally:
            self._moving = 0
        self._taken[work] = None  # another one if a signal handler took the first
        return work

    # ------------------------------------------------------------------ what was taken

    def open(self, work: Work) -> list[object]:
        """Record that it is being handled; return the items in it, one in most cases."""
        self._running[work] = None
        while True:
            try:
                item = work.items.pop()
                break
            except IndexError:  # the loop folds it just now
                _rest()
        if isinstance(item, (TaskEvent, SessionEvent)):
            key, items = _object(item), [item]
        elif isinstance(item, _Moves):
            key, items = _object(item[0]), list(item)
        else:
            return [item]
        if self._last.get(key) is work:
            self._last.pop(key, None)
        return items  # type: ignore[return-value]  # a new list of objects

    def resume(self, *works: Work) -> None:
        """Record that they are being handled again."""
        for work in works:
            self._running[work] = None

    def keep(self, work: Work) -> None:
        """Record that it waits again: for another try, or to be handled together with others."""
        self._running.pop(work, None)

    def finish(self, work: Work) -> None:
        """Record that it was handled."""
        self._running.pop(work, None)
        self._taken.pop(work, None)

    def _wait(self, timeout: float | None) -> None:
        """Wait for something to take, or for the end."""
        limit = None if timeout is None else monotonic() + timeout
        waiter: SimpleQueue[None] = SimpleQueue()
        while True:
            self._waiting.append(waiter)
            if self._queued or self._closed:  # else ``put`` may have missed the waiter
                break
            left = None if limit is None else limit - monotonic()
            if left is not None and left <= 0:
                break
            try:
                waiter.get(timeout=bounded(left))
            except Empty:
                break
        with suppress(ValueError):
            self._waiting.remove(waiter)

    def close(self, *, discard: bool = False) -> None:
        """Accept nothing more; with ``discard`` drop what is queued, too."""
        if discard:
            self.discarded.set()  # first: the taker looks at it before each item
        self._closed = True
        if discard:
            self._queued.clear()
            self._last.clear()
        self._wake()
        if self._announce is not None:
            self._announce()


def _rest() -> None:
    """Sleep for ``COALESCE_DELAY`` seconds, so that other threads run."""
    with suppress(Empty):
        SimpleQueue[None]().get(timeout=COALESCE_DELAY)


def _object(event: TaskEvent | SessionEvent) -> tuple[str, str]:
    if isinstance(event, TaskEvent):
        return event.task.session_id, event.task.id
    return event.session.id, ""


def _folded(waiting: object, new: TaskEvent | SessionEvent) -> tuple[object, int]:
    """Return what waits instead of both, None if both must stay, and how many are left out."""
    if isinstance(new, SessionEvent):
        several = waiting if isinstance(waiting, _Moves) else (waiting,)
        moves = fold_session(several, new)
        if moves is None:
            return None, 0
        return (_Moves(moves) if len(moves) > 1 else moves[0]), len(several) + 1 - len(moves)
    return (fold(waiting, new) if isinstance(waiting, TaskEvent) else None), 1


def fold(waiting: TaskEvent, new: TaskEvent) -> TaskEvent | None:
    """Return one event for two of the same task, or None if both must be delivered.

    A terminal state, a delete and another incarnation are never coalesced away, and what is deleted
    was added first. The result is ``initial`` only if both were: it reports a change.
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
    """Return what replaces a session's waiting moves and a new one, or None.

    Of any number of moves of the counters and drains the last progress stays, and after it a
    drain that still holds; everything else of a session is delivered unchanged.
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
