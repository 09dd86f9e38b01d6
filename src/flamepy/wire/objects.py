"""What client and server of the object cache share: keys, tickets, ``ObjectRef``, names of fields.

Keys have three parts, ``application/session/object`` (docs/protocol.md#object-cache). Texts of
refusals are an engine's, to the letter: the embedded server answers with them, and a client raises
them before anything is sent. Pure, but for BSON, which is pymongo's (extra ``cache``).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from flamepy.errors import InvalidArgumentError, MissingExtraError
from flamepy.shared_pickles import shared_class
from flamepy.texts import repr_of, text_of

SHARED = "shared"  # the session part of what belongs to no session
WILDCARD = "*"
PATCH = b"PATCH:"  # a descriptor's command: this and a full key
DELETE = "DELETE"
BASE_KIND, PATCH_KIND = "base", "patch"
OPAQUE_LIMIT = 2**31 - 1  # bytes of one opaque object: a cell has 32-bit offsets
METADATA = b"flame.cache."  # with this begins what the cache adds to a table's schema
FORMAT = METADATA + b"format"
NATIVE = b"arrow-table-v1"
VERSION = METADATA + b"version"
LOGICAL_TYPE = METADATA + b"logical_type"
WRITE = METADATA + b"write"  # ours: names the call that wrote a table
# Ours: a call's header with the bytes of each row in which a client reads a large base, and the
# entry of the answer's schema with the bytes in all. An engine knows neither.
PIECES = "flame-cache-pieces"
SIZE = METADATA + b"size"
PORT = 9090
INSTALL = 'pip install "flamepy-informers[cache]"'

_CACHE = "flamepy.core.cache"  # where the official SDK has the classes
_PATH_FORM = "'<app>/<ssn>' or '<app>/<ssn>/<uuid>'"
_KEY_FORM = "'<app>/<ssn>/<uuid>'"
_U64 = 2**64 - 1
_SCHEMES = {
    "grpc": "grpc",
    "http": "grpc",
    "grpc+tcp": "grpc",
    "grpcs": "grpc+tls",
    "https": "grpc+tls",
    "grpc+tls": "grpc+tls",
}


class Ticket(NamedTuple):
    """What a get asks for: a full key, and the version that the client has; 0 means none."""

    key: str
    version: int = 0

    def encode(self) -> bytes:
        """Return it as it travels."""
        return f"{self.key}:{self.version}".encode()


@shared_class(_CACHE)
@dataclass(frozen=True)
class ObjectKey:
    """``application/session/object``; without an object it names all of a session.

    Raises:
        InvalidArgumentError: (a ValueError) a part is empty, or has ``/``, ``..`` or a backslash.
    """

    app_name: str
    session_id: str
    object_id: str | None = None

    def __post_init__(self) -> None:
        parts = [self.app_name, self.session_id]
        parts += [] if self.object_id is None else [self.object_id]
        for part in parts:
            if not isinstance(part, str):
                raise InvalidArgumentError(
                    f"Invalid key component: {repr_of(part)}: it must be text"
                )
            if "/" in part:
                raise InvalidArgumentError(f"Invalid key component: '{part}'")
        parse_path("/".join(parts))

    @classmethod
    def from_path(cls, path: str) -> ObjectKey:
        """Parse ``app/session``, ``app/session/object`` or ``app/*``."""
        return cls(*parse_path(path))

    @classmethod
    def from_prefix(cls, prefix: str) -> ObjectKey:
        """Parse ``app/session``."""
        return cls(*check_prefix(prefix))

    @classmethod
    def from_key(cls, key: str) -> ObjectKey:
        """Parse ``app/session/object``."""
        return cls(*parse_key(key))

    @classmethod
    def for_shared(cls, app_name: str) -> ObjectKey:
        """Return the prefix of what belongs to no session of the application."""
        return cls(app_name, SHARED)

    @classmethod
    def for_all_sessions(cls, app_name: str) -> ObjectKey:
        """Return what names all objects of the application."""
        return cls(app_name, WILDCARD)

    def is_all_sessions(self) -> bool:
        """True for ``app/*``."""
        return self.session_id == WILDCARD

    def with_generated_id(self) -> ObjectKey:
        """Return it with a new, random object part."""
        return ObjectKey(self.app_name, self.session_id, str(uuid.uuid4()))

    def to_prefix(self) -> str:
        """Return ``app/session``."""
        return f"{self.app_name}/{self.session_id}"

    def to_key(self) -> str | None:
        """Return ``app/session/object``, or None without an object."""
        return None if self.object_id is None else f"{self.to_prefix()}/{self.object_id}"

    def matches_key(self, key: str) -> bool:
        """True if ``key`` is it, or one of those it names."""
        if self.object_id is not None:
            return key == self.to_key()
        start = f"{self.app_name}/" if self.is_all_sessions() else f"{self.to_prefix()}/"
        return key.startswith(start)


@shared_class(_CACHE)
@dataclass(slots=True)
class ObjectRef:
    """Where an object is: the cache's URL, the full key, and the version that was seen last.

    Attributes:
        version: 0 makes ``get_object`` read everything anew, past the client-side cache.
    """

    endpoint: str
    key: str
    version: int = 0

    def encode(self) -> bytes:
        """Return the reference as BSON, to send in a task's input or output, or as common data.

        Raises:
            MissingExtraError: pymongo is not installed.
        """
        encoded: bytes = load_bson().encode(
            {"endpoint": self.endpoint, "key": self.key, "version": self.version}
        )
        return encoded

    @classmethod
    def decode(cls, data: bytes) -> ObjectRef:
        """Read one; fields that are not known, and either width of the version, are taken.

        Raises:
            InvalidArgumentError: it is no BSON, or lacks the endpoint or the key.
            MissingExtraError: pymongo is not installed.
        """
        bson = load_bson()
        try:
            found: Mapping[str, Any] = bson.decode(bytes(data))
        except (bson.errors.BSONError, TypeError, ValueError) as error:
            raise InvalidArgumentError(f"this is no encoded ObjectRef: {text_of(error)}") from error
        endpoint, key, version = (found.get(name) for name in ("endpoint", "key", "version"))
        if not isinstance(endpoint, str) or not isinstance(key, str):
            raise InvalidArgumentError(
                "this is no encoded ObjectRef: it needs the texts endpoint and key, and has "
                f"{', '.join(map(repr, found)) or 'nothing'}"
            )
        whole = isinstance(version, int) and not isinstance(version, bool) and version >= 0
        if version is not None and not whole:
            raise InvalidArgumentError(
                "this is no encoded ObjectRef: version must be a whole number, got "
                f"{repr_of(version)}"
            )
        return cls(endpoint, key, int(version or 0))


def encode_reply(ref: ObjectRef) -> bytes:
    """Return a server's answer to a put: the reference, with a version of 64 bits."""
    bson = load_bson()
    from bson.int64 import Int64

    encoded: bytes = bson.encode(
        {"endpoint": ref.endpoint, "key": ref.key, "version": Int64(ref.version)}
    )
    return encoded


def check_extra() -> None:
    """Raise MissingExtraError, with what to run, unless the extra ``cache`` is installed."""
    try:
        import pyarrow.flight  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(f"the object cache needs pyarrow: run {INSTALL}") from error
    load_bson()


def load_bson() -> Any:
    """Return pymongo's ``bson``. Raises MissingExtraError without it."""
    try:
        import bson
        import bson.errors
    except ImportError as error:
        raise MissingExtraError(
            f"the object cache needs pymongo, for its bson: run {INSTALL}"
        ) from error
    if not hasattr(bson, "encode"):
        raise MissingExtraError(
            "the module bson is another package's; the object cache needs pymongo's: uninstall "
            f"the distribution 'bson', then run {INSTALL}"
        )
    return bson


def parse_path(text: str) -> tuple[str, str, str | None]:
    """Return the parts of ``app/session`` or ``app/session/object``; the session may be ``*``.

    Raises:
        InvalidArgumentError: with an engine's text.
    """
    parts = text.split("/")
    _check_parts(parts)
    if any(part == WILDCARD for place, part in enumerate(parts) if place != 1):
        raise InvalidArgumentError("Wildcard '*' only allowed for session_id")
    if len(parts) == 3 and parts[1] == WILDCARD:
        raise InvalidArgumentError("Wildcard session '*' cannot have object_id")
    if len(parts) not in (2, 3):
        raise InvalidArgumentError(f"Invalid path '{text}': expected {_PATH_FORM}")
    return parts[0], parts[1], parts[2] if len(parts) == 3 else None


def parse_key(text: str) -> tuple[str, str, str]:
    """Return the parts of a full key. Raises InvalidArgumentError, with an engine's text."""
    parts = text.split("/")
    if len(parts) != 3:
        raise InvalidArgumentError(f"Invalid key '{text}': expected {_KEY_FORM}")
    _check_parts(parts)
    return parts[0], parts[1], parts[2]


def _check_parts(parts: list[str]) -> None:
    for part in parts:
        if not part or ".." in part or "\\" in part:
            raise InvalidArgumentError(f"Invalid key component: '{part}'")


def parse_ticket(data: bytes) -> Ticket:
    """Read a get's ticket. Raises InvalidArgumentError, with an engine's text."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(f"Invalid ticket: {utf8_failure(error)}") from error
    key, colon, version = text.partition(":")
    number = _parse_u64(version) if colon else 0
    parse_key(key)
    return Ticket(key, number)


def _parse_u64(text: str) -> int:
    digits = text.removeprefix("+")
    if not text:
        why = "cannot parse integer from empty string"
    elif not digits.isascii() or not digits.isdecimal():
        why = "invalid digit found in string"
    elif int(digits) > _U64:
        why = "number too large to fit in target type"
    else:
        return int(digits)
    raise InvalidArgumentError(f"Invalid version: {why}")


def utf8_failure(error: UnicodeDecodeError) -> str:
    """Return an engine's words for bytes that are no UTF-8."""
    if error.reason == "unexpected end of data":
        return f"incomplete utf-8 byte sequence from index {error.start}"
    length = error.end - error.start
    return f"invalid utf-8 sequence of {length} bytes from index {error.start}"


# ---------------------------------------------------------------------- what a client sends


def check_prefix(prefix: object) -> tuple[str, str]:
    """Return the parts of ``application/session``, to put an object below.

    Raises:
        InvalidArgumentError: names the text and the rule.
    """
    app, session, name = parse_path(_text("key prefix", prefix))
    if name is not None or session == WILDCARD:
        raise InvalidArgumentError(
            f"object key prefix {repr_of(prefix)}: write it '<application>/<session>', two parts"
        )
    return app, session


def check_key(key: object) -> str:
    """Return a full key. Raises InvalidArgumentError, which names the text and the rule."""
    text = _text("key", key)
    parse_path("/".join(parse_key(text)))  # no wildcards
    return text


def check_target(target: object) -> str:
    """Return what a delete names: a full key, ``application/session`` or ``application/*``."""
    text = _text("key", target)
    parse_path(text)
    return text


def _text(what: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"object {what} must be text such as 'training/shared', got {repr_of(value)}"
        )
    if ":" in value:
        raise InvalidArgumentError(
            f"object {what} {repr_of(value)} has a ':': it could be stored and never be read, "
            "because a read appends the version after a colon; leave it out"
        )
    if not value.isprintable():
        raise InvalidArgumentError(
            f"object {what} {repr_of(value)} has characters that do not print"
        )
    return value


def location(endpoint: str) -> str:
    """Return an endpoint as Arrow Flight takes it: ``grpc://host:port`` or ``grpc+tls://``.

    Raises:
        InvalidArgumentError: it is no URL of a cache.
    """
    try:
        parts = urlsplit(endpoint)
        scheme, host, port = _SCHEMES.get(parts.scheme), parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError):
        scheme = host = port = None
    if scheme is None or not host:
        raise InvalidArgumentError(
            f"object cache endpoint {repr_of(endpoint)}: write it like "
            f"'grpc://127.0.0.1:{PORT}', or "
            "grpcs:// for TLS"
        )
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port or PORT}"
