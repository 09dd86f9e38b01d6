"""How one callback is called: timed, awaited, and how its final error is handled.

What a callback raises is logged - once with its traceback where it repeats, then with how often it
came - counted, given to ``on_error`` and reported, and delivery continues with the next event.
Whether it is called again before that, and when, is decided by ``retry_wait``; ``dispatch`` does
it. Runs on the informer's threads.
"""

from __future__ import annotations

import inspect
import logging
import random
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from flamepy.errors import InformerError
from flamepy.informers.delivery.callbacks import Call
from flamepy.informers.outcomes.mistakes import attributes
from flamepy.informers.outcomes.retry_wait import wait_before_retry
from flamepy.informers.workers.async_loop import AsyncCalls
from flamepy.informers.workers.given_loop import GivenLoop
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import described, repr_of
from flamepy.types import RetryPolicy
from flamepy.watching.state.events import SessionEvent, TaskEvent

logger = logging.getLogger(__name__)
LOG_FIELDS = ("session", "task", "application")


class RunningCall(NamedTuple):
    """A callback that runs now.

    Attributes:
        callback: its name.
        since: monotonic seconds.
        item: what it was called with.
        thread: the identifier of its thread; of a coroutine, that of the thread which waits.
    """

    callback: str
    since: float
    item: object
    thread: int = 0

    def text(self, now: float) -> str:
        """Return what runs, for how long, and with what; ``now`` is monotonic seconds."""
        about = describe(self.item)
        where = f" at {about}" if about else ""
        return f"{self.callback} has been running for {now - self.since:.1f} s{where}"


class Sending(Protocol):
    """The calls of a sink that run apart from its callbacks: ``open``, ``send``, ``close``."""

    @property
    def calls(self) -> list[RunningCall]:
        """Those that run now; from any thread."""

    def stack(self, thread: int) -> str:
        """Return where the coroutine is that a thread waits for, as text, or ""."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A callback that failed for good: what the signal ``handler_failed`` carries."""

    informer: str
    callback: str
    event: object
    error: BaseException
    attempts: int


@dataclass(frozen=True, slots=True)
class FinishedCall:
    """One call of a callback with an event that has ended; see ``Reactor.observe_calls``.

    Attributes:
        informer: the registration's name.
        callback: such as ``"on_failed"``.
        events: what it was called with; several for ``on_batch``.
        started: when it was called, monotonic seconds, as ``event.observed_at`` is.
        ended: when it returned or raised.
        failed: whether it raised; it may be called again.
        error: what it raised, as a text cut at a thousand characters; "" if it did not.
    """

    informer: str
    callback: str
    events: tuple[TaskEvent | SessionEvent, ...]
    started: float
    ended: float
    failed: bool
    error: str = ""


ERROR_LENGTH = 1_000  # characters
CallObservers = list[Callable[[FinishedCall], object]]


