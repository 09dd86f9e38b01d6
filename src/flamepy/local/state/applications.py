"""The embedded cluster's registry of applications: rules of names and specs. Pure.

Checks run in the engine's order and refuse with its texts (docs/protocol.md#applications).
``state`` owns the registry and knows which applications have open sessions.
"""

from __future__ import annotations

import re
from dataclasses import replace

from flamepy.local.state.defaults import (
    DEFAULT_DELAY_RELEASE,
    DEFAULT_MAX_INSTANCES,
    default_applications,
)
from flamepy.local.state.refusal import Refusal, ResultRefusal
from flamepy.local.state.rows import whole_seconds
from flamepy.local.state.schemas import check_schema
from flamepy.types import Application, ApplicationAttributes, ApplicationState, Shim
from flamepy.wire.times import from_millis

NO_FILE = "No such file or directory (os error 2)"
_ALLOWED = re.compile(r"[A-Za-z0-9._-]+")


class Applications:
    """Registered applications, by name."""

    def __init__(self) -> None:
        self._all: dict[str, Application] = {}

    def list(self) -> list[Application]:
        """Return all of them."""
        return list(self._all.values())

    def find(self, name: str) -> Application | None:
        """Return an application, or None."""
        return self._all.get(name)

    def get(self, name: str) -> Application:
        """Return an application. Raises Refusal NOT_FOUND."""
        found = self._all.get(name)
        if found is None:
            raise Refusal("NOT_FOUND", not_found(name))
        return found

    def put(self, application: Application) -> None:
        """Add or replace an application that was checked."""
        self._all[application.name] = application

    def remove(self, name: str) -> None:
        """Remove an application."""
        del self._all[name]

    def is_same(self, name: str, attributes: ApplicationAttributes) -> bool:
        """Return True if the named application has just this spec."""
        before = self._all[name]
        fresh = _application(name, attributes, 0)
        return replace(fresh, creation_time=before.creation_time) == before

    # ------------------------------------------------------------------ rules

    def registered(
        self, name: str, attributes: ApplicationAttributes | None, now: int
    ) -> Application:
        """Return an application to add. Raises Refusal, ResultRefusal."""
        checked = _checked(attributes)
        _check_name(name)
        if name in self._all:
            raise ResultRefusal(f"Application '{name}' already exists")
        return _application(name, checked, now)

    def updated(
        self, name: str, attributes: ApplicationAttributes | None, *, open_sessions: bool
    ) -> Application:
        """Return an application with another spec but its old shim. Raises Refusal."""
        checked = _checked(attributes)
        _check_name(name)
        before = self._all.get(name)
        if before is None:
            raise ResultRefusal(not_found(name))
        if open_sessions:
            raise ResultRefusal(f"Cannot update application '{name}': has open sessions")
        fresh = _application(name, checked, 0)
        return replace(fresh, shim=before.shim, creation_time=before.creation_time)

    def check_removable(self, name: str, *, open_sessions: bool) -> None:
        """Raise ResultRefusal if an application cannot be removed."""
        if name not in self._all:
            raise ResultRefusal(f"Failed to delete application '{name}': {NO_FILE}")
        if open_sessions:
            raise ResultRefusal(f"Cannot unregister application '{name}': has open sessions")


def default_set(now: int) -> list[Application]:
    """Return the applications of a fresh engine."""
    return [_application(name, spec, now) for name, spec in default_applications().items()]


def not_found(name: str) -> str:
    """Return the engine's text for an unknown application."""
    return f"Application {name} not found: {NO_FILE}"


def _checked(attributes: ApplicationAttributes | None) -> ApplicationAttributes:
    if attributes is None:
        raise Refusal("INVALID_ARGUMENT", "applilcation spec is missed")  # the engine's spelling
    check_schema(attributes.schema)
    folder = attributes.working_directory
    if folder and not folder.startswith("/"):
        raise Refusal(
            "INVALID_ARGUMENT", f"working_directory must be an absolute path, got: {folder}"
        )
    return attributes


def _check_name(name: str) -> None:
    if not name:
        raise ResultRefusal("application name cannot be empty")
    if len(name.encode()) > 253:
        raise ResultRefusal("application name exceeds maximum length of 253 characters")
    if ".." in name or "/" in name or "\\" in name:
        raise ResultRefusal(
            f"application name contains invalid characters (path traversal): {name}"
        )
    if name[0] in ".-":
        raise ResultRefusal(f"application name cannot start with '.' or '-': {name}")
    if not _ALLOWED.fullmatch(name):
        raise ResultRefusal(
            "application name contains invalid characters (only alphanumeric, '-', '_', '.' "
            f"allowed): {name}"
        )


def _application(name: str, attributes: ApplicationAttributes, now: int) -> Application:
    limit, delay = attributes.max_instances, attributes.delay_release
    return Application(
        id=name,
        name=name,
        state=ApplicationState.ENABLED,
        creation_time=from_millis(whole_seconds(now)),
        shim=attributes.shim if attributes.shim in (Shim.HOST, Shim.WASM) else Shim.HOST,
        image=attributes.image,
        description=attributes.description,
        labels=list(attributes.labels or ()),
        command=attributes.command,
        arguments=list(attributes.arguments or ()),
        environments=dict(attributes.environments or {}),
        working_directory=attributes.working_directory or None,
        max_instances=DEFAULT_MAX_INSTANCES if limit is None else limit,
        delay_release=DEFAULT_DELAY_RELEASE if delay is None else delay,
        schema=attributes.schema,
        url=attributes.url,
        installer=attributes.installer,
    )
