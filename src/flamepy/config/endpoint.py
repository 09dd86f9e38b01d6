"""An engine's address: ``Endpoint``, parsed and checked; URLs without their passwords."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from flamepy.errors import ConfigError
from flamepy.host.addresses import is_loopback
from flamepy.texts import repr_of, text_of

DEFAULT_PORT = 8080
_EXAMPLE = "http://127.0.0.1:8080"
_HOST = re.compile(r"[\w.-]+|[0-9A-Fa-f:.]+(%[\w.-]+)?")  # a name, an IPv4 or an IPv6 address
_BLANK = re.compile(r"[\s\x00-\x1f]")
# Up to the last @ of a word: what follows ://, or is written user:password@.
_CREDENTIALS = re.compile(r"(?<=://)[^\s'\"]*@|[^\s'\"/:,{\[]+:[^\s'\"/][^\s'\"]*@")
_USER = re.compile(r"^([\w+.-]+://)?.*@")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An engine's address, checked."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Endpoint:
        """Parse ``http://host:port``, ``https://host:port``, ``host:port`` or ``host``.

        The scheme defaults to http, the port to 8080.

        Raises:
            ConfigError: names the text and the rule that it breaks.
        """
        if not isinstance(text, str) or not text.strip():
            raise ConfigError(f"endpoint {repr_of(text)} is empty; write it like {_EXAMPLE!r}")
        text = text.strip()
        if "@" in text:
            raise ConfigError(
                f"endpoint {repr_of(without_password(text))} has a user or password, which an "
                "engine "
                f"does not take; write it like {_EXAMPLE!r}"
            )
        try:
            parts = urlsplit(text if "://" in text else f"http://{text}")
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError(
                f"endpoint {repr_of(text)} is not a URL: {text_of(error)}; write it like "
                f"{_EXAMPLE!r}"
            ) from error
        if parts.scheme not in ("http", "https"):
            raise ConfigError(
                f"endpoint {repr_of(text)}: the scheme must be http or https (with TLS), "
                f"not {repr_of(parts.scheme)}; write it like {_EXAMPLE!r}"
            )
        extra = parts.path.strip("/") or parts.query or parts.fragment
        if not host or extra or not _HOST.fullmatch(host) or _BLANK.search(text):
            raise ConfigError(
                f"endpoint {repr_of(text)} must be scheme, host and port only; write it like "
                f"{_EXAMPLE!r}"
            )
        if port == 0 or parts.netloc.endswith(":"):
            raise ConfigError(
                f"endpoint {repr_of(text)}: the port must be 1 to 65535; without a colon it is "
                f"{DEFAULT_PORT}"
            )
        return cls(parts.scheme, host, port or DEFAULT_PORT)

    @property
    def tls(self) -> bool:
        """True for https."""
        return self.scheme == "https"

    @property
    def is_loopback(self) -> bool:
        """True for an address of this machine that no other can reach."""
        return is_loopback(self.host)

    @property
    def target(self) -> str:
        """The form that gRPC takes: ``host:port``, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The form that people read: ``http://host:port``."""
        return f"{self.scheme}://{self.target}"


def without_password(url: str) -> str:
    """Return a URL with its user and password, if it has any, as ``***``."""
    return _USER.sub(r"\1***@", url)


def without_passwords(text: str) -> str:
    """Return a text in which the users and passwords of all URLs are ``***``."""
    return _CREDENTIALS.sub("***@", text)
