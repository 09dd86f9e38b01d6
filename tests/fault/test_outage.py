"""Outages are ridden out: no error reaches the caller, nothing is lost, nothing is done twice."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from support.cluster_process import SERVICE, ClusterProcess
from support.soak import scaled
from support.stubs import Stubs
from support.waiting import eventually

from flamepy.config import FlameContext
from flamepy.core import Connection, TaskInformer, connect
from flamepy.errors import (
    ConnectionClosedError,
    FlameError,
    InvalidArgumentError,
    SessionLostError,
    TaskLostError,
    UnavailableError,
)
from flamepy.informers import Reactor, TaskEvent
from flamepy.local.frontend import Frontend
from flamepy.local.state.refusal import Refusal
from flamepy.testing import FakeEngine
from flamepy.types import ConnectionState, RetryDetails, RetryPolicy

TASKS = 3000
THREADS = 6
KILLS = scaled(3, 10)
WITHIN = scaled(10.0, 30.0)  # seconds between the first task and the last kill
PAUSE = 0.5  # seconds that the engine is away, beside its start


class Ends(TaskInformer):
    """Counts the ends it is told of."""

    def __init__(self) -> None:
        self.told: Counter[str] = Counter()

    def on_terminal(self, event: TaskEvent) -> None:
        self.told[event.task.id] += 1


class Submitter:
    """Threads that submit tasks, each with an input of its own, and time each call."""

    def __init__(self, session: Any, tasks: int = TASKS) -> None:
        self.session = session
        self.numbers = iter(range(tasks))
        self.guard = threading.Lock()
        self.futures: dict[int, Future[bytes | None]] = {}
        self.errors: list[BaseException] = []
        self.longest = 0.0

    def work(self) -> None:
        while True:
            with self.guard:
                number = next(self.numbers, None)
            if number is None:
                return
            start = time.monotonic()
            try:
                self.futures[number] = self.session.run(b"echo %d" % number)
            except Exception as error:
                self.errors.append(error)
            self.longest = max(self.longest, time.monotonic() - start)


def kill_while(
    cluster: ClusterProcess, connection: Connection, submitter: Submitter, kills: int
) -> None:
    """Kill and start the cluster again and again while tasks are submitted.

    Each time when the connection has it, so that each kill is an outage of its own.
    """
    start = time.monotonic()
    for number in range(kills):
        share = (number + 1) * TASKS // (2 * kills + 1)
        late = start + (number + 1) * WITHIN / (kills + 1)
        eventually(
            lambda share=share, late=late: (
                connection.stats().state is ConnectionState.CONNECTED
                and (len(submitter.futures) >= share or time.monotonic() > late)
            ),
            "a connection, and some tasks to be submitted",
            limit=60.0,
        )
        cluster.kill()
        threading.Event().wait(PAUSE)
        cluster.start()


@pytest.mark.timeout(scaled(300, 900))
def test_three_thousand_tasks_through_three_kills(tmp_path: Path) -> None:
    """3,000 of 3,000 right results, no error, each task once in the engine, each end told once."""
    spec = {"command": sys.executable, "arguments": [SERVICE]}
    cluster = ClusterProcess(
        tmp_path, executors=2, data=str(tmp_path / "data"), apps=[("echo", spec)], restart_pause=0
    )
    informer = Ends()
    with cluster, connect(cluster.endpoint) as connection:
        with Reactor(connection=connection) as reactor, ThreadPoolExecutor(THREADS) as pool:
            reactor.register(informer)
            session = connection.create_session("echo", session_id="many")
            submitter = Submitter(session)
            jobs = [pool.submit(submitter.work) for _ in range(THREADS)]
            kill_while(cluster, connection, submitter, KILLS)
            for job in jobs:
                job.result(timeout=200)
            results = {number: one.result(timeout=200) for number, one in submitter.futures.items()}
            right = sum(one == b"%d" % number for number, one in results.items())
            eventually(lambda: len(informer.told) >= TASKS, "every end to be told", limit=60.0)
        with Stubs(cluster.endpoint) as stubs:
            inputs = Counter(one.spec.input for one in stubs.ListTask(session_id="many"))
        stats = connection.stats()
    doubled = sum(inputs.values()) - len(inputs)
    print(
        f"{right} of {TASKS} right, {len(submitter.errors)} errors, {doubled} twice in the engine, "
        f"longest call {submitter.longest:.2f} s, {len(informer.told)} ends told, "
        f"{sum(informer.told.values()) - len(informer.told)} of them again; {stats}"
    )
    assert not submitter.errors
    assert right == TASKS
    assert len(inputs) == sum(inputs.values()) == TASKS
    assert len(informer.told) == sum(informer.told.values()) == TASKS
    assert stats.outages == KILLS


class TestCalls:
    """Calls while a ``FakeEngine`` is away."""

    def test_each_call_rides_an_outage_out(self, fake_engine: FakeEngine) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection, ThreadPoolExecutor(4) as pool:
            session = connection.get_session("s")
            fake_engine.kill()
            calls = [
                pool.submit(connection.list_sessions),
                pool.submit(session.create_task, b"x"),
                pool.submit(lambda: list(session.list_tasks())),
                pool.submit(connection.create_session, "fake", session_id="t"),
            ]
            threading.Event().wait(1.0)
            assert not any(call.done() for call in calls)
            fake_engine.restart()
            for call in calls:
                call.result(timeout=20)
            stats = connection.stats()
            assert (stats.outages, stats.retries, stats.sent_again) == (1, 0, 0)
            assert stats.waits > 0
            assert [one.id for one in connection.list_sessions()] == ["s", "t"]
            assert len(list(session.list_tasks())) == 1

    def test_one_that_outlasts_the_patience_is_an_error(self, fake_engine: FakeEngine) -> None:
        with connect(fake_engine.endpoint, patience=0.5) as connection:
            fake_engine.kill()
            with pytest.raises(UnavailableError, match="cannot reach the engine"):
                connection.list_sessions()

    def test_a_timeout_ends_it_before_the_patience(self, fake_engine: FakeEngine) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection:
            session = connection.get_session("s")
            fake_engine.kill()
            for call in (connection.list_sessions, session.refresh):
                start = time.monotonic()
                with pytest.raises(FlameError):
                    call(timeout=0.3)
                assert time.monotonic() - start < 5.0  # not the patience

    def test_closing_ends_what_waits(self, fake_engine: FakeEngine) -> None:
        connection = connect(fake_engine.endpoint)
        with ThreadPoolExecutor(2) as pool:
            fake_engine.kill()
            calls = [pool.submit(connection.list_sessions) for _ in range(2)]
            eventually(lambda: connection.stats().waits > 0, "the calls to wait")
            connection.close()
            for call in calls:
                with pytest.raises(ConnectionClosedError):
                    call.result(timeout=5)
            assert connection.stats().outages == 1
            assert connection.stats().waits > 0

    def test_a_change_of_state_is_one_warning(
        self, fake_engine: FakeEngine, caplog: pytest.LogCaptureFixture
    ) -> None:
        with connect(fake_engine.endpoint) as connection, ThreadPoolExecutor(8) as pool:
            fake_engine.kill()
            calls = [pool.submit(connection.list_sessions) for _ in range(30)]
            eventually(lambda: connection.stats().waits > 20, "the calls to wait")
            fake_engine.restart()
            for call in calls:
                call.result(timeout=20)
        texts = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
        assert len(texts) == 2, texts
        assert "lost the engine" in texts[0]
        assert "answers again, after" in texts[1]

    def test_repeats_are_told_on_a_thread_of_ours(
        self, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told: list[tuple[str, RetryDetails]] = []
        refusals = [Refusal("INTERNAL", "database is locked")] * 2
        list_sessions = Frontend.list_session

        def locked(self: Frontend, request: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return list_sessions(self, request)

        monkeypatch.setattr(Frontend, "list_session", locked)
        with connect(fake_engine.endpoint) as connection:

            def observer(details: RetryDetails) -> None:
                told.append((threading.current_thread().name, details))

            undo = connection.on_retry(observer)
            assert connection.list_sessions() == []
            eventually(lambda: len(told) == 2, "both repeats")
            undo()
            assert connection.stats().retries == 2
        assert {name for name, _ in told} == {"flamepy-completions"}
        assert [details.attempt for _, details in told] == [1, 2]
        with pytest.raises(AttributeError):
            told[0][1].attempt = 3  # type: ignore[misc]  # frozen

    def test_a_policy_in_the_file_is_used(
        self, fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "flame.yaml"
        path.write_text(
            "current-context: here\ncontexts:\n- name: here\n"
            f"  cluster: {{endpoint: '{fake_engine.endpoint}'}}\n"
            "  retry: {attempts: 3, wait_initial: 0.001, budget: false}\n"
        )
        calls = Counter[str]()

        def locked(self: Frontend, request: Any) -> Any:
            calls["ListSession"] += 1
            raise Refusal("INTERNAL", "database is locked")

        monkeypatch.setattr(Frontend, "list_session", locked)
        with connect(context=FlameContext(config_file=path)) as connection:
            for retry, tries in ((None, 3), (RetryPolicy(attempts=1), 1)):
                calls.clear()
                with pytest.raises(FlameError) as caught:
                    connection.list_sessions(retry=retry)
                assert calls["ListSession"] == caught.value.attempts == tries
            with pytest.raises(InvalidArgumentError, match="retry must be"):
                connection.list_sessions(retry=3)  # type: ignore[arg-type]  # on purpose


class TestWaiting:
    """Futures, ``watch_task`` and informers while a ``FakeEngine`` is away."""

    def test_what_ended_meanwhile_is_told_with_its_output(self, fake_engine: FakeEngine) -> None:
        """More tasks than streams: lists, which lack outputs, tell of most ends."""
        fake_engine.add_session("s")
        informer = Ends()
        with (
            connect(fake_engine.endpoint) as connection,
            Reactor(connection=connection) as reactor,
        ):
            reactor.register(informer)
            session = connection.get_session("s")
            futures = [session.run(b"x") for _ in range(200)]
            fake_engine.kill()
            for number, _ in enumerate(futures, start=1):
                fake_engine.succeed("s", str(number), b"%d" % number)
            fake_engine.restart()
            answers = [future.result(timeout=30) for future in futures]
            eventually(lambda: len(informer.told) == 200, "every end to be told")
        assert answers == [b"%d" % number for number in range(1, 201)]
        assert set(informer.told.values()) == {1}

    def test_a_task_that_was_requeued_and_never_shows_running(
        self, fake_engine: FakeEngine
    ) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection:
            session = connection.get_session("s")
            future = session.run(b"x")
            fake_engine.start("s", "1")
            states: list[str] = []
            watcher = session.watch_task("1", timeout=30)
            thread = threading.Thread(
                target=lambda: states.extend(one.state.name for one in watcher)
            )
            thread.start()
            eventually(lambda: states, "the present state")
            fake_engine.kill()
            fake_engine.restart()  # pending again
            fake_engine.succeed("s", "1", b"out")
            assert future.result(timeout=20) == b"out"
            thread.join(20)
        assert states[0] == "RUNNING"
        assert states[-1] == "SUCCEED"

    def test_a_watch_that_begins_in_an_outage_waits(self, fake_engine: FakeEngine) -> None:
        fake_engine.add_session("s")
        fake_engine.add_task("s")
        with connect(fake_engine.endpoint) as connection, ThreadPoolExecutor(1) as pool:
            session = connection.get_session("s")
            fake_engine.kill()
            first = pool.submit(lambda: next(session.watch_task("1", timeout=30)))
            threading.Event().wait(0.3)
            fake_engine.restart()
            assert first.result(timeout=20).id == "1"

    @pytest.mark.parametrize(
        "how", ["restarted with nothing", "evicted", "deleted", "unregistered"]
    )
    def test_a_lost_session_ends_its_futures(self, fake_engine: FakeEngine, how: str) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection:
            session = connection.get_session("s")
            future, invoked = session.run(b"x"), session.run(b"y")
            if how == "restarted with nothing":
                fake_engine.kill()
                fake_engine.restart(lose_state=True)
            else:
                fake_engine.drop_session("s")  # nobody is told: as each of them does
            for one in (future, invoked):
                with pytest.raises(SessionLostError, match="'s' is gone") as caught:
                    one.result(timeout=10)
                assert isinstance(caught.value, TaskLostError)

    def test_a_session_made_anew_under_its_id_is_another(self, fake_engine: FakeEngine) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection:
            session = connection.get_session("s")
            future = session.run(b"x")
            fake_engine.kill()
            threading.Event().wait(2.6)  # creation times are in whole seconds
            fake_engine.restart(lose_state=True)
            fake_engine.add_session("s")
            fake_engine.add_task("s")
            fake_engine.succeed("s", "1", b"of another")
            with pytest.raises(SessionLostError):
                future.result(timeout=20)
