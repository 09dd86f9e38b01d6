"""The arguments of a call: futures become references, large values objects of the cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flamepy.core.cache import put_object
from flamepy.errors import InvalidArgumentError
from flamepy.runner.futures import ObjectFuture
from flamepy.runner.results import asking
from flamepy.runner.types import RunnerRequest
from flamepy.service.payload import dump

INLINE_LIMIT = 1 << 20  # bytes of a request that travels with its task; a message holds 4 MiB
LARGE = 64 << 10  # bytes of an argument that goes to the cache when a request is too large
MAX_DEPTH = 10


def packed(
    prefix: str, method: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bytes:
    """Return the input of a call's task.

    Args:
        prefix: ``application/session``, where large arguments are put.
        method: None calls the object.
        args: a future among them is waited for and travels as a reference, or as its small
            result; a future in a list, tuple or dict as its value.
        kwargs: as ``args``.
    """
    references = tuple(resolved(one) for one in args)
    named = {name: resolved(one) for name, one in kwargs.items()}
    data = _dumped(method, references, named)
    if len(data) <= INLINE_LIMIT:
        return data
    references = tuple(_outsourced(prefix, one) for one in references)
    named = {name: _outsourced(prefix, one) for name, one in named.items()}
    return _dumped(method, references, named)


def _dumped(method: str | None, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    try:
        return dump(asking(RunnerRequest(method, args or None, kwargs or None)))
    except InvalidArgumentError:
        for name, one in [*enumerate(args), *kwargs.items()]:
            dump(one, f"argument {name} of the call")  # the error names the argument
        raise


def resolved(value: Any) -> Any:
    """Return what travels instead of an argument: a future's reference, else the value."""
    return value.argument() if isinstance(value, ObjectFuture) else _with_values(value, MAX_DEPTH)


def by_value(data: bytes) -> bool:
    """Return True if a pickle contains code, not only names of what both sides import."""
    return b"cloudpickle.cloudpickle" in data


def _with_values(value: Any, depth: int) -> Any:
    if isinstance(value, ObjectFuture):
        return value.get()
    if depth == 0 or not _has_future(value, depth):
        return value  # the very object, whatever class of list it is
    if isinstance(value, dict):
        return {key: _with_values(one, depth - 1) for key, one in value.items()}
    return type(value)(_with_values(one, depth - 1) for one in value)


def _has_future(value: Any, depth: int) -> bool:
    if isinstance(value, ObjectFuture):
        return True
    if depth == 0 or type(value) not in (list, tuple, dict, set):
        return False
    inside = value.values() if isinstance(value, dict) else value
    return any(_has_future(one, depth - 1) for one in inside)


def _outsourced(prefix: str, value: Any) -> Any:
    return put_object(prefix, value) if len(dump(value)) > LARGE else value
