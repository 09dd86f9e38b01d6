"""The cluster's gRPC: the frontend's server, and the users of channels to services; around forks.

Before a fork of this process everything of gRPC is closed, after it the server listens at the same
port again: clients here are held meanwhile, others are disconnected for some milliseconds. A call
to a service process cannot be cut in two: while one runs, everything stays open, and gRPC
raises InvalidStateError in the child (``forks``). Tasks by a stream are no calls of gRPC.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import weakref
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

import grpc
import grpc.aio

from flamepy.runtime.forks import SERVER, abandon_loop, done, hold, is_here, leak, release

logger = logging.getLogger(__name__)

BUSY = 1.0  # seconds that a fork waits for calls to services
GRACE = 1.0  # and for answers to clients of other processes
# gRPC's server drops calls at random beyond 1,000 that wait for their turn, also those of other
# clients. A burst is a client's right: each call is answered in its turn, and what waits is bounded
# by what clients send.
NO_LIMIT = 2**31 - 1
PATIENT_OPTIONS = (
    ("grpc.server.max_pending_requests", NO_LIMIT),
    ("grpc.server.max_pending_requests_hard_limit", NO_LIMIT),
    ("grpc.max_metadata_size", 1024 * 1024),
    ("grpc.absolute_max_metadata_size", 2 * 1024 * 1024),
)
PATIENCE = 4.0  # that the port may take to be free again
RETRY = 0.02


class User(Protocol):
    """An owner of a channel that is idle between two calls."""

    async def disconnect(self) -> None:
        """Close the channel; the next use makes another."""


class Traffic:
    """Channels in use, entered with ``async with``; held during a fork.

    Attributes:
        users: those with a channel.
    """

    def __init__(self) -> None:
        self.users: weakref.WeakSet[User] = weakref.WeakSet()
        self._gate: asyncio.Event | None = None
        self._calls = 0
        self._idle = asyncio.Event()

    async def __aenter__(self) -> None:
        while self._gate is not None:
            await self._gate.wait()
        self._calls += 1

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._calls -= 1
        if self._calls == 0:
            self._idle.set()

    async def pause(self, limit: float) -> bool:
        """Hold new calls, wait for running ones, disconnect; False: a call is still running."""
        if self._gate is None:
            self._gate = asyncio.Event()
        if self._calls:
            self._idle.clear()
            try:
                await asyncio.wait_for(self._idle.wait(), limit)
            except asyncio.TimeoutError:
                return False
        for user in list(self.users):
            await user.disconnect()
        return True

    def resume(self) -> None:
        """Release the calls that were held."""
        gate, self._gate = self._gate, None
        if gate is not None:
            gate.set()


class Server:
    """A gRPC server of the running loop; a ``forks.Holder``.

    Args:
        handler: of the calls.
        target: ``host:port``; port 0 picks one, which stays the same.
        options: of gRPC.
        interrupt: ends the streams that do not end by themselves.
        traffic: to hold as well around a fork.
        credentials: of TLS.
    """

    def __init__(
        self,
        handler: grpc.GenericRpcHandler,
        *,
        target: str,
        options: Sequence[tuple[str, int]],
        interrupt: Callable[[], None],
        traffic: Traffic | None = None,
        credentials: grpc.ServerCredentials | None = None,
    ) -> None:
        self._handler = handler
        self._host = target.rpartition(":")[0]
        self._port = int(target.rpartition(":")[2])
        self._options = [*PATIENT_OPTIONS, *options]
        self._interrupt = interrupt
        self._traffic = traffic or Traffic()
        self._credentials = credentials
        self._loop = asyncio.get_running_loop()
        self._server: grpc.aio.Server | None = None
        self._over = asyncio.Event()  # set at the end of a fork
        self._away = False  # closed by a fork
        self._stopped = False

    async def start(self) -> int:
        """Serve; return the port. Raises RuntimeError where it cannot be had."""
        while (server := hold(self, SERVER, self._listen)) is None:
            self._over.clear()
            await self._over.wait()
        await server.start()
        self._server = server
        return self._port

    def _listen(self) -> grpc.aio.Server:
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers((self._handler,))
        address = f"{self._host}:{self._port}"
        if self._credentials is None:
            self._port = server.add_insecure_port(address)
        else:
            self._port = server.add_secure_port(address, self._credentials)
        return server

    async def stop(self, grace: float) -> None:
        """End calls after ``grace`` seconds, and the server. Idempotent."""
        self._stopped = True
        release(self)
        await self._close(grace)

    async def _close(self, grace: float) -> None:
        server, self._server = self._server, None
        if server is not None:
            await server.stop(grace)

    # ------------------------------------------------------------------ forks

    def pause(self, limit: float) -> concurrent.futures.Future[bool]:
        """Close the server and the idle channels; see ``forks.Holder``."""
        if is_here(self._loop):
            return done(False)
        if not self._loop.is_running():
            return done(self._server is None)
        return asyncio.run_coroutine_threadsafe(self._let_go(limit), self._loop)

    async def _let_go(self, limit: float) -> bool:
        if not await self._traffic.pause(min(BUSY, limit)):
            return False
        self._away = self._away or self._server is not None
        self._interrupt()
        await self._close(GRACE)
        return True

    def resume(self) -> concurrent.futures.Future[bool] | None:
        """Listen again at the same port."""
        if is_here(self._loop) or not self._loop.is_running():
            return None  # nothing was closed
        return asyncio.run_coroutine_threadsafe(self._resume(), self._loop)

    async def _resume(self) -> bool:
        self._traffic.resume()
        self._over.set()
        limit = self._loop.time() + PATIENCE
        while self._away and not self._stopped:
            try:
                server = hold(self, SERVER, self._listen)
            except RuntimeError as error:
                if self._loop.time() > limit:
                    logger.error("port %s was lost around a fork: %s", self._port, error)
                    return False
                await asyncio.sleep(RETRY)
                continue
            if server is None:
                return False  # the next fork has begun already, and the next call follows it
            self._away = False
            await server.start()
            self._server = server
        if self._stopped:
            await self._close(0.0)
        return True

    def forget(self, clean: bool) -> None:
        """Stay as it is, in the child."""
        leak(self)
        abandon_loop(self._loop)
