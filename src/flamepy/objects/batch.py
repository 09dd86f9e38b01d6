"""``Batch``: one call of the object cache for each of many items, several at a time.

``Outcomes`` decides, without threads: what ended how, whether more are begun, what the batch
returns or raises. The caller's thread takes items from their iterable, hands them to threads
``flamepy-objects-batch-<n>``, which make the calls, and records what became of them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InvalidArgumentError,
    ObjectBatchError,
    ResourceExhaustedError,
)
from flamepy.objects.caller import check_thread
from flamepy.objects.faces import PARALLEL, Counted
from flamepy.progress_bars import size_of
from flamepy.runtime import threads
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.queues import SimpleQueue
from flamepy.texts import repr_of, text_of
from flamepy.wire.validation import timeout as check_timeout

A = TypeVar("A")
T = TypeVar("T")

AHEAD = 2  # items that are taken before a thread is free for them
SHOWN = 3  # errors whose text is part of the batch's
JOIN = 2.0  # seconds for threads without work to end


def check_parallel(parallel: object) -> int:
    """Return it. Raises InvalidArgumentError."""
    if not isinstance(parallel, int) or isinstance(parallel, bool) or parallel < 1:
        raise InvalidArgumentError(
            f"parallel must be a whole number of calls, 1 or more, got {repr_of(parallel)}"
        )
    return parallel


def check_items(name: str, items: object) -> None:
    """Refuse what is one object rather than many. Raises InvalidArgumentError."""
    single = isinstance(items, (bytes, bytearray, memoryview, str, Mapping))
    if single or not isinstance(items, Iterable):
        raise InvalidArgumentError(
            f"{name} must be an iterable such as a list, got {type(items).__name__}: "
            f"{repr_of(items)}; write [x] for a single one, and d.values() for those of a dict"
        )


class Outcomes(Generic[T]):
    """What became of the items of a batch, by their places in it. Pure.

    Args:
        name: of the batch's call.
        keep_going: begin items although others have failed.
    """

    def __init__(self, name: str, *, keep_going: bool) -> None:
        self.results: dict[int, T] = {}
        self.errors: dict[int, BaseException] = {}
        self._name = name
        self._keep_going = keep_going
        self._broken: Exception | None = None

    @property
    def ended(self) -> int:
        """How many items have ended."""
        return len(self.results) + len(self.errors)

    @property
    def failed(self) -> bool:
        """True if no more items may begin."""
        return self._broken is not None or bool(self.errors and not self._keep_going)

    def broken(self, error: Exception) -> None:
        """Record that the caller's iterable or progress function raised; the first one counts."""
        self._broken = self._broken or error

    def all(self, count: int | None, total: int | None) -> list[T | BaseException]:
        """Return what became of each item, in order.

        Args:
            count: how many there were; None if not all were taken.
            total: how many there are, if that is known.

        Raises:
            ObjectBatchError: not all have succeeded.
        """
        if count is None or self.failed or self.ended < count:
            raise self._error(total)
        return [
            self.results[place] if place in self.results else self.errors[place]
            for place in range(count)
        ]

    def _error(self, total: int | None) -> ObjectBatchError:
        cause = self._broken or next(iter(self.errors.values()), None)
        made = ObjectBatchError(
            self._text(total), results=dict(self.results), errors=dict(self.errors)
        )
        if isinstance(cause, FlameError):
            made.code = cause.code
        made.retryable = bool(self.errors) and all(
            isinstance(one, FlameError) and one.retryable for one in self.errors.values()
        )
        made.__cause__ = cause
        return made

    def _text(self, total: int | None) -> str:
        found = [f"object {place}: {_said(error)}" for place, error in sorted(self.errors.items())]
        if len(found) > SHOWN:
            found[SHOWN:] = [f"and {len(found) - SHOWN} more"]
        if self._broken is not None:
            what = f"{type(self._broken).__name__}: {text_of(self._broken)}"
            found.insert(0, f"the iterable or the progress function raised {what}")
        rest = "the rest" if total is None else total - self.ended
        return (
            f"{self._name} stopped: {len(self.results)} done, {len(self.errors)} failed, {rest} "
            f"not begun; {'; '.join(found) or 'it was cancelled'}. This error has what is done in "
            ".results and what failed in .errors, by place"
        )


