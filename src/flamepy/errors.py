"""The errors of flamepy: one root, ``FlameError``, and a subclass for each thing callers catch.

::

    FlameError
    ├── ConfigError                     a broken flame.yaml, URL, or environment variable
    ├── MissingExtraError               (also ImportError) an optional dependency is not installed
    ├── InvalidArgumentError            (also ValueError) refused before sending, or by the engine
    │   ├── SessionClosedError          the session exists but is closed
    │   └── PickleRefusedError          the object would have to be unpickled, which was not allowed
    ├── NotFoundError                   an application, node, ...
    │   ├── ApplicationNotFoundError
    │   ├── SessionNotFoundError
    │   ├── TaskNotFoundError
    │   └── ObjectNotFoundError         (also KeyError and ValueError) not in the object cache
    ├── AlreadyExistsError
    ├── InvalidStateError               the object is in a state that forbids the call
    │   ├── SessionBusyError            close with running tasks: try again later
    │   └── SessionRetryLimitError      the session gets no executors any more (event 1002)
    ├── TaskFailedError                 the service failed the task; its own text
    ├── TaskCancelledError              (also concurrent.futures.CancelledError)
    ├── TaskLostError                   the task is gone, the fate is unknown
    │   └── SessionLostError            its whole session is gone
    ├── InformerError                   a callback of an informer raised (given to on_error)
    ├── PluginError                     an informer plugin cannot be loaded
    ├── UnavailableError                (also ConnectionError) nothing answers at the endpoint
    │   ├── ConnectionClosedError       this connection was closed here
    │   └── TlsError                    no TLS connection can be made, and why
    ├── DeadlineExceededError           (also TimeoutError)
    ├── PermissionDeniedError  UnauthenticatedError  ResourceExhaustedError
    ├── AmbiguousResultError            a write whose fate is unknown
    ├── ObjectBatchError                get_objects or put_objects stopped; has what was done
    └── InternalError                   anything else the engine says

Translation from gRPC happens in one place, ``rpc.status``. This module imports ``enums``
and ``shared_pickles``, and nothing else of flamepy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from concurrent.futures import CancelledError
from typing import Any, ClassVar

from flamepy.enums import NumberEnum
from flamepy.shared_pickles import shared_enum
from flamepy.texts import repr_of

__all__ = [
    "AlreadyExistsError",
    "AmbiguousResultError",
    "ApplicationNotFoundError",
    "ConfigError",
    "ConnectionClosedError",
    "DeadlineExceededError",
    "FlameError",
    "FlameErrorCode",
    "InformerError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidStateError",
    "MissingExtraError",
    "NotFoundError",
    "ObjectBatchError",
    "ObjectNotFoundError",
    "PermissionDeniedError",
    "PickleRefusedError",
    "PluginError",
    "ResourceExhaustedError",
    "SessionBusyError",
    "SessionClosedError",
    "SessionLostError",
    "SessionNotFoundError",
    "SessionRetryLimitError",
    "TaskCancelledError",
    "TaskFailedError",
    "TaskLostError",
    "TaskNotFoundError",
    "TlsError",
    "UnauthenticatedError",
    "UnavailableError",
]


_TYPES = "flamepy.core.types"  # where the official SDK has them, and what pickles name
_SHOWN = re.compile(r"(.*) \(code: (\d+)\)", re.DOTALL)  # the text of an error


@shared_enum(_TYPES, range(6))
class FlameErrorCode(NumberEnum):
    """The kind of an error. 0-5 are the official SDK's; the rest are appended by us."""

    INVALID_CONFIG = 0
    INVALID_STATE = 1
    INVALID_ARGUMENT = 2
    INTERNAL = 3
    ALREADY_EXISTS = 4
    NOT_FOUND = 5
    UNAVAILABLE = 6
    DEADLINE_EXCEEDED = 7
    PERMISSION_DENIED = 8
    UNAUTHENTICATED = 9
    CANCELLED = 10
    RESOURCE_EXHAUSTED = 11
    AMBIGUOUS = 12


