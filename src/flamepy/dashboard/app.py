"""The HTTP side: which address is answered by what. Runs on the server's loop, never blocks it."""

from __future__ import annotations

import asyncio
import functools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from flamepy._version import __version__
from flamepy.config import FlameContext
from flamepy.dashboard import details
from flamepy.dashboard.actions import ACTIONS
from flamepy.dashboard.channel import Channel, encoded
from flamepy.dashboard.documents import PAGES, Document, document
from flamepy.dashboard.guard import SECURITY_HEADERS, Guard, cookie_name
from flamepy.dashboard.viewing import Viewing
from flamepy.errors import FlameError, InvalidArgumentError, NotFoundError, ResourceExhaustedError
from flamepy.informers.reactor import Reactor
from flamepy.runtime.clocks import wall
from flamepy.runtime.pools import DaemonPool
from flamepy.texts import repr_of

STATIC = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
BEAT = 5.0  # seconds of silence after which a stream sends that it lives
BODY_LIMIT = 64 * 1024  # bytes of a request
RETRY = 1000  # milliseconds after which a browser asks again

Other = Callable[[str, str, Mapping[str, str], str], "tuple[int, bytes] | None"]
"""Answers what is not the dashboard's: method, path, words, bearer -> status, JSON; blocks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What the addresses are answered from.

    Attributes:
        reactor: whose engine is shown.
        viewing: the view's thread.
        guard: who may ask.
        pool: for what blocks.
        allow_actions: whether a page may change something.
        context: where the object cache is.
        other: answers further addresses.
    """

    reactor: Reactor
    viewing: Viewing
    guard: Guard
    pool: DaemonPool
    allow_actions: bool = False
    context: FlameContext | None = None
    other: Other | None = None


def make_app(served: Served) -> ASGIApp:
    """Return the application, with the guard around it."""
    pages = Pages(served)
    routes = [
        Route("/login", pages.login, methods=["POST"]),
        Route("/static/{name}", pages.static),
        Route("/api/about", pages.about),
        Route("/api/stream", pages.stream),
        Route("/api/page", pages.page),
        Route("/api/task", pages.task),
        Route("/api/preview", pages.preview),
        Route("/api/explain", pages.explain),
        Route("/api/deadletters", pages.dead_letters),
        Route("/api/cache", pages.cache),
        Route("/api/actions/{kind}/{act}", pages.act, methods=["POST"]),
        Route("/", pages.index),
        *(Route(f"/{name}", pages.index) for name in PAGES),
    ]
    return Guarded(Starlette(routes=routes), served, pages.others)


class Guarded:
    """Refuses what the guard refuses, and sets the headers of every answer."""

    def __init__(
        self,
        app: ASGIApp,
        served: Served,
        others: Callable[[Request], Awaitable[Response | None]],
    ) -> None:
        self._app = app
        self._guard = served.guard
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = [(name.encode(), one.encode()) for name, one in SECURITY_HEADERS.items()]
                message["headers"] = [*message["headers"], *given]
            await send(message)

        request = Request(scope, receive)
        headers = {name: value for name, value in request.headers.items()}
        path = request.url.path
        refused = self._guard.refusal(request.method, path, headers)
        answer: ASGIApp | None = None
        if refused is not None and not (refused.status == 401 and _is_page(path)):
            answer = error_response(refused.status, refused.text)
        else:
            answer = await self._others(request)
        await (answer or self._app)(scope, receive, sent)


def _is_page(path: str) -> bool:
    return path.strip("/") in ("", *PAGES)  # the page itself asks for the token


