"""What travels between a ``Session`` and a ``FlameInstance``: pickles, and a reference. Pure.

Input and output of a task are bare pickles. A session's common data is an encoded ``ObjectRef``;
the object is a ``bytes`` value of the cache that is itself a pickle (docs/services.md).
"""

from __future__ import annotations

from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # it has no types


def dump(value: Any) -> bytes:
    """Pickle a value as the official SDK does.

    Raises:
        Exception: whatever the value's own pickling raises.
    """
    data: bytes = cloudpickle.dumps(value, protocol=cloudpickle.DEFAULT_PROTOCOL)
    return data


def load(data: bytes | None) -> Any:
    """Unpickle a payload; None without one. Runs code of its writer."""
    return None if data is None else cloudpickle.loads(bytes(data))
