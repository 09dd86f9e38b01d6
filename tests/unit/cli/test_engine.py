"""What an engine answers reaches the terminal as one line that moves no cursor."""

from __future__ import annotations

import click
import pytest

from flamepy.cli.engine import COMPLETION_TIMEOUT, completions, failure
from flamepy.cli.tasks import tasks
from flamepy.errors import DeadlineExceededError


def test_an_error_is_one_line_without_escape_codes() -> None:
    with click.Context(click.Command("tasks"), info_name="flamepy tasks"):
        assert str(failure("gone:\n  \x1b[2Jall")) == "flamepy tasks: gone: \\x1b[2Jall"


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