class Pages:
    """The answers, by address."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._files: dict[str, tuple[bytes, str]] = {}

    async def _blocking(self, function: Callable[..., Document], *given: Any) -> Response:
        """Answer with what a function returns that blocks."""
        loop = asyncio.get_running_loop()
        try:
            call = functools.partial(function, *given)
            return json_response(await loop.run_in_executor(self._served.pool, call))
        except FlameError as error:
            return error_response(status_of(error), error.message)

    # ------------------------------------------------------------------ files

    async def index(self, request: Request) -> Response:
        """Answer with the page that shows all others."""
        return self._file(request, "index.html")

    async def static(self, request: Request) -> Response:
        """Answer with a file."""
        return self._file(request, request.path_params["name"])

    def _file(self, request: Request, name: str) -> Response:
        path = STATIC / name
        if path.suffix not in TYPES or path.parent != STATIC or not path.is_file():
            return error_response(404, "there is no such file")
        found = self._files.get(name)
        if found is None:
            content = path.read_bytes()
            found = self._files[name] = content, f'"{sha256(content).hexdigest()[:16]}"'
        content, tag = found
        headers = {"etag": tag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=TYPES[path.suffix], headers=headers)

    async def login(self, request: Request) -> Response:
        """Exchange the token for a cookie."""
        guard = self._served.guard
        given = await body_of(request)
        token = given.get("token")
        if guard.token is not None and not (isinstance(token, str) and guard.is_token(token)):
            return error_response(401, "that is not the token")
        answer = json_response({"known": True})
        name = cookie_name(dict(request.headers.items()))
        secure = request.url.scheme == "https"
        answer.set_cookie(name, guard.cookie, httponly=True, samesite="lax", secure=secure)
        return answer

    async def others(self, request: Request) -> Response | None:
        """Answer what is not the dashboard's; None where it is."""
        other, path = self._served.other, request.url.path
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        probe = path in ("/healthz", "/readyz")
        if other is None or not (probe or kind.lower() == "bearer"):
            return None
        call = functools.partial(
            other, request.method, path, dict(request.query_params), token.strip()
        )
        found = await asyncio.get_running_loop().run_in_executor(self._served.pool, call)
        if found is None:
            return None
        status, body = found
        return Response(body, status, media_type="application/json")

    # ------------------------------------------------------------------ documents

    async def about(self, request: Request) -> Response:
        """Answer with what does not change."""
        served = self._served
        return json_response(
            {
                "version": __version__,
                "actions": served.allow_actions,
                "pages": list(PAGES),
                "guarded": served.guard.token is not None,
            }
        )

    async def page(self, request: Request) -> Response:
        """Answer with a page's document once."""
        words = dict(request.query_params)
        name = words.pop("page", "")
        try:
            made = await self._served.viewing.ask(lambda view: document(view, name, words, wall()))
        except FlameError as error:
            return error_response(status_of(error), error.message)
        return json_response(made)

    async def stream(self, request: Request) -> Response:
        """Send a page's document, then what changes of it, as server-sent events."""
        words = dict(request.query_params)
        name = words.pop("page", "")
        last = request.headers.get("last-event-id") or words.pop("last", "")
        if name not in PAGES:
            return error_response(
                400, f"there is no page {repr_of(name)}; there are: {', '.join(PAGES)}"
            )
        try:
            channel = self._served.viewing.channel(name, words)
        except FlameError as error:
            return error_response(status_of(error), error.message)
        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        events = self._events(channel, channel.number_of(last))
        return StreamingResponse(events, media_type="text/event-stream", headers=headers)

    async def _events(self, channel: Channel, number: int) -> AsyncIterator[bytes]:
        viewing, said = self._served.viewing, ""
        channel.viewers += 1
        try:
            yield b"retry: %d\n\n" % RETRY + beat()
            while not viewing.closing:
                if channel.error != said:
                    said = channel.error
                    yield b"event: failed\ndata: %s\n\n" % encoded(said)
                news = channel.since(number)
                number = channel.number if news else number
                yield news or beat()
                await channel.wait(number, BEAT)
            yield b"event: bye\ndata: 0\n\n"
        finally:
            channel.viewers -= 1

    # ------------------------------------------------------------------ asked for

    async def task(self, request: Request) -> Response:
        """Answer with one task as the engine has it."""
        return await self._blocking(
            details.task_detail, self._served.reactor, dict(request.query_params)
        )

    async def preview(self, request: Request) -> Response:
        """Answer with the beginning of a payload."""
        return await self._blocking(
            details.preview, self._served.reactor, dict(request.query_params)
        )

    async def explain(self, request: Request) -> Response:
        """Answer with what each informer did with a task or a session."""
        return await self._blocking(
            details.explained, self._served.reactor, dict(request.query_params)
        )

    async def dead_letters(self, request: Request) -> Response:
        """Answer with the dead letters."""
        return await self._blocking(details.dead_letters, self._served.reactor)

    async def cache(self, request: Request) -> Response:
        """Answer with the objects of the object cache."""
        words = dict(request.query_params)
        return await self._blocking(details.cache_objects, self._served.context, words)

    async def act(self, request: Request) -> Response:
        """Change something, where that is allowed."""
        if not self._served.allow_actions:
            return error_response(403, "this server only shows; start it with --allow-actions")
        act = ACTIONS.get(f"{request.path_params['kind']}/{request.path_params['act']}")
        if act is None:
            return error_response(404, f"there is no such action; there are: {', '.join(ACTIONS)}")
        try:
            given = await body_of(request)
        except InvalidArgumentError as error:
            return error_response(400, error.message)
        return await self._blocking(lambda: {"text": act(self._served.reactor, given)})


def beat() -> bytes:
    """Return what says that a stream lives, and what time it is."""
    return b"event: beat\ndata: %s\n\n" % encoded(wall())


async def body_of(request: Request) -> dict[str, Any]:  # Any: what JSON gives
    """Return the JSON object of a request.

    Raises:
        InvalidArgumentError: it is too long, or it is not a JSON object.
    """
    read = bytearray()
    async for part in request.stream():
        read += part
        if len(read) > BODY_LIMIT:
            raise InvalidArgumentError(f"a request has {BODY_LIMIT} bytes at most")
    try:
        given = json.loads(bytes(read) or b"{}")
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise InvalidArgumentError("send a JSON object")
    return given


def status_of(error: FlameError) -> int:
    """Return the HTTP status of an error."""
    if isinstance(error, InvalidArgumentError):
        return 400
    if isinstance(error, NotFoundError):
        return 404
    return 429 if isinstance(error, ResourceExhaustedError) else 409


def json_response(value: object, status: int = 200) -> Response:
    """Return JSON, which no cache keeps."""
    headers = {"cache-control": "no-store"}
    return Response(encoded(value), status, headers=headers, media_type="application/json")


def error_response(status: int, text: str) -> Response:
    """Return why there is no answer."""
    return json_response({"error": text}, status)
