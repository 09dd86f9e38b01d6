"""``runner.wait(futures, progress=True)``: a bar, a line, or log records; then the wait's end."""

from __future__ import annotations

import concurrent.futures
import contextlib
import io
import logging
from typing import Any

import pytest

from flamepy import progress_bars
from flamepy.errors import DeadlineExceededError, InvalidArgumentError, TaskFailedError
from flamepy.runner import progress
from flamepy.runner.futures import ObjectFuture, gathered


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def future(error: Exception | None = None, *, ended: bool = True) -> ObjectFuture:
    task: concurrent.futures.Future[bytes | None] = concurrent.futures.Future()
    if error is not None:
        task.set_exception(error)
    elif ended:
        task.set_result(b"")
    return ObjectFuture(task)


MIXED = (None, TaskFailedError("no"), None)


def test_without_a_terminal_there_is_a_record_for_each_tenth(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "flamepy.progress_bars")
    futures = [future(TaskFailedError("no") if n == 0 else None) for n in range(100)]
    progress.followed(futures, None, show=True)
    assert len(caplog.messages) == 10
    assert caplog.messages[-1] == "100 of 100 calls ended, 1 failed"


def test_unless_it_is_asked_for_nothing_is_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "flamepy.progress_bars")
    with contextlib.redirect_stderr(Terminal()) as terminal:
        progress.followed([future(one) for one in MIXED], None, show=False)
    assert (terminal.getvalue(), caplog.messages) == ("", [])


def test_a_terminal_without_rich_gets_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bars.importlib.util, "find_spec", lambda name: None)
    with contextlib.redirect_stderr(Terminal()) as terminal:
        progress.followed([future(one) for one in MIXED], None, show=True)
    assert terminal.getvalue().endswith("\r\x1b[K3 of 3 calls ended, 1 failed\n")


def test_a_terminal_and_rich_show_a_bar_on_standard_error(
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("rich")
    with contextlib.redirect_stderr(Terminal()) as terminal:
        progress.followed([future(one) for one in MIXED], None, show=True)
    assert "calls, 1 failed" in terminal.getvalue()
    assert "100%" in terminal.getvalue()
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("show", [True, False])
def test_a_wait_that_ends_counts_what_is_left(show: bool) -> None:
    with pytest.raises(DeadlineExceededError, match=r"2 of 3 calls had not ended within 0\.0 s"):
        progress.followed([future(), *(future(ended=False) for _ in range(2))], 0, show=show)


@pytest.mark.parametrize("wait", [gathered, lambda f, t: progress.followed(f, t, show=False)])
def test_seconds_are_checked(wait: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="timeout must be seconds"):
        wait([future()], -1)


def test_the_steps_of_a_start_are_shown_once_it_takes_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 10.0
    monkeypatch.setattr(progress, "monotonic", lambda: now)
    with contextlib.redirect_stderr(Terminal()) as terminal, progress.Steps("runner x") as steps:
        steps.show("packing")
        assert terminal.getvalue() == ""
        now += 2 * progress.SHOW_AFTER
        steps.show("storing")
        assert terminal.getvalue() == "\r\x1b[Krunner x: storing"
    assert terminal.getvalue().endswith("\r\x1b[K")
