"""flamepy: clients, services, informers and an embedded cluster for the Flame engine.

The names that most programs need, and the packages behind them: ``flamepy.core`` (the whole
guide's API), ``flamepy.aio``, ``flamepy.informers``, ``flamepy.local``, ``flamepy.testing``.
Everything is resolved at its first use: importing this loads no gRPC and starts no thread.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flamepy._version import __version__

if TYPE_CHECKING:
    from flamepy.core import (
        Application,
        ApplicationAttributes,
        ApplicationState,
        Connection,
        Event,
        FlameContext,
        FlameError,
        FlameErrorCode,
        FlameService,
        ResourceRequirement,
        Session,
        SessionAttributes,
        SessionContext,
        SessionState,
        Task,
        TaskContext,
        TaskFuture,
        TaskInformer,
        TaskState,
        TaskWatcher,
        close_session,
        connect,
        create_session,
        get_application,
        get_session,
        list_applications,
        list_executors,
        list_nodes,
        list_sessions,
        open_session,
        register_application,
        run,
        unregister_application,
    )
    from flamepy.informers import Reactor

__all__ = [
    "Application",
    "ApplicationAttributes",
    "ApplicationState",
    "Connection",
    "Event",
    "FlameContext",
    "FlameError",
    "FlameErrorCode",
    "FlameService",
    "Reactor",
    "ResourceRequirement",
    "Session",
    "SessionAttributes",
    "SessionContext",
    "SessionState",
    "Task",
    "TaskContext",
    "TaskFuture",
    "TaskInformer",
    "TaskState",
    "TaskWatcher",
    "__version__",
    "close_session",
    "connect",
    "create_session",
    "get_application",
    "get_session",
    "list_applications",
    "list_executors",
    "list_nodes",
    "list_sessions",
    "open_session",
    "register_application",
    "run",
    "unregister_application",
]

_PACKAGES = ("aio", "core", "informers", "local", "testing")


def __getattr__(name: str) -> Any:  # Any: a module attribute of whatever kind
    if name in _PACKAGES:
        return import_module(f"flamepy.{name}")
    if name not in __all__:
        raise AttributeError(f"module 'flamepy' has no attribute {name!r}")
    home = "flamepy.informers" if name == "Reactor" else "flamepy.core"
    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*__all__, *_PACKAGES])
