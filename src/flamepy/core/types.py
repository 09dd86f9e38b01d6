"""The types under the official SDK's import path, ``flamepy.core.types``; a re-export.

Pickles of both libraries name this module, so it stays light: what needs gRPC is imported at
its first use.
"""

# These are not exported: annotations of the classes are resolved here, where their
# ``__module__`` says that they live.
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from flamepy.config import (
    DEFAULT_TEMPLATE,
    FlameClientCache,
    FlameClientTls,
    FlameContext,
    FlameContextRunner,
    FlamePackage,
)
from flamepy.errors import FlameError, FlameErrorCode
from flamepy.lazy import lazy_names
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

if TYPE_CHECKING:
    from flamepy.aio.connection import short_name
    from flamepy.informers.informer import TaskInformer

DEFAULT_FLAME_RUNNER_TEMPLATE = DEFAULT_TEMPLATE


@dataclass
class FlameClusterConfig:
    """An engine's address and TLS files, for programs that keep them so."""

    endpoint: str = ""
    tls: FlameClientTls | None = None


__all__ = [
    "DEFAULT_FLAME_CACHE_ENDPOINT",
    "DEFAULT_FLAME_CONF",
    "DEFAULT_FLAME_ENDPOINT",
    "DEFAULT_FLAME_RUNNER_TEMPLATE",
    "FLAME_INSTANCE_ENDPOINT",
    "Application",
    "ApplicationAttributes",
    "ApplicationContext",
    "ApplicationID",
    "ApplicationSchema",
    "ApplicationState",
    "CommonData",
    "ConnectionState",
    "Event",
    "Executor",
    "ExecutorState",
    "FlameClientCache",
    "FlameClientTls",
    "FlameClusterConfig",
    "FlameContext",
    "FlameContextRunner",
    "FlameError",
    "FlameErrorCode",
    "FlamePackage",
    "Message",
    "Node",
    "NodeState",
    "ResourceRequirement",
    "SessionAttributes",
    "SessionContext",
    "SessionID",
    "SessionInfo",
    "SessionState",
    "Shim",
    "Task",
    "TaskContext",
    "TaskCounts",
    "TaskID",
    "TaskInformer",
    "TaskInput",
    "TaskOutput",
    "TaskState",
    "short_name",
]

_HOMES = {
    "flamepy.aio.connection": "short_name",
    "flamepy.informers.informer": "TaskInformer",
}

__getattr__, _ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
