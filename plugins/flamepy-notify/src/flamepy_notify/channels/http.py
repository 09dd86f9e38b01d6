"""A POST of JSON to a secret URL: nothing of the URL but its host is ever shown."""

from __future__ import annotations

import http.client
import json
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import NoReturn
from urllib.parse import urlsplit

from flamepy.errors import InvalidArgumentError
from flamepy.informers import Secret
from flamepy_notify.channels.channel import Misconfigured, Refused, Unavailable

USER_AGENT = "flamepy-notify"
ANSWER_LIMIT = 4096  # bytes of an answer that are read
LONGEST_WAIT = 86_400.0  # seconds of a Retry-After that are believed
WRONG_URL = frozenset({401, 403, 404, 405, 410})
AGAIN = frozenset({408, 409, 425, 429})


def check_url(url: str, *, what: str) -> str:
    """Return the host of a URL, for logs.

    Raises:
        InvalidArgumentError: it is not an http or https URL; the text has nothing of it.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port
    except ValueError:
        host = None
    printable = url.isascii() and url.isprintable() and " " not in url
    if host is None or parts.scheme not in ("http", "https") or not printable:
        raise InvalidArgumentError(
            f"url of a {what} channel must be an https:// URL as the service shows it; what was "
            "given is not printed, since it is a secret"
        )
    if parts.username is not None:
        raise InvalidArgumentError(f"url of a {what} channel must not have a user and a password")
    return host


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirect: the URL is a secret, and its host was chosen."""

    def redirect_request(self, *_: object, **__: object) -> None:
        """Return nothing, so that the answer itself is the error."""


class JsonPoster:
    """Sends JSON to one URL.

    Args:
        url: the secret URL.
        timeout: seconds of each wait for the network.
        ca_file: certificates to trust instead of the system's.
        name: what errors call the destination.
    """

    def __init__(self, url: Secret, *, timeout: float, ca_file: str | None, name: str) -> None:
        self._url = url
        self._timeout = timeout
        self._name = name
        context = ssl.create_default_context(cafile=ca_file)
        self._opener = urllib.request.build_opener(
            _NoRedirects(), urllib.request.HTTPSHandler(context=context)
        )

    def post(self, body: Mapping[str, object]) -> None:
        """Send one body.

        Raises:
            ChannelError: it was not taken.
        """
        headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": USER_AGENT}
        data = json.dumps(body).encode()
        request = urllib.request.Request(
            self._url.reveal(), data=data, headers=headers, method="POST"
        )
        try:
            with self._opener.open(request, timeout=self._timeout) as answer:
                answer.read(ANSWER_LIMIT)
        except urllib.error.HTTPError as error:
            with error:
                self._answered(error.code, error.headers.get("Retry-After"))
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self._name}: {reason(error)}") from None

    def _answered(self, status: int, retry_after: str | None) -> NoReturn:
        said = f"{self._name} answered {status}"
        if status in AGAIN or status >= 500:
            raise Unavailable(said, after=seconds_of(retry_after)) from None
        if status in WRONG_URL:
            raise Misconfigured(f"{said}: the URL is wrong, or was revoked") from None
        if 300 <= status < 400:
            raise Misconfigured(f"{said}, a redirect: give the URL that it leads to") from None
        raise Refused(said) from None


def reason(error: BaseException) -> str:
    """Return why a connection failed, of parts that have no URL."""
    cause = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not trusted ({cause.verify_message})"
    text = getattr(cause, "strerror", None)
    return f"{type(cause).__name__}: {text}" if text else type(cause).__name__


def seconds_of(header: str | None) -> float | None:
    """Return the seconds of a Retry-After header, a number or a date; None without a usable one."""
    if header is None:
        return None
    try:
        wait = float(header) if header.strip()[:1].isdigit() else _until(header)
    except (ValueError, TypeError, OverflowError):
        return None
    return min(max(wait, 0.0), LONGEST_WAIT)


def _until(header: str) -> float:
    return parsedate_to_datetime(header).timestamp() - time.time()
