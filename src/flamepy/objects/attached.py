"""The one ``ObjectClient`` of a link: made at the first use, closed with the link.

This module needs no extra; making a client without it says what to install.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from flamepy.errors import ResourceExhaustedError
from flamepy.rpc.link import Link
from flamepy.rpc.transport.link_holder import on_child
from flamepy.runtime import threads
from flamepy.wire.objects import check_extra

if TYPE_CHECKING:
    from flamepy.objects.client import ObjectClient

T = TypeVar("T")
P = ParamSpec("P")
KEY = "objects"
JOIN = 2.0
STEP = 0.002


class _Guard:
    """The lock under which a link's client is made; a forked child gets another."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        on_child(self._renew)

    def _renew(self) -> None:
        self.lock = threading.RLock()


_guard = _Guard()


class Attached:
    """What a link closes: the client and its threads."""

    def __init__(self, link: Link) -> None:
        from flamepy.objects.client import ObjectClient
        from flamepy.objects.workers import Workers

        self.client = ObjectClient(
            link.context,
            policy=link.policy,
            patience=link.patience,
            on_ambiguous=link.on_ambiguous,
        )
        self.workers = Workers()

    async def aclose(self) -> None:
        """Close both; a thread in a transfer ends with it, and is waited for ``JOIN`` seconds."""
        self.workers.close()
        loop = asyncio.get_running_loop()
        limit = loop.time() + JOIN
        try:
            # Not here: its lock may be held by a thread that a signal handler holds up, in which
            # this close is waited for.
            closing = threads.start(self.client.close, name="flamepy-objects-close")
        except ResourceExhaustedError:
            self.client.close()
            return
        while (closing.is_alive() or self.workers.running()) and loop.time() < limit:
            await asyncio.sleep(STEP)


def attached(link: Link) -> Attached:
    """Return a link's client with its threads; from any thread.

    Raises:
        MissingExtraError: the extra ``cache`` is not installed.
        ConnectionClosedError: the link is closed.
    """
    check_extra()
    with _guard.lock:
        return link.attachment(KEY, Attached)


def client_of(link: Link) -> ObjectClient:
    """Return a link's client. Raises MissingExtraError, ConnectionClosedError."""
    return attached(link).client


async def on_worker(link: Link, call: Callable[P, T], *args: P.args, **options: P.kwargs) -> T:
    """Await a call of a link's client that blocks, made on one of its threads."""
    future = attached(link).workers.submit(partial(call, *args, **options))
    return await asyncio.wrap_future(future)
