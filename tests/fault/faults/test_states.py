"""Faults of what is told: states that go back or are odd, ids that come again, clocks that jump.

Fault 19 is in ``unit/watching/test_rules``, 20 in ``promises/test_limits``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hearing import World, run

from flamepy._proto import types_pb2
from flamepy.core import connect
from flamepy.errors import InvalidArgumentError, SessionLostError, UnavailableError
from flamepy.informers import Reactor
from flamepy.local.frontend import Frontend
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.testing.scripted_source import ScriptedSource, ScriptedStream
from flamepy.types import Task, TaskState
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.events import EventKind, EventSource, Window
from flamepy.wire.tasks import decode_task

P, R, S = TaskState.PENDING, TaskState.RUNNING, TaskState.SUCCEED
LIMIT = 30.0


@pytest.mark.parametrize("seen", [True, False], ids=["seen empty", "not seen empty"])
def test_fault_02_ids_that_come_again_after_a_loss_are_other_tasks(seen: bool) -> None:
    async def act(world: World) -> None:
        source = world.source
        source.add_session("s")
        source.add_tasks("s", 2)
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        source.succeed("s", "1")
        await world.until(lambda: heard.ends())
        waiting = world.hub.wait(heard.tasks[1].task)
        if not seen:
            source.fail_calls(UnavailableError("away"))
        source.lose_state()
        await asyncio.sleep(3.0)  # creation times may be rounded to seconds
        source.add_session("s")
        source.add_task("s")
        source.answer_calls()
        added = lambda: [one for one in heard.tasks if one.kind is EventKind.ADDED]  # noqa: E731
        await world.until(lambda: len(added()) == 3 and heard.resets)
        deletes = [one for one in heard.tasks if one.kind is EventKind.DELETED]
        assert {one.task.id: one.final_state_known for one in deletes} == {"1": True, "2": False}
        assert len(deletes) == 2
        first, again = (one for one in added() if one.task.id == "1")
        assert heard.resets == [("s", first.epoch + 1)]
        assert again.key != first.key
        assert isinstance(waiting.exception(), SessionLostError)
        assert heard.ends() == [("s", "1", S)]

    run(act)


def test_fault_03_a_task_that_was_queued_again_unseen_or_seen_is_no_crash_and_no_end() -> None:
    async def act(world: World) -> None:
        source = world.source
        source.add_session("s")
        source.add_tasks("s", 2)
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        source.start("s", "1")
        source.start("s", "2")
        await world.until(lambda: heard.states("1")[-1:] == heard.states("2")[-1:] == [R])
        source.requeue("s", "1")  # and back before anybody looks
        source.start("s", "1")
        source.requeue("s", "2")
        await world.until(lambda: heard.states("2")[-1:] == [P])
        assert heard.tasks[-1].is_requeue
        source.start("s", "2")
        source.succeed("s", "2")
        source.succeed("s", "1")
        await world.until(lambda: len(heard.ends()) == 2)
        assert heard.states("1") == [P, R, S]
        assert [one for one in heard.states("2") if one != R] == [P, P, S]

    run(act)


class Curt(ScriptedSource):
    """Its watches end at once and well, without a word."""

    def watch_task(self, session_id: str, task_id: str) -> ScriptedStream:
        async def nothing() -> AsyncIterator[Task]:
            self.calls["watch_task"] += 1
            for task in ():
                yield task

        return ScriptedStream(nothing)


def test_fault_04_streams_that_end_at_once_are_given_up_and_the_task_is_polled() -> None:
    async def act(world: World) -> None:
        world.source.add_session("s")
        world.source.add_task("s")
        task = await world.source.get_task("s", "1")
        future = world.hub.wait(task)
        await asyncio.sleep(60.0)
        assert world.source.calls["watch_task"] < 10
        assert world.source.calls["get_task"] < 60
        assert not future.done()
        world.source.succeed("s", "1", b"out")
        await world.until(future.done)
        assert future.result().output == b"out"

    run(act, source=Curt)


def test_fault_18_what_is_shown_three_times_is_told_once() -> None:
    async def act(world: World) -> None:
        source = world.source
        source.add_session("s")
        source.add_task("s")
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        key = world.watch("s", "1")  # a stream, beside polls and audits
        for move in (source.start, source.succeed):
            move("s", "1")
            full = await source.get_task("s", "1")
            for kind in (EventSource.WATCH, EventSource.LIST, EventSource.PROBE):
                now = world.clock.now
                world.hub._reader.report(full, Window(now, now), kind, True)
            await asyncio.sleep(5.0)
        assert heard.states("1") == [P, R, S]
        assert not heard.drifts
        key.release()

    run(act, WatchSettings(audit=1.0))


def test_fault_21_what_a_suspended_machine_missed_is_told_after_it_wakes() -> None:
    """Two hours pass between two polls; tasks swapped states, which no counter shows."""

    async def act(world: World) -> None:
        source = world.source
        names = [f"s{number}" for number in range(20)]
        for name in names:
            source.add_session(name)
            source.add_tasks(name, 4)
            source.start(name, "1")
        heard, _ = world.subscribe()
        await world.until(lambda: heard.syncs)
        await asyncio.sleep(5.0)
        for name in names:
            source.requeue(name, "1")
            source.start(name, "2")
        source.succeed("s0", "2")
        lists = source.calls["list_tasks"]
        world.clock.advance(7200.0)
        await world.until(lambda: all(R in heard.states("2", one) for one in names[1:]), 700.0)
        await world.until(lambda: heard.ends() == [("s0", "2", S)])
        assert all(heard.states("1", one)[-1] == P for one in names)
        assert not heard.failures
        assert source.calls["list_tasks"] - lists <= 2 * len(names), "no burst of lists"

    run(act)


def test_fault_26_a_payload_above_grpcs_own_limit_arrives_and_one_that_cannot_is_named(
    engine: FakeEngine,
) -> None:
    big = b"y" * (5 * 1024 * 1024)
    with connect(engine.endpoint) as connection:
        session = connection.get_session("s")
        future = session.run(b"x")
        engine.succeed("s", "1", big)
        assert future.result(LIMIT) == big
        assert session.get_task("1").output == big
        assert [task.output for task in session.list_tasks()] == [big]
        with Reactor(connection=connection, plugins=(), payloads=True) as reactor:
            reactor.register(RecordingInformer()).wait_synced(LIMIT)
            task = reactor.tasks.get("s", "1")
            assert task is not None
            assert task.output == big
        with pytest.raises(InvalidArgumentError, match=str(len(big))):
            session.run(big)
        assert engine.calls["CreateTask"] == 1


@given(
    st.sampled_from([4, 9, -1, 2**31 - 1]),
    st.booleans(),
    st.booleans(),
    st.binary(max_size=8),
)
def test_fault_27_numbers_and_fields_of_another_release_are_kept_and_harm_nobody(
    state: int, metadata: bool, spec: bool, unknown: bytes
) -> None:
    message = types_pb2.Task()
    message.status.state = state  # type: ignore[assignment]  # enums of the wire are open
    if metadata:
        message.metadata.id = "7"
    if spec:
        message.spec.session_id = "s"
    # A field that this release does not know: number 99, some bytes.
    raw = message.SerializeToString() + b"\x9a\x06" + bytes([len(unknown)]) + unknown
    task = decode_task(types_pb2.Task.FromString(raw))
    assert int(task.state) == state
    assert task.state == TaskState(state)
    assert task.state.name
    assert task.state.is_terminal == (state == 4)
    assert (task.id, task.session_id) == ("7" if metadata else "", "s" if spec else "")


def test_fault_28_one_broken_task_in_a_list_does_not_hide_the_others(
    engine: FakeEngine, monkeypatch
) -> None:
    honest = Frontend.list_task

    async def poisoned(self: Frontend, request: object) -> AsyncIterator[types_pb2.Task]:
        yield types_pb2.Task()  # no metadata at all
        odd = types_pb2.Task(metadata=types_pb2.Metadata(id="x-1"))
        odd.spec.session_id = "s"
        yield odd
        async for task in honest(self, request):
            yield task

    monkeypatch.setattr(Frontend, "list_task", poisoned)
    sessions = Frontend.list_session

    def with_a_broken_one(self: Frontend, request: object) -> types_pb2.SessionList:
        found = sessions(self, request)
        return types_pb2.SessionList(sessions=[types_pb2.Session(), *found.sessions])

    monkeypatch.setattr(Frontend, "list_session", with_a_broken_one)
    for _ in range(3):
        engine.add_task("s")
    informer = RecordingInformer()
    with connect(engine.endpoint) as connection:
        assert {task.id for task in connection.get_session("s").list_tasks()} >= {"1", "2", "3"}
        with Reactor(connection=connection, plugins=(), audit=1.0) as reactor:
            reactor.register(informer).wait_synced(LIMIT)
            assert [one.task.id for one in informer.events] == ["1", "2", "3"]
            engine.succeed("s", "2")
            informer.wait_for(lambda seen: bool(seen.terminal()), LIMIT)
            assert not informer.errors