class FlameError(Exception):
    """The root of every error that flamepy raises on purpose.

    ``FlameError(code, message)`` works as in the official SDK, and ``str()`` of it is
    ``"{message} (code: {code})"``. A subclass knows its code and is made with the message alone.

    Attributes:
        code: the kind of error.
        short_code: of the class, and never changed: for ``flamepy explain-error FL311``.
        message: the text alone, as the engine or this library wrote it.
        grpc_code: name of the gRPC status it came from (``"UNAVAILABLE"``), or None.
        attempts: how many times the call was tried.
        elapsed: seconds spent in the call, all attempts together.
        retryable: True if the same call, repeated later, may succeed and does no harm.
        failure: which column of docs/retry.md it falls into, or None when nothing was sent.
        retry_after: seconds that the server asked to wait before the call is made again; ``inf``
            if it asked not to make it again, None if it did not say.
    """

    default_code: ClassVar[FlameErrorCode] = FlameErrorCode.INTERNAL
    short_code: ClassVar[str] = "FL000"

    def __init__(
        self,
        code: FlameErrorCode,
        message: str | None = None,
        *,
        grpc_code: str | None = None,
        attempts: int = 1,
        elapsed: float = 0.0,
        retryable: bool = False,
    ) -> None:
        if message is None:  # a pickle of the official SDK, whose state follows
            code, message = _from_shown(code)
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.grpc_code = grpc_code
        self.attempts = attempts
        self.elapsed = elapsed
        self.retryable = retryable
        self.failure: str | None = None
        self.retry_after: float | None = None

    def __str__(self) -> str:
        return f"{self.message} (code: {int(self.code)})"

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process borders (multiprocessing, concurrent.futures) by pickle.
        if type(self) is FlameError:  # the one that the official SDK has
            return FlameError, (self.code, self.message), dict(self.__dict__)
        return _rebuild, (type(self), self.code, self.message, dict(self.__dict__))

    def __setstate__(self, state: dict[str, object] | None) -> None:
        self.__dict__.update(state or {})
        self.code = _known(self.code)


FlameError.__module__ = _TYPES


def _from_shown(shown: object) -> tuple[FlameErrorCode, str]:
    found = _SHOWN.fullmatch(shown) if isinstance(shown, str) else None
    if found is None:
        raise TypeError(f"FlameError needs a code and a message, got {repr_of(shown)} alone")
    return _known(int(found[2])), found[1]


def _known(code: int) -> FlameErrorCode:
    """Return a code, INTERNAL for a number that this release has no name for."""
    try:
        return FlameErrorCode(code)
    except ValueError:
        return FlameErrorCode.INTERNAL


def _rebuild(
    kind: type[FlameError], code: FlameErrorCode, message: str, state: dict[str, object]
) -> FlameError:
    error = kind.__new__(kind)
    FlameError.__init__(error, code, message)
    error.__dict__.update(state)
    return error


class _CodedError(FlameError):
    """A FlameError whose class fixes the code: made with the message alone."""

    def __init__(
        self,
        message: str,
        *,
        grpc_code: str | None = None,
        attempts: int = 1,
        elapsed: float = 0.0,
        retryable: bool = False,
    ) -> None:
        super().__init__(
            self.default_code,
            message,
            grpc_code=grpc_code,
            attempts=attempts,
            elapsed=elapsed,
            retryable=retryable,
        )


class ConfigError(_CodedError):
    """The configuration is unusable; the message names the file or variable, key and rule."""

    short_code = "FL001"
    default_code = FlameErrorCode.INVALID_CONFIG


class MissingExtraError(_CodedError, ImportError):
    """An optional dependency is missing; the message holds the ``pip install`` to run."""

    short_code = "FL002"
    default_code = FlameErrorCode.INVALID_CONFIG


class InvalidArgumentError(_CodedError, ValueError):
    """A value breaks a rule; the message names the value and the rule."""

    short_code = "FL100"
    default_code = FlameErrorCode.INVALID_ARGUMENT


class SessionClosedError(InvalidArgumentError):
    """The session is closed: it takes no tasks and cannot be opened again."""

    short_code = "FL101"


class PickleRefusedError(InvalidArgumentError):
    """The object's bytes are a pickle that names classes or functions, and none may be loaded."""

    short_code = "FL102"


class NotFoundError(_CodedError):
    """The engine does not know the object."""

    short_code = "FL200"
    default_code = FlameErrorCode.NOT_FOUND


class ApplicationNotFoundError(NotFoundError):
    """No application of that name is registered (or enabled)."""

    short_code = "FL201"


class SessionNotFoundError(NotFoundError):
    """The engine does not know the session: never made, deleted, evicted or lost."""

    short_code = "FL202"


class TaskNotFoundError(NotFoundError):
    """The session exists and has no task of that id."""

    short_code = "FL203"


class ObjectNotFoundError(NotFoundError, KeyError, ValueError):
    """The object cache has no object of that key: never put, deleted, or evicted from memory."""

    short_code = "FL204"


class AlreadyExistsError(_CodedError):
    """The name or id is taken."""

    short_code = "FL300"
    default_code = FlameErrorCode.ALREADY_EXISTS


