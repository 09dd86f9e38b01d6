"""``reactor.engine``: how the connection stands, what looking costs, and calls of the engine.

For what shows an engine beside a reactor that watches it, over the reactor's own connection.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from flamepy.errors import ConnectionClosedError, FlameError, InternalError
from flamepy.rpc.link import Link
from flamepy.rpc.requests.frontend import Frontend
from flamepy.runtime.seconds import seconds_or_none
from flamepy.texts import repr_of
from flamepy.types import ConnectionState, ConnectionStats, Executor, Node
from flamepy.watching.hub import Hub

T = TypeVar("T")
Done = Callable[["T | None", "FlameError | None"], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """How a reactor stands with its engine.

    Attributes:
        endpoint: the engine.
        state: of the connection.
        freshness: seconds since the last answer that showed every session; inf before the first.
        away_for: seconds for which polls have failed; None while they work.
        away_reason: why they do; "" while they work.
        polls: made so far.
        poll_every: seconds between the last one and the next.
        outages: how often the engine was lost.
        drifts: tasks that were seen to end a second time.
        missed: ends that were not read before their session was gone.
        stats: what the connection has counted.
    """

    endpoint: str
    state: ConnectionState
    freshness: float
    away_for: float | None
    away_reason: str
    polls: int
    poll_every: float
    outages: int
    drifts: int
    missed: int
    stats: ConnectionStats


class EngineCalls:
    """The engine of a reactor; methods may be called from any thread."""

    def __init__(self, link: Link, hub: Hub) -> None:
        self._link = link
        self._hub = hub
        self._begun: set[asyncio.Task[None]] = set()

    def status(self) -> EngineStatus:
        """Return how the connection stands; waits for nothing."""
        hub, health = self._hub, self._hub.health
        now, down = hub.now(), health.down_since
        error = health.last_error
        return EngineStatus(
            endpoint=self._link.endpoint,
            state=self._link.state,
            freshness=math.inf if math.isinf(health.answered_at) else hub.freshness(),
            away_for=None if down is None else max(0.0, now - down),
            away_reason=error.message if down is not None and error is not None else "",
            polls=health.polls,
            poll_every=health.every,
            outages=health.outages,
            drifts=hub.drifts,
            missed=hub.missed,
            stats=self._link.stats(),
        )

    def run(
        self, call: Callable[[Frontend], Coroutine[Any, Any, T]], *, timeout: float | None = None
    ) -> T:
        """Make a call and wait for its answer, for ``timeout`` seconds; with the usual retries.

        Raises:
            FlameError: as of the call.
            DeadlineExceededError: there was no answer in time.
        """
        limit = seconds_or_none("timeout", timeout)

        async def made() -> T:
            return await call(self._link.frontend)

        return self._link.run(made(), limit)

    def begin(self, call: Callable[[Frontend], Coroutine[Any, Any, T]], done: Done[T]) -> None:
        """Make a call in the background, without retries that wait for an engine that is away.

        Args:
            call: makes it.
            done: called on the connection's loop with the answer, or with the error; it must return
                at once. Not called if the connection is closed before.
        """

        async def made() -> None:
            try:
                answer = await call(self._link.hasty)
            except FlameError as error:
                done(None, error)
            except Exception as error:
                done(None, InternalError(f"a call of the engine failed: {repr_of(error)}"))
            else:
                done(answer, None)

        def start() -> None:
            task = asyncio.get_running_loop().create_task(made())
            self._begun.add(task)
            task.add_done_callback(self._begun.discard)

        assert self._link.reactor is not None, "a reactor's link is a synchronous one"
        with suppress(ConnectionClosedError):
            self._link.reactor.call_soon(start)

    def machines(self, done: Done[tuple[list[Node], list[Executor]]]) -> None:
        """Read nodes and executors in the background; ``done`` as of ``begin``."""

        async def both(frontend: Frontend) -> tuple[list[Node], list[Executor]]:
            return await frontend.list_nodes(), await frontend.list_executors()

        self.begin(both, done)