class CallbackRunner:
    """Calls the callbacks of one registration.

    Args:
        name: the registration's, for logs.
        retry: how a failed callback is repeated; None: only after ``TemporaryError``.
        stopping: set when the registration ends at once.
        failed: called with each failure, before ``on_error``.
        on_error: the informer's own ``on_error``, if it is overridden.
        log: writes the lines about failures; its owner flushes it.
        observers: called with each call that has ended.
        given: the program's loop, if coroutines run there.
    """

    def __init__(
        self,
        name: str,
        *,
        retry: RetryPolicy | None,
        stopping: Flag,
        failed: Callable[[Failure], None],
        on_error: Call | None,
        log: RepeatedLog | None = None,
        observers: CallObservers | None = None,
        given: GivenLoop | None = None,
    ) -> None:
        self._name = name
        self._retry = retry
        self._stopping = stopping
        self._failed = failed
        self._on_error = on_error
        self._log = log or RepeatedLog(logger)
        self._observers = [] if observers is None else observers
        self.asynchronous = AsyncCalls(name, given)
        self._running: dict[int, RunningCall] = {}  # by thread
        # Several threads count; the interpreter changes threads at calls and jumps, of which there
        # are none between the read and the write of ``+= 1``.
        self.failures = 0
        self.retries = 0
        self.seconds = 0.0

    @property
    def running(self) -> RunningCall | None:
        """The callback that has run longest of those that run now."""
        return min(self.calls, key=lambda one: one.since, default=None)

    @property
    def calls(self) -> list[RunningCall]:
        """The callbacks that run now, of each thread one; from any thread."""
        return list(self._running.values())

    def stack(self, call: RunningCall) -> str:
        """Return where a callback that runs now is, as text; "" if it has ended."""
        coroutine = self.asynchronous.stack(call.thread)
        if coroutine:
            return coroutine
        frame = sys._current_frames().get(call.thread)
        return "".join(traceback.format_stack(frame)) if frame is not None else ""

    def doing(self, *, stacks: bool = False) -> str:
        """Return what runs now, "" if nothing does; with stacks below it, if these are wanted."""
        now, calls = monotonic(), self.calls
        parts = ["; ".join(one.text(now) for one in calls)]
        return "\n".join([*parts, *map(self.stack, calls)] if stacks else parts)

    def call(self, call: Call, item: object = None, *, plain: bool = False) -> bool:
        """Call one callback until it works or failed for good; waits on this thread in between.

        Args:
            call: which.
            item: the event, or what else it gets.
            plain: it takes no argument.

        Returns:
            False if it failed for good.
        """
        attempts, since = 0, 0.0
        while True:
            attempts += 1
            error = self.attempt(call, item, plain=plain)
            if error is None:
                return True
            since = since or monotonic()
            wait = self.wait_after(error, attempts, since)
            if wait is None or self._stopping.wait(wait):
                self.report(call.name, item, error, attempts)
                return False
            self.retries += 1

    def attempt(self, call: Call, item: object, *, plain: bool = False) -> BaseException | None:
        """Call one callback once; return what it raised."""
        started, own = monotonic(), threading.get_ident()
        raised: BaseException | None = None
        self._running[own] = RunningCall(call.name, started, item, own)
        try:
            if plain:
                result = call.method()
            else:
                result = call.method(item if call.shape is None else call.shape(item))
            if result is not None and inspect.isawaitable(result):
                self.asynchronous.run(result)
            return None
        except BaseException as error:  # SystemExit of a callback must not end the thread either
            raised = error
            return error
        finally:
            self._running.pop(own, None)
            ended = monotonic()
            self.seconds += ended - started
            if self._observers:
                self._observe(call.name, item, started, ended, raised)
            raised = None  # else the error's traceback refers to this frame, and this to it

    def _observe(
        self,
        callback: str,
        item: object,
        started: float,
        ended: float,
        raised: BaseException | None,
    ) -> None:
        events = tuple(item) if isinstance(item, list) else (item,)
        if not callback.startswith("on_") or not all(
            isinstance(one, (TaskEvent, SessionEvent)) for one in events
        ):
            return
        text = "" if raised is None else described(raised)[:ERROR_LENGTH]
        failed = raised is not None
        call = FinishedCall(self._name, callback, events, started, ended, failed, text)
        for observer in list(self._observers):
            try:
                observer(call)
            except Exception as error:
                self._log.log(
                    logging.ERROR,
                    ("observer", *kind_of(error)),
                    "%s, which observes calls, raised: %s",
                    *(repr_of(observer), repr_of(error)),
                    error=error,
                )

    def ask(self, call: Call, item: object) -> tuple[object, BaseException | None]:
        """Call ``where`` or ``transform`` once; return its answer, or what it raised."""
        answers: list[object] = []

        def asked(event: object) -> None:
            answer = call.method(event)
            answers.append(self.asynchronous.run(answer) if inspect.isawaitable(answer) else answer)

        error = self.attempt(Call(call.name, asked), item)
        return (None, error) if error is not None else (answers[0], None)

    # ------------------------------------------------------------------ after an error

    def wait_after(self, error: BaseException, attempts: int, since: float) -> float | None:
        """Return the seconds until a callback is called again; None if it failed for good.

        Args:
            error: what it raised.
            attempts: how often it was called.
            since: when it raised first, monotonic seconds.
        """
        if self._stopping.is_set():
            return None
        return wait_before_retry(
            self._retry,
            error,
            attempts=attempts,
            elapsed=monotonic() - since,
            jitter=random.random,
        )

    def report(self, name: str, item: object, error: BaseException, attempts: int) -> None:
        """Count, log and signal what failed for good, and call ``on_error``."""
        failure = self.fail(name, item, error, attempts)
        reported = None if failure is None else self.error_of(failure)
        if reported is not None and self._on_error is not None:
            self.call(self._on_error, reported)

    def fail(self, name: str, item: object, error: BaseException, attempts: int) -> Failure | None:
        """Count, log and signal what failed for good; None if a stop cancelled it."""
        if self._stopping.is_set() and isinstance(error, CancelledError):
            extra = log_fields(self._name, item)
            logger.info("%s.%s was cancelled by the stop", self._name, name, extra=extra)
            return None
        self.failures += 1
        tries = f" {attempts} times" if attempts > 1 else ""
        where = describe(item)
        self._log.log(
            logging.ERROR,
            ("failed", self._name, name, *kind_of(error)),
            "%s.%s raised%s%s: %s%s",
            *(self._name, name, tries, f" at {where}" if where else "", repr_of(error)),
            attributes(error, item),
            error=error,
            extra=log_fields(self._name, item),
        )
        failure = Failure(self._name, name, item, error, attempts)
        self._failed(failure)
        return failure

    def error_of(self, failure: Failure) -> InformerError | None:
        """Return what ``on_error`` gets of a failure; None if it is not called."""
        # After a stop no callback starts, on_error neither.
        if self._on_error is None or failure.callback == "on_error" or self._stopping.is_set():
            return None
        item, error = failure.event, failure.error
        reported = InformerError(
            f"{self._name}.{failure.callback} raised {described(error)}",
            attempts=failure.attempts,
            event=item if isinstance(item, (TaskEvent, SessionEvent, list)) else None,
        )
        reported.__cause__ = error
        return reported


def log_fields(informer: str, item: object) -> dict[str, object]:
    """Return the attributes of a log record: ``informer``, ``session``, ``task``, ``application``.

    What an item does not have, or what differs among several events, is None.
    """
    events = item if isinstance(item, list) else [item]
    found: dict[str, object] = {"informer": informer, **dict.fromkeys(LOG_FIELDS)}
    columns = zip(*filter(None, map(_about, events)), strict=True)
    for name, values in zip(LOG_FIELDS, columns, strict=False):
        found[name] = values[0] or None if len(set(values)) == 1 else None
    return found


def _about(item: object) -> tuple[str, str, str] | None:
    if isinstance(item, TaskEvent):
        return item.session_id, item.task.id, item.application
    if isinstance(item, SessionEvent):
        return item.session_id, "", item.application
    return None


def describe(item: object) -> str:
    """Return what an item is about: the key of an event, or of the first of several."""
    if isinstance(item, (TaskEvent, SessionEvent)):
        return item.key
    if isinstance(item, list) and item:
        return f"{len(item)} events from {describe(item[0])} on"
    if isinstance(item, (str, tuple)):
        return f"key {repr_of(item)}"
    return ""
