"""No sender and no receiver is taken that would be without effect."""

from __future__ import annotations

import functools
from datetime import datetime, timezone
from typing import Any
from unittest.mock import Mock

import pytest
from blinker import ANY

from flamepy.core import connect
from flamepy.errors import InvalidArgumentError
from flamepy.informers import signals
from flamepy.informers.signal_checks import first_parameter, label
from flamepy.informers.signals import FlameSignal
from flamepy.testing import FakeEngine
from flamepy.types import Application, ApplicationState, SessionInfo, SessionState

NOW = datetime(2026, 1, 1, tzinfo=timezone.utc)
APPLICATION = Application("1", "echo", ApplicationState.ENABLED, NOW)
SESSION = SessionInfo(id="echo-1", application="echo", state=SessionState.OPEN, creation_time=NOW)


def receive(sender: str, **_: object) -> None:
    raise AssertionError


class Unprintable:
    def __repr__(self) -> str:
        raise ValueError("no text")


class TestSenders:
    @pytest.mark.parametrize(
        ("sender", "way"),
        [
            (b"echo", "a str, not bytes"),
            (["echo"], "once for each"),
            ({"echo"}, "once for each"),
            (APPLICATION, "sender='echo'"),
            (SESSION, "sender='echo', or 'echo-1'"),
            (3, "leave sender= out"),
            ("", "leave sender= out"),
            (receive, "leave sender= out"),
            (Unprintable(), "<Unprintable>"),
            ("http://127.0.0.1:8080", "leave sender= out"),
        ],
    )
    @pytest.mark.parametrize("signal", [signals.task_failed, signals.session_closed])
    def test_what_is_no_name_is_refused_with_the_way_out(
        self, signal: FlameSignal, sender: Any, way: str
    ) -> None:
        for connect_it in (
            lambda: signal.connect(receive, sender=sender),
            lambda: signal.connect_via(sender)(receive),
            lambda: signal.connected_to(receive, sender=sender).__enter__(),
            lambda: signal.disconnect(receive, sender=sender),
        ):
            with pytest.raises(
                InvalidArgumentError, match="its sender is the application's name"
            ) as raised:
                connect_it()
            assert way in raised.value.message
        assert not signal.receivers

    @pytest.mark.parametrize("sender", ["echo", b"x", "http://", "ftp://there:1", "http://a b:1"])
    def test_what_is_no_endpoint_is_refused(self, sender: Any) -> None:
        with pytest.raises(InvalidArgumentError, match="the engine's endpoint, such as"):
            signals.connection_changed.connect(receive, sender=sender)
        assert not signals.connection_changed.receivers

    def test_objects_that_have_an_endpoint_or_a_name_are_refused_with_it(
        self, fake_engine: FakeEngine
    ) -> None:
        fake_engine.add_session("s")
        with connect(fake_engine.endpoint) as connection:
            with pytest.raises(InvalidArgumentError, match=f"write sender='{connection.endpoint}'"):
                signals.reactor_started.connect(receive, sender=connection)
            with pytest.raises(InvalidArgumentError, match="write sender='fake'"):
                signals.task_failed.connect(receive, sender=connection.get_session("s"))

    @pytest.mark.parametrize("signal", [signals.task_failed, signals.reactor_started])
    @pytest.mark.parametrize("sender", [None, ANY])
    def test_none_is_every_sender(self, signal: FlameSignal, sender: Any) -> None:
        def taking(*arguments: object, **values: object) -> None: ...

        signal.connect(taking, sender=sender)
        assert list(signal.receivers_for("anything")) == [taking]
        signal.disconnect(taking, sender=sender)
        assert not signal.receivers

    @pytest.mark.parametrize(
        "text", ["127.0.0.1:8080", "HTTP://127.0.0.1:8080/", "127.0.0.1:8080 "]
    )
    def test_an_endpoint_matches_however_it_is_written(self, text: str) -> None:
        signals.connection_changed.connect(receive, sender=text)
        assert list(signals.connection_changed.receivers_for("http://127.0.0.1:8080")) == [receive]
        signals.connection_changed.disconnect(receive, sender=text)
        assert not signals.connection_changed.receivers

    def test_handlers_fail_for_an_application_or_an_endpoint(self) -> None:
        signals.handler_failed.connect(receive, sender="echo")
        signals.handler_failed.connect(receive, sender="http://127.0.0.1:8080/")
        for sender in ("echo", "http://127.0.0.1:8080"):
            assert list(signals.handler_failed.receivers_for(sender)) == [receive]

    def test_signals_of_others_have_the_senders_of_others(self) -> None:
        mine, sender = FlameSignal("mine"), object()
        mine.connect(receive, sender=sender)
        assert list(mine.receivers_for(sender)) == [receive]


class Callbacks:
    def plain(self, application: str, **_: object) -> None: ...

    def narrow(self, application: str) -> None: ...

    @classmethod
    def of_class(cls, sender: str, *, event: object, **_: object) -> None: ...

    @staticmethod
    def static(sender: str, event: object) -> None: ...

    def __call__(self, event: object, **_: object) -> None: ...


def wrapped(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*arguments: Any, **values: Any) -> Any:
        return function(*arguments, **values)

    return wrapper


def with_event_first(event: object, **_: object) -> None: ...


async def coroutine(application: str, *, event: object, **_: object) -> None: ...


class TestReceivers:
    @pytest.mark.parametrize(
        "receiver",
        [
            lambda *_, **__: None,
            lambda sender, **_: None,
            lambda sender, event: None,
            lambda sender, /, **_: None,
            lambda event, /, **_: None,
            lambda self, **_: None,
            Callbacks().plain,
            Callbacks.of_class,
            Callbacks.static,
            Callbacks(),
            functools.partial(lambda extra, sender, **_: None, 1),
            wrapped(with_event_first),
            with_event_first,
            coroutine,
            Mock(),
            dict,
        ],
    )
    def test_whatever_takes_what_is_sent_is_connected(self, receiver: Any) -> None:
        signals.task_failed.connect(receiver)
        assert signals.task_failed.receivers

    @pytest.mark.parametrize(
        "receiver",
        [
            lambda: None,
            lambda sender: None,
            lambda sender, other, **_: None,
            lambda *, event, **_: None,
            lambda sender, *, missing, **_: None,
            Callbacks().narrow,
            Callbacks.plain,
            [].append,
        ],
    )
    def test_what_cannot_take_it_is_refused(self, receiver: Any) -> None:
        with pytest.raises(InvalidArgumentError, match=r"write it like def receiver\(sender, \*\*"):
            signals.task_failed.connect(receiver)
        assert not signals.task_failed.receivers

    @pytest.mark.parametrize(
        ("receiver", "first"),
        [
            (with_event_first, "event"),
            (wrapped(with_event_first), "event"),
            (Callbacks().plain, "application"),
            (Callbacks(), "event"),
            (lambda event, /, **_: None, None),
            (lambda *, event, **_: None, None),
            (lambda *_, **__: None, None),
            (print, None),
            (Unprintable(), None),
        ],
    )
    def test_the_parameter_that_a_name_could_be_meant_for(
        self, receiver: Any, first: str | None
    ) -> None:
        assert first_parameter(receiver) == first

    @pytest.mark.parametrize(
        ("receiver", "name"),
        [
            (with_event_first, "with_event_first"),
            (functools.partial(with_event_first), "with_event_first"),
            (Callbacks().plain, "Callbacks.plain"),
            (Callbacks(), "Callbacks"),
            (Unprintable(), "Unprintable"),
        ],
    )
    def test_each_has_a_name(self, receiver: Any, name: str) -> None:
        assert label(receiver) == name
