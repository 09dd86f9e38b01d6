"""``ObjectFuture``: the future of a call, whose result may be in the object cache."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

from flamepy.core.cache import ObjectRef, put_object
from flamepy.core.futures import DecodedFuture
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.runner.results import is_pickle, reference, value_of
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of


class ObjectFuture(DecodedFuture[Any]):
    """The future of one call of a ``RunnerService``.

    A large result stays in the object cache until ``get`` or ``result`` fetches it; a small one
    comes with the task. ``ref`` names it in the cache in either case.

    Args:
        future: of the task; its result is an encoded ``ObjectRef``, or a pickled result.
        prefix: ``application/session``, where ``ref`` puts a small result.
    """

    def __init__(
        self, future: concurrent.futures.Future[bytes | None], prefix: str | None = None
    ) -> None:
        super().__init__(future)
        self._prefix = prefix
        self._stored: ObjectRef | None = None

    def ref(self, timeout: float | None = None) -> ObjectRef:
        """Wait for the call to end and return where its result is, for other calls to take.

        Args:
            timeout: seconds; None waits as long as the task takes.

        Raises:
            TaskFailedError: the call raised; with the remote traceback.
            DeadlineExceededError: it did not end within ``timeout``; it continues.
        """
        output = self._output(timeout)
        if self._prefix is None or output is None or not is_pickle(output):
            return reference(output)
        if self._stored is None:
            self._stored = put_object(self._prefix, value_of(output))
        return self._stored

    def argument(self) -> Any:
        """Wait for the call to end; return what stands for its result in another call.

        A reference; or a small result itself, unless the other side would take it for a reference.
        """
        output = self._output(None)
        if output is None or not is_pickle(output):
            return reference(output)
        value = value_of(output)
        return self.ref() if isinstance(value, (bytes, ObjectRef)) else value

    def get(self, timeout: float | None = None) -> Any:
        """Wait for the call to end and return its result; arguments and errors as of ``ref``."""
        return self.result(timeout)

    def wait(self, timeout: float | None = None) -> None:
        """Wait for the call to end; raises what ``get`` would raise, fetches nothing."""
        self._output(timeout)

    def _decode(self, output: bytes | None) -> Any:
        return value_of(output)


class ObjectFutureIterator:
    """Futures in the order in which their calls end: ``for future in runner.select(futures)``."""

    def __init__(self, futures: Iterable[ObjectFuture]) -> None:
        self._futures = checked(futures)
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
    timeout = seconds_or_none("timeout", timeout)
    end = None if timeout is None else monotonic() + timeout
    waited = checked(futures)
    return [one.get(None if end is None else max(0.0, end - monotonic())) for one in waited]


def checked(futures: Iterable[ObjectFuture]) -> list[ObjectFuture]:
    """Return futures as a list. Raises InvalidArgumentError for anything else."""
    if isinstance(futures, ObjectFuture) or not isinstance(futures, Iterable):
        raise InvalidArgumentError(
            f"futures must be several, such as a list of what calls returned, got "
            f"{repr_of(futures)}; of one call take future.get(), future.ref() or future.wait()"
        )
    found = list(futures)
    for index, one in enumerate(found):
        if not isinstance(one, ObjectFuture):
            raise InvalidArgumentError(
                f"futures must be what calls of services returned, got {repr_of(one)} at position "
                f"{index}"
            )
    return found


def fetched(
    outputs: Generator[bytes | FlameError | None, None, None],
) -> Generator[Any, None, None]:
    """Yield the results that outputs of calls name; errors stay what they are."""
    with closing(outputs):
        for one in outputs:
            yield one if isinstance(one, FlameError) else value_of(one)
