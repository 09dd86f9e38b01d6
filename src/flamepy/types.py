"""The vocabulary: enums and dataclasses of sessions, tasks, applications and the cluster.

What the engine hands out (``Task``, ``Application``, ``SessionInfo``, ...) is frozen; what a
caller builds to send (``SessionAttributes``, ``ApplicationAttributes``) can be changed until it
is sent. Names and positional order are the official SDK's, additions come after them. Nothing
here talks to anybody: ``wire`` turns these into messages and back, ``resources`` and
``wire.validation`` hold the rules for values.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from importlib import import_module
from typing import Any

from flamepy.call_options import Interceptor as Interceptor
from flamepy.call_options import OutgoingCall as OutgoingCall
from flamepy.connections import ConnectionState as ConnectionState
from flamepy.connections import ConnectionStats as ConnectionStats
from flamepy.connections import Dialect as Dialect
from flamepy.connections import RetryDetails as RetryDetails
from flamepy.connections import RetryPolicy as RetryPolicy
from flamepy.enums import OpenEnum
from flamepy.errors import InvalidArgumentError, InvalidStateError, PickleRefusedError
from flamepy.html_cards import card
from flamepy.resources import parse_resources
from flamepy.shared_pickles import shared_class, shared_enum
from flamepy.texts import repr_of
from flamepy.workspaces import DEFAULT_WORKSPACE as DEFAULT_WORKSPACE

# Where the official SDK has them, and what pickles of both libraries name.
_TYPES, _SERVICE = "flamepy.core.types", "flamepy.core.service"

# Names that the official SDK exports for annotations.
ApplicationID = str
SessionID = str
TaskID = str
TaskInput = bytes
TaskOutput = bytes
CommonData = bytes
Message = bytes

DEFAULT_FLAME_ENDPOINT = "http://127.0.0.1:8080"
DEFAULT_FLAME_CACHE_ENDPOINT = "grpc://127.0.0.1:9090"
DEFAULT_FLAME_CONF = "flame.yaml"
FLAME_INSTANCE_ENDPOINT = "FLAME_INSTANCE_ENDPOINT"


@shared_enum(_TYPES, range(2))
class SessionState(OpenEnum):
    """The state of a session: OPEN takes tasks, CLOSED is final (docs/protocol.md#sessions)."""

    OPEN = 0
    CLOSED = 1


@shared_enum(_TYPES, range(4))
class TaskState(OpenEnum):
    """The state of a task: PENDING -> RUNNING -> SUCCEED | FAILED, or PENDING -> CANCELLED.

    Tasks are cancelled when their session closes. A restarted engine moves RUNNING back to PENDING
    (docs/protocol.md#tasks).
    """

    PENDING = 0
    RUNNING = 1
    SUCCEED = 2
    FAILED = 3
    CANCELLED = 4

    @property
    def is_terminal(self) -> bool:
        """True for SUCCEED, FAILED and CANCELLED."""
        return self in _TERMINAL


_TERMINAL = frozenset({TaskState.SUCCEED, TaskState.FAILED, TaskState.CANCELLED})


@shared_enum(_TYPES, range(2))
class ApplicationState(OpenEnum):
    """The state of an application: enabled, or disabled, which engine 0.6 never does."""

    ENABLED = 0
    DISABLED = 1


@shared_enum(_TYPES, range(2))
class Shim(OpenEnum):
    """How a service is run: a host process, a WebAssembly component, or a container.

    Engine 0.6 knows no containers.
    """

    HOST = 0
    WASM = 1
    CRI = 3


class ExecutorState(OpenEnum):
    """The state of an executor (docs/protocol.md#executors)."""

    UNKNOWN = 0
    VOID = 1
    IDLE = 2
    BINDING = 3
    BOUND = 4
    UNBINDING = 5
    RELEASING = 6
    RELEASED = 7


class NodeState(OpenEnum):
    """The state of a node: whether it answers."""

    UNKNOWN = 0
    READY = 1
    NOT_READY = 2


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a task (codes 0-3 = TaskState) or a session (1001, 1002).

    Attributes:
        creation_time: UTC, in ms resolution; None if the engine sent none.
    """

    code: int
    message: str | None = None
    creation_time: datetime | None = None


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class ResourceRequirement:
    """What one executor of a session needs: CPUs, bytes of memory, GPUs."""

    cpu: int = 0
    memory: int = 0
    gpu: int = 0

    @classmethod
    def from_string(cls, text: str) -> ResourceRequirement:
        """Parse ``"cpu=4,mem=16g,gpu=1"`` (also ``memory=``; K, M, G, T in any case).

        Raises:
            InvalidArgumentError: (a ValueError) names the part and the rule that it breaks.
        """
        return cls(**parse_resources(text))


@shared_class(_TYPES, state=TaskState)
@dataclass(frozen=True, slots=True)
class Task:
    """A task as the engine last showed it.

    Attributes:
        id: decimal number as text, 1, 2, 3, ... within its session.
        input, output: payloads; None when unset, or not loaded (``payloads_loaded``).
        completion_time: UTC; set once the task is terminal. It may also be set on a task that
            a restarted engine runs again.
        events: complete in an answer of ``get_task`` only, else possibly empty or old.
        payloads_loaded: False when input and output were left out to save memory.
    """

    id: str
    session_id: str
    state: TaskState
    creation_time: datetime
    input: bytes | None = field(default=None, repr=False)
    output: bytes | None = field(default=None, repr=False)
    completion_time: datetime | None = None
    events: Sequence[Event] = ()
    payloads_loaded: bool = True

    def is_completed(self) -> bool:
        """True if the task is terminal: succeeded, failed or cancelled."""
        return self.state.is_terminal

    def is_failed(self) -> bool:
        """True if the service failed the task."""
        return self.state == TaskState.FAILED

    @property
    def error(self) -> str | None:
        """The service's text of a failed task: the last event with code 3; None without one."""
        if self.state != TaskState.FAILED:
            return None
        texts = [event.message or "" for event in self.events if event.code == TaskState.FAILED]
        return texts[-1] if texts else None

    def payload(self, of: str | None = None, *, allow_pickle: bool = False) -> Any:
        """Return what the input or output of a runner's or a typed service's task says.

        Unpickles, which runs code of its writer, and may fetch from the object cache: call it on
        the thread of an informer or of your own. Needs the extra ``runner``.

        Args:
            of: ``"input"`` or ``"output"``; None: the output if the task has one.
            allow_pickle: True says that every writer is trusted; without it nothing is read.

        Returns:
            What ``flamepy.runner.get_data`` returns: ``{"type": "input", "method", "args",
            "kwargs", "metadata"}`` for a runner's call, else ``{"type": "output", "result",
            "metadata"}``. None where the task has no such payload.

        Raises:
            PickleRefusedError: without ``allow_pickle=True``.
            InvalidStateError: the task came without its payloads.
            RunnerError: it is another kind of payload, or the cache does not have the object.
        """
        if of not in (None, "input", "output"):
            raise InvalidArgumentError(f"of must be 'input' or 'output', got {repr_of(of)}")
        if not allow_pickle:
            raise PickleRefusedError(
                f"the payload of task {self.session_id}/{self.id} would be unpickled, which runs "
                "code of its writer: pass allow_pickle=True if you trust every client and service"
            )
        if not self.payloads_loaded:
            raise InvalidStateError(
                f"task {self.session_id}/{self.id} came without its payloads: make the "
                "Reactor with payloads=True, or read the task by session.get_task"
            )
        data = self.input if of == "input" or (of is None and self.output is None) else self.output
        if data is None:
            return None
        # By name: the floor of runners is far above this one.
        return import_module("flamepy.runner.helper").get_data(data)

    def _repr_html_(self) -> str:
        rows = [
            ("state", self.state.name.lower()),
            ("error", self.error),
            ("created", _moment(self.creation_time)),
            ("ended", _moment(self.completion_time)),
            ("input", _size(self.input)),
            ("output", _size(self.output)),
        ]
        return card(f"Task {self.session_id}/{self.id}", rows)


@dataclass(frozen=True, slots=True)
class TaskCounts:
    """How many tasks of a session are in each state; the engine's own counters.

    Their sum may briefly be less than the number of tasks: a task on its way to an executor is
    in no counter (docs/protocol.md#counters).
    """

    pending: int = 0
    running: int = 0
    succeed: int = 0
    failed: int = 0
    cancelled: int = 0

    @property
    def total(self) -> int:
        """The sum of the five counters."""
        return self.pending + self.running + self.succeed + self.failed + self.cancelled

    @property
    def terminal(self) -> int:
        """How many tasks have ended."""
        return self.succeed + self.failed + self.cancelled


@dataclass(frozen=True, slots=True)
class SessionInfo:
    """A session as the engine last showed it; ``core.Session`` and ``aio.Session`` wrap one."""

    id: str
    application: str
    state: SessionState
    creation_time: datetime
    counts: TaskCounts = TaskCounts()
    completion_time: datetime | None = None
    common_data: bytes | None = field(default=None, repr=False)
    min_instances: int = 0
    max_instances: int | None = None
    batch_size: int = 1
    priority: int = 0
    resreq: ResourceRequirement | None = None
    events: Sequence[Event] = ()

    def _repr_html_(self) -> str:
        rows = [
            ("application", self.application),
            ("state", self.state.name.lower()),
            ("tasks", _counted(self.counts)),
            ("created", _moment(self.creation_time)),
            ("closed", _moment(self.completion_time)),
        ]
        return card(f"Session {self.id}", rows)


@shared_class(_TYPES)
@dataclass(slots=True)
class SessionAttributes:
    """The attributes of a session to create. ``id=None`` lets ``create_session`` choose one.

    Attributes:
        common_data: bytes that every service process of the session gets.
        min_instances, max_instances: executors kept and allowed; None means no limit.
        batch_size: accepted and ignored by engine 0.6.
        priority: 0 (lowest) and up; a lower session waits while a higher one has tasks.
    """

    application: str
    id: str | None = None
    common_data: bytes | None = None
    min_instances: int = 0
    max_instances: int | None = None
    batch_size: int = 1
    resreq: ResourceRequirement | None = None
    priority: int = 0


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """The options of a task to create, as SDKs after 0.6 have them.

    Attributes:
        affinity: as the argument of ``create_task``.
    """

    affinity: Collection[bytes] = ()


@shared_class(_TYPES)
@dataclass(frozen=True, slots=True)
class ApplicationSchema:
    """JSON Schemas, as text, of what tasks take and give. The engine only checks their form."""

    input: str | None = None
    output: str | None = None
    common_data: str | None = None


@shared_class(_TYPES, shim=Shim)
@dataclass(slots=True)
class ApplicationAttributes:
    """The attributes of an application: the command that serves it and how it is run.

    Attributes:
        environments: variables for the service process.
        working_directory: absolute path.
        delay_release: seconds a process waits for the next task before it ends; engine: 60.
    """

    shim: Shim | None = None
    image: str | None = None
    description: str | None = None
    labels: Sequence[str] | None = None
    command: str | None = None
    arguments: Sequence[str] | None = None
    environments: Mapping[str, str] | None = None
    working_directory: str | None = None
    max_instances: int | None = None
    delay_release: int | None = None
    schema: ApplicationSchema | None = None
    url: str | None = None
    installer: str | None = None


@shared_class(_TYPES, state=ApplicationState, shim=Shim)
@dataclass(frozen=True, slots=True)
class Application:
    """A registered application as the engine shows it."""

    id: str
    name: str
    state: ApplicationState
    creation_time: datetime
    shim: Shim | None = None
    image: str | None = None
    description: str | None = None
    labels: Sequence[str] | None = None
    command: str | None = None
    arguments: Sequence[str] | None = None
    environments: Mapping[str, str] | None = None
    working_directory: str | None = None
    max_instances: int | None = None
    delay_release: int | None = None
    schema: ApplicationSchema | None = None
    url: str | None = None
    installer: str | None = None


@dataclass(frozen=True, slots=True)
class Executor:
    """One executor: a service process, bound to one session at a time.

    Attributes:
        application: of its session; None where an engine does not say, as 0.6.
    """

    id: str
    state: ExecutorState
    node: str
    resreq: ResourceRequirement
    shim: Shim = Shim.HOST
    session_id: str | None = None
    application: str | None = None


@dataclass(frozen=True, slots=True)
class Node:
    """One machine of the cluster."""

    name: str
    state: NodeState
    capacity: ResourceRequirement
    allocatable: ResourceRequirement
    arch: str = ""
    os: str = ""
    addresses: Sequence[str] = ()


@shared_class(_SERVICE)
@dataclass(frozen=True, slots=True)
class ApplicationContext:
    """The attributes of an application that its services receive."""

    name: str
    image: str | None = None
    command: str | None = None
    working_directory: str | None = None
    url: str | None = None


@shared_class(_SERVICE)
@dataclass(frozen=True, slots=True)
class SessionContext:
    """The context of a session, which ``FlameService.on_session_enter`` gets."""

    _common_data: bytes | None
    session_id: str
    application: ApplicationContext

    def common_data(self) -> bytes | None:
        """Return the session's common data, or None if it has no common data."""
        return self._common_data


@shared_class(_SERVICE)
@dataclass(frozen=True, slots=True)
class TaskContext:
    """The context of a task, which ``FlameService.on_task_invoke`` gets: its ids and its input."""

    task_id: str
    session_id: str
    input: bytes | None = field(default=None, repr=False)


def _moment(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(sep=" ", timespec="milliseconds")


def _size(payload: bytes | None) -> str | None:
    return None if payload is None else f"{len(payload):,} bytes"


def _counted(counts: TaskCounts) -> str:
    named = {
        "pending": counts.pending,
        "running": counts.running,
        "succeeded": counts.succeed,
        "failed": counts.failed,
        "cancelled": counts.cancelled,
    }
    return ", ".join(f"{number} {name}" for name, number in named.items() if number) or "none"
