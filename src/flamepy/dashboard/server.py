"""``Dashboard``: serves the pages of a reactor's engine until it is stopped."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flamepy.dashboard.guard import Guard
from flamepy.dashboard.viewing import Viewing
from flamepy.errors import InvalidArgumentError, MissingExtraError, UnavailableError
from flamepy.host.addresses import is_loopback
from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.serving import serving
from flamepy.texts import repr_of, text_of
from flamepy.view import LiveView, ViewLimits

if TYPE_CHECKING:
    from flamepy.config import FlameContext
    from flamepy.dashboard.app import Other
    from flamepy.informers.reactor import Reactor

logger = logging.getLogger(__name__)

PORT = 8265
THREAD = "flamepy-dashboard"
INSTALL = 'pip install "flamepy-informers[dashboard]"'
CALLS = 4  # blocking calls at the same time
JOIN_LIMIT = 5.0  # seconds


class Dashboard:
    """Shows the engine of a reactor in a browser; use it with ``with``, or ``start`` and ``stop``.

    It serves on a thread of its own. Without ``allow_actions`` nothing can be changed through it.

    Args:
        reactor: whose engine is shown; started before or after, and stopped after the dashboard.
        host: the address to listen on. Any but a loopback address needs a token.
        port: 0 chooses a free one.
        token: what clients have to know: 16 characters or more.
        allow_hosts: names under which browsers reach it, beside addresses and ``localhost``: of a
            proxy, for example.
        allow_actions: pages may close and delete sessions, pause informers, retry dead letters.
        context: where the object cache is, for its page.
        history: a file that keeps the charts over restarts.
        limits: how much the view keeps.
        other: answers further addresses of the port.

    Raises:
        InvalidArgumentError: the token is missing where one is needed, or it is too short.
        MissingExtraError: the extra ``dashboard`` is not installed.
    """

    def __init__(
        self,
        reactor: Reactor,
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        token: str | None = None,
        allow_hosts: Iterable[str] = (),
        allow_actions: bool = False,
        context: FlameContext | None = None,
        history: str | os.PathLike[str] | None = None,
        limits: ViewLimits | None = None,
        other: Other | None = None,
    ) -> None:
        check_extra()
        if token is None and not is_loopback(host):
            raise InvalidArgumentError(
                f"host {repr_of(host)} can be reached from other machines: give token=, of 16 "
                "characters or more, or listen on 127.0.0.1"
            )
        names = frozenset(one.lower() for one in allow_hosts)
        self._guard = Guard(token=token, hosts=names, key=secrets.token_bytes(32))
        self._reactor = reactor
        self._view = LiveView(reactor, limits=limits)
        self._viewing = Viewing(self._view, history=None if history is None else Path(history))
        self._pool = DaemonPool(CALLS, name=f"{THREAD}-call")
        self._options: dict[str, Any] = {  # Any: each as of ``Served``
            "allow_actions": allow_actions,
            "context": context,
            "other": other,
        }
        self._host, self._port = host, port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None

    def __repr__(self) -> str:
        return f"<Dashboard at {self.url}{'' if self._thread else ', not running'}>"

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    @property
    def url(self) -> str:
        """The address for a browser on this machine, without the token."""
        host = "127.0.0.1" if self._host in ("0.0.0.0", "::", "") else self._host
        return f"http://{f'[{host}]' if ':' in host else host}:{self._port}/"

    @property
    def view(self) -> LiveView:
        """What is shown; only the dashboard's own thread may use it while it runs."""
        return self._view

    def start(self) -> Dashboard:
        """Listen and serve from now on.

        Raises:
            UnavailableError: the address cannot be listened on.
        """
        listening = self._listen()
        self._view.open()
        loop = asyncio.SelectorEventLoop()  # not that of the policy, which may be another's
        self._loop, self._stopping = loop, asyncio.Event()
        thread = threading.Thread(
            target=self._run, args=(loop, self._stopping, listening), name=THREAD, daemon=True
        )
        try:
            thread.start()
        except BaseException:
            loop.close()
            listening.close()
            raise
        self._thread = thread
        return self

    def _listen(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        try:
            listening = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise UnavailableError(
                f"cannot listen on {self._host}:{self._port}: {text_of(error)}; --port 0 takes a "
                "free one"
            ) from error
        self._port = int(listening.getsockname()[1])
        return listening

    def stop(self) -> None:
        """End every page and listen no more; idempotent. Returns when the thread has ended."""
        thread, loop, stopping = self._thread, self._loop, self._stopping
        if thread is None or loop is None or stopping is None:
            return
        self._thread = None
        with contextlib.suppress(RuntimeError):  # the loop is closed already
            loop.call_soon_threadsafe(stopping.set)
        thread.join(JOIN_LIMIT)
        self._viewing.end()
        self._pool.shutdown(wait=False)

    def __enter__(self) -> Dashboard:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # ------------------------------------------------------------------ on the thread

    @serving(THREAD)
    def _run(
        self, loop: asyncio.AbstractEventLoop, stopping: asyncio.Event, listening: socket.socket
    ) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve(stopping, listening))
        finally:
            listening.close()
            asyncio.set_event_loop(None)
            loop.close()

    async def _serve(self, stopping: asyncio.Event, listening: socket.socket) -> None:
        import uvicorn

        from flamepy.dashboard.app import Served, make_app

        served = Served(
            reactor=self._reactor,
            viewing=self._viewing,
            guard=self._guard,
            pool=self._pool,
            **self._options,
        )
        config = uvicorn.Config(
            make_app(served),
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        running = asyncio.ensure_future(server.serve(sockets=[listening]))
        current = asyncio.ensure_future(self._viewing.run())
        await stopping.wait()
        self._viewing.close()
        server.should_exit = True
        await asyncio.gather(running, current, return_exceptions=True)


def check_extra() -> None:
    """Check that the extra ``dashboard`` is installed.

    Raises:
        MissingExtraError: names what to run.
    """
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"the dashboard needs starlette and uvicorn: run {INSTALL}"
        ) from error
