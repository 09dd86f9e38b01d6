"""The handlers of a running ``flamepy run --http``: shown, paused, resumed, explained.

``answer`` is what the process says to a request; ``ask`` is how a command sends one. A request
needs the token of the process: that of ``FLAME_HTTP_TOKEN``, else one that the process made and
left in a file that its user alone can read, where ``ask`` finds it by the port.
"""

from __future__ import annotations

import hmac
import http.client
import json
import os
import secrets
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote, unquote, urlencode

from flamepy.cli.serving.health import parse_address
from flamepy.cli.serving.http_port import Act, Job, Request
from flamepy.errors import ConfigError, FlameError, InvalidStateError, UnavailableError
from flamepy.texts import text_of

VARIABLE = "FLAME_HTTP_TOKEN"
TIMEOUT = 10.0  # seconds

Body = dict[str, Any]  # Any: what JSON takes


class Handler(Protocol):
    """A registration, as far as it is shown and steered."""

    @property
    def name(self) -> str:
        """What it is called."""

    def describe(self) -> Body:
        """Return how it is, as JSON takes it."""

    def pause(self, reason: str) -> None:
        """Deliver nothing until ``resume``."""

    def resume(self) -> None:
        """Deliver again."""


Explain = Callable[[str, "str | None"], Body]


def make_act(handlers: Callable[[], Iterable[Handler]], explain: Explain, token: str) -> Act:
    """Return what answers the requests of ``flamepy handlers`` and ``flamepy explain``."""

    def act(request: Request) -> Job | None:
        parts = [unquote(one) for one in request.path.split("/") if one]
        if not parts or parts[0] not in ("handlers", "explain"):
            return None
        if not hmac.compare_digest(request.token.encode(), token.encode()):
            refusal = {"error": f"the token is missing or wrong; it is in {VARIABLE}"}
            return lambda: _encoded(401, refusal)
        return lambda: _checked(request, parts, handlers, explain)

    return act


def _checked(
    request: Request,
    parts: list[str],
    handlers: Callable[[], Iterable[Handler]],
    explain: Explain,
) -> tuple[int, bytes]:
    try:
        return _encoded(*_answer(request, parts, handlers, explain))
    except FlameError as error:
        return _encoded(409, {"error": error.message})


def _answer(
    request: Request,
    parts: list[str],
    handlers: Callable[[], Iterable[Handler]],
    explain: Explain,
) -> tuple[int, Body]:
    if parts == ["explain"] and request.method == "GET":
        session = request.query.get("session", "")
        if not session:
            return 400, {"error": "give session=, and task= for one task"}
        return 200, explain(session, request.query.get("task") or None)
    known = {one.name: one for one in handlers()}
    if parts == ["handlers"] and request.method == "GET":
        return 200, {"handlers": [one.describe() for one in known.values()]}
    if len(parts) != 3 or request.method != "POST" or parts[2] not in ("pause", "resume"):
        return 404, {"error": "there are /handlers, /handlers/NAME/pause, .../resume, /explain"}
    handler = known.get(parts[1])
    if handler is None:
        names = ", ".join(known) or "none"
        return 404, {"error": f"there is no handler {parts[1]}; there are: {names}"}
    if parts[2] == "pause":
        handler.pause(request.query.get("reason") or "paused by a command")
    else:
        handler.resume()
    return 200, handler.describe()


def _encoded(status: int, body: Body) -> tuple[int, bytes]:
    return status, json.dumps(body).encode() + b"\n"


# ---------------------------------------------------------------------- the token


def token_file(port: int) -> Path:
    """Return where the process that listens on a port leaves its token."""
    base = os.environ.get("XDG_RUNTIME_DIR") or tempfile.gettempdir()
    return Path(base) / f"flamepy-{os.getuid() if hasattr(os, 'getuid') else 0}" / f"{port}.token"


def make_token(port: int, made: str | None = None) -> tuple[str, Path | None]:
    """Return the token of this process, and the file that it was left in, if it was made here.

    Args:
        port: that the process listens on.
        made: the token to leave, where the user gives none; by default a new one.

    Raises:
        ConfigError: the file cannot be made, or its folder belongs to another user.
    """
    given = os.environ.get(VARIABLE)
    if given:
        return given, None
    path = token_file(port)
    token = made or secrets.token_urlsafe(32)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if hasattr(os, "getuid") and path.parent.stat().st_uid != os.getuid():
            raise ConfigError(f"{path.parent} belongs to another user; set {VARIABLE}")
        path.parent.chmod(0o700)
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(token)
    except OSError as error:
        raise ConfigError(f"no token can be left in {path}: {text_of(error)}") from error
    return token, path


def _token_for(port: int) -> str:
    given = os.environ.get(VARIABLE)
    if given:
        return given
    try:
        return token_file(port).read_text()
    except OSError:
        return ""


# ---------------------------------------------------------------------- a command's side


def ask(address: str, method: str, *path: str, **query: str | None) -> Body:
    """Send a request to the process that listens there, and return its answer.

    Raises:
        ConfigError: it is not an address.
        UnavailableError: nothing answers there.
        InvalidStateError: the process refused; its text says why.
    """
    host, port = parse_address(address)
    given = {name: value for name, value in query.items() if value is not None}
    target = "/" + "/".join(quote(one, safe="") for one in path)
    target += f"?{urlencode(given)}" if given else ""
    connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT)
    try:
        connection.request(method, target, headers={"Authorization": f"Bearer {_token_for(port)}"})
        response = connection.getresponse()
        body = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UnavailableError(
            f"nothing of flamepy answers at {host}:{port} ({text_of(error)}); start it with "
            f"flamepy run --http {host}:{port}"
        ) from error
    finally:
        connection.close()
    if response.status != 200 or not isinstance(body, dict):
        text = body.get("error") if isinstance(body, dict) else None
        raise InvalidStateError(f"{host}:{port}: {text or f'status {response.status}'}")
    return body
