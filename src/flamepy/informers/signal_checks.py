"""What ``connect`` checks: that a sender can match, and that a receiver takes what is sent. Pure.

Blinker compares senders by identity, or strings by their value, and finds out at the first event
that a receiver does not take the arguments. So a mistake would be silence, or an error in a log
much later; here it is an error at once.
"""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Collection
from typing import NoReturn

from blinker import ANY

from flamepy.config.endpoint import Endpoint
from flamepy.errors import ConfigError, InvalidArgumentError
from flamepy.texts import repr_of, text_of
from flamepy.types import Application, SessionInfo


class SentBy(enum.Enum):
    """What the sender of a signal is."""

    APPLICATION = "application"
    ENDPOINT = "endpoint"
    EITHER = "either"
    ANYTHING = "anything"  # a signal that is not ours


# ---------------------------------------------------------------------- the sender


def checked_sender(signal: str, sent_by: SentBy, value: object) -> object:
    """Return what ``sender=`` is compared by: ``ANY`` for None, an endpoint in its usual form.

    Raises:
        InvalidArgumentError: no event of the signal ever has that sender; the text says why and
            what to write instead.
    """
    if value is ANY or value is None:
        return ANY
    if sent_by is SentBy.ANYTHING:
        return value
    if not isinstance(value, str) or not value:
        _refuse(signal, sent_by, value, _instead(value))
    is_url = "://" in value
    if sent_by is SentBy.APPLICATION and is_url:
        way = "for every application leave sender= out; event.endpoint names the engine"
        _refuse(signal, sent_by, value, way)
    if sent_by is SentBy.ENDPOINT and ":" not in value:
        way = "for every engine leave sender= out, else give connection.endpoint"
        _refuse(signal, sent_by, value, way)
    if sent_by is SentBy.ENDPOINT or is_url:
        try:
            return Endpoint.parse(value).url
        except ConfigError as error:
            _refuse(signal, sent_by, value, error.message)
    return value


_SENDERS = {
    SentBy.APPLICATION: "the application's name, of which a session's id selects a part",
    SentBy.ENDPOINT: "the engine's endpoint, such as 'http://127.0.0.1:8080'",
    SentBy.EITHER: "the application's name, or the engine's endpoint",
}


def _refuse(signal: str, sent_by: SentBy, value: object, way: str) -> NoReturn:
    raise InvalidArgumentError(
        f"sender={shown(value)} never matches {signal}: its sender is {_SENDERS[sent_by]}; {way}"
    )


def _instead(value: object) -> str:
    """Return what to write instead of something that is not a name."""
    if isinstance(value, (bytes, bytearray)):
        return "give a str, not bytes"
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        return "connect once for each of several senders"
    if isinstance(value, Application):
        return f"write sender={repr_of(value.name)}"
    if isinstance(value, SessionInfo):
        return (
            f"write sender={repr_of(value.application)}, or {repr_of(value.id)} for "
            "this session alone"
        )
    for name in ("application", "endpoint", "name"):  # a session, a connection, ...
        try:
            known = getattr(value, name, None)
        except Exception:
            continue
        if isinstance(known, str) and known:
            return f"write sender={repr_of(known)}"
    return "for every sender leave sender= out"


# ---------------------------------------------------------------------- the receiver


def check_receiver(signal: str, arguments: Collection[str] | None, receiver: object) -> None:
    """Refuse a receiver that cannot be called with what the signal sends.

    Args:
        signal: its name.
        arguments: the names of its keyword arguments; None if they are not known.
        receiver: what is to be connected.

    Raises:
        InvalidArgumentError: names the receiver and how it is called.
    """
    how = f"(sender, {''.join(f'{name}, ' for name in sorted(arguments or ()))}**more)"
    if not callable(receiver):
        raise InvalidArgumentError(
            f"a receiver of {signal} is called with {how}, got {shown(receiver)}"
        )
    signature = _signature(receiver, followed=False)
    if arguments is None or signature is None:
        return
    values = dict.fromkeys(arguments)
    try:
        if first_parameter(receiver) in values:
            signature.bind(**values)
        else:
            signature.bind(None, **values)
    except TypeError as error:
        raise InvalidArgumentError(
            f"a receiver of {signal} is called with {how}, and {label(receiver)}{signature} "
            f"cannot be: {text_of(error)}; write it like def receiver(sender, **values)"
        ) from error


def first_parameter(receiver: Callable[..., object]) -> str | None:
    """Return the name of the first parameter, if an argument by name could be meant for it.

    A receiver whose first parameter has the name of one of the signal's arguments, such as
    ``def started(endpoint, **_)``, gets that argument in it, not the sender: both would be two
    values for one parameter.
    """
    for followed in (False, True):
        signature = _signature(receiver, followed=followed)
        if signature is None:
            return None
        first = next(iter(signature.parameters.values()), None)
        if first is None:
            return None
        if first.kind is first.VAR_POSITIONAL and not followed:
            continue  # a decorator's wrapper: what it wraps gets the arguments
        return first.name if first.kind is first.POSITIONAL_OR_KEYWORD else None
    return None


def _signature(receiver: object, *, followed: bool) -> inspect.Signature | None:
    try:
        return inspect.signature(receiver, follow_wrapped=followed)  # type: ignore[arg-type]  # callable
    except Exception:  # built in, or of an object that does not bear being looked at
        return None


# ---------------------------------------------------------------------- texts


def label(receiver: object) -> str:
    """Return a name of a receiver for logs, threads and signals; never raises."""
    if isinstance(receiver, functools.partial):
        return label(receiver.func)
    try:
        name = getattr(receiver, "__qualname__", None)
    except Exception:
        name = None
    return name if isinstance(name, str) and name else type(receiver).__name__


def shown(value: object) -> str:
    """Return the ``repr`` of a value, or its type where that raises."""
    try:
        return repr(value)
    except Exception:
        return f"<{type(value).__name__}>"
