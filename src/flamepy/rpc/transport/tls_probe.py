"""A TLS handshake with an engine, made to see why none can be made; nothing is sent to it.

gRPC says of most failures what it is (``status`` knows its words), but not of all: an engine that
wants a client certificate, or TLS where none is spoken, only closes the connection. ``Link``
looks here before it says so, and ``flamepy doctor`` always.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from dataclasses import dataclass
from datetime import datetime, timezone

from flamepy.config import Endpoint, FlameClientTls
from flamepy.host.paths import expanded
from flamepy.texts import text_of

TIMEOUT = 3.0
ANSWER = 1.0  # seconds in which an engine that takes us begins to speak HTTP/2
# What a client of HTTP/2 begins with: the preface, and empty settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))

UNTRUSTED = "set tls.ca_file (or FLAME_CA_FILE) to the authority that signed it"
EXPIRED = "renew it at the engine, or set this machine's clock"
MISNAMED = "use the host name that the certificate is for"
PLAIN = "the port does not speak TLS"
NO_CERTIFICATE = (
    "set tls.cert_file and tls.key_file (or FLAME_CERT_FILE and FLAME_KEY_FILE) to one that its "
    "client authority signed"
)
OTHER_CERTIFICATE = "give one that its client authority signed, and that has not expired"


@dataclass(frozen=True, slots=True)
class Handshake:
    """What came of it.

    Attributes:
        problem: what is wrong with TLS; empty when nothing is.
        advice: the way out.
        silent: nothing answered, so nothing is known of TLS.
        protocol: what was chosen by ALPN.
        lasts: seconds for which the engine's certificate is still good.
    """

    problem: str = ""
    advice: str = ""
    silent: bool = False
    protocol: str | None = None
    lasts: float = float("inf")

    def __str__(self) -> str:
        return f"{self.problem}: {self.advice}"


async def shake(
    address: Endpoint, files: FlameClientTls | None, timeout: float = TIMEOUT
) -> Handshake:
    """Make a TLS connection as a client with these files would, and say what is wrong."""
    try:
        settings = _settings(files)
    except OSError as error:
        return Handshake(
            f"a file cannot be used: {text_of(error)}", "correct tls in the configuration"
        )
    try:
        return await asyncio.wait_for(_shake(address, settings, files), timeout)
    except ssl.SSLError as error:
        return _explain(error, address, files)
    except (OSError, asyncio.TimeoutError) as error:
        why = str(error) or f"no answer in {timeout:g} s"
        advice = "is it a TLS port? else write http://"
        return Handshake(f"no TLS connection: {why}", advice, silent=True)


async def speaks_tls(address: Endpoint, timeout: float = TIMEOUT) -> bool:
    """Return whether a TLS handshake succeeds, with a certificate of any authority."""
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    settings.check_hostname = False
    settings.verify_mode = ssl.CERT_NONE
    settings.set_alpn_protocols(["h2"])
    opening = asyncio.open_connection(address.host, address.port, ssl=settings)
    try:
        _, writer = await asyncio.wait_for(opening, timeout)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")  # it refuses us, in TLS
    except (OSError, asyncio.TimeoutError):
        return False
    await _close(writer)
    return True


def _settings(files: FlameClientTls | None) -> ssl.SSLContext:
    ca_file, cert_file, key_file = (
        str(expanded(one)) if one else None
        for one in (files and (files.ca_file, files.cert_file, files.key_file)) or (None,) * 3
    )
    settings = ssl.create_default_context(cafile=ca_file)
    if cert_file:
        settings.load_cert_chain(cert_file, key_file)
    settings.set_alpn_protocols(["h2"])
    return settings


async def _shake(
    address: Endpoint, settings: ssl.SSLContext, files: FlameClientTls | None
) -> Handshake:
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=settings)
    try:
        spoken = writer.get_extra_info("ssl_object")
        certificate = spoken.getpeercert() or {}
        protocol: str | None = spoken.selected_alpn_protocol()
        if protocol == "h2" and not await _is_taken(reader, writer):
            return _unwelcome(files)
    finally:
        await _close(writer)
    if "notAfter" not in certificate:
        return Handshake(protocol=protocol)
    end = ssl.cert_time_to_seconds(certificate["notAfter"])
    return Handshake(protocol=protocol, lasts=end - datetime.now(timezone.utc).timestamp())


async def _is_taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """Return False if the engine ends the connection: TLS 1.3 refuses a client afterwards."""
    writer.write(_HELLO)
    try:
        return bool(await asyncio.wait_for(reader.read(1), ANSWER))
    except asyncio.TimeoutError:
        return True  # slow, but it is not ended
    except ssl.SSLError:
        raise
    except OSError:
        return False


def _explain(error: ssl.SSLError, address: Endpoint, files: FlameClientTls | None) -> Handshake:
    if isinstance(error, ssl.SSLCertVerificationError):
        says = error.verify_message.rstrip(".")
        advice = UNTRUSTED
        if "match" in says:
            advice = MISNAMED
        elif "expired" in says or "not yet valid" in says:
            advice = EXPIRED
        return Handshake(f"the certificate is not accepted: {says}", advice)
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return Handshake(PLAIN, f"write http://{address.target}")
    if "ALERT" in (error.reason or ""):
        return _unwelcome(files, error.reason or "")
    return Handshake(f"no TLS connection: {error}", "see the engine's log")


def _unwelcome(files: FlameClientTls | None, alert: str = "") -> Handshake:
    seen = f" ({alert})" if alert else " (it ends the connection after the handshake)"
    if files is None or not files.cert_file:
        problem = f"the engine wants a client certificate, and none is configured{seen}"
        return Handshake(problem, NO_CERTIFICATE)
    problem = f"the engine does not accept the client certificate {files.cert_file}{seen}"
    return Handshake(problem, OTHER_CERTIFICATE)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()  # a close would wait for the engine's farewell in TLS
    with contextlib.suppress(OSError):
        await writer.wait_closed()
