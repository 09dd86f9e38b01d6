"""``HttpPort``: a small HTTP port whose clients cannot delay each other.

One thread, ``flamepy-http``, with an asyncio loop of its own serves every connection at the same
time. A connection has ``EXCHANGE_LIMIT`` seconds for its request and its answer together, a
request ``REQUEST_LIMIT`` bytes, and there are ``CONNECTION_LIMIT`` connections at most: one more
ends the oldest. So a client that is silent, slow, gone, or never stops sending costs one
connection for a few seconds.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl

from flamepy.runtime.pools import DaemonPool
from flamepy.runtime.repeats import RepeatedLog, kind_of
from flamepy.runtime.serving import serving

logger = logging.getLogger(__name__)
_repeated = RepeatedLog(logger)

THREAD = "flamepy-http"
EXCHANGE_LIMIT = 5.0  # seconds
REQUEST_LIMIT = 16 * 1024  # bytes of the request line and the headers
CONNECTION_LIMIT = 64
ACCEPTING = 100  # turns of the loop in which a stop lets connections begin, at most
JOIN_LIMIT = 3.0  # seconds
ACTS = 2  # of ``act`` at the same time
JSON = "application/json"

Deferred = concurrent.futures.Future["tuple[int, bytes]"]

Answer = Callable[[str], tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asked for.

    Attributes:
        method: ``GET`` or ``POST``.
        path: without the query, quoted as it came.
        query: the parameters of the query; of one given twice the last.
        token: of ``Authorization: Bearer``; "" without one.
    """

    method: str
    path: str
    query: dict[str, str] = field(default_factory=dict)
    token: str = field(default="", repr=False)


Job = Callable[[], "tuple[int, bytes]"]
Act = Callable[[Request], "Job | None"]


