"""What every call of a connection carries: metadata, a token, interceptors; checked here. Pure.

No value of metadata and no token is ever shown: not in a repr, an error or a log, and none is in a
pickle. ``rpc.transport.hooks`` acts on this.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flamepy.errors import InvalidArgumentError
from flamepy.runtime.seconds import seconds as check_seconds
from flamepy.texts import repr_of

Pair = tuple[str, "str | bytes"]
Pairs = tuple[Pair, ...]
Metadata = Mapping[str, "str | bytes"] | Iterable[Pair]
MetadataSource = Callable[[], "Metadata | Awaitable[Metadata]"]
TokenSource = Callable[[], "str | Awaitable[str]"]

AUTHORIZATION = "authorization"
_KEY = re.compile(r"[0-9a-z_.-]+")
# HTTP/2's own, and gRPC's: it sets them, and drops or refuses those of others.
_RESERVED = frozenset({"connection", "content-type", "host", "te", "trailer", "user-agent"})


@dataclass(frozen=True, slots=True)
class OutgoingCall:
    """One try of one call, as an interceptor sees it before it is sent.

    Attributes:
        rpc: the engine's name of the call: ``"CreateTask"``, ``"WatchTask"``, ...
        attempt: which try it is, from 1.
        timeout: seconds that this try has; None for a watch, which has no end.
        session_id, task_id, application: what it is about, where the call names one.
        request: the input of CreateTask as bytes, ``SessionAttributes`` of CreateSession and
            OpenSession, ``ApplicationAttributes`` of RegisterApplication and UpdateApplication;
            else None.
        metadata: what interceptors have added; not the connection's own, nor its token.
        endpoint: the engine's URL.
    """

    rpc: str
    attempt: int
    timeout: float | None = None
    session_id: str | None = None
    task_id: str | None = None
    application: str | None = None
    request: object = field(default=None, repr=False)
    metadata: Pairs = field(default=(), repr=False)
    endpoint: str = ""

    def with_metadata(self, *pairs: Pair) -> OutgoingCall:
        """Return the call with more metadata. Raises InvalidArgumentError."""
        return replace(self, metadata=(*self.metadata, *check_metadata(pairs)))

    def with_timeout(self, seconds: float) -> OutgoingCall:
        """Return the call with at most this many seconds: a limit becomes shorter, never longer.

        Raises:
            InvalidArgumentError: ``seconds`` is not a number above 0.
        """
        limit = check_seconds("timeout", seconds, zero=False)
        return replace(self, timeout=limit if self.timeout is None else min(self.timeout, limit))


Proceed = Callable[[OutgoingCall], Any]
Interceptor = Callable[[OutgoingCall, Proceed], Any]
_installed: list[Interceptor] = []  # of the process


def install_interceptor(interceptor: Interceptor) -> Callable[[], None]:
    """Put an interceptor around the calls of every connection that is made from now on.

    For libraries that observe a program which they did not write: it is outside those that the
    connection was given, and holds for the implicit connection as well. Call it before the first
    call to the engine; connections that exist stay as they are. Returns the undo, for connections
    made after it. From any thread.

    Raises:
        InvalidArgumentError: it is not a function.
    """
    check_interceptors([interceptor])
    _installed.append(interceptor)

    def undo() -> None:
        if interceptor in _installed:
            _installed.remove(interceptor)

    return undo


@dataclass(frozen=True, slots=True, repr=False)
class CallOptions:
    """What every call of a connection carries; made by ``checked``.

    Attributes:
        metadata: pairs, or a function that returns them.
        token: a bearer token, or a function that returns it.
        interceptors: the outermost first.
    """

    metadata: Pairs | MetadataSource = ()
    token: str | TokenSource | None = None
    interceptors: tuple[Interceptor, ...] = ()

    def __repr__(self) -> str:
        keys = "from a function" if callable(self.metadata) else [key for key, _ in self.metadata]
        token = "no" if self.token is None else "from a function" if callable(self.token) else "set"
        return (
            f"<CallOptions metadata: {keys}, token: {token}, {len(self.interceptors)} interceptors>"
        )

    def __bool__(self) -> bool:
        return bool(self.metadata or self.token is not None or self.interceptors)

    def __reduce__(self) -> tuple[object, ...]:
        return CallOptions, ()  # secrets and functions stay in their process

    @classmethod
    def checked(
        cls,
        metadata: Metadata | MetadataSource | None = None,
        token: str | TokenSource | None = None,
        interceptors: Sequence[Interceptor] | None = None,
    ) -> CallOptions:
        """Return the options.

        Raises:
            InvalidArgumentError: a key, a value, the token or an interceptor breaks a rule; no
                value is named.
        """
        found = metadata if callable(metadata) else check_metadata(metadata)
        if token is not None and not callable(token):
            check_token(token)
        if token is not None and not callable(found) and _has_authorization(found):
            raise InvalidArgumentError(
                f"token and the key {AUTHORIZATION!r} of metadata are the same header: give one"
            )
        return cls(found, token, check_interceptors(interceptors))

    def over(self, other: CallOptions) -> CallOptions:
        """Return these options, with those of ``other`` where these are not set."""
        token = other.token if self.token is None else self.token
        metadata = self.metadata or other.metadata
        if self.token is None and not callable(metadata) and _has_authorization(metadata):
            token = None  # this connection's own header, in the place of the other token
        return CallOptions(metadata, token, self.interceptors or other.interceptors)

    def with_installed(self) -> CallOptions:
        """Return these options with the interceptors of the process around their own, each once."""
        own = self.interceptors
        outer = tuple(dict.fromkeys(one for one in tuple(_installed) if one not in own))
        return replace(self, interceptors=(*outer, *own)) if outer else self


def _has_authorization(pairs: Pairs) -> bool:
    return any(key == AUTHORIZATION for key, _ in pairs)


def check_interceptors(value: object) -> tuple[Interceptor, ...]:
    """Return interceptors. Raises InvalidArgumentError."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or isinstance(value, (str, bytes)):
        raise InvalidArgumentError(
            f"interceptors must be a list of functions, got {type(value).__name__}"
        )
    for place, one in enumerate(value):
        if not callable(one):
            raise InvalidArgumentError(
                f"interceptors[{place}] must be a function of (call, proceed), "
                f"got {type(one).__name__}"
            )
    return tuple(value)


