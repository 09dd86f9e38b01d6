"""A service as an object in this process, for fast tests: no process, no socket.

The object is called as ``core.service`` would call it, on one thread per executor, one call at a
time; exceptions become the same answers. Payloads pass through the same limits. The threads keep no
process from ending, and a call that the interpreter's end cuts short has no answer.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from typing import Protocol

from flamepy.local.ending import is_cut_short
from flamepy.local.net.limits import MESSAGE_LIMIT, too_large
from flamepy.local.services.executor import repeated
from flamepy.local.services.instance import ENTER_FAILED, BindFailure, TaskOutcome
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import repr_of
from flamepy.types import (
    Application,
    ApplicationContext,
    SessionContext,
    SessionInfo,
    TaskContext,
)
from flamepy.wire.shim import encode_task_result, error_text

logger = logging.getLogger(__name__)


class Service(Protocol):
    """What ``core.FlameService`` looks like from here; the two others may be missing."""

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        """Do a task."""


ServiceSource = Service | Callable[[], Service]


class ThreadInstance:
    """A service as an object in this process; an ``instance.Instance``.

    Args:
        source: a class (or factory), called once per executor, or one object for all of them.
        name: for the thread.
    """

    def __init__(self, source: ServiceSource, name: str) -> None:
        self._source = source
        self._name = name
        self._service: Service | None = None
        self._pool: DaemonPool | None = None
        self._log = RepeatedLog(logger)

    @property
    def alive(self) -> bool:
        """True from start to stop: a thread does not die."""
        return self._pool is not None

    async def start(self) -> None:
        """Make the service. Raises BindFailure 12 if its constructor raises."""
        self._pool = DaemonPool(1, name=f"flamepy-service-{self._name}")
        _, error = await self._run(self._make)
        if error is not None:
            raise BindFailure(ENTER_FAILED, f"on_session_enter failed: {error}")

    def _make(self) -> None:
        source = self._source
        made = source() if inspect.isclass(source) or inspect.isroutine(source) else source
        if not callable(getattr(made, "on_task_invoke", None)):
            raise TypeError(f"{repr_of(made)} is not a service: it has no on_task_invoke")
        self._service = made  # type: ignore[assignment]  # ``on_task_invoke`` is checked above

    async def enter(self, session: SessionInfo, application: Application) -> None:
        """Call on_session_enter. Raises BindFailure 12."""
        context = SessionContext(
            session.common_data,
            session.id,
            ApplicationContext(
                application.name,
                application.image,
                application.command,
                application.working_directory,
                application.url,
            ),
        )
        assert self._service is not None
        enter = getattr(self._service, "on_session_enter", None)
        if enter is None:
            return
        _, error = await self._run(lambda: enter(context))
        if error is not None:
            raise BindFailure(ENTER_FAILED, f"on_session_enter failed: {error}")

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        """Call on_task_invoke."""
        assert self._service is not None
        service = self._service
        output, error = await self._run(lambda: service.on_task_invoke(task))
        if error is None and output is not None and not isinstance(output, (bytes, bytearray)):
            error = f"on_task_invoke must return bytes or None, got {type(output).__name__}"
        if error is not None:
            return TaskOutcome(-1, message=error)
        payload = bytes(output) if isinstance(output, (bytes, bytearray)) else None
        size = encode_task_result(payload).ByteSize()
        if size > MESSAGE_LIMIT:
            return TaskOutcome(-1, message=too_large(size))
        return TaskOutcome(0, payload)

    async def leave(self) -> None:
        """Call on_session_leave."""
        self._log.flush(everything=True)
        leave = getattr(self._service, "on_session_leave", None)
        if leave is not None:
            _, error = await self._run(leave)
            if error is not None:
                said, name = "on_session_leave of %s: %s", self._name
                repeated.log(logging.WARNING, ("leave", name), said, name, error)

    async def stop(self) -> None:
        """Let the thread end; a call that still runs keeps it, for nothing can end it."""
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.shutdown(wait=False, cancel_futures=True)

    async def _run(self, call: Callable[[], object]) -> tuple[object, str | None]:
        """Return what a call returned, and the text of what it raised.

        Does not return if the interpreter's end cut the call short: the process ends with it.
        """
        assert self._pool is not None

        def guarded() -> tuple[object, str | None, bool]:
            try:
                return call(), None, False
            except BaseException as error:  # SystemExit must not end the executor's thread
                if is_cut_short(error):
                    return None, None, True
                text = "a service of %s raised"
                self._log.log(logging.ERROR, kind_of(error), text, self._name, error=error)
                return None, error_text(error), False

        loop = asyncio.get_running_loop()
        result, text, cut = await loop.run_in_executor(self._pool, guarded)
        if cut:
            await loop.create_future()
        return result, text
