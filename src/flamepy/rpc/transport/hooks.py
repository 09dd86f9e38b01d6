"""``CallHooks``: what the user puts around each try of a call: interceptors, metadata, a token.

An onion: the first interceptor is the outermost, the innermost layer adds the connection's
credentials and sends. An interceptor sees the reply and the error and changes neither: what it
returns is ignored, what it raises instead of proceeding goes to the caller. Everything here runs on
the link's loop, the interceptors do not (``user_code``).
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from flamepy.call_options import CallOptions, Interceptor, OutgoingCall, Pairs
from flamepy.errors import (
    DeadlineExceededError,
    FlameError,
    InternalError,
    InvalidStateError,
    UnauthenticatedError,
)
from flamepy.rpc.transport.credentials import Credentials, leave_function
from flamepy.rpc.transport.status import Call
from flamepy.rpc.transport.user_code import UserCode, is_async, name_of
from flamepy.texts import repr_of, text_of

T = TypeVar("T")
Send = Callable[["float | None", Pairs], Awaitable[Any]]
Layer = Callable[[OutgoingCall], Awaitable[Any]]
OPENING = 30.0  # seconds for what surrounds the opening of a watch, which itself has no limit
GRACE = 1.0  # seconds for interceptors beside those of the try itself
_inside: contextvars.ContextVar[bool] = contextvars.ContextVar("flamepy-inside", default=False)


class CallHooks:
    """What surrounds each try of a link's calls.

    Args:
        options: of the connection.
        user: runs its functions.
    """

    def __init__(self, options: CallOptions, user: UserCode) -> None:
        self._user = user
        self._interceptors = options.interceptors
        self._credentials = Credentials(options, user)

    async def run(self, call: Call, attempt: int, seconds: float | None, send: Send) -> Any:
        """Return what ``send(seconds, metadata)`` returns, with everything around it.

        Args:
            call: which RPC.
            attempt: which try, from 1.
            seconds: that this try has.
            send: the try itself.

        Raises:
            FlameError: of the try.
            Exception: of an interceptor, as it raised it.
        """
        outgoing = OutgoingCall(
            call.name,
            attempt,
            seconds,
            call.session_id,
            call.task_id,
            call.application,
            call.request,
            endpoint=call.endpoint,
        )

        async def innermost(changed: OutgoingCall) -> Any:
            return await self._send(changed, send)

        if not self._interceptors or _inside.get():
            way = innermost(outgoing)
        else:
            way = self._pass(0, outgoing, innermost)
        return await _bounded(way, (OPENING if seconds is None else seconds) + GRACE, call)

    async def run_contained(
        self, call: Call, attempt: int, seconds: float | None, send: Send
    ) -> Any:
        """Do the same for a caller in the background: every error is a FlameError.

        Its task may have been started by a call that an interceptor made; it is not part of that.
        """
        _inside.set(False)
        leave_function()
        try:
            return await self.run(call, attempt, seconds, send)
        except FlameError:
            raise
        except Exception as error:
            raise InternalError(
                f"an interceptor refused {call.name}: {type(error).__name__}: {text_of(error)}"
            ) from error

    def rejected(self) -> None:
        """Record that the engine answered UNAUTHENTICATED: the next call asks for a fresh token."""
        self._credentials.expire(None)

    def close(self) -> None:
        """Let the threads end. Idempotent."""
        self._user.close()

    async def _send(self, call: OutgoingCall, send: Send) -> Any:
        used = await self._credentials.get()
        try:
            return await send(call.timeout, (*used, *call.metadata))
        except UnauthenticatedError as error:
            if error.grpc_code is None or not self._credentials.expire(used):
                raise
            fresh = await self._credentials.get()
            if fresh == used:
                raise
        return await send(call.timeout, (*fresh, *call.metadata))

    async def _pass(self, place: int, call: OutgoingCall, innermost: Layer) -> Any:
        """Run the interceptors from ``place`` on."""
        if place == len(self._interceptors):
            return await innermost(call)
        step = _Step(
            self._user,
            self._interceptors[place],
            lambda on: self._pass(place + 1, on, innermost),
        )
        try:
            await self._enter(step, call)
        finally:
            await step.end()
        return step.result()

    async def _enter(self, step: _Step, call: OutgoingCall) -> None:
        interceptor = step.interceptor
        token = _inside.set(True)
        try:
            if not is_async(interceptor):
                found = await self._user.block(interceptor, call, step.proceed_blocking)
                if inspect.iscoroutine(found):
                    found.close()
                    raise InvalidStateError(
                        f"the interceptor {step.name} returned a coroutine: write it as async def"
                    )
            elif self._user.is_remote:
                await self._user.wait(interceptor, call, step.proceed_remote)
            else:
                await self._user.wait(interceptor, call, step.proceed)
        finally:
            _inside.reset(token)


class _Step:
    """One interceptor around one try; its ``proceed`` functions are what it is given."""

    def __init__(self, user: UserCode, interceptor: Interceptor, inner: Layer) -> None:
        self.interceptor = interceptor
        self._user = user
        self.name = name_of(interceptor)
        self._inner = inner
        self._loop = asyncio.get_running_loop()
        self._sent: asyncio.Task[Any] | None = None

    async def proceed(self, call: OutgoingCall) -> Any:
        """Go on with the call; on the link's loop. Returns the reply, raises its error."""
        if not isinstance(call, OutgoingCall):
            raise InvalidStateError(
                f"the interceptor {self.name} must proceed with the call that it got, or with what "
                f"its with_metadata or with_timeout returned, got {repr_of(call)}"
            )
        if self._sent is not None:
            raise InvalidStateError(
                f"the interceptor {self.name} proceeds a second time: a call is sent once in a "
                "try; retries come as further tries, with attempt=2, 3, ..."
            )
        self._sent = asyncio.ensure_future(_inner(self._inner, call))
        return await self._sent

    def proceed_blocking(self, call: OutgoingCall) -> Any:
        """Go on with the call, from a thread of the user's."""
        sent = asyncio.run_coroutine_threadsafe(self.proceed(call), self._loop)
        return self._user.wait_for(sent)

    async def proceed_remote(self, call: OutgoingCall) -> Any:
        """Go on with the call, from another loop."""
        sent = asyncio.run_coroutine_threadsafe(self.proceed(call), self._loop)
        return await asyncio.wrap_future(sent)

    async def end(self) -> None:
        """End what was sent and has not ended, for the interceptor has."""
        if self._sent is not None and not self._sent.done():
            self._sent.cancel()
            await asyncio.wait({self._sent})  # a CreateTask is detached by then

    def result(self) -> Any:
        """Return the reply of what was sent, or raise its error."""
        if self._sent is None:
            raise InvalidStateError(
                f"the interceptor {self.name} neither proceeded nor raised: end it by "
                "`return proceed(call)`, or refuse the call by an exception"
            )
        if not self._sent.done() or self._sent.cancelled():
            raise InvalidStateError(
                f"the interceptor {self.name} ended before its call had: await proceed(call)"
            )
        return self._sent.result()


async def _inner(inner: Layer, call: OutgoingCall) -> Any:
    _inside.set(False)  # what is sent is the call itself, not one that the interceptor makes
    return await inner(call)


async def _bounded(way: Awaitable[T], seconds: float, call: Call) -> T:
    """Await it in a task of its own, which is left when its time is up."""
    task = asyncio.ensure_future(way)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except BaseException:
        task.cancel()
        await asyncio.wait({task}, timeout=GRACE)
        raise
    if task.done() and not task.cancelled():
        return task.result()
    text = "was cancelled by" if task.done() else "was held up by"
    task.cancel()
    await asyncio.wait({task}, timeout=GRACE)
    raise DeadlineExceededError(
        f"{call.name} at {call.endpoint} {text} an interceptor or by what its token or metadata "
        "comes from"
    )
