"""``reactor.tasks`` and ``reactor.sessions``: what is known, read from any thread at any time."""

from __future__ import annotations

import threading
from dataclasses import FrozenInstanceError

import pytest
from support.waiting import eventually

from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers import Reactor, TaskEvent, TaskInformer
from flamepy.testing import FakeEngine, RecordingInformer
from flamepy.types import SessionState, TaskState


def synced(reactor: Reactor) -> None:
    reactor.register(RecordingInformer()).wait_synced(30)


class TestTasks:
    def test_get_list_keys_snapshot_and_length(self, engine: FakeEngine, running: Reactor) -> None:
        for _ in range(3):
            engine.add_task("s")
        synced(running)
        tasks = running.tasks
        keys = [("s", "1"), ("s", "2"), ("s", "3")]
        assert sorted(tasks.keys()) == sorted(tasks.snapshot()) == keys
        assert {task.id for task in tasks.list()} == {"1", "2", "3"}
        assert len(tasks) == 3
        task = tasks.get("s", "2")
        assert task is not None
        assert (task.id, task.session_id, task.state) == ("2", "s", TaskState.PENDING)
        assert tasks.get("s", "9") is tasks.get("t", "1") is tasks.get("s", "x") is None
        with pytest.raises(FrozenInstanceError):
            task.state = TaskState.RUNNING  # type: ignore[misc]  # the point

    def test_indexes_ours_and_yours(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_session("t", application="other")
        for session in ("s", "s", "t"):
            engine.add_task(session)
        engine.succeed("s", "2")
        synced(running)
        found = running.tasks.by_index
        assert [one.id for one in found("state", TaskState.SUCCEED)] == ["2"]
        assert sorted(one.id for one in found("session", "s")) == ["1", "2"]
        assert [one.session_id for one in found("application", "other")] == ["t"]
        running.tasks.index("odd", lambda task: int(task.id) % 2 == 1)
        assert sorted(one.session_id for one in running.tasks.by_index("odd", True)) == ["s", "t"]
        with pytest.raises(InvalidArgumentError, match="an index 'odd' already"):
            running.tasks.index("odd", len)
        with pytest.raises(InvalidArgumentError, match="application, odd, session, state"):
            running.tasks.by_index("no", 1)

    def test_the_engine_is_asked_when_what_is_known_is_too_old(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        engine.add_task("s")
        synced(running)
        calls = engine.calls["GetTask"]
        assert running.tasks.get("s", "1", max_age=3600) is not None
        assert engine.calls["GetTask"] == calls
        engine.succeed("s", "1")
        task = running.tasks.get("s", "1", max_age=0)
        assert task is not None
        assert task.state == TaskState.SUCCEED
        assert running.tasks.get("s", "9", max_age=0) is None
        assert running.tasks.get("t", "1", max_age=0) is None

    def test_freshness_is_infinite_before_the_first_answer(self, engine, engine_connection) -> None:
        engine.kill()
        with Reactor(connection=engine_connection) as reactor:
            assert reactor.tasks.freshness() == float("inf")
            engine.restart()
            eventually(lambda: reactor.tasks.freshness() < 60, "the first poll")
            eventually(lambda: reactor.health().freshness < 60, "the same in the health")

    def test_in_a_callback_it_shows_what_the_callback_is_told(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        wrong: list[object] = []
        seen: list[str] = []

        class Mine(TaskInformer):
            def on_transition(self, event: TaskEvent) -> None:
                known = running.tasks.get(event.task.session_id, event.task.id)
                if known is None or known.state < event.task.state:
                    wrong.append((event, known))
                seen.append(event.task.state.name)

        running.register(Mine())
        engine.add_task("s")
        engine.start("s", "1")
        engine.succeed("s", "1")
        eventually(lambda: "SUCCEED" in seen, "the end")
        assert wrong == []

    def test_many_threads_read_while_the_loop_works(
        self, engine: FakeEngine, running: Reactor
    ) -> None:
        synced(running)
        errors: list[BaseException] = []
        done = threading.Event()

        def read() -> None:
            try:
                while not done.is_set():
                    tasks = running.tasks
                    sizes = len(tasks), len(tasks.list()), len(tasks.snapshot())
                    assert list(sizes) == sorted(sizes), "nothing is lost while reading"
                    tasks.by_index("state", TaskState.SUCCEED)
                    running.sessions.list()
            except BaseException as error:
                errors.append(error)

        readers = [threading.Thread(target=read) for _ in range(3)]
        for one in readers:
            one.start()
        for _ in range(100):
            engine.succeed("s", engine.add_task("s"))
        eventually(lambda: len(running.tasks.by_index("state", TaskState.SUCCEED)) == 100, "them")
        done.set()
        for one in readers:
            one.join(30)
        assert errors == []


class TestSessions:
    def test_get_list_and_indexes(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_session("t", application="other")
        sessions = running.sessions
        eventually(lambda: len(sessions) == 2, "both sessions")
        assert sorted(sessions.keys()) == ["s", "t"]
        found = sessions.get("t")
        assert found is not None
        assert found.application == "other"
        assert sessions.get("u") is None
        assert [one.id for one in sessions.by_index("application", "fake")] == ["s"]
        assert len(sessions.by_index("state", SessionState.OPEN)) == 2
        engine.add_session("u")
        assert sessions.get("u", max_age=0) is not None
        assert sessions.get("v", max_age=0) is None

    def test_they_cost_no_call_for_tasks(self, engine: FakeEngine, running: Reactor) -> None:
        engine.add_task("s")

        def pending() -> int:
            found = running.sessions.get("s")
            return found.counts.pending if found else 0

        eventually(lambda: pending() == 1, "the counter")
        engine.add_task("s")
        eventually(lambda: pending() == 2, "the counter")
        assert engine.task_calls["s"] == 0


class TestLife:
    def test_before_the_start_and_after_the_stop_it_is_refused(self, engine_connection) -> None:
        reactor = Reactor(connection=engine_connection)
        with pytest.raises(InvalidStateError, match="is new; start it first"):
            reactor.tasks  # noqa: B018
        with reactor:
            assert reactor.tasks is reactor.tasks
            assert reactor.sessions is reactor.sessions
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.tasks  # noqa: B018
        with pytest.raises(InvalidStateError, match="is stopped"):
            reactor.sessions  # noqa: B018
