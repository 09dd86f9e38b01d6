"""Rows as JSON takes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import Any

_NAMES: dict[type, tuple[str, ...]] = {}


def plain(value: Any) -> Any:  # Any: rows, and what JSON takes
    """Return a row, or what holds rows, as JSON takes it.

    Dataclasses become dictionaries, enums their texts or names in lower case, moments seconds since
    the epoch, and numbers that JSON lacks None.
    """
    if value is None or isinstance(value, (bool, str)):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, Enum):
        return value.name.lower()
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, int):
        return value
    if is_dataclass(value):
        names = _NAMES.get(type(value))
        if names is None:
            names = _NAMES[type(value)] = tuple(one.name for one in fields(value))
        return {name: plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, datetime):
        return round(value.timestamp(), 3)
    return [plain(one) for one in value]
