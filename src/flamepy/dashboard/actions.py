"""What a page may change, where that is allowed. Everything here blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from flamepy.dashboard.details import TIMEOUT
from flamepy.errors import InvalidArgumentError, NotFoundError
from flamepy.texts import repr_of

if TYPE_CHECKING:
    from flamepy.informers.delivery.registration import Registration
    from flamepy.informers.reactor import Reactor

Given = Mapping[str, Any]  # Any: what JSON gives
Act = Callable[["Reactor", Given], str]


def close_session(reactor: Reactor, given: Given) -> str:
    """Close a session. Raises FlameError: a task runs, or it is not there."""
    name = text(given, "session")
    reactor.engine.run(lambda frontend: frontend.close_session(name), timeout=TIMEOUT)
    return f"closed {name}"


def delete_session(reactor: Reactor, given: Given) -> str:
    """Delete a closed session. Raises FlameError."""
    name = text(given, "session")
    reactor.engine.run(lambda frontend: frontend.delete_session(name), timeout=TIMEOUT)
    return f"deleted {name}"


def pause_handler(reactor: Reactor, given: Given) -> str:
    """Pause an informer. Raises FlameError."""
    one = handler(reactor, text(given, "name"))
    one.pause(str(given.get("reason") or "paused in the dashboard")[:200])
    return f"{one.name}: {one.state}"


def resume_handler(reactor: Reactor, given: Given) -> str:
    """End the pause or quarantine of an informer. Raises FlameError."""
    one = handler(reactor, text(given, "name"))
    one.resume()
    return f"{one.name}: {one.state}"


def retry_letters(reactor: Reactor, given: Given) -> str:
    """Have dead letters handled again. Raises FlameError."""
    count = reactor.dead_letters.retry(*numbers(given), informer=given.get("informer"))
    return f"{count} will be handled again"


def drop_letters(reactor: Reactor, given: Given) -> str:
    """Delete dead letters. Raises FlameError."""
    return f"{reactor.dead_letters.drop(*numbers(given))} deleted"


def handler(reactor: Reactor, name: str) -> Registration:
    """Return an informer by its name. Raises NotFoundError."""
    for one in reactor.registrations:
        if one.name == name:
            return one
    names = ", ".join(one.name for one in reactor.registrations) or "no one"
    raise NotFoundError(f"there is no handler {repr_of(name)}; there are: {names}")


def text(given: Given, name: str) -> str:
    """Return a text that was given. Raises InvalidArgumentError."""
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidArgumentError(f"{name} must be a text, got {repr_of(value)}")
    return value


def numbers(given: Given) -> list[int]:
    """Return the ids that were given; none where an informer was. Raises InvalidArgumentError."""
    value = given.get("ids", [])
    if not isinstance(value, list) or not all(type(one) is int for one in value):
        raise InvalidArgumentError(f"ids must be a list of numbers, got {repr_of(value)}")
    return value


ACTIONS: dict[str, Act] = {
    "session/close": close_session,
    "session/delete": delete_session,
    "handler/pause": pause_handler,
    "handler/resume": resume_handler,
    "deadletters/retry": retry_letters,
    "deadletters/drop": drop_letters,
}
