"""Start and stop of a cluster, cut at any moment by Ctrl-C or called by a signal handler."""

from __future__ import annotations

import contextlib
import linecache
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.moments import Calls, at_every_line
from support.waiting import eventually

from flamepy.errors import (
    DeadlineExceededError,
    InvalidStateError,
    ResourceExhaustedError,
    UnavailableError,
)
from flamepy.local import LocalCluster, life
from flamepy.local.life import Life

PRODUCT = str(Path(life.__file__).parents[1])


def interrupt() -> None:
    """Raise as Ctrl-C does, in the product and in what starts threads.

    Not at a ``with``: on the way out of one Python handles no signal.
    """
    frame = sys._getframe(2)  # of the line that is interrupted
    file = frame.f_code.co_filename
    line = linecache.getline(file, frame.f_lineno).strip()
    if file.startswith((PRODUCT, threading.__file__)) and not line.startswith("with "):
        raise KeyboardInterrupt


def left() -> list[str]:
    """Return what there is of clusters: threads, folders, child processes."""
    found = [one.name for one in threading.enumerate() if one.name == "flamepy-cluster"]
    found += [str(one) for one in Path(tempfile.gettempdir()).glob("flame-*")]
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread that ended meanwhile
            found += path.read_text().split()
    return found


def nothing_left() -> None:
    """Wait until a cluster is gone; a thread that was never started stays listed."""
    threading._limbo.clear()  # type: ignore[attr-defined]
    eventually(lambda: not left(), f"nothing to be left: {left()}", limit=10.0)


def cluster() -> LocalCluster:
    return LocalCluster(executors=1, cache_port=None)


def runs(one: LocalCluster) -> bool:
    return "not running" not in repr(one)


class TestCut:
    def test_a_start_that_is_cut_leaves_nothing(self) -> None:
        @contextlib.contextmanager
        def made() -> Iterator[Calls]:
            one = cluster()

            def start() -> None:
                with contextlib.suppress(KeyboardInterrupt, RuntimeError):  # of a lock's wait
                    one.start()

            yield start, interrupt
            if runs(one):  # only the return was cut
                one.stop()
            nothing_left()
            with pytest.raises(InvalidStateError, match="not running"):
                _ = one.endpoint
            with one:  # it can be started again
                assert runs(one)

        assert at_every_line(made, seconds=10.0) > 20

    def test_a_stop_that_is_cut_is_finished_by_another(self) -> None:
        @contextlib.contextmanager
        def made() -> Iterator[Calls]:
            one = cluster().start()

            def stop() -> None:
                with contextlib.suppress(KeyboardInterrupt, RuntimeError):
                    one.stop()

            yield stop, interrupt
            one.stop()
            assert not runs(one)
            nothing_left()

        assert at_every_line(made, seconds=10.0) > 10


class TestHandlers:
    def test_a_handler_may_stop_a_cluster_that_starts(self) -> None:
        @contextlib.contextmanager
        def made() -> Iterator[Calls]:
            one = cluster()
            yield one.start, one.stop
            one.stop()
            nothing_left()

        assert at_every_line(made, allowed=(InvalidStateError,), seconds=10.0) > 20

    def test_a_handler_may_stop_a_cluster_that_stops(self) -> None:
        @contextlib.contextmanager
        def made() -> Iterator[Calls]:
            one = cluster().start()
            yield one.stop, one.stop
            assert not runs(one)
            nothing_left()

        assert at_every_line(made, seconds=10.0) > 10


class TestFailures:
    def test_a_start_that_fails_undoes_all(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: object) -> None:
            raise OSError(24, "Too many open files")

        for what in ("make_folders", "Reaper", "new_loop"):
            monkeypatch.setattr(life, what, fail)
            one = cluster()
            with pytest.raises(OSError, match="Too many open files"):
                one.start()
            nothing_left()
            monkeypatch.undo()
            one.start()
            one.stop()

    def test_no_thread(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(thread: threading.Thread) -> None:
            raise RuntimeError("can't start new thread")

        one = cluster()
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(ResourceExhaustedError, match=r"flamepy-cluster.*ulimit"):
                one.start()
        with one:
            assert runs(one)

    def test_a_taken_port_leaves_nothing(self) -> None:
        with cluster() as first:
            port = int(first.endpoint.rpartition(":")[2])
            before = set(left())
            with pytest.raises(UnavailableError):
                LocalCluster(port=port, cache_port=None).start()
            eventually(lambda: set(left()) <= before, "nothing to be left")


class TestThread:
    """``Life`` alone."""

    @staticmethod
    def made(begin: Callable[[], object], end: Callable[[], object]) -> Life:
        async def begin_() -> None:
            begin()

        async def end_() -> None:
            end()

        return Life(begin_, end_, lambda: None, name="flamepy-test")

    def test_a_stop_that_takes_too_long_says_so_and_can_be_called_again(self) -> None:
        go_on = threading.Event()
        one = self.made(lambda: None, lambda: go_on.wait(30))
        one.start()
        with pytest.raises(DeadlineExceededError, match="call stop"):
            one.stop(0.1)
        assert not one.over
        go_on.set()
        one.stop(30)
        assert one.over

    def test_a_stop_tells_what_the_end_raised_once(self) -> None:
        def fail() -> None:
            raise ValueError("the end")

        one = self.made(lambda: None, fail)
        one.start()
        with pytest.raises(ValueError, match="the end"):
            one.stop(30)
        one.stop(30)

    def test_the_end_runs_where_the_beginning_failed(self) -> None:
        ended: list[bool] = []

        def fail() -> None:
            raise ValueError("the beginning")

        one = self.made(fail, lambda: ended.append(True))
        with pytest.raises(ValueError, match="the beginning"):
            one.start()
        one.stop(30)
        assert ended == [True]

    def test_its_own_thread_cannot_wait_for_its_end(self) -> None:
        errors: list[BaseException] = []

        def begin() -> None:
            try:
                one.stop(1)
            except InvalidStateError as error:
                errors.append(error)

        one = self.made(begin, lambda: None)
        with contextlib.suppress(InvalidStateError):  # it was stopped while it started
            one.start()
        one.stop(30)
        assert "another thread" in str(errors)

    def test_folders_are_there_for_the_whole_life(self) -> None:
        seen: list[bool] = []

        def look() -> None:
            assert one.folders is not None
            seen.append(one.folders.work.is_dir() and os.access(one.folders.sockets, os.W_OK))

        one = self.made(look, look)
        one.start()
        folders = one.folders
        one.stop(30)
        assert seen == [True, True]
        assert folders is not None
        assert not folders.work.exists()
