"""One executor at work: starts a service, binds it to a session, feeds it tasks, lets it go.

A shell around an ``Instance``: what happens is written to ``state``, who waits is woken through
``engine``. A service that dies fails its task and takes its executor with it; the next task gets
a new process. Nothing here repeats without something having changed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from flamepy.local.instance import BindFailure, Instance, InstanceFactory
from flamepy.local.rows import ExecutorRow
from flamepy.local.state import ClusterState
from flamepy.types import ExecutorState, SessionState, Task, TaskContext

logger = logging.getLogger(__name__)


class ExecutorRun:
    """The life of one executor; ``run`` is its asyncio task.

    Args:
        row: its record.
        state: of the cluster.
        instances: makes the service.
        changed: is told (session id, task number) when a task changed its state.
        idle: is told that this executor waits for a task, or stopped waiting.
        keep: tells whether an idle executor must stay (``min_instances``).
    """

    def __init__(
        self,
        row: ExecutorRow,
        state: ClusterState,
        *,
        instances: InstanceFactory,
        changed: Callable[[str, int], None],
        idle: Callable[[ExecutorRun, bool], None],
        keep: Callable[[str], bool],
    ) -> None:
        self.row = row
        self._state = state
        self._instances = instances
        self._changed = changed
        self._idle = idle
        self._keep = keep
        self._wake = asyncio.Event()
        self._released = False

    def wake(self) -> None:
        """Look for a task: there may be one."""
        self._wake.set()

    def release(self) -> None:
        """Let go once the running task, if any, has ended."""
        self._released = True
        self._wake.set()

    async def run(self) -> None:
        """Bind, work, leave."""
        application = self._state.application_of(self.row.session_id)
        if application is None:
            return
        instance = self._instances(application, self.row.id)
        try:
            if await self._bind(instance):
                await self._work(instance)
                self.row.state = ExecutorState.UNBINDING
                if instance.alive:
                    await instance.leave()
        finally:
            self.row.state = ExecutorState.RELEASING
            await instance.stop()

    async def _bind(self, instance: Instance) -> bool:
        session = self._state.sessions[self.row.session_id].view()
        application = self._state.application_of(self.row.session_id)
        assert application is not None  # checked a moment ago, on the same loop
        try:
            await instance.start()
            await instance.enter(session, application)
        except BindFailure as failure:
            logger.warning("session %s: %s", session.id, failure.detail)
            self._state.bind_failed(self.row, failure.return_code, failure.detail)
            if instance.alive:
                await instance.leave()
            return False
        self._state.bound(self.row)
        return True

    async def _work(self, instance: Instance) -> None:
        while instance.alive and not self._released:
            task = self._state.launch(self.row)
            if task is None:
                if not await self._wait_for_task():
                    return
                continue
            number = int(task.id)
            self._changed(task.session_id, number)
            await self._run_task(instance, task)
            self._changed(task.session_id, number)

    async def _run_task(self, instance: Instance, task: Task) -> None:
        outcome = await instance.invoke(TaskContext(task.id, task.session_id, task.input))
        self._state.complete(self.row, outcome.return_code, outcome.output, outcome.message)

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
        return not self._released
