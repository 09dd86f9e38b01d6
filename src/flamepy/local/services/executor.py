"""One executor at work: starts a service, binds it to a session, feeds it tasks, lets it go.

A shell around an ``Instance``: what happens is written to ``state``, ``engine`` wakes the
watchers. A service that dies fails its task and takes its executor with it; the next task gets
a new process. Nothing here repeats without something having changed.

Who stops a cluster often stops its services at the same moment (``systemctl stop`` signals every
process of a unit). So a service's death is a failure only if the cluster is not being stopped
within ``STOP_NOTICE``; from its stop on no failure is recorded, and the task runs again later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from flamepy.local.ending import is_cut_short
from flamepy.local.services.changes import EXECUTORS, TASKS, note, shorten
from flamepy.local.services.instance import (
    SHIM_FAILED,
    BindFailure,
    Instance,
    InstanceFactory,
    TaskNotBegun,
    TaskOutcome,
)
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.journal import Steps
from flamepy.local.state.refusal import StorageRefusal
from flamepy.local.state.rows import ExecutorRow, TaskRow
from flamepy.local.storage.commits import Commits, session_key
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of, text_of
from flamepy.types import (
    Application,
    ExecutorState,
    SessionInfo,
    SessionState,
    TaskContext,
)

logger = logging.getLogger(__name__)
repeated = RepeatedLog(logger)  # one for all: each try of an application may be another executor's

T = TypeVar("T")


class _Stopping(Exception):
    """The cluster is being stopped: what failed is not recorded, and nothing more is begun."""


MAX_EARLY_EXITS = 3  # services that may leave before they begin a task; then it fails
STOP_NOTICE = 0.5  # seconds in which a cluster that is stopped with its services learns of it
BEGUN = "task running"
RECORD_DELAY = 0.1
RECORD_DELAY_LIMIT = 2.0


class ExecutorRun:
    """The life of one executor; ``run`` is its asyncio task.

    Args:
        row: its record.
        state: of the cluster.
        commits: makes its changes.
        instances: makes the service.
        changed: called with (session id, task number, whether it began) when a task changed its
            state; that it began may be reported once it has ended.
        idle: called when this executor begins or stops waiting for a task.
        keep: returns True if an idle executor must stay (``min_instances``).
        stopping: set once the cluster is being stopped.
        task_timeout: seconds after which a task is failed and its service ended; None for never.
    """

    def __init__(
        self,
        row: ExecutorRow,
        state: ClusterState,
        *,
        commits: Commits,
        instances: InstanceFactory,
        changed: Callable[[str, int, bool], None],
        idle: Callable[[ExecutorRun, bool], None],
        keep: Callable[[str], bool],
        stopping: asyncio.Event,
        task_timeout: float | None = None,
    ) -> None:
        self.row = row
        self._state = state
        self._commits = commits
        self._instances = instances
        self._changed = changed
        self._idle = idle
        self._keep = keep
        self._stopping = stopping
        self._task_timeout = task_timeout
        self._hangs = False
        self._early_exits = 0  # services that left in a row without having begun the task at hand
        self._unreported: list[tuple[str, TaskRow]] = []
        self._wake = asyncio.Event()
        self._let_go = asyncio.Event()

    def wake(self) -> None:
        """Look for a task: there may be one."""
        self._wake.set()

    def release(self) -> None:
        """End: at once while binding, else once the running task, if any, has ended."""
        self._let_go.set()
        self._wake.set()

    @property
    def released(self) -> bool:
        """True once ``release`` was called."""
        return self._let_go.is_set()

    async def run(self) -> None:
        """Bind, work, leave."""
        application = self._state.application_of(self.row.session_id)
        if application is None:
            return
        try:
            left = await self._serve(application, None)
            while left is not None:  # its service left before it began this task: by another one
                self._unless_stopping()
                self.row.state = ExecutorState.BINDING
                left = await self._serve(application, left)
        except _Stopping:
            logger.debug("executor %s ends with its cluster", self.row.id)
        finally:
            self._note("executor released")

    async def _serve(self, application: Application, task: TaskRow | None) -> TaskRow | None:
        """Work with a new service, first at a task if one is left; return what is left then."""
        instance = self._instances(application, self.row.id)
        try:
            if not await self._bind(instance, task):
                return None
            left = await self._work(instance, task)
            self.row.state = ExecutorState.UNBINDING
            if instance.alive and not self._hangs:
                await instance.leave()
            return left
        finally:
            self.row.state = ExecutorState.RELEASING
            await instance.stop()

    async def _bind(self, instance: Instance, task: TaskRow | None) -> bool:
        session = self._state.sessions[self.row.session_id].view()
        application = self._state.application_of(self.row.session_id)
        assert application is not None  # checked a moment ago, on the same loop
        try:
            if task is not None:
                await _start(instance, session, application)
            elif not await self._unless_released(_start(instance, session, application)):
                return False
        except BindFailure as failure:
            await _never_if_cut_short(failure)
            await self._is_failure(died=failure.died)
            await self._end_unbegun(task, failure.detail)
            repeated.log(
                *(logging.WARNING, (session.application, failure.return_code), "session %s: %s"),
                *(shorten(session.id), failure.detail),
            )
            code, detail = failure.return_code, failure.detail
            await self._record(lambda: self._state.bind_failed(self.row, code, detail), alone=True)
            self._note("executor failed to bind", return_code=code)
            if instance.alive:
                await instance.leave()
            return False
        self._state.bound(self.row)
        self._note("executor bound")
        return True

    async def _unless_released(self, binding: Coroutine[Any, Any, None]) -> bool:
        """Wait for a start that may take for ever; False if it was given up. Raises BindFailure."""
        start = asyncio.ensure_future(binding)
        let_go = asyncio.ensure_future(self._let_go.wait())
        try:
            await asyncio.wait({start, let_go}, return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
            return start.done()
        finally:
            start.cancel()
            let_go.cancel()
            await asyncio.gather(start, let_go, return_exceptions=True)

    async def _end_unbegun(self, task: TaskRow | None, why: str) -> None:
        """Fail a task whose service left and for which there is no other."""
        if task is not None:
            text = f"its service left before it began, and another could not be started: {why}"
            await self._record(lambda: self._state.complete(self.row, -1, None, text))
            self._unreported.append(("task failed", task))
            self._report()

    async def _work(self, instance: Instance, task: TaskRow | None) -> TaskRow | None:
        """Run tasks; return one that the service left before it began it."""
        while task is not None or self._goes_on(instance):
            if task is None:
                task = await self._record(lambda: self._state.launch(self.row))
                if task is not None:
                    self._unreported.append((BEGUN, task))
                    self._report()
            if task is None:
                if not await self._wait_for_task():
                    return None
                continue
            try:
                following = await self._run_task(instance, task)
            except TaskNotBegun as error:
                self._note("task goes to another service", task=task.number)
                logger.debug("task %s was not begun: %s", task.id, error)
                return task
            task = following
        return None

    def _goes_on(self, instance: Instance) -> bool:
        return instance.alive and not self.released and not self._hangs

    async def _run_task(self, instance: Instance, task: TaskRow) -> TaskRow | None:
        """Run a task; return the next one, which runs from then on by the records.

        Raises TaskNotBegun.
        """
        outcome = await self._invoke(instance, task)
        if outcome.return_code:
            await self._is_failure(died=not instance.alive)
        self._early_exits = 0
        code, output, message = outcome.return_code, outcome.output, outcome.message
        record = self._state.turn if self._goes_on(instance) else self._state.complete
        following = await self._record(lambda: record(self.row, code, output, message))
        self._unreported.append(("task failed" if code else "task succeeded", task))
        if following is None:
            self._report()
        else:
            self._unreported.append((BEGUN, following))
            # The service gets its next task in the loop's next turn, before this is reported.
            soon = asyncio.get_running_loop().call_soon
            soon(soon, self._report)
        return following

    async def _is_failure(self, *, died: bool) -> None:
        """Return if what failed is to be recorded. Raises _Stopping.

        Args:
            died: its service is gone; the cluster may be about to be stopped as well.
        """
        if died:
            stop = asyncio.ensure_future(self._stopping.wait())
            await asyncio.wait({stop}, timeout=STOP_NOTICE)
            stop.cancel()
        self._unless_stopping()

    def _unless_stopping(self) -> None:
        if self._stopping.is_set():
            raise _Stopping

    def _report(self) -> None:
        """Log the changes since the last time, in their order, and wake the watchers."""
        changes, self._unreported = self._unreported, []
        for what, task in changes:
            self._note(what, task=task.number)
            self._changed(task.session_id, task.number, what == BEGUN)

    async def _invoke(self, instance: Instance, task: TaskRow) -> TaskOutcome:
        context = TaskContext(task.id, task.session_id, task.input)
        try:
            if self._task_timeout is None:
                return await instance.invoke(context)
            return await self._invoke_within(instance, context, self._task_timeout)
        except TaskNotBegun as error:
            self._early_exits += 1
            if self._early_exits > MAX_EARLY_EXITS:
                return TaskOutcome(-1, message=text_of(error))
            raise
        except Exception as error:  # whatever it is, the task must not run for ever
            await _never_if_cut_short(error)
            return self._broken(task, error)

    def _broken(self, task: TaskRow, error: Exception) -> TaskOutcome:
        text, kind = "task %s of session %s", kind_of(error)
        repeated.log(logging.ERROR, kind, text, task.id, shorten(task.session_id), error=error)
        self._hangs = True
        text = f"the call of the service failed: {repr_of(error)}; its service was ended"
        return TaskOutcome(-1, message=text)

    async def _invoke_within(
        self, instance: Instance, context: TaskContext, limit: float
    ) -> TaskOutcome:
        call = asyncio.ensure_future(instance.invoke(context))
        try:
            await asyncio.wait({call}, timeout=limit)
            if call.done():
                return call.result()
        finally:
            call.cancel()
        self._hangs = True
        text = f"the task did not end within {limit:g} s (task timeout); its service was ended"
        return TaskOutcome(-1, message=text)

    def _note(self, what: str, **ids: object) -> None:
        kind = TASKS if "task" in ids else EXECUTORS
        note(kind, what, session=self.row.session_id, **ids, executor=self.row.id)

    async def _record(self, change: Callable[[], Steps[T]], *, alone: bool = False) -> T:
        """Repeat a change until the storage takes it: no outcome is lost to a full disk."""
        delay = RECORD_DELAY
        keys = (session_key(self.row.session_id),)
        while True:
            try:
                if alone:
                    return await self._commits.make(change(), alone=keys)
                return await self._commits.make(change(), shared=keys)
            except StorageRefusal as refusal:
                text = "executor %s waits to record: %s"
                repeated.log(logging.ERROR, "record", text, self.row.id, refusal.message)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RECORD_DELAY_LIMIT)

    async def _wait_for_task(self) -> bool:
        """Wait for a task up to the application's ``delay_release``; False to leave."""
        self._wake.clear()
        session = self._state.sessions.get(self.row.session_id)
        application = self._state.application_of(self.row.session_id)
        if session is None or application is None or session.state == SessionState.CLOSED:
            return False
        self._idle(self, True)
        try:
            await asyncio.wait_for(self._wake.wait(), max(0, application.delay_release or 0))
        except asyncio.TimeoutError:
            return self._keep(self.row.session_id)
        finally:
            self._idle(self, False)
        return not self.released


async def _never_if_cut_short(error: Exception) -> None:
    """Wait for the process's end if it has begun and is what ``error`` comes of."""
    if is_cut_short(error):
        await asyncio.get_running_loop().create_future()


async def _start(instance: Instance, session: SessionInfo, application: Application) -> None:
    try:
        await instance.start()
        await instance.enter(session, application)
    except BindFailure:
        raise
    except Exception as error:  # counted like any other failure, or it would be tried for ever
        text, kind = "session %s: its service could not be started", kind_of(error)
        repeated.log(logging.ERROR, kind, text, shorten(session.id), error=error)
        raise BindFailure(SHIM_FAILED, f"shim creation failed: {repr_of(error)}") from error
