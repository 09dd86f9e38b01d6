"""``Mailroom``: what waits in one outbox, in the table and in the schedule.

Its lock guards the schedule; it is held over reads and writes of the table, and taken by the
outbox's own threads and by informers' threads where an outbox is full. Nothing of the user's runs
under it. Counters that others read have one writer each.
"""

from __future__ import annotations

import logging
import random
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from flamepy.errors import InvalidStateError
from flamepy.informers.dead_letters import table as dead_letters
from flamepy.informers.dead_letters.letter import DeadLetter
from flamepy.informers.outbox import table
from flamepy.informers.outbox.entry import OutboxRow, Outcome, StoredEntry
from flamepy.informers.outbox.options import OutboxOptions
from flamepy.informers.outbox.schedule import FOREVER, Item, Load, Schedule, Taken
from flamepy.informers.outbox.settlement import Settlement, letter_of, settle
from flamepy.informers.outbox.stats import OutboxStats
from flamepy.runtime.clocks import monotonic, wall
from flamepy.runtime.repeats import RepeatedLog

T = TypeVar("T")

logger = logging.getLogger(__name__)

LOOK_INTERVAL = 1.0  # seconds between looks at what another process changed
RETRY_DELAY = 2.0  # seconds until a table that could not be used is tried again
DROP_PART = 100  # one entry of this number of a full outbox is dropped at once


