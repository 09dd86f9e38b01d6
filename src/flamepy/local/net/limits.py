"""What an engine of 0.6 limits, and how it says so. Pure."""

from __future__ import annotations

MESSAGE_LIMIT = 4 * 1024 * 1024  # bytes of a message


def too_large(found: int) -> str:
    """Return the engine's text for a message over its limit."""
    return (
        f"Error, decoded message length too large: found {found} bytes, "
        f"the limit is: {MESSAGE_LIMIT} bytes"
    )
