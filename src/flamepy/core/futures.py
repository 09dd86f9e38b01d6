"""``TaskFuture``: a ``concurrent.futures.Future`` of a task's output; ``session`` makes them.

``DecodedFuture`` is the base of futures of what such an output stands for.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from abc import abstractmethod
from collections.abc import Generator, Iterable
from typing import Any, Generic, TypeVar

from flamepy.aio.outcomes import outcome
from flamepy.errors import DeadlineExceededError
from flamepy.informers.queries.futures import WatchedFuture
from flamepy.progress_bars import report_on
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import Task

R = TypeVar("R")
F = TypeVar("F", bound="concurrent.futures.Future[Any]")


class TaskFuture(WatchedFuture["bytes | None"]):
    """A future of a task's output; works with ``concurrent.futures.wait`` and ``as_completed``.

    ``result()`` raises TaskFailedError with the service's text, TaskCancelledError, or an error
    that says why the fate is unknown; it waits as long as the task takes, and so does ``await`` on
    any asyncio loop. Done-callbacks run on the thread ``flamepy-completions``.
    """

    def _outcome(self, task: Task) -> bytes | None:
        return outcome(task)


def as_completed(
    futures: Iterable[F], timeout: float | None = None, *, progress: bool = False
) -> Generator[F, None, None]:
    """Yield futures as they end, as ``concurrent.futures.as_completed`` does.

    Args:
        futures: of tasks, or of a runner's calls.
        timeout: seconds for all of them.
        progress: show how many have ended: a bar in a notebook or on a terminal (by ``rich`` or
            ``tqdm`` where one is installed), else log records.

    Raises:
        InvalidArgumentError: ``timeout`` is no seconds.
        DeadlineExceededError: some had not ended by then; they continue. It is also a
            ``concurrent.futures.TimeoutError``.
    """
    return _ending(list(futures), seconds_or_none("timeout", timeout), progress)


def _ending(waited: list[F], timeout: float | None, progress: bool) -> Generator[F, None, None]:
    report = report_on(len(waited), "futures") if progress else None
    ended = failed = 0
    try:
        for future in concurrent.futures.as_completed(waited, timeout):
            ended += 1
            failed += future.cancelled() or future.exception() is not None
            if report is not None:
                report.update(ended, failed)
            yield future  # type: ignore[misc]  # one of those given
    except concurrent.futures.TimeoutError as error:
        raise DecodedTimeoutError(
            f"{len(waited) - ended} of {len(waited)} futures had not ended within {timeout} s; "
            "they continue"
        ) from error
    finally:
        if report is not None:
            report.close()


class DecodedTimeoutError(DeadlineExceededError, concurrent.futures.TimeoutError):
    """Futures had not ended in time; also the ``TimeoutError`` of its base class."""


class DecodedFuture(concurrent.futures.Future[R], Generic[R]):
    """A future of what a task's output stands for; the thread that asks decodes the output.

    Works with ``concurrent.futures.wait`` and ``as_completed``, and can be awaited on an event
    loop. Done-callbacks run on the thread ``flamepy-completions``. It cannot be cancelled: the
    engine cannot cancel a task.

    Args:
        task: the future of the task's output.
    """

    def __init__(self, task: concurrent.futures.Future[bytes | None]) -> None:
        super().__init__()
        self._task = task
        self.set_running_or_notify_cancel()
        task.add_done_callback(self._take)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {repr_of(self._task)}>"

    def result(self, timeout: float | None = None) -> R:
        """Wait for the task to end and return what its output stands for.

        Args:
            timeout: seconds; None waits as long as the task takes.

        Raises:
            TaskFailedError: the service failed the task; the text is the service's.
            DeadlineExceededError: it did not end within ``timeout``; it continues.
        """
        return self._decode(self._output(timeout))

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the task to end and return its error, or None; decodes nothing."""
        self._wait(timeout)
        return self._task.exception(0)

    def done(self) -> bool:
        """Return True once the task has ended."""
        return self._task.done()

    def cancel(self) -> bool:
        """Return False."""
        return False

    def __await__(self) -> Generator[Any, None, R]:
        return self._awaited().__await__()

    async def _awaited(self) -> R:
        await asyncio.wrap_future(self._task)
        return await asyncio.get_running_loop().run_in_executor(None, self.result)

    @abstractmethod
    def _decode(self, output: bytes | None) -> R:
        """Return the result, or raise; may block."""

    def _output(self, timeout: float | None) -> bytes | None:
        self._wait(timeout)
        return self._task.result(0)

    def _wait(self, timeout: float | None) -> None:
        timeout = seconds_or_none("timeout", timeout)
        try:
            self._task.exception(timeout)
        except concurrent.futures.TimeoutError as error:
            seconds = f"{round(timeout or 0, 3):g} s"
            raise DecodedTimeoutError(
                f"{repr_of(self)} had not ended within {seconds}; the task continues"
            ) from error

    def _take(self, task: concurrent.futures.Future[bytes | None]) -> None:
        error = task.exception()
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(None)  # type: ignore[arg-type]  # ``result`` decodes instead