class Database(Protocol):
    """A file with the tables of outboxes."""

    @property
    def generation(self) -> int:
        """A number that grows when it is another file, or was opened anew."""

    def transact(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """Call ``act`` with the connection, in a transaction. Raises InvalidStateError."""

    def foreign_changes(self) -> int | None:
        """Return a number that another process changes; None where no other has it."""


@dataclass(frozen=True, slots=True)
class Times:
    """The process's time, as seconds since the epoch: a clock that is set changes nothing."""

    offset: float

    @classmethod
    def begin(cls) -> Times:
        """Take the machine's clock once."""
        return cls(wall() - monotonic())

    def now(self) -> float:
        """Return the seconds since the epoch."""
        return monotonic() + self.offset


class Mailroom:
    """What waits in one outbox.

    Args:
        name: the sink's, for logs.
        informer: what its rows have as ``informer``.
        options: of the sink.
        whole: a batch may have several entries of one ordering.
        database: where the table is.
        keeps_dead: the database has dead letters as well, and they are wanted.
        log: writes what repeats.
    """

    def __init__(
        self,
        name: str,
        informer: str,
        options: OutboxOptions,
        *,
        whole: bool,
        database: Database,
        keeps_dead: bool,
        log: RepeatedLog,
    ) -> None:
        self._name = name
        self._informer = informer
        self.options = options
        self._database = database
        self.keeps_dead = keeps_dead
        self._log = log
        self.times = Times.begin()
        self._guard = threading.Lock()  # guards what follows, but for the counters
        self._schedule = Schedule(
            batch_size=options.batch_size, batch_delay=options.batch_delay, whole=whole
        )
        self._generation = 0  # of the file that the schedule was loaded from
        self._foreign: int | None = None
        self._stale = True  # the schedule has to be loaded anew
        self._look_at = 0.0
        self._news: deque[str] = deque()  # destinations with new rows
        self._orders: deque[tuple[str, str]] = deque()  # destinations to disable, and why
        self.next_due = 0.0  # when something may be sent next, as of the last look
        self.flush_looks = 0  # looks for a flush that found nothing to send now
        self._added = self._added_bytes = 0  # by informers' threads, before they are stored
        self._written = self._written_bytes = 0  # under the database's lock
        self._removed = self._removed_bytes = 0  # under the guard
        self._sent = self._retries = self._dead = self._dropped = 0  # under the guard
        self._oldest: float | None = None

    # ------------------------------------------------------------------ counters

    @property
    def waiting(self) -> int:
        """Entries that wait, also those that are still to be stored."""
        return max(0, self._added - self._removed)

    @property
    def bytes(self) -> int:
        """Their size."""
        return max(0, self._added_bytes - self._removed_bytes)

    @property
    def full(self) -> bool:
        """Whether nothing more has room."""
        return self.waiting >= self.options.max_entries or self.bytes >= self.options.max_bytes

    @property
    def is_sending(self) -> bool:
        """Whether a batch is being sent, or something new was not looked at yet."""
        return bool(self._schedule.batches or self._news)

    @property
    def stats(self) -> OutboxStats:
        """The counters, as of now."""
        waiting, oldest = self.waiting, self._oldest
        return OutboxStats(
            waiting=waiting,
            bytes=self.bytes,
            oldest_age=max(0.0, self.times.now() - oldest) if waiting and oldest else 0.0,
            sent=self._sent,
            retries=self._retries,
            dead=self._dead,
            dropped=self._dropped,
            failures=self._schedule.worst,
            disabled=dict(self._schedule.disabled),
        )

    def count(self, row: OutboxRow) -> None:
        """Count an entry that is going to be stored; under the informer's lock."""
        self._added += 1
        self._added_bytes += row.size

    def stored(self, rows: Sequence[OutboxRow]) -> None:
        """Record that entries were stored; under the database's lock."""
        self._written += len(rows)
        self._written_bytes += sum(one.size for one in rows)
        self._news.extend({one.destination for one in rows})

    def put(self, row: OutboxRow) -> None:
        """Store an entry that was counted. Raises InvalidStateError."""

        def act(database: sqlite3.Connection) -> None:
            table.put(database, self._informer, [row])
            self.stored([row])

        self._database.transact(act)

    def look(self) -> bool:
        """Load what an earlier process left; return whether anything waits, or may wait."""
        with self._guard:
            try:
                self._reload()
            except InvalidStateError:
                return True
            return self.waiting > 0

    def note(self) -> str:
        """Return the sink's note, of an earlier process as well. Raises InvalidStateError."""
        return self._database.transact(lambda database: table.note(database, self._informer))

    # ------------------------------------------------------------------ what is sent next

    def next(self, *, flushing: bool, alone: bool) -> Taken | float:
        """Return what is to be sent now, or for how many seconds nothing is.

        Args:
            flushing: batches are sent before they are full.
            alone: nothing is sent beside something else.
        """
        with self._guard:
            self.next_due = 0.0
            now = monotonic()
            try:
                self._refresh(now)
                if self._stale or (alone and self._schedule.batches):
                    return FOREVER  # the end of the running batch wakes the threads
                step = self._schedule.take(now, flushing=flushing)
                while isinstance(step, Load):
                    self._schedule.loaded(step, self._load(step, now), now)
                    step = self._schedule.take(now, flushing=flushing)
                if step is not None:
                    return self._with_events(step)
            except (InvalidStateError, sqlite3.Error):  # the file has said so
                self.next_due = now + RETRY_DELAY
                return RETRY_DELAY
            self.next_due = self._schedule.next_due(now)
            self.flush_looks += flushing
            return max(0.0, self.next_due - now)

    def _refresh(self, now: float) -> None:
        """Handle what others did: new rows, orders, changes of another process."""
        while self._news:
            self._schedule.announce(self._news.popleft())
        while self._orders:
            destination, reason = self._orders.popleft()
            self._schedule.disabled = {**self._schedule.disabled, destination: reason}
            self._database.transact(self._store_disabled)
        if now >= self._look_at:
            self._look_at = now + LOOK_INTERVAL
            self._look()
        if self._database.generation != self._generation:
            self._stale = True
        if self._stale and not self._schedule.batches:
            self._reload()

    def _store_disabled(self, database: sqlite3.Connection) -> None:
        table.disable(database, self._informer, self._schedule.disabled)

    def _look(self) -> None:
        foreign = self._database.foreign_changes()
        if foreign != self._foreign:
            self._foreign, self._stale = foreign, True
        if not self.waiting:
            return
        age = self.options.max_age
        if age is not None:
            self._drop(before=self.times.now() - age, why=f"older than max_age, {age:g} s")
        destinations = self._schedule.destinations
        self._oldest = self._database.transact(
            lambda database: table.oldest_created(database, self._informer, destinations)
        )

    def _reload(self) -> None:
        """Load the schedule anew; while nothing is being sent."""
        first = self._generation == 0

        def act(database: sqlite3.Connection) -> tuple[list[table.Total], table.State]:
            state = table.state(database, self._informer)
            if first and state.disabled:  # a restart begins anew
                table.disable(database, self._informer, {})
                state = state._replace(disabled={})
            totals = table.totals(database, self._informer)
            # What is counted and not written yet is not in the table.
            there, size = sum(one.entries for one in totals), sum(one.size for one in totals)
            self._removed = self._written - there
            self._removed_bytes = self._written_bytes - size
            return totals, state

        totals, state = self._database.transact(act)
        self._generation = self._database.generation
        self._schedule.clear()
        self._schedule.hasten()
        self._schedule.disabled, self._dropped = state.disabled, state.dropped
        for one in totals:
            self._schedule.announce(one.destination)
        self._oldest = min((one.oldest for one in totals), default=None)
        self._stale = False

    def _load(self, load: Load, now: float) -> list[Item]:
        rows = self._database.transact(
            lambda database: table.load(
                database, self._informer, load.destination, load.after, load.limit
            )
        )
        epoch = self.times.now()
        return [self._item(row, now, epoch) for row in rows]

    def _item(self, row: StoredEntry, now: float, epoch: float) -> Item:
        # No longer than the options say: the clock may have been set since it was stored.
        wait = min(row.due - epoch, self.options.backoff_max) if row.due else 0.0
        since = now - max(0.0, epoch - row.created)
        ordering = row.id if row.ordering is None else row.ordering
        return Item(row, ordering, since, now + wait if wait > 0 else 0.0)

    def _with_events(self, taken: Taken) -> Taken | float:
        """Read the events of entries that were tried before, unless they were dropped."""
        ids = [one.stored.id for one in taken.items if not one.stored.event]
        if not ids:
            return taken
        try:
            found = self._database.transact(lambda database: table.texts(database, ids))
        except InvalidStateError:
            self._schedule.ended(taken, set(), monotonic(), wait=RETRY_DELAY)
            raise
        for item in taken.items:
            if not item.stored.event:
                item.stored = item.stored._replace(event=found.get(item.stored.id, ""))
        return taken

    # ------------------------------------------------------------------ what was sent

    def settle(
        self,
        taken: Taken,
        outcomes: Sequence[Outcome] | BaseException,
        stopping: Callable[[float], bool],
        note: str | None = None,
    ) -> tuple[Settlement, list[DeadLetter]] | None:
        """Store what became of a batch; return it, and the letters of what was given up.

        Args:
            taken: the batch; entries without an event are gone.
            outcomes: of the entries with an event, or what ``send`` raised.
            stopping: waits some seconds; True if the outbox is closing.
            note: the sink's note, if it is another one than before.

        Returns:
            None if that could not be stored before the end: it will be sent again.
        """
        there = [one.stored for one in taken.items if one.stored.event]
        now = self.times.now()
        settlement = settle(
            there,
            outcomes,
            self.options,
            failures=self._schedule.failures(taken.destination),
            now=now,
            random=random.random,
        )
        letters = [
            letter_of(stored, outcome, informer=self._informer, now=now)
            for stored, outcome in settlement.dead
        ]
        while not self._write(settlement, letters, note):
            if stopping(RETRY_DELAY):
                return None
        with self._guard:
            self._end(taken, settlement, {one.id: len(one.event) for one in there})
        return settlement, letters

    def _write(self, settlement: Settlement, letters: list[DeadLetter], note: str | None) -> bool:
        def act(database: sqlite3.Connection) -> int:
            table.delete(database, settlement.gone)
            table.postpone(database, [*settlement.tried, *settlement.waiting])
            if note is not None:
                table.set_note(database, self._informer, note)
            if not letters or not self.keeps_dead:
                return 0
            dead_letters.put(database, letters)
            return dead_letters.trim(database, dead_letters.BOUNDS, wall())

        try:
            trimmed = self._database.transact(act)
        except InvalidStateError:
            return False
        if trimmed:
            self._log.log(logging.WARNING, "trimmed", "%d old dead letters were dropped", trimmed)
        return True

    def _end(self, taken: Taken, settlement: Settlement, sizes: dict[int, int]) -> None:
        now = monotonic()
        attempts_of = {one.id: one.attempts for one in (*settlement.tried, *settlement.waiting)}
        for item in taken.items:
            wait = settlement.waits.get(item.stored.id)
            if wait is not None:
                attempts = attempts_of[item.stored.id]
                item.stored = item.stored._replace(attempts=attempts, event="")
                item.due = now + wait
        gone = settlement.gone | {
            one.stored.id for one in taken.items if one.stored.id not in sizes
        }
        self._schedule.ended(taken, gone, now, wait=settlement.wait)
        self._sent += len(settlement.sent)
        self._retries += len(settlement.tried)
        self._dead += len(settlement.dead)
        self._remove(sizes[one] for one in settlement.gone)

    def _remove(self, sizes: Iterable[int]) -> None:
        for size in sizes:
            self._removed += 1
            self._removed_bytes += size

    # ------------------------------------------------------------------ what is not sent

    def disable(self, destination: str, reason: str) -> None:
        """Send nothing to a destination from the next look on; from any thread, without a lock."""
        self._orders.append((destination, reason))

    def make_room(self) -> bool:
        """Drop the oldest entries of a full outbox; False if none could be dropped now."""
        with self._guard:
            try:
                part = max(1, self.options.max_entries // DROP_PART)
                return self._drop(limit=part, why="the outbox is full") > 0
            except InvalidStateError:
                return False

    def _drop(self, *, why: str, before: float | None = None, limit: int = -1) -> int:
        sending = self._schedule.sending()

        def act(database: sqlite3.Connection) -> list[tuple[int, int]]:
            most = limit if limit < 0 else limit + len(sending)
            rows = table.oldest(database, self._informer, before=before, limit=most)
            chosen = [one for one in rows if one[0] not in sending][: None if limit < 0 else limit]
            table.delete(database, [number for number, _ in chosen])
            if chosen:
                table.add_dropped(database, self._informer, len(chosen))
            return chosen

        dropped = self._database.transact(act)
        if dropped:
            self._schedule.forget({number for number, _ in dropped}, monotonic())
            self._remove(size for _, size in dropped)
            self._dropped += len(dropped)
            text = "%s: %d events were dropped unsent, the oldest first: %s"
            self._log.log(
                *(logging.WARNING, ("dropped", self._name), text),
                *(self._name, len(dropped), why),
            )
        return len(dropped)
