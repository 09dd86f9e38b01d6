"""A ``SessionInformer`` from the engine to its callbacks; it costs no call for a task."""

from __future__ import annotations

from support.waiting import eventually

from flamepy.informers import Reactor, SessionEvent, SessionInformer, SessionProgress, TaskInformer
from flamepy.testing import FakeEngine
from flamepy.types import Task, TaskCounts


class Noting(SessionInformer):
    """Notes every callback, with what matters of its argument."""

    def __init__(self) -> None:
        self.told: list[tuple[str, object]] = []
        self.events: list[SessionEvent] = []
        self.progress: list[SessionProgress] = []

    def _note(self, name: str, event: SessionEvent) -> None:
        self.events.append(event)
        self.told.append((name, event.session.id))

    def on_opened(self, event: SessionEvent) -> None:
        self._note("opened", event)

    def on_progress(self, counts: SessionProgress) -> None:
        self.progress.append(counts)
        self.told.append(("progress", counts.session.id))

    def on_closed(self, event: SessionEvent) -> None:
        self._note("closed", event)

    def on_deleted(self, event: SessionEvent) -> None:
        self._note("deleted", event)

    def on_event(self, event: SessionEvent) -> None:
        assert event.event is not None
        self.events.append(event)
        self.told.append(("event", (event.event.code, event.event.message)))

    def on_synced(self) -> None:
        self.told.append(("synced", None))

    def wait(self, name: str, of: object = "s") -> None:
        eventually(lambda: (name, of) in self.told, f"{name} of {of}, not only {self.told}")


def test_a_sessions_whole_life_without_one_call_for_a_task(
    engine: FakeEngine, running: Reactor, engine_connection
) -> None:
    informer = Noting()
    running.register(informer).wait_synced(30)
    assert informer.told == [("opened", "s"), ("synced", None)]
    assert informer.events[0].initial

    engine.add_task("s")
    eventually(lambda: informer.progress[-1:] == [TaskCounts(pending=1)], "the counters")
    assert informer.progress[-1].session.id == "s"
    engine.start("s", "1")
    eventually(lambda: informer.progress[-1:] == [TaskCounts(running=1)], "it to run")
    engine.succeed("s", "1")
    eventually(lambda: informer.progress[-1:] == [TaskCounts(succeed=1)], "its end")

    engine.add_session_event("s", 1001, "cannot start")
    engine.add_session_event("s", 1002, "given up")
    informer.wait("event", (1001, "cannot start"))
    informer.wait("event", (1002, "given up"))

    engine_connection.close_session("s")
    informer.wait("closed")
    engine.drop_session("s")
    informer.wait("deleted")
    engine.add_session("later")
    informer.wait("opened", "later")
    last = informer.events[-1]
    assert (last.session.id, last.initial) == ("later", False)

    names = [name for name, of in informer.told if of == "s" and name != "progress"]
    assert names == ["opened", "closed", "deleted"]
    codes = [of for name, of in informer.told if name == "event"]
    assert codes == [(1001, "cannot start"), (1002, "given up")]
    assert engine.task_calls["s"] == engine.task_calls["later"] == 0


def test_a_session_drains_and_drains_again(engine: FakeEngine, running: Reactor) -> None:
    """Told behind the counters that say so, to one that takes no events of tasks as well."""

    class Draining(Noting):
        def on_drained(self, event: SessionEvent) -> None:
            self.told.append(("drained", event.counts.total))

    informer = Draining()
    running.register(informer).wait_synced(30)
    for number in (1, 2):
        engine.succeed("s", engine.add_task("s"))
        informer.wait("drained", number)
        assert informer.told[-2:] == [("progress", "s"), ("drained", number)]
    assert [one for one in informer.told if one[0] == "drained"] == [("drained", 1), ("drained", 2)]


def test_a_session_that_vanished_open_says_so(engine: FakeEngine, running: Reactor) -> None:
    informer = Noting()
    running.register(informer).wait_synced(30)
    engine.drop_session("s")
    informer.wait("deleted")
    assert not informer.events[-1].final_state_known


def test_only_what_is_in_scope(engine: FakeEngine, running: Reactor) -> None:
    of_other, of_one = Noting(), Noting()
    running.register(of_other, application="other")
    running.register(of_one, session="s")
    engine.add_session("t", application="other")
    of_other.wait("opened", "t")
    of_one.wait("opened", "s")
    running.wait_synced(30)
    assert {of for name, of in of_other.told if name == "opened"} == {"t"}
    assert {of for name, of in of_one.told if name == "opened"} == {"s"}


def test_without_replay_only_what_is_new(engine: FakeEngine, running: Reactor) -> None:
    informer = Noting()
    running.register(informer, replay="none").wait_synced(30)
    assert informer.told == [("synced", None)]
    engine.add_session("t")
    informer.wait("opened", "t")


def test_one_of_both_kinds_is_told_of_both_in_one_thread(
    engine: FakeEngine, running: Reactor
) -> None:
    class Both(TaskInformer, Noting):
        def on_update(self, task: Task) -> None:
            self.told.append((task.state.name, task.id))

        def on_deleted(self, event: object) -> None:
            self.told.append(("deleted", type(event).__name__))

    informer = Both()
    running.register(informer).wait_synced(30)
    engine.add_task("s")
    informer.wait("PENDING", "1")
    engine.drop_session("s")
    informer.wait("deleted", "SessionEvent")
    informer.wait("deleted", "TaskEvent")
