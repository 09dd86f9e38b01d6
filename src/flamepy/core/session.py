"""``Session``: the calls of one session, synchronous; each posts its namesake of ``aio``."""

from __future__ import annotations

import concurrent.futures
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Collection,
    Generator,
    Iterable,
    Iterator,
)
from datetime import datetime
from functools import partial
from types import TracebackType
from typing import Literal, overload

from flamepy import aio
from flamepy.aio.close_errors import warn_left_open
from flamepy.aio.mapping import check_inputs
from flamepy.aio.read_ahead import AUTO, Window, check_window
from flamepy.aio.session import CLOSE_WAIT, EXIT_TIMEOUT
from flamepy.core.futures import TaskFuture
from flamepy.core.invoking import Invoker
from flamepy.core.mapping import results
from flamepy.core.watcher import TaskWatcher
from flamepy.errors import DeadlineExceededError, FlameError
from flamepy.informers.informer import TaskInformer
from flamepy.informers.queries.follow import follow_tasks
from flamepy.progress_bars import reported, size_of
from flamepy.rpc.link import Link
from flamepy.rpc.requests.create_task import CreatedTask
from flamepy.runtime.clocks import monotonic
from flamepy.types import (
    Event,
    RetryPolicy,
    SessionInfo,
    SessionState,
    Task,
    TaskOptions,
)
from flamepy.watching.hub import Hub
from flamepy.wire import validation


