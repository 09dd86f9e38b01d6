"""Read the engine: the calls that the hub makes, and how one session is listed or probed.

``Reader`` makes the calls, reports every answer with its window to the observer and makes the
reads that follow from it; it decides nothing. Runs on the link's loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Container

from flamepy.errors import FlameError, NotFoundError, SessionNotFoundError, TaskLostError
from flamepy.texts import repr_of
from flamepy.types import SessionInfo, Task, TaskState
from flamepy.watching.io.context import WatchContext
from flamepy.watching.io.observer import FollowUp, Observer
from flamepy.watching.policy.rate_limits import Limits
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.policy.sync_planner import Costs, ProbePass, retry_delay
from flamepy.watching.state.events import EventSource, Window
from flamepy.watching.state.records import SessionRecord
from flamepy.watching.state.waiters import Interest, lost_session

logger = logging.getLogger(__name__)

TEXT_DELAY = 0.1
WORKERS = 64


class Reader:
    """Reads tasks and reports what it read.

    Attributes:
        payloads: list with the tasks' inputs and outputs.
        limits: how fast it may ask; reads for awaited tasks are exempt.
        workers: held by background reads.
        costs: what calls take.
    """

    def __init__(self, context: WatchContext, observer: Observer) -> None:
        self._engine = context.engine
        self._store = context.store
        self._subscribers, self._waiters = context.subscribers, context.waiters
        self._clock = context.clock
        self._spawn = context.spawn
        self._observe = observer.observe
        settings = WatchSettings()  # the hub brings its own
        self.payloads = settings.payloads
        self.limits = Limits(settings.calls_per_second, settings.bytes_per_second)
        self.workers = asyncio.Semaphore(WORKERS)
        self._texts: set[tuple[str, int]] = set()  # failures whose text is being read
        self.costs = Costs()

    @property
    def waits_for_text(self) -> bool:
        """True while failures wait for their text."""
        return bool(self._texts)

    # ------------------------------------------------------------------ reporting

    def report(self, task: Task, window: Window, source: EventSource, text_known: bool) -> None:
        """Pass what a reply showed to the observer, and start the read that follows from it.

        Args:
            task: as shown.
            window: when that was true.
            source: which reply showed it.
            text_known: the reply would hold a failed task's text.
        """
        follow_up = self._observe(task, window, source, text_known)
        if follow_up is None:
            return
        number = int(task.id)
        if follow_up is FollowUp.PROBE:
            self._spawn(self._probe_again(task.session_id, number))
        elif (task.session_id, number) not in self._texts:
            self._texts.add((task.session_id, number))
            self._spawn(self._read_text(task.session_id, number))

    async def _probe_again(self, session_id: str, number: int) -> None:
        async with self.workers:
            try:
                await self.probe(session_id, number)
            except FlameError as error:
                logger.debug("could not look again at %s/%s: %s", session_id, number, error)

    async def _read_text(self, session_id: str, number: int) -> None:
        try:
            async with self.workers:
                await self._text(session_id, number)
        finally:
            self._texts.discard((session_id, number))

    # ------------------------------------------------------------------ sessions

    async def session(self, session_id: str) -> SessionInfo:
        """Ask for a session with awaited tasks, regardless of the limits. Raises FlameError."""
        return await self._engine.get_session(session_id)

    async def sessions(self) -> list[SessionInfo]:
        """Ask for all sessions, regardless of the limits. Raises FlameError."""
        return await self._engine.list_sessions()

    # ------------------------------------------------------------------ tasks

    async def _pace(self, *, lists: bool) -> None:
        delay = self.limits.call(self._clock(), lists=lists)
        if delay > 0.0:
            await asyncio.sleep(delay)

    async def probe(self, session_id: str, number: int, *, paced: bool = True) -> Task | None:
        """Ask for one task; return it, or None when the session has no such task.

        Args:
            session_id: of which session.
            number: which task.
            paced: wait for the limits; False for an awaited task.

        Raises:
            SessionNotFoundError: the session is not there either.
            FlameError: the engine did not answer.
        """
        if paced:
            await self._pace(lists=False)
        start = self._clock()
        try:
            task = await self._engine.get_task(session_id, str(number))
        except SessionNotFoundError:
            raise
        except NotFoundError:
            return None
        end = self._clock()
        self.costs.learn_get(end - start)
        size = len(task.input or b"") + len(task.output or b"")
        self.limits.received(size, end, lists=False)
        has_text = task.state != TaskState.FAILED or task.error is not None
        self.report(task, Window(start, end), EventSource.PROBE, has_text)
        return task

    async def ask(self, interest: Interest) -> None:
        """Ask for an awaited task, whatever counters and streams say; it may end, or be lost."""
        try:
            task = await self.probe(interest.session_id, interest.number, paced=False)
        except SessionNotFoundError as error:
            self._waiters.lose(interest, lost_session(interest.session_id, error))
            return
        except FlameError:
            return  # the engine is away; the next stream or poll shows it
        if task is None:
            text = f"task {interest.number} of session {repr_of(interest.session_id)} is gone"
            self._waiters.lose(interest, TaskLostError(f"{text}; how it ended is unknown"))

    async def list_awaited(self, session_id: str, awaited: Container[int]) -> tuple[set[int], int]:
        """List a session with awaited tasks, regardless of the limits.

        Args:
            session_id: which one.
            awaited: their numbers; other tasks are left out, unless the session has a subscription.

        Returns:
            Which tasks it has, and the bytes of all of them.

        Raises:
            FlameError: the list broke off; what came before was observed.
        """
        start = self._clock()
        window: Window | None = None
        shown: set[int] = set()
        followed = self._subscribers.may_follow(self._store.session(session_id))

        def wanted(number: str) -> bool:
            return followed or not number.isdecimal() or int(number) in awaited

        stream = self._engine.list_tasks(session_id, wanted=wanted)
        try:
            async for task in stream:
                if window is None:
                    window = Window(start, self._clock())
                self.report(task, window, EventSource.LIST, False)
                if task.id.isdecimal():
                    shown.add(int(task.id))
        finally:
            stream.cancel()
            self.limits.received(stream.received, self._clock(), lists=True)
        return shown, stream.received

    async def probe_until_settled(
        self, record: SessionRecord, *, limit: int, pushed: bool = False
    ) -> bool:
        """Probe until the counters are accounted for; return False if a list is cheaper.

        Args:
            record: the session.
            limit: probes at most.
            pushed: a stream brings the changes of known tasks.

        Raises:
            FlameError: the engine did not answer.
        """
        probing = ProbePass(record, limit=limit, pushed=pushed)
        while ids := probing.batch():
            answers = await asyncio.gather(
                *(self.probe(record.id, number) for number in ids), return_exceptions=True
            )
            for number, answer in zip(ids, answers, strict=True):
                if isinstance(answer, BaseException):
                    raise answer
                probing.answered(number, found=answer is not None)
        return not probing.over_limit

    async def confirm_absent(self, session_id: str, number: int) -> bool:
        """Return True if a task that a list lacked is really gone.

        Raises:
            FlameError: the engine did not answer.
        """
        try:
            return await self.probe(session_id, number) is None
        except SessionNotFoundError:
            return False  # the poll drops the whole session

    async def _text(self, session_id: str, number: int) -> None:
        """Read a failed task's text, repeatedly until the engine answers.

        The engine changes the state before it records the event (docs/protocol.md#events), so a
        failure without text is read a second time a moment later, then delivered as it is.
        """
        attempt = 0
        task: Task | None = None
        while attempt < 2 or task is None:
            try:
                task = await self.probe(session_id, number)
            except NotFoundError:
                break
            except FlameError:
                await asyncio.sleep(retry_delay(attempt, first=0.2, limit=5.0))
                attempt += 1
                continue
            if task is None or task.error is not None or task.state != TaskState.FAILED:
                break
            attempt += 1
            await asyncio.sleep(TEXT_DELAY)
        self._report_without_text(session_id, number, task)

    def _report_without_text(self, session_id: str, number: int, task: Task | None) -> None:
        # A terminal state is never lost for the lack of its text.
        record = self._store.sessions.get(session_id)
        known = record.tasks.get(number) if record else None
        if known is not None and known.held:
            now = self._clock()
            last = task if task is not None and task.is_failed() else known.failed_task()
            self.report(last, Window(now, now), EventSource.PROBE, True)
