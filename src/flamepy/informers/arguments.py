"""Checks of a reactor's arguments: mistakes that would be silent or obscure raise here. Pure."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from flamepy.config import FlameContext
from flamepy.errors import InvalidArgumentError
from flamepy.host.paths import absolute
from flamepy.runtime.seconds import seconds
from flamepy.texts import repr_of
from flamepy.types import RetryPolicy
from flamepy.watching.policy.settings import WatchSettings
from flamepy.watching.state.subscriptions import Scope

REPLAYS = ("all", "active", "none")
TRANSITIONS = ("observed", "complete")
KEYS = ("task", "session", "application")
ON_STUCK = ("report", "replace")


def check_reactor(
    *,
    connection: Any,
    endpoint: object,
    context: object,
    plugins: object,
    on_fatal: object,
    exit_timeout: object,
) -> None:
    """Refuse arguments of ``Reactor`` that are of the wrong kind, or exclude each other.

    ``connection`` is Any: it may be whatever has a link.

    Raises:
        InvalidArgumentError: names the argument, what it must be, and the way out.
    """
    if connection is not None and not hasattr(connection, "link"):
        raise InvalidArgumentError(
            "connection must be what flamepy.core.connect or flamepy.aio.connect returns, got "
            f"{repr_of(connection)}; a URL is given as endpoint="
        )
    if context is not None and not isinstance(context, FlameContext):
        raise InvalidArgumentError(
            f"context must be a FlameContext, got {repr_of(context)}; one of "
            "flame.yaml is chosen by "
            "FlameContext(context=name)"
        )
    if isinstance(plugins, str):
        raise InvalidArgumentError(
            f"plugins must be several names, got {repr_of(plugins)}; write [{repr_of(plugins)}]"
        )
    if on_fatal is not None and not callable(on_fatal):
        raise InvalidArgumentError(
            f"on_fatal must be callable with an error, got {repr_of(on_fatal)}"
        )
    seconds("exit_timeout", exit_timeout)
    if sum(one is not None for one in (connection, endpoint, context)) > 1:
        raise InvalidArgumentError("give one of connection=, endpoint= and context=")


def watch_changes(settings: WatchSettings | None, **given: Any) -> dict[str, Any]:
    """Return the settings of watching that a reactor sets: all of ``settings``, and what is given.

    Args:
        settings: of ``Reactor``; None leaves each as it is at the connection.
        **given: values of single ones; None where not given. Any: ``WatchSettings`` checks them.

    Raises:
        InvalidArgumentError: a value is out of its range, or ``settings`` is something else.
    """
    if settings is not None and not isinstance(settings, WatchSettings):
        raise InvalidArgumentError(
            f"settings must be a WatchSettings, got {repr_of(settings)}; single values are given "
            "by name, such as Reactor(audit=60)"
        )
    names = [] if settings is None else [one.name for one in fields(settings)]
    changes = {name: getattr(settings, name) for name in names}
    changes.update((name, value) for name, value in given.items() if value is not None)
    WatchSettings(**changes)  # refuses wrong values
    return changes


def check_replay(name: str, value: str) -> str:
    """Return ``replay``, the part of the present state to deliver; refuse unknown values."""
    if value not in REPLAYS:
        raise InvalidArgumentError(
            f"{name} must be one of {', '.join(map(repr, REPLAYS))}, got {repr_of(value)}"
        )
    return value


def check_transitions(value: object) -> None:
    """Refuse unknown values of ``transitions``."""
    if value not in TRANSITIONS:
        raise InvalidArgumentError(
            f"transitions must be one of {', '.join(map(repr, TRANSITIONS))}, got {repr_of(value)}"
        )


def check_checkpoint(value: object, name: str = "checkpoint") -> Path | None:
    """Return a file as a path that stays the same; None if there is to be none.

    Raises:
        InvalidArgumentError: it is no path.
    """
    if value is None:
        return None
    if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
        raise InvalidArgumentError(
            f"{name} must be the path of a file, such as 'state.db', got {repr_of(value)}"
        )
    try:
        path = absolute(value)
    except FileNotFoundError as error:
        raise InvalidArgumentError(
            f"{name} {repr_of(os.fspath(value))}: {error.strerror}"
        ) from error
    if path.is_dir():
        raise InvalidArgumentError(f"{name} {path} is a folder; give a file in it")
    return path


@dataclass(frozen=True, slots=True)
class StateFile:
    """The file of a reactor, and what it is for."""

    path: Path | None
    remembers: bool  # what was delivered
    letters: bool  # dead letters


def state_file(checkpoint: object, dead_letters: object) -> StateFile:
    """Return what ``checkpoint`` and ``dead_letters`` of a reactor mean.

    Raises:
        InvalidArgumentError: one is no path, or they exclude each other.
    """
    path = check_checkpoint(checkpoint)
    if dead_letters is None or dead_letters is True or dead_letters is False:
        if dead_letters and path is None:
            raise InvalidArgumentError(
                "dead_letters=True needs checkpoint='state.db'; without a checkpoint give them a "
                "file of their own: dead_letters='dead.db'"
            )
        return StateFile(path, path is not None, path is not None and dead_letters is not False)
    if path is not None:
        raise InvalidArgumentError(
            "dead letters are in the checkpoint's file where there is one: leave dead_letters out, "
            f"or give True or False, got {repr_of(dead_letters)}"
        )
    return StateFile(check_checkpoint(dead_letters, "dead_letters"), False, True)


def check_count(name: str, value: object) -> None:
    """Refuse what is no whole number above 0."""
    if not _is(value, int) or not value >= 1:  # type: ignore[operator]  # a number
        raise InvalidArgumentError(f"{name} must be 1 or more, got {repr_of(value)}")


def check_function(name: str, value: Callable[..., Any] | None) -> None:
    """Refuse what cannot be called with an event."""
    if value is not None and not callable(value):
        raise InvalidArgumentError(
            f"{name} must be callable with an event, got {repr_of(value)}; see "
            "flamepy.informers.predicates"
        )


def check_key(value: object) -> None:
    """Refuse what names no key of an event."""
    if value is None or callable(value) or (isinstance(value, str) and value in KEYS):
        return
    raise InvalidArgumentError(
        f"key must be one of {', '.join(map(repr, KEYS))}, or a function that returns the key of "
        f"an event, got {repr_of(value)}"
    )


def check_on_stuck(value: object, timeout: object) -> None:
    """Refuse what says nothing of a stuck callback."""
    if not isinstance(value, str) or value not in ON_STUCK:
        raise InvalidArgumentError(
            f"on_stuck must be one of {', '.join(map(repr, ON_STUCK))}, got {repr_of(value)}"
        )
    if value == "replace" and timeout is None:
        raise InvalidArgumentError(
            "on_stuck='replace' needs a timeout, after which a callback counts as stuck, got "
            "timeout=None"
        )


def check_retry(value: object) -> None:
    """Refuse what is no policy."""
    if value is not None and not isinstance(value, RetryPolicy):
        raise InvalidArgumentError(
            f"retry must be a flamepy.types.RetryPolicy, such as RetryPolicy(attempts=3), got "
            f"{repr_of(value)}"
        )


def scope_of(application: object, session: object) -> Scope:
    """Return the scope of a registration or a stream.

    Raises:
        InvalidArgumentError: one of them is not a name, so that nothing would ever be delivered.
    """
    for name, value in (("application", application), ("session", session)):
        if value is None or (isinstance(value, str) and value):
            continue
        hint = "its name" if name == "application" else "its id, such as session.id"
        raise InvalidArgumentError(
            f"{name} must be {hint}, got {repr_of(value)}; for several use where= with "
            f"predicates.{name}(...) | predicates.{name}(...)"
        )
    return Scope(application=application, session=session)  # type: ignore[arg-type]  # checked


def _is(value: object, kinds: type | tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)
