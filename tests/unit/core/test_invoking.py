"""``invoke`` of a synchronous session: what its caller's own look finds, and what it must not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.moments import Calls, at_every_line
from support.waiting import eventually

from flamepy.core import connect
from flamepy.core.connection import Connection
from flamepy.core.service import FlameService, TaskContext
from flamepy.core.session import Session
from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    TaskCancelledError,
    TaskFailedError,
    TaskLostError,
)
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.local import LocalCluster
from flamepy.rpc.transport import looks
from flamepy.rpc.transport.looks import Look
from flamepy.testing import ChaosProxy, FakeEngine


class Echo(FlameService):
    gate = threading.Event()

    def on_task_invoke(self, context: TaskContext) -> bytes | None:
        if context.input == b"fails":
            raise ValueError("the service's text")
        if context.input == b"waits":
            self.gate.wait(60)
        return context.input


class Heard(TaskInformer):
    def on_update(self, event: TaskEvent) -> None:
        """Follow the session."""


@pytest.fixture
def cluster() -> Iterator[str]:
    Echo.gate.clear()
    with LocalCluster(executors=4, dialect="0.6") as made:
        made.register_service("echo", Echo, delay_release=0)
        yield made.endpoint


@pytest.fixture
def slow_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let looks last so long that no machine is too slow for them."""
    monkeypatch.setattr(looks, "LONGEST", 30.0)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What looks found, None for nothing; one that never began is not in it."""
    made: list[object] = []
    wait = Look.wait

    def noted(look: Look[Any], seconds: float | None) -> object:
        made.append(wait(look, seconds))
        return made[-1]

    monkeypatch.setattr(Look, "wait", noted)
    return made


@contextmanager
def session_of(endpoint: str, **options: Any) -> Iterator[Session]:
    """Give a session by a connection that has watched a task to its end."""
    with connect(endpoint, **options) as connection, connection.create_session("echo") as session:
        assert session.invoke(b"first", timeout=30) == b"first"
        yield session


@pytest.mark.usefixtures("slow_looks")
class TestLook:
    def test_it_finds_the_end_of_a_task(self, cluster: str, found: list[Any]) -> None:
        with session_of(cluster) as session:
            assert not found, "before a stream has shown how the engine watches"
            assert [session.invoke(b"%d" % one) for one in range(5)] == [
                b"0", b"1", b"2", b"3", b"4",
            ]  # fmt: skip
            assert [one.output for one in found] == [b"0", b"1", b"2", b"3", b"4"]
            assert session.invoke(b"six", timeout=30) == b"six"
            assert len(found) == 6

    def test_a_failure_has_the_services_text(self, cluster: str, found: list[Any]) -> None:
        with session_of(cluster) as session:
            with pytest.raises(TaskFailedError, match="the service's text"):
                session.invoke(b"fails")
            assert found == [None]

    def test_looks_that_find_nothing_become_rare_until_one_does(
        self, cluster: str, found: list[Any]
    ) -> None:
        """Tasks that take long, or a way to the engine that lets no second connection through."""

        def fail() -> None:
            with pytest.raises(TaskFailedError):
                session.invoke(b"fails")

        def looked(act: Callable[[], object], times: int) -> list[int]:
            at = []
            for number in range(times):
                before = len(found)
                act()
                at += [number] * (len(found) - before)
            return at

        with session_of(cluster) as session:
            assert looked(fail, 16) == [0, 2, 5, 10]
            assert looked(lambda: session.invoke(b"x"), 6) == [3, 4, 5]

    def test_without_a_second_connection_few_tasks_wait_for_one(
        self, cluster: str, found: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(looks, "LONGEST", 0.1)
        with ChaosProxy(cluster) as proxy, session_of(proxy.endpoint) as session:
            proxy.black_hole(connections="new")
            assert [session.invoke(b"x", timeout=60) for _ in range(40)] == [b"x"] * 40
            assert found == [None] * 6

    @pytest.mark.parametrize("callers", [4, 20])
    def test_many_threads_look_at_once(self, cluster: str, callers: int) -> None:
        """Each gets its own output, whether there is a look for it or not."""
        with session_of(cluster) as session:
            wrong: list[object] = []

            def work(name: int) -> None:
                for number in range(20):
                    sent = b"%d of %d" % (number, name)
                    got = session.invoke(sent, timeout=60)
                    if got != sent:
                        wrong.append((sent, got))

            threads = [threading.Thread(target=work, args=(one,)) for one in range(callers)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            assert not wrong

    def test_the_states_of_a_followed_session_are_for_all(
        self, cluster: str, found: list[Any]
    ) -> None:
        """What the caller read would come to informers at a poll only."""
        with (
            connect(cluster) as connection,
            Reactor(connection=connection, plugins=()) as reactor,
            connection.create_session("echo") as session,
        ):
            assert [session.invoke(b"x") for _ in range(3)] == [b"x"] * 3
            assert len(found) == 2
            reactor.register(Heard(), session=session.id).wait_synced(timeout=30)
            assert [session.invoke(b"x") for _ in range(3)] == [b"x"] * 3
            assert len(found) == 2

    def test_what_is_put_around_calls_is_around_a_stream_as_well(
        self, cluster: str, found: list[Any]
    ) -> None:
        seen = []

        def note(call: Any, proceed: Callable[[Any], Any]) -> Any:
            seen.append(call.rpc)
            return proceed(call)

        with session_of(cluster, interceptors=[note]) as session:
            seen.clear()
            assert session.invoke(b"x") == b"x"
            assert seen == ["CreateTask", "WatchTask"]
            assert not found

    def test_an_engine_that_watches_otherwise_is_not_looked_at(self, found: list[Any]) -> None:
        with LocalCluster(executors=1, dialect="next") as newer:
            newer.register_service("echo", Echo)
            with session_of(newer.endpoint) as session:
                assert [session.invoke(b"x", timeout=30) for _ in range(3)] == [b"x"] * 3
                assert not found

    def test_a_close_meanwhile_ends_it(self, cluster: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(looks, "LONGEST", 1.0)
        with connect(cluster) as connection:
            session = connection.create_session("echo")
            session.invoke(b"first", timeout=30)
            reading = threading.Event()
            wait = Look.wait

            def noted(look: Look[Any], seconds: float | None) -> object:
                reading.set()
                return wait(look, seconds)

            monkeypatch.setattr(Look, "wait", noted)
            errors: list[BaseException] = []

            def call() -> None:
                try:
                    session.invoke(b"waits")
                except FlameError as error:
                    errors.append(error)

            thread = threading.Thread(target=call)
            thread.start()
            assert reading.wait(30)
            connection.close()
            thread.join(30)
            Echo.gate.set()
            assert not thread.is_alive()
            assert [type(one) for one in errors] == [ConnectionClosedError]


class TestNothingFound:
    def test_a_task_that_takes_longer_is_awaited_on(self, cluster: str, found: list[Any]) -> None:
        with session_of(cluster) as session, after_a_look(found, Echo.gate.set):
            assert session.invoke(b"waits") == b"waits"
            assert found == [None]

    def test_the_callers_time_counts_the_look(self, cluster: str) -> None:
        with session_of(cluster) as session:
            with pytest.raises(DeadlineExceededError):
                session.invoke(b"waits", timeout=0.05)
            with pytest.raises(DeadlineExceededError, match="had not ended within"):
                session.invoke(b"waits", timeout=3.0)
            Echo.gate.set()

    def test_a_session_that_is_closed_meanwhile(self, found: list[Any]) -> None:
        with FakeEngine(dialect="0.6") as engine, connect(engine.endpoint) as connection:
            session = primed(engine, connection)
            closing = after_a_look(found, lambda: connection.close_session("s"))
            with closing, pytest.raises(TaskCancelledError):
                session.invoke(b"x", timeout=60)

    def test_an_engine_that_lost_the_task(self, found: list[Any]) -> None:
        with FakeEngine(dialect="0.6") as engine, connect(engine.endpoint) as connection:
            session = primed(engine, connection)

            def lose() -> None:
                engine.kill()
                engine.restart(lose_state=True)

            with after_a_look(found, lose), pytest.raises(TaskLostError):
                session.invoke(b"x", timeout=60)
            assert found == [None]


@contextmanager
def after_a_look(found: list[Any], act: Callable[[], object]) -> Iterator[None]:
    """Do something once a look has found nothing."""

    def wait() -> None:
        eventually(lambda: found, "a look", limit=60.0)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def primed(engine: FakeEngine, connection: Connection) -> Session:
    """Return a session ``s`` by a connection that has watched a task."""
    engine.add_session("s")
    session = connection.get_session("s")
    task = session.create_task(b"watched")
    watcher = threading.Thread(target=lambda: list(session.watch_task(task.id)))
    watcher.start()
    eventually(lambda: engine.open_streams == 1, "a stream")
    engine.succeed("s", task.id)
    watcher.join()
    return session


class TestInterrupted:
    @pytest.mark.usefixtures("slow_looks")
    def test_ctrl_c_leaves_the_look_and_the_next_call_works(self, cluster: str) -> None:
        with session_of(cluster) as session:
            press = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
            press.start()
            with pytest.raises(KeyboardInterrupt):
                session.invoke(b"waits")
            press.join()
            Echo.gate.set()
            assert session.invoke(b"x", timeout=30) == b"x"

    @pytest.mark.parametrize("inner", ["invoke", "close"])
    def test_a_signal_handler_may_call_at_every_moment(self, cluster: str, inner: str) -> None:
        @contextmanager
        def made() -> Iterator[Calls]:
            with connect(cluster) as connection:
                session = connection.create_session("echo")
                session.invoke(b"first", timeout=30)
                acts: dict[str, Callable[[], object]] = {
                    "invoke": lambda: session.invoke(b"inner", timeout=30),
                    "close": connection.close,
                }
                yield lambda: session.invoke(b"outer", timeout=30), acts[inner]

        assert at_every_line(made, allowed=(FlameError,), seconds=2.0) > 20
