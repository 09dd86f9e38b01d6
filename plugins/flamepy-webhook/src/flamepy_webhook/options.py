"""The options of a webhook, checked before anything is opened. Reads the files of TLS only.

No error names a value that may be a secret: a URL, a header's value, a key.
"""

from __future__ import annotations

import math
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import SplitResult, unquote, urlsplit

import httpcore

from flamepy.errors import InvalidArgumentError
from flamepy.informers import OutboxOptions, Secret
from flamepy_webhook.addresses import EVERYWHERE, Network, is_refused, parse
from flamepy_webhook.cloud_events import NAMES, REFERENCE_NAMES, Naming
from flamepy_webhook.signatures import key_of
from flamepy_webhook.templates import BodyTemplate, check_names

FORMATS = ("structured", "binary", "batch", "template")
_FIELD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")  # a token of RFC 9110
_VALUE = re.compile(r"[\x20-\x7e\x80-\xff\t]*")
_TYPE = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*")
_OURS = ("host", "content-length", "content-type", "transfer-encoding", "connection")
_TLS = ("ca_file", "cert_file", "key_file")


def text_of(value: object, option: str) -> str:
    """Return an option's text, or the text in a ``Secret``.

    Raises:
        InvalidArgumentError: it is not one; the value is not named.
    """
    text = value.reveal() if isinstance(value, Secret) else value
    if not isinstance(text, str):
        raise InvalidArgumentError(f"{option} must be a text, got {type(text).__name__}")
    return text


def url_of(value: object, allowed: Sequence[Network]) -> SplitResult:
    """Return the checked URL of a receiver.

    Raises:
        InvalidArgumentError: it is not an http or https URL, has a password, or names an address
            that is refused.
    """
    text = text_of(value, "url").strip()
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
        if host:
            host.encode("ascii")
    except ValueError as error:
        name = "is not ASCII" if isinstance(error, UnicodeError) else "is malformed"
        raise InvalidArgumentError(
            f"url {name}: write it as https://host[:port]/path, international names in the "
            "xn-- form"
        ) from None
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidArgumentError(
            f"url must start with https:// or http:// and name a host, got scheme {parts.scheme!r}"
        )
    if parts.username is not None:
        raise InvalidArgumentError(
            "url must not have a user or password: set headers: {Authorization: ...} instead"
        )
    address = parse(host)
    local = host == "localhost" or host.endswith(".localhost")
    if allowed != EVERYWHERE and (
        (address is not None and is_refused(address, allowed)) or (local and not allowed)
    ):
        raise InvalidArgumentError(
            f"url names {host}, which is not a public address; allow_private: true, or a list of "
            "networks, allows it"
        )
    return parts


def keys_of(secret: object) -> tuple[bytes, ...]:
    """Return the keys of one secret, of several or of none."""
    if secret is None:
        return ()
    several = secret if isinstance(secret, (list, tuple)) else [secret]
    if not several:
        raise InvalidArgumentError("secret is an empty list: leave it out to send no signatures")
    names = ["secret"] if len(several) == 1 else [f"secret[{n}]" for n in range(len(several))]
    return tuple(key_of(text_of(one, name), name) for one, name in zip(several, names, strict=True))


def headers_of(headers: Mapping[str, object] | None) -> tuple[tuple[bytes, bytes], ...]:
    """Return checked header fields.

    Raises:
        InvalidArgumentError: HTTP does not take a name or value, or the plugin sets the field; the
            value is not named.
    """
    found = []
    for name, value in (headers or {}).items():
        lower = str(name).lower()
        if not isinstance(name, str) or not _FIELD.fullmatch(name):
            raise InvalidArgumentError(f"headers has {name!r}, which is not a name of a field")
        if lower in _OURS or lower.startswith(("webhook-", "ce-")):
            raise InvalidArgumentError(
                f"headers has {name}, which the plugin sets itself: leave it out"
            )
        text = text_of(value, f"headers[{name}]").strip()
        if not _VALUE.fullmatch(text):
            raise InvalidArgumentError(
                f"headers[{name}] has a line break or another character that HTTP does not take"
            )
        found.append((name.encode("ascii"), text.encode("latin-1")))
    return tuple(found)


