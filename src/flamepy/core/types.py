"""The types under the official SDK's import path, ``flamepy.core.types``; a re-export."""

from flamepy.aio.connection import short_name
from flamepy.config import (
    FlameClientCache,
    FlameClientTls,
    FlameContext,
    FlameContextRunner,
    FlamePackage,
)
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
    ConnectionState,
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
    SessionInfo,
    SessionState,
    Shim,
    Task,
    TaskContext,
    TaskCounts,
    TaskID,
    TaskInput,
    TaskOutput,
    TaskState,
)
