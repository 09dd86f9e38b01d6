"""The state of the embedded cluster and every rule that changes it. Pure: time comes in.

One method per RPC that changes or reads sessions and tasks, with the checks, codes and texts of an
engine on ``fs`` storage (docs/protocol.md#sessions, docs/protocol.md#tasks), and one per step of an
executor. A method that changes something is a generator (``journal.Steps``): it yields how the
change is written down before it makes it, and what cannot be written does not happen. Between the
two others may be begun: what a change relies on is kept from them by the keys of ``commits``.
``engine`` calls it on one loop and wakes the waiters; ``scheduler`` decides who runs where.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from flamepy.local.state.applications import NO_FILE, Applications, default_set
from flamepy.local.state.comparison import compare
from flamepy.local.state.defaults import DEFAULT_RESOURCES, RETRY_LIMIT
from flamepy.local.state.draining import (
    check_update,
    deletable,
    disabled,
    is_draining,
    refusal,
)
from flamepy.local.state.journal import Ending, Steps, Stored
from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import (
    TASK_EVENTS,
    EventRow,
    ExecutorRow,
    SessionRow,
    TaskRow,
    whole_seconds,
)
from flamepy.types import (
    Application,
    ApplicationAttributes,
    ApplicationState,
    Dialect,
    Executor,
    ExecutorState,
    Node,
    SessionAttributes,
    SessionInfo,
    SessionState,
    Task,
    TaskState,
)

BIND_FAILED = 1001
RETRY_LIMIT_REACHED = 1002
_NUMBER = re.compile(r"[+-]?[0-9]+")


class ClusterState:
    """Applications, sessions, tasks, executors and the one node.

    Args:
        node: this machine.
        now: returns ms since the epoch.
        stored: what an earlier process left; None for a fresh cluster with its default
            applications. Running tasks are pending again (docs/protocol.md#restart).
        retry_limit: failed binds after which a session gets no more executors.
        max_sessions: closed sessions are dropped, oldest end first, while there are this many
            or more; None keeps all.
        dialect: which engine's rules and calls these are.

    Attributes:
        dialect: the same; it may be changed while no client is connected.
    """

    def __init__(
        self,
        node: Node,
        *,
        now: Callable[[], int],
        stored: Stored | None = None,
        retry_limit: int = RETRY_LIMIT,
        max_sessions: int | None = None,
        dialect: Dialect = Dialect.OLD,
    ) -> None:
        self.node = node
        self.dialect = dialect
        self._now = now
        self._retry_limit = retry_limit
        self._max_sessions = max_sessions
        self._order = 0
        self.applications = Applications()
        self.sessions: dict[str, SessionRow] = {}
        self.executors: dict[str, ExecutorRow] = {}
        self.interrupted: set[str] = set()  # sessions that had a task running in the last process
        self._restore(Stored(default_set(now()), []) if stored is None else stored)

    def _restore(self, stored: Stored) -> None:
        for application in stored.applications:
            self.applications.put(application)
        for row in stored.sessions:
            if row.restore():
                self.interrupted.add(row.id)
            self.sessions[row.id] = row
            self._order = max(self._order, row.order)

    # ------------------------------------------------------------------ applications, cluster

    def register_application(
        self, name: str, attributes: ApplicationAttributes | None
    ) -> Steps[None]:
        """Add an application. Raises Refusal."""
        yield from self._put(self.applications.registered(name, attributes, self._now()))

    def update_application(
        self, name: str, attributes: ApplicationAttributes | None
    ) -> Steps[None]:
        """Replace an application. Raises Refusal."""
        if self._is_newer:
            check_update(self.applications.find(name))
        open_sessions = self.has_open(name)
        made = self.applications.updated(name, attributes, open_sessions=open_sessions)
        yield from self._put(made)

    def _put(self, application: Application) -> Steps[None]:
        yield lambda journal: journal.application_put(application)
        self.applications.put(application)

    @property
    def _is_newer(self) -> bool:
        return self.dialect is Dialect.NEXT

    def disable_application(self, name: str) -> Steps[None]:
        """Let an application have no new sessions, until it is removed. Raises Refusal."""
        yield from self._put(disabled(name, self.applications.find(name)))

    def draining(self) -> list[str]:
        """Return the names of applications that are removed when they have no open session."""
        return [one.name for one in self.applications.list() if is_draining(one)]

    def deletable(self, name: str) -> list[str]:
        """Return the ids of an application's closed sessions."""
        return deletable(name, self.sessions.values())

    def unregister_application(self, name: str) -> Steps[list[str]]:
        """Remove an application and its sessions; return the ids of those. Raises Refusal."""
        self.applications.check_removable(name, open_sessions=self.has_open(name))
        gone = [row for row in self.sessions.values() if row.application == name]
        yield lambda journal: journal.application_gone(name, gone)
        self.applications.remove(name)
        return self._drop(gone)

    def _drop(self, rows: Sequence[SessionRow]) -> list[str]:
        """Forget sessions, unless another change was faster; return the ids of the others."""
        found = [row.id for row in rows if self.sessions.get(row.id) is row]
        for session_id in found:
            del self.sessions[session_id]
        return found

    def has_open(self, name: str) -> bool:
        """Return True if an application has an open session."""
        return any(
            row.application == name and row.state == SessionState.OPEN
            for row in self.sessions.values()
        )

    def get_node(self, name: str) -> Node:
        """Return the node. Raises Refusal NOT_FOUND."""
        if name != self.node.name:
            raise Refusal("NOT_FOUND", f"node <{name}> not found")
        return self.node

    def list_executors(self) -> list[Executor]:
        """Return all executors."""
        return [row.view() for row in self.executors.values()]

    # ------------------------------------------------------------------ sessions

    def create_session(self, session_id: str, spec: SessionAttributes | None) -> Steps[SessionInfo]:
        """Create a session. Raises Refusal."""
        if spec is None:
            raise Refusal("INVALID_ARGUMENT", "session spec")
        application = self.applications.get(spec.application)
        if self._is_newer and is_draining(application):
            raise refusal(spec.application)
        if application.state != ApplicationState.ENABLED:
            raise Refusal("INVALID_ARGUMENT", f"Application {spec.application} is not enabled")
        if session_id in self.sessions:
            raise Refusal("ALREADY_EXISTS", f"Session '{session_id}' already exists")
        self._order += 1
        row = SessionRow(
            id=session_id,
            application=spec.application,
            created=whole_seconds(self._now()),
            common_data=spec.common_data or None,
            min_instances=spec.min_instances,
            max_instances=spec.max_instances,
            priority=spec.priority,
            resreq=spec.resreq or DEFAULT_RESOURCES,
            order=self._order,
        )
        yield lambda journal: journal.session_created(row)
        self.sessions[session_id] = row
        return row.view()

    def open_session(self, session_id: str, spec: SessionAttributes | None) -> Steps[SessionInfo]:
        """Return an open session, compared with ``spec``; create it if absent. Raises Refusal."""
        row = self.sessions.get(session_id)
        if row is None:
            if spec is None:
                raise Refusal("NOT_FOUND", f"Session {session_id} not found")
            return (yield from self.create_session(session_id, spec))
        if row.state == SessionState.CLOSED:
            raise Refusal("INVALID_ARGUMENT", f"Session {session_id} is not open")
        if spec is not None:
            compare(row, spec)
        return row.view()

    def get_session(self, session_id: str) -> SessionInfo:
        """Return a session with its events. Raises Refusal NOT_FOUND with the bare id."""
        return self._session(session_id).view(events=True)

    def list_sessions(
        self, *, application: str | None = None, state: int | None = None
    ) -> list[SessionInfo]:
        """Return sessions with their events: all, or those of an application or in a state."""
        return [
            row.view(events=True)
            for row in self.sessions.values()
            if application in (None, row.application) and state in (None, row.state)
        ]

    def close_session(self, session_id: str) -> Steps[tuple[SessionInfo, list[int]]]:
        """Close a session; return it and the numbers of the tasks it cancelled. Raises Refusal."""
        row = self.sessions.get(session_id)
        if row is None:
            raise Refusal("NOT_FOUND", f"session <{session_id}>")
        if row.tally[TaskState.RUNNING]:
            raise Refusal("INTERNAL", "Cannot close session with running tasks")
        now = whole_seconds(self._now())
        cancelled = row.pending()
        yield lambda journal: journal.session_closed(row, now, cancelled)
        for task in cancelled:
            row.move(task, TaskState.CANCELLED)
            task.completed = now
        row.queue.clear()
        row.state, row.completed = SessionState.CLOSED, now
        return row.view(), [task.number for task in cancelled]

    def delete_session(self, session_id: str) -> Steps[SessionInfo]:
        """Remove a closed session; return it as it was. Raises Refusal."""
        row = self.sessions.get(session_id)
        if row is None:
            raise Refusal("NOT_FOUND", f"session <{session_id}>")
        if row.state == SessionState.OPEN:
            raise Refusal("INTERNAL", "Cannot delete open session")
        if row.tally[TaskState.PENDING] or row.tally[TaskState.RUNNING]:
            raise Refusal("INTERNAL", "Cannot delete session with non-terminal tasks")
        yield lambda journal: journal.sessions_gone([row])
        self._drop([row])
        return row.view()

    @property
    def is_over_limit(self) -> bool:
        """True if there are as many sessions as may be, so that ``evict`` may drop some."""
        return self._max_sessions is not None and len(self.sessions) >= self._max_sessions

    def evict(self) -> Steps[list[str]]:
        """Drop closed sessions over the limit for good, oldest end first; return their ids.

        As an engine does after each create and close: while there are ``max_sessions`` or more,
        so that one fewer than the limit stays; open sessions are never dropped.
        """
        limit = self._max_sessions
        if limit is None or not self.is_over_limit:
            return []
        closed = [row for row in self.sessions.values() if row.state == SessionState.CLOSED]
        closed.sort(key=lambda row: (row.completed or 0, row.order))
        gone = closed[: len(self.sessions) - limit + 1]
        if gone:
            yield lambda journal: journal.sessions_gone(gone)
        return self._drop(gone)

    def _session(self, session_id: str) -> SessionRow:
        row = self.sessions.get(session_id)
        if row is None:
            raise Refusal("NOT_FOUND", session_id)
        return row

    # ------------------------------------------------------------------ tasks

    def create_task(self, session_id: str, payload: bytes | None) -> Steps[TaskRow]:
        """Create a pending task; no other may be in progress. Raises Refusal."""
        row, task = self._new_task(session_id, payload)
        yield lambda journal: journal.task_created(row, task)
        row.add(task)
        return task

    def create_tasks(
        self, wanted: Sequence[tuple[str, bytes | None]]
    ) -> Steps[list[TaskRow | Refusal]]:
        """Create tasks, written down together; one that is refused takes no other with it.

        No other creation may be in progress: ids follow one another without a gap.

        Raises:
            StorageRefusal: none was created.
        """
        made: list[tuple[SessionRow, TaskRow] | Refusal] = []
        ahead: Counter[str] = Counter()
        for session_id, payload in wanted:
            try:
                made.append(self._new_task(session_id, payload, ahead[session_id]))
                ahead[session_id] += 1
            except Refusal as refusal:
                made.append(refusal)
        good = [one for one in made if not isinstance(one, Refusal)]
        if good:
            yield lambda journal: journal.tasks_created(good)
        return [one if isinstance(one, Refusal) else _added(*one) for one in made]

    def _new_task(
        self, session_id: str, payload: bytes | None, ahead: int = 0
    ) -> tuple[SessionRow, TaskRow]:
        row = self.sessions.get(session_id)
        if row is None:
            raise Refusal("NOT_FOUND", f"Session {session_id} not found: {NO_FILE}")
        if row.state == SessionState.CLOSED:
            raise Refusal("INVALID_ARGUMENT", "Cannot create task in closed session")
        now = self._now()
        task = TaskRow(
            number=len(row.tasks) + 1 + ahead,
            session_id=session_id,
            input=payload or None,
            created=whole_seconds(now),
        )
        task.events.append(EventRow(0, TASK_EVENTS[0], now))
        return row, task

    def get_task(self, session_id: str, task_id: str) -> Task:
        """Return a task with its events, which lists and watches show from then on.

        Raises Refusal.
        """
        number = task_number(task_id)
        task = self._session(session_id).tasks.get(number)
        if task is None:
            raise Refusal("NOT_FOUND", str(number))
        task.shown = tuple(task.events)
        return task.view()

    def list_tasks(self, session_id: str) -> list[Task]:
        """Return a snapshot of a session's tasks. Raises Refusal."""
        return [task.view() for task in self._session(session_id).tasks.values()]

    def find_task(self, session_id: str, number: int) -> TaskRow | None:
        """Return a task's row, or None."""
        row = self.sessions.get(session_id)
        return row.tasks.get(number) if row else None

    # ------------------------------------------------------------------ executors

    def add_executor(self, executor_id: str, session_id: str) -> ExecutorRow:
        """Make an executor that binds to a session."""
        row = self.sessions[session_id]
        executor = ExecutorRow(executor_id, session_id, self.node.name, row.resreq)
        self.executors[executor_id] = executor
        return executor

    def bound(self, executor: ExecutorRow) -> None:
        """Record that a service has entered its session."""
        executor.state = ExecutorState.BOUND

    def bind_failed(self, executor: ExecutorRow, return_code: int, detail: str) -> Steps[None]:
        """Record a failed bind, and once that the retry limit is reached. Raises Refusal."""
        row = self.sessions.get(executor.session_id)
        if row is not None:
            events = self._bind_events(executor, row.failures + 1, return_code, detail)
            after = [*row.events, *events]
            yield lambda journal: journal.session_events(row, after)
            row.failures += 1
            row.events += events
        executor.state = ExecutorState.UNBINDING

    def _bind_events(
        self, executor: ExecutorRow, failures: int, return_code: int, detail: str
    ) -> list[EventRow]:
        now = self._now()
        text = (
            f"Executor <{executor.id}> on node <{executor.node}> failed to bind session with "
            f"return_code <{return_code}>: {detail}"
        )
        events = [EventRow(BIND_FAILED, text, now)]
        if failures == self._retry_limit:
            text = (
                f"Session retry limit reached after {failures}/{self._retry_limit} failed "
                "attempts; new executor assignment is paused for this session; existing "
                "executors are unchanged."
            )
            events.append(EventRow(RETRY_LIMIT_REACHED, text, now))
        return events

    def exhausted(self, row: SessionRow) -> bool:
        """Return True if the session gets no more executors."""
        return row.failures >= self._retry_limit

    def launch(self, executor: ExecutorRow) -> Steps[TaskRow | None]:
        """Give an executor the lowest pending task of its session, now running. Raises Refusal.

        A task that ran when the cluster died keeps its one event of running, as recorded of an
        engine's restart.
        """
        row = self.sessions.get(executor.session_id)
        task = row.take() if row is not None else None
        if row is None or task is None:
            return None
        events = self._start_events(task)
        after = [*task.events, *events]
        try:
            yield lambda journal: journal.task_started(row, task, after)
        except BaseException:
            row.put_back(task)
            raise
        return _start(executor, row, task, events)

    def complete(
        self, executor: ExecutorRow, return_code: int, output: bytes | None, message: str | None
    ) -> Steps[None]:
        """Record the end of an executor's task. Raises Refusal."""
        running = self._running(executor)
        if running is not None:
            ending = _ending(return_code, output, message, self._now())
            row, task = running
            yield lambda journal: journal.task_ended(row, task, ending)
            _end(row, task, ending)
        executor.task = None

    def turn(
        self, executor: ExecutorRow, return_code: int, output: bytes | None, message: str | None
    ) -> Steps[TaskRow | None]:
        """``complete`` and ``launch`` in one: both are written down, or neither. Raises Refusal."""
        running = self._running(executor)
        if running is None:
            executor.task = None
            return (yield from self.launch(executor))
        row, task = running
        ending = _ending(return_code, output, message, self._now())
        following = row.take()
        if following is None:
            yield from self.complete(executor, return_code, output, message)
            return None
        events = self._start_events(following)
        after = [*following.events, *events]
        try:
            yield lambda journal: journal.task_turned(row, task, ending, following, after)
        except BaseException:
            row.put_back(following)
            raise
        _end(row, task, ending)
        return _start(executor, row, following, events)

    def _running(self, executor: ExecutorRow) -> tuple[SessionRow, TaskRow] | None:
        row = self.sessions.get(executor.session_id)
        number = executor.task
        task = row.tasks.get(number) if row is not None and number is not None else None
        if row is None or task is None or task.state != TaskState.RUNNING:
            return None
        return row, task

    def _start_events(self, task: TaskRow) -> list[EventRow]:
        again = task.events[-1].code == 1
        return [] if again else [EventRow(1, TASK_EVENTS[1], self._now())]

    def remove_executor(self, executor: ExecutorRow) -> None:
        """Forget an executor that has ended."""
        self.executors.pop(executor.id, None)

    def application_of(self, session_id: str) -> Application | None:
        """Return the application of a session, or None when either is gone."""
        row = self.sessions.get(session_id)
        return self.applications.find(row.application) if row is not None else None


def task_number(task_id: str) -> int:
    """Return a task id as a signed 64-bit number. Raises Refusal INVALID_ARGUMENT."""
    if len(task_id) <= 32 and _NUMBER.fullmatch(task_id):
        number = int(task_id)
        if -(1 << 63) <= number < 1 << 63:
            return number
    raise Refusal("INVALID_ARGUMENT", "invalid task id")


def _added(row: SessionRow, task: TaskRow) -> TaskRow:
    row.add(task)
    return task


def _start(
    executor: ExecutorRow, row: SessionRow, task: TaskRow, events: list[EventRow]
) -> TaskRow:
    row.move(task, TaskState.RUNNING)
    task.events += events
    executor.task = task.number
    return task


def _end(row: SessionRow, task: TaskRow, ending: Ending) -> None:
    row.move(task, ending.state)
    task.output, task.completed = ending.output, ending.completed
    task.events.append(ending.event)


def _ending(return_code: int, output: bytes | None, message: str | None, now: int) -> Ending:
    if return_code == 0:
        state, event = TaskState.SUCCEED, EventRow(2, TASK_EVENTS[2], now)
    else:
        text = "Task failed with state <Failed>" if message is None else message
        state, event = TaskState.FAILED, EventRow(3, text, now)
    return Ending(state, whole_seconds(now), output or None, event)
