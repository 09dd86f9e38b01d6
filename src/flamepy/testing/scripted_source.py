"""``ScriptedSource``: a scripted engine in memory whose tasks do what a test says.

It has the calls that watching needs (``watching.io.context.Engine``) and lives on one event loop,
often one of a ``FakeClock``. Nothing runs by itself; ``start``, ``succeed`` and the others move
tasks. It answers as an engine does: lists come in any order and show one moment, a watch sends
changes only and skips quick ones, an unknown task's watch ends well, failures have their text in
GetTask only. Answers can be late, held back, or errors. Calls and bytes are counted. Payloads are
shared, so 100,000 tasks with 100 KiB each cost no memory::

    source = ScriptedSource(clock)
    source.add_session("s")
    source.add_task("s", b"input")
    source.start("s", "1")
    hub = Hub(source, "http://scripted")
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InternalError,
    SessionClosedError,
    SessionNotFoundError,
    TaskNotFoundError,
)
from flamepy.rpc.retry.classifier import Failure, is_retryable
from flamepy.runtime.clocks import monotonic
from flamepy.testing.scripted_exchange import ScriptedExchange
from flamepy.texts import repr_of
from flamepy.types import Event, Node, SessionInfo, SessionState, Task, TaskCounts, TaskState

T = TypeVar("T")
START = datetime(2026, 1, 1, tzinfo=timezone.utc)
_TEXTS = {
    TaskState.PENDING: "Task was created",
    TaskState.RUNNING: "Task state was updated to <Running>",
    TaskState.SUCCEED: "Task was completed with state <Succeed>",
}


@dataclass(slots=True, eq=False)
class _Row:
    """A task as GetTask and as a list show it; ``bare`` is made once, lists cost nothing."""

    full: Task
    listed: Task
    bare: Task
    version: int = 0


@dataclass(slots=True, eq=False)
class _Session:
    info: SessionInfo
    rows: dict[int, _Row] = field(default_factory=dict)
    tally: Counter[int] = field(default_factory=Counter)  # by state
    taken: set[int] = field(default_factory=set)
    last: int = 0

    def shown(self) -> SessionInfo:
        tally = self.tally.copy()
        for number in self.taken:
            tally[self.rows[number].full.state] -= 1
        # A state that has no counter is in none, as with an engine newer than this.
        return replace(self.info, counts=TaskCounts(*(tally[state] for state in range(5))))


class Hold:
    """Keeps the answers of some calls back until ``release``; made by ``ScriptedSource.hold``."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self.waiting = 0

    def release(self) -> None:
        """Release the answers that wait, and those that come."""
        self._open.set()

    async def _pass(self) -> None:
        self.waiting += 1
        try:
            await self._open.wait()
        finally:
            self.waiting -= 1