class HttpPort:
    """Answers GET and HEAD until ``stop``; methods may be called from any thread.

    Args:
        host: the address to listen on.
        port: 0 chooses a free one.
        answer: returns status and JSON body for a path; called on the port's thread, so it must
            not block. An exception is answered with status 500.
        act: returns, for a request that it knows, POST included, a function that returns status
            and body and may block: it is called on a thread of a pool. None for what ``answer``
            knows.

    Raises:
        OSError: the address cannot be listened on.
    """

    def __init__(self, host: str, port: int, answer: Answer, act: Act | None = None) -> None:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.create_server((host, port), family=family)
        self._port = int(self._socket.getsockname()[1])
        self._answer = answer
        self._act = act
        self._pool = DaemonPool(ACTS, name=f"{THREAD}-act")
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Future[None] | None = None
        self._thread: threading.Thread | None = None

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return self._port

    def start(self) -> None:
        """Answer from now on.

        Raises:
            RuntimeError: the thread could not be started; nothing is listened on then.
        """
        # Not the loop of the process's policy: that one may be uvloop's, with other limits.
        loop = asyncio.SelectorEventLoop()
        # Not ``loop.stop``: that would end whatever runs, the opening of the port as well.
        stopped = loop.create_future()
        thread = threading.Thread(target=self._run, args=(loop, stopped), name=THREAD, daemon=True)
        try:
            thread.start()
        except BaseException:
            loop.close()
            self._socket.close()
            raise
        self._loop, self._stopped, self._thread = loop, stopped, thread

    def stop(self) -> None:
        """End every connection and listen no more; idempotent.

        Returns when the thread has ended, after ``JOIN_LIMIT`` seconds at most.
        """
        if self._thread is not None and self._loop is not None and self._stopped is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed already
                self._loop.call_soon_threadsafe(_settle, self._stopped)
            self._thread.join(JOIN_LIMIT)
        self._socket.close()

    @serving(THREAD)
    def _run(self, loop: asyncio.AbstractEventLoop, stopped: asyncio.Future[None]) -> None:
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._serve(loop, stopped))
        finally:
            asyncio.set_event_loop(None)
            loop.close()
            self._pool.shutdown(wait=False)

    async def _serve(self, loop: asyncio.AbstractEventLoop, stopped: asyncio.Future[None]) -> None:
        connections: dict[_Connection, None] = {}
        server = await loop.create_server(
            lambda: _Connection(self._answer, self._deferred, connections, loop), sock=self._socket
        )
        await stopped
        # Just accepted ones first: a closed server has asyncio forget their sockets.
        for _ in range(ACCEPTING):
            if not (accepting := asyncio.all_tasks() - {asyncio.current_task()}):
                break
            await asyncio.wait(accepting)
        server.close()
        for one in list(connections):
            one.abort()
        await asyncio.sleep(0)  # the aborted ones close their sockets

    def _deferred(self, request: Request) -> Deferred | None:
        """Return what an act's answer will be in; None if there is no act for the request."""
        job = None if self._act is None else self._act(request)
        return None if job is None else self._pool.submit(job)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class _Connection(asyncio.Protocol):
    """One request and its answer.

    The answer is followed by an end of the stream; the client closes then. Closing here could
    reset the connection before the client has read the answer.
    """

    def __init__(
        self,
        answer: Answer,
        act: Callable[[Request], Deferred | None],
        connections: dict[_Connection, None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._answer = answer
        self._act = act
        self._connections = connections
        self._loop = loop
        self._received = bytearray()
        self._answered = self._taken = False
        self._transport: asyncio.Transport | None = None
        self._limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count the connection, and end the oldest where there are too many."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._limit = self._loop.call_later(EXCHANGE_LIMIT, self.abort)
        self._connections[self] = None
        if len(self._connections) > CONNECTION_LIMIT:
            next(iter(self._connections)).abort()

    def data_received(self, data: bytes) -> None:
        """Answer as soon as the headers are complete; what follows them is discarded."""
        if self._answered or self._taken:
            return
        self._received += data
        if len(self._received) > REQUEST_LIMIT:
            self._respond(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, _error("too large"), "GET")
        elif b"\r\n\r\n" in self._received or b"\n\n" in self._received:
            self._take(bytes(self._received))

    def eof_received(self) -> bool:
        """Close: the client has the answer, or sends no more of its request."""
        return self._transport is not None and self._transport.get_write_buffer_size() > 0

    def connection_lost(self, error: Exception | None) -> None:
        """Stop counting the connection."""
        self._connections.pop(self, None)
        if self._limit is not None:
            self._limit.cancel()

    def abort(self) -> None:
        """End the connection now."""
        self._connections.pop(self, None)
        if self._transport is not None:
            self._transport.abort()

    def _take(self, request: bytes) -> None:
        words = request.split(b"\n", 1)[0].decode("latin-1").split()
        if len(words) != 3 or not words[2].startswith("HTTP/"):
            self._respond(HTTPStatus.BAD_REQUEST, _error("this is not an HTTP request"), "GET")
            return
        method, path, _ = words
        deferred = None
        if method in ("GET", "POST"):
            deferred = self._act(_request_of(method, path, request))
        if deferred is None:
            self._look(method, path)
            return
        self._taken = True
        wrapped = asyncio.wrap_future(deferred, loop=self._loop)
        wrapped.add_done_callback(lambda done: self._acted(method, path, done))

    def _acted(self, method: str, path: str, done: asyncio.Future[tuple[int, bytes]]) -> None:
        if done.cancelled() or self._transport is None or self._transport.is_closing():
            return
        error = done.exception()
        if error is not None:
            self._failed(method, path, error)
            return
        status, body = done.result()
        self._respond(status, body, method)

    def _failed(self, method: str, path: str, error: BaseException) -> None:
        text = "a request for %r could not be answered"
        path = path.partition("?")[0]
        _repeated.log(logging.ERROR, kind_of(error), text, path, error=error)
        self._respond(500, _error(type(error).__name__), method)

    def _look(self, method: str, path: str) -> None:
        if method not in ("GET", "HEAD"):
            self._respond(HTTPStatus.METHOD_NOT_ALLOWED, _error("send GET or HEAD"), method)
            return
        try:
            status, body = self._answer(path)
        except Exception as error:
            self._failed(method, path, error)
            return
        self._respond(status, body, method)

    def _respond(self, status: int, body: bytes, method: str) -> None:
        assert self._transport is not None
        self._answered = True
        self._received.clear()
        head = (
            f"HTTP/1.0 {int(status)} {HTTPStatus(status).phrase}\r\n"
            f"Server: flamepy\r\nDate: {formatdate(usegmt=True)}\r\n"
            f"Content-Type: {JSON}\r\nContent-Length: {len(body)}\r\n"
        )
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            head += "Allow: GET, HEAD\r\n"
        self._transport.write(
            head.encode("latin-1") + b"\r\n" + (b"" if method == "HEAD" else body)
        )
        with contextlib.suppress(OSError):  # the client is gone already
            self._transport.write_eof()


def _request_of(method: str, target: str, request: bytes) -> Request:
    path, _, query = target.partition("?")
    token = ""
    for line in request.decode("latin-1").splitlines()[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "authorization":
            kind, _, given = value.strip().partition(" ")
            token = given.strip() if kind.lower() == "bearer" else ""
    return Request(method, path, dict(parse_qsl(query, keep_blank_values=True)), token)


def _error(text: str) -> bytes:
    return b'{"error": "' + text.encode() + b'"}\n'
