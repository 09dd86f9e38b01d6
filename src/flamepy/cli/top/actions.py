"""What ``flamepy top --allow-actions`` changes, each after a question. Calls block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flamepy.cli.top.listings import Place
from flamepy.cli.top.remote import RemoteHandlers


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done where a person is.

    Attributes:
        question: asked before.
        act: does it with a ``core.Connection`` and returns what to say.
    """

    question: str
    act: Callable[[Any], str]  # Any: ``core`` is imported when it is needed only


def close(place: Place, key: str) -> Action | None:
    """Return the closing of the session at hand; None without one."""
    session_id = _session(place, key)
    if not session_id:
        return None

    def act(connection: Any) -> str:
        connection.close_session(session_id)
        return f"session {session_id} is closed"

    return Action(f"Close session {session_id}? Its pending tasks are cancelled.", act)


def delete(place: Place, key: str) -> Action | None:
    """Return the deletion of the session at hand; None without one."""
    session_id = _session(place, key)
    if not session_id:
        return None

    def act(connection: Any) -> str:
        connection.delete_session(session_id)
        return f"session {session_id} is deleted"

    return Action(f"Delete session {session_id} and all its tasks? This cannot be undone.", act)


def pause(place: Place, key: str, handlers: RemoteHandlers | None) -> Action | None:
    """Return the pause of the informer at hand, or its end; None without one."""
    if place.page != "handlers" or not key or handlers is None:
        return None
    return Action(f"Pause informer {key}, or resume it?", lambda _: handlers.pause(key))


def _session(place: Place, key: str) -> str:
    return key if place.page == "sessions" else place.session
