"""Careless arguments of a reactor are refused at once, with the way out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from flamepy.core import Connection
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.informers import Reactor, SessionEvent, TaskInformer, WatchSettings, signals
from flamepy.informers.arguments import watch_changes
from flamepy.informers.options import Options
from flamepy.testing import ScriptedConnection
from flamepy.watching.hub import Hub


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"connection": "http://x:1"}, r"flamepy\.core\.connect.*a URL is given as endpoint="),
        ({"context": "production"}, r"FlameContext\(context=name\)"),
        ({"plugins": "slow"}, r"several names, got 'slow'; write \['slow'\]"),
        ({"on_fatal": 3}, "on_fatal must be callable"),
        ({"exit_timeout": -1}, "exit_timeout must be seconds, 0 or more, got -1"),
        ({"exit_timeout": "2"}, "exit_timeout must be seconds, 0 or more, got '2'"),
        ({"exit_timeout": None}, "exit_timeout must be seconds, 0 or more"),
    ],
)
def test_of_a_reactor(arguments: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        Reactor(**arguments)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ({"queue_size": "1"}, "queue_size must be 1 or more, got '1'"),
        ({"queue_size": True}, "queue_size must be 1 or more, got True"),
        ({"batch_size": 2.5}, r"batch_size must be 1 or more, got 2\.5"),
        ({"batch_delay": None}, "batch_delay must be seconds, 0 or more, got None"),
        ({"batch_delay": float("nan")}, "batch_delay must be seconds, 0 or more, got nan"),
        ({"timeout": "3"}, "timeout must be seconds, more than 0, or None, got '3'; None reports"),
        ({"timeout": 0}, "timeout must be seconds, more than 0, or None, got 0; None reports"),
        ({"retry": 3}, r"RetryPolicy\(attempts=3\), got 3"),
        ({"retry": True}, r"RetryPolicy\(attempts=3\), got True"),
        ({"where": "failed"}, "where must be callable with an event, got 'failed'"),
        ({"transform": 3}, "transform must be callable with an event, got 3"),
    ],
)
def test_of_a_registration(option: dict[str, object], text: str) -> None:
    with pytest.raises(InvalidArgumentError, match=text):
        Options(**option)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("scope", "text"),
    [
        ({"session": object()}, r"its id, such as session\.id"),
        ({"session": ["s", "t"]}, r"predicates\.session\(\.\.\.\) \| predicates\.session"),
        ({"application": 3}, "application must be its name, got 3"),
        ({"application": ""}, "application must be its name, got ''"),
    ],
)
def test_a_scope_in_which_nothing_ever_happens_is_refused(
    scope: dict[str, object], text: str
) -> None:
    reactor = Reactor()
    with pytest.raises(InvalidArgumentError, match=text):
        reactor.register(TaskInformer(), **scope)  # type: ignore[arg-type]  # that is the test
    with pytest.raises(InvalidArgumentError, match=text):
        reactor.stream(**scope)  # type: ignore[arg-type]  # that is the test
    assert reactor.registrations == []


def test_a_task_is_named_by_a_task_a_future_or_two_ids() -> None:
    with ScriptedConnection() as connection, Reactor(connection=connection, plugins=()) as reactor:
        connection.do(lambda source: source.add_session("s"))
        connection.do(lambda source: source.add_task("s"))
        connection.do(lambda source: source.succeed("s", "1"))
        assert reactor.future(("s", 1)).result(10).id == "1"  # type: ignore[arg-type]  # also
        found = reactor.tasks.get("s", 1, max_age=0.0)
        assert found is not None
        assert found.id == "1"
        for wrong in (3, "1", ("s",), ("s", "1", "2"), None):
            with pytest.raises(InvalidArgumentError, match=r"or by \(session id, task id\)"):
                reactor.future(wrong)  # type: ignore[arg-type]  # that is the test
        for named, says in ((("s", "b"), "task id 'b'"), ((5, "1"), "session id must be text")):
            with pytest.raises(InvalidArgumentError, match=says):
                reactor.wait([named])  # type: ignore[list-item]  # that is the test
        with pytest.raises(InvalidArgumentError, match="such as a list, got 5"):
            reactor.wait(5)  # type: ignore[arg-type]  # that is the test


def test_what_a_reactor_cannot_do_now_is_said_with_what_it_needs() -> None:
    reactor = Reactor()
    with pytest.raises(InvalidStateError, match="this reactor is new; start it first"):
        _ = reactor.tasks
    with pytest.raises(InvalidStateError, match=r"start it first, or call run\(\)"):
        reactor.run_forever()
    reactor.stop()
    with pytest.raises(InvalidStateError, match="this reactor is stopped; make a new one"):
        _ = reactor.tasks
    reactor.run_forever()  # it has been stopped: there is nothing to wait for


def test_a_reset_is_signalled_once_whoever_is_connected() -> None:
    resets: list[str] = []
    deleted: list[str] = []

    def reset(sender: str, *, session_id: str, **_: object) -> None:
        resets.append(session_id)

    def note(sender: str, *, event: SessionEvent, **_: object) -> None:
        deleted.append(event.session.id)

    def ignore(sender: str, **_: object) -> None:
        """Make the sender watch tasks as well."""

    with (
        signals.engine_reset.connected_to(reset),
        signals.session_deleted.connected_to(note),
        signals.task_deleted.connected_to(ignore),
        ScriptedConnection() as connection,
        Reactor(connection=connection, plugins=(), poll_interval=0.01) as reactor,
    ):
        connection.do(lambda source: source.add_session("s"))
        stream = reactor.stream(sessions=True)
        stream.next(10)
        connection.do(lambda source: source.lose_state())
        stream.next(10)
    assert deleted == ["s"]
    assert resets == ["s"]


class TestSettings:
    """``Reactor(settings=...)`` beside single values by name."""

    def test_all_of_the_settings_hold_and_single_values_change_them(self) -> None:
        changes = watch_changes(
            WatchSettings(audit=60, stall_after=5), stall_after=7, payloads=None
        )
        assert WatchSettings(**changes) == WatchSettings(audit=60, stall_after=7)

    def test_without_them_only_what_is_given_is_changed(self) -> None:
        assert watch_changes(None, audit=60, payloads=None) == {"audit": 60}

    def test_a_reactor_sets_them_at_its_connection(self, engine_connection: Connection) -> None:
        settings = WatchSettings(audit=60, poll_interval=0.02)
        with Reactor(connection=engine_connection, settings=settings, stall_after=7):
            made = Hub.of(engine_connection.link).settings
        assert made == replace(settings, stall_after=7)

    def test_something_else_is_refused_with_the_way_out(self) -> None:
        with pytest.raises(
            InvalidArgumentError, match=r"a WatchSettings, got \{\}; .*Reactor\(audit"
        ):
            Reactor(settings={})  # type: ignore[arg-type]  # that is the point