def check_token(value: object, what: str = "token") -> str:
    """Return a bearer token. Raises InvalidArgumentError, which does not show it."""
    if not isinstance(value, str):
        raise InvalidArgumentError(
            f"{what} must be text, or a function that returns text, got {type(value).__name__}"
        )
    if not value:
        raise InvalidArgumentError(f"{what} is empty: leave it out, or set what it comes from")
    place = next((place for place, one in enumerate(value) if not "!" <= one <= "~"), None)
    if place is not None:
        raise InvalidArgumentError(
            f"{what} has a character at position {place} that a header cannot carry: only ASCII "
            "letters, digits and signs, without spaces or line ends (was a file's last line end "
            "read with it?)"
        )
    return value


def check_metadata(value: object, what: str = "metadata") -> Pairs:
    """Return metadata as pairs.

    Raises:
        InvalidArgumentError: a key or a value breaks a rule of gRPC; the values are not shown.
    """
    if value is None:
        return ()
    if isinstance(value, Mapping):
        value = value.items()
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidArgumentError(
            f"{what} must be pairs of key and value, such as [('x-team', 'blue')], a mapping, or "
            f"a function that returns them, got {type(value).__name__}"
        )
    return tuple(_pair(one, what) for one in value)


def _pair(one: object, what: str) -> Pair:
    if not isinstance(one, (tuple, list)) or len(one) != 2:
        raise InvalidArgumentError(
            f"{what} must be pairs of key and value, got a {type(one).__name__} among them"
        )
    key, value = one
    _check_key(key, what)
    place = f"{what}[{repr_of(key)}]"
    if key.endswith("-bin"):
        if not isinstance(value, (bytes, bytearray)):
            raise InvalidArgumentError(
                f"{place} must be bytes, for its key ends with -bin, got {type(value).__name__}"
            )
        return key, bytes(value)
    if not isinstance(value, str):
        hint = "; only keys that end with -bin take bytes" if isinstance(value, bytes) else ""
        raise InvalidArgumentError(f"{place} must be text, got {type(value).__name__}{hint}")
    bad = next((at for at, character in enumerate(value) if not " " <= character <= "~"), None)
    if bad is not None:
        raise InvalidArgumentError(
            f"{place} has a character at position {bad} that is not printable ASCII: a header "
            "cannot carry it; use a key that ends with -bin, and bytes"
        )
    if value != value.strip():
        raise InvalidArgumentError(
            f"{place} begins or ends with a space, which HTTP/2 removes: leave it out"
        )
    return key, value


def _check_key(key: object, what: str) -> None:
    if not isinstance(key, str):
        raise InvalidArgumentError(f"{what}: a key must be text, got {type(key).__name__}")
    if key != key.lower() and _KEY.fullmatch(key.lower()):
        raise InvalidArgumentError(
            f"{what}: the key {repr_of(key)} has capital letters: write it as "
            f"{repr_of(key.lower())}"
        )
    if _KEY.fullmatch(key) is None:
        raise InvalidArgumentError(
            f"{what}: the key {repr_of(key)} must be of the characters a-z, 0-9, '_', '-' and '.'"
        )
    if key.startswith("grpc-") or key in _RESERVED:
        raise InvalidArgumentError(
            f"{what}: the key {repr_of(key)} is gRPC's own: choose another, such as 'x-{key}'"
        )