class ScriptedSource:
    """A scripted engine in memory, without a port. Its methods are called on one event loop.

    Args:
        clock: seconds, for creation times; ``monotonic`` by default.
        pushes: it has WatchTasks, as engines after 0.6.

    Attributes:
        can_exchange: whether it has WatchTasks; may be changed.
        listed: how many sessions the lists of sessions had.
        exchanges: the streams of WatchTasks that were opened, by session id, open ones alone.
        calls: how often each call was made, by name: ``list_nodes``, ``list_sessions``,
            ``get_session``, ``get_task``, ``list_tasks``, ``watch_task``, ``watch_tasks``.
        task_calls: how often a call named a session's task or its list, by session id.
        payload_bytes: bytes of inputs and outputs in the answers, also where a list left them
            out (the wire carries them in any case).
        latency: seconds that a call takes, by name, or a function that returns them; a part of
            them passes before it looks (half, unless the function differs from call to call).
        errors: what a call raises instead of an answer, by name; ``"*"`` is any call.
        open_streams, most_streams: watches now, and at most.
    """

    def __init__(self, clock: Callable[[], float] = monotonic, *, pushes: bool = False) -> None:
        self.can_exchange = pushes
        self.exchanges: dict[str, list[ScriptedExchange]] = {}
        self.listed = 0
        self.calls: Counter[str] = Counter()
        self.task_calls: Counter[str] = Counter()
        self.payload_bytes = 0
        self.latency: dict[str, float | Callable[[], float]] = {}
        self.errors: dict[str, FlameError] = {}
        self.open_streams = 0
        self.most_streams = 0
        self._clock = clock
        self._began = clock()
        self._sessions: dict[str, _Session] = {}
        self._holds: dict[str, Hold] = {}
        self._news: dict[tuple[str, int], asyncio.Event] = {}

    # ------------------------------------------------------------------ the script: sessions

    def add_session(
        self, session_id: str, application: str = "app", *, common_data: bytes | None = None
    ) -> None:
        """Create an open session."""
        self._sessions[session_id] = _Session(
            SessionInfo(
                id=session_id,
                application=application,
                state=SessionState.OPEN,
                creation_time=self._time(),
                common_data=common_data,
            )
        )

    def close(self, session_id: str) -> None:
        """Close a session: what is pending becomes Cancelled."""
        session = self._sessions[session_id]
        for number, row in session.rows.items():
            if row.full.state == TaskState.PENDING:
                self._move(session_id, number, TaskState.CANCELLED)
        session.info = replace(
            session.info, state=SessionState.CLOSED, completion_time=self._time()
        )
        for exchange in self.exchanges.get(session_id, ()):
            exchange.close()

    def drop_session(self, session_id: str) -> None:
        """Forget a session without notifying anything, as a deletion or an eviction does."""
        del self._sessions[session_id]
        for exchange in self.exchanges.get(session_id, ()):
            exchange.gone()

    def lose_state(self) -> None:
        """Forget everything, as an engine without storage does when it restarts."""
        for session_id in list(self._sessions):
            self.drop_session(session_id)

    def add_session_event(self, session_id: str, code: int, text: str) -> None:
        """Record an event of a session, such as 1001 or 1002."""
        session = self._sessions[session_id]
        events = (*session.info.events, Event(code, text, self._time()))
        session.info = replace(session.info, events=events)

    # ------------------------------------------------------------------ the script: tasks

    def add_task(
        self,
        session_id: str,
        payload: bytes | None = None,
        *,
        state: TaskState = TaskState.PENDING,
        output: bytes | None = None,
    ) -> str:
        """Create a task, pending unless another ``state`` is given; return its id."""
        session = self._sessions[session_id]
        session.last += 1
        task = Task(
            id=str(session.last),
            session_id=session_id,
            state=state,
            creation_time=self._time(),
            input=payload,
            output=output,
            completion_time=self._time() if state.is_terminal else None,
        )
        session.rows[session.last] = _row(task, (Event(0, _TEXTS[TaskState.PENDING]),))
        session.tally[state] += 1
        return task.id

    def add_tasks(
        self,
        session_id: str,
        count: int,
        payload: bytes | None = None,
        *,
        state: TaskState = TaskState.PENDING,
        output: bytes | None = None,
    ) -> None:
        """Create many tasks that share their payload."""
        for _ in range(count):
            self.add_task(session_id, payload, state=state, output=output)

    def start(self, session_id: str, task_id: str) -> None:
        """Move a task to RUNNING."""
        self._move(session_id, int(task_id), TaskState.RUNNING)

    def succeed(self, session_id: str, task_id: str, output: bytes | None = None) -> None:
        """Move a task to SUCCEED."""
        self._move(session_id, int(task_id), TaskState.SUCCEED, output=output)

    def fail(self, session_id: str, task_id: str, text: str | None) -> None:
        """Move a task to FAILED with the service's text, None for none."""
        self._move(session_id, int(task_id), TaskState.FAILED, text=text)

    def requeue(self, session_id: str, task_id: str) -> None:
        """Move a running task back to PENDING, silently, as a restart does."""
        self._move(session_id, int(task_id), TaskState.PENDING, silent=True)

    def move(self, session_id: str, task_id: str, state: TaskState) -> None:
        """Move a task to any state, also to one without a name: ``TaskState(9)``."""
        self._move(session_id, int(task_id), state)

    def take(self, session_id: str, task_id: str) -> None:
        """Remove a task from the counters, as on its way to an executor, until it moves."""
        self._sessions[session_id].taken.add(int(task_id))

    def drop_task(self, session_id: str, task_id: str) -> None:
        """Forget a task."""
        session = self._sessions[session_id]
        row = session.rows.pop(int(task_id))
        session.taken.discard(int(task_id))
        session.tally[row.full.state] -= 1

    def replace_task(self, session_id: str, task_id: str) -> None:
        """Put a new, pending task under the id of an old one."""
        number = int(task_id)
        self.drop_task(session_id, task_id)
        session = self._sessions[session_id]
        last, session.last = session.last, number - 1
        self.add_task(session_id)
        session.last = last

    def state_of(self, session_id: str, task_id: str) -> TaskState:
        """Return the true state of a task."""
        return self._sessions[session_id].rows[int(task_id)].full.state

    def _move(
        self,
        session_id: str,
        number: int,
        state: TaskState,
        *,
        output: bytes | None = None,
        text: str | None = None,
        silent: bool = False,
    ) -> None:
        session = self._sessions[session_id]
        row = session.rows[number]
        session.taken.discard(number)
        session.tally[row.full.state] -= 1
        session.tally[state] += 1
        events = tuple(row.full.events)
        message = text if state == TaskState.FAILED else _TEXTS.get(state)
        if not silent and message is not None:
            events += (Event(int(state), message, self._time()),)
        full = replace(
            row.full,
            state=state,
            output=row.full.output if output is None else output,
            completion_time=self._time() if state.is_terminal else None,
        )
        fresh = _row(full, events)
        fresh.version = row.version + 1
        session.rows[number] = fresh
        if not silent:
            news = self._news.pop((session_id, number), None)
            if news is not None:
                news.set()
            for exchange in self.exchanges.get(session_id, ()):
                exchange.changed(number)

    def _time(self) -> datetime:
        return START + timedelta(milliseconds=int((self._clock() - self._began) * 1000))

    # ------------------------------------------------------------------ the script: answers

    def hold(self, call: str) -> Hold:
        """Keep the answers of a call back, after the engine has looked, until released."""
        hold = self._holds[call] = Hold()
        return hold

    def fail_calls(self, error: FlameError, *calls: str) -> None:
        """Make these calls (all, if none is named) raise, until ``answer_calls``.

        Open streams of them end with the error too.
        """
        for call in calls or ("*",):
            self.errors[call] = error
        for news in self._news.values():
            news.set()
        self._news.clear()
        if not calls or "watch_tasks" in calls:
            for exchange in [one for streams in self.exchanges.values() for one in streams]:
                exchange.end(_afresh(error))

    def answer_calls(self) -> None:
        """Answer all calls again."""
        self.errors.clear()

    async def _before(self, call: str, session_id: str | None = None) -> None:
        self.calls[call] += 1
        if session_id is not None:
            self.task_calls[session_id] += 1
        await self._travel(call)
        error = self.errors.get(call) or self.errors.get("*")
        if error is not None:
            raise _afresh(error)

    async def _after(self, call: str) -> None:
        hold = self._holds.get(call)
        if hold is not None:
            await hold._pass()
        await self._travel(call)

    async def _travel(self, call: str) -> None:
        latency = self.latency.get(call, 0.0)
        await asyncio.sleep((latency() if callable(latency) else latency) / 2)

    # ------------------------------------------------------------------ the engine's calls

    async def list_nodes(self, *, timeout: float | None = None) -> list[Node]:
        """Return no node: it is only asked whether the engine answers."""
        return await _within("ListNodes", timeout, self._nodes_now())

    async def _nodes_now(self) -> list[Node]:
        await self._before("list_nodes")
        await self._after("list_nodes")
        return []

    async def list_sessions(
        self, *, application: str | None = None, timeout: float | None = None
    ) -> list[SessionInfo]:
        """Return all sessions, or those of an application, with their counters and events."""
        return await _within("ListSession", timeout, self._sessions_now(application))

    async def _sessions_now(self, application: str | None) -> list[SessionInfo]:
        await self._before("list_sessions")
        found = [session.shown() for session in self._sessions.values()]
        shown = [one for one in found if application in (None, one.application)]
        self.listed += len(shown)
        await self._after("list_sessions")
        return shown

    async def get_session(self, session_id: str, *, timeout: float | None = None) -> SessionInfo:
        """Return one session. Raises SessionNotFoundError."""
        return await _within("GetSession", timeout, self._session_now(session_id))

    async def _session_now(self, session_id: str) -> SessionInfo:
        await self._before("get_session")
        session = self._sessions.get(session_id)
        shown = None if session is None else session.shown()
        await self._after("get_session")
        if shown is None:
            raise SessionNotFoundError(f"session {repr_of(session_id)} not found")
        return shown

    async def get_task(self, session_id: str, task_id: str) -> Task:
        """Return one task with its events. Raises SessionNotFoundError, TaskNotFoundError."""
        await self._before("get_task", session_id)
        session = self._sessions.get(session_id)
        row = None if session is None else session.rows.get(int(task_id))
        await self._after("get_task")
        if session is None:
            raise SessionNotFoundError(f"session {repr_of(session_id)} not found")
        if row is None:
            raise TaskNotFoundError(f"task {task_id} of session {repr_of(session_id)} not found")
        self.payload_bytes += _size(row.full)
        return row.full

    def list_tasks(
        self,
        session_id: str,
        *,
        payloads: bool = True,
        wanted: Callable[[str], bool] | None = None,
    ) -> ScriptedStream:
        """Return a snapshot of a session's tasks, newest first. Raises SessionNotFoundError."""
        stream = ScriptedStream(lambda: self._list(stream, session_id, payloads, wanted))
        return stream

    async def _list(
        self,
        stream: ScriptedStream,
        session_id: str,
        payloads: bool,
        wanted: Callable[[str], bool] | None,
    ) -> AsyncIterator[Task]:
        await self._before("list_tasks", session_id)
        session = self._sessions.get(session_id)
        rows = [] if session is None else list(session.rows.values())
        await self._after("list_tasks")
        if session is None:
            raise SessionNotFoundError(f"session {repr_of(session_id)} not found")
        for row in reversed(rows):
            error = self.errors.get("list_tasks") or self.errors.get("*")
            if error is not None:
                raise _afresh(error)
            size = _size(row.listed)
            stream.received += size
            self.payload_bytes += size
            if wanted is None or wanted(row.listed.id):
                yield row.listed if payloads else row.bare

    def watch_task(self, session_id: str, task_id: str) -> ScriptedStream:
        """Return a stream of the changes of one task."""
        stream = ScriptedStream(lambda: self._watch(stream, session_id, int(task_id)))
        return stream

    async def _watch(
        self, stream: ScriptedStream, session_id: str, number: int
    ) -> AsyncIterator[Task]:
        await self._before("watch_task", session_id)
        self.open_streams += 1
        self.most_streams = max(self.most_streams, self.open_streams)
        try:
            shown: TaskState | None = None
            while (row := self._row(session_id, number)) is not None:
                state = row.full.state
                if state.is_terminal or (shown is not None and state != shown):
                    await self._after("watch_task")
                    size = _size(row.listed)
                    stream.received += size
                    self.payload_bytes += size
                    yield row.listed
                if state.is_terminal:
                    return
                shown = state
                await self._change(session_id, number, row)
        finally:
            self.open_streams -= 1

    def watch_tasks(self, session_id: str) -> ScriptedExchange:
        """Return a stream of the changes of those tasks of a session that are added to it."""
        streams = self.exchanges.setdefault(session_id, [])

        def find(number: int) -> Task | None:
            row = self._row(session_id, number)
            if row is None:
                return None
            return row.full if row.full.state.is_terminal else row.listed

        async def before() -> None:
            await self._before("watch_tasks", session_id)
            if not self.can_exchange:
                raise InternalError("the engine does not know WatchTasks")
            session = self._sessions.get(session_id)
            if session is None:
                raise SessionNotFoundError(f"session {repr_of(session_id)} not found")
            if session.info.state == SessionState.CLOSED:
                raise SessionClosedError("session is closed")

        async def after(task: Task) -> None:
            await self._after("watch_tasks")
            self.payload_bytes += _size(task)

        exchange = ScriptedExchange(session_id, find, before=before, after=after)
        self.exchanges[session_id] = [one for one in streams if not one.over] + [exchange]
        return exchange

    def _row(self, session_id: str, number: int) -> _Row | None:
        session = self._sessions.get(session_id)
        return None if session is None else session.rows.get(number)

    async def _change(self, session_id: str, number: int, row: _Row) -> None:
        # What was moved silently is no reason to wake up; what is gone is silence for ever.
        if self._row(session_id, number) is row:
            await self._news.setdefault((session_id, number), asyncio.Event()).wait()
        error = self.errors.get("watch_task") or self.errors.get("*")
        if error is not None:
            raise _afresh(error)


