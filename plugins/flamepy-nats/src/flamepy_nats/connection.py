"""The connection to NATS: made when it is first needed, and again whenever it was lost."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import nats.errors
from nats.aio.client import Client

from flamepy.errors import InvalidArgumentError
from flamepy.informers import TemporaryError

log = logging.getLogger("flamepy.nats")
SCHEMES = ("nats", "tls")
RECONNECT_WAIT = 1  # seconds between attempts
PORT = 4222


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How to connect; what is secret is in no repr.

    Attributes:
        urls: the servers, with user and password or a token in front of the host.
        hosts: the same without them, for logs.
        timeout: seconds to connect.
        credentials, nkey_seed: paths of a user's credentials, or of the seed of its key.
        tls: None without certificates of one's own.
    """

    urls: Sequence[str] = field(repr=False)
    hosts: str
    timeout: float
    credentials: str | None = None
    nkey_seed: str | None = None
    tls: ssl.SSLContext | None = None


def host_of(url: str) -> str:
    """Return host and port of a server's URL.

    Raises:
        InvalidArgumentError: it is not one; the text has nothing of it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in SCHEMES:
        raise InvalidArgumentError(
            "url must be nats://HOST:4222 or tls://HOST:4222, or a list of them; what was given is "
            "not printed, since it may have a password"
        )
    return f"{host}:{port or PORT}"


def tls_of(
    ca_file: str | None, cert_file: str | None, key_file: str | None
) -> ssl.SSLContext | None:
    """Return what is trusted and shown; None for the usual.

    Raises:
        InvalidArgumentError: a file cannot be read, or a key has no certificate.
    """
    if key_file is not None and cert_file is None:
        raise InvalidArgumentError("key_file needs cert_file, the certificate that belongs to it")
    if ca_file is None and cert_file is None:
        return None
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if cert_file is not None:
            context.load_cert_chain(cert_file, key_file)
    except OSError as error:
        files = ", ".join(one for one in (ca_file, cert_file, key_file) if one)
        raise InvalidArgumentError(f"cannot use the certificates ({files}): {error}") from None
    return context


class Connection:
    """One connection, used on one loop."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: Client | None = None
        self._last_error = ""

    async def client(self) -> Client:
        """Return the client, connected.

        Raises:
            TemporaryError: no server takes the connection now.
        """
        if self._client is None or self._client.is_closed:
            self._client = await self._connect()
        if not self._client.is_connected:  # it connects again by itself
            raise TemporaryError(f"not connected to NATS at {self._settings.hosts}{self._why()}")
        return self._client

    async def close(self) -> None:
        """End the connection."""
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    async def _connect(self) -> Client:
        settings = self._settings
        client = Client()
        try:
            await asyncio.wait_for(self._open(client), settings.timeout)
        except (OSError, nats.errors.Error, asyncio.TimeoutError) as error:
            await client.close()
            self._last_error = self._last_error or _text(error)
            raise TemporaryError(
                f"cannot connect to NATS at {settings.hosts}{self._why()}"
            ) from None
        except BaseException:
            await client.close()
            raise
        return client

    async def _open(self, client: Client) -> None:
        settings = self._settings
        self._last_error = ""
        await client.connect(
            list(settings.urls),
            name="flamepy-nats",
            error_cb=self._failed,
            disconnected_cb=self._lost,
            reconnected_cb=self._back,
            connect_timeout=max(1, int(settings.timeout)),
            reconnect_time_wait=RECONNECT_WAIT,
            max_reconnect_attempts=-1,
            tls=settings.tls,
            user_credentials=settings.credentials,
            nkeys_seed=settings.nkey_seed,
        )

    def _why(self) -> str:
        return f": {self._last_error}" if self._last_error else ""

    async def _failed(self, error: Exception) -> None:
        # A server that refuses says why and closes: the next try may see the close alone.
        if not (self._last_error and isinstance(error, (ConnectionResetError, BrokenPipeError))):
            self._last_error = _text(error)
        log.debug("NATS at %s: %s", self._settings.hosts, _text(error))

    async def _lost(self) -> None:
        if self._client is not None:
            log.warning("NATS at %s: the connection is lost%s", self._settings.hosts, self._why())

    async def _back(self) -> None:
        self._last_error = ""
        log.warning("NATS at %s: connected again", self._settings.hosts)


def _text(error: BaseException) -> str:
    return str(error).removeprefix("nats: ") or type(error).__name__
