"""``Session``: tasks of one session as coroutines, and what a task's end means to a caller.

``run`` returns once the engine has acknowledged the task, so tasks keep the caller's order; the
handle waits through the link's hub, which never hangs on a silent stream
(docs/protocol.md#watch).
"""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Collection,
    Generator,
    Iterable,
)
from datetime import datetime
from types import TracebackType
from typing import Literal, overload

from tenacity import AsyncRetrying, retry_if_exception_type

from flamepy.aio.close_errors import explained, warn_left_open
from flamepy.aio.mapping import check_inputs, results
from flamepy.aio.outcomes import outcome
from flamepy.aio.read_ahead import AUTO, Window, check_window
from flamepy.errors import DeadlineExceededError, FlameError, SessionBusyError
from flamepy.progress_bars import areported, size_of
from flamepy.rpc.link import Link
from flamepy.rpc.requests.create_task import CreatedTask
from flamepy.runtime.seconds import seconds, seconds_or_none
from flamepy.types import (
    Event,
    RetryPolicy,
    SessionInfo,
    SessionState,
    Task,
    TaskOptions,
    TaskState,
)
from flamepy.watching.hub import Hub
from flamepy.watching.policy.sync_planner import retry_delay
from flamepy.wire import validation

CLOSE_WAIT = 30.0
EXIT_TIMEOUT = 5.0  # for closing after an error, with an engine that may be down


class TaskHandle:
    """A task that the engine has acknowledged; ``await`` it for its output.

    Awaiting raises TaskFailedError, TaskCancelledError, or an error that says why the fate is
    unknown (TaskLostError, SessionRetryLimitError, UnavailableError). Cancelling the wait leaves
    the task alone: the engine has no cancel.
    """

    def __init__(self, hub: Hub, task: Task, ended: asyncio.Future[Task]) -> None:
        self.task = task
        self._hub = hub
        self._ended = ended
        # Mark the error as retrieved: one that no caller asks for is not worth a warning.
        ended.add_done_callback(lambda future: future.cancelled() or future.exception())

    @property
    def task_id(self) -> str:
        """The task's id, a decimal number as text."""
        return self.task.id

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self.task.session_id

    def done(self) -> bool:
        """True once the task has ended or is lost."""
        return self._ended.done()

    async def result(self, timeout: float | None = None) -> bytes | None:
        """Wait for the output, for ``timeout`` seconds at most (DeadlineExceededError)."""
        timeout = seconds_or_none("timeout", timeout)
        if not self._ended.done():
            self._hub.hasten(self.session_id, int(self.task_id))
        try:
            task = await asyncio.wait_for(asyncio.shield(self._ended), timeout)
        except asyncio.TimeoutError as error:
            if self._ended.done():
                raise
            raise DeadlineExceededError(
                f"task {self.task_id} of session {self.session_id} had not ended within "
                f"{timeout:g} s; it continues"
            ) from error
        return outcome(task)

    def __await__(self) -> Generator[object, None, bytes | None]:
        return self.result().__await__()

    def __repr__(self) -> str:
        state = "done" if self.done() else "pending"
        return f"<TaskHandle {self.session_id}/{self.task_id} {state}>"


