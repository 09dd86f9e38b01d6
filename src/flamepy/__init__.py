"""flamepy: clients, services, informers and an embedded cluster for the Flame engine.

The names that most programs need, and the packages that define them: ``flamepy.core`` (the whole
guide's API), ``flamepy.service``, ``flamepy.runner``, ``flamepy.tools``, ``flamepy.aio``,
``flamepy.informers``, ``flamepy.local``, ``flamepy.testing``.
Everything is resolved at its first use: importing this loads no gRPC and starts no thread.
"""

from typing import TYPE_CHECKING

from flamepy._version import __version__
from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.core import (
        DEFAULT_FLAME_CACHE_ENDPOINT,
        DEFAULT_FLAME_CONF,
        DEFAULT_FLAME_ENDPOINT,
        FLAME_INSTANCE_ENDPOINT,
        Application,
        ApplicationAttributes,
        ApplicationContext,
        ApplicationID,
        ApplicationSchema,
        ApplicationState,
        CommonData,
        Connection,
        Event,
        FlameContext,
        FlameContextRunner,
        FlameError,
        FlameErrorCode,
        FlamePackage,
        FlameService,
        Message,
        ObjectRef,
        Ref,
        ResourceRequirement,
        Session,
        SessionAttributes,
        SessionContext,
        SessionID,
        SessionState,
        Shim,
        Task,
        TaskContext,
        TaskFuture,
        TaskID,
        TaskInformer,
        TaskInput,
        TaskOptions,
        TaskOutput,
        TaskState,
        TaskWatcher,
        close_session,
        connect,
        create_session,
        get_application,
        get_object,
        get_objects,
        get_session,
        list_applications,
        list_executors,
        list_nodes,
        list_sessions,
        open_session,
        put_object,
        put_objects,
        register_application,
        run,
        unregister_application,
        update_object,
    )
    from flamepy.informers import Reactor

__all__ = [
    "DEFAULT_FLAME_CACHE_ENDPOINT",
    "DEFAULT_FLAME_CONF",
    "DEFAULT_FLAME_ENDPOINT",
    "FLAME_INSTANCE_ENDPOINT",
    "Application",
    "ApplicationAttributes",
    "ApplicationContext",
    "ApplicationID",
    "ApplicationSchema",
    "ApplicationState",
    "CommonData",
    "Connection",
    "Event",
    "FlameContext",
    "FlameContextRunner",
    "FlameError",
    "FlameErrorCode",
    "FlamePackage",
    "FlameService",
    "Message",
    "ObjectRef",
    "Reactor",
    "Ref",
    "ResourceRequirement",
    "Session",
    "SessionAttributes",
    "SessionContext",
    "SessionID",
    "SessionState",
    "Shim",
    "Task",
    "TaskContext",
    "TaskFuture",
    "TaskID",
    "TaskInformer",
    "TaskInput",
    "TaskOptions",
    "TaskOutput",
    "TaskState",
    "TaskWatcher",
    "__version__",
    "close_session",
    "connect",
    "create_session",
    "get_application",
    "get_object",
    "get_objects",
    "get_session",
    "list_applications",
    "list_executors",
    "list_nodes",
    "list_sessions",
    "open_session",
    "put_object",
    "put_objects",
    "register_application",
    "run",
    "unregister_application",
    "update_object",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "flamepy.core": (
            "Application ApplicationAttributes ApplicationContext ApplicationID "
            "ApplicationSchema ApplicationState CommonData Connection "
            "DEFAULT_FLAME_CACHE_ENDPOINT DEFAULT_FLAME_CONF DEFAULT_FLAME_ENDPOINT Event "
            "FLAME_INSTANCE_ENDPOINT FlameContext FlameContextRunner FlameError "
            "FlameErrorCode FlamePackage FlameService Message ObjectRef Ref ResourceRequirement "
            "Session SessionAttributes SessionContext SessionID SessionState Shim Task "
            "TaskContext TaskFuture TaskID TaskInformer TaskInput TaskOptions TaskOutput TaskState "
            "TaskWatcher close_session connect create_session get_application get_object "
            "get_objects get_session list_applications list_executors list_nodes list_sessions "
            "open_session put_object put_objects register_application run unregister_application "
            "update_object"
        ),
        "flamepy.informers": "Reactor",
    },
    [
        "aio",
        "cache",
        "config",
        "core",
        "errors",
        "informers",
        "local",
        "proto",
        "runner",
        "service",
        "testing",
        "tools",
        "types",
        "util",
    ],
)
