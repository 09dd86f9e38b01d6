"""``ObjectFuture``: the future of a call whose result is an object of the object cache."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from flamepy.core.cache import ObjectRef, get_object
from flamepy.core.futures import DecodedFuture
from flamepy.errors import FlameError, InternalError
from flamepy.runtime.clocks import monotonic


class ObjectFuture(DecodedFuture[Any]):
    """The future of one call of a ``RunnerService``.

    The result stays in the object cache; ``ref`` names it there, ``get`` and ``result`` fetch it.

    Args:
        future: of the task; its result is an encoded ``ObjectRef``.
    """

    def __init__(self, future: concurrent.futures.Future[bytes | None]) -> None:
        super().__init__(future)

    def ref(self, timeout: float | None = None) -> ObjectRef:
        """Wait for the call to end and return where its result is.

        Args:
            timeout: seconds; None waits as long as the task takes.

        Raises:
            TaskFailedError: the call raised; with the remote traceback.
            DeadlineExceededError: it did not end within ``timeout``; it continues.
        """
        return _reference(self._output(timeout))

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the call to end and return its result; arguments and errors as of ``ref``."""
        return self.result(timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the call to end; raises what ``get`` would raise, fetches nothing."""
        self._output(timeout)

    def _decode(self, output: bytes | None) -> Any:
        return get_object(_reference(output))


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


def fetched(
    outputs: Generator[bytes | FlameError | None, None, None],
) -> Generator[Any, None, None]:
    """Yield the results that outputs of calls name; errors stay what they are."""
    with closing(outputs):
        for one in outputs:
            yield one if isinstance(one, FlameError) else get_object(_reference(one))


def _reference(output: bytes | None) -> ObjectRef:
    if output is None:
        raise InternalError("the call has no output: its service is not one of flamepy.runner")
    return ObjectRef.decode(output)
