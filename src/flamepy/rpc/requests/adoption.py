"""``Claims``: which task belongs to which submission of this process, so that none is taken twice.

A CreateTask whose answer is lost may have made a task or not. The engine numbers tasks upwards, so
one that it made has a number above every number that was known before, and the same input. Those
that other submissions of this link got or adopted are left out. Tasks of equal input are equal:
whichever of them is free serves. An engine that lost its state numbers anew; then what was known
says nothing any more. All on the link's loop, and what looks and what takes is one step.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from datetime import datetime
from weakref import WeakSet

from flamepy.types import SessionInfo, Task
from flamepy.wire.times import SAME, is_same_moment

SESSIONS = 4096  # remembered; of another the counters are read first
EVICTIONS = 4  # sessions looked at for each that is added: the bound costs the same at any size
SINGLE = 64  # unknown tasks that are asked for one by one before a list is cheaper


class Reads:
    """How a session is read.

    Args:
        get: returns a task, or None if no task has that number.
        total: returns the sum of the session's counters.
        listed: yields all of its tasks, in any order.
    """

    def __init__(
        self,
        get: Callable[[int], Awaitable[Task | None]],
        total: Callable[[], Awaitable[int]],
        listed: Callable[[], AsyncIterator[Task]],
    ) -> None:
        self.get = get
        self.total = total
        self.listed = listed


class Submission:
    """One task that a caller wants to create.

    Attributes:
        floor: the highest number that was known before it was sent.
        number: the task it got, or None.
    """

    __slots__ = ("__weakref__", "_digest", "_payload", "floor", "ledger", "number")

    def __init__(self, ledger: Ledger, payload: bytes | None) -> None:
        self.ledger = ledger
        self.floor = ledger.highest
        self.number: int | None = None
        self._payload = payload
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        """The digest of its input; most submissions are never asked for it."""
        if self._digest is None:
            self._digest = _digest(self._payload)
        return self._digest


class Ledger:
    """What is known of the numbers of one session, whichever session has the id."""

    def __init__(self) -> None:
        self.created: datetime | None = None
        self.highest = 0
        self.active: WeakSet[Submission] = WeakSet()  # one whose call was cut ends unseen
        self._taken: dict[int, datetime] = {}  # and when each was created
        self._free: dict[
            int, tuple[bytes, datetime]
        ] = {}  # tasks that no submission owns: their digest
        self._lock = asyncio.Lock()
        self._clock = self._read_at = 0  # counts what happens, in order
        self._renewals = 0

    def saw(self, created: datetime, total: int) -> None:
        """Record the session: when it was created, and the sum of its counters."""
        if self.created is not None and not is_same_moment(created, self.created):
            self._renew(created)
        self.created = created
        self.highest = max(self.highest, total)

    def _renew(self, since: datetime) -> None:
        """Forget the tasks that were created before the session that is there now."""
        self._renewals += 1
        self.created, self.highest = None, 0
        self._taken = {one: born for one, born in self._taken.items() if born >= since}
        self._free = {one: seen for one, seen in self._free.items() if seen[1] >= since}
        for one in self.active:
            # It may have been sent to the new session as well as to the old one.
            one.floor = 0
            if one.number not in self._taken:
                one.number = None

    def got(self, number: int, born: datetime, submission: Submission) -> bool:
        """Record the engine's answer to a submission; return False if another one has the task.

        Args:
            number: the task's.
            born: when the engine created it.
            submission: whose answer it is.
        """
        if number <= submission.floor:
            # It was made after all that were known, so numbers begin anew; others of the new
            # ones may have been answered a moment before.
            self._renew(born - SAME)
            if self._taken.get(number, born) != born:  # a moment older: the lost one of its number
                del self._taken[number]
        return self._take(number, born, submission)

    def _take(self, number: int, born: datetime, submission: Submission) -> bool:
        if number in self._taken:
            return submission.number == number
        self._taken[number] = born
        self._free.pop(number, None)
        submission.number = number
        self.highest = max(self.highest, number)
        return True

    def give_up(self, submission: Submission) -> None:
        """Take back what a submission adopted."""
        if submission.number is not None:
            self._taken.pop(submission.number, None)
            submission.number = None

    def end(self, submission: Submission) -> None:
        """Record that a submission is over."""
        self.active.discard(submission)
        if not self.active:
            self._taken.clear()
            self._free.clear()
        elif len(self._taken) + len(self._free) > 2 * SINGLE + 8 * len(self.active):
            floor = min(one.floor for one in self.active)
            self._taken = {one: born for one, born in self._taken.items() if one > floor}
            self._free = {one: seen for one, seen in self._free.items() if one > floor}

    async def find(self, submission: Submission, reads: Reads) -> int | None:
        """Look for the task of a submission; it belongs to it then. None: it was not made.

        Raises:
            FlameError: the session cannot be read.
        """
        self._clock += 1
        asked = self._clock
        async with self._lock:  # waiters share what the one before them reads
            while self._read_at < asked:
                self._clock += 1
                begun, renewals = self._clock, self._renewals
                await self._read(reads)
                if renewals == self._renewals:
                    self._read_at = begun
            for number in sorted(self._free):
                digest, born = self._free[number]
                if number > submission.floor and digest == submission.digest:
                    self._take(number, born, submission)
                    return number
        return None

    async def _read(self, reads: Reads) -> None:
        number = min(one.floor for one in self.active)
        asked = 0
        while True:
            number += 1
            if number in self._taken or number in self._free:
                continue
            if asked == SINGLE:
                break
            asked += 1
            task = await reads.get(number)
            if task is not None:
                self._see(number, task)
            elif await self._ends_at(number, reads):
                return
            else:
                break
        async for task in reads.listed():
            if task.id.isdecimal() and int(task.id) >= number:
                self._see(int(task.id), task)

    async def _ends_at(self, number: int, reads: Reads) -> bool:
        """Return True if there is nothing above a number that is missing."""
        known = max((self.highest, *self._taken, *self._free))
        if known > number or await reads.get(number + 1) is not None:
            return False
        return await reads.total() < number

    def _see(self, number: int, task: Task) -> None:
        if number not in self._taken:
            self._free[number] = _digest(task.input), task.creation_time


class Claims:
    """The ledgers of one link: of sessions that it wrote to, or that were read one by one.

    A list of all sessions makes no ledgers. It may have any number of sessions that this process
    never writes to; before the first task in one of those its counters are read.
    """

    def __init__(self) -> None:
        self._ledgers: OrderedDict[str, Ledger] = OrderedDict()  # the last used one last

    def saw(self, info: SessionInfo) -> None:
        """Record a session that was read: the sum of its counters is a number it has reached."""
        ledger = self._ledgers.get(info.id)
        if ledger is None:
            ledger = self._ledgers[info.id] = Ledger()
            self._bound()
        else:
            self._ledgers.move_to_end(info.id)
        ledger.saw(info.creation_time, info.counts.total)

    def listed(self, sessions: Iterable[SessionInfo]) -> None:
        """Record what a list shows of the sessions that have a ledger."""
        for info in sessions if self._ledgers else ():
            ledger = self._ledgers.get(info.id)
            if ledger is not None:
                ledger.saw(info.creation_time, info.counts.total)

    def knows(self, session_id: str) -> bool:
        """Return True if a session's numbers are known."""
        return session_id in self._ledgers

    def begin(self, session_id: str, payload: bytes | None) -> Submission:
        """Return a submission; call ``ledger.end`` when it is over."""
        ledger = self._ledgers.get(session_id)
        if ledger is None:
            ledger = self._ledgers[session_id] = Ledger()
        self._ledgers.move_to_end(session_id)
        submission = Submission(ledger, payload)
        ledger.active.add(submission)
        return submission

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone, unless a task is still being made in it."""
        ledger = self._ledgers.get(session_id)
        if ledger is not None and not ledger.active:
            del self._ledgers[session_id]

    def _bound(self) -> None:
        """Forget the sessions that were used least recently; those in use go to the end."""
        for _ in range(EVICTIONS):
            if len(self._ledgers) <= SESSIONS:
                return
            name, ledger = next(iter(self._ledgers.items()))
            if ledger.active:
                self._ledgers.move_to_end(name)
            else:
                del self._ledgers[name]


def _digest(payload: bytes | None) -> bytes:
    return hashlib.sha256(payload or b"").digest()
