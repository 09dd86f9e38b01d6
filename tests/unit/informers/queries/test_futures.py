"""``future``, ``wait``, ``as_completed``: as in ``concurrent.futures``, callbacks off the loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import threading

import pytest
from support.waiting import eventually

from flamepy.errors import (
    ConnectionClosedError,
    InvalidStateError,
    SessionNotFoundError,
    TaskLostError,
    TaskNotFoundError,
)
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.informers.queries import futures as waiting
from flamepy.informers.queries.futures import EndFuture
from flamepy.testing import FakeEngine
from flamepy.types import TaskState


def test_a_wait_that_a_close_overtakes_is_quiet(engine_connection) -> None:
    """Its turn on the loop may come after the end was told and the connection closed."""
    link = engine_connection.link
    engine_connection.close()
    waiting._block(link, "s", 1)


class TestFuture:
    @pytest.mark.parametrize("end", ["SUCCEED", "FAILED"])
    def test_its_result_is_the_task_however_it_ended(
        self, engine: FakeEngine, running: Reactor, end: str
    ) -> None:
        engine.add_task("s")
        future = running.future(("s", "1"))
        assert not future.done()
        if end == "SUCCEED":
            engine.succeed("s", "1", b"out")
        else:
            engine.fail("s", "1", "no way")
        task = future.result(30)
        assert (task.state.name, task.id) == (end, "1")
        assert (task.output, task.error) == (
            (b"out", None) if end == "SUCCEED" else (None, "no way")
        )

    def test_of_a_task_of_a_future_and_of_one_that_has_ended(
        self, engine: FakeEngine, running: Reactor, engine_connection
    ) -> None:
        run = engine_connection.get_session("s").run(b"x")
        task = engine_connection.get_session("s").get_task(run.task_id)
        futures = [running.future(run), running.future(task)]
        engine.succeed("s", run.task_id, b"y")
        futures.append(running.future(("s", run.task_id)))
        assert [one.result(30).output for one in futures] == [b"y"] * 3
        assert run.result(30) == b"y"

    def test_what_is_not_there(self, running: Reactor) -> None:
        with pytest.raises(TaskNotFoundError):
            running.future(("s", "9"))
        with pytest.raises(SessionNotFoundError):
            running.future(("no such", "1"))

    def test_a_task_that_is_lost_is_an_error(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")
        future = running.future(("s", "1"))
        engine.drop_session("s")
        with pytest.raises(TaskLostError):
            future.result(30)

    def test_it_cannot_be_cancelled(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")
        future = running.future(("s", "1"))
        assert future.cancel() is False
        assert not future.cancelled()
        assert future.running()

    def test_a_result_that_is_not_there_in_time(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")
        with pytest.raises(concurrent.futures.TimeoutError):
            running.future(("s", "1")).result(0.01)

    def test_the_end_of_its_connection_is_its_end(self, engine: FakeEngine) -> None:
        engine.add_task("s")
        with Reactor(endpoint=engine.endpoint) as reactor:
            future = reactor.future(("s", "1"))
        with pytest.raises(ConnectionClosedError):
            future.result(30)
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.future(("s", "1"))

    def test_an_outcome_that_raises_ends_it_all_the_same(
        self, engine: FakeEngine, running: Reactor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(self: EndFuture, task: object) -> None:
            raise ZeroDivisionError("a bug")

        monkeypatch.setattr(EndFuture, "_outcome", broken)
        engine.add_task("s")
        future = running.future(("s", "1"))
        engine.succeed("s", "1")
        with pytest.raises(ZeroDivisionError):
            future.result(30)

    def test_in_a_callback(self, engine: FakeEngine, running: Reactor) -> None:
        seen: list[str] = []

        class Mine(TaskInformer):
            def on_added(self, event: TaskEvent) -> None:
                engine.succeed("s", event.task.id)
                seen.append(running.future(event.task).result(30).state.name)

        running.register(Mine())
        engine.add_task("s")
        eventually(lambda: seen == ["SUCCEED"], "the end, inside the callback")


class TestDoneCallbacks:
    def test_on_one_thread_in_order_and_one_that_raises_disturbs_no_other(
        self, engine: FakeEngine, running: Reactor, caplog: pytest.LogCaptureFixture
    ) -> None:
        seen: list[tuple[str, str]] = []

        def note(name: str):
            def call(future: concurrent.futures.Future[object]) -> None:
                assert future.done()
                seen.append((name, threading.current_thread().name))
                if name == "raising":
                    raise SystemExit(1)

            return call

        engine.add_task("s")
        future = running.future(("s", "1"))
        for name in ("first", "raising", "last"):
            future.add_done_callback(note(name))
        engine.succeed("s", "1")
        future.result(30)
        future.add_done_callback(note("late"))
        eventually(lambda: len(seen) == 4, "all four")
        thread = "flamepy-completions"
        assert {where for _, where in seen} == {thread}
        # As in concurrent.futures, one that comes when it is done may overtake the others.
        assert [name for name, _ in seen if name != "late"] == ["first", "raising", "last"]
        assert len(caplog.records) == 1

    def test_they_may_block_and_call(
        self, engine: FakeEngine, running: Reactor, engine_connection
    ) -> None:
        counts: list[int] = []
        engine.add_task("s")
        future = running.future(("s", "1"))
        future.add_done_callback(
            lambda _: counts.append(engine_connection.get_session("s").succeed)
        )
        engine.succeed("s", "1")
        eventually(lambda: counts == [1], "the call inside the callback")


class TestDropped:
    """A future that nobody holds is let go, and callbacks are called all the same."""

    def test_one_that_was_waited_for_in_vain_leaves_nothing(
        self, engine: FakeEngine, running: Reactor, engine_connection
    ) -> None:
        engine.add_task("s")
        assert running._hub is not None
        interests = running._hub._waiters
        for _ in range(30):
            with pytest.raises(concurrent.futures.TimeoutError):
                running.future(("s", "1")).result(timeout=0.001)
            running.wait([("s", "1")], timeout=0)
        eventually(lambda: not interests, "nobody to wait any more")
        held = running.future(("s", "1"))
        engine.succeed("s", "1")
        assert held.result(30).id == "1"

    @pytest.mark.parametrize("how", ["callback", "asyncio", "run"])
    def test_one_with_a_callback_is_kept_until_it_was_told(
        self, engine: FakeEngine, running: Reactor, engine_connection, how: str
    ) -> None:
        told: list[str] = []
        assert running._hub is not None
        interests = running._hub._waiters

        async def wrapped() -> None:
            task = await asyncio.wrap_future(running.future(("s", "1")))
            told.append(task.id)

        if how == "run":
            future = engine_connection.get_session("s").run(b"x")
            future.add_done_callback(lambda one: told.append(one.task_id))
            del future
        else:
            engine.add_task("s")
        if how == "callback":
            running.future(("s", "1")).add_done_callback(lambda one: told.append(one.task_id))
        if how == "asyncio":
            ending = threading.Timer(0.2, engine.succeed, ("s", "1"))
            ending.start()
            asyncio.run(asyncio.wait_for(wrapped(), 30))
            ending.join()
        else:
            gc.collect()
            polls = running._hub.health.polls
            eventually(lambda: running._hub.health.polls > polls + 2, "some polls")
            assert interests.total == 1
            engine.succeed("s", "1")
        eventually(lambda: told == ["1"], "the callback")
        eventually(lambda: not interests, "nobody to wait any more")


class TestMany:
    def test_wait_for_all_for_the_first_and_for_an_exception(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        keys = [("s", engine.add_task("s")) for _ in range(3)]
        done, waiting = running.wait(keys, timeout=0)
        assert (len(done), len(waiting)) == (0, 3)
        engine.succeed("s", "2")
        done, waiting = running.wait(keys, return_when=concurrent.futures.FIRST_COMPLETED)
        assert [one.task_id for one in done] == ["2"]
        assert sorted(one.task_id for one in waiting) == ["1", "3"]
        engine.fail("s", "1", "no")
        engine.succeed("s", "3")
        done, waiting = running.wait(keys, timeout=30)
        assert (len(done), len(waiting)) == (3, 0)
        assert {one.result().state for one in done} == {TaskState.SUCCEED, TaskState.FAILED}
        engine.add_session("t")
        lost = [("t", engine.add_task("t")), ("s", engine.add_task("s"))]
        interests = running._hub._waiters

        def lose() -> None:
            eventually(lambda: "t" in interests.sessions(), "the wait")
            engine.drop_session("t")

        threading.Thread(target=lose, daemon=True).start()
        done, waiting = running.wait(lost, 30, concurrent.futures.FIRST_EXCEPTION)
        assert [one.session_id for one in done] == ["t"]
        assert [one.session_id for one in waiting] == ["s"]

    def test_as_completed_yields_each_as_it_ends(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        keys = [("s", engine.add_task("s")) for _ in range(3)]
        engine.succeed("s", "3")
        ending = running.as_completed(keys, timeout=30)
        assert next(ending).task_id == "3"
        engine.succeed("s", "1")
        assert next(ending).task_id == "1"
        engine.succeed("s", "2")
        assert [one.task_id for one in ending] == ["2"]
        engine.add_task("s")
        with pytest.raises(concurrent.futures.TimeoutError):
            next(running.as_completed([("s", "4")], timeout=0.01))

    def test_nothing_to_wait_for(self, running: Reactor) -> None:
        assert running.wait([]) == (set(), set())
        assert list(running.as_completed([])) == []

    def test_they_are_looked_at_together(self, engine: FakeEngine, running: Reactor) -> None:
        """One that is not there says so, and none of the others waits for ever."""
        engine.add_task("s")
        with pytest.raises(TaskNotFoundError):
            running.wait([("s", "1"), ("s", "9")], timeout=30)
