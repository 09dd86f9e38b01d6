"""A watch of a task tells its whole life, however fast it is, and ends whoever ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from flamepy.local.engine import Engine
from flamepy.local.services.instance import TaskOutcome
from flamepy.local.state.cluster_state import ClusterState
from flamepy.local.state.refusal import Refusal
from flamepy.local.state.rows import TaskRow
from flamepy.local.task_watches import TaskWatches
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Node,
    NodeState,
    ResourceRequirement,
    SessionAttributes,
    SessionInfo,
    TaskContext,
    TaskState,
)

NODE = Node("n", NodeState.READY, ResourceRequirement(2), ResourceRequirement(2))
LIFE = [TaskState.RUNNING, TaskState.SUCCEED]


class Instant:
    """A service whose answers are there at once."""

    alive = True

    async def start(self) -> None: ...

    async def enter(self, session: SessionInfo, application: Application) -> None: ...

    async def invoke(self, task: TaskContext) -> TaskOutcome:
        return TaskOutcome(0, task.input)

    async def leave(self) -> None: ...

    async def stop(self) -> None: ...


def test_fast_tasks_are_told_with_their_begin() -> None:
    """As in the recordings: Running without an output, then the end."""

    async def run() -> list[list[tuple[TaskState, bytes | None]]]:
        state = ClusterState(NODE, now=lambda: 0)
        engine = Engine(state, instances=lambda application, executor: Instant(), executors=1)
        await engine.register_application(
            "app", ApplicationAttributes(command="x", delay_release=0)
        )
        await engine.create_session("s", SessionAttributes("app"))

        async def follow(number: int) -> list[tuple[TaskState, bytes | None]]:
            found = await engine.watch_task("s", str(number))
            return [(task.state, task.output) async for task in found]

        for _ in range(3):
            engine.create_task("s", b"x")
        seen = await asyncio.gather(*(follow(number) for number in (1, 2, 3)))
        await engine.aclose(1.0)
        return seen

    assert asyncio.run(run()) == [list(zip(LIFE, (None, b"x"), strict=True))] * 3


def watched(act: Callable[[TaskWatches, dict[int, TaskRow]], None]) -> list[TaskState]:
    """Return what a watch of a pending task tells while something is done."""

    async def run() -> list[TaskState]:
        rows = {1: TaskRow(1, "s", b"", 0)}
        watches = TaskWatches(lambda session_id, number: rows.get(number))

        async def follow() -> list[TaskState]:
            return [task.state async for task in watches.follow("s", 1)]

        job = asyncio.ensure_future(follow())
        await asyncio.sleep(0)
        act(watches, rows)
        return await asyncio.wait_for(job, 10.0)

    return asyncio.run(run())


def end_at_once(watches: TaskWatches, rows: dict[int, TaskRow]) -> None:
    rows[1].state = TaskState.SUCCEED
    watches.changed("s", 1, began=True)
    watches.changed("s", 1)


def cancel(watches: TaskWatches, rows: dict[int, TaskRow]) -> None:
    rows[1].state = TaskState.CANCELLED
    watches.changed("s", 1)


def delete(watches: TaskWatches, rows: dict[int, TaskRow]) -> None:
    del rows[1]
    watches.gone("s")


def close(watches: TaskWatches, rows: dict[int, TaskRow]) -> None:
    watches.close()


@pytest.mark.parametrize(
    ("act", "expected"),
    [(end_at_once, LIFE), (cancel, [TaskState.CANCELLED]), (delete, []), (close, [])],
)
def test_a_watch_ends_as_an_engines_does(
    act: Callable[[TaskWatches, dict[int, TaskRow]], None], expected: list[TaskState]
) -> None:
    assert watched(act) == expected


def test_an_interrupted_watch_is_refused() -> None:
    with pytest.raises(Refusal) as caught:
        watched(lambda watches, rows: watches.interrupt("why"))
    assert (caught.value.code, caught.value.message) == ("UNAVAILABLE", "why")


def test_an_interruption_is_told_even_if_it_comes_while_a_change_is_sent() -> None:
    async def run() -> None:
        row = TaskRow(1, "s", b"", 0)
        watches = TaskWatches(lambda session_id, number: row)
        found = watches.follow("s", 1)
        first = asyncio.ensure_future(anext(found))
        await asyncio.sleep(0)
        row.state = TaskState.RUNNING
        watches.changed("s", 1, began=True)
        await first
        watches.interrupt("why")
        await asyncio.wait_for(anext(found), 10.0)

    with pytest.raises(Refusal):
        asyncio.run(run())
