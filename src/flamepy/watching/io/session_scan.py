"""List a followed session: its tasks go to the store in chunks, not one by one.

What must be decided once for a session (who follows it, what is initial) is decided once for a
chunk. A task that a caller waits for, and what needs another read, takes the way of single
answers: ``Reader.report``. Runs on the link's loop; ``session_sync`` says which sessions.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from flamepy.types import Task
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.observer import Observer
from flamepy.watching.io.reader import Reader
from flamepy.watching.state.diff import missing
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.number_set import NumberSet
from flamepy.watching.state.records import SessionRecord

AT_ONCE = 8  # lists; their bytes are known afterwards only, so more of them exceed the limits
CHUNK = 256  # tasks between two turns of the loop


class SessionScan:
    """Lists sessions and delivers what the lists show.

    Args:
        context: of the hub.
        reader: has the limits, and reports single tasks.
        observer: reports that a session is drained.
    """

    def __init__(self, context: WatchContext, reader: Reader, observer: Observer) -> None:
        self._engine = context.engine
        self._store = context.store
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._clock = context.clock
        self._reader = reader
        self._observer = observer
        self._places = asyncio.Semaphore(AT_ONCE)

    async def scan(self, record: SessionRecord, source: EventSource) -> list[int]:
        """List a session's tasks; return the known ids that the list lacks.

        Args:
            record: the session.
            source: LIST or AUDIT.

        Raises:
            FlameError: the list broke off; what came before was observed, nothing counts as
                missing.
        """
        async with self._places:
            delay = self._reader.limits.call(self._clock(), lists=True)
            if delay > 0.0:
                await asyncio.sleep(delay)
            return await self._scan(record, source)

    async def _scan(self, record: SessionRecord, source: EventSource) -> list[int]:
        start = self._clock()
        window: Window | None = None  # one for the whole list
        shown = NumberSet()
        chunk: list[Task] = []
        charged = 0
        stream = self._engine.list_tasks(record.id, payloads=self._reader.payloads)
        try:
            async for task in stream:
                if window is None:
                    # The engine takes its snapshot before the first message leaves.
                    window = Window(start, self._clock())
                chunk.append(task)
                if len(chunk) == CHUNK:
                    chunk = self._observe(record, chunk, window, source, shown)
                    self._charge(stream.received - charged)
                    charged = stream.received
                    await asyncio.sleep(0)  # let watches and timers run between
        finally:
            stream.cancel()
            if window is not None:
                self._observe(record, chunk, window, source, shown)
            self._charge(stream.received - charged)
        end = self._clock()
        self._reader.costs.learn_list(end - start, shown.count)
        if self._store.sessions.get(record.id) is not record:
            return []  # it was reset meanwhile
        return missing(record.tasks.values(), shown, window or Window(start, end))

    def _charge(self, size: int) -> None:
        self._reader.limits.received(size, self._clock(), lists=True)

    def _observe(
        self,
        record: SessionRecord,
        tasks: Sequence[Task],
        window: Window,
        source: EventSource,
        shown: NumberSet,
    ) -> list[Task]:
        """Record and deliver a part of a list; add its numbers to ``shown``; return []."""
        for task in tasks:
            if task.id.isdecimal():
                shown.add(int(task.id))
        plain = self._store.sessions.get(record.id) is record and self._subscribers.follow(record)
        rest: Sequence[Task] = tasks
        if plain and record.info is not None and not self._waiters.waits_in(record.id):
            initial = self._subscribers.initial_up_to(record)
            before = self._store.sequence
            emit = self._subscribers.adding(record)
            rest = self._store.observe_list(
                record, tasks, window, source, initial=initial, emit=emit
            )
            if self._store.sequence > before:
                self._observer.activity.moved = True
                self._observer.check_drained(record)
                self._store.trim()
        for task in rest:
            self._reader.report(task, window, source, False)
        return []