class ScriptedStream:
    """A list or a watch: iterate it, or ``cancel`` it. ``received`` counts payload bytes."""

    def __init__(self, tasks: Callable[[], AsyncIterator[Task]]) -> None:
        self._tasks = tasks
        self.received = 0

    def __aiter__(self) -> AsyncIterator[Task]:
        return self._tasks()

    def cancel(self) -> None:
        """End the stream: an iteration that waits is cancelled with its own task."""


async def _within(name: str, timeout: float | None, call: Coroutine[Any, Any, T]) -> T:
    try:
        return await asyncio.wait_for(call, timeout)
    except asyncio.TimeoutError:
        late = DeadlineExceededError(
            f"{name} did not answer in time", retryable=is_retryable(name, Failure.DEADLINE)
        )
        late.failure = Failure.DEADLINE.value
        raise late from None


def _row(task: Task, events: tuple[Event, ...]) -> _Row:
    listed = replace(task, events=())
    bare = replace(listed, input=None, output=None, payloads_loaded=False)
    return _Row(full=replace(task, events=events), listed=listed, bare=bare)


def _afresh(error: FlameError) -> FlameError:
    """Return an error without the frames that it was raised through before: they would pile up."""
    return error.with_traceback(None)


def _size(task: Task) -> int:
    return len(task.input or b"") + len(task.output or b"")
