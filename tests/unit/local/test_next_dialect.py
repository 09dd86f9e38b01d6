"""The embedded engine as engines after 0.6: their names, lists, watches and removals."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import grpc
import pytest
from support.stubs import Stubs
from support.waiting import eventually

from flamepy import FlameService
from flamepy._proto import frontend_pb2, types_pb2
from flamepy.errors import InvalidArgumentError
from flamepy.local import LocalCluster
from flamepy.testing import FakeEngine
from flamepy.wire.services import NEW_NAMES

state_name = types_pb2.TaskState.Name
Request = frontend_pb2.WatchTaskRequest
OPEN, CLOSED = types_pb2.Open, types_pb2.Closed


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    with FakeEngine(dialect="next") as engine:
        engine.add_session("s", "app")
        yield engine


@pytest.fixture
def stubs(engine: FakeEngine) -> Iterator[Stubs]:
    with Stubs(engine.endpoint) as stubs:
        yield stubs


class Watching:
    """A stream of WatchTasks, driven by hand."""

    def __init__(self, stubs: Stubs) -> None:
        self._asked: SimpleQueue[Request | None] = SimpleQueue()
        self.answers = stubs.watch_tasks(iter(self._asked.get, None))

    def ask(self, task_id: str, session_id: str = "s") -> Watching:
        self._asked.put(Request(task_id=task_id, session_id=session_id))
        return self

    def finish(self) -> Watching:
        self._asked.put(None)
        return self

    def next(self) -> tuple[str, str, list[int]]:
        """Return id, state and the codes of the events of the next message."""
        task = next(self.answers)
        name = state_name(task.status.state)
        return task.metadata.id, name, [one.code for one in task.status.events]

    def rest(self) -> tuple[list[tuple[str, str]], str, str]:
        """Return what else comes, and the status at the end."""
        found: list[tuple[str, str]] = []
        try:
            found.extend((one.metadata.id, state_name(one.status.state)) for one in self.answers)
        except grpc.RpcError as error:
            return found, error.code().name, error.details() or ""
        return found, "OK", ""


@pytest.fixture
def watching(stubs: Stubs) -> Iterator[Watching]:
    made = Watching(stubs)
    yield made
    made.finish().answers.cancel()


def refusal(call: Callable[[], Any]) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        list(call())
    error: Any = caught.value
    return error.code().name, error.details()


class TestNames:
    def test_a_dialect_has_its_own_names_alone(self, engine: FakeEngine, stubs: Stubs) -> None:
        for dialect, unknown in (("next", NEW_NAMES), ("0.6", NEW_NAMES.values())):
            engine.restart(dialect=dialect)
            eventually(lambda: stubs.ListNodes().nodes, "an engine that is back")
            for name in unknown:
                if name == "WatchTasks":
                    answers = stubs.watch_tasks(iter([Request(session_id="s", task_id="1")]))
                    code, _ = refusal(lambda it=answers: it)
                else:
                    code, _ = refusal(getattr(stubs, name))
                assert code == "UNIMPLEMENTED", (dialect, name)

    @pytest.mark.parametrize("made", [FakeEngine, LocalCluster])
    def test_an_unknown_dialect_is_refused(self, made: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=r"dialect must be '0.6' or 'next', got '1'"):
            made(dialect="1")

    def test_counts_and_faults_have_the_names_of_0_6(
        self, engine: FakeEngine, stubs: Stubs
    ) -> None:
        stubs.ListSessions()
        assert engine.calls["ListSession"] == 1
        engine.fail("ListSession", "UNAVAILABLE", text="one", times=1)
        engine.fail("ListTasks", "INTERNAL", text="two", times=1)
        assert refusal(lambda: stubs.ListSessions().sessions) == ("UNAVAILABLE", "one")
        assert refusal(lambda: stubs.ListTasks(session_id="s")) == ("INTERNAL", "two")


class TestLists:
    def test_filters_are_exact_and_all_hold(self, engine: FakeEngine, stubs: Stubs) -> None:
        engine.add_session("t", "other")
        engine.add_session("u", "app")
        stubs.CloseSession(session_id="u")

        def ids(**fields: Any) -> set[str]:
            return {one.metadata.id for one in stubs.ListSessions(**fields).sessions}

        assert ids() == {"s", "t", "u"}
        assert ids(application="app") == {"s", "u"}
        assert ids(application="app", state=OPEN) == {"s"}
        assert ids(state=CLOSED) == {"u"}
        assert ids(application="absent") == set()
        assert refusal(lambda: stubs.ListSessions(state=9).sessions)[0] == "INVALID_ARGUMENT"
        disabled = stubs.ListApplications(state=types_pb2.Disabled).applications
        assert list(disabled) == []

    def test_0_6_skips_the_filters(self, engine: FakeEngine, stubs: Stubs) -> None:
        engine.restart(dialect="0.6")
        eventually(lambda: stubs.ListNodes().nodes, "an engine that is back")
        assert len(stubs.ListSession(application="absent").sessions) == 1


class TestWatches:
    def test_the_present_state_comes_first_and_events_with_the_end(
        self, engine: FakeEngine, watching: Watching
    ) -> None:
        engine.add_task("s")
        watching.ask("1")
        assert watching.next() == ("1", "Pending", [])
        engine.start("s", "1")
        assert watching.next() == ("1", "Running", [])
        engine.fail("s", "1", "why")
        assert watching.next() == ("1", "Failed", [0, 1, 3])
        watching.finish()
        assert watching.rest() == ([], "OK", "")
        assert engine.open_streams == 0
        assert engine.most_streams == engine.calls["WatchTask"] == 1

    def test_half_closed_it_ends_when_all_tasks_have(
        self, engine: FakeEngine, watching: Watching
    ) -> None:
        for _ in range(2):
            engine.add_task("s")
        watching.ask("1").ask("2").finish()
        assert {watching.next()[0], watching.next()[0]} == {"1", "2"}
        for task_id in ("2", "1"):
            engine.start("s", task_id)
            assert watching.next()[:2] == (task_id, "Running")
            engine.succeed("s", task_id)
            assert watching.next()[:2] == (task_id, "Succeed")
        assert watching.rest() == ([], "OK", "")

    def test_without_a_task_it_is_refused(self, watching: Watching) -> None:
        watching.finish()
        assert watching.rest() == ([], "INVALID_ARGUMENT", "at least one task is required")

    def test_one_bad_id_ends_it_for_all(self, engine: FakeEngine, watching: Watching) -> None:
        engine.add_task("s")
        watching.ask("1")
        assert watching.next()[0] == "1"
        watching.ask("7")
        assert watching.rest() == ([], "NOT_FOUND", "7")

    def test_a_close_sends_the_last_state_and_ends_it(
        self, engine: FakeEngine, stubs: Stubs, watching: Watching
    ) -> None:
        engine.add_task("s")
        watching.ask("1")
        watching.next()
        stubs.CloseSession(session_id="s")
        wanted = [("1", "Cancelled")], "NOT_FOUND", "session task watch closed"
        assert watching.rest() == wanted
        again = Watching(stubs).ask("1").finish()
        assert again.rest() == ([], "NOT_FOUND", "session is closed")

    def test_a_cut_and_a_fault_reach_it(
        self, engine: FakeEngine, stubs: Stubs, watching: Watching
    ) -> None:
        engine.add_task("s")
        watching.ask("1")
        watching.next()
        assert engine.cut("UNAVAILABLE") == 1
        assert watching.rest()[:2] == ([], "UNAVAILABLE")
        engine.fail("WatchTask", "INTERNAL", text="no", times=1)
        assert Watching(stubs).ask("1").finish().rest() == ([], "INTERNAL", "no")
        engine.fail("WatchTask", "INTERNAL", text="late", times=1, when="after")
        after = Watching(stubs).ask("1").finish()
        assert after.next()[0] == "1"
        engine.start("s", "1")
        engine.succeed("s", "1")
        assert after.rest()[1:] == ("INTERNAL", "late")


class TestAffinity:
    def test_it_is_kept_and_shown(self, stubs: Stubs) -> None:
        spec = types_pb2.TaskSpec(session_id="s", input=b"x", affinity=[b"a", b"b"])
        assert list(stubs.CreateTask(task=spec).spec.affinity) == [b"a", b"b"]
        shown = stubs.GetTask(session_id="s", task_id="1")
        assert list(shown.spec.affinity) == [b"a", b"b"]
        assert [list(one.spec.affinity) for one in stubs.ListTasks(session_id="s")] == [
            [b"a", b"b"]
        ]

    @pytest.mark.parametrize("keys", [[b""], [b"x" * 257], [b"x"] * 1025, [b"x" * 256] * 257])
    def test_too_much_of_it_is_refused(self, stubs: Stubs, keys: list[bytes]) -> None:
        spec = types_pb2.TaskSpec(session_id="s", affinity=keys)
        code, text = refusal(lambda: [stubs.CreateTask(task=spec)])
        assert code == "INVALID_ARGUMENT"
        assert "64 KiB" in text

    def test_0_6_does_not_know_it(self, engine: FakeEngine, stubs: Stubs) -> None:
        engine.restart(dialect="0.6")
        eventually(lambda: stubs.ListNodes().nodes, "an engine that is back")
        spec = types_pb2.TaskSpec(session_id="s", affinity=[b""])
        assert not stubs.CreateTask(task=spec).spec.affinity


class TestRemoval:
    def states(self, stubs: Stubs) -> dict[str, int]:
        return {
            one.metadata.name: one.status.state for one in stubs.ListApplications().applications
        }

    def test_a_disabled_application_goes_with_its_last_open_session(
        self, engine: FakeEngine, stubs: Stubs
    ) -> None:
        engine.add_session("done", "app")
        stubs.CloseSession(session_id="done")
        assert stubs.UnregisterApplication(name="app").return_code == 0
        assert stubs.UnregisterApplication(name="app").return_code == 0, "again"
        assert self.states(stubs)["app"] == types_pb2.Disabled
        spec = types_pb2.SessionSpec(application="app")
        wanted = "INVALID_ARGUMENT", "application app is disabled"
        assert refusal(lambda: [stubs.CreateSession(session_id="n", session=spec)]) == wanted
        assert refusal(lambda: [stubs.OpenSession(session_id="n", session=spec)]) == wanted
        application = types_pb2.ApplicationSpec(command="x")
        assert stubs.RegisterApplication(name="app", application=application).return_code == -1
        updated = stubs.UpdateApplication(name="app", application=application)
        assert (updated.return_code, "disabled" in updated.message) == (-1, True)
        task = types_pb2.TaskSpec(session_id="s")
        assert stubs.CreateTask(task=task).metadata.id == "1", "open sessions continue"
        eventually(
            lambda: [one.metadata.id for one in stubs.ListSessions().sessions] == ["s"],
            "closed sessions gone",
        )
        stubs.CloseSession(session_id="s")
        eventually(lambda: "app" not in self.states(stubs), "the application gone")
        assert not stubs.ListSessions().sessions
        assert stubs.UnregisterApplication(name="app").return_code == -1
        assert stubs.RegisterApplication(name="app", application=application).return_code == 0

    def test_a_data_folder_keeps_what_is_being_removed(self, tmp_path: Any) -> None:
        def cluster(dialect: str) -> LocalCluster:
            return LocalCluster(data=tmp_path, cache_port=None, executors=1, dialect=dialect)

        with cluster("next") as made, Stubs(made.endpoint) as stubs:
            spec = types_pb2.SessionSpec(application="flmping")
            stubs.CreateSession(session_id="s", session=spec)
            stubs.UnregisterApplication(name="flmping")
        with cluster("next") as made, Stubs(made.endpoint) as stubs:
            assert self.states(stubs)["flmping"] == types_pb2.Disabled
            stubs.CloseSession(session_id="s")
            eventually(lambda: "flmping" not in self.states(stubs), "the application gone")


class Echo(FlameService):
    """Answers its input."""

    def on_task_invoke(self, context: Any) -> bytes | None:
        return context.input


def test_an_executor_shows_its_application() -> None:
    with LocalCluster(cache_port=None, executors=1, dialect="next") as made:
        made.register_service("echo", Echo)
        with Stubs(made.endpoint) as stubs:
            spec = types_pb2.SessionSpec(application="echo", min_instances=1)
            stubs.CreateSession(session_id="s", session=spec)
            task = types_pb2.TaskSpec(session_id="s", input=b"x")
            stubs.CreateTask(task=task)
            found = eventually(lambda: list(stubs.ListExecutors().executors), "an executor")
            assert [one.spec.application for one in found] == ["echo"]


def test_flamepy_up_speaks_it() -> None:
    command = [sys.executable, "-m", "flamepy", "up", "--port", "0", "--dialect", "next", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        endpoint = process.stdout.readline().split()[1]
        try:
            with Stubs(endpoint) as stubs:
                assert stubs.ListApplications().applications
                assert refusal(lambda: [stubs.ListApplication()])[0] == "UNIMPLEMENTED"
        finally:
            process.terminate()
        assert process.wait(20) == 0
