"""What an engine answers reaches the terminal as one line that moves no cursor."""

from __future__ import annotations

import io
import logging

import click
import pytest

from flamepy.cli.engine import COMPLETION_TIMEOUT, completions, failure
from flamepy.cli.verbs.tasks import tasks
from flamepy.errors import DeadlineExceededError


def test_an_error_is_one_line_without_escape_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with click.Context(click.Command("tasks"), info_name="flamepy tasks"):
        assert failure("gone:\n  \x1b[2Jall").code == 1
    assert capsys.readouterr().err == "flamepy tasks: gone: \\x1b[2Jall\n"


def test_an_error_is_the_last_line_in_one_write(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    class Log(logging.Handler):
        def flush(self) -> None:
            written.append("the log lines")

    stream = io.StringIO()
    monkeypatch.setattr(stream, "write", written.append)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setattr(logging.getLogger(), "handlers", [Log()])
    with click.Context(click.Command("tasks"), info_name="flamepy tasks"):
        failure("gone", 2)
    assert written == ["the log lines", "flamepy tasks: gone\n"]


class Slow:
    """A connection to an engine that answers a first call, and no other in time."""

    asked: tuple[object, ...] = ()

    def __init__(self, endpoint: str | None, *, timeout: float) -> None:
        Slow.asked = (endpoint, timeout)

    def __enter__(self) -> Slow:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def list_sessions(self, *, timeout: float) -> list[object]:
        Slow.asked += (timeout,)
        raise DeadlineExceededError("no answer")


def test_a_slow_engine_does_not_hold_up_the_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flamepy.core.connect", Slow)
    context = click.Context(tasks)
    context.params["endpoint"] = "http://slow:1"
    complete = completions("list_sessions", "id")
    assert complete(context, tasks.params[0], "a") == []
    assert Slow.asked == ("http://slow:1", COMPLETION_TIMEOUT, COMPLETION_TIMEOUT)
