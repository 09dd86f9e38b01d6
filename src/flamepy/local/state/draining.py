"""How engines after 0.6 remove an application: disabled first, gone when no session is open. Pure.

Open sessions of a disabled application go on, new ones are refused, and its closed ones are
deleted. It cannot be enabled again; its name is free when it is gone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from flamepy.local.state.applications import not_found
from flamepy.local.state.refusal import Refusal, ResultRefusal
from flamepy.local.state.rows import SessionRow
from flamepy.types import Application, ApplicationState, SessionState


def disabled(name: str, application: Application | None) -> Application:
    """Return an application as unregistering leaves it. Raises ResultRefusal if it is unknown."""
    if application is None:
        raise ResultRefusal(not_found(name))
    return replace(application, state=ApplicationState.DISABLED)


def is_draining(application: Application) -> bool:
    """Return True if an application was unregistered and is still there."""
    return application.state == ApplicationState.DISABLED


def refusal(name: str) -> Refusal:
    """Return why there is no new session of a disabled application."""
    return Refusal("INVALID_ARGUMENT", f"application {name} is disabled")


def check_update(application: Application | None) -> None:
    """Raise ResultRefusal if an application is disabled: it cannot be changed any more."""
    if application is not None and is_draining(application):
        raise ResultRefusal(f"Cannot update application '{application.name}': it is disabled")


def deletable(name: str, sessions: Iterable[SessionRow]) -> list[str]:
    """Return the ids of an application's closed sessions."""
    return [
        row.id for row in sessions if row.application == name and row.state == SessionState.CLOSED
    ]
