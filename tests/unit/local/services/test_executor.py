"""What an executor did is told in its order, and the service does not wait for the telling."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

import pytest

from flamepy.local.engine import Engine
from flamepy.local.services import changes
from flamepy.local.services.executor import MAX_EARLY_EXITS
from flamepy.local.services.instance import BindFailure, Instance, TaskNotBegun, TaskOutcome
from flamepy.local.state.cluster_state import ClusterState
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Node,
    NodeState,
    ResourceRequirement,
    SessionAttributes,
    SessionInfo,
    Task,
    TaskContext,
)

NODE = Node("n", NodeState.READY, ResourceRequirement(2), ResourceRequirement(2))
TASKS = 3


class Echo:
    """A service; ``send`` is called in the loop's next turn, as gRPC sends a call."""

    alive = True

    def __init__(self, send: Callable[[str], None] | None = None) -> None:
        self._send = send

    async def start(self) -> None:
        pass

    async def enter(self, session: SessionInfo, application: Application) -> None:
        pass

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        if self._send is not None:
            asyncio.get_running_loop().call_soon(self._send, f"sent {task.task_id}")
            for _ in range(5):
                await asyncio.sleep(0)
        return TaskOutcome(0, task.input)

    async def leave(self) -> None:
        pass

    async def stop(self) -> None:
        pass


class Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        fields = record.__dict__.get("flame", {})
        what = record.getMessage().split(" session=")[0].removeprefix("task ")
        if what != "pending":  # of the engine
            self.seen.append(f"{what} {fields['task']}" if "task" in fields else what)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Lines]:
    """Give what an executor logs of itself and of tasks, and room for more."""
    caplog.set_level(logging.INFO)
    found = Lines()
    for logger in (changes.TASKS, changes.EXECUTORS):
        logger.addHandler(found)
    yield found
    for logger in (changes.TASKS, changes.EXECUTORS):
        logger.removeHandler(found)


async def work(make: Callable[[], Instance]) -> list[Task]:
    """Run some tasks of one session on one executor, until it is released; return them."""
    state = ClusterState(NODE, now=lambda: 0)
    engine = Engine(state, instances=lambda application, executor: make(), executors=1)
    await engine.register_application("app", ApplicationAttributes(command="x", delay_release=0))
    await engine.create_session("s", SessionAttributes("app"))
    for _ in range(TASKS):
        engine.create_task("s", b"x")
    while state.sessions["s"].counts.terminal < TASKS or state.executors:
        await asyncio.sleep(0)
    await engine.aclose(1.0)
    return [state.get_task("s", str(number + 1)) for number in range(TASKS)]


def test_changes_are_told_once_and_in_order_even_if_the_service_answers_at_once(
    lines: Lines,
) -> None:
    asyncio.run(work(Echo))
    expected = [f"{what} {n + 1}" for n in range(TASKS) for what in ("running", "succeeded")]
    assert lines.seen == ["executor bound", *expected, "executor released"]


def test_a_service_has_its_next_task_before_the_change_is_told(lines: Lines) -> None:
    asyncio.run(work(lambda: Echo(lines.seen.append)))
    for number in range(2, TASKS + 1):
        sent = lines.seen.index(f"sent {number}")
        assert lines.seen[sent + 1 : sent + 3] == [f"succeeded {number - 1}", f"running {number}"]


class Leaving(Echo):
    """Leaves before it begins its second task, or its first."""

    def __init__(self, answers: int) -> None:
        super().__init__()
        self._left = answers

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        if self._left == 0:
            raise TaskNotBegun("it left")
        self._left -= 1
        return await super().invoke(task)


class Unstartable(Echo):
    async def start(self) -> None:
        raise BindFailure(11, "no more of it")


def made_of(instances: list[Instance], made: list[Instance]) -> Callable[[], Instance]:
    """Return a maker of these, the last one again and again; ``made`` gets each."""

    def make() -> Instance:
        made.append(instances[min(len(made), len(instances) - 1)])
        return made[-1]

    return make