def template_of(format: str, template: object, content_type: str | None) -> BodyTemplate | None:
    """Return the template of format "template"; None for the others."""
    if format not in FORMATS:
        raise InvalidArgumentError(f"format must be {', '.join(FORMATS)}, got {format!r}")
    if format == "template":
        if template is None:
            raise InvalidArgumentError("format: template needs the option template")
        return BodyTemplate(template, names=NAMES, content_type=content_type)
    if template is not None or content_type is not None:
        raise InvalidArgumentError(
            f"template and content_type are for format: template, not for {format}"
        )
    return None


def naming_of(
    *, type_prefix: str, source: str | None, dataref: str | None, payloads: bool
) -> Naming:
    """Return the checked names of CloudEvents."""
    if not _TYPE.fullmatch(type_prefix):
        raise InvalidArgumentError(
            f"type_prefix must be names with dots between, as com.example.flame; "
            f"got {type_prefix!r}"
        )
    if source is not None and (not source or re.search(r"\s", source)):
        raise InvalidArgumentError(f"source must be a URI without spaces, got {source!r}")
    if dataref is not None:
        check_names(dataref, REFERENCE_NAMES, "dataref")
        if not dataref or re.search(r"\s", dataref):
            raise InvalidArgumentError("dataref must be a URL without spaces")
    return Naming(type_prefix=type_prefix, source=source, dataref=dataref, payloads=payloads)


def tls_of(tls: Mapping[str, object] | None) -> ssl.SSLContext:
    """Return what TLS checks by and shows: the system's authorities, or those of a file.

    Raises:
        InvalidArgumentError: an unknown name, or a file that is missing or holds no such thing.
    """
    given = {name: text_of(value, f"tls.{name}") for name, value in (tls or {}).items()}
    for name in given:
        if name not in _TLS:
            raise InvalidArgumentError(f"tls takes {', '.join(_TLS)}, got {name!r}")
    if "key_file" in given and "cert_file" not in given:
        raise InvalidArgumentError("tls.key_file needs tls.cert_file, the certificate of that key")
    name = "ca_file"
    try:
        context = ssl.create_default_context(cafile=given.get("ca_file"))
        if "cert_file" in given:
            name = "cert_file"
            context.load_cert_chain(given["cert_file"], given.get("key_file"))
    except (OSError, ssl.SSLError) as error:
        reason = error.reason if isinstance(error, ssl.SSLError) else error.strerror
        raise InvalidArgumentError(f"tls.{name} {given.get(name)!r}: {reason}") from None
    return context


def proxy_of(proxy: object) -> httpcore.Proxy | None:
    """Return the proxy of an ``http://[user:password@]host:port`` URL.

    Raises:
        InvalidArgumentError: it is not such a URL; it is not named.
    """
    if proxy is None:
        return None
    text = text_of(proxy, "proxy")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise InvalidArgumentError("proxy must be http://host:port or https://host:port")
    user = None
    if parts.username is not None:
        user = (unquote(parts.username), unquote(parts.password or ""))
    name = f"[{host}]" if ":" in host else host
    where = f"{parts.scheme}://{name}:{port or (443 if parts.scheme == 'https' else 80)}"
    return httpcore.Proxy(where, auth=user)


def seconds_of(option: str, value: object) -> float:
    """Return a number of seconds above 0.

    Raises:
        InvalidArgumentError: it is not one.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise InvalidArgumentError(f"{option} must be a number of seconds above 0, got {value!r}")
    return float(value)


def outbox_of(
    outbox: OutboxOptions | Mapping[str, object] | None, *, payloads: bool
) -> OutboxOptions | Mapping[str, object] | None:
    """Return the options of the outbox, which stores payloads if they are sent."""
    if not payloads:
        return outbox
    if isinstance(outbox, OutboxOptions):
        return replace(outbox, payloads=True)
    return {**(outbox or {}), "payloads": True}
