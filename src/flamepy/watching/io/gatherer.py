"""Read the ends of awaited tasks that have no stream, session by session.

Rounds ask for the counters of the sessions concerned; changes that they show are read by GetTask
or by one list, as ``completion_planner`` decides from what both cost. Rounds come
quickly while tasks end and rest in proportion to what they take. Runs on the link's loop, while
any task is awaited without a stream; ``observer`` gets what is found.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from flamepy.errors import FlameError, SessionNotFoundError
from flamepy.types import SessionInfo
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.outages import Outages
from flamepy.watching.io.reader import Reader
from flamepy.watching.io.wakeups import FASTEST_GATHER as FASTEST
from flamepy.watching.io.watch_streams import WatchStreams
from flamepy.watching.policy.completion_planner import FEW, CompletionPlanner, GatherStep
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.watching.state.waiters import Interest

logger = logging.getLogger(__name__)

FAST, SLOWEST = 0.05, 1.0  # seconds between rounds, at most: while tasks end, and in any case
SHARE = 4.0  # rounds rest for this multiple of their duration
AWAY = (0.2, 30.0)  # seconds between rounds while the engine cannot be reached: first, and at most
SINGLE = 16  # up to this number, sessions are read one by one
AT_ONCE = 32  # GetTasks in flight


class Gatherer:
    """Reads the counters of sessions with awaited tasks in rounds, and then the ends.

    Args:
        context: of the hub.
        reader: makes the calls and reports the answers.
        streams: opens streams.
        outages: whether the engine answers.
    """

    def __init__(
        self, context: WatchContext, reader: Reader, streams: WatchStreams, outages: Outages
    ) -> None:
        self._reader = reader
        self._waiters = context.waiters
        self._streams = streams
        self._outages = outages
        self._now = context.clock
        self._spawn = context.spawn
        self._wakeups = context.wakeups
        self._pulse = context.wakeups.gather
        self._planners: dict[str, CompletionPlanner] = {}
        self._job: asyncio.Task[None] | None = None
        self._asked = 0  # sessions, in the last round

    def ensure(self) -> None:
        """Start the rounds, unless they run, while any task is awaited without a stream."""
        if self._waiters.unwatched and (self._job is None or self._job.done()):
            self._pulse.interval = FASTEST
            self._job = self._spawn(self._run())

    def suspect_all(self) -> None:
        """Ask for every awaited task: an outage may hide what happened."""
        for planner in self._planners.values():
            planner.suspect()
        self._pulse.wake()

    async def _run(self) -> None:
        failures = 0
        while self._waiters.unwatched:
            await self._rest()
            self._pulse.round_begins()
            began = self._now()
            try:
                moved = await self._round()
            except FlameError as error:
                logger.debug("no counters: %s", error)
                self._wakeups.poll_now()
                longest = AWAY[1] if self._outages.is_away else SLOWEST
                self._pulse.interval = retry_delay(failures, first=AWAY[0], limit=longest)
                failures += 1  # the poll sees the engine return, and wakes us
                continue
            failures = 0
            delay = self._rest_until_ends() if moved else min(SLOWEST, self._pulse.interval * 1.5)
            self._pulse.interval = max(delay, self._least_rest(self._now() - began))
        self._planners.clear()

    def _rest_until_ends(self) -> float:
        """Return the rest while tasks end: until some have, in the session that is the fastest."""
        wanted = (
            planner.rest(
                self._waiters.unwatched_in(session_id),
                self._now(),
                blocking=self._waiters.blocking_in(session_id),
            )
            for session_id, planner in self._planners.items()
        )
        return max(FASTEST, min((FAST, *wanted)))

    def _least_rest(self, took: float) -> float:
        """Return the shortest rest after a round of that duration."""
        if self._asked <= SINGLE:  # its duration is mostly waiting for others' calls
            return FASTEST * self._asked
        return SHARE * took

    async def _rest(self) -> None:
        await asyncio.sleep(FASTEST)
        if self._pulse.interval > FASTEST:
            await self._pulse.rest(self._pulse.interval - FASTEST)

    async def _round(self) -> bool:
        """Ask for the counters, start what they ask for; return True if anything moved."""
        waiting = {one for one in self._waiters.sessions() if self._waiters.unwatched_in(one)}
        for gone in self._planners.keys() - waiting:
            if not self._planners[gone].busy:
                del self._planners[gone]
        waiting -= {one for one, planner in self._planners.items() if planner.busy}
        self._asked = len(waiting)
        moved = False
        for info in await self._counters(waiting):
            moved = self._consider(info) or moved
        return moved

    async def _counters(self, waiting: set[str]) -> Iterable[SessionInfo]:
        if len(waiting) > SINGLE:
            return [one for one in await self._reader.sessions() if one.id in waiting]
        found = []
        for session_id in waiting:
            try:
                found.append(await self._reader.session(session_id))
            except SessionNotFoundError:
                self._wakeups.poll_now()
        return found

    def _consider(self, info: SessionInfo) -> bool:
        planner = self._planners.setdefault(info.id, CompletionPlanner())
        self._waiters.lose_older(info.id, info.creation_time)
        waiting, changes = self._waiters.unwatched_in(info.id), self._waiters.changes(info.id)
        blocking = self._waiters.blocking_in(info.id)
        step = planner.decide(info.counts, changes, waiting, self._now(), blocking=blocking)
        if step is GatherStep.SHARE:
            self._streams.share(info.id)
        elif step is GatherStep.FIRST:
            self._streams.share(info.id, FEW)
        elif step is GatherStep.WAIT:
            return True
        elif step is not GatherStep.NOTHING:
            planner.busy = True
            self._spawn(self._work(info.id, planner, step))
            return True
        return changes.ended > 0

    # ------------------------------------------------------------------ one session

    async def _work(self, session_id: str, planner: CompletionPlanner, step: GatherStep) -> None:
        awaited, began = list(self._waiters.without_stream(session_id)), self._now()
        try:
            if step is GatherStep.LIST:
                await self._list(session_id, awaited, planner)
            elif step is GatherStep.ALL:
                await self._probe(awaited, planner, at_once=FEW)  # no caller blocks
            else:
                await self._probe_likely(awaited, planner)
        except SessionNotFoundError:
            self._wakeups.poll_now()
        except FlameError as error:
            logger.debug("gathering in session %s broke off: %s", session_id, error)
            self._wakeups.poll_now()
            planner.suspect()
        else:
            now = self._now()
            found = sum(one.ended for one in awaited)
            left = self._waiters.unwatched_in(session_id)
            planner.asked(step, found=found, waiting=left, took=now - began, now=now)
        finally:
            planner.busy = False
            asyncio.get_running_loop().call_later(self._rest_until_ends(), self._pulse.wake)

    async def _probe_likely(self, awaited: list[Interest], planner: CompletionPlanner) -> None:
        """Read as many tasks as have ended, the lowest first, and then those that may run."""
        wanted = planner.wanted
        found = await self._probe(awaited[:wanted], planner)
        if found < wanted:
            await self._probe(awaited[wanted : wanted + planner.running], planner)

    async def _probe(
        self, asked: list[Interest], planner: CompletionPlanner, *, at_once: int = AT_ONCE
    ) -> int:
        """Ask for tasks; return how many have ended."""
        left = iter(asked)

        async def ask() -> None:
            for interest in left:
                if interest.listeners:
                    await self._reader.ask(interest)

        await asyncio.gather(*(ask() for _ in range(min(at_once, len(asked)))))
        found = [one.task for one in asked if one.task is not None]
        planner.read(
            sum(len(one.input or b"") + len(one.output or b"") for one in found), len(found)
        )
        return sum(one.ended for one in asked)

    async def _list(
        self, session_id: str, awaited: list[Interest], planner: CompletionPlanner
    ) -> None:
        """List a session; probe the awaited tasks that the list lacks."""
        numbers = self._waiters.numbers_in(session_id)
        shown, size = await self._reader.list_awaited(session_id, numbers)
        planner.read(size, planner.total)
        await self._probe([one for one in awaited if one.number not in shown], planner)
