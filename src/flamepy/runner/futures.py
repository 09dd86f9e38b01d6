"""``ObjectFuture``: the future of a call whose result is an object of the object cache."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from typing import Any

from flamepy.core.cache import ObjectRef, get_object
from flamepy.errors import DeadlineExceededError, InternalError
from flamepy.runtime.clocks import monotonic
from flamepy.texts import repr_of


class ObjectFuture(concurrent.futures.Future[Any]):
    """The future of one call of a ``RunnerService``.

    The result stays in the object cache; ``ref`` names it there, ``get`` fetches it. Works with
    ``concurrent.futures.wait`` and ``as_completed``, and can be awaited on an event loop.
    Done-callbacks run on the thread ``flamepy-completions``.

    Args:
        future: of the task; its result is an encoded ``ObjectRef``.
    """

    def __init__(self, future: concurrent.futures.Future[bytes | None]) -> None:
        super().__init__()
        self._future = future
        self.set_running_or_notify_cancel()
        future.add_done_callback(self._take)

    def __repr__(self) -> str:
        return f"<ObjectFuture of {repr_of(self._future)}>"

    def ref(self, timeout: float | None = None) -> ObjectRef:
        """Wait for the call to end and return where its result is.

        Args:
            timeout: seconds; None waits as long as the task takes.

        Raises:
            TaskFailedError: the call raised; with the remote traceback.
            DeadlineExceededError: it did not end within ``timeout``; it continues.
        """
        data = self._task_result(timeout)
        if data is None:
            raise InternalError(
                f"{repr_of(self)} has no output: its service is not one of flamepy.runner"
            )
        return ObjectRef.decode(data)

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the call to end and return its result; arguments and errors as of ``ref``."""
        return get_object(self.ref(timeout))

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the call to end; raises what ``get`` would raise, fetches nothing."""
        self._task_result(timeout)

    def result(self, timeout: float | None = None) -> Any:
        """As ``get``."""
        return self.get(timeout)

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """Wait for the call to end and return its error, or None."""
        return self._future.exception(timeout)

    def done(self) -> bool:
        """Return True once the call has ended."""
        return self._future.done()

    def cancel(self) -> bool:
        """Return False: the engine cannot cancel a task."""
        return False

    def __await__(self) -> Generator[Any, None, Any]:
        return _awaited(self).__await__()

    def _task_result(self, timeout: float | None) -> bytes | None:
        try:
            return self._future.result(timeout)
        except concurrent.futures.TimeoutError as error:
            if self._future.done():
                raise
            raise DeadlineExceededError(
                f"{repr_of(self)} had not ended within {timeout} s; the task continues"
            ) from error

    def _take(self, future: concurrent.futures.Future[bytes | None]) -> None:
        error = future.exception()
        if error is not None:
            self.set_exception(error)
        else:
            self.set_result(None)  # ``result`` reads the object


async def _awaited(future: ObjectFuture) -> Any:
    import asyncio

    await asyncio.wrap_future(future._future)
    return await asyncio.get_running_loop().run_in_executor(None, future.get)


class ObjectFutureIterator:
    """Futures in the order in which their calls end: ``for future in runner.select(futures)``."""

    def __init__(self, futures: Iterable[ObjectFuture]) -> None:
        self._futures = list(futures)
        self._completed = concurrent.futures.as_completed(self._futures)

    def __iter__(self) -> Iterator[ObjectFuture]:
        return self

    def __next__(self) -> ObjectFuture:
        future = next(self._completed)
        assert isinstance(future, ObjectFuture)
        return future

    def __len__(self) -> int:
        return len(self._futures)


def gathered(futures: Iterable[ObjectFuture], timeout: float | None) -> list[Any]:
    """Return the results in order; the first error raises. ``timeout`` is for all together."""
    end = None if timeout is None else monotonic() + timeout
    return [one.get(None if end is None else max(0.0, end - monotonic())) for one in list(futures)]
