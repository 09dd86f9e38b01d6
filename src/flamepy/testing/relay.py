"""One connection through a ``ChaosProxy``: two sockets, two pumps, and the fault they suffer.

Sockets are used directly, for a transport hides what matters here: ends of one direction, resets,
and who has read how much. Runs on the proxy's loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

T = TypeVar("T")
Towards = Literal["client", "server"]
CLIENT: Towards = "client"
SERVER: Towards = "server"
Address = tuple[socket.AddressFamily, Any]  # Any: its form depends on the family
PIECE = 64 * 1024
TICK = 0.05  # seconds of its rate that a throttled connection reads at once
_RST = struct.pack("ii", 1, 0)  # of SO_LINGER: close sends RST


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to a connection.

    Attributes:
        held: nothing is passed on.
        ended: the side that gets the end of the stream.
        delay: seconds that each piece waits.
        rate: bytes per second in each direction.
        cut: a side, and after how many bytes to it the connection ends.
        reset: the connection ends at once.
    """

    held: bool = False
    ended: Towards | None = None
    delay: float = 0.0
    rate: float | None = None
    cut: tuple[Towards, int] | None = None
    reset: bool = False


THROUGH = Fault()


class _Cut(Exception):
    """The connection has carried what it may."""


class Relay:
    """One connection through the proxy, with the fault that it suffers.

    Args:
        client: the accepted socket.
        targets: addresses to connect to; the first that answers is taken.
        fault: what happens to it from the beginning.
    """

    def __init__(self, client: socket.socket, targets: Sequence[Address], fault: Fault) -> None:
        self._targets = targets
        self._sockets: dict[Towards, socket.socket] = {CLIENT: client}
        self._fault = fault
        self._changed = asyncio.Event()
        self._shut: set[Towards] = set()
        self._sent = 0  # bytes to the side that ``cut`` names, since it does

    def change(self, fault: Fault) -> None:
        """Suffer another fault from now on."""
        self._fault = fault
        self._sent = 0
        self._changed.set()
        self._changed = asyncio.Event()
        self._end_one_side()

    async def run(self) -> None:
        """Carry bytes until both directions have ended, or the connection breaks."""
        jobs = [asyncio.ensure_future(self._until_reset()), asyncio.ensure_future(self._carry())]
        broken = False
        try:
            await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for job in jobs:
                job.cancel()
            try:
                ends = await asyncio.gather(*jobs, return_exceptions=True)
                broken = any(isinstance(one, OSError) for one in ends)
            finally:  # also where the proxy ends, and cancels, meanwhile
                self.close(reset=broken or self._fault.reset)

    def close(self, *, reset: bool = False) -> None:
        """Close both sockets. Idempotent."""
        for one in self._sockets.values():
            if reset:
                with contextlib.suppress(OSError):  # the other side was faster
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST)
            one.close()

    # ------------------------------------------------------------------ carrying

    async def _carry(self) -> None:
        await self._passable()
        self._sockets[SERVER] = await self._connect()
        self._end_one_side()
        pumps = [
            asyncio.ensure_future(self._pump(*way)) for way in ((CLIENT, SERVER), (SERVER, CLIENT))
        ]
        try:
            await asyncio.gather(*pumps)
        except _Cut:
            return
        finally:
            for one in pumps:
                one.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)

    async def _connect(self) -> socket.socket:
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        for family, address in self._targets:
            made = socket.socket(family, socket.SOCK_STREAM)
            made.setblocking(False)
            try:
                await loop.sock_connect(made, address)
            except BaseException as error:
                made.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
                continue
            return made
        raise failure or OSError("no address")

    async def _pump(self, source: Towards, sink: Towards) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._passable()
            rate = self._fault.rate
            size = PIECE if rate is None else max(1, int(rate * TICK))
            data = await self._unless_held(loop.sock_recv(self._sockets[source], size))
            if self._fault.delay:
                await asyncio.sleep(self._fault.delay)
            await self._passable()
            if not data:
                self._shut_down(sink)
                return
            if sink in self._shut:
                continue  # no reader is left there
            cut = self._fault.cut
            if cut is not None and cut[0] == sink:
                data = data[: cut[1] - self._sent]
                self._sent += len(data)
            await self._unless_held(loop.sock_sendall(self._sockets[sink], data))
            if cut is not None and cut is self._fault.cut and self._sent >= cut[1]:
                raise _Cut
            if rate is not None:
                await asyncio.sleep(len(data) / rate)

    # ------------------------------------------------------------------ faults

    async def _passable(self) -> None:
        while self._fault.held:
            await self._changed.wait()

    async def _unless_held(self, io: Awaitable[T]) -> T:
        """Await reading or writing; in a black hole a failure stays unknown."""
        try:
            return await io
        except OSError:
            await self._passable()
            raise

    async def _until_reset(self) -> None:
        while not self._fault.reset:
            await self._changed.wait()

    def _end_one_side(self) -> None:
        if self._fault.ended is not None:
            self._shut_down(self._fault.ended)

    def _shut_down(self, side: Towards) -> None:
        if side in self._sockets and side not in self._shut:
            self._shut.add(side)
            with contextlib.suppress(OSError):  # it is gone already
                self._sockets[side].shutdown(socket.SHUT_WR)