class Session:
    """A session; what it shows is as of the call that returned it. ``with`` closes it."""

    def __init__(self, link: Link, session: aio.Session) -> None:
        self._link = link
        self._aio = session
        self._invoker = Invoker(link)

    def _repr_html_(self) -> str:
        return self.info._repr_html_()

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.application} {self.state.name}>"

    @property
    def info(self) -> SessionInfo:
        """The session as the engine last showed it, whole."""
        return self._aio.info

    @property
    def id(self) -> str:
        """The session's id."""
        return self._aio.id

    @property
    def application(self) -> str:
        """The application's name."""
        return self._aio.application

    @property
    def state(self) -> SessionState:
        """Open or closed."""
        return self._aio.state

    @property
    def creation_time(self) -> datetime:
        """When it was created, UTC."""
        return self._aio.creation_time

    @property
    def completion_time(self) -> datetime | None:
        """When it was closed, UTC."""
        return self._aio.info.completion_time

    @property
    def pending(self) -> int:
        """Tasks that wait."""
        return self._aio.info.counts.pending

    @property
    def running(self) -> int:
        """Tasks that run."""
        return self._aio.info.counts.running

    @property
    def succeed(self) -> int:
        """Tasks that succeeded."""
        return self._aio.info.counts.succeed

    @property
    def failed(self) -> int:
        """Tasks that failed."""
        return self._aio.info.counts.failed

    @property
    def cancelled(self) -> int:
        """Tasks that were cancelled."""
        return self._aio.info.counts.cancelled

    @property
    def priority(self) -> int:
        """The session's priority, 0 is the lowest."""
        return self._aio.info.priority

    @property
    def events(self) -> list[Event]:
        """Failed binds and the retry limit; from get_session and list_sessions only."""
        return list(self._aio.events)

    def common_data(self) -> bytes | None:
        """Return what every service process of the session gets."""
        return self._aio.common_data()

    def create_task(
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
            on_ambiguous: what to do when the answer is lost: ``"verify"``, ``"raise"`` or
                ``"retry"`` (docs/retry.md#tasks-of-unknown-fate); by default the connection's.
            affinity: keys of executors that it prefers, at most 1,024 of 1 to 256 bytes, 64 KiB in
                all. Engine 0.6 drops them without a word.
            option: another way to give ``affinity``, as SDKs after 0.6 do.

        Raises:
            InvalidArgumentError: not bytes, or too large; or the affinity breaks a rule.
            SessionNotFoundError, SessionClosedError: no task can be made here.
            AmbiguousResultError: it is not known whether the task was made.
        """
        return self._link.run(
            self._aio.create_task(
                input_data,
                timeout=timeout,
                retry=retry,
                on_ambiguous=on_ambiguous,
                affinity=affinity,
                option=option,
            )
        )

    def get_task(
        self, task_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Task:
        """Return a task with payloads and events. Raises TaskNotFoundError."""
        return self._link.run(self._aio.get_task(task_id, timeout=timeout, retry=retry))

    def list_tasks(
        self, *, timeout: float | None = None, retry: RetryPolicy | None = None
    ) -> Iterator[Task]:
        """Return an iterator over all tasks of the session, by number."""

        async def collect() -> list[Task]:
            return [task async for task in self._aio.list_tasks(timeout=timeout, retry=retry)]

        return iter(self._link.run(collect()))

    def watch_task(self, task_id: str, timeout: float | None = None) -> TaskWatcher:
        """Return an iterator over the task's present state, then its changes until its end.

        Args:
            task_id: a decimal number as text.
            timeout: seconds for the whole iteration; a silent stream ends as well.
        """
        number = validation.task_id(task_id)
        seconds = validation.timeout(timeout)
        return TaskWatcher(self._link, self._link.run(self._states(number)), seconds)

    async def _states(self, number: str) -> AsyncGenerator[Task, None]:
        return self._aio.watch_task(number)

    def run(
        self,
        input_data: bytes,
        informer: TaskInformer | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
        affinity: Collection[bytes] = (),
        option: TaskOptions | None = None,
    ) -> TaskFuture:
        """Create a task; return its future once the engine has acknowledged it.

        Args:
            input_data: at most 4 MiB minus 64 KiB.
            informer: receives the task's present state, then its changes, with payloads.
            timeout: seconds for the acknowledgement.
            retry: instead of the connection's policy.
            on_ambiguous: what to do when the answer is lost: ``"verify"``, ``"raise"`` or
                ``"retry"`` (docs/retry.md#tasks-of-unknown-fate); by default the connection's.
            affinity: keys of executors that it prefers; see ``create_task``.
            option: another way to give it.
        """
        follow = None if informer is None else follow_tasks(self._link, informer, self.application)
        create = partial(
            self._aio.create_task,
            input_data,
            timeout=timeout,
            retry=retry,
            on_ambiguous=on_ambiguous,
            affinity=affinity,
            option=option,
        )
        task, future = self._link.run(self._start(create))
        if follow is not None:
            follow(self.id, task.id)
        return future

    submit = run  # the name of SDKs after 0.6, whose ``run`` waits for the output

    async def _start(self, create: Callable[[], Awaitable[Task]]) -> tuple[Task, TaskFuture]:
        task = (
            await create()
        )  # made here: a coroutine of a call that is refused would stay unawaited
        future = TaskFuture(self._link, self.id, task.id)
        future.listener.interest = Hub.of(self._link).notify_end(task, future.listener)
        return task, future

    def run_many(
        self,
        inputs: Iterable[bytes],
        *,
        window: Window = AUTO,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> list[TaskFuture]:
        """Create a task for each input, many at a time; return their futures in that order.

        Args:
            inputs: see ``map``; all of them are read before this returns.
            window: inputs that are read and not yet acknowledged, at most; see ``map``.
            retry: instead of the connection's policy.
            on_ambiguous: what to do when the answer is lost: ``"verify"``, ``"raise"`` or
                ``"retry"`` (docs/retry.md#tasks-of-unknown-fate); by default the connection's.

        Raises:
            InvalidArgumentError: an input is not bytes, or too large.
            FlameError: a task could not be made; those that were made continue.
        """
        check_inputs(inputs)
        made = results(
            self._link,
            self.id,
            inputs,
            window=check_window(window),
            launch=self._launch,
            retry=retry,
            on_ambiguous=on_ambiguous,
        )
        return list(made)

    def _launch(self, hub: Hub, session_id: str, made: CreatedTask) -> TaskFuture:
        future = TaskFuture(self._link, session_id, str(made.number))
        listener = future.listener
        listener.interest = hub.expect(session_id, made.number, listener, born=made.born)
        return future

    @overload
    def map(
        self,
        inputs: Iterable[bytes],
        *,
        window: Window = ...,
        ordered: bool = ...,
        informer: TaskInformer | None = ...,
        return_exceptions: Literal[False] = ...,
        progress: bool = ...,
        retry: RetryPolicy | None = ...,
        on_ambiguous: str | None = ...,
    ) -> Generator[bytes | None, None, None]: ...

    @overload
    def map(
        self,
        inputs: Iterable[bytes],
        *,
        window: Window = ...,
        ordered: bool = ...,
        informer: TaskInformer | None = ...,
        return_exceptions: bool,
        progress: bool = ...,
        retry: RetryPolicy | None = ...,
        on_ambiguous: str | None = ...,
    ) -> Generator[bytes | FlameError | None, None, None]: ...

    def map(
        self,
        inputs: Iterable[bytes],
        *,
        window: Window = AUTO,
        ordered: bool = True,
        informer: TaskInformer | None = None,
        return_exceptions: bool = False,
        progress: bool = False,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> Generator[bytes | FlameError | None, None, None]:
        """Return an iterator over the outputs of one task for each input.

        As ``aio.Session.map``. Inputs are read in the thread that takes the results, while it
        waits for one, so an iterable that blocks holds back results; leaving the iterator early
        (a ``break``, its ``close``) sends nothing more.

        Args:
            inputs: bytes, from any iterable, endless perhaps. What it raises is raised here, after
                the results of what came before.
            window: inputs that are read and whose result was not taken yet, at most; ``"auto"``
                follows how fast the tasks end (docs/performance.md).
            ordered: results come in the order of the inputs; False: as tasks end.
            informer: receives the changes of each task, as of ``run``.
            return_exceptions: an input's own error takes the place of its result; else it is
                raised there, and the iterator is over.
            progress: show how many results were taken: a bar in a notebook or on a terminal (by
                ``rich`` or ``tqdm`` where one is installed), else log records.
            retry: instead of the connection's policy, for the creation of tasks.
            on_ambiguous: what to do when the answer is lost: ``"verify"``, ``"raise"`` or
                ``"retry"`` (docs/retry.md#tasks-of-unknown-fate); by default the connection's.
        """
        check_inputs(inputs)
        made = None if informer is None else follow_tasks(self._link, informer, self.application)
        mapped = results(
            self._link,
            self.id,
            inputs,
            window=check_window(window),
            ordered=ordered,
            made=made,
            return_exceptions=return_exceptions,
            retry=retry,
            on_ambiguous=on_ambiguous,
        )
        return reported(mapped, size_of(inputs), "tasks") if progress else mapped

    def invoke(
        self,
        input_data: bytes,
        informer: TaskInformer | None = None,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        on_ambiguous: str | None = None,
    ) -> bytes | None:
        """Create a task and wait for its output, for ``timeout`` seconds at most."""
        timeout = validation.timeout(timeout)
        if informer is None:
            create = partial(
                self._aio.create_task,
                input_data,
                timeout=timeout,
                retry=retry,
                on_ambiguous=on_ambiguous,
            )
            return self._invoker.invoke(create, timeout)
        start = monotonic()
        future = self.run(
            input_data, informer, timeout=timeout, retry=retry, on_ambiguous=on_ambiguous
        )
        spent = monotonic() - start
        try:
            return future.result(None if timeout is None else max(0.0, timeout - spent))
        except concurrent.futures.TimeoutError as error:
            if future.done():
                raise
            raise DeadlineExceededError(
                f"task {future.task_id} had not ended within {timeout} s; it continues"
            ) from error

    def refresh(self, *, timeout: float | None = None, retry: RetryPolicy | None = None) -> Session:
        """Read the session again; return self."""
        self._link.run(self._aio.refresh(timeout=timeout, retry=retry))
        return self

    def close(
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
        self._link.run(self._aio.close(wait, timeout=timeout, retry=retry))

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close(wait=0, timeout=EXIT_TIMEOUT)
        except BaseException as left:  # a second Ctrl-C as well
            warn_left_open(self._link, self.id, left)
            if not isinstance(left, FlameError):  # else the block's own error matters more
                raise
