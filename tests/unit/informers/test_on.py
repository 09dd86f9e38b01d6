"""``reactor.on``: a decorated function is an informer of one callback, registered like any."""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import pytest
from support.waiting import eventually

from flamepy.core import Connection
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.informers import (
    PermanentError,
    Reactor,
    SessionEvent,
    SessionInformer,
    TaskEvent,
    TaskInformer,
)
from flamepy.informers.on import On, callback_names
from flamepy.testing import FakeEngine
from flamepy.types import ConnectionState, RetryPolicy, Task


def of(base: type) -> set[str]:
    return {name.removeprefix("on_") for name in dir(base) if name.startswith("on_")}


class TestNames:
    def test_there_is_one_for_each_callback(self) -> None:
        expected = of(TaskInformer) | of(SessionInformer) | {"session_deleted"}
        assert set(callback_names()) == expected
        assert expected <= set(dir(Reactor().on))

    def test_type_checkers_know_each(self) -> None:
        declared = inspect.get_annotations(On)
        assert set(declared) == set(callback_names()), "declare it in flamepy.informers.on.On"

    @pytest.mark.parametrize(
        ("name", "hint"),
        [
            ("faild", "; did you mean failed?"),
            ("on_failed", "; did you mean failed?"),
            ("xyzzy", "; callbacks: added, batch, cancelled"),
        ],
    )
    def test_a_misspelt_one_is_refused_with_the_nearest(self, name: str, hint: str) -> None:
        with pytest.raises(AttributeError) as caught:
            getattr(Reactor().on, name)
        assert f"reactor.on has no callback {name!r}{hint}" in str(caught.value)


class TestOptions:
    def test_they_are_those_of_register(self) -> None:
        reactor = Reactor()

        def notify(event: TaskEvent) -> None: ...

        values: dict[str, object] = {
            "where": bool,
            "transform": lambda event: event,
            "retry": RetryPolicy(attempts=2),
            "timeout": 7.0,
            "queue_size": 5,
            "replay": "active",
            "resume": False,
            "batch_size": 3,
            "batch_delay": 0.5,
            "uid": "u",
            "name": "n",
        }
        reactor.on.failed(application="x", session="s", **values)(notify)  # type: ignore[arg-type]
        (made,) = reactor.registrations
        assert (made.scope.application, made.scope.session) == ("x", "s")
        assert {name: getattr(made.options, name) for name in values} == values
        assert (made.name, made.uid) == ("n", "u")

    def test_one_that_register_gets_later_is_taken(self) -> None:
        given: list[tuple[object, object]] = []

        def register(informer: object, *, workers: int = 1) -> Mock:
            given.append((informer, workers))
            return Mock(informer=informer)

        On(register).failed(workers=4)(lambda event: None)
        assert [workers for _, workers in given] == [4]

    def test_a_misspelt_one_is_refused_before_the_function_is_there(self) -> None:
        with pytest.raises(TypeError, match="no option 'aplication'; did you mean application\\?"):
            Reactor().on.failed(aplication="x")  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="takes options by name"):
            Reactor().on.failed(print, uid="x")  # type: ignore[call-overload]

    def test_values_are_checked_as_by_register(self) -> None:
        reactor = Reactor()
        with pytest.raises(InvalidArgumentError, match="queue_size must be 1 or more, got 0"):
            reactor.on.failed(queue_size=0)(lambda event: None)
        with pytest.raises(InvalidArgumentError, match="application must be its name"):
            reactor.on.failed(application="")(lambda event: None)
        assert not reactor.registrations