class InvalidStateError(_CodedError):
    """The object exists, in a state that forbids the call."""

    short_code = "FL310"
    default_code = FlameErrorCode.INVALID_STATE


class SessionBusyError(InvalidStateError):
    """The session has running tasks, so it cannot be closed now; later it can."""

    short_code = "FL311"


class SessionRetryLimitError(InvalidStateError):
    """No service of the session could be started; the engine stopped trying (event 1002)."""

    short_code = "FL312"


class TaskFailedError(_CodedError):
    """The service failed the task.

    Attributes:
        task: the ``types.Task`` as last read, or None. ``message`` is the service's own text.
    """

    short_code = "FL400"
    default_code = FlameErrorCode.INTERNAL

    def __init__(self, message: str, *, task: object | None = None) -> None:
        super().__init__(message)
        self.task = task


class TaskCancelledError(_CodedError, CancelledError):
    """The task was cancelled because its session was closed before it ran.

    Attributes:
        task: the ``types.Task`` as last read, or None.
    """

    short_code = "FL401"
    default_code = FlameErrorCode.CANCELLED

    def __init__(self, message: str, *, task: object | None = None) -> None:
        super().__init__(message)
        self.task = task


class TaskLostError(_CodedError):
    """The task or its session is gone, so its outcome cannot be known."""

    short_code = "FL402"
    default_code = FlameErrorCode.NOT_FOUND


class SessionLostError(TaskLostError):
    """The engine does not know the session any more, so the outcomes of its tasks cannot be known.

    It was deleted, evicted, its application was unregistered, or the engine restarted and keeps
    nothing (storage ``none``).
    """

    short_code = "FL403"


class InformerError(_CodedError):
    """A callback of an informer raised; the exception is the ``__cause__``.

    Attributes:
        event: the event that it was called with, of ``on_batch`` the list; None without an event.
    """

    short_code = "FL500"
    default_code = FlameErrorCode.INTERNAL

    def __init__(self, message: str, *, attempts: int = 1, event: object | None = None) -> None:
        super().__init__(message, attempts=attempts)
        self.event = event


class PluginError(_CodedError):
    """An informer plugin cannot be loaded; the message names it and its distribution."""

    short_code = "FL501"
    default_code = FlameErrorCode.INVALID_CONFIG


class UnavailableError(_CodedError, ConnectionError):
    """Nothing usable answers at the endpoint; the message names it and says why."""

    short_code = "FL600"
    default_code = FlameErrorCode.UNAVAILABLE


class ConnectionClosedError(UnavailableError):
    """The connection was closed on this side."""

    short_code = "FL601"


class TlsError(UnavailableError):
    """No TLS connection can be made; the message says what is wrong and the way out."""

    short_code = "FL602"


class DeadlineExceededError(_CodedError, TimeoutError):
    """The call did not end within its ``timeout``."""

    short_code = "FL603"
    default_code = FlameErrorCode.DEADLINE_EXCEEDED


class PermissionDeniedError(_CodedError):
    """A proxy in front of the engine refused the call."""

    short_code = "FL700"
    default_code = FlameErrorCode.PERMISSION_DENIED


class UnauthenticatedError(_CodedError):
    """A proxy in front of the engine does not know the caller."""

    short_code = "FL701"
    default_code = FlameErrorCode.UNAUTHENTICATED


class ResourceExhaustedError(_CodedError):
    """A limit was hit, most often a message that is too large."""

    short_code = "FL702"
    default_code = FlameErrorCode.RESOURCE_EXHAUSTED


class AmbiguousResultError(_CodedError):
    """A write was sent and its answer lost: it may or may not have happened."""

    short_code = "FL800"
    default_code = FlameErrorCode.AMBIGUOUS


class ObjectBatchError(_CodedError):
    """``get_objects`` or ``put_objects`` stopped before the end; nothing that was done is lost.

    ``code`` is that of its ``__cause__``, the first error; ``retryable`` is True if each error is.

    Attributes:
        results: what succeeded, by place: of a put the references, of a get the objects.
        errors: what failed, by place. A place that is in neither was not begun.
    """

    short_code = "FL205"
    default_code = FlameErrorCode.INTERNAL

    def __init__(
        self,
        message: str,
        *,
        results: Mapping[int, Any] | None = None,
        errors: Mapping[int, BaseException] | None = None,
    ) -> None:
        super().__init__(message)
        self.results = dict(results or {})
        self.errors = dict(errors or {})


class InternalError(_CodedError):
    """Any other failure inside the engine; the message is the engine's."""

    short_code = "FL900"
    default_code = FlameErrorCode.INTERNAL
