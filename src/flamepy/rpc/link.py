"""``Link``: what one connection owns - channel, frontend, state, and what is attached to it.

``flamepy.core``, ``flamepy.aio`` and ``Reactor`` are views of a link. A synchronous link lives on
the loop of its ``ReactorLoop``; an asynchronous one on the loop that first uses it. Attachments
(the hub, the signal sender) are made on demand and closed with the link, last made first.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import grpc
import grpc.aio

from flamepy.call_options import CallOptions
from flamepy.config import FlameContext
from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    FlameErrorCode,
    InvalidStateError,
    UnauthenticatedError,
    UnavailableError,
)
from flamepy.host.addresses import is_here
from flamepy.rpc.connect_probe import reach
from flamepy.rpc.requests.adoption import Claims
from flamepy.rpc.requests.frontend import Frontend
from flamepy.rpc.retry.call_limits import VERIFY, check_options
from flamepy.rpc.retry.classifier import Failure
from flamepy.rpc.retry.retrier import Retrier
from flamepy.rpc.transport.attempt import Transport
from flamepy.rpc.transport.calls import Calls
from flamepy.rpc.transport.channel import open_channel, open_list_channel
from flamepy.rpc.transport.goaway import is_goaway
from flamepy.rpc.transport.hooks import CallHooks
from flamepy.rpc.transport.loop_thread import FORKED, ReactorLoop
from flamepy.rpc.transport.user_code import UserCode
from flamepy.rpc.transport.ways_out import start_one
from flamepy.runtime.repeats import EVERY, RepeatedLog
from flamepy.runtime.seconds import seconds
from flamepy.runtime.surroundings import check_clock, check_threads
from flamepy.types import ConnectionState, ConnectionStats, RetryDetails, RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")
Observer = TypeVar("Observer")
PATIENCE = 120.0
# A caller that polls, such as the hub, must not block during an outage. A connection that a server
# closes in the middle of a call is not an outage.
HASTY = RetryPolicy(attempts=2, wait_initial=0.02, wait_jitter=0.02, budget=False)


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """The connection's state changed."""

    state: ConnectionState
    previous: ConnectionState


