"""The scripted engine answers as an engine does."""

from __future__ import annotations

import asyncio

import pytest

from flamepy.errors import SessionNotFoundError, TaskNotFoundError, UnavailableError
from flamepy.testing import FakeClock, ScriptedSource
from flamepy.types import SessionState, Task, TaskCounts, TaskState

PENDING, RUNNING, SUCCEED = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED


async def listed(source: ScriptedSource, **how: bool) -> list[Task]:
    return [task async for task in source.list_tasks("s", **how)]


def play(act) -> FakeClock:  # type: ignore[no-untyped-def]  # a coroutine function of a source
    clock = FakeClock()

    async def main() -> None:
        source = ScriptedSource(clock)
        source.add_session("s")
        await act(source)

    clock.run(main())
    return clock


def test_counters_events_and_ends_follow_the_script() -> None:
    async def act(source: ScriptedSource) -> None:
        for _ in range(4):
            source.add_task("s", b"in")
        source.start("s", "1")
        source.succeed("s", "1", b"out")
        source.start("s", "2")
        source.fail("s", "2", "boom")
        source.start("s", "3")
        source.add_session_event("s", 1001, "no such command")
        (info,) = await source.list_sessions()
        assert info.counts == TaskCounts(1, 1, 1, 1, 0)
        assert [event.code for event in info.events] == [1001]
        source.take("s", "4")
        assert (await source.get_session("s")).counts == TaskCounts(0, 1, 1, 1, 0)
        assert (await source.get_task("s", "2")).error == "boom"
        assert [task.events for task in await listed(source)] == [()] * 4
        source.close("s")
        info = await source.get_session("s")
        assert (info.state, info.counts.cancelled) == (SessionState.CLOSED, 1)

    play(act)


def test_what_is_not_there_is_said() -> None:
    async def act(source: ScriptedSource) -> None:
        with pytest.raises(TaskNotFoundError):
            await source.get_task("s", "9")
        source.drop_session("s")
        for call in (source.get_task("s", "1"), source.get_session("s"), listed(source)):
            with pytest.raises(SessionNotFoundError):
                await call
        assert [task async for task in source.watch_task("s", "1")] == []

    play(act)


def test_calls_and_payload_bytes_are_counted() -> None:
    async def act(source: ScriptedSource) -> None:
        source.add_tasks("s", 10, b"x" * 100, state=SUCCEED, output=b"y" * 50)
        bare = await listed(source, payloads=False)
        assert {(task.input, task.payloads_loaded) for task in bare} == {(None, False)}
        assert source.payload_bytes == 1500
        await source.get_task("s", "1")
        assert source.payload_bytes == 1650
        assert source.calls == {"list_tasks": 1, "get_task": 1}
        assert source.task_calls == {"s": 2}

    play(act)


def test_a_watch_sends_changes_only_and_skips_quick_ones() -> None:
    async def act(source: ScriptedSource) -> None:
        source.add_task("s")
        seen: list[TaskState] = []

        async def watch() -> None:
            seen.extend([task.state async for task in source.watch_task("s", "1")])

        job = asyncio.create_task(watch())
        await asyncio.sleep(1)
        assert source.open_streams == 1
        source.start("s", "1")
        source.requeue("s", "1")  # silent
        source.start("s", "1")
        await asyncio.sleep(1)
        source.succeed("s", "1")
        await job
        assert seen == [RUNNING, SUCCEED]
        assert (source.open_streams, source.most_streams) == (0, 1)

    play(act)


def test_answers_can_be_late_held_back_or_errors() -> None:
    async def act(source: ScriptedSource) -> None:
        source.latency["get_session"] = 2.0
        await source.get_session("s")
        hold = source.hold("list_tasks")
        job = asyncio.create_task(listed(source))
        await asyncio.sleep(1)
        assert hold.waiting == 1
        source.add_task("s")  # after the snapshot
        hold.release()
        assert await job == []
        source.fail_calls(UnavailableError("away"))
        with pytest.raises(UnavailableError):
            await source.list_sessions()
        source.answer_calls()
        assert len(await source.list_sessions()) == 1

    assert play(act).now == 1003.0


def test_an_outage_ends_open_watches() -> None:
    async def act(source: ScriptedSource) -> None:
        source.add_task("s")

        async def watch() -> None:
            async for _ in source.watch_task("s", "1"):
                pass

        job = asyncio.create_task(watch())
        await asyncio.sleep(1)
        source.fail_calls(UnavailableError("away"), "watch_task")
        with pytest.raises(UnavailableError):
            await job

    play(act)


def test_a_state_without_a_name_is_in_no_counter() -> None:
    async def act(source: ScriptedSource) -> None:
        source.add_task("s")
        source.move("s", "1", TaskState(9))
        assert (await source.get_task("s", "1")).state == 9
        assert (await source.get_session("s")).counts.total == 0
        source.succeed("s", "1")
        assert (await source.get_session("s")).counts == TaskCounts(succeed=1)

    play(act)
