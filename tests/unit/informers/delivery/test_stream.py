"""``reactor.stream``: the events as an iterator, plain and asynchronous, until somebody ends it."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable

import pytest
from support.waiting import eventually

from flamepy.errors import DeadlineExceededError, InvalidArgumentError, InvalidStateError
from flamepy.informers import EventStream, Reactor, SessionEvent, predicates
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import TaskState
from flamepy.watching.state.events import TaskEvent


def added(engine: FakeEngine, count: int) -> None:
    """Add tasks and let them succeed."""
    for _ in range(count):
        engine.succeed("s", engine.add_task("s"))


class TestPlain:
    def test_what_is_there_then_every_change(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")
        with running.stream() as stream:
            first = next(stream)
            assert isinstance(first, TaskEvent)
            assert (first.task.id, first.initial) == ("1", True)
            engine.succeed("s", "1")
            second = next(stream)
            assert isinstance(second, TaskEvent)
            assert (second.task.state, second.initial) == (TaskState.SUCCEED, False)

    def test_where_replay_and_scope(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_session("t", application="other")
        added(engine, 2)
        engine.add_task("t")
        other = running.stream(application="other")
        ended = running.stream(session="s", where=predicates.state_in(TaskState.SUCCEED))
        new = running.stream(session="s", replay="none")
        seen = [one.task.session_id for one in [other.next(30)] if isinstance(one, TaskEvent)]
        assert seen == ["t"]
        assert [task_of(ended.next(30)) for _ in range(2)] == ["1", "2"]
        synced = RecordingInformer()
        running.register(synced).wait_synced(30)
        engine.add_task("s")
        assert task_of(new.next(30)) == "3"
        with pytest.raises(InvalidArgumentError, match="replay must be one of"):
            running.stream(replay="some")

    def test_a_where_that_raises_is_the_takers(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")
        engine.add_task("s")
        stream = running.stream(where=lambda event: event.task.id == "2" or 1 / 0)
        with pytest.raises(ZeroDivisionError):
            stream.next(30)
        assert task_of(stream.next(30)) == "2"

    def test_events_of_sessions_when_asked_for(self, engine: FakeEngine, running: Reactor) -> None:
        stream = running.stream(sessions=True)
        assert isinstance(stream.next(30), SessionEvent)

    def test_a_time_limit(self, running: Reactor) -> None:
        with pytest.raises(DeadlineExceededError):
            running.stream(session="no such").next(0.01)

    def test_made_before_the_start(self, engine: FakeEngine, engine_connection) -> None:
        engine.add_task("s")
        reactor = Reactor(connection=engine_connection)
        stream = reactor.stream()
        with reactor:
            assert task_of(stream.next(30)) == "1"
        with pytest.raises(InvalidStateError, match="stopped"):
            reactor.stream()


def task_of(event: object) -> str:
    assert isinstance(event, TaskEvent)
    return event.task.id


class TestEnds:
    def test_a_close_by_another_thread_wakes_the_taker(self, running: Reactor) -> None:
        stream, got = running.stream(session="no such"), []
        taker = threading.Thread(target=lambda: got.append(list(stream)))
        taker.start()
        stream.close()
        stream.close()
        taker.join(30)
        assert got == [[]]

    def test_after_a_close_nothing_more_is_handed_out(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        """Also of what the taker had already got out of the queue, many at a time."""
        for _ in range(20):
            engine.add_task("s")
        stream = running.stream()
        eventually(lambda: len(stream.mailbox) >= 20, "twenty events")
        got = []
        for event in stream:
            got.append(event)
            stream.close()
        assert len(got) == 1
        assert stream not in running._registry._streams

    def test_the_reactors_stop_ends_it_after_what_is_queued(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        with Reactor(connection=engine_connection) as reactor:
            stream = reactor.stream()
            informer = RecordingInformer()
            reactor.register(informer).wait_synced(30)
            added(engine, 5)
        got = {task_of(event) for event in stream}
        assert got == {"1", "2", "3", "4", "5"}

    def test_one_that_nobody_reads_does_not_hold_up_the_stop(
        self, engine: FakeEngine, engine_connection
    ) -> None:
        """It is behind for ever, and the informer beside it still gets everything."""
        with Reactor(connection=engine_connection) as reactor:
            unread = reactor.stream(queue_size=1)
            informer = RecordingInformer()
            reactor.register(informer).wait_synced(30)
            added(engine, 10)
            informer.wait_for(lambda seen: len(seen.terminal()) == 10, 30)
            assert reactor._registry._streams[weakref.ref(unread)].inbox.is_lagging  # type: ignore[union-attr]  # attached
            slept: list[float] = []
            original = asyncio.sleep

            async def noted(seconds: float) -> None:
                slept.append(seconds)
                await original(seconds)

            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(asyncio, "sleep", noted)
                reactor.stop()
        assert 0.01 not in slept, "it waited for a reader that is not there"


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_slow_taker_gets_every_end_once(engine: FakeEngine, running: Reactor, size: int) -> None:
    stream = running.stream(queue_size=size)
    everything = RecordingInformer()
    running.register(everything)
    added(engine, 50)
    everything.wait_for(lambda seen: len(seen.terminal()) == 50, 30)
    ends: list[str] = []
    while len(ends) < 50:
        event = stream.next(30)
        assert isinstance(event, TaskEvent)
        ends += [event.task.id] if event.task.state.is_terminal else []
    assert len(set(ends)) == 50


class TestDropped:
    """A stream that nobody holds any more gets nothing, and nothing is kept of it."""

    @pytest.mark.parametrize("how", ["plain", "asynchronous", "full", "unread"])
    def test_it_is_let_go_without_a_close(
        self, engine: FakeEngine, running: Reactor, how: str
    ) -> None:
        for _ in range(5):
            engine.succeed("s", engine.add_task("s"))

        async def first() -> None:
            async for _ in running.stream():
                break

        for _ in range(30):
            if how == "asynchronous":
                asyncio.run(first())
            elif how == "unread":
                running.stream()
            else:
                for _ in running.stream(queue_size=1 if how == "full" else 100):
                    break
        gc.collect()
        eventually(lambda: not running._registry._streams, "all to be swept")
        assert not running._registry.inboxes
        assert running._hub is not None
        assert not running._hub._subscribers

    def test_one_that_is_held_goes_on_beside_them(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        with running.stream() as held:
            running.stream()
            eventually(lambda: len(running._registry._streams) == 1, "the other to be swept")
            engine.add_task("s")
            event = held.next(30)
            assert isinstance(event, TaskEvent)
            assert event.task.id == "1"
        assert not running._registry._streams

    def test_before_the_start(self, engine: FakeEngine, engine_connection) -> None:
        reactor = Reactor(connection=engine_connection, plugins=())
        reactor.stream()
        held = reactor.stream()
        with reactor:
            engine.add_task("s")
            assert held.next(30) is not None
            eventually(lambda: len(reactor._registry._streams) == 1, "the other to be swept")


class TestAsynchronous:
    def test_the_same_events_on_a_loop_of_ones_own(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        async def take() -> list[str]:
            got = []
            async for event in running.stream(queue_size=2):
                assert isinstance(event, TaskEvent)
                if event.task.state.is_terminal:
                    got.append(event.task.id)
                if len(got) == 20:
                    break
            return got

        feeder = threading.Thread(target=added, args=(engine, 20))
        feeder.start()
        assert sorted(map(int, asyncio.run(take()))) == list(range(1, 21))
        feeder.join(30)

    @pytest.mark.parametrize("how", ["close", "stop"])
    def test_a_waiting_taker_is_woken_by_the_end(self, engine_connection, how: str) -> None:
        reactor = Reactor(connection=engine_connection).start()
        stream = reactor.stream(session="no such")
        ending: Callable[[], object] = stream.close if how == "close" else reactor.stop

        async def take() -> list[object]:
            asyncio.get_running_loop().call_soon(threading.Thread(target=ending).start)
            return [event async for event in stream]

        assert asyncio.run(take()) == []
        reactor.stop()

    def test_a_cancelled_wait_loses_nothing(self, engine: FakeEngine, running: Reactor) -> None:
        async def take(stream: EventStream) -> str:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(anext(stream), 0.01)
            engine.add_task("s")
            return task_of(await anext(stream))

        assert asyncio.run(take(running.stream())) == "1"

    def test_a_full_queue_leaves_the_loop_room_for_others(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        for _ in range(100):
            engine.add_task("s")
        stream = running.stream()
        eventually(lambda: len(stream.mailbox) >= 100, "a hundred events")

        async def take() -> int:
            turns, done = [0], asyncio.Event()

            async def other() -> None:
                while not done.is_set():
                    turns[0] += 1
                    await asyncio.sleep(0)

            beside = asyncio.get_running_loop().create_task(other())
            for _ in range(100):
                await anext(stream)
            done.set()
            await beside
            return turns[0]

        assert asyncio.run(take()) > 1
