"""How one callback is called: timed, awaited, retried, and how its final error is handled.

An exception is repeated as the registration's ``retry`` says (tenacity runs it; waits end at once
when the registration stops), then logged - once with its traceback where it repeats,
then with how often it came - counted, given to ``on_error`` and reported, and
delivery continues with the next event. Runs on the informer's thread.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Final, NamedTuple

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    sleep_using_event,
    stop_after_attempt,
    stop_before_delay,
    stop_never,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from flamepy.errors import InformerError
from flamepy.informers.delivery.async_loop import AsyncCalls
from flamepy.informers.delivery.callbacks import Call
from flamepy.informers.delivery.mistakes import attributes
from flamepy.informers.informer import PermanentError, TemporaryError
from flamepy.runtime.clocks import monotonic
from flamepy.runtime.flags import Flag
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.texts import described, repr_of
from flamepy.types import RetryPolicy
from flamepy.watching.state.events import SessionEvent, TaskEvent

logger = logging.getLogger(__name__)

FAILED: Final = object()  # what a function answered that failed for good


class RunningCall(NamedTuple):
    """A callback that runs now: its name, since when (monotonic seconds), and its event."""

    callback: str
    since: float
    item: object


@dataclass(frozen=True, slots=True)
class Failure:
    """A callback that failed for good: what the signal ``handler_failed`` carries."""

    informer: str
    callback: str
    event: object
    error: BaseException
    attempts: int


class CallbackRunner:
    """Calls the callbacks of one registration.

    Args:
        name: the registration's, for logs.
        retry: how a failed callback is repeated; None: only after ``TemporaryError``.
        stopping: set when the registration ends at once.
        failed: called with each failure, before ``on_error``.
        on_error: the informer's own ``on_error``, if it is overridden.
        log: writes the lines about failures; its owner flushes it.
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
    ) -> None:
        self._name = name
        self._retry = retry
        self._stopping = stopping
        self._failed = failed
        self._on_error = on_error
        self._log = log or RepeatedLog(logger)
        self.asynchronous = AsyncCalls(name)
        self.running: RunningCall | None = None
        self.failures = 0
        self.retries = 0
        self.seconds = 0.0

    def call(self, call: Call, item: object = None, *, plain: bool = False) -> bool:
        """Call one callback; return False if it failed for good.

        Args:
            call: which.
            item: the event, or what else it gets.
            plain: it takes no argument.
        """
        arguments = () if plain else (call.shape(item) if call.shape else item,)
        try:
            self._once(call, arguments, item)
            return True
        except BaseException as error:  # SystemExit of a callback must not end the thread either
            return self._again(call, arguments, item, error)

    def ask(self, call: Call, item: object, take: Callable[[object], object]) -> object:
        """Call ``where`` or ``transform`` as a callback is called; return what it answered.

        Args:
            call: the function.
            item: the event.
            take: returns what the answer means, or raises what is wrong with it, which is an
                error of the function as well.

        Returns:
            What ``take`` returned, or ``FAILED`` if the function failed for good.
        """
        answers: list[object] = []

        def asked(event: object) -> None:
            answer = call.method(event)
            if inspect.isawaitable(answer):
                answer = self.asynchronous.run(answer)
            answers.append(take(answer))

        return answers[-1] if self.call(Call(call.name, asked), item) else FAILED

    def _once(self, call: Call, arguments: tuple[object, ...], item: object) -> None:
        started = monotonic()
        self.running = RunningCall(call.name, started, item)
        try:
            result = call.method(*arguments)
            if inspect.isawaitable(result):
                self.asynchronous.run(result)
        finally:
            self.running = None
            self.seconds += monotonic() - started

    # ------------------------------------------------------------------ after an error

    def _again(
        self, call: Call, arguments: tuple[object, ...], item: object, error: BaseException
    ) -> bool:
        attempts = 1
        if self._may_repeat(error):
            first: BaseException | None = error

            def attempt() -> None:
                nonlocal first, attempts
                if first is not None:  # tenacity counts the try that has failed already
                    known, first = first, None
                    raise known
                if self._stopping.is_set():
                    raise error
                attempts += 1
                self.retries += 1
                self._once(call, arguments, item)

            try:
                self._retrying()(attempt)
                return True
            except BaseException as last:
                error = last
        self.report(call.name, item, error, attempts)
        return False

    def _may_repeat(self, error: BaseException) -> bool:
        kind = type(error)  # isinstance asks a __class__, which a user's exception may define
        if issubclass(kind, PermanentError) or not issubclass(kind, Exception):
            return False
        return issubclass(kind, TemporaryError) or self._retry is not None

    def _retrying(self) -> Retrying:
        policy = self._retry or RetryPolicy(timeout=None)
        limit = stop_never if policy.timeout is None else stop_before_delay(policy.timeout)
        return Retrying(
            retry=retry_if_exception(self._may_repeat),
            stop=stop_after_attempt(policy.attempts) | limit | stop_when_event_set(self._stopping),  # type: ignore[arg-type]  # has the methods of an Event
            wait=_Wait(policy),
            sleep=sleep_using_event(self._stopping),  # type: ignore[arg-type]  # as above
            reraise=True,
        )

    def report(self, name: str, item: object, error: BaseException, attempts: int) -> None:
        """Count, log and signal what failed for good, and call ``on_error``."""
        if self._stopping.is_set() and isinstance(error, CancelledError):
            logger.info("%s.%s was cancelled by the stop", self._name, name)
            return
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
        )
        self._failed(Failure(self._name, name, item, error, attempts))
        # After a stop no callback starts, on_error neither.
        if self._on_error is None or name == "on_error" or self._stopping.is_set():
            return
        reported = InformerError(
            f"{self._name}.{name} raised {described(error)}",
            attempts=attempts,
            event=item if isinstance(item, (TaskEvent, SessionEvent, list)) else None,
        )
        reported.__cause__ = error
        self.call(self._on_error, reported)


class _Wait:
    """Seconds before the next try: what a ``TemporaryError`` asks for, else the policy's."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = wait_exponential(
            multiplier=policy.wait_initial, max=policy.wait_max, exp_base=policy.wait_exp_base
        ) + wait_random(0, policy.wait_jitter)

    def __call__(self, state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome is not None else None
        if isinstance(error, TemporaryError) and error.delay is not None:
            return error.delay
        return float(self._policy(state))


def describe(item: object) -> str:
    """Return what an item is about: the key of an event, or of the first of several."""
    if isinstance(item, (TaskEvent, SessionEvent)):
        return item.key
    if isinstance(item, list) and item:
        return f"{len(item)} events from {describe(item[0])} on"
    if isinstance(item, (str, tuple)):
        return f"key {repr_of(item)}"
    return ""
