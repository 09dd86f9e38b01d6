"""flamepy: clients, services, informers and an embedded cluster for the Flame engine.

The names that most programs need, and the packages behind them: ``flamepy.core`` (the whole
guide's API), ``flamepy.aio``, ``flamepy.informers``, ``flamepy.local``, ``flamepy.testing``.
Everything is resolved at its first use: importing this loads no gRPC and starts no thread.
"""

from typing import TYPE_CHECKING

from flamepy._version import __version__
from flamepy.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.core": (
            "Application ApplicationAttributes ApplicationState Connection Event FlameContext "
            "FlameError FlameErrorCode FlameService ResourceRequirement Session SessionAttributes "
            "SessionContext SessionState Task TaskContext TaskFuture TaskInformer TaskState "
            "TaskWatcher close_session connect create_session get_application get_session "
            "list_applications list_executors list_nodes list_sessions open_session "
            "register_application run unregister_application"
        ),
        "flamepy.informers": "Reactor",
    },
    ("aio", "config", "core", "errors", "informers", "local", "testing", "types"),
)
