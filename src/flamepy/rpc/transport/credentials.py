"""``Credentials``: metadata and token of a link's calls, refreshed where functions give them.

A function is asked once for all calls that need its value at the same time, and its value is used
for ``MAX_AGE`` seconds, or until the engine answers UNAUTHENTICATED. No value is ever shown; of an
error that a function raises only the type and the place are, for its text may hold a secret.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from typing import Any

from flamepy.call_options import (
    AUTHORIZATION,
    CallOptions,
    Pair,
    Pairs,
    check_metadata,
    check_token,
)
from flamepy.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidStateError,
    UnauthenticatedError,
)
from flamepy.rpc.transport.user_code import UserCode, name_of

MAX_AGE = 30.0  # seconds for which a value is used
LIMIT = 30.0  # seconds for a function to return
_asked: contextvars.ContextVar[bool] = contextvars.ContextVar("flamepy-credentials", default=False)


def leave_function() -> None:
    """Record that the running task is not part of a function of token= or metadata=."""
    _asked.set(False)


class Credentials:
    """What is sent with each call of one link. Runs on the link's loop.

    Args:
        options: of the connection.
        user: runs its functions.
    """

    def __init__(self, options: CallOptions, user: UserCode) -> None:
        self._metadata = options.metadata
        self._token = options.token
        self._user = user
        self._is_fixed = not callable(options.metadata) and not callable(options.token)
        self._current: Pairs | None = self._fixed() if self._is_fixed else None
        self._since = 0.0  # when it was fetched, in the loop's seconds
        self._fetching: asyncio.Task[Pairs] | None = None

    async def get(self) -> Pairs:
        """Return what is sent now.

        Raises:
            UnauthenticatedError: a function raised, or returned what cannot be sent.
            DeadlineExceededError: a function did not return.
            InvalidStateError: a function calls the connection that it is for.
        """
        now = asyncio.get_running_loop().time()
        if self._current is not None and (self._is_fixed or now - self._since < MAX_AGE):
            return self._current
        if _asked.get():
            raise InvalidStateError(
                "the function of token= or metadata= makes a call of the connection that waits for "
                "its value: use another connection there, without it"
            )
        if self._fetching is None:
            self._fetching = asyncio.ensure_future(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return await asyncio.shield(self._fetching)

    def _fixed(self) -> Pairs:
        pairs = check_metadata(self._metadata)
        return pairs if self._token is None else (*pairs, _bearer(check_token(self._token)))

    def expire(self, used: Pairs | None) -> bool:
        """Record that the engine did not accept what was sent; True if there may be a fresh one.

        Args:
            used: what was sent; None: what is sent now.
        """
        if not self._is_fixed and (used is None or self._current is used):
            self._current = None
        return not self._is_fixed

    def _fetched(self, fetching: asyncio.Task[Pairs]) -> None:
        self._fetching = None
        if not fetching.cancelled():
            fetching.exception()  # retrieved, also when every waiter has left

    async def _fetch(self) -> Pairs:
        metadata, token = self._metadata, self._token
        pairs = check_metadata(metadata) if not callable(metadata) else ()
        if callable(metadata):
            pairs = await self._ask("metadata", metadata, check_metadata)
        if callable(token):
            token = await self._ask("token", token, check_token)
        if token is not None:
            pairs = (*pairs, _bearer(token))
        self._current, self._since = pairs, asyncio.get_running_loop().time()
        return pairs

    async def _ask(
        self, what: str, function: Callable[[], Any], check: Callable[[Any], Any]
    ) -> Any:
        source = f"{what}={name_of(function)}"
        _asked.set(True)  # in this task and what it starts
        try:
            value = await asyncio.wait_for(self._user.call(function), LIMIT)
        except asyncio.TimeoutError as error:
            if error.__traceback__ is not None and _place(error) is not None:
                raise _failed(source, error) from None
            raise DeadlineExceededError(f"{source} did not return within {LIMIT:g} s") from None
        except Exception as error:
            raise _failed(source, error) from None
        try:
            return check(value)
        except InvalidArgumentError as error:
            raise UnauthenticatedError(
                f"{source} returned what cannot be sent: {error.message}"
            ) from None


def _bearer(token: str) -> Pair:
    return AUTHORIZATION, f"Bearer {token}"


def _failed(source: str, error: BaseException) -> UnauthenticatedError:
    place = _place(error)
    where = "" if place is None else f" at {place}"
    return UnauthenticatedError(
        f"{source} raised {type(error).__name__}{where}; its text is not shown, for it may hold a "
        "secret"
    )


def _place(error: BaseException) -> str | None:
    """Return file and line of the user's code in which an error was raised."""
    trace, found = error.__traceback__, None
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "flamepy" not in trace.tb_frame.f_globals.get("__name__", "") and "asyncio" not in name:
            found = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return found
