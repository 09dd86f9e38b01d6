"""What travels between a ``Session`` and a ``FlameInstance``: pickles, and a reference. Pure.

Input and output of a task are bare pickles. A session's common data is an encoded ``ObjectRef``;
the object is a ``bytes`` value of the cache that is itself a pickle (docs/services.md).
"""

from __future__ import annotations

from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types

from flamepy.errors import InvalidArgumentError
from flamepy.texts import text_of


def dump(value: Any, what: str = "the value") -> bytes:
    """Pickle a value as the official SDK does.

    Args:
        value: anything.
        what: names it in the error.

    Raises:
        InvalidArgumentError: it cannot be pickled; caused by what its pickling raised.
    """
    try:
        data: bytes = cloudpickle.dumps(value, protocol=cloudpickle.DEFAULT_PROTOCOL)
    except Exception as error:
        raise InvalidArgumentError(
            f"{what}, of {type(value).__name__}, cannot be pickled, as all that travels must be: "
            f"{text_of(error)}; leave out what belongs to this process (locks, files, "
            "connections), or make it on the other side"
        ) from error
    return data


def load(data: bytes | None) -> Any:
    """Unpickle a payload; None without one. Runs code of its writer."""
    return None if data is None else cloudpickle.loads(bytes(data))
