"""Reaching an engine for the first time: asking until it answers, and seeing why it does not.

An engine that TLS keeps from answering is distinguished from one that is down: the first is an
error at once, for a repeat would not help. Some failures of TLS look like a mere closed connection,
so a handshake is tried beside the call (``tls_probe``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from flamepy.config import FlameContext
from flamepy.errors import DeadlineExceededError, FlameError, TlsError, UnavailableError
from flamepy.rpc.retry.classifier import Failure, is_retryable
from flamepy.rpc.transport.status import CLOSED
from flamepy.rpc.transport.tls_probe import shake, speaks_tls
from flamepy.rpc.transport.ways_out import start_one
from flamepy.types import RetryDetails

PAUSE = 0.1
ASKED = "ListNodes"  # the call by which ``Link.connect`` asks


class Reachable(Protocol):
    """What is needed of a link."""

    context: FlameContext

    def on_retry(self, observer: Callable[[RetryDetails], None]) -> Callable[[], None]:
        """Call ``observer`` for each call that will be made again; returns the undo."""


Ask = Callable[[float], Coroutine[Any, Any, object]]


async def reach(link: Reachable, ask: Ask, timeout: float) -> None:
    """Return when the engine has answered ``ask(seconds)``.

    Raises:
        UnavailableError, DeadlineExceededError: nothing usable answered in ``timeout`` seconds;
            the message names the endpoint and why.
        TlsError: at once, when TLS is to blame.
    """
    failures: asyncio.Queue[FlameError] = asyncio.Queue()
    undo = link.on_retry(lambda details: failures.put_nowait(details.error))
    asking = asyncio.ensure_future(_ask(ask, timeout, failures, link.context.address.url))
    looking = asyncio.ensure_future(_look(link.context, failures))
    try:
        await asyncio.wait({asking, looking}, return_when=asyncio.FIRST_COMPLETED)
        if looking.done():
            looking.result()
        await asking
    finally:
        undo()
        for one in (asking, looking):
            one.cancel()
        await asyncio.gather(asking, looking, return_exceptions=True)


async def _ask(
    ask: Ask, timeout: float, failures: asyncio.Queue[FlameError], endpoint: str
) -> None:
    # A call says why it fails, which waiting for the channel to be ready does not.
    now = asyncio.get_running_loop().time
    limit = now() + timeout
    last: FlameError | None = None
    while (left := limit - now()) > 0:
        try:
            await ask(left)
            return
        except TlsError:
            raise
        except DeadlineExceededError as error:
            last = last or error
        except UnavailableError as error:
            failures.put_nowait(error)
            last = error
            await asyncio.sleep(min(PAUSE, max(left, 0.0)))
    reason = last.message if last else "no time was given"
    failure = Failure(last.failure) if last and last.failure else Failure.NOT_SENT
    hint = start_one(endpoint) if last and failure is Failure.NOT_SENT else ""
    failed = UnavailableError(
        f"no connection within {timeout:g} s: {reason}{hint}",
        retryable=is_retryable(ASKED, failure),
    )
    failed.failure = failure.value
    raise failed from last


async def _look(context: FlameContext, failures: asyncio.Queue[FlameError]) -> None:
    """Look at TLS once, when a connection was closed without a reason; raise what was found."""
    address = context.address
    while True:
        failure = await failures.get()
        if any(word in failure.message for word in CLOSED):
            break
    start = f"cannot reach the engine at {address.url}"
    if address.tls:
        found = await shake(address, context.tls)
        if found.problem and not found.silent:
            raise TlsError(f"{start}: {found}") from failure
    elif await speaks_tls(address):
        raise TlsError(f"{start}: the port speaks TLS: write https://{address.target}") from failure