def test_a_task_that_its_service_did_not_begin_is_run_by_another(lines: Lines) -> None:
    made: list[Instance] = []
    tasks = asyncio.run(work(made_of([Leaving(1) for _ in range(TASKS)], made)))
    assert [(task.output, task.error) for task in tasks] == [(b"x", None)] * TASKS
    assert len(made) == TASKS
    running = [line for line in lines.seen if line.startswith("running")]
    assert running == [f"running {n + 1}" for n in range(TASKS)], "it is told once that it runs"


def test_a_task_that_no_service_begins_fails_with_what_is_known() -> None:
    made: list[Instance] = []
    tasks = asyncio.run(work(lambda: made_of([Leaving(0)], made)()))
    assert [task.error for task in tasks] == ["it left"] * TASKS
    assert len(made) == 1 + TASKS * MAX_EARLY_EXITS, "nobody goes on for ever"


def test_a_task_that_was_not_begun_fails_where_no_other_service_can_be_started() -> None:
    made: list[Instance] = []
    tasks = asyncio.run(work(made_of([Leaving(1), Unstartable(), Echo()], made)))
    assert [task.output for task in tasks] == [b"x", None, b"x"]
    assert "left before it began, and another could not be started: no more of it" in str(
        tasks[1].error
    )


class Dying(Echo):
    """Its process dies in its task, or at its start."""

    def __init__(self, *, at_start: bool = False) -> None:
        super().__init__()
        self._at_start = at_start

    async def start(self) -> None:
        if self._at_start:
            raise BindFailure(11, "it was killed", died=True)

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        self.alive = False
        return TaskOutcome(-1, message="it was killed")


class Failing(Echo):
    """Its task fails once the cluster is being stopped."""

    def __init__(self, stops: asyncio.Event) -> None:
        super().__init__()
        self._stops = stops

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        await self._stops.wait()
        return TaskOutcome(-1, message="no")


async def stop_behind(*instances: Instance, stops: asyncio.Event) -> tuple[SessionInfo, int]:
    """Stop a cluster whose services end at that moment; return the session and how many it made."""
    state, made = ClusterState(NODE, now=lambda: 0), list[Instance]()
    make = made_of(list(instances), made)
    engine = Engine(state, instances=lambda application, executor: make(), executors=2)
    await engine.register_application("app", ApplicationAttributes(command="x", delay_release=0))
    await engine.create_session("s", SessionAttributes("app"))
    engine.create_task("s", b"x")
    engine.create_task("s", b"x")
    while len(made) < 2:
        await asyncio.sleep(0)
    for _ in range(20):  # they have died, and it is not known yet why
        await asyncio.sleep(0)
    stops.set()
    await engine.aclose(1.0)
    return state.get_session("s"), len(made)


@pytest.mark.parametrize("case", ["running", "binding", "failing", "unbegun"])
def test_what_fails_as_the_cluster_stops_is_not_recorded(case: str) -> None:
    async def go() -> tuple[SessionInfo, int]:
        stops = asyncio.Event()
        instances: dict[str, list[Instance]] = {
            "running": [Dying(), Dying()],
            "binding": [Dying(at_start=True), Dying(at_start=True)],
            "failing": [Failing(stops), Failing(stops)],
            "unbegun": [Leaving(0), Dying(at_start=True)],
        }
        return await stop_behind(*instances[case], stops=stops)

    session, _ = asyncio.run(go())
    assert (session.counts.failed, session.events) == (0, ()), "both tasks run again later"


def test_a_service_that_dies_while_the_cluster_lives_fails_its_task() -> None:
    tasks = asyncio.run(work(made_of([Dying(), Echo()], [])))
    assert [task.output for task in tasks] == [None, b"x", b"x"]
    assert tasks[0].error == "it was killed"