def _said(error: BaseException) -> str:
    return (
        error.message
        if isinstance(error, FlameError)
        else f"{type(error).__name__}: {text_of(error)}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchOptions:
    """How a batch runs.

    Attributes:
        parallel: calls at a time.
        timeout: seconds for all of it, or None.
        return_exceptions: put errors in the places of results.
        progress: is called with items ended and items in all.
    """

    parallel: int = PARALLEL
    timeout: float | None = None
    return_exceptions: bool = False
    progress: Counted | None = None

    def __post_init__(self) -> None:
        check_parallel(self.parallel)
        check_timeout(self.timeout)


class Batch(Generic[A, T]):
    """Makes one call for each item. Run it once; ``stop`` is safe from any thread.

    Args:
        name: of the batch's call, for errors.
        items: are taken one after another in the thread that runs it, few of them ahead.
        call: makes the call for an item within the given seconds, in a thread of the batch.
        options: how.
    """

    def __init__(
        self,
        name: str,
        items: Iterable[A],
        call: Callable[[A, float | None], T],
        options: BatchOptions,
    ) -> None:
        self._name = name
        self._items = items
        self._call = call
        self._options = options
        self._outcomes: Outcomes[T] = Outcomes(name, keep_going=options.return_exceptions)
        self._jobs: SimpleQueue[tuple[int, A] | None] = SimpleQueue()
        self._ended: SimpleQueue[tuple[int, T | None, BaseException | None] | None] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._complete = False  # whether all items were taken
        self._deadline: float | None = None

    def stop(self) -> None:
        """Begin no more calls; those that run are not interrupted."""
        self._stopped = True

    def run(self) -> list[Any]:
        """Return the results in the items' order.

        Raises:
            ObjectBatchError: a call failed, or the iterable or the progress function raised; it
                has what succeeded until then.
            InvalidStateError: this is a thread that serves others.
        """
        check_thread()
        seconds = check_timeout(self._options.timeout)
        self._deadline = None if seconds is None else monotonic() + seconds
        total = size_of(self._items)
        try:
            taken = self._collect(total)
        finally:
            self.stop()
            for _ in self._threads:
                self._jobs.put(None)
        for one in self._threads:
            one.join(JOIN)
        return self._outcomes.all(taken if self._complete else None, total)

    # ------------------------------------------------------------------ the caller's thread

    def _collect(self, total: int | None) -> int:
        """Hand out items and record their ends until all have ended; return how many there were."""
        source = enumerate(self._items)
        taken = pending = 0
        while True:
            while pending < self._options.parallel + AHEAD and (item := self._next(source)):
                self._hand_out(item, pending)
                taken, pending = taken + 1, pending + 1
            if not pending:
                return taken
            ended = self._ended.get()
            pending -= 1
            if ended is not None:
                self._record(*ended)
                self._report(total)

    def _next(self, source: Iterator[tuple[int, A]]) -> tuple[int, A] | None:
        if self._stopped or self._outcomes.failed:
            return None
        try:
            item = next(source, None)
        except Exception as error:
            self._outcomes.broken(error)
            return None
        self._complete = item is None
        return item

    def _hand_out(self, item: tuple[int, A], pending: int) -> None:
        self._jobs.put(item)
        number = len(self._threads)
        if number < self._options.parallel and number <= pending:
            name = f"flamepy-objects-batch-{number}"
            try:
                self._threads.append(threads.start(self._work, name=name))
            except ResourceExhaustedError:
                if not number:  # else those that run make this call as well
                    raise

    def _record(self, place: int, result: T | None, error: BaseException | None) -> None:
        if error is None:
            self._outcomes.results[place] = result  # type: ignore[assignment]  # None may be one
        else:
            self._outcomes.errors[place] = error

    def _report(self, total: int | None) -> None:
        if self._options.progress is not None:
            try:
                self._options.progress(self._outcomes.ended, total)
            except Exception as error:
                self._outcomes.broken(error)
                self.stop()

    # ------------------------------------------------------------------ the batch's threads

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._ended.put(None if self._stopped else self._outcome(*job))
            del job

    def _outcome(self, place: int, item: A) -> tuple[int, T | None, BaseException | None]:
        try:
            return place, self._call(item, self._left(place)), None
        except BaseException as error:
            if not self._options.return_exceptions:
                self.stop()
            return place, None, error

    def _left(self, place: int) -> float | None:
        """Return the seconds that are left. Raises DeadlineExceededError."""
        if self._deadline is None:
            return None
        left = self._deadline - monotonic()
        if left <= 0:
            raise DeadlineExceededError(
                f"{self._name} did not begin object {place} within its timeout of "
                f"{repr_of(self._options.timeout)} s"
            )
        return left