class TestFunctions:
    def test_it_is_returned_as_it_is_and_each_decorator_registers_it(self) -> None:
        reactor = Reactor()

        def notify(event: TaskEvent) -> None: ...

        decorated = reactor.on.failed(application="x")(reactor.on.succeeded(notify))
        assert decorated is notify
        assert [one.name for one in reactor.registrations] == [notify.__qualname__] * 2
        assert [one.callbacks.get("on_failed") is None for one in reactor.registrations] == [
            True,
            False,
        ]

    @pytest.mark.parametrize("given", [3, None, Task, "notify"])
    def test_what_is_no_function_is_refused(self, given: object) -> None:
        with pytest.raises(InvalidArgumentError, match=r"reactor\.on\.failed decorates a function"):
            Reactor().on.failed()(given)  # type: ignore[type-var]

    def test_one_of_another_signature_is_refused(self) -> None:
        def notify(event: TaskEvent, more: int) -> None: ...

        with pytest.raises(InvalidArgumentError) as caught:
            Reactor().on.failed(notify)
        assert "notify.on_failed(event: 'TaskEvent', more: 'int')" in str(caught.value)
        assert "self" not in str(caught.value)

    def test_a_generator_function_is_refused(self) -> None:
        def notify(event: TaskEvent) -> typing.Iterator[None]:
            yield

        with pytest.raises(InvalidArgumentError, match="has a yield"):
            Reactor().on.failed(notify)

    def test_whatever_can_be_called_serves(self) -> None:
        class Notifier:
            def __call__(self, event: TaskEvent) -> None: ...

            def notify(self, event: TaskEvent) -> None: ...

        reactor = Reactor()
        given: list[tuple[Callable[..., object], str]] = [
            (Notifier(), "Notifier"),
            (Notifier().notify, Notifier.notify.__qualname__),
            (functools.partial(print, "x"), "partial"),
            (Mock(), "Mock"),
        ]
        for one, _ in given:
            assert reactor.on.failed(one) is one
        assert [one.name for one in reactor.registrations] == [name for _, name in given]

    def test_a_uid_is_of_one_function_and_callback(self) -> None:
        reactor = Reactor()

        def notify(event: TaskEvent) -> None: ...

        reactor.on.failed(uid="u")(notify)
        reactor.on.failed(uid="u")(notify)  # as by a module that is loaded again
        assert len(reactor.registrations) == 1
        with pytest.raises(InvalidArgumentError, match="uid 'u' is the one of u already"):
            reactor.on.succeeded(uid="u")(notify)


class TestCalls:
    def test_functions_get_what_methods_get(
        self, engine: FakeEngine, engine_connection: Connection
    ) -> None:
        seen: dict[str, object] = {}
        ends: list[TaskEvent] = []
        reactor = Reactor(connection=engine_connection)

        @reactor.on.failed(application="fake")
        @reactor.on.terminal
        async def ended(event: TaskEvent) -> None:
            ends.append(event)

        @reactor.on.update(where=lambda event: event.task.state.is_terminal)
        def updated(task: Task) -> None:
            seen["task"] = task

        @reactor.on.drained()
        def drained(event: SessionEvent) -> None:
            seen["drained"] = event

        @reactor.on.session_deleted
        def session_deleted(event: SessionEvent) -> None:
            seen["session_deleted"] = event

        @reactor.on.deleted
        def deleted(event: TaskEvent) -> None:
            seen["deleted"] = event

        @reactor.on.synced
        def synced() -> None:
            seen["synced"] = True

        @reactor.on.connection
        def connection(state: ConnectionState) -> None:
            seen["connection"] = state

        @reactor.on.error
        def error(lost: FlameError) -> None:
            seen["error"] = lost

        with reactor:
            reactor.wait_synced(20)
            engine.add_task("s")
            engine.start("s", "1")
            engine.fail("s", "1", "no paper")
            eventually(lambda: {"task", "drained"} <= set(seen) and len(ends) == 2)
            engine_connection.close_session("s")
            engine_connection.delete_session("s")
            eventually(lambda: {"deleted", "session_deleted"} <= set(seen))
            engine.kill()
            eventually(lambda: {"connection", "error"} <= set(seen))
        assert isinstance(seen["task"], Task)
        assert isinstance(seen["deleted"], TaskEvent)
        assert isinstance(seen["session_deleted"], SessionEvent)
        assert seen["synced"]
        assert isinstance(seen["connection"], ConnectionState)
        assert isinstance(seen["error"], FlameError)
        assert [one.task.error for one in ends] == ["no paper"] * 2

    def test_what_was_delivered_is_in_the_checkpoint_by_the_uid(
        self, engine: FakeEngine, engine_connection: Connection, tmp_path: Path
    ) -> None:
        engine.add_task("s")
        seen: list[str] = []
        for _ in range(2):
            reactor = Reactor(connection=engine_connection, checkpoint=tmp_path / "state.db")
            reactor.on.added(uid="seen")(lambda event: seen.append(event.task.id))
            with reactor:
                reactor.wait_synced(20)
            engine.add_task("s")
        assert seen == ["1", "2"]

    def test_an_error_is_one_of_the_function(
        self, engine: FakeEngine, running: Reactor, caplog: pytest.LogCaptureFixture
    ) -> None:
        def notify(event: TaskEvent) -> None:
            raise PermanentError("no paper")

        running.on.added(notify)
        engine.add_task("s")
        (made,) = running.registrations
        eventually(lambda: made.stats.failures == 1)
        running.stop()
        assert "notify.on_added raised" in caplog.text


def test_the_documentation_of_on_is_found() -> None:
    assert "decorator for each callback" in (inspect.getdoc(Reactor.on) or "")
    assert issubclass(InvalidArgumentError, FlameError)
