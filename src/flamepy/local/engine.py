"""The embedded engine: state, scheduling and executors on one asyncio loop.

``frontend`` calls it for every RPC; it changes ``state``, wakes watchers, and starts and releases
executors as ``scheduler`` decides - at once when something changed, never in a loop of its own.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, TypeVar

from flamepy.local.background import in_thread
from flamepy.local.services.changes import TASKS, note
from flamepy.local.services.executor import ExecutorRun, repeated
from flamepy.local.services.instance import InstanceFactory
from flamepy.local.state.cluster_state import ClusterState, task_number
from flamepy.local.state.journal import make_now
from flamepy.local.state.refusal import Refusal, StorageRefusal
from flamepy.local.state.rows import SessionRow, TaskRow
from flamepy.local.state.scheduler import Demand, Idle, decide
from flamepy.local.state.schemas import is_loaded, load
from flamepy.local.state.totals import ClusterTotals, totals_of
from flamepy.local.storage.commits import Commits, application_key, session_key
from flamepy.local.task_watches import TaskWatches
from flamepy.local.watch_streams import Asked, WatchStreams
from flamepy.runtime.repeats import kind_of
from flamepy.texts import repr_of
from flamepy.types import (
    ApplicationAttributes,
    Dialect,
    SessionAttributes,
    SessionInfo,
    SessionState,
    Task,
)

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Creation = tuple[str, bytes | None, "asyncio.Future[TaskRow]"]
BIND_BACKOFF = 0.1
BIND_BACKOFF_LIMIT = 2.0
RESTART_PAUSE = 2.0
DRAIN_INTERVAL = 1.0  # seconds between two looks at disabled applications
FORKS = "the cluster's process forks; watch again"
STOPS = "the cluster is being stopped; watch again"
EVICTION = "eviction", ""  # a key: sessions over the limit are counted once


class Engine:
    """The embedded engine: its state, its scheduler and its executors, on one loop.

    Args:
        state: the cluster's state.
        commits: makes its changes; by default without writing them down.
        instances: makes services.
        executors: how many executors may live at once.
        task_timeout: seconds a task may run; None for ever.
        new_id: makes executor ids.
    """

    def __init__(
        self,
        state: ClusterState,
        *,
        commits: Commits | None = None,
        instances: InstanceFactory,
        executors: int,
        task_timeout: float | None = None,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.state = state
        self._commits = commits or Commits()
        self._instances = instances
        self._limit = executors
        self._task_timeout = task_timeout
        self._new_id = new_id
        self._loop = asyncio.get_running_loop()
        self._runs: dict[str, ExecutorRun] = {}
        self._jobs: dict[str, asyncio.Task[None]] = {}
        self._idle: dict[str, ExecutorRun] = {}  # by executor id, longest idle first
        self._alive: dict[str, int] = {}  # executors of a session that are not ending
        self._held: set[str] = set()  # sessions that get no executor for a moment
        self._wanting: dict[str, None] = {}  # sessions that may want executors
        self._starved: tuple[str, ...] = ()  # as of the last decision: reported once
        self._watches = TaskWatches(state.find_task)
        self._streams = WatchStreams(state.sessions)
        self._draining: asyncio.Task[None] | None = None
        self._creations: list[_Creation] = []
        self._creating: asyncio.Task[None] | None = None
        self._scheduled = False
        self._closed = False
        self._stopping = asyncio.Event()

    @property
    def is_written(self) -> bool:
        """True if changes are written down, so that it pays to make several together."""
        return self._commits.is_written

    def totals(self) -> ClusterTotals:
        """Return what there is of sessions, tasks and executors; on the loop."""
        return totals_of(self.state, limit=self._limit)

    async def _apart(self, change: Coroutine[Any, Any, T]) -> T:
        """Make a change to its end, with all that follows from it, also if the caller goes."""
        if not self.is_written:
            return await change  # nothing in it waits, once what checks a schema is loaded
        return await asyncio.shield(self._loop.create_task(change))

    # ------------------------------------------------------------------ applications

    async def unregister_application(self, name: str) -> None:
        """Remove an application and its sessions; after 0.6, begin to. Raises Refusal."""
        if self.state.dialect is Dialect.NEXT:
            await self._apart(self._disable(name))
        else:
            await self._apart(self._unregister(name))

    async def _disable(self, name: str) -> None:
        steps = self.state.disable_application(name)
        await self._commits.make(steps, alone=(application_key(name),))
        note(logger, "application disabled", application=name)
        self._drain_soon()

    def _drain_soon(self) -> None:
        if self._draining is None and not self._closed:
            self._draining = self._loop.create_task(self._drain_all())

    async def _drain_all(self) -> None:
        """Remove disabled applications, each second, until there are none."""
        try:
            while self.state.dialect is Dialect.NEXT and self.state.draining():
                await asyncio.sleep(DRAIN_INTERVAL)
                for name in self.state.draining():
                    await self._apart(self._drain(name))
        finally:
            self._draining = None

    async def _drain(self, name: str) -> None:
        try:
            for session_id in self.state.deletable(name):
                await self._delete(session_id)
            if not self.state.has_open(name):
                await self._unregister(name)
        except Refusal as refusal:
            text = "application %s stays for now: %s"
            repeated.log(logging.WARNING, ("drain", name), text, name, refusal.message)

    async def _unregister(self, name: str) -> None:
        steps = self.state.unregister_application(name)
        for session_id in await self._commits.make(steps, alone=(application_key(name),)):
            self._session_ended(session_id)
        note(logger, "application unregistered", application=name)

    async def register_application(self, name: str, spec: ApplicationAttributes | None) -> None:
        """Add an application. Raises Refusal."""
        await self._apart(self._register(name, spec))

    async def _register(self, name: str, spec: ApplicationAttributes | None) -> None:
        await _load_for(spec)
        steps = self.state.register_application(name, spec)
        await self._commits.make(steps, alone=(application_key(name),))
        note(logger, "application registered", application=name)

    async def update_application(self, name: str, spec: ApplicationAttributes | None) -> None:
        """Replace an application. Raises Refusal."""
        await self._apart(self._update(name, spec))

    async def _update(self, name: str, spec: ApplicationAttributes | None) -> None:
        await _load_for(spec)
        steps = self.state.update_application(name, spec)
        await self._commits.make(steps, alone=(application_key(name),))
        note(logger, "application updated", application=name)

    # ------------------------------------------------------------------ sessions

    async def create_session(self, session_id: str, spec: SessionAttributes | None) -> SessionInfo:
        """Create a session. Raises Refusal."""
        return await self._apart(self._create_session(session_id, spec))

    async def _create_session(
        self, session_id: str, spec: SessionAttributes | None, *, may_exist: bool = False
    ) -> SessionInfo:
        change = self.state.open_session if may_exist else self.state.create_session
        shared = (application_key(spec.application),) if spec is not None else ()
        before = session_id in self.state.sessions
        info = await self._commits.make(
            change(session_id, spec), alone=(session_key(session_id),), shared=shared
        )
        if not before:
            note(logger, "session open", session=session_id, application=info.application)
        self._want(session_id)
        await self._evict()
        return info

    async def open_session(self, session_id: str, spec: SessionAttributes | None) -> SessionInfo:
        """Open or create a session. Raises Refusal."""
        known = session_id in self.state.sessions
        if not known or self._commits.is_changing(session_key(session_id)):
            return await self._apart(self._create_session(session_id, spec, may_exist=True))
        info = make_now(self.state.open_session(session_id, spec))  # nothing of it is written
        self._want(session_id)
        if self.state.is_over_limit:
            await self._apart(self._evict())
        return info

    async def close_session(self, session_id: str) -> SessionInfo:
        """Close a session: its pending tasks are cancelled, its executors released.

        Raises Refusal.
        """
        return await self._apart(self._close(session_id))

    async def _close(self, session_id: str) -> SessionInfo:
        before = self.state.sessions.get(session_id)
        changes = before is not None and before.state == SessionState.OPEN
        steps = self.state.close_session(session_id)
        info, cancelled = await self._commits.make(steps, alone=(session_key(session_id),))
        if changes:
            note(logger, "session closed", session=session_id, cancelled=len(cancelled) or None)
        for number in cancelled:
            self.task_changed(session_id, number, False)
        self._streams.closed(session_id)
        self._release(session_id)
        await self._evict()
        return info

    async def delete_session(self, session_id: str) -> SessionInfo:
        """Delete a closed session. Raises Refusal."""
        return await self._apart(self._delete(session_id))

    async def _delete(self, session_id: str) -> SessionInfo:
        steps = self.state.delete_session(session_id)
        info = await self._commits.make(steps, alone=(session_key(session_id),))
        note(logger, "session deleted", session=session_id)
        self._session_ended(session_id)
        return info

    async def _evict(self) -> None:
        if not self.state.is_over_limit:
            return
        try:
            evicted = await self._commits.make(self.state.evict(), alone=(EVICTION,))
        except StorageRefusal as refusal:
            text = "sessions over the limit stay for now: %s"
            repeated.log(logging.WARNING, "evict", text, refusal.message)
            return
        for session_id in evicted:
            note(logger, "session evicted", session=session_id)
            self._session_ended(session_id)

    def _release(self, session_id: str) -> None:
        self._wanting.pop(session_id, None)
        for run in list(self._runs.values()):
            if run.row.session_id == session_id:
                run.release()

    def _session_ended(self, session_id: str) -> None:
        self._release(session_id)
        self._streams.gone(session_id)
        self._watches.gone(session_id)

    # ------------------------------------------------------------------ tasks

    def create_soon(self, session_id: str, payload: bytes | None) -> asyncio.Future[TaskRow]:
        """Create a task and find an executor for it; the future may raise Refusal.

        All that are asked for in this turn of the loop, or while others are written down, are
        created together.
        """
        answered: asyncio.Future[TaskRow] = self._loop.create_future()
        self._creations.append((session_id, payload, answered))
        if self._creating is None:
            self._creating = self._loop.create_task(self._create_all())
        return answered

    def create_task(self, session_id: str, payload: bytes | None) -> TaskRow:
        """Create a task at once, where nothing is written down. Raises Refusal."""
        assert not self.is_written
        task = make_now(self.state.create_task(session_id, payload))
        self._created(task)
        return task

    async def _create_all(self) -> None:
        try:
            while self._creations:
                wanted, self._creations = self._creations, []
                await self._create_together(wanted)
        finally:
            self._creating = None

    async def _create_together(self, wanted: list[_Creation]) -> None:
        keys = [session_key(one) for one in sorted({session_id for session_id, _, _ in wanted})]
        steps = self.state.create_tasks([(one, payload) for one, payload, _ in wanted])
        try:
            made = await self._commits.make(steps, shared=keys)
        except StorageRefusal:
            for one in wanted:
                self._answer_creation(one[2], await self._create_alone(one[0], one[1]))
            return
        except Exception as error:
            logger.exception("tasks could not be created")
            refusal = Refusal("INTERNAL", f"the task could not be created: {repr_of(error)}")
            made = [refusal] * len(wanted)
        for (_, _, answered), task in zip(wanted, made, strict=True):
            self._answer_creation(answered, task)

    def _answer_creation(self, answered: asyncio.Future[TaskRow], task: TaskRow | Refusal) -> None:
        if not isinstance(task, Refusal):
            self._created(task)
        if answered.done():
            return  # the caller has left; the task exists, as with an engine
        if isinstance(task, Refusal):
            answered.set_exception(task)
        else:
            answered.set_result(task)

    async def _create_alone(self, session_id: str, payload: bytes | None) -> TaskRow | Refusal:
        steps = self.state.create_task(session_id, payload)
        try:
            return await self._commits.make(steps, shared=(session_key(session_id),))
        except Refusal as refusal:
            return refusal

    def _created(self, task: TaskRow) -> None:
        session_id = task.session_id
        note(TASKS, "task pending", session=session_id, task=task.number)
        for run in self._idle.values():
            if run.row.session_id == session_id:
                del self._idle[run.row.id]
                run.wake()
                return
        self._wanting[session_id] = None
        most = self.state.sessions[session_id].max_instances
        if self._idle or self._alive.get(session_id, 0) != most:
            self._schedule_soon()  # else it has all that it may have, and no executor can be freed

    async def watch_task(self, session_id: str, task_id: str) -> AsyncIterator[Task]:
        """Yield a task at each change until it ended.

        Unknown ids end it at once; the state at the call is not sent unless it is terminal. That
        it began is sent even if it has ended by then, as an engine does in a task's normal life
        (docs/protocol.md#watch).

        Raises Refusal for an id that is not a number, before anything is sent.
        """
        return self._watches.follow(session_id, task_number(task_id))

    def watch_tasks(self, requests: AsyncIterator[Asked]) -> AsyncIterator[TaskRow]:
        """Yield the tasks of one session that are asked for, as engines after 0.6 do.

        Read a row at once: it changes later. Raises Refusal, for all of them, at one that cannot
        be watched and where the session ends.
        """
        return self._streams.follow(requests)

    def interrupt(self) -> None:
        """End every watch with UNAVAILABLE."""
        self._watches.interrupt(FORKS)
        self._streams.interrupt(FORKS)

    def task_changed(self, session_id: str, number: int, began: bool) -> None:
        """Tell the watches that a task changed its state, which may be an earlier one: ``began``.

        Args:
            session_id: of the task.
            number: of the task.
            began: the change is that it runs.
        """
        self._streams.changed(session_id, number)
        self._watches.changed(session_id, number, began=began)

    # ------------------------------------------------------------------ scheduling

    def _want(self, session_id: str) -> None:
        self._wanting[session_id] = None
        self._schedule_soon()

    def _schedule_soon(self) -> None:
        if len(self._runs) >= self._limit and not self._idle:
            return  # all are busy: an executor that ends or becomes idle schedules again
        if not self._scheduled and not self._closed:
            self._scheduled = True
            self._loop.call_soon(self._schedule)

    def _schedule(self) -> None:
        self._scheduled = False
        if self._closed:
            return
        demands = []
        for session_id in list(self._wanting):
            row = self.state.sessions.get(session_id)
            demand = self._demand(row) if row is not None else None
            if demand is None or not (demand.wanted or demand.executors):
                del self._wanting[session_id]
            if demand is not None:
                demands.append(demand)
        idle = [Idle(one.row.id, one.row.session_id) for one in self._idle.values()]
        decision = decide(demands, idle, alive=len(self._runs), limit=self._limit)
        for executor_id in decision.release:
            self._runs[executor_id].release()
        for session_id in decision.start:
            self._start(session_id)
        self._report_starved(decision.starved, demands)

    def _report_starved(self, starved: tuple[str, ...], demands: Sequence[Demand]) -> None:
        for session_id in starved:
            if session_id not in self._starved:
                keepers = [one.session_id for one in demands if one.kept]
                logger.warning(
                    "the tasks of session %s wait: min_instances of other sessions keep all %d "
                    "executors of the cluster (%s); close one of those sessions, or start the "
                    "cluster with more: LocalCluster(executors=), flamepy up --executors",
                    session_id,
                    self._limit,
                    ", ".join(keepers),
                )
        self._starved = starved

    def _demand(self, row: SessionRow) -> Demand | None:
        if row.state == SessionState.CLOSED or self.state.exhausted(row):
            return None
        counts = row.counts
        return Demand(
            session_id=row.id,
            priority=row.priority,
            order=row.order,
            pending=counts.pending,
            running=counts.running,
            min_instances=row.min_instances,
            max_instances=row.max_instances,
            executors=self._alive.get(row.id, 0),
            held_back=row.id in self._held,
        )

    # ------------------------------------------------------------------ executors

    def _start(self, session_id: str) -> None:
        row = self.state.add_executor(self._new_id(), session_id)
        run = ExecutorRun(
            row,
            self.state,
            commits=self._commits,
            instances=self._instances,
            changed=self.task_changed,
            idle=self._set_idle,
            keep=self._needed,
            stopping=self._stopping,
            task_timeout=self._task_timeout,
        )
        self._runs[row.id] = run
        self._alive[session_id] = self._alive.get(session_id, 0) + 1
        self._jobs[row.id] = self._loop.create_task(self._live(run))

    async def _live(self, run: ExecutorRun) -> None:
        row = run.row
        session = self.state.sessions.get(row.session_id)
        failures = session.failures if session is not None else 0
        try:
            await run.run()
        except Exception as error:
            text, kind = "executor %s of session %s failed", kind_of(error)
            repeated.log(logging.ERROR, kind, text, row.id, row.session_id, error=error)
        finally:
            self.state.remove_executor(row)
            self._runs.pop(row.id, None)
            self._jobs.pop(row.id, None)
            self._forget_alive(row.session_id)
            if session is not None and session.failures > failures:
                delay = BIND_BACKOFF * 2.0 ** min(session.failures - 1, 10)
                self._hold_back(row.session_id, min(BIND_BACKOFF_LIMIT, delay))
            self._want(row.session_id)

    def _forget_alive(self, session_id: str) -> None:
        left = self._alive.get(session_id, 0) - 1
        if left > 0:
            self._alive[session_id] = left
        else:
            self._alive.pop(session_id, None)

    def _hold_back(self, session_id: str, delay: float) -> None:
        self._held.add(session_id)

        def go_on() -> None:
            self._held.discard(session_id)
            self._want(session_id)

        self._loop.call_later(delay, go_on)

    def _set_idle(self, run: ExecutorRun, waits: bool) -> None:
        if waits:
            self._idle[run.row.id] = run
            if self._wanting:
                self._schedule_soon()  # a session may be waiting for a free executor
        else:
            self._idle.pop(run.row.id, None)

    def _needed(self, session_id: str) -> bool:
        row = self.state.sessions.get(session_id)
        return row is not None and self._alive.get(session_id, 0) <= row.min_instances

    # ------------------------------------------------------------------ life

    def resume(self) -> None:
        """Find executors for the tasks that an earlier process left.

        Tasks that ran when it died wait a moment more: a service of the dead process may still be
        at them, until ``reaper`` has ended it.
        """
        for session_id in self.state.sessions:
            if session_id in self.state.interrupted:
                self._hold_back(session_id, RESTART_PAUSE)
            self._want(session_id)
        self._drain_soon()

    async def aclose(self, timeout: float) -> None:
        """End every executor and watch, within about ``timeout`` seconds.

        From now on no failure is recorded: a task that fails runs again in the next process.
        """
        self._closed = True
        self._stopping.set()
        for run in list(self._runs.values()):
            run.release()
        self._watches.close()
        self._streams.interrupt(STOPS)
        if self._draining is not None:
            self._draining.cancel()
        jobs = list(self._jobs.values())
        if jobs:
            await asyncio.wait(jobs, timeout=timeout)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        repeated.flush(everything=True)


async def _load_for(spec: ApplicationAttributes | None) -> None:
    """Load what the check of a schema needs, which takes the disk some tenths of a second."""
    if spec is not None and spec.schema is not None and not is_loaded():
        await in_thread("flamepy-schema-load", load)
