"""Who may ask: the host that was asked for, where a request comes from, and the token. Pure.

A page of another site must not read or steer an engine through a browser that can reach it. Its
requests have another ``Origin``; after a DNS rebinding they have a ``Host`` that is not ours. Both
are refused. An address is never rebound, so an address as ``Host`` is good; of names those that
were given.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import CookieError, SimpleCookie

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

TOKEN_LENGTH = 16  # characters of a token, at least
HEADER = "x-flamepy"  # of requests that change something; other sites cannot send it
_HOST = re.compile(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::[0-9]+)?")
_OPEN = ("/login", "/static/", "/healthz", "/readyz")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not answered."""

    status: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """Decides which requests are answered.

    Attributes:
        token: what a client has to know; None lets every client of an allowed host in.
        hosts: names under which the server is reached, beside addresses and ``localhost``.
        key: secret of this process, from which the cookie is made.

    Raises:
        InvalidArgumentError: the token is too short.
    """

    token: str | None = field(default=None, repr=False)
    hosts: frozenset[str] = frozenset()
    key: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < TOKEN_LENGTH:
            raise InvalidArgumentError(
                f"the token has {len(self.token)} characters; it needs {TOKEN_LENGTH} or more"
            )

    def refusal(self, method: str, path: str, headers: Mapping[str, str]) -> Refusal | None:
        """Return why a request is not answered; None if it is.

        Args:
            method: of HTTP.
            path: without the query.
            headers: by name in lower case.
        """
        probe = path in ("/healthz", "/readyz")
        wrong = None if probe else self._wrong_place(headers)
        if wrong is not None:
            return wrong
        if method not in ("GET", "HEAD") and not {HEADER, "authorization"} & set(headers):
            return Refusal(403, f"a request that changes something needs the header {HEADER}")
        if path.startswith(_OPEN) or self.is_known(headers):
            return None
        return Refusal(401, "give the token: open the page, or send Authorization: Bearer")

    def _wrong_place(self, headers: Mapping[str, str]) -> Refusal | None:
        host = headers.get("host", "")
        if not self.is_ours(host):
            return Refusal(
                403, f"this server is not {repr_of(host)}; --allow-host NAME allows a name"
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return Refusal(403, f"a page of {repr_of(origin)} may not ask here")
        if headers.get("sec-fetch-site") == "cross-site" and "origin" not in headers:
            if headers.get("sec-fetch-mode") == "navigate":
                return None  # a link that was clicked
            return Refusal(403, "a page of another site may not ask here")
        return None

    def is_ours(self, host: str) -> bool:
        """Return whether a ``Host`` header names this server."""
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = (found["six"] or found["name"]).lower()
        if name == "localhost" or name in self.hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    # ------------------------------------------------------------------ the token

    def is_known(self, headers: Mapping[str, str]) -> bool:
        """Return whether a request has the token, as a bearer or by the cookie."""
        if self.token is None:
            return True
        kind, _, given = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and self.is_token(given.strip()):
            return True
        return hmac.compare_digest(self._given_cookie(headers).encode(), self.cookie.encode())

    def is_token(self, given: str) -> bool:
        """Return whether a text is the token, in a time that says nothing of it."""
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    @property
    def cookie(self) -> str:
        """The cookie's value; the token cannot be found from it."""
        return hmac.new(self.key, (self.token or "").encode(), hashlib.sha256).hexdigest()

    def _given_cookie(self, headers: Mapping[str, str]) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(cookie_name(headers))
        except CookieError:
            return ""
        return "" if found is None else found.value


def cookie_name(headers: Mapping[str, str]) -> str:
    """Return the cookie's name; ports of one host share cookies, so it has the port."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"flamepy_{port}" if port.isdigit() else "flamepy"


SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