class Link:
    """The channel, the frontend and the connection state of one connection.

    Args:
        context: where the engine is.
        reactor: the loop of a synchronous link; None for one of the caller's own loop.
        patience: seconds that calls and waits ride out an unreachable engine; before the engine
            has answered at all, calls wait ``retry.UNTIL_FIRST`` seconds at most.
        policy: how repeatable calls are repeated; by default as the context says.
        on_ambiguous: what is done about tasks of which it is not known whether they were made.
        options: what every call carries, instead of what the context says.
    """

    def __init__(
        self,
        context: FlameContext,
        *,
        reactor: ReactorLoop | None = None,
        patience: float = PATIENCE,
        policy: RetryPolicy | None = None,
        on_ambiguous: str = VERIFY,
        options: CallOptions | None = None,
    ) -> None:
        check_options(policy, patience, on_ambiguous)
        self.context = context
        self.endpoint = context.address.url
        self.reactor = reactor
        self.patience = seconds("patience", patience)
        self.on_ambiguous = on_ambiguous
        self.policy = policy or context.retry or RetryPolicy()
        self.state = ConnectionState.DISCONNECTED
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = Calls(self._open_channel, self._lists_opener(), self.endpoint)
        self._process = os.getpid()
        self._retrier = Retrier(
            self.policy, way_out=start_one(self.endpoint), scheduled=self._take_retry
        )
        chosen = (options or CallOptions()).over(context.call_options).with_installed()
        self._options = chosen
        hooks = CallHooks(chosen, UserCode(own_loop=reactor is not None)) if chosen else None
        self._hooks = hooks
        if (
            chosen.token is not None
            and not context.address.tls
            and not is_here(context.address.host)
        ):
            logger.warning("the token for %s is sent without encryption: use https", self.endpoint)
        around = None if hooks is None else hooks.run
        self._frontend = Frontend(
            Transport(self._calls, self.endpoint, self._take_outcome, around),
            self._retrier,
            Claims(),
            self.policy,
            self.patience,
            workspace=context.workspace,
        )
        self._hasty = self._frontend.hasty(HASTY, None if hooks is None else hooks.run_contained)
        self._outages = 0
        self._lost_at: float | None = None
        self._changes = RepeatedLog(logger, clock=lambda: asyncio.get_running_loop().time())
        self._flushing: asyncio.TimerHandle | None = None  # while changes are counted
        self._reaching = False  # a probe for the reason of the outage is running
        self._attachments: dict[str, Any] = {}  # Any: each is of the type its factory makes
        self._observers: list[Callable[[ConnectionChange], None]] = []
        self._retry_observers: list[Callable[[RetryDetails], None]] = []

    def __repr__(self) -> str:
        return f"<Link {self.endpoint} {'closed' if self.closed else self.state}>"

    @property
    def frontend(self) -> Frontend:
        """The calls, on the loop that uses them first; the channel is made at the first call.

        Raises:
            ConnectionClosedError: the link is closed.
            InvalidStateError: another loop than the first one asks, or a child of its process.
        """
        if self.closed or asyncio.get_running_loop() is not self._loop:
            self._enter()
        return self._frontend

    @property
    def hasty(self) -> Frontend:
        """The same calls for callers that poll: an outage is an error at once."""
        if self.closed or asyncio.get_running_loop() is not self._loop:
            self._enter()
        return self._hasty

    def _enter(self) -> None:
        """Take the running loop at the first use; later refuse any other, see ``frontend``.

        A forked child is another one, too: what runs there runs on a loop of its own.
        """
        running = asyncio.get_running_loop()
        if self.closed:
            raise ConnectionClosedError(f"the connection to {self.endpoint} is closed")
        if self._process != os.getpid():
            raise InvalidStateError(FORKED)
        if self._loop is None:
            check_threads()
            self._loop = running
            self._set_state(ConnectionState.CONNECTING)
        elif running is not self._loop:
            raise InvalidStateError(
                f"the connection to {self.endpoint} belongs to another event loop; "
                "make one connection per loop"
            )

    def stats(self) -> ConnectionStats:
        """Return what was counted so far; from any thread."""
        counters = self._retrier.counters
        return ConnectionStats(
            state=self.state,
            calls=counters.calls,
            failures=counters.failures,
            retries=counters.retries,
            waits=counters.waits,
            refused_retries=counters.refused_retries,
            adopted=counters.adopted,
            sent_again=counters.sent_again,
            outages=self._outages,
            budget=round(self._retrier.budget.left, 3),
            dialect=self._calls.names.dialect,
        )

    def _open_channel(self) -> grpc.aio.Channel:
        context = self.context
        return open_channel(context.address, context.tls, keepalive=context.keepalive)

    def _lists_opener(self) -> Callable[[], grpc.Channel] | None:
        """Return what makes the channel of lists; None where they go by the other one."""
        context = self.context
        return partial(open_list_channel, context.address, context.tls, keepalive=context.keepalive)

    def synchronous(self) -> Link:
        """Return a link of its own to the same engine, with the same settings, for threads.

        Its calls carry the same metadata and token and pass the same interceptors; ``async`` ones
        run on the loop of a thread, not on the one of this link.

        Raises:
            ConnectionClosedError: the link is closed.
        """
        if self.closed:
            raise ConnectionClosedError(f"the connection to {self.endpoint} is closed")
        return Link(
            self.context,
            reactor=ReactorLoop(),
            patience=self.patience,
            policy=self.policy,
            on_ambiguous=self.on_ambiguous,
            options=self._options,
        )

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on a synchronous link's loop and wait; from any other thread."""
        assert self.reactor is not None, "an asynchronous link is awaited, not run"
        return self.reactor.run(coroutine, timeout)

    def attachment(self, key: str, factory: Callable[[Link], T]) -> T:
        """Return the one attachment of that key, made by ``factory`` at the first call."""
        if self.closed:
            raise ConnectionClosedError(f"the connection to {self.endpoint} is closed")
        attached: T | None = self._attachments.get(key)
        if attached is None:
            # A signal handler or a finalizer may have made one while the factory made another.
            attached = self._attachments.setdefault(key, factory(self))
        return attached

    def add_observer(self, observer: Callable[[ConnectionChange], None]) -> Callable[[], None]:
        """Call ``observer`` on the loop at each change of state; returns the undo."""
        return _add(self._observers, observer)

    def on_retry(self, observer: Callable[[RetryDetails], None]) -> Callable[[], None]:
        """Call ``observer`` on the loop for each call that will be made again; returns the undo."""
        return _add(self._retry_observers, observer)

    async def connect(self, timeout: float) -> None:
        """Wait until the engine has answered.

        Raises:
            UnavailableError, DeadlineExceededError: nothing usable answered in ``timeout``
                seconds; the message names the endpoint and why.
            TlsError: at once, for trying again would not help.
            InvalidStateError: the loop's clock stands still.
            InvalidArgumentError: ``timeout`` is no number of seconds.
        """
        timeout = seconds("timeout", timeout)
        self._enter()
        hasty = self._frontend.hasty(HASTY)  # what an interceptor raises comes as it is
        check_clock(asyncio.get_running_loop())
        self._reaching = True
        try:
            await reach(self, lambda left: hasty.list_nodes(timeout=left), timeout)
        finally:
            self._reaching = False

    def _take_outcome(self, error: FlameError | None, began: float = math.inf) -> None:
        # The state is what the last attempts showed. Watching the channel's own state would
        # leave an operation pending in gRPC that outlives the channel's close.
        retrier = self._retrier
        if error is not None:
            if error.code is FlameErrorCode.CANCELLED:
                return  # that was us
            if self._hooks is not None and isinstance(error, UnauthenticatedError):
                self._hooks.rejected()
            late = isinstance(error, DeadlineExceededError)
            away = isinstance(error, UnavailableError) and error.failure != Failure.LOCKED.value
            if late or away:
                self._take_failure(error, began, away=away)
                return
        elif self.state is ConnectionState.CONNECTED and retrier.away_since is None:
            return  # nearly always
        if retrier.away_since is not None and began < retrier.away_since:
            return  # it came before the engine went, and is only looked at now
        retrier.answered()
        self._set_state(ConnectionState.CONNECTED)  # a refusal is an answer, too

    def _take_failure(self, error: FlameError, began: float, *, away: bool) -> None:
        """Record that a try had no answer; ``away``: the engine could not be reached."""
        retrier = self._retrier
        retrier.counters.failures += 1
        if began < retrier.back_at and self.state is ConnectionState.CONNECTED:
            return  # sent before the outage, which is over by now
        if away and is_goaway(error.message):
            return  # the next call makes another connection
        if away:
            self._calls.names.doubt()
            retrier.missed()
            self._set_state(ConnectionState.DISCONNECTED, error)
        elif self.state is not ConnectionState.DISCONNECTED:
            self._set_state(ConnectionState.DEGRADED, error)

    def _take_retry(self, details: RetryDetails) -> None:
        for observer in list(self._retry_observers):
            observer(details)

    def _set_state(self, state: ConnectionState, why: FlameError | None = None) -> None:
        if state is self.state or self.closed:
            return
        change = ConnectionChange(state, self.state)
        self.state = state
        self._log(change, why)
        for observer in list(self._observers):
            observer(change)

    def _log(self, change: ConnectionChange, why: FlameError | None) -> None:
        """Warn once at each change, whatever calls go through it; of each kind once a minute."""
        if self._reaching:
            return
        loop = asyncio.get_running_loop()
        if change.state is ConnectionState.DISCONNECTED:
            self._outages += 1
            self._lost_at = loop.time()
            self._warn(change, "lost the engine at %s: %s", self.endpoint, _text(why))
        elif change.state is ConnectionState.DEGRADED:
            self._warn(change, "the engine at %s is slow: %s", self.endpoint, _text(why))
        elif self._lost_at is not None:
            away, self._lost_at = loop.time() - self._lost_at, None
            text = "the engine at %s answers again, after %.1f s"
            self._warn(change, text, self.endpoint, away)

    def _warn(self, change: ConnectionChange, text: str, *arguments: object) -> None:
        self._changes.log(logging.WARNING, change.state, text, *arguments)
        if self._flushing is None:
            self._flush_later()

    def _flush_later(self) -> None:
        loop = asyncio.get_running_loop()

        def flush() -> None:
            self._flushing = None
            self._changes.flush()
            if self._changes.counts:
                self._flush_later()

        self._flushing = loop.call_later(EVERY, flush)

    async def aclose(self) -> None:
        """Close attachments, last made first, then the channel. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._process != os.getpid():
            return  # nothing of it is here
        self._retrier.close(f"the connection to {self.endpoint} was closed")
        for key, attached in reversed(list(self._attachments.items())):
            closing = getattr(attached, "aclose", None)
            if closing is not None:
                try:
                    await closing()
                except Exception:
                    logger.exception("closing %s of %s failed", key, self.endpoint)
        self._attachments.clear()
        if self._flushing is not None:
            self._flushing.cancel()
        self._changes.flush(everything=True)
        await self._calls.aclose()
        if self._hooks is not None:
            self._hooks.close()
        self.state = ConnectionState.DISCONNECTED


def _text(error: FlameError | None) -> str:
    return error.message if error is not None else "no reason given"


def _add(observers: list[Observer], observer: Observer) -> Callable[[], None]:
    observers.append(observer)

    def undo() -> None:
        if observer in observers:
            observers.remove(observer)

    return undo
