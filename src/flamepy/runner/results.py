"""The output of a call's task: where the result is in the object cache, or the result itself.

A client that says so in its request gets a small result as a pickle, which saves a put and a get;
every other client, and every large result, gets an encoded ``ObjectRef`` as from the official
service. ``get_data`` of either side reads both.
"""

from __future__ import annotations

import io
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types

from flamepy.core.cache import ObjectRef, get_object, put_object
from flamepy.errors import InternalError
from flamepy.runner.types import RunnerRequest
from flamepy.service.payload import dump, load

INLINE_LIMIT = 16 << 10  # bytes of a pickled result that is the output itself
_WISH = "_inline"  # an attribute of a request, which the official service does not look at
_PROTOCOLS = range(2, 6)


def asking(request: RunnerRequest) -> RunnerRequest:
    """Have a request say that its client reads results that are the output; return it."""
    request.__dict__[_WISH] = INLINE_LIMIT
    return request


def output_of(result: Any, request: RunnerRequest, prefix: str) -> bytes:
    """Return the output for a result, which is put into the cache unless it is small.

    Args:
        result: what was returned.
        request: may ask for small results as they are.
        prefix: ``application/session``, where the result is put.

    Raises:
        FlameError: it cannot be put.
    """
    limit = request.__dict__.get(_WISH, 0)
    small = _pickled(result, min(limit, INLINE_LIMIT)) if isinstance(limit, int) else None
    return put_object(prefix, result).encode() if small is None else small


def is_pickle(data: bytes) -> bool:
    """Return True for a pickle; an encoded reference begins with its length in four bytes."""
    return len(data) > 2 and data[0] == 0x80 and data[1] in _PROTOCOLS and data[2] != 0


def value_of(output: bytes | None) -> Any:
    """Return the result that an output is or refers to; unpickling runs code of its writer.

    Raises:
        InternalError: there is no output.
        FlameError: the object cannot be fetched.
    """
    if output is not None and is_pickle(output):
        return load(output)
    return get_object(reference(output))


def reference(output: bytes | None) -> ObjectRef:
    """Return the reference that an output is.

    Raises:
        InternalError: there is no output.
        InvalidArgumentError: it is something else.
    """
    if output is None:
        raise InternalError("the call has no output: its service is not one of flamepy.runner")
    return ObjectRef.decode(output)


class _Full(Exception):
    """A pickle grew over its limit."""


class _Bounded(io.BytesIO):
    def __init__(self, limit: int) -> None:
        super().__init__()
        self._limit = limit

    def write(self, data: Any, /) -> int:  # Any: whatever has a buffer
        written = super().write(data)
        if self.tell() > self._limit:
            raise _Full
        return written


def _pickled(value: Any, limit: int) -> bytes | None:
    """Return a value's pickle, or None if it is larger than a limit or cannot be made."""
    if limit <= 0:
        return None
    if value is None or type(value) in (bool, int, float):
        return dump(value)
    file = _Bounded(limit)
    try:
        cloudpickle.Pickler(file, cloudpickle.DEFAULT_PROTOCOL).dump(value)
    except Exception:  # too large, or whatever pickling raises: ``put_object`` says it
        return None
    return file.getvalue()
