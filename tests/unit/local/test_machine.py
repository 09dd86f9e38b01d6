"""Any sequence of calls, services that fail, time and restarts keeps the cluster's promises.

The engine runs on a loop whose clock stands still, with services that do what the test says next;
a model says what each call must answer. Storage is the real one.
"""

from __future__ import annotations

import asyncio
import inspect
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from support.invariants import Ends, check_executors, check_order, check_session
from support.written import PromptCommitter

from flamepy.local.engine import Engine
from flamepy.local.frontend import Frontend
from flamepy.local.services.instance import BindFailure, TaskOutcome
from flamepy.local.state.applications import default_set
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.refusal import Refusal
from flamepy.local.storage.commits import Commits
from flamepy.local.storage.storage import Storage
from flamepy.types import (
    Application,
    ApplicationAttributes,
    ExecutorState,
    Node,
    NodeState,
    ResourceRequirement,
    SessionInfo,
    SessionState,
    Task,
    TaskContext,
    TaskState,
)
from flamepy.wire.applications import encode_application_spec
from flamepy.wire.services import FRONTEND

T = TypeVar("T")
NODE = Node("n", NodeState.READY, ResourceRequirement(2), ResourceRequirement(2))
LIMIT = 2
MAX_SESSIONS = 5
APPLICATIONS = ("one", "two")
SESSIONS = ("a", "b", "c", "d", "e", "f")

applications = st.sampled_from(APPLICATIONS)
sessions = st.sampled_from(SESSIONS)
busy_sessions = st.sampled_from([*SESSIONS, "a", "a", "b", "b", "a", "b"])


class Scripted:
    """A service that starts, and ends its task, when the machine says so and how."""

    def __init__(self) -> None:
        self.alive = False
        self.task: TaskContext | None = None
        self.stopped = False
        loop = asyncio.get_running_loop()
        self.bind: asyncio.Future[None] = loop.create_future()
        self.end: asyncio.Future[TaskOutcome] = loop.create_future()

    async def start(self) -> None:
        await self.bind
        self.alive = True

    async def enter(self, session: SessionInfo, application: Application) -> None:
        return None

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        assert self.task is None, "one task at a time"
        self.task = task
        try:
            return await self.end
        finally:
            self.task = None
            self.end = asyncio.get_running_loop().create_future()

    async def leave(self) -> None:
        return None

    async def stop(self) -> None:
        self.alive, self.stopped = False, True


@dataclass(eq=False)
class SessionModel:
    application: str
    max_instances: int | None
    order: int
    closed: int | None = None
    failures: int = 0
    tasks: list[TaskState] = field(default_factory=list)


@dataclass
class Watch:
    session: SessionModel | None  # None: there was no such task
    number: int
    job: Any = None
    seen: list[TaskState] = field(default_factory=list)


