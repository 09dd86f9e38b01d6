"""``Faults``: which calls of an engine made for tests fail, or are late, and which streams are cut.

Used on the engine's loop; ``FakeEngine`` has methods for tests that may be called from any thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import Message

from flamepy.errors import InvalidArgumentError
from flamepy.local.state.refusal import Refusal
from flamepy.runtime.seconds import seconds as checked_seconds
from flamepy.texts import repr_of
from flamepy.wire.services import FRONTEND, OLD_NAMES

Request = Callable[[Any], object]  # Any: the request of an RPC, as of protos/frontend.proto
When = str | Request
BEFORE, AFTER = "before", "after"


@dataclass(slots=True)
class Fault:
    """What happens to some calls of one RPC.

    Attributes:
        rpc: its name.
        code: of the error; None for a call that is only late.
        text: of the error.
        seconds: how long a call waits first.
        left: how many more calls; None for all.
        after: the engine does what it was asked, and the answer is lost.
        matches: whether a request is meant.
    """

    rpc: str
    code: str | None = None
    text: str = ""
    seconds: float = 0.0
    left: int | None = None
    after: bool = False
    matches: Request = lambda _: True

    def takes(self, rpc: str, request: object) -> bool:
        """Return True if it happens to this call, which counts then."""
        if self.rpc != rpc or self.left == 0 or not self.matches(request):
            return False
        if self.left is not None:
            self.left -= 1
        return True


def check_fault(
    rpc: str,
    *,
    code: str | grpc.StatusCode | None = None,
    text: str = "",
    seconds: float = 0.0,
    times: int | None = None,
    when: When = BEFORE,
) -> Fault:
    """Return a fault. Raises InvalidArgumentError."""
    rpc = OLD_NAMES.get(rpc, rpc)
    if rpc not in FRONTEND:
        raise InvalidArgumentError(
            f"there is no RPC {repr_of(rpc)}; there are {', '.join(FRONTEND)}"
        )
    if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
        raise InvalidArgumentError(
            "times must be a whole number of calls, 1 or more, or None for all, got "
            f"{repr_of(times)}"
        )
    if not callable(when) and when not in (BEFORE, AFTER):
        raise InvalidArgumentError(
            f"when must be 'before' or 'after' the engine does it, or a function of the request, "
            f"got {repr_of(when)}"
        )
    return Fault(
        rpc,
        None if code is None else check_code(code),
        text or f"{rpc} fails, as a test wants it",
        checked_seconds("seconds", seconds),
        times,
        when == AFTER,
        when if callable(when) else lambda _: True,
    )


def check_code(code: str | grpc.StatusCode) -> str:
    """Return the name of a code of gRPC. Raises InvalidArgumentError."""
    name = code.name if isinstance(code, grpc.StatusCode) else code
    codes = [one.name for one in grpc.StatusCode if one is not grpc.StatusCode.OK]
    if name not in codes:
        raise InvalidArgumentError(f"code must be one of {', '.join(codes)}, got {repr_of(code)}")
    return name


class Faults:
    """The faults of one engine: which calls fail, are late, or are cut."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._streams: set[asyncio.Future[Refusal | None]] = set()

    def add(self, fault: Fault) -> None:
        """Add a fault, beside the others."""
        self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        self._faults.clear()

    async def before(self, rpc: str, request: object) -> Fault | None:
        """Wait, or raise the Refusal that a call gets; return what happens to its answer."""
        taken = [fault for fault in self._faults if fault.takes(rpc, request)]
        self._faults = [fault for fault in self._faults if fault.left != 0]
        late = sum(fault.seconds for fault in taken)
        if late:
            await asyncio.sleep(late)
        errors = [fault for fault in taken if fault.code is not None]
        for fault in errors:
            if not fault.after:
                raise _refusal(fault)
        return errors[0] if errors else None

    def after(self, fault: Fault | None) -> None:
        """Raise the Refusal instead of the answer, if that was to happen."""
        if fault is not None:
            raise _refusal(fault)

    def cut(self, code: str | None, text: str = "the stream was cut, as a test wants it") -> int:
        """End every open stream, with an error or, for None, well; return how many."""
        open_ones = [one for one in self._streams if not one.done()]
        for one in open_ones:
            one.set_result(None if code is None else Refusal(code, text))
        return len(open_ones)

    # ------------------------------------------------------------------ around calls

    def unary(
        self, rpc: str, call: Callable[[Any], Message | Awaitable[Message]]
    ) -> Callable[[Any], Awaitable[Message]]:
        """Return a call to which faults happen."""

        async def serve(request: Any) -> Message:
            fault = await self.before(rpc, request)
            answer = call(request)
            message = answer if isinstance(answer, Message) else await answer
            self.after(fault)
            return message

        return serve

    def stream(
        self, rpc: str, call: Callable[[Any], AsyncIterator[Message]]
    ) -> Callable[[Any], AsyncIterator[Message]]:
        """Return a stream to which faults happen, and that can be cut."""

        async def serve(request: Any) -> AsyncIterator[Message]:
            fault = await self.before(rpc, request)
            async for message in self._cuttable(call(request)):
                yield message
            self.after(fault)

        return serve

    def exchange(
        self, rpc: str, call: Callable[[AsyncIterator[Any]], AsyncIterator[Message]]
    ) -> Callable[[AsyncIterator[Any]], AsyncIterator[Message]]:
        """Return a stream both ways whose requests are calls to which faults happen."""

        async def serve(requests: AsyncIterator[Any]) -> AsyncIterator[Message]:
            lost: list[Fault] = []

            async def asked() -> AsyncIterator[Any]:
                async for request in requests:
                    if (fault := await self.before(rpc, request)) is not None:
                        lost.append(fault)
                    yield request

            async for message in self._cuttable(call(asked())):
                yield message
            self.after(lost[0] if lost else None)

        return serve

    async def _cuttable(self, messages: AsyncIterator[Message]) -> AsyncIterator[Message]:
        cut: asyncio.Future[Refusal | None] = asyncio.get_running_loop().create_future()
        self._streams.add(cut)
        try:
            async for message in _until(cut, messages):
                yield message
        finally:
            self._streams.discard(cut)
            cut.cancel()
            await messages.aclose()  # type: ignore[attr-defined]  # each is a generator


async def _until(
    cut: asyncio.Future[Refusal | None], messages: AsyncIterator[Message]
) -> AsyncIterator[Message]:
    """Yield messages until ``cut`` has a result, which is raised if it is an error."""
    while True:
        following = asyncio.ensure_future(_next(messages))
        both: set[asyncio.Future[Any]] = {following, cut}  # Any: of two kinds
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not following.done():
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        if cut.done():
            if (error := cut.result()) is not None:
                raise error
            return
        message = following.result()
        if message is None:
            return
        yield message


async def _next(messages: AsyncIterator[Message]) -> Message | None:
    return await anext(messages, None)


def _refusal(fault: Fault) -> Refusal:
    assert fault.code is not None
    return Refusal(fault.code, fault.text)
