"""``progress=True`` shows how far a batch is, changes no result, and closes what it reads."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import io
import logging
import sys
import types
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from flamepy import progress_bars
from flamepy.core import as_completed
from flamepy.errors import DeadlineExceededError, InvalidArgumentError
from flamepy.progress_bars import areported, reported, size_of


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def hide(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    """Have packages look as if they were not installed."""
    found = progress_bars.importlib.util.find_spec
    monkeypatch.setattr(
        progress_bars.importlib.util,
        "find_spec",
        lambda name: None if name in names else found(name),
    )


class Results:
    """Three results, the second an error, and whether they were closed."""

    def __init__(self) -> None:
        self.closed = False
        self.all: list[object] = [b"1", ValueError("2"), b"3"]

    def generator(self) -> Generator[object, None, None]:
        try:
            yield from self.all
        finally:
            self.closed = True

    async def agenerator(self) -> AsyncGenerator[object, None]:
        try:
            for one in self.all:
                yield one
        finally:
            self.closed = True


@pytest.fixture
def results() -> Results:
    return Results()


class TestShown:
    @pytest.mark.parametrize("total", [3, None])
    def test_a_line_says_how_many(
        self, monkeypatch: pytest.MonkeyPatch, results: Results, total: int | None
    ) -> None:
        hide(monkeypatch, "rich", "tqdm")
        with contextlib.redirect_stderr(Terminal()) as terminal:
            assert list(reported(results.generator(), total, "tasks")) == results.all
        of = "" if total is None else " of 3"
        assert terminal.getvalue().endswith(f"3{of} tasks ended, 1 failed\n")

    def test_rich_draws_a_bar(self, results: Results, capsys: pytest.CaptureFixture[str]) -> None:
        with contextlib.redirect_stderr(Terminal()) as terminal:
            assert list(reported(results.generator(), 3, "tasks")) == results.all
        assert "tasks, 1 failed" in terminal.getvalue()
        assert capsys.readouterr().out == ""

    def test_else_tqdm_does(self, monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
        hide(monkeypatch, "rich")
        with contextlib.redirect_stderr(Terminal()) as terminal:
            assert list(reported(results.generator(), 3, "tasks")) == results.all
        assert "3/3" in terminal.getvalue()
        assert "failed=1" in terminal.getvalue()

    @pytest.mark.parametrize(("total", "records"), [(5000, 10), (None, 5), (3, 3)])
    def test_a_pipe_gets_log_records(
        self, caplog: pytest.LogCaptureFixture, total: int | None, records: int
    ) -> None:
        caplog.set_level(logging.INFO, "flamepy.progress_bars")
        count = 5000 if total is None else total
        made = (one for one in range(count))
        assert list(reported(made, total, "tasks")) == list(range(count))
        of = "" if total is None else f" of {total}"
        assert (len(caplog.messages), caplog.messages[-1]) == (
            records,
            f"{count}{of} tasks ended, 0 failed",
        )

    def test_a_notebook_gets_html(self, monkeypatch: pytest.MonkeyPatch, results: Results) -> None:
        shown: list[str] = []

        class Handle:
            def update(self, one: Any) -> None:
                shown.append(one._repr_html_())

        def display(one: Any, *, display_id: bool) -> Handle:
            shown.append(one._repr_html_())
            return Handle()

        class ZMQInteractiveShell:
            pass

        ipython: Any = types.ModuleType("IPython")
        ipython.get_ipython = ZMQInteractiveShell
        ipython.display = display_module = types.ModuleType("IPython.display")
        display_module.display = display  # type: ignore[attr-defined]  # a stand-in
        monkeypatch.setitem(sys.modules, "IPython", ipython)
        monkeypatch.setitem(sys.modules, "IPython.display", display_module)
        assert list(reported(results.generator(), 3, "tasks")) == results.all
        assert 'value="0" max="3"' in shown[0]
        assert 'value="3" max="3"' in shown[-1]
        assert "3 of 3 tasks ended, 1 failed" in shown[-1]


class TestResults:
    def test_who_leaves_early_closes_what_is_read(self, results: Results) -> None:
        shown = reported(results.generator(), 3, "tasks")
        next(shown)
        shown.close()
        assert results.closed

    def test_so_on_a_loop(self, results: Results) -> None:
        async def scenario() -> list[object]:
            shown = areported(results.agenerator(), None, "tasks")
            found = [await anext(shown)]
            await shown.aclose()
            return found

        assert asyncio.run(scenario()) == [b"1"]
        assert results.closed

    def test_a_loop_gets_all(self, results: Results) -> None:
        async def scenario() -> list[object]:
            return [one async for one in areported(results.agenerator(), 3, "tasks")]

        assert asyncio.run(scenario()) == results.all

    def test_sizes(self) -> None:
        assert (size_of([1, 2]), size_of(iter([1]))) == (2, None)


def future(error: Exception | None = None) -> concurrent.futures.Future[int]:
    made: concurrent.futures.Future[int] = concurrent.futures.Future()
    if error is None:
        made.set_result(1)
    else:
        made.set_exception(error)
    return made


class TestFutures:
    def test_they_come_as_they_end_and_are_counted(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "flamepy.progress_bars")
        cancelled: concurrent.futures.Future[int] = concurrent.futures.Future()
        cancelled.cancel()
        cancelled.set_running_or_notify_cancel()
        given = [future(), future(ValueError()), cancelled]
        assert set(as_completed(given, progress=True)) == set(given)
        assert caplog.messages[-1] == "3 of 3 futures ended, 2 failed"

    def test_nothing_is_shown_unless_asked_for(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "flamepy.progress_bars")
        assert len(list(as_completed([future()]))) == 1
        assert caplog.messages == []

    def test_those_that_are_late_are_counted(self) -> None:
        late: concurrent.futures.Future[int] = concurrent.futures.Future()
        with pytest.raises(
            DeadlineExceededError, match="1 of 2 futures had not ended within"
        ) as it:
            list(as_completed([future(), late], 0))
        assert isinstance(it.value, concurrent.futures.TimeoutError)

    def test_seconds_are_checked(self) -> None:
        with pytest.raises(InvalidArgumentError, match="timeout must be seconds"):
            as_completed([future()], -1)  # at the call, not when it is iterated