@pytest.fixture(autouse=True)
def no_stop_is_near(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service's death is recorded at once: no cluster is stopped while one lives here."""
    monkeypatch.setattr("flamepy.local.services.executor.STOP_NOTICE", 0.0)


class Cluster(RuleBasedStateMachine):
    """See the module."""

    @initialize()
    def start(self) -> None:
        self.clock = 1000.0
        self.folder = Path(tempfile.mkdtemp(prefix="machine-"))
        self.loop = asyncio.new_event_loop()
        self.loop.time = lambda: self.clock  # type: ignore[method-assign]  # it stands still
        self.instances: list[Scripted] = []
        self.model: dict[str, SessionModel] = {}
        self.registered: set[str] = set()
        self.watches: list[Watch] = []
        self.ends = Ends()
        self.order = 0
        self.open()
        for name in APPLICATIONS:
            self.register(name)
        for name in SESSIONS[:2]:
            self.create(name, "one", None, 0, 0, opens=False)

    def open(self) -> None:
        self.storage = Storage(self.folder)
        if self.storage.fresh:
            self.storage.begin_with(default_set(0))
        state = ClusterState(
            NODE,
            now=lambda: int(self.clock * 1000),
            stored=self.storage.load(),
            max_sessions=MAX_SESSIONS,
        )

        def make(application: Application, executor_id: str) -> Scripted:
            made = Scripted()
            self.instances.append(made)
            return made

        async def build() -> Engine:
            commits = Commits(PromptCommitter(self.storage, turns=2))
            return Engine(state, commits=commits, instances=make, executors=LIMIT)

        self.engine = self.run(build())
        self.frontend = Frontend(self.engine)
        self.engine.resume()
        self.settle()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(25):
                await asyncio.sleep(0)

        self.run(turns())
        self.instances = [one for one in self.instances if not one.stopped]

    def call(self, rpc: str, /, **fields: Any) -> Any:
        """Return the answer, or the code of the refusal; ``-1`` for a return code."""
        method = FRONTEND[rpc]
        snake = "".join(f"_{one.lower()}" if one.isupper() else one for one in rpc)[1:]
        try:
            answer = getattr(self.frontend, snake)(method.request(**fields))
            if inspect.isawaitable(answer):
                answer = self.run(answer)
        except Refusal as refusal:
            answer = "-1" if refusal.code == "OK" else refusal.code
        self.settle()
        return answer

    # ------------------------------------------------------------------ applications

    def has_open(self, name: str) -> bool:
        return any(one.application == name and one.closed is None for one in self.model.values())

    @rule(name=applications)
    def register(self, name: str) -> None:
        spec = encode_application_spec(ApplicationAttributes(command="x", delay_release=5))
        answer = self.call("RegisterApplication", name=name, application=spec)
        assert (answer == "-1") == (name in self.registered)
        self.registered.add(name)

    @rule(name=applications)
    def update(self, name: str) -> None:
        spec = encode_application_spec(ApplicationAttributes(command="y", delay_release=7))
        answer = self.call("UpdateApplication", name=name, application=spec)
        assert (answer == "-1") == (name not in self.registered or self.has_open(name))

    @rule(name=applications)
    def unregister(self, name: str) -> None:
        answer = self.call("UnregisterApplication", name=name)
        refused = name not in self.registered or self.has_open(name)
        assert (answer == "-1") == refused
        if not refused:
            self.registered.discard(name)
            gone = [key for key, one in self.model.items() if one.application == name]
            for key in gone:
                del self.model[key]

    @rule(name=applications)
    def look_at_application(self, name: str) -> None:
        answer = self.call("GetApplication", name=name)
        assert (answer == "NOT_FOUND") == (name not in self.registered)
        names = {one.metadata.name for one in self.call("ListApplication").applications}
        assert names & set(APPLICATIONS) == self.registered

    # ------------------------------------------------------------------ sessions

    @rule(
        name=sessions,
        application=applications,
        most=st.sampled_from([None, 0, 1, 2]),
        least=st.sampled_from([0, 0, 1]),
        priority=st.sampled_from([0, 0, 3]),
        opens=st.booleans(),
    )
    def create(
        self,
        name: str,
        application: str,
        most: int | None,
        least: int,
        priority: int,
        opens: bool,
    ) -> None:
        spec = {
            "application": application,
            "max_instances": most,
            "min_instances": least,
            "priority": priority,
        }
        answer = self.call(
            "OpenSession" if opens else "CreateSession", session_id=name, session=spec
        )
        known = self.model.get(name)
        if opens and known is not None:
            if known.closed is not None or known.application != application:
                assert answer == "INVALID_ARGUMENT"
            return
        if application not in self.registered:
            assert answer == "NOT_FOUND"
        elif known is not None:
            assert answer == "ALREADY_EXISTS"
        else:
            assert answer.metadata.id == name
            self.order += 1
            self.model[name] = SessionModel(application, most, self.order)
            self.evict()

    @rule(name=sessions)
    def reopen(self, name: str) -> None:
        answer = self.call("OpenSession", session_id=name)
        known = self.model.get(name)
        if known is None:
            assert answer == "NOT_FOUND"
        elif known.closed is not None:
            assert answer == "INVALID_ARGUMENT"
        else:
            assert answer.metadata.id == name
            self.evict()

    @rule(name=sessions)
    def close(self, name: str) -> None:
        answer = self.call("CloseSession", session_id=name)
        known = self.model.get(name)
        if known is None:
            assert answer == "NOT_FOUND"
        elif TaskState.RUNNING in known.tasks:
            assert answer == "INTERNAL"
        else:
            assert answer.metadata.id == name
            known.closed = int(self.clock)
            known.tasks = [
                TaskState.CANCELLED if one == TaskState.PENDING else one for one in known.tasks
            ]
            self.evict()

    @rule(name=sessions)
    def delete(self, name: str) -> None:
        answer = self.call("DeleteSession", session_id=name)
        known = self.model.get(name)
        if known is None:
            assert answer == "NOT_FOUND"
        elif known.closed is None:
            assert answer == "INTERNAL"
        else:
            assert answer.metadata.id == name
            del self.model[name]

    def evict(self) -> None:
        while len(self.model) >= MAX_SESSIONS:
            closed = [
                (one.closed, one.order, name) for name, one in self.model.items() if one.closed
            ]
            if not closed:
                return
            del self.model[min(closed)[2]]

    # ------------------------------------------------------------------ tasks

    @rule(name=busy_sessions, payload=st.sampled_from([b"", b"x"]))
    def create_task(self, name: str, payload: bytes) -> None:
        answer = self.call("CreateTask", task={"session_id": name, "input": payload})
        known = self.model.get(name)
        if known is None:
            assert answer == "NOT_FOUND"
        elif known.closed is not None:
            assert answer == "INVALID_ARGUMENT"
        else:
            known.tasks.append(TaskState.PENDING)
            assert answer.metadata.id == str(len(known.tasks))

    @rule(name=sessions, number=st.integers(-1, 4))
    def get_task(self, name: str, number: int) -> None:
        answer = self.call("GetTask", session_id=name, task_id=str(number))
        known = self.model.get(name)
        if known is None or not 1 <= number <= len(known.tasks):
            assert answer == "NOT_FOUND"
        else:
            assert answer.status.events[0].code == 0

    @rule(name=busy_sessions, number=st.sampled_from([1, 2, 3, 1, 2, 0]))
    def watch(self, name: str, number: int) -> None:
        known = self.model.get(name)
        exists = known is not None and 1 <= number <= len(known.tasks)
        watch = Watch(known if exists else None, number)

        async def follow() -> None:
            async for task in await self.engine.watch_task(name, str(number)):
                watch.seen.append(task.state)

        async def begin() -> asyncio.Task[None]:
            return asyncio.ensure_future(follow())

        watch.job = self.run(begin())
        self.watches.append(watch)
        self.settle()
        if not exists:
            assert watch.job.done()
            assert watch.seen == []

    # ------------------------------------------------------------------ services, time

    def binding(self) -> list[Scripted]:
        return [one for one in self.instances if not one.bind.done()]

    def busy(self) -> list[Scripted]:
        return [one for one in self.instances if one.task is not None]

    @precondition(lambda self: self.binding() or self.busy())
    @rule()
    def work_well(self) -> None:
        """What mostly happens: services start, and end their tasks."""
        for number in reversed(range(len(self.binding()))):
            self.bind(number, works=True)
        for number in reversed(range(len(self.busy()))):
            self.finish(number, "output")

    @precondition(lambda self: self.binding())
    @rule(choice=st.integers(0, LIMIT - 1), works=st.sampled_from([True, True, False]))
    def bind(self, choice: int, works: bool) -> None:
        ready = self.binding()
        future = ready[choice % len(ready)].bind
        if works:
            future.set_result(None)
        else:
            future.set_exception(BindFailure(11, "no"))
        self.settle()

    @precondition(lambda self: self.busy())
    @rule(choice=st.integers(0, LIMIT - 1), how=st.sampled_from(["output", "error", "death"]))
    def finish(self, choice: int, how: str) -> None:
        instance = self.busy()[choice % len(self.busy())]
        assert instance.task is not None
        name, number = instance.task.session_id, int(instance.task.task_id)
        good = how == "output"
        self.model[name].tasks[number - 1] = TaskState.SUCCEED if good else TaskState.FAILED
        if how == "death":
            instance.alive = False
        instance.end.set_result(TaskOutcome(0, b"o") if good else TaskOutcome(-1, None, "no"))
        self.settle()

    @rule(seconds=st.sampled_from([0.05, 1.0, 10.0]))
    def wait(self, seconds: float) -> None:
        self.clock += seconds
        self.settle()

    @rule()
    def restart(self) -> None:
        """What a kill leaves: the database, and nothing that was told to clients is undone."""
        self.shut()
        for one in self.model.values():
            one.tasks = [
                TaskState.PENDING if state == TaskState.RUNNING else state for state in one.tasks
            ]
        self.watches = []
        self.open()

    def shut(self) -> None:
        async def end() -> None:
            for watch in self.watches:
                watch.job.cancel()
            await asyncio.gather(*(one.job for one in self.watches), return_exceptions=True)
            self.engine._closed = True
            for job in list(self.engine._jobs.values()):
                job.cancel()
            await asyncio.gather(*self.engine._jobs.values(), return_exceptions=True)

        self.run(end())
        self.storage.close()
        self.instances = []

    # ------------------------------------------------------------------ promises

    def tasks(self, name: str) -> list[Task]:
        return self.engine.state.list_tasks(name)

    @invariant()
    def the_cluster_is_the_model(self) -> None:
        if not hasattr(self, "engine"):
            return
        found = {one.id: one for one in self.engine.state.list_sessions()}
        assert set(found) == set(self.model)
        self.ends.forget_others(found)
        for name, known in self.model.items():
            tasks = self.tasks(name)
            check_session(found[name], tasks)
            self.ends.check(found[name], tasks)
            states = [task.state for task in sorted(tasks, key=lambda one: int(one.id))]
            for number, (was, now) in enumerate(zip(known.tasks, states, strict=True)):
                if was == TaskState.PENDING and now == TaskState.RUNNING:
                    assert TaskState.PENDING not in states[:number], "lowest number first"
                else:
                    assert was == now, f"task {number + 1} of {name}"
            known.tasks = states

    @invariant()
    def executors_keep_their_limits(self) -> None:
        if not hasattr(self, "engine"):
            return
        state = self.engine.state
        check_executors(state.list_sessions(), state.list_executors())
        assert len(state.list_executors()) <= LIMIT
        running = {(one.session_id, one.task) for one in state.executors.values() if one.task}
        assert len(running) == sum(one.counts.running for one in state.list_sessions())

    @invariant()
    def nobody_idles_beside_work(self) -> None:
        for run in self.engine._runs.values() if hasattr(self, "engine") else ():
            row = self.engine.state.sessions.get(run.row.session_id)
            free = run.row.state == ExecutorState.BOUND and run.row.task is None
            if row is not None and free and not run.released:
                assert not row.tally[TaskState.PENDING]

    @invariant()
    def watches_end_with_the_task(self) -> None:
        for watch in getattr(self, "watches", []):
            assert all(not one.is_terminal for one in watch.seen[:-1])
            if watch.session not in self.model.values():
                assert watch.job.done(), "its session is gone"
            elif (state := watch.session.tasks[watch.number - 1]).is_terminal:
                assert watch.job.done()
                assert watch.seen[-1:] == [state]
            else:
                assert not watch.job.done()

    def teardown(self) -> None:
        if not hasattr(self, "engine"):
            return
        try:
            self.everything_ends()
            for name in self.model:
                check_order(self.engine.state.get_task(name, task.id) for task in self.tasks(name))
        finally:
            self.shut()
            self.loop.run_until_complete(self.loop.shutdown_asyncgens())
            self.loop.close()
            shutil.rmtree(self.folder)

    def everything_ends(self) -> None:
        """With services that work, no task waits for ever: no wake-up was lost."""
        for _ in range(200):
            for instance in self.binding():
                instance.bind.set_result(None)
            self.settle()
            for instance in self.busy():
                instance.end.set_result(TaskOutcome(0))
            self.settle()
            self.clock += 3.0
            self.settle()
            if not any(self.waits(row) for row in self.engine.state.sessions.values()):
                return
        raise AssertionError("tasks wait for ever")

    def waits(self, row: Any) -> bool:
        """Whether a session has tasks that get an executor, now or when others' tasks end."""
        if row.max_instances == 0 or self.engine.state.exhausted(row):
            return False
        others = [
            other
            for other in self.engine.state.sessions.values()
            if other.state == SessionState.OPEN and not self.engine.state.exhausted(other)
        ]
        blocked = any(
            other.priority > row.priority and other.tally[TaskState.PENDING] for other in others
        )
        # What older ones keep without tasks is theirs, as on a running engine.
        kept = sum(
            min(other.min_instances, LIMIT if other.max_instances is None else other.max_instances)
            for other in others
            if (-other.priority, other.order) < (-row.priority, row.order)
        )
        unfinished = row.tally[TaskState.PENDING] or row.tally[TaskState.RUNNING]
        return bool(unfinished) and not blocked and kept < LIMIT


Cluster.TestCase.settings = settings(
    max_examples=300,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCluster = Cluster.TestCase
