"""The guide's calls as functions, on the process's implicit connection.

Its endpoint comes from ``FlameContext()``. Calls may come from any thread but the reactor's own.
The classes are re-exported here for the official SDK's import path ``flamepy.core.client``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flamepy.core.connection import Connection, connect
from flamepy.core.futures import TaskFuture
from flamepy.core.session import Session
from flamepy.core.types import ApplicationSchema as ApplicationSchema
from flamepy.core.types import ApplicationState as ApplicationState
from flamepy.core.types import Event as Event
from flamepy.core.types import FlameClientTls as FlameClientTls
from flamepy.core.types import FlameContext as FlameContext
from flamepy.core.types import FlameError as FlameError
from flamepy.core.types import FlameErrorCode as FlameErrorCode
from flamepy.core.types import SessionState as SessionState
from flamepy.core.types import Shim as Shim
from flamepy.core.types import Task as Task
from flamepy.core.types import TaskInformer as TaskInformer
from flamepy.core.types import TaskState as TaskState
from flamepy.core.types import short_name as short_name
from flamepy.core.watcher import TaskWatcher
from flamepy.types import (
    Application,
    ApplicationAttributes,
    Executor,
    Node,
    ResourceRequirement,
    RetryPolicy,
    SessionAttributes,
)

__all__ = [
    "Connection",
    "Session",
    "TaskFuture",
    "TaskWatcher",
    "close_session",
    "connect",
    "create_session",
    "delete_session",
    "get_application",
    "get_node",
    "get_session",
    "list_applications",
    "list_executors",
    "list_nodes",
    "list_sessions",
    "open_session",
    "register_application",
    "unregister_application",
    "update_application",
]


def create_session(
    application: str,
    common_data: bytes | None = None,
    session_id: str | None = None,
    min_instances: int = 0,
    max_instances: int | None = None,
    batch_size: int = 1,
    resreq: ResourceRequirement | None = None,
    *,
    priority: int = 0,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> Session:
    """Create a session of an application (its name, or a whole ``SessionAttributes``).

    Without an id one is made: the application's name and six random characters.

    Raises:
        InvalidArgumentError: a value breaks a rule.
        ApplicationNotFoundError: no such application.
        AlreadyExistsError: the id is taken, also by a closed session.
    """
    return Connection.implicit().create_session(
        application,
        common_data,
        session_id,
        min_instances,
        max_instances,
        batch_size,
        resreq,
        priority=priority,
        timeout=timeout,
        retry=retry,
    )


def open_session(
    session_id: str,
    spec: SessionAttributes | None = None,
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> Session:
    """Return an open session; with ``spec`` it is created if absent."""
    return Connection.implicit().open_session(session_id, spec, timeout=timeout, retry=retry)


def get_session(
    session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> Session:
    """Return a session, open or closed, with its events."""
    return Connection.implicit().get_session(session_id, timeout=timeout, retry=retry)


def list_sessions(
    *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> list[Session]:
    """Return all sessions that the engine keeps, by id."""
    return Connection.implicit().list_sessions(timeout=timeout, retry=retry)


def close_session(
    session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> Session:
    """Close a session. Raises SessionBusyError while a task runs."""
    return Connection.implicit().close_session(session_id, timeout=timeout, retry=retry)


def delete_session(
    session_id: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> Session:
    """Delete a closed session and its tasks."""
    return Connection.implicit().delete_session(session_id, timeout=timeout, retry=retry)


def register_application(
    name: str,
    app_attrs: ApplicationAttributes | Mapping[str, Any],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> None:
    """Register an application."""
    Connection.implicit().register_application(name, app_attrs, timeout=timeout, retry=retry)


def update_application(
    name: str,
    app_attrs: ApplicationAttributes | Mapping[str, Any],
    *,
    timeout: float | None = None,
    retry: RetryPolicy | None = None,
) -> None:
    """Replace an application's attributes, all of them."""
    Connection.implicit().update_application(name, app_attrs, timeout=timeout, retry=retry)


def unregister_application(
    name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> None:
    """Remove an application, and with it its closed sessions and their tasks."""
    Connection.implicit().unregister_application(name, timeout=timeout, retry=retry)


def list_applications(
    *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> list[Application]:
    """Return all applications, by name."""
    return Connection.implicit().list_applications(timeout=timeout, retry=retry)


def get_application(
    name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> Application | None:
    """Return an application, or None when none has that name."""
    return Connection.implicit().get_application(name, timeout=timeout, retry=retry)


def list_executors(
    *, timeout: float | None = None, retry: RetryPolicy | None = None
) -> list[Executor]:
    """Return all executors, by id."""
    return Connection.implicit().list_executors(timeout=timeout, retry=retry)


def list_nodes(*, timeout: float | None = None, retry: RetryPolicy | None = None) -> list[Node]:
    """Return all nodes, by name."""
    return Connection.implicit().list_nodes(timeout=timeout, retry=retry)


def get_node(name: str, *, timeout: float | None = None, retry: RetryPolicy | None = None) -> Node:
    """Return a node."""
    return Connection.implicit().get_node(name, timeout=timeout, retry=retry)
