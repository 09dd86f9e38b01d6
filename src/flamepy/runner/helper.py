"""``get_data``: what a runner's task got or gave, as Python objects, for tools and informers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flamepy.core.cache import ObjectRef, get_object
from flamepy.enums import TextEnum
from flamepy.errors import FlameError, InvalidArgumentError
from flamepy.runner.results import is_pickle
from flamepy.runner.types import RunnerRequest
from flamepy.service.payload import load
from flamepy.texts import text_of

MAX_DEPTH = 10


class ErrorType(TextEnum):
    """What ``get_data`` could not do."""

    DECODE_ERROR = "decode_error"
    CACHE_RETRIEVAL_ERROR = "cache_retrieval_error"
    DATA_FORMAT_ERROR = "data_format_error"


class RunnerError(Exception):
    """Data of a runner that cannot be read.

    Attributes:
        error_type: what failed.
        message: why.
        cause: the exception that caused it, or None.
        key: of the object in the cache, if one was fetched.
        data_type: of what was given or found.
    """

    def __init__(
        self,
        error_type: ErrorType,
        message: str,
        cause: BaseException | None = None,
        key: str | None = None,
        data_type: str | None = None,
    ) -> None:
        super().__init__(f"[{error_type.value}] {message}")
        self.error_type = error_type
        self.message = message
        self.cause = cause
        self.key = key
        self.data_type = data_type


@dataclass
class TaskInputData:
    """What the input of a task says: a call; ``to_dict`` is what ``get_data`` returns."""

    method: str | None = None
    args: Any = None  # of the caller's types
    kwargs: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    type: str = field(default="input", init=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return _shown(self, "type", "method", "args", "kwargs", "metadata")


@dataclass
class TaskOutputData:
    """What anything else says: a result; ``to_dict`` is what ``get_data`` returns."""

    result: Any = None
    metadata: dict[str, Any] = field(default_factory=dict)
    type: str = field(default="output", init=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the fields by name."""
        return _shown(self, "type", "result", "metadata")


def _shown(data: object, *names: str) -> dict[str, Any]:
    return {name: getattr(data, name) for name in names}


def get_data(data: bytes) -> dict[str, Any]:
    """Return what a task's input or output says.

    Unpickles, which runs code of its writer.

    Args:
        data: the input or output of a task of a runner.

    Returns:
        For an input ``{"type": "input", "method", "args", "kwargs", "metadata"}`` with references
        replaced by their objects; else ``{"type": "output", "result", "metadata"}``. The metadata
        has ``object_ref_key`` if the object cache was asked.

    Raises:
        RunnerError: it is neither a pickle nor a reference, or the cache does not have the object.
    """
    metadata: dict[str, Any] = {}
    if is_pickle(data):
        value = _unpickled(data)
    else:
        ref = _decoded(data)
        metadata["object_ref_key"] = ref.key
        value = _fetched(ref)
    if isinstance(value, RunnerRequest):
        args, kwargs = _resolved(value.args, MAX_DEPTH), _resolved(value.kwargs, MAX_DEPTH)
        return TaskInputData(value.method, args, kwargs, metadata).to_dict()
    return TaskOutputData(value, metadata).to_dict()


def _unpickled(data: bytes) -> Any:
    try:
        return load(data)
    except Exception as error:  # whatever a pickle raises
        raise RunnerError(
            ErrorType.DECODE_ERROR,
            f"Failed to decode data: not valid ObjectRef or pickled data: {text_of(error)}",
            error,
            data_type=type(data).__name__,
        ) from error


def _decoded(data: bytes) -> ObjectRef:
    try:
        return ObjectRef.decode(data)
    except InvalidArgumentError as error:
        raise RunnerError(
            ErrorType.DECODE_ERROR,
            f"Failed to decode data: not valid ObjectRef or pickled data: {error.message}",
            error,
            data_type=type(data).__name__,
        ) from error


def _fetched(ref: ObjectRef) -> Any:
    try:
        value = get_object(ref)
    except FlameError as error:
        raise RunnerError(
            ErrorType.CACHE_RETRIEVAL_ERROR,
            f"Failed to retrieve object from cache: {error.message}",
            error,
            ref.key,
        ) from error
    if isinstance(value, bytes):
        try:
            return load(value)
        except Exception:  # bytes that are no pickle are a value like any other
            return value
    return value


def _resolved(value: Any, depth: int) -> Any:
    if depth == 0:
        return value
    if isinstance(value, ObjectRef):
        return _fetched(value)
    if isinstance(value, bytes) and value:
        try:
            return _fetched(ObjectRef.decode(value))
        except InvalidArgumentError:
            return value
    if isinstance(value, dict):
        return {key: _resolved(one, depth - 1) for key, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_resolved(one, depth - 1) for one in value)
    return value
