"""How far a runner is: the steps of its start, and how many of a batch of calls have ended.

On a terminal a bar or a line that is overwritten; else log records.
"""

from __future__ import annotations

import concurrent.futures
import importlib.util
import logging
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from flamepy.errors import DeadlineExceededError
from flamepy.runner.futures import ObjectFuture
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.seconds import seconds_or_none

logger = logging.getLogger(__name__)

SHOW_AFTER = 1.0  # seconds of a start before its steps are shown
LINES = 10  # lines of a batch's progress without a terminal


class Steps:
    """The steps of something that may take long: log records; on a terminal a line as well.

    The line appears with the first step that begins later than a second after the first.
    """

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown = False
        self._begun = monotonic()

    def show(self, step: str) -> None:
        """Say which step begins."""
        logger.info("%s: %s", self._title, step)
        if monotonic() - self._begun >= SHOW_AFTER and _is_terminal():
            self._shown = True
            sys.stderr.write(f"\r\x1b[K{self._title}: {step}")
            sys.stderr.flush()

    def __enter__(self) -> Steps:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def followed(futures: Sequence[ObjectFuture], timeout: float | None, *, show: bool) -> None:
    """Wait until all have ended; show how many have.

    Raises:
        DeadlineExceededError: some had not ended within ``timeout`` seconds; they continue.
    """
    timeout = seconds_or_none("timeout", timeout)
    report = _report(len(futures)) if show else None
    failed = 0
    try:
        for ended, future in enumerate(
            concurrent.futures.as_completed(futures, timeout),
            1,
        ):
            failed += future.exception() is not None
            if report is not None:
                report.update(ended, failed)
    except concurrent.futures.TimeoutError as error:
        left = sum(not one.done() for one in futures)
        raise DeadlineExceededError(
            f"{left} of {len(futures)} calls had not ended within {timeout} s; they continue"
        ) from error
    finally:
        if report is not None:
            report.close()


class _Lines:
    """Progress as log records: one for each tenth."""

    def __init__(self, total: int) -> None:
        self._total, self._next = total, 1

    def update(self, ended: int, failed: int) -> None:
        if ended * LINES >= self._next * self._total:
            self._next = ended * LINES // self._total + 1
            logger.info("%d of %d calls ended, %d failed", ended, self._total, failed)

    def close(self) -> None:
        """Nothing is open."""


class _Bar:
    """Progress as a bar of ``rich``."""

    def __init__(self, total: int) -> None:
        from rich.console import Console
        from rich.progress import Progress

        # Standard error, as the lines: the program's own output may go into a pipe.
        self._progress: Any = Progress(console=Console(stderr=True))
        self._task = self._progress.add_task("calls", total=total)
        self._progress.start()

    def update(self, ended: int, failed: int) -> None:
        text = f"calls, {failed} failed" if failed else "calls"
        self._progress.update(self._task, completed=ended, description=text)

    def close(self) -> None:
        self._progress.stop()


class _Line:
    """Progress as a line that is overwritten."""

    def __init__(self, total: int) -> None:
        self._total = total

    def update(self, ended: int, failed: int) -> None:
        sys.stderr.write(f"\r\x1b[K{ended} of {self._total} calls ended, {failed} failed")
        sys.stderr.flush()

    def close(self) -> None:
        sys.stderr.write("\n")


def _report(total: int) -> _Lines | _Bar | _Line:
    if not _is_terminal():
        return _Lines(total)
    return _Bar(total) if importlib.util.find_spec("rich") is not None else _Line(total)


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
