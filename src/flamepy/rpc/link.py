"""``Link``: what one connection owns - channel, frontend, state, and what is attached to it.

``flamepy.core``, ``flamepy.aio`` and ``Reactor`` are views of a link. A synchronous link lives on
the loop of its ``ReactorLoop``; an asynchronous one on the loop that first uses it. Attachments
(the hub, the signal sender) are made on demand and closed with the link, last made first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc.aio

from flamepy.config import FlameContext
from flamepy.errors import (
    ConnectionClosedError,
    DeadlineExceededError,
    FlameError,
    FlameErrorCode,
    InvalidStateError,
    UnavailableError,
)
from flamepy.rpc.calls import Calls
from flamepy.rpc.channel import open_channel
from flamepy.rpc.frontend import Frontend
from flamepy.rpc.goodbye import is_goodbye
from flamepy.rpc.loop import FORKED, ReactorLoop
from flamepy.rpc.reaching import reach
from flamepy.rpc.retry import RetryDetails
from flamepy.types import ConnectionState, RetryPolicy

logger = logging.getLogger(__name__)

T = TypeVar("T")
Observer = TypeVar("Observer")
PATIENCE = 120.0


@dataclass(frozen=True, slots=True)
class ConnectionChange:
    """The connection's state changed."""

    state: ConnectionState
    previous: ConnectionState


class Link:
    """See the module.

    Args:
        context: where the engine is.
        reactor: the loop of a synchronous link; None for one of the caller's own loop.
        patience: seconds that waits ride out an unreachable engine.
        policy: how repeatable calls are repeated.
    """

    def __init__(
        self,
        context: FlameContext,
        *,
        reactor: ReactorLoop | None = None,
        patience: float = PATIENCE,
        policy: RetryPolicy | None = None,
    ) -> None:
        self.context = context
        self.endpoint = context.address.url
        self.reactor = reactor
        self.patience = patience
        self.policy = policy or RetryPolicy()
        self.state = ConnectionState.DISCONNECTED
        self.closed = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._calls = Calls(self._open_channel, self.endpoint)
        self._process = os.getpid()
        self._frontend: Frontend | None = None
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
        running = asyncio.get_running_loop()
        if self.closed:
            raise ConnectionClosedError(f"the connection to {self.endpoint} is closed")
        if self._process != os.getpid():
            raise InvalidStateError(FORKED)
        if self._frontend is None:
            self._loop = running
            self._frontend = Frontend(
                self._calls,
                self.endpoint,
                self.policy,
                outcome=self._take_outcome,
                scheduled=self._take_retry,
            )
            self._set_state(ConnectionState.CONNECTING)
        if running is not self._loop:
            raise InvalidStateError(
                f"the connection to {self.endpoint} belongs to another event loop; "
                "make one connection per loop"
            )
        return self._frontend

    def _open_channel(self) -> grpc.aio.Channel:
        context = self.context
        return open_channel(context.address, context.tls, keepalive=context.keepalive)

    def run(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run a coroutine on a synchronous link's loop and wait; from any other thread."""
        assert self.reactor is not None, "an asynchronous link is awaited, not run"
        return self.reactor.run(coroutine, timeout)

    def attachment(self, key: str, factory: Callable[[Link], T]) -> T:
        """Return the one attachment of that key, made by ``factory`` at the first call."""
        if self.closed:
            raise ConnectionClosedError(f"the connection to {self.endpoint} is closed")
        if key not in self._attachments:
            self._attachments[key] = factory(self)
        attached: T = self._attachments[key]
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
        """
        frontend = self.frontend
        await reach(self, lambda left: frontend.list_nodes(timeout=left), timeout)

    def _take_outcome(self, error: FlameError | None) -> None:
        # The state is what the last attempts showed. Watching the channel's own state would
        # leave an operation pending in gRPC that outlives the channel's close.
        if error is None:
            self._set_state(ConnectionState.CONNECTED)
        elif isinstance(error, DeadlineExceededError):
            if self.state is not ConnectionState.DISCONNECTED:  # it is no better since
                self._set_state(ConnectionState.DEGRADED)
        elif isinstance(error, UnavailableError):
            if is_goodbye(error.message):
                return  # the next call makes another connection
            self._set_state(ConnectionState.DISCONNECTED)
        elif error.code is not FlameErrorCode.CANCELLED:  # that was us
            self._set_state(ConnectionState.CONNECTED)  # a refusal is an answer

    def _take_retry(self, details: RetryDetails) -> None:
        for observer in list(self._retry_observers):
            observer(details)

    def _set_state(self, state: ConnectionState) -> None:
        if state is self.state or self.closed:
            return
        change = ConnectionChange(state, self.state)
        self.state = state
        for observer in list(self._observers):
            observer(change)

    async def aclose(self) -> None:
        """Close attachments, last made first, then the channel. Idempotent."""
        if self.closed:
            return
        self.closed = True
        if self._process != os.getpid():
            return  # nothing of it is here
        for key, attached in reversed(list(self._attachments.items())):
            closing = getattr(attached, "aclose", None)
            if closing is not None:
                try:
                    await closing()
                except Exception:
                    logger.exception("closing %s of %s failed", key, self.endpoint)
        self._attachments.clear()
        await self._calls.aclose()
        self.state = ConnectionState.DISCONNECTED
        self._frontend = None


def _add(observers: list[Observer], observer: Observer) -> Callable[[], None]:
    observers.append(observer)

    def undo() -> None:
        if observer in observers:
            observers.remove(observer)

    return undo