class Session:
    """A session of one connection; what it shows is as of the call that returned it."""

    def __init__(self, link: Link, info: SessionInfo) -> None:
        self._link = link
        self.info = info

    def _repr_html_(self) -> str:
        return self.info._repr_html_()

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.application} {self.state.name}>"

    @property
    def id(self) -> str:
        """The session's id."""
        return self.info.id

    @property
    def application(self) -> str:
        """The application's name."""
        return self.info.application

    @property
    def state(self) -> SessionState:
        """Open or closed."""
        return self.info.state

    @property
    def creation_time(self) -> datetime:
        """When it was created, UTC."""
        return self.info.creation_time

    @property
    def events(self) -> tuple[Event, ...]:
        """Failed binds and the retry limit; from get_session and list_sessions only."""
        return tuple(self.info.events)

    def common_data(self) -> bytes | None:
        """Return what every service process of the session gets."""
        return self.info.common_data

    # ------------------------------------------------------------------ tasks

    async def create_task(
        self,
        input_data: bytes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
        affinity: Collection[bytes] = (),
        option: TaskOptions | None = None,
    ) -> Task:
        """Create a task and return it as acknowledged.

        Args:
            input_data: at most 4 MiB minus 64 KiB.
            timeout: seconds; a call without an answer by then stays in flight without its caller.
            retry: instead of the connection's policy.
            on_ambiguous: what to do when the answer is lost: ``"verify"`` (look whether the task
                was made, send it again if not), ``"raise"`` (AmbiguousResultError) or
                ``"retry"`` (send it again, perhaps a second time); by default the connection's.
            affinity: keys of executors that it prefers, at most 1,024 of 1 to 256 bytes, 64 KiB in
                all. Engine 0.6 drops them without a word.
            option: another way to give ``affinity``, as SDKs after 0.6 do.

        Raises:
            InvalidArgumentError: not bytes, or too large; or the affinity breaks a rule.
            SessionNotFoundError, SessionClosedError: no task can be made here.
            AmbiguousResultError: it is not known whether the task was made.
        """
        payload = validation.payload(input_data)
        seconds = validation.timeout(timeout)
        chosen = affinity
        if affinity != () or option is not None:
            chosen = validation.affinity(affinity, option)
        return await self._link.frontend.create_task(
            self.info.id,
            payload,
            timeout=seconds,
            retry=retry,
            on_ambiguous=self._link.on_ambiguous if on_ambiguous is None else on_ambiguous,
            affinity=chosen,
        )

    async def get_task(
        self, task_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Task:
        """Return a task with payloads and events. Raises TaskNotFoundError."""
        return await self._link.frontend.get_task(
            self.id, validation.task_id(task_id), timeout=validation.timeout(timeout), retry=retry
        )

    async def list_tasks(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> AsyncIterator[Task]:
        """Yield all tasks of the session, by number."""
        tasks = await self._link.frontend.collect_tasks(
            self.id, timeout=validation.timeout(timeout), retry=retry
        )
        for task in sorted(tasks, key=_number):
            yield task

    def watch_task(self, task_id: str) -> AsyncGenerator[Task, None]:
        """Return an iterator over the task's present state, then its changes until its end.

        Raises (while iterating):
            TaskNotFoundError, TaskLostError, UnavailableError: nothing more will be known.
        """
        return Hub.of(self._link).watch(self.id, validation.task_id(task_id))

    async def run(
        self,
        input_data: bytes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
        affinity: Collection[bytes] = (),
        option: TaskOptions | None = None,
    ) -> TaskHandle:
        """Create a task; return its handle once the engine has acknowledged it."""
        task = await self.create_task(
            input_data,
            timeout=timeout,
            retry=retry,
            on_ambiguous=on_ambiguous,
            affinity=affinity,
            option=option,
        )
        hub = Hub.of(self._link)
        return TaskHandle(hub, task, hub.wait(task, alone=False))

    submit = run  # the name of SDKs after 0.6, whose ``run`` waits for the output

    async def run_many(
        self,
        inputs: Iterable[bytes] | AsyncIterable[bytes],
        *,
        window: Window = AUTO,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> list[TaskHandle]:
        """Create a task for each input, many at a time; return their handles in that order.

        Args:
            inputs: see ``map``; all of them are read before this returns.
            window: inputs that are read and not yet acknowledged, at most; see ``map``.
            retry: instead of the connection's policy.
            on_ambiguous: see ``create_task``.

        Raises:
            InvalidArgumentError: an input is not bytes, or too large.
            FlameError: a task could not be made; those that were made continue.
        """
        check_inputs(inputs, asynchronous=True)
        made = results(
            self._link,
            self.id,
            inputs,
            window=check_window(window),
            launch=_handle,
            retry=retry,
            on_ambiguous=on_ambiguous,
        )
        return [handle async for handle in made]

    @overload
    def map(
        self,
        inputs: Iterable[bytes] | AsyncIterable[bytes],
        *,
        window: Window = ...,
        ordered: bool = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool = ...,
        retry: RetryPolicy | None = ...,
        on_ambiguous: str | None = ...,
    ) -> AsyncGenerator[bytes | None, None]: ...

    @overload
    def map(
        self,
        inputs: Iterable[bytes] | AsyncIterable[bytes],
        *,
        window: Window = ...,
        ordered: bool = ...,
        return_exceptions: bool,
        progress: bool = ...,
        retry: RetryPolicy | None = ...,
        on_ambiguous: str | None = ...,
    ) -> AsyncGenerator[bytes | FlameError | None, None]: ...

    def map(
        self,
        inputs: Iterable[bytes] | AsyncIterable[bytes],
        *,
        window: Window = AUTO,
        ordered: bool = True,
        return_exceptions: bool = False,
        progress: bool = False,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> AsyncGenerator[bytes | FlameError | None, None]:
        """Return an iterator over the outputs of one task for each input.

        Inputs are read as results are taken, ``window`` of them ahead at most, so they may be
        endless. Leaving the iterator early sends nothing more; what was sent runs to its end, and
        is not awaited. Leave it by ``aclose`` (``contextlib.aclosing``) to have that at once.

        Args:
            inputs: bytes, from any iterable or asynchronous iterable. What it raises is raised
                here, after the results of what came before.
            window: inputs that are read and whose result was not taken yet, at most; ``"auto"``
                follows how fast the tasks end (docs/performance.md).
            ordered: results come in the order of the inputs; False: as tasks end.
            return_exceptions: an input's own error (its task failed, was cancelled or lost, it is
                not bytes, too large) takes the place of its result; else it is raised there, and
                the iterator is over.
            progress: show how many results were taken: a bar in a notebook or on a terminal (by
                ``rich`` or ``tqdm`` where one is installed), else log records.
            retry: instead of the connection's policy, for the creation of tasks.
            on_ambiguous: see ``create_task``.

        Raises (while iterating):
            TaskFailedError, TaskCancelledError, TaskLostError, InvalidArgumentError: see above.
            SessionNotFoundError, SessionClosedError, UnavailableError, AmbiguousResultError: no
                task could be made of an input; that is never returned instead.
        """
        check_inputs(inputs, asynchronous=True)
        mapped = results(
            self._link,
            self.id,
            inputs,
            window=check_window(window),
            ordered=ordered,
            return_exceptions=return_exceptions,
            retry=retry,
            on_ambiguous=on_ambiguous,
        )
        return areported(mapped, size_of(inputs), "tasks") if progress else mapped

    async def invoke(
        self,
        input_data: bytes,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> bytes | None:
        """Create a task and wait for its output; ``timeout`` seconds for all of it."""
        timeout = validation.timeout(timeout)
        start = asyncio.get_running_loop().time()
        task = await self.create_task(
            input_data, timeout=timeout, retry=retry, on_ambiguous=on_ambiguous
        )
        if timeout is not None:
            timeout = max(0.0, timeout - (asyncio.get_running_loop().time() - start))
        return await output_of(self._link, task, timeout)

    # ------------------------------------------------------------------ life

    async def refresh(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Session:
        """Read the session again; return self."""
        self.info = await self._link.frontend.get_session(
            self.id, timeout=validation.timeout(timeout), retry=retry
        )
        return self

    async def close(
        self,
        wait: float = CLOSE_WAIT,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
    ) -> None:
        """Close the session: pending tasks are cancelled, running ones waited for.

        Args:
            wait: seconds to wait for running tasks; 0 tries once.
            timeout: seconds for each try.
            retry: for each try, instead of the connection's policy.

        Raises:
            SessionBusyError: tasks still run after ``wait`` seconds.
            SessionNotFoundError: no such session.
        """
        now = asyncio.get_running_loop().time
        limit = now() + seconds("wait", wait)
        one_try = validation.timeout(timeout)

        async def attempt() -> SessionInfo:
            return await self._link.frontend.close_session(self.id, timeout=one_try, retry=retry)

        retrying = AsyncRetrying(
            sleep=self._link.frontend.retrier.sleep,
            retry=retry_if_exception_type(SessionBusyError),
            stop=lambda _: now() >= limit,
            wait=lambda state: min(
                retry_delay(state.attempt_number - 1, first=0.05, limit=1.0),
                max(0.0, limit - now()),
            ),
            reraise=True,
        )
        try:
            self.info = await retrying(attempt)
        except SessionBusyError as refused:
            raise await explained(self._link, self.id, refused, wait) from refused

    async def __aenter__(self) -> Session:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            await self.close()
            return
        try:
            await self.close(wait=0, timeout=EXIT_TIMEOUT)
        except BaseException as left:
            warn_left_open(self._link, self.id, left)
            if not isinstance(left, FlameError):  # else the block's own error matters more
                raise


async def output_of(link: Link, task: Task, timeout: float | None) -> bytes | None:
    """Wait for the output of a task that was just made and has no other waiter.

    Args:
        link: by which it was made.
        task: as acknowledged.
        timeout: seconds (DeadlineExceededError).
    """
    hub = Hub.of(link)
    ended = hub.wait(task)
    if timeout is None:
        return outcome(await ended)  # its only waiter: it ends with this call
    return await TaskHandle(hub, task, ended).result(timeout)


def _number(task: Task) -> int:
    return int(task.id) if task.id.isdecimal() else 0


def _handle(hub: Hub, session_id: str, made: CreatedTask) -> TaskHandle:
    task = Task(str(made.number), session_id, TaskState.PENDING, made.born, payloads_loaded=False)
    return TaskHandle(hub, task, hub.wait(task, alone=False))
