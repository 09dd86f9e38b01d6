"""The workspace in which sessions and applications are: its name, and the rule for it.

Engine 0.6 has no workspaces and does not look at it; engines that have them have no default of
their own, so one is sent with every call (docs/protocol.md#dialects).
"""

from __future__ import annotations

import re

from flamepy.errors import InvalidArgumentError
from flamepy.texts import repr_of

DEFAULT_WORKSPACE = "default"
WORKSPACE_LIMIT = 63  # characters
WORKSPACE_PATTERN = r"[a-z0-9]([a-z0-9_-]*[a-z0-9])?"
_WORKSPACE = re.compile(WORKSPACE_PATTERN)


def check_workspace(value: object) -> str:
    """Return a workspace's name as engines that have workspaces take it.

    Raises:
        InvalidArgumentError: it is no such name.
    """
    if not isinstance(value, str):
        raise InvalidArgumentError(f"workspace must be text, got {repr_of(value)}")
    if len(value) > WORKSPACE_LIMIT or not _WORKSPACE.fullmatch(value):
        shown = repr_of(value if len(value) <= WORKSPACE_LIMIT else f"{value[:40]}...")
        raise InvalidArgumentError(
            f"workspace {shown}: use 1 to {WORKSPACE_LIMIT} lower-case letters, digits, '_' and "
            "'-', with a letter or a digit at both ends"
        )
    return value
