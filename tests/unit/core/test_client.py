"""The synchronous calls against a scripted engine: futures, watches, and ends that are said."""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable, Iterator

import pytest
from support.waiting import eventually

from flamepy.core import Connection, TaskInformer, connect, short_name
from flamepy.core.futures import TaskFuture
from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    InvalidArgumentError,
    SessionBusyError,
    SessionRetryLimitError,
    TaskCancelledError,
    TaskFailedError,
    TaskLostError,
    TaskNotFoundError,
    UnavailableError,
)
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import Task, TaskState
from flamepy.watching.io.gatherer import Gatherer


@pytest.fixture
def engine(fake_engine: FakeEngine) -> FakeEngine:
    fake_engine.add_session("s")
    return fake_engine


@pytest.fixture
def connection(engine: FakeEngine) -> Iterator[Connection]:
    with connect(engine.endpoint) as made:
        yield made


class TestFutures:
    def test_the_output_is_the_result(self, engine: FakeEngine, connection: Connection) -> None:
        future = connection.get_session("s").run(b"x")
        assert (future.task_id, future.session_id, future.done()) == ("1", "s", False)
        engine.start("s", "1")
        engine.succeed("s", "1", b"out")
        assert future.result(20) == b"out"

    @pytest.mark.parametrize("wait", [TaskFuture.result, TaskFuture.exception])
    def test_who_blocks_on_it_has_a_stream_at_once(
        self, engine, connection, monkeypatch: pytest.MonkeyPatch, wait: Callable[..., object]
    ) -> None:
        monkeypatch.setattr(Gatherer, "ensure", lambda gatherer: None)  # which would look, too
        future = connection.get_session("s").run(b"x")
        assert engine.open_streams == 0
        waiter = threading.Thread(target=wait, args=(future, 30))
        waiter.start()
        eventually(lambda: engine.open_streams == 1, "a stream")
        engine.succeed("s", "1", b"out")
        waiter.join(30)
        assert future.result(0) == b"out"

    def test_a_failure_has_the_services_text(self, engine, connection) -> None:
        future = connection.get_session("s").run(b"x")
        engine.fail("s", "1", "no way")
        with pytest.raises(TaskFailedError) as caught:
            future.result(20)
        assert caught.value.message == "no way"
        assert caught.value.task.state is TaskState.FAILED

    def test_a_cancelled_task_is_a_cancelled_error(self, engine, connection) -> None:
        session = connection.get_session("s")
        future = session.run(b"x")
        session.close()
        with pytest.raises(TaskCancelledError) as caught:
            future.result(20)
        assert isinstance(caught.value, concurrent.futures.CancelledError)

    def test_wait_and_as_completed_work(self, engine, connection) -> None:
        session = connection.get_session("s")
        futures = [session.run(b"x") for _ in range(3)]
        for number in (2, 1, 3):
            engine.succeed("s", str(number), str(number).encode())
        done = list(concurrent.futures.as_completed(futures, timeout=20))
        assert sorted(one.result() or b"" for one in done) == [b"1", b"2", b"3"]
        assert not concurrent.futures.wait(futures, timeout=20).not_done

    def test_callbacks_run_on_a_thread_of_their_own(self, engine, connection) -> None:
        names: list[str] = []
        future = connection.get_session("s").run(b"x")
        future.add_done_callback(lambda _: 1 / 0)
        future.add_done_callback(lambda _: names.append(threading.current_thread().name))
        engine.succeed("s", "1")
        future.result(20)
        eventually(lambda: names == ["flamepy-completions"], "the second callback")

    def test_cancel_says_no(self, engine, connection) -> None:
        assert connection.get_session("s").run(b"x").cancel() is False

    def test_a_session_that_is_gone_ends_the_wait(self, engine, connection) -> None:
        future = connection.get_session("s").run(b"x")
        engine.drop_session("s")
        with pytest.raises(TaskLostError, match="'s' is gone"):
            future.result(30)

    def test_the_retry_limit_ends_the_wait_with_the_events(self, engine, connection) -> None:
        future = connection.get_session("s").run(b"x")
        engine.add_session_event("s", 1001, "Executor <e> failed: no such command")
        engine.add_session_event("s", 1002, "Session retry limit reached")
        with pytest.raises(SessionRetryLimitError, match=r"no such command.*limit reached"):
            future.result(30)

    def test_an_outage_is_ridden_out(self, engine, connection) -> None:
        future = connection.get_session("s").run(b"x")
        engine.start("s", "1")
        engine.kill()
        engine.restart()
        engine.start("s", "1")
        engine.succeed("s", "1", b"after")
        assert future.result(30) == b"after"

    def test_an_end_during_an_outage_is_found(self, engine, connection) -> None:
        future = connection.get_session("s").run(b"x")
        engine.kill()
        engine.succeed("s", "1", b"meanwhile")
        engine.restart()
        assert future.result(30) == b"meanwhile"

    def test_a_closed_connection_ends_the_wait(self, engine) -> None:
        with connect(engine.endpoint) as connection:
            future = connection.get_session("s").run(b"x")
        with pytest.raises(ConnectionClosedError, match="task 1 of session 's'"):
            future.result(20)

    def test_bad_input_is_refused_before_it_is_sent(self, engine, connection) -> None:
        with pytest.raises(InvalidArgumentError, match="must be bytes in core API, got str"):
            connection.get_session("s").run("text")
        assert engine.calls["CreateTask"] == 0


