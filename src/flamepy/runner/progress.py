"""How far a runner is: the steps of its start, and how many of a batch of calls have ended.

A start's steps are log records, and a line on a terminal; ``progress_bars`` shows a batch.
"""

from __future__ import annotations

import concurrent.futures
import logging
import sys
from collections.abc import Sequence
from types import TracebackType

from flamepy.errors import DeadlineExceededError
from flamepy.progress_bars import report_on
from flamepy.runner.futures import ObjectFuture
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.seconds import seconds_or_none

logger = logging.getLogger(__name__)

SHOW_AFTER = 1.0  # seconds of a start before its steps are shown


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
    report = report_on(len(futures), "calls") if show else None
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


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()
