"""The guide's API: synchronous calls, services, and the types they use.

Drop-in for the official SDK's ``flamepy.core``. Names are resolved at their first use, so that
``import flamepy.core`` stays light; submodules ``cache``, ``client``, ``types``, ``service`` keep
the official SDK's import paths.
"""

from typing import TYPE_CHECKING

from flamepy.lazy import lazy_names

if TYPE_CHECKING:
    from flamepy.aio.connection import short_name
    from flamepy.call_options import install_interceptor
    from flamepy.config import FlameClientTls, FlameContext, FlameContextRunner, FlamePackage
    from flamepy.core.cache import (
        WILDCARD_SESSION,
        ObjectKey,
        ObjectRef,
        Ref,
        delete_objects,
        download_object,
        get_object,
        get_objects,
        patch_object,
        put_object,
        put_objects,
        update_object,
        upload_object,
    )
    from flamepy.core.client import (
        Connection,
        Session,
        TaskFuture,
        TaskWatcher,
        close_session,
        connect,
        create_session,
        delete_session,
        get_application,
        get_node,
        get_session,
        list_applications,
        list_executors,
        list_nodes,
        list_sessions,
        open_session,
        register_application,
        unregister_application,
        update_application,
    )
    from flamepy.core.futures import as_completed
    from flamepy.core.service import FlameService, run
    from flamepy.errors import FlameError, FlameErrorCode
    from flamepy.informers.informer import TaskInformer
    from flamepy.types import (
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
        Event,
        Executor,
        ExecutorState,
        Message,
        Node,
        NodeState,
        ResourceRequirement,
        SessionAttributes,
        SessionContext,
        SessionID,
        SessionState,
        Shim,
        Task,
        TaskContext,
        TaskID,
        TaskInput,
        TaskOptions,
        TaskOutput,
        TaskState,
    )

_HOMES = {
    "flamepy.aio.connection": "short_name",
    "flamepy.call_options": "install_interceptor",
    "flamepy.config": "FlameClientTls FlameContext FlameContextRunner FlamePackage",
    "flamepy.core.cache": (
        "WILDCARD_SESSION ObjectKey ObjectRef Ref delete_objects download_object get_object "
        "get_objects patch_object put_object put_objects update_object upload_object"
    ),
    "flamepy.core.client": (
        "Connection Session TaskFuture TaskWatcher close_session connect create_session "
        "delete_session get_application get_node get_session list_applications list_executors "
        "list_nodes list_sessions open_session register_application unregister_application "
        "update_application"
    ),
    "flamepy.core.futures": "as_completed",
    "flamepy.core.service": "FlameService run",
    "flamepy.errors": "FlameError FlameErrorCode",
    "flamepy.informers.informer": "TaskInformer",
    "flamepy.types": (
        "DEFAULT_FLAME_CACHE_ENDPOINT DEFAULT_FLAME_CONF DEFAULT_FLAME_ENDPOINT "
        "FLAME_INSTANCE_ENDPOINT Application ApplicationAttributes ApplicationContext "
        "ApplicationID ApplicationSchema ApplicationState CommonData Event Executor "
        "ExecutorState Message Node NodeState ResourceRequirement SessionAttributes "
        "SessionContext SessionID SessionState Shim Task TaskContext TaskID TaskInput "
        "TaskOptions TaskOutput TaskState"
    ),
}

__all__ = [
    "DEFAULT_FLAME_CACHE_ENDPOINT",
    "DEFAULT_FLAME_CONF",
    "DEFAULT_FLAME_ENDPOINT",
    "FLAME_INSTANCE_ENDPOINT",
    "WILDCARD_SESSION",
    "Application",
    "ApplicationAttributes",
    "ApplicationContext",
    "ApplicationID",
    "ApplicationSchema",
    "ApplicationState",
    "CommonData",
    "Connection",
    "Event",
    "Executor",
    "ExecutorState",
    "FlameClientTls",
    "FlameContext",
    "FlameContextRunner",
    "FlameError",
    "FlameErrorCode",
    "FlamePackage",
    "FlameService",
    "Message",
    "Node",
    "NodeState",
    "ObjectKey",
    "ObjectRef",
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
    "as_completed",
    "close_session",
    "connect",
    "create_session",
    "delete_objects",
    "delete_session",
    "download_object",
    "get_application",
    "get_node",
    "get_object",
    "get_objects",
    "get_session",
    "install_interceptor",
    "list_applications",
    "list_executors",
    "list_nodes",
    "list_sessions",
    "open_session",
    "patch_object",
    "put_object",
    "put_objects",
    "register_application",
    "run",
    "short_name",
    "unregister_application",
    "update_application",
    "update_object",
    "upload_object",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, ("aio", "cache", "client", "service", "types"))
