"""``ChaosProxy``: a TCP proxy on loopback that breaks connections as networks do.

It knows nothing of gRPC: bytes go through, late, slowly, not at all, or up to a point. What
happens is chosen while it runs, for the connections that are open, for new ones, or for all.
Its loop has a thread of its own; methods may be called from any thread but that one.
"""

from __future__ import annotations

import asyncio
import functools
import socket
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Literal, TypeVar

from flamepy.config import Endpoint
from flamepy.errors import InvalidArgumentError, InvalidStateError
from flamepy.runtime.loops import new_loop, retire, run_forever
from flamepy.runtime.posted import call
from flamepy.runtime.seconds import seconds as checked_seconds
from flamepy.runtime.surroundings import check_threads
from flamepy.runtime.threads import check_may_block
from flamepy.testing.relay import CLIENT, SERVER, THROUGH, Address, Fault, Relay, Towards
from flamepy.texts import repr_of

T = TypeVar("T")
Which = Literal["all", "new", "existing"]
NAME = "flamepy-chaos-proxy"
LIMIT = 10.0


class ChaosProxy:
    """A proxy in front of a server that breaks connections on demand; use it with ``with``.

    Each of the methods that break something takes ``connections``: ``"existing"``, ``"new"`` or
    ``"all"``. A connection has one fault at a time; ``heal`` ends it, and what was held is sent.

    Args:
        target: where connections go: ``http://host:port``, https, or ``host:port``.
        port: where it listens; 0 picks a free one, which stays the same.

    Attributes:
        accepted: how many connections clients have made.

    Raises:
        ConfigError: the target is no address.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        self._target = Endpoint.parse(target)
        self._port = port
        self.accepted = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._listener: socket.socket | None = None
        self._accepting = False
        self._fault = THROUGH  # of new connections
        self._relays: dict[Relay, asyncio.Task[None]] = {}
        self._addresses: list[Address] = []

    def __repr__(self) -> str:
        state = f"at port {self._port}" if self._loop is not None else "not running"
        return f"<ChaosProxy to {self._target.url} {state}>"

    @property
    def endpoint(self) -> str:
        """The URL to connect to in the target's place: of its scheme, at 127.0.0.1."""
        return Endpoint(self._target.scheme, "127.0.0.1", self.port).url

    @property
    def port(self) -> int:
        """The port on which it listens."""
        if self._loop is None:
            raise InvalidStateError("the proxy is not running: use it with with")
        return self._port

    @property
    def open_connections(self) -> int:
        """How many connections are open now, broken ones that no side has closed included."""
        return len(self._relays)

    # ------------------------------------------------------------------ faults

    def heal(self, *, connections: Which = "all") -> None:
        """Pass everything again: what was held, and connections that were refused."""
        self._apply(THROUGH, connections)

    def black_hole(self, *, connections: Which = "all") -> None:
        """Pass nothing in either direction, not even that the other side is gone."""
        self._apply(Fault(held=True), connections)

    def half_close(self, *, towards: Towards = CLIENT, connections: Which = "all") -> None:
        """End one direction only: that side reads an end, and may still write."""
        self._apply(Fault(ended=_side(towards)), connections)

    def delay(self, seconds: float, *, connections: Which = "all") -> None:
        """Delay every piece, of 64 KiB at most."""
        self._apply(Fault(delay=checked_seconds("seconds", seconds, zero=False)), connections)

    def throttle(self, bytes_per_second: float, *, connections: Which = "all") -> None:
        """Limit each direction of each connection to a number of bytes a second."""
        self._apply(Fault(rate=_above("bytes_per_second", bytes_per_second)), connections)

    def cut_after(
        self, count: int, *, towards: Towards = CLIENT, connections: Which = "all"
    ) -> None:
        """End a connection after a number of bytes, counted from now, went to that side."""
        if count < 0:
            raise InvalidArgumentError(f"count must be 0 or more bytes, got {repr_of(count)}")
        self._apply(Fault(cut=(_side(towards), count)), connections)

    def reset(self, *, connections: Which = "all") -> None:
        """End connections at once with RST; new ones as soon as they are made, until ``heal``."""
        self._apply(Fault(reset=True), connections)

    def refuse(self) -> None:
        """Refuse new connections until ``heal``; those that are open stay."""
        self._call(self._refuse())

    # ------------------------------------------------------------------ life

    def __enter__(self) -> ChaosProxy:
        if self._loop is not None:
            raise InvalidStateError("the proxy runs already: leave its with block first")
        check_threads()
        self._fault = THROUGH
        host, port = self._target.host, self._target.port
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        self._addresses = [(family, address) for family, _, _, _, address in found]
        listener, loop = _bound(self._port), new_loop()
        thread = threading.Thread(target=run_forever, args=(loop,), name=NAME, daemon=True)
        try:
            thread.start()
        except BaseException:
            listener.close()
            loop.close()
            raise
        self._listener, self._port = listener, listener.getsockname()[1]
        self._loop, self._thread = loop, thread
        self._call(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        loop, thread = self._loop, self._thread
        if loop is None or thread is None:
            return
        try:
            self._call(self._end())
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(LIMIT)
            self._loop = self._thread = None
            retire(loop)

    # ------------------------------------------------------------------ on the loop

    async def _listen(self) -> None:
        assert self._listener is not None
        self._accepting = True
        self._listener.listen(128)
        asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def _stop_listening(self) -> None:
        if self._listener is not None:
            self._accept()
            self._accepting = False
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()

    def _accept(self) -> None:
        """Accept what was connected before now, so that it is an existing connection."""
        while self._listener is not None and self._accepting:
            try:
                client, _ = self._listener.accept()
            except OSError:  # no waiter is left
                return
            client.setblocking(False)
            self.accepted += 1
            relay = Relay(client, self._addresses, self._fault)
            job = asyncio.ensure_future(relay.run())
            self._relays[relay] = job
            job.add_done_callback(functools.partial(self._left, relay))

    def _left(self, relay: Relay, job: asyncio.Task[None]) -> None:
        self._relays.pop(relay, None)
        relay.close()  # one that was cancelled before its first step could not

    async def _refuse(self) -> None:
        if self._accepting:
            self._stop_listening()
            # Held, but not listening: connecting is refused, and no other program gets the port.
            self._listener = _bound(self._port)

    async def _change(self, fault: Fault, connections: Which) -> None:
        self._accept()
        if connections != "existing":
            self._fault = fault
            if fault is THROUGH and not self._accepting:
                await self._listen()
        if connections != "new":
            for relay in list(self._relays):
                relay.change(fault)
            if fault.reset:
                await self._finish()

    async def _finish(self) -> None:
        if self._relays:
            await asyncio.wait(set(self._relays.values()))

    async def _end(self) -> None:
        self._stop_listening()
        self._listener = None
        for job in self._relays.values():
            job.cancel()
        await self._finish()

    def _apply(self, fault: Fault, connections: Which) -> None:
        if connections not in ("all", "new", "existing"):
            raise InvalidArgumentError(
                f"connections must be 'all', 'new' or 'existing', got {repr_of(connections)}"
            )
        self._call(self._change(fault, connections))

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            coroutine.close()
            raise InvalidStateError("the proxy is not running: use it with with")
        try:
            check_may_block()
        except InvalidStateError:
            coroutine.close()
            raise
        return call(self._loop, coroutine, LIMIT)


def _bound(port: int) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    made.bind(("127.0.0.1", port))
    return made


def _side(towards: Towards) -> Towards:
    if towards not in (CLIENT, SERVER):
        raise InvalidArgumentError(f"towards must be 'client' or 'server', got {repr_of(towards)}")
    return towards


def _above(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise InvalidArgumentError(f"{name} must be a number above 0, got {repr_of(value)}")
    return value
