"""What engines after 0.6 refuse of a task's affinity. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from flamepy.local.state.refusal import Refusal

KEY, KEYS, BYTES = 256, 1024, 64 * 1024
RULE = "each key has 1 to 256 bytes, a task at most 1024 keys and 64 KiB of them"


def checked_affinity(keys: Iterable[bytes]) -> tuple[bytes, ...]:
    """Return the keys of the executors that a task prefers. Raises Refusal."""
    wanted = tuple(keys)
    size = sum(map(len, wanted))
    if len(wanted) > KEYS or size > BYTES:
        raise Refusal(
            "INVALID_ARGUMENT", f"affinity has {len(wanted)} keys of {size} bytes in all: {RULE}"
        )
    for key in wanted:
        if not 1 <= len(key) <= KEY:
            raise Refusal("INVALID_ARGUMENT", f"an affinity key has {len(key)} bytes: {RULE}")
    return wanted
