"""``Claims``: which task belongs to which submission of this process, so that none is taken twice.

A CreateTask whose answer is lost may have made a task or not. The engine numbers tasks upwards, so
one that it made has a number above every number that was known before, and the same input. Those
that other submissions of this link got or adopted are left out. Tasks of equal input are equal:
whichever of them is free serves. All on the link's loop, and what looks and what takes is one step.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from weakref import WeakSet

from flamepy.types import SessionInfo, Task

SESSIONS = 4096  # remembered; of another the counters are read first
SINGLE = 64  # unknown tasks that are asked for one by one before a list is cheaper


class Reads:
    """How a session is read.

    Args:
        get: returns a task, or None if there is none of that number.
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
    """One task that somebody wants to be made.

    Attributes:
        floor: the highest number that was known before it was sent.
        number: the task it got, or None.
    """

    __slots__ = ("__weakref__", "digest", "floor", "ledger", "number")

    def __init__(self, ledger: Ledger, payload: bytes | None) -> None:
        self.ledger = ledger
        self.digest = _digest(payload)
        self.floor = ledger.highest
        self.number: int | None = None


class Ledger:
    """What is known of one session's numbers."""

    def __init__(self, created: datetime | None, highest: int) -> None:
        self.created = created
        self.highest = highest
        self.active: WeakSet[Submission] = WeakSet()  # one whose call was cut ends unseen
        self._taken: set[int] = set()
        self._free: dict[int, bytes] = {}  # digests of what nobody here has
        self._lock = asyncio.Lock()
        self._clock = self._read_at = 0  # counts what happens, in order

    def take(self, number: int, submission: Submission) -> bool:
        """Give a task to a submission; return False if another one has it."""
        if number in self._taken:
            return submission.number == number
        self._taken.add(number)
        self._free.pop(number, None)
        submission.number = number
        self.highest = max(self.highest, number)
        return True

    def give_up(self, submission: Submission) -> None:
        """Take back what a submission adopted."""
        if submission.number is not None:
            self._taken.discard(submission.number)
            submission.number = None

    def end(self, submission: Submission) -> None:
        """Take in that a submission is over."""
        self.active.discard(submission)
        if not self.active:
            self._taken.clear()
            self._free.clear()
        elif len(self._taken) + len(self._free) > 2 * SINGLE + 8 * len(self.active):
            floor = min(one.floor for one in self.active)
            self._taken = {one for one in self._taken if one > floor}
            self._free = {one: digest for one, digest in self._free.items() if one > floor}

    async def find(self, submission: Submission, reads: Reads) -> int | None:
        """Look for the task of a submission; it belongs to it then. None: it was not made.

        Raises:
            FlameError: the session cannot be read.
        """
        self._clock += 1
        asked = self._clock
        async with self._lock:  # who waits here shares what the one before reads
            if self._read_at < asked:
                self._clock += 1
                begun = self._clock
                await self._read(reads)
                self._read_at = begun
            for number in sorted(self._free):
                if number > submission.floor and self._free[number] == submission.digest:
                    self.take(number, submission)
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
            self._free[number] = _digest(task.input)


class Claims:
    """The ledgers of one link."""

    def __init__(self) -> None:
        self._ledgers: OrderedDict[str, Ledger] = OrderedDict()

    def saw(self, info: SessionInfo) -> None:
        """Take in a session: the sum of its counters is a number that it has reached."""
        ledger = self._ledgers.get(info.id)
        if ledger is None or ledger.created != info.creation_time:
            self._ledgers[info.id] = Ledger(info.creation_time, info.counts.total)
            self._bound()
        else:
            ledger.highest = max(ledger.highest, info.counts.total)

    def knows(self, session_id: str) -> bool:
        """Return True if a session's numbers are known."""
        return session_id in self._ledgers

    def begin(self, session_id: str, payload: bytes | None) -> Submission:
        """Return a submission; call ``ledger.end`` when it is over."""
        ledger = self._ledgers.get(session_id)
        if ledger is None:
            ledger = self._ledgers[session_id] = Ledger(None, 0)
        self._ledgers.move_to_end(session_id)
        submission = Submission(ledger, payload)
        ledger.active.add(submission)
        return submission

    def forget(self, session_id: str) -> None:
        """Forget a session that is gone."""
        self._ledgers.pop(session_id, None)

    def _bound(self) -> None:
        if len(self._ledgers) > SESSIONS:
            for name in [name for name, one in self._ledgers.items() if not one.active]:
                if len(self._ledgers) <= SESSIONS:
                    return
                del self._ledgers[name]


def _digest(payload: bytes | None) -> bytes:
    return hashlib.sha256(payload or b"").digest()