class TestInvoke:
    def test_a_timeout_names_the_task_and_leaves_it_alone(self, engine, connection) -> None:
        session = connection.get_session("s")
        with pytest.raises(DeadlineExceededError, match="task 1 of session s") as caught:
            session.invoke(b"x", timeout=0.2)
        assert isinstance(caught.value, TimeoutError)
        assert session.get_task("1").state is TaskState.PENDING

    def test_an_informer_is_told_the_way_there(self, engine, connection) -> None:
        informer = RecordingInformer()
        session = connection.get_session("s")
        future = session.run(b"x", informer)
        informer.wait_for(lambda seen: bool(seen.updates), 20)
        engine.start("s", "1")
        informer.wait_for(lambda seen: seen.updates[-1:] and seen.updates[-1].state == 1, 20)
        engine.succeed("s", "1", b"out")
        assert future.result(20) == b"out"
        informer.wait_for(lambda seen: bool(seen.terminal()), 20)
        assert [task.state.name for task in informer.updates] == ["PENDING", "RUNNING", "SUCCEED"]
        assert informer.updates[-1].output == b"out"

    def test_with_an_informer_the_timeout_is_for_all_of_it(
        self, engine, connection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session, left = connection.get_session("s"), []
        clock = iter((100.0, 100.75))  # the creation takes so long

        class Future:
            def result(self, timeout: float | None) -> bytes:
                left.append(timeout)
                return b"x"

        monkeypatch.setattr(type(session), "run", lambda *_, **__: Future())
        monkeypatch.setattr("flamepy.core.session.monotonic", lambda: next(clock))
        assert session.invoke(b"x", RecordingInformer(), timeout=1.0) == b"x"
        assert left == [0.25]

    def test_one_informer_serves_several_runs(self, engine, connection) -> None:
        informer = RecordingInformer()
        session = connection.get_session("s")
        for number in ("1", "2"):
            session.run(b"x", informer)
            engine.succeed("s", number)
        informer.wait_for(lambda seen: len(seen.terminal()) == 2, 20)
        assert {one.id for one in informer.updates} == {"1", "2"}

    def test_something_else_is_no_informer(self, engine, connection) -> None:
        with pytest.raises(InvalidArgumentError, match="is not an informer"):
            connection.get_session("s").run(b"x", informer=TaskInformer)


class TestWatch:
    def test_the_present_state_then_each_change_then_the_end(self, engine, connection) -> None:
        session = connection.get_session("s")
        task = session.create_task(b"x")
        states = []
        for update in session.watch_task(task.id, timeout=30):
            states.append(update.state.name)
            if update.state is TaskState.PENDING:
                engine.start("s", task.id)
            elif update.state is TaskState.RUNNING:
                engine.succeed("s", task.id, b"out")
        assert states == ["PENDING", "RUNNING", "SUCCEED"]

    def test_a_silent_stream_ends_in_time(self, engine, connection) -> None:
        session = connection.get_session("s")
        task = session.create_task(b"x")
        watcher = session.watch_task(task.id, timeout=0.3)
        assert next(watcher).state is TaskState.PENDING
        with pytest.raises(DeadlineExceededError) as caught:
            next(watcher)
        assert isinstance(caught.value, TimeoutError)
        assert list(watcher) == []

    def test_close_ends_a_wait_in_another_thread(self, engine, connection) -> None:
        session = connection.get_session("s")
        watcher = session.watch_task(session.create_task(b"x").id)
        seen: list[Task] = []
        thread = threading.Thread(target=lambda: seen.extend(watcher))
        thread.start()
        eventually(lambda: engine.open_streams == 1, "the stream")
        watcher.close()
        thread.join(20)
        assert not thread.is_alive()
        eventually(lambda: engine.open_streams == 0, "the stream's end")

    def test_a_loop_that_is_left_early_lets_the_stream_go(self, engine, connection) -> None:
        session = connection.get_session("s")
        with session.watch_task(session.create_task(b"x").id) as watcher:
            for _ in watcher:
                break
        eventually(lambda: engine.open_streams == 0, "the stream's end")

    def test_a_task_that_does_not_exist_is_said(self, engine, connection) -> None:
        with pytest.raises(TaskNotFoundError, match="session 's' has no task 9"):
            next(connection.get_session("s").watch_task("9"))

    def test_a_finished_task_is_shown_once(self, engine, connection) -> None:
        session = connection.get_session("s")
        task = session.create_task(b"x")
        engine.fail("s", task.id, "no way")
        (last,) = session.watch_task(task.id)
        assert (last.state, last.error) == (TaskState.FAILED, "no way")


class TestSession:
    def test_what_it_shows(self, engine, connection) -> None:
        session = connection.get_session("s")
        session.create_task(b"x")
        session.refresh()
        assert (session.id, session.application, session.state.name) == ("s", "fake", "OPEN")
        assert (session.pending, session.running, session.succeed) == (1, 0, 0)
        assert repr(session) == "<Session s of fake OPEN>"

    def test_tasks_are_listed_by_number(self, engine, connection) -> None:
        session = connection.get_session("s")
        for _ in range(12):
            session.create_task(b"x")
        tasks = session.list_tasks()
        assert next(tasks).id == "1"
        assert [one.id for one in tasks] == [str(number) for number in range(2, 13)]

    def test_close_waits_for_running_tasks(self, engine, connection) -> None:
        session = connection.get_session("s")
        session.create_task(b"x")
        engine.start("s", "1")
        with pytest.raises(SessionBusyError):
            session.close(wait=0)
        timer = threading.Timer(0.3, engine.succeed, ("s", "1"))
        timer.start()
        session.close()
        timer.join()
        assert session.state.name == "CLOSED"

    def test_with_closes_and_an_error_inside_matters_more(self, engine, connection) -> None:
        with connection.get_session("s"):
            pass
        assert connection.get_session("s").state.name == "CLOSED"
        engine.add_session("t")
        engine.add_task("t")
        engine.start("t", "1")
        with pytest.raises(KeyError), connection.get_session("t"):
            raise KeyError("mine")


class TestPatience:
    def test_an_engine_away_for_too_long_ends_the_wait(self, engine, monkeypatch) -> None:
        from flamepy.config import FlameContext
        from flamepy.rpc.link import Link
        from flamepy.rpc.transport.loop_thread import ReactorLoop

        link = Link(FlameContext(engine.endpoint), reactor=ReactorLoop(), patience=1.0)
        with Connection(link) as connection:
            future = connection.get_session("s").run(b"x")
            engine.kill()
            with pytest.raises(UnavailableError, match=r"fate of task 1 .*unknown"):
                future.result(30)


def test_a_short_name_is_the_prefix_and_six_characters() -> None:
    name = short_name("app")
    assert name.startswith("app-")
    assert len(name) == 10
    assert name != short_name("app")
